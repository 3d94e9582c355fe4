/* Pins: the SHA-256 of a certificate's public key (SubjectPublicKeyInfo), as curl writes them.
 *
 * A renewed certificate with the same key keeps its pin. */
#ifndef TRANSPORT_TLS_PIN_H
#define TRANSPORT_TLS_PIN_H

#include <stdbool.h>

#include <openssl/x509.h>

#include <tlsmsg/error.h>

#define PIN_TEXT_MAX 64 /* "sha256//" and 44 characters of base64 */

struct pin {
    char text[PIN_TEXT_MAX];
};

/* Takes "sha256//BASE64" of exactly 32 bytes, in the one form that base64 has for them.
 * TLSMSG_ERR_CONFIG shows the form. */
enum tlsmsg_code pin_parse(const char *text, struct pin *out, struct tlsmsg_error *err);

/* True where text is a pin; for files that hold them. */
bool pin_is_valid(const char *text);

/* The pin of a certificate; false on failure. */
bool pin_of(X509 *cert, struct pin *out);

bool pin_equal(const struct pin *a, const struct pin *b);

#endif
