/* The main thread's loop and the transcript: holds that end, a stdout that takes nothing, and files that
 * are begun anew. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "support/main_loop_ends.h"
#include "support/test_folder.h"

#define PIPE_BYTES 4096
#define DRAIN_MS 5000
#define READY "READY=1\nSTATUS=Serving on 127.0.0.1:1"

/* A transcript into a small pipe. */
static struct {
    struct stdout_writer writer;
    struct transcript transcript;
    int ends[2];
} scene;

static int set_up(void **state)
{
    struct transcript_style style = {.phrases = phrases_get(1)};

    assert_int_equal(pipe2(scene.ends, O_NONBLOCK), 0);
    assert_int_equal(fcntl(scene.ends[1], F_SETPIPE_SZ, PIPE_BYTES), PIPE_BYTES);
    assert_int_equal(stdout_writer_init(&scene.writer, scene.ends[1], NULL), TLSMSG_OK);
    transcript_init(&scene.transcript, &scene.writer, TRANSCRIPT_TEXT, &style);
    assert_int_equal(transcript_set_workers(&scene.transcript, 2, NULL), TLSMSG_OK);
    return loop_ends_reset(state);
}

static int tear_down(void **state)
{
    (void)state;
    transcript_fini(&scene.transcript);
    stdout_writer_fini(&scene.writer);
    (void)close(scene.ends[0]);
    (void)close(scene.ends[1]);
    return 0;
}

/* A turn of this worker whose lines the pipe has no room for. */
static void hold(unsigned worker)
{
    static char lines[PIPE_BYTES + 10];

    memset(lines, 'x', sizeof(lines));
    assert_int_equal(stdout_writer_end_turn(&scene.writer, worker, lines, sizeof(lines)),
                     TLSMSG_TURN_HOLD);
}

/* Reads all that the pipe has: how much. */
static size_t read_pipe(void)
{
    char buf[PIPE_BYTES];
    ssize_t n = read(scene.ends[0], buf, sizeof(buf));

    return n > 0 ? (size_t)n : 0;
}

static struct main_loop a_loop(void)
{
    return (struct main_loop){.transcript = &scene.transcript,
                              .storing = (struct storing *)&scene,
                              .terminal_fd = -1,
                              .drain_ms = DRAIN_MS};
}

/* ---- holds */

static void read_then_stop(unsigned polls)
{
    if (polls == 0) {
        assert_int_equal(ends.released[1], 0);
        assert_int_equal(read_pipe(), PIPE_BYTES);
    } else {
        assert_int_equal(ends.released[1], 1);
        loop_stop();
    }
}

static void test_a_hold_ends_when_its_lines_are_out(void **state)
{
    struct main_loop loop = a_loop();

    (void)state;
    hold(1);
    ends.on_poll = read_then_stop;
    assert_true(loop_run(&loop));
    assert_int_equal(ends.released[0] + ends.failed[0] + ends.failed[1], 0);
    assert_int_equal(read_pipe(), 10);
    assert_string_equal(ends.said, "");
}

static void test_a_reader_that_goes_ends_the_server(void **state)
{
    struct main_loop loop = a_loop();

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    hold(1);
    (void)close(scene.ends[0]);
    scene.ends[0] = -1;
    ends.failure = "of the store"; /* which follows from it */
    assert_false(loop_run(&loop));
    assert_int_equal(ends.failed[1], 1);
    assert_string_equal(ends.said, "prog: cannot write the transcript: Broken pipe\n");
    assert_string_equal(ends.told, READY "\nSTOPPING=1\nSTATUS=Done\n");
}

/* ---- what is polled for */

static void expect_entry(unsigned polls, unsigned i, int fd, short events)
{
    assert_int_equal(ends.entries[polls][i].fd, fd);
    assert_int_equal(ends.entries[polls][i].events, events);
}

static struct keeper the_keeper;

static void look_then_end(unsigned polls)
{
    expect_entry(polls, 1, polls == 0 ? loop_done_fd() : -1, POLLIN);
    expect_entry(polls, 2, stdout_writer_wake_fd(&scene.writer), POLLIN);
    expect_entry(polls, 3, scene.writer.target.fd, POLLOUT);
    expect_entry(polls, 4, the_keeper.fd, POLLIN);
    if (polls == 0) {
        loop_server_ends();
    } else {
        assert_int_equal(read_pipe(), PIPE_BYTES);
    }
}

/* For stdout while lines wait, for the server until it has ended, and for the others always. */
static void test_what_is_polled_for(void **state)
{
    struct main_loop loop = a_loop();

    (void)state;
    the_keeper.fd = open("/dev/null", O_WRONLY); /* never readable */
    loop.keeper = &the_keeper;
    hold(0);
    ends.on_poll = look_then_end;
    assert_true(loop_run(&loop));
    (void)close(the_keeper.fd);
    assert_int_equal(ends.polls, 2);
    expect_entry(0, 0, loop.signal_fd, POLLIN);
    expect_entry(1, 0, loop.signal_fd, POLLIN);
}

/* ---- the end */

static void test_the_last_lines_are_written(void **state)
{
    const struct sockaddr unnamed = {.sa_family = AF_UNIX};
    const struct tlsmsg_peer peer = {.connection = 1, .socket_address = &unnamed};
    struct main_loop loop = a_loop();
    char buf[64] = "";

    (void)state;
    transcript_connected(&scene.transcript, &peer, 1);
    assert_int_equal(raise(SIGTERM), 0);
    assert_true(loop_run(&loop));
    assert_true(read(scene.ends[0], buf, sizeof(buf) - 1) > 0);
    assert_string_equal(buf, "Client connected: ''\n");
}

/* From the signal on the transcript has what the conversations leave of the drain timeout. */
static void stop_then_end_late(unsigned polls)
{
    if (polls == 0) {
        loop_time_passes(700);
        assert_int_equal(raise(SIGTERM), 0);
    } else if (polls == 1) {
        loop_time_passes(2000);
        loop_server_ends();
    } else if (polls == 2) {
        assert_int_equal(raise(SIGHUP), 0); /* nobody is served any more */
        assert_int_equal(raise(SIGUSR1), 0);
    }
}

static void test_a_stdout_that_takes_no_more_is_given_up(void **state)
{
    struct main_loop loop = a_loop();

    (void)state;
    hold(0);
    ends.goes_on = true;
    ends.on_poll = stop_then_end_late;
    assert_false(loop_run(&loop));
    assert_int_equal(ends.took_ms, 700 + DRAIN_MS);
    assert_int_equal(ends.timeouts_ms[2], DRAIN_MS - 2000);
    assert_int_equal(ends.reloads, 0);
    assert_int_equal(stdout_writer_cause(&scene.writer), ETIMEDOUT);
    assert_non_null(strstr(ends.said, "), stopping\n"));
    assert_non_null(strstr(ends.said, "  transcript:    10 bytes wait for stdout\n"
                                      "prog: cannot write the transcript: stdout took no more of "
                                      "it within the drain timeout\n"));
}

/* An end without a signal is when its time begins. */
static void end_late(unsigned polls)
{
    if (polls == 0) {
        loop_time_passes(90000);
        loop_server_ends();
    }
}

static void test_an_end_of_its_own_has_the_whole_drain_timeout(void **state)
{
    struct main_loop loop = a_loop();

    (void)state;
    hold(0);
    ends.on_poll = end_late;
    assert_false(loop_run(&loop));
    assert_int_equal(ends.took_ms, 90000 + DRAIN_MS);
    assert_string_equal(ends.said, "prog: cannot write the transcript: stdout took no more of it "
                                   "within the drain timeout\n");
}

static void read_late(unsigned polls)
{
    if (polls == 0) {
        assert_int_equal(raise(SIGTERM), 0);
    } else if (polls == 9) {
        assert_int_equal(read_pipe(), PIPE_BYTES);
    }
}

static void test_without_a_drain_timeout_it_waits(void **state)
{
    struct main_loop loop = a_loop();

    (void)state;
    loop.drain_ms = 0;
    hold(0);
    ends.on_poll = read_late;
    assert_true(loop_run(&loop));
    assert_int_equal(ends.released[0], 1);
    assert_int_equal(read_pipe(), 10);
    assert_string_equal(ends.said, "");
}

/* ---- files */

static void reload_then_stop(unsigned polls)
{
    if (polls == 0) {
        assert_int_equal(raise(SIGHUP), 0);
    } else {
        loop_stop();
    }
}

static void test_a_reload_opens_the_file_again(void **state)
{
    struct main_loop loop = a_loop();
    struct test_folder folder;
    struct keeper keeper;
    char path[TEST_PATH_MAX];
    const char *const names[KEEPER_FILES] = {[KEEPER_TRANSCRIPT] = path};

    (void)state;
    test_folder_make(&folder);
    (void)test_folder_file(&folder, "t", path);
    keeper_init(&keeper, names);
    loop.keeper = &keeper;
    ends.on_poll = reload_then_stop;
    assert_true(loop_run(&loop));
    assert_int_equal(access(path, F_OK), 0);
    assert_true(stdout_writer_add(&scene.writer, "x", 1));
    assert_int_equal(read_pipe(), 0);
    assert_int_equal(ends.event_count, 1);
    assert_string_equal(ends.events[0].text, "configuration reloaded");
    test_folder_remove(&folder);
}

static void test_a_file_that_cannot_be_opened_again(void **state)
{
    static const char *const names[KEEPER_FILES] = {[KEEPER_TRANSCRIPT] = "/none/t"};
    struct main_loop loop = a_loop();
    struct keeper keeper;

    (void)state;
    keeper_init(&keeper, names);
    loop.keeper = &keeper;
    ends.on_poll = reload_then_stop;
    assert_true(loop_run(&loop));
    assert_true(stdout_writer_add(&scene.writer, "x", 1));
    assert_int_equal(read_pipe(), 1);
    assert_int_equal(ends.reloads, 1);
    assert_int_equal(ends.event_count, 2);
    assert_int_equal(ends.events[0].level, TLSMSG_LOG_ERROR);
    assert_int_equal(ends.events[0].cause, TLSMSG_CAUSE_OTHER);
    assert_string_equal(ends.events[0].text,
                        "the transcript goes on in the old file: cannot open transcript '/none/t': "
                        "No such file or directory");
    assert_string_equal(ends.told, READY "\nRELOADING=1\nMONOTONIC_USEC=1000000000\n" READY
                                         "; the last reload failed, see the log\n"
                                         "STOPPING=1\nSTATUS=Ending conversations\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_hold_ends_when_its_lines_are_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_reader_that_goes_ends_the_server, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_polled_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_last_lines_are_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_stdout_that_takes_no_more_is_given_up, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_an_end_of_its_own_has_the_whole_drain_timeout, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_drain_timeout_it_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_reload_opens_the_file_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_file_that_cannot_be_opened_again, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
