/* The floor's conversation: see floor.h. */
#include "floor.h"

#include "bytes.h"
#include "message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECV_BYTES 65536u

struct floor_connection {
    int fd;
    struct bytes tail;   /* the beginning of a line whose end has not come yet */
    struct bytes unsent; /* while there is any, nothing more is read */
};

const char floor_name[] = "bench-floor";
const char floor_usage[] =
    "Usage: bench-floor --listen IPV4:PORT [--lines]\n"
    "Replies to each recv(), or with --lines to each line; port 0 = any free one.\n";

static char input[RECV_BYTES];
static struct bytes replies;
static bool lines; /* each line is a message, else each recv() is one (the document's way) */

bool floor_configure(int argc, char **argv)
{
    lines = argc == 1 && strcmp(argv[0], "--lines") == 0;
    return argc == 0 || lines;
}

struct floor_connection *floor_connection_new(int fd)
{
    struct floor_connection *c = calloc(1, sizeof *c);

    if (c != NULL) {
        c->fd = fd;
    }
    return c;
}

void floor_connection_free(struct floor_connection *c)
{
    if (c != NULL) {
        close(c->fd);
        bytes_fini(&c->tail);
        bytes_fini(&c->unsent);
        free(c);
    }
}

int floor_fd(const struct floor_connection *c)
{
    return c->fd;
}

bool floor_end_turn(void (*changed)(struct floor_connection *c))
{
    (void)changed;
    return true;
}

bool floor_wants_write(const struct floor_connection *c)
{
    return bytes_len(&c->unsent) > 0;
}

/* Replies that the kernel does not take now are kept. */
static bool send_bytes(struct floor_connection *c, struct bytes *from)
{
    ssize_t put = send(c->fd, bytes_head(from), bytes_len(from), MSG_NOSIGNAL);

    if (put < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            return false;
        }
        put = 0;
    }
    bytes_take(from, (size_t)put);
    if (from != &c->unsent && bytes_len(from) > 0) {
        bytes_append(&c->unsent, bytes_head(from), bytes_len(from));
    }
    return true;
}

static void reply_to(struct floor_connection *c, const char *message, size_t len)
{
    bytes_append(&replies, MESSAGE_PREFIX, MESSAGE_PREFIX_LEN);
    bytes_append(&replies, bytes_head(&c->tail), bytes_len(&c->tail));
    bytes_append(&replies, message, len);
    bytes_clear(&c->tail);
}

static void reply_to_lines(struct floor_connection *c, const char *data, size_t len)
{
    const char *end = data + len;
    const char *feed;

    while (data < end) {
        feed = memchr(data, '\n', (size_t)(end - data));
        if (feed == NULL) {
            bytes_append(&c->tail, data, (size_t)(end - data));
            return;
        }
        reply_to(c, data, (size_t)(feed + 1 - data));
        data = feed + 1;
    }
}

bool floor_step(struct floor_connection *c)
{
    ssize_t got;

    if (floor_wants_write(c)) {
        return send_bytes(c, &c->unsent);
    }
    got = recv(c->fd, input, sizeof input, 0);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    if (got == 0) {
        return false;
    }
    bytes_clear(&replies);
    if (lines) {
        reply_to_lines(c, input, (size_t)got);
    } else {
        reply_to(c, input, (size_t)got);
    }
    return bytes_len(&replies) == 0 || send_bytes(c, &replies);
}
