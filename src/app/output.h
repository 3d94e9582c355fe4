/* Writing to stdout without ever waiting for it, and without changing it for others.
 *
 * O_NONBLOCK belongs to the open file description, which a shell and other programs share with
 * us, so it is never set on the descriptor that we were given. */
#ifndef APP_OUTPUT_H
#define APP_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

enum output_kind {
    OUTPUT_FILE,     /* never makes a writer wait for a reader: written directly */
    OUTPUT_REOPENED, /* a description of our own, with O_NONBLOCK */
    OUTPUT_SOCKET,   /* sent with MSG_DONTWAIT */
    OUTPUT_POLLED    /* can't be opened again: pieces that fit, after a look at poll(2) */
};

struct output {
    int fd;
    enum output_kind kind;
    bool owns_fd;
};

/* Looks at what fd is and chooses the way to write to it; always succeeds. */
void output_init(struct output *output, int fd);
void output_fini(struct output *output);

/* Writes as much as is taken without waiting; *done receives how much that was. Returns 0, or an
 * errno value after which nothing more can be written. */
int output_write(const struct output *output, const char *data, size_t len, size_t *done);

#endif
