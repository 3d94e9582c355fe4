/* Connecting to a scripted engine: which hosts are left out, who closes what, and what a connection
 * string is refused for. */
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "store/postgresql_connect.h"
#include "support/failmalloc.h"
#include "support/fake_store.h"

static struct tlsmsg_error err;

static int begin(void **state)
{
    (void)state;
    tlsmsg_error_clear(&err);
    fake_libpq_begin();
    return 0;
}

static int end(void **state)
{
    (void)state;
    failmalloc_at(0);
    fake_libpq_end();
    return 0;
}

/* A connection to the target whose host, address and port are these. */
static PGconn *connect_to(const char *target, const char *where)
{
    const struct fake_exchange script[] = {{"connect *", .rows = where}};
    struct pg_connecting *connecting;
    PGconn *connection = NULL;

    FAKE_PLAY(script);
    connecting = pg_connecting_begin(target, false, NULL);
    assert_non_null(connecting);
    assert_true(pg_connecting_wait(&connecting, 0, &connection));
    assert_null(connecting);
    return connection;
}

/* ---- the hosts but one */

static const struct but {
    const char *name;  /* the target, behind postgresql:// */
    const char *where; /* the connection's host, address and port, as libpq has them */
    const char *lists; /* what takes the place of the target's */
} buts[] = {
    {"a/d", "a|192.0.2.1|5432", ""},
    {"a,b/d", "a|192.0.2.1|", " host=b port="},
    {"a,b/d", "b|192.0.2.2|", " host=a port="},
    {"a:1,b:2,c:3/d", "a|192.0.2.1|1", " host=b,c port=2,3"},
    {"a:1,b:2,c:3/d", "b|192.0.2.2|2", " host=a,c port=1,3"},
    {"a:1,b:2,c:3/d", "c|192.0.2.3|3", " host=a,b port=1,2"},
    {"a:1,a:2,a:3/d", "a|192.0.2.1|2", " host=a,a port=1,3"},
    {"a,b,c/d?port=7", "b|192.0.2.2|7", " host=a,c port=7"},
    {"ab,abc,a/d?port=7", "a|192.0.2.2|7", " host=ab,abc port=7"},
    {"/d?host=,b&port=7", "b|192.0.2.2|7", " host= port=7"},
    {"/d?host=b,a&port=7", "a|192.0.2.2|7", " host=b port=7"},
    {"a:1,b:2/d", "c|192.0.2.3|1", ""},
    {"a:1,b:2/d", "b|192.0.2.3|1", ""},
    {"a:1,b:12/d", "b|192.0.2.3|1", ""},
    {"/d?hostaddr=192.0.2.1,192.0.2.2&port=7", "192.0.2.2|192.0.2.2|7",
     " hostaddr=192.0.2.1 port=7"},
    {"a,a:1/d?hostaddr=192.0.2.1,192.0.2.2", "a|192.0.2.1|", " host=a hostaddr=192.0.2.2 port=1"},
    {"/d", "/run/postgresql||5432", ""},
};

static void test_but(void **state)
{
    const struct but *row = *state;
    struct pg_but but = {.engine = "1"};
    struct pg_connecting *connecting;
    PGconn *connection = NULL;
    char target[256];
    char sent[1024];
    const struct fake_exchange script[] = {{sent, .rows = "x|192.0.2.9|1"},
                                           {"2: exec SELECT *", .rows = "12"}};

    (void)begin(NULL);
    (void)snprintf(target, sizeof(target), "postgresql://%s", row->name);
    (void)snprintf(sent, sizeof(sent), "2: " FAKE_CONNECT("%s", "any") "%s", target, row->lists);
    but.connection = connect_to(target, row->where);
    FAKE_PLAY(script);
    connecting = pg_connecting_begin(target, true, &but);
    assert_non_null(connecting);
    assert_true(pg_connecting_wait(&connecting, 0, &connection));
    assert_string_equal(PQhost(connection), "x");
    PQfinish(connection);
    PQfinish(but.connection);
    (void)end(NULL);
}

/* ---- the thread */

static void test_not_within_the_wait(void **state)
{
    static const struct fake_exchange script[] = {
        {FAKE_CONNECT(FAKE_TARGET, "any"), .rows = "a||"}};
    int64_t began_ns = clock_now_ns();
    struct pg_connecting *connecting;
    PGconn *connection = NULL;
    sigset_t blocked;

    (void)state;
    fake_libpq_threads(FAKE_LATER);
    connecting = pg_connecting_begin(FAKE_TARGET, true, NULL);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    assert_false(sigismember(&blocked, SIGTERM)); /* that is the thread's alone */
    assert_false(pg_connecting_wait(&connecting, 100, &connection));
    assert_int_equal(clock_now_ns() - began_ns, (int64_t)100 * CLOCK_NS_PER_MS);
    assert_false(pg_connecting_wait(&connecting, 0, &connection));
    assert_int_equal(clock_now_ns() - began_ns, (int64_t)100 * CLOCK_NS_PER_MS);
    assert_non_null(connecting);
    assert_null(connection);
    FAKE_PLAY(script);
    fake_libpq_run_thread();
    assert_true(pg_connecting_wait(&connecting, 0, &connection));
    assert_null(connecting);
    PQfinish(connection);
}

static void test_within_the_wait(void **state)
{
    static const struct fake_exchange script[] = {
        {FAKE_CONNECT(FAKE_TARGET, "any"), .rows = "a||"}};
    struct pg_connecting *connecting;
    PGconn *connection = NULL;

    (void)state;
    fake_libpq_threads(FAKE_IN_WAIT);
    connecting = pg_connecting_begin(FAKE_TARGET, true, NULL);
    FAKE_PLAY(script);
    assert_true(pg_connecting_wait(&connecting, 100, &connection));
    assert_string_equal(PQhost(connection), "a");
    PQfinish(connection);
}

/* Abandoned before or after it is made: it is closed, either way. */
static void test_abandoned(void **state)
{
    static const struct fake_exchange script[] = {
        {FAKE_CONNECT(FAKE_TARGET, "any"), .rows = "a||"}};
    struct pg_connecting *connecting;

    (void)state;
    pg_connecting_abandon(NULL);
    FAKE_PLAY(script);
    connecting = pg_connecting_begin(FAKE_TARGET, true, NULL);
    pg_connecting_abandon(connecting);
    (void)end(NULL);
    (void)begin(NULL);
    fake_libpq_threads(FAKE_LATER);
    connecting = pg_connecting_begin(FAKE_TARGET, true, NULL);
    pg_connecting_abandon(connecting);
    FAKE_PLAY(script);
    fake_libpq_run_thread();
}

/* The target is a copy. */
static void test_target_of_a_moment(void **state)
{
    static const struct fake_exchange script[] = {
        {FAKE_CONNECT(FAKE_TARGET, "any"), .rows = "a||"}};
    char target[] = FAKE_TARGET;
    struct pg_connecting *connecting;

    (void)state;
    fake_libpq_threads(FAKE_LATER);
    connecting = pg_connecting_begin(target, true, NULL);
    memset(target, 'x', sizeof(target) - 1);
    FAKE_PLAY(script);
    fake_libpq_run_thread();
    pg_connecting_abandon(connecting);
}

/* No memory for itself, for what the string says, or for one of its lists; or no thread. */
static void test_not_begun(void **state)
{
    static const char target[] = "postgresql://a:1,b:2/d?hostaddr=192.0.2.1,192.0.2.2";
    struct pg_but but = {.engine = "1.5"};
    long live;
    size_t n;

    (void)state;
    but.connection = connect_to(target, "a|192.0.2.1|1");
    live = failmalloc_live();
    for (n = 1; n <= 4; n++) {
        failmalloc_at(n);
        assert_null(pg_connecting_begin(target, true, &but));
        assert_int_equal(failmalloc_live(), live);
    }
    failmalloc_at(0);
    fake_libpq_fail_allocation(1);
    assert_null(pg_connecting_begin(target, true, &but));
    fake_libpq_threads(FAKE_NO_THREAD);
    assert_null(pg_connecting_begin(target, true, &but));
    assert_null(pg_connecting_begin(target, true, NULL));
    assert_int_equal(failmalloc_live(), live);
    PQfinish(but.connection);
}

/* ---- connection strings */

#define NOT_ONE                                                                                    \
    "--store: what follows postgresql:// is not a connection string of libpq (not shown, for it "  \
    "may hold a password; try: postgresql://USER@HOST/DATABASE, with %40 for an @ in a password)"

static const struct checked {
    const char *name; /* the target */
    bool is_good;
} checked[] = {
    {"postgresql://u@a/d", true},
    {"postgresql://u:p%40q@a,b/d", true},
    {"postgresql:///d", true},
    {"postgresql://", true},
    {"postgresql://u:p@q@a/d", false},
    {"postgresql://a/d?sslmod=require", false},
    {"postgresql://[::1/d", false},
    {"postgresql://a/d?user=x%40y", true},
    {"postgresql:///d?host=a%40b", false},
};

static void test_target_check(void **state)
{
    const struct checked *row = *state;

    (void)begin(NULL);
    if (row->is_good) {
        assert_int_equal(pg_target_check(row->name, &err), TLSMSG_OK);
        assert_int_equal(err.code, TLSMSG_OK);
    } else {
        assert_int_equal(pg_target_check(row->name, &err), TLSMSG_ERR_CONFIG);
        assert_cause(&err, TLSMSG_ERR_CONFIG, NOT_ONE);
    }
    (void)end(NULL);
}

static void test_no_memory_to_check(void **state)
{
    (void)state;
    fake_libpq_fail_allocation(1);
    assert_int_equal(pg_target_check(FAKE_TARGET, &err), TLSMSG_ERR_NOMEM);
    assert_cause(&err, TLSMSG_ERR_NOMEM, "out of memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_not_within_the_wait, begin, end),
        cmocka_unit_test_setup_teardown(test_within_the_wait, begin, end),
        cmocka_unit_test_setup_teardown(test_abandoned, begin, end),
        cmocka_unit_test_setup_teardown(test_target_of_a_moment, begin, end),
        cmocka_unit_test_setup_teardown(test_not_begun, begin, end),
        cmocka_unit_test_setup_teardown(test_no_memory_to_check, begin, end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_but, buts);
    RUN_ROWS(failed, test_target_check, checked);
    return failed;
}
