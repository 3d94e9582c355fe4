/* How a client decides whether a server is the right one: CAs, pins, first use.
 *
 * Pins and first-use records are of the server's key and stand in for chain and name; dates and
 * revocation still hold. With --ca all of it must hold. */
#ifndef TRANSPORT_TLS_CLIENT_TRUST_H
#define TRANSPORT_TLS_CLIENT_TRUST_H

#include <stdbool.h>

#include <openssl/x509.h>

#include "options/options.h"
#include "transport/tls/known_servers.h"

struct client_trust;

/* Reads the settings of a client. TLSMSG_ERR_CONFIG: a bad pin, or options that don't go together. */
enum tlsmsg_code client_trust_new(const struct tls_settings *settings, struct client_trust **out,
                                  struct tlsmsg_error *err);
void client_trust_free(struct client_trust *trust);

/* True where the chain and the name have to be verified; else the key alone decides. */
bool client_trust_needs_chain(const struct client_trust *trust);

/* True where neither --ca nor a key decides: the system's CAs do. */
bool client_trust_is_default(const struct client_trust *trust);

/* A server's key, as one connection sees it. */
struct server_key {
    const char *accepted; /* the pin that the user has accepted, borrowed; NULL: not asked yet */
    bool is_new;    /* to be recorded once the handshake has proved that the server holds it */
    bool asks_user; /* refused, unless the user accepts it */
};

/* Judges the server's key, inside the handshake. TLSMSG_ERR_UNTRUSTED; TLSMSG_ERR_KEY_CHANGED: the
 * record has another one; TLSMSG_ERR_CONFIG: the records' file can't be used. */
enum tlsmsg_code client_trust_judge(const struct client_trust *trust, X509 *leaf,
                                    struct server_key *key, struct tlsmsg_error *err);

/* Asks the user about a key that was judged with asks_user, for as long as it takes. pin receives the
 * key's. True: the user accepts it. */
bool client_trust_ask(const struct client_trust *trust, X509 *leaf, char pin[PIN_TEXT_MAX]);

/* Records the server's key. */
enum tlsmsg_code client_trust_record(const struct client_trust *trust, X509 *leaf,
                                     struct tlsmsg_error *err);

#endif
