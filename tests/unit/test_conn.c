/* What there is to know of a connection: what TLS agreed on, and the certificates it was shown. */
#include <stdio.h>
#include <string.h>

#include "support/config.h"
#include "support/tls_ends.h"
#include "support/unit.h"
#include "transport/tls/internal.h"
#include "transport/tls/known_servers.h"

static struct tls_files files;
static struct transport_config *server;

static int set_up(void **state)
{
    (void)state;
    tls_files_make(&files);
    server = tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                        "server.key", TLSMSG_OPT_CLIENT_CA, "ca.crt", TLSMSG_OPT_COUNT);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    transport_config_unref(server);
    tls_files_remove(&files);
    return 0;
}

static struct transport_config *client_with(enum tlsmsg_option option, const char *value)
{
    return tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, "ca.crt", TLSMSG_OPT_CERT,
                      "alice.crt", TLSMSG_OPT_KEY, "alice.key", option, value, TLSMSG_OPT_COUNT);
}

static void nothing_is_known_before(void **state)
{
    struct transport_config *config = client_with(TLSMSG_OPT_COUNT, NULL);
    struct tlsmsg_tls tls = {.version = "x", .resumed = true};
    struct tlsmsg_certificate shown;
    struct pair p;

    (void)state;
    pair_init(&p, server, config, "localhost");
    assert_false(transport_describe(p.client.transport, &tls));
    assert_null(tls.version);
    assert_null(tls.cipher);
    assert_null(tls.group);
    assert_null(tls.identity);
    assert_null(tls.protocol);
    assert_false(tls.resumed);
    assert_false(transport_peer_certificate(p.client.transport, 0, &shown));
    assert_false(transport_heard(p.client.transport));
    pair_fini(&p);
    transport_config_unref(config);
}

static void both_ends_know_what_was_agreed_on(void **state)
{
    static const struct {
        const char *document_flow;
        const char *protocol;
    } rows[] = {{"0", "tlsmsg/1"}, {"1", NULL}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct transport_config *config =
            client_with(TLSMSG_OPT_DOCUMENT_FLOW, rows[i].document_flow);
        struct tlsmsg_tls of_client;
        struct tlsmsg_tls of_server;
        struct pair p;

        pair_init(&p, server, config, "localhost");
        assert_true(pair_open(&p, TLS_STEPS));
        assert_true(transport_describe(p.client.transport, &of_client));
        assert_true(transport_describe(p.server.transport, &of_server));
        assert_string_equal(of_client.version, "TLSv1.3");
        assert_string_equal(of_server.version, "TLSv1.3");
        assert_string_equal(of_client.cipher, of_server.cipher);
        assert_int_equal(strncmp(of_client.cipher, "TLS_", 4), 0);
        assert_non_null(of_client.group);
        assert_string_equal(of_client.group, of_server.group);
        assert_string_equal(of_client.identity, "DNS:localhost");
        assert_string_equal(of_server.identity, "CN=alice");
        assert_false(of_client.resumed);
        assert_false(of_server.resumed);
        if (rows[i].protocol != NULL) {
            assert_string_equal(of_client.protocol, rows[i].protocol);
            assert_string_equal(of_server.protocol, rows[i].protocol);
        } else {
            assert_null(of_client.protocol);
            assert_null(of_server.protocol);
        }
        /* Asked again it is the same, and no more memory is taken for it. */
        assert_true(transport_describe(p.server.transport, &of_client));
        assert_ptr_equal(of_client.identity, of_server.identity);
        assert_ptr_equal(of_client.group, of_server.group);
        assert_true(transport_heard(p.client.transport));
        pair_fini(&p);
        transport_config_unref(config);
    }
}

/* Whatever else a client offers, a server goes on, in the document's flow. */
static void other_protocols_are_passed_over(void **state)
{
    static const struct {
        const char *offer; /* on the wire: each name behind its length */
        const char *protocol;
    } rows[] = {
        {"\x08tlsmsg/1", "tlsmsg/1"},
        {"\x02h2\x08tlsmsg/1", "tlsmsg/1"},
        {"\x08tlsmsg/1\x02h2", "tlsmsg/1"},
        {"\x02h2", NULL},
        {"\x02h2\x08http/1.1", NULL},
        {"\x08tlsmsg/2", NULL},
        {"\x09tlsmsg/10", NULL},
        {"\x07tlsmsg/", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct bare_client c;
        struct tlsmsg_tls tls;

        bare_client_init(&c, &files, TLS1_3_VERSION);
        assert_int_equal(SSL_CTX_use_certificate(c.ctx, files.alice.cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(c.ctx, files.alice.key), 1);
        assert_int_equal(SSL_CTX_set_alpn_protos(c.ctx, (const unsigned char *)rows[i].offer,
                                                 (unsigned)strlen(rows[i].offer)),
                         0);
        bare_client_join(&c, server, NULL);
        assert_true(bare_client_handshake(&c));
        assert_true(transport_describe(c.server.transport, &tls));
        if (rows[i].protocol != NULL) {
            assert_string_equal(tls.protocol, rows[i].protocol);
        } else {
            assert_null(tls.protocol);
        }
        bare_client_fini(&c);
    }
}

/* A client that refuses what it was shown can say so in full. */
static void a_failed_handshake_is_known_as_far_as_it_came(void **state)
{
    struct transport_config *config = client_with(TLSMSG_OPT_COUNT, NULL);
    struct tlsmsg_certificate shown;
    struct tlsmsg_tls tls;
    struct pair p;

    (void)state;
    pair_init(&p, server, config, "other.test");
    assert_true(pair_open(&p, TLS_STEPS));
    assert_int_equal(p.client.code, TLSMSG_ERR_UNTRUSTED);
    assert_true(transport_describe(p.client.transport, &tls));
    assert_string_equal(tls.version, "TLSv1.3");
    assert_non_null(tls.cipher);
    assert_null(tls.identity); /* of nobody who was let in */
    assert_true(transport_peer_certificate(p.client.transport, 0, &shown));
    assert_string_equal(shown.subject, "CN=server");
    pair_fini(&p);
    transport_config_unref(config);
}

static void certificates_are_told_in_full(void **state)
{
    struct transport_config *config;
    struct tlsmsg_certificate shown;
    struct test_cert root;
    struct test_cert middle;
    struct test_cert leaf;
    struct bare_server s;
    struct pin pin;

    (void)state;
    test_cert_make(&root, &(struct test_cert_spec){.common_name = "root", .is_ca = true});
    test_cert_make(
        &middle, &(struct test_cert_spec){.common_name = "middle", .issuer = &root, .is_ca = true});
    test_cert_make(&leaf, &(struct test_cert_spec){.common_name = "leaf",
                                                   .issuer = &middle,
                                                   .alternative_names = "DNS:a.test,IP:192.0.2.7",
                                                   .from_text = "200102030405Z",
                                                   .until_text = "400506070809Z"});
    assert_true(pin_of(leaf.cert, &pin));
    config = tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_PIN, pin.text, TLSMSG_OPT_COUNT);
    bare_server_init(&s, &leaf, 0);
    assert_int_equal(SSL_CTX_add1_chain_cert(s.ctx, middle.cert), 1);
    bare_server_join(&s, config, "a.test");
    assert_true(bare_server_handshake(&s));

    assert_true(transport_peer_certificate(s.client.transport, 0, &shown));
    assert_string_equal(shown.subject, "CN=leaf");
    assert_string_equal(shown.issuer, "CN=middle");
    assert_string_equal(shown.names, "a.test, 192.0.2.7");
    assert_string_equal(shown.pin, pin.text);
    assert_true(shown.not_before_unix_s == INT64_C(1577934245));
    assert_true(shown.not_after_unix_s == INT64_C(2219900889));
    assert_true(transport_peer_certificate(s.client.transport, 1, &shown));
    assert_string_equal(shown.subject, "CN=middle");
    assert_string_equal(shown.issuer, "CN=root");
    assert_string_equal(shown.names, "no name");
    assert_false(transport_peer_certificate(s.client.transport, 2, &shown));
    assert_string_equal(shown.subject, "CN=middle"); /* left alone */
    bare_server_fini(&s);
    transport_config_unref(config);
    test_cert_free(&leaf);
    test_cert_free(&middle);
    test_cert_free(&root);
}

/* Options that do nothing by themselves, and files that can't be what they are to be. */
static void options_that_need_others(void **state)
{
    static const struct {
        enum tlsmsg_role role;
        enum tlsmsg_option option;
        const char *value;
        const char *text;
    } rows[] = {
        {TLSMSG_ROLE_CLIENT, TLSMSG_OPT_KEY, "alice.key",
         "--key and --key-password-file need --cert FILE"},
        {TLSMSG_ROLE_CLIENT, TLSMSG_OPT_KEY_PASSWORD_FILE, "alice.key",
         "--key and --key-password-file need --cert FILE"},
        {TLSMSG_ROLE_SERVER, TLSMSG_OPT_COUNT, NULL,
         "a TLS server needs --cert FILE and --key FILE (scripts/gen-certs.sh makes them)"},
        {TLSMSG_ROLE_SERVER, TLSMSG_OPT_CRL, "ca.crl",
         "--crl needs --client-ca FILE: without it no client shows a certificate"},
        {TLSMSG_ROLE_SERVER, TLSMSG_OPT_TICKET_KEYS, "/dev/null",
         "cannot read ticket key file '/dev/null': it is not a regular file"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bool has_pair = rows[i].role == TLSMSG_ROLE_SERVER && rows[i].option != TLSMSG_OPT_COUNT;
        struct tlsmsg_options *options =
            has_pair ? tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt",
                                   TLSMSG_OPT_KEY, "server.key", rows[i].option, rows[i].value,
                                   TLSMSG_OPT_COUNT)
                     : tls_options(&files, rows[i].role, rows[i].option, rows[i].value,
                                   TLSMSG_OPT_COUNT);
        struct transport_config *config = NULL;
        struct tlsmsg_error err = {.code = TLSMSG_OK};

        assert_int_equal(config_from_options(options, NULL, &config, &err), TLSMSG_ERR_CONFIG);
        assert_null(config);
        assert_string_equal(err.text, rows[i].text);
        assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
        tlsmsg_options_free(options);
    }
}

/* Nothing to hold a certificate against: a mistake that is told before a byte is sent. */
static void a_client_needs_a_name(void **state)
{
    static const struct {
        const char *name;
        const char *text;
    } rows[] = {
        {NULL, "'' is not a server name (a name with other letters is written as xn--...)"},
        {"a b", "'a b' is not a server name (a name with other letters is written as xn--...)"},
    };
    struct transport_config *config = client_with(TLSMSG_OPT_COUNT, NULL);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct memory_source source;
        struct memory_pipe pipe;
        struct transport *transport = NULL;
        struct tlsmsg_error err = {.code = TLSMSG_OK};

        memory_pipe_init(&pipe, 16);
        memory_source_init(&source, &pipe, &pipe);
        assert_int_equal(transport_new(config, &source.base, rows[i].name, &transport, &err),
                         TLSMSG_ERR_CONFIG);
        assert_null(transport);
        assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
        assert_string_equal(err.text, rows[i].text);
        memory_pipe_fini(&pipe);
    }
    transport_free(NULL);
    transport_config_unref(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_before),
        cmocka_unit_test(both_ends_know_what_was_agreed_on),
        cmocka_unit_test(other_protocols_are_passed_over),
        cmocka_unit_test(a_failed_handshake_is_known_as_far_as_it_came),
        cmocka_unit_test(certificates_are_told_in_full),
        cmocka_unit_test(options_that_need_others),
        cmocka_unit_test(a_client_needs_a_name),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
