/* Producers of a batch: open addressing over a table at most half full. */
#include "store/sqlite_batch.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 64
#define FNV_OFFSET UINT64_C(14695981039346656037)
#define FNV_PRIME UINT64_C(1099511628211)

bool batch_producers_begin(struct batch_producers *producers, size_t count)
{
    size_t capacity = CAPACITY_MIN;

    while (capacity < 2 * count) {
        capacity *= 2;
    }
    if (capacity != producers->capacity) {
        struct batch_producer *places = calloc(capacity, sizeof(*places));

        if (places == NULL) {
            return false;
        }
        free(producers->places);
        producers->places = places;
        producers->capacity = capacity;
    } else if (producers->count > 0) {
        memset(producers->places, 0, capacity * sizeof(*producers->places));
    }
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
