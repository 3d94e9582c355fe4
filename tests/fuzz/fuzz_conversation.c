/* One whole conversation of the server, as its worker runs it: accepted, messages, replies, end.
 *
 * The first byte sets the server and the handler up, the second chooses what a peer does at first;
 * then come operations of the peer: a byte whose low bits say which, and what it needs. What the
 * handler saw and what the peer heard is held against what was said. */
#include "fuzz.h"

#include <string.h>
#include <unistd.h>

#include "base/build.h"
#include "fuzz_identity.h"
#include "server/table.h"
#include "support/raw_peer.h"
#include "support/stepped_worker.h"

#define SAID_MAX (256u * 1024)
#define SHORT_SAID_MAX (12u * 1024) /* where replies are many times as long as messages */
#define WANT_MAX RAW_PEER_IN_BYTES
#define TOKENS_MAX 128
#define TURNS_MAX 200000
#define DEFERRED "deferred;"

enum habit { HABIT_DEFAULT, HABIT_DEFER, HABIT_HOLD, HABIT_OWN };

static struct raw_peer peer;
static char said[SAID_MAX];
static char seen[SAID_MAX]; /* by the handler */
static char want[WANT_MAX]; /* replies to what was seen */

/* All else of one run. */
struct run {
    const uint8_t *data;
    size_t left;
    enum habit habit;
    size_t recv_size;
    bool finished; /* the operations are used up */
    bool stopped;  /* the server was told to stop */
    bool failed;   /* the handler said so */
    unsigned turns;
    unsigned fail_at; /* the turn that fails; 0: none */
    bool held;
    size_t said_len;
    size_t seen_len;
    size_t want_len;
    struct tlsmsg_token tokens[TOKENS_MAX];
    size_t token_count;
    size_t answered;
    unsigned connected;
    unsigned closed;
    enum tlsmsg_close_reason how;
    size_t seen_messages;
    /* In TLS, where a message is a piece of a record: */
    bool broken;       /* the server must find something that is no UTF-8 */
    size_t good_len;   /* of said: what must be seen */
    size_t unfinished; /* bytes after it of a character that wait for their rest */
    size_t messages;   /* must be seen altogether */
};

static struct run run;
static struct tlsmsg_server *server;

static void owe(const void *data, size_t len)
{
    FUZZ_CHECK(len <= sizeof(want) - run.want_len);
    memcpy(want + run.want_len, data, len);
    run.want_len += len;
}

static void on_connected(const struct tlsmsg_peer *who, unsigned worker, void *user)
{
    (void)user;
    FUZZ_CHECK(worker == 0 && who->connection == 1 && run.closed == 0);
    FUZZ_CHECK((who->tls != NULL) == BUILD_HAS_TLS);
    run.connected++;
}

static void on_message(struct tlsmsg_message *message, void *user)
{
    const struct tlsmsg_server *s = server;
    const char own[] = "<";
    const struct iovec part = {.iov_base = (void *)(uintptr_t)own, .iov_len = 1};
    size_t len;
    const char *data = tlsmsg_message_data(message, &len);
    bool ignored;

    (void)user;
    FUZZ_CHECK(run.connected == 1 && run.closed == 0 && !run.failed);
    FUZZ_CHECK(len > 0 && fuzz_utf8_whole(data, len, &ignored) == len);
    FUZZ_CHECK(len <= sizeof(seen) - run.seen_len);
    memcpy(seen + run.seen_len, data, len);
    run.seen_len += len;
    run.seen_messages++;
    if (run.habit == HABIT_DEFER && run.seen_messages % 3 != 0 && run.token_count < TOKENS_MAX) {
        FUZZ_CHECK(tlsmsg_message_defer(message, &run.tokens[run.token_count]) == TLSMSG_OK);
        run.token_count++;
        owe(DEFERRED, strlen(DEFERRED));
    } else if (run.habit == HABIT_OWN && run.seen_messages % 3 != 0) {
        int count = run.seen_messages % 3 == 1 ? 1 : 0;

        FUZZ_CHECK(tlsmsg_message_reply(message, &part, count) == TLSMSG_OK);
        owe(own, (size_t)count);
    } else {
        owe(s->settings.reply_prefix, s->settings.reply_prefix_len);
        owe(data, len);
        owe(s->settings.reply_suffix, s->settings.reply_suffix_len);
    }
}

static void on_closed(const struct tlsmsg_closed *closed, unsigned worker, void *user)
{
    (void)worker;
    (void)user;
    FUZZ_CHECK(closed->messages == run.seen_messages && closed->duration_ms >= 0);
    run.closed++;
    run.how = closed->reason;
}

static enum tlsmsg_turn on_turn_end(unsigned worker, void *user)
{
    (void)worker;
    (void)user;
    FUZZ_CHECK(!run.held && !run.failed);
    run.turns++;
    if (run.turns == run.fail_at) {
        run.failed = true;
        return TLSMSG_TURN_FAIL;
    }
    run.held = run.habit == HABIT_HOLD && run.turns % 2 == 0;
    return run.held ? TLSMSG_TURN_HOLD : TLSMSG_TURN_RELEASE;
}

static void on_event(const struct tlsmsg_event *event, void *user)
{
    (void)user;
    FUZZ_CHECK(event->text[0] != '\0' && fuzz_is_printable(event->text, strlen(event->text)));
    FUZZ_CHECK(event->cause < TLSMSG_CAUSE_COUNT && event->cause != TLSMSG_CAUSE_MEMORY);
}

static const struct tlsmsg_handler handler = {
    .size = sizeof(handler),
    .connected = on_connected,
    .message = on_message,
    .closed = on_closed,
    .turn_end = on_turn_end,
    .event = on_event,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct tlsmsg_options *o = NULL;

    (void)argc;
    (void)argv;
    FUZZ_CHECK(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL) == TLSMSG_OK);
    FUZZ_CHECK(tlsmsg_options_set_number(o, TLSMSG_OPT_ACCEPT, 0, NULL) == TLSMSG_OK);
    fuzz_identity_make(o);
    raw_peer_setup();
    server = stepped_server_new(o, &handler);
    FUZZ_CHECK(server != NULL);
    fuzz_identity_remove();
    return 0;
}

/* Notes what the server must make of one record. */
static void expect(size_t len)
{
    for (size_t at = 0; at < len && !run.broken; at += run.recv_size) {
        size_t piece = len - at < run.recv_size ? len - at : run.recv_size;
        size_t begin = run.good_len;
        bool incomplete;
        size_t whole = fuzz_utf8_whole(said + begin, run.unfinished + piece, &incomplete);

        if (whole < run.unfinished + piece && !incomplete) {
            run.broken = true;
            return;
        }
        run.unfinished += piece - whole;
        run.good_len += whole;
        run.messages += whole > 0;
    }
}

static void say(const char *data, size_t len)
{
    size_t most = run.recv_size >= 100 ? SAID_MAX : SHORT_SAID_MAX;

    if (len == 0 || len > most - run.said_len || !raw_peer_say(&peer, data, len)) {
        return;
    }
    memcpy(said + run.said_len, data, len);
    run.said_len += len;
    if (BUILD_HAS_TLS) {
        expect(len);
    }
}

static uint8_t next_byte(void)
{
    if (run.left == 0) {
        return 0;
    }
    run.left--;
    return *run.data++;
}

static const char *take(size_t *len)
{
    const char *bytes = (const char *)run.data;

    *len = *len < run.left ? *len : run.left;
    run.data += *len;
    run.left -= *len;
    return bytes;
}

/* A long message out of few bytes of input. */
static void say_repeated(size_t pattern_len)
{
    static char bytes[RAW_PEER_RECORD_MAX];
    size_t len = next_byte();
    const char *pattern;

    len = (len << 8 | next_byte()) % (RAW_PEER_RECORD_MAX + 1);
    pattern = take(&pattern_len);
    for (size_t i = 0; i < len && pattern_len > 0; i++) {
        bytes[i] = pattern[i % pattern_len];
    }
    say(bytes, pattern_len > 0 ? len : 0);
}

static void end(unsigned how)
{
    switch (how) {
    case 0:
        raw_peer_half_close(&peer);
        break;
    case 1:
        raw_peer_drop(&peer, false);
        break;
    case 2:
        peer.deaf = false;
        run.stopped = true;
        tlsmsg_server_stop(server);
        break;
    case 3:
        run.fail_at = run.turns + 1;
        break;
    default:
        raw_peer_goodbye(&peer);
        break;
    }
}

/* One operation; false where the server is to have its turn before the next. */
static bool operate(void)
{
    uint8_t op = next_byte();
    size_t len;
    const char *bytes;

    switch (op & 7) {
    case 3:
        say_repeated((op >> 3) + 1U);
        return true;
    case 4:
        (void)raw_peer_rekey(&peer);
        return true;
    case 5:
        return false;
    case 6:
        peer.deaf = !peer.deaf;
        return true;
    case 7:
        end(op >> 3 & 7);
        return false;
    default:
        len = next_byte();
        bytes = take(&len);
        say(bytes, len);
        return true;
    }
}

/* Back-pressure: over the mark nothing is read, so at most one more record's reply is queued, and
 * the deferred ones that come all at once. */
static void check_bounds(void)
{
    const struct worker *w = &server->workers[0];

    for (uint32_t i = 0; i < w->slot_cap; i++) {
        const struct conversation *c = table_find(w, i, 1);

        if (c != NULL) {
            FUZZ_CHECK(c->deferred.count <= DEFERRED_MAX);
            FUZZ_CHECK(run.habit == HABIT_DEFER ||
                       c->out.len < QUEUE_MARK_BYTES + RAW_PEER_RECORD_MAX + 64);
            return;
        }
    }
}

/* What the program owes the server: the ends of holds, and deferred replies, the last one first. */
static bool pay_debts(void)
{
    if (run.held) {
        run.held = false;
        tlsmsg_server_release(server, 0, false);
        return true;
    }
    if (run.answered < run.token_count) {
        size_t i = run.token_count;

        for (; i > run.answered; i--) {
            FUZZ_CHECK(tlsmsg_server_reply(server, &run.tokens[i - 1], DEFERRED,
                                           strlen(DEFERRED)) == TLSMSG_OK);
        }
        run.answered = run.token_count;
        return true;
    }
    return false;
}

/* The worker waits. */
static bool act(void *user)
{
    (void)user;
    check_bounds();
    if (raw_peer_step(&peer)) {
        return true;
    }
    if (!run.finished && (peer.open || peer.fd < 0)) {
        while (run.left > 0 && operate()) {
        }
        run.finished = run.left == 0;
        (void)raw_peer_step(&peer);
        return true;
    }
    if (run.finished && peer.deaf) {
        peer.deaf = false;
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

/* The peer stayed to the end, so it must have heard a reply to all that was seen. */
static void check_complete(void)
{
    bool incomplete;
    size_t whole = fuzz_utf8_whole(said, run.said_len, &incomplete);

    FUZZ_CHECK(peer.heard == run.want_len);
    if (run.stopped) {
        return;
    }
    if (BUILD_HAS_TLS) {
        FUZZ_CHECK(run.seen_len == run.good_len && run.seen_messages == run.messages);
        FUZZ_CHECK((run.how == TLSMSG_CLOSE_INVALID_UTF8) ==
                   (run.broken || (run.unfinished > 0 && run.how != TLSMSG_CLOSE_TRUNCATED)));
    } else if (run.how == TLSMSG_CLOSE_CLEAN) {
        FUZZ_CHECK(run.seen_len == run.said_len && whole == run.said_len);
    } else {
        FUZZ_CHECK(run.how == TLSMSG_CLOSE_INVALID_UTF8);
    }
}

static void check_run(void)
{
    const struct tlsmsg_server *s = server;
    bool stayed = run.how == TLSMSG_CLOSE_CLEAN || run.how == TLSMSG_CLOSE_INVALID_UTF8 ||
                  run.how == TLSMSG_CLOSE_DRAINED;
    struct tlsmsg_stats stats = {.size = sizeof(stats)};

    tlsmsg_server_stats(server, &stats);
    FUZZ_CHECK(stats.open == 0 && stats.handshaking == 0 && stats.queued_bytes == 0);
    FUZZ_CHECK(atomic_load(&s->limits.connections) == 0);
    FUZZ_CHECK(atomic_load(&s->limits.handshakes) == 0);
    FUZZ_CHECK(run.failed ? run.closed <= 1 : run.closed == 1);
    FUZZ_CHECK(run.seen_len <= run.said_len && memcmp(seen, said, run.seen_len) == 0);
    FUZZ_CHECK(peer.heard <= run.want_len);
    FUZZ_CHECK(memcmp(peer.in, want, peer.heard) == 0);
    if (run.closed == 1 && stayed && !run.failed && peer.ended) {
        check_complete();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const size_t recv_sizes[] = {16384, 1024, 100, 3};
    int fd;

    if (len < 2) {
        return 0;
    }
    run = (struct run){0};
    run.data = data + 2;
    run.left = len - 2;
    run.recv_size = recv_sizes[data[0] & 3];
    run.habit = (enum habit)(data[0] >> 2 & 3);
    server->settings.recv_size_bytes = run.recv_size;
    FUZZ_CHECK(stepped_begin(server));
    fd = stepped_connect(server);
    FUZZ_CHECK(fd >= 0);
    raw_peer_init(&peer, fd, (data[0] & 0x10) != 0);
    peer.deaf = (data[1] & 1) != 0 && !BUILD_HAS_TLS;
    FUZZ_CHECK(stepped_run(server, act, NULL, 0, TURNS_MAX) == STEPPED_ENDED);
    (void)raw_peer_step(&peer);
    check_run();
    raw_peer_fini(&peer);
    return 0;
}
