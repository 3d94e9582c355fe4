/* --config FILE: long options in a file, one a line, under those of the command line.
 *
 * "name value" or "name"; the rest of the line is the value, without quotes, its blanks at both ends
 * cut. Lines that begin with "#" and empty ones say nothing. Names are whole, so that a new option
 * never changes what a file means. An option that the command line has is not taken from the file,
 * a repeatable one neither. */
#ifndef APP_CONFIG_FILE_H
#define APP_CONFIG_FILE_H

#include "app/args.h"
#include "base/file.h"

struct config_file {
    struct file file; /* owned; the values that were taken lie in it */
    bool is_read;
};

/* Like args_parse, but gives take first what the file of --config has, if there is one. Values of
 * the file are borrowed from config, which must outlive their use; the caller calls
 * config_file_fini in any case. A file that others can read and that holds a password is warned of
 * on stderr. Errors in the file begin with its name and the line. */
enum tlsmsg_code config_file_parse(struct config_file *config, const struct args_table *table,
                                   int argc, char *const *argv, args_take *take, void *user,
                                   int *stopped, struct tlsmsg_error *err);

void config_file_fini(struct config_file *config);

#endif
