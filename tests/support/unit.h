/* Tables of named rows, each row a test of its own. */
#ifndef SUPPORT_UNIT_H
#define SUPPORT_UNIT_H

#include "support/cmocka.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Runs `function` once for each row of a table as a test of its own, so that a failure names its
 * row. The rows have a member `name`; the function finds its row in *state. `failed` grows by
 * the number of failures. */
#define RUN_ROWS(failed, function, rows)                                                           \
    do {                                                                                           \
        static struct CMUnitTest tests_of_rows[COUNT_OF(rows)];                                    \
        size_t row_i;                                                                              \
                                                                                                   \
        for (row_i = 0; row_i < COUNT_OF(rows); row_i++) {                                         \
            tests_of_rows[row_i].name = (rows)[row_i].name;                                        \
            tests_of_rows[row_i].test_func = (function);                                           \
            tests_of_rows[row_i].initial_state = (void *)&(rows)[row_i];                           \
        }                                                                                          \
        (failed) += cmocka_run_group_tests_name(#function, tests_of_rows, NULL, NULL);             \
    } while (0)

#endif
