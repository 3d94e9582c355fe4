/* Where a transport's bytes come from and go to: a socket today.
 *
 * The three operations are the whole of what a transport needs, so that tests
 * can hand it bytes one at a time and another way to receive (io_uring) can
 * stand here without touching TLS. Non-blocking always; one thread at a time. */
#ifndef NET_BYTE_SOURCE_H
#define NET_BYTE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

enum byte_result {
    BYTE_OK,    /* at least one byte moved */
    BYTE_AGAIN, /* nothing can move now */
    BYTE_EOF,   /* read: the peer has shut its writing side */
    BYTE_ERROR  /* sys_errno of the source says why */
};

struct byte_source {
    enum byte_result (*read)(struct byte_source *s, void *buf, size_t cap, size_t *got);
    /* more: another write follows at once, a segment may wait for it. */
    enum byte_result (*write)(struct byte_source *s, const void *buf, size_t len, bool more,
                              size_t *put);
    /* Shuts the writing side; the peer reads end of file. Idempotent. */
    void (*shut_write)(struct byte_source *s);
    int sys_errno; /* of the last BYTE_ERROR */
    bool dry; /* a read would find nothing before the next poll; false where that isn't known */
};

/* A connected, non-blocking socket. The descriptor is borrowed: its owner closes it. */
struct socket_source {
    struct byte_source base;
    int fd;
    size_t budget_bytes; /* left to read in this turn; at 0 reads say BYTE_AGAIN */
    bool write_is_shut;
};

/* Most bytes one turn takes from one socket, so that no peer holds a worker. */
#define SOCKET_SOURCE_TURN_BYTES (256 * 1024)

void socket_source_init(struct socket_source *s, int fd);

/* Starts a turn: the poll said readable, or the budget begins anew. A short read makes the source
 * dry for the rest of the turn, and reads answer BYTE_AGAIN without asking the kernel; with a
 * level-triggered poll nothing is missed by that. */
void socket_source_turn(struct socket_source *s);

#endif
