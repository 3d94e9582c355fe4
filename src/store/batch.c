/* Tables of a batch: open addressing, at most half full. */
#include "store/batch.h"

#include <stdlib.h>
#include <string.h>

#include "store/backend.h"

#define CAPACITY_MIN 64
#define FNV_OFFSET UINT64_C(14695981039346656037)
#define FNV_PRIME UINT64_C(1099511628211)

/* Empties a table, made anew where its size is another. NULL: no memory. */
static void *begin(void *places, size_t *capacity, size_t used, size_t count, size_t place_bytes)
{
    size_t wanted = CAPACITY_MIN;
    void *fresh;

    while (wanted < 2 * count) {
        wanted *= 2;
    }
    if (wanted == *capacity) {
        if (used > 0) {
            memset(places, 0, wanted * place_bytes);
        }
        return places;
    }
    fresh = calloc(wanted, place_bytes);
    if (fresh != NULL) {
        free(places);
        *capacity = wanted;
    }
    return fresh;
}

bool batch_producers_begin(struct batch_producers *producers, size_t count)
{
    struct batch_producer *places = begin(producers->places, &producers->capacity, producers->count,
                                          count, sizeof(*producers->places));

    if (places == NULL) {
        return false;
    }
    producers->places = places;
    producers->count = 0;
    return true;
}

void batch_producers_fini(struct batch_producers *producers)
{
    free(producers->places);
    *producers = (struct batch_producers){0};
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    do {
        hash = (hash ^ (unsigned char)*text) * FNV_PRIME;
    } while (*text++ != '\0');
    return hash;
}

/* Names that were chosen to collide cost a walk over one batch's producers, no more. */
struct batch_producer *batch_producers_get(struct batch_producers *producers, const char *identity,
                                           const char *name, bool *fresh)
{
    size_t mask = producers->capacity - 1;
    size_t i = (size_t)hash_text(hash_text(FNV_OFFSET, identity), name) & mask;
    struct batch_producer *place = &producers->places[i];

    while (place->identity != NULL &&
           (strcmp(place->name, name) != 0 || strcmp(place->identity, identity) != 0)) {
        i = (i + 1) & mask;
        place = &producers->places[i];
    }
    *fresh = place->identity == NULL;
    if (*fresh) {
        *place = (struct batch_producer){.identity = identity, .name = name};
        producers->count++;
    }
    return place;
}

bool batch_items_begin(struct batch_items *items, size_t count)
{
    struct batch_item *places =
        begin(items->places, &items->capacity, items->count, count, sizeof(*items->places));

    if (places == NULL) {
        return false;
    }
    items->places = places;
    items->count = 0;
    return true;
}

void batch_items_fini(struct batch_items *items)
{
    free(items->places);
    *items = (struct batch_items){0};
}

/* The place of a key, or the free one where it would be. */
static struct batch_item *place_of(const struct batch_items *items,
                                   const struct batch_producer *producer, uint64_t seq)
{
    size_t mask = items->capacity - 1;
    size_t i = (size_t)(((uint64_t)(uintptr_t)producer ^ seq * FNV_PRIME) * FNV_PRIME >> 20) & mask;

    while (items->places[i].producer != NULL &&
           (items->places[i].producer != producer || items->places[i].item->seq != seq)) {
        i = (i + 1) & mask;
    }
    return &items->places[i];
}

void batch_items_add(struct batch_items *items, const struct batch_producer *producer,
                     struct store_item *item)
{
    *place_of(items, producer, item->seq) = (struct batch_item){producer, item};
    items->count++;
}

struct store_item *batch_items_get(const struct batch_items *items,
                                   const struct batch_producer *producer, uint64_t seq)
{
    return place_of(items, producer, seq)->item;
}
