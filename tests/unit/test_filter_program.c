/* The program that filters system calls, read as the kernel reads it: what becomes of every call by
 * its number, for the calls of other machines, and for an address of sendto(2). */
#include "support/unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "app/server/kernel_abi.h"
#include "app/server/syscall_filter.h"
#include "base/build.h"

#define CALLS 1024 /* more than any machine has */
#define REFUSED (SECCOMP_RETURN_ERROR | EPERM)

/* ---- the kernel's place */

static struct bpf_instruction code[256];
static unsigned short count;
static unsigned installs;
static int fails_with; /* an errno; 0: it takes the program */

int __wrap_prctl(int option, ...);

int __wrap_prctl(int option, ...)
{
    const struct bpf_program *program;
    va_list args;

    va_start(args, option);
    assert_int_equal(option, PR_SET_SECCOMP);
    assert_int_equal(va_arg(args, int), SECCOMP_FILTER_MODE);
    program = va_arg(args, const struct bpf_program *);
    va_end(args);
    installs++;
    errno = fails_with != 0 ? fails_with : EBUSY; /* which stands for nothing after a success */
    if (fails_with != 0) {
        return -1;
    }
    count = program->count;
    assert_in_range(count, 1, COUNT_OF(code));
    memcpy(code, program->code, count * sizeof(*code));
    return 0;
}

/* What the program returns; the test fails where the kernel would refuse it. */
static uint32_t run(const struct seccomp_data *data)
{
    uint32_t accumulator = 0;

    for (size_t at = 0; at < count; at++) {
        const struct bpf_instruction *now = &code[at];

        switch (now->what) {
        case BPF_LOAD_WORD:
            assert_true(now->value % 4 == 0 && now->value <= sizeof(*data) - 4);
            memcpy(&accumulator, (const char *)data + now->value, sizeof(accumulator));
            break;
        case BPF_JUMP_IF_EQUAL:
            at += accumulator == now->value ? now->if_true : now->if_false;
            break;
        case BPF_JUMP_IF_AT_LEAST:
            at += accumulator >= now->value ? now->if_true : now->if_false;
            break;
        default:
            assert_int_equal(now->what, BPF_RETURN);
            return now->value;
        }
    }
    fail_msg("%s", "the program has no end");
    return 0;
}

/* Of a call whose arguments don't count, but for the address of sendto. */
static uint32_t result_of(uint32_t number)
{
    struct seccomp_data data = {.number = number,
                                .architecture = BUILD_IS_X86_64 ? SECCOMP_X86_64 : SECCOMP_AARCH64};

    memset(data.args, number == SYS_sendto ? 0 : 0xFF, sizeof(data.args));
    return run(&data);
}

static int begin(void **state)
{
    (void)state;
    installs = 0;
    fails_with = 0;
    memset(code, 0, sizeof(code));
    return 0;
}

/* ---- every call */

static bool is_among(long number, const long *list, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (list[i] == number) {
            return true;
        }
    }
    return false;
}

static bool is_refused(long number, bool connects)
{
    static const long always[] = {
        SYS_execve,
        SYS_execveat,
        SYS_bind,
        SYS_listen,
        SYS_socketpair,
        SYS_fchmod,
        SYS_fchmodat,
        452 /* fchmodat2 */,
        SYS_fchown,
        SYS_fchownat,
        SYS_setxattr,
        SYS_lsetxattr,
        SYS_fsetxattr,
        463 /* setxattrat */,
        SYS_utimensat,
        SYS_ptrace,
        SYS_process_vm_readv,
        SYS_process_vm_writev,
        425 /* io_uring_setup */,
        426 /* io_uring_enter */,
        427 /* io_uring_register */,
        SYS_keyctl,
        SYS_add_key,
        SYS_request_key,
        SYS_userfaultfd,
        SYS_bpf,
        SYS_perf_event_open,
        SYS_memfd_create,
        438 /* pidfd_getfd */,
    };
    /* chmod, chown, lchown, utime, utimes, futimesat */
    static const long x86_64[] = {90, 92, 94, 132, 235, 261};
    static const long connecting[] = {SYS_socket, SYS_connect};

    return is_among(number, always, COUNT_OF(always)) ||
           (BUILD_IS_X86_64 && is_among(number, x86_64, COUNT_OF(x86_64))) ||
           (!connects && is_among(number, connecting, COUNT_OF(connecting)));
}

static void test_each_call(void **state)
{
    (void)state;
    for (int connects = 0; connects < 2; connects++) {
        assert_int_equal(syscall_filter_install(connects != 0), 0);
        for (long number = 0; number < CALLS; number++) {
            uint32_t wanted = is_refused(number, connects != 0) ? REFUSED : SECCOMP_RETURN_ALLOW;

            if (result_of((uint32_t)number) != wanted) {
                fail_msg("call %ld, connects %d: %x", number, connects,
                         (unsigned)result_of((uint32_t)number));
            }
        }
    }
    assert_int_equal(installs, 2);
}

static void test_calls_of_other_machines(void **state)
{
    struct seccomp_data data = {.number = SYS_read};
    static const uint32_t others[] = {0, 0x40000003 /* i386 */, 0x40000028 /* arm */, UINT32_MAX};

    (void)state;
    assert_int_equal(syscall_filter_install(false), 0);
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        data.architecture = others[i];
        assert_int_equal(run(&data), SECCOMP_RETURN_KILL);
    }
    data.architecture = BUILD_IS_X86_64 ? SECCOMP_AARCH64 : SECCOMP_X86_64;
    assert_int_equal(run(&data), SECCOMP_RETURN_KILL);
    /* Those of x32, by their numbers. */
    assert_int_equal(result_of(SECCOMP_FOREIGN_FROM - 1), SECCOMP_RETURN_ALLOW);
    assert_int_equal(result_of(SECCOMP_FOREIGN_FROM), SECCOMP_RETURN_KILL);
    assert_int_equal(result_of(UINT32_MAX), SECCOMP_RETURN_KILL);
}

/* Refused where there is one, whichever half of the pointer tells; the other arguments don't count. */
static void test_address_of_sendto(void **state)
{
    static const uint64_t addresses[] = {1, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};
    struct seccomp_data data = {.number = SYS_sendto,
                                .architecture = BUILD_IS_X86_64 ? SECCOMP_X86_64 : SECCOMP_AARCH64};

    (void)state;
    for (int connects = 0; connects < 2; connects++) {
        assert_int_equal(syscall_filter_install(connects != 0), 0);
        memset(data.args, 0xFF, sizeof(data.args));
        data.args[4] = 0;
        data.instruction_pointer = UINT64_MAX;
        assert_int_equal(run(&data), SECCOMP_RETURN_ALLOW);
        memset(data.args, 0, sizeof(data.args));
        data.instruction_pointer = 0;
        for (size_t i = 0; i < COUNT_OF(addresses); i++) {
            data.args[4] = addresses[i];
            assert_int_equal(run(&data), REFUSED);
        }
    }
}

/* ---- a kernel that doesn't take it */

static void test_kernel_without_filters(void **state)
{
    (void)state;
    fails_with = EINVAL;
    assert_int_equal(syscall_filter_install(false), ENOSYS);
}

static void test_kernel_that_refuses(void **state)
{
    (void)state;
    fails_with = EACCES;
    assert_int_equal(syscall_filter_install(false), EACCES);
}

static void test_unknown_machine(void **state)
{
    (void)state;
    assert_int_equal(syscall_filter_install(false), ENOSYS);
    assert_int_equal(installs, 0);
}

#define TEST(test) cmocka_unit_test_setup(test, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_call),           TEST(test_calls_of_other_machines),
        TEST(test_address_of_sendto),   TEST(test_kernel_without_filters),
        TEST(test_kernel_that_refuses),
    };
    const struct CMUnitTest elsewhere[] = {TEST(test_unknown_machine)};

    return BUILD_IS_X86_64 || BUILD_IS_AARCH64 ? cmocka_run_group_tests(tests, NULL, NULL)
                                               : cmocka_run_group_tests(elsewhere, NULL, NULL);
}
