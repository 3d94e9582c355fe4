/* An engine that plays a script, in place of libpq's connections: what is sent to it is compared with
 * the script's rows, one after the other, and each row says what is answered, or what breaks there.
 * Strict: a result that is used after it was cleared, a value that isn't there, a wait for what can't
 * come and a statement that the script doesn't have fail the test. No network, no thread, and no time
 * passes: the clock is the script's, and a thread runs where the test says.
 *
 * Needs WRAP ${libpq_wraps} (tests/unit/store.cmake). Connection strings are read by libpq itself. */
#ifndef SUPPORT_FAKE_LIBPQ_H
#define SUPPORT_FAKE_LIBPQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tlsmsg/error.h>

/* What breaks, when this row's turn has come. */
enum fake_fault {
    FAKE_NO_FAULT,
    /* of "connect" */
    FAKE_NO_MEMORY, /* there is no connection */
    FAKE_REFUSED,
    FAKE_NOT_NONBLOCKING,
    FAKE_NOT_PIPELINED,
    /* of a statement */
    FAKE_NOT_SENT,
    FAKE_NOT_ENDED,   /* what was sent together can't be marked as complete */
    FAKE_NOT_FLUSHED, /* before its answer, as all below */
    FAKE_NOT_READ,
    FAKE_SILENT, /* for as long as fake_libpq_speak_after says; ever, if nothing */
    FAKE_MISSING,
    FAKE_TWICE,
    FAKE_NAMELESS, /* it fails without an SQLSTATE, in libpq itself */
    FAKE_BROKEN,   /* its answer is that the connection is lost, which has no SQLSTATE */
    FAKE_DYING,    /* its answer is the last: the connection is lost with it */
    FAKE_NO_END    /* what was sent together ends with something else than its mark */
};

/* sent: a pattern of fnmatch(3), for what is sent as text:
 *     connect KEY=VALUE ...         a new connection, parameters that are NULL left out
 *     exec SQL                      outside of the pipeline
 *     prepare NAME: SQL
 *     SQL or NAME, and parameters   'text', or in binary text{'a','b'} int8{1,2} bytea{hex,NULL}
 *                                 where more than 1024 bytes are shown as <N bytes>
 * What goes to the nth connection begins with "n: ", but for the first one.
 * rows: '|' between values, ';' between rows, "~": NULL. A connection's: what its host, address and
 * port are. */
struct fake_exchange {
    const char *sent;
    const char *rows;    /* NULL: the answer has none */
    const char *status;  /* of the command, such as "COMMIT"; NULL: "OK" */
    const char *error;   /* an SQLSTATE; NULL: all is well */
    const char *warning; /* severity of what is noted before the answer; NULL: nothing is */
    enum fake_fault fault;
};

/* Where pg_connecting's thread runs. */
enum fake_thread { FAKE_AT_ONCE, FAKE_IN_WAIT, FAKE_LATER, FAKE_NO_THREAD };

/* A new connection to the target, with what leaves hosts out; session: what kind will do. */
#define FAKE_CONNECT(target, session)                                                              \
    "connect connect_timeout=10 tcp_user_timeout=10000 keepalives_idle=10 keepalives_interval=5 "  \
    "keepalives_count=2 gssencmode=disable fallback_application_name=tlsmsg dbname=" target        \
    " target_session_attrs=" session " client_encoding=UTF8"

#define FAKE_PID "4711" /* of the engine's process that libpq names */
#define FAKE_NOW_MS INT64_C(1790000000123)

/* What a connection to a store's engine says at its start. */
#define FAKE_IDENTIFY                                                                              \
    "SELECT pg_backend_pid(), extract(epoch FROM pg_postmaster_start_time())::text"
#define FAKE_SET_UP "SELECT set_config('synchronous_commit', *, false)"
#define FAKE_PLANNING "SELECT set_config('enable_seqscan', 'off', false), *"

/* Nothing is there yet, and nothing is to be sent. For setups. */
void fake_libpq_begin(void);

/* Goes on with a script, which is borrowed; the one before must have been played to its end. */
void fake_libpq_play(const struct fake_exchange *script, size_t count);
#define FAKE_PLAY(script) fake_libpq_play(script, COUNT_OF(script))

/* The same up to an exchange that is answered with this SQLSTATE instead. */
void fake_libpq_play_failing(const struct fake_exchange *script, size_t at, const char *error);

/* The script is at its end, and connections, results, locks and threads are gone. For teardowns. */
void fake_libpq_end(void);

/* What is silent answers, from the nth wait for it on. */
void fake_libpq_speak_after(unsigned waits);

/* Where threads that are begun from now on run; and runs the one that is later. */
void fake_libpq_threads(enum fake_thread when);
void fake_libpq_run_thread(void);

/* The nth allocation within libpq from now on fails: of a connection's parameters, or of bytes. */
void fake_libpq_fail_allocation(unsigned n);

/* What PQerrorMessage says of a connection that is lost. */
#define FAKE_LOST "connection to the engine is lost"

/* Code and whole text of an error that has no errno. */
void assert_cause(const struct tlsmsg_error *err, enum tlsmsg_code code, const char *text);

#endif
