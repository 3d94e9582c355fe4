/*
 * CPU time and memory of a server: one or more processes with all their descendants, from /proc.
 * A process that ended is counted once its parent has waited for it (cutime and cstime).
 */
#ifndef BENCH_PROCTREE_H
#define BENCH_PROCTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proctree_cpu {
    uint64_t total_ns; /* user and system, from the scheduler's own clock */
    uint64_t user_ms;  /* the split, in the kernel's ticks of 10 ms */
    uint64_t system_ms;
    uint32_t processes;
    uint64_t
        written; /* bytes that were to go to disks, of those that live; 0 where it may not be read */
};

/* Reads the trees under `roots`. False when no root is alive. */
bool proctree_read_cpu(const pid_t *roots, size_t count, struct proctree_cpu *out);

/* Memory in KiB: the proportional set size (pages shared by several processes count once), or the
 * resident size where smaps_rollup may not be read. 0 when nothing could be read. */
uint64_t proctree_read_memory_kib(const pid_t *roots, size_t count);

#endif
