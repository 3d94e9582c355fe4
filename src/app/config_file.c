/* See config_file.h. The command line is gone through twice: once for --config and for which options
 * it has, and once, after the file, to take them. Main thread, before anything else runs. */
#include "app/config_file.h"

#include <string.h>
#include <sys/stat.h>

#include "app/startup.h"
#include "base/error.h"
#include "base/escape.h"

#define ROWS_MAX 128
#define SHELL_WAIT_MS 10000 /* for what a shell's <(...) brings */

/* What the command line has. */
struct seen {
    const struct args_table *table;
    const char *path; /* of --config */
    unsigned files;
    bool rows[ROWS_MAX];
};

static enum tlsmsg_code look(int id, const char *value, void *user, struct tlsmsg_error *err)
{
    struct seen *seen = user;
    size_t i;

    (void)err;
    if (id == ARGS_CONFIG) {
        seen->path = value;
        seen->files++;
    }
    for (i = 0; i < seen->table->count && i < ROWS_MAX; i++) {
        seen->rows[i] |= seen->table->rows[i].id == id;
    }
    return TLSMSG_OK;
}

/* ---- one line */

struct line {
    const struct config_file *config;
    unsigned number;
    const char *name;
    const char *value; /* NULL: none */
};

/* Puts "server.conf:3: " before a cause. */
static enum tlsmsg_code place(const struct line *line, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = err->code;
    char text[sizeof(err->text)];

    memcpy(text, err->text, sizeof(text));
    tlsmsg_error_clear(err);
    return error_set(err, code, 0, "%s:%u: %s", line->config->file.name, line->number, text);
}

static enum tlsmsg_code refuse(const struct line *line, const char *what, const char *hint,
                               struct tlsmsg_error *err)
{
    char shown[FILE_NAME_MAX];

    return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s:%u: '%s' %s%s", line->config->file.name,
                     line->number, escape_name(shown, sizeof(shown), line->name), what, hint);
}

/* Cuts a line into the name and the rest. */
static void cut(char *text, struct line *line)
{
    char *end;

    text += strspn(text, " \t");
    end = text + strcspn(text, " \t");
    line->name = text;
    line->value = NULL;
    if (*end != '\0') {
        *end++ = '\0';
        line->value = end + strspn(end, " \t");
    }
}

/* The row of a whole name; table->count where there is none. */
static size_t find(const struct args_table *table, const char *name)
{
    size_t i = 0;

    while (i < table->count && strcmp(args_name(&table->rows[i]), name) != 0) {
        i++;
    }
    return i;
}

static enum tlsmsg_code check_form(const struct line *line, const struct args_table *table,
                                   size_t found, struct tlsmsg_error *err)
{
    const struct args_option *row = &table->rows[found];
    char hint[96];

    if (found == table->count) {
        if (line->name[0] == '-') {
            return refuse(line, "is not the name of an option", "; try: the name without dashes",
                          err);
        }
        if (strchr(line->name, '=') != NULL) {
            return refuse(line, "is not the name of an option", "; try: a blank instead of =", err);
        }
        (void)snprintf(hint, sizeof(hint), "; try: %s --help", table->program);
        return refuse(line, "is not the name of an option", hint, err);
    }
    if (row->id == ARGS_CONFIG || row->id == ARGS_HELP || row->id == ARGS_VERSION) {
        return refuse(line, "belongs on the command line only", "", err);
    }
    if (row->value == NULL && line->value != NULL) {
        return refuse(line, "takes no value", "", err);
    }
    if (row->value != NULL && line->value == NULL) {
        (void)snprintf(hint, sizeof(hint), ": %s", row->value);
        return refuse(line, "needs a value", hint, err);
    }
    return TLSMSG_OK;
}

/* ---- the file */

static enum tlsmsg_code take_lines(struct config_file *config, const struct seen *seen,
                                   args_take *take, void *user, struct tlsmsg_error *err)
{
    struct line line = {.config = config};
    struct file_lines lines;
    /* A pipe is its writer's alone. */
    bool is_open =
        S_ISREG(config->file.status.st_mode) && (config->file.status.st_mode & S_IROTH) != 0;
    char *text;

    if (!file_lines_begin(&lines, &config->file)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s: a zero byte: this is not a text file",
                         config->file.name);
    }
    while ((text = file_lines_next_entry(&lines)) != NULL) {
        size_t found;

        line.number = lines.number;
        cut(text, &line);
        found = find(seen->table, line.name);
        if (check_form(&line, seen->table, found, err) != TLSMSG_OK) {
            return err->code;
        }
        if (is_open && startup_holds_password(line.value)) {
            startup_warn(seen->table->program,
                         "warning: '%s' holds a password and others can read it; try: chmod o= %s",
                         config->file.name, config->file.name);
            is_open = false; /* told */
        }
        if (!seen->rows[found] &&
            take(seen->table->rows[found].id, line.value != NULL ? line.value : "1", user, err) !=
                TLSMSG_OK) {
            return place(&line, err);
        }
    }
    return TLSMSG_OK;
}

/* The file comes first where the command line is sound and asks for no help. */
static enum tlsmsg_code take_file(struct config_file *config, struct seen *seen, int argc,
                                  char *const *argv, args_take *take, void *user,
                                  struct tlsmsg_error *err)
{
    struct tlsmsg_error ignored = {.code = TLSMSG_OK}; /* it is told when the line is taken */
    int stopped;
    int failed;

    if (args_parse(seen->table, argc, argv, look, seen, &stopped, &ignored) != TLSMSG_OK ||
        stopped != ARGS_NONE || seen->files == 0) {
        return TLSMSG_OK;
    }
    if (seen->files > 1) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "--config: there can be one file only");
    }
    failed = file_read(&config->file, seen->path, FILE_MAX_BYTES, SHELL_WAIT_MS);
    if (failed != 0) {
        return file_error(seen->path, "read", "configuration", failed, err);
    }
    config->is_read = true;
    return take_lines(config, seen, take, user, err);
}

enum tlsmsg_code config_file_parse(struct config_file *config, const struct args_table *table,
                                   int argc, char *const *argv, args_take *take, void *user,
                                   int *stopped, struct tlsmsg_error *err)
{
    struct seen seen = {.table = table};
    enum tlsmsg_code code;

    *config = (struct config_file){.is_read = false};
    *stopped = ARGS_NONE;
    code = take_file(config, &seen, argc, argv, take, user, err);
    return code == TLSMSG_OK ? args_parse(table, argc, argv, take, user, stopped, err) : code;
}

void config_file_fini(struct config_file *config)
{
    if (config->is_read) {
        file_fini(&config->file);
        config->is_read = false;
    }
}
