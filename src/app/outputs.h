/* The files that a program writes must be no other option's: a metrics file in a key's place would
 * be the end of the key, and two kinds of lines in one file are of no use to anybody. Main thread, at
 * the start. */
#ifndef APP_OUTPUTS_H
#define APP_OUTPUTS_H

#include <stdbool.h>
#include <stddef.h>

#include <tlsmsg/error.h>
#include <tlsmsg/options.h>

#define OUTPUTS_MAX 160

struct outputs_file {
    const char *option; /* its long name, without dashes */
    const char *path;
    bool is_written;
};

/* What the options name; all of it is borrowed. What is over OUTPUTS_MAX is left out. */
struct outputs {
    struct outputs_file files[OUTPUTS_MAX];
    size_t count;
};

/* path: NULL for none. */
void outputs_add(struct outputs *outputs, const char *option, const char *path, bool is_written);

/* All values of one of the library's options. */
void outputs_add_option(struct outputs *outputs, const struct tlsmsg_options *options,
                        enum tlsmsg_option option, bool is_written);

/* TLSMSG_ERR_CONFIG where a file that is written is another option's, too, by whatever name. */
enum tlsmsg_code outputs_check(const struct outputs *outputs, struct tlsmsg_error *err);

#endif
