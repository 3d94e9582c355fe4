/* tlsmsg-store run within a test, on the scene's store: its arguments are given, and what it prints is
 * compared whole. */
#ifndef SUPPORT_TOOL_RUN_H
#define SUPPORT_TOOL_RUN_H

#include <stdint.h>

#include "support/sqlite_scene.h"

struct tool_ran {
    int exit;
    char out[65536];
    char err[4096];
};

/* What the last run has left. */
extern struct tool_ran tool_ran;

/* Runs it with these words, up to NULL. Returns its exit status. */
int tool_run(const char *word, ...) __attribute__((sentinel));

/* Fails unless the last run ended so. A "%s" in a text stands for the store's path, once. err: without
 * "tlsmsg-store: " and the line's end; NULL: nothing was said there. */
void tool_assert(int exit, const char *out, const char *err);

/* Makes the store, without a message. */
void tool_init(void);

/* Runs statements on the store's file. */
void tool_change(const char *sql);

/* A message of a producer (its id), with the SHA-256 of its body as its hash. */
void tool_add(int64_t producer, uint64_t seq, const char *body);

#endif
