/* Several certificates on one server: which of them a client is shown, by the name it asks for and
 * by the kinds of key it can verify. */
#include "support/unit.h"

#include <string.h>

#include "support/tls_ends.h"

static struct tls_files files;
static struct transport_config *config;

static void make(const char *name, const char *alternative_names, bool is_rsa)
{
    tls_files_leaf(&files, name,
                   &(struct test_cert_spec){.common_name = name,
                                            .alternative_names = alternative_names,
                                            .is_rsa = is_rsa});
}

/* In the order of the options: the first is for everybody without a better one. */
static int set_up(void **state)
{
    (void)state;
    tls_files_make(&files);
    make("first", "DNS:first.example,IP:127.0.0.1", false);
    make("second", "DNS:second.example", false);
    make("second-again", "DNS:second.example,DNS:other.example", false);
    make("both-ecdsa", "DNS:both.example", false);
    make("both-rsa", "DNS:both.example", true);
    make("star", "DNS:*.wild.example", false);
    make("common.example", NULL, false);
    config = tls_config(
        &files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "first.crt", TLSMSG_OPT_KEY, "first.key",
        TLSMSG_OPT_CERT, "second.crt", TLSMSG_OPT_KEY, "second.key", TLSMSG_OPT_CERT,
        "second-again.crt", TLSMSG_OPT_KEY, "second-again.key", TLSMSG_OPT_CERT, "both-ecdsa.crt",
        TLSMSG_OPT_KEY, "both-ecdsa.key", TLSMSG_OPT_CERT, "both-rsa.crt", TLSMSG_OPT_KEY,
        "both-rsa.key", TLSMSG_OPT_CERT, "star.crt", TLSMSG_OPT_KEY, "star.key", TLSMSG_OPT_CERT,
        "common.example.crt", TLSMSG_OPT_KEY, "common.example.key", TLSMSG_OPT_COUNT);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    transport_config_unref(config);
    tls_files_remove(&files);
    return 0;
}

#define ECDSA "ECDSA+SHA256"
#define RSA "RSA-PSS+SHA256"

struct choice {
    const char *name;
    const char *asked;    /* NULL: no name */
    const char *verifies; /* signature algorithms of the client */
    const char *shown;    /* common name; NULL: none, the handshake fails */
};

static const struct choice choices[] = {
    {"no name", NULL, ECDSA ":" RSA, "first"},
    {"no name, RSA alone", NULL, RSA, "both-rsa"},
    {"the first", "first.example", ECDSA ":" RSA, "first"},
    {"the second", "second.example", ECDSA ":" RSA, "second"},
    {"in other case", "SECOND.Example", ECDSA ":" RSA, "second"},
    {"its second name", "other.example", ECDSA ":" RSA, "second-again"},
    {"a name of nobody", "nobody.example", ECDSA ":" RSA, "first"},
    {"part of a name", "example", ECDSA ":" RSA, "first"},
    {"both kinds, ECDSA first", "both.example", ECDSA ":" RSA, "both-ecdsa"},
    {"both kinds, ECDSA alone", "both.example", ECDSA, "both-ecdsa"},
    {"both kinds, RSA alone", "both.example", RSA, "both-rsa"},
    {"one kind, RSA alone", "second.example", RSA, NULL},
    {"a wildcard", "a.wild.example", ECDSA ":" RSA, "star"},
    {"a wildcard for two labels", "a.b.wild.example", ECDSA ":" RSA, "first"},
    {"a wildcard for none", "wild.example", ECDSA ":" RSA, "first"},
    {"a common name", "common.example", ECDSA ":" RSA, "first"},
};

static void test_choice(void **state)
{
    const struct choice *row = *state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct bare_client c;
        char name[64] = "";

        bare_client_init(&c, &files, versions[i]);
        assert_int_equal(SSL_CTX_set1_sigalgs_list(c.ctx, row->verifies), 1);
        bare_client_join(&c, config, NULL);
        assert_int_equal(SSL_set_tlsext_host_name(c.ssl, row->asked), 1);
        assert_int_equal(bare_client_handshake(&c), row->shown != NULL);
        if (row->shown != NULL) {
            (void)X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(c.ssl)),
                                            NID_commonName, name, sizeof(name));
            assert_string_equal(name, row->shown);
        }
        bare_client_fini(&c);
    }
}

/* With one certificate there is nothing to choose, and every name gets it. */
static void test_one_certificate_is_for_every_name(void **state)
{
    struct transport_config *one =
        tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "second.crt", TLSMSG_OPT_KEY,
                   "second.key", TLSMSG_OPT_COUNT);
    struct bare_client c;

    (void)state;
    bare_client_init(&c, &files, TLS1_3_VERSION);
    bare_client_join(&c, one, NULL);
    assert_int_equal(SSL_set_tlsext_host_name(c.ssl, "first.example"), 1);
    assert_true(bare_client_handshake(&c));
    bare_client_fini(&c);
    transport_config_unref(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_certificate_is_for_every_name)};
    int failed = 0;

    (void)set_up(NULL);
    RUN_ROWS(failed, test_choice, choices);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    (void)tear_down(NULL);
    return failed;
}
