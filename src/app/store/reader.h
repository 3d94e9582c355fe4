/* Reading a store while a server may write to it: in pieces, so that no transaction stays open
 * while somebody else is waited for. */
#ifndef APP_STORE_READER_H
#define APP_STORE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

#include <tlsmsg/error.h>

#include "store/sqlite_file.h"

struct reader {
    const char *path; /* borrowed */
    struct sqlite_file file;
    sqlite3 *db;
    sqlite3_stmt *rows;
};

/* Root becomes the owner of a store (of its folder, where there is none yet): what is made beside it
 * must be the server's, and a planted file can do no harm. Anybody else stays who he is. */
enum tlsmsg_code reader_become_owner(const char *path, struct tlsmsg_error *err);

/* TLSMSG_OK, TLSMSG_ERR_CONFIG or TLSMSG_ERR_SYSTEM. */
enum tlsmsg_code reader_open(struct reader *reader, const char *path, struct tlsmsg_error *err);
void reader_close(struct reader *reader);

/* A message, borrowed until the function that it was given to returns. */
struct reader_row {
    int64_t id;
    int64_t time_ms;
    uint64_t connection;
    uint64_t seq;
    const char *peer;
    const char *identity; /* NULL: none */
    const char *producer; /* NULL: it was forgotten */
    const void *hash;
    size_t hash_len;
    const char *body;
    size_t len;
};

typedef enum tlsmsg_code reader_take(const struct reader_row *row, void *user,
                                     struct tlsmsg_error *err);

/* Gives the messages behind *last to take, in their order, as many as make a short read; *last
 * receives the last one given, *more whether there were any. Code of take, or TLSMSG_ERR_SYSTEM. */
enum tlsmsg_code reader_next(struct reader *reader, int64_t *last, bool *more, reader_take *take,
                             void *user, struct tlsmsg_error *err);

/* A query of one number; 0 where there is none. */
enum tlsmsg_code reader_number(struct reader *reader, const char *sql, int64_t *value,
                               struct tlsmsg_error *err);

#endif
