/* Replay: builds, after each event of a recording, the disks that a power cut could leave, gives
 * each to the store's own recovery, and looks for every promise made before the cut: there, once,
 * whole.
 *
 * replay LOG FOLDER STORE [--every N] [--random N] [--live DIR]
 *   FOLDER    where disks are built; emptied again and again
 *   STORE     the store's name in it
 *   --every   looks at each Nth event (and at each sync and run of promises): 1
 *   --random  how many of each kind of disk that is drawn: 1
 *   --live DIR  the recorded folder itself: must hold what the recording says
 *   --spool 1   it is a client's spool: what was promised of "document" was kept, and with
 *               "G document N" all up to N may have left; no number may be free that was promised
 *
 * Prints a line of figures. Exit 0: all promises kept; 1: one was broken, with what broke it. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "powercut/disk.h"
#include "powercut/script.h"
#include "store/spool.h"
#include "store/store.h"

#define DOCUMENT_MAX 65536
#define FAULTS_SHOWN 5

/* What was promised up to an event. */
struct promises {
    uint64_t last[SCRIPT_PRODUCERS]; /* all numbers up to it */
    bool document[DOCUMENT_MAX];
    uint64_t document_top;
    uint64_t gone; /* from a spool may have left all up to it */
    unsigned count;
};

struct replay {
    const char *log;
    size_t log_len;
    const char *folder;
    const char *live;
    bool is_spool;
    char path[4096];
    unsigned every;
    unsigned draws;
    struct promises promises;
    unsigned disks;
    unsigned faults;
};

static struct {
    uint64_t *hashes;
    size_t capacity;
} seen;

/* True when that disk was looked at already, with the same promises. */
static bool was_seen(uint64_t hash, unsigned promises)
{
    size_t i;

    hash = (hash ^ promises) * UINT64_C(0x9E3779B97F4A7C15) | 1;
    for (i = hash % seen.capacity; seen.hashes[i] != 0; i = (i + 1) % seen.capacity) {
        if (seen.hashes[i] == hash) {
            return true;
        }
    }
    seen.hashes[i] = hash;
    return false;
}

static void ignore(void *user, unsigned worker, const struct store_decision *decisions,
                   size_t count, bool failed)
{
    (void)user;
    (void)worker;
    (void)decisions;
    (void)count;
    (void)failed;
}

/* What the server does at its start. */
static bool recover(const char *path, char *why, size_t cap)
{
    struct store_settings settings = {
        .target = path, .version = "0", .workers = 1, .decided = ignore};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct store *store;

    if (store_open(&settings, &store, &err) != TLSMSG_OK) {
        (void)snprintf(why, cap, "the store can't be opened: %s", err.text);
        return false;
    }
    store_close(store);
    return true;
}

/* What a client does at its start, and what it then has: all that waits, and which number is next. */
static bool recover_spool(const char *path, const struct promises *promises, char *why, size_t cap)
{
    static char body[SCRIPT_BODY_MAX];
    unsigned char hash[SCRIPT_HASH_BYTES];
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct spool_message message = {.number = 0};
    uint64_t at = promises->gone;
    struct spool *spool;
    bool is_good;

    if (spool_open(path, "0", &spool, &err) != TLSMSG_OK) {
        (void)snprintf(why, cap, "the spool can't be opened: %s", err.text);
        return false;
    }
    is_good = spool_next(spool, 0, &message, &err) == TLSMSG_OK;
    at = message.number != 0 ? message.number - 1 : spool_last(spool);
    (void)snprintf(why, cap,
                   "kept from %" PRIu64 " to %" PRIu64 ", promised from %" PRIu64 " to %" PRIu64,
                   at + 1, spool_last(spool), promises->gone + 1, promises->document_top);
    is_good = is_good && at <= promises->gone && spool_last(spool) >= promises->document_top;
    while (is_good && message.number != 0) {
        script_hash(SCRIPT_PRODUCERS, message.number, hash);
        is_good = message.number == ++at && memcmp(message.hash, hash, sizeof(hash)) == 0 &&
                  message.len == script_body(SCRIPT_PRODUCERS, at, body) &&
                  memcmp(message.body, body, message.len) == 0 &&
                  spool_next(spool, at, &message, &err) == TLSMSG_OK;
    }
    is_good = is_good && at == spool_last(spool);
    spool_close(spool);
    return is_good;
}

static int producer_of(const char *name)
{
    int i;

    for (i = 0; i < SCRIPT_PRODUCERS; i++) {
        if (strcmp(name, script_producer((unsigned)i)) == 0) {
            return i;
        }
    }
    return SCRIPT_PRODUCERS;
}

/* Holds one row against what the driver sent. Rows of a producer come in the order of seq. */
static bool check_row(sqlite3_stmt *row, uint64_t last[SCRIPT_PRODUCERS], bool *document)
{
    char body[SCRIPT_BODY_MAX];
    unsigned char hash[SCRIPT_HASH_BYTES];
    unsigned producer = (unsigned)producer_of((const char *)sqlite3_column_text(row, 0));
    uint64_t seq = (uint64_t)sqlite3_column_int64(row, 1);
    const char *stored = sqlite3_column_blob(row, 3);
    size_t len;

    if (producer == SCRIPT_PRODUCERS) {
        if (stored == NULL || sscanf(stored, "document %" SCNu64, &seq) != 1 ||
            seq >= DOCUMENT_MAX || document[seq]) {
            return false;
        }
        document[seq] = true;
    } else if (seq != last[producer] + 1) {
        return false;
    } else {
        last[producer] = seq;
        script_hash(producer, seq, hash);
        if (sqlite3_column_bytes(row, 2) != SCRIPT_HASH_BYTES ||
            memcmp(sqlite3_column_blob(row, 2), hash, SCRIPT_HASH_BYTES) != 0) {
            return false;
        }
    }
    len = script_body(producer, seq, body);
    return (size_t)sqlite3_column_bytes(row, 3) == len && memcmp(stored, body, len) == 0;
}

static bool check_promises(const struct promises *promises, const uint64_t *last,
                           const bool *document, char *why, size_t cap)
{
    uint64_t i;

    for (i = 0; i < SCRIPT_PRODUCERS; i++) {
        if (last[i] < promises->last[i]) {
            (void)snprintf(why, cap,
                           "promised p%" PRIu64 " up to %" PRIu64 ", stored up to %" PRIu64, i,
                           promises->last[i], last[i]);
            return false;
        }
    }
    for (i = 0; i <= promises->document_top; i++) {
        if (promises->document[i] && !document[i]) {
            (void)snprintf(why, cap, "promised document %" PRIu64 ", which is not stored", i);
            return false;
        }
    }
    return true;
}

/* Reads what the recovered store holds. */
static bool inspect(const char *path, const struct promises *promises, char *why, size_t cap)
{
    static const char rows[] =
        "SELECT p.name, m.seq, m.hash, m.body FROM message AS m"
        " JOIN producer AS p ON p.id = m.producer ORDER BY m.producer, m.seq";
    static bool document[DOCUMENT_MAX];
    uint64_t last[SCRIPT_PRODUCERS] = {0};
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    bool is_good = true;
    int result = SQLITE_ERROR;

    memset(document, 0, promises->document_top + 1024);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        is_good = strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;
    }
    (void)snprintf(why, cap,
                   is_good ? "a stored message is not what was sent"
                           : "the recovered file is damaged");
    (void)sqlite3_finalize(statement);
    statement = NULL;
    if (is_good && sqlite3_prepare_v2(db, rows, -1, &statement, NULL) == SQLITE_OK) {
        while ((result = sqlite3_step(statement)) == SQLITE_ROW && is_good) {
            is_good = check_row(statement, last, document);
        }
    }
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return is_good && result == SQLITE_DONE && check_promises(promises, last, document, why, cap);
}

static void look_at(struct replay *replay, const struct disk *disk, unsigned event,
                    enum disk_cut kind, bool names, uint64_t random)
{
    char why[640] = "";
    uint64_t hash = disk_cut(disk, kind, names, random, NULL);

    if (was_seen(hash, replay->promises.count)) {
        return;
    }
    (void)disk_cut(disk, kind, names, random, replay->folder);
    replay->disks++;
    if (replay->is_spool ? !recover_spool(replay->path, &replay->promises, why, sizeof(why))
                         : !recover(replay->path, why, sizeof(why)) ||
                               !inspect(replay->path, &replay->promises, why, sizeof(why))) {
        if (replay->faults++ < FAULTS_SHOWN) {
            printf("event %u, cut %d, names %d, random %" PRIu64 ": %s\n", event, (int)kind,
                   (int)names, random, why);
        }
    }
}

static void cut_here(struct replay *replay, const struct disk *disk, unsigned event)
{
    enum disk_cut kind;
    unsigned draw;
    int names;

    for (names = 0; names <= 1; names++) {
        for (kind = 0; kind < CUT_KINDS; kind++) {
            bool drawn = kind == CUT_TORN || kind == CUT_SECTORS;

            for (draw = 0; draw < (drawn ? replay->draws : 1); draw++) {
                look_at(replay, disk, event, kind, names == 1, event * 31 + draw);
            }
            if (!disk_has_pending(disk)) {
                return;
            }
        }
    }
}

static void keep_promise(struct promises *promises, const char *text, size_t len)
{
    char line[128];
    char name[32];
    char kind;
    uint64_t number;
    int producer;

    if (len >= sizeof(line)) {
        abort();
    }
    memcpy(line, text, len);
    line[len] = '\0';
    if (sscanf(line, "%c %31s %" SCNu64, &kind, name, &number) != 3 || number >= DOCUMENT_MAX) {
        abort();
    }
    promises->count++;
    if (kind == 'G') {
        promises->gone = number;
        return;
    }
    producer = producer_of(name);
    if (producer < SCRIPT_PRODUCERS && number > promises->last[producer]) {
        promises->last[producer] = number;
    } else if (producer == SCRIPT_PRODUCERS) {
        promises->document[number] = true;
        promises->document_top = number > promises->document_top ? number : promises->document_top;
    }
}

/* The event at an offset of the log; returns the offset behind it, 0 at the end. */
static size_t next_event(const struct replay *replay, size_t at, struct disk_event *event)
{
    if (at + sizeof(event->head) > replay->log_len) {
        return 0;
    }
    memcpy(&event->head, replay->log + at, sizeof(event->head));
    at += sizeof(event->head);
    if (event->head.mark != EVENT_MARK ||
        at + event->head.name_len + event->head.data_len > replay->log_len) {
        return 0; /* cut short by a kill in the middle of a record: what follows never was */
    }
    event->name = replay->log + at;
    event->data = event->name + event->head.name_len;
    return at + event->head.name_len + event->head.data_len;
}

/* Whether a cut behind an event shows anything that the next one wouldn't. Of promises that come
 * one after the other the last cut demands them all. */
static bool is_worth_it(const struct replay *replay, const struct disk_event *event, unsigned n,
                        size_t at)
{
    struct disk_event next;

    if (event->head.kind == EVENT_PROMISE) {
        return next_event(replay, at, &next) == 0 || next.head.kind != EVENT_PROMISE;
    }
    return n % replay->every == 0 || event->head.kind >= EVENT_SYNC;
}

static int run(struct replay *replay)
{
    struct disk *disk = disk_new();
    struct disk_event event;
    const char *why = NULL;
    unsigned n = 0;
    size_t at = 0;

    cut_here(replay, disk, 0);
    while (why == NULL && (at = next_event(replay, at, &event)) != 0) {
        /* A sync changes what can be lost; just before it most can. */
        if (event.head.kind == EVENT_SYNC || event.head.kind == EVENT_SYNC_FOLDER) {
            cut_here(replay, disk, n);
        }
        why = disk_apply(disk, &event);
        n++;
        if (event.head.kind == EVENT_PROMISE) {
            keep_promise(&replay->promises, event.data, (size_t)event.head.data_len);
        }
        if (is_worth_it(replay, &event, n, at)) {
            cut_here(replay, disk, n);
        }
    }
    if (why == NULL && replay->live != NULL) {
        why = disk_compare(disk, replay->live);
    }
    if (why != NULL) {
        printf("event %u: %s\n", n, why);
        replay->faults++;
    }
    printf("%u events, %u disks, %u promises, %u faults\n", n, replay->disks,
           replay->promises.count, replay->faults);
    disk_free(disk);
    return replay->faults == 0 ? 0 : 1;
}

static void load(struct replay *replay, const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY);

    if (fd < 0 || fstat(fd, &status) != 0 || status.st_size == 0) {
        perror(path);
        exit(2);
    }
    replay->log_len = (size_t)status.st_size;
    replay->log = mmap(NULL, replay->log_len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (replay->log == MAP_FAILED) {
        abort();
    }
    (void)close(fd);
}

int main(int argc, char **argv)
{
    static struct replay replay = {.every = 1, .draws = 1};
    int i;

    if (argc < 4) {
        return 2;
    }
    load(&replay, argv[1]);
    replay.folder = argv[2];
    (void)snprintf(replay.path, sizeof(replay.path), "%s/%s", argv[2], argv[3]);
    for (i = 4; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--every") == 0) {
            replay.every = (unsigned)strtoul(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--random") == 0) {
            replay.draws = (unsigned)strtoul(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--live") == 0) {
            replay.live = argv[i + 1];
        } else if (strcmp(argv[i], "--spool") == 0) {
            replay.is_spool = true;
        } else {
            return 2;
        }
    }
    seen.capacity = (size_t)1 << 20;
    seen.hashes = calloc(seen.capacity, sizeof(*seen.hashes));
    return seen.hashes == NULL ? 2 : run(&replay);
}
