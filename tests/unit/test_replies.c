/* How replies come into a conversation's queue and in which order: the default one, a handler's at
 * once or later, with what a flow puts around them, and what becomes of one that there is no room
 * for. */
#include "support/unit.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/deferred.h"
#include "server/flow.h"
#include "server/messages.h"
#include "support/failmalloc.h"

#define NOW 1000000

static struct tlsmsg_server server;
static struct worker worker;
static struct conversation c;
static char told[256];

#define NO_ROOM "1 memory: no room for a reply; the conversation is closed\n"

/* --- the flow and the handler ----------------------------------------------------------------- */

static size_t reply_head(const struct conversation *of, uint64_t message, size_t len,
                         char head[FLOW_HEAD_MAX])
{
    (void)of;
    return (size_t)snprintf(head, FLOW_HEAD_MAX, "%d+%d ", (int)message, (int)len);
}

static const struct flow plain = {.name = "plain"};
static const struct flow headed = {.name = "headed", .reply_head = reply_head};

/* What the handler does with the next message. */
static struct iovec parts[3];
static int part_count; /* to reply with; -1: does not reply */
static bool defers;    /* before that */
static enum tlsmsg_code defer_code;
static enum tlsmsg_code reply_code;
static struct tlsmsg_token token;

static void on_message(struct tlsmsg_message *message, void *user)
{
    (void)user;
    if (defers) {
        defer_code = tlsmsg_message_defer(message, &token);
    }
    if (part_count >= 0) {
        reply_code = tlsmsg_message_reply(message, parts, part_count);
    }
}

static void replies_with(const char *first, const char *second)
{
    parts[0] = (struct iovec){.iov_base = (void *)(uintptr_t)first, .iov_len = strlen(first)};
    parts[1] = (struct iovec){.iov_base = (void *)(uintptr_t)second, .iov_len = strlen(second)};
    part_count = 2;
    server.handler.message = on_message;
}

static void only_defers(void)
{
    defers = true;
    part_count = -1;
    server.handler.message = on_message;
}

static void on_event(const struct tlsmsg_event *event, void *user)
{
    size_t len = strlen(told);

    (void)user;
    (void)snprintf(told + len, sizeof(told) - len, "%d %s: %s\n", (int)event->level,
                   tlsmsg_cause_name(event->cause), event->text);
}

static int set_up(void **state)
{
    (void)state;
    failmalloc_at(0);
    memset(&server, 0, sizeof(server));
    memset(&worker, 0, sizeof(worker));
    memset(&c, 0, sizeof(c));
    server.handler.event = on_event;
    server.settings.reply_prefix = "<";
    server.settings.reply_prefix_len = 1;
    server.settings.reply_suffix = ">!";
    server.settings.reply_suffix_len = 2;
    server.settings.max_message_bytes = 5000;
    worker.server = &server;
    worker.index = 3;
    worker.now_ns = NOW;
    list_init(&worker.replies);
    list_init(&c.in_replies);
    reply_queue_init(&c.deferred);
    buffer_init(&c.out, QUEUE_LIMIT_BYTES, 0);
    c.worker = &worker;
    c.flow = &plain;
    c.id = 7;
    c.slot = 5;
    c.state = CONVERSATION_OPEN;
    c.peer.socket.any.sa_family = AF_INET;
    c.peer.len = sizeof(struct sockaddr_in);
    told[0] = '\0';
    defers = false;
    part_count = -1;
    defer_code = reply_code = TLSMSG_ERR_CLOSED;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    failmalloc_at(0);
    reply_queue_fini(&c.deferred);
    buffer_fini(&c.out);
    return 0;
}

static enum next_step comes(const char *text)
{
    const struct incoming in = {.data = text, .len = strlen(text)};
    struct verdict verdict = messages_dispatch(&c, &in);

    if (verdict.next == ABORT) {
        assert_int_equal(verdict.reason, TLSMSG_CLOSE_FAILED);
    }
    return verdict.next;
}

static enum next_step is_answered(uint64_t message, const char *text)
{
    char *data = strdup(text);
    struct verdict verdict;

    assert_non_null(data);
    verdict = messages_answer(&c, message, data, strlen(text));
    if (verdict.next == ABORT) {
        assert_int_equal(verdict.reason, TLSMSG_CLOSE_FAILED);
    }
    return verdict.next;
}

/* These bytes, of so many replies, wait for the turn's end. */
static void expect_queue(const char *bytes, unsigned replies)
{
    assert_int_equal(c.out.len, strlen(bytes));
    if (c.out.len > 0) {
        assert_memory_equal(buffer_head(&c.out), bytes, c.out.len);
    }
    assert_int_equal(worker.stats.queued_bytes, c.out.len);
    assert_int_equal(c.unsent, replies);
    assert_int_equal(list_is_linked(&c.in_replies), replies > 0);
    assert_int_equal(c.released, 0);
}

/* --- at once ---------------------------------------------------------------------------------- */

static void test_the_default_reply(void **state)
{
    (void)state;
    assert_int_equal(comes("a"), GO_ON);
    expect_queue("<a>!", 1);
    assert_int_equal(worker.answered_ns, NOW);
    worker.now_ns = NOW + 1;
    assert_int_equal(comes("bc"), GO_ON);
    expect_queue("<a>!<bc>!", 2);
    assert_int_equal(c.messages, 2);
    assert_int_equal(worker.stats.messages, 2);
    assert_int_equal(c.activity_ns, NOW + 1);
    assert_int_equal(worker.answered, 2);
    assert_int_equal(worker.answered_ns, NOW);
    assert_int_equal(worker.taken_bytes, 2 * ITERATION_MESSAGE_BYTES);
    assert_false(worker.dirty);
}

/* A handler that says nothing leaves it to the default; after it its turn's end is due. */
static void test_a_handler_s_reply(void **state)
{
    (void)state;
    server.handler.message = on_message;
    assert_int_equal(comes("a"), GO_ON);
    expect_queue("<a>!", 1);
    assert_true(worker.dirty);
    replies_with("x", "yz");
    assert_int_equal(comes("b"), GO_ON);
    assert_int_equal(reply_code, TLSMSG_OK);
    expect_queue("<a>!xyz", 2);
}

static void test_what_a_flow_puts_around_a_reply(void **state)
{
    (void)state;
    c.flow = &headed;
    assert_int_equal(comes("a"), GO_ON);
    expect_queue("1+4 <a>!\n", 1);
    replies_with("", "");
    assert_int_equal(comes("b"), GO_ON);
    expect_queue("1+4 <a>!\n2+0 \n", 2);
}

static void test_an_empty_reply_is_nothing(void **state)
{
    (void)state;
    replies_with("", "");
    assert_int_equal(comes("a"), GO_ON);
    assert_int_equal(reply_code, TLSMSG_OK);
    expect_queue("", 0);
}

/* Nothing follows where nothing can be sent, or the last word was said. */
static void test_replies_that_come_to_nothing(void **state)
{
    (void)state;
    c.write_broken = true;
    assert_int_equal(comes("a"), GO_ON);
    assert_int_equal(messages_say(&c, "x", 1), TLSMSG_OK);
    expect_queue("", 0);
    c.write_broken = false;
    c.said_farewell = true;
    assert_int_equal(comes("a"), GO_ON);
    expect_queue("", 0);
}

static void test_the_longest_reply(void **state)
{
    static char bytes[REPLY_MAX_BYTES + 1];
    const size_t most = 5000 + NUMBERED_REPLY_EXTRA;

    (void)state;
    replies_with("", "");
    parts[1] = (struct iovec){.iov_base = bytes, .iov_len = REPLY_MAX_BYTES + 1};
    assert_int_equal(comes("a"), GO_ON);
    assert_int_equal(reply_code, TLSMSG_ERR_LIMIT);
    expect_queue("<a>!", 1); /* it may still give a shorter one */
    parts[1].iov_len = REPLY_MAX_BYTES;
    assert_int_equal(comes("a"), GO_ON);
    assert_int_equal(reply_code, TLSMSG_OK);
    assert_int_equal(c.out.len, 4 + REPLY_MAX_BYTES);
    assert_int_equal(worker.taken_bytes,
                     2 * ITERATION_MESSAGE_BYTES + REPLY_MAX_BYTES / ITERATION_GROWTH);
    c.flow = &headed;
    parts[0] = (struct iovec){.iov_base = bytes, .iov_len = most};
    parts[1].iov_len = 1;
    assert_int_equal(comes("a"), GO_ON);
    assert_int_equal(reply_code, TLSMSG_ERR_LIMIT);
    parts[1].iov_len = 0;
    assert_int_equal(comes("a"), GO_ON);
    assert_int_equal(reply_code, TLSMSG_OK);
}

static void test_no_room_for_a_reply(void **state)
{
    (void)state;
    c.out.limit = 3;
    assert_int_equal(comes("a"), ABORT);
    assert_string_equal(told, NO_ROOM);
    told[0] = '\0';
    replies_with("wxyz", "");
    assert_int_equal(comes("b"), ABORT);
    assert_int_equal(reply_code, TLSMSG_ERR_LIMIT);
    assert_string_equal(told, NO_ROOM);
    expect_queue("", 0);
}

/* --- later ------------------------------------------------------------------------------------ */

static void test_replies_behind_a_deferred_one_wait_for_it(void **state)
{
    (void)state;
    only_defers();
    assert_int_equal(comes("a"), GO_ON);
    assert_int_equal(defer_code, TLSMSG_OK);
    assert_int_equal(token.connection, 7);
    assert_int_equal(token.message, 1);
    assert_int_equal(token.worker, 3);
    assert_int_equal(token.slot, 5);
    defers = false;
    replies_with("t", "wo");
    assert_int_equal(comes("b"), GO_ON);
    replies_with("", "");
    assert_int_equal(comes("c"), GO_ON);
    expect_queue("", 0);
    assert_int_equal(c.deferred.count, 3);
    assert_int_equal(c.deferred.bytes, 3);
    /* Of one that isn't due nothing comes. */
    assert_int_equal(is_answered(2, "two again"), GO_ON);
    assert_int_equal(is_answered(9, "nine"), GO_ON);
    expect_queue("", 0);
    assert_int_equal(is_answered(1, "one"), GO_ON);
    expect_queue("onetwo", 2);
    assert_int_equal(c.deferred.count, 0);
    assert_int_equal(c.deferred.bytes, 0);
}

static void test_a_message_is_answered_once(void **state)
{
    (void)state;
    defers = true;
    replies_with("x", "");
    assert_int_equal(comes("a"), GO_ON);
    assert_int_equal(defer_code, TLSMSG_OK);
    assert_int_equal(reply_code, TLSMSG_ERR_STATE);
    assert_int_equal(c.deferred.count, 1);
    expect_queue("", 0);
}

/* Also where the answer is empty the conversation comes by at the turn's end. */
static void test_an_empty_answer_goes_on(void **state)
{
    (void)state;
    only_defers();
    assert_int_equal(comes("a"), GO_ON);
    assert_int_equal(is_answered(1, ""), GO_ON);
    assert_int_equal(c.deferred.count, 0);
    assert_true(list_is_linked(&c.in_replies));
}

static void test_ready_replies_wait_at_the_mark(void **state)
{
    static char bytes[QUEUE_MARK_BYTES];

    (void)state;
    only_defers();
    assert_int_equal(comes("a"), GO_ON);
    assert_int_equal(messages_say(&c, bytes, sizeof(bytes)), TLSMSG_OK);
    assert_int_equal(is_answered(1, "one"), GO_ON);
    assert_int_equal(c.deferred.count, 1);
    assert_int_equal(c.out.len, QUEUE_MARK_BYTES);
    buffer_truncate(&c.out, QUEUE_MARK_BYTES - 1);
    assert_int_equal(comes("b"), GO_ON);
    assert_int_equal(is_answered(2, "two"), GO_ON);
    assert_int_equal(c.deferred.count, 1);
    assert_int_equal(c.out.len, QUEUE_MARK_BYTES + 2);
}

static void test_no_room_for_an_answer(void **state)
{
    (void)state;
    only_defers();
    assert_int_equal(comes("a"), GO_ON);
    c.out.limit = 2;
    assert_int_equal(is_answered(1, "one"), ABORT);
    assert_string_equal(told, NO_ROOM);
    expect_queue("", 0);
}

/* --- no memory -------------------------------------------------------------------------------- */

/* Its place in the queue, and its bytes. */
static void test_no_memory_for_a_reply_that_waits(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 2; n++) {
        (void)set_up(NULL);
        only_defers();
        assert_int_equal(comes("a"), GO_ON);
        defers = false;
        replies_with("t", "wo");
        failmalloc_at(n);
        assert_int_equal(comes("b"), ABORT);
        assert_int_equal(failmalloc_count(), n);
        assert_int_equal(reply_code, TLSMSG_ERR_NOMEM);
        assert_string_equal(told, NO_ROOM);
        assert_int_equal(c.deferred.count, n);
        (void)tear_down(NULL);
    }
    (void)set_up(NULL);
}

/* It can still be answered at once. */
static void test_no_memory_to_defer(void **state)
{
    (void)state;
    defers = true;
    replies_with("now", "");
    assert_int_equal(comes("a"), GO_ON);
    (void)tear_down(NULL);
    (void)set_up(NULL);
    defers = true;
    replies_with("now", "");
    failmalloc_at(1);
    assert_int_equal(comes("a"), GO_ON);
    assert_int_equal(defer_code, TLSMSG_ERR_NOMEM);
    assert_int_equal(reply_code, TLSMSG_OK);
    expect_queue("now", 1);
}

/* --- what a flow says and takes back ---------------------------------------------------------- */

/* Where nothing waits for the turn's end it leaves at once. */
static void test_what_a_flow_says(void **state)
{
    static char bytes[QUEUE_MARK_BYTES];

    (void)state;
    assert_int_equal(messages_say(&c, "one", 3), TLSMSG_OK);
    assert_int_equal(c.released, 3);
    assert_int_equal(c.progress_ns, NOW);
    assert_int_equal(c.unsent, 0);
    assert_true(list_is_linked(&c.in_replies));
    worker.now_ns = NOW + 1;
    assert_int_equal(messages_say(&c, "two", 3), TLSMSG_OK);
    assert_int_equal(c.released, 6);
    assert_int_equal(c.progress_ns, NOW);
    assert_int_equal(comes("a"), GO_ON);
    assert_int_equal(messages_say(&c, "three", 5), TLSMSG_OK);
    assert_int_equal(c.released, 6);
    assert_int_equal(c.out.len, 15);
    assert_memory_equal(buffer_head(&c.out), "onetwo<a>!three", 15);
    assert_int_equal(worker.stats.queued_bytes, 15);
    failmalloc_at(1);
    assert_int_equal(messages_say(&c, bytes, sizeof(bytes)), TLSMSG_ERR_NOMEM);
    assert_int_equal(c.out.len, 15);
    assert_int_equal(worker.stats.queued_bytes, 15);
}

static void test_what_is_taken_back(void **state)
{
    (void)state;
    assert_int_equal(comes("a"), GO_ON);
    assert_int_equal(comes("b"), GO_ON);
    only_defers();
    assert_int_equal(comes("c"), GO_ON);
    messages_drop_undecided(&c, 4);
    assert_int_equal(c.out.len, 4);
    assert_memory_equal(buffer_head(&c.out), "<a>!", 4);
    assert_int_equal(worker.stats.queued_bytes, 4);
    assert_int_equal(c.unsent, 2);
    assert_int_equal(c.deferred.count, 0);
    messages_drop_undecided(&c, 0);
    assert_int_equal(c.out.len, 0);
    assert_int_equal(worker.stats.queued_bytes, 0);
    assert_int_equal(c.unsent, 0);
}

#define BOTH(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_the_default_reply),
        BOTH(test_a_handler_s_reply),
        BOTH(test_what_a_flow_puts_around_a_reply),
        BOTH(test_an_empty_reply_is_nothing),
        BOTH(test_replies_that_come_to_nothing),
        BOTH(test_the_longest_reply),
        BOTH(test_no_room_for_a_reply),
        BOTH(test_replies_behind_a_deferred_one_wait_for_it),
        BOTH(test_a_message_is_answered_once),
        BOTH(test_an_empty_answer_goes_on),
        BOTH(test_ready_replies_wait_at_the_mark),
        BOTH(test_no_room_for_an_answer),
        BOTH(test_no_memory_for_a_reply_that_waits),
        BOTH(test_no_memory_to_defer),
        BOTH(test_what_a_flow_says),
        BOTH(test_what_is_taken_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
