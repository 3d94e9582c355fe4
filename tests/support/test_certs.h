/* Certificates for tests, made in process, written to a folder of the test's own. */
#ifndef SUPPORT_TEST_CERTS_H
#define SUPPORT_TEST_CERTS_H

#include <stdbool.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#define TEST_DAY_S (24L * 60 * 60)

struct test_cert {
    X509 *cert;
    EVP_PKEY *key;
};

/* What to make. Times are seconds from now; 0 and 0 mean from an hour ago for 30 days. */
struct test_cert_spec {
    const char *common_name;        /* NULL: an empty subject */
    const char *alternative_names;  /* as in openssl.cnf: "DNS:localhost,IP:127.0.0.1" */
    const struct test_cert *issuer; /* NULL: self-signed */
    EVP_PKEY *key;                  /* borrowed; NULL: a new one */
    bool is_ca;
    bool is_rsa;       /* else ECDSA */
    const char *curve; /* NULL: P-256 */
    bool lacks_key_id; /* of the issuer's key, by which a CA of the same name would be told apart */
    const char *key_id;             /* what is said of the issuer's; NULL: "keyid:always" */
    const char *key_usage;          /* NULL: what a CA needs, and nothing for others */
    const char *extended_key_usage; /* as in openssl.cnf; NULL: none; so the next */
    const char *info_access;
    long from_s;
    long until_s;
    const char *from_text; /* not NULL: stands where a time should, as it is; OpenSSL reads back
                            * what has 13 characters or more */
    const char *until_text;
};

/* Aborts the test run on failure: a test without certificates tests nothing. */
void test_cert_make(struct test_cert *out, const struct test_cert_spec *spec);
void test_cert_free(struct test_cert *cert);

/* Writes PEM files: certificate, then those of issuer up to and without the root where chained. */
void test_cert_write(const struct test_cert *cert, const char *path);
void test_cert_write_key(const struct test_cert *cert, const char *path, const char *password);
void test_cert_append(const struct test_cert *cert, const char *path);
void test_cert_append_key(const struct test_cert *cert, const char *path);

/* A revocation list. */
struct test_crl_spec {
    const struct test_cert *issuer;
    const struct test_cert *signer;  /* whose key signs it; NULL: the issuer's */
    const struct test_cert *revoked; /* whose serial number it holds; NULL: an empty list */
    int extension;                   /* NID of one more extension; 0: none */
    const char *extension_value;     /* as in openssl.cnf: "critical,onlyCA:TRUE" */
    int entry_extension;             /* the same, of the entry */
    const char *entry_value;
    bool is_endless;        /* without nextUpdate */
    long from_s;            /* from now; 0: an hour before */
    long until_s;           /* from now; 0: 30 days */
    const char *until_text; /* as above */
};

/* Writes one block with the DER of the first of a file, twice: a second that readers pass over. */
void test_block_write_twice(const char *from, const char *to);

/* Makes it and writes it in PEM form. */
void test_crl_write(const struct test_crl_spec *spec, const char *path);
void test_crl_append(const struct test_crl_spec *spec, const char *path);

#endif
