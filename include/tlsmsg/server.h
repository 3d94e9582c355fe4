/* A message server: accept, receive, reply, close, for any number of clients.
 *
 * tlsmsg_server_new loads everything and opens the listening sockets,
 * tlsmsg_server_start runs the workers (threads of the library's own),
 * tlsmsg_server_wait joins them. Nothing is printed, no signal disposition is
 * touched, nothing is global: two servers in one process are fine.
 *
 * The handler's functions are called on worker threads and must not block.
 * Each worker calls message() for every message and, before any of a turn's
 * replies leave, turn_end(), which may hold them. A
 * program that stores messages stores them there, so a reply means stored.
 */
#ifndef TLSMSG_SERVER_H
#define TLSMSG_SERVER_H

#include <sys/socket.h>
#include <sys/uio.h>

#include <tlsmsg/error.h>
#include <tlsmsg/options.h>
#include <tlsmsg/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tlsmsg_server;
struct tlsmsg_message;

/* Who is at the other end. The library fills it and callers only read it, through a pointer:
 * members may be added at the end; so it is with struct tlsmsg_closed and struct tlsmsg_event. */
struct tlsmsg_peer {
    uint64_t connection;                   /* its number, from 1, unique in a server */
    const char *address;                   /* "127.0.0.1:32916", "[::1]:50412"; safe to print */
    const struct sockaddr *socket_address; /* the same as the socket has it: AF_INET or AF_INET6 */
    const struct tlsmsg_tls *tls;          /* NULL in plaintext, and before the handshake is done */
};

/* Why a connection ended. */
enum tlsmsg_close_reason {
    TLSMSG_CLOSE_CLEAN,        /* both sides said so */
    TLSMSG_CLOSE_TRUNCATED,    /* end of file without close_notify */
    TLSMSG_CLOSE_RESET,        /* reset by the peer */
    TLSMSG_CLOSE_HANDSHAKE,    /* it never became a conversation */
    TLSMSG_CLOSE_TIMEOUT,      /* a deadline passed */
    TLSMSG_CLOSE_INVALID_UTF8, /* it sent what is not UTF-8 */
    TLSMSG_CLOSE_DRAINED,      /* closed in order because the server stops */
    TLSMSG_CLOSE_FAILED,       /* anything else: memory, protocol, internal */
    TLSMSG_CLOSE_REFUSED,      /* tlsmsg/1: it broke a rule; code says which */
    TLSMSG_CLOSE_COUNT
};

struct tlsmsg_closed {
    const struct tlsmsg_peer *peer;
    enum tlsmsg_close_reason reason;
    uint64_t messages;
    int64_t duration_ms;  /* from accept */
    bool heard;           /* false: the peer sent no byte at all */
    unsigned code;        /* tlsmsg/1: of the BYE that was said, 0: none */
    uint64_t duplicates;  /* tlsmsg/1: messages that came again; messages is without them */
    const char *producer; /* tlsmsg/1: its name; NULL: none */
};

enum tlsmsg_log_level { TLSMSG_LOG_ERROR, TLSMSG_LOG_WARNING, TLSMSG_LOG_INFO, TLSMSG_LOG_DEBUG };

/* What an operator should know of. Several events of one cause can be counted together. */
enum tlsmsg_cause {
    TLSMSG_CAUSE_PLAINTEXT_PEER, /* no TLS at the TLS port */
    TLSMSG_CAUSE_TLS_PEER,       /* TLS at the plaintext port */
    TLSMSG_CAUSE_HANDSHAKE,      /* a handshake failed */
    TLSMSG_CAUSE_REFUSED,        /* a client's certificate or identity was refused */
    TLSMSG_CAUSE_TIMEOUT,
    TLSMSG_CAUSE_TRUNCATED,
    TLSMSG_CAUSE_RESET,
    TLSMSG_CAUSE_INVALID_UTF8,
    TLSMSG_CAUSE_PROBE,       /* connected, sent nothing, left */
    TLSMSG_CAUSE_LIMIT,       /* a limit acted */
    TLSMSG_CAUSE_DESCRIPTORS, /* out of descriptors */
    TLSMSG_CAUSE_MEMORY,
    TLSMSG_CAUSE_CERTIFICATE, /* days left, reload */
    TLSMSG_CAUSE_OTHER,
    TLSMSG_CAUSE_COUNT
};

struct tlsmsg_event {
    enum tlsmsg_log_level level;
    enum tlsmsg_cause cause;
    uint64_t connection; /* 0: none */
    const char *address; /* the peer's, or NULL */
    const char *text;    /* one line, safe to print */
};

/* What a turn's end decides. */
enum tlsmsg_turn {
    TLSMSG_TURN_RELEASE, /* the turn's replies may leave */
    TLSMSG_TURN_HOLD,    /* not yet: tlsmsg_server_release will be called for this worker */
    TLSMSG_TURN_FAIL     /* never: the server ends, what is unanswered stays so */
};

/* Names a message that is answered later. Plain data; may be copied and stored. */
struct tlsmsg_token {
    uint64_t connection;
    uint64_t message;
    uint32_t worker;
    uint32_t slot;
};

/* A client of tlsmsg/1 greets. */
struct tlsmsg_hello {
    const struct tlsmsg_peer *peer;
    const char *producer; /* its name; with the peer's identity it is the producer. NULL: none */
    uint64_t from;        /* the lowest number that it will send */
    struct tlsmsg_token token;
};

/* The handler. Any function may be NULL. user is passed to each, borrowed until the server is
 * freed. Everything passed is borrowed and dies when the function returns. worker counts from
 * 0; calls with the same worker never overlap, calls with different ones may. */
struct tlsmsg_handler {
    size_t size; /* sizeof(struct tlsmsg_handler), so that functions can be added at the end */
    void *user;
    /* A listening socket is open; on the thread in tlsmsg_server_start, before any client. */
    void (*listening)(const char *address, void *user);
    /* A conversation began: handshake finished (TLS) or connection accepted (plaintext). */
    void (*connected)(const struct tlsmsg_peer *peer, unsigned worker, void *user);
    /* A message came. Answer with tlsmsg_message_reply, take it for later with
     * tlsmsg_message_defer, or do neither: then the reply of TLSMSG_OPT_REPLY is sent. */
    void (*message)(struct tlsmsg_message *message, void *user);
    /* A connection ended. */
    void (*closed)(const struct tlsmsg_closed *closed, unsigned worker, void *user);
    /* Some of this worker's calls above, or of hello() below, are done, and their replies are about
     * to leave: once or a few times in an iteration of its loop, never without such a call before.
     * NULL means TLSMSG_TURN_RELEASE. */
    enum tlsmsg_turn (*turn_end)(unsigned worker, void *user);
    /* Something to log; on a worker's thread, or on a caller's of the functions below. */
    void (*event)(const struct tlsmsg_event *event, void *user);
    /* A client of tlsmsg/1 greets, and waits for tlsmsg_server_hello, now or later: for a handler
     * that keeps the producers' numbers itself, as one does that stores messages. NULL: the library
     * keeps them in memory, and promises nothing. */
    void (*hello)(const struct tlsmsg_hello *hello, void *user);
};

/* The bytes of a message: valid UTF-8, not NUL-terminated, at least one.
 * message: the handler's argument; len: receives the length in bytes.
 * Returns the bytes, borrowed until the handler returns. Thread rule: inside message() only. */
TLSMSG_API const char *tlsmsg_message_data(const struct tlsmsg_message *message, size_t *len);

/* The number of the connection that sent a message.
 * message: the handler's argument. Returns 1 or more. Thread rule: inside message() only. */
TLSMSG_API uint64_t tlsmsg_message_connection(const struct tlsmsg_message *message);

/* The worker that a message came to.
 * message: the handler's argument. Returns 0 to workers - 1. Thread rule: inside message() only. */
TLSMSG_API unsigned tlsmsg_message_worker(const struct tlsmsg_message *message);

/* Who sent a message.
 * message: the handler's argument. Returns the peer, borrowed until the handler returns.
 * Thread rule: inside message() only. */
TLSMSG_API const struct tlsmsg_peer *tlsmsg_message_peer(const struct tlsmsg_message *message);

/* The number that a producer has given to a message (tlsmsg/1).
 * message: the handler's argument. Returns 1 or more; 0 in the document's flow.
 * Thread rule: inside message() only. */
TLSMSG_API uint64_t tlsmsg_message_number(const struct tlsmsg_message *message);

/* Who numbers the messages (tlsmsg/1): with the peer's identity the name is the producer.
 * message: the handler's argument. Returns a text borrowed until the handler returns; NULL where
 * none was named, and in the document's flow. Thread rule: inside message() only. */
TLSMSG_API const char *tlsmsg_message_producer(const struct tlsmsg_message *message);

/* The SHA-256 of a message of a producer, by which one that comes again is known.
 * message: the handler's argument. Returns 32 bytes, borrowed until the handler returns; NULL
 * without a producer. Thread rule: inside message() only. */
TLSMSG_API const unsigned char *tlsmsg_message_hash(const struct tlsmsg_message *message);

/* Whether a producer has sent this number before, to this server: then it is answered, but not
 * taken again.
 * message: the handler's argument. Returns true where it has. Thread rule: inside message() only. */
TLSMSG_API bool tlsmsg_message_is_duplicate(const struct tlsmsg_message *message);

/* Answers a message, from parts that are sent one after the other.
 * message: the handler's argument; parts, count: 0 or more pieces of memory, copied before
 * return; empty altogether means that no reply is sent.
 * Returns TLSMSG_OK; TLSMSG_ERR_STATE when it was answered or deferred already;
 * TLSMSG_ERR_LIMIT over 1 MiB (in tlsmsg/1 over TLSMSG_OPT_MAX_MESSAGE and 1,024 bytes); TLSMSG_ERR_NOMEM (then the conversation is closed).
 * Thread rule: inside message() only; never blocks. */
TLSMSG_API enum tlsmsg_code tlsmsg_message_reply(struct tlsmsg_message *message,
                                                 const struct iovec *parts, int count);

/* Takes a message to be answered later, from any thread. Later replies of that conversation
 * wait for it, so that replies leave in the order of the messages. Answer every one, be it with
 * nothing. Once the peer has said that it sends no more, each reply that is due has
 * TLSMSG_OPT_WRITE_TIMEOUT after that end or the reply before it; then the conversation is closed in
 * order without it and those behind it (TLSMSG_CLOSE_TIMEOUT). While the peer may still send there is
 * no such limit; when the server stops, TLSMSG_OPT_DRAIN_TIMEOUT is the only one for such a peer.
 * message: the handler's argument; token: receives its name.
 * Returns TLSMSG_OK; TLSMSG_ERR_STATE; TLSMSG_ERR_NOMEM. Thread rule: inside message() only. */
TLSMSG_API enum tlsmsg_code tlsmsg_message_defer(struct tlsmsg_message *message,
                                                 struct tlsmsg_token *token);

/* Answers a deferred message. A conversation that ended meanwhile makes it a no-op.
 * server: the server; token: from tlsmsg_message_defer; data, len: the reply, copied, 0 to 1 MiB.
 * Returns TLSMSG_OK, TLSMSG_ERR_LIMIT or TLSMSG_ERR_NOMEM.
 * Thread rule: any thread, until tlsmsg_server_free; never blocks. */
TLSMSG_API enum tlsmsg_code tlsmsg_server_reply(struct tlsmsg_server *server,
                                                const struct tlsmsg_token *token, const void *data,
                                                size_t len);

/* Names a message without taking it for later, for tlsmsg_server_refuse. It is answered as if this
 * had not been called.
 * message: the handler's argument; token: receives its name.
 * Thread rule: inside message() only. */
TLSMSG_API void tlsmsg_message_token(const struct tlsmsg_message *message,
                                     struct tlsmsg_token *token);

/* Ends the conversation of a message in order, with that message and those after it unanswered:
 * while the worker's replies are held (TLSMSG_TURN_HOLD) theirs are taken back, and what was decided
 * before them still leaves. In the document's flow all of that conversation's replies that are held
 * are taken back. Replies that were deferred are not waited for. Of a greeting's token it refuses the
 * greeting. Counts as TLSMSG_CLOSE_FAILED, or TLSMSG_CLOSE_REFUSED with code 412, 413 or 507. A
 * conversation that ended meanwhile makes it a no-op.
 * server: the server; token: from tlsmsg_message_token, tlsmsg_message_defer or struct tlsmsg_hello;
 * code: of the BYE in tlsmsg/1, one of tlsmsg_bye_code; without meaning in the document's flow. To be
 * called before the tlsmsg_server_release that would let the reply leave.
 * Returns TLSMSG_OK or TLSMSG_ERR_NOMEM, after which the hold must not be ended but with fail.
 * Thread rule: any thread, until tlsmsg_server_free; never blocks. */
TLSMSG_API enum tlsmsg_code tlsmsg_server_refuse(struct tlsmsg_server *server,
                                                 const struct tlsmsg_token *token, unsigned code);

/* Answers a greeting that hello() was asked about.
 * server: the server; token: of the struct tlsmsg_hello; last: the last number that is had of its
 * producer, 0 for none; promise: what an OK of this conversation means.
 * Returns TLSMSG_OK or TLSMSG_ERR_NOMEM. Thread rule: any thread, also inside hello(), until
 * tlsmsg_server_free; never blocks. */
TLSMSG_API enum tlsmsg_code tlsmsg_server_hello(struct tlsmsg_server *server,
                                                const struct tlsmsg_token *token, uint64_t last,
                                                enum tlsmsg_promise promise);

/* The codes of BYE, as struct tlsmsg_stats counts them.
 * i: 0 or more. Returns a code, 400 and up; 0 past the last. Thread rule: any thread; never blocks. */
TLSMSG_API unsigned tlsmsg_bye_code(unsigned i);

/* Makes a server: checks the options together, loads the files they name, opens the sockets.
 * options: copied; handler: copied, its size set, or NULL (a server that only replies); out: receives the
 * server, owned by the caller; err: receives the cause, or NULL.
 * Returns TLSMSG_OK; TLSMSG_ERR_CONFIG; TLSMSG_ERR_SYSTEM (a socket); TLSMSG_ERR_NOMEM.
 * Thread rule: any thread; blocks for files and names. */
TLSMSG_API enum tlsmsg_code tlsmsg_server_new(const struct tlsmsg_options *options,
                                              const struct tlsmsg_handler *handler,
                                              struct tlsmsg_server **out, struct tlsmsg_error *err);

/* Checks options as tlsmsg_server_new would, files included, without opening a socket. What is loaded
 * is tried: each own certificate shakes hands in memory, under the server's own policy.
 * options: borrowed; handler: receives warnings as events, borrowed, or NULL; err: receives the
 * cause, or NULL.
 * Returns as tlsmsg_server_new. Thread rule: any thread; blocks for files. */
TLSMSG_API enum tlsmsg_code tlsmsg_server_check(const struct tlsmsg_options *options,
                                                const struct tlsmsg_handler *handler,
                                                struct tlsmsg_error *err);

/* The address of a listening socket as text, "127.0.0.1:40213".
 * server: the server; i: 0 or more. Returns a text borrowed from server, NULL past the last.
 * Thread rule: any thread; never blocks. */
TLSMSG_API const char *tlsmsg_server_address(const struct tlsmsg_server *server, size_t i);

/* Starts the workers. Signals are blocked in them.
 * server: a server that was not started yet; err: receives the cause, or NULL.
 * Returns TLSMSG_OK; TLSMSG_ERR_STATE; TLSMSG_ERR_SYSTEM. Thread rule: one thread; never blocks. */
TLSMSG_API enum tlsmsg_code tlsmsg_server_start(struct tlsmsg_server *server,
                                                struct tlsmsg_error *err);

/* Waits until the server has ended (stopped, its conversations done, or failed) and joins its threads.
 * server: a started server; err: receives why it failed, or NULL.
 * Returns TLSMSG_OK; TLSMSG_ERR_TIMEOUT when a reply could not be delivered before the drain
 * timeout; TLSMSG_ERR_CLOSED after TLSMSG_TURN_FAIL.
 * Thread rule: one thread; blocks. */
TLSMSG_API enum tlsmsg_code tlsmsg_server_wait(struct tlsmsg_server *server,
                                               struct tlsmsg_error *err);

/* A descriptor that polls readable once the server has ended, for a program with a loop of its own.
 * server: the server. Returns the descriptor, owned by server; never read from it.
 * Thread rule: any thread; never blocks. */
TLSMSG_API int tlsmsg_server_done_fd(const struct tlsmsg_server *server);

/* Stops in order: listeners close, idle conversations get close_notify, unsent replies have
 * until TLSMSG_OPT_DRAIN_TIMEOUT. Again: no effect.
 * server: the server. Thread rule: any thread and signal handlers (async-signal-safe). */
TLSMSG_API void tlsmsg_server_stop(struct tlsmsg_server *server);

/* Ends one hold that turn_end began. Each TLSMSG_TURN_HOLD needs a call of its own, and the
 * worker's held replies leave when every hold of that worker so far has been ended; so a call
 * that crosses the next TLSMSG_TURN_HOLD on its way doesn't let that one's replies leave too.
 * server: the server; worker: its number; fail: true ends the server as TLSMSG_TURN_FAIL does.
 * Thread rule: any thread; never blocks. */
TLSMSG_API void tlsmsg_server_release(struct tlsmsg_server *server, unsigned worker, bool fail);

/* Counts memory that the program itself holds because of messages, such as lines or rows that are
 * not written yet, under TLSMSG_OPT_MAX_BUFFERED.
 * server: the server; delta: by how many bytes it has grown, or below 0 shrunk.
 * Thread rule: any thread; never blocks. */
TLSMSG_API void tlsmsg_server_buffered(struct tlsmsg_server *server, int64_t delta);

/* Builds a whole new configuration from the files and, when it is good, uses it for new
 * connections; running conversations keep theirs. Listening addresses, workers and the accept
 * budget stay as they are.
 * server: the server; options: as for tlsmsg_server_new, copied; err: receives the cause, or NULL.
 * Returns TLSMSG_OK, or TLSMSG_ERR_CONFIG and TLSMSG_ERR_NOMEM, after which all is as before.
 * Thread rule: any thread but a worker's; blocks for files. */
TLSMSG_API enum tlsmsg_code tlsmsg_server_reload(struct tlsmsg_server *server,
                                                 const struct tlsmsg_options *options,
                                                 struct tlsmsg_error *err);

/* Buckets of the latency histogram; see tlsmsg_latency_bound_us. */
#define TLSMSG_LATENCY_BUCKETS 15

/* Room in struct tlsmsg_stats for close reasons, causes and codes that are still to be added. */
#define TLSMSG_STATS_CLOSED 16
#define TLSMSG_STATS_EVENTS 32
#define TLSMSG_STATS_BYES 16

/* Numbers of a server since it began. */
struct tlsmsg_stats {
    size_t size;            /* sizeof(struct tlsmsg_stats), set by the caller */
    uint64_t accepted;      /* connections */
    uint64_t open;          /* connections now */
    uint64_t handshaking;   /* of those, not yet conversations */
    uint64_t conversations; /* begun */
    uint64_t resumed;       /* of those, with a resumed session */
    uint64_t tls12;         /* of those, TLS 1.2 */
    uint64_t messages;
    uint64_t replies; /* fully handed to the kernel */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t queued_bytes;                    /* of replies, now */
    uint64_t closed[TLSMSG_STATS_CLOSED];     /* by close reason */
    uint64_t events[TLSMSG_STATS_EVENTS];     /* by cause */
    uint64_t latency[TLSMSG_LATENCY_BUCKETS]; /* messages by time from receipt to reply sent */
    uint64_t latency_sum_us;
    uint64_t numbered;                /* conversations in tlsmsg/1 */
    uint64_t duplicates;              /* messages that came again */
    uint64_t set_back;                /* greetings beyond what is had, which was promised */
    uint64_t byes[TLSMSG_STATS_BYES]; /* by code, as tlsmsg_bye_code has them */
    uint64_t buffered_bytes;          /* held because of messages, now (TLSMSG_OPT_MAX_BUFFERED) */
};

/* Adds up the workers' counters.
 * server: the server; out: filled up to the size that the caller has set in it.
 * Thread rule: any thread; never blocks. */
TLSMSG_API void tlsmsg_server_stats(const struct tlsmsg_server *server, struct tlsmsg_stats *out);

/* Upper bound of a bucket of the latency histogram, which begins at the one before.
 * bucket: 0 to TLSMSG_LATENCY_BUCKETS - 1. Returns microseconds; -1 for the last, which has none.
 * Thread rule: any thread; never blocks. */
TLSMSG_API int64_t tlsmsg_latency_bound_us(unsigned bucket);

/* When the first of a kind ends, of what the last load or reload has taken.
 * server: the server; what: own certificates with their issuers, CAs, or revocation lists.
 * Returns seconds since the epoch, 0 where there is none or none that ends.
 * Thread rule: any thread; never blocks. */
TLSMSG_API int64_t tlsmsg_server_expiry(const struct tlsmsg_server *server,
                                        enum tlsmsg_expiry what);

/* Tells of what ends soon or has ended, as the server does at its start and on reload: a warning each,
 * through the handler's event.
 * server: the server; since_unix_s: leaves out what was so at that time already; 0: tells of all.
 * Returns when there will be more to tell, in seconds since the epoch; 0: never.
 * Thread rule: any thread; the handler is called on it. */
TLSMSG_API int64_t tlsmsg_server_tell_ends(const struct tlsmsg_server *server,
                                           int64_t since_unix_s);

/* Number of workers.
 * server: the server. Returns 1 or more. Thread rule: any thread; never blocks. */
TLSMSG_API unsigned tlsmsg_server_workers(const struct tlsmsg_server *server);

/* Name of a close reason, as in the JSON transcript: "clean", "invalid-utf8".
 * reason: any value. Returns a static string. Thread rule: any thread; never blocks. */
TLSMSG_API const char *tlsmsg_close_reason_name(enum tlsmsg_close_reason reason);

/* Name of a cause for logs and metrics: "plaintext-peer".
 * cause: any value. Returns a static string. Thread rule: any thread; never blocks. */
TLSMSG_API const char *tlsmsg_cause_name(enum tlsmsg_cause cause);

/* Frees a server and closes what it holds open. Not while it runs: stop and wait first.
 * server: the server, or NULL. Thread rule: the thread that owns it. */
TLSMSG_API void tlsmsg_server_free(struct tlsmsg_server *server);

#ifdef __cplusplus
}
#endif

#endif
