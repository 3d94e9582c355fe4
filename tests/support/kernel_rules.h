/* The kernel's place for Landlock: rules are written down as text, and hold nobody.
 *
 * Needs WRAP syscall readlink in tests/unit/app.cmake. One thread. */
#ifndef SUPPORT_KERNEL_RULES_H
#define SUPPORT_KERNEL_RULES_H

#include <stddef.h>

#include "app/server/kernel_abi.h"

extern struct kernel_rules {
    long abi;                /* that it tells of */
    unsigned fails_at;       /* the call that fails, with EPERM; 0: none */
    int fd_from;             /* the least descriptor that a ruleset gets */
    const char *root;        /* shown as "@" at the beginning of paths */
    const char *resolv_conf; /* what /etc/resolv.conf is a link to; NULL: it is none */

    unsigned calls;
    struct landlock_ruleset made;
    size_t made_size;
    int ruleset; /* -1: none was made */
    unsigned restricted;
    /* A line for each: letters of rights (read, dir, write, make, x: remove, truncate) and the path that
     * the kernel would see, or "port" and its number. */
    char rules[16 * 1024];
    size_t len;
} kernel;

/* Forgets what it was told. */
void kernel_forget(void);

#endif
