/* tlsmsg-store: chooses the command, and says by its exit status what came of it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "app/startup.h"
#include "app/store/maintain.h"
#include "app/store/show.h"
#include "app/store/verify.h"
#include "base/error.h"

static const char *const name = "tlsmsg-store";

static enum tlsmsg_code read_store(const struct store_options_taken *taken, uint64_t *faults,
                                   struct tlsmsg_error *err)
{
    struct reader reader;
    enum tlsmsg_code code = reader_open(&reader, taken->target, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    if (taken->command == COMMAND_VERIFY) {
        code = verify_store(&reader, faults, err);
    } else if (taken->command == COMMAND_BACKUP) {
        code = maintain_backup(&reader, taken->file, err);
    } else {
        code = show_messages(&reader, taken, err);
    }
    reader_close(&reader);
    return code;
}

static enum tlsmsg_code run(const struct store_options_taken *taken, uint64_t *faults,
                            struct tlsmsg_error *err)
{
    enum tlsmsg_code code;

    if (strstr(taken->target, "://") != NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "tlsmsg-store knows stores in files alone (try: psql, for one in "
                         "PostgreSQL)");
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
    uint64_t faults = 0;
    int asked = ARGS_NONE;

    startup_descriptors();
    if (args_parse(&store_options, argc, argv, store_options_take, &taken, &asked, &err) ==
            TLSMSG_OK &&
        asked != ARGS_NONE) {
        code = args_answer(&store_options, asked, false);
        return (int)code;
    }
    if (err.code == TLSMSG_OK && store_options_check(&taken, &err) == TLSMSG_OK) {
        (void)run(&taken, &faults, &err);
    }
    if (err.code != TLSMSG_OK) {
        startup_warn(name, "%s", err.text);
        code = exit_code_for(err.code, EXIT_WHILE_STARTING);
    }
    if (startup_flush_stdout(name) != EXIT_DONE || (code == EXIT_DONE && faults > 0)) {
        code = EXIT_OTHER;
    }
    return (int)code;
}
