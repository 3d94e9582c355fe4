/* A storage engine that answers what a test has written down, the store on it, and all that the store
 * then tells: decisions, news, and what it asked of the engine.
 *
 * Fields of `script` are set before script_start or while the store's thread sleeps or waits in
 * a hook. Counts and lists of what happened are read under the same rule, or once the store is closed. */
#ifndef SUPPORT_SCRIPTED_ENGINE_H
#define SUPPORT_SCRIPTED_ENGINE_H

#include "store/internal.h"

#define SCRIPT_STEPS 64

/* What upkeep was asked for. */
struct script_step {
    int64_t before_ms;
    unsigned limit;
};

struct script_news {
    enum store_news news;
    char text[700];
};

struct script {
    struct store_backend base;
    struct store_backend_ops ops; /* a test may replace or clear some */

    /* The answers, one after the other; all zero: done. */
    enum tlsmsg_code proved;
    enum tlsmsg_code begun;
    enum store_promise promise;              /* what prove says */
    enum store_result appends[SCRIPT_STEPS]; /* the error of a failure says which it was */
    int promises[SCRIPT_STEPS];              /* of each append; -1 leaves it alone */
    enum store_result prunes[SCRIPT_STEPS];
    unsigned pruned_rows[SCRIPT_STEPS];
    enum store_result forgets[SCRIPT_STEPS];
    unsigned forgotten_rows[SCRIPT_STEPS];
    enum store_result rejoins[SCRIPT_STEPS];
    enum store_result tidies[SCRIPT_STEPS];
    uint64_t log_bytes[SCRIPT_STEPS];
    const char *warnings[SCRIPT_STEPS]; /* each is given once */
    const char *words;                  /* of what goes wrong; NULL: which step it was */
    bool tells_room;
    uint64_t room;
    void (*on_append)(const struct store_batch *batch); /* in each, before its answer; or NULL */
    void (*on_rejoin)(struct store_patience patience);
    void (*on_decided)(void);

    /* What it was asked for. */
    char run_name[64];
    char version[16];
    unsigned appended;
    size_t counts[SCRIPT_STEPS]; /* items of each append */
    bool took_new[SCRIPT_STEPS];
    int told_promises[SCRIPT_STEPS]; /* what the batch said before the answer */
    unsigned pruned;
    struct script_step prune_steps[SCRIPT_STEPS];
    unsigned forgot;
    struct script_step forget_steps[SCRIPT_STEPS];
    unsigned rejoined;
    unsigned tidied;
    unsigned warned;
    unsigned closed;
    bool closed_failed;

    /* What the store told. */
    struct store_decision decisions[512];
    unsigned workers[512];
    size_t decided;
    size_t turns;
    size_t failed_turns;
    struct script_news news[SCRIPT_STEPS];
    size_t told;
};

extern struct script script;

/* An engine that answers well, with nothing told yet; for cmocka's set-up. */
int script_reset(void **state);

/* Settings for two workers that nothing bounds, and whose news are listened to. */
struct store_settings script_settings(void);

/* Starts a store; it has to work. */
struct store *script_start(const struct store_settings *settings);

/* Puts a record. The first byte of its body says how the engine decides it: 't'aken, 'd'uplicate,
 * 'o'ther bytes, 'r'efused, 'n'o room, 'a'way; 'u': of a producer that has no number. */
void script_put(struct store *store, unsigned worker, uint64_t connection, uint64_t seq,
                const char *body);

/* Ends the worker's turn, which has so many parts, and waits until it is decided. */
void script_turn(struct store *store, unsigned worker, unsigned parts);

/* Waits for so many parts of turns in all. */
void script_await_turns(size_t turns);

/* The news, and how many there were; fails unless text and kind are those. */
void script_assert_news(size_t which, enum store_news news, const char *text);

#endif
