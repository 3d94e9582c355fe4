/* Answers of the kernel on request: accept4, bind, connect and socket follow a script.
 *
 * Needs WRAP ${socket_wraps} in tests/unit/CMakeLists.txt. Any thread calls; one writes scripts, while
 * no other calls. */
#ifndef SUPPORT_SOCKET_SCRIPT_H
#define SUPPORT_SOCKET_SCRIPT_H

#include <stdatomic.h>

#define SCRIPT_DONE (-1) /* success without asking the kernel; of connect only */

/* What one function answers, call by call: an errno, 0 for the truth, or SCRIPT_DONE. */
struct socket_script {
    const int *answers; /* NULL: the truth, always; else at least as many as there are calls */
    atomic_uint calls;
};

extern struct socket_script on_accept;
extern struct socket_script on_bind;
extern struct socket_script on_connect;
extern struct socket_script on_socket;

/* Begins a script; NULL ends it. The calls are counted anew. */
void socket_script_follow(struct socket_script *script, const int *answers);

/* Ends all scripts; a cmocka teardown. */
int socket_script_forget(void **state);

#endif
