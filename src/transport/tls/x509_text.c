/* Certificates in words. What a certificate says is a peer's word: it is escaped here, once. */
#include "transport/tls/x509_text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "base/escape.h"

#define NAME_MAX_BYTES 512
#define SHA256_BYTES 32

void x509_text_date(const ASN1_TIME *time, char out[X509_TEXT_DATE_MAX])
{
    struct tm tm;

    if (ASN1_TIME_to_tm(time, &tm) != 1 ||
        strftime(out, X509_TEXT_DATE_MAX, "%Y-%m-%d", &tm) == 0) {
        (void)snprintf(out, X509_TEXT_DATE_MAX, "?");
    }
}

void x509_text_moment(const ASN1_TIME *time, char *out, size_t cap)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(time, &tm) != 1 || strftime(out, cap, "%Y-%m-%d %H:%M UTC", &tm) == 0) {
        (void)snprintf(out, cap, "?");
    }
}

int64_t x509_text_unix_s(const ASN1_TIME *time)
{
    struct tm tm;

    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* Escapes len bytes into out, cut with "..." where they don't fit. */
static void put_escaped(char *out, size_t cap, const char *bytes, size_t len)
{
    char whole[NAME_MAX_BYTES];
    size_t n = escape_strict(whole, sizeof(whole), bytes, len);

    /* Only a character that does not fit ends the escaping early. */
    if (n < cap && n + ESCAPE_LONGEST <= sizeof(whole)) {
        memcpy(out, whole, n);
        out[n] = '\0';
        return;
    }
    n = escape_strict(out, cap - 4, bytes, len);
    memcpy(out + n, "...", 4);
}

void x509_text_name(const X509_NAME *name, char *out, size_t cap)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes = NULL;
    long len = 0;

    out[0] = '\0';
    if (bio == NULL) {
        return;
    }
    /* RFC 2253 without its escaping of what lies above ASCII: names stay readable. */
    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >=
        0) {
        len = BIO_get_mem_data(bio, &bytes);
    }
    if (len > 0) {
        put_escaped(out, cap, bytes, (size_t)len);
    } else {
        (void)snprintf(out, cap, "an empty name");
    }
    BIO_free(bio);
}

/* A DNS name as it stands in a list of names: what no host has is shown as \xNN, above all the comma
 * and blank that part the list. */
static void put_host(char *out, size_t cap, const unsigned char *name, size_t len)
{
    size_t used = 0;

    for (size_t i = 0; i < len; i++) {
        bool plain = (name[i] < 0x80 && isalnum(name[i]) != 0) ||
                     (name[i] != '\0' && strchr("-._*", name[i]) != NULL);

        if (used + sizeof("\\x00...") > cap) {
            (void)snprintf(out + used, cap - used, "...");
            return;
        }
        used += (size_t)snprintf(out + used, cap - used, plain ? "%c" : "\\x%02x", name[i]);
    }
    out[used] = '\0';
}

/* One entry of a subjectAltName as text; false where it is none of a host. */
static bool host_of(const GENERAL_NAME *name, char *out, size_t cap)
{
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);

    if (type == GEN_DNS) {
        put_host(out, cap, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
        return true;
    }
    if (type == GEN_IPADD) {
        int family = ASN1_STRING_length(value) == 16 ? AF_INET6 : AF_INET;

        if (family == AF_INET && ASN1_STRING_length(value) != 4) {
            return false;
        }
        return inet_ntop(family, ASN1_STRING_get0_data(value), out, (socklen_t)cap) != NULL;
    }
    return false;
}

void x509_text_hosts(const X509 *cert, char *out, size_t cap)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    char one[80];
    size_t used = 0;
    int i;

    for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        if (!host_of(sk_GENERAL_NAME_value(names, i), one, sizeof(one))) {
            continue;
        }
        if (used + strlen(one) + sizeof(", , ...") > cap) {
            (void)snprintf(out + used, cap - used, "%s", ", ...");
            break;
        }
        used += (size_t)snprintf(out + used, cap - used, "%s%s", used > 0 ? ", " : "", one);
    }
    if (used == 0) {
        (void)snprintf(out, cap, "no name");
    }
    GENERAL_NAMES_free(names);
}

const char *x509_text_key(const X509 *cert)
{
    const EVP_PKEY *key = X509_get0_pubkey(cert);
    char group[64];
    size_t len;
    const char *name;

    if (key != NULL && EVP_PKEY_get_group_name(key, group, sizeof(group), &len) == 1) {
        name = OBJ_nid2sn(OBJ_txt2nid(group));
        return name != NULL ? name : "an unknown curve";
    }
    name = key != NULL ? EVP_PKEY_get0_type_name(key) : NULL;
    return name != NULL ? name : "an unknown kind of key";
}

void x509_text_pin(X509 *cert, char out[X509_TEXT_PIN_MAX])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char *der = NULL;
    unsigned int digest_len = 0;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);

    (void)snprintf(out, X509_TEXT_PIN_MAX, "?");
    if (len > 0 && EVP_Digest(der, (size_t)len, digest, &digest_len, EVP_sha256(), NULL) == 1 &&
        digest_len == SHA256_BYTES) {
        (void)snprintf(out, X509_TEXT_PIN_MAX, "sha256//");
        (void)EVP_EncodeBlock((unsigned char *)out + strlen(out), digest, SHA256_BYTES);
    }
    OPENSSL_free(der);
}
