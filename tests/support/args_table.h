/* What holds for the options of either program. */
#ifndef SUPPORT_ARGS_TABLE_H
#define SUPPORT_ARGS_TABLE_H

#include "app/args.h"

/* --help has every option, in 20 to 75 lines of at most 80 columns, in English and in Chinese, which
 * has a text for each that English has. */
void assert_help_fits_a_screen(const struct args_table *table);

/* No name, letter or id twice, each in a group that exists. */
void assert_table_is_sound(const struct args_table *table);

#endif
