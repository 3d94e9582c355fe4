/* A socket source whose failed writes don't hide what the peer has said before.
 *
 * A server that refuses a client sends an alert and closes; the client's next
 * write then fails, although the reason lies unread in the kernel. Here such a
 * write counts as done (its bytes are lost, as they would be on the way), its
 * errno is kept, and the reading side goes on to the peer's last word. */
#ifndef CLIENT_PATIENT_SOURCE_H
#define CLIENT_PATIENT_SOURCE_H

#include "net/byte_source.h"

struct patient_source {
    struct byte_source base;
    struct socket_source socket;
    int write_errno; /* of the first write that failed, 0 while none has */
};

/* fd is borrowed, as by socket_source_init. */
void patient_source_init(struct patient_source *s, int fd);

/* Starts a turn, see socket_source_turn. */
void patient_source_turn(struct patient_source *s);

#endif
