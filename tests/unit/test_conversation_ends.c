/* How conversations in the document's flow end, and what is told of it to the letter: by the
 * client's word or without one, by what it sends, and by the server's stop. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/build.h"
#include "support/play.h"

#define REPLY SCENE_REPLY
#define MANY_REPLIES 64

static void begin(enum tlsmsg_option option, const char *value, unsigned peer_count)
{
    play_begin(scene_server_new(option, value, TLSMSG_OPT_DRAIN_TIMEOUT, "200", TLSMSG_OPT_COUNT),
               peer_count);
}

/* --- the client's end ------------------------------------------------------------------------- */

static bool half_closes(struct scene *s)
{
    raw_peer_half_close(&s->peers[0]);
    return true;
}

static const struct row {
    const char *name;
    const char *says[3];
    const char *hears;
    bool says_no_goodbye;
    const char *told;
    const char *told_in_plaintext; /* NULL: the same */
} rows[] = {
    {"nothing was said",
     {NULL},
     "",
     false,
     "closed 1: clean, 0 messages\n",
     "closed 1: clean, 0 messages, unheard\n"},
    {"a message", {"a"}, REPLY "a", false, "closed 1: clean, 1 messages\n", NULL},
    {"a character in two parts",
     {"a\xe4\xbd", "\xa0", "b"},
     REPLY "a" REPLY "你" REPLY "b",
     false,
     "closed 1: clean, 3 messages\n",
     NULL},
    {"a character byte by byte",
     {"\xe4", "\xbd", "\xa0"},
     REPLY "你",
     false,
     "closed 1: clean, 1 messages\n",
     NULL},
    {"what is not UTF-8",
     {"a", "b\xff"},
     REPLY "a",
     false,
     "warning invalid-utf8 1: sent bytes that are not UTF-8; the conversation is closed\n"
     "closed 1: invalid-utf8, 1 messages\n",
     NULL},
    {"a part of a character",
     {"a\xe4\xbd"},
     REPLY "a",
     false,
     "warning invalid-utf8 1: ended within a UTF-8 character; the conversation is closed\n"
     "closed 1: invalid-utf8, 1 messages\n",
     NULL},
    {"without a word",
     {"a"},
     REPLY "a",
     true,
     "info truncated 1: the client dropped the connection (no close_notify)\n"
     "closed 1: truncated, 1 messages\n",
     "closed 1: clean, 1 messages\n"},
};

static void test_client_s_end(void **state)
{
    const struct row *row = *state;
    const char *told =
        BUILD_HAS_TLS || row->told_in_plaintext == NULL ? row->told : row->told_in_plaintext;
    struct act acts[5];
    size_t count = 0;

    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0", 1);
    acts[count++] = (struct act){.does = scene_is_open};
    for (size_t i = 0; i < 3 && row->says[i] != NULL; i++) {
        acts[count++] = (struct act){.says = row->says[i]};
    }
    acts[count++] = (struct act){.hears = row->hears,
                                 .does = row->says_no_goodbye ? half_closes : NULL,
                                 .leaves = !row->says_no_goodbye,
                                 .has_left = true};
    acts_play(&scene, acts, count);
    play_end_told(told);
}

/* What can't be sent any more loses nothing that was said before. */
static void test_a_connection_that_is_cut(void **state)
{
    static const struct act acts[] = {
        {.says = "a"},
        {.hears = REPLY "a", .does = scene_cut},
    };

    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0", 1);
    ACTS_PLAY(&scene, acts);
    play_end_told(BUILD_HAS_TLS
                      ? "info truncated 1: the client dropped the connection (no close_notify)\n"
                        "closed 1: truncated, 1 messages\n"
                      : "closed 1: clean, 1 messages\n");
}

/* Its reply is held: nothing is read that would tell of the end, but the poll does. */
static void test_a_connection_that_is_cut_in_a_hold(void **state)
{
    static const struct act acts[] = {
        {.holds = "a"},
        {.does = scene_cut},
    };

    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0", 1);
    ACTS_PLAY(&scene, acts);
    play_end_told("closed 1: reset, 1 messages\n");
}

static bool sends_garbage(struct scene *s)
{
    static const char record[] = "\x17\x03\x03\x00\x20 not what the keys would have made";

    assert_true(raw_peer_to_wire(&s->peers[0], record, 5 + 32));
    return true;
}

/* What can't be read any more can't be answered; the alert is not overtaken. */
static void test_what_is_no_record(void **state)
{
    static const struct act acts[] = {
        {.says = "a"},
        {.hears = REPLY "a", .does = sends_garbage},
    };

    (void)state;
    if (!BUILD_HAS_TLS) {
        skip();
    }
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0", 1);
    ACTS_PLAY(&scene, acts);
    play_end_told(
        "warning other 1: TLS failed: a record was altered on its way\nclosed 1: failed, 1 "
        "messages\n");
}

static void test_tls_where_there_is_none(void **state)
{
    static const struct act acts[] = {
        {.says = "\x16\x03\x01\x02"},
        {.has_left = true},
    };

    (void)state;
    if (BUILD_HAS_TLS) {
        skip();
    }
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0", 1);
    ACTS_PLAY(&scene, acts);
    play_end_told("warning tls-peer 1: the peer speaks TLS, this is the plaintext build\nclosed 1: "
                  "invalid-utf8, 0 messages\n");
}

/* --- resets of a handshake -------------------------------------------------------------------- */

static bool resets(struct scene *s)
{
    raw_peer_drop(&s->peers[0], true);
    return true;
}

static void play_reset(size_t most, const char *told)
{
    static const struct act acts[] = {{.does = resets}};

    play_begin(scene_server_new(TLSMSG_OPT_COUNT), 0);
    assert_true(scene_enter_by_tcp(&scene));
    peers[0].most = most;
    ACTS_PLAY(&scene, acts);
    play_end_told(told);
}

/* Whoever only looks whether somebody is there is no reason for a warning. */
static void test_a_handshake_that_is_reset(void **state)
{
    (void)state;
    if (!BUILD_HAS_TLS) {
        skip();
    }
    play_reset(0, "debug probe 1: left without sending a byte\n"
                  "closed 1: handshake, 0 messages, unheard\n");
    play_reset(20, "warning handshake 1: the peer reset the connection\n"
                   "closed 1: handshake, 0 messages\n");
}

/* No word and no end of file. */
static void test_a_conversation_that_is_reset(void **state)
{
    static const struct act acts[] = {
        {.says = "a"},
        {.hears = REPLY "a", .does = resets},
    };

    (void)state;
    play_begin(scene_server_new(TLSMSG_OPT_COUNT), 0);
    assert_true(scene_enter_by_tcp(&scene));
    ACTS_PLAY(&scene, acts);
    play_end_told("info reset 1: the peer reset the connection\nclosed 1: reset, 1 messages\n");
}

/* --- the server's stop ------------------------------------------------------------------------ */

static void test_the_server_stops(void **state)
{
    static const struct act acts[] = {
        {.says = "a"},
        {.hears = REPLY "a", .does = scene_stop},
        {.has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0", 1);
    ACTS_PLAY(&scene, acts);
    assert_false(atomic_load(&server->undelivered));
    play_end_told("closed 1: drained, 1 messages\n");
}

static void test_the_server_stops_before_a_first_message(void **state)
{
    static const struct act acts[] = {
        {.does = scene_is_open},
        {.does = scene_stop, .passes_ms = 1000},
        {.has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0", 1);
    ACTS_PLAY(&scene, acts);
    play_end_told(BUILD_HAS_TLS ? "closed 1: drained, 0 messages\n"
                                : "closed 1: drained, 0 messages, unheard\n");
}

static bool stop_in_this_turn(struct scene *s)
{
    static bool stops;

    if (!stops && s->messages > 0) {
        stops = true;
        tlsmsg_server_stop(s->server);
    }
    return true;
}

/* What had come by then is answered; what comes later is not read. */
static void test_what_came_before_the_stop_is_answered(void **state)
{
    static const struct act acts[] = {
        {.says = "abcdabcd"},
        {.hears = REPLY "abcd" REPLY "abcd", .has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_RECV_SIZE, "4", 1);
    scene.turn_end = stop_in_this_turn;
    ACTS_PLAY(&scene, acts);
    play_end_told("closed 1: drained, 2 messages\n");
}

static unsigned at_the_stop; /* messages; 0: it has not come */

/* In each turn it says more than a turn takes of it, and in the tenth message's the server stops. */
static bool says_more(struct scene *s)
{
    s->peers[0].heard = 0;
    for (int i = 0; i < 2 * ITERATION_RECORDS && s->peers[0].open; i++) {
        (void)scene_say(&s->peers[0], "abcd");
    }
    (void)raw_peer_step(&s->peers[0]);
    if (at_the_stop == 0 && s->messages >= 10) {
        at_the_stop = s->messages;
        tlsmsg_server_stop(s->server);
    }
    return true;
}

/* There is always more to read, and no time passes: what had come by its first turn after the stop is
 * the last that is read. */
static void test_one_that_sends_without_end_when_the_server_stops(void **state)
{
    static const struct act acts[] = {{.says = "abcd"}, {.has_left = true}};

    (void)state;
    begin(TLSMSG_OPT_RECV_SIZE, "4", 1);
    at_the_stop = 0;
    scene.turn_end = says_more;
    ACTS_PLAY(&scene, acts);
    assert_true(at_the_stop > 0);
    assert_int_equal(scene.ends[TLSMSG_CLOSE_DRAINED], 1);
    play_end();
}

/* --- after the last word ---------------------------------------------------------------------- */

static bool has_lingered(struct scene *s)
{
    assert_null(scene_conversation(s, 0));
    return true;
}

static bool lingers(struct scene *s)
{
    assert_int_equal(scene_conversation(s, 0)->state, CONVERSATION_LINGER);
    return true;
}

/* It reads for a second, so that no reset overtakes its word. */
static void test_one_that_never_closes(void **state)
{
    static const struct act acts[] = {
        {.says = "\xff"},
        {.does = lingers, .passes_ms = 1000},
        {.does = has_lingered},
    };

    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0", 2);
    ACTS_PLAY(&scene, acts);
    assert_int_equal(scene.ends[TLSMSG_CLOSE_INVALID_UTF8], 1);
    play_end();
}

/* Its word was said, and a reply that is due can't be taken any more. */
static void test_one_that_is_cut_after_its_word(void **state)
{
    static const struct act acts[] = {
        {.says = "abcd"},
        {.leaves = true},
        {.does = scene_cut},
        {.does = has_lingered},
    };

    (void)state;
    begin(TLSMSG_OPT_WRITE_TIMEOUT, "0", 2);
    scene.defer = 1;
    ACTS_PLAY(&scene, acts);
    assert_memory_equal(scene.told, "closed 1: clean, 1 messages\n",
                        strlen("closed 1: clean, 1 messages\n"));
    play_end();
}

static bool sends_kib(struct scene *s, int kib)
{
    static char bytes[1024];
    struct raw_peer *p = &s->peers[0];

    for (int i = 0; i < kib; i++) {
        assert_true(raw_peer_to_wire(p, bytes, sizeof(bytes)));
    }
    return raw_peer_step(p);
}

static bool sends_63_kib(struct scene *s)
{
    return sends_kib(s, 63);
}

static bool sends_2_kib(struct scene *s)
{
    return sends_kib(s, 2);
}

/* ... and no more than 64 KiB of what still comes. */
static void test_one_that_goes_on_sending(void **state)
{
    static const struct act acts[] = {
        {.says = "\xff"},  {.does = lingers},     {.does = sends_63_kib},
        {.does = lingers}, {.does = sends_2_kib}, {.does = has_lingered},
    };

    (void)state;
    begin(TLSMSG_OPT_IDLE_TIMEOUT, "0", 2);
    ACTS_PLAY(&scene, acts);
    play_end();
}

static enum conversation_state met; /* with its goodbye said, and nothing read since */

static bool reads_no_more(struct scene *s)
{
    const int least = 1;
    int fd = scene_conversation(s, 0)->watch.fd;

    s->peers[0].deaf = true;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
    return true;
}

static bool reads_again(struct scene *s)
{
    const struct conversation *c = scene_conversation(s, 0);

    met = c != NULL ? c->state : CONVERSATION_DEAD;
    s->peers[0].deaf = false;
    return true;
}

/* So many replies are the last that the socket takes: the last word waits until there is room. */
static void test_a_last_word_that_there_is_no_room_for(void **state)
{
    struct act acts[MANY_REPLIES + 3] = {{.does = reads_no_more}};

    (void)state;
    if (!BUILD_HAS_TLS) {
        skip();
    }
    met = CONVERSATION_OPEN;
    for (size_t n = 1; n <= MANY_REPLIES && met != CONVERSATION_SHUTDOWN; n++) {
        char told[64];

        acts[n] = (struct act){.says = "a"};
        acts[n + 1] = (struct act){.leaves = true};
        acts[n + 2] = (struct act){.does = reads_again, .has_left = true};
        (void)snprintf(told, sizeof(told), "closed 1: clean, %zu messages\n", n);
        begin(TLSMSG_OPT_IDLE_TIMEOUT, "0", 1);
        acts_play(&scene, acts, n + 3);
        play_end_told(told);
    }
    assert_int_equal(met, CONVERSATION_SHUTDOWN);
}

/* --- places ----------------------------------------------------------------------------------- */

/* The third finishes its handshake when the last place is taken. */
static void test_places_that_are_used_up(void **state)
{
    static const struct act acts[] = {
        {.says = "a"},
        {.peer = 1, .says = "b"},
        {.hears = REPLY "a", .leaves = true, .has_left = true},
        {.peer = 1, .hears = REPLY "b", .leaves = true, .has_left = true},
    };

    (void)state;
    begin(TLSMSG_OPT_ACCEPT, "2", 3);
    ACTS_PLAY(&scene, acts);
    assert_int_equal(atomic_load(&server->phase), SERVER_FULL);
    play_end_told(BUILD_HAS_TLS ? "closed 3: handshake, 0 messages\n"
                                  "closed 1: clean, 1 messages\nclosed 2: clean, 1 messages\n"
                                : "closed 3: handshake, 0 messages, unheard\n"
                                  "closed 1: clean, 1 messages\nclosed 2: clean, 1 messages\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_connection_that_is_cut),
        cmocka_unit_test(test_a_connection_that_is_cut_in_a_hold),
        cmocka_unit_test(test_what_is_no_record),
        cmocka_unit_test(test_tls_where_there_is_none),
        cmocka_unit_test(test_a_handshake_that_is_reset),
        cmocka_unit_test(test_a_conversation_that_is_reset),
        cmocka_unit_test(test_the_server_stops),
        cmocka_unit_test(test_the_server_stops_before_a_first_message),
        cmocka_unit_test(test_what_came_before_the_stop_is_answered),
        cmocka_unit_test(test_one_that_sends_without_end_when_the_server_stops),
        cmocka_unit_test(test_one_that_never_closes),
        cmocka_unit_test(test_one_that_is_cut_after_its_word),
        cmocka_unit_test(test_one_that_goes_on_sending),
        cmocka_unit_test(test_a_last_word_that_there_is_no_room_for),
        cmocka_unit_test(test_places_that_are_used_up),
    };
    int failed = 0;

    (void)scene_setup(NULL);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    RUN_ROWS(failed, test_client_s_end, rows);
    (void)scene_teardown(NULL);
    return failed;
}
