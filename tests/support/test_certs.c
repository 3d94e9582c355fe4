/* Certificates for tests: see test_certs.h. */
#include "support/test_certs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

/* RSA keys are dear to make, a hundred times as dear under valgrind, so there is one, and it is here.
 * It guards nothing. */
static const char rsa_key[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDPFTI3ezdiXghS\n"
                              "ZjAvpSyoMW6JT8lv4EX0cbcWLapCPe4uHNkxLd+TBUkzD3MBI7dwi2XbfAgxVRdc\n"
                              "S8xe+uxRfbVMOf5JB1QUgzALWuiPr3X/5iTLSVYhrauJ2IvF06o7xJKrqIhkg+ME\n"
                              "jZOKrDjO4J2t9ezPhANzcpaTQ6v7ESB6KMLQ1xZMe8vBHBKMAh6HZ39AliMlyN/w\n"
                              "76c+51a3Lh08rERwngDbrZE4eagV/cXFvqDuStDAQy8WjCbxj/fFogICeLeUZp5b\n"
                              "Av8vsA1ZyIKhbEyPvsR9uoxvzb0EwjhXNPewKTk7rj3qdMXG/Q3nJHwxT63iNR2+\n"
                              "IfxHKgUNAgMBAAECggEADq9incObpFqlvW4ouaA9f/ntbEhfsRLW8yRDRwva+JKa\n"
                              "uuNp1Y56vdrQm5HbZnfJcO45vWxYymLN4sovRocFziubeTndmgEuibvZ4txCBLp9\n"
                              "JDYGYvIi7QV7Vi2oj9FYT5+7hPfRIEuoBDEkBt/6sVUFaYo4jmi+s+eq3OueHRIz\n"
                              "oL7+l0XqB0dO+ebo3oIAM51y8IlSUDNja5OUHXnD0y78uZFiPjVAv9jsxa3qCWnN\n"
                              "2bNmxjU9dG/6dHrYRlxRgWLhHnityE7268U4LaDQ8GTy4K1jF6W4qNNxKZ7RvY5H\n"
                              "OZXnKajWjArOT6y9GtnUbKWm+M4FNiycprXYtYNNcQKBgQD1+A5rnNGgCifX8U/Q\n"
                              "6BQ80aq3HYElR+jVw/TFnNOQtFoprHwswi79kfR/t1UY+3L7rH2Z/KvM9BHBoVMY\n"
                              "R/Bd9OuN9nUVuuQO/qVFjDiGj4n4Lg+OEWIBgE2G8pEfuQ9nefmRmV0TnZH480Te\n"
                              "Xf+yv8GRoODxD8XfMvIYKHJECQKBgQDXhynwLrupQXShXirKxmQbSw9nYkaaP0ds\n"
                              "sbsjrNM6DAmGaZiRjF1jdUG5QVGFzdjpI0r4lq1+J9P0/ivSv4OSHrCIE/UTg9Bv\n"
                              "bVL1jNPz5gpAcG2jzcZ6MdUE/XHAAU6vtiSw1XDj074AlKPk5h17aAzQfA1ZadA6\n"
                              "bBe2xD4h5QKBgQCiLTL820IP/oI0zGPu/wZQ74FbCTYcqaQoRfK+1N9d2rxUG+kn\n"
                              "7cTj5fdKukt+lFRFAn8yJ7nzAb4vaDoMmWov2Qvy51xdvoMeK+I2z/R5LG0w2NXi\n"
                              "uy1ehgUYBBmRzAgPFwppaLBI/azAc02mPF4asnpjlaqa5uZ1evbK3OgyWQKBgHw/\n"
                              "koDBIDRJ5MemNrshNdK6Kc4qzJLdifpyV3UQi9C54b/YHjlCFxBgJ5x5uFqPuc1l\n"
                              "KDI5AxloMnvZD0B2YY4aHSDFiJJQehfSiXG/Vu0TH7PYXIyC8zm8gpZW2X2cA1Wu\n"
                              "hmZfFa5xgeZpyjYKJtLewAxsh3GVW5JigCU/6qW1AoGBAI+fsjrTreSaDMQiHbVa\n"
                              "QlDiyokc+ivcXx6JSMq8N/rN0wtiFdBsxUO5nosUwCEGzMsv9WXmvNNj02cxO3Ca\n"
                              "A+FkAWSPsb1+oCnCAmPceuI85GNykcu/OyCzbCOrMEk7+Z02eXnHBf0y90WjExPi\n"
                              "V++eE+8KK3IjB9NdfKm41New\n"
                              "-----END PRIVATE KEY-----\n";

static void must(bool done, const char *what)
{
    if (!done) {
        (void)fprintf(stderr, "test certificates: %s failed\n", what);
        ERR_print_errors_fp(stderr);
        abort();
    }
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    must(extension != NULL && X509_add_ext(cert, extension, -1) == 1, value);
    X509_EXTENSION_free(extension);
}

static void set_serial(X509 *cert)
{
    uint64_t serial = 0;

    must(RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1, "random serial");
    must(ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1 | 1) == 1, "serial");
}

static EVP_PKEY *make_key(const struct test_cert_spec *spec)
{
    if (spec->key != NULL) {
        must(EVP_PKEY_up_ref(spec->key) == 1, "key reference");
        return spec->key;
    }
    if (!spec->is_rsa) {
        return EVP_EC_gen(spec->curve != NULL ? spec->curve : "P-256");
    }
    BIO *pem = BIO_new_mem_buf(rsa_key, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(pem, NULL, NULL, NULL);
    must(key != NULL, "the RSA key");
    BIO_free(pem);
    return key;
}

static void set_time(ASN1_TIME *time, long seconds, const char *text)
{
    /* A text alone would leave it without a type. */
    must(X509_gmtime_adj(time, seconds) != NULL, "time");
    must(text == NULL || ASN1_STRING_set(time, text, -1) == 1, "text for a time");
}

static void set_dates(X509 *cert, const struct test_cert_spec *spec)
{
    bool by_default = spec->from_s == 0 && spec->until_s == 0;

    set_time(X509_getm_notBefore(cert), by_default ? -3600 : spec->from_s, spec->from_text);
    set_time(X509_getm_notAfter(cert), by_default ? 30 * TEST_DAY_S : spec->until_s,
             spec->until_text);
}

void test_cert_make(struct test_cert *out, const struct test_cert_spec *spec)
{
    X509 *cert = X509_new();
    X509 *issuer = spec->issuer != NULL ? spec->issuer->cert : cert;
    X509_NAME *subject = X509_get_subject_name(cert);

    out->cert = cert;
    out->key = make_key(spec);
    must(out->key != NULL, "key");
    must(X509_set_version(cert, X509_VERSION_3) == 1, "version");
    set_serial(cert);
    set_dates(cert, spec);
    if (spec->common_name != NULL) {
        must(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                        (const unsigned char *)spec->common_name, -1, -1, 0) == 1,
             "common name");
    }
    must(X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1, "issuer");
    must(X509_set_pubkey(cert, out->key) == 1, "public key");
    add_extension(cert, issuer, NID_basic_constraints,
                  spec->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (spec->is_ca || spec->key_usage != NULL) {
        add_extension(cert, issuer, NID_key_usage,
                      spec->key_usage != NULL ? spec->key_usage : "critical,keyCertSign,cRLSign");
    }
    if (spec->extended_key_usage != NULL) {
        add_extension(cert, issuer, NID_ext_key_usage, spec->extended_key_usage);
    }
    if (spec->info_access != NULL) {
        add_extension(cert, issuer, NID_info_access, spec->info_access);
    }
    add_extension(cert, issuer, NID_subject_key_identifier, "hash");
    if (spec->issuer != NULL && !spec->lacks_key_id) {
        add_extension(cert, issuer, NID_authority_key_identifier,
                      spec->key_id != NULL ? spec->key_id : "keyid:always");
    }
    if (spec->alternative_names != NULL) {
        add_extension(cert, issuer, NID_subject_alt_name, spec->alternative_names);
    }
    must(X509_sign(cert, spec->issuer != NULL ? spec->issuer->key : out->key, EVP_sha256()) > 0,
         "signature");
}

void test_cert_free(struct test_cert *cert)
{
    X509_free(cert->cert);
    EVP_PKEY_free(cert->key);
    cert->cert = NULL;
    cert->key = NULL;
}

static FILE *open_file(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);

    must(file != NULL, path);
    must(chmod(path, S_IRUSR | S_IWUSR) == 0, path);
    return file;
}

static void put_cert(const struct test_cert *cert, const char *path, const char *mode)
{
    FILE *file = open_file(path, mode);

    must(PEM_write_X509(file, cert->cert) == 1 && fclose(file) == 0, path);
}

static void put_key(const struct test_cert *cert, const char *path, const char *mode,
                    const char *password)
{
    FILE *file = open_file(path, mode);

    must(PEM_write_PKCS8PrivateKey(file, cert->key, password != NULL ? EVP_aes_256_cbc() : NULL,
                                   password, password != NULL ? (int)strlen(password) : 0, NULL,
                                   NULL) == 1 &&
             fclose(file) == 0,
         path);
}

void test_cert_write(const struct test_cert *cert, const char *path)
{
    put_cert(cert, path, "w");
}

void test_cert_append(const struct test_cert *cert, const char *path)
{
    put_cert(cert, path, "a");
}

void test_cert_write_key(const struct test_cert *cert, const char *path, const char *password)
{
    put_key(cert, path, "w", password);
}

void test_cert_append_key(const struct test_cert *cert, const char *path)
{
    put_key(cert, path, "a", NULL);
}

static X509_EXTENSION *make_extension(int nid, const char *value, const struct test_cert *issuer)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&context, issuer->cert, NULL, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    must(extension != NULL, value);
    return extension;
}

static void add_revoked(X509_CRL *crl, const struct test_crl_spec *spec)
{
    const struct test_cert *revoked = spec->revoked;
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *when = X509_gmtime_adj(NULL, -60);

    must(entry != NULL && when != NULL &&
             X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked->cert)) == 1 &&
             X509_REVOKED_set_revocationDate(entry, when) == 1,
         "revoked entry");
    if (spec->entry_extension != 0) {
        X509_EXTENSION *extension =
            make_extension(spec->entry_extension, spec->entry_value, spec->issuer);

        must(X509_REVOKED_add_ext(entry, extension, -1) == 1, "extension of an entry");
        X509_EXTENSION_free(extension);
    }
    must(X509_CRL_add0_revoked(crl, entry) == 1, "revoked entry");
    ASN1_TIME_free(when);
}

static void add_list_extension(X509_CRL *crl, const struct test_crl_spec *spec)
{
    X509_EXTENSION *extension =
        make_extension(spec->extension, spec->extension_value, spec->issuer);

    must(X509_CRL_add_ext(crl, extension, -1) == 1, "extension of a list");
    X509_EXTENSION_free(extension);
}

static void put_crl(const struct test_crl_spec *spec, const char *path, const char *mode)
{
    const struct test_cert *signer = spec->signer != NULL ? spec->signer : spec->issuer;
    long until_s = spec->until_s != 0 ? spec->until_s : 30 * TEST_DAY_S;
    long from_s = spec->from_s != 0 ? spec->from_s : until_s < 0 ? until_s - 3600 : -3600;
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = X509_gmtime_adj(NULL, from_s);
    ASN1_TIME *until = X509_gmtime_adj(NULL, until_s);
    FILE *file = open_file(path, mode);

    must(crl != NULL && from != NULL && until != NULL, "revocation list");
    set_time(until, until_s, spec->until_text);
    must(X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
             X509_CRL_set_issuer_name(crl, X509_get_subject_name(spec->issuer->cert)) == 1 &&
             X509_CRL_set1_lastUpdate(crl, from) == 1 &&
             (spec->is_endless || X509_CRL_set1_nextUpdate(crl, until) == 1),
         "revocation list");
    if (spec->revoked != NULL) {
        add_revoked(crl, spec);
    }
    if (spec->extension != 0) {
        add_list_extension(crl, spec);
    }
    must(X509_CRL_sort(crl) == 1 && X509_CRL_sign(crl, signer->key, EVP_sha256()) > 0 &&
             PEM_write_X509_CRL(file, crl) == 1 && fclose(file) == 0,
         path);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    X509_CRL_free(crl);
}

void test_block_write_twice(const char *from, const char *to)
{
    FILE *in = fopen(from, "r");
    FILE *out = open_file(to, "w");
    unsigned char *der = NULL;
    unsigned char *both;
    char *label = NULL;
    char *header = NULL;
    long len = 0;

    must(in != NULL && PEM_read(in, &label, &header, &der, &len) == 1 && fclose(in) == 0, from);
    both = malloc((size_t)len * 2);
    must(both != NULL, "memory");
    memcpy(both, der, (size_t)len);
    memcpy(both + len, der, (size_t)len);
    must(PEM_write(out, label, "", both, len * 2) > 0 && fclose(out) == 0, to);
    free(both);
    OPENSSL_free(der);
    OPENSSL_free(label);
    OPENSSL_free(header);
}

void test_crl_write(const struct test_crl_spec *spec, const char *path)
{
    put_crl(spec, path, "w");
}

void test_crl_append(const struct test_crl_spec *spec, const char *path)
{
    put_crl(spec, path, "a");
}
