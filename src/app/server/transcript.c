/* Transcript: collects the lines of each worker's turn and hands them to stdout's writer at its end.
 *
 * Each worker has lines of its own, of a fixed size that holds the longest line several times
 * over: no lock and no allocation a message. A turn with more than that hands over early, whole
 * lines still. Called on workers' threads, begun on the main thread. */
#include "app/server/transcript.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "app/server/log.h"
#include "app/server/transcript_json.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/escape.h"
#include "base/ratelimit.h"

#define TURN_BYTES ((size_t)256 * 1024)
#define LONGEST_LINE_BYTES ((size_t)1024 * 1024)
/* From this length on a message's line is long: it waits as it came, and leaves in parts. */
#define LONG_BYTES ((size_t)32 * 1024)
#define TIME_MAX 32

/* Aligned so that no two workers write to one cache line; members stand by what they are for.
 * NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct transcript_turn {
    _Alignas(64) struct buffer lines;
    bool held;   /* its last turns hold replies */
    bool failed; /* a line could not be recorded */
    bool has_long;
    uint64_t left_out;
    struct ratelimit strangers; /* lines about connections that never became conversations */
    uint64_t strangers_left_out;
    bool tells_strangers; /* a line of theirs is due again, and so is the number of the others */
    bool has_time;        /* time is this turn's */
    int64_t time_ms;      /* that time stands for */
    char time[TIME_MAX];
};

void transcript_init(struct transcript *transcript, struct stdout_writer *writer,
                     enum transcript_format format, const struct transcript_style *style)
{
    *transcript = (struct transcript){.writer = writer, .format = format, .style = *style};
}

void transcript_fini(struct transcript *transcript)
{
    unsigned i;

    for (i = 0; i < transcript->workers; i++) {
        buffer_fini(&transcript->turns[i].lines);
    }
    free(transcript->turns);
    transcript->turns = NULL;
    transcript->workers = 0;
}

enum tlsmsg_code transcript_set_workers(struct transcript *transcript, unsigned workers,
                                        struct tlsmsg_error *err)
{
    size_t bytes = workers * sizeof(*transcript->turns);

    transcript->turns = aligned_alloc(_Alignof(struct transcript_turn), bytes);
    if (transcript->turns == NULL ||
        stdout_writer_set_workers(transcript->writer, workers) != TLSMSG_OK) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    memset(transcript->turns, 0, bytes);
    while (transcript->workers < workers) {
        struct buffer *lines = &transcript->turns[transcript->workers].lines;

        buffer_init(lines, LONGEST_LINE_BYTES, BUFFER_KEEP);
        if (buffer_reserve(lines, TURN_BYTES) != TLSMSG_OK) {
            return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
        }
        transcript->workers++;
    }
    return TLSMSG_OK;
}

/* The time of the turn, printed again only when a millisecond has passed. */
static const char *turn_time(struct transcript_turn *turn)
{
    struct timespec now;
    int64_t ms;

    if (!turn->has_time) {
        (void)clock_gettime(CLOCK_REALTIME, &now);
        ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / CLOCK_NS_PER_MS;
        if (ms != turn->time_ms) {
            clock_print_utc((int64_t)now.tv_sec, (int)(ms % 1000), turn->time, sizeof(turn->time));
            turn->time_ms = ms;
        }
        turn->has_time = true;
    }
    return turn->time;
}

/* Makes room for a line. False: it can't be recorded, and the transcript has failed. */
static bool make_room(struct transcript *transcript, struct transcript_turn *turn, size_t bound)
{
    if (buffer_room(&turn->lines) >= bound) {
        return true;
    }
    if (turn->lines.len > 0) {
        bool accepted =
            stdout_writer_add(transcript->writer, buffer_head(&turn->lines), turn->lines.len);

        buffer_truncate(&turn->lines, 0);
        if (!accepted) {
            turn->failed = true;
            return false;
        }
    }
    if (buffer_reserve(&turn->lines, bound) != TLSMSG_OK) {
        stdout_writer_abandon(transcript->writer, ENOMEM);
        turn->failed = true;
        return false;
    }
    return true;
}

/* Room for a line about a connection. While the worker holds its replies no messages come and no
 * turn ends, but connections come and go as their peers like: then these lines are kept where the
 * turn's are, and when that is full they are left out and counted. */
static bool make_room_for_news(struct transcript *transcript, struct transcript_turn *turn,
                               size_t bound)
{
    if (turn->held && turn->lines.len > 0 && buffer_room(&turn->lines) < bound) {
        turn->left_out++;
        return false;
    }
    return make_room(transcript, turn, bound);
}

bool transcript_begin(struct transcript *transcript, const struct tlsmsg_server *server)
{
    struct transcript_turn *turn = &transcript->turns[0];
    const char *address;
    size_t i;
    bool accepted;

    if (transcript->format == TRANSCRIPT_TEXT) {
        transcript_text_waiting(&turn->lines, &transcript->style);
    }
    for (i = 0; transcript->format == TRANSCRIPT_JSON; i++) {
        address = tlsmsg_server_address(server, i);
        if (address == NULL ||
            !make_room(transcript, turn, transcript_json_bound(strlen(address)))) {
            break;
        }
        transcript_json_listening(&turn->lines, turn_time(turn), address);
    }
    accepted = stdout_writer_add(transcript->writer, buffer_head(&turn->lines), turn->lines.len);
    buffer_truncate(&turn->lines, 0);
    turn->has_time = false;
    return accepted;
}

void transcript_connected(struct transcript *transcript, const struct tlsmsg_peer *peer,
                          unsigned worker)
{
    struct transcript_turn *turn = &transcript->turns[worker];

    if (transcript->format == TRANSCRIPT_TEXT) {
        char tuple[TRANSCRIPT_TUPLE_MAX];

        transcript_text_tuple(peer->socket_address, tuple, sizeof(tuple));
        if (make_room_for_news(transcript, turn,
                               transcript_text_bound(&transcript->style, strlen(tuple)))) {
            transcript_text_connected(&turn->lines, &transcript->style, tuple);
        }
    } else if (make_room_for_news(transcript, turn, transcript_json_peer_bound(peer))) {
        transcript_json_connected(&turn->lines, turn_time(turn), peer);
    }
}

/* Hands over a long line: `lines` end with its head. */
static void put_long(struct transcript *transcript, unsigned worker, struct stdout_line *line)
{
    struct transcript_turn *turn = &transcript->turns[worker];

    line->head = buffer_head(&turn->lines);
    line->head_len = turn->lines.len;
    if (!stdout_writer_add_long(transcript->writer, worker, line)) {
        turn->failed = true;
    }
    turn->has_long = true;
    buffer_truncate(&turn->lines, 0);
}

static void put_text_message(struct transcript *transcript, struct transcript_turn *turn,
                             const struct tlsmsg_message *message, const char *data, size_t len)
{
    if (len < LONG_BYTES) {
        if (make_room(transcript, turn, transcript_text_bound(&transcript->style, len))) {
            transcript_text_message(&turn->lines, &transcript->style, data, len);
        }
    } else if (make_room(transcript, turn, transcript_text_bound(&transcript->style, 0))) {
        struct stdout_line line = {.text = data};

        transcript_text_long(&turn->lines, &transcript->style, len, &line);
        put_long(transcript, tlsmsg_message_worker(message), &line);
    }
}

static void put_json_message(struct transcript *transcript, struct transcript_turn *turn,
                             const struct tlsmsg_message *message, const char *data, size_t len)
{
    const struct tlsmsg_peer *peer = tlsmsg_message_peer(message);
    const struct transcript_message shown = {
        .connection = peer->connection,
        .peer = peer->address,
        .identity = peer->tls != NULL ? peer->tls->identity : NULL,
        .producer = tlsmsg_message_producer(message),
        .seq = tlsmsg_message_number(message),
        .data = data,
        .len = len,
    };

    if (len < LONG_BYTES) {
        if (make_room(transcript, turn, transcript_json_message_bound(&shown))) {
            transcript_json_message(&turn->lines, turn_time(turn), &shown);
        }
    } else if (make_room(transcript, turn,
                         transcript_json_message_bound(&shown) - len * ESCAPE_EXPANSION_MAX)) {
        struct stdout_line line = {.text = data, .text_len = len};

        transcript_json_long(&turn->lines, turn_time(turn), &shown, &line);
        put_long(transcript, tlsmsg_message_worker(message), &line);
    }
}

void transcript_message(struct transcript *transcript, const struct tlsmsg_message *message)
{
    struct transcript_turn *turn = &transcript->turns[tlsmsg_message_worker(message)];
    size_t len;
    const char *data = tlsmsg_message_data(message, &len);

    /* What comes again was shown when it was taken. */
    if (tlsmsg_message_is_duplicate(message)) {
        return;
    }
    if (transcript->format == TRANSCRIPT_TEXT) {
        put_text_message(transcript, turn, message, data, len);
    } else {
        put_json_message(transcript, turn, message, data, len);
    }
}

/* Whoever can connect can cause lines without being let in: those are limited as the log is. */
static bool is_worth_a_line(struct transcript_turn *turn, const struct tlsmsg_closed *closed)
{
    const int64_t refill_ns = (int64_t)LOG_REFILL_MS * CLOCK_NS_PER_MS;

    if (closed->reason != TLSMSG_CLOSE_HANDSHAKE || !closed->heard) {
        return true;
    }
    if (!ratelimit_take(&turn->strangers, clock_now_ns(), refill_ns, LOG_BURST * refill_ns)) {
        turn->strangers_left_out++;
        return false;
    }
    turn->tells_strangers = true;
    return true;
}

void transcript_closed(struct transcript *transcript, const struct tlsmsg_closed *closed,
                       unsigned worker)
{
    struct transcript_turn *turn = &transcript->turns[worker];

    /* The document's transcript has no line for the end of a conversation. */
    if (transcript->format == TRANSCRIPT_JSON && is_worth_a_line(turn, closed) &&
        make_room_for_news(transcript, turn, transcript_json_peer_bound(closed->peer))) {
        transcript_json_closed(&turn->lines, turn_time(turn), closed);
    }
}

enum tlsmsg_turn transcript_turn_end(struct transcript *transcript, unsigned worker)
{
    struct transcript_turn *turn = &transcript->turns[worker];
    enum tlsmsg_turn result;

    if (turn->failed) {
        return TLSMSG_TURN_FAIL;
    }
    if (turn->lines.len == 0 && !turn->held && !turn->has_long) {
        return TLSMSG_TURN_RELEASE;
    }
    turn->has_long = false;
    result = stdout_writer_end_turn(transcript->writer, worker, buffer_head(&turn->lines),
                                    turn->lines.len);
    buffer_truncate(&turn->lines, 0);
    turn->has_time = false;
    turn->held = result == TLSMSG_TURN_HOLD;
    if (turn->lines.cap > 2 * TURN_BYTES) {
        struct buffer smaller;

        buffer_init(&smaller, LONGEST_LINE_BYTES, BUFFER_KEEP);
        if (buffer_reserve(&smaller, TURN_BYTES) == TLSMSG_OK) {
            buffer_fini(&turn->lines);
            turn->lines = smaller;
        }
    }
    return result;
}

struct transcript_left_out transcript_left_out(struct transcript *transcript, unsigned worker,
                                               bool all)
{
    struct transcript_turn *turn = &transcript->turns[worker];
    struct transcript_left_out out = {.held = turn->left_out};

    turn->left_out = 0;
    if (turn->tells_strangers || all) {
        out.strangers = turn->strangers_left_out;
        turn->strangers_left_out = 0;
        turn->tells_strangers = false;
    }
    return out;
}

void transcript_end(struct transcript *transcript)
{
    unsigned i;

    for (i = 0; i < transcript->workers; i++) {
        struct transcript_turn *turn = &transcript->turns[i];

        if (turn->lines.len > 0 && !turn->failed) {
            (void)stdout_writer_add(transcript->writer, buffer_head(&turn->lines), turn->lines.len);
            buffer_truncate(&turn->lines, 0);
        }
    }
}
