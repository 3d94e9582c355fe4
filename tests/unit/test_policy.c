/* The TLS policy, from outside: what a client may and may not agree on with our server. */
#include <string.h>

#include <openssl/err.h>

#include "support/tls_ends.h"
#include "support/unit.h"
#include "transport/tls/policy.h"

static struct tls_files files;
static struct transport_config *server;
static struct transport_config *strict_server; /* --tls-min 1.3, an RSA certificate beside */

struct row {
    const char *name;
    int version;
    const char *suites; /* NULL: the library's */
    const char *groups; /* NULL: the library's */
    bool is_strict;
    const char *cipher; /* agreed on; NULL: refused */
    const char *group;  /* likewise; NULL: any */
    const char *text;   /* part of the server's cause where refused */
};

static const struct row rows[] = {
    {"TLS 1.3", TLS1_3_VERSION, NULL, NULL, false, "TLS_AES_256_GCM_SHA384", NULL, NULL},
    {"TLS 1.3, AES-128", TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", NULL, false,
     "TLS_AES_128_GCM_SHA256", NULL, NULL},
    {"TLS 1.3, ChaCha20", TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", NULL, false,
     "TLS_CHACHA20_POLY1305_SHA256", NULL, NULL},
    {"TLS 1.3, a client that prefers ChaCha20", TLS1_3_VERSION,
     "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384", NULL, false,
     "TLS_CHACHA20_POLY1305_SHA256", NULL, NULL},
    {"TLS 1.3, the server's preference", TLS1_3_VERSION,
     "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384", NULL, false, "TLS_AES_256_GCM_SHA384", NULL,
     NULL},
    {"TLS 1.3, CCM only", TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256", NULL, false, NULL, NULL,
     "no cipher suite in common"},
    {"TLS 1.2", TLS1_2_VERSION, NULL, NULL, false, "ECDHE-ECDSA-AES256-GCM-SHA384", NULL, NULL},
    {"TLS 1.2, AES-128", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, false,
     "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, NULL},
    {"TLS 1.2, ChaCha20", TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", NULL, false,
     "ECDHE-ECDSA-CHACHA20-POLY1305", NULL, NULL},
    {"TLS 1.2, CBC", TLS1_2_VERSION, "ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA", NULL,
     false, NULL, NULL, "no cipher suite in common"},
    {"TLS 1.2, RSA key exchange", TLS1_2_VERSION, "AES256-GCM-SHA384:AES128-GCM-SHA256", NULL,
     false, NULL, NULL, "no cipher suite in common"},
    {"TLS 1.2, finite field groups", TLS1_2_VERSION, "DHE-RSA-AES256-GCM-SHA384", NULL, false, NULL,
     NULL, "no cipher suite in common"},
    {"TLS 1.1", TLS1_1_VERSION, "ALL:@SECLEVEL=0", NULL, false, NULL, NULL,
     "no TLS version that is allowed"},
    {"TLS 1.0", TLS1_VERSION, "ALL:@SECLEVEL=0", NULL, false, NULL, NULL,
     "no TLS version that is allowed"},
    {"TLS 1.2 where 1.3 is the least", TLS1_2_VERSION, NULL, NULL, true, NULL, NULL,
     "no TLS version that is allowed"},
    {"TLS 1.3 where it is the least", TLS1_3_VERSION, NULL, NULL, true, "TLS_AES_256_GCM_SHA384",
     NULL, NULL},
    {"X25519", TLS1_3_VERSION, NULL, "X25519", false, "TLS_AES_256_GCM_SHA384", "X25519", NULL},
    {"P-256", TLS1_3_VERSION, NULL, "P-256", false, "TLS_AES_256_GCM_SHA384", "P-256", NULL},
    {"P-384", TLS1_3_VERSION, NULL, "P-384", false, "TLS_AES_256_GCM_SHA384", "P-384", NULL},
    {"X25519 in TLS 1.2", TLS1_2_VERSION, NULL, "X25519:P-256", false,
     "ECDHE-ECDSA-AES256-GCM-SHA384", "X25519", NULL},
    {"P-384 in TLS 1.2", TLS1_2_VERSION, NULL, "P-384:P-256", false,
     "ECDHE-ECDSA-AES256-GCM-SHA384", NULL, NULL},
    {"X448", TLS1_3_VERSION, NULL, "X448", false, NULL, NULL, "no key exchange group in common"},
    {"P-521", TLS1_3_VERSION, NULL, "P-521", false, NULL, NULL, "no key exchange group in common"},
};

static void test_agreements(void **state)
{
    const struct row *row = *state;
    struct tlsmsg_tls tls;
    struct bare_client c;

    bare_client_init(&c, &files, row->version);
    if (row->suites != NULL) {
        assert_int_equal(row->version == TLS1_3_VERSION
                             ? SSL_CTX_set_ciphersuites(c.ctx, row->suites)
                             : SSL_CTX_set_cipher_list(c.ctx, row->suites),
                         1);
    }
    if (row->groups != NULL) {
        assert_int_equal(SSL_CTX_set1_groups_list(c.ctx, row->groups), 1);
    }
    bare_client_join(&c, row->is_strict ? strict_server : server, NULL);
    assert_int_equal(bare_client_handshake(&c), row->cipher != NULL);
    if (row->cipher != NULL) {
        (void)transport_describe(c.server.transport, &tls);
        assert_string_equal(tls.cipher, row->cipher);
        assert_string_equal(tls.version, row->version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2");
        assert_non_null(tls.group);
        if (row->group != NULL) {
            assert_string_equal(tls.group, row->group);
        }
        assert_null(SSL_get_current_compression(c.ssl));
        assert_true(bare_client_talk(&c, "hello"));
    } else {
        assert_int_equal(c.server.code, TLSMSG_ERR_HANDSHAKE);
        if (strstr(c.server.error.text, row->text) == NULL) {
            fail_msg("\"%s\" lacks \"%s\"", c.server.error.text, row->text);
        }
    }
    bare_client_fini(&c);
}

static void test_renegotiation_is_refused(void **state)
{
    struct bare_client c;
    int i;

    (void)state;
    bare_client_init(&c, &files, TLS1_2_VERSION);
    bare_client_join(&c, server, NULL);
    assert_true(bare_client_handshake(&c));
    assert_int_equal(SSL_renegotiate(c.ssl), 1);
    for (i = 0; i < 10; i++) {
        (void)SSL_do_handshake(c.ssl);
        pair_step(&c.server);
    }
    assert_true(SSL_renegotiate_pending(c.ssl) || SSL_in_init(c.ssl));
    bare_client_fini(&c);
}

/* A server that asks for a new handshake (HelloRequest) is told no by our client. */
static void test_the_client_renegotiates_neither(void **state)
{
    struct transport_config *config =
        tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, "ca.crt", TLSMSG_OPT_COUNT);
    struct bare_server s;

    (void)state;
    bare_server_init(&s, &files.server, TLS1_2_VERSION);
    bare_server_join(&s, config, "localhost");
    assert_true(bare_server_handshake(&s));
    assert_int_equal(SSL_renegotiate(s.ssl), 1);
    assert_int_equal(SSL_do_handshake(s.ssl), 1);
    assert_int_equal(s.to_server.len, 0);
    assert_int_equal(pair_recv(&s.client), TRANSPORT_WANT_READ);
    /* An alert ("no renegotiation") and not a handshake record with a new hello. */
    assert_true(s.to_server.len > 0);
    assert_int_equal(s.to_server.data[s.to_server.head], SSL3_RT_ALERT);
    bare_server_fini(&s);
    transport_config_unref(config);
}

static void test_key_updates_are_followed(void **state)
{
    static const int kinds[] = {SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED};
    struct bare_client c;
    int i;

    (void)state;
    bare_client_init(&c, &files, TLS1_3_VERSION);
    bare_client_join(&c, server, NULL);
    assert_true(bare_client_handshake(&c));
    for (i = 0; i < 8; i++) {
        assert_int_equal(SSL_key_update(c.ssl, kinds[i % 2]), 1);
        assert_true(bare_client_talk(&c, "hello again"));
    }
    bare_client_fini(&c);
}

static void test_the_client_keeps_the_policy_too(void **state)
{
    struct transport_config *client =
        tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, "ca.crt", TLSMSG_OPT_COUNT);
    struct tlsmsg_tls tls;
    struct pair p;

    (void)state;
    pair_init(&p, server, client, "localhost");
    assert_true(pair_open(&p, TLS_STEPS));
    (void)transport_describe(p.client.transport, &tls);
    assert_string_equal(tls.version, "TLSv1.3");
    assert_string_equal(tls.cipher, "TLS_AES_256_GCM_SHA384");
    /* X25519MLKEM768 where the library has it: then without a second hello from either side. */
    assert_true(strcmp(tls.group, "X25519") == 0 || strcmp(tls.group, "X25519MLKEM768") == 0);
    pair_fini(&p);
    transport_config_unref(client);
}

static void test_group_names(void **state)
{
    (void)state;
    assert_string_equal(policy_group_name("x25519"), "X25519");
    assert_string_equal(policy_group_name("secp256r1"), "P-256");
    assert_string_equal(policy_group_name("secp384r1"), "P-384");
    assert_string_equal(policy_group_name("X25519MLKEM768"), "X25519MLKEM768");
    assert_null(policy_group_name(NULL));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renegotiation_is_refused),
        cmocka_unit_test(test_the_client_renegotiates_neither),
        cmocka_unit_test(test_key_updates_are_followed),
        cmocka_unit_test(test_the_client_keeps_the_policy_too),
        cmocka_unit_test(test_group_names),
    };
    int failed = 0;

    tls_files_make(&files);
    server = tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                        "server.key", TLSMSG_OPT_COUNT);
    strict_server =
        tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                   "server.key", TLSMSG_OPT_TLS_MIN, "1.3", TLSMSG_OPT_COUNT);
    RUN_ROWS(failed, test_agreements, rows);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    transport_config_unref(server);
    transport_config_unref(strict_server);
    tls_files_remove(&files);
    return failed;
}
