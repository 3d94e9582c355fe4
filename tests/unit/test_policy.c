/* The TLS policy, from outside: what a client may and may not agree on with our server. */
#include <stdio.h>
#include <string.h>

#include <openssl/conf.h>
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
    {"TLS 1.3", TLS1_3_VERSION, NULL, NULL, false, "TLS_AES_128_GCM_SHA256", NULL, NULL},
    {"TLS 1.3, AES-256", TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", NULL, false,
     "TLS_AES_256_GCM_SHA384", NULL, NULL},
    {"TLS 1.3, ChaCha20", TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", NULL, false,
     "TLS_CHACHA20_POLY1305_SHA256", NULL, NULL},
    {"TLS 1.3, a client that prefers ChaCha20", TLS1_3_VERSION,
     "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384", NULL, false,
     "TLS_CHACHA20_POLY1305_SHA256", NULL, NULL},
    {"TLS 1.3, the server's preference", TLS1_3_VERSION,
     "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", NULL, false, "TLS_AES_128_GCM_SHA256", NULL,
     NULL},
    {"TLS 1.3, ChaCha20 in the second place", TLS1_3_VERSION,
     "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256", NULL, false, "TLS_AES_256_GCM_SHA384",
     NULL, NULL},
    {"TLS 1.3, CCM only", TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256", NULL, false, NULL, NULL,
     "no cipher suite in common"},
    {"TLS 1.2", TLS1_2_VERSION, NULL, NULL, false, "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, NULL},
    {"TLS 1.2, AES-256", TLS1_2_VERSION,
     "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305", NULL, false,
     "ECDHE-ECDSA-AES256-GCM-SHA384", NULL, NULL},
    {"TLS 1.2, a client that prefers ChaCha20", TLS1_2_VERSION,
     "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256", NULL, false,
     "ECDHE-ECDSA-CHACHA20-POLY1305", NULL, NULL},
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
    {"TLS 1.3 where it is the least", TLS1_3_VERSION, NULL, NULL, true, "TLS_AES_128_GCM_SHA256",
     NULL, NULL},
    {"X25519", TLS1_3_VERSION, NULL, "X25519", false, "TLS_AES_128_GCM_SHA256", "X25519", NULL},
    {"P-256", TLS1_3_VERSION, NULL, "P-256", false, "TLS_AES_128_GCM_SHA256", "P-256", NULL},
    {"P-384", TLS1_3_VERSION, NULL, "P-384", false, "TLS_AES_128_GCM_SHA256", "P-384", NULL},
    {"X25519 in TLS 1.2", TLS1_2_VERSION, NULL, "X25519:P-256", false,
     "ECDHE-ECDSA-AES128-GCM-SHA256", "X25519", NULL},
    {"P-384 in TLS 1.2", TLS1_2_VERSION, NULL, "P-384:P-256", false,
     "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, NULL},
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
    assert_string_equal(tls.cipher, "TLS_AES_128_GCM_SHA256");
    /* X25519MLKEM768 where the library has it: then without a second hello from either side. */
    assert_true(strcmp(tls.group, "X25519") == 0 || strcmp(tls.group, "X25519MLKEM768") == 0);
    pair_fini(&p);
    transport_config_unref(client);
}

/* What can't be seen from one handshake: sessions, buffers and what is renegotiated. */
static void test_what_a_context_is_set_to(void **state)
{
    const long mode = SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                      SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY;
    const uint64_t wanted = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                            SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct tls_settings settings = {.is_server = i == 0};
        SSL_CTX *ctx = NULL;

        assert_int_equal(policy_context_new(&settings, &ctx, NULL), TLSMSG_OK);
        assert_int_equal(SSL_CTX_get_mode(ctx) & mode, mode);
        assert_true((SSL_CTX_get_options(ctx) & wanted) == wanted);
        assert_int_equal(SSL_CTX_get_read_ahead(ctx), 1);
        assert_int_equal(SSL_CTX_get_max_early_data(ctx), 0);
        assert_int_equal(SSL_CTX_get_recv_max_early_data(ctx), 64 * 1024);
        assert_int_equal(SSL_CTX_get_session_cache_mode(ctx), SSL_SESS_CACHE_OFF);
        assert_int_equal(SSL_CTX_get_num_tickets(ctx), 0);
        SSL_CTX_free(ctx);
    }
}

static void test_group_names(void **state)
{
    (void)state;
    assert_string_equal(policy_group_name("x25519"), "X25519");
    assert_string_equal(policy_group_name("secp256r1"), "P-256");
    assert_string_equal(policy_group_name("prime256v1"), "P-256");
    assert_string_equal(policy_group_name("secp384r1"), "P-384");
    assert_string_equal(policy_group_name("X25519MLKEM768"), "X25519MLKEM768");
    assert_null(policy_group_name(NULL));
}

/* ---- early data: a replayed message would be taken twice */

/* A session of another server's, which allowed early data, for c. */
static void get_session_of_before(struct bare_client *c, uint32_t allowed)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL *before;
    SSL *client = SSL_new(c->ctx);
    BIO *a;
    BIO *b;
    char byte;
    size_t n;

    assert_int_equal(SSL_CTX_use_certificate(ctx, files.server.cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, files.server.key), 1);
    assert_int_equal(SSL_CTX_set_max_early_data(ctx, allowed), 1);
    before = SSL_new(ctx);
    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(before, a, a);
    SSL_set_bio(client, b, b);
    SSL_set_accept_state(before);
    SSL_set_connect_state(client);
    SSL_set_app_data(client, c);
    assert_int_equal(SSL_set_tlsext_host_name(client, "localhost"), 1);
    for (int i = 0; i < 10; i++) {
        (void)SSL_do_handshake(client);
        (void)SSL_do_handshake(before);
    }
    (void)SSL_read_ex(client, &byte, 1, &n);
    assert_non_null(c->session);
    assert_int_equal(SSL_SESSION_get_max_early_data(c->session), allowed);
    SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(client);
    SSL_free(before);
    SSL_CTX_free(ctx);
}

struct early {
    const char *name;
    size_t records; /* of 16,000 bytes */
};

static const struct early earlies[] = {{"a record", 1}, {"three records", 3}};

static void test_early_data_is_skipped(void **state)
{
    const struct early *row = *state;
    static char early[16000];
    struct bare_client c;
    size_t n;

    bare_client_init(&c, &files, TLS1_3_VERSION);
    get_session_of_before(&c, (uint32_t)(row->records * sizeof(early)));
    bare_client_join(&c, server, c.session);
    for (size_t i = 0; i < row->records; i++) {
        assert_int_equal(SSL_write_early_data(c.ssl, early, sizeof(early), &n), 1);
    }
    assert_true(bare_client_handshake(&c));
    assert_int_equal(SSL_get_early_data_status(c.ssl), SSL_EARLY_DATA_REJECTED);
    assert_false(SSL_session_reused(c.ssl));
    assert_true(bare_client_talk(&c, "hello"));
    assert_int_equal(c.server.in_len, strlen("hello"));
    bare_client_fini(&c);
}

/* ---- the system's openssl.cnf */

#define HARMLESS "MinProtocol = TLSv1.2" /* a section must not be empty */

struct system_row {
    const char *name;
    const char *lines;
    int tls_min;
    int level;
    long lowest;
    bool has_tls12; /* it can be agreed on */
};

static const struct system_row system_rows[] = {
    {"nothing that matters", HARMLESS, 12, 2, TLS1_2_VERSION, true},
    {"a low level", "CipherString = ALL:@SECLEVEL=0", 12, 2, TLS1_2_VERSION, true},
    {"a high level stays", "CipherString = ALL:@SECLEVEL=3", 12, 3, TLS1_2_VERSION, true},
    {"older versions", "MinProtocol = TLSv1", 12, 2, TLS1_2_VERSION, true},
    {"the newest version alone stays", "MinProtocol = TLSv1.3", 12, 2, TLS1_3_VERSION, true},
    {"it is off by name", "Protocol = -TLSv1.2", 12, 2, TLS1_2_VERSION, false},
    {"the newest version is off", "MaxProtocol = TLSv1.2", 12, 2, TLS1_2_VERSION, true},
    {"the newest version is off by name", "Protocol = -TLSv1.3", 12, 2, TLS1_2_VERSION, true},
    {"a lower bound than asked for", "MinProtocol = TLSv1.2", 13, 2, TLS1_3_VERSION, true},
    {"no forward secrecy", "Options = AllowNoDHEKEX", 12, 2, TLS1_2_VERSION, true},
    {"renegotiation", "Options = UnsafeLegacyRenegotiation,ClientRenegotiation", 12, 2,
     TLS1_2_VERSION, true},
};

static void read_system_file(const char *lines)
{
    char path[TEST_PATH_MAX];
    FILE *file = fopen(test_folder_file(&files.folder, "openssl.cnf", path), "w");

    assert_non_null(file);
    assert_true(fprintf(file,
                        "openssl_conf = start\n[start]\nssl_conf = ssl\n[ssl]\n"
                        "system_default = all\n[all]\n%s\n",
                        lines) > 0);
    assert_int_equal(fclose(file), 0);
    OPENSSL_load_builtin_modules();
    if (CONF_modules_load_file(path, NULL, 0) != 1) {
        ERR_print_errors_fp(stderr);
        fail_msg("%s", lines);
    }
}

static void test_the_system_can_only_tighten(void **state)
{
    static const uint64_t loose = SSL_OP_ALLOW_NO_DHE_KEX | SSL_OP_NO_TLSv1_3 |
                                  SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
                                  SSL_OP_ALLOW_CLIENT_RENEGOTIATION;
    const struct system_row *row = *state;

    read_system_file(row->lines);
    for (int is_server = 0; is_server < 2; is_server++) {
        const struct tls_settings settings = {.is_server = is_server != 0, .tls_min = row->tls_min};
        SSL_CTX *ctx = NULL;

        assert_int_equal(policy_context_new(&settings, &ctx, NULL), TLSMSG_OK);
        assert_int_equal(SSL_CTX_get_security_level(ctx), row->level);
        assert_int_equal(SSL_CTX_get_min_proto_version(ctx), row->lowest);
        assert_int_equal(SSL_CTX_get_max_proto_version(ctx), TLS1_3_VERSION);
        assert_int_equal(SSL_CTX_get_options(ctx) & loose, 0);
        assert_int_equal((SSL_CTX_get_options(ctx) & SSL_OP_NO_TLSv1_2) == 0, row->has_tls12);
        SSL_CTX_free(ctx);
    }
    read_system_file(HARMLESS);
}

struct suites_row {
    const char *name;
    const char *lines;
    const char *suites; /* that are left, in the policy's order */
    long lowest;
};

#define SUITES_13 "TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256 "
#define SUITES_12                                                                                  \
    "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 "     \
    "ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305 "

static const struct suites_row suites_rows[] = {
    {"nothing that matters", HARMLESS, SUITES_13 SUITES_12, TLS1_2_VERSION},
    {"all there are", "CipherString = ALL:eNULL:@SECLEVEL=0", SUITES_13 SUITES_12, TLS1_2_VERSION},
    {"AES-256 alone", "Ciphersuites = TLS_AES_256_GCM_SHA384\nCipherString = AES256",
     "TLS_AES_256_GCM_SHA384 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384 ",
     TLS1_2_VERSION},
    {"no ChaCha20, in another order",
     "Ciphersuites = TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256\n"
     "CipherString = AES256:AES128",
     "TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 ECDHE-ECDSA-AES128-GCM-SHA256 "
     "ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384 ",
     TLS1_2_VERSION},
    {"none of the policy's for TLS 1.2", "CipherString = AES256-SHA:DHE-RSA-AES256-GCM-SHA384",
     SUITES_13 SUITES_12, TLS1_3_VERSION},
    {"none of the policy's for TLS 1.3", "Ciphersuites = TLS_AES_128_CCM_8_SHA256",
     SUITES_13 SUITES_12, TLS1_2_VERSION},
};

static void test_suites_that_the_system_leaves_out(void **state)
{
    const struct suites_row *row = *state;
    const struct tls_settings settings = {.is_server = true, .tls_min = 12};
    STACK_OF(SSL_CIPHER) *suites;
    char names[512] = "";
    SSL_CTX *ctx = NULL;
    size_t used = 0;

    read_system_file(row->lines);
    assert_int_equal(policy_context_new(&settings, &ctx, NULL), TLSMSG_OK);
    suites = SSL_CTX_get_ciphers(ctx);
    for (int i = 0; i < sk_SSL_CIPHER_num(suites); i++) {
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s ",
                                 SSL_CIPHER_get_name(sk_SSL_CIPHER_value(suites, i)));
    }
    assert_string_equal(names, row->suites);
    assert_int_equal(SSL_CTX_get_min_proto_version(ctx), row->lowest);
    SSL_CTX_free(ctx);
    read_system_file(HARMLESS);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renegotiation_is_refused),
        cmocka_unit_test(test_the_client_renegotiates_neither),
        cmocka_unit_test(test_key_updates_are_followed),
        cmocka_unit_test(test_the_client_keeps_the_policy_too),
        cmocka_unit_test(test_what_a_context_is_set_to),
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
    RUN_ROWS(failed, test_early_data_is_skipped, earlies);
    RUN_ROWS(failed, test_the_system_can_only_tighten, system_rows);
    RUN_ROWS(failed, test_suites_that_the_system_leaves_out, suites_rows);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    transport_config_unref(server);
    transport_config_unref(strict_server);
    tls_files_remove(&files);
    return failed;
}
