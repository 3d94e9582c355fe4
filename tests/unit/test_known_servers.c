/* First-use records on disk: who may write, and that nothing is ever lost. What a line is: see
 * test_known_lines.c. */
#include "transport/tls/known_servers.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/glob_text.h"
#include "support/test_folder.h"
#include "support/unit.h"

#define PIN_A "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PIN_B "sha256//BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA="
#define DATE " 2026-01-31"
#define CONTENTS_MAX 65536
#define AT_ONCE 8
#define EACH 12

static const struct pin pin_a = {PIN_A};
static const struct pin pin_b = {PIN_B};
static struct test_folder folder;
static char path[TEST_PATH_MAX];

/* What read(2) does from now on: pieces at most so long, an interruption before each, and from a
 * call on (counted from 0) the end of the file or an errno. */
static struct {
    size_t piece; /* 0: as asked for */
    bool interrupts;
    bool was_interrupted;
    int calls;
    int last;       /* -1: never */
    int last_errno; /* 0: the end */
} reading = {.last = -1};

ssize_t __real_read(int fd, void *buf, size_t len);
ssize_t __wrap_read(int fd, void *buf, size_t len);
ssize_t __wrap___read_chk(int fd, void *buf, size_t len, size_t cap);

ssize_t __wrap_read(int fd, void *buf, size_t len)
{
    /* Written to only where a test has asked for it: others read in several threads at once. */
    if (reading.interrupts) {
        reading.was_interrupted = !reading.was_interrupted;
        if (reading.was_interrupted) {
            errno = EINTR;
            return -1;
        }
    }
    if (reading.last >= 0 && reading.calls++ >= reading.last) {
        errno = reading.last_errno;
        return reading.last_errno == 0 ? 0 : -1;
    }
    return __real_read(fd, buf, reading.piece > 0 && reading.piece < len ? reading.piece : len);
}

/* The same call where the C library's headers check buffers. */
ssize_t __wrap___read_chk(int fd, void *buf, size_t len, size_t cap)
{
    assert_true(len <= cap);
    return __wrap_read(fd, buf, len);
}

static int set_up(void **state)
{
    (void)state;
    test_folder_make(&folder);
    test_folder_file(&folder, "known", path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    memset(&reading, 0, sizeof(reading));
    reading.last = -1;
    (void)chmod(folder.path, 0700);
    test_folder_remove(&folder);
    return 0;
}

static void write_text(const char *text)
{
    FILE *out = fopen(path, "wb");

    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static const char *contents(void)
{
    static char text[CONTENTS_MAX];
    FILE *in = fopen(path, "rb");
    size_t len;

    assert_non_null(in);
    len = fread(text, 1, sizeof(text) - 1, in);
    text[len] = '\0';
    assert_int_equal(fclose(in), 0);
    return text;
}

static mode_t mode_of(const char *name)
{
    struct stat info;

    assert_int_equal(stat(name, &info), 0);
    return info.st_mode & 07777;
}

static enum known_answer find(const char *server, const struct pin *pin)
{
    struct known_record record;
    enum known_answer answer;

    assert_int_equal(known_servers_find(path, server, pin, &answer, &record, NULL), TLSMSG_OK);
    return answer;
}

static void test_other_key(void **state)
{
    struct known_record record;
    enum known_answer answer;

    (void)state;
    write_text("a:1 " PIN_A DATE "\n");
    assert_int_equal(known_servers_find(path, "a:1", &pin_b, &answer, &record, NULL), TLSMSG_OK);
    assert_int_equal(answer, KNOWN_OTHER);
    assert_string_equal(record.pin.text, PIN_A);
    assert_string_equal(record.date, "2026-01-31");
}

static void test_no_file(void **state)
{
    (void)state;
    assert_int_equal(find("a:1", &pin_a), KNOWN_NOT);
}

static void test_add(void **state)
{
    char expected[256];
    char today[16];
    time_t now = time(NULL);
    struct tm utc;
    mode_t mask = umask(0);

    (void)state;
    assert_int_equal(known_servers_add(path, "a:1", &pin_a, NULL), TLSMSG_OK);
    umask(mask);
    assert_int_equal(mode_of(path), 0600);
    assert_non_null(gmtime_r(&now, &utc));
    assert_true(strftime(today, sizeof(today), "%Y-%m-%d", &utc) > 0);
    (void)snprintf(expected, sizeof(expected), "a:1 " PIN_A " %s\n", today);
    assert_string_equal(contents(), expected);
    /* Once is enough, in whatever case. */
    assert_int_equal(known_servers_add(path, "A:1", &pin_a, NULL), TLSMSG_OK);
    assert_string_equal(contents(), expected);
}

static void test_add_keeps_what_is_there(void **state)
{
    static const char before[] = "# mine\n\nb:1 " PIN_B DATE;

    (void)state;
    write_text(before);
    (void)chmod(path, 0644);
    assert_int_equal(known_servers_add(path, "a:1", &pin_a, NULL), TLSMSG_OK);
    assert_memory_equal(contents(), before, sizeof(before) - 1);
    assert_non_null(strstr(contents(), DATE "\na:1 " PIN_A " "));
    assert_int_equal(mode_of(path), 0600);
    assert_int_equal(find("b:1", &pin_b), KNOWN_SAME);
}

/* Records that are kept elsewhere, with a link to them in their place, stay there. */
static void test_link_to_the_records_stays(void **state)
{
    char target[TEST_PATH_MAX];
    struct stat info;

    (void)state;
    (void)test_folder_file(&folder, "elsewhere", target);
    assert_int_equal(symlink("elsewhere", path), 0);
    write_text("b:1 " PIN_B DATE "\n");
    assert_int_equal(known_servers_add(path, "a:1", &pin_a, NULL), TLSMSG_OK);
    assert_int_equal(lstat(path, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(lstat(target, &info), 0);
    assert_true(S_ISREG(info.st_mode));
    assert_non_null(strstr(contents(), "b:1 " PIN_B DATE "\na:1 " PIN_A " "));
}

static void test_add_after_another_was_faster(void **state)
{
    static const char before[] = "a:1 " PIN_B DATE "\n";
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    write_text(before);
    assert_int_equal(known_servers_add(path, "a:1", &pin_a, &err), TLSMSG_ERR_UNTRUSTED);
    assert_string_equal(err.text,
                        "server 'a:1' was recorded with another key meanwhile: recorded " PIN_B
                        ", shown " PIN_A);
    assert_int_equal(err.sys_errno, 0);
    assert_string_equal(contents(), before);
}

static void test_folders_are_made(void **state)
{
    char top[TEST_PATH_MAX];
    char inner[TEST_PATH_MAX + 8];
    char file[TEST_PATH_MAX + 16];
    char lock[TEST_PATH_MAX + 32];
    mode_t mask = umask(0);

    (void)state;
    test_folder_file(&folder, "top", top);
    (void)snprintf(inner, sizeof(inner), "%s/inner", top);
    (void)snprintf(file, sizeof(file), "%s/known", inner);
    (void)snprintf(lock, sizeof(lock), "%s.lock", file);
    assert_int_equal(known_servers_add(file, "a:1", &pin_a, NULL), TLSMSG_OK);
    umask(mask);
    assert_int_equal(mode_of(top), 0700);
    assert_int_equal(mode_of(inner), 0700);
    assert_int_equal(mode_of(file), 0600);
    assert_int_equal(mode_of(lock), 0600);
    assert_int_equal(unlink(file) | unlink(lock) | rmdir(inner) | rmdir(top), 0);
}

static void assert_refused(const char *where, const char *says)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    assert_int_equal(known_servers_add(where, "a:1", &pin_a, &err), TLSMSG_ERR_CONFIG);
    expect_text("the refusal", says, err.text);
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
}

/* Whoever took its write permission away meant it, and a rename would not ask. */
static void test_a_read_only_file_stays_as_it_is(void **state)
{
    static const char before[] = "b:1 " PIN_B DATE "\n";

    (void)state;
    write_text(before);
    assert_int_equal(chmod(path, 0444), 0);
    assert_refused(
        path, "cannot write known servers file '*/known': its mode lets nobody; try: chmod 600");
    assert_int_equal(mode_of(path), 0444);
    assert_string_equal(contents(), before);
    assert_int_equal(chmod(path, 0600), 0);
}

static void test_places_that_are_no_use(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct known_record record;
    enum known_answer answer;
    char below[TEST_PATH_MAX + 8];

    (void)state;
    write_text("");
    (void)snprintf(below, sizeof(below), "%s/known", path);
    assert_refused(below, "cannot lock known servers file '*/known/known': Not a directory");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_refused(path, "cannot read known servers file '*/known': Is a directory");
    assert_int_equal(known_servers_find(path, "a:1", &pin_a, &answer, &record, &err),
                     TLSMSG_ERR_CONFIG);
    expect_text("the refusal", "cannot read known servers file '*/known': Is a directory",
                err.text);
    assert_int_equal(rmdir(path), 0);
    if (geteuid() == 0) {
        /* For root no folder is closed; one of the kernel's own is. */
        assert_refused("/proc/self/tlsmsg-known",
                       "cannot lock known servers file '/proc/self/tlsmsg-known': *");
        return;
    }
    assert_int_equal(chmod(folder.path, 0500), 0);
    assert_refused(path, "cannot lock known servers file '*/known': Permission denied");
}

static void test_a_link_is_no_lock(void **state)
{
    char lock[TEST_PATH_MAX + 8];
    char target[TEST_PATH_MAX];

    (void)state;
    (void)snprintf(lock, sizeof(lock), "%s.lock", path);
    assert_int_equal(symlink(test_folder_file(&folder, "target", target), lock), 0);
    assert_refused(path,
                   "cannot lock known servers file '*/known': Too many levels of symbolic links");
    assert_int_not_equal(access(target, F_OK), 0);
}

static void test_what_a_killed_client_left(void **state)
{
    char left[TEST_PATH_MAX + 8];
    FILE *out;

    (void)state;
    (void)snprintf(left, sizeof(left), "%s.new", path);
    out = fopen(left, "wb");
    assert_non_null(out);
    assert_true(fputs("half a li", out) >= 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(known_servers_add(path, "a:1", &pin_a, NULL), TLSMSG_OK);
    assert_int_equal(find("a:1", &pin_a), KNOWN_SAME);
    assert_int_not_equal(access(left, F_OK), 0);
}

/* Adds EACH servers of its own; true where all went well. */
static bool add_some(int who)
{
    bool ok = true;

    for (int i = 0; i < EACH; i++) {
        char server[32];

        (void)snprintf(server, sizeof(server), "h%d:%d", who, i + 1);
        ok = known_servers_add(path, server, &pin_a, NULL) == TLSMSG_OK && ok;
    }
    return ok;
}

static void *add_in_thread(void *who)
{
    return add_some(*(const int *)who) ? who : NULL;
}

static void assert_all_there(void)
{
    int count = 0;

    for (const char *at = contents(); (at = strchr(at, '\n')) != NULL; at++) {
        count++;
    }
    assert_int_equal(count, AT_ONCE * EACH);
    for (int who = 0; who < AT_ONCE; who++) {
        for (int i = 0; i < EACH; i++) {
            char server[32];

            (void)snprintf(server, sizeof(server), "h%d:%d", who, i + 1);
            assert_int_equal(find(server, &pin_a), KNOWN_SAME);
        }
    }
}

static void test_threads_at_once(void **state)
{
    pthread_t threads[AT_ONCE];
    int numbers[AT_ONCE];

    (void)state;
    for (int who = 0; who < AT_ONCE; who++) {
        numbers[who] = who;
        assert_int_equal(pthread_create(&threads[who], NULL, add_in_thread, &numbers[who]), 0);
    }
    for (int who = 0; who < AT_ONCE; who++) {
        void *result;

        assert_int_equal(pthread_join(threads[who], &result), 0);
        assert_ptr_equal(result, &numbers[who]);
    }
    assert_all_there();
}

static void test_processes_at_once(void **state)
{
    pid_t children[AT_ONCE];

    (void)state;
    for (int who = 0; who < AT_ONCE; who++) {
        children[who] = fork();
        assert_int_not_equal(children[who], -1);
        if (children[who] == 0) {
            _exit(add_some(who) ? 0 : 1);
        }
    }
    for (int who = 0; who < AT_ONCE; who++) {
        int status;

        assert_int_equal(waitpid(children[who], &status, 0), children[who]);
        assert_int_equal(status, 0);
    }
    assert_all_there();
}

static void test_file_in_pieces(void **state)
{
    (void)state;
    write_text("b:1 " PIN_B DATE "\na:1 " PIN_A DATE "\n");
    for (reading.piece = 1; reading.piece < 100; reading.piece++) {
        assert_int_equal(find("a:1", &pin_a), KNOWN_SAME);
        assert_int_equal(find("a:1", &pin_b), KNOWN_OTHER);
        assert_int_equal(find("c:1", &pin_b), KNOWN_NOT);
        reading.interrupts = !reading.interrupts;
    }
    assert_int_equal(known_servers_add(path, "c:1", &pin_b, NULL), TLSMSG_OK);
    assert_non_null(strstr(contents(), "b:1 " PIN_B DATE "\na:1 " PIN_A DATE "\nc:1 " PIN_B " "));
}

/* Whole lines were read and no more: whoever is further down would be a stranger, and the next
 * record would be written over those that were not read. */
static void test_file_that_ends_early(void **state)
{
    static const char first[] = "b:1 " PIN_B DATE "\n";
    static const char both[] = "b:1 " PIN_B DATE "\na:1 " PIN_A DATE "\n";
    static const int errors[] = {0, EIO};

    (void)state;
    write_text(both);
    reading.piece = strlen(first);
    for (reading.last = 0; reading.last < 2; reading.last++) {
        for (size_t i = 0; i < COUNT_OF(errors); i++) {
            struct tlsmsg_error err = {.code = TLSMSG_OK};
            struct known_record record;
            enum known_answer answer;

            reading.last_errno = errors[i];
            reading.calls = 0;
            assert_int_equal(known_servers_find(path, "a:1", &pin_a, &answer, &record, &err),
                             TLSMSG_ERR_CONFIG);
            assert_int_equal(err.sys_errno, EIO);
            assert_non_null(strstr(err.text, "cannot read known servers file '"));
            reading.calls = 0;
            tlsmsg_error_clear(&err);
            assert_int_equal(known_servers_add(path, "c:1", &pin_b, &err), TLSMSG_ERR_CONFIG);
            assert_string_equal(contents(), both);
        }
    }
}

static void test_default_path(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    static const char in_state[] = "/state/tlsmsg/known_servers";
    char out[128];

    (void)state;
    assert_int_equal(setenv("HOME", "/home/x", 1) | setenv("XDG_STATE_HOME", "/state", 1), 0);
    assert_int_equal(known_servers_default_path(out, sizeof(out), NULL), TLSMSG_OK);
    assert_string_equal(out, in_state);
    assert_int_equal(known_servers_default_path(out, sizeof(in_state), NULL), TLSMSG_OK);
    assert_string_equal(out, in_state);
    assert_int_equal(known_servers_default_path(out, sizeof(in_state) - 1, NULL),
                     TLSMSG_ERR_CONFIG);
    assert_int_equal(setenv("XDG_STATE_HOME", "state", 1), 0);
    assert_int_equal(known_servers_default_path(out, sizeof(out), NULL), TLSMSG_OK);
    assert_string_equal(out, "/home/x/.local/state/tlsmsg/known_servers");
    assert_int_equal(unsetenv("HOME") | unsetenv("XDG_STATE_HOME"), 0);
    assert_int_equal(known_servers_default_path(out, sizeof(out), &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "no place for first-use records: HOME is not set "
                                  "(--known-servers FILE names one)");
    assert_int_equal(err.sys_errno, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_other_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_add, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_add_keeps_what_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_link_to_the_records_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_read_only_file_stays_as_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_add_after_another_was_faster, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folders_are_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_places_that_are_no_use, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_link_is_no_lock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_a_killed_client_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_processes_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file_in_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file_that_ends_early, set_up, tear_down),
        cmocka_unit_test(test_default_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
