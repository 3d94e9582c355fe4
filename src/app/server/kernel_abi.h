/* The kernel's Landlock interface (landlock(7)) and capset(2), spelled out here because the headers
 * that distributions ship lag behind the kernels they run on, no C library declares the latter, and
 * kernel headers are not within reach of every one (musl's wrapper for gcc hides them). Values are
 * the kernel's and fixed. */
#ifndef APP_SERVER_KERNEL_ABI_H
#define APP_SERVER_KERNEL_ABI_H

#include <stdint.h>

/* ---- Landlock */

/* System call numbers; the same on every architecture since 5.13. */
enum { LANDLOCK_CREATE_RULESET = 444, LANDLOCK_ADD_RULE = 445, LANDLOCK_RESTRICT_SELF = 446 };

enum { LANDLOCK_VERSION_FLAG = 1, LANDLOCK_PATH_BENEATH = 1, LANDLOCK_NET_PORT = 2 };

/* Rights on files; what each needs of the kernel is in landlock.c. */
#define LL_EXECUTE (1ull << 0)
#define LL_WRITE_FILE (1ull << 1)
#define LL_READ_FILE (1ull << 2)
#define LL_READ_DIR (1ull << 3)
#define LL_REMOVE_FILE (1ull << 5)
#define LL_MAKE_REG (1ull << 8)
#define LL_ABI1_ALL ((1ull << 13) - 1) /* execute ... make_sym */
#define LL_REFER (1ull << 13)          /* ABI 2 */
#define LL_TRUNCATE (1ull << 14)       /* ABI 3 */
#define LL_IOCTL_DEV (1ull << 15)      /* ABI 5 */

/* Rights on the network, ABI 4; scopes, ABI 6. */
#define LL_NET_BIND_TCP (1ull << 0)
#define LL_NET_CONNECT_TCP (1ull << 1)
#define LL_SCOPE_ABSTRACT_UNIX (1ull << 0)
#define LL_SCOPE_SIGNAL (1ull << 1)

struct landlock_ruleset {
    uint64_t handled_fs;
    uint64_t handled_net;
    uint64_t scoped;
};

struct landlock_path_rule {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

struct landlock_port_rule {
    uint64_t allowed;
    uint64_t port;
};

/* ---- close_range(2), in all kernels that have Landlock; not in every C library */

enum { CLOSE_RANGE = 436 };

/* ---- capabilities */

#define CAPABILITY_VERSION_3 0x20080522u /* 64 capabilities, in two sets of 32 */

struct capability_header {
    uint32_t version;
    int32_t pid; /* 0: the calling thread */
};

struct capability_data {
    uint32_t effective;
    uint32_t permitted;
    uint32_t inheritable;
};

/* ---- seccomp(2) */

#define SECCOMP_FILTER_MODE 2
#define SECCOMP_RETURN_KILL 0x80000000u /* the process */
#define SECCOMP_RETURN_ERROR 0x00050000u
#define SECCOMP_RETURN_ALLOW 0x7fff0000u

struct seccomp_data {
    uint32_t number;
    uint32_t architecture;
    uint64_t instruction_pointer;
    uint64_t args[6];
};

/* Classic BPF: the instructions that a filter of numbers needs. */
#define BPF_LOAD_WORD 0x20u
#define BPF_JUMP_IF_EQUAL 0x15u
#define BPF_JUMP_IF_AT_LEAST 0x35u
#define BPF_RETURN 0x06u

struct bpf_instruction {
    uint16_t what;
    uint8_t if_true;
    uint8_t if_false;
    uint32_t value;
};

struct bpf_program {
    unsigned short count;
    struct bpf_instruction *code;
};

/* The machines whose numbers are known here: AUDIT_ARCH_* of each, and sendto(2). */
#define SECCOMP_X86_64 0xc000003eu
#define SECCOMP_X86_64_SENDTO 44
#define SECCOMP_AARCH64 0xc00000b7u
#define SECCOMP_AARCH64_SENDTO 206
/* x86-64 has the calls of x32 under the same architecture, from this number on. */
#define SECCOMP_FOREIGN_FROM 0x40000000u

#endif
