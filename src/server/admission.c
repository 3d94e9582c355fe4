/* The counters and the table behind admission.h.
 *
 * The table is a fixed number of buckets with lists: its keys come from the
 * network, so their hash is seeded, and an entry lives only as long as it
 * says something (an open connection, or a rate that has not recovered). */
#include "server/admission.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/error.h"

#define BUCKETS 4096u
#define SWEEP_NS (10 * (int64_t)CLOCK_NS_PER_S)

struct admission_entry {
    struct admission_entry *next;
    uint8_t key[16];
    uint64_t connections;
    int64_t tokens_ns;  /* handshakes that may begin now, as time: one costs 1 s / rate */
    int64_t updated_ns; /* when tokens_ns was true */
};

enum tlsmsg_code admission_init(struct admission *a, const struct server_settings *settings,
                                uint64_t reserved_descriptors, struct tlsmsg_error *err)
{
    struct rlimit limit;

    *a = (struct admission){
        .max_connections = settings->max_connections,
        .max_per_address = settings->max_per_address,
        .max_handshakes = settings->max_handshakes,
        .handshake_rate = settings->handshake_rate,
    };
    (void)pthread_mutex_init(&a->lock, NULL);
    if (a->max_connections == 0) {
        a->max_connections = UINT64_MAX;
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
            a->max_connections = limit.rlim_cur > 2 * reserved_descriptors
                                     ? limit.rlim_cur - reserved_descriptors
                                     : limit.rlim_cur / 2 + 1;
        }
    }
    if (a->max_per_address > 0 || a->handshake_rate > 0) {
        a->buckets = calloc(BUCKETS, sizeof(struct admission_entry *));
        if (a->buckets == NULL) {
            return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
        }
        /* Without randomness from the kernel, an address still does: it only guards the table. */
        if (getrandom(&a->hash_seed, sizeof(a->hash_seed), GRND_NONBLOCK) < 0) {
            a->hash_seed = (uint64_t)(uintptr_t)a->buckets;
        }
    }
    return TLSMSG_OK;
}

static void free_list(struct admission_entry *entry)
{
    while (entry != NULL) {
        struct admission_entry *next = entry->next;

        free(entry);
        entry = next;
    }
}

void admission_fini(struct admission *a)
{
    for (size_t i = 0; a->buckets != NULL && i < BUCKETS; i++) {
        free_list(a->buckets[i]);
    }
    free(a->buckets);
    a->buckets = NULL;
    (void)pthread_mutex_destroy(&a->lock);
}

static struct admission_entry **bucket(struct admission *a, const uint8_t key[16])
{
    uint64_t hash = a->hash_seed;

    for (int i = 0; i < 16; i++) {
        hash = (hash ^ key[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return &a->buckets[hash % BUCKETS];
}

/* Time gives handshakes back, a second's worth at most. */
static void refill(struct admission_entry *entry, int64_t now_ns)
{
    entry->tokens_ns += now_ns - entry->updated_ns;
    if (entry->tokens_ns > CLOCK_NS_PER_S) {
        entry->tokens_ns = CLOCK_NS_PER_S;
    }
    entry->updated_ns = now_ns;
}

/* Frees entries that say nothing any more, so that the table can't be filled by passers-by. */
static void sweep(struct admission *a, int64_t now_ns)
{
    if (now_ns - a->swept_ns < SWEEP_NS) {
        return;
    }
    a->swept_ns = now_ns;
    for (size_t i = 0; i < BUCKETS; i++) {
        struct admission_entry **at = &a->buckets[i];

        while (*at != NULL) {
            struct admission_entry *entry = *at;

            refill(entry, now_ns);
            if (entry->connections == 0 && entry->tokens_ns >= CLOCK_NS_PER_S) {
                *at = entry->next;
                free(entry);
            } else {
                at = &entry->next;
            }
        }
    }
}

static struct admission_entry *find(struct admission *a, const uint8_t key[16])
{
    struct admission_entry *entry = *bucket(a, key);

    while (entry != NULL && memcmp(entry->key, key, 16) != 0) {
        entry = entry->next;
    }
    return entry;
}

static struct admission_entry *add(struct admission *a, const uint8_t key[16], int64_t now_ns)
{
    struct admission_entry **at = bucket(a, key);
    struct admission_entry *entry = calloc(1, sizeof(*entry));

    if (entry != NULL) {
        memcpy(entry->key, key, 16);
        entry->tokens_ns = CLOCK_NS_PER_S;
        entry->updated_ns = now_ns;
        entry->next = *at;
        *at = entry;
    }
    return entry;
}

static enum admission_verdict enter_address(struct admission *a, const struct address *peer,
                                            int64_t now_ns)
{
    enum admission_verdict verdict = ADMITTED;
    struct admission_entry *entry;
    uint8_t key[16];

    address_key(peer, key);
    (void)pthread_mutex_lock(&a->lock);
    sweep(a, now_ns);
    entry = find(a, key);
    if (entry == NULL) {
        entry = add(a, key, now_ns);
    }
    if (entry == NULL) {
        verdict = REFUSED_ADDRESS; /* no memory to count it: the careful answer */
    } else if (a->max_per_address > 0 && entry->connections >= a->max_per_address) {
        verdict = REFUSED_ADDRESS;
    } else if (a->handshake_rate > 0) {
        int64_t cost = CLOCK_NS_PER_S / (int64_t)a->handshake_rate;

        refill(entry, now_ns);
        if (entry->tokens_ns < cost) {
            verdict = REFUSED_RATE;
        } else {
            entry->tokens_ns -= cost;
        }
    }
    if (verdict == ADMITTED) {
        entry->connections++;
    }
    (void)pthread_mutex_unlock(&a->lock);
    return verdict;
}

enum admission_verdict admission_enter(struct admission *a, const struct address *peer,
                                       int64_t now_ns)
{
    if (atomic_fetch_add(&a->connections, 1) >= a->max_connections) {
        atomic_fetch_sub(&a->connections, 1);
        return REFUSED_CONNECTIONS;
    }
    if (atomic_fetch_add(&a->handshakes, 1) >= a->max_handshakes && a->max_handshakes > 0) {
        atomic_fetch_sub(&a->handshakes, 1);
        atomic_fetch_sub(&a->connections, 1);
        return REFUSED_HANDSHAKES;
    }
    if (a->buckets != NULL) {
        enum admission_verdict verdict = enter_address(a, peer, now_ns);

        if (verdict != ADMITTED) {
            atomic_fetch_sub(&a->handshakes, 1);
            atomic_fetch_sub(&a->connections, 1);
            return verdict;
        }
    }
    return ADMITTED;
}

void admission_handshake_done(struct admission *a)
{
    atomic_fetch_sub(&a->handshakes, 1);
}

void admission_leave(struct admission *a, const struct address *peer)
{
    atomic_fetch_sub(&a->connections, 1);
    if (a->buckets != NULL) {
        struct admission_entry *entry;
        uint8_t key[16];

        address_key(peer, key);
        (void)pthread_mutex_lock(&a->lock);
        entry = find(a, key);
        if (entry != NULL && entry->connections > 0) {
            entry->connections--;
        }
        (void)pthread_mutex_unlock(&a->lock);
    }
}

bool admission_knows(struct admission *a, const uint8_t key[16])
{
    return find(a, key) != NULL;
}

const char *admission_verdict_option(enum admission_verdict verdict)
{
    static const char *const options[] = {
        [ADMITTED] = "",
        [REFUSED_CONNECTIONS] = "--max-connections",
        [REFUSED_ADDRESS] = "--max-per-address",
        [REFUSED_HANDSHAKES] = "--max-handshakes",
        [REFUSED_RATE] = "--handshake-rate",
    };

    return options[verdict];
}

uint64_t admission_verdict_limit(const struct admission *a, enum admission_verdict verdict)
{
    const uint64_t limits[] = {
        [ADMITTED] = 0,
        [REFUSED_CONNECTIONS] = a->max_connections,
        [REFUSED_ADDRESS] = a->max_per_address,
        [REFUSED_HANDSHAKES] = a->max_handshakes,
        [REFUSED_RATE] = a->handshake_rate,
    };

    return limits[verdict];
}
