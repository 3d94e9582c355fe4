/* Facts about the build that the programs need; CMake links one of build_tls.c, build_plain.c. */
#ifndef APP_BUILD_H
#define APP_BUILD_H

#include <stdbool.h>
#include <stddef.h>

/* What needs TLS is refused where this is false. */
extern const bool app_has_tls;

/* Text from peers goes raw to a file or a pipe, as the document's programs write it; a terminal
 * gets it escaped all the same. False: escaped wherever it goes. */
extern const bool app_raw_text;

/* The text transcript doesn't show one line end at the end of a message (s_client sends lines). */
extern const bool app_drops_line_end;

/* Longest line that the client sends. */
extern const size_t app_line_max_bytes;

/* Titles of the groups of --help whose options need TLS. */
extern const char app_title_identity[];
extern const char app_title_trust[];
extern const char app_title_tls[];

#endif
