/* Verifying a store: each numbered message against its hash, the numbers against one another, and
 * the file by SQLite.
 *
 * Ids have no holes of their own, and pruning deletes the lowest. So an id that is missing between
 * two others is a message that was deleted, and a number that is missing where no id is was never
 * stored: its sender went on beyond it, with leave (a jump). */
#include "app/store/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/sha256.h"
#include "app/store/progress.h"
#include "base/error.h"
#include "base/escape.h"
#include "store/sqlite_db.h"

#define NUMBERS_PIECE 10000

/* Ids that are missing. */
struct hole {
    int64_t first;
    int64_t last;
};

struct verify {
    struct reader *reader;
    struct progress progress;
    struct hole *holes;
    size_t hole_count;
    size_t hole_capacity;
    int64_t previous; /* id of the message before; 0: none */
    int64_t top;      /* ids beyond it came later */
    uint64_t messages;
    uint64_t hashed;
    uint64_t jumps;
    uint64_t faults;
};

static void __attribute__((format(printf, 2, 3)))
fault(struct verify *verify, const char *format, ...)
{
    va_list args;

    if (verify->faults++ < VERIFY_FAULTS_SHOWN) {
        progress_end(&verify->progress);
        va_start(args, format);
        (void)vprintf(format, args);
        va_end(args);
        (void)putchar('\n');
    }
}

static bool add_hole(struct verify *verify, int64_t first, int64_t last)
{
    if (verify->hole_count == verify->hole_capacity) {
        size_t capacity = verify->hole_capacity == 0 ? 16 : 2 * verify->hole_capacity;
        struct hole *holes = realloc(verify->holes, capacity * sizeof(*holes));

        if (holes == NULL) {
            return false;
        }
        verify->holes = holes;
        verify->hole_capacity = capacity;
    }
    verify->holes[verify->hole_count++] = (struct hole){first, last};
    return true;
}

static enum tlsmsg_code check_message(const struct reader_row *row, void *user,
                                      struct tlsmsg_error *err)
{
    struct verify *verify = user;
    unsigned char hash[SHA256_OUT_BYTES];
    char name[VERIFY_PRODUCER_SHOWN];

    if (verify->previous != 0 && row->id > verify->previous + 1 &&
        !add_hole(verify, verify->previous + 1, row->id - 1)) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    verify->previous = row->id;
    verify->messages++;
    progress_tell(&verify->progress, (uint64_t)row->id, (uint64_t)verify->top);
    if (row->hash == NULL && row->producer != NULL && row->producer[0] == '@') {
        return TLSMSG_OK; /* the document's flow has no hashes */
    }
    if (!sha256(row->body, row->len, hash)) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "cannot compute SHA-256");
    }
    verify->hashed++;
    if (row->hash == NULL || row->hash_len != SHA256_OUT_BYTES ||
        memcmp(row->hash, hash, SHA256_OUT_BYTES) != 0) {
        fault(verify, "message %" PRId64 " (number %" PRIu64 " of '%s') is not what was stored",
              row->id, row->seq,
              escape_name(name, sizeof(name), row->producer != NULL ? row->producer : "?"));
    }
    return TLSMSG_OK;
}

/* What a server has pruned meanwhile is not missing. */
static enum tlsmsg_code tell_holes(struct verify *verify, struct tlsmsg_error *err)
{
    int64_t lowest = 0;
    enum tlsmsg_code code =
        reader_number(verify->reader, "SELECT min(id) FROM message", &lowest, err);
    size_t i;

    for (i = 0; i < verify->hole_count && code == TLSMSG_OK; i++) {
        const struct hole *hole = &verify->holes[i];

        if (hole->last >= lowest) {
            fault(verify, "messages %" PRId64 " to %" PRId64 " are missing: they were deleted",
                  hole->first, hole->last);
        }
    }
    /* Behind the last one that was read: what is left below it shows that nobody has pruned so far. */
    if (code == TLSMSG_OK && verify->previous < verify->top && lowest != 0 &&
        lowest <= verify->previous) {
        fault(verify, "messages %" PRId64 " to %" PRId64 " are missing: they were deleted",
              verify->previous + 1, verify->top);
    }
    return code;
}

static bool is_hole_between(const struct verify *verify, int64_t after, int64_t before)
{
    size_t low = 0;
    size_t high = verify->hole_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (verify->holes[middle].first <= after) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < verify->hole_count && verify->holes[low].first < before;
}

/* Where a producer's numbers stand. */
struct numbers {
    int64_t producer;
    int64_t seq;
    int64_t id;
};

static void check_number(struct verify *verify, const struct numbers *before,
                         const struct numbers *now)
{
    bool jumps = now->seq != before->seq + 1;

    if (now->producer != before->producer) {
        return;
    }
    if (now->id < before->id) {
        fault(verify,
              "message %" PRId64 " has number %" PRId64 ", which came after message %" PRId64,
              now->id, now->seq, before->id);
    } else if (jumps && is_hole_between(verify, before->id, now->id)) {
        fault(verify, "numbers %" PRId64 " to %" PRId64 " of producer %" PRId64 " are missing",
              before->seq + 1, now->seq - 1, now->producer);
    } else {
        verify->jumps += jumps;
    }
}

/* Producers that number for themselves, by the index: a piece at a time. */
static enum tlsmsg_code check_numbers(struct verify *verify, struct tlsmsg_error *err)
{
    static const char sql[] =
        "SELECT producer, seq, id FROM message WHERE (producer, seq) > (?1, ?2) AND id <= ?3"
        " AND producer NOT IN (SELECT id FROM producer WHERE name >= '@' AND name < 'A')"
        " ORDER BY producer, seq LIMIT ?4";
    struct numbers before = {.producer = -1};
    struct numbers now = before;
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(verify->reader->db, sql, -1, &statement, NULL);
    bool more = result == SQLITE_OK;

    while (more) {
        more = false;
        (void)sqlite3_bind_int64(statement, 1, before.producer);
        (void)sqlite3_bind_int64(statement, 2, before.seq);
        (void)sqlite3_bind_int64(statement, 3, verify->top);
        (void)sqlite3_bind_int64(statement, 4, NUMBERS_PIECE);
        while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
            more = true;
            now.producer = sqlite3_column_int64(statement, 0);
            now.seq = sqlite3_column_int64(statement, 1);
            now.id = sqlite3_column_int64(statement, 2);
            check_number(verify, &before, &now);
            before = now;
        }
        (void)sqlite3_reset(statement);
        more = more && result == SQLITE_DONE;
    }
    (void)sqlite3_finalize(statement);
    return result == SQLITE_DONE ? TLSMSG_OK
                                 : sqlite_db_error(verify->reader->db, &verify->reader->file,
                                                   TLSMSG_ERR_SYSTEM, "read", err);
}

/* A producer's last number is its last message's, or all of them were pruned. */
static enum tlsmsg_code check_last_numbers(struct verify *verify, struct tlsmsg_error *err)
{
    int64_t wrong = 0;
    enum tlsmsg_code code =
        reader_number(verify->reader,
                      "SELECT count(*) FROM producer WHERE (SELECT max(seq) FROM message WHERE"
                      " message.producer = producer.id) <> seq AND (name < '@' OR name >= 'A')",
                      &wrong, err);

    if (code == TLSMSG_OK && wrong > 0) {
        fault(verify, "%" PRId64 " producers have another last number than their last message",
              wrong);
    }
    return code;
}

static enum tlsmsg_code check_file(struct verify *verify, struct tlsmsg_error *err)
{
    sqlite3_stmt *statement = NULL;
    char line[512];
    int result =
        sqlite3_prepare_v2(verify->reader->db, "PRAGMA integrity_check", -1, &statement, NULL);

    while (result == SQLITE_OK || result == SQLITE_ROW) {
        result = sqlite3_step(statement);
        if (result == SQLITE_ROW) {
            const char *text = (const char *)sqlite3_column_text(statement, 0);

            if (text != NULL && strcmp(text, "ok") != 0) {
                fault(verify, "the file is damaged: %s", escape_name(line, sizeof(line), text));
            }
        }
    }
    (void)sqlite3_finalize(statement);
    return result == SQLITE_DONE ? TLSMSG_OK
                                 : sqlite_db_error(verify->reader->db, &verify->reader->file,
                                                   TLSMSG_ERR_SYSTEM, "check", err);
}

/* A file that can't be read any further is a fault, too, and not the end of the search. */
static enum tlsmsg_code note_damage(struct verify *verify, enum tlsmsg_code code,
                                    struct tlsmsg_error *err)
{
    if (code == TLSMSG_ERR_SYSTEM &&
        (sqlite3_errcode(verify->reader->db) & 0xFF) == SQLITE_CORRUPT) {
        fault(verify, "%s", err->text);
        tlsmsg_error_clear(err);
        return TLSMSG_OK;
    }
    return code;
}

static void tell_result(const struct verify *verify)
{
    if (verify->faults > VERIFY_FAULTS_SHOWN) {
        printf("... and %" PRIu64 " more\n", verify->faults - VERIFY_FAULTS_SHOWN);
    }
    printf("%" PRIu64 " messages, %" PRIu64 " with a hash", verify->messages, verify->hashed);
    if (verify->jumps > 0) {
        printf(", %" PRIu64 " jumps in their senders' numbers", verify->jumps);
    }
    if (verify->faults == 0) {
        printf(": sound\n");
    } else {
        printf(": %" PRIu64 " faults\n", verify->faults);
    }
}

enum tlsmsg_code verify_store(struct reader *reader, uint64_t *faults, struct tlsmsg_error *err)
{
    struct verify verify = {.reader = reader};
    enum tlsmsg_code code = reader_number(
        reader, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'message'",
        &verify.top, err);
    int64_t last = 0;
    bool more = true;

    progress_begin(&verify.progress, "verified message");
    while (code == TLSMSG_OK && more && last < verify.top) {
        code = reader_next(reader, &last, &more, check_message, &verify, err);
    }
    code = note_damage(&verify, code, err);
    if (code == TLSMSG_OK) {
        code = note_damage(&verify, tell_holes(&verify, err), err);
    }
    if (code == TLSMSG_OK) {
        code = note_damage(&verify, check_numbers(&verify, err), err);
    }
    if (code == TLSMSG_OK) {
        code = note_damage(&verify, check_last_numbers(&verify, err), err);
    }
    if (code == TLSMSG_OK) {
        code = note_damage(&verify, check_file(&verify, err), err);
    }
    progress_end(&verify.progress);
    if (code == TLSMSG_OK) {
        tell_result(&verify);
    }
    free(verify.holes);
    *faults = verify.faults;
    return code;
}
