/* Arrays as PostgreSQL sends them in binary: one parameter for a column of a whole batch. */
#ifndef STORE_POSTGRESQL_ARRAY_H
#define STORE_POSTGRESQL_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Types of elements, by the engine's own numbers (pg_type.dat), which are fixed. */
enum pg_type { PG_TYPE_BYTEA = 17, PG_TYPE_INT8 = 20, PG_TYPE_TEXT = 25 };

/* All zero is empty. Memory is kept from batch to batch, but for what a rare large one needed. */
struct pg_array {
    char *data;
    size_t len;
    size_t capacity;
    size_t count;
    bool has_null;
    bool failed; /* no memory: an element is missing, and pg_array_end says so */
};

void pg_array_begin(struct pg_array *array, enum pg_type type);
void pg_array_text(struct pg_array *array, const char *text);
void pg_array_bytes(struct pg_array *array, const void *bytes, size_t len); /* NULL: NULL */
void pg_array_number(struct pg_array *array, int64_t number);

/* Completes it: data and len are the parameter then. False: no memory. */
bool pg_array_end(struct pg_array *array);
void pg_array_fini(struct pg_array *array);

#endif
