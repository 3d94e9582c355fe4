/* Addresses: parsing what users type, printing what sockets hold. No name lookup here. */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <tlsmsg/error.h>

#define ADDRESS_HOST_MAX 256
#define ADDRESS_TEXT_MAX 80
#define ADDRESS_NAME_TEXT_MAX (ADDRESS_HOST_MAX + 8)
#define ADDRESS_DEFAULT_HOST "127.0.0.1"
#define ADDRESS_DEFAULT_PORT 12345

/* HOST:PORT as typed: host without brackets, zone id kept ("fe80::1%eth0"). */
struct address_name {
    char host[ADDRESS_HOST_MAX];
    uint16_t port;
};

/* A socket address of either family. Not a sockaddr_storage: the server keeps one for each
 * connection, idle ones too, and that is four times as long. */
struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } socket;
    socklen_t len;
};

/* Parses "[HOST:]PORT", "[v6]:PORT" or digits alone (a port on 127.0.0.1). what: how the error
 * text names the option, such as "--listen". Port 0 is allowed. TLSMSG_ERR_CONFIG says what is
 * wrong and shows the form. */
enum tlsmsg_code address_parse_listen(const char *text, const char *what, struct address_name *out,
                                      struct tlsmsg_error *err);

/* Parses "HOST[:PORT]", "[v6][:PORT]", a bare v6 address, or digits alone (a port on 127.0.0.1);
 * the port is ADDRESS_DEFAULT_PORT where missing, never 0. A host with bytes other than
 * printable ASCII is refused, asking for its xn-- form. */
enum tlsmsg_code address_parse_connect(const char *text, struct address_name *out,
                                       struct tlsmsg_error *err);

/* All addresses of both families, as the host of a listener. */
#define ADDRESS_ANY "*"

/* True where a listener on one would take what comes to the other: the same family and port, and
 * the same address or one that stands for all. */
bool address_overlaps(const struct address *a, const struct address *b);

/* The same of two listeners as typed, as far as it can be seen without looking a name up. */
bool address_names_overlap(const struct address_name *a, const struct address_name *b);

/* True where host is an IPv4 or IPv6 literal (with or without a zone id). */
bool address_is_literal(const char *host);

/* "127.0.0.1:12345", "[::1]:12345", "[fe80::1%2]:12345"; cap >= ADDRESS_TEXT_MAX. */
void address_print(const struct address *a, char *buf, size_t cap);

/* As address_print for a name as typed; ADDRESS_NAME_TEXT_MAX bytes hold any, fewer cut it. */
void address_name_print(const struct address_name *n, char *buf, size_t cap);

/* Who an address belongs to as 16 bytes, for tables keyed by peer: an IPv4 address (mapped into
 * IPv6), or the /64 network of an IPv6 address. */
void address_key(const struct address *a, uint8_t key[16]);

#endif
