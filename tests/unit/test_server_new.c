/* What a server needs of the machine to come to be and to start: memory, descriptors, threads,
 * sockets; what is told where it lacks one, and that nothing is left over then. */
#include "support/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/build.h"
#include "server/internal.h"
#include "support/ends_identity.h"
#include "support/failmalloc.h"
#include "support/loopback.h"
#include "support/socket_script.h"

#define WAIT_MS 20000

/* The machine's answers: so many calls go well, and then none does. */
static unsigned eventfds;
static unsigned epolls;
static atomic_int watches; /* workers count it down, too */
static unsigned threads;
static long processors;
static rlim_t descriptors;
static bool all_signals_blocked;

int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __real_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
long __wrap_sysconf(int name);
/* Which of both names the C library's header uses is its own affair. */
int __wrap_getrlimit(int resource, struct rlimit *limit);
int __wrap_getrlimit64(int resource, struct rlimit *limit);

int __wrap_eventfd(unsigned value, int flags)
{
    if (eventfds == 0) {
        errno = EMFILE;
        return -1;
    }
    eventfds--;
    return __real_eventfd(value, flags);
}

int __wrap_epoll_create1(int flags)
{
    if (epolls == 0) {
        errno = ENFILE;
        return -1;
    }
    epolls--;
    return __real_epoll_create1(flags);
}

int __wrap_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    if (atomic_fetch_sub(&watches, 1) <= 0) {
        errno = ENOSPC;
        return -1;
    }
    return __real_epoll_ctl(epoll_fd, operation, fd, event);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg)
{
    sigset_t blocked;

    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
    all_signals_blocked &= sigismember(&blocked, SIGTERM) == 1 &&
                           sigismember(&blocked, SIGUSR1) == 1 &&
                           sigismember(&blocked, SIGPIPE) == 1;
    if (threads == 0) {
        return EAGAIN;
    }
    threads--;
    return __real_pthread_create(thread, attr, run, arg);
}

long __wrap_sysconf(int name)
{
    assert_int_equal(name, _SC_NPROCESSORS_ONLN);
    return processors;
}

int __wrap_getrlimit(int resource, struct rlimit *limit)
{
    assert_int_equal(resource, RLIMIT_NOFILE);
    limit->rlim_cur = descriptors;
    return 0;
}

int __wrap_getrlimit64(int resource, struct rlimit *limit)
{
    return __wrap_getrlimit(resource, limit);
}

/* --- a server that tells ---------------------------------------------------------------------- */

static char told[2048];

static void on_event(const struct tlsmsg_event *event, void *user)
{
    size_t len = strlen(told);

    (void)user;
    assert_int_equal(event->connection, 0);
    assert_null(event->address);
    (void)snprintf(told + len, sizeof(told) - len, "%d %s: %s\n", (int)event->level,
                   tlsmsg_cause_name(event->cause), event->text);
}

static void on_listening(const char *address, void *user)
{
    size_t len = strlen(told);

    assert_ptr_equal(user, &told);
    (void)snprintf(told + len, sizeof(told) - len, "listening %s\n", address);
}

static const struct tlsmsg_handler handler = {
    .size = sizeof(handler), .user = &told, .listening = on_listening, .event = on_event};

static struct tlsmsg_options *options_with(const char *listen, const char *workers)
{
    struct tlsmsg_options *o = NULL;

    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL), TLSMSG_OK);
    ends_identity_of_server(o, false);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, listen, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_WORKERS, workers, NULL), TLSMSG_OK);
    return o;
}

static struct tlsmsg_server *server_with(struct tlsmsg_options *o)
{
    struct tlsmsg_server *server = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (tlsmsg_server_new(o, &handler, &server, &err) != TLSMSG_OK) {
        fail_msg("%s", err.text);
    }
    tlsmsg_options_free(o);
    return server;
}

static void expect_failure(struct tlsmsg_options *o, enum tlsmsg_code code, int sys_errno,
                           const char *text)
{
    struct tlsmsg_server *server = (struct tlsmsg_server *)&told;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    assert_int_equal(tlsmsg_server_new(o, &handler, &server, &err), code);
    assert_null(server);
    assert_int_equal(err.code, code);
    assert_int_equal(err.sys_errno, sys_errno);
    assert_string_equal(err.text, text);
}

static int fresh(void **state)
{
    (void)state;
    eventfds = epolls = threads = 1000;
    watches = 1000;
    processors = 2;
    descriptors = 1024;
    all_signals_blocked = true;
    told[0] = '\0';
    return socket_script_forget(NULL);
}

static unsigned open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        n++;
    }
    (void)closedir(folder);
    return n;
}

/* --- memory and descriptors ------------------------------------------------------------------- */

static void test_no_memory(void **state)
{
    struct tlsmsg_options *o = options_with("127.0.0.1:0", "3");
    struct tlsmsg_server *server;
    struct tlsmsg_error err;
    unsigned before = open_descriptors();
    enum tlsmsg_code code;
    size_t n = 0;
    long live;

    (void)state;
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_MAX_PER_ADDRESS, "1", NULL), TLSMSG_OK);
    live = failmalloc_live();
    do {
        err = (struct tlsmsg_error){.code = TLSMSG_OK};
        server = (struct tlsmsg_server *)&told;
        failmalloc_at(++n);
        code = tlsmsg_server_new(o, NULL, &server, &err);
        failmalloc_at(0);
        if (code != TLSMSG_OK) {
            assert_int_equal(code, TLSMSG_ERR_NOMEM);
            assert_int_equal(err.code, TLSMSG_ERR_NOMEM);
            assert_string_not_equal(err.text, "");
            assert_null(server);
            assert_int_equal(open_descriptors(), before);
            assert_int_equal(failmalloc_live(), live);
        }
    } while (code != TLSMSG_OK);
    assert_true(n > 4);
    tlsmsg_server_free(server);
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(failmalloc_live(), live);
    tlsmsg_options_free(o);
}

/* The first is the server's own, then each worker has one. */
static void test_no_event_descriptor(void **state)
{
    struct tlsmsg_options *o = options_with("127.0.0.1:0", "2");
    unsigned before = open_descriptors();

    (void)state;
    eventfds = 0;
    expect_failure(o, TLSMSG_ERR_SYSTEM, EMFILE,
                   "cannot create an event descriptor: Too many open files");
    eventfds = 2;
    expect_failure(o, TLSMSG_ERR_SYSTEM, EMFILE,
                   "cannot create an event loop's wake-up: Too many open files");
    eventfds = 1000;
    epolls = 1;
    expect_failure(o, TLSMSG_ERR_SYSTEM, ENFILE,
                   "cannot create an event loop: Too many open files in system");
    epolls = 1000;
    watches = 3; /* a wake-up and a listener, and the second worker's wake-up */
    expect_failure(o, TLSMSG_ERR_SYSTEM, 0, "cannot watch the listening sockets");
    assert_int_equal(open_descriptors(), before);
    tlsmsg_options_free(o);
}

static void test_a_limit_that_descriptors_do_not_allow(void **state)
{
    static const struct {
        const char *max;
        const char *told;
    } cases[] = {
        {"0", ""},
        {"992", ""},
        {"993", "1 descriptors: --max-connections 993 is more than the 992 that this process's "
                "file descriptors allow: when they are used up, a reload fails, too (try: a higher "
                "LimitNOFILE= or ulimit -n, or a lower --max-connections)\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tlsmsg_options *o = options_with("127.0.0.1:0", "1");
        struct tlsmsg_server *server;
        char expected[512];

        assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_MAX_CONNECTIONS, cases[i].max, NULL),
                         TLSMSG_OK);
        (void)fresh(NULL);
        server = server_with(o);
        assert_string_equal(told, "");
        assert_int_equal(tlsmsg_server_start(server, NULL), TLSMSG_OK);
        tlsmsg_server_stop(server);
        assert_int_equal(tlsmsg_server_wait(server, NULL), TLSMSG_OK);
        (void)snprintf(expected, sizeof(expected), "listening %s\n%s",
                       tlsmsg_server_address(server, 0), cases[i].told);
        assert_string_equal(told, expected);
        tlsmsg_server_free(server);
    }
}

/* Its sender would be told to come again, for ever. */
static void test_a_message_that_can_never_be_held(void **state)
{
    static const struct {
        const char *max;
        const char *told;
    } cases[] = {
        {"1048576", ""},
        {"1048577",
         "1 limit: --max-message 1048577 is more than --max-buffered 1048576, the memory "
         "for all messages together: a message over that is always refused as busy "
         "(try: --max-buffered 4194308)\n"},
    };

    (void)state;
    if (!BUILD_HAS_TLS) {
        skip();
    }
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tlsmsg_options *o = options_with("127.0.0.1:0", "1");
        struct tlsmsg_server *server;
        const char *limit;
        char expected[512];

        assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_MAX_BUFFERED, "1048576", NULL),
                         TLSMSG_OK);
        assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_MAX_MESSAGE, cases[i].max, NULL),
                         TLSMSG_OK);
        (void)fresh(NULL);
        assert_int_equal(tlsmsg_server_check(o, &handler, NULL), TLSMSG_OK);
        limit = strstr(told, "1 limit: "); /* behind what it says of the certificate */
        assert_string_equal(limit != NULL ? limit : "", cases[i].told);
        (void)fresh(NULL);
        server = server_with(o);
        assert_int_equal(tlsmsg_server_start(server, NULL), TLSMSG_OK);
        tlsmsg_server_stop(server);
        assert_int_equal(tlsmsg_server_wait(server, NULL), TLSMSG_OK);
        (void)snprintf(expected, sizeof(expected), "listening %s\n%s",
                       tlsmsg_server_address(server, 0), cases[i].told);
        assert_string_equal(told, expected);
        tlsmsg_server_free(server);
    }
}

/* --- workers ---------------------------------------------------------------------------------- */

static void test_as_many_workers_as_processors(void **state)
{
    static const struct {
        const char *asked;
        long processors;
        unsigned workers;
    } cases[] = {{"0", 1, 1}, {"0", 3, 3}, {"0", -1, 1}, {"2", 3, 2}, {"1", 3, 1}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tlsmsg_server *server;

        processors = cases[i].processors;
        server = server_with(options_with("127.0.0.1:0", cases[i].asked));
        assert_int_equal(tlsmsg_server_workers(server), cases[i].workers);
        for (unsigned k = 0; k < cases[i].workers; k++) {
            assert_int_equal(server->workers[k].index, k);
            assert_true(server->workers[k].listening);
        }
        assert_int_equal(atomic_load(&server->listening), cases[i].workers);
        tlsmsg_server_free(server);
    }
}

/* Those that run end, and so does the server; whoever polls its descriptor is told. */
static void test_no_thread(void **state)
{
    sigset_t before;
    sigset_t after;

    (void)state;
    memset(&before, 0, sizeof(before)); /* none, whatever an earlier test has left behind */
    memset(&after, 0, sizeof(after));
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    for (unsigned good = 0; good < 3; good++) {
        struct tlsmsg_server *server = server_with(options_with("127.0.0.1:0", "3"));
        struct pollfd done = {.fd = tlsmsg_server_done_fd(server), .events = POLLIN};
        struct tlsmsg_error err = {.code = TLSMSG_OK};

        threads = good;
        assert_int_equal(tlsmsg_server_start(server, &err), TLSMSG_ERR_SYSTEM);
        assert_int_equal(err.code, TLSMSG_ERR_SYSTEM);
        assert_int_equal(err.sys_errno, EAGAIN);
        assert_string_equal(err.text,
                            "cannot start a worker's thread: Resource temporarily unavailable");
        assert_int_equal(poll(&done, 1, WAIT_MS), 1);
        assert_int_equal(atomic_load(&server->running), 0);
        assert_int_equal(tlsmsg_server_wait(server, NULL), TLSMSG_OK);
        tlsmsg_server_free(server);
    }
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    assert_memory_equal(&before, &after, sizeof(before));
    assert_true(all_signals_blocked);
}

static void test_a_server_starts_once(void **state)
{
    struct tlsmsg_server *server = server_with(options_with("127.0.0.1:0", "2"));
    struct pollfd done = {.fd = tlsmsg_server_done_fd(server), .events = POLLIN};
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    assert_int_equal(tlsmsg_server_start(server, &err), TLSMSG_OK);
    assert_int_equal(poll(&done, 1, 0), 0);
    assert_int_equal(tlsmsg_server_start(server, &err), TLSMSG_ERR_STATE);
    assert_string_equal(err.text, "the server was started already");
    assert_int_equal(err.sys_errno, 0);
    tlsmsg_server_stop(server);
    assert_int_equal(poll(&done, 1, WAIT_MS), 1);
    assert_int_equal(tlsmsg_server_wait(server, NULL), TLSMSG_OK);
    assert_true(all_signals_blocked);
    tlsmsg_server_free(server);
}

/* --- sockets ---------------------------------------------------------------------------------- */

static void test_all_addresses_without_ipv6(void **state)
{
    static const int answers[] = {0, EAFNOSUPPORT, 0, 0, 0, 0};
    struct tlsmsg_options *o = options_with("*:0", "1");
    struct tlsmsg_server *server;
    char expected[256];

    (void)state;
    socket_script_follow(&on_socket, answers);
    server = server_with(o);
    (void)socket_script_forget(NULL);
    assert_null(tlsmsg_server_address(server, 1));
    assert_int_equal(tlsmsg_server_start(server, NULL), TLSMSG_OK);
    tlsmsg_server_stop(server);
    assert_int_equal(tlsmsg_server_wait(server, NULL), TLSMSG_OK);
    (void)snprintf(expected, sizeof(expected),
                   "listening %s\n1 other: this machine has no IPv6: --listen * is IPv4 alone\n",
                   tlsmsg_server_address(server, 0));
    assert_string_equal(told, expected);
    tlsmsg_server_free(server);
}

/* One address by its name is no such case. */
static void test_one_address(void **state)
{
    struct tlsmsg_server *server = server_with(options_with("127.0.0.1:0", "1"));

    (void)state;
    assert_false(server->has_v4_alone);
    assert_false(server->listeners[0].passed);
    tlsmsg_server_free(server);
}

/* Options with a socket that was handed over and its own address once more. */
static struct tlsmsg_options *options_with_both(int listener, const struct address *bound,
                                                char at[ADDRESS_TEXT_MAX])
{
    struct tlsmsg_options *o;

    address_print(bound, at, ADDRESS_TEXT_MAX);
    o = options_with(at, "1");
    assert_int_equal(tlsmsg_options_add_listener(o, listener, NULL), TLSMSG_OK);
    return o;
}

/* In use by ourselves: it is the options that are wrong. */
static void test_addresses_that_overlap(void **state)
{
    char at[ADDRESS_TEXT_MAX];
    char expected[256];
    struct address bound;
    int listener = loopback_listen(&bound);
    struct tlsmsg_options *o = options_with_both(listener, &bound, at);
    struct tlsmsg_server *server = NULL;

    (void)state;
    (void)snprintf(expected, sizeof(expected),
                   "--listen %s overlaps %s, which this server listens on already (try: without "
                   "one of the two)",
                   at, at);
    expect_failure(o, TLSMSG_ERR_CONFIG, 0, expected);
    assert_int_equal(tlsmsg_server_new(o, NULL, &server, NULL), TLSMSG_ERR_SYSTEM);
    tlsmsg_options_free(o);
    loopback_close(&listener, 1);
}

/* Another error than that the address is in use says nothing about ours. */
static void test_an_address_that_is_forbidden(void **state)
{
    static const int answers[] = {EACCES};
    char at[ADDRESS_TEXT_MAX];
    char expected[256];
    struct address bound;
    int listener = loopback_listen(&bound);
    struct tlsmsg_options *o = options_with_both(listener, &bound, at);
    struct tlsmsg_server *server = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    socket_script_follow(&on_bind, answers);
    assert_int_equal(tlsmsg_server_new(o, NULL, &server, &err), TLSMSG_ERR_SYSTEM);
    (void)socket_script_forget(NULL);
    assert_int_equal(err.sys_errno, EACCES);
    (void)snprintf(expected, sizeof(expected), "cannot listen on %s", at);
    assert_memory_equal(err.text, expected, strlen(expected));
    tlsmsg_options_free(o);
    loopback_close(&listener, 1);
}

/* In use by somebody else, beside an address of ours. */
static void test_an_address_that_is_in_use(void **state)
{
    char at[ADDRESS_TEXT_MAX];
    char expected[256];
    struct address bound;
    struct address other;
    int fds[] = {loopback_listen(&bound), loopback_listen(&other)};
    struct tlsmsg_options *o = options_with_both(fds[1], &bound, at);
    struct tlsmsg_server *server = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    assert_int_equal(tlsmsg_server_new(o, NULL, &server, &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.sys_errno, EADDRINUSE);
    (void)snprintf(expected, sizeof(expected), "cannot listen on %s: ", at);
    assert_memory_equal(err.text, expected, strlen(expected));
    tlsmsg_options_free(o);
    loopback_close(fds, 2);
}

/* Something else has its number by the time that the server takes it. */
static void test_a_socket_that_is_gone(void **state)
{
    struct address bound;
    int listener = loopback_listen(&bound);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct tlsmsg_options *o = options_with("127.0.0.1:0", "1");
    struct tlsmsg_server *server = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    assert_int_equal(tlsmsg_options_add_listener(o, listener, NULL), TLSMSG_OK);
    assert_true(dup2(null, listener) == listener);
    assert_int_equal(tlsmsg_server_new(o, NULL, &server, &err), TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.code, TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.sys_errno, ENOTSOCK);
    assert_null(server);
    assert_int_equal(on_bind.calls, 1); /* this test's own: no other address is opened */
    tlsmsg_options_free(o);
    loopback_close((const int[]){listener, null}, 2);
}

static void test_a_socket_that_was_handed_over(void **state)
{
    char at[ADDRESS_TEXT_MAX];
    struct address bound;
    int listener = loopback_listen(&bound);
    struct tlsmsg_options *o = options_with("127.0.0.1:0", "1");
    struct tlsmsg_server *server;

    (void)state;
    address_print(&bound, at, sizeof(at));
    assert_int_equal(tlsmsg_options_add_listener(o, listener, NULL), TLSMSG_OK);
    server = server_with(o);
    assert_string_equal(tlsmsg_server_address(server, 0), at);
    assert_true(server->listeners[0].passed);
    assert_non_null(tlsmsg_server_address(server, 1));
    assert_false(server->listeners[1].passed);
    assert_null(tlsmsg_server_address(server, 2));
    tlsmsg_server_free(server);
    loopback_close(&listener, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_no_memory, fresh),
        cmocka_unit_test_setup(test_no_event_descriptor, fresh),
        cmocka_unit_test_setup(test_a_limit_that_descriptors_do_not_allow, fresh),
        cmocka_unit_test_setup(test_a_message_that_can_never_be_held, fresh),
        cmocka_unit_test_setup(test_as_many_workers_as_processors, fresh),
        cmocka_unit_test_setup(test_no_thread, fresh),
        cmocka_unit_test_setup(test_a_server_starts_once, fresh),
        cmocka_unit_test_setup(test_all_addresses_without_ipv6, fresh),
        cmocka_unit_test_setup(test_one_address, fresh),
        cmocka_unit_test_setup(test_addresses_that_overlap, fresh),
        cmocka_unit_test_setup(test_an_address_that_is_forbidden, fresh),
        cmocka_unit_test_setup(test_an_address_that_is_in_use, fresh),
        cmocka_unit_test_setup(test_a_socket_that_is_gone, fresh),
        cmocka_unit_test_setup(test_a_socket_that_was_handed_over, fresh),
    };

    return cmocka_run_group_tests(tests, ends_identity_setup, ends_identity_teardown);
}
