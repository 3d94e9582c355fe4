/* Pins of servers' keys, and the file of servers that were trusted on first use: a line
 * "host:port sha256//... YYYY-MM-DD".
 *
 * It is created 0600 and replaced whole, under a lock, so that two clients at once lose nothing.
 * Empty lines and lines that start with # are left alone. */
#ifndef TRANSPORT_TLS_KNOWN_SERVERS_H
#define TRANSPORT_TLS_KNOWN_SERVERS_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/x509.h>

#include <tlsmsg/error.h>

/* A pin is the SHA-256 of a certificate's public key (SubjectPublicKeyInfo), as curl writes it. A
 * renewed certificate with the same key keeps its pin. */
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

#define KNOWN_DATE_MAX 16

enum known_answer {
    KNOWN_NOT,  /* no line about this server */
    KNOWN_SAME, /* recorded with this pin */
    KNOWN_OTHER /* recorded, with another pin only */
};

struct known_record {
    struct pin pin; /* with KNOWN_OTHER: the recorded one */
    char date[KNOWN_DATE_MAX];
};

/* Writes the default path, "$XDG_STATE_HOME/tlsmsg/known_servers" or below "$HOME/.local/state".
 * TLSMSG_ERR_CONFIG where neither variable is set or the path is too long. */
enum tlsmsg_code known_servers_default_path(char *out, size_t cap, struct tlsmsg_error *err);

/* Looks a server ("host:port") up. A file that isn't there knows nobody.
 * TLSMSG_ERR_CONFIG names the line that is not a record, or says why the file can't be read. */
enum tlsmsg_code known_servers_find(const char *path, const char *server, const struct pin *pin,
                                    enum known_answer *answer, struct known_record *record,
                                    struct tlsmsg_error *err);

/* Adds a line for a server, dated today, unless another client was faster with the same pin.
 * TLSMSG_ERR_UNTRUSTED when it was faster with another one; TLSMSG_ERR_CONFIG when the file can't
 * be written. Waits for the lock for a few seconds at most. */
enum tlsmsg_code known_servers_add(const char *path, const char *server, const struct pin *pin,
                                   struct tlsmsg_error *err);

#endif
