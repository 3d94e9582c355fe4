/* System calls that serving never needs, refused by the kernel (seccomp(2)): programs, new sockets
 * and connections, modes of files, other processes' memory, and interfaces of the kernel that are
 * large and seldom used. What Landlock rules it leaves to Landlock. */
#ifndef APP_SERVER_SYSCALL_FILTER_H
#define APP_SERVER_SYSCALL_FILTER_H

#include <stdbool.h>

/* connects: sockets and connections stay allowed, for a store that is reached over the network.
 * Refuses them with EPERM from now on, to this thread and all it starts; a call of another
 * architecture ends the process. No new privileges must have been given up before.
 * Returns 0; ENOSYS where this build has no filter for the machine or the kernel has none; or
 * another errno value. */
int syscall_filter_install(bool connects);

#endif
