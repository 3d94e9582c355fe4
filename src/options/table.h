/* The options as data, one row an option, and the checks of values as users type them. */
#ifndef OPTIONS_TABLE_H
#define OPTIONS_TABLE_H

#include "options/options.h"

/* Most bytes of a reply template beside {message}: with the client's longest message it still
 * fits one record. */
#define TABLE_REPLY_MAX_BYTES 384
#define TABLE_PLACEHOLDER "{message}"

enum option_kind {
    KIND_TEXT,    /* one text; set again, the last one counts */
    KIND_LIST,    /* several texts */
    KIND_NUMBER,  /* a whole number */
    KIND_MILLIS,  /* typed as decimal seconds, kept in milliseconds */
    KIND_FLAG,    /* 1 or 0 */
    KIND_TLS_MIN, /* 1.2 or 1.3, kept as 12 or 13 */
};

enum option_roles { FOR_SERVER = 1, FOR_CLIENT = 2, FOR_BOTH = FOR_SERVER | FOR_CLIENT };

enum option_text {
    TEXT_BYTES,  /* a file's name or another text of any bytes, not empty */
    TEXT_DOMAIN, /* a host's name: printable ASCII */
    TEXT_REPLY,  /* a reply template */
};

struct option_row {
    const char *name;  /* the long option's */
    const char *label; /* how an error names it: "--name", but an operand has no dashes */
    enum option_kind kind;
    enum option_roles roles;
    bool tls_only;
    enum option_text text; /* what a text must be */
    int64_t min;           /* of a number as it is kept, so of a time in milliseconds */
    int64_t max;
    int64_t initial;          /* what a number is where unset */
    const char *initial_text; /* what a text, or a list's only value, is where unset; or NULL */
};

/* The row of an option; NULL for a value that is none. */
const struct option_row *table_row(enum tlsmsg_option option);

/* Converts the text of a number, time, flag or TLS version to what is kept.
 * TLSMSG_OK or TLSMSG_ERR_CONFIG, which names the range and shows the text. */
enum tlsmsg_code table_parse(const struct option_row *row, const char *text, int64_t *out,
                             struct tlsmsg_error *err);

/* Checks a number that is already in the unit that is kept. As table_parse. */
enum tlsmsg_code table_check_number(const struct option_row *row, int64_t number,
                                    struct tlsmsg_error *err);

/* Checks a text, or one value of a list. TLSMSG_OK or TLSMSG_ERR_CONFIG. */
enum tlsmsg_code table_check_text(const struct option_row *row, const char *text,
                                  struct tlsmsg_error *err);

#endif
