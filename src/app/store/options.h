/* The command line of tlsmsg-store. */
#ifndef APP_STORE_OPTIONS_H
#define APP_STORE_OPTIONS_H

#include "app/args.h"

extern const struct args_table store_options;

enum store_command {
    COMMAND_LIST,
    COMMAND_TAIL,
    COMMAND_EXPORT,
    COMMAND_VERIFY,
    COMMAND_PRUNE,
    COMMAND_BACKUP,
    COMMAND_INIT,
    COMMAND_COUNT /* none was given */
};

struct store_options_taken {
    enum store_command command;
    const char *target; /* NULL: not given; so is file */
    const char *file;
    uint64_t lines;  /* of tail */
    int64_t keep_ms; /* of prune; 0: not given */
    bool follows;
    bool has_lines;
};

/* For args_parse; user: a struct store_options_taken. */
enum tlsmsg_code store_options_take(int id, const char *value, void *user,
                                    struct tlsmsg_error *err);

/* Whether what was taken goes together. TLSMSG_OK or TLSMSG_ERR_CONFIG. */
enum tlsmsg_code store_options_check(const struct store_options_taken *taken,
                                     struct tlsmsg_error *err);

#endif
