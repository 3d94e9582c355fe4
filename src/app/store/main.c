/* tlsmsg-store: chooses the command, and says by its exit status what came of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/startup.h"
#include "app/store/database.h"
#include "app/store/maintain.h"
#include "app/store/show.h"
#include "app/store/verify.h"
#include "base/error.h"
#include "store/store.h"

static const char *const name = "tlsmsg-store";

/* A file's messages, by their ids. */
struct file_source {
    struct reader *reader;
    int64_t last;
};

static enum tlsmsg_code skip_to_last(void *user, uint64_t lines, struct tlsmsg_error *err)
{
    struct file_source *source = user;
    char sql[160];

    (void)snprintf(
        sql, sizeof(sql),
        "SELECT coalesce((SELECT id FROM message ORDER BY id DESC LIMIT 1 OFFSET %" PRIu64 "), 0)",
        lines);
    return reader_number(source->reader, sql, &source->last, err);
}

static enum tlsmsg_code next(void *user, bool *more, reader_take *take, void *taker,
                             struct tlsmsg_error *err)
{
    struct file_source *source = user;

    return reader_next(source->reader, &source->last, more, take, taker, err);
}

static enum tlsmsg_code read_store(const struct store_options_taken *taken, uint64_t *faults,
                                   struct tlsmsg_error *err)
{
    struct reader reader;
    struct file_source file = {.reader = &reader};
    const struct show_source source = {.skip_to_last = skip_to_last, .next = next, .user = &file};
    enum tlsmsg_code code = reader_open(&reader, taken->target, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    if (taken->command == COMMAND_VERIFY) {
        code = verify_store(&reader, faults, err);
    } else if (taken->command == COMMAND_BACKUP) {
        code = maintain_backup(&reader, taken->file, err);
    } else {
        code = show_messages(&source, taken, err);
    }
    reader_close(&reader);
    return code;
}

static enum tlsmsg_code run(const struct store_options_taken *taken, uint64_t *faults,
                            struct tlsmsg_error *err)
{
    enum tlsmsg_code code;

    if (store_is_in_database(taken->target)) {
        return database_run(taken, faults, err);
    }
    code = reader_become_owner(taken->target, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    if (taken->command == COMMAND_PRUNE) {
        return maintain_prune(taken->target, taken->keep_ms, err);
    }
    if (taken->command == COMMAND_INIT) {
        return maintain_init(taken->target, err);
    }
    return read_store(taken, faults, err);
}

int main(int argc, char **argv)
{
    struct store_options_taken taken = {.command = COMMAND_COUNT, .lines = 10};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum exit_code code = EXIT_DONE;
    enum tlsmsg_code result;
    uint64_t faults = 0;
    char *hidden;
    int asked = ARGS_NONE;

    startup_descriptors();
    result = args_parse(&store_options, argc, argv, store_options_take, &taken, &asked, &err);
    if (result == TLSMSG_OK && asked != ARGS_NONE) {
        code = args_answer(&store_options, asked, false);
        return (int)code;
    }
    hidden = startup_hide_password(argv, taken.target);
    if (hidden != NULL) {
        taken.target = hidden;
    }
    if (result == TLSMSG_OK) {
        result = store_options_check(&taken, &err);
    }
    if (result == TLSMSG_OK) {
        result = run(&taken, &faults, &err);
    }
    if (result != TLSMSG_OK) {
        startup_warn(name, "%s", err.text);
        code = exit_code_for(result, EXIT_WHILE_STARTING);
    }
    if (startup_flush_stdout(name) != EXIT_DONE || (code == EXIT_DONE && faults > 0)) {
        code = EXIT_OTHER;
    }
    free(hidden);
    return (int)code;
}
