/* Certificates in words: dates, names, pins, for texts and transcripts. */
#ifndef TRANSPORT_TLS_X509_TEXT_H
#define TRANSPORT_TLS_X509_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/x509.h>

#define X509_TEXT_DATE_MAX 16
#define X509_TEXT_PIN_MAX 64

/* "2026-11-22" (UTC), or "?" for what is not a date. */
void x509_text_date(const ASN1_TIME *time, char out[X509_TEXT_DATE_MAX]);

/* "2026-11-22 14:05 UTC", or "?". */
void x509_text_moment(const ASN1_TIME *time, char *out, size_t cap);

/* A date as seconds since the epoch; 0 for what is not a date. */
int64_t x509_text_unix_s(const ASN1_TIME *time);

/* Subject or issuer on one line, such as "CN=tlsmsg CA,O=Example" (RFC 2253), escaped and cut to
 * cap - 1 bytes. */
void x509_text_name(const X509_NAME *name, char *out, size_t cap);

/* The DNS names and addresses a certificate is for, "localhost, 127.0.0.1", escaped, cut with
 * "..."; "no name" where there is none. */
void x509_text_hosts(const X509 *cert, char *out, size_t cap);

/* The kind of key in a few letters: "prime256v1" by its curve, else "RSA", "ED25519"; static or the
 * library's, never NULL. */
const char *x509_text_key(const X509 *cert);

/* "sha256//BASE64" of the public key (SubjectPublicKeyInfo), curl's form; "?" on failure. */
void x509_text_pin(X509 *cert, char out[X509_TEXT_PIN_MAX]);

#endif
