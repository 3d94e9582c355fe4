#include "store/postgresql_array.h"

#include <stdlib.h>
#include <string.h>

#define ARRAY_HEADER_BYTES                                                                         \
    20 /* dimensions, has null, type; the dimension's count, its first index */
#define HEADER_HAS_NULL 4
#define HEADER_COUNT 12
#define FIRST_BYTES 1024
#define KEPT_BYTES ((size_t)4 * 1024 * 1024)

/* Numbers travel in network byte order. */
static void write_number(char *to, uint64_t number, size_t bytes)
{
    size_t i;

    for (i = bytes; i-- > 0; number >>= 8) {
        to[i] = (char)(number & 0xFF);
    }
}

static bool reserve(struct pg_array *array, size_t more)
{
    size_t capacity = array->capacity == 0 ? FIRST_BYTES : array->capacity;
    char *data;

    while (capacity - array->len < more) {
        capacity *= 2;
    }
    if (capacity == array->capacity || array->failed) {
        return !array->failed;
    }
    data = realloc(array->data, capacity);
    if (data == NULL) {
        array->failed = true;
        return false;
    }
    array->data = data;
    array->capacity = capacity;
    return true;
}

/* Adds an element; bytes NULL: of len zero bytes, for the caller to fill. */
static char *add(struct pg_array *array, const void *bytes, size_t len)
{
    char *at;

    if (!reserve(array, len + 4)) {
        return NULL;
    }
    at = array->data + array->len;
    write_number(at, len, 4);
    if (bytes != NULL) {
        memcpy(at + 4, bytes, len);
    }
    array->len += len + 4;
    array->count++;
    return at + 4;
}

void pg_array_begin(struct pg_array *array, enum pg_type type)
{
    if (array->capacity > KEPT_BYTES) {
        pg_array_fini(array);
    }
    array->len = 0;
    array->count = 0;
    array->has_null = false;
    array->failed = false;
    if (reserve(array, ARRAY_HEADER_BYTES)) {
        memset(array->data, 0, ARRAY_HEADER_BYTES);
        array->data[3] = 1;
        array->data[11] = (char)type;
        array->data[19] = 1;
        array->len = ARRAY_HEADER_BYTES;
    }
}

void pg_array_text(struct pg_array *array, const char *text)
{
    (void)add(array, text, strlen(text));
}

void pg_array_bytes(struct pg_array *array, const void *bytes, size_t len)
{
    if (bytes != NULL) {
        (void)add(array, bytes, len);
    } else if (reserve(array, 4)) {
        memset(array->data + array->len, 0xFF, 4);
        array->len += 4;
        array->count++;
        array->has_null = true;
    }
}

void pg_array_number(struct pg_array *array, int64_t number)
{
    char *at = add(array, NULL, sizeof(number));

    if (at != NULL) {
        write_number(at, (uint64_t)number, sizeof(number));
    }
}

bool pg_array_end(struct pg_array *array)
{
    if (array->failed) {
        return false;
    }
    write_number(array->data + HEADER_HAS_NULL, array->has_null, 4);
    write_number(array->data + HEADER_COUNT, array->count, 4);
    return true;
}

void pg_array_fini(struct pg_array *array)
{
    free(array->data);
    *array = (struct pg_array){.data = NULL};
}
