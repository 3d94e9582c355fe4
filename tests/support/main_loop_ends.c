/* See main_loop_ends.h. */
#include "support/main_loop_ends.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/signals.h"
#include "base/clock.h"
#include "base/wake.h"
#include "support/unit.h"

struct loop_ends ends;

static char server_place;
static struct tlsmsg_server *const server = (struct tlsmsg_server *)&server_place;
static struct log silent;
static const struct main_loop *running;
static int done_fd;
static int64_t now_ns;

int __real_poll(struct pollfd *entries, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout_ms);
int64_t __wrap_clock_now_ns(void);
void __wrap_tlsmsg_server_stop(struct tlsmsg_server *which);
enum tlsmsg_code __wrap_tlsmsg_server_wait(struct tlsmsg_server *which, struct tlsmsg_error *err);
enum tlsmsg_code __wrap_tlsmsg_server_reload(struct tlsmsg_server *which,
                                             const struct tlsmsg_options *options,
                                             struct tlsmsg_error *err);
int __wrap_tlsmsg_server_done_fd(const struct tlsmsg_server *which);
const char *__wrap_tlsmsg_server_address(const struct tlsmsg_server *which, size_t i);
void __wrap_tlsmsg_server_stats(const struct tlsmsg_server *which, struct tlsmsg_stats *out);
unsigned __wrap_tlsmsg_server_workers(const struct tlsmsg_server *which);
int64_t __wrap_tlsmsg_server_expiry(const struct tlsmsg_server *which, enum tlsmsg_expiry what);
int64_t __wrap_tlsmsg_server_tell_ends(const struct tlsmsg_server *which, int64_t since_unix_s);
void __wrap_log_answer(struct log *log, const struct tlsmsg_event *event);
void __wrap_log_event(struct log *log, const struct tlsmsg_event *event);
bool __wrap_keeper_look(struct keeper *keeper);
void __wrap_storing_lines_out(struct storing *storing, struct tlsmsg_server *which, unsigned worker,
                              bool fail);
const char *__wrap_storing_failure(struct storing *storing);
bool __wrap_storing_stats(struct storing *storing, struct store_stats *stats,
                          enum store_promise *promise);

/* ---- time */

int64_t __wrap_clock_now_ns(void)
{
    return now_ns;
}

void loop_time_passes(int64_t ms)
{
    now_ns += ms * CLOCK_NS_PER_MS;
}

/* The loop's own waits have several entries; that of a write to stderr has one. */
int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout_ms)
{
    int ready;

    if (count == 1) {
        assert_int_equal(timeout_ms, 0);
        return __real_poll(entries, count, 0);
    }
    assert_true(ends.polls < 1000); /* it comes to an end */
    assert_true(timeout_ms >= 0);
    if (ends.polls < LOOP_POLLS_MAX) {
        assert_int_equal(count, LOOP_ENTRIES);
        ends.timeouts_ms[ends.polls] = timeout_ms;
        memcpy(ends.entries[ends.polls], entries, sizeof(ends.entries[0]));
    }
    if (ends.on_poll != NULL) {
        ends.on_poll(ends.polls);
    }
    ends.polls++;
    ready = __real_poll(entries, count, 0);
    if (ready == 0) {
        loop_time_passes(timeout_ms);
    }
    return ready;
}

/* ---- the server */

void loop_server_ends(void)
{
    wake_raise(done_fd);
}

int loop_done_fd(void)
{
    return done_fd;
}

void loop_stop(void)
{
    if (ends.stops == 0) {
        assert_int_equal(raise(SIGTERM), 0);
    }
}

void __wrap_tlsmsg_server_stop(struct tlsmsg_server *which)
{
    assert_ptr_equal(which, server);
    ends.stops++;
    if (!ends.goes_on) {
        loop_server_ends();
    }
}

enum tlsmsg_code __wrap_tlsmsg_server_wait(struct tlsmsg_server *which, struct tlsmsg_error *err)
{
    assert_ptr_equal(which, server);
    wake_clear(done_fd);
    if (ends.on_wait != NULL) {
        ends.on_wait();
    }
    if (!ends.fails) {
        return TLSMSG_OK;
    }
    err->code = TLSMSG_ERR_TIMEOUT;
    (void)snprintf(err->text, sizeof(err->text), "why it failed");
    return err->code;
}

enum tlsmsg_code __wrap_tlsmsg_server_reload(struct tlsmsg_server *which,
                                             const struct tlsmsg_options *options,
                                             struct tlsmsg_error *err)
{
    assert_ptr_equal(which, server);
    assert_ptr_equal(options, running->options);
    ends.reloads++;
    if (!ends.reload_fails) {
        return TLSMSG_OK;
    }
    err->code = TLSMSG_ERR_CONFIG;
    (void)snprintf(err->text, sizeof(err->text), "a bad file");
    return err->code;
}

int __wrap_tlsmsg_server_done_fd(const struct tlsmsg_server *which)
{
    assert_ptr_equal(which, server);
    return done_fd;
}

const char *__wrap_tlsmsg_server_address(const struct tlsmsg_server *which, size_t i)
{
    static const char *const addresses[] = {"127.0.0.1:1", "[::1]:1"};

    assert_ptr_equal(which, server);
    return i < ends.addresses ? addresses[i] : NULL;
}

void __wrap_tlsmsg_server_stats(const struct tlsmsg_server *which, struct tlsmsg_stats *out)
{
    assert_ptr_equal(which, server);
    *out = (struct tlsmsg_stats){.size = out->size};
}

unsigned __wrap_tlsmsg_server_workers(const struct tlsmsg_server *which)
{
    assert_ptr_equal(which, server);
    return 1;
}

int64_t __wrap_tlsmsg_server_expiry(const struct tlsmsg_server *which, enum tlsmsg_expiry what)
{
    assert_ptr_equal(which, server);
    return what == TLSMSG_EXPIRY_CRL ? (int64_t)4102444800 : 0;
}

int64_t __wrap_tlsmsg_server_tell_ends(const struct tlsmsg_server *which, int64_t since_unix_s)
{
    assert_ptr_equal(which, server);
    assert_true(since_unix_s > 0); /* all was told at the start and by the reload */
    return 0;
}

/* ---- the log, the keeper and the store */

void __wrap_log_event(struct log *log, const struct tlsmsg_event *event)
{
    assert_ptr_equal(log, running->log);
    assert_true(ends.event_count < LOOP_EVENTS_MAX);
    ends.events[ends.event_count].level = event->level;
    ends.events[ends.event_count].cause = event->cause;
    (void)snprintf(ends.events[ends.event_count].text, sizeof(ends.events[0].text), "%s",
                   event->text);
    ends.event_count++;
}

/* An answer to an operator, which no level leaves out. */
void __wrap_log_answer(struct log *log, const struct tlsmsg_event *event)
{
    ends.answers++;
    __wrap_log_event(log, event);
}

bool __wrap_keeper_look(struct keeper *keeper)
{
    bool is_lost = ends.keeper_is_lost;

    assert_ptr_equal(keeper, running->keeper);
    ends.keeper_is_lost = false;
    return is_lost;
}

void __wrap_storing_lines_out(struct storing *storing, struct tlsmsg_server *which, unsigned worker,
                              bool fail)
{
    assert_ptr_equal(storing, running->storing);
    assert_ptr_equal(which, server);
    assert_true(worker < 2);
    (fail ? ends.failed : ends.released)[worker]++;
    if (fail) {
        loop_server_ends();
    }
}

const char *__wrap_storing_failure(struct storing *storing)
{
    assert_ptr_equal(storing, running->storing);
    return ends.failure;
}

bool __wrap_storing_stats(struct storing *storing, struct store_stats *stats,
                          enum store_promise *promise)
{
    assert_ptr_equal(storing, running->storing);
    if (ends.has_store) {
        *stats = (struct store_stats){.taken = 7, .batches = 3};
        *promise = STORE_PROMISE_DISK;
    }
    return ends.has_store;
}

/* ---- a run */

int loop_ends_reset(void **state)
{
    sigset_t all;

    (void)state;
    ends = (struct loop_ends){.addresses = 1};
    now_ns = INT64_C(1000000000000);
    (void)sigemptyset(&all);
    (void)sigaddset(&all, SIGTERM);
    (void)sigaddset(&all, SIGINT);
    (void)sigaddset(&all, SIGHUP);
    (void)sigaddset(&all, SIGUSR1);
    return pthread_sigmask(SIG_BLOCK, &all, NULL);
}

static void take_told(int manager)
{
    size_t len = 0;
    ssize_t n;

    while ((n = recv(manager, ends.told + len, sizeof(ends.told) - len - 2, MSG_DONTWAIT)) > 0) {
        len += (size_t)n;
        ends.told[len++] = '\n';
    }
    ends.told[len] = '\0';
}

static void take_said(int from)
{
    ssize_t n = read(from, ends.said, sizeof(ends.said) - 1);

    ends.said[n > 0 ? n : 0] = '\0';
}

bool loop_run(struct main_loop *loop)
{
    struct keeper none = {.fd = -1};
    struct systemd systemd = {.notify_fd = -1};
    int saved = dup(STDERR_FILENO);
    int64_t begun_ns = now_ns;
    int manager[2];
    int out[2];
    bool good;

    done_fd = wake_open();
    assert_true(done_fd >= 0 && saved >= 0);
    assert_int_equal(pipe2(out, O_NONBLOCK), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, manager), 0);
    systemd.notify_fd = manager[0];
    loop->program = "prog";
    loop->server = server;
    loop->log = loop->log != NULL ? loop->log : &silent;
    loop->systemd = &systemd;
    loop->keeper = loop->keeper != NULL ? loop->keeper : &none;
    assert_int_equal(signals_open_for_server(&loop->signal_fd, NULL), TLSMSG_OK);
    log_init(&silent, TLSMSG_LOG_ERROR, LOG_TEXT);
    running = loop;
    (void)dup2(out[1], STDERR_FILENO);
    good = main_loop_run(loop);
    (void)dup2(saved, STDERR_FILENO);
    ends.took_ms = (now_ns - begun_ns) / CLOCK_NS_PER_MS;
    take_said(out[0]);
    take_told(manager[1]);
    (void)close(saved);
    (void)close(out[0]);
    (void)close(out[1]);
    (void)close(manager[0]);
    (void)close(manager[1]);
    (void)close(loop->signal_fd);
    (void)close(done_fd);
    return good;
}
