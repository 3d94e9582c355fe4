/* Ends of TLS tests: see tls_ends.h. */
#include "support/tls_ends.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "support/config.h"
#include "support/unit.h"

void tls_files_leaf(struct tls_files *files, const char *name, const struct test_cert_spec *spec)
{
    struct test_cert_spec issued = *spec;
    struct test_cert leaf;
    char file[64];
    char path[TEST_PATH_MAX];

    issued.issuer = &files->ca;
    test_cert_make(&leaf, &issued);
    (void)snprintf(file, sizeof(file), "%s.crt", name);
    test_cert_write(&leaf, test_folder_file(&files->folder, file, path));
    (void)snprintf(file, sizeof(file), "%s.key", name);
    test_cert_write_key(&leaf, test_folder_file(&files->folder, file, path), NULL);
    test_cert_free(&leaf);
}

static void write_pair(const struct tls_files *files, const struct test_cert *cert,
                       const char *cert_name, const char *key_name)
{
    char path[TEST_PATH_MAX];

    test_cert_write(cert, test_folder_file(&files->folder, cert_name, path));
    test_cert_write_key(cert, test_folder_file(&files->folder, key_name, path), NULL);
}

void tls_files_make(struct tls_files *files)
{
    char path[TEST_PATH_MAX];

    test_folder_make(&files->folder);
    test_cert_make(&files->ca, &(struct test_cert_spec){.common_name = "test CA", .is_ca = true});
    test_cert_make(&files->server, &(struct test_cert_spec){.common_name = "server",
                                                            .alternative_names =
                                                                "DNS:localhost,IP:127.0.0.1,IP:::1",
                                                            .issuer = &files->ca});
    test_cert_make(&files->alice,
                   &(struct test_cert_spec){.common_name = "alice", .issuer = &files->ca});
    test_cert_write(&files->ca, test_folder_file(&files->folder, "ca.crt", path));
    write_pair(files, &files->server, "server.crt", "server.key");
    write_pair(files, &files->alice, "alice.crt", "alice.key");
}

void tls_files_remove(struct tls_files *files)
{
    test_cert_free(&files->alice);
    test_cert_free(&files->server);
    test_cert_free(&files->ca);
    test_folder_remove(&files->folder);
}

static bool names_a_file(enum tlsmsg_option option)
{
    static const enum tlsmsg_option options[] = {
        TLSMSG_OPT_CERT,
        TLSMSG_OPT_KEY,
        TLSMSG_OPT_KEY_PASSWORD_FILE,
        TLSMSG_OPT_CLIENT_CA,
        TLSMSG_OPT_CA,
        TLSMSG_OPT_CRL,
        TLSMSG_OPT_ALLOW_FILE,
        TLSMSG_OPT_KNOWN_SERVERS,
        TLSMSG_OPT_TICKET_KEYS,
        TLSMSG_OPT_KEYLOG_FILE,
    };
    size_t i;

    for (i = 0; i < COUNT_OF(options); i++) {
        if (options[i] == option) {
            return true;
        }
    }
    return false;
}

static struct tlsmsg_options *make_options(const struct tls_files *files, enum tlsmsg_role role,
                                           va_list pairs)
{
    struct tlsmsg_options *options = NULL;
    char path[TEST_PATH_MAX];
    enum tlsmsg_option option;

    assert_int_equal(tlsmsg_options_new(role, &options, NULL), TLSMSG_OK);
    while ((option = (enum tlsmsg_option)va_arg(pairs, int)) != TLSMSG_OPT_COUNT) {
        const char *value = va_arg(pairs, const char *);
        struct tlsmsg_error err = {.code = TLSMSG_OK};

        if (names_a_file(option) && value[0] != '/') {
            value = test_folder_file(&files->folder, value, path);
        }
        if (tlsmsg_options_set(options, option, value, &err) != TLSMSG_OK) {
            fail_msg("%s", err.text);
        }
    }
    return options;
}

struct tlsmsg_options *tls_options(const struct tls_files *files, enum tlsmsg_role role, ...)
{
    struct tlsmsg_options *options;
    va_list pairs;

    va_start(pairs, role);
    options = make_options(files, role, pairs);
    va_end(pairs);
    return options;
}

struct transport_config *tls_config_from(struct tlsmsg_options *options,
                                         struct transport_config *previous)
{
    struct transport_config *config = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (config_from_options(options, previous, &config, &err) != TLSMSG_OK) {
        fail_msg("%s", err.text);
    }
    tlsmsg_options_free(options);
    return config;
}

struct transport_config *tls_config(const struct tls_files *files, enum tlsmsg_role role, ...)
{
    struct tlsmsg_options *options;
    va_list pairs;

    va_start(pairs, role);
    options = make_options(files, role, pairs);
    va_end(pairs);
    return tls_config_from(options, NULL);
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct bare_client *c = SSL_get_app_data(ssl);

    SSL_SESSION_free(c->session);
    c->session = session;
    c->tickets++;
    return 1;
}

void bare_client_init(struct bare_client *c, const struct tls_files *files, int version)
{
    char path[TEST_PATH_MAX];

    *c = (struct bare_client){.ctx = SSL_CTX_new(TLS_client_method())};
    assert_non_null(c->ctx);
    c->method = source_bio_method_new();
    assert_non_null(c->method);
    assert_int_equal(SSL_CTX_set_min_proto_version(c->ctx, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(c->ctx, version), 1);
    assert_int_equal(
        SSL_CTX_load_verify_file(c->ctx, test_folder_file(&files->folder, "ca.crt", path)), 1);
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ctx, keep_session);
}

void bare_client_part(struct bare_client *c)
{
    if (c->ssl != NULL) {
        /* Without a goodbye the library would take the session for one that must not be resumed. */
        SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(c->ssl);
    c->ssl = NULL;
    if (c->server.transport != NULL) {
        pair_end_fini(&c->server);
        memory_pipe_fini(&c->to_server);
        memory_pipe_fini(&c->to_client);
        c->server.transport = NULL;
    }
}

void bare_client_fini(struct bare_client *c)
{
    bare_client_part(c);
    SSL_SESSION_free(c->session);
    SSL_CTX_free(c->ctx);
    BIO_meth_free(c->method);
}

void bare_client_join(struct bare_client *c, struct transport_config *server, SSL_SESSION *session)
{
    BIO *bio;

    bare_client_part(c);
    memory_pipe_init(&c->to_server, PAIR_PIPE_BYTES);
    memory_pipe_init(&c->to_client, PAIR_PIPE_BYTES);
    memory_source_init(&c->server_source, &c->to_server, &c->to_client);
    memory_source_init(&c->client_source, &c->to_client, &c->to_server);
    pair_end_init(&c->server, server, &c->server_source.base, NULL);
    source_link_init(&c->link, &c->client_source.base, true);
    c->ssl = SSL_new(c->ctx);
    bio = source_bio_new(c->method, &c->link);
    assert_non_null(c->ssl);
    assert_non_null(bio);
    SSL_set_bio(c->ssl, bio, bio);
    SSL_set_connect_state(c->ssl);
    SSL_set_app_data(c->ssl, c);
    assert_int_equal(SSL_set_tlsext_host_name(c->ssl, "localhost"), 1);
    if (session != NULL) {
        assert_int_equal(SSL_set_session(c->ssl, session), 1);
    }
}

bool bare_client_handshake(struct bare_client *c)
{
    int i;

    for (i = 0; i < TLS_STEPS; i++) {
        int ret;

        ERR_clear_error();
        ret = SSL_do_handshake(c->ssl);
        if (ret != 1 && SSL_get_error(c->ssl, ret) == SSL_ERROR_SSL) {
            pair_step(&c->server); /* it hears the alert */
            return false;
        }
        if (c->server.phase == PAIR_HANDSHAKE) {
            pair_step(&c->server);
        }
        if (c->server.phase == PAIR_GOODBYE) {
            return false;
        }
        if (ret == 1 && c->server.opened) {
            return true;
        }
    }
    return false;
}

bool bare_client_talk(struct bare_client *c, const char *message)
{
    char buf[512];
    size_t len = strlen(message);
    size_t total = 0;
    size_t n;
    int i;

    ERR_clear_error();
    if (SSL_write_ex(c->ssl, message, len, &n) != 1) {
        return false;
    }
    for (i = 0; i < TLS_STEPS && total < len; i++) {
        pair_step(&c->server);
        ERR_clear_error();
        if (SSL_read_ex(c->ssl, buf + total, sizeof(buf) - total, &n) == 1) {
            total += n;
        }
    }
    return total == len && memcmp(buf, message, len) == 0;
}

void bare_server_init(struct bare_server *s, const struct test_cert *cert, int version)
{
    *s = (struct bare_server){.ctx = SSL_CTX_new(TLS_server_method()),
                              .method = source_bio_method_new()};
    assert_non_null(s->ctx);
    assert_non_null(s->method);
    assert_int_equal(SSL_CTX_set_max_proto_version(s->ctx, version), 1);
    assert_int_equal(SSL_CTX_use_certificate(s->ctx, cert->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(s->ctx, cert->key), 1);
}

void bare_server_join(struct bare_server *s, struct transport_config *client,
                      const char *server_name)
{
    BIO *bio;

    memory_pipe_init(&s->to_server, PAIR_PIPE_BYTES);
    memory_pipe_init(&s->to_client, PAIR_PIPE_BYTES);
    memory_source_init(&s->server_source, &s->to_server, &s->to_client);
    memory_source_init(&s->client_source, &s->to_client, &s->to_server);
    pair_end_init(&s->client, client, &s->client_source.base, server_name);
    source_link_init(&s->link, &s->server_source.base, false);
    s->ssl = SSL_new(s->ctx);
    s->link.ssl = s->ssl;
    bio = source_bio_new(s->method, &s->link);
    assert_non_null(s->ssl);
    assert_non_null(bio);
    SSL_set_bio(s->ssl, bio, bio);
    SSL_set_accept_state(s->ssl);
}

void bare_server_fini(struct bare_server *s)
{
    SSL_free(s->ssl);
    if (s->client.transport != NULL) {
        pair_end_fini(&s->client);
        memory_pipe_fini(&s->to_server);
        memory_pipe_fini(&s->to_client);
    }
    SSL_CTX_free(s->ctx);
    BIO_meth_free(s->method);
}

bool bare_server_handshake(struct bare_server *s)
{
    int i;

    for (i = 0; i < TLS_STEPS && s->client.phase == PAIR_HANDSHAKE; i++) {
        pair_step(&s->client);
        ERR_clear_error();
        (void)SSL_do_handshake(s->ssl);
    }
    return s->client.opened && SSL_is_init_finished(s->ssl);
}
