/* The certificate of the servers that are fuzzed; CMake links the TLS or the plaintext file. */
#ifndef FUZZ_FUZZ_IDENTITY_H
#define FUZZ_FUZZ_IDENTITY_H

#include <tlsmsg/options.h>

/* Makes a certificate and names its files in a server's options. */
void fuzz_identity_make(struct tlsmsg_options *options);

/* Removes the files, once they have been loaded. */
void fuzz_identity_remove(void);

#endif
