/* Walks /proc: see proctree.h. The total comes from each process's CPU clock (clock_getcpuclockid),
 * which counts user and system in nanoseconds and keeps the time of threads that have ended; ticks
 * of 10 ms would blur a window of half a second. */
#include "proctree.h"

#include "clock.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct process {
    pid_t pid;
    pid_t parent;
    bool inside;
    uint64_t user_ticks;
    uint64_t system_ticks;
    uint64_t ended_ticks; /* of children that were waited for */
};

struct process_list {
    struct process *items;
    size_t count;
    size_t cap;
};

static bool read_small_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t got;

    if (file == NULL) {
        return false;
    }
    got = fread(text, 1, size - 1, file);
    text[got] = '\0';
    fclose(file);
    return got > 0;
}

/* Fields of /proc/PID/stat, counted from 1 as in proc(5). */
enum stat_field { STAT_PPID = 4, STAT_UTIME = 14, STAT_STIME, STAT_CUTIME, STAT_CSTIME, STAT_END };

/* The name in parentheses may hold anything, so fields are counted from the last parenthesis. */
static bool read_process(pid_t pid, struct process *p)
{
    char path[64];
    char text[1024];
    uint64_t fields[STAT_END] = {0};
    char *at;
    int i;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!read_small_file(path, text, sizeof text)) {
        return false;
    }
    at = strrchr(text, ')');
    if (at == NULL || strlen(at) < 4) {
        return false;
    }
    at += 3; /* the parenthesis, a space, the state */
    for (i = STAT_PPID; i < STAT_END; i++) {
        fields[i] = strtoull(at, &at, 10);
    }
    *p = (struct process){.pid = pid,
                          .parent = (pid_t)fields[STAT_PPID],
                          .user_ticks = fields[STAT_UTIME],
                          .system_ticks = fields[STAT_STIME],
                          .ended_ticks = fields[STAT_CUTIME] + fields[STAT_CSTIME]};
    return true;
}

static bool list_append(struct process_list *list, const struct process *p)
{
    struct process *grown;

    if (list->count == list->cap) {
        list->cap = list->cap == 0 ? 128 : list->cap * 2;
        grown = realloc(list->items, list->cap * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        list->items = grown;
    }
    list->items[list->count++] = *p;
    return true;
}

static bool is_root(pid_t pid, const pid_t *roots, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (roots[i] == pid) {
            return true;
        }
    }
    return false;
}

static bool has_parent_inside(const struct process_list *list, pid_t parent)
{
    size_t i;

    for (i = 0; i < list->count; i++) {
        if (list->items[i].inside && list->items[i].pid == parent) {
            return true;
        }
    }
    return false;
}

/* Marks roots, then children of marked ones until nothing changes (trees are a few levels deep). */
static void mark_inside(struct process_list *list, const pid_t *roots, size_t count)
{
    bool changed = true;
    size_t i;

    for (i = 0; i < list->count; i++) {
        list->items[i].inside = is_root(list->items[i].pid, roots, count);
    }
    while (changed) {
        changed = false;
        for (i = 0; i < list->count; i++) {
            if (!list->items[i].inside && has_parent_inside(list, list->items[i].parent)) {
                list->items[i].inside = true;
                changed = true;
            }
        }
    }
}

/* The caller frees list->items. */
static void read_tree(const pid_t *roots, size_t count, struct process_list *list)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    struct process p;
    long pid;
    char *end;

    *list = (struct process_list){0};
    if (dir == NULL) {
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        pid = strtol(entry->d_name, &end, 10);
        if (pid > 0 && *end == '\0' && read_process((pid_t)pid, &p) && !list_append(list, &p)) {
            break;
        }
    }
    closedir(dir);
    mark_inside(list, roots, count);
}

static uint64_t read_field(pid_t pid, const char *file, const char *field)
{
    char path[64];
    char line[256];
    uint64_t value = 0;
    FILE *in;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    in = fopen(path, "re");
    if (in == NULL) {
        return 0;
    }
    while (fgets(line, sizeof line, in) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0) {
            value = strtoull(line + strlen(field), NULL, 10);
            break;
        }
    }
    fclose(in);
    return value;
}

bool proctree_read_cpu(const pid_t *roots, size_t count, struct proctree_cpu *out)
{
    struct process_list list;
    const uint64_t ticks_per_s = (uint64_t)sysconf(_SC_CLK_TCK);
    clockid_t id;
    size_t i;

    *out = (struct proctree_cpu){0};
    read_tree(roots, count, &list);
    for (i = 0; i < list.count; i++) {
        const struct process *p = &list.items[i];

        if (!p->inside) {
            continue;
        }
        out->processes++;
        out->written += read_field(p->pid, "io", "write_bytes:");
        out->user_ms += p->user_ticks * 1000 / ticks_per_s;
        out->system_ms += p->system_ticks * 1000 / ticks_per_s;
        out->total_ns += p->ended_ticks * (CLOCK_NS_PER_S / ticks_per_s);
        if (clock_getcpuclockid(p->pid, &id) == 0) {
            out->total_ns += clock_read_ns(id);
        } else {
            out->total_ns += (p->user_ticks + p->system_ticks) * (CLOCK_NS_PER_S / ticks_per_s);
        }
    }
    free(list.items);
    return out->processes > 0;
}

uint64_t proctree_read_memory_kib(const pid_t *roots, size_t count)
{
    struct process_list list;
    uint64_t total = 0;
    uint64_t kib;
    size_t i;

    read_tree(roots, count, &list);
    for (i = 0; i < list.count; i++) {
        if (list.items[i].inside) {
            kib = read_field(list.items[i].pid, "smaps_rollup", "Pss:");
            if (kib == 0) {
                kib = read_field(list.items[i].pid, "status", "VmRSS:");
            }
            total += kib;
        }
    }
    free(list.items);
    return total;
}
