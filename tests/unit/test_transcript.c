/* The transcript's turns: when lines leave, and what happens when they can't. */
#include "support/unit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/failmalloc.h"
#include "support/transcript_scene.h"

#define LINE_MAX_BYTES 16384

static void test_lines_leave_at_the_turns_end(void **state)
{
    struct sockaddr_in address = scene_loopback(1);
    struct tlsmsg_peer peer = {.connection = 1, .socket_address = (struct sockaddr *)&address};
    struct tlsmsg_closed closed = {.peer = &peer};
    struct fixture f;

    (void)state;
    scene_begin(&f, TRANSCRIPT_TEXT);
    assert_true(transcript_begin(&f.transcript, NULL));
    assert_string_equal(scene_out(&f), "Waiting for a client...\n");
    transcript_connected(&f.transcript, &peer, 0);
    scene_say(&f, 0, "one", 3);
    scene_say(&f, 1, "other", 5);
    scene_say(&f, 0, "two", 3);
    transcript_closed(&f.transcript, &closed, 0);
    assert_string_equal(scene_out(&f), "");
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_RELEASE);
    assert_string_equal(scene_out(&f), "Client connected: ('127.0.0.1', 1)\n"
                                       "Message received: one\nMessage received: two\n");
    assert_int_equal(transcript_turn_end(&f.transcript, 1), TLSMSG_TURN_RELEASE);
    assert_string_equal(scene_out(&f), "Message received: other\n");
    assert_int_equal(transcript_turn_end(&f.transcript, 1), TLSMSG_TURN_RELEASE);
    assert_string_equal(scene_out(&f), "");
    scene_end(&f);
}

/* A turn with more than the memory for it: early writes, in order, nothing lost. */
static void test_turn_that_overflows(void **state)
{
    static char message[LINE_MAX_BYTES];
    struct fixture f;
    size_t i;

    (void)state;
    memset(message, 'x', sizeof(message));
    scene_begin(&f, TRANSCRIPT_TEXT);
    for (i = 0; i < 100; i++) {
        scene_say(&f, 0, message, sizeof(message));
    }
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_HOLD);
    assert_int_equal(scene_drain(&f, NULL),
                     100 * (strlen("Message received: \n") + sizeof(message)));
    assert_int_equal(f.released, 1);
    scene_end(&f);
}

/* While stdout takes nothing, lines about connections are kept up to a limit, then counted. */
static void test_news_while_held(void **state)
{
    enum { LINES = 100 * 1000 };
    static char message[2 * SCENE_PIPE_BYTES];
    struct sockaddr_in address = scene_loopback(12345);
    struct tlsmsg_peer peer = {.connection = 1, .socket_address = (struct sockaddr *)&address};
    const size_t line = strlen("Client connected: ('127.0.0.1', 12345)\n");
    struct fixture f;
    size_t i;
    uint64_t left_out;

    (void)state;
    memset(message, 'x', sizeof(message));
    scene_begin(&f, TRANSCRIPT_TEXT);
    scene_say(&f, 0, message, sizeof(message));
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_HOLD);
    for (i = 0; i < LINES; i++) {
        transcript_connected(&f.transcript, &peer, 0);
    }
    left_out = transcript_left_out(&f.transcript, 0, false).held;
    assert_in_range(left_out, LINES / 10, LINES - 1);
    assert_int_equal(transcript_left_out(&f.transcript, 0, false).held, 0);
    assert_true(stdout_writer_waiting_bytes(&f.writer) < 3 * SCENE_PIPE_BYTES);
    (void)scene_drain(&f, NULL);
    assert_int_equal(f.released, 1);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_HOLD);
    assert_int_equal(scene_drain(&f, NULL), (LINES - left_out) * line);
    scene_say(&f, 0, "again", 5);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_RELEASE);
    assert_string_equal(scene_out(&f), "Message received: again\n");
    scene_end(&f);
}

static void test_left_lines_at_the_end(void **state)
{
    struct fixture f;

    (void)state;
    scene_begin(&f, TRANSCRIPT_TEXT);
    scene_say(&f, 1, "last", 4);
    transcript_end(&f.transcript);
    assert_string_equal(scene_out(&f), "Message received: last\n");
    transcript_end(&f.transcript);
    assert_string_equal(scene_out(&f), "");
    scene_end(&f);
}

/* A line of a turn that could not be recorded is not the last one that could be. */
static void test_no_lines_after_one_that_failed(void **state)
{
    static char message[LINE_MAX_BYTES];
    struct fixture f;

    (void)state;
    memset(message, 'x', sizeof(message));
    scene_begin(&f, TRANSCRIPT_TEXT);
    for (size_t i = 0; i < 2 * 256 * 1024 / (4 * sizeof(message)); i++) {
        scene_say(&f, 0, message, sizeof(message));
    }
    failmalloc_at(1);
    while (stdout_writer_cause(&f.writer) == 0) {
        scene_say(&f, 0, message, sizeof(message));
    }
    failmalloc_at(0);
    assert_int_equal(stdout_writer_cause(&f.writer), ENOMEM);
    scene_say(&f, 0, "after", 5);
    (void)scene_drain(&f, NULL);
    f.writer.cause = 0; /* as if there were memory again */
    transcript_end(&f.transcript);
    assert_string_equal(scene_out(&f), "");
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_FAIL);
    scene_end(&f);
}

/* ---- lines that are longer than a turn's memory */

/* While stdout takes nothing: how many lines about connections are kept. All are out afterwards. */
static uint64_t kept_while_held(struct fixture *f)
{
    enum { LINES = 20 * 1000 };
    const struct tlsmsg_peer peer = {.connection = 1, .address = "a:1"};
    uint64_t left_out;

    for (size_t i = 0; i < LINES; i++) {
        transcript_connected(&f->transcript, &peer, 0);
    }
    left_out = transcript_left_out(&f->transcript, 0, false).held;
    assert_in_range(left_out, 1, LINES - 1);
    (void)scene_drain(f, NULL);
    assert_int_equal(transcript_turn_end(&f->transcript, 0), TLSMSG_TURN_HOLD);
    (void)scene_drain(f, NULL);
    return LINES - left_out;
}

static uint64_t kept_behind_a_message(struct fixture *f)
{
    static char message[2 * SCENE_PIPE_BYTES];

    memset(message, 'x', sizeof(message));
    scene_say(f, 0, message, sizeof(message));
    assert_int_equal(transcript_turn_end(&f->transcript, 0), TLSMSG_TURN_HOLD);
    return kept_while_held(f);
}

/* A client whose name has 90000 bytes: six times as many may be written. */
static void let_the_long_name_connect(struct fixture *f)
{
    static char name[90001];
    const struct tlsmsg_tls tls = {.version = "v", .identity = name};
    const struct tlsmsg_peer peer = {.connection = 1, .address = "a:1", .tls = &tls};

    memset(name, 'x', sizeof(name) - 1);
    transcript_connected(&f->transcript, &peer, 0);
}

static void test_memory_for_a_long_line_is_given_back(void **state)
{
    struct fixture f;
    uint64_t before;
    size_t needed;

    (void)state;
    scene_begin(&f, TRANSCRIPT_JSON);
    before = kept_behind_a_message(&f);
    let_the_long_name_connect(&f);
    failmalloc_at(0);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_HOLD);
    needed = failmalloc_count();
    assert_int_equal(kept_while_held(&f), before);
    assert_int_equal(kept_behind_a_message(&f), before);
    let_the_long_name_connect(&f);
    failmalloc_at(needed); /* those before are for what waits */
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_HOLD);
    failmalloc_at(0);
    assert_true(kept_while_held(&f) >
                2 * before); /* without memory for less it keeps what it has */
    assert_int_equal(kept_behind_a_message(&f), before);
    scene_end(&f);
}

/* While stdout takes nothing and no line waits, such a line is kept as any other. */
static void test_a_long_line_while_held(void **state)
{
    static char message[2 * SCENE_PIPE_BYTES];
    struct fixture f;

    (void)state;
    memset(message, 'x', sizeof(message));
    scene_begin(&f, TRANSCRIPT_JSON);
    scene_say(&f, 0, message, sizeof(message));
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_HOLD);
    let_the_long_name_connect(&f);
    assert_int_equal(transcript_left_out(&f.transcript, 0, false).held, 0);
    (void)scene_drain(&f, NULL);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_HOLD);
    assert_in_range(scene_drain(&f, NULL), 90000, 91000);
    scene_end(&f);
}

/* A turn costs no allocation, and twice its memory is not yet worth one. */
static void test_memory_that_is_kept(void **state)
{
    static char name[60001];
    const struct tlsmsg_tls tls = {.version = "v", .identity = name};
    const struct tlsmsg_peer peer = {.connection = 1, .address = "a:1", .tls = &tls};
    struct fixture f;
    uint64_t before;

    (void)state;
    memset(name, 'x', sizeof(name) - 1);
    scene_begin(&f, TRANSCRIPT_JSON);
    failmalloc_at(0);
    scene_say(&f, 0, "one", 3);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_RELEASE);
    assert_int_equal(failmalloc_count(), 0);
    before = kept_behind_a_message(&f);
    transcript_connected(&f.transcript, &peer, 0);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_HOLD);
    (void)scene_drain(&f, NULL);
    assert_true(kept_behind_a_message(&f) > before);
    scene_end(&f);
}

/* The last line that surely fits is kept, and waits for the turn's end as the others do. */
static void test_a_line_that_just_fits(void **state)
{
    static const char line[] =
        "{\"time\":\"" SCENE_TIME "\",\"event\":\"connected\",\"connection\":1,\"peer\":\"\"}\n";
    enum { ROOM = 256 * 1024, LINE = sizeof(line) - 1, BOUND = 480 };
    static char message[2 * SCENE_PIPE_BYTES];
    static char name[BOUND];
    struct tlsmsg_peer peer = {.connection = 1, .address = name};
    struct fixture f;
    size_t room = ROOM;
    size_t waits;

    (void)state;
    memset(message, 'x', sizeof(message));
    scene_begin(&f, TRANSCRIPT_JSON);
    scene_say(&f, 0, message, sizeof(message));
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_HOLD);
    waits = stdout_writer_waiting_bytes(&f.writer);
    for (; room >= 2 * BOUND; room -= LINE) {
        transcript_connected(&f.transcript, &peer, 0);
    }
    /* Its bound has room for six times the name. */
    memset(name, 'x', (room - LINE - BOUND) % 6);
    transcript_connected(&f.transcript, &peer, 0);
    room -= LINE + strlen(name);
    memset(name, '\0', sizeof(name));
    memset(name, 'x', (room - BOUND) / 6);
    assert_int_equal(BOUND + 6 * strlen(name), room);
    transcript_connected(&f.transcript, &peer, 0);
    assert_int_equal(transcript_left_out(&f.transcript, 0, false).held, 0);
    assert_int_equal(stdout_writer_waiting_bytes(&f.writer), waits);
    (void)scene_drain(&f, NULL);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_HOLD);
    (void)scene_drain(&f, NULL);
    scene_end(&f);
}

/* A name that no line has room for ends the transcript, and so the server. */
static void test_a_line_that_is_too_long(void **state)
{
    static char name[200 * 1000];
    const struct tlsmsg_tls tls = {.version = "v", .identity = name};
    const struct tlsmsg_peer peer = {.connection = 1, .address = "a:1", .tls = &tls};
    struct fixture f;

    (void)state;
    memset(name, 'x', sizeof(name) - 1);
    scene_begin(&f, TRANSCRIPT_JSON);
    transcript_connected(&f.transcript, &peer, 0);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_FAIL);
    assert_int_equal(stdout_writer_cause(&f.writer), ENOMEM);
    scene_end(&f);
}

static void test_failed_stdout(void **state)
{
    static char message[LINE_MAX_BYTES];
    struct fixture f;
    size_t i;

    (void)state;
    memset(message, 'x', sizeof(message));
    scene_begin(&f, TRANSCRIPT_TEXT);
    (void)close(f.ends[0]);
    f.ends[0] = -1;
    for (i = 0; i < 100; i++) { /* more than the memory of a turn: fails before its end */
        scene_say(&f, 0, message, sizeof(message));
    }
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_FAIL);
    scene_say(&f, 1, "x", 1);
    assert_int_equal(transcript_turn_end(&f.transcript, 1), TLSMSG_TURN_FAIL);
    assert_int_equal(stdout_writer_cause(&f.writer), EPIPE);
    assert_false(transcript_begin(&f.transcript, NULL));
    scene_end(&f);
}

/* A line that there is no memory for must not be answered: the turn fails, or it is written. */
static void test_out_of_memory(void **state)
{
    static char message[200 * 1024];
    struct fixture f;
    size_t failures = 0;
    size_t n, needed;

    (void)state;
    memset(message, 'x', sizeof(message));
    for (n = 1;; n++) {
        enum tlsmsg_turn turn;

        scene_begin(&f, TRANSCRIPT_TEXT);
        failmalloc_at(n);
        scene_say(&f, 0, message, sizeof(message));
        turn = transcript_turn_end(&f.transcript, 0);
        needed = failmalloc_count();
        failmalloc_at(0);
        if (turn == TLSMSG_TURN_FAIL) {
            assert_int_equal(stdout_writer_cause(&f.writer), ENOMEM);
            failures++;
        } else {
            assert_int_equal(turn, TLSMSG_TURN_HOLD);
            assert_int_equal(scene_drain(&f, NULL),
                             strlen("Message received: \n") + sizeof(message));
        }
        scene_end(&f);
        if (needed < n) {
            break;
        }
    }
    assert_in_range(failures, 2, n - 1);
}

static void test_no_memory_for_the_workers(void **state)
{
    struct transcript_style style = {.phrases = phrases_get(1)};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct transcript transcript;
    struct stdout_writer writer;
    size_t n;

    (void)state;
    for (n = 1; n < 100; n++) {
        enum tlsmsg_code code;

        assert_int_equal(stdout_writer_init(&writer, STDOUT_FILENO, NULL), TLSMSG_OK);
        transcript_init(&transcript, &writer, TRANSCRIPT_TEXT, &style);
        failmalloc_at(n);
        code = transcript_set_workers(&transcript, 4, &err);
        failmalloc_at(0);
        transcript_fini(&transcript);
        stdout_writer_fini(&writer);
        if (code == TLSMSG_OK) {
            break;
        }
        assert_int_equal(code, TLSMSG_ERR_NOMEM);
        assert_int_equal(err.code, TLSMSG_ERR_NOMEM);
        assert_string_equal(err.text, "out of memory");
        tlsmsg_error_clear(&err);
    }
    assert_in_range(n, 5, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_leave_at_the_turns_end),
        cmocka_unit_test(test_turn_that_overflows),
        cmocka_unit_test(test_news_while_held),
        cmocka_unit_test(test_left_lines_at_the_end),
        cmocka_unit_test(test_no_lines_after_one_that_failed),
        cmocka_unit_test(test_memory_for_a_long_line_is_given_back),
        cmocka_unit_test(test_a_long_line_while_held),
        cmocka_unit_test(test_memory_that_is_kept),
        cmocka_unit_test(test_a_line_that_just_fits),
        cmocka_unit_test(test_a_line_that_is_too_long),
        cmocka_unit_test(test_failed_stdout),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_no_memory_for_the_workers),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
