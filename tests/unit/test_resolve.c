/* Resolve: literals at once, names on a thread, the deadline, and every way to fail. */
#include "support/unit.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "net/resolve.h"
#include "support/failmalloc.h"
#include "support/fake_lookup.h"

#define WAIT_MS 10000

static int thread_error;            /* what pthread_create answers; 0: the truth */
static atomic_uint threads;         /* of lookups, not yet at their end */
static void *(*thread_run)(void *); /* one lookup at a time, so once is enough */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg);

static void *run_and_tell(void *arg)
{
    void *result = thread_run(arg);

    atomic_fetch_sub(&threads, 1);
    return result;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg)
{
    if (thread_error != 0) {
        return thread_error;
    }
    thread_run = run;
    atomic_fetch_add(&threads, 1);
    return __real_pthread_create(thread, attr, run_and_tell, arg);
}

static struct address_name name_of(const char *host, uint16_t port)
{
    struct address_name n = {.port = port};

    memcpy(n.host, host, strlen(host) + 1);
    return n;
}

static int64_t soon(void)
{
    return clock_deadline_ns(clock_now_ns(), WAIT_MS);
}

/* Waits until the lookup's thread is done: it frees the job, which leak checkers look at. */
static void await_threads(void)
{
    int64_t deadline = soon();

    while (atomic_load(&threads) > 0) {
        assert_true(clock_now_ns() < deadline);
        (void)sched_yield();
    }
}

struct literal_row {
    const char *name;
    int family;
    socklen_t len;
    uint32_t scope;
};

static const struct literal_row literal_rows[] = {
    {"127.0.0.1", AF_INET, sizeof(struct sockaddr_in), 0},
    {"::1", AF_INET6, sizeof(struct sockaddr_in6), 0},
    {"fe80::1%7", AF_INET6, sizeof(struct sockaddr_in6), 7},
};

static void test_literal_needs_no_lookup(void **state)
{
    const struct literal_row *row = *state;
    struct address_name n = name_of(row->name, 4433);
    struct address out[RESOLVE_MAX];
    struct tlsmsg_error err = {0};
    unsigned before = fake_lookup_count();
    size_t count = 99;

    assert_int_equal(resolve_name(&n, 0, out, RESOLVE_MAX, &count, &err), TLSMSG_OK);
    assert_int_equal(count, 1);
    assert_int_equal(out[0].socket.any.sa_family, row->family);
    assert_int_equal(out[0].len, row->len);
    if (row->family == AF_INET6) {
        const struct sockaddr_in6 *v6 = &out[0].socket.v6;

        assert_int_equal(ntohs(v6->sin6_port), 4433);
        assert_int_equal(v6->sin6_scope_id, row->scope);
    } else {
        assert_int_equal(ntohs(out[0].socket.v4.sin_port), 4433);
    }
    assert_int_equal(fake_lookup_count(), before);
}

static void test_unknown_zone_is_named(void **state)
{
    struct address_name n = name_of("fe80::1%nosuchif", 1);
    struct address out[1];
    struct tlsmsg_error err = {0};
    size_t count;

    (void)state;
    assert_int_equal(resolve_name(&n, 0, out, 1, &count, &err), TLSMSG_ERR_CONNECT);
    assert_int_equal(count, 0);
    assert_non_null(strstr(err.text, "cannot look up 'fe80::1%nosuchif': "));
}

static const char *const several[] = {"::1", "127.0.0.1", "127.0.0.1", "::1", "127.0.0.2"};

static void test_name_gives_each_address_once_in_order(void **state)
{
    struct address_name n = name_of("several.test", 443);
    struct address out[RESOLVE_MAX];
    struct tlsmsg_error err = {0};
    char text[ADDRESS_TEXT_MAX];
    size_t count;

    (void)state;
    fake_lookup_set("several.test", several, COUNT_OF(several), 0);
    assert_int_equal(resolve_name(&n, soon(), out, RESOLVE_MAX, &count, &err), TLSMSG_OK);
    assert_int_equal(count, 3);
    address_print(&out[0], text, sizeof(text));
    assert_string_equal(text, "[::1]:443");
    address_print(&out[1], text, sizeof(text));
    assert_string_equal(text, "127.0.0.1:443");
    address_print(&out[2], text, sizeof(text));
    assert_string_equal(text, "127.0.0.2:443");
    await_threads();
    assert_int_equal(fake_lookup_lists(), 0);
}

static void test_cap_is_kept(void **state)
{
    struct address_name n = name_of("several.test", 443);
    struct address out[2];
    size_t count;

    (void)state;
    fake_lookup_set("several.test", several, COUNT_OF(several), 0);
    assert_int_equal(resolve_name(&n, 0, out, 2, &count, NULL), TLSMSG_OK);
    assert_int_equal(count, 2);
    await_threads();
}

static void test_many_addresses_end_at_the_most(void **state)
{
    static char texts[RESOLVE_MAX + 5][16];
    static const char *many[RESOLVE_MAX + 5];
    struct address_name n = name_of("many.test", 1);
    struct address out[RESOLVE_MAX + 5];
    size_t count;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(many); i++) {
        memcpy(texts[i], "10.0.0.a", sizeof("10.0.0.a"));
        texts[i][7] = (char)('0' + i % 10);
        texts[i][5] = (char)('0' + i / 10);
        many[i] = texts[i];
    }
    fake_lookup_set("many.test", many, COUNT_OF(many), 0);
    assert_int_equal(resolve_name(&n, soon(), out, COUNT_OF(out), &count, NULL), TLSMSG_OK);
    assert_int_equal(count, RESOLVE_MAX);
    await_threads();
}

struct failure_row {
    const char *name;
    int gai;
    size_t literals;
    enum tlsmsg_code want;
    const char *text;
};

static const struct failure_row failure_rows[] = {
    {"unknown", EAI_NONAME, 1, TLSMSG_ERR_CONNECT, "cannot look up 'fails.test': "},
    {"try again", EAI_AGAIN, 1, TLSMSG_ERR_CONNECT, "cannot look up 'fails.test': "},
    {"no memory", EAI_MEMORY, 1, TLSMSG_ERR_NOMEM, "out of memory"},
    {"system", EAI_SYSTEM, 1, TLSMSG_ERR_CONNECT,
     "cannot look up 'fails.test': Input/output error"},
    {"an empty list", 0, 0, TLSMSG_ERR_CONNECT, "cannot look up 'fails.test': "},
};

static void test_failure_is_told(void **state)
{
    const struct failure_row *row = *state;
    struct address_name n = name_of("fails.test", 1);
    struct address out[1];
    struct tlsmsg_error err = {0};
    size_t count = 99;

    fake_lookup_set("fails.test", several, row->literals, row->gai);
    assert_int_equal(resolve_name(&n, soon(), out, 1, &count, &err), row->want);
    assert_int_equal(count, 0);
    assert_int_equal(err.code, row->want);
    assert_int_equal(err.sys_errno, row->gai == EAI_SYSTEM ? EIO : 0);
    assert_non_null(strstr(err.text, row->text));
    await_threads();
}

static void test_deadline_leaves_the_thread_behind(void **state)
{
    struct address_name n = name_of("several.test", 1);
    struct address out[1];
    struct tlsmsg_error err = {0};
    int64_t before = clock_now_ns();
    size_t count = 99;

    (void)state;
    fake_lookup_set("several.test", several, COUNT_OF(several), 0);
    fake_lookup_block();
    assert_int_equal(resolve_name(&n, clock_deadline_ns(before, 30), out, 1, &count, &err),
                     TLSMSG_ERR_TIMEOUT);
    assert_true(clock_now_ns() - before >= 30 * (int64_t)CLOCK_NS_PER_MS);
    assert_int_equal(count, 0);
    assert_string_equal(err.text, "cannot look up 'several.test': no answer in time");
    fake_lookup_release();
    await_threads();
}

static void test_past_deadline_ends_at_once(void **state)
{
    struct address_name n = name_of("several.test", 1);
    struct address out[1];
    size_t count;

    (void)state;
    fake_lookup_block();
    assert_int_equal(resolve_name(&n, 1, out, 1, &count, NULL), TLSMSG_ERR_TIMEOUT);
    fake_lookup_release();
    await_threads();
}

static void test_thread_takes_no_signals_and_ours_stay(void **state)
{
    struct address_name n = name_of("several.test", 1);
    struct address out[1];
    sigset_t before;
    sigset_t after;
    sigset_t inside;
    size_t count;

    (void)state;
    fake_lookup_set("several.test", several, COUNT_OF(several), 0);
    (void)sigemptyset(&before);
    (void)sigaddset(&before, SIGUSR2);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    assert_int_equal(resolve_name(&n, soon(), out, 1, &count, NULL), TLSMSG_OK);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    inside = fake_lookup_mask();
    assert_true(sigismember(&inside, SIGTERM) && sigismember(&inside, SIGINT));
    assert_true(sigismember(&inside, SIGHUP) && sigismember(&inside, SIGUSR1));
    assert_true(sigismember(&after, SIGUSR2));
    assert_false(sigismember(&after, SIGTERM) || sigismember(&after, SIGHUP));
    await_threads();
}

static void test_no_thread_is_told(void **state)
{
    struct address_name n = name_of("several.test", 1);
    struct address out[1];
    struct tlsmsg_error err = {0};
    size_t count = 99;

    (void)state;
    thread_error = EAGAIN;
    assert_int_equal(resolve_name(&n, soon(), out, 1, &count, &err), TLSMSG_ERR_SYSTEM);
    thread_error = 0;
    assert_int_equal(err.sys_errno, EAGAIN);
    assert_int_equal(count, 0);
    assert_non_null(strstr(err.text, "cannot start a thread"));
}

static void scenario_lookup(void *state)
{
    struct address_name n = name_of("several.test", 1);
    struct address out[1];
    struct tlsmsg_error err = {0};
    size_t count = 99;
    enum tlsmsg_code code = resolve_name(&n, soon(), out, 1, &count, &err);

    (void)state;
    assert_true(code == TLSMSG_OK || code == TLSMSG_ERR_NOMEM);
    assert_int_equal(count, code == TLSMSG_OK ? 1 : 0);
    assert_int_equal(err.code, code);
    await_threads();
}

static void test_every_failed_allocation_is_told(void **state)
{
    size_t n;

    (void)state;
    fake_lookup_set("several.test", several, COUNT_OF(several), 0);
    for (n = 1; failmalloc_try(n, scenario_lookup, NULL); n++) {
    }
    assert_true(n > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_zone_is_named),
        cmocka_unit_test(test_name_gives_each_address_once_in_order),
        cmocka_unit_test(test_cap_is_kept),
        cmocka_unit_test(test_many_addresses_end_at_the_most),
        cmocka_unit_test(test_deadline_leaves_the_thread_behind),
        cmocka_unit_test(test_past_deadline_ends_at_once),
        cmocka_unit_test(test_thread_takes_no_signals_and_ours_stay),
        cmocka_unit_test(test_no_thread_is_told),
        cmocka_unit_test(test_every_failed_allocation_is_told),
    };
    int failed = 0;

    RUN_ROWS(failed, test_literal_needs_no_lookup, literal_rows);
    RUN_ROWS(failed, test_failure_is_told, failure_rows);
    failed += cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
    return failed;
}
