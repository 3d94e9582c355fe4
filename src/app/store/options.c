/* tlsmsg-store's commands and options: what each command takes, and nothing else. */
#include "app/store/options.h"

#include <string.h>

#include "base/decimal.h"
#include "base/error.h"
#include "base/escape.h"

#define COMMAND_SHOWN_MAX 120

enum store_own { OWN_FOLLOW = ARGS_OWN, OWN_LINES, OWN_STORE_KEEP };

enum store_group { GROUP_COMMANDS, GROUP_OTHER };

static const char *const groups[] = {
    [GROUP_COMMANDS] = "Options of commands:",
    [GROUP_OTHER] = "Other:",
};

static const struct args_option rows[] = {
    {OWN_LINES, 'n', "lines", "N", "tail: show the last N messages (10)", GROUP_COMMANDS},
    {OWN_FOLLOW, 'f', "follow", NULL, "tail: go on with messages as they come", GROUP_COMMANDS},
    {OWN_STORE_KEEP, 0, "store-keep", "AGE", "prune: delete messages older than this (90d)",
     GROUP_COMMANDS},
    {ARGS_HELP, 'h', "help", NULL, "print this help", GROUP_OTHER},
    {ARGS_VERSION, 'V', "version", NULL, "print the version and the TLS library", GROUP_OTHER},
};

static const char *const command_names[COMMAND_COUNT] = {
    [COMMAND_LIST] = "list",     [COMMAND_TAIL] = "tail",   [COMMAND_EXPORT] = "export",
    [COMMAND_VERIFY] = "verify", [COMMAND_PRUNE] = "prune", [COMMAND_BACKUP] = "backup",
    [COMMAND_INIT] = "init",
};

const struct args_table store_options = {
    .program = "tlsmsg-store",
    .english =
        {
            .synopsis = "COMMAND TARGET [FILE] [OPTION]...",
            .purpose = "Shows and looks after what tlsmsg-server has stored, also while it runs.",
            .closing =
                "Commands: list (all messages, one a line), tail (the last ones), export (JSON),\n"
                "verify (hashes, numbers, the file itself), prune (delete old ones), backup (to\n"
                "FILE), init (make an empty store). Exit status: 0 done, for verify: sound;\n"
                "1 failure or faults found, 2 usage or configuration.\n",
        },
    .groups = groups,
    .group_count = sizeof(groups) / sizeof(groups[0]),
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
    .operands_max = 3,
};

static enum tlsmsg_code take_operand(struct store_options_taken *taken, const char *word,
                                     struct tlsmsg_error *err)
{
    char shown[COMMAND_SHOWN_MAX];
    unsigned i;

    if (taken->command != COMMAND_COUNT) {
        *(taken->target == NULL ? &taken->target : &taken->file) = word;
        return TLSMSG_OK;
    }
    for (i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(word, command_names[i]) == 0) {
            taken->command = (enum store_command)i;
            return TLSMSG_OK;
        }
    }
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "'%s' is not a command (try: list, tail, export, verify, prune, backup, init)",
                     escape_name(shown, sizeof(shown), word));
}

enum tlsmsg_code store_options_take(int id, const char *value, void *user, struct tlsmsg_error *err)
{
    struct store_options_taken *taken = user;

    switch (id) {
    case OWN_FOLLOW:
        taken->follows = true;
        return TLSMSG_OK;
    case OWN_LINES:
        taken->has_lines = true;
        if (!decimal_parse(value, strlen(value), 0, INT32_MAX, &taken->lines)) {
            return error_set(err, TLSMSG_ERR_CONFIG, 0, "--lines wants a whole number");
        }
        return TLSMSG_OK;
    case OWN_STORE_KEEP:
        return args_age("store-keep", value, &taken->keep_ms, err);
    default:
        return take_operand(taken, value, err);
    }
}

enum tlsmsg_code store_options_check(const struct store_options_taken *taken,
                                     struct tlsmsg_error *err)
{
    if (taken->command == COMMAND_COUNT) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "a command is missing (try 'tlsmsg-store --help')");
    }
    if (taken->target == NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s wants a store (try: its file)",
                         command_names[taken->command]);
    }
    if (taken->command == COMMAND_BACKUP && taken->file == NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "backup wants a file to write to");
    }
    if (taken->command != COMMAND_BACKUP && taken->file != NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s takes one store and no further file",
                         command_names[taken->command]);
    }
    if ((taken->command == COMMAND_PRUNE) != (taken->keep_ms > 0)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         taken->keep_ms > 0 ? "--store-keep is for prune"
                                            : "prune wants --store-keep, such as --store-keep 90d");
    }
    if (taken->command != COMMAND_TAIL && (taken->follows || taken->has_lines)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "--follow and --lines are for tail");
    }
    return TLSMSG_OK;
}
