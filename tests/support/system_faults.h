/* Calls of the system that fail when a test wants it.
 *
 * Needs WRAP ${system_faults} in tests/unit/store.cmake. One thread. */
#ifndef SUPPORT_SYSTEM_FAULTS_H
#define SUPPORT_SYSTEM_FAULTS_H

#include <stdint.h>

enum system_call {
    SYSTEM_OPEN,
    SYSTEM_FSTAT,
    SYSTEM_FSTATFS,
    SYSTEM_REALPATH,
    SYSTEM_FLOCK,
    SYSTEM_FTRUNCATE,
    SYSTEM_PREAD,
    SYSTEM_PWRITE,
    SYSTEM_FSYNC,
    SYSTEM_GETENTROPY,
    SYSTEM_CALLS
};

/* No call fails, and file systems are what they are. */
void system_faults_end(void);

/* The nth call of its kind from now on fails with that error; a pwrite with 0 writes a byte less than it
 * should. Others may be planned beside it. */
void system_fault_at(enum system_call call, unsigned nth, int sys_errno);

/* How many calls are still to come until it fails; 0: it has, or none was planned. */
unsigned system_fault_left(enum system_call call);

/* What fstatfs says of any file system; 0: what is true. */
void system_file_system(uint32_t magic);

#endif
