/* See delivery.h. The library numbers the messages and keeps the rules of the wire; what is kept
 * here is the messages themselves, the reconnecting, and what a server's greeting must say for it.
 * Main thread. */
#include "app/client/delivery.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"

#define BYTES_MAX ((size_t)16 * 1024 * 1024) /* kept at once, or one message */
#define REPLIES_MAX 32 /* taken at once, so that the next messages are on their way early */
#define PAUSE_FIRST_MS 100
#define PAUSE_MAX_MS 5000
#define MAX_BYTES ((uint64_t)1024 * 1024) /* of a message, until a server says what it takes */

void delivery_init(struct delivery *d, struct tlsmsg_client *client,
                   const struct delivery_style *style)
{
    *d = (struct delivery){
        .style = *style, .client = client, .first = 1, .max = MAX_BYTES, .connected = true};
    if (style->spooling != NULL) {
        d->first = spooling_first(style->spooling);
        d->connected = false;
        d->progress_ns = d->retry_at_ns = clock_now_ns();
    }
    tlsmsg_client_set_blocking(client, false);
}

static void drop_all(struct delivery *d)
{
    while (d->count > 0) {
        free(d->ring[d->head].data);
        d->head = (d->head + 1) % d->cap;
        d->count--;
    }
    d->sent = d->ever_sent = d->bytes = 0;
}

void delivery_fini(struct delivery *d)
{
    drop_all(d);
    free(d->ring);
    d->ring = NULL;
}

static struct delivery_message *at(const struct delivery *d, size_t i)
{
    return &d->ring[(d->head + i) % d->cap];
}

struct delivery_message *delivery_tail(struct delivery *d)
{
    return d->count > 0 ? at(d, d->count - 1) : NULL;
}

const struct delivery_message *delivery_head(const struct delivery *d)
{
    return d->count > 0 ? at(d, 0) : NULL;
}

bool delivery_has_room(const struct delivery *d)
{
    if (d->count == 0) {
        return true;
    }
    return d->connected && d->count < d->window && d->bytes < BYTES_MAX;
}

const struct delivery_message *delivery_second(const struct delivery *d)
{
    return d->ever_sent > 1 ? at(d, 1) : NULL;
}

/* Twice the places, with the oldest message in the first. */
static bool grow(struct delivery *d)
{
    size_t cap = d->cap == 0 ? 16 : 2 * d->cap;
    struct delivery_message *ring = calloc(cap, sizeof(*ring));

    if (ring == NULL) {
        return false;
    }
    for (size_t i = 0; i < d->count; i++) {
        ring[i] = *at(d, i);
    }
    free(d->ring);
    d->ring = ring;
    d->cap = cap;
    d->head = 0;
    return true;
}

struct delivery_message *delivery_add(struct delivery *d, const struct delivery_message *message,
                                      const char *data, size_t len)
{
    struct delivery_message *place;
    char *copy = malloc(len);

    if (copy == NULL || (d->count == d->cap && !grow(d))) {
        free(copy);
        return NULL;
    }
    memcpy(copy, data, len);
    if (d->count == 0) {
        d->progress_ns = clock_now_ns();
    }
    place = at(d, d->count++);
    *place = *message;
    place->data = copy;
    place->len = len;
    d->bytes += len;
    return place;
}

/* The oldest message has its reply. */
static void retire(struct delivery *d)
{
    struct delivery_message *oldest = at(d, 0);

    d->bytes -= oldest->len;
    free(oldest->data);
    d->head = (d->head + 1) % d->cap;
    d->count--;
    d->sent--;
    d->ever_sent--;
    d->first++;
    d->progress_ns = clock_now_ns();
}

static enum exit_code fail(struct delivery *d, enum exit_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum exit_code fail(struct delivery *d, enum exit_code code, const char *format, ...)
{
    va_list args;

    tlsmsg_error_clear(&d->err);
    d->err.code = TLSMSG_ERR_STATE;
    va_start(args, format);
    (void)vsnprintf(d->err.text, sizeof(d->err.text), format, args);
    va_end(args);
    return code;
}

/* --- the server's greeting -------------------------------------------------------------------- */

uint64_t delivery_known(const struct delivery *d)
{
    return d->known;
}

/* The server has less than it had acknowledged. Nothing hides it. */
static void tell_set_back(struct delivery *d, const struct tlsmsg_greeting *hello)
{
    if (hello->promise != TLSMSG_PROMISE_NONE) {
        startup_warn(d->style.program,
                     "error: the server has lost messages that it had acknowledged: up to %" PRIu64
                     ", and it has %" PRIu64 " (%s)",
                     d->first - 1, hello->last,
                     hello->last == 0 ? "is it another server?" : "was an old backup restored?");
    } else if (!d->set_back_told && d->ever_sent > 0) {
        d->set_back_told = true;
        startup_warn(d->style.program,
                     "the server has started anew without a store: messages %" PRIu64 " to %" PRIu64
                     ", which had no answer, may stand in its transcript twice",
                     at(d, 0)->seq, at(d, d->ever_sent - 1)->seq);
    }
}

/* The first greeting of this run: where the spool begins. */
static enum exit_code meet_spool(struct delivery *d, const struct tlsmsg_greeting *hello)
{
    uint64_t first;

    if (spooling_meet(d->style.spooling, hello->last, &first, &d->err) != TLSMSG_OK) {
        return EXIT_OTHER;
    }
    if (hello->last + 1 < d->first) {
        tell_set_back(d, hello);
    }
    drop_all(d); /* to be loaded anew from there */
    d->first = first;
    d->known = hello->last;
    return tlsmsg_client_number_from(d->client, first, &d->err) == TLSMSG_OK ? EXIT_DONE
                                                                             : EXIT_OTHER;
}

/* The server can't promise what is needed. */
static enum exit_code fail_promise(struct delivery *d, bool is_first)
{
    return fail(d, is_first ? EXIT_NO_CONNECTION : EXIT_CUT,
                "the server keeps no messages over a restart (promise=none), which %s needs; try: "
                "--store on the server",
                d->style.spooling != NULL ? "--spool" : "--producer");
}

/* A number that this program hasn't sent. */
static enum exit_code fail_shared(struct delivery *d, uint64_t last)
{
    const char *producer = d->style.producer;

    return fail(d, EXIT_OTHER,
                "the server has messages of %s%s up to %" PRIu64 ", and this program has sent "
                "%" PRIu64 ": another program uses %s",
                producer != NULL ? "producer " : "this program's own name",
                producer != NULL ? producer : "", last, d->known,
                d->style.spooling != NULL ? "a copy of the spool" : "the name");
}

/* Whether the greeting of a server that was there before fits what was sent; is_first: it is the
 * first of this run. */
static enum exit_code judge(struct delivery *d, bool is_first)
{
    const struct tlsmsg_greeting *hello = tlsmsg_client_hello(d->client);
    const char *producer = d->style.producer;

    if (hello == NULL) {
        return fail(d, is_first ? EXIT_NO_CONNECTION : EXIT_CUT,
                    "the server no longer speaks tlsmsg/1");
    }
    if (d->first > 1 && tlsmsg_client_number(d->client) == 0) { /* a new name, after long silence */
        d->first = 1;
        d->known = 0;
    }
    d->max = hello->max;
    d->window = (size_t)hello->window;
    d->greeted = true;
    if (producer != NULL && hello->promise == TLSMSG_PROMISE_NONE) {
        return fail_promise(d, is_first);
    }
    if (d->style.spooling != NULL && is_first) {
        return meet_spool(d, hello);
    }
    if (producer != NULL && is_first && hello->last > 0) {
        d->first = d->known = hello->last;
        return tlsmsg_client_number_from(d->client, hello->last, &d->err) == TLSMSG_OK ? EXIT_DONE
                                                                                       : EXIT_CUT;
    }
    if (hello->last > d->known) {
        return fail_shared(d, hello->last);
    }
    if (hello->last + 1 < d->first) {
        tell_set_back(d, hello);
    }
    return EXIT_DONE;
}

static enum tlsmsg_client_result greet(struct tlsmsg_client *client, struct tlsmsg_error *err)
{
    enum tlsmsg_client_result result;

    tlsmsg_client_set_blocking(client, true);
    result = tlsmsg_client_greet(client, err);
    tlsmsg_client_set_blocking(client, false);
    return result;
}

/* --- connecting again ------------------------------------------------------------------------- */

/* Whether it may be better at the next attempt. */
static bool is_passing(const struct tlsmsg_client *client, enum tlsmsg_code code)
{
    unsigned bye = tlsmsg_client_bye(client);

    switch (code) {
    case TLSMSG_ERR_CONNECT:
    case TLSMSG_ERR_TRUNCATED:
    case TLSMSG_ERR_RESET:
    case TLSMSG_ERR_TIMEOUT:
    case TLSMSG_ERR_CLOSED:
        return true;
    case TLSMSG_ERR_BYE:
        return bye == 503 || bye == 507;
    default:
        return false;
    }
}

static enum exit_code code_of_end(const struct delivery *d, const struct tlsmsg_error *err)
{
    unsigned bye = tlsmsg_client_bye(d->client);

    if (err->code == TLSMSG_ERR_STATE) { /* its name is too old to go on under */
        return EXIT_CUT;
    }
    if (err->code == TLSMSG_ERR_BYE) {
        return bye == 409 || bye == 412 || bye == 413 ? EXIT_OTHER : EXIT_CUT;
    }
    return exit_code_for(err->code, d->style.spooling != NULL && !d->greeted ? EXIT_WHILE_CONNECTING
                                                                             : EXIT_WHILE_TALKING);
}

static enum exit_code give_up(struct delivery *d, const struct tlsmsg_error *err)
{
    d->err = *err;
    d->is_passing = is_passing(d->client, err->code);
    return code_of_end(d, err);
}

/* Whether another attempt is due at all, for as long as it was tried already. */
static bool goes_on(const struct delivery *d)
{
    int64_t retry_ms = d->greeted || d->style.retries_first ? d->style.retry_ms : 0;

    return d->style.retry_ms > 0 &&
           (d->is_patient || clock_now_ns() - d->progress_ns < retry_ms * CLOCK_NS_PER_MS);
}

/* The pause before the next attempt: doubled each time, and scattered, so that the clients of a
 * server that was restarted don't all come at once. */
static int64_t next_pause_ms(int64_t *pause_ms)
{
    int64_t base = *pause_ms == 0 ? PAUSE_FIRST_MS : *pause_ms;

    *pause_ms = 2 * base < PAUSE_MAX_MS ? 2 * base : PAUSE_MAX_MS;
    return base - (clock_now_ns() / 1000) % (base / 4 + 1);
}

static void plan(struct delivery *d)
{
    d->retry_at_ns = clock_now_ns() + next_pause_ms(&d->pause_ms) * CLOCK_NS_PER_MS;
}

/* The connection is lost, for err. EXIT_DONE: there will be another. */
static enum exit_code lose(struct delivery *d, const struct tlsmsg_error *err)
{
    /* Without a reply since the last loss it is still the same one: told once, in its time. */
    bool is_same = d->lost_ns != 0 && d->progress_ns <= d->lost_ns;

    if (d->style.retry_ms == 0 || !is_passing(d->client, err->code) || (is_same && !goes_on(d))) {
        return give_up(d, err);
    }
    if (!is_same) {
        startup_warn(d->style.program, "%s; connecting again%s", err->text,
                     d->count > 0 ? "" : " when there is something to send");
        d->pause_ms = 0;
    }
    d->connected = false;
    d->sent = 0;
    d->lost_ns = clock_now_ns();
    d->attempts = 0;
    tlsmsg_client_reset(d->client);
    plan(d);
    return EXIT_DONE;
}

static enum tlsmsg_client_result connect_once(struct tlsmsg_client *client,
                                              struct tlsmsg_error *err)
{
    enum tlsmsg_client_result result;

    tlsmsg_client_set_blocking(client, true);
    result = tlsmsg_client_connect(client, err);
    tlsmsg_client_set_blocking(client, false);
    return result;
}

/* There is a connection: whether it will do. */
static enum exit_code begin(struct delivery *d)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    bool is_first = !d->greeted;
    enum exit_code code;

    d->connected = true;
    d->wanted = false;
    d->attempts = 0;
    code = judge(d, is_first);
    if (code == EXIT_DONE && d->style.spooling != NULL) {
        if (is_first) {
            d->style.greeted(d->style.user);
        }
        if (spooling_will_send(d->style.spooling, &err) != TLSMSG_OK) {
            code = fail(d, EXIT_OTHER, "--spool: %s", err.text);
        }
    }
    return code;
}

static enum exit_code try_again(struct delivery *d)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (connect_once(d->client, &err) == TLSMSG_CLIENT_OK &&
        greet(d->client, &err) == TLSMSG_CLIENT_OK) {
        return begin(d);
    }
    if (!is_passing(d->client, err.code) || !goes_on(d)) {
        return give_up(d, &err);
    }
    /* Of a first attempt nothing is said: when the input has ended by the next, it was the last. */
    if (++d->attempts == 2 && !d->greeted) {
        startup_warn(d->style.program, "%s; trying again", err.text);
    }
    tlsmsg_client_reset(d->client);
    plan(d);
    return EXIT_DONE;
}

static void pause_for(int64_t ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * CLOCK_NS_PER_MS};

    (void)nanosleep(&pause, NULL);
}

enum tlsmsg_client_result delivery_connect(const char *program, struct tlsmsg_client *client,
                                           int64_t retry_ms, struct tlsmsg_error *err)
{
    int64_t until_ns = clock_now_ns() + retry_ms * CLOCK_NS_PER_MS;
    int64_t pause_ms = 0;
    bool told = false;

    while (tlsmsg_client_connect(client, err) != TLSMSG_CLIENT_OK) {
        int64_t wait_ms = next_pause_ms(&pause_ms);

        if (clock_now_ns() + wait_ms * CLOCK_NS_PER_MS >= until_ns ||
            !is_passing(client, err->code)) {
            return TLSMSG_CLIENT_ERROR;
        }
        if (!told) {
            startup_warn(program, "%s; trying again", err->text);
            told = true;
        }
        tlsmsg_error_clear(err);
        tlsmsg_client_reset(client);
        pause_for(wait_ms);
    }
    return TLSMSG_CLIENT_OK;
}

/* --- a step ----------------------------------------------------------------------------------- */

enum exit_code delivery_greet(struct delivery *d)
{
    int64_t until_ns = clock_now_ns() + d->style.retry_ms * CLOCK_NS_PER_MS;

    for (;;) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        int64_t left_ms;

        if (greet(d->client, &err) == TLSMSG_CLIENT_OK) {
            return judge(d, true);
        }
        left_ms = (until_ns - clock_now_ns()) / CLOCK_NS_PER_MS;
        if (left_ms <= 0 || !is_passing(d->client, err.code)) {
            d->err = err;
            return code_of_end(d, &err);
        }
        pause_for(next_pause_ms(&d->pause_ms));
        tlsmsg_client_reset(d->client);
        tlsmsg_client_set_blocking(d->client, true);
        if (delivery_connect(d->style.program, d->client, left_ms, &d->err) != TLSMSG_CLIENT_OK) {
            return exit_code_for(d->err.code, EXIT_WHILE_CONNECTING);
        }
    }
}

void delivery_blame_length(const struct delivery *d, uint64_t number, size_t len,
                           struct tlsmsg_error *err)
{
    (void)error_set(err, TLSMSG_ERR_LIMIT, 0,
                    "message %" PRIu64 " of the spool has %zu bytes, and the server takes at most "
                    "%" PRIu64 ": it and those behind it wait (try: --max-message %zu on the "
                    "server)",
                    number, len, d->max, len);
}

static void note_sent(struct delivery *d, size_t i)
{
    struct delivery_message *message = at(d, i);

    if (i == d->ever_sent) {
        message->sent_ns = clock_now_ns();
        if (d->known < d->first + i) {
            d->known = d->first + i;
        }
        d->ever_sent++;
        d->style.sent(message, d->style.user);
    }
}

/* Sends what may be sent. */
static enum exit_code send_all(struct delivery *d)
{
    while (d->sent < d->count) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        const struct delivery_message *message = at(d, d->sent);

        switch (tlsmsg_client_send(d->client, message->data, message->len, &err)) {
        case TLSMSG_CLIENT_OK:
            note_sent(d, d->sent++);
            break;
        case TLSMSG_CLIENT_FULL:
            return EXIT_DONE;
        case TLSMSG_CLIENT_AGAIN:
            note_sent(d, d->sent);
            return EXIT_DONE;
        case TLSMSG_CLIENT_CLOSED:
        case TLSMSG_CLIENT_ERROR:
            if (err.code == TLSMSG_ERR_LIMIT) {
                if (message->spooled != 0) {
                    tlsmsg_error_clear(&err);
                    delivery_blame_length(d, message->spooled, message->len, &err);
                }
                /* What was sent before it is answered first. */
                d->err = err;
                return d->sent > 0 ? EXIT_DONE : EXIT_OTHER;
            }
            return lose(d, &err);
        }
    }
    return EXIT_DONE;
}

/* Takes replies that are here. */
static enum exit_code receive_some(struct delivery *d)
{
    for (unsigned i = 0; i < REPLIES_MAX && tlsmsg_client_unanswered(d->client) > 0; i++) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        const char *reply;
        size_t len;
        bool good;
        enum tlsmsg_client_result result = tlsmsg_client_receive(d->client, &reply, &len, &err);

        if (result == TLSMSG_CLIENT_AGAIN) {
            return EXIT_DONE;
        }
        if (result != TLSMSG_CLIENT_OK) {
            return lose(d, &err);
        }
        d->has_more = true;
        good = d->style.answered(at(d, 0), reply, len, d->style.user);
        retire(d); /* it was taken, whatever became of its reply */
        if (!good) {
            tlsmsg_error_clear(&d->err); /* its cause is the console's */
            return EXIT_OTHER;
        }
    }
    return EXIT_DONE;
}

enum exit_code delivery_step(struct delivery *d)
{
    enum exit_code code = EXIT_DONE;

    d->has_more = false;
    if (!d->connected) {
        if ((d->count == 0 && !d->wanted) || clock_now_ns() < d->retry_at_ns) {
            return EXIT_DONE;
        }
        code = try_again(d);
    }
    if (code == EXIT_DONE && d->connected) {
        code = send_all(d);
    }
    if (code == EXIT_DONE && d->connected) {
        code = receive_some(d);
    }
    if (code == EXIT_DONE && d->connected && tlsmsg_client_unanswered(d->client) == 0 &&
        d->sent == d->count && !d->is_last) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};

        if (tlsmsg_client_watch(d->client, &err) != TLSMSG_CLIENT_OK) {
            code = lose(d, &err);
        }
    }
    return code;
}

int delivery_poll(const struct delivery *d, struct pollfd *entry)
{
    *entry = (struct pollfd){.fd = -1};
    if (!d->connected) {
        return d->count > 0 || d->wanted ? clock_poll_ms(clock_now_ns(), d->retry_at_ns) : -1;
    }
    entry->events = tlsmsg_client_events(d->client);
    entry->fd = entry->events != 0 ? tlsmsg_client_fd(d->client) : -1;
    return d->has_more ? 0 : tlsmsg_client_timeout_ms(d->client);
}
