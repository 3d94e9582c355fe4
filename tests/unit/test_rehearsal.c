/* What is said of a server's own certificate before a client finds out, word for word. */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "support/glob_text.h"
#include "support/tls_ends.h"
#include "support/unit.h"
#include "transport/tls/rehearsal.h"

#define CERT "certificate 'own.crt'"
#define NAMES "DNS:localhost"
#define FETCHES "caIssuers;URI:http://ca.test/ca.crt"

static struct tls_files files;
static struct tlsmsg_options *options;
static struct tls_settings settings;
static struct test_cert middle; /* of files.ca */
static struct test_cert odd;    /* the same, with an extension that can't be read */

static int set_up(void **state)
{
    (void)state;
    tls_files_make(&files);
    options = tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                          "server.key", TLSMSG_OPT_COUNT);
    options_tls(options, &settings);
    test_cert_make(&middle, &(struct test_cert_spec){
                                .common_name = "middle", .issuer = &files.ca, .is_ca = true});
    test_cert_make(&odd, &(struct test_cert_spec){.common_name = "odd",
                                                  .issuer = &files.ca,
                                                  .is_ca = true,
                                                  .alternative_names = "DER:0403414141"});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_cert_free(&odd);
    test_cert_free(&middle);
    tlsmsg_options_free(options);
    tls_files_remove(&files);
    return 0;
}

/* Rehearses a certificate with these behind it, and expects one warning or refusal, or none. */
static void rehearse(const struct test_cert *own, X509 *const *issuers, size_t count,
                     const char *refused, const char *warned)
{
    const struct file file = {.name = "own.crt"};
    struct rehearsed it = {
        .file = &file, .leaf = own->cert, .key = own->key, .issuers = sk_X509_new_null()};
    struct load_report report = {.items = NULL};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum tlsmsg_code code;

    for (size_t i = 0; i < count; i++) {
        assert_true(sk_X509_push(it.issuers, issuers[i]) > 0);
    }
    code = rehearse_certificate(&it, &settings, &report, &err);
    assert_int_equal(ERR_peek_error(), 0); /* nothing that another call would take for its own */
    expect_text("the refusal", refused, err.text);
    assert_int_equal(code, refused != NULL ? TLSMSG_ERR_CONFIG : TLSMSG_OK);
    assert_int_equal(err.code, code);
    assert_int_equal(err.sys_errno, 0);
    assert_int_equal(report.warning_count, warned != NULL ? 1 : 0);
    if (warned != NULL) {
        assert_string_equal(report.warnings[0], warned);
    }
    load_report_fini(&report);
    sk_X509_free(it.issuers);
}

struct says {
    const char *name;
    struct test_cert_spec spec;
    const char *refused;
    const char *warned;
};

static const struct says rows[] = {
    {"fine", {.alternative_names = NAMES}, NULL, NULL},
    {"an address", {.alternative_names = "IP:192.0.2.1"}, NULL, NULL},
    {"beyond reading",
     {.alternative_names = "DER:0403414141"},
     CERT " has extensions that can't be read",
     NULL},
    {"for clients alone",
     {.alternative_names = NAMES, .extended_key_usage = "clientAuth"},
     CERT " is not for servers (extended key usage: clientAuth alone): every client refuses it; "
          "try: one with serverAuth",
     NULL},
    {"for something else",
     {.alternative_names = NAMES, .extended_key_usage = "codeSigning"},
     CERT " is not for servers (extended key usage: no serverAuth): every client refuses it; try: "
          "one with serverAuth",
     NULL},
    {"for servers", {.alternative_names = NAMES, .extended_key_usage = "serverAuth"}, NULL, NULL},
    {"for both",
     {.alternative_names = NAMES, .extended_key_usage = "clientAuth,serverAuth"},
     NULL,
     NULL},
    {"for anything",
     {.alternative_names = NAMES, .extended_key_usage = "anyExtendedKeyUsage"},
     NULL,
     NULL},
    {"for signing", {.alternative_names = NAMES, .key_usage = "digitalSignature"}, NULL, NULL},
    {"not for signing",
     {.alternative_names = NAMES, .key_usage = "keyAgreement"},
     CERT " is not for signing (its key usage lacks digitalSignature), which every handshake "
          "needs; try: one with it",
     NULL},
    {"an address as a name",
     {.alternative_names = "DNS:localhost,DNS:192.0.2.1"},
     NULL,
     CERT " has an address as a DNS name, which matches no client's; try: IP:ADDRESS in its "
          "subjectAltName"},
    {"an IPv6 address as a name",
     {.alternative_names = "DNS:2001_db8__1,DNS:::1"},
     NULL,
     CERT " has an address as a DNS name, which matches no client's; try: IP:ADDRESS in its "
          "subjectAltName"},
    {"no name",
     {.alternative_names = NULL},
     NULL,
     CERT " has no name that a client could match (a CN does not count); try: one with DNS names "
          "or addresses in its subjectAltName"},
    {"a mail address alone",
     {.alternative_names = "email:a@b.test"},
     NULL,
     CERT " has no name that a client could match (a CN does not count); try: one with DNS names "
          "or addresses in its subjectAltName"},
    {"a curve of TLS 1.3",
     {.alternative_names = NAMES, .curve = "P-521"},
     NULL,
     CERT ": clients with TLS 1.2 alone can't use its key (secp521r1)"},
    {"RSA", {.alternative_names = NAMES, .is_rsa = true}, NULL, NULL},
    {"P-384", {.alternative_names = NAMES, .curve = "P-384"}, NULL, NULL},
    {"a curve of none",
     {.alternative_names = NAMES, .curve = "secp256k1"},
     CERT
     ": no client can use its key (secp256k1) under this TLS policy; try: ECDSA with P-256, or "
     "RSA with 2048 bits or more",
     NULL},
};

static void is_told(void **state)
{
    const struct says *row = *state;
    struct test_cert_spec spec = row->spec;
    struct test_cert own;

    spec.common_name = "own";
    test_cert_make(&own, &spec);
    rehearse(&own, NULL, 0, row->refused, row->warned);
    test_cert_free(&own);
}

/* What the policy refuses to load at all, in the library's words. */
static void a_key_that_is_too_weak(void **state)
{
    EVP_PKEY *key = EVP_RSA_gen(1024);
    struct test_cert own;

    (void)state;
    assert_non_null(key);
    test_cert_make(&own, &(struct test_cert_spec){
                             .common_name = "own", .alternative_names = NAMES, .key = key});
    rehearse(&own, NULL, 0, "cannot use " CERT " and its key: *", NULL);
    test_cert_free(&own);
    EVP_PKEY_free(key);
}

/* An RSA key for a digest that TLS has no signature with. */
static void a_key_that_no_signature_is_made_with(void **state)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_RSA_PSS, NULL);
    EVP_PKEY *key = NULL;
    struct test_cert own;

    (void)state;
    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_keygen_md(ctx, EVP_sha224()), 1);
    assert_int_equal(EVP_PKEY_keygen(ctx, &key), 1);
    test_cert_make(&own, &(struct test_cert_spec){.common_name = "own",
                                                  .alternative_names = NAMES,
                                                  .issuer = &files.ca,
                                                  .key = key});
    rehearse(&own, NULL, 0,
             CERT ": no client can use its key (RSA-PSS) under this TLS policy; try: ECDSA with "
                  "P-256, or RSA with 2048 bits or more",
             NULL);
    test_cert_free(&own);
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
}

/* --- the chain ----------------------------------------------------------------------------------- */

/* Two CAs that have certified each other, so that there is no end to the way up. */
static void a_chain_may_go_in_a_circle(void **state)
{
    struct test_cert self; /* whose key `one` has */
    struct test_cert one;
    struct test_cert two;
    struct test_cert own;

    (void)state;
    test_cert_make(&self, &(struct test_cert_spec){.common_name = "one", .is_ca = true});
    test_cert_make(&two,
                   &(struct test_cert_spec){.common_name = "two", .issuer = &self, .is_ca = true});
    test_cert_make(&one, &(struct test_cert_spec){
                             .common_name = "one", .issuer = &two, .key = self.key, .is_ca = true});
    test_cert_make(&own, &(struct test_cert_spec){
                             .common_name = "own", .alternative_names = NAMES, .issuer = &one});
    rehearse(&own, (X509 *const[]){one.cert, two.cert}, 2, NULL, NULL);
    test_cert_free(&own);
    test_cert_free(&one);
    test_cert_free(&two);
    test_cert_free(&self);
}

static void chains_are_told(void **state)
{
    X509 *const ca = files.ca.cert;
    X509 *const mid = middle.cert;
    X509 *const other = files.alice.cert;
    const struct {
        const struct test_cert *issuer;
        const char *info_access;
        X509 *behind[3];
        size_t count;
        bool checks;
        const char *warned;
    } chains[] = {
        {&files.ca, NULL, {ca}, 1, true, NULL},
        {&files.ca, NULL, {NULL}, 0, false, NULL},
        {&files.ca,
         NULL,
         {NULL},
         0,
         true,
         "'own.crt' does not hold the certificate of its issuer 'CN=test CA', so clients need it "
         "among their CAs; try: append it, unless it is a root that they have"},
        {&files.ca,
         FETCHES,
         {NULL},
         0,
         false,
         "'own.crt' lacks the certificate of its issuer 'CN=test CA', without which most clients "
         "refuse it; try: the CA's full chain"},
        {&files.ca, "OCSP;URI:http://ca.test/", {NULL}, 0, false, NULL},
        {&middle, FETCHES, {mid}, 1, true, NULL},
        {&middle, NULL, {mid, ca}, 2, true, NULL},
        {&middle,
         NULL,
         {ca, mid},
         2,
         true,
         "'own.crt' has its certificates out of order; try: the server's certificate, then each "
         "one's issuer"},
        {&middle,
         NULL,
         {mid, other},
         2,
         true,
         "'own.crt' lacks the certificate of 'CN=test CA' between others of the chain; try: the "
         "server's certificate, then each one's issuer"},
        {&middle,
         NULL,
         {ca},
         1,
         true,
         "'own.crt' lacks the certificate of 'CN=middle' between others of the chain; try: the "
         "server's certificate, then each one's issuer"},
        {&odd,
         NULL,
         {odd.cert},
         1,
         true,
         "'own.crt' lacks the certificate of 'CN=odd' between others of the chain; try: the "
         "server's certificate, then each one's issuer"},
        {&files.ca,
         NULL,
         {ca, other},
         2,
         true,
         "'own.crt' holds 1 certificate that is not of the chain; try: without"},
        {&files.ca,
         NULL,
         {ca, other, mid},
         3,
         true,
         "'own.crt' holds 2 certificates that are not of the chain; try: without"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(chains); i++) {
        struct test_cert own;

        test_cert_make(&own, &(struct test_cert_spec){.common_name = "own",
                                                      .alternative_names = NAMES,
                                                      .issuer = chains[i].issuer,
                                                      .info_access = chains[i].info_access});
        settings.checks = chains[i].checks;
        rehearse(&own, chains[i].behind, chains[i].count, NULL, chains[i].warned);
        test_cert_free(&own);
    }
    settings.checks = false;
}

/* --- what a request can hold ---------------------------------------------------------------------- */

/* An organisation of 56 letters is a name of 69 bytes, and takes two more in the list. */
#define NAME_LETTERS 56
#define ENTRY_BYTES 71
#define NAMES_FIT ((65535 - 2048) / ENTRY_BYTES)

static void request_names_that_do_not_fit_are_left_out(void **state)
{
    static const char warning[] =
        "the names of the %d CAs of --client-ca don't fit into a certificate request: clients are "
        "told none, and choose by themselves";

    (void)state;
    for (int more = 0; more < 2; more++) {
        int count = NAMES_FIT + more;
        SSL_CTX *ctx = SSL_CTX_new(TLS_method());
        STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
        struct load_report report = {.items = NULL};
        char text[256];

        (void)snprintf(text, sizeof(text), warning, count);
        assert_true(ctx != NULL && names != NULL);
        for (int i = 0; i < count; i++) {
            X509_NAME *name = X509_NAME_new();
            char letters[NAME_LETTERS + 1];

            (void)snprintf(letters, sizeof(letters), "%056d", i);
            assert_int_equal(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC,
                                                        (const unsigned char *)letters, -1, -1, 0),
                             1);
            assert_int_equal(i2d_X509_NAME(name, NULL), ENTRY_BYTES - 2);
            assert_true(sk_X509_NAME_push(names, name) > 0);
        }
        SSL_CTX_set_client_CA_list(ctx, names);
        rehearse_request(ctx, &report);
        assert_int_equal(report.warning_count, more);
        assert_int_equal(sk_X509_NAME_num(SSL_CTX_get_client_CA_list(ctx)), more ? 0 : count);
        if (more) {
            assert_string_equal(report.warnings[0], text);
        }
        load_report_fini(&report);
        SSL_CTX_free(ctx);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_is_too_weak),
        cmocka_unit_test(chains_are_told),
        cmocka_unit_test(a_chain_may_go_in_a_circle),
        cmocka_unit_test(a_key_that_no_signature_is_made_with),
        cmocka_unit_test(request_names_that_do_not_fit_are_left_out),
    };
    int failed = 0;

    (void)set_up(NULL);
    RUN_ROWS(failed, is_told, rows);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    (void)tear_down(NULL);
    return failed;
}
