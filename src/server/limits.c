/* The table is a fixed number of buckets with lists: its keys come from the
 * network, so their hash is seeded, and an entry lives only as long as it
 * says something (an open connection, or a rate that has not recovered). */
#include "server/limits.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/error.h"

#define BUCKETS 4096u
#define SWEEP_NS (10 * (int64_t)CLOCK_NS_PER_S)

struct limit_entry {
    struct list link; /* in its bucket */
    uint8_t key[16];
    uint64_t connections;
    struct ratelimit handshakes;
};

uint64_t limits_allowed(uint64_t reserved_descriptors)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return UINT64_MAX;
    }
    return limit.rlim_cur > 2 * reserved_descriptors ? limit.rlim_cur - reserved_descriptors
                                                     : limit.rlim_cur / 2 + 1;
}

enum tlsmsg_code limits_init(struct limits *limits, const struct server_settings *settings,
                             uint64_t reserved_descriptors, struct tlsmsg_error *err)
{
    *limits = (struct limits){
        .max_connections = settings->max_connections,
        .max_per_address = settings->max_per_address,
        .max_handshakes = settings->max_handshakes,
        .handshake_rate = settings->handshake_rate,
    };
    (void)pthread_mutex_init(&limits->lock, NULL);
    if (limits->max_connections == 0) {
        limits->max_connections = limits_allowed(reserved_descriptors);
    }
    if (limits->max_per_address > 0 || limits->handshake_rate > 0) {
        limits->buckets = calloc(BUCKETS, sizeof(*limits->buckets));
        if (limits->buckets == NULL) {
            return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
        }
        for (size_t i = 0; i < BUCKETS; i++) {
            list_init(&limits->buckets[i]);
        }
        /* Without randomness from the kernel, an address still does: it only guards the table. */
        if (getrandom(&limits->hash_seed, sizeof(limits->hash_seed), GRND_NONBLOCK) < 0) {
            limits->hash_seed = (uint64_t)(uintptr_t)limits->buckets;
        }
    }
    return TLSMSG_OK;
}

static struct limit_entry *entry_of(struct list *link)
{
    return LIST_ITEM(link, struct limit_entry, link);
}

void limits_fini(struct limits *limits)
{
    for (size_t i = 0; limits->buckets != NULL && i < BUCKETS; i++) {
        LIST_EACH_SAFE(at, after, &limits->buckets[i]) {
            free(entry_of(at));
        }
    }
    free(limits->buckets);
    limits->buckets = NULL;
    (void)pthread_mutex_destroy(&limits->lock);
}

static struct list *bucket(struct limits *limits, const uint8_t key[16])
{
    uint64_t hash = limits->hash_seed;

    for (int i = 0; i < 16; i++) {
        hash = (hash ^ key[i]) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return &limits->buckets[hash % BUCKETS];
}

/* Frees entries that say nothing any more, so that the table can't be filled by passers-by. */
static void sweep(struct limits *limits, int64_t now_ns)
{
    if (now_ns - limits->swept_ns < SWEEP_NS) {
        return;
    }
    limits->swept_ns = now_ns;
    for (size_t i = 0; i < BUCKETS; i++) {
        LIST_EACH_SAFE(at, after, &limits->buckets[i]) {
            struct limit_entry *entry = entry_of(at);

            if (entry->connections == 0 && ratelimit_is_full(&entry->handshakes, now_ns)) {
                list_remove(at);
                free(entry);
                limits->entries--;
            }
        }
    }
}

static struct limit_entry *find(struct limits *limits, const uint8_t key[16])
{
    struct list *entries = bucket(limits, key);

    LIST_EACH(at, entries) {
        if (memcmp(entry_of(at)->key, key, 16) == 0) {
            return entry_of(at);
        }
    }
    return NULL;
}

static struct limit_entry *add(struct limits *limits, const uint8_t key[16])
{
    struct limit_entry *entry = calloc(1, sizeof(*entry));

    if (entry != NULL) {
        memcpy(entry->key, key, 16);
        list_prepend(bucket(limits, key), &entry->link);
        limits->entries++;
    }
    return entry;
}

static enum limit enter_address(struct limits *limits, const struct address *peer, int64_t now_ns)
{
    enum limit verdict = LIMIT_NONE;
    struct limit_entry *entry;
    uint8_t key[16];

    address_key(peer, key);
    (void)pthread_mutex_lock(&limits->lock);
    sweep(limits, now_ns);
    entry = find(limits, key);
    if (entry == NULL) {
        entry = add(limits, key);
    }
    if (entry == NULL) {
        verdict = LIMIT_MEMORY;
    } else if (limits->max_per_address > 0 && entry->connections >= limits->max_per_address) {
        verdict = LIMIT_PER_ADDRESS;
    } else if (limits->handshake_rate > 0 &&
               !ratelimit_take(&entry->handshakes, now_ns,
                               CLOCK_NS_PER_S / (int64_t)limits->handshake_rate, CLOCK_NS_PER_S)) {
        verdict = LIMIT_RATE;
    }
    if (verdict == LIMIT_NONE) {
        entry->connections++;
    }
    (void)pthread_mutex_unlock(&limits->lock);
    return verdict;
}

enum limit limits_enter(struct limits *limits, const struct address *peer, int64_t now_ns)
{
    if (atomic_fetch_add(&limits->connections, 1) >= limits->max_connections) {
        atomic_fetch_sub(&limits->connections, 1);
        return LIMIT_CONNECTIONS;
    }
    if (atomic_fetch_add(&limits->handshakes, 1) >= limits->max_handshakes &&
        limits->max_handshakes > 0) {
        atomic_fetch_sub(&limits->handshakes, 1);
        atomic_fetch_sub(&limits->connections, 1);
        return LIMIT_HANDSHAKES;
    }
    if (limits->buckets != NULL) {
        enum limit verdict = enter_address(limits, peer, now_ns);

        if (verdict != LIMIT_NONE) {
            atomic_fetch_sub(&limits->handshakes, 1);
            atomic_fetch_sub(&limits->connections, 1);
            return verdict;
        }
    }
    return LIMIT_NONE;
}

void limits_handshake_done(struct limits *limits)
{
    atomic_fetch_sub(&limits->handshakes, 1);
}

void limits_leave(struct limits *limits, const struct address *peer)
{
    atomic_fetch_sub(&limits->connections, 1);
    if (limits->buckets != NULL) {
        struct limit_entry *entry;
        uint8_t key[16];

        address_key(peer, key);
        (void)pthread_mutex_lock(&limits->lock);
        entry = find(limits, key);
        if (entry != NULL && entry->connections > 0) {
            entry->connections--;
        }
        (void)pthread_mutex_unlock(&limits->lock);
    }
}

const char *limit_option(enum limit limit)
{
    static const char *const names[] = {
        [LIMIT_NONE] = "",
        [LIMIT_CONNECTIONS] = "--max-connections",
        [LIMIT_PER_ADDRESS] = "--max-per-address",
        [LIMIT_HANDSHAKES] = "--max-handshakes",
        [LIMIT_RATE] = "--handshake-rate",
    };

    return names[limit];
}

uint64_t limit_value(const struct limits *limits, enum limit limit)
{
    const uint64_t values[] = {
        [LIMIT_NONE] = 0,
        [LIMIT_CONNECTIONS] = limits->max_connections,
        [LIMIT_PER_ADDRESS] = limits->max_per_address,
        [LIMIT_HANDSHAKES] = limits->max_handshakes,
        [LIMIT_RATE] = limits->handshake_rate,
    };

    return values[limit];
}
