/* Who may connect: limits that act before any cryptography.
 *
 * Shared by all workers. The total is an atomic counter; what is counted per
 * address lives in a table under a lock that is taken only when such a limit
 * was asked for. */
#ifndef SERVER_ADMISSION_H
#define SERVER_ADMISSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/address.h"
#include "options/options.h"

enum admission_verdict {
    ADMITTED,
    REFUSED_CONNECTIONS, /* --max-connections */
    REFUSED_ADDRESS,     /* --max-per-address */
    REFUSED_HANDSHAKES,  /* --max-handshakes */
    REFUSED_RATE         /* --handshake-rate */
};

struct admission_entry;

struct admission {
    uint64_t max_connections;
    uint64_t max_per_address;
    uint64_t max_handshakes;
    uint64_t handshake_rate;
    atomic_uint_fast64_t connections;
    atomic_uint_fast64_t handshakes;
    pthread_mutex_t lock;
    struct admission_entry **buckets; /* NULL unless a per-address limit is on */
    uint64_t hash_seed;
    int64_t swept_ns;
};

/* Reads the limits; max_connections 0 becomes what the descriptor limit allows, less reserve. */
enum tlsmsg_code admission_init(struct admission *a, const struct server_settings *settings,
                                uint64_t reserved_descriptors, struct tlsmsg_error *err);
void admission_fini(struct admission *a);

/* Asks for a place. ADMITTED takes it; admission_leave gives it back. Any thread. */
enum admission_verdict admission_enter(struct admission *a, const struct address *peer,
                                       int64_t now_ns);
void admission_leave(struct admission *a, const struct address *peer);

/* The handshake is over, one way or another. */
void admission_handshake_done(struct admission *a);

/* Whether the table holds an entry for an address (address_key); for tests. */
bool admission_knows(struct admission *a, const uint8_t key[16]);

/* "--max-connections 100", for the log. */
const char *admission_verdict_option(enum admission_verdict verdict);
uint64_t admission_verdict_limit(const struct admission *a, enum admission_verdict verdict);

#endif
