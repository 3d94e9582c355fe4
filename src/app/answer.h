/* What a program prints on stdout instead of a conversation: --help, --version, --check. */
#ifndef APP_ANSWER_H
#define APP_ANSWER_H

#include "app/arguments.h"
#include "app/exit_codes.h"

/* Prints what was asked for (ARGUMENT_HELP or ARGUMENT_VERSION). EXIT_DONE, or EXIT_OTHER when
 * stdout doesn't take it; then the cause was told. */
enum exit_code answer_print(const struct arguments *arguments, int asked);

/* Sends on what was printed to stdout. EXIT_DONE or EXIT_OTHER, as above. */
enum exit_code answer_flush(const char *program);

/* The same for a line of text. */
enum exit_code answer_line(const char *program, const char *text);

#endif
