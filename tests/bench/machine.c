/* Reads the first line of /proc/stat (proc(5)): user nice system idle iowait irq softirq steal. */
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMES 8

bool machine_read_cpu(struct machine_cpu *out)
{
    FILE *file = fopen("/proc/stat", "re");
    const uint64_t ms_per_tick = 1000U / (uint64_t)sysconf(_SC_CLK_TCK);
    uint64_t t[TIMES] = {0};
    char line[512] = "";
    char *at = line + sizeof "cpu" - 1;
    int i;

    *out = (struct machine_cpu){0};
    if (file == NULL) {
        return false;
    }
    if (fgets(line, sizeof line, file) == NULL || strncmp(line, "cpu ", 4) != 0) {
        line[0] = '\0';
    }
    fclose(file);
    if (line[0] == '\0') {
        return false;
    }
    for (i = 0; i < TIMES; i++) {
        t[i] = strtoull(at, &at, 10) * ms_per_tick;
    }
    out->busy_ms = t[0] + t[1] + t[2] + t[5] + t[6];
    out->stolen_ms = t[7];
    out->all_ms = out->busy_ms + out->stolen_ms + t[3] + t[4];
    return out->all_ms > 0;
}
