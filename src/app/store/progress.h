/* A line on a terminal's stderr for work that lasts over a second. */
#ifndef APP_STORE_PROGRESS_H
#define APP_STORE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what; /* "verified" */
    int64_t begun_ns;
    int64_t told_ns;
    bool is_shown; /* somebody can see it */
    bool told;
};

void progress_begin(struct progress *progress, const char *what);
void progress_tell(struct progress *progress, uint64_t done, uint64_t all);

/* Clears the line. */
void progress_end(struct progress *progress);

#endif
