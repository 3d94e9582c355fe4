/* Connections and results of a scripted engine; see fake_libpq.h. */
#include "support/fake_libpq.h"

#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/fake_libpq_internal.h"
#include "support/unit.h"

#define RESULTS_MAX 32
#define CONNECTIONS_MAX 8
#define FAILING_MAX 24 /* exchanges of a script one of which fails */

static struct {
    const struct fake_exchange *script;
    size_t count;
    size_t at;
    unsigned waits;   /* for what is silent */
    unsigned failing; /* this allocation from now; 0: none */
    struct pg_result results[RESULTS_MAX];
    struct pg_conn connections[CONNECTIONS_MAX];
    size_t made;
} fake;

/* ---- the script */

void fake_libpq_play(const struct fake_exchange *script, size_t count)
{
    if (fake.at < fake.count) {
        fail_msg("not sent: %s", fake.script[fake.at].sent);
    }
    fake.script = script;
    fake.count = count;
    fake.at = 0;
    fake.waits = UINT_MAX;
}

void fake_libpq_play_failing(const struct fake_exchange *script, size_t at, const char *error)
{
    static struct fake_exchange failing[FAILING_MAX];

    assert_true(at < FAILING_MAX);
    memcpy(failing, script, (at + 1) * sizeof(failing[0]));
    failing[at].error = error;
    fake_libpq_play(failing, at + 1);
}

void fake_libpq_speak_after(unsigned waits)
{
    fake.waits = waits;
}

bool fake_libpq_speaks(bool waited)
{
    fake.waits -= waited ? 1 : 0;
    return fake.waits == 0;
}

PGconn *fake_libpq_nth(size_t number)
{
    assert_in_range(number, 1, CONNECTIONS_MAX);
    return fake_libpq_on(&fake.connections[number - 1]);
}

void fake_libpq_fail_allocation(unsigned n)
{
    fake.failing = n;
}

void fake_libpq_begin(void)
{
    memset(&fake, 0, sizeof(fake));
    fake_libpq_begin_threads();
}

void fake_libpq_end(void)
{
    size_t i;

    fake_libpq_play(NULL, 0);
    fake_libpq_end_threads();
    for (i = 0; i < CONNECTIONS_MAX; i++) {
        assert_false(fake.connections[i].is_live);
    }
    for (i = 0; i < RESULTS_MAX; i++) {
        assert_false(fake.results[i].is_live);
    }
}

void assert_cause(const struct tlsmsg_error *err, enum tlsmsg_code code, const char *text)
{
    assert_string_equal(err->text, text);
    assert_int_equal(err->code, code);
    assert_int_equal(err->sys_errno, 0);
}

/* The row that this is. */
const struct fake_exchange *fake_libpq_sent(const PGconn *connection, const char *text)
{
    size_t number = connection->number;
    char sent[FAKE_SENT_CHARS];

    sent[0] = '\0';
    if (number > 1) {
        fake_libpq_append(sent, "%zu: ", number);
    }
    fake_libpq_append(sent, "%s", text);
    if (fake.at == fake.count) {
        fail_msg("sent after the script's end: %s", sent);
    }
    if (fnmatch(fake.script[fake.at].sent, sent, FNM_NOESCAPE) != 0) {
        fail_msg("sent:     %s\n         expected: %s", sent, fake.script[fake.at].sent);
    }
    return &fake.script[fake.at++];
}

/* ---- results */

static PGresult *live(const PGresult *result)
{
    assert_non_null(result);
    assert_true(result->is_live);
    return (PGresult *)result;
}

static void fill(PGresult *result, const char *rows)
{
    size_t count = 0;
    char *at = result->text;

    assert_true(strlen(rows) < sizeof(result->text));
    (void)strcpy(result->text, rows);
    result->rows = *rows != '\0';
    while (*rows != '\0') {
        size_t len = strcspn(at, "|;");
        char end = at[len];

        assert_true(count < CELLS_MAX);
        at[len] = '\0';
        result->cells[count++] = strcmp(at, "~") == 0 ? NULL : at;
        result->rows += end == ';';
        if (end == '\0') {
            break;
        }
        at += len + 1;
    }
    result->columns = result->rows > 0 ? (int)count / result->rows : 0;
    assert_int_equal(result->rows * result->columns, count);
}

PGresult *fake_libpq_result(ExecStatusType status, const struct fake_exchange *from)
{
    size_t i = 0;
    PGresult *result;

    while (i < RESULTS_MAX && fake.results[i].is_live) {
        i++;
    }
    assert_true(i < RESULTS_MAX);
    result = &fake.results[i];
    *result = (PGresult){.is_live = true, .status = status, .from = from};
    if (status == PGRES_TUPLES_OK) {
        fill(result, from->rows);
    }
    return result;
}

ExecStatusType __wrap_PQresultStatus(const PGresult *result);
ExecStatusType __wrap_PQresultStatus(const PGresult *result)
{
    return result == NULL ? PGRES_FATAL_ERROR : live(result)->status;
}

char *__wrap_PQresultErrorField(const PGresult *result, int field);
char *__wrap_PQresultErrorField(const PGresult *result, int field)
{
    const struct fake_exchange *from = live(result)->from;

    switch (field) {
    case PG_DIAG_SQLSTATE:
        return from != NULL ? (char *)from->error : NULL;
    case PG_DIAG_SEVERITY_NONLOCALIZED:
        return (char *)from->warning;
    default:
        fail_msg("there is no field %d", field);
        return NULL;
    }
}

char *__wrap_PQresultErrorMessage(const PGresult *result);
char *__wrap_PQresultErrorMessage(const PGresult *result)
{
    (void)snprintf(live(result)->text, sizeof(result->text), "ERROR:  it is %s\nDETAIL:  more\n",
                   result->from->error);
    return (char *)result->text;
}

int __wrap_PQntuples(const PGresult *result);
int __wrap_PQntuples(const PGresult *result)
{
    return result == NULL ? 0 : live(result)->rows;
}

static const char *cell(const PGresult *result, int row, int column)
{
    assert_in_range(row, 0, live(result)->rows - 1);
    assert_in_range(column, 0, result->columns - 1);
    return result->cells[row * result->columns + column];
}

char *__wrap_PQgetvalue(const PGresult *result, int row, int column);
char *__wrap_PQgetvalue(const PGresult *result, int row, int column)
{
    const char *value = cell(result, row, column);

    return (char *)(value != NULL ? value : "");
}

int __wrap_PQgetisnull(const PGresult *result, int row, int column);
int __wrap_PQgetisnull(const PGresult *result, int row, int column)
{
    return cell(result, row, column) == NULL;
}

char *__wrap_PQcmdStatus(PGresult *result);
char *__wrap_PQcmdStatus(PGresult *result)
{
    const char *status = live(result)->from->status;

    return (char *)(status != NULL ? status : "OK");
}

char *__wrap_PQcmdTuples(PGresult *result);
char *__wrap_PQcmdTuples(PGresult *result)
{
    const char *number = strrchr(__wrap_PQcmdStatus(result), ' ');

    return (char *)(number != NULL ? number + 1 : "");
}

void __wrap_PQclear(PGresult *result);
void __wrap_PQclear(PGresult *result)
{
    if (result != NULL) {
        live(result)->is_live = false;
    }
}

static bool fails_now(void)
{
    return fake.failing > 0 && --fake.failing == 0;
}

unsigned char *__real_PQunescapeBytea(const unsigned char *text, size_t *len);
unsigned char *__wrap_PQunescapeBytea(const unsigned char *text, size_t *len);
unsigned char *__wrap_PQunescapeBytea(const unsigned char *text, size_t *len)
{
    return fails_now() ? NULL : __real_PQunescapeBytea(text, len);
}

/* ---- connections */

PGconn *fake_libpq_on(const PGconn *connection)
{
    assert_non_null(connection);
    assert_true(connection->is_live);
    return (PGconn *)connection;
}

void fake_libpq_lose(PGconn *connection)
{
    connection->is_lost = true;
    connection->transaction = PQTRANS_UNKNOWN;
}

PGconn *__wrap_PQconnectdbParams(const char *const *keys, const char *const *values, int expand);
PGconn *__wrap_PQconnectdbParams(const char *const *keys, const char *const *values, int expand)
{
    char sent[FAKE_SENT_CHARS] = "connect";
    PGconn *connection = &fake.connections[fake.made++];
    size_t i;

    assert_int_equal(expand, 1);
    assert_in_range(fake.made, 1, CONNECTIONS_MAX);
    *connection = (PGconn){.is_live = true, .number = fake.made, .where = {.is_live = true}};
    for (i = 0; keys[i] != NULL; i++) {
        if (values[i] != NULL) {
            fake_libpq_append(sent, " %s=%s", keys[i], values[i]);
        }
        if (strcmp(keys[i], "dbname") == 0) {
            (void)snprintf(connection->target, sizeof(connection->target), "%s", values[i]);
        }
    }
    connection->row = fake_libpq_sent(connection, sent);
    if (connection->row->fault == FAKE_NO_MEMORY) {
        connection->is_live = false;
        return NULL;
    }
    connection->is_lost = connection->row->fault == FAKE_REFUSED;
    fill(&connection->where, connection->row->rows != NULL ? connection->row->rows : "||");
    return connection;
}

ConnStatusType __wrap_PQstatus(const PGconn *connection);
ConnStatusType __wrap_PQstatus(const PGconn *connection)
{
    return connection == NULL || fake_libpq_on(connection)->is_lost ? CONNECTION_BAD
                                                                    : CONNECTION_OK;
}

PGTransactionStatusType __wrap_PQtransactionStatus(const PGconn *connection);
PGTransactionStatusType __wrap_PQtransactionStatus(const PGconn *connection)
{
    return fake_libpq_on(connection)->transaction;
}

char *__wrap_PQerrorMessage(const PGconn *connection);
char *__wrap_PQerrorMessage(const PGconn *connection)
{
    if (connection == NULL) {
        return (char *)"there is no memory\n";
    }
    return (char *)(fake_libpq_on(connection)->is_lost || connection->has_failed ? FAKE_LOST
                        "\nmore\n"
                                                                                 : "nothing\n");
}

void __wrap_PQfinish(PGconn *connection);
void __wrap_PQfinish(PGconn *connection)
{
    if (connection != NULL) {
        fake_libpq_on(connection)->is_live = false;
    }
}

char *__wrap_PQhost(const PGconn *connection);
char *__wrap_PQhost(const PGconn *connection)
{
    return __wrap_PQgetvalue(&fake_libpq_on(connection)->where, 0, 0);
}

char *__wrap_PQhostaddr(const PGconn *connection);
char *__wrap_PQhostaddr(const PGconn *connection)
{
    return __wrap_PQgetvalue(&fake_libpq_on(connection)->where, 0, 1);
}

char *__wrap_PQport(const PGconn *connection);
char *__wrap_PQport(const PGconn *connection)
{
    return __wrap_PQgetvalue(&fake_libpq_on(connection)->where, 0, 2);
}

PQconninfoOption *__real_PQconninfoParse(const char *target, char **message);
PQconninfoOption *__wrap_PQconninfoParse(const char *target, char **message);
PQconninfoOption *__wrap_PQconninfoParse(const char *target, char **message)
{
    return fails_now() ? NULL : __real_PQconninfoParse(target, message);
}

PQconninfoOption *__wrap_PQconninfo(PGconn *connection);
PQconninfoOption *__wrap_PQconninfo(PGconn *connection)
{
    return __wrap_PQconninfoParse(fake_libpq_on(connection)->target, NULL);
}

int __wrap_PQbackendPID(const PGconn *connection);
int __wrap_PQbackendPID(const PGconn *connection)
{
    return fake_libpq_on(connection)->is_lost ? 0 : (int)strtol(FAKE_PID, NULL, 10);
}

PQnoticeReceiver __wrap_PQsetNoticeReceiver(PGconn *connection, PQnoticeReceiver note, void *user);
PQnoticeReceiver __wrap_PQsetNoticeReceiver(PGconn *connection, PQnoticeReceiver note, void *user)
{
    fake_libpq_on(connection)->note = note;
    connection->note_user = user;
    return NULL;
}

int __wrap_PQsetnonblocking(PGconn *connection, int arg);
int __wrap_PQsetnonblocking(PGconn *connection, int arg)
{
    assert_int_equal(arg, 1);
    fake_libpq_on(connection)->is_nonblocking = connection->row->fault != FAKE_NOT_NONBLOCKING;
    return connection->is_nonblocking ? 0 : -1;
}

int __wrap_PQenterPipelineMode(PGconn *connection);
int __wrap_PQenterPipelineMode(PGconn *connection)
{
    fake_libpq_on(connection)->is_pipelined = connection->row->fault != FAKE_NOT_PIPELINED;
    return connection->is_pipelined;
}

PGresult *__wrap_PQexec(PGconn *connection, const char *sql);
PGresult *__wrap_PQexec(PGconn *connection, const char *sql)
{
    char sent[FAKE_SENT_CHARS] = "exec";
    const struct fake_exchange *row;

    if (connection == NULL) {
        return NULL;
    }
    if (fake_libpq_on(connection)->is_lost) {
        return fake_libpq_result(PGRES_FATAL_ERROR, NULL);
    }
    fake_libpq_append(sent, " %s", sql);
    row = fake_libpq_sent(connection, sent);
    return fake_libpq_result(row->error != NULL ? PGRES_FATAL_ERROR : PGRES_TUPLES_OK, row);
}
