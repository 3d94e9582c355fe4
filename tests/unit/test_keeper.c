/* The file keeper: what it does for the server, what the server hears of it, and how both end. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/server/keeper.h"
#include "base/clock.h"
#include "support/test_folder.h"

static struct test_folder folder;
static char metrics[TEST_PATH_MAX];
static char transcript[TEST_PATH_MAX];
static char key_log[TEST_PATH_MAX];
static const char *const names[KEEPER_FILES] = {
    [KEEPER_METRICS] = metrics, [KEEPER_TRANSCRIPT] = transcript, [KEEPER_KEY_LOG] = key_log};
static const char *const one_name[KEEPER_FILES] = {[KEEPER_METRICS] = metrics};

/* ---- time: as it is, or so fast that each look at the clock is after every deadline */

static bool is_fast;

int64_t __real_clock_now_ns(void);
int64_t __wrap_clock_now_ns(void);

int64_t __wrap_clock_now_ns(void)
{
    static int64_t fast_ns;

    if (!is_fast) {
        return __real_clock_now_ns();
    }
    fast_ns += 60 * (int64_t)CLOCK_NS_PER_S;
    return fast_ns;
}

/* ---- a folder for each test */

static int set_up(void **state)
{
    (void)state;
    test_folder_make(&folder);
    (void)test_folder_file(&folder, "m.prom", metrics);
    (void)test_folder_file(&folder, "transcript", transcript);
    (void)test_folder_file(&folder, "keys", key_log);
    is_fast = false;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_folder_remove(&folder);
    return 0;
}

static bool holds(const char *path, const char *text)
{
    char buf[64] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read(fd, buf, sizeof(buf) - 1) < 0 || close(fd) != 0) {
        return false;
    }
    return strcmp(buf, text) == 0;
}

/* ---- who does it: the caller, a thread in the process's place, or the process */

struct place {
    const char *name;
    bool by_thread;
    bool by_process;
};

static const struct place places[] = {
    {"here", false, false}, {"behind a socket", true, false}, {"a process", false, true}};

struct served {
    struct keeper keeper;
    pthread_t thread;
    int fd;
    bool by_thread;
};

static void *serve(void *arg)
{
    const struct served *served = arg;

    keeper_serve(served->fd, names);
    return NULL;
}

/* The keeper's end of a socket, and ours in keeper. */
static int connect_keeper(struct keeper *keeper)
{
    int ends[2];

    keeper_init(keeper, names);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    keeper->fd = ends[0];
    keeper->pid = getpid(); /* nobody's parent */
    return ends[1];
}

static void begin(struct served *served, const struct place *place)
{
    struct sandbox sandbox = {.write_count = 0};

    if (place->by_process && !sandbox_restricts_files()) {
        skip();
    }
    (void)set_up(NULL);
    *served = (struct served){.by_thread = place->by_thread};
    if (place->by_thread) {
        served->fd = connect_keeper(&served->keeper);
        assert_int_equal(pthread_create(&served->thread, NULL, serve, served), 0);
    } else {
        keeper_init(&served->keeper, names);
    }
    if (place->by_process) {
        for (size_t i = 0; i < KEEPER_FILES; i++) {
            assert_true(sandbox_may_write(&sandbox, names[i]));
        }
        assert_int_equal(keeper_start(&served->keeper, NULL, &sandbox, NULL, NULL), TLSMSG_OK);
        assert_int_equal(sandbox.writes, SANDBOX_WRITES_NOTHING);
    }
}

static void end(struct served *served)
{
    if (served->by_thread) {
        assert_int_equal(shutdown(served->keeper.fd, SHUT_WR), 0);
        assert_int_equal(pthread_join(served->thread, NULL), 0);
        (void)close(served->fd);
    }
    keeper_fini(&served->keeper);
    assert_int_equal(keeper_fd(&served->keeper), -1);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie either */
    (void)tear_down(NULL);
}

static void test_files(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct served served;
    struct stat is;
    int fd;

    begin(&served, *state);
    assert_int_equal(keeper_write_metrics(&served.keeper, "one\n", &err), TLSMSG_OK);
    assert_true(holds(metrics, "one\n"));
    assert_int_equal(keeper_write_metrics(&served.keeper, "two\n", &err), TLSMSG_OK);
    assert_true(holds(metrics, "two\n"));

    assert_int_equal(keeper_open(&served.keeper, KEEPER_TRANSCRIPT, &fd, &err), TLSMSG_OK);
    assert_int_equal(write(fd, "line\n", 5), 5);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(close(fd), 0);
    assert_true(holds(transcript, "line\n"));

    assert_int_equal(keeper_open(&served.keeper, KEEPER_KEY_LOG, &fd, &err), TLSMSG_OK);
    assert_int_equal(fstat(fd, &is), 0);
    assert_int_equal(is.st_mode & 07777, 0600);
    assert_int_equal(close(fd), 0);
    assert_false(keeper_look(&served.keeper));
    end(&served);
}

/* As the one who does it knows them, in the same words. */
static void test_causes(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char wanted[TEST_PATH_MAX + 64];
    struct served served;
    int fd;

    begin(&served, *state);
    assert_int_equal(mkfifo(metrics, 0600), 0);
    assert_int_equal(keeper_write_metrics(&served.keeper, "x", &err), TLSMSG_ERR_CONFIG);
    (void)snprintf(wanted, sizeof(wanted), "cannot write metrics '%s': it is not a regular file",
                   metrics);
    assert_string_equal(err.text, wanted);

    tlsmsg_error_clear(&err);
    assert_int_equal(mkdir(transcript, 0700), 0);
    assert_int_equal(keeper_open(&served.keeper, KEEPER_TRANSCRIPT, &fd, &err), TLSMSG_ERR_CONFIG);
    (void)snprintf(wanted, sizeof(wanted), "cannot open transcript '%s': Is a directory",
                   transcript);
    assert_string_equal(err.text, wanted);
    assert_int_equal(fd, -1);
    assert_int_equal(rmdir(transcript), 0);

    tlsmsg_error_clear(&err);
    assert_int_equal(symlink("elsewhere", key_log), 0);
    assert_int_equal(keeper_open(&served.keeper, KEEPER_KEY_LOG, &fd, &err), TLSMSG_ERR_CONFIG);
    assert_int_equal(err.sys_errno, ELOOP);
    assert_int_equal(keeper_open(&served.keeper, KEEPER_KEY_LOG, &fd, NULL), TLSMSG_ERR_CONFIG);
    end(&served);
}

/* Who has the file may be another than who has no room for it: it is not opened in either case. */
static void test_no_descriptor_left(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char wanted[TEST_PATH_MAX + 128];
    struct served served;
    struct rlimit before;
    struct rlimit full;
    int next;
    int fd;

    begin(&served, *state);
    (void)snprintf(wanted, sizeof(wanted),
                   "cannot open transcript '%s' (try: a higher LimitNOFILE= or ulimit -n): %s",
                   transcript, strerror(EMFILE));
    next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(next >= 0);
    assert_int_equal(close(next), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    full = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
    (void)keeper_open(&served.keeper, KEEPER_TRANSCRIPT, &fd, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_string_equal(err.text, wanted);
    assert_int_equal(err.sys_errno, EMFILE);
    assert_int_equal(fd, -1);
    /* With room again it is. */
    tlsmsg_error_clear(&err);
    assert_int_equal(keeper_open(&served.keeper, KEEPER_TRANSCRIPT, &fd, &err), TLSMSG_OK);
    assert_int_equal(close(fd), 0);
    end(&served);
}

/* ---- a server that was taken over asks for what it may not have */

/* The code of the answer to a packet. */
static enum tlsmsg_code answer_to(int fd, const void *packet, size_t len)
{
    struct tlsmsg_error said;

    assert_int_equal(send(fd, packet, len, MSG_NOSIGNAL), len);
    assert_int_equal(recv(fd, &said, sizeof(said), 0), sizeof(said));
    return said.code;
}

struct only_metrics {
    int fd;
};

static void *serve_metrics(void *arg)
{
    const struct only_metrics *served = arg;

    keeper_serve(served->fd, one_name);
    return NULL;
}

static void test_strange_requests(void **state)
{
    static char packet[sizeof(uint32_t) + KEEPER_TEXT_MAX + 1];
    static const uint32_t strange[] = {KEEPER_TRANSCRIPT, KEEPER_KEY_LOG, KEEPER_FILES, UINT32_MAX};
    struct only_metrics served;
    pthread_t thread;
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    served.fd = ends[1];
    assert_int_equal(pthread_create(&thread, NULL, serve_metrics, &served), 0);
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        assert_int_equal(answer_to(ends[0], &strange[i], sizeof(strange[i])), TLSMSG_ERR_STATE);
    }
    /* Number 0 is the metrics'. One byte more than fits is refused whole. */
    memset(packet + sizeof(uint32_t), 'x', sizeof(packet) - sizeof(uint32_t));
    assert_int_equal(answer_to(ends[0], packet, sizeof(packet)), TLSMSG_ERR_LIMIT);
    assert_int_equal(access(metrics, F_OK), -1);
    assert_int_equal(answer_to(ends[0], packet, sizeof(packet) - 1), TLSMSG_OK);
    /* Less than a number ends it. */
    assert_int_equal(send(ends[0], packet, 1, MSG_NOSIGNAL), 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* ---- a keeper that doesn't answer, or has ended */

static void test_late_answer(void **state)
{
    const struct tlsmsg_error late = {.code = TLSMSG_ERR_CONFIG, .text = "late"};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct keeper keeper;
    char wanted[TEST_PATH_MAX + 64];
    char request[64];
    int end = connect_keeper(&keeper);

    (void)state;
    is_fast = true;
    (void)snprintf(wanted, sizeof(wanted),
                   "cannot write metrics '%s': the file keeper doesn't answer", metrics);
    for (int i = 0; i < 2; i++) {
        tlsmsg_error_clear(&err);
        assert_int_equal(keeper_write_metrics(&keeper, "x", &err), TLSMSG_ERR_SYSTEM);
        assert_string_equal(err.text, wanted);
    }
    /* It was asked once, and not again while that is under way. */
    assert_int_equal(recv(end, request, sizeof(request), MSG_DONTWAIT), 5);
    assert_int_equal(recv(end, request, sizeof(request), MSG_DONTWAIT), -1);
    /* What comes after its time is no answer to the next. */
    assert_int_equal(send(end, &late, sizeof(late), 0), sizeof(late));
    assert_false(keeper_look(&keeper));
    tlsmsg_error_clear(&err);
    assert_int_equal(keeper_write_metrics(&keeper, "y", &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(recv(end, request, sizeof(request), MSG_DONTWAIT), 5);
    (void)close(end);
    keeper_fini(&keeper);
}

static void test_end_is_told_once(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct keeper keeper;
    char wanted[TEST_PATH_MAX + 96];
    int end = connect_keeper(&keeper);
    int fd;

    (void)state;
    (void)close(end);
    assert_int_equal(keeper_open(&keeper, KEEPER_KEY_LOG, &fd, &err), TLSMSG_ERR_SYSTEM);
    (void)snprintf(wanted, sizeof(wanted),
                   "cannot open key log '%s': the file keeper has ended (try: a restart)", key_log);
    assert_string_equal(err.text, wanted);
    assert_int_equal(fd, -1);
    assert_int_equal(keeper_fd(&keeper), -1);
    assert_true(keeper_look(&keeper));
    assert_false(keeper_look(&keeper));
    keeper_fini(&keeper);
}

/* ---- the process */

static void start_process(struct keeper *keeper)
{
    struct sandbox sandbox = {.write_count = 0};

    keeper_init(keeper, one_name);
    assert_true(sandbox_may_write(&sandbox, metrics));
    assert_int_equal(keeper_start(keeper, NULL, &sandbox, NULL, NULL), TLSMSG_OK);
    if (!sandbox_restricts_files()) {
        skip();
    }
    assert_true(keeper->pid > 0);
}

/* Signals for a terminal's whole group, and a service manager's for all of a service. */
static void test_signals_pass_it_by(void **state)
{
    static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGTSTP};
    struct keeper keeper;

    (void)state;
    start_process(&keeper);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_int_equal(kill(keeper.pid, numbers[i]), 0);
    }
    assert_int_equal(keeper_write_metrics(&keeper, "x", NULL), TLSMSG_OK);
    keeper_fini(&keeper);
}

/* Nobody waits for its end to see that of a pipe, nor finds a port taken. */
static void test_holds_no_descriptor(void **state)
{
    struct keeper keeper;
    char byte;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    start_process(&keeper);
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 0);
    (void)close(ends[0]);
    assert_false(keeper_look(&keeper));
    keeper_fini(&keeper);
}

static void test_killed_process(void **state)
{
    struct keeper keeper;

    (void)state;
    start_process(&keeper);
    assert_int_equal(kill(keeper.pid, SIGKILL), 0);
    assert_int_equal(keeper_write_metrics(&keeper, "x", NULL), TLSMSG_ERR_SYSTEM);
    assert_true(keeper_look(&keeper));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    keeper_fini(&keeper);
}

static void test_start_that_fails(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct sandbox sandbox = {.write_count = 0};
    struct keeper keeper;

    (void)state;
    keeper_init(&keeper, one_name);
    if (!sandbox_restricts_files() || geteuid() != 0) {
        skip();
    }
    assert_true(sandbox_may_write(&sandbox, metrics));
    assert_int_equal(keeper_start(&keeper, "no-such-user-here", &sandbox, NULL, &err),
                     TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "no such user 'no-such-user-here'");
    keeper_fini(&keeper);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_no_process_for_no_file(void **state)
{
    struct sandbox sandbox = {.write_count = 0};
    struct keeper keeper;

    (void)state;
    keeper_init(&keeper, (const char *const[KEEPER_FILES]){NULL});
    assert_int_equal(keeper_start(&keeper, NULL, &sandbox, NULL, NULL), TLSMSG_OK);
    assert_int_equal(keeper.pid, 0);
    assert_int_equal(sandbox.writes, SANDBOX_WRITES_IN_FOLDERS);
    assert_false(keeper_has(&keeper, KEEPER_METRICS));
    keeper_fini(&keeper);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_strange_requests),    TEST(test_late_answer),
        TEST(test_end_is_told_once),    TEST(test_signals_pass_it_by),
        TEST(test_holds_no_descriptor), TEST(test_killed_process),
        TEST(test_start_that_fails),    TEST(test_no_process_for_no_file),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_files, places);
    RUN_ROWS(failed, test_causes, places);
    RUN_ROWS(failed, test_no_descriptor_left, places);
    return failed;
}
