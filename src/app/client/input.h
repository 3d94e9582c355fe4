/* Lines of stdin, however it comes: a file, a pipe, a terminal, nothing. */
#ifndef APP_CLIENT_INPUT_H
#define APP_CLIENT_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum input_result {
    INPUT_LINE,     /* a line, its "\n" dropped; the last one may lack it */
    INPUT_TOO_LONG, /* a line over the limit was skipped */
    INPUT_MORE,     /* input_read_ready, or poll the descriptor for POLLIN and call input_read */
    INPUT_END,
    INPUT_FAILED /* errno in input.cause */
};

/* What lies behind a place of the input. */
enum input_rest {
    INPUT_REST_NONE,    /* nothing, or a terminal, which is asked no further */
    INPUT_REST_COUNTED, /* messages of a regular file, up to its present end */
    INPUT_REST_SOME,    /* something; how much of it nobody knows */
    INPUT_REST_UNKNOWN  /* nothing so far, from a writer that may still come with more */
};

struct input {
    int fd;
    size_t line_max;
    struct buffer unread; /* from the first byte on that was not handed out */
    size_t scanned;       /* of these, known to hold no "\n" */
    bool skipping;        /* within a line over the limit */
    bool ended;
    bool is_terminal;
    bool is_seekable;
    int cause;
    uint64_t number;   /* of the line handed out last, from 1 */
    int64_t line_at;   /* bytes from where the input began to the line handed out last */
    int64_t next_at;   /* ... and to the line after it */
    int64_t origin_at; /* where a seekable input began */
};

/* fd is borrowed; its flags are left alone. */
void input_init(struct input *input, int fd, size_t line_max_bytes);
void input_fini(struct input *input);

/* The next line from what was read; *line is borrowed until the next call. Never waits. */
enum input_result input_next(struct input *input, const char **line, size_t *len);

/* One read(2). */
void input_read(struct input *input);

/* The same where it doesn't wait. True: input_next has something new to say. */
bool input_read_ready(struct input *input);

/* True where the terminal may have cut a line of len bytes: in canonical mode the kernel keeps 4,095
 * bytes of a line and drops the rest without a word. */
bool input_may_be_cut(const struct input *input, size_t len);

/* What lies behind `at`, which is line_at or next_at of a line that was handed out, or 0. *count
 * receives the messages (lines that are not empty) with INPUT_REST_COUNTED. Never waits. */
enum input_rest input_rest(struct input *input, int64_t at, uint64_t *count);

/* Sets a seekable input to `at`, so that whoever reads it next begins there. */
void input_set_back(const struct input *input, int64_t at);

#endif
