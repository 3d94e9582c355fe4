/* Names as typed, turned into what a certificate can be held against. Pure; any thread. */
#include "transport/tls/peer_name.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/error.h"
#include "base/escape.h"

#define DNS_NAME_MAX 253

/* Copies what lies between brackets, or all of it. */
static bool copy_unbracketed(const char *typed, char out[PEER_NAME_MAX])
{
    size_t len = strlen(typed);

    if (len >= 2 && typed[0] == '[' && typed[len - 1] == ']') {
        typed++;
        len -= 2;
    }
    if (len == 0 || len >= PEER_NAME_MAX) {
        return false;
    }
    memcpy(out, typed, len);
    out[len] = '\0';
    return true;
}

/* Recognises a literal; a zone id (RFC 6874) says which link, no certificate knows it. */
static bool take_literal(char text[PEER_NAME_MAX])
{
    unsigned char address[16];
    struct in_addr v4;
    char *zone = strchr(text, '%');

    if (zone != NULL) {
        *zone = '\0';
        if (inet_pton(AF_INET6, text, address) == 1) {
            return true;
        }
        *zone = '%';
        return false;
    }
    if (inet_pton(AF_INET6, text, address) == 1 || inet_pton(AF_INET, text, address) == 1) {
        return true;
    }
    /* "127.1" and the like connect as an address, so they are verified as that address. */
    return inet_aton(text, &v4) != 0 && inet_ntop(AF_INET, &v4, text, PEER_NAME_MAX) != NULL;
}

static bool is_dns_name(const char *text)
{
    const char *c;

    for (c = text; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~') {
            return false;
        }
    }
    /* A leading dot would make the library accept any subdomain (X509_check_host(3)). */
    return text[0] != '\0' && text[0] != '.' && strlen(text) <= DNS_NAME_MAX;
}

enum tlsmsg_code peer_name_parse(const char *typed, struct peer_name *out, struct tlsmsg_error *err)
{
    char name[PEER_NAME_MAX];

    if (copy_unbracketed(typed, out->text)) {
        size_t len = strlen(out->text);

        out->is_literal = take_literal(out->text);
        if (out->is_literal) {
            return TLSMSG_OK;
        }
        if (len > 1 && out->text[len - 1] == '.') {
            out->text[len - 1] = '\0';
        }
        if (is_dns_name(out->text)) {
            return TLSMSG_OK;
        }
    }
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "'%s' is not a server name (a name with other letters is written as xn--...)",
                     escape_name(name, sizeof(name), typed));
}
