/* What a storage engine gives to the commit thread. A file for each engine; all calls come from one
 * thread at a time.
 *
 * Errors come in three kinds. "No room": nothing of the batch was written, and that is proved.
 * "Away": the engine can't be reached; whether the batch was written is unknown, and the same
 * keys are sent again, which never doubles. "Failed": what was written can't be trusted any more,
 * nothing is tried again, and the server ends. */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include "store/store.h"

enum store_result {
    STORE_RESULT_DONE,
    STORE_RESULT_NO_ROOM,
    STORE_RESULT_AWAY,
    STORE_RESULT_FAILED
};

/* A record as the commit thread holds it. */
struct store_item {
    struct store_item *next;
    const char *identity; /* "": none */
    const char *producer;
    const char *peer;
    const unsigned char *hash; /* NULL: none */
    const char *body;
    size_t body_len;
    size_t bytes;     /* all of it */
    uint64_t seq;     /* 0: a question */
    uint64_t follows; /* the backend's own: the number before it of its producer */
    uint64_t connection;
    uint64_t tag;
    int64_t time_ms; /* when it came, UTC */
    bool jumps;
    enum store_verdict verdict; /* the backend's answer */
    uint64_t last;              /* the backend's answer */
};

/* How long an engine may be waited for. Asked several times a second. */
struct store_patience {
    bool (*has_ended)(void *user); /* NULL: never */
    void *user;
};

struct store_batch {
    struct store_item **items;
    size_t count;
    bool take_new; /* false: only duplicates and questions are decided; a new message has no room */
    struct store_patience patience;
    enum store_promise promise; /* the backend's answer, where it can change while it is open */
};

struct store_backend;

struct store_backend_ops {
    /* Proves that what was asked of the engine is what it does. TLSMSG_OK or a cause. */
    enum tlsmsg_code (*prove)(struct store_backend *backend, enum store_promise *promise,
                              struct tlsmsg_error *err);

    /* Commits a row of this run, after all that was visible has become durable. */
    enum tlsmsg_code (*begin_run)(struct store_backend *backend, const char *name,
                                  const char *version, struct tlsmsg_error *err);

    /* Decides a batch in one transaction, hashes compared inside it: sets verdict and last of each
     * item. After STORE_RESULT_DONE all of it is durable; a transaction that met a producer with a
     * last number has written, be it its `seen` alone, and so has waited for the disk. */
    enum store_result (*append)(struct store_backend *backend, struct store_batch *batch,
                                struct tlsmsg_error *err);

    /* After STORE_RESULT_AWAY, every second while nothing is to be appended: brings in order what was
     * left undone, so that nobody else waits for it. STORE_RESULT_DONE: the engine is back. NULL:
     * nothing is ever left. */
    enum store_result (*rejoin)(struct store_backend *backend, struct store_patience patience,
                                struct tlsmsg_error *err);

    /* What is to be told once; false: nothing. NULL: there never is anything. */
    bool (*warn)(struct store_backend *backend, char *text, size_t cap);

    /* Bytes that can still be written. False: the engine doesn't tell. */
    bool (*room)(struct store_backend *backend, uint64_t *bytes);

    /* Deletes the oldest messages up to a time, at most limit of them. *deleted: 0 means that no
     * more is due. */
    enum store_result (*prune)(struct store_backend *backend, int64_t before_ms, unsigned limit,
                               unsigned *deleted, struct tlsmsg_error *err);

    /* Forgets up to limit producers of one program's life ('~') not seen since a time. */
    enum store_result (*forget)(struct store_backend *backend, int64_t before_ms, unsigned limit,
                                unsigned *forgotten, struct tlsmsg_error *err);

    /* After each batch: moves what was logged to its place. log_bytes: what the log holds now. */
    enum store_result (*tidy)(struct store_backend *backend, uint64_t *log_bytes,
                              struct tlsmsg_error *err);

    /* failed: nothing may be written any more. */
    void (*close)(struct store_backend *backend, bool failed);
};

struct store_backend {
    const struct store_backend_ops *ops;
};

#endif
