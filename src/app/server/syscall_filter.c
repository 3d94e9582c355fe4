/* See syscall_filter.h: a program of classic BPF that compares the call's number with a list. A list
 * of what is refused, not of what is allowed: the C library and SQLite choose calls by version, and
 * one that is forgotten would end a server that is in order. Main thread. */
#include "app/server/syscall_filter.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "app/server/kernel_abi.h"
#include "base/build.h"

#define PROGRAM_MAX 128

struct refused {
    int x86_64; /* -1: this machine has no such call */
    int aarch64;
    bool connects; /* what connecting needs */
};

static const struct refused refused[] = {
    {59, 221, false},  /* execve */
    {322, 281, false}, /* execveat */
    {42, 203, true},   /* connect */
    {49, 200, false},  /* bind */
    {50, 201, false},  /* listen */
    {41, 198, true},   /* socket */
    {53, 199, false},  /* socketpair */
    {90, -1, false},   /* chmod */
    {91, 52, false},   /* fchmod */
    {268, 53, false},  /* fchmodat */
    {452, 452, false}, /* fchmodat2 */
    {92, -1, false},   /* chown */
    {93, 55, false},   /* fchown; SQLite tries, as root, and goes on without */
    {94, -1, false},   /* lchown */
    {260, 54, false},  /* fchownat */
    {188, 5, false},   /* setxattr: access lists */
    {189, 6, false},   /* lsetxattr */
    {190, 7, false},   /* fsetxattr */
    {463, 463, false}, /* setxattrat */
    {132, -1, false},  /* utime */
    {235, -1, false},  /* utimes */
    {261, -1, false},  /* futimesat */
    {280, 88, false},  /* utimensat */
    {101, 117, false}, /* ptrace */
    {310, 270, false}, /* process_vm_readv */
    {311, 271, false}, /* process_vm_writev */
    {425, 425, false}, /* io_uring_setup */
    {426, 426, false}, /* io_uring_enter */
    {427, 427, false}, /* io_uring_register */
    {250, 219, false}, /* keyctl */
    {248, 217, false}, /* add_key */
    {249, 218, false}, /* request_key */
    {323, 282, false}, /* userfaultfd */
    {321, 280, false}, /* bpf */
    {298, 241, false}, /* perf_event_open */
    {319, 279, false}, /* memfd_create */
    {438, 438, false}, /* pidfd_getfd */
};

struct program {
    struct bpf_instruction code[PROGRAM_MAX];
    unsigned short count;
};

static void add(struct program *program, uint16_t what, uint8_t if_true, uint8_t if_false,
                uint32_t value)
{
    program->code[program->count++] = (struct bpf_instruction){what, if_true, if_false, value};
}

static void add_load(struct program *program, size_t offset)
{
    add(program, BPF_LOAD_WORD, 0, 0, (uint32_t)offset);
}

static void add_result(struct program *program, uint32_t result)
{
    add(program, BPF_RETURN, 0, 0, result);
}

/* sendto(2) with an address: TCP Fast Open connects by it. Both halves of the pointer count. */
static void add_sendto(struct program *program, uint32_t number)
{
    size_t address = offsetof(struct seccomp_data, args) + 4 * sizeof(uint64_t);

    add(program, BPF_JUMP_IF_EQUAL, 0, 5, number);
    add_load(program, address);
    add(program, BPF_JUMP_IF_EQUAL, 0, 2, 0);
    add_load(program, address + sizeof(uint32_t));
    add(program, BPF_JUMP_IF_EQUAL, 1, 0, 0);
    add_result(program, SECCOMP_RETURN_ERROR | EPERM);
}

static void build(struct program *program, bool is_x86, bool connects)
{
    size_t i;

    program->count = 0;
    add_load(program, offsetof(struct seccomp_data, architecture));
    add(program, BPF_JUMP_IF_EQUAL, 1, 0, is_x86 ? SECCOMP_X86_64 : SECCOMP_AARCH64);
    add_result(program, SECCOMP_RETURN_KILL);
    add_load(program, offsetof(struct seccomp_data, number));
    add(program, BPF_JUMP_IF_AT_LEAST, 0, 1, SECCOMP_FOREIGN_FROM);
    add_result(program, SECCOMP_RETURN_KILL);
    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        int number = is_x86 ? refused[i].x86_64 : refused[i].aarch64;

        if (number >= 0 && !(refused[i].connects && connects)) {
            add(program, BPF_JUMP_IF_EQUAL, 0, 1, (uint32_t)number);
            add_result(program, SECCOMP_RETURN_ERROR | EPERM);
        }
    }
    add_sendto(program, is_x86 ? SECCOMP_X86_64_SENDTO : SECCOMP_AARCH64_SENDTO);
    add_result(program, SECCOMP_RETURN_ALLOW);
}

int syscall_filter_install(bool connects)
{
    struct program program;
    struct bpf_program handed = {.code = program.code};

    if (!BUILD_IS_X86_64 && !BUILD_IS_AARCH64) {
        return ENOSYS;
    }
    build(&program, BUILD_IS_X86_64, connects);
    handed.count = program.count;
    if (prctl(PR_SET_SECCOMP, SECCOMP_FILTER_MODE, &handed, 0, 0) == 0) {
        return 0;
    }
    return errno == EINVAL ? ENOSYS : errno;
}
