/* What --help and --version print, made from the table of arguments.h.
 *
 * Owns the layout: options in groups, one line each, help texts in one column, so that the
 * screen stays within 80 columns as long as the texts do (a test counts them). Main thread. */
#include "app/arguments.h"

#include <string.h>

#define HELP_COLUMN 32

static void print_row(const struct argument *row, FILE *out)
{
    char left[80];

    (void)snprintf(left, sizeof(left), "  %c%c%c --%s%s%s", row->letter != 0 ? '-' : ' ',
                   row->letter != 0 ? row->letter : ' ', row->letter != 0 ? ',' : ' ', row->name,
                   row->value != NULL ? " " : "", row->value != NULL ? row->value : "");
    (void)fprintf(out, "%-*s%s%s\n", HELP_COLUMN - 1, left, strlen(left) < HELP_COLUMN ? " " : "  ",
                  row->help);
}

static void print_help(const struct arguments *arguments, FILE *out)
{
    size_t group, i;

    (void)fprintf(out, "Usage: %s %s\n%s\n", arguments->program, arguments->synopsis,
                  arguments->purpose);
    for (group = 0; group < arguments->group_count; group++) {
        (void)fprintf(out, "\n%s\n", arguments->groups[group]);
        for (i = 0; i < arguments->count; i++) {
            if (arguments->rows[i].group == group) {
                print_row(&arguments->rows[i], out);
            }
        }
    }
    (void)fprintf(out, "\n%s%s", arguments->closing,
                  arguments->remark != NULL ? arguments->remark : "");
}

void arguments_print(const struct arguments *arguments, int id, FILE *out)
{
    if (id == ARGUMENT_VERSION) {
        (void)fprintf(out, "%s %s (%s)\n", arguments->program, tlsmsg_version(),
                      tlsmsg_transport());
    } else {
        print_help(arguments, out);
    }
}
