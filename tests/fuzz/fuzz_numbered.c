/* tlsmsg/1 on the server: whatever a peer says, what it hears is well-formed, in order, and no more
 * than the handler saw.
 *
 * The first byte sets the handler up, the second says how many bytes go into one record; all that
 * follows is said as it is, after a greeting where the first byte asks for one. */
#include "fuzz.h"

#include <string.h>
#include <unistd.h>

#include "fuzz_identity.h"
#include "protocol/frame.h"
#include "server/table.h"
#include "support/raw_peer.h"
#include "support/stepped_worker.h"

#define SEEN_MAX (256u * 1024)
#define MESSAGES_MAX 4096
#define MESSAGE_MAX_BYTES 5000
#define TURNS_MAX 200000

enum habit { HABIT_DEFAULT, HABIT_HOLD, HABIT_REFUSE, HABIT_OWN_NUMBERS };

static struct raw_peer peer;
static char seen[SEEN_MAX]; /* by the handler, one message after the other */

static struct run {
    const uint8_t *data;
    size_t left;
    enum habit habit;
    size_t cut;
    bool greets;
    bool held;
    size_t decided; /* messages of turns before the one that is held */
    bool asked;     /* a greeting waits for the handler */
    struct tlsmsg_token greeting;
    struct tlsmsg_token last_message;
    unsigned turns;
    size_t seen_len;
    size_t count;
    size_t ends[MESSAGES_MAX]; /* where each message ends in seen */
    uint64_t first;            /* number of the first */
    bool refused;
    unsigned closed;
    enum tlsmsg_close_reason reason;
} run;

static struct tlsmsg_server *server;

static void on_message(struct tlsmsg_message *message, void *user)
{
    size_t len;
    const char *data = tlsmsg_message_data(message, &len);
    bool incomplete;

    (void)user;
    FUZZ_CHECK(run.closed == 0 && !run.held && !run.refused);
    FUZZ_CHECK(len > 0 && len <= MESSAGE_MAX_BYTES && len <= SEEN_MAX - run.seen_len);
    FUZZ_CHECK(fuzz_utf8_whole(data, len, &incomplete) == len);
    FUZZ_CHECK(run.count < MESSAGES_MAX);
    if (run.count == 0) {
        run.first = tlsmsg_message_number(message);
    }
    FUZZ_CHECK(tlsmsg_message_number(message) == run.first + run.count);
    FUZZ_CHECK((tlsmsg_message_hash(message) != NULL) ==
               (tlsmsg_message_producer(message) != NULL));
    memcpy(seen + run.seen_len, data, len);
    run.seen_len += len;
    run.ends[run.count++] = run.seen_len;
    tlsmsg_message_token(message, &run.last_message);
}

static void on_hello(const struct tlsmsg_hello *hello, void *user)
{
    (void)user;
    FUZZ_CHECK(!run.asked && run.count == 0 && hello->from >= 1);
    FUZZ_CHECK(hello->producer == NULL ||
               frame_is_producer(hello->producer, strlen(hello->producer)));
    run.greeting = hello->token;
    run.asked = true;
}

static void on_closed(const struct tlsmsg_closed *closed, unsigned worker, void *user)
{
    (void)worker;
    (void)user;
    FUZZ_CHECK(closed->messages + closed->duplicates == run.count);
    run.closed++;
    run.reason = closed->reason;
}

static enum tlsmsg_turn on_turn_end(unsigned worker, void *user)
{
    (void)worker;
    (void)user;
    FUZZ_CHECK(!run.held);
    run.turns++;
    run.held = run.habit != HABIT_DEFAULT && run.turns % 2 == 0;
    if (!run.held) {
        run.decided = run.count;
    }
    return run.held ? TLSMSG_TURN_HOLD : TLSMSG_TURN_RELEASE;
}

static struct tlsmsg_handler handler = {
    .size = sizeof(handler),
    .message = on_message,
    .closed = on_closed,
    .turn_end = on_turn_end,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct tlsmsg_options *o = NULL;

    (void)argc;
    (void)argv;
    FUZZ_CHECK(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL) == TLSMSG_OK);
    FUZZ_CHECK(tlsmsg_options_set_number(o, TLSMSG_OPT_ACCEPT, 0, NULL) == TLSMSG_OK);
    FUZZ_CHECK(tlsmsg_options_set_number(o, TLSMSG_OPT_MAX_MESSAGE, MESSAGE_MAX_BYTES, NULL) ==
               TLSMSG_OK);
    fuzz_identity_make(o);
    raw_peer_setup();
    raw_peer_offer(true);
    server = stepped_server_new(o, &handler);
    FUZZ_CHECK(server != NULL);
    fuzz_identity_remove();
    return 0;
}

/* Says the next record's worth. */
static void say_next(void)
{
    static const char hello[] = "HELLO 1 producer=fuzz from=1\n";
    size_t len = run.left < run.cut ? run.left : run.cut;

    if (run.greets) {
        run.greets = false;
        (void)raw_peer_say(&peer, hello, sizeof(hello) - 1);
        return;
    }
    if (!raw_peer_say(&peer, run.data, len)) {
        run.left = 0; /* over, or no more room */
        return;
    }
    run.data += len;
    run.left -= len;
}

/* What the program owes the server. */
static bool pay_debts(void)
{
    if (run.asked) {
        run.asked = false;
        FUZZ_CHECK(tlsmsg_server_hello(server, &run.greeting, 2, TLSMSG_PROMISE_DISK) == TLSMSG_OK);
        return true;
    }
    if (run.held) {
        if (run.habit == HABIT_REFUSE && run.count > run.decided && !run.refused) {
            FUZZ_CHECK(tlsmsg_server_refuse(server, &run.last_message, 507) == TLSMSG_OK);
            run.refused = true;
        }
        run.held = false;
        run.decided = run.count;
        tlsmsg_server_release(server, 0, false);
        return true;
    }
    return false;
}

static void check_bounds(void)
{
    const struct conversation *c = table_find(&server->workers[0], 0, 1);

    if (c != NULL) {
        FUZZ_CHECK(c->out.len <=
                   MESSAGE_MAX_BYTES + NUMBERED_SLACK_BYTES + 4 * RAW_PEER_RECORD_MAX);
    }
}

/* The worker waits. */
static bool act(void *user)
{
    (void)user;
    check_bounds();
    if (raw_peer_step(&peer)) {
        return true;
    }
    if ((run.left > 0 || run.greets) && peer.open) {
        say_next();
        (void)raw_peer_step(&peer);
        return true;
    }
    if (pay_debts()) {
        return true;
    }
    if (peer.fd >= 0 && !peer.shuts) {
        raw_peer_goodbye(&peer);
        return true;
    }
    if (peer.fd >= 0 && (peer.eof || peer.lost)) {
        raw_peer_drop(&peer, false);
        return true;
    }
    return false;
}

/* A reply is the template's beginning and the message that it answers. */
static void check_reply(size_t index, const char *body, size_t len)
{
    const struct server_settings *settings = &server->settings;
    size_t begin = index > 0 ? run.ends[index - 1] : 0;

    FUZZ_CHECK(index < run.count);
    FUZZ_CHECK(len == settings->reply_prefix_len + run.ends[index] - begin);
    FUZZ_CHECK(memcmp(body, settings->reply_prefix, settings->reply_prefix_len) == 0);
    FUZZ_CHECK(memcmp(body + settings->reply_prefix_len, seen + begin, run.ends[index] - begin) ==
               0);
}

/* Returns how many messages have an OK. */
static size_t check_heard(bool *bye)
{
    struct frame_reader reader;
    struct frame_piece piece;
    const char *at = peer.in;
    size_t left = peer.heard;
    size_t answered = 0;
    bool greeted = false;
    enum frame_event event;

    *bye = false;
    frame_reader_init(&reader, FRAME_FROM_SERVER);
    while ((event = frame_read(&reader, &at, &left, &piece)) != FRAME_EVENT_MORE) {
        FUZZ_CHECK(event != FRAME_EVENT_BROKEN && !*bye);
        if (event != FRAME_EVENT_HEADER) {
            continue;
        }
        if (piece.frame.kind == FRAME_HELLO) {
            FUZZ_CHECK(!greeted && answered == 0);
            greeted = true;
        } else if (piece.frame.kind == FRAME_OK && piece.frame.len < left) {
            FUZZ_CHECK(greeted && piece.frame.number == run.first + answered);
            check_reply(answered++, at, (size_t)piece.frame.len);
        } else if (piece.frame.kind == FRAME_BYE) {
            /* The text and its line end follow, and then nothing. */
            FUZZ_CHECK(left <= piece.frame.len + 1);
            at += left;
            left = 0;
            *bye = true;
        }
    }
    return answered;
}

static void check_run(void)
{
    struct tlsmsg_stats stats = {.size = sizeof(stats)};
    bool bye;
    size_t answered = check_heard(&bye);

    tlsmsg_server_stats(server, &stats);
    FUZZ_CHECK(stats.open == 0 && stats.handshaking == 0 && stats.queued_bytes == 0);
    FUZZ_CHECK(run.closed == 1 && answered <= run.count);
    if (run.reason == TLSMSG_CLOSE_CLEAN && peer.ended) {
        FUZZ_CHECK(!bye && answered == run.count);
    }
    if (run.reason == TLSMSG_CLOSE_REFUSED && peer.ended) {
        /* What came whole before is answered, but for what was refused itself. */
        FUZZ_CHECK(bye && answered + (run.refused ? 1 : 0) == run.count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    int fd;

    if (len < 2) {
        return 0;
    }
    run = (struct run){0};
    run.data = data + 2;
    run.left = len - 2;
    run.habit = (enum habit)(data[0] & 3);
    run.greets = (data[0] & 4) != 0;
    run.cut = data[1] == 0 ? 1 : (size_t)data[1] * 16;
    server->handler.hello = run.habit == HABIT_OWN_NUMBERS ? on_hello : NULL;
    FUZZ_CHECK(stepped_begin(server));
    producers_fini(&server->producers);
    producers_init(&server->producers, PRODUCERS_MAX);
    fd = stepped_connect(server);
    FUZZ_CHECK(fd >= 0);
    raw_peer_init(&peer, fd, (data[0] & 0x10) != 0);
    FUZZ_CHECK(stepped_run(server, act, NULL, 0, TURNS_MAX) == STEPPED_ENDED);
    (void)raw_peer_step(&peer);
    check_run();
    raw_peer_fini(&peer);
    return 0;
}
