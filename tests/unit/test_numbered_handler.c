/* tlsmsg/1 with a handler that keeps the numbers, or can't take a message: what it is asked, what it
 * may refuse, and what the client and the log are told. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>

#include "support/numbered_words.h"
#include "support/play.h"

/* What the handler was asked, and what it says: at once, where answers is set. */
static struct tlsmsg_token asked;
static char question[256];
static unsigned questions;
static bool answers;
static uint64_t last_had;
static enum tlsmsg_promise promise;

static void on_hello(const struct tlsmsg_hello *hello, void *user)
{
    (void)user;
    (void)snprintf(question, sizeof(question), "%llu %s %s from %llu, message %llu of %u, %u",
                   (unsigned long long)hello->peer->connection, hello->peer->address,
                   hello->producer != NULL ? hello->producer : "(none)",
                   (unsigned long long)hello->from, (unsigned long long)hello->token.message,
                   (unsigned)hello->token.connection, hello->token.slot);
    asked = hello->token;
    questions++;
    if (answers) {
        assert_int_equal(tlsmsg_server_hello(server, &asked, last_had, promise), TLSMSG_OK);
    }
}

static void begin(unsigned peer_count, const char *idle_timeout)
{
    struct tlsmsg_handler handler = *scene_handler();

    handler.hello = on_hello;
    questions = 0;
    play_begin(scene_server_with(&handler, TLSMSG_OPT_IDLE_TIMEOUT, idle_timeout,
                                 TLSMSG_OPT_HANDSHAKE_TIMEOUT, "0", TLSMSG_OPT_COUNT),
               peer_count);
}

/* --- greetings -------------------------------------------------------------------------------- */

static unsigned turns;

static bool count_turn(struct scene *s)
{
    (void)s;
    turns++;
    return true;
}

static bool it_is_asked(struct scene *s)
{
    (void)s;
    assert_int_equal(questions, 1);
    assert_string_equal(question, "2 0.0.0.0:0 job from 3, message 0 of 2, 1");
    assert_int_equal(turns, 2); /* both conversations' begin, in one or two, and this question */
    return true;
}

static bool it_is_answered(struct scene *s)
{
    return tlsmsg_server_hello(s->server, &asked, 7, TLSMSG_PROMISE_REPLICATED) == TLSMSG_OK;
}

/* What had come behind the greeting comes with its answer; the time until then is not its silence. */
static void test_a_greeting_that_is_answered_later(void **state)
{
    static const struct act acts[] = {
        {.peer = 1, .says = "HELLO 1 producer=job from=3\nMSG 8 1\na\nMSG 9 3\n"},
        {.does = it_is_asked, .passes_ms = 40000},
        {.peer = 1, .says = "xyz"},
        {.does = it_is_answered},
        {.peer = 1, .hears = HELLO_OF(7, "replicated") OK(8, "a"), .passes_ms = 25000},
        {.peer = 0, .hears = "BYE 503 4\nidle\n", .has_left = true},
        {.peer = 1, .says = "\n"},
        {.peer = 1, .hears = OK_OF(9, 39, "xyz")},
        {.peer = 1, .leaves = true, .has_left = true},
    };

    (void)state;
    begin(2, "60");
    turns = 0;
    answers = false;
    scene.turn_end = count_turn;
    ACTS_PLAY(&scene, acts);
    play_end_told("info timeout 1: idle for 60 s\nclosed 1: timeout, 0 messages, BYE 503\n"
                  "closed 2: clean, 2 messages, of job\n");
}

static bool none_is_named(struct scene *s)
{
    (void)s;
    assert_string_equal(question, "1 0.0.0.0:0 (none) from 1, message 0 of 1, 0");
    return true;
}

/* Whoever names no producer is asked for, too: its numbers are nobody's. */
static void test_a_greeting_without_a_producer(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1\nMSG 1 1\na\n"},
        {.hears = HELLO_OF(0, "disk") OK(1, "a"), .does = none_is_named},
        {.leaves = true, .has_left = true},
    };

    (void)state;
    begin(1, "0");
    answers = true;
    last_had = 0;
    promise = TLSMSG_PROMISE_DISK;
    ACTS_PLAY(&scene, acts);
    play_end_told("closed 1: clean, 1 messages\n");
}

static bool greeting_is_refused(struct scene *s)
{
    return tlsmsg_server_refuse(s->server, &asked, 503) == TLSMSG_OK;
}

static void test_a_greeting_is_refused(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1 producer=job\nMSG 1 1\na\n"},
        {.does = greeting_is_refused},
        {.hears = BUSY, .has_left = true},
    };

    (void)state;
    begin(1, "0");
    answers = false;
    ACTS_PLAY(&scene, acts);
    play_end_told("info other 1: refused, BYE 503: busy; the conversation is closed\n"
                  "closed 1: failed, 0 messages, BYE 503, of job\n");
}

/* --- numbers that are lost -------------------------------------------------------------------- */

static const struct set_back_row {
    const char *name;
    const char *says;
    uint64_t last;
    enum tlsmsg_promise promise;
    const char *told;
    unsigned counted;
} set_back_rows[] = {
    {"all are lost", "HELLO 1 producer=job from=5\n", 0, TLSMSG_PROMISE_DISK,
     "warning other 1: producer 'job' has acknowledged messages up to 4, but the last that is "
     "stored is 0 (another server?)\n",
     1},
    {"one is lost", "HELLO 1 producer=job from=5\n", 3, TLSMSG_PROMISE_DISK,
     "error other 1: producer 'job' has acknowledged messages up to 4, but the last that is "
     "stored is 3: an old backup?\n",
     1},
    {"none is lost", "HELLO 1 producer=job from=5\n", 4, TLSMSG_PROMISE_DISK, "", 0},
    {"more is had", "HELLO 1 producer=job from=5\n", 9, TLSMSG_PROMISE_REPLICATED, "", 0},
    {"nothing was promised", "HELLO 1 producer=job from=5\n", 0, TLSMSG_PROMISE_NONE, "", 0},
    {"the first greeting", "HELLO 1 producer=job\n", 0, TLSMSG_PROMISE_DISK, "", 0},
    {"no producer", "HELLO 1\n", 0, TLSMSG_PROMISE_DISK, "", 0},
};

static bool is_greeted(struct scene *s)
{
    return s->peers[0].heard > 0;
}

static void test_set_back(void **state)
{
    static const struct act leaves[] = {{.does = is_greeted, .leaves = true, .has_left = true}};
    const struct set_back_row *row = *state;
    struct act acts[] = {{.says = row->says}, leaves[0]};
    struct tlsmsg_stats stats = {.size = sizeof(stats)};
    char told[256];

    begin(1, "0");
    answers = true;
    last_had = row->last;
    promise = row->promise;
    ACTS_PLAY(&scene, acts);
    tlsmsg_server_stats(server, &stats);
    assert_int_equal(stats.set_back, row->counted);
    (void)snprintf(told, sizeof(told), "%sclosed 1: clean, 0 messages%s\n", row->told,
                   strstr(row->says, "job") != NULL ? ", of job" : "");
    play_end_told(told);
}

/* A client that comes again and again is told of once a minute, and counted each time. */
static void test_a_set_back_is_told_once_a_minute(void **state)
{
#define SET_BACK(connection)                                                                       \
    "error other " #connection ": producer 'job' has acknowledged messages up to 4, but the last " \
    "that is stored is 3: an old backup?\n"
    static const struct act acts[] = {
        {.peer = 0, .says = "HELLO 1 producer=job from=5\n"},
        {.peer = 0, .hears = HELLO_OF(3, "disk"), .leaves = true, .has_left = true},
        {.passes_ms = 30000},
        {.peer = 1, .says = "HELLO 1 producer=job from=5\n"},
        {.peer = 1, .hears = HELLO_OF(3, "disk"), .leaves = true, .has_left = true},
        {.passes_ms = 30000},
        {.peer = 2, .says = "HELLO 1 producer=job from=5\n"},
        {.peer = 2, .hears = HELLO_OF(3, "disk"), .leaves = true, .has_left = true},
    };
    struct tlsmsg_stats stats = {.size = sizeof(stats)};

    (void)state;
    begin(3, "0");
    answers = true;
    last_had = 3;
    promise = TLSMSG_PROMISE_DISK;
    ACTS_PLAY(&scene, acts);
    tlsmsg_server_stats(server, &stats);
    assert_int_equal(stats.set_back, 3);
    play_end_told(SET_BACK(1) "closed 1: clean, 0 messages, of job\n"
                              "closed 2: clean, 0 messages, of job\n" SET_BACK(
                                  3) "closed 3: clean, 0 messages, of job\n");
}

/* --- messages that can't be taken ------------------------------------------------------------- */

static const struct refusal_row {
    const char *name;
    unsigned code;
    const char *hears;
    const char *told;
} refusal_rows[] = {
    {"other bytes", 412, "BYE 412 32\nother bytes under a known number\n",
     "warning other 1: refused, BYE 412: other bytes under a known number; the conversation is "
     "closed\nclosed 1: refused, 2 messages, BYE 412\n"},
    {"too long", 413, "BYE 413 25\na message longer than max\n",
     "info other 1: refused, BYE 413: a message longer than max; the conversation is closed\n"
     "closed 1: refused, 2 messages, BYE 413\n"},
    {"not UTF-8", 415, "BYE 415 24\nbytes that are not UTF-8\n",
     "info other 1: refused, BYE 415: bytes that are not UTF-8; the conversation is closed\n"
     "closed 1: invalid-utf8, 2 messages, BYE 415\n"},
    {"busy", 503, "BYE 503 4\nbusy\n",
     "info other 1: refused, BYE 503: busy; the conversation is closed\n"
     "closed 1: failed, 2 messages, BYE 503\n"},
    {"no room", 507, "BYE 507 7\nno room\n",
     "info other 1: refused, BYE 507: no room; the conversation is closed\n"
     "closed 1: refused, 2 messages, BYE 507\n"},
};

static unsigned refusal;

/* The last message; with its turn held. */
static bool it_is_refused(struct scene *s)
{
    assert_int_equal(s->holds, 1);
    assert_int_equal(tlsmsg_server_refuse(s->server, &s->last_message, refusal), TLSMSG_OK);
    return true;
}

/* The one before it was decided, and is answered. */
static void test_refusal(void **state)
{
    const struct refusal_row *row = *state;
    struct act acts[] = {
        {.says = "HELLO 1\n"},   {.hears = HELLO, .holds = "MSG 1 1\na\nMSG 2 1\nb\n"},
        {.does = it_is_refused}, {.does = scene_release},
        {.hears = OK(1, "a")},   {.hears = "", .has_left = true},
    };
    char hears[256];

    play_begin(scene_server_new(TLSMSG_OPT_COUNT), 1);
    (void)snprintf(hears, sizeof(hears), "%s%s", OK(1, "a"), row->hears);
    acts[4].hears = hears;
    refusal = row->code;
    ACTS_PLAY(&scene, acts);
    play_end_told(row->told);
}

static struct tlsmsg_token first;

static bool first_is_remembered(struct scene *s)
{
    first = s->last_message;
    return true;
}

/* Both are held by now: the earlier one takes the later along, and a second refusal changes nothing. */
static bool first_is_refused_then_second(struct scene *s)
{
    assert_int_equal(s->messages, 3);
    first = s->last_message;
    first.message--;
    assert_int_equal(tlsmsg_server_refuse(s->server, &first, 507), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_refuse(s->server, &s->last_message, 412), TLSMSG_OK);
    return true;
}

static void test_the_first_refusal_is_told(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1\nMSG 1 1\na\n"},
        {.hears = HELLO OK(1, "a"), .does = first_is_remembered},
        {.holds = "MSG 2 1\nb\nMSG 3 1\nc\n"},
        {.does = first_is_refused_then_second},
        {.does = scene_release},
        {.hears = "BYE 507 7\nno room\n", .has_left = true},
    };

    (void)state;
    play_begin(scene_server_new(TLSMSG_OPT_COUNT), 1);
    ACTS_PLAY(&scene, acts);
    play_end_told("info other 1: refused, BYE 507: no room; the conversation is closed\n"
                  "closed 1: refused, 3 messages, BYE 507\n");
}

/* One behind a reply that waits for its turn: that was decided. */
static bool deferred_one_is_refused(struct scene *s)
{
    assert_int_equal(s->token_count, 1);
    assert_int_equal(s->tokens[0].message, 2);
    assert_int_equal(tlsmsg_server_refuse(s->server, &s->tokens[0], 507), TLSMSG_OK);
    return true;
}

static void defer_the_second(struct tlsmsg_message *message, void *user)
{
    scene.defer = tlsmsg_message_number(message) == 2 ? 1 : 0;
    scene_handler()->message(message, user);
}

static void test_a_deferred_message_is_refused_in_a_hold(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1\n"},
        {.hears = HELLO, .holds = "MSG 1 1\na\nMSG 2 1\nb\nMSG 3 1\nc\n"},
        {.does = deferred_one_is_refused},
        {.does = scene_release},
        {.hears = OK(1, "a") "BYE 507 7\nno room\n", .has_left = true},
    };
    struct tlsmsg_handler handler = *scene_handler();

    (void)state;
    handler.message = defer_the_second;
    play_begin(scene_server_with(&handler, TLSMSG_OPT_COUNT), 1);
    ACTS_PLAY(&scene, acts);
    play_end_told("info other 1: refused, BYE 507: no room; the conversation is closed\n"
                  "closed 1: refused, 3 messages, BYE 507\n");
}

/* It ends already, for the client's own mistake: that is what it hears. */
static void test_a_mistake_comes_before_a_refusal(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1\n"},
        {.hears = HELLO, .holds = "MSG 1 1\na\nMSG 3 1\nc\n"},
        {.does = it_is_refused},
        {.does = scene_release},
        {.hears = "BYE 400 21\na number out of order\n", .has_left = true},
    };

    (void)state;
    play_begin(scene_server_new(TLSMSG_OPT_COUNT), 1);
    refusal = 507;
    ACTS_PLAY(&scene, acts);
    play_end_told(
        "warning other 1: refused, BYE 400: a number out of order; the conversation is closed\n"
        "closed 1: refused, 1 messages, BYE 400\n");
}

/* --- what a message tells of itself ----------------------------------------------------------- */

static char looked_at[512];

static void look_at(struct tlsmsg_message *message, void *user)
{
    const unsigned char *hash = tlsmsg_message_hash(message);
    const char *producer = tlsmsg_message_producer(message);
    size_t at = strlen(looked_at);
    size_t len;

    (void)user;
    (void)tlsmsg_message_data(message, &len);
    (void)snprintf(looked_at + at, sizeof(looked_at) - at, "%llu of %s, %zu bytes%s",
                   (unsigned long long)tlsmsg_message_number(message),
                   producer != NULL ? producer : "(none)", len,
                   tlsmsg_message_is_duplicate(message) ? ", again" : "");
    at = strlen(looked_at);
    if (hash != NULL) {
        (void)snprintf(looked_at + at, sizeof(looked_at) - at, ", %02x%02x..%02x", hash[0], hash[1],
                       hash[31]);
    }
    (void)strncat(looked_at, "\n", sizeof(looked_at) - strlen(looked_at) - 1);
}

/* SHA-256 of "a" is ca97..bb, of "bc" 1e0b..ac. */
static void test_what_a_message_tells(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1 producer=p\nMSG 1 1\na\nMSG 2 2\nb"},
        {.says = "c\n"},
        {.hears = HELLO "OK 1 37\n你好，我已收到你的消息：a\nOK 2 38\n你好，我已收到你的消息：bc\n",
         .leaves = true,
         .has_left = true},
        {.peer = 1, .says = "HELLO 1 producer=p\nMSG 2 2\nbc\n"},
        {.peer = 1,
         .hears = HELLO_OF(2, "none") "OK 2 38\n你好，我已收到你的消息：bc\n",
         .leaves = true,
         .has_left = true},
        {.peer = 2, .says = "HELLO 1\nMSG 1 1\na\n"},
        {.peer = 2, .hears = HELLO OK(1, "a"), .leaves = true, .has_left = true},
    };
    struct tlsmsg_handler handler = *scene_handler();

    (void)state;
    looked_at[0] = '\0';
    handler.message = look_at;
    play_begin(scene_server_with(&handler, TLSMSG_OPT_COUNT), 3);
    ACTS_PLAY(&scene, acts);
    assert_string_equal(looked_at, "1 of p, 1 bytes, ca97..bb\n2 of p, 2 bytes, 1e0b..ac\n"
                                   "2 of p, 2 bytes, again, 1e0b..ac\n1 of (none), 1 bytes\n");
    play_end_told("closed 1: clean, 2 messages, of p\n"
                  "closed 2: clean, 0 messages, 1 duplicates, of p\nclosed 3: clean, 1 messages\n");
}

/* --- a number that the library keeps ---------------------------------------------------------- */

static void test_other_bytes_under_the_last_number(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1 producer=p\nMSG 1 1\na\nMSG 2 1\nb\n"},
        {.hears = HELLO OK(1, "a") OK(2, "b"), .leaves = true, .has_left = true},
        {.peer = 1, .says = "HELLO 1 producer=p from=1\nMSG 1 1\nx\nMSG 2 1\nc\n"},
        {.peer = 1,
         .hears = HELLO_OF(2, "none") OK(1, "x") "BYE 412 32\nother bytes under a known number\n",
         .has_left = true},
    };

    (void)state;
    play_begin(scene_server_new(TLSMSG_OPT_COUNT), 2);
    ACTS_PLAY(&scene, acts);
    play_end_told(
        "closed 1: clean, 2 messages, of p\n"
        "warning other 2: refused, BYE 412: other bytes under a known number; the conversation is "
        "closed\nclosed 2: refused, 0 messages, 1 duplicates, BYE 412, of p\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_greeting_that_is_answered_later),
        cmocka_unit_test(test_a_greeting_without_a_producer),
        cmocka_unit_test(test_a_greeting_is_refused),
        cmocka_unit_test(test_a_set_back_is_told_once_a_minute),
        cmocka_unit_test(test_the_first_refusal_is_told),
        cmocka_unit_test(test_a_deferred_message_is_refused_in_a_hold),
        cmocka_unit_test(test_a_mistake_comes_before_a_refusal),
        cmocka_unit_test(test_what_a_message_tells),
        cmocka_unit_test(test_other_bytes_under_the_last_number),
    };
    int failed = 0;

    (void)numbered_setup(NULL);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    RUN_ROWS(failed, test_set_back, set_back_rows);
    RUN_ROWS(failed, test_refusal, refusal_rows);
    (void)scene_teardown(NULL);
    return failed;
}
