/* The certificates of a client test's ends; CMake links the TLS or the plaintext file. */
#ifndef SUPPORT_ENDS_IDENTITY_H
#define SUPPORT_ENDS_IDENTITY_H

#include <stdbool.h>

#include <tlsmsg/options.h>

/* Makes and removes them; for cmocka's group functions. */
int ends_identity_setup(void **state);
int ends_identity_teardown(void **state);

/* A server's options receive its certificate; strict: it requires one of the client too. */
void ends_identity_of_server(struct tlsmsg_options *options, bool strict);

/* A client's options receive the CA of that certificate. */
void ends_identity_trusted_by(struct tlsmsg_options *options);

/* The files of that CA, of the certificate and of its key; NULL in plaintext. */
const char *ends_identity_ca(void);
const char *ends_identity_cert(void);
const char *ends_identity_key(void);

#endif
