/* How an open conversation reads and sends, over a transport that does what the test says: what each
 * answer of the transport means for it, to the letter, and when it stops to let others have a turn. */
#include "support/unit.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "server/deferred.h"
#include "server/flow.h"
#include "server/messages.h"
#include "support/test_clock.h"

#define S ((int64_t)CLOCK_NS_PER_S)
#define NOW (1000 * S)
#define RECV_SIZE 1000
#define WORDS "as the test says"

static struct tlsmsg_server server;
static struct worker worker;
static struct conversation c;
static char told[256];

/* --- the transport ---------------------------------------------------------------------------- */

/* What one call answers: the last of them all that follow, too. */
struct answer {
    enum transport_result result;
    size_t bytes;
    enum tlsmsg_code code; /* with TRANSPORT_ERROR */
};

static const struct answer *answers;
static size_t answer_count;
static size_t calls;
static unsigned idle_records; /* that come with each */
static int64_t call_ms;       /* that each takes */
static size_t offered[4];     /* bytes that the first calls were given, or had room for */

enum transport_result __wrap_transport_recv(struct transport *t, void *buf, size_t cap, size_t *got,
                                            struct tlsmsg_error *err);
enum transport_result __wrap_transport_send(struct transport *t, const void *buf, size_t len,
                                            size_t *sent, struct tlsmsg_error *err);
unsigned __wrap_transport_idle_records(const struct transport *t);

static enum transport_result answer(size_t room, size_t *bytes, struct tlsmsg_error *err)
{
    const struct answer *now = &answers[calls < answer_count ? calls : answer_count - 1];

    assert_int_equal(err->code, TLSMSG_OK);
    assert_int_equal(*bytes, 0);
    if (calls < COUNT_OF(offered)) {
        offered[calls] = room;
    }
    calls++;
    test_clock_advance(call_ms);
    *bytes = now->bytes;
    if (now->result == TRANSPORT_ERROR) {
        err->code = now->code;
        (void)snprintf(err->text, sizeof(err->text), WORDS);
    }
    return now->result;
}

enum transport_result __wrap_transport_recv(struct transport *t, void *buf, size_t cap, size_t *got,
                                            struct tlsmsg_error *err)
{
    enum transport_result result = answer(cap, got, err);

    (void)t;
    assert_ptr_equal(buf, worker.buffer + UTF8_TAIL_MAX);
    memset(buf, 'x', *got);
    return result;
}

enum transport_result __wrap_transport_send(struct transport *t, const void *buf, size_t len,
                                            size_t *sent, struct tlsmsg_error *err)
{
    (void)t;
    assert_ptr_equal(buf, buffer_head(&c.out));
    return answer(len, sent, err);
}

unsigned __wrap_transport_idle_records(const struct transport *t)
{
    (void)t;
    return idle_records;
}

/* From now on it answers so. */
#define ANSWER(...)                                                                                \
    do {                                                                                           \
        static const struct answer these[] = {__VA_ARGS__};                                        \
        answers = these;                                                                           \
        answer_count = COUNT_OF(these);                                                            \
        calls = 0;                                                                                 \
    } while (0)

/* --- the flow --------------------------------------------------------------------------------- */

static size_t received_bytes;
static size_t received_calls;
static size_t kept;  /* bytes that it keeps */
static size_t looks; /* at them */
static struct verdict on_received;
static struct verdict on_woken;
static bool reads;

static struct verdict received(struct conversation *of, char *data, size_t len)
{
    (void)of;
    assert_ptr_equal(data, worker.buffer + UTF8_TAIL_MAX);
    received_bytes += len;
    received_calls++;
    return on_received;
}

static struct verdict ended(struct conversation *of)
{
    (void)of;
    return (struct verdict){FINISH, TLSMSG_CLOSE_CLEAN};
}

static size_t kept_bytes(const struct conversation *of)
{
    (void)of;
    return kept;
}

static struct verdict woken(struct conversation *of)
{
    (void)of;
    looks++;
    return on_woken;
}

static bool may_read(const struct conversation *of)
{
    (void)of;
    return reads;
}

static const struct flow plain = {.name = "plain", .received = received, .ended = ended};
static const struct flow keeping = {
    .name = "keeping",
    .received = received,
    .ended = ended,
    .kept_bytes = kept_bytes,
    .woken = woken,
    .may_read = may_read,
};

static void on_event(const struct tlsmsg_event *event, void *user)
{
    size_t len = strlen(told);

    (void)user;
    assert_int_equal(event->connection, 7);
    (void)snprintf(told + len, sizeof(told) - len, "%d %s: %s\n", (int)event->level,
                   tlsmsg_cause_name(event->cause), event->text);
}

/* An open conversation with three bytes of one reply in its queue, of which two may leave. */
static int set_up(void **state)
{
    (void)state;
    memset(&server, 0, sizeof(server));
    memset(&worker, 0, sizeof(worker));
    memset(&c, 0, sizeof(c));
    server.handler.event = on_event;
    server.settings.recv_size_bytes = RECV_SIZE;
    worker.server = &server;
    worker.now_ns = NOW;
    worker.most_bytes = ITERATION_BYTES;
    list_init(&worker.replies);
    list_init(&worker.requeued);
    list_init(&c.in_replies);
    list_init(&c.in_requeued);
    reply_queue_init(&c.deferred);
    buffer_init(&c.out, QUEUE_LIMIT_BYTES, 0);
    assert_int_equal(buffer_append(&c.out, "abc", 3), TLSMSG_OK);
    count(&worker.stats.queued_bytes, 3);
    c.released = 2;
    c.unsent = 1;
    c.worker = &worker;
    c.flow = &plain;
    c.id = 7;
    c.state = CONVERSATION_OPEN;
    c.peer.socket.any.sa_family = AF_INET;
    c.peer.len = sizeof(struct sockaddr_in);
    c.progress_ns = 1;
    c.activity_ns = 1;
    told[0] = '\0';
    idle_records = 0;
    call_ms = 0;
    received_bytes = received_calls = kept = looks = 0;
    on_received = on_woken = (struct verdict){.next = GO_ON};
    reads = true;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    reply_queue_fini(&c.deferred);
    buffer_fini(&c.out);
    return 0;
}

static void expect_verdict(struct verdict verdict, enum next_step next,
                           enum tlsmsg_close_reason reason)
{
    assert_int_equal(verdict.next, next);
    if (next != GO_ON) {
        assert_int_equal(verdict.reason, reason);
    }
}

/* The queue as it was, or as it is where nothing can be sent any more. */
static void expect_queue(bool broken)
{
    const size_t len = broken ? 0 : 3;

    assert_int_equal(c.write_broken, broken);
    assert_int_equal(c.out.len, len);
    assert_int_equal(worker.stats.queued_bytes, len);
    assert_int_equal(c.released, broken ? 0 : 2);
    assert_int_equal(c.unsent, broken ? 0 : 1);
}

/* --- what fails ------------------------------------------------------------------------------- */

static const struct failure {
    const char *name;
    enum tlsmsg_code code;
    struct verdict verdict;
    const char *told;
    bool eof;
    bool heard;
    bool broken;
} failures[] = {
    {"left without a word",
     TLSMSG_ERR_TRUNCATED,
     {FINISH, TLSMSG_CLOSE_TRUNCATED},
     "2 truncated: " WORDS "\n",
     true,
     false,
     false},
    {"reset",
     TLSMSG_ERR_RESET,
     {ABORT, TLSMSG_CLOSE_RESET},
     "2 reset: " WORDS "\n",
     false,
     false,
     false},
    {"more than anybody has use for",
     TLSMSG_ERR_LIMIT,
     {FINISH, TLSMSG_CLOSE_FAILED},
     "1 limit: " WORDS "\n",
     false,
     false,
     false},
    {"TLS where there is none",
     TLSMSG_ERR_IS_TLS,
     {FINISH, TLSMSG_CLOSE_INVALID_UTF8},
     "1 tls-peer: " WORDS "\n",
     false,
     true,
     false},
    {"no memory",
     TLSMSG_ERR_NOMEM,
     {FINISH, TLSMSG_CLOSE_FAILED},
     "1 memory: " WORDS "\n",
     false,
     false,
     true},
    {"a broken record",
     TLSMSG_ERR_PROTOCOL,
     {FINISH, TLSMSG_CLOSE_FAILED},
     "1 other: " WORDS "\n",
     false,
     false,
     true},
};

static void test_reading_that_fails(void **state)
{
    const struct failure *row = *state;
    struct answer one = {.result = TRANSPORT_ERROR, .code = row->code};

    (void)set_up(NULL);
    answers = &one;
    answer_count = 1;
    calls = 0;
    expect_verdict(messages_read(&c), row->verdict.next, row->verdict.reason);
    assert_int_equal(calls, 1);
    assert_string_equal(told, row->told);
    assert_int_equal(c.eof, row->eof);
    assert_int_equal(c.heard, row->heard);
    assert_false(list_is_linked(&c.in_requeued));
    expect_queue(row->broken);
    (void)tear_down(NULL);
}

/* What the peer sent before its reset is still read, where anything is. */
static void test_sending_that_meets_a_reset(void **state)
{
    (void)state;
    ANSWER({TRANSPORT_ERROR, 0, TLSMSG_ERR_RESET});
    expect_verdict(messages_send(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_true(list_is_linked(&c.in_requeued));
    expect_queue(true);
    (void)tear_down(NULL);
    (void)set_up(NULL);
    c.state = CONVERSATION_FLUSH;
    calls = 0;
    expect_verdict(messages_send(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_false(list_is_linked(&c.in_requeued));
    expect_queue(true);
    assert_string_equal(told, "");
}

static void test_sending_that_fails(void **state)
{
    (void)state;
    ANSWER({TRANSPORT_ERROR, 0, TLSMSG_ERR_NOMEM});
    expect_verdict(messages_send(&c), ABORT, TLSMSG_CLOSE_FAILED);
    assert_string_equal(told, "1 other: " WORDS "\n");
    assert_false(list_is_linked(&c.in_requeued));
    expect_queue(true);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void test_reading_until_nothing_is_left(void **state)
{
    (void)state;
    ANSWER({TRANSPORT_OK, 5, 0}, {TRANSPORT_OK, 6, 0}, {TRANSPORT_WANT_READ, 0, 0});
    expect_verdict(messages_read(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(calls, 3);
    assert_int_equal(offered[0], RECV_SIZE);
    assert_int_equal(received_calls, 2);
    assert_int_equal(received_bytes, 11);
    assert_int_equal(worker.stats.bytes_in, 11);
    assert_int_equal(worker.taken_bytes, 11);
    assert_true(c.heard);
    assert_false(c.unread);
    assert_false(c.read_wants_out);
    assert_int_equal(c.progress_ns, 1);
    assert_false(list_is_linked(&c.in_requeued));
}

static void test_a_reading_that_the_flow_ends(void **state)
{
    (void)state;
    on_received = (struct verdict){FINISH, TLSMSG_CLOSE_INVALID_UTF8};
    ANSWER({TRANSPORT_OK, 5, 0});
    expect_verdict(messages_read(&c), FINISH, TLSMSG_CLOSE_INVALID_UTF8);
    assert_int_equal(calls, 1);
    assert_true(c.unread);
    ANSWER({TRANSPORT_CLOSED, 0, 0});
    expect_verdict(messages_read(&c), FINISH, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(calls, 1);
}

/* How long the peer takes nothing counts from when a reading first has to write; where replies wait
 * already it counts on. */
static void test_a_reading_that_has_to_write(void **state)
{
    (void)state;
    ANSWER({TRANSPORT_WANT_WRITE, 0, 0});
    expect_verdict(messages_read(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_true(c.read_wants_out);
    assert_false(c.unread);
    assert_int_equal(c.progress_ns, 1);
    c.read_wants_out = false;
    c.released = 0;
    expect_verdict(messages_read(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(c.progress_ns, NOW);
    worker.now_ns = NOW + 1;
    expect_verdict(messages_read(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(c.progress_ns, NOW);
    ANSWER({TRANSPORT_WANT_READ, 0, 0});
    expect_verdict(messages_read(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_false(c.read_wants_out);
    assert_int_equal(c.progress_ns, NOW);
}

static void expect_share(size_t records)
{
    calls = 0;
    expect_verdict(messages_read(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(calls, records);
    assert_true(c.unread);
    assert_true(list_is_linked(&c.in_requeued));
    list_remove(&c.in_requeued);
    worker.taken_bytes = 0;
}

/* A bounded number of records, of which one that brings nothing counts as several; by time no fewer
 * than two looks at the clock. */
static void test_a_share_of_a_turn(void **state)
{
    (void)state;
    ANSWER({TRANSPORT_OK, 1, 0});
    expect_share(ITERATION_RECORDS);
    idle_records = 1;
    expect_share(14); /* of five each: the first look at or beyond the bound */
    idle_records = 0;
    call_ms = 1;
    expect_share(16);
}

static void test_a_turn_that_has_had_enough(void **state)
{
    (void)state;
    ANSWER({TRANSPORT_OK, 400, 0});
    worker.most_bytes = 1000;
    expect_share(3);
    worker.taken_bytes = 1000;
    expect_share(0);
}

static void test_what_the_flow_keeps_comes_first(void **state)
{
    (void)state;
    c.flow = &keeping;
    ANSWER({TRANSPORT_WANT_READ, 0, 0});
    expect_verdict(messages_read(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(looks, 0);
    kept = 1;
    expect_verdict(messages_read(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(looks, 1);
    assert_int_equal(calls, 2);
    on_woken = (struct verdict){FINISH, TLSMSG_CLOSE_REFUSED};
    expect_verdict(messages_read(&c), FINISH, TLSMSG_CLOSE_REFUSED);
    assert_int_equal(looks, 2);
    reads = false;
    expect_verdict(messages_read(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(looks, 2);
    assert_int_equal(calls, 2);
    assert_true(c.unread);
}

/* --- whether it is read ----------------------------------------------------------------------- */

static void test_when_it_is_read(void **state)
{
    (void)state;
    assert_true(messages_may_read(&c));
    c.out.len = QUEUE_MARK_BYTES - 1;
    assert_true(messages_may_read(&c));
    c.out.len = QUEUE_MARK_BYTES;
    assert_false(messages_may_read(&c));
    c.out.len = 3;
    c.deferred.count = DEFERRED_MAX - 1;
    c.deferred.bytes = DEFERRED_MAX_BYTES - 1;
    assert_true(messages_may_read(&c));
    c.deferred.count = DEFERRED_MAX;
    assert_false(messages_may_read(&c));
    c.deferred.count = 0;
    c.deferred.bytes = DEFERRED_MAX_BYTES;
    assert_false(messages_may_read(&c));
    c.deferred.bytes = 0;
    worker.held = true;
    assert_false(messages_may_read(&c));
    /* A flow's own rule stands in the place of these. */
    c.flow = &keeping;
    assert_true(messages_may_read(&c));
    reads = false;
    assert_false(messages_may_read(&c));
    reads = true;
    /* Where memory is short, those that hold none are read. */
    worker.over = true;
    assert_true(messages_may_read(&c));
    worker.full = true;
    assert_false(messages_may_read(&c));
    worker.full = false;
    c.held_bytes = 1;
    assert_false(messages_may_read(&c));
    worker.over = false;
    assert_true(messages_may_read(&c));
}

/* --- sending ---------------------------------------------------------------------------------- */

static void test_sending_what_may_leave(void **state)
{
    (void)state;
    ANSWER({TRANSPORT_OK, 1, 0});
    c.write_wants_in = true;
    expect_verdict(messages_send(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(calls, 2);
    assert_int_equal(offered[0], 2);
    assert_int_equal(offered[1], 1);
    assert_false(c.write_wants_in);
    assert_int_equal(c.released, 0);
    assert_int_equal(c.out.len, 1);
    assert_memory_equal(buffer_head(&c.out), "c", 1);
    assert_int_equal(c.progress_ns, NOW);
    assert_int_equal(worker.stats.bytes_out, 2);
    assert_int_equal(worker.stats.queued_bytes, 1);
    /* The reply has left with its last byte, and from then on silence is the peer's. */
    assert_int_equal(worker.stats.replies, 0);
    assert_int_equal(c.activity_ns, 1);
    c.released = 1;
    c.unsent = 2;
    expect_verdict(messages_send(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(worker.stats.replies, 2);
    assert_int_equal(c.unsent, 0);
    assert_int_equal(c.activity_ns, NOW);
    worker.now_ns = NOW + 1;
    expect_verdict(messages_send(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(c.activity_ns, NOW);
    assert_int_equal(worker.stats.replies, 2);
    assert_int_equal(calls, 3);
}

static void test_sending_that_has_to_wait(void **state)
{
    (void)state;
    ANSWER({TRANSPORT_WANT_READ, 0, 0}, {TRANSPORT_WANT_WRITE, 0, 0});
    expect_verdict(messages_send(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_true(c.write_wants_in);
    expect_verdict(messages_send(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_false(c.write_wants_in);
    assert_int_equal(calls, 2);
    assert_int_equal(c.progress_ns, 1);
    expect_queue(false);
}

/* What a late answer has made ready follows when the peer has taken some. */
static void test_replies_that_are_ready_follow(void **state)
{
    (void)state;
    ANSWER({TRANSPORT_OK, 2, 0});
    assert_true(reply_queue_add(&c.deferred, 1));
    assert_true(reply_queue_add(&c.deferred, 2));
    expect_verdict(messages_send(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(c.out.len, 1);
    assert_true(reply_queue_fill(&c.deferred, 1, strdup("one"), 3));
    expect_verdict(messages_send(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(c.deferred.count, 1);
    assert_int_equal(c.out.len, 4);
    assert_memory_equal(buffer_head(&c.out), "cone", 4);
    assert_int_equal(c.unsent, 2);
    assert_true(list_is_linked(&c.in_replies));
    list_remove(&c.in_replies);
    assert_true(reply_queue_fill(&c.deferred, 2, NULL, 0));
    expect_verdict(messages_send(&c), GO_ON, TLSMSG_CLOSE_CLEAN);
    assert_int_equal(c.deferred.count, 0);
    assert_int_equal(c.out.len, 4);
    assert_int_equal(c.unsent, 2);
    assert_true(list_is_linked(&c.in_replies)); /* what waited for it goes on */
}

#define BOTH(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_sending_that_meets_a_reset),
        BOTH(test_sending_that_fails),
        BOTH(test_reading_until_nothing_is_left),
        BOTH(test_a_reading_that_the_flow_ends),
        BOTH(test_a_reading_that_has_to_write),
        BOTH(test_a_share_of_a_turn),
        BOTH(test_a_turn_that_has_had_enough),
        BOTH(test_what_the_flow_keeps_comes_first),
        BOTH(test_when_it_is_read),
        BOTH(test_sending_what_may_leave),
        BOTH(test_sending_that_has_to_wait),
        BOTH(test_replies_that_are_ready_follow),
    };
    int failed = 0;

    test_clock_stop();
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    RUN_ROWS(failed, test_reading_that_fails, failures);
    return failed;
}
