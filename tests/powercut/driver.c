/* Driver: a small server without a network. It stores messages by src/store and writes what a
 * client would be told, its promises, to descriptor 3:
 *
 *   P <producer> <seq>     the number is answered OK
 *   L <producer> <last>    the answer to a HELLO
 *   D <tag>                a message of the document's flow is answered
 *
 * With DRIVER_ROOM_STEP=BYTES the disk is full again and again: whenever something has no room, it is
 * given that many bytes, and what was not decided is sent again.
 *
 * driver STORE FROM TO SEED [FAULT]: each producer sends the numbers FROM to TO, as far as they lie
 * beyond what it is told that the store has, and the last few of those again. Exit 0, or 1 when
 * the store failed.
 *
 * FAULT plants one of the faults that the replay has to find. None of this is in what is shipped:
 * they sit in this program, around the store's backend and in calls that the linker sends here. */
#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/error.h"
#include "powercut/script.h"
#include "store/internal.h"
#include "store/spool.h"
#include "store/sqlite.h"
#include "store/sqlite_file.h"

#define PROMISES 3
#define WORKERS 2
#define CHECKPOINT_PAGES 60
#define AGAIN 2 /* numbers that are sent again after a HELLO */

static const char *fault = "";
static sqlite3 *database; /* for the planted faults */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t decided_one = PTHREAD_COND_INITIALIZER;
static unsigned open_turns;
static bool has_failed;
static uint64_t last_of[SCRIPT_PRODUCERS];
static uint64_t undecided[SCRIPT_PRODUCERS + 1]; /* the lowest number that came back so; 0: none */
static uint64_t room_step;
static unsigned times_full;

static bool is_planted(const char *name)
{
    return strcmp(fault, name) == 0;
}

static void promise(const char *kind, const char *name, uint64_t number)
{
    char line[128];
    int len = snprintf(line, sizeof(line), "%s %s %" PRIu64 "\n", kind, name, number);

    if (write(PROMISES, line, (size_t)len) != len) {
        abort();
    }
}

static void promise_one(unsigned producer, uint64_t number)
{
    promise(producer == SCRIPT_PRODUCERS ? "D" : "P", script_producer(producer), number);
}

/* tag: producer and number. */
#define TAG(producer, number) ((uint64_t)(producer) << 56 | (number))

static void decided(void *user, unsigned worker, const struct store_decision *decisions,
                    size_t count, bool failed)
{
    size_t i;

    (void)user;
    (void)worker;
    for (i = 0; i < count && !failed; i++) {
        unsigned producer = (unsigned)(decisions[i].tag >> 56);
        uint64_t number = decisions[i].tag & UINT64_C(0xFFFFFFFFFFFFFF);

        if (decisions[i].verdict != STORE_TAKEN && decisions[i].verdict != STORE_DUPLICATE) {
            (void)pthread_mutex_lock(&lock);
            if (undecided[producer] == 0 || number < undecided[producer]) {
                undecided[producer] = number;
            }
            (void)pthread_mutex_unlock(&lock);
            continue;
        }
        if (number == 0) {
            last_of[producer] = decisions[i].last;
            promise("L", script_producer(producer), decisions[i].last);
        } else if (!is_planted("reply-before-commit")) {
            promise_one(producer, number);
        }
    }
    (void)pthread_mutex_lock(&lock);
    open_turns--;
    has_failed |= failed;
    (void)pthread_cond_signal(&decided_one);
    (void)pthread_mutex_unlock(&lock);
}

static void tell(void *user, enum store_news news, const char *text)
{
    (void)user;
    (void)news;
    (void)fprintf(stderr, "driver: %s\n", text);
}

/* ---- planted faults ---- */

int __real_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement);
int __real_sqlite3_open_v2(const char *path, sqlite3 **db, int flags, const char *vfs);
int __wrap_sqlite3_open_v2(const char *path, sqlite3 **db, int flags, const char *vfs);
int __real_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *log, int *done);
int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *log, int *done);

enum tlsmsg_code __real_sqlite_file_rewrite_log(const struct sqlite_file *file,
                                                struct tlsmsg_error *err);
enum tlsmsg_code __wrap_sqlite_file_rewrite_log(const struct sqlite_file *file,
                                                struct tlsmsg_error *err);

/* "commit-again": COMMIT tried again after an error, and what it then says believed. */
int __wrap_sqlite3_step(sqlite3_stmt *statement)
{
    int result = __real_sqlite3_step(statement);

    if (is_planted("commit-again") && (result & 0xFF) == SQLITE_IOERR &&
        strcmp(sqlite3_sql(statement), "COMMIT") == 0) {
        (void)sqlite3_reset(statement);
        result = __real_sqlite3_step(statement);
        return result == SQLITE_ERROR ? SQLITE_DONE : result;
    }
    return result;
}

int __wrap_sqlite3_open_v2(const char *path, sqlite3 **db, int flags, const char *vfs)
{
    int result = __real_sqlite3_open_v2(path, db, flags, vfs);

    database = *db;
    return result;
}

/* "no-recovery": what a crash has left in the log stays there, as it is. */
int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *log, int *done)
{
    if (is_planted("no-recovery") && mode == SQLITE_CHECKPOINT_TRUNCATE) {
        return SQLITE_OK;
    }
    return __real_sqlite3_wal_checkpoint_v2(db, name, mode, log, done);
}

/* "no-rewrite": what a failed sync has left in the machine's memory is taken for the log. */
enum tlsmsg_code __wrap_sqlite_file_rewrite_log(const struct sqlite_file *file,
                                                struct tlsmsg_error *err)
{
    return is_planted("no-rewrite") || is_planted("no-recovery")
               ? TLSMSG_OK
               : __real_sqlite_file_rewrite_log(file, err);
}

/* "normal": set once the settings were proved. */
static void plant_normal(void)
{
    if (is_planted("normal") &&
        sqlite3_exec(database, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL) != SQLITE_OK) {
        abort();
    }
}

/* "early-listening": clients are answered from what is visible, before the run's first commit. */
static void plant_early_listening(const char *path)
{
    sqlite3 *db;
    sqlite3_stmt *statement;

    if (!is_planted("early-listening") ||
        sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
        return;
    }
    if (sqlite3_prepare_v2(db, "SELECT name, seq FROM producer WHERE name LIKE 'p%'", -1,
                           &statement, NULL) == SQLITE_OK) {
        while (sqlite3_step(statement) == SQLITE_ROW) {
            promise("L", (const char *)sqlite3_column_text(statement, 0),
                    (uint64_t)sqlite3_column_int64(statement, 1));
        }
        (void)sqlite3_finalize(statement);
    }
    /* Its own end must not do what the server's start has to. */
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_close(db);
}

/* ---- the work ---- */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void put(struct store *store, unsigned worker, unsigned producer, uint64_t seq)
{
    static char body[SCRIPT_BODY_MAX];
    unsigned char hash[SCRIPT_HASH_BYTES];
    bool is_numbered = producer < SCRIPT_PRODUCERS;
    struct store_record record = {.producer = is_numbered ? script_producer(producer) : NULL,
                                  .seq = is_numbered ? seq : 0,
                                  .hash = is_numbered ? hash : NULL,
                                  .connection = producer + 1,
                                  .peer = "127.0.0.1:1",
                                  .body = body,
                                  .tag = TAG(producer, seq)};

    script_hash(producer, seq, hash);
    record.len = script_body(producer, seq, body);
    if (store_put(store, worker, &record) != TLSMSG_OK) {
        abort();
    }
    if (is_planted("reply-before-commit")) {
        promise_one(producer, seq);
    }
}

/* Counted before it is handed over: it may be decided at once. */
static void end_turn(struct store *store, unsigned worker)
{
    (void)pthread_mutex_lock(&lock);
    open_turns++;
    (void)pthread_mutex_unlock(&lock);
    if (store_turn_end(store, worker) == 0) {
        (void)pthread_mutex_lock(&lock);
        open_turns--;
        (void)pthread_mutex_unlock(&lock);
    }
    store_hand_over(store, worker);
}

/* Waits until at most `most` turns are undecided. False: the store failed. */
static bool settle(unsigned most)
{
    bool failed;

    (void)pthread_mutex_lock(&lock);
    while (open_turns > most && !has_failed) {
        (void)pthread_cond_wait(&decided_one, &lock);
    }
    failed = has_failed;
    (void)pthread_mutex_unlock(&lock);
    return !failed;
}

/* The recorder's: bounds what the files may hold to so many bytes more than now. */
static void give_room(uint64_t bytes)
{
    void (*add)(uint64_t) = (void (*)(uint64_t))dlsym(RTLD_DEFAULT, "powercut_add_room");

    if (add == NULL) {
        abort();
    }
    add(bytes);
}

/* Sends again what had no room, once there is a little more. False: there was no such reason. */
static bool go_back(uint64_t *next, uint64_t to, unsigned *left)
{
    bool was_full = false;
    unsigned i;

    (void)pthread_mutex_lock(&lock);
    for (i = 0; i <= SCRIPT_PRODUCERS; i++) {
        if (undecided[i] != 0) {
            *left += next[i] > to;
            next[i] = undecided[i];
            undecided[i] = 0;
            was_full = true;
        }
    }
    (void)pthread_mutex_unlock(&lock);
    if (was_full && room_step > 0) {
        times_full++;
        give_room(room_step);
    }
    return !was_full || room_step > 0;
}

static void ask(struct store *store, unsigned producer)
{
    struct store_record record = {
        .producer = script_producer(producer), .connection = producer + 1, .tag = TAG(producer, 0)};

    if (store_put(store, 0, &record) != TLSMSG_OK) {
        abort();
    }
}

static bool work(struct store *store, uint64_t from, uint64_t to, uint64_t seed)
{
    uint64_t next[SCRIPT_PRODUCERS + 1];
    unsigned left = SCRIPT_PRODUCERS + 1;
    unsigned i;

    for (i = 0; i < SCRIPT_PRODUCERS; i++) {
        ask(store, i);
    }
    end_turn(store, 0);
    if (!settle(0)) {
        return false;
    }
    for (i = 0; i < SCRIPT_PRODUCERS; i++) {
        next[i] = last_of[i] > AGAIN ? last_of[i] - AGAIN + 1 : 1;
    }
    next[SCRIPT_PRODUCERS] = from;
    for (;;) {
        unsigned worker = (unsigned)(next_random(&seed) % WORKERS);
        uint64_t many = 1 + next_random(&seed) % 8;

        if (!settle(room_step > 0 || left == 0 ? 0 : 1)) {
            return false;
        }
        if (!go_back(next, to, &left)) {
            return false;
        }
        if (left == 0) {
            return true;
        }
        for (; many > 0 && left > 0; many--) {
            unsigned producer = (unsigned)(next_random(&seed) % (SCRIPT_PRODUCERS + 1));

            /* A producer's records all go by one worker, as a connection's do. */
            while (next[producer] > to) {
                producer = (producer + 1) % (SCRIPT_PRODUCERS + 1);
            }
            if (producer % WORKERS != worker) {
                end_turn(store, worker);
                worker = producer % WORKERS;
            }
            put(store, worker, producer, next[producer]);
            left -= next[producer]++ == to;
        }
        end_turn(store, worker);
    }
}

/* Now and then a server has answered some. That they may be gone is told before they are. */
static bool let_leave(struct spool *spool, uint64_t *seed, struct tlsmsg_error *err)
{
    uint64_t last = spool_last(spool);
    uint64_t waiting = next_random(seed) % 12;

    if (next_random(seed) % 3 != 0 || last <= waiting) {
        return true;
    }
    promise("G", script_producer(SCRIPT_PRODUCERS), last - waiting);
    return spool_answered(spool, last - waiting, err) == TLSMSG_OK;
}

/* A client's spool in the server's place ("spool"): what it says that it keeps is promised, until it
 * was answered. */
static int keep_in_spool(const char *path, uint64_t count, uint64_t seed)
{
    static char bodies[8][SCRIPT_BODY_MAX];
    unsigned char hashes[8][SCRIPT_HASH_BYTES];
    struct spool_message messages[8];
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct spool *spool;
    uint64_t many;
    uint64_t i;

    if (spool_open(path, "0", &spool, &err) != TLSMSG_OK) {
        (void)fprintf(stderr, "driver: %s\n", err.text);
        return 1;
    }
    for (; count > 0; count -= many) {
        many = 1 + next_random(&seed) % (count < 8 ? count : 8);
        for (i = 0; i < many; i++) {
            uint64_t number = spool_last(spool) + 1 + i;

            script_hash(SCRIPT_PRODUCERS, number, hashes[i]);
            messages[i] = (struct spool_message){
                .body = bodies[i],
                .len = script_body(SCRIPT_PRODUCERS, number, bodies[i]),
                .hash = hashes[i],
            };
        }
        if (spool_keep(spool, messages, many, true, &err) != TLSMSG_OK) {
            (void)fprintf(stderr, "driver: %s\n", err.text);
            break;
        }
        for (i = 0; i < many; i++) {
            promise_one(SCRIPT_PRODUCERS, messages[i].number);
        }
        if (!let_leave(spool, &seed, &err)) {
            (void)fprintf(stderr, "driver: %s\n", err.text);
            break;
        }
    }
    spool_close(spool);
    return count == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct store_settings settings = {
        .version = "0", .workers = WORKERS, .decided = decided, .tell = tell, .timeout_ms = 1000};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct store_backend *backend;
    struct store *store;
    bool is_good;

    if (argc < 5) {
        return 2;
    }
    fault = argc > 5 ? argv[5] : "";
    if (is_planted("spool")) {
        return keep_in_spool(argv[1], strtoull(argv[3], NULL, 10) - strtoull(argv[2], NULL, 10) + 1,
                             strtoull(argv[4], NULL, 10) * 7919 + 1);
    }
    plant_early_listening(argv[1]);
    if (sqlite_backend_open(argv[1], CHECKPOINT_PAGES, &backend, &err) != TLSMSG_OK ||
        store_start(&settings, backend, &store, &err) != TLSMSG_OK) {
        (void)fprintf(stderr, "driver: %s\n", err.text);
        return 1;
    }
    plant_normal();
    if (getenv("DRIVER_ROOM_STEP") != NULL) {
        room_step = strtoull(getenv("DRIVER_ROOM_STEP"), NULL, 10);
        give_room(room_step);
    }
    is_good = work(store, strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10),
                   strtoull(argv[4], NULL, 10) * 7919 + 1);
    store_close(store);
    (void)fprintf(stderr, "driver: the disk was full %u times\n", times_full);
    return is_good ? 0 : 1;
}
