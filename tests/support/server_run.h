/* tlsmsg-server run by a test: a child of its own with the given arguments, steps of whoever uses it,
 * and all that it printed compared whole.
 *
 *     shown TEXT  waits until stderr has it      said TEXT   waits until stdout has it
 *     <TEXT       sends a message                >TEXT       expects its reply
 *     leave       ends that conversation         term, hup, usr1    that signal
 *     garbage     connects, says what no server understands, and waits for the end
 *     later MS    lets that time pass at once, where its clock stands
 *     move NAME   renames a file of the test's own to NAME.1; NAME.2 the next time
 *     block NAME  the same, and nothing that can be written to is there instead
 * The first message connects to the address that the server has told. A server that leaves a descriptor
 * open ends with 97. Needs WRAP clock_now_ns in tests/unit/app.cmake. */
#ifndef SUPPORT_SERVER_RUN_H
#define SUPPORT_SERVER_RUN_H

#include <stdbool.h>

#include "support/test_folder.h"

#define SERVER_RUN_ARGS 12
#define SERVER_RUN_STEPS 28

struct server_run {
    const char *name;
    const char *args[SERVER_RUN_ARGS]; /* "@NAME" is a file of the test's own */
    bool is_bare;                      /* --listen, --workers, --cert and --key are not given */
    bool full_stdout;                  /* takes nothing */
    bool clock_stands;                 /* the server's, but for "later" */
    bool out_goes_on;                  /* out is what stdout begins with */
    void (*in_child)(void);            /* before its main; NULL: nothing */
    bool (*after)(void);               /* ... and after it: false ends with 96 */
    const char *steps[SERVER_RUN_STEPS];
    int exit;
    const char *out; /* NULL: nothing; a '*' stands for what a line has there */
    const char *err;
    const char *err_of_root; /* where root runs the test; NULL: err */
};

/* For cmocka's group functions. */
int server_run_setup(void **state);
int server_run_teardown(void **state);

/* The path of a file of the test's own. Returns out. */
const char *server_run_path(const char *name, char out[TEST_PATH_MAX]);

/* Runs it, and compares what it left; for RUN_ROWS, the second with a row as *state. */
void server_run_expect(const struct server_run *run);
void server_run_row(void **state);

/* The contents of a file of the test's own have to be so, see struct server_run. */
void server_run_expect_file(const char *name, const char *expected);

#endif
