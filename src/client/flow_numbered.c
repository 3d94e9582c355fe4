/* tlsmsg/1 (tlsmsg(7)): messages with numbers, of which many may be unanswered.
 *
 * A frame goes out in pieces of a record, and what arrives is taken apart at once: replies wait
 * whole and in order until they are received. A server is believed nothing that the rules exclude:
 * a reply to what was not sent, out of order or too long ends the conversation. Memory for replies
 * grows only as their bytes come, and reading stops while many wait. */
#include "client/internal.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/escape.h"

/* What a server's greeting is cut down to, whatever it says. */
#define GREETING_MAX_MAX ((uint64_t)64 * 1024 * 1024)
#define GREETING_WINDOW_MAX 65536

/* Before each reply in the buffer. */
struct reply_head {
    uint64_t number;
    size_t len;
};

static void begin(struct tlsmsg_client *c)
{
    struct client_numbered *n = &c->numbered;

    memset(n, 0, sizeof(*n));
    frame_reader_init(&n->reader, FRAME_FROM_SERVER);
    buffer_init(&n->in, SIZE_MAX, 0);
    n->arrived = c->numbers.from;
    n->piece_len = frame_print_client_hello(n->piece, c->producer[0] != '\0' ? c->producer : NULL,
                                            c->numbers.from);
    c->deadline_ns = clock_deadline_ns(clock_now_ns(), c->settings.reply_timeout_ms);
}

static void end(struct tlsmsg_client *c)
{
    buffer_fini(&c->numbered.in);
}

static bool has_room(const struct client_numbered *n)
{
    return n->whole < CLIENT_QUEUE_MAX;
}

static short events(const struct tlsmsg_client *c)
{
    const struct client_numbered *n = &c->numbered;
    short events = has_room(n) ? POLLIN : 0;

    return n->piece_at < n->piece_len ? (short)(events | n->wants) : events;
}

static bool has_reply(const struct tlsmsg_client *c)
{
    return c->numbered.whole > 0;
}

/* Something has moved: the server has its time anew, as long as it owes anything. */
static void touch(struct tlsmsg_client *c)
{
    const struct client_numbered *n = &c->numbered;
    bool due = !n->greeted || n->sending || n->arrived < c->numbers.next;

    c->deadline_ns = due ? clock_deadline_ns(clock_now_ns(), c->settings.reply_timeout_ms) : 0;
}

/* --- what arrives ----------------------------------------------------------------------------- */

static void break_off(struct tlsmsg_client *c, enum tlsmsg_code code, const char *why)
{
    c->end = CLIENT_END_ERROR;
    error_set(&c->end_error, code, 0, "%s%s",
              code == TLSMSG_ERR_PROTOCOL ? "the server broke tlsmsg/1: " : "", why);
}

static void take_greeting(struct tlsmsg_client *c, const struct frame_hello *hello)
{
    struct client_numbered *n = &c->numbered;
    uint64_t window = c->settings.window != 0 ? c->settings.window : GREETING_WINDOW_MAX;

    if (n->greeted) {
        break_off(c, TLSMSG_ERR_PROTOCOL, "a second HELLO");
        return;
    }
    n->greeted = true;
    n->greeting = (struct tlsmsg_greeting){
        .last = hello->last,
        .max = hello->max < GREETING_MAX_MAX ? hello->max : GREETING_MAX_MAX,
        .window = hello->window < window ? hello->window : window,
        .promise = (enum tlsmsg_promise)hello->promise,
    };
    touch(c);
}

/* A reply or a BYE begins; its bytes go behind a head of their own. */
static void begin_body(struct tlsmsg_client *c, const struct frame *frame)
{
    struct client_numbered *n = &c->numbered;
    struct reply_head head = {.number = frame->number, .len = (size_t)frame->len};

    if (frame->kind == FRAME_BYE) {
        n->code = frame->code;
    } else if (!n->greeted) {
        break_off(c, TLSMSG_ERR_PROTOCOL, "a reply before HELLO");
        return;
    } else if (frame->number >= c->numbers.next) {
        break_off(c, TLSMSG_ERR_PROTOCOL, "a reply to a message that was not sent");
        return;
    } else if (frame->number != n->arrived) {
        break_off(c, TLSMSG_ERR_PROTOCOL, "replies out of order");
        return;
    } else if (frame->len > n->greeting.max + FRAME_OK_EXTRA_MAX) {
        break_off(c, TLSMSG_ERR_PROTOCOL, "a reply longer than its max allows");
        return;
    }
    if (buffer_append(&n->in, &head, sizeof(head)) != TLSMSG_OK) {
        break_off(c, TLSMSG_ERR_NOMEM, "out of memory");
    }
}

static void add_body(struct tlsmsg_client *c, const char *data, size_t len)
{
    if (buffer_append(&c->numbered.in, data, len) != TLSMSG_OK) {
        break_off(c, TLSMSG_ERR_NOMEM, "out of memory");
    }
    touch(c);
}

static void take_bye(struct tlsmsg_client *c, const char *text, size_t len)
{
    char shown[256];

    c->bye = c->numbered.code;
    shown[escape_text(shown, sizeof(shown) - 1, text, len)] = '\0';
    c->end = CLIENT_END_ERROR;
    error_set(&c->end_error, TLSMSG_ERR_BYE, 0, "the server ended the conversation: %s (BYE %u)",
              shown, c->bye);
}

static void end_body(struct tlsmsg_client *c)
{
    struct client_numbered *n = &c->numbered;
    size_t before = n->taken + n->whole;
    const char *text = buffer_head(&n->in) + before + sizeof(struct reply_head);
    size_t len = n->in.len - before - sizeof(struct reply_head);

    if (!utf8_is_valid(text, len)) {
        break_off(c, TLSMSG_ERR_UTF8, "the reply is not valid UTF-8");
    } else if (n->code != 0) {
        take_bye(c, text, len);
    } else {
        n->whole += sizeof(struct reply_head) + len;
        n->arrived++;
        c->replied = true;
        touch(c);
    }
}

static void take(struct tlsmsg_client *c, const char *data, size_t len)
{
    while (c->end == CLIENT_END_NONE) {
        struct frame_piece piece;

        switch (frame_read(&c->numbered.reader, &data, &len, &piece)) {
        case FRAME_EVENT_MORE:
            return;
        case FRAME_EVENT_HEADER:
            if (piece.frame.kind == FRAME_HELLO) {
                take_greeting(c, &piece.frame.hello);
            } else {
                begin_body(c, &piece.frame);
            }
            break;
        case FRAME_EVENT_BODY:
            add_body(c, piece.data, piece.len);
            break;
        case FRAME_EVENT_END:
            end_body(c);
            break;
        case FRAME_EVENT_BROKEN:
            break_off(c, TLSMSG_ERR_PROTOCOL, piece.why);
            break;
        }
    }
}

/* Ends soon whatever the server pours out: the source's budget and the room for replies bound it. */
static void pull(struct tlsmsg_client *c)
{
    struct client_numbered *n = &c->numbered;

    while (c->end == CLIENT_END_NONE && has_room(n)) {
        size_t got = client_recv(c, n->chunk, sizeof(n->chunk));

        if (got == 0) {
            return;
        }
        c->numbers.heard_ns = clock_since_boot_ns();
        take(c, n->chunk, got);
    }
}

/* --- what leaves ------------------------------------------------------------------------------ */

/* Copies of a part of the frame what fits into the piece; start: where the part begins in it. */
static void fill_from(struct client_numbered *n, size_t start, const char *part, size_t len)
{
    size_t room = sizeof(n->piece) - n->piece_len;
    size_t skip = n->at - start;
    size_t count;

    if (n->at < start || skip >= len) {
        return;
    }
    count = len - skip < room ? len - skip : room;
    memcpy(n->piece + n->piece_len, part + skip, count);
    n->piece_len += count;
    n->at += count;
}

static bool fill(struct client_numbered *n, const char *data)
{
    n->piece_len = n->piece_at = 0;
    if (n->sending) {
        fill_from(n, 0, n->head, n->head_len);
        fill_from(n, n->head_len, data, n->len);
        fill_from(n, n->head_len + n->len, "\n", 1);
    }
    return n->piece_len > 0;
}

/* Hands what waits to the transport, and with data the rest of the message. OK when it is out, AGAIN when it is blocked; else end is set. */
static enum tlsmsg_client_result push(struct tlsmsg_client *c, const char *data)
{
    struct client_numbered *n = &c->numbered;

    do {
        while (n->piece_at < n->piece_len) {
            size_t put = 0;
            enum tlsmsg_client_result result =
                client_put(c, n->piece + n->piece_at, n->piece_len - n->piece_at, &put, &n->wants);

            if (result != TLSMSG_CLIENT_OK) {
                return result;
            }
            n->piece_at += put;
            touch(c);
        }
    } while (data != NULL && fill(n, data));
    return TLSMSG_CLIENT_OK;
}

/* What came before the end is received first. */
static enum tlsmsg_client_result ended(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    c->numbered.sending = false;
    return has_reply(c) ? TLSMSG_CLIENT_FULL : client_tell_end(c, err);
}

static enum tlsmsg_client_result greet(struct tlsmsg_client *c, struct tlsmsg_error *err)
{
    struct client_numbered *n = &c->numbered;

    if (!n->greeted && c->end == CLIENT_END_NONE) {
        (void)push(c, NULL);
        pull(c);
    }
    if (n->greeted) {
        return TLSMSG_CLIENT_OK;
    }
    return c->end != CLIENT_END_NONE
               ? client_tell_end(c, err)
               : client_again(c, c->settings.reply_timeout_ms, "no HELLO", err);
}

/* Gives the message its number and its header. */
static enum tlsmsg_client_result begin_message(struct tlsmsg_client *c, size_t len,
                                               struct tlsmsg_error *err)
{
    struct client_numbered *n = &c->numbered;
    struct client_numbers *numbers = &c->numbers;

    if (len > n->greeting.max) {
        error_set(err, TLSMSG_ERR_LIMIT, 0,
                  "a message of %zu bytes is over the server's limit of %" PRIu64 " bytes", len,
                  n->greeting.max);
        return TLSMSG_CLIENT_ERROR;
    }
    if (numbers->next <= n->greeting.last && numbers->next > numbers->known) {
        error_set(err, TLSMSG_ERR_STATE, 0,
                  "the server has messages up to %" PRIu64 " of this producer, so %" PRIu64
                  " can't be given to a new one",
                  n->greeting.last, numbers->next);
        return TLSMSG_CLIENT_ERROR;
    }
    if (numbers->next - numbers->from >= n->greeting.window || !has_room(n)) {
        return TLSMSG_CLIENT_FULL;
    }
    n->sending = true;
    n->len = len;
    n->at = 0;
    n->head_len = frame_print_msg(n->head, numbers->next, len);
    if (numbers->known < numbers->next) {
        numbers->known = numbers->next;
    }
    touch(c);
    return TLSMSG_CLIENT_OK;
}

static enum tlsmsg_client_result send_step(struct tlsmsg_client *c, const char *data, size_t len,
                                           struct tlsmsg_error *err)
{
    struct client_numbered *n = &c->numbered;
    enum tlsmsg_client_result result = greet(c, err);

    if (result != TLSMSG_CLIENT_OK) {
        return result;
    }
    if (n->sending ? len != n->len : len == 0) {
        return client_misused(err, len == 0 ? "a message has at least 1 byte"
                                            : "another message is still being sent");
    }
    if (c->end != CLIENT_END_NONE) {
        return ended(c, err);
    }
    result = n->sending ? TLSMSG_CLIENT_OK : begin_message(c, len, err);
    if (result != TLSMSG_CLIENT_OK) {
        return result;
    }
    result = push(c, data);
    if (result == TLSMSG_CLIENT_OK) {
        n->sending = false;
        c->numbers.next++;
        touch(c);
        return TLSMSG_CLIENT_OK;
    }
    if (result == TLSMSG_CLIENT_AGAIN) {
        pull(c);
    }
    if (c->end != CLIENT_END_NONE) {
        return ended(c, err);
    }
    if (!has_room(n)) {
        return TLSMSG_CLIENT_FULL;
    }
    return client_again(c, c->settings.reply_timeout_ms, "the server took no more of the message",
                        err);
}

/* --- replies ---------------------------------------------------------------------------------- */

static void hand_out(struct tlsmsg_client *c, const char **data, size_t *len)
{
    struct client_numbered *n = &c->numbered;
    struct reply_head head;

    memcpy(&head, buffer_head(&n->in), sizeof(head));
    *data = buffer_head(&n->in) + sizeof(head);
    *len = head.len;
    n->taken = sizeof(head) + head.len;
    n->whole -= n->taken;
    c->numbers.reply = head.number;
    c->numbers.from = head.number + 1;
}

static enum tlsmsg_client_result receive_step(struct tlsmsg_client *c, const char **data,
                                              size_t *len, struct tlsmsg_error *err)
{
    struct client_numbered *n = &c->numbered;

    buffer_consume(&n->in, n->taken);
    n->taken = 0;
    if (!has_reply(c) && c->end == CLIENT_END_NONE) {
        if (!n->sending) { /* else it is its sender's */
            (void)push(c, NULL);
        }
        pull(c);
    }
    if (has_reply(c)) {
        hand_out(c, data, len);
        return TLSMSG_CLIENT_OK;
    }
    if (c->end != CLIENT_END_NONE) {
        return client_tell_end(c, err);
    }
    if (c->blocking && n->greeted && n->arrived == c->numbers.next && !n->sending) {
        return client_misused(err, "no message is unanswered");
    }
    return client_again(c, c->settings.reply_timeout_ms, n->greeted ? "no reply" : "no HELLO", err);
}

const struct client_flow client_numbered_flow = {
    .begin = begin,
    .send = send_step,
    .receive = receive_step,
    .pull = pull,
    .events = events,
    .has_reply = has_reply,
    .greet = greet,
    .end = end,
};
