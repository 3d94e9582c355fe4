/* The command line of a program, as a table: one row an option.
 *
 * GNU's rules: "--name=value" and "--name value", "-l value" and "-lvalue", letters without a
 * value bundled, operands anywhere, "--" ends the options. A unique beginning of a long name is
 * taken for it; one that several names share is refused. */
#ifndef APP_ARGS_H
#define APP_ARGS_H

#include <stdbool.h>
#include <stdio.h>

#include <tlsmsg/tlsmsg.h>

#include "app/startup.h"

/* What an id stands for. From 0 on it is a key of the library (enum tlsmsg_option); from
 * ARGS_OWN on it is the program's own. */
enum {
    ARGS_OPERAND = -1, /* never in a row: a word that is not an option */
    ARGS_HELP = -2,
    ARGS_VERSION = -3,
    ARGS_NONE = -4,
    ARGS_CONFIG = -5, /* --config, which config_file.h follows */
    ARGS_OWN = 1000
};

struct args_option {
    int id;
    char letter;       /* short name; 0: none */
    const char *name;  /* long name, without its dashes; NULL: the library's */
    const char *value; /* what the value is called in --help; NULL: takes none */
    const char *help;  /* one line */
    unsigned group;    /* index into args_table.groups */
};

/* The long name of an option. */
const char *args_name(const struct args_option *row);

/* The texts of --help that are a table's own. */
struct args_texts {
    const char *synopsis; /* behind the program's name */
    const char *purpose;  /* one line */
    const char *examples; /* lines, each with its line end; NULL: none */
    const char *closing;  /* last lines, each with its line end */
};

struct args_table {
    const char *program;
    struct args_texts english;
    struct args_texts chinese; /* closing NULL: there is none */
    const char *const *groups; /* titles, in the order of --help */
    size_t group_count;
    const struct args_option *rows;
    size_t count;
    size_t operands_max;
    const char *remark; /* a last line of --help, about this build; NULL or empty: none */
};

/* Takes one option or operand. value is "1" for an option without one. Returns TLSMSG_OK, or a
 * code with its cause in err, which ends the parsing. */
typedef enum tlsmsg_code args_take(int id, const char *value, void *user, struct tlsmsg_error *err);

/* Goes through the command line and gives each option and operand to take, in their order.
 * Stops at --help and --version, so that neither can be spoiled by what follows; *stopped receives
 * ARGS_HELP, ARGS_VERSION or ARGS_NONE.
 * Returns TLSMSG_OK, TLSMSG_ERR_CONFIG with one line that says what to do, or what take gave. */
enum tlsmsg_code args_parse(const struct args_table *table, int argc, char *const *argv,
                            args_take *take, void *user, int *stopped, struct tlsmsg_error *err);

/* Finds value among names. Returns TLSMSG_OK with its index in *index, or TLSMSG_ERR_CONFIG and a
 * line that lists the names. */
enum tlsmsg_code args_choice(const char *option, const char *const *names, size_t count,
                             const char *value, size_t *index, struct tlsmsg_error *err);

/* Takes an age such as "90d", a whole number of s, m, h, d or w, as milliseconds. TLSMSG_OK or
 * TLSMSG_ERR_CONFIG. */
enum tlsmsg_code args_age(const char *option, const char *value, int64_t *ms,
                          struct tlsmsg_error *err);

/* Writes what --help and --version print (id is the one that stopped the parsing). chinese: where there
 * is a Chinese text. */
void args_print(const struct args_table *table, int id, bool chinese, FILE *out);

/* The same on stdout. EXIT_DONE, or EXIT_OTHER when stdout doesn't take it; then the cause was
 * told. */
enum exit_code args_answer(const struct args_table *table, int id, bool chinese);

#endif
