/* Options of a server or a client.
 *
 * One opaque object, filled by setters and copied by whoever is created from
 * it, so that the caller frees it at any time afterwards. Each value is
 * checked when it is set; what concerns several options together, and the
 * files that they name, is checked by tlsmsg_server_new and
 * tlsmsg_client_new. Keys carry the names of the programs' long options.
 */
#ifndef TLSMSG_OPTIONS_H
#define TLSMSG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <tlsmsg/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tlsmsg_options;

enum tlsmsg_role { TLSMSG_ROLE_SERVER, TLSMSG_ROLE_CLIENT };

/* S: server, C: client, T: TLS build only. "list" may be set more than once. */
enum tlsmsg_option {
    TLSMSG_OPT_LISTEN,            /* S  list: [HOST:]PORT */
    TLSMSG_OPT_ADDRESS,           /* C  HOST[:PORT] */
    TLSMSG_OPT_CERT,              /* SCT list: file with the chain, leaf first (PEM) */
    TLSMSG_OPT_KEY,               /* SCT list: file with the key of the certificate set before it */
    TLSMSG_OPT_KEY_PASSWORD_FILE, /* SCT file whose first line decrypts the keys */
    TLSMSG_OPT_CLIENT_CA,         /* ST file: CAs; then a client certificate is required */
    TLSMSG_OPT_CA,                /* CT file: CAs to trust instead of the system's */
    TLSMSG_OPT_CRL,               /* SCT file: revocation lists */
    TLSMSG_OPT_ALLOW,             /* ST list: identity of a client that may talk */
    TLSMSG_OPT_ALLOW_FILE,        /* ST file: such identities, one a line */
    TLSMSG_OPT_PIN,               /* CT list: sha256//BASE64 of the server's key (SPKI) */
    TLSMSG_OPT_TRUST_ON_FIRST_USE, /* CT flag */
    TLSMSG_OPT_ACCEPT_NEW,         /* CT flag: record an unknown server without asking */
    TLSMSG_OPT_KNOWN_SERVERS,      /* CT file of first-use records */
    TLSMSG_OPT_SERVER_NAME,        /* CT name to ask for and to verify */
    TLSMSG_OPT_TLS_MIN,            /* SCT 1.2 or 1.3 */
    TLSMSG_OPT_TICKET_KEYS,        /* ST file with the keys that encrypt session tickets */
    TLSMSG_OPT_KEYLOG_FILE,        /* SCT file that session secrets are appended to */
    TLSMSG_OPT_PAD,                /* SCT bytes: TLS 1.3 records are padded to a multiple */
    TLSMSG_OPT_ACCEPT,             /* S  conversations to serve, 0 = no end */
    TLSMSG_OPT_WORKERS,            /* S  threads, 0 = one per processor */
    TLSMSG_OPT_REPLY,              /* S  template with {message} exactly once */
    TLSMSG_OPT_RECV_SIZE,          /* S  bytes, 1 to 16384 */
    TLSMSG_OPT_MAX_CONNECTIONS,    /* S  0 = from the descriptor limit */
    TLSMSG_OPT_MAX_PER_ADDRESS,    /* S  0 = no limit */
    TLSMSG_OPT_MAX_HANDSHAKES,     /* S  at once, 0 = no limit */
    TLSMSG_OPT_HANDSHAKE_RATE,     /* S  per address and second, 0 = no limit */
    TLSMSG_OPT_HANDSHAKE_TIMEOUT,  /* ST seconds, decimal allowed; 0 = none; so the next six */
    TLSMSG_OPT_IDLE_TIMEOUT,       /* S  */
    TLSMSG_OPT_WRITE_TIMEOUT,      /* S  */
    TLSMSG_OPT_DRAIN_TIMEOUT,      /* S  */
    TLSMSG_OPT_TIMEOUT,       /* C  to connect with the handshake, and under TLS for each reply */
    TLSMSG_OPT_REPLY_TIMEOUT, /* C  for each reply, where it is to differ; in plaintext unset: none */
    TLSMSG_OPT_MAX_MESSAGE,   /* ST bytes of a numbered message, 1 to 64 MiB */
    TLSMSG_OPT_WINDOW,       /* SCT numbered messages that may be unanswered; a client's: at most */
    TLSMSG_OPT_MAX_BUFFERED, /* S  bytes held because of messages, altogether; 1 MiB or more */
    TLSMSG_OPT_KEEPALIVE, /* SC seconds after which a peer that vanished is given up; 0 = never */
    TLSMSG_OPT_DOCUMENT_FLOW, /* CT flag: don't offer tlsmsg/1 */
    TLSMSG_OPT_PRODUCER, /* CT name under which the server knows this client's numbers; "~": one that
                          * the library makes, for reconnects of this client alone */
    TLSMSG_OPT_COUNT
};

/* The name of an option as the programs' command lines have it, such as "handshake-timeout", for a
 * program with a command line or a configuration file of its own.
 * option: any key. Returns a static text; NULL for a value that is not a key. The operand of
 * TLSMSG_OPT_ADDRESS is called "address". Thread rule: any thread; never blocks. */
TLSMSG_API const char *tlsmsg_option_name(enum tlsmsg_option option);

/* Makes an option object with the defaults of a role and of this build.
 * role: whose options; out: receives the object, owned by the caller;
 * err: receives the cause, or NULL.
 * Returns TLSMSG_OK or TLSMSG_ERR_NOMEM. Thread rule: any thread; never blocks. */
TLSMSG_API enum tlsmsg_code tlsmsg_options_new(enum tlsmsg_role role, struct tlsmsg_options **out,
                                               struct tlsmsg_error *err);

/* Frees an option object.
 * options: the object, or NULL. Thread rule: the thread that owns options; never blocks. */
TLSMSG_API void tlsmsg_options_free(struct tlsmsg_options *options);

/* Sets one option from text, or adds one value to a list.
 * options: the object; option: the key; value: NUL-terminated text as on the
 * programs' command line ("1" or "0" for a flag), copied; err: receives the cause, or NULL.
 * Returns TLSMSG_OK; TLSMSG_ERR_CONFIG when the value is out of its range,
 * the option belongs to the other role, or it needs TLS and this is the
 * plaintext build; TLSMSG_ERR_NOMEM. On failure nothing was changed.
 * Thread rule: one thread at a time per object; never blocks. */
TLSMSG_API enum tlsmsg_code tlsmsg_options_set(struct tlsmsg_options *options,
                                               enum tlsmsg_option option, const char *value,
                                               struct tlsmsg_error *err);

/* Sets a numeric option: counts and bytes as they are, times in milliseconds.
 * options: the object; option: a key of a numeric option; number: the value;
 * err: receives the cause, or NULL.
 * Returns as tlsmsg_options_set. Thread rule: one thread at a time per object; never blocks. */
TLSMSG_API enum tlsmsg_code tlsmsg_options_set_number(struct tlsmsg_options *options,
                                                      enum tlsmsg_option option, int64_t number,
                                                      struct tlsmsg_error *err);

/* Hands a socket that listens already, such as one a service manager passed, to a server. Where
 * one is handed over and TLSMSG_OPT_LISTEN is unset, the default address isn't listened on.
 * options: a server's; fd: a listening TCP socket, borrowed until tlsmsg_server_new, which takes a
 * duplicate of its own; err: receives the cause, or NULL.
 * Returns TLSMSG_OK; TLSMSG_ERR_CONFIG when fd is not a listening TCP socket or options are a
 * client's; TLSMSG_ERR_LIMIT over 32. Thread rule: one thread at a time per object; never blocks. */
TLSMSG_API enum tlsmsg_code tlsmsg_options_add_listener(struct tlsmsg_options *options, int fd,
                                                        struct tlsmsg_error *err);

/* A server whose key is not recorded yet. All of it is borrowed for the call, and what is the server's
 * is escaped. */
struct tlsmsg_new_server {
    size_t size; /* sizeof(struct tlsmsg_new_server) of the library: it can grow at its end */
    const char
        *question; /* in English, one screen that ends with "?" and doesn't say how to answer */
    const char *server; /* as it was asked for: "localhost:12345" */
    const char *pin;    /* of its key: "sha256//..." */
    const char *names;  /* in its certificate */
    const char *until;  /* when that ends: "2027-12-28" */
};

/* Asks the user whether an unknown server's key is to be trusted from now on. It may take its time:
 * the connection by which the key was seen is over, and no handshake waits.
 * server: what there is to know, for a question of the program's own or the one in it;
 * user: as registered.
 * Returns true to connect again, hold the server to this very key and record it, false to refuse. */
typedef bool tlsmsg_confirm_fn(const struct tlsmsg_new_server *server, void *user);

/* Asks the user for the password of an encrypted key.
 * file: the key's file; buf: receives at most cap - 1 bytes and a NUL; user: as registered.
 * Returns false where there is no way to ask. The library wipes buf after use. */
typedef bool tlsmsg_ask_password_fn(const char *file, char *buf, size_t cap, void *user);

/* Opens the key log in the library's place, as open(2) would with O_WRONLY, O_APPEND, O_CREAT,
 * O_NOFOLLOW and mode 0600.
 * path: as TLSMSG_OPT_KEYLOG_FILE has it; user: as registered.
 * Returns a descriptor, which the library closes, or -1 with errno. */
typedef int tlsmsg_open_keylog_fn(const char *path, void *user);

/* Registers who is asked about unknown servers (clients with
 * TLSMSG_OPT_TRUST_ON_FIRST_USE). Without it, and without TLSMSG_OPT_ACCEPT_NEW, an unknown server is refused.
 * options: the object; confirm: called by tlsmsg_client_connect on the
 * caller's thread, or NULL; user: passed to it, borrowed until the client is freed.
 * Thread rule: one thread at a time per object; never blocks. */
TLSMSG_API void tlsmsg_options_set_confirm(struct tlsmsg_options *options,
                                           tlsmsg_confirm_fn *confirm, void *user);

/* Registers who is asked for the password of an encrypted key.
 * options: the object; ask: called by tlsmsg_server_new, tlsmsg_server_reload
 * or tlsmsg_client_new on the caller's thread, or NULL; user: passed to it, borrowed.
 * Thread rule: one thread at a time per object; never blocks. */
TLSMSG_API void tlsmsg_options_set_ask_password(struct tlsmsg_options *options,
                                                tlsmsg_ask_password_fn *ask, void *user);

/* Tells whose the process will be once it serves, where root starts it and gives itself up later:
 * what is made by name before that, the key log, is made that user's, and must be where it is there.
 * options: the object; uid, gid: the user's and the group's numbers; the process's own without it.
 * Thread rule: one thread at a time per object; never blocks. */
TLSMSG_API void tlsmsg_options_set_owner(struct tlsmsg_options *options, uid_t uid, gid_t gid);

/* Registers who opens the key log, for a process that may open no file by name any more and has
 * another one do it. What comes of it must be as a file that the library opens: regular, of the user
 * that serves, of mode 0600 and with one name.
 * options: the object; open_keylog: called by tlsmsg_server_new, tlsmsg_server_reload or
 * tlsmsg_client_new on the caller's thread, or NULL: the library opens it; user: passed to it,
 * borrowed.
 * Thread rule: one thread at a time per object; never blocks. */
TLSMSG_API void tlsmsg_options_set_open_keylog(struct tlsmsg_options *options,
                                               tlsmsg_open_keylog_fn *open_keylog, void *user);

/* How many values an option has: 0 or 1 for a text, more for a list, 0 for a number. A default
 * counts. For TLSMSG_OPT_KEY it is the index of the last key and 1 more.
 * options: the object; option: any key.
 * Returns the count. Thread rule: any thread while no other changes options; never blocks. */
TLSMSG_API size_t tlsmsg_options_count(const struct tlsmsg_options *options,
                                       enum tlsmsg_option option);

/* One value of a text or a list, or its default where it is unset.
 * options: the object; option: any key; i: 0 for a text, 0 or more for a list; for
 * TLSMSG_OPT_KEY the index of its certificate.
 * Returns the text, borrowed from options until the option is set again; NULL past the last, where
 * there is no default, for a number, and for a key that its certificate's file holds.
 * Thread rule: any thread while no other changes options; never blocks. */
TLSMSG_API const char *tlsmsg_options_text(const struct tlsmsg_options *options,
                                           enum tlsmsg_option option, size_t i);

/* A number as the library uses it, or its default in this build where it is unset: times in
 * milliseconds, a flag as 0 or 1, TLSMSG_OPT_TLS_MIN as 12 or 13.
 * options: the object; option: any key.
 * Returns the number; 0 for texts and lists.
 * Thread rule: any thread while no other changes options; never blocks. */
TLSMSG_API int64_t tlsmsg_options_number(const struct tlsmsg_options *options,
                                         enum tlsmsg_option option);

/* Tells an option that was set from one that has its default.
 * options: the object; option: any key.
 * Returns true where it was set. Thread rule: any thread while no other changes options; never
 * blocks. */
TLSMSG_API bool tlsmsg_options_is_set(const struct tlsmsg_options *options,
                                      enum tlsmsg_option option);

#ifdef __cplusplus
}
#endif

#endif
