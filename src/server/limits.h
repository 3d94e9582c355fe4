/* Who may connect. Any thread. */
#ifndef SERVER_LIMITS_H
#define SERVER_LIMITS_H

#include "server/internal.h"

/* The limit that a connection is over. */
enum limit {
    LIMIT_NONE,
    LIMIT_CONNECTIONS, /* --max-connections */
    LIMIT_PER_ADDRESS, /* --max-per-address */
    LIMIT_HANDSHAKES,  /* --max-handshakes */
    LIMIT_RATE,        /* --handshake-rate */
    LIMIT_MEMORY       /* there is none to count it */
};

/* How many connections this process's descriptors allow, where so many are kept for all else. */
uint64_t limits_allowed(uint64_t reserved_descriptors);

/* Takes the limits; max_connections 0 becomes what the descriptor limit allows, less reserve. */
enum tlsmsg_code limits_init(struct limits *limits, const struct server_settings *settings,
                             uint64_t reserved_descriptors, struct tlsmsg_error *err);
void limits_fini(struct limits *limits);

/* Asks for a place. LIMIT_NONE takes it; limits_leave gives it back. */
enum limit limits_enter(struct limits *limits, const struct address *peer, int64_t now_ns);
void limits_leave(struct limits *limits, const struct address *peer);

/* A handshake is over, one way or another. */
void limits_handshake_done(struct limits *limits);

/* "--max-connections" and 100, for the log. */
const char *limit_option(enum limit limit);
uint64_t limit_value(const struct limits *limits, enum limit limit);

#endif
