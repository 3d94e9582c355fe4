/* Showing messages: a line each for people, an object each for programs.
 *
 * A piece is read into memory, and only then written: a stdout that is slow keeps nothing of the
 * store open. */
#include "app/store/show.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/escape.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"

#define OUT_MAX_BYTES ((size_t)1024 * 1024 * 1024)
#define COLUMNS 80
#define LINE_HEAD_MAX 256
#define FROM_COLUMNS 21
#define FOLLOW_MS 200
#define TIME_BYTES 32

struct show {
    struct buffer out;
    bool as_json;
    bool cuts; /* lines, at the terminal's right edge */
};

static void print_time(int64_t ms, char text[TIME_BYTES])
{
    clock_print_utc(ms / 1000, (int)(ms % 1000), text, TIME_BYTES);
}

/* How many columns a character takes: the wide ones of East Asia two, all others one. */
static size_t columns_of(uint32_t c)
{
    bool is_wide = (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) ||
                   (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xF900 && c <= 0xFAFF) ||
                   (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
                   (c >= 0xFFE0 && c <= 0xFFE6) || (c >= 0x1F300 && c <= 0x1FAFF) ||
                   (c >= 0x20000 && c <= 0x3FFFD);

    return is_wide ? 2 : 1;
}

/* Bytes of a valid text that take at most so many columns; *columns: those that are left. */
static size_t fitting(const char *text, size_t len, size_t *columns)
{
    size_t at = 0;

    while (at < len) {
        uint32_t c;
        size_t bytes = utf8_decode(text + at, len - at, &c);

        if (columns_of(c) > *columns) {
            break;
        }
        *columns -= columns_of(c);
        at += bytes;
    }
    return at;
}

/* Cuts what was put behind `start` where it takes more columns than there are: at least 3. */
static enum tlsmsg_code cut_line(struct show *show, size_t start, size_t columns)
{
    const char *text = buffer_head(&show->out) + start;
    size_t len = show->out.len - start;
    size_t left = columns;

    if (fitting(text, len, &left) == len) {
        return TLSMSG_OK;
    }
    left = columns - 3;
    buffer_truncate(&show->out, start + fitting(text, len, &left));
    return buffer_append(&show->out, "...", 3);
}

static enum tlsmsg_code show_line(struct show *show, const struct reader_row *row)
{
    char head[LINE_HEAD_MAX];
    char time[TIME_BYTES];
    char from[LINE_HEAD_MAX / 2];
    size_t from_len;
    size_t start;
    size_t left = FROM_COLUMNS;
    size_t taken; /* columns */
    int n;
    enum tlsmsg_code code;

    print_time(row->time_ms, time);
    time[10] = ' ';
    time[19] = '\0';
    (void)escape_name(from, sizeof(from), row->identity != NULL ? row->identity : row->peer);
    from_len = fitting(from, strlen(from), &left);
    n = snprintf(head, sizeof(head), "%7" PRId64 "  %s  %.*s%*s  ", row->id, time, (int)from_len,
                 from, (int)left, "");
    taken = (size_t)n - from_len + FROM_COLUMNS - left;
    code = buffer_append(&show->out, head, (size_t)n);
    if (code == TLSMSG_OK) {
        code = buffer_reserve(&show->out, row->len * ESCAPE_EXPANSION_MAX + 1);
    }
    if (code != TLSMSG_OK) {
        return code;
    }
    start = show->out.len;
    buffer_commit(&show->out, escape_text(buffer_end(&show->out), buffer_room(&show->out),
                                          row->body, row->len));
    if (show->cuts) {
        code = cut_line(show, start, COLUMNS - taken); /* an id is short enough to leave some */
    }
    return code == TLSMSG_OK ? buffer_append(&show->out, "\n", 1) : code;
}

static enum tlsmsg_code show_object(struct show *show, const struct reader_row *row)
{
    struct json json;
    char time[TIME_BYTES];

    print_time(row->time_ms, time);
    json_begin(&json, &show->out);
    json_string(&json, "time", time);
    json_string(&json, "event", "message");
    json_number(&json, "id", (uint64_t)row->id);
    json_number(&json, "connection", row->connection);
    json_string(&json, "peer", row->peer);
    json_string(&json, "identity", row->identity);
    json_string(&json, "producer", row->producer);
    json_number(&json, "seq", row->seq);
    json_number(&json, "bytes", row->len);
    json_bytes(&json, "message", row->body, row->len);
    return json_end(&json, "\n");
}

static enum tlsmsg_code take(const struct reader_row *row, void *user, struct tlsmsg_error *err)
{
    struct show *show = user;
    enum tlsmsg_code code = show->as_json ? show_object(show, row) : show_line(show, row);

    return code == TLSMSG_OK ? code : error_set(err, code, 0, "out of memory");
}

/* Writes what a piece has given. */
static enum tlsmsg_code flush(struct show *show, struct tlsmsg_error *err)
{
    int cause = file_write_all(STDOUT_FILENO, buffer_head(&show->out), show->out.len);

    buffer_consume(&show->out, show->out.len);
    return cause == 0 ? TLSMSG_OK
                      : error_set(err, TLSMSG_ERR_SYSTEM, cause, "cannot write to stdout");
}

/* Waits until the store is to be looked at again, or until stdout is a pipe that nobody reads any more:
 * then to wait for the next message would be in vain. False: nobody does. */
static bool pause_following(struct tlsmsg_error *err)
{
    struct pollfd out = {.fd = STDOUT_FILENO};

    if (poll(&out, 1, FOLLOW_MS) > 0 && (out.revents & (POLLERR | POLLNVAL)) != 0) {
        (void)error_set(err, TLSMSG_ERR_SYSTEM, EPIPE, "cannot write to stdout");
        return false;
    }
    return true;
}

enum tlsmsg_code show_messages(const struct show_source *source,
                               const struct store_options_taken *taken, struct tlsmsg_error *err)
{
    struct show show = {.as_json = taken->command == COMMAND_EXPORT,
                        .cuts = isatty(STDOUT_FILENO) == 1};
    enum tlsmsg_code code = TLSMSG_OK;
    bool more = true;

    buffer_init(&show.out, OUT_MAX_BYTES, 0);
    if (taken->command == COMMAND_TAIL) {
        code = source->skip_to_last(source->user, taken->lines, err);
    }
    while (code == TLSMSG_OK && (more || taken->follows)) {
        code = source->next(source->user, &more, take, &show, err);
        if (code == TLSMSG_OK) {
            code = flush(&show, err);
        }
        if (code == TLSMSG_OK && !more && taken->follows && !pause_following(err)) {
            code = err->code;
        }
    }
    buffer_fini(&show.out);
    return code;
}
