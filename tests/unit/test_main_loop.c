/* The main thread's loop, with signals to this process and a server of the test's own. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/server/main_loop.h"
#include "app/signals.h"
#include "base/wake.h"

#define EVENTS_MAX 4

static struct fake {
    int done_fd;
    bool stopped;
    bool fails;        /* the server's end */
    bool reload_fails; /* the next reload */
    unsigned reloads;
    unsigned answers;
    struct {
        enum tlsmsg_log_level level;
        enum tlsmsg_cause cause;
        char text[256];
    } events[EVENTS_MAX];
    unsigned event_count;
} fake;

void __wrap_tlsmsg_server_stop(struct tlsmsg_server *server);
enum tlsmsg_code __wrap_tlsmsg_server_wait(struct tlsmsg_server *server, struct tlsmsg_error *err);
enum tlsmsg_code __wrap_tlsmsg_server_reload(struct tlsmsg_server *server,
                                             const struct tlsmsg_options *options,
                                             struct tlsmsg_error *err);
int __wrap_tlsmsg_server_done_fd(const struct tlsmsg_server *server);
const char *__wrap_tlsmsg_server_address(const struct tlsmsg_server *server, size_t i);
void __wrap_tlsmsg_server_stats(const struct tlsmsg_server *server, struct tlsmsg_stats *out);
unsigned __wrap_tlsmsg_server_workers(const struct tlsmsg_server *server);
int64_t __wrap_tlsmsg_server_expiry(const struct tlsmsg_server *server, enum tlsmsg_expiry what);
int64_t __wrap_tlsmsg_server_tell_ends(const struct tlsmsg_server *server, int64_t since_unix_s);
void __wrap_log_answer(struct log *log, const struct tlsmsg_event *event);
void __wrap_log_event(struct log *log, const struct tlsmsg_event *event);

void __wrap_tlsmsg_server_stop(struct tlsmsg_server *server)
{
    (void)server;
    fake.stopped = true;
    wake_raise(fake.done_fd);
}

enum tlsmsg_code __wrap_tlsmsg_server_wait(struct tlsmsg_server *server, struct tlsmsg_error *err)
{
    (void)server;
    if (!fake.fails) {
        return TLSMSG_OK;
    }
    err->code = TLSMSG_ERR_TIMEOUT;
    (void)snprintf(err->text, sizeof(err->text), "why it failed");
    return err->code;
}

enum tlsmsg_code __wrap_tlsmsg_server_reload(struct tlsmsg_server *server,
                                             const struct tlsmsg_options *options,
                                             struct tlsmsg_error *err)
{
    (void)server;
    (void)options;
    fake.reloads++;
    if (!fake.reload_fails) {
        return TLSMSG_OK;
    }
    err->code = TLSMSG_ERR_CONFIG;
    (void)snprintf(err->text, sizeof(err->text), "a bad file");
    return err->code;
}

int __wrap_tlsmsg_server_done_fd(const struct tlsmsg_server *server)
{
    (void)server;
    return fake.done_fd;
}

const char *__wrap_tlsmsg_server_address(const struct tlsmsg_server *server, size_t i)
{
    (void)server;
    return i == 0 ? "127.0.0.1:1" : NULL;
}

void __wrap_tlsmsg_server_stats(const struct tlsmsg_server *server, struct tlsmsg_stats *out)
{
    (void)server;
    *out = (struct tlsmsg_stats){.size = out->size};
}

unsigned __wrap_tlsmsg_server_workers(const struct tlsmsg_server *server)
{
    (void)server;
    return 1;
}

int64_t __wrap_tlsmsg_server_expiry(const struct tlsmsg_server *server, enum tlsmsg_expiry what)
{
    (void)server;
    return what == TLSMSG_EXPIRY_CRL ? (int64_t)4102444800 : 0;
}

int64_t __wrap_tlsmsg_server_tell_ends(const struct tlsmsg_server *server, int64_t since_unix_s)
{
    (void)server;
    assert_true(since_unix_s > 0); /* all was told at the start and by the reload */
    return 0;
}

/* Each line is also what ends the test's run: a reload's answer is the last thing to come. */
void __wrap_log_event(struct log *log, const struct tlsmsg_event *event)
{
    (void)log;
    assert_true(fake.event_count < EVENTS_MAX);
    fake.events[fake.event_count].level = event->level;
    fake.events[fake.event_count].cause = event->cause;
    (void)snprintf(fake.events[fake.event_count].text, sizeof(fake.events[0].text), "%s",
                   event->text);
    fake.event_count++;
    assert_int_equal(raise(SIGTERM), 0);
}

/* An answer to an operator, which no level leaves out. */
void __wrap_log_answer(struct log *log, const struct tlsmsg_event *event)
{
    fake.answers++;
    __wrap_log_event(log, event);
}

static struct log silent;

/* Runs the loop with a signal that has come already; what goes to stderr is in said. */
static bool run_with(int number, char *said, size_t cap)
{
    struct systemd no_manager = {.notify_fd = -1};
    struct keeper keeper = {.fd = -1};
    struct main_loop loop = {
        .program = "prog", .log = &silent, .systemd = &no_manager, .keeper = &keeper};
    int saved = dup(STDERR_FILENO);
    int ends[2];
    ssize_t n;
    bool good;

    fake.done_fd = wake_open();
    assert_true(fake.done_fd >= 0 && saved >= 0);
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    assert_int_equal(signals_open_for_server(&loop.signal_fd, NULL), TLSMSG_OK);
    log_init(&silent, TLSMSG_LOG_ERROR, LOG_TEXT);
    assert_int_equal(raise(number), 0);
    (void)dup2(ends[1], STDERR_FILENO);
    good = main_loop_run(&loop);
    (void)dup2(saved, STDERR_FILENO);
    n = read(ends[0], said, cap - 1);
    said[n > 0 ? n : 0] = '\0';
    (void)close(saved);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(loop.signal_fd);
    (void)close(fake.done_fd);
    return good;
}

static void test_stop(void **state)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    char said[256];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        fake = (struct fake){0};
        assert_true(run_with(numbers[i], said, sizeof(said)));
        assert_true(fake.stopped);
        assert_string_equal(said, "");
        assert_int_equal(fake.event_count, 0);
    }
}

static void test_a_failed_end_is_told(void **state)
{
    char said[256];

    (void)state;
    fake = (struct fake){.fails = true};
    assert_false(run_with(SIGTERM, said, sizeof(said)));
    assert_string_equal(said, "prog: why it failed\n");
}

static void test_a_reload_is_told(void **state)
{
    char said[256];

    (void)state;
    fake = (struct fake){0};
    assert_true(run_with(SIGHUP, said, sizeof(said)));
    assert_int_equal(fake.reloads, 1);
    assert_int_equal(fake.event_count, 1);
    assert_int_equal(fake.events[0].level, TLSMSG_LOG_INFO);
    assert_string_equal(fake.events[0].text, "configuration reloaded");
    assert_int_equal(fake.answers, 1); /* at every level */
}

static void test_a_failed_reload_is_an_error(void **state)
{
    char said[256];

    (void)state;
    fake = (struct fake){.reload_fails = true};
    assert_true(run_with(SIGHUP, said, sizeof(said)));
    assert_int_equal(fake.event_count, 1);
    assert_int_equal(fake.events[0].level, TLSMSG_LOG_ERROR);
    assert_int_equal(fake.events[0].cause, TLSMSG_CAUSE_CERTIFICATE);
    assert_string_equal(fake.events[0].text,
                        "the old configuration stays, since the new one fails: a bad file");
}

/* A fake that stops itself, since a screen is followed by nothing. */
static void test_status_goes_to_stderr(void **state)
{
    char said[1024];

    (void)state;
    fake = (struct fake){0};
    /* Signals are read lowest number first: SIGUSR1 comes before SIGTERM. */
    assert_true(SIGUSR1 < SIGTERM);
    assert_int_equal(raise(SIGTERM), 0);
    assert_true(run_with(SIGUSR1, said, sizeof(said)));
    assert_non_null(strstr(said, "workers: 1, listening on 127.0.0.1:1\n"));
    assert_non_null(strstr(said, "  connections:   0 open"));
}

/* Blocked from here on, as in the program: a signal that is raised waits. */
static int block_signals(void **state)
{
    sigset_t all;

    (void)state;
    (void)sigemptyset(&all);
    (void)sigaddset(&all, SIGTERM);
    (void)sigaddset(&all, SIGINT);
    (void)sigaddset(&all, SIGHUP);
    (void)sigaddset(&all, SIGUSR1);
    return sigprocmask(SIG_BLOCK, &all, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_stop, block_signals),
        cmocka_unit_test_setup(test_a_failed_end_is_told, block_signals),
        cmocka_unit_test_setup(test_a_reload_is_told, block_signals),
        cmocka_unit_test_setup(test_a_failed_reload_is_an_error, block_signals),
        cmocka_unit_test_setup(test_status_goes_to_stderr, block_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
