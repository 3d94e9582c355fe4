/* A play on one server and a few raw peers, in steps, on one thread.
 *
 * Each step is a function that waits for what it needs and then does
 * something, so a test reads as what happens in which order. A step that
 * waits for what never comes leaves the worker stuck, which fails the test. */
#ifndef SUPPORT_SCENE_H
#define SUPPORT_SCENE_H

#include "support/raw_peer.h"
#include "support/stepped_worker.h"

#define SCENE_PEERS 3
#define SCENE_MESSAGES 512
#define SCENE_TOKENS 128
#define SCENE_TOLD_BYTES 8192
#define SCENE_REPLY "你好，我已收到你的消息："

struct scene;

/* Returns false where it must wait; it is called again when something has moved. */
typedef bool scene_step(struct scene *scene);

struct scene {
    struct tlsmsg_server *server;
    struct raw_peer *peers; /* SCENE_PEERS of them */
    unsigned peer_count;    /* begun */
    scene_step *const *steps;
    size_t step_count;
    size_t at;
    scene_step *always; /* called where the worker waits, before the peers move; or NULL */
    scene_step *after;  /* ... and after they have moved; or NULL */
    void *user;
    int64_t wait_ms; /* of scene_time_passes */
    int64_t waiting_since_ns;

    /* What the handler saw. */
    unsigned connected;
    unsigned closed;
    unsigned messages;
    struct tlsmsg_token last_message;
    uint64_t senders[SCENE_MESSAGES]; /* connection of each message */
    enum tlsmsg_close_reason last_how;
    unsigned ends[TLSMSG_CLOSE_COUNT]; /* by how */
    unsigned events[TLSMSG_CAUSE_COUNT];
    /* Events and ends, a line each: "warning limit 1: TEXT", "closed 1: clean, 2 messages". */
    char told[SCENE_TOLD_BYTES];

    /* What it does. */
    uint64_t defer;       /* messages of this connection are answered later */
    bool replies_itself;  /* the others by the handler, with the default reply's text */
    scene_step *turn_end; /* called in turn_end(), before its answer; or NULL */
    void (*leaves)(void); /* called where any of its functions ends; or NULL */
    unsigned hold;        /* turns to hold from now on */
    unsigned holds;       /* not yet ended */
    struct tlsmsg_token tokens[SCENE_TOKENS];
    size_t token_count;
};

/* What all scenes of a test program share; cmocka's group fixtures. */
int scene_setup(void **state);
int scene_teardown(void **state);

/* A server for scenes, from pairs of option and value ended by TLSMSG_OPT_COUNT. Fails the test
 * where there can't be one. */
struct tlsmsg_server *scene_server_new(enum tlsmsg_option option, ...);

/* The same with another handler, such as scene_handler's with a function more. */
struct tlsmsg_server *scene_server_with(const struct tlsmsg_handler *handler,
                                        enum tlsmsg_option option, ...);

/* Begins; peers: an array of SCENE_PEERS. The handler of scene_handler is the server's. */
void scene_init(struct scene *scene, struct tlsmsg_server *server, struct raw_peer *peers);
void scene_fini(struct scene *scene);

/* Makes the server's worker as new and begins. */
void scene_begin(struct scene *scene, struct tlsmsg_server *server, struct raw_peer *peers);

/* All is given back now that the worker has come to its end; then as scene_fini. */
void scene_finish(struct scene *scene);

/* The handler of servers in scenes; it finds the scene that is on. */
const struct tlsmsg_handler *scene_handler(void);

/* Plays the steps, then closes what is open and runs the worker to its end. */
enum stepped_end scene_play(struct scene *scene, scene_step *const *steps, size_t count,
                            int patience_ms);

/* The next peer begins: a pair of sockets, or fd where it is not negative. False: the server didn't
 * take it. */
bool scene_enter(struct scene *scene, int fd);

/* The same over TCP, where a reset is a reset. */
bool scene_enter_by_tcp(struct scene *scene);

/* Says a text as one message; false where it can not be said. */
bool scene_say(struct raw_peer *p, const char *text);

/* True when the last step was done: a worker whose conversations are over ends before that. */
bool scene_was_played(const struct scene *scene);

/* A step: wait_ms pass in which nobody says anything. For deadlines alone. */
bool scene_time_passes(struct scene *scene);

/* Steps: the first peer's handshake is done; it is gone without a word; the server begins to stop. */
bool scene_is_open(struct scene *scene);
bool scene_cut(struct scene *scene);
bool scene_stop(struct scene *scene);

/* A step: nothing was told, and no conversation has ended. Where nobody has anything to do, that is
 * how it stays. */
bool scene_told_nothing(struct scene *scene);

/* A peer's conversation, NULL where it has none any more. */
struct conversation *scene_conversation(const struct scene *scene, unsigned peer);

/* The replies to these messages, and nothing else, are what the peer has heard. */
bool scene_heard(const struct raw_peer *p, const char *const *texts, size_t count);

/* No more will come. */
bool scene_is_over(const struct raw_peer *p);

/* Ends the oldest hold; false where there is none. */
bool scene_release(struct scene *scene);

/* Bytes of replies that wait in the conversation of a peer (from 0), 0 where it is gone. */
size_t scene_queued(const struct scene *scene, unsigned peer);

/* Of very many like cases every how manieth is to be tried: TLSMSG_TEST_STRIDE, or 1. */
unsigned long scene_stride(void);

#endif
