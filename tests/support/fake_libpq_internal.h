/* What the files of fake_libpq share. */
#ifndef SUPPORT_FAKE_LIBPQ_INTERNAL_H
#define SUPPORT_FAKE_LIBPQ_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include <libpq-fe.h>

#include "support/fake_libpq.h"

#define FAKE_SENT_CHARS 8192
#define SENT_MAX 16
#define CELLS_MAX 512
#define ROWS_CHARS 2048

struct pg_result {
    bool is_live;
    ExecStatusType status;
    const struct fake_exchange *from; /* NULL: a mark, or of what was not carried out */
    char text[ROWS_CHARS];
    const char *cells[CELLS_MAX]; /* NULL: NULL */
    int rows;
    int columns;
};

/* What stands in a connection's pipeline: a row of the script, or (NULL) a mark. */
struct pg_conn {
    bool is_live;
    size_t number; /* from 1 */
    bool is_lost;
    bool has_failed; /* to send or to read, once; nothing else tells that something is wrong */
    bool is_nonblocking;
    bool is_pipelined;
    const struct fake_exchange *row; /* of "connect" */
    char target[256];
    struct pg_result where;
    PGTransactionStatusType transaction;
    const struct fake_exchange *sent[SENT_MAX];
    size_t head;
    size_t tail;
    unsigned given;     /* results of the row at the head */
    bool is_aborted;    /* up to the next mark */
    bool lacks_end;     /* the next mark is none */
    bool is_unflushed;  /* in part; then it can be written to */
    bool is_readable;   /* poll said so */
    bool is_incomplete; /* more is to be read before the head's answer is there */
    PQnoticeReceiver note;
    void *note_user;
};

/* ---- fake_libpq.c */

/* The script's row for what is sent. */
const struct fake_exchange *fake_libpq_sent(const PGconn *connection, const char *text);
PGresult *fake_libpq_result(ExecStatusType status, const struct fake_exchange *from);

/* The connection, which must be there. */
PGconn *fake_libpq_on(const PGconn *connection);
PGconn *fake_libpq_nth(size_t number);
void fake_libpq_lose(PGconn *connection);

/* Whether what was silent answers; waited: it was waited for once more. */
bool fake_libpq_speaks(bool waited);

/* ---- fake_libpq_values.c: texts of FAKE_SENT_CHARS at most */

void fake_libpq_append(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fake_libpq_append_values(char *text, int count, const char *const *values, const int *lengths,
                              const int *formats);

/* ---- fake_libpq_threads.c */

/* Time passes, on the clock that goes on. */
void fake_libpq_pass_ms(int ms);

void fake_libpq_begin_threads(void);

/* Nothing of threads is left. */
void fake_libpq_end_threads(void);

#endif
