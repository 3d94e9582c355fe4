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
    INPUT_MORE,     /* poll the descriptor for POLLIN and call input_read */
    INPUT_END,
    INPUT_FAILED /* errno in input.cause */
};

struct input {
    int fd;
    size_t line_max;
    struct buffer unread; /* from the first byte on that was not handed out */
    size_t scanned;       /* of these, known to hold no "\n" */
    bool skipping;        /* within a line over the limit */
    bool ended;
    int cause;
    uint64_t number; /* of the line handed out last, from 1 */
};

/* fd is borrowed; its flags are left alone. */
void input_init(struct input *input, int fd, size_t line_max_bytes);
void input_fini(struct input *input);

/* The next line from what was read; *line is borrowed until the next call. Never waits. */
enum input_result input_next(struct input *input, const char **line, size_t *len);

/* One read(2). */
void input_read(struct input *input);

#endif
