/* Who is who: a peer's identity by its verified certificate, the allow list of identities, and the
 * name under which a client asks for its server. */
#ifndef TRANSPORT_TLS_IDENTITY_H
#define TRANSPORT_TLS_IDENTITY_H

#include <stdbool.h>

#include <openssl/x509.h>

#include "options/options.h"

/* The identity with its type, escaped: the first "URI:...", else "email:...", else "DNS:..." of
 * subjectAltName, else "CN=..." (the last). Owned by the caller (free(3)); NULL where there is none
 * or no memory. */
char *identity_of(const X509 *cert);

/* The identities that may talk: --allow and --allow-file. */
struct allow_list;

struct load_report;

/* Reads the names. *out receives the list, NULL where neither option is set: then everybody whose
 * certificate verifies may talk. Names that are hardly meant, or none at all, are warned of in report.
 * TLSMSG_ERR_CONFIG: a name without its type (CN=, DNS:, email:, URI:), a file that can't be read,
 * or no --client-ca to verify identities with. */
enum tlsmsg_code allow_load(const struct tls_settings *settings, struct allow_list **out,
                            struct load_report *report, struct tlsmsg_error *err);
void allow_free(struct allow_list *list);

/* True where list is NULL or holds identity (with its type, not escaped; NULL: none). "DNS:*.suffix"
 * stands for one label before the suffix; DNS names compare without case, all else exactly. */
bool allow_holds(const struct allow_list *list, const char *identity);

/* Whether a client with this certificate, which has been verified, may talk: TLSMSG_ERR_UNTRUSTED where
 * its identity has control characters, or list does not hold it. */
enum tlsmsg_code identity_check(const struct allow_list *list, const X509 *cert,
                                struct tlsmsg_error *err);

#define SERVER_NAME_MAX 256

/* The name or address literal under which a client asks for its server. */
struct server_name {
    char text[SERVER_NAME_MAX]; /* without brackets, zone id or trailing dot */
    bool is_literal;            /* an address: no SNI (RFC 6066 section 3) */
};

/* Takes a name as typed: "localhost", "example.com.", "127.0.0.1", "[::1]", "fe80::1%eth0".
 * TLSMSG_ERR_CONFIG where it can be neither a name nor an address. */
enum tlsmsg_code server_name_parse(const char *typed, struct server_name *out,
                                   struct tlsmsg_error *err);

#endif
