/* What is sent together to a scripted engine, and its answers; see fake_libpq.h. */
#include <poll.h>
#include <string.h>

#include "support/fake_libpq_internal.h"
#include "support/unit.h"

#define FIRST_SOCKET 1000

static int send_text(PGconn *connection, const char *sent)
{
    const struct fake_exchange *row;

    assert_true(fake_libpq_on(connection)->is_nonblocking && connection->is_pipelined);
    if (connection->is_lost) {
        return 0;
    }
    assert_true(connection->tail < SENT_MAX);
    row = fake_libpq_sent(connection, sent);
    if (row->fault == FAKE_NOT_SENT) {
        connection->has_failed = true;
        return 0;
    }
    connection->sent[connection->tail++] = row;
    return 1;
}

int __wrap_PQsendPrepare(PGconn *connection, const char *name, const char *sql, int count,
                         const Oid *types);
int __wrap_PQsendPrepare(PGconn *connection, const char *name, const char *sql, int count,
                         const Oid *types)
{
    char sent[FAKE_SENT_CHARS] = "prepare";

    assert_int_equal(count, 0);
    assert_null(types);
    fake_libpq_append(sent, " %s: %s", name, sql);
    return send_text(connection, sent);
}

int __wrap_PQsendQueryParams(PGconn *connection, const char *sql, int count, const Oid *types,
                             const char *const *values, const int *lengths, const int *formats,
                             int result_format);
int __wrap_PQsendQueryParams(PGconn *connection, const char *sql, int count, const Oid *types,
                             const char *const *values, const int *lengths, const int *formats,
                             int result_format)
{
    char sent[FAKE_SENT_CHARS];

    assert_null(types);
    assert_int_equal(result_format, 0);
    (void)snprintf(sent, sizeof(sent), "%s", sql);
    fake_libpq_append_values(sent, count, values, lengths, formats);
    return send_text(connection, sent);
}

int __wrap_PQsendQueryPrepared(PGconn *connection, const char *name, int count,
                               const char *const *values, const int *lengths, const int *formats,
                               int result_format);
int __wrap_PQsendQueryPrepared(PGconn *connection, const char *name, int count,
                               const char *const *values, const int *lengths, const int *formats,
                               int result_format)
{
    return __wrap_PQsendQueryParams(connection, name, count, NULL, values, lengths, formats,
                                    result_format);
}

int __wrap_PQpipelineSync(PGconn *connection);
int __wrap_PQpipelineSync(PGconn *connection)
{
    assert_in_range(fake_libpq_on(connection)->tail, 1, SENT_MAX - 1);
    if (connection->is_lost) {
        return 0;
    }
    if (connection->sent[connection->tail - 1]->fault == FAKE_NOT_ENDED) {
        connection->has_failed = true;
        return 0;
    }
    connection->sent[connection->tail++] = NULL;
    connection->is_unflushed = true;
    connection->is_incomplete = true;
    return 1;
}

static enum fake_fault head_fault(const PGconn *connection)
{
    const struct fake_exchange *row = fake_libpq_on(connection)->head < connection->tail
                                          ? connection->sent[connection->head]
                                          : NULL;

    return row != NULL && connection->given == 0 && !connection->is_aborted ? row->fault
                                                                            : FAKE_NO_FAULT;
}

static bool is_silent(const PGconn *connection)
{
    enum fake_fault fault = head_fault(connection);

    return fault == FAKE_NOT_ENDED || (fault == FAKE_SILENT && !fake_libpq_speaks(false));
}

int __wrap_PQsocket(const PGconn *connection);
int __wrap_PQsocket(const PGconn *connection)
{
    return FIRST_SOCKET + (int)fake_libpq_on(connection)->number;
}

/* At first the socket takes a part alone. */
int __wrap_PQflush(PGconn *connection);
int __wrap_PQflush(PGconn *connection)
{
    if (head_fault(connection) == FAKE_NOT_FLUSHED && !connection->has_failed) {
        connection->has_failed = true;
        return -1;
    }
    return connection->is_unflushed && !connection->is_lost;
}

int __wrap_PQisBusy(PGconn *connection);
int __wrap_PQisBusy(PGconn *connection)
{
    if (fake_libpq_on(connection)->is_lost) {
        return 0;
    }
    return connection->is_incomplete || is_silent(connection) ||
           (head_fault(connection) == FAKE_NOT_READ && !connection->has_failed);
}

/* Writable first, then readable, and then nothing more comes. */
int __wrap_poll(struct pollfd *polled, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *polled, nfds_t count, int timeout_ms)
{
    PGconn *connection = fake_libpq_nth((size_t)(polled->fd - FIRST_SOCKET));
    bool was_unflushed = fake_libpq_on(connection)->is_unflushed;

    assert_int_equal(count, 1);
    assert_int_equal(timeout_ms, 100);
    assert_int_equal(polled->events, POLLIN | (was_unflushed ? POLLOUT : 0));
    assert_int_equal(polled->revents, 0);
    connection->is_unflushed = false;
    if (was_unflushed) {
        polled->revents = POLLOUT;
    } else if (!is_silent(connection)) {
        polled->revents = POLLIN;
        connection->is_readable = true;
    } else {
        fake_libpq_pass_ms(timeout_ms);
        (void)fake_libpq_speaks(true);
    }
    return polled->revents != 0;
}

int __wrap_PQconsumeInput(PGconn *connection);
int __wrap_PQconsumeInput(PGconn *connection)
{
    assert_true(fake_libpq_on(connection)->is_readable);
    connection->is_readable = false;
    if (head_fault(connection) == FAKE_NOT_READ && !connection->has_failed) {
        connection->has_failed = true;
        return 0;
    }
    connection->is_incomplete = false;
    return 1;
}

static void note(PGconn *connection, const struct fake_exchange *row)
{
    PGresult *result = fake_libpq_result(PGRES_NONFATAL_ERROR, row);

    if (connection->note != NULL) {
        connection->note(connection->note_user, result);
    }
    PQclear(result);
}

/* What a statement's end has done to the transaction. */
static void pass_transaction(PGconn *connection, const struct fake_exchange *row, const char *sql)
{
    sql = strstr(sql, ": ") == sql + 1 ? sql + 3 : sql;
    if (row->error != NULL) {
        connection->transaction =
            connection->transaction == PQTRANS_IDLE ? PQTRANS_IDLE : PQTRANS_INERROR;
    } else if (strncmp(sql, "BEGIN", 5) == 0) {
        connection->transaction = PQTRANS_INTRANS;
    } else if (strcmp(sql, "COMMIT") == 0 || strcmp(sql, "ROLLBACK") == 0) {
        connection->transaction = PQTRANS_IDLE;
    }
}

static PGresult *answer(PGconn *connection, const struct fake_exchange *row)
{
    if (connection->is_aborted) {
        return fake_libpq_result(PGRES_PIPELINE_ABORTED, NULL);
    }
    if (row->fault == FAKE_BROKEN || row->fault == FAKE_NAMELESS) {
        if (row->fault == FAKE_BROKEN) {
            fake_libpq_lose(connection);
        }
        return fake_libpq_result(PGRES_FATAL_ERROR, NULL);
    }
    if (row->warning != NULL && connection->given == 0) {
        note(connection, row);
    }
    pass_transaction(connection, row, row->sent);
    if (row->fault == FAKE_DYING) {
        fake_libpq_lose(connection);
    }
    connection->lacks_end = row->fault == FAKE_NO_END;
    if (row->error != NULL) {
        connection->is_aborted = true;
        return fake_libpq_result(PGRES_FATAL_ERROR, row);
    }
    return fake_libpq_result(row->rows != NULL ? PGRES_TUPLES_OK : PGRES_COMMAND_OK, row);
}

static PGresult *take_mark(PGconn *connection)
{
    connection->head++;
    connection->is_aborted = false;
    if (connection->head == connection->tail) {
        connection->head = connection->tail = 0;
    }
    return fake_libpq_result(connection->lacks_end ? PGRES_COMMAND_OK : PGRES_PIPELINE_SYNC, NULL);
}

PGresult *__wrap_PQgetResult(PGconn *connection);
PGresult *__wrap_PQgetResult(PGconn *connection)
{
    const struct fake_exchange *row;
    unsigned due;

    assert_false(fake_libpq_on(connection)->is_incomplete || is_silent(connection));
    if (connection->is_lost || connection->head == connection->tail) {
        return NULL;
    }
    row = connection->sent[connection->head];
    if (row == NULL) {
        return take_mark(connection);
    }
    due = row->fault == FAKE_TWICE ? 2 : row->fault != FAKE_MISSING;
    if (connection->given < due) {
        PGresult *result = answer(connection, row);

        connection->given++;
        return result;
    }
    connection->given = 0;
    connection->head++;
    return NULL;
}
