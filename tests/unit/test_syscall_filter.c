/* What the filter of system calls refuses and what it lets through, each tried in a child. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "app/server/syscall_filter.h"
#include "base/build.h"

#define NOT_INSTALLED 77

static int pair[2];

static long try_execve(void)
{
    char *none[] = {NULL};

    return execve("/bin/true", none, none);
}

static long try_execveat(void)
{
    char *none[] = {NULL};

    return syscall(SYS_execveat, pair[0], "", none, none, 0x1000 /* AT_EMPTY_PATH */);
}

static long try_socket(void)
{
    return socket(AF_INET, SOCK_DGRAM, 0);
}

static long try_connect(void)
{
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    return connect(pair[0], &nobody, sizeof(nobody));
}

static long try_listen(void)
{
    return listen(pair[0], 1);
}

static long try_bind(void)
{
    struct sockaddr nobody = {.sa_family = AF_UNIX};

    return bind(pair[0], &nobody, sizeof(nobody));
}

static long try_sendto(void)
{
    struct sockaddr nobody = {.sa_family = AF_UNIX};

    return sendto(pair[0], "x", 1, MSG_NOSIGNAL, &nobody, sizeof(nobody));
}

static long try_chmod(void)
{
    return chmod("/", 0755);
}

static long try_fchmod(void)
{
    return fchmod(pair[0], 0755);
}

static long try_chown(void)
{
    return fchown(pair[0], geteuid(), getegid());
}

static long try_access_list(void)
{
    return fsetxattr(pair[0], "user.x", "", 0, 0);
}

static long try_times(void)
{
    return futimens(pair[0], NULL);
}

static long try_memfd(void)
{
    return syscall(SYS_memfd_create, "x", 0);
}

static long try_io_uring(void)
{
    return syscall(425, 1, NULL);
}

static long try_keyctl(void)
{
    return syscall(SYS_keyctl, 0, 0);
}

static long try_userfaultfd(void)
{
    return syscall(SYS_userfaultfd, 0);
}

static long try_ptrace(void)
{
    return syscall(SYS_ptrace, 0, 0, 0, 0);
}

static long try_send(void)
{
    return send(pair[0], "x", 1, MSG_NOSIGNAL);
}

static long try_sendmsg(void)
{
    struct msghdr nothing;

    memset(&nothing, 0, sizeof(nothing));
    return sendmsg(pair[0], &nothing, MSG_NOSIGNAL);
}

static long try_eventfd(void)
{
    return eventfd(0, 0);
}

static long try_open(void)
{
    return open("/dev/null", O_RDONLY);
}

static const struct row {
    const char *name;
    long (*call)(void);
    bool is_refused;
    bool connects; /* with a store that is reached over the network */
} rows[] = {
    {"execve", try_execve, true, false},
    {"execveat", try_execveat, true, false},
    {"a new socket", try_socket, true, false},
    {"connect", try_connect, true, false},
    {"listen", try_listen, true, false},
    {"bind", try_bind, true, false},
    {"sendto with an address", try_sendto, true, false},
    {"chmod", try_chmod, true, false},
    {"fchmod", try_fchmod, true, false},
    {"fchown", try_chown, true, false},
    {"fsetxattr", try_access_list, true, false},
    {"utimensat", try_times, true, false},
    {"memfd_create", try_memfd, true, false},
    {"io_uring_setup", try_io_uring, true, false},
    {"keyctl", try_keyctl, true, false},
    {"userfaultfd", try_userfaultfd, true, false},
    {"ptrace", try_ptrace, true, false},
    {"send", try_send, false, false},
    {"sendmsg", try_sendmsg, false, false},
    {"eventfd", try_eventfd, false, false},
    {"open", try_open, false, false},
    {"execve, with a store to connect to", try_execve, true, true},
    {"listen, with such a store", try_listen, true, true},
    {"bind, with such a store", try_bind, true, true},
    {"a new socket, with such a store", try_socket, false, true},
    {"connect, with such a store", try_connect, false, true},
    {"sendto with an address, with such a store", try_sendto, true, true},
};

static void *call_on_thread(void *user)
{
    const struct row *row = user;

    errno = 0;
    return (void *)(intptr_t)(row->call() < 0 && errno == EPERM);
}

static int child(const struct row *row)
{
    pthread_t thread;
    void *refused = NULL;
    int failed;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) {
        return 2;
    }
    failed = syscall_filter_install(row->connects);
    if (failed != 0) {
        return failed == ENOSYS ? NOT_INSTALLED : 2;
    }
    /* A thread that is started afterwards has it, too. */
    if (pthread_create(&thread, NULL, call_on_thread, (void *)(uintptr_t)row) != 0 ||
        pthread_join(thread, &refused) != 0) {
        return 2;
    }
    return (refused != NULL) == row->is_refused ? 0 : 1;
}

static void test_row(void **state)
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(child(*state));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NOT_INSTALLED) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- calls of another architecture, which have other numbers */

/* A call with the bit of x32; its number alone is harmless. */
static void call_as_x32(void)
{
    (void)syscall(0x40000000 | SYS_getpid);
}

/* The way of 32-bit programs, in which 20 is getpid. */
static void call_as_32_bits(void)
{
#if defined(__x86_64__)
    long result = 20;

    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "cc");
#endif
}

/* How a child that makes the call ends: the signal that ended it, 0, or -1 where there is no
 * filter. */
static int ends_by(void (*call)(void), bool is_filtered)
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (is_filtered && syscall_filter_install(false) != 0) {
            _exit(NOT_INSTALLED);
        }
        call();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_INSTALLED) {
        return -1;
    }
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_foreign_calls_are_killed(void **state)
{
    static void (*const calls[])(void) = {call_as_x32, call_as_32_bits};

    (void)state;
    if (!BUILD_IS_X86_64) {
        skip(); /* AArch64 has one way alone */
    }
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        int signal_number = ends_by(calls[i], true);

        if (signal_number == -1) {
            skip();
        }
        /* A kernel without 32-bit programs ends the child before the filter is asked. */
        if (ends_by(calls[i], false) == 0) {
            assert_int_equal(signal_number, SIGSYS);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_foreign_calls_are_killed)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_row, rows);
    return failed;
}
