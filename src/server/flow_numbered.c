/* tlsmsg/1 (tlsmsg(7)): a client greets, numbers its messages and gets an OK for each, in order.
 *
 * Frames are read where they lie. A message that is whole in one receive is handed on without a
 * copy; of a longer one the bytes are kept as they come, checked and hashed at once. */
#include <stdlib.h>
#include <string.h>

#include "base/build.h"
#include "base/clock.h"
#include "server/deferred.h"
#include "server/flow.h"
#include "server/messages.h"
#include "server/numbered.h"
#include "server/stats.h"
#include "transport/digest.h"

/* An unfinished message that is longer than this must bring as much a second on average. */
#define RATE_BYTES 1024
#define RATE_GRACE_NS (2 * (int64_t)CLOCK_NS_PER_S)

/* What an unfinished message has room for at once: from here on it lies in pages of its own. */
#define FIRST_ROOM_BYTES ((size_t)128 * 1024)

static const struct verdict go_on = {.next = GO_ON};

static bool begin(struct conversation *c)
{
    const struct server_settings *settings = &c->worker->server->settings;
    struct numbered *n = calloc(1, sizeof(*n));

    c->flow_state.numbered = n;
    if (n == NULL) {
        return false;
    }
    count(&c->worker->stats.numbered, 1);
    buffer_init(&c->out,
                QUEUE_MARK_BYTES + NUMBERED_SLACK_BYTES + settings->max_message_bytes +
                    NUMBERED_REPLY_EXTRA + FLOW_HEAD_MAX + FRAME_HEADER_MAX + FRAME_BYE_TEXT_MAX,
                0);
    buffer_use_spares(&c->out, &c->worker->spares);
    return true;
}

static struct partial *want_partial(struct conversation *c)
{
    struct numbered *n = numbered_of(c);

    if (n->partial == NULL) {
        n->partial = calloc(1, sizeof(*n->partial));
        if (n->partial != NULL) {
            frame_reader_init(&n->partial->reader, FRAME_FROM_CLIENT);
            buffer_init(&n->partial->ahead, 2 * TLS_RECORD_BYTES, 0);
            buffer_init(&n->partial->body, c->worker->server->settings.max_message_bytes, 0);
        }
    }
    return n->partial;
}

static void drop_partial(struct numbered *n)
{
    if (n->partial != NULL) {
        buffer_fini(&n->partial->ahead);
        buffer_fini(&n->partial->body);
        free(n->partial);
        n->partial = NULL;
    }
}

/* A frame has begun, and its rest is still to come. */
static bool is_within_a_frame(const struct numbered *n)
{
    const struct partial *p = n->partial;

    return p != NULL && (p->began_ns != 0 || !frame_reader_is_between(&p->reader));
}

static void end(struct conversation *c)
{
    struct numbered *n = numbered_of(c);
    struct worker *w = c->worker;

    if (n == NULL) {
        return;
    }
    c->flow_state.numbered = NULL;
    if (n->hold != NULL && n->undecided) {
        list_append(&w->leaving, &n->hold->link);
    } else if (n->hold != NULL) {
        worker_leave_producer(w, n->hold);
    }
    digest_free(n->digest);
    drop_partial(n);
    free(n->producer);
    free(n);
}

/* --- messages --------------------------------------------------------------------------------- */

static struct verdict begin_message(struct conversation *c, const struct frame *frame)
{
    struct numbered *n = numbered_of(c);
    uint64_t highest = n->last + 1 > n->from ? n->last + 1 : n->from;

    if (n->greeting == GREETING_AWAITED) {
        return numbered_refuse(c, 400, "a message before HELLO");
    }
    if (n->first == 0 ? frame->number < n->from || frame->number > highest
                      : frame->number != n->next) {
        return numbered_refuse(c, 400, "a number out of order");
    }
    if (frame->len > c->worker->server->settings.max_message_bytes) {
        return numbered_refuse(c, 413, "a message longer than max");
    }
    n->number = frame->number;
    n->len = (size_t)frame->len;
    return go_on;
}

/* Judges a number that the producer has sent before; says whether it is a duplicate. */
static bool is_known(const struct conversation *c, const unsigned char *hash, bool *differs)
{
    const struct numbered *n = numbered_of(c);
    const struct producer *producer = n->hold != NULL ? n->hold->producer : NULL;

    *differs = false;
    /* Who keeps the numbers compares the bytes as well. */
    if (c->worker->server->handler.hello != NULL) {
        return producer != NULL && n->number <= n->last;
    }
    if (producer == NULL || n->number > producer->last) {
        return false;
    }
    /* Of older ones nothing but the number is kept. */
    *differs = n->number == producer->last && producer->has_hash &&
               memcmp(hash, producer->hash, PRODUCER_HASH_BYTES) != 0;
    return true;
}

/* Remembers what is taken now. */
static void remember(struct numbered *n, const unsigned char *hash, bool duplicate)
{
    if (n->hold != NULL && !duplicate) {
        struct producer *producer = n->hold->producer;

        producer->last = n->number;
        memcpy(producer->hash, hash, PRODUCER_HASH_BYTES);
        producer->has_hash = true;
    }
    n->first = n->first == 0 ? n->number : n->first;
    n->next = n->number + 1;
    n->undecided = true;
}

/* A message is whole, and valid UTF-8. */
static inline struct verdict dispatch(struct conversation *c, const char *data)
{
    struct numbered *n = numbered_of(c);
    unsigned char hash[DIGEST_BYTES];
    bool differs;
    bool duplicate;
    struct incoming in = {.data = data, .len = n->len, .number = n->number};

    if (n->digest != NULL) {
        if (!digest_end(n->digest, hash)) {
            return numbered_no_memory(c);
        }
        in.hash = hash;
        in.producer = n->producer;
    }
    duplicate = is_known(c, hash, &differs);
    if (differs) {
        return numbered_refuse(c, 412, "other bytes under a known number");
    }
    in.duplicate = duplicate;
    if (duplicate) {
        n->duplicates++;
        count(&c->worker->stats.duplicates, 1);
    }
    remember(n, hash, duplicate);
    return messages_dispatch(c, &in);
}

/* A message that lies whole in what was received: it is handed on from there. */
static struct verdict take_whole(struct conversation *c, const struct frame_piece *piece)
{
    struct numbered *n = numbered_of(c);
    struct verdict verdict = begin_message(c, &piece->frame);

    if (verdict.next != GO_ON) {
        return verdict;
    }
    if (n->digest != NULL && !digest_add(n->digest, piece->data, piece->len)) {
        return numbered_no_memory(c);
    }
    if (!utf8_is_valid(piece->data, piece->len)) {
        return numbered_refuse(c, 415, "bytes that are not UTF-8");
    }
    return dispatch(c, piece->data);
}

static struct verdict begin_part(struct conversation *c, const struct frame *frame)
{
    struct partial *p = numbered_of(c)->partial;

    p->checked = 0;
    p->began_ns = c->worker->now_ns;
    p->touched_ns = c->worker->now_ns;
    return begin_message(c, frame);
}

static struct verdict take_part(struct conversation *c, const struct frame_piece *piece)
{
    struct numbered *n = numbered_of(c);
    struct partial *p = n->partial;
    size_t whole = 0;

    if (n->digest != NULL && !digest_add(n->digest, piece->data, piece->len)) {
        return numbered_no_memory(c);
    }
    /* Room that nothing is written to costs nothing, and growing would leave holes behind. */
    if ((p->body.cap == 0 &&
         buffer_reserve(&p->body, n->len < FIRST_ROOM_BYTES ? n->len : FIRST_ROOM_BYTES) !=
             TLSMSG_OK) ||
        buffer_append(&p->body, piece->data, piece->len) != TLSMSG_OK) {
        return numbered_no_memory(c);
    }
    if (utf8_check(buffer_head(&p->body) + p->checked, p->body.len - p->checked, &whole) ==
        UTF8_INVALID) {
        return numbered_refuse(c, 415, "bytes that are not UTF-8");
    }
    p->checked += whole;
    p->touched_ns = c->worker->now_ns;
    return go_on;
}

static struct verdict shed(struct conversation *c)
{
    worker_event(c->worker, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_LIMIT, c,
                 "--max-buffered is reached: its unfinished message is dropped");
    drop_partial(numbered_of(c));
    return numbered_bye(c, 503, "busy");
}

static struct verdict end_message(struct conversation *c)
{
    struct partial *p = numbered_of(c)->partial;
    struct verdict verdict;

    if (p->checked < p->body.len) {
        return numbered_refuse(c, 415, "bytes that are not UTF-8");
    }
    if (p->body.len > CREDIT_BYTES && !worker_has_room(c->worker, p->body.len)) {
        return shed(c);
    }
    verdict = dispatch(c, buffer_head(&p->body));
    buffer_consume(&p->body, p->body.len);
    p->began_ns = 0;
    return verdict;
}

/* A hold stops messages, but not a greeting, which has none before it; a greeting that waits for its
 * answer stops what follows. */
static bool is_stopped(const struct conversation *c)
{
    const struct numbered *n = numbered_of(c);

    return n->greeting == GREETING_DONE ? c->worker->held : numbered_is_waiting(n);
}

static size_t kept_bytes(const struct conversation *c)
{
    const struct numbered *n = numbered_of(c);

    return n != NULL && n->partial != NULL ? n->partial->ahead.len + n->partial->body.len : 0;
}

/* Whether the next message may be taken: the queue has room for the longest reply beside what waits
 * there. */
static bool may_read(const struct conversation *c)
{
    const struct server_settings *settings = &c->worker->server->settings;

    if (is_stopped(c)) {
        return false;
    }
    return c->deferred.count < settings->window &&
           c->out.len <= QUEUE_MARK_BYTES + NUMBERED_SLACK_BYTES &&
           kept_bytes(c) + c->out.len + c->deferred.bytes <=
               settings->max_message_bytes + NUMBERED_SLACK_BYTES;
}

/* Who has greeted waits for the next iteration where this one has taken in what it may. */
static bool has_had_enough(const struct conversation *c)
{
    return worker_is_spent(c->worker) && numbered_of(c)->greeting == GREETING_DONE;
}

/* The next piece of a frame that isn't whole here. */
static struct verdict step(struct conversation *c, const char **data, size_t *len)
{
    struct partial *p = want_partial(c);
    struct frame_piece piece;

    if (p == NULL) {
        return numbered_no_memory(c);
    }
    switch (frame_read(&p->reader, data, len, &piece)) {
    case FRAME_EVENT_HEADER:
        return piece.frame.kind == FRAME_HELLO ? numbered_greet(c, &piece.frame.hello)
                                               : begin_part(c, &piece.frame);
    case FRAME_EVENT_BODY:
        return take_part(c, &piece);
    case FRAME_EVENT_END:
        return end_message(c);
    case FRAME_EVENT_BROKEN:
        return numbered_refuse(c, 400, piece.why);
    default:
        return go_on;
    }
}

static struct verdict take(struct conversation *c, const char *data, size_t len)
{
    struct numbered *n = numbered_of(c);
    struct verdict verdict = go_on;
    struct frame_piece piece;

    while (verdict.next == GO_ON && len > 0 && may_read(c) && !has_had_enough(c)) {
        if (!is_within_a_frame(n) && frame_read_whole(FRAME_FROM_CLIENT, &data, &len, &piece)) {
            verdict = take_whole(c, &piece);
        } else {
            verdict = step(c, &data, &len);
        }
    }
    if (verdict.next == GO_ON && len > 0 &&
        (want_partial(c) == NULL || buffer_append(&n->partial->ahead, data, len) != TLSMSG_OK)) {
        return numbered_no_memory(c);
    }
    if (n->partial != NULL && n->partial->ahead.len == 0 && !is_within_a_frame(n)) {
        drop_partial(n);
    }
    return verdict;
}

static struct verdict received(struct conversation *c, char *data, size_t len)
{
    return take(c, data, len);
}

static struct verdict ended(struct conversation *c)
{
    /* Within a frame the peer's end is no less orderly; what is unfinished was never promised. */
    if (is_within_a_frame(numbered_of(c))) {
        worker_event(c->worker, TLSMSG_LOG_INFO, TLSMSG_CAUSE_TRUNCATED, c, "ended within a frame");
    }
    return (struct verdict){FINISH, TLSMSG_CLOSE_CLEAN};
}

static size_t reply_head(const struct conversation *c, uint64_t message, size_t len,
                         char head[FLOW_HEAD_MAX])
{
    return frame_print_ok(head, numbered_of(c)->first + message - 1, len);
}

/* --- deadlines -------------------------------------------------------------------------------- */

/* What the end of a hold has moved on: the peer isn't slow because we didn't listen. */
static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t deadline(const struct conversation *c)
{
    const struct server_settings *settings = &c->worker->server->settings;
    const struct numbered *n = numbered_of(c);
    const struct partial *p = n->partial;
    int64_t due;

    if (p == NULL || p->began_ns == 0) {
        return n->greeting == GREETING_AWAITED && messages_may_read(c)
                   ? clock_deadline_ns(later(c->since_ns, c->activity_ns),
                                       settings->handshake_timeout_ms)
                   : 0;
    }
    if (!may_read(c)) {
        return 0;
    }
    due = clock_deadline_ns(later(p->touched_ns, c->activity_ns), settings->write_timeout_ms);
    if (n->len > RATE_BYTES) {
        int64_t earned_ns = (int64_t)(p->body.len / RATE_BYTES) * CLOCK_NS_PER_S;

        due = clock_earlier_ns(due, later(p->began_ns, c->activity_ns) + earned_ns + RATE_GRACE_NS);
    }
    return due;
}

static struct verdict expired(struct conversation *c)
{
    const struct numbered *n = numbered_of(c);
    struct verdict verdict = numbered_bye(c, 503, "too slow");

    worker_event(c->worker, TLSMSG_LOG_WARNING, TLSMSG_CAUSE_TIMEOUT, c,
                 n->greeting == GREETING_AWAITED ? "sent no HELLO in time"
                                                 : "brings a message too slowly");
    verdict.reason = TLSMSG_CLOSE_TIMEOUT;
    return verdict;
}

/* --- other connections ------------------------------------------------------------------------ */

/* What had come behind the greeting; what is left of it, if anything, is kept anew. */
static struct verdict take_ahead(struct conversation *c)
{
    struct partial *p = numbered_of(c)->partial;
    struct verdict verdict = go_on;
    struct buffer ahead;

    /* During a hold messages wait: they come when it has ended. */
    if (p != NULL && p->ahead.len > 0 && !c->worker->held) {
        ahead = p->ahead;
        buffer_init(&p->ahead, ahead.limit, 0);
        verdict = take(c, buffer_head(&ahead), ahead.len);
        buffer_fini(&ahead);
    }
    return verdict;
}

/* What it waited for may have come: its producer, or the end of a hold. */
static struct verdict woken(struct conversation *c)
{
    struct verdict verdict = numbered_look(c);

    return verdict.next == GO_ON && numbered_of(c)->greeting == GREETING_DONE ? take_ahead(c)
                                                                              : verdict;
}

static struct verdict greeted(struct conversation *c, uint64_t last, enum tlsmsg_promise promise)
{
    struct verdict verdict = numbered_greeted(c, last, promise);

    return verdict.next == GO_ON ? take_ahead(c) : verdict;
}

static const char *text_of(unsigned code)
{
    switch (code) {
    case 412:
        return "other bytes under a known number";
    case 413:
        return "a message longer than max";
    case 415:
        return "bytes that are not UTF-8";
    case 507:
        return "no room";
    default:
        return "busy";
    }
}

/* Bytes of out that stand before the reply to a message. What was not released yet is whole frames,
 * each with the number and the length that its header says. */
static size_t bytes_before(const struct conversation *c, uint64_t number)
{
    const char *at = buffer_head(&c->out) + c->released;
    size_t len = c->out.len - c->released;
    struct frame_reader reader;
    struct frame_piece piece;
    const char *header = at;
    enum frame_event event;

    frame_reader_init(&reader, FRAME_FROM_SERVER);
    while (len > 0 && (event = frame_read(&reader, &at, &len, &piece)) != FRAME_EVENT_BROKEN) {
        if (event == FRAME_EVENT_HEADER && piece.frame.kind == FRAME_OK &&
            piece.frame.number >= number) {
            return (size_t)(header - buffer_head(&c->out));
        }
        if (frame_reader_is_between(&reader)) {
            header = at;
        }
    }
    return c->out.len;
}

static struct verdict refused(struct conversation *c, uint64_t message, unsigned code)
{
    struct numbered *n = numbered_of(c);
    size_t kept = c->released;

    if (message > 0 && c->out.len > c->released) {
        kept = bytes_before(c, n->first + message - 1);
    }
    messages_drop_undecided(c, kept);
    /* It ends already, for a reason of its own, and must not answer what was not taken. */
    if (n->code != 0) {
        return go_on;
    }
    worker_event(c->worker, code == 412 ? TLSMSG_LOG_WARNING : TLSMSG_LOG_INFO, TLSMSG_CAUSE_OTHER,
                 c, "refused, BYE %u: %s; the conversation is closed", code, text_of(code));
    return numbered_bye(c, code, text_of(code));
}

static struct verdict taken_over(struct conversation *c)
{
    struct numbered *n = numbered_of(c);

    messages_drop_undecided(c, c->released);
    c->hurry_ns = c->worker->now_ns;
    n->code = 409;
    n->text = "taken over";
    worker_event(c->worker, TLSMSG_LOG_INFO, TLSMSG_CAUSE_OTHER, c,
                 "a later connection of producer '%s' takes over", n->producer);
    return (struct verdict){FINISH, TLSMSG_CLOSE_REFUSED};
}

static void decided(struct conversation *c)
{
    struct numbered *n = numbered_of(c);

    if (n != NULL) {
        n->undecided = false;
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Why it ends, for who has given no code of its own. */
static void code_of(const struct conversation *c, unsigned *code, const char **text)
{
    *code = 0;
    *text = NULL;
    if (c->reason == TLSMSG_CLOSE_DRAINED) {
        *code = 503;
        *text = "stopping";
    } else if (c->reason == TLSMSG_CLOSE_TIMEOUT) {
        *code = 503;
        *text = "idle";
    }
}

static void farewell(struct conversation *c)
{
    const struct numbered *n = numbered_of(c);
    char line[FRAME_HEADER_MAX + FRAME_BYE_TEXT_MAX + 1];
    unsigned code = n->code;
    const char *text = n->text;
    size_t len;

    if (code == 0) {
        code_of(c, &code, &text);
    }
    if (code == 0) {
        return;
    }
    stats_bye(&c->worker->stats, code);
    len = frame_print_bye(line, code, strlen(text));
    memcpy(line + len, text, strlen(text));
    len += strlen(text);
    line[len++] = '\n';
    (void)messages_say(c, line, len); /* without memory it ends all the same */
}

static void report(const struct conversation *c, struct tlsmsg_closed *closed)
{
    const struct numbered *n = numbered_of(c);
    const char *text;

    if (n == NULL) {
        return;
    }
    closed->code = n->code;
    if (closed->code == 0) {
        code_of(c, &closed->code, &text);
    }
    closed->duplicates = n->duplicates;
    closed->messages -= n->duplicates;
    closed->producer = n->producer;
}

const struct flow flow_numbered = {
    .name = FRAME_PROTOCOL,
    .begin = begin,
    .received = received,
    .ended = ended,
    .may_read = may_read,
    .kept_bytes = kept_bytes,
    .shed = shed,
    .reply_head = reply_head,
    .deadline = deadline,
    .expired = expired,
    .woken = woken,
    .greeted = greeted,
    .refused = refused,
    .taken_over = taken_over,
    .decided = decided,
    .farewell = farewell,
    .report = report,
    .end = end,
};
