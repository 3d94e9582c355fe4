/* A worker's turns, one by one, on a conversation by itself: what others bring to it, what its clock
 * and its phase do, and that what has changed is waited for anew, whichever way it changed. */
#include "support/unit.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/wake.h"
#include "server/deferred.h"
#include "server/table.h"
#include "server/worker.h"
#include "support/lone_conversation.h"

#define S ((int64_t)CLOCK_NS_PER_S)

/* --- turns ------------------------------------------------------------------------------------ */

typedef void turn(void);

/* What is done where the worker waits, wait by wait; then it ends. */
static turn *const *turns;
static size_t turn_count;
static size_t turn_at;
static int waits_ms;
static bool wakes;

size_t __wrap_loop_wait(struct loop *loop, struct loop_event *events, size_t cap, int timeout_ms,
                        bool *woken);

size_t __wrap_loop_wait(struct loop *loop, struct loop_event *events, size_t cap, int timeout_ms,
                        bool *woken)
{
    (void)events;
    assert_ptr_equal(loop, &lone.w->loop);
    assert_int_equal(cap, ITERATION_CONVERSATIONS);
    waits_ms = timeout_ms;
    wakes = false;
    if (turn_at < turn_count) {
        turns[turn_at]();
    } else {
        server_advance(lone.server, SERVER_FAILED);
    }
    turn_at++;
    *woken = wakes;
    return 0;
}

static void play(turn *const *all, size_t count)
{
    turns = all;
    turn_count = count;
    turn_at = 0;
    atomic_store(&lone.server->running, 1);
    assert_null(worker_run(lone.w));
    assert_true(turn_at >= count);
}

#define PLAY(...)                                                                                  \
    do {                                                                                           \
        static turn *const these[] = {__VA_ARGS__};                                                \
        play(these, COUNT_OF(these));                                                              \
    } while (0)

static struct flow quiet; /* has all but last words, so that nothing is queued */

/* An open conversation that is about to end by whatever it is asked next. */
static int open_one(void **state)
{
    (void)lone_begin(state);
    quiet = lone_full_flow;
    quiet.farewell = NULL;
    quiet.report = NULL;
    lone_open(&quiet);
    lone.verdict = (struct verdict){FINISH, TLSMSG_CLOSE_REFUSED};
    return 0;
}

/* It reads for a second what still comes, and is looked at when that is over. */
static void expect_lingering(void)
{
    assert_int_equal(lone.c->state, CONVERSATION_LINGER);
    assert_int_equal(lone.c->watch.armed, LOOP_READ);
    assert_int_equal(timers_next_ns(&lone.w->timers), lone.w->now_ns + 1 * S);
    assert_int_equal(waits_ms, 1000);
}

/* This, and then its end, of which it is told where it comes and where it is freed. */
static void expect_asked(const char *what)
{
    char expected[64];

    (void)snprintf(expected, sizeof(expected), "%send end ", what);
    lone_expect_asked(expected);
}

/* --- what others bring ------------------------------------------------------------------------ */

static void post(const struct posted *what)
{
    assert_int_equal(mailbox_post(&lone.w->mailbox, what), TLSMSG_OK);
    wakes = true;
}

static struct tlsmsg_token its_token(uint64_t message)
{
    return (struct tlsmsg_token){.connection = LONE_ID, .slot = lone.c->slot, .message = message};
}

static void is_taken_over(void)
{
    post(&(struct posted){.kind = POSTED_TAKEN_OVER, .token = its_token(0)});
}

static void is_refused(void)
{
    post(&(struct posted){.kind = POSTED_REFUSAL, .token = its_token(3), .code = 507});
}

static void is_greeted(void)
{
    post(&(struct posted){
        .kind = POSTED_HELLO, .token = its_token(0), .last = 5, .promise = TLSMSG_PROMISE_DISK});
}

static void may_look(void)
{
    list_append(&lone.w->waiting, &lone.c->in_waiting);
    worker_look(lone.server, 0);
    wakes = true;
}

static void is_shed(void)
{
    worker_unfinished(lone.w, lone.c);
    atomic_store(&lone.w->sheds, true);
}

static void is_silent_for_long(void)
{
    lone.server->settings.idle_timeout_ms = 5000;
    conversation_update(lone.c);
    lone_wait_ms(5000);
}

static void nothing_is_sheddable(void)
{
    assert_false(atomic_load(&lone.w->sheds));
    assert_true(list_is_empty(&lone.w->unfinished));
}

static void nobody_looks(void)
{
    assert_false(atomic_load(&lone.w->look));
}

static void test_one_that_is_taken_over(void **state)
{
    (void)state;
    PLAY(is_taken_over, expect_lingering);
    expect_asked("taken_over ");
}

static void test_one_that_is_refused(void **state)
{
    (void)state;
    PLAY(is_refused, expect_lingering);
    expect_asked("refused ");
}

static void test_one_that_is_greeted(void **state)
{
    (void)state;
    PLAY(is_greeted, expect_lingering);
    expect_asked("greeted ");
}

static void test_one_that_has_waited(void **state)
{
    (void)state;
    PLAY(may_look, expect_lingering, nobody_looks);
    expect_asked("woken ");
}

static void test_one_that_is_shed(void **state)
{
    (void)state;
    PLAY(is_shed, expect_lingering, nothing_is_sheddable);
    expect_asked("shed ");
}

static void test_one_that_is_silent(void **state)
{
    (void)state;
    PLAY(is_silent_for_long, expect_lingering);
    lone_expect_told("2 timeout 7: idle for 5 s\nclosed 7 of 0: timeout, 0 messages, 5000 ms\n");
}

/* Answers come to the conversation and the message that they are for, and to no other. */
static void answers_come(void)
{
    struct posted what = {
        .kind = POSTED_REPLY, .token = its_token(1), .data = (char[]){'x', 'y'}, .len = 2};

    assert_true(reply_queue_add(&lone.c->deferred, 1));
    what.token.connection++;
    post(&what);
    what.token.connection--;
    what.token.slot++;
    post(&what);
    what.token.slot--;
    post(&what);
    post(&what); /* again */
}

static void one_was_taken(void)
{
    assert_int_equal(lone.c->state, CONVERSATION_OPEN);
    assert_int_equal(lone.c->deferred.count, 0);
    assert_int_equal(lone.sends, 1);
    assert_int_equal(lone.w->stats.bytes_out, 2);
    assert_int_equal(lone.c->watch.armed, LOOP_READ);
}

static void it_has_ended(void)
{
    lone.c->state = CONVERSATION_LINGER;
    assert_true(reply_queue_add(&lone.c->deferred, 2));
    post(&(struct posted){
        .kind = POSTED_REPLY, .token = its_token(2), .data = (char[]){'z'}, .len = 1});
}

static void none_was_taken(void)
{
    assert_int_equal(lone.c->deferred.count, 1);
    assert_null(reply_queue_first(&lone.c->deferred));
}

static void test_answers(void **state)
{
    (void)state;
    lone.verdict = (struct verdict){.next = GO_ON};
    PLAY(answers_come, one_was_taken, it_has_ended, none_was_taken);
}

/* --- those that aren't read ------------------------------------------------------------------- */

static void memory_is_short(void)
{
    lone.verdict = (struct verdict){.next = GO_ON};
    lone.receives = 0;
    tlsmsg_server_buffered(lone.server, (int64_t)lone.server->settings.max_buffered_bytes + 1);
    list_append(&lone.w->paused, &lone.c->in_paused);
    lone.c->watch.armed = 0;
    lone.c->activity_ns = 0;
}

static void it_waits(void)
{
    assert_true(lone.w->over);
    assert_true(list_is_linked(&lone.c->in_paused));
    assert_int_equal(lone.receives, 0);
    assert_int_equal(waits_ms, 10);
}

static void memory_is_back(void)
{
    it_waits();
    tlsmsg_server_buffered(lone.server, -(int64_t)atomic_load(&lone.server->elsewhere));
}

static void it_was_read(void)
{
    assert_false(lone.w->over);
    assert_false(list_is_linked(&lone.c->in_paused));
    assert_int_equal(lone.receives, 1);
    assert_int_equal(lone.c->activity_ns, lone.begun_ns);
    assert_int_equal(waits_ms, -1);
}

static void test_one_that_was_not_read_meanwhile(void **state)
{
    (void)state;
    PLAY(memory_is_short, it_waits, memory_is_back, it_was_read);
}

/* --- phases ----------------------------------------------------------------------------------- */

static void server_is_full(void)
{
    assert_int_equal(lone.w->listener_count, 1);
    server_advance(lone.server, SERVER_FULL);
}

static void it_stays(void)
{
    assert_int_equal(lone.w->listener_count, 0);
    assert_int_equal(lone.server->listeners[0].fd, -1);
    assert_int_equal(lone.c->state, CONVERSATION_OPEN);
}

static void it_still_shakes_hands(void)
{
    lone.c->state = CONVERSATION_HANDSHAKE;
    server_is_full();
}

static void test_a_full_server(void **state)
{
    (void)state;
    PLAY(server_is_full, it_stays);
    lone_expect_told("");
    (void)lone_end(NULL);
    (void)open_one(NULL);
    PLAY(it_still_shakes_hands);
    lone_expect_told("closed 7 of 0: handshake, 0 messages, 0 ms\n");
    assert_int_equal(lone.w->conversations, 0);
    assert_int_equal(turn_at, 1); /* there is nothing left to wait for */
    assert_int_equal(poll(&(struct pollfd){.fd = lone.server->done_fd, .events = POLLIN}, 1, 0), 1);
}

static void server_stops(void)
{
    lone.server->settings.drain_timeout_ms = 7000;
    lone.c->messages = 1;
    lone_wait_ms(2000);
    tlsmsg_server_stop(lone.server);
}

static void it_drains(void)
{
    assert_true(lone.w->draining);
    assert_int_equal(lone.w->listener_count, 0);
    assert_int_equal(lone.w->draining_since_ns, lone.begun_ns + 2 * S);
    assert_int_equal(lone.w->drain_deadline_ns, lone.begun_ns + 9 * S);
    assert_true(lone.c->draining);
    assert_true(lone.c->limited);
    assert_int_equal(timers_next_ns(&lone.w->timers), lone.begun_ns + 9 * S);
    lone_wait_ms(1000);
}

static void it_drains_from_then(void)
{
    assert_int_equal(lone.w->draining_since_ns, lone.begun_ns + 2 * S);
}

static void test_a_server_that_stops(void **state)
{
    (void)state;
    PLAY(server_stops, it_drains, it_drains_from_then);
}

static void it_shakes_hands(void)
{
    lone.c->state = CONVERSATION_HANDSHAKE;
    server_stops();
}

static void it_shakes_hands_until_then(void)
{
    assert_int_equal(lone.c->state, CONVERSATION_HANDSHAKE);
    assert_int_equal(lone.receives, 0);
    assert_int_equal(timers_next_ns(&lone.w->timers), lone.begun_ns + 9 * S);
}

static void test_a_handshake_while_the_server_stops(void **state)
{
    (void)state;
    lone.server->settings.handshake_timeout_ms = 0;
    PLAY(it_shakes_hands, it_shakes_hands_until_then);
}

static void it_lingers(void)
{
    lone.c->state = CONVERSATION_LINGER;
    lone.c->reported = true;
}

static void one_that_lingers_fails(void)
{
    it_lingers();
    tlsmsg_server_release(lone.server, 0, true);
    wakes = true;
}

/* Whatever it was about: nobody listens after it, and nothing is told. */
static void test_a_handler_s_failure(void **state)
{
    (void)state;
    lone.w->held = true;
    PLAY(one_that_lingers_fails);
    assert_int_equal(turn_at, 1);
    assert_true(lone.w->failed);
    assert_false(lone.w->held);
    assert_int_equal(lone.w->listener_count, 0);
    assert_int_equal(lone.server->listeners[0].fd, -1);
    assert_int_equal(atomic_load(&lone.server->phase), SERVER_FAILED);
    assert_int_equal(lone.w->conversations, 0);
    lone_expect_told("");
}

/* --- the handler's turn ----------------------------------------------------------------------- */

static unsigned asks;
static enum tlsmsg_turn answer;

static enum tlsmsg_turn on_turn_end(unsigned worker, void *user)
{
    assert_int_equal(worker, 0);
    assert_ptr_equal(user, lone.told);
    asks++;
    return answer;
}

static void something_was_told(void)
{
    asks = 0;
    answer = TLSMSG_TURN_RELEASE;
    lone.server->handler.turn_end = on_turn_end;
    worker_handler_ran(lone.w);
}

static void it_was_asked_once(void)
{
    assert_int_equal(asks, 1);
}

static void replies_wait(void)
{
    lone_queue("abc", 0);
    worker_answered(lone.w, lone.c);
}

/* Where nothing was told nothing is asked, and replies leave all the same. */
static void they_have_left(void)
{
    it_was_asked_once();
    assert_int_equal(lone.sends, 1);
    assert_int_equal(lone.c->out.len, 0);
}

static void replies_wait_and_are_held(void)
{
    lone.sends = 0;
    asks = 0;
    answer = TLSMSG_TURN_HOLD;
    worker_handler_ran(lone.w);
    replies_wait();
}

static void they_are_held(void)
{
    it_was_asked_once();
    assert_true(lone.w->held);
    assert_int_equal(lone.sends, 0);
    assert_int_equal(lone.c->held_bytes, 3);
    assert_int_equal(waits_ms, -1);
    worker_handler_ran(lone.w);
}

static void nothing_is_asked_meanwhile(void)
{
    it_was_asked_once();
    answer = TLSMSG_TURN_RELEASE;
    tlsmsg_server_release(lone.server, 0, false);
    wakes = true;
}

static void they_were_released(void)
{
    assert_false(lone.w->held);
    assert_int_equal(asks, 2);
    assert_int_equal(lone.sends, 1);
}

static void test_when_the_handler_is_asked(void **state)
{
    (void)state;
    lone.verdict = (struct verdict){.next = GO_ON};
    PLAY(something_was_told, it_was_asked_once, replies_wait, they_have_left,
         replies_wait_and_are_held, they_are_held, nothing_is_asked_meanwhile, they_were_released);
}

#define BOTH(function) cmocka_unit_test_setup_teardown(function, open_one, lone_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_one_that_is_taken_over),
        BOTH(test_one_that_is_refused),
        BOTH(test_one_that_is_greeted),
        BOTH(test_one_that_has_waited),
        BOTH(test_one_that_is_shed),
        BOTH(test_one_that_is_silent),
        BOTH(test_answers),
        BOTH(test_one_that_was_not_read_meanwhile),
        BOTH(test_a_full_server),
        BOTH(test_a_server_that_stops),
        BOTH(test_a_handshake_while_the_server_stops),
        BOTH(test_a_handler_s_failure),
        BOTH(test_when_the_handler_is_asked),
    };

    return cmocka_run_group_tests(tests, lone_setup, lone_teardown);
}
