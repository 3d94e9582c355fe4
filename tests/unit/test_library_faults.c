/* Each call of OpenSSL's that can fail while a configuration or a connection is made, made to fail: what
 * is told, and that nothing is left. Memory alone is in test_config_memory.c. */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "support/config.h"
#include "support/glob_text.h"
#include "support/tls_ends.h"
#include "support/unit.h"
#include "transport/digest.h"

#define ANY (-1L)

static const char *failing; /* a function's name; NULL: none fails */
static long failing_command;
static unsigned fails_at; /* calls to come until then, that one included */
static bool fails_on;     /* all calls from then on */
static int raises;        /* the reason of an error that they leave in the queue; 0: none */

static bool fails(const char *name, long command)
{
    if (failing == NULL || strcmp(name, failing) != 0 || command != failing_command) {
        return false;
    }
    if (fails_at > 0 ? --fails_at > 0 : !fails_on) {
        return false;
    }
    if (raises != 0) {
        ERR_raise(ERR_LIB_EVP, raises);
    }
    return true;
}

/* A function that returns a number, of which 0 says that it has failed, or a pointer. */
#define WRAPPED(type, name, params, args)                                                          \
    type __real_##name params;                                                                     \
    type __wrap_##name params;                                                                     \
    type __wrap_##name params                                                                      \
    {                                                                                              \
        return fails(#name, ANY) ? (type)0 : __real_##name args;                                   \
    }

static bool takes_groups; /* any, as a newer library would */
static char groups[96];   /* what was asked for last */
static unsigned groups_asked;

long __real_SSL_CTX_ctrl(SSL_CTX *ctx, int command, long number, void *pointer);
long __wrap_SSL_CTX_ctrl(SSL_CTX *ctx, int command, long number, void *pointer);

long __wrap_SSL_CTX_ctrl(SSL_CTX *ctx, int command, long number, void *pointer)
{
    if (takes_groups && command == SSL_CTRL_SET_GROUPS_LIST) {
        (void)snprintf(groups, sizeof(groups), "%s", (const char *)pointer);
        groups_asked++;
        return 1;
    }
    return fails("SSL_CTX_ctrl", command) ? 0 : __real_SSL_CTX_ctrl(ctx, command, number, pointer);
}

long __real_SSL_ctrl(SSL *ssl, int command, long number, void *pointer);
long __wrap_SSL_ctrl(SSL *ssl, int command, long number, void *pointer);

long __wrap_SSL_ctrl(SSL *ssl, int command, long number, void *pointer)
{
    return fails("SSL_ctrl", command) ? 0 : __real_SSL_ctrl(ssl, command, number, pointer);
}

WRAPPED(int, SSL_CTX_set_tlsext_ticket_key_evp_cb,
        (SSL_CTX * ctx,
         int (*fn)(SSL *, unsigned char *, unsigned char *, EVP_CIPHER_CTX *, EVP_MAC_CTX *, int)),
        (ctx, fn))
WRAPPED(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *method), (method))
WRAPPED(int, SSL_CTX_set_ciphersuites, (SSL_CTX * ctx, const char *list), (ctx, list))
WRAPPED(int, SSL_CTX_set_cipher_list, (SSL_CTX * ctx, const char *list), (ctx, list))
WRAPPED(int, SSL_CTX_use_cert_and_key,
        (SSL_CTX * ctx, X509 *leaf, EVP_PKEY *key, STACK_OF(X509) *chain, int override),
        (ctx, leaf, key, chain, override))
WRAPPED(int, SSL_use_cert_and_key,
        (SSL * ssl, X509 *leaf, EVP_PKEY *key, STACK_OF(X509) *chain, int override),
        (ssl, leaf, key, chain, override))
WRAPPED(int, SSL_CTX_add_client_CA, (SSL_CTX * ctx, X509 *ca), (ctx, ca))
WRAPPED(int, SSL_CTX_set_session_id_context,
        (SSL_CTX * ctx, const unsigned char *context, unsigned len), (ctx, context, len))
WRAPPED(int, SSL_CTX_set_default_verify_paths, (SSL_CTX * ctx), (ctx))
WRAPPED(int, SSL_CTX_set_session_ticket_cb,
        (SSL_CTX * ctx, SSL_CTX_generate_session_ticket_fn make,
         SSL_CTX_decrypt_session_ticket_fn judge, void *user),
        (ctx, make, judge, user))
WRAPPED(int, SSL_CTX_set_ex_data, (SSL_CTX * ctx, int i, void *data), (ctx, i, data))
WRAPPED(int, SSL_CTX_set_block_padding, (SSL_CTX * ctx, size_t bytes), (ctx, bytes))
WRAPPED(SSL *, SSL_new, (SSL_CTX * ctx), (ctx))
WRAPPED(BIO *, BIO_new, (const BIO_METHOD *method), (method))
WRAPPED(int, BIO_up_ref, (BIO * bio), (bio))
WRAPPED(int, BIO_new_bio_pair, (BIO * *a, size_t a_bytes, BIO **b, size_t b_bytes),
        (a, a_bytes, b, b_bytes))
WRAPPED(int, X509_verify_cert, (X509_STORE_CTX * store), (store))
WRAPPED(BIO *, BIO_new_mem_buf, (const void *bytes, int len), (bytes, len))
WRAPPED(BIO_METHOD *, BIO_meth_new, (int type, const char *name), (type, name))
WRAPPED(int, BIO_meth_set_read_ex,
        (BIO_METHOD * method, int (*fn)(BIO *, char *, size_t, size_t *)), (method, fn))
WRAPPED(int, BIO_meth_set_write_ex,
        (BIO_METHOD * method, int (*fn)(BIO *, const char *, size_t, size_t *)), (method, fn))
WRAPPED(int, BIO_meth_set_ctrl, (BIO_METHOD * method, long (*fn)(BIO *, int, long, void *)),
        (method, fn))
WRAPPED(int, BIO_meth_set_create, (BIO_METHOD * method, int (*fn)(BIO *)), (method, fn))
WRAPPED(int, X509_STORE_add_cert, (X509_STORE * store, X509 *cert), (store, cert))
WRAPPED(int, X509_STORE_add_crl, (X509_STORE * store, X509_CRL *list), (store, list))
WRAPPED(STACK_OF(X509) *, X509_chain_up_ref, (STACK_OF(X509) *chain), (chain))
WRAPPED(int, X509_CRL_digest,
        (const X509_CRL *list, const EVP_MD *type, unsigned char *md, unsigned *len),
        (list, type, md, len))
WRAPPED(int, X509_VERIFY_PARAM_set1_host, (X509_VERIFY_PARAM * param, const char *name, size_t len),
        (param, name, len))
WRAPPED(int, X509_VERIFY_PARAM_set1_ip_asc, (X509_VERIFY_PARAM * param, const char *text),
        (param, text))
WRAPPED(EVP_MD_CTX *, EVP_MD_CTX_new, (void), ())
WRAPPED(int, EVP_DigestInit_ex, (EVP_MD_CTX * ctx, const EVP_MD *type, ENGINE *engine),
        (ctx, type, engine))
WRAPPED(int, EVP_DigestUpdate, (EVP_MD_CTX * ctx, const void *bytes, size_t len), (ctx, bytes, len))
WRAPPED(int, EVP_DigestFinal_ex, (EVP_MD_CTX * ctx, unsigned char *md, unsigned *len),
        (ctx, md, len))
WRAPPED(int, EVP_DigestInit_ex2, (EVP_MD_CTX * ctx, const EVP_MD *type, const OSSL_PARAM params[]),
        (ctx, type, params))
WRAPPED(int, EVP_MD_CTX_copy_ex, (EVP_MD_CTX * to, const EVP_MD_CTX *from), (to, from))
WRAPPED(EVP_MD *, EVP_MD_fetch, (OSSL_LIB_CTX * ctx, const char *name, const char *properties),
        (ctx, name, properties))
WRAPPED(EVP_CIPHER *, EVP_CIPHER_fetch,
        (OSSL_LIB_CTX * ctx, const char *name, const char *properties), (ctx, name, properties))
WRAPPED(OPENSSL_STACK *, OPENSSL_sk_new_null, (void), ())
WRAPPED(int, OPENSSL_sk_push, (OPENSSL_STACK * stack, const void *data), (stack, data))

/* Unlike most it returns 0 for success. */
int __real_SSL_CTX_set_alpn_protos(SSL_CTX *ctx, const unsigned char *protos, unsigned len);
int __wrap_SSL_CTX_set_alpn_protos(SSL_CTX *ctx, const unsigned char *protos, unsigned len);

int __wrap_SSL_CTX_set_alpn_protos(SSL_CTX *ctx, const unsigned char *protos, unsigned len)
{
    return fails("SSL_CTX_set_alpn_protos", ANY) ? 1
                                                 : __real_SSL_CTX_set_alpn_protos(ctx, protos, len);
}

static struct tls_files files;

static int set_up(void **state)
{
    char path[TEST_PATH_MAX];

    (void)state;
    tls_files_make(&files);
    test_crl_write(&(struct test_crl_spec){.issuer = &files.ca},
                   test_folder_file(&files.folder, "ca.crl", path));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_files_remove(&files);
    return 0;
}

static struct tlsmsg_options *server_options(void)
{
    return tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                       "server.key", TLSMSG_OPT_CERT, "alice.crt", TLSMSG_OPT_KEY, "alice.key",
                       TLSMSG_OPT_CLIENT_CA, "ca.crt", TLSMSG_OPT_CRL, "ca.crl", TLSMSG_OPT_PAD,
                       "256", TLSMSG_OPT_COUNT);
}

static struct tlsmsg_options *client_options(void)
{
    return tls_options(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, "ca.crt", TLSMSG_OPT_CRL,
                       "ca.crl", TLSMSG_OPT_COUNT);
}

static struct tlsmsg_options *system_options(void)
{
    return tls_options(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_COUNT);
}

struct row {
    const char *name; /* the function */
    long command;
    unsigned at; /* the call that fails, and all before it of the same text */
    struct tlsmsg_options *(*options)(void);
    enum tlsmsg_code code;
    const char *text; /* '*' is any bytes */
};

#define NO_START TLSMSG_ERR_NOMEM, "cannot start the TLS library"
#define NO_MEMORY TLSMSG_ERR_NOMEM, "out of memory"
#define NO_TRUST TLSMSG_ERR_NOMEM, "cannot digest the trust configuration"
#define NO_LISTS TLSMSG_ERR_NOMEM, "cannot digest the revocation lists"
#define NO_VERSIONS TLSMSG_ERR_CONFIG, "cannot set the TLS versions"
#define NO_SUITES TLSMSG_ERR_CONFIG, "cannot use the policy's cipher suites"
#define NO_CONTEXT TLSMSG_ERR_CONFIG, "cannot set the session id context"
#define NO_TICKETS TLSMSG_ERR_CONFIG, "cannot use session ticket keys"

static const struct row rows[] = {
    {"SSL_CTX_new", ANY, 1, server_options, NO_START},
    {"SSL_CTX_new", ANY, 2, server_options, NO_START},
    {"SSL_CTX_new", ANY, 3, server_options, NO_START}, /* the rehearsal's */
    {"SSL_CTX_new", ANY, 5, server_options, NO_START},
    {"SSL_CTX_ctrl", SSL_CTRL_SET_MIN_PROTO_VERSION, 1, server_options, NO_VERSIONS},
    {"SSL_CTX_ctrl", SSL_CTRL_SET_MAX_PROTO_VERSION, 1, client_options, NO_VERSIONS},
    {"SSL_CTX_set_ciphersuites", ANY, 1, client_options, NO_SUITES},
    {"SSL_CTX_set_cipher_list", ANY, 1, server_options, NO_SUITES},
    {"SSL_CTX_set_alpn_protos", ANY, 1, client_options, NO_START},
    {"SSL_CTX_use_cert_and_key", ANY, 1, server_options, TLSMSG_ERR_CONFIG,
     "cannot use certificate '*/server.crt' and its key"},
    {"SSL_CTX_use_cert_and_key", ANY, 2, server_options, TLSMSG_ERR_CONFIG,
     "cannot use certificate '*/server.crt' and its key"},
    {"BIO_new_mem_buf", ANY, 2, server_options, TLSMSG_ERR_NOMEM, "cannot read key '*/server.key'"},
    {"X509_chain_up_ref", ANY, 1, server_options, NO_MEMORY},
    {"X509_chain_up_ref", ANY, 2, server_options, NO_MEMORY},
    {"X509_STORE_add_cert", ANY, 1, client_options, TLSMSG_ERR_CONFIG,
     "cannot use CA file '*/ca.crt'"},
    {"SSL_CTX_add_client_CA", ANY, 1, server_options, TLSMSG_ERR_CONFIG,
     "cannot use CA file '*/ca.crt'"},
    {"SSL_CTX_set_default_verify_paths", ANY, 1, system_options, TLSMSG_ERR_CONFIG,
     "cannot use the system's trust store"},
    {"EVP_MD_CTX_new", ANY, 1, server_options, NO_MEMORY},
    {"EVP_MD_CTX_new", ANY, 2, server_options, NO_LISTS},
    {"EVP_DigestInit_ex", ANY, 1, client_options, NO_TRUST},
    {"EVP_DigestInit_ex", ANY, 2, server_options, NO_LISTS},
    {"EVP_DigestUpdate", ANY, 1, server_options, NO_TRUST},
    {"EVP_DigestUpdate", ANY, 2, server_options, NO_TRUST},
    {"EVP_DigestUpdate", ANY, 3, server_options, TLSMSG_ERR_NOMEM, "cannot digest '*/ca.crt'"},
    {"EVP_DigestUpdate", ANY, 5, server_options, TLSMSG_ERR_NOMEM, "cannot digest '*/ca.crt'"},
    {"EVP_DigestUpdate", ANY, 6, server_options, NO_LISTS},
    {"EVP_DigestFinal_ex", ANY, 1, client_options, NO_CONTEXT},
    {"EVP_DigestFinal_ex", ANY, 2, server_options, NO_LISTS},
    {"X509_CRL_digest", ANY, 1, server_options, NO_LISTS},
    {"SSL_CTX_set_session_id_context", ANY, 1, server_options, NO_CONTEXT},
    {"X509_STORE_add_crl", ANY, 1, client_options, TLSMSG_ERR_CONFIG,
     "cannot use revocation list '*/ca.crl'"},
    {"SSL_CTX_set_session_ticket_cb", ANY, 1, server_options, TLSMSG_ERR_CONFIG,
     "cannot watch over session tickets"},
    {"EVP_CIPHER_fetch", ANY, 1, server_options, TLSMSG_ERR_CONFIG,
     "cannot make session ticket keys"},
    {"SSL_CTX_set_ex_data", ANY, 1, server_options, NO_TICKETS},
    {"SSL_CTX_set_tlsext_ticket_key_evp_cb", ANY, 1, server_options, NO_TICKETS},
    {"SSL_CTX_set_block_padding", ANY, 1, server_options, TLSMSG_ERR_CONFIG,
     "cannot pad records to 256 bytes"},
    {"BIO_meth_new", ANY, 1, client_options, NO_MEMORY},
    {"BIO_meth_set_read_ex", ANY, 1, client_options, NO_MEMORY},
    {"BIO_meth_set_write_ex", ANY, 1, client_options, NO_MEMORY},
    {"BIO_meth_set_ctrl", ANY, 1, client_options, NO_MEMORY},
    {"BIO_meth_set_create", ANY, 1, client_options, NO_MEMORY},
    {"OPENSSL_sk_new_null", ANY, 1, server_options, NO_MEMORY}, /* of a certificate's file */
    {"OPENSSL_sk_new_null", ANY, 3, server_options, NO_MEMORY}, /* of the CAs' */
    {"OPENSSL_sk_new_null", ANY, 4, server_options, NO_MEMORY}, /* of the lists' */
    {"OPENSSL_sk_push", ANY, 1, server_options, NO_MEMORY},
    {"OPENSSL_sk_push", ANY, 3, server_options, NO_MEMORY},
    {"OPENSSL_sk_push", ANY, 4, server_options, NO_MEMORY},
};

static void let_fail(const char *name, long command, unsigned at)
{
    failing = name;
    failing_command = command;
    fails_at = at;
}

static void a_failing_call_is_told(void **state)
{
    const struct row *row = *state;
    struct tlsmsg_options *options = row->options();
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct transport_config *config = NULL;
    enum tlsmsg_code code;

    let_fail(row->name, row->command, row->at);
    code = config_from_options(options, NULL, &config, &err);
    failing = NULL;
    assert_int_equal(fails_at, 0);
    expect_text("what is told", row->text, err.text);
    assert_string_equal(tlsmsg_code_name(code), tlsmsg_code_name(row->code));
    assert_int_equal(err.code, row->code);
    assert_int_equal(err.sys_errno, 0);
    assert_null(config);
    tlsmsg_options_free(options);
}

/* One that the library doesn't have is left out; how many it is asked for depends on its version. */
static void groups_are_left_out_or_told(void **state)
{
    struct tlsmsg_options *options = system_options();
    struct transport_config *config = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    unsigned told = 0;

    (void)state;
    for (unsigned at = 1; fails_at == 0; at++) {
        enum tlsmsg_code code;

        config = NULL;
        tlsmsg_error_clear(&err);
        let_fail("SSL_CTX_ctrl", SSL_CTRL_SET_GROUPS_LIST, at);
        code = config_from_options(options, NULL, &config, &err);
        assert_int_equal(err.code, code);
        if (code != TLSMSG_OK) {
            assert_int_equal(code, TLSMSG_ERR_NOMEM);
            expect_text("what is told", "cannot use the groups *", err.text);
            told++;
        }
        transport_config_unref(config);
    }
    assert_int_equal(told, 1);
    tlsmsg_error_clear(&err);
    config = NULL;
    fails_on = true;
    let_fail("SSL_CTX_ctrl", SSL_CTRL_SET_GROUPS_LIST, 0);
    assert_int_equal(config_from_options(options, NULL, &config, &err), TLSMSG_ERR_CONFIG);
    fails_on = false;
    failing = NULL;
    assert_null(config);
    assert_string_equal(err.text, "the TLS library has none of the groups X25519, P-256, P-384");
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
    tlsmsg_options_free(options);
}

static void no_memory_for_a_group_is_no_lack_of_it(void **state)
{
    struct tlsmsg_options *options = system_options();
    struct transport_config *config = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    raises = ERR_R_MALLOC_FAILURE;
    let_fail("SSL_CTX_ctrl", SSL_CTRL_SET_GROUPS_LIST, 1);
    assert_int_equal(config_from_options(options, NULL, &config, &err), TLSMSG_ERR_NOMEM);
    raises = 0;
    failing = NULL;
    assert_null(config);
    assert_string_equal(err.text, "out of memory");
    assert_int_equal(err.code, TLSMSG_ERR_NOMEM);
    tlsmsg_options_free(options);
}

/* A library that knows tuples is given the hybrid group and one without it as equals. */
static void the_hybrid_group_comes_first(void **state)
{
    struct tlsmsg_options *options = system_options();
    struct transport_config *config = NULL;

    (void)state;
    takes_groups = true;
    assert_int_equal(config_from_options(options, NULL, &config, NULL), TLSMSG_OK);
    takes_groups = false;
    assert_string_equal(groups, "*X25519MLKEM768/*X25519:P-256:P-384");
    assert_int_equal(groups_asked, 2); /* one of them on trial */
    transport_config_unref(config);
    tlsmsg_options_free(options);
}

/* A handshake that can't even be tried is none that works. */
static void a_rehearsal_that_cannot_be_held(void **state)
{
    static const struct {
        const char *call;
        long command;
    } calls[] = {{"SSL_new", ANY},
                 {"SSL_ctrl", SSL_CTRL_SET_MIN_PROTO_VERSION},
                 {"SSL_ctrl", SSL_CTRL_SET_MAX_PROTO_VERSION},
                 {"BIO_up_ref", ANY},
                 {"BIO_new_bio_pair", ANY}};
    struct tlsmsg_options *options = server_options();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        struct transport_config *config = NULL;
        struct tlsmsg_error err = {.code = TLSMSG_OK};

        fails_on = true;
        let_fail(calls[i].call, calls[i].command, 0);
        assert_int_equal(config_from_options(options, NULL, &config, &err), TLSMSG_ERR_CONFIG);
        fails_on = false;
        failing = NULL;
        expect_text("what is told",
                    "certificate '*/server.crt': no client can use its key (prime256v1) under this "
                    "TLS policy; try: ECDSA with P-256, or RSA with 2048 bits or more",
                    err.text);
        assert_null(config);
    }
    tlsmsg_options_free(options);
}

/* ---- a connection */

static void connections_that_cannot_be_made(void **state)
{
    static const struct {
        const char *call;
        long command;
        const char *asked;
        enum tlsmsg_code code;
        const char *text;
    } calls[] = {
        {"SSL_new", ANY, "localhost", TLSMSG_ERR_NOMEM, "cannot make a TLS session"},
        {"BIO_new", ANY, "localhost", TLSMSG_ERR_NOMEM, "cannot make a TLS session"},
        {"X509_VERIFY_PARAM_set1_host", ANY, "localhost", TLSMSG_ERR_CONFIG,
         "cannot ask for server 'localhost'"},
        {"SSL_ctrl", SSL_CTRL_SET_TLSEXT_HOSTNAME, "localhost", TLSMSG_ERR_CONFIG,
         "cannot ask for server 'localhost'"},
        {"X509_VERIFY_PARAM_set1_ip_asc", ANY, "127.0.0.1", TLSMSG_ERR_CONFIG,
         "cannot ask for server '127.0.0.1'"},
    };
    struct transport_config *config = tls_config_from(client_options(), NULL);
    struct memory_source source;
    struct memory_pipe pipe;

    (void)state;
    memory_pipe_init(&pipe, 16);
    memory_source_init(&source, &pipe, &pipe);
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        struct transport *t = NULL;

        let_fail(calls[i].call, calls[i].command, 1);
        assert_int_equal(transport_new(config, &source.base, calls[i].asked, &t, &err),
                         calls[i].code);
        failing = NULL;
        assert_int_equal(fails_at, 0);
        assert_null(t);
        assert_string_equal(err.text, calls[i].text);
        assert_int_equal(err.code, calls[i].code);
    }
    memory_pipe_fini(&pipe);
    transport_config_unref(config);
}

/* A certificate that was chosen by name and can't be used ends the handshake: another one would be
 * refused. */
static void a_chosen_certificate_that_cannot_be_used(void **state)
{
    struct transport_config *server = tls_config(
        &files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "alice.crt", TLSMSG_OPT_KEY, "alice.key",
        TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY, "server.key", TLSMSG_OPT_COUNT);
    struct transport_config *client = tls_config_from(client_options(), NULL);
    struct pair p;

    (void)state;
    pair_init(&p, server, client, "localhost");
    let_fail("SSL_use_cert_and_key", ANY, 1);
    assert_true(pair_open(&p, TLS_STEPS));
    failing = NULL;
    assert_int_equal(fails_at, 0);
    assert_int_equal(p.server.code, TLSMSG_ERR_HANDSHAKE);
    expect_text("the server's cause", "TLS handshake failed: *", p.server.error.text);
    assert_int_equal(p.client.code, TLSMSG_ERR_HANDSHAKE);
    assert_string_equal(p.client.error.text,
                        "the server refuses the TLS handshake (alert: internal error)");
    pair_fini(&p);
    transport_config_unref(server);
    transport_config_unref(client);
}

/* A verification that fails and does not say why is one all the same. */
static void a_verification_without_a_reason(void **state)
{
    struct transport_config *server = tls_config_from(server_options(), NULL);
    struct transport_config *client = tls_config_from(client_options(), NULL);
    struct pair p;

    (void)state;
    pair_init(&p, server, client, "localhost");
    let_fail("X509_verify_cert", ANY, 1);
    assert_true(pair_open(&p, TLS_STEPS));
    failing = NULL;
    assert_int_equal(fails_at, 0);
    assert_int_equal(p.client.code, TLSMSG_ERR_UNTRUSTED);
    expect_text("the client's cause",
                "cannot verify server 'localhost': *nspecified certificate verification error; its "
                "pin is sha256//*",
                p.client.error.text);
    pair_fini(&p);
    transport_config_unref(server);
    transport_config_unref(client);
}

/* ---- digests of messages */

static void digests_that_cannot_be_made(void **state)
{
    static const struct {
        const char *call;
        unsigned at;
    } calls[] = {
        {"EVP_MD_fetch", 1},       {"EVP_MD_CTX_new", 1},     {"EVP_MD_CTX_new", 2},
        {"EVP_DigestInit_ex2", 1}, {"EVP_MD_CTX_copy_ex", 1},
    };

    (void)state;
    raises = ERR_R_EVP_LIB;
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        let_fail(calls[i].call, ANY, calls[i].at);
        assert_null(digest_new());
        assert_int_equal(fails_at, 0);
        assert_int_equal(ERR_peek_error(), 0);
    }
    raises = 0;
    failing = NULL;
}

static void digests_that_fail(void **state)
{
    static const char *const calls[] = {"EVP_DigestFinal_ex", "EVP_MD_CTX_copy_ex"};
    struct digest *digest = digest_new();
    unsigned char out[DIGEST_BYTES];

    (void)state;
    assert_non_null(digest);
    raises = ERR_R_EVP_LIB;
    let_fail("EVP_DigestUpdate", ANY, 1);
    assert_false(digest_add(digest, "a", 1));
    assert_int_equal(fails_at, 0);
    assert_int_equal(ERR_peek_error(), 0);
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        let_fail(calls[i], ANY, 1);
        assert_false(digest_end(digest, out));
        assert_int_equal(fails_at, 0);
        assert_int_equal(ERR_peek_error(), 0);
    }
    raises = 0;
    failing = NULL;
    digest_free(digest);
    digest_free(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_left_out_or_told),
        cmocka_unit_test(no_memory_for_a_group_is_no_lack_of_it),
        cmocka_unit_test(the_hybrid_group_comes_first),
        cmocka_unit_test(a_rehearsal_that_cannot_be_held),
        cmocka_unit_test(connections_that_cannot_be_made),
        cmocka_unit_test(a_verification_without_a_reason),
        cmocka_unit_test(a_chosen_certificate_that_cannot_be_used),
        cmocka_unit_test(digests_that_cannot_be_made),
        cmocka_unit_test(digests_that_fail),
    };
    int failed = 0;

    (void)set_up(NULL);
    RUN_ROWS(failed, a_failing_call_is_told, rows);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    (void)tear_down(NULL);
    return failed;
}
