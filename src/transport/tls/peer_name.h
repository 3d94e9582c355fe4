/* The name or address literal under which a client asks for its server. */
#ifndef TRANSPORT_TLS_PEER_NAME_H
#define TRANSPORT_TLS_PEER_NAME_H

#include <stdbool.h>

#include <tlsmsg/error.h>

#define PEER_NAME_MAX 256

struct peer_name {
    char text[PEER_NAME_MAX]; /* without brackets, zone id or trailing dot */
    bool is_literal;          /* an address: no SNI (RFC 6066 section 3) */
};

/* Takes a name as typed: "localhost", "example.com.", "127.0.0.1", "[::1]", "fe80::1%eth0".
 * TLSMSG_ERR_CONFIG where it can be neither a name nor an address. */
enum tlsmsg_code peer_name_parse(const char *typed, struct peer_name *out,
                                 struct tlsmsg_error *err);

#endif
