/* First-use records: waiting for who writes them just now, and what can't be written at all. */
#include "transport/tls/known_servers.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "support/failmalloc.h"
#include "support/test_folder.h"
#include "support/unit.h"

#define PIN_A "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PIN_B "sha256//BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA="
#define DATE " 2026-01-31"

static const struct pin pin_a = {PIN_A};
static struct test_folder folder;
static char path[TEST_PATH_MAX];

/* Who holds the lock, and how long we have waited for it. */
static struct {
    unsigned held; /* so many tries fail */
    int sys_errno;
    unsigned tries;
    int64_t slept_ns;
} other;

int __wrap_flock(int fd, int how);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);

int __wrap_flock(int fd, int how)
{
    assert_true(fd >= 0);
    assert_int_equal(how, LOCK_EX | LOCK_NB);
    if (other.tries++ < other.held) {
        errno = other.sys_errno;
        return -1;
    }
    return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
    assert_null(left);
    assert_int_equal(time->tv_sec, 0);
    other.slept_ns += time->tv_nsec;
    return 0;
}

static int forget(void **state)
{
    (void)state;
    memset(&other, 0, sizeof(other));
    other.sys_errno = EWOULDBLOCK;
    (void)unlink(path);
    return 0;
}

static void write_text(const char *text)
{
    FILE *out = fopen(path, "wb");

    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static void expect(struct tlsmsg_error *err, enum tlsmsg_code code, int sys_errno, const char *text)
{
    assert_string_equal(err->text, text);
    assert_string_equal(tlsmsg_code_name(err->code), tlsmsg_code_name(code));
    assert_int_equal(err->sys_errno, sys_errno);
    tlsmsg_error_clear(err);
}

static void test_a_lock_is_waited_for(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    other.held = 250;
    assert_int_equal(known_servers_add(path, "a:1", &pin_a, &err), TLSMSG_OK);
    assert_int_equal(other.tries, 251);
    assert_true(other.slept_ns == INT64_C(5000000000));
    assert_int_equal(access(path, F_OK), 0);
}

static void test_not_for_ever(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char text[512];
    int before = dup(STDERR_FILENO);
    int after;

    (void)state;
    (void)close(before);
    other.held = 1000;
    assert_int_equal(known_servers_add(path, "a:1", &pin_a, &err), TLSMSG_ERR_CONFIG);
    assert_int_equal(other.tries, 251);
    (void)snprintf(text, sizeof(text),
                   "cannot lock known servers file '%s': Resource temporarily unavailable", path);
    expect(&err, TLSMSG_ERR_CONFIG, EAGAIN, text);

    /* What is no waiting is told at once. */
    (void)forget(NULL);
    other.held = 1;
    other.sys_errno = ENOLCK;
    assert_int_equal(known_servers_add(path, "a:1", &pin_a, &err), TLSMSG_ERR_CONFIG);
    (void)snprintf(text, sizeof(text), "cannot lock known servers file '%s': No locks available",
                   path);
    expect(&err, TLSMSG_ERR_CONFIG, ENOLCK, text);
    assert_int_equal(other.tries, 1);
    assert_true(other.slept_ns == 0);
    assert_int_not_equal(access(path, F_OK), 0);
    after = dup(STDERR_FILENO);
    assert_int_equal(after, before);
    (void)close(after);
}

static void test_a_path_that_is_too_long(void **state)
{
    static char longest[PATH_MAX];
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    memset(longest, 'x', sizeof(longest) - 1);
    longest[0] = '/'; /* no folder of it can be made */
    assert_int_equal(known_servers_add(longest, "a:1", &pin_a, &err), TLSMSG_ERR_CONFIG);
    assert_int_equal(err.sys_errno, ENAMETOOLONG);
    assert_int_equal(strncmp(err.text, "cannot lock known servers file '/xxx", 36), 0);
    assert_int_equal(other.tries, 0);
}

static void test_no_folder_is_made_for_such_a_path(void **state)
{
    static char longer[PATH_MAX + 100];
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    size_t len;

    (void)state;
    memset(longer, 'x', sizeof(longer) - 1);
    len = (size_t)snprintf(longer, sizeof(longer), "%s.folder", path);
    longer[len] = '/';
    assert_int_equal(known_servers_add(longer, "a:1", &pin_a, &err), TLSMSG_ERR_CONFIG);
    assert_int_equal(err.sys_errno, ENAMETOOLONG);
    longer[len] = '\0';
    assert_int_not_equal(access(longer, F_OK), 0);
}

static void test_a_server_that_is_too_long(void **state)
{
    static char server[1100];
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char text[512];
    size_t fits = 1024 - 1 - strlen(" " PIN_A DATE "\n");

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        size_t len = fits + i;

        memset(server, 'a', len);
        memcpy(server + len - 2, ":1", 3);
        assert_int_equal(known_servers_add(path, server, &pin_a, &err),
                         i == 0 ? TLSMSG_OK : TLSMSG_ERR_CONFIG);
    }
    (void)snprintf(text, sizeof(text), "cannot write known servers file '%s': File name too long",
                   path);
    expect(&err, TLSMSG_ERR_CONFIG, ENAMETOOLONG, text);
}

static void test_another_key_meanwhile(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    write_text("a:1 " PIN_B DATE "\n");
    assert_int_equal(known_servers_add(path, "a:1", &pin_a, &err), TLSMSG_ERR_UNTRUSTED);
    expect(&err, TLSMSG_ERR_UNTRUSTED, 0,
           "server 'a:1' was recorded with another key meanwhile: recorded " PIN_B
           ", shown " PIN_A);
}

struct scene {
    enum tlsmsg_code code;
    struct tlsmsg_error err;
};

static void add(void *state)
{
    struct scene *scene = state;

    tlsmsg_error_clear(&scene->err);
    write_text("b:1 " PIN_B DATE); /* without its line end, which takes a step of its own */
    scene->code = known_servers_add(path, "a:1", &pin_a, &scene->err);
}

/* Nothing is lost where memory is short, and nothing is half written. */
static void test_no_memory(void **state)
{
    struct scene scene = {.code = TLSMSG_OK};
    long live = failmalloc_live();
    size_t n;

    (void)state;
    for (n = 1; failmalloc_try(n, add, &scene); n++) {
        char text[256] = "";
        FILE *in = fopen(path, "rb");

        assert_non_null(in);
        text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
        assert_int_equal(fclose(in), 0);
        if (scene.code != TLSMSG_OK) { /* else the C library did without */
            assert_int_equal(scene.code, scene.err.code);
            assert_true(scene.code == TLSMSG_ERR_NOMEM || scene.err.sys_errno == ENOMEM);
            assert_string_equal(text, "b:1 " PIN_B DATE);
        }
        assert_int_equal(failmalloc_live(), live);
    }
    assert_true(n > 3);
    assert_int_equal(scene.code, TLSMSG_OK);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_lock_is_waited_for, forget),
        cmocka_unit_test_setup(test_not_for_ever, forget),
        cmocka_unit_test_setup(test_a_path_that_is_too_long, forget),
        cmocka_unit_test_setup(test_no_folder_is_made_for_such_a_path, forget),
        cmocka_unit_test_setup(test_a_server_that_is_too_long, forget),
        cmocka_unit_test_setup(test_another_key_meanwhile, forget),
        cmocka_unit_test_setup(test_no_memory, forget),
    };
    int failed;

    test_folder_make(&folder);
    test_folder_file(&folder, "known", path);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_folder_remove(&folder);
    return failed;
}
