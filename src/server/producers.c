#include "server/producers.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

/* What a node of the tree costs beside the entry: three words and the allocator's own. */
#define NODE_BYTES (6 * sizeof(void *))

void producers_init(struct producers *producers, size_t max)
{
    *producers = (struct producers){.max = max};
    (void)pthread_mutex_init(&producers->lock, NULL);
    list_init(&producers->unused);
}

static size_t size_of(const struct producer *producer)
{
    return sizeof(*producer) + producer->identity_len + producer->name_len + NODE_BYTES;
}

static int compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
    if (a_len != b_len) {
        return a_len < b_len ? -1 : 1;
    }
    return memcmp(a, b, a_len);
}

/* tsearch(3)'s order. A balanced tree, since clients choose the names: no choice makes it slow. */
static int compare(const void *left, const void *right)
{
    const struct producer *a = left;
    const struct producer *b = right;
    int order = compare_bytes(a->key, a->identity_len, b->key, b->identity_len);

    return order != 0 ? order
                      : compare_bytes(a->key + a->identity_len, a->name_len,
                                      b->key + b->identity_len, b->name_len);
}

static struct producer *make(const char *identity, size_t identity_len, const char *name,
                             size_t name_len)
{
    struct producer *producer = calloc(1, sizeof(*producer) + identity_len + name_len);

    if (producer == NULL) {
        return NULL;
    }
    producer->identity_len = identity_len;
    producer->name_len = name_len;
    if (identity_len > 0) {
        memcpy(producer->key, identity, identity_len);
    }
    memcpy(producer->key + identity_len, name, name_len);
    list_init(&producer->unused);
    return producer;
}

static void forget(struct producers *producers, struct producer *producer)
{
    (void)tdelete(producer, &producers->tree, compare);
    list_remove(&producer->unused);
    producers->count--;
    (void)atomic_fetch_sub_explicit(&producers->bytes, size_of(producer), memory_order_relaxed);
    free(producer);
}

/* Forgets who has not been here for long, and makes room for one more.
 * False: all that there is room for are connected. */
static bool make_room(struct producers *producers, int64_t now_ns)
{
    while (!list_is_empty(&producers->unused)) {
        struct producer *oldest = LIST_ITEM(producers->unused.next, struct producer, unused);

        if (producers->count < producers->max && now_ns - oldest->left_ns < PRODUCERS_KEEP_NS) {
            break;
        }
        forget(producers, oldest);
    }
    return producers->count < producers->max;
}

/* Finds an entry or makes it. NULL with *verdict set where there is no room. */
static struct producer *find(struct producers *producers, struct producer *fresh, int64_t now_ns,
                             enum producers_verdict *verdict)
{
    struct producer **node = tfind(fresh, &producers->tree, compare);

    /* One that has come back in time is not among those that are forgotten now. */
    if (node != NULL && now_ns - (*node)->left_ns >= PRODUCERS_KEEP_NS &&
        list_is_linked(&(*node)->unused)) {
        forget(producers, *node);
        node = NULL;
    }
    if (node != NULL) {
        free(fresh);
        return *node;
    }
    *verdict = PRODUCERS_FULL;
    if (!make_room(producers, now_ns)) {
        free(fresh);
        return NULL;
    }
    *verdict = PRODUCERS_NOMEM;
    if (tsearch(fresh, &producers->tree, compare) == NULL) {
        free(fresh);
        return NULL;
    }
    producers->count++;
    (void)atomic_fetch_add_explicit(&producers->bytes, size_of(fresh), memory_order_relaxed);
    return fresh;
}

/* Makes `who` the owner, or lets it wait for the owner's end. */
static enum producers_verdict settle(struct producer *producer, const struct producer_claim *who,
                                     struct producers_claimed *out)
{
    if (producer->owner.connection == 0) {
        list_remove(&producer->unused);
        producer->owner = *who;
        return PRODUCERS_YOURS;
    }
    if (who->connection < producer->owner.connection ||
        who->connection < producer->waiting.connection) {
        return PRODUCERS_STALE;
    }
    out->owner = producer->owner;
    out->pushed = producer->waiting;
    producer->waiting = *who;
    return PRODUCERS_WAIT;
}

enum producers_verdict producers_claim(struct producers *producers, const char *identity,
                                       size_t identity_len, const char *name, size_t name_len,
                                       const struct producer_claim *who, int64_t now_ns,
                                       struct producers_claimed *out)
{
    struct producer *fresh = make(identity, identity_len, name, name_len);
    enum producers_verdict verdict = PRODUCERS_NOMEM;

    *out = (struct producers_claimed){.producer = NULL};
    if (fresh == NULL) {
        return PRODUCERS_NOMEM;
    }
    (void)pthread_mutex_lock(&producers->lock);
    out->producer = find(producers, fresh, now_ns, &verdict);
    if (out->producer != NULL) {
        verdict = settle(out->producer, who, out);
    }
    (void)pthread_mutex_unlock(&producers->lock);
    return verdict;
}

bool producers_is_owner(struct producers *producers, const struct producer *producer,
                        const struct producer_claim *who)
{
    bool is_owner;

    (void)pthread_mutex_lock(&producers->lock);
    is_owner = producer->owner.connection == who->connection;
    (void)pthread_mutex_unlock(&producers->lock);
    return is_owner;
}

bool producers_leave(struct producers *producers, struct producer *producer,
                     const struct producer_claim *who, int64_t now_ns, struct producer_claim *next)
{
    bool passed_on = false;

    (void)pthread_mutex_lock(&producers->lock);
    if (producer->waiting.connection == who->connection) {
        producer->waiting = (struct producer_claim){.connection = 0};
    } else if (producer->owner.connection == who->connection) {
        producer->owner = producer->waiting;
        producer->waiting = (struct producer_claim){.connection = 0};
        *next = producer->owner;
        passed_on = next->connection != 0;
        if (!passed_on) {
            producer->left_ns = now_ns;
            list_append(&producers->unused, &producer->unused);
        }
    }
    (void)pthread_mutex_unlock(&producers->lock);
    return passed_on;
}

size_t producers_bytes(const struct producers *producers)
{
    return atomic_load_explicit(&producers->bytes, memory_order_relaxed);
}

void producers_fini(struct producers *producers)
{
    /* tdestroy(3) is not in every libc; the root is the first member that tdelete leaves. */
    while (producers->tree != NULL) {
        struct producer *root = *(struct producer **)producers->tree;

        (void)tdelete(root, &producers->tree, compare);
        free(root);
    }
    (void)pthread_mutex_destroy(&producers->lock);
}
