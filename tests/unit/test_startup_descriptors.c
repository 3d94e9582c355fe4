/* What a program does with its descriptors before anything else, and how it ends with stdout. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/startup.h"

/* Runs it in a child: a test's own descriptors stay as they are. */
static void in_child(int (*what)(void))
{
    pid_t child;
    int status = 0;

    (void)fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        exit(what());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool is_ignored(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static int close_all_and_start(void)
{
    char byte = 'x';

    (void)close(0);
    (void)close(1);
    (void)close(2);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGXFSZ, SIG_DFL);
    startup_descriptors();
    if (!is_ignored(SIGPIPE) || !is_ignored(SIGXFSZ)) {
        return 1;
    }
    if ((fcntl(0, F_GETFL) & O_ACCMODE) != O_RDONLY || read(0, &byte, 1) != 0) {
        return 2;
    }
    /* What is written to it is not taken for printed. */
    if ((fcntl(1, F_GETFL) & O_ACCMODE) != O_RDONLY || write(1, &byte, 1) != -1) {
        return 3;
    }
    if ((fcntl(2, F_GETFL) & O_ACCMODE) != O_WRONLY || write(2, &byte, 1) != 1) {
        return 4;
    }
    return 0;
}

static void test_descriptors_that_are_closed(void **state)
{
    (void)state;
    in_child(close_all_and_start);
}

static int start_with_pipes(void)
{
    int ends[2];
    char byte = 'x';

    if (pipe(ends) != 0 || dup2(ends[0], 0) != 0 || dup2(ends[1], 1) != 1 ||
        dup2(ends[1], 2) != 2) {
        return 1;
    }
    startup_descriptors();
    return write(1, &byte, 1) == 1 && write(2, &byte, 1) == 1 && read(0, &byte, 1) == 1 ? 0 : 2;
}

static void test_descriptors_that_are_there(void **state)
{
    (void)state;
    in_child(start_with_pipes);
}

static int raise_the_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1;
    }
    limit.rlim_cur = 64;
    limit.rlim_max = 128;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 2;
    }
    startup_raise_descriptor_limit();
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 128 && limit.rlim_max == 128
               ? 0
               : 3;
}

static void test_the_limit_is_raised(void **state)
{
    (void)state;
    in_child(raise_the_limit);
}

/* ---- what is told */

/* What is written to a descriptor meanwhile. */
struct captured {
    int fd;
    int saved;
    int file;
};

static void capture(struct captured *captured, int fd)
{
    char name[] = "/tmp/tlsmsg-test-XXXXXX";

    captured->fd = fd;
    captured->file = mkstemp(name);
    assert_true(captured->file >= 0);
    assert_int_equal(unlink(name), 0);
    captured->saved = dup(fd);
    assert_true(captured->saved >= 0 && dup2(captured->file, fd) == fd);
}

static void release(const struct captured *captured, char *text, size_t cap)
{
    ssize_t n = pread(captured->file, text, cap - 1, 0);

    assert_true(n >= 0);
    text[n] = '\0';
    assert_int_equal(dup2(captured->saved, captured->fd), captured->fd);
    (void)close(captured->saved);
    (void)close(captured->file);
}

static void test_a_warning_is_one_line(void **state)
{
    struct captured captured;
    char text[4096];
    char longest[3000];

    (void)state;
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    capture(&captured, STDERR_FILENO);
    errno = EXDEV;
    startup_warn("p", "%s is %d", "it", 7);
    assert_int_equal(errno, EXDEV);
    startup_warn("p", "%s", longest);
    release(&captured, text, sizeof(text));
    assert_memory_equal(text, "p: it is 7\np: xxx", 17);
    assert_int_equal(strlen(text), strlen("p: it is 7\n") + 2047);
    assert_int_equal(text[strlen(text) - 1], '\n');
}

static void test_what_stdout_takes(void **state)
{
    struct captured captured;
    char text[64];

    (void)state;
    (void)fflush(stdout);
    capture(&captured, STDOUT_FILENO);
    (void)fputs("text", stdout);
    assert_int_equal(startup_flush_stdout("p"), EXIT_DONE);
    release(&captured, text, sizeof(text));
    assert_string_equal(text, "text");
}

static int flush_to_full(void)
{
    struct captured captured;
    char text[128];
    int full = open("/dev/full", O_WRONLY);

    if (full < 0 || dup2(full, 1) != 1) {
        return 1;
    }
    capture(&captured, STDERR_FILENO);
    (void)fputs("text", stdout);
    if (startup_flush_stdout("p") != EXIT_OTHER) {
        return 2;
    }
    /* What failed before leaves a mark, and no cause. */
    if (startup_flush_stdout("p") != EXIT_OTHER) {
        return 3;
    }
    release(&captured, text, sizeof(text));
    return strcmp(text, "p: cannot write to stdout: No space left on device\n"
                        "p: cannot write to stdout: Input/output error\n") == 0
               ? 0
               : 4;
}

static void test_what_stdout_does_not_take(void **state)
{
    (void)state;
    (void)fflush(stdout);
    in_child(flush_to_full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptors_that_are_closed),
        cmocka_unit_test(test_descriptors_that_are_there),
        cmocka_unit_test(test_the_limit_is_raised),
        cmocka_unit_test(test_a_warning_is_one_line),
        cmocka_unit_test(test_what_stdout_takes),
        cmocka_unit_test(test_what_stdout_does_not_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
