/* What the fuzz targets share: libFuzzer's two entry points, and checks that every build keeps. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <tlsmsg/error.h>

/* assert(3) is gone in release builds, where the corpus is replayed too. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* libFuzzer's; replay_main.c calls them in builds without it. Each run begins as the first. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Bytes behind which memory ends, so that a sanitizer sees a read past them. free(3) them. */
char *fuzz_copy(const uint8_t *data, size_t len);

/* The same as a C string that ends at the first NUL. */
char *fuzz_text(const uint8_t *data, size_t len);

/* UTF-8 by arithmetic rather than by the standard's table: the length of the longest prefix of
 * whole characters. *incomplete: what follows it can still become a character. */
size_t fuzz_utf8_whole(const char *s, size_t len, bool *incomplete);

/* True where len bytes are valid UTF-8 without anything that a terminal could take as a command:
 * no control characters of either set, no line separators, no bidirectional controls. */
bool fuzz_is_printable(const char *s, size_t len);

/* Checks that a recorded cause is fit to be shown. */
void fuzz_check_error(const struct tlsmsg_error *err, enum tlsmsg_code returned);

#endif
