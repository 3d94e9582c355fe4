/* Byte sources over memory, so that a test decides what each read and write sees.
 *
 * Two pipes join two sources. Each source can be told to move few bytes at a
 * time, to say "try again" at a chosen call, to meet end of file or a reset
 * at a chosen byte. Nothing blocks and nothing sleeps; one thread. */
#ifndef SUPPORT_MEMORY_SOURCE_H
#define SUPPORT_MEMORY_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "net/socket.h"

#define MEMORY_NEVER ((size_t)-1)

struct memory_pipe {
    unsigned char *data;
    size_t head;
    size_t len;      /* bytes from head on */
    size_t cap;      /* most bytes that wait in it at once */
    size_t total;    /* bytes ever written */
    size_t cut_at;   /* of total: what comes after is dropped, the reader meets the end there */
    size_t stop_at;  /* of total: what comes after can't be read until this is raised */
    size_t lost;     /* bytes dropped there */
    int cut_errno;   /* the end is this error, or 0: end of file */
    bool is_shut;    /* the writer shut it */
    unsigned writes; /* calls that took bytes */
    unsigned corked; /* of those, with more to follow */
};

struct memory_source {
    struct byte_source base;
    struct memory_pipe *in;
    struct memory_pipe *out;
    size_t read_max;   /* bytes a call; 0: no limit */
    size_t write_max;  /* bytes a call; 0: no limit */
    unsigned calls;    /* reads and writes so far */
    unsigned again_at; /* the call that says BYTE_AGAIN once; 0: none */
    unsigned one_in;   /* so many calls say BYTE_AGAIN, scattered; 0: none */
    unsigned scatter;  /* where the scattering has got to */
    int write_errno;   /* writes fail with it; 0: they don't */
};

void memory_pipe_init(struct memory_pipe *pipe, size_t cap_bytes);
void memory_pipe_fini(struct memory_pipe *pipe);

/* Puts bytes in as the other side's write would. */
void memory_pipe_put(struct memory_pipe *pipe, const void *data, size_t len);

void memory_source_init(struct memory_source *source, struct memory_pipe *in,
                        struct memory_pipe *out);

#endif
