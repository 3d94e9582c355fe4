/* Addresses: what users type to host and port, what sockets hold to text.
 *
 * Owns the forms HOST:PORT, [v6]:PORT and a port alone; looks nothing up
 * and opens nothing. Pure functions, any thread. Listening and connecting read the same forms
 * but differ in what may be left out, so they share the parts and not the whole. */
#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/decimal.h"
#include "base/error.h"
#include "base/escape.h"

#define PORT_MAX 65535
#define NETWORK_BYTES 8 /* of IPv6: a /64, all of whose addresses one machine may have */
#define SHOWN_MAX 160   /* bytes of a wrong text that an error shows */

static bool parse_port(const char *text, uint64_t min, uint16_t *port)
{
    uint64_t value;

    if (!decimal_parse(text, strlen(text), min, PORT_MAX, &value)) {
        return false;
    }
    *port = (uint16_t)value;
    return true;
}

static bool is_digits(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static bool is_v6_literal(const char *host)
{
    char without_zone[INET6_ADDRSTRLEN];
    struct in6_addr addr;
    size_t len = strcspn(host, "%");

    if (len >= sizeof(without_zone) || (host[len] == '%' && host[len + 1] == '\0')) {
        return false;
    }
    /* What ends or follows a zone in brackets is not part of one where a bracket was left out. */
    if (strpbrk(host + len, "[]:") != NULL) {
        return false;
    }
    memcpy(without_zone, host, len);
    without_zone[len] = '\0';
    return inet_pton(AF_INET6, without_zone, &addr) == 1;
}

bool address_is_literal(const char *host)
{
    struct in_addr addr;

    return inet_pton(AF_INET, host, &addr) == 1 || is_v6_literal(host);
}

/* Where a text falls into its parts; port is NULL where there is none. */
struct parts {
    const char *host;
    size_t host_len;
    bool bracketed;
    const char *port;
};

/* Splits "host", "host:port", "[v6]", "[v6]:port", or a bare v6 address. False: none of these. */
static bool split(const char *text, struct parts *parts)
{
    const char *colon = strchr(text, ':');
    const char *end;

    memset(parts, 0, sizeof(*parts));
    parts->host = text;
    if (text[0] == '[') {
        end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return false;
        }
        parts->bracketed = true;
        parts->host = text + 1;
        parts->host_len = (size_t)(end - text) - 1;
        parts->port = end[1] == ':' ? end + 2 : NULL;
        return true;
    }
    if (colon == NULL || strchr(colon + 1, ':') != NULL) {
        parts->host_len = strlen(text);
        return true;
    }
    parts->host_len = (size_t)(colon - text);
    parts->port = colon + 1;
    return true;
}

/* Copies the host into what is zeros and checks its form. The error begins with `label`. */
static enum tlsmsg_code take_host(const struct parts *parts, const char *label, const char *shown,
                                  struct address_name *out, struct tlsmsg_error *err)
{
    size_t i;

    if (parts->host_len == 0) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s: no host in '%s'", label, shown);
    }
    if (parts->host_len >= sizeof(out->host)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s: the host in '%s' is longer than %d bytes",
                         label, shown, ADDRESS_HOST_MAX - 1);
    }
    memcpy(out->host, parts->host, parts->host_len);
    for (i = 0; i < parts->host_len; i++) {
        if (out->host[i] <= ' ' || out->host[i] >= 0x7F) {
            return error_set(err, TLSMSG_ERR_CONFIG, 0,
                             "%s: the host in '%s' holds other than ASCII letters, digits and"
                             " signs (give such a name in its xn-- form)",
                             label, shown);
        }
    }
    if ((parts->bracketed || strchr(out->host, ':') != NULL) && !is_v6_literal(out->host)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s: '%s' is not an IPv6 address", label,
                         shown);
    }
    return TLSMSG_OK;
}

static enum tlsmsg_code wrong_port(const char *label, const char *shown, unsigned min,
                                   struct tlsmsg_error *err)
{
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "%s: the port in '%s' is not a number from %u to %d", label, shown, min,
                     PORT_MAX);
}

enum tlsmsg_code address_parse_listen(const char *text, const char *what, struct address_name *out,
                                      struct tlsmsg_error *err)
{
    char shown[SHOWN_MAX];
    struct parts parts;
    enum tlsmsg_code code;

    (void)escape_name(shown, sizeof(shown), text);
    memset(out, 0, sizeof(*out));
    if (is_digits(text)) {
        memcpy(out->host, ADDRESS_DEFAULT_HOST, sizeof(ADDRESS_DEFAULT_HOST));
        return parse_port(text, 0, &out->port) ? TLSMSG_OK : wrong_port(what, shown, 0, err);
    }
    if (!split(text, &parts) || parts.port == NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s wants HOST:PORT, [IPv6]:PORT or PORT, not '%s'", what, shown);
    }
    code = take_host(&parts, what, shown, out, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    return parse_port(parts.port, 0, &out->port) ? TLSMSG_OK : wrong_port(what, shown, 0, err);
}

static const char connect_label[] = "the server's address";

static enum tlsmsg_code parse_connect(const char *text, struct address_name *out,
                                      struct tlsmsg_error *err)
{
    const char *label = connect_label;
    char shown[SHOWN_MAX];
    struct parts parts;
    enum tlsmsg_code code;

    (void)escape_name(shown, sizeof(shown), text);
    memset(out, 0, sizeof(*out));
    out->port = ADDRESS_DEFAULT_PORT;
    if (is_digits(text)) {
        memcpy(out->host, ADDRESS_DEFAULT_HOST, sizeof(ADDRESS_DEFAULT_HOST));
        return parse_port(text, 1, &out->port) ? TLSMSG_OK : wrong_port(label, shown, 1, err);
    }
    if (!split(text, &parts)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s is HOST, HOST:PORT, [IPv6]:PORT or PORT, not '%s'", label, shown);
    }
    code = take_host(&parts, label, shown, out, err);
    if (code != TLSMSG_OK || parts.port == NULL) {
        return code;
    }
    return parse_port(parts.port, 1, &out->port) ? TLSMSG_OK : wrong_port(label, shown, 1, err);
}

/* What a text that was copied from elsewhere stands for: a URL, "host port", or an IPv6 address with
 * a port behind it. False: no guess. */
static bool guess_connect(const char *text, struct address_name *out)
{
    const char *scheme = strstr(text, "://");
    const char *start = scheme != NULL ? scheme + strlen("://") : text;
    size_t len = strcspn(start, "/?# ");
    size_t gap = strspn(start + len, " ");
    size_t port_len = gap > 0 ? strcspn(start + len + gap, "/?# ") : 0;
    char kept[ADDRESS_NAME_TEXT_MAX];
    char bracketed[ADDRESS_NAME_TEXT_MAX + 2];
    const char *colon;

    (void)snprintf(kept, sizeof(kept), "%.*s%s%.*s", (int)(len < sizeof(kept) ? len : 0), start,
                   port_len > 0 ? ":" : "", (int)port_len, start + len + gap);
    if (kept[0] != '\0' && parse_connect(kept, out, NULL) == TLSMSG_OK) {
        return true;
    }
    colon = strrchr(kept, ':');
    if (colon == NULL) {
        return false;
    }
    (void)snprintf(bracketed, sizeof(bracketed), "[%.*s]%s", (int)(colon - kept), kept, colon);
    return parse_connect(bracketed, out, NULL) == TLSMSG_OK;
}

enum tlsmsg_code address_parse_connect(const char *text, struct address_name *out,
                                       struct tlsmsg_error *err)
{
    struct tlsmsg_error cause = {.code = TLSMSG_OK};
    char meant[ADDRESS_NAME_TEXT_MAX];
    char shown[SHOWN_MAX];
    struct address_name guess;

    if (parse_connect(text, out, &cause) == TLSMSG_OK) {
        return TLSMSG_OK;
    }
    if (!guess_connect(text, &guess)) {
        return error_set(err, cause.code, 0, "%s", cause.text);
    }
    address_name_print(&guess, meant, sizeof(meant));
    return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s is HOST:PORT, not '%s'; try: %s", connect_label,
                     escape_name(shown, sizeof(shown), text), meant);
}

/* By hand, since the transcript has it with each message: inet_ntop(3) and snprintf(3) cost more
 * instructions than all the rest of a message's line. */
static void print_v4(const struct sockaddr_in *v4, char *buf, size_t cap)
{
    char text[INET_ADDRSTRLEN + sizeof(":65535") + DECIMAL_DIGITS_MAX];
    uint8_t octets[sizeof(v4->sin_addr)];
    size_t len = 0;

    memcpy(octets, &v4->sin_addr, sizeof(octets));
    for (size_t i = 0; i < sizeof(octets); i++) {
        len += decimal_print(text + len, octets[i]);
        text[len++] = i + 1 < sizeof(octets) ? '.' : ':';
    }
    len += decimal_print(text + len, ntohs(v4->sin_port));
    if (cap > 0) {
        len = len < cap ? len : cap - 1;
        memcpy(buf, text, len);
        buf[len] = '\0';
    }
}

void address_print(const struct address *a, char *buf, size_t cap)
{
    char host[INET6_ADDRSTRLEN];
    const struct sockaddr_in6 *v6 = &a->socket.v6;

    if (a->socket.any.sa_family == AF_INET) {
        print_v4(&a->socket.v4, buf, cap);
        return;
    }
    if (a->socket.any.sa_family != AF_INET6) {
        (void)snprintf(buf, cap, "unknown");
        return;
    }
    (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
    if (v6->sin6_scope_id != 0) {
        (void)snprintf(buf, cap, "[%s%%%u]:%u", host, v6->sin6_scope_id, ntohs(v6->sin6_port));
        return;
    }
    (void)snprintf(buf, cap, "[%s]:%u", host, ntohs(v6->sin6_port));
}

void address_name_print(const struct address_name *n, char *buf, size_t cap)
{
    if (strchr(n->host, ':') != NULL) {
        (void)snprintf(buf, cap, "[%s]:%u", n->host, n->port);
        return;
    }
    (void)snprintf(buf, cap, "%s:%u", n->host, n->port);
}

void address_key(const struct address *a, uint8_t key[16])
{
    const struct sockaddr_in *v4 = &a->socket.v4;
    const struct sockaddr_in6 *v6 = &a->socket.v6;

    memset(key, 0, 16);
    if (a->socket.any.sa_family == AF_INET) {
        key[10] = 0xFF;
        key[11] = 0xFF;
        memcpy(key + 12, &v4->sin_addr, 4);
    } else if (a->socket.any.sa_family == AF_INET6) {
        /* A socket for both families shows IPv4 peers mapped: their last bytes are the address. */
        memcpy(key, &v6->sin6_addr, IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) ? 16 : NETWORK_BYTES);
    }
}

static bool is_any(const struct address *a)
{
    const struct sockaddr_in *v4 = &a->socket.v4;
    const struct sockaddr_in6 *v6 = &a->socket.v6;

    return a->socket.any.sa_family == AF_INET ? v4->sin_addr.s_addr == INADDR_ANY
                                              : IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
}

bool address_overlaps(const struct address *a, const struct address *b)
{
    const struct sockaddr_in *a4 = &a->socket.v4;
    const struct sockaddr_in *b4 = &b->socket.v4;
    const struct sockaddr_in6 *a6 = &a->socket.v6;
    const struct sockaddr_in6 *b6 = &b->socket.v6;

    if (a->socket.any.sa_family != b->socket.any.sa_family) {
        return false;
    }
    if (a->socket.any.sa_family == AF_INET) {
        return a4->sin_port == b4->sin_port &&
               (is_any(a) || is_any(b) || a4->sin_addr.s_addr == b4->sin_addr.s_addr);
    }
    return a6->sin6_port == b6->sin6_port &&
           (is_any(a) || is_any(b) ||
            (memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0 &&
             a6->sin6_scope_id == b6->sin6_scope_id));
}

/* The address that a literal stands for, without its port, or all of a family. False: a name, or another
 * family. */
static bool literal(const struct address_name *name, sa_family_t family, struct address *out)
{
    bool any = strcmp(name->host, ADDRESS_ANY) == 0;

    memset(out, 0, sizeof(*out));
    out->socket.any.sa_family = family;
    if (family == AF_INET) {
        return any || inet_pton(AF_INET, name->host, &out->socket.v4.sin_addr) == 1;
    }
    return any || inet_pton(AF_INET6, name->host, &out->socket.v6.sin6_addr) == 1;
}

bool address_names_overlap(const struct address_name *a, const struct address_name *b)
{
    static const sa_family_t families[] = {AF_INET, AF_INET6};
    struct address one;
    struct address other;

    if (a->port == 0 || a->port != b->port) {
        return false; /* of port 0 each gets another */
    }
    for (size_t i = 0; i < 2; i++) {
        if (literal(a, families[i], &one) && literal(b, families[i], &other) &&
            address_overlaps(&one, &other)) {
            return true;
        }
    }
    return strcmp(a->host, b->host) == 0;
}
