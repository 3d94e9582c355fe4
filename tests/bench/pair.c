/* The pair in memory: see pair.h. Only the server's calls are timed, each between two readings of
 * the thread's CPU clock (about 0.3 us together, against some 200 us of a handshake). */
#include "pair.h"

#include "clock.h"
#include "heap.h"
#include "message.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

struct meter {
    uint64_t ns;
    uint64_t heap;
};

static void meter_begin(struct meter *m)
{
    m->heap = heap_bytes();
    m->ns = clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void meter_end(struct pair *p, const struct meter *m)
{
    p->server_ns += clock_read_ns(CLOCK_THREAD_CPUTIME_ID) - m->ns;
    p->server_bytes += heap_bytes() - m->heap;
}

static bool complain(const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    fprintf(stderr, "bench-memory: %s: %s\n", what, reason == NULL ? "failed" : reason);
    return false;
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct pair *p = SSL_get_app_data(ssl);

    SSL_SESSION_free(p->session);
    p->session = session;
    return 1;
}

static bool set_common(SSL_CTX *ctx, bool tls12)
{
    int version = tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;

    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, version) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, version) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1 ||
        SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM") != 1 ||
        SSL_CTX_set1_groups_list(ctx, "X25519:P-256") != 1) {
        return false;
    }
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    return true;
}

bool pair_setting_init(struct pair_setting *s, const char *cert, const char *key, bool tls12)
{
    static const unsigned char context[] = "bench-memory";

    s->server = SSL_CTX_new(TLS_server_method());
    s->client = SSL_CTX_new(TLS_client_method());
    if (!set_common(s->server, tls12) || !set_common(s->client, tls12)) {
        return complain("TLS settings");
    }
    if (SSL_CTX_use_certificate_chain_file(s->server, cert) != 1) {
        return complain(cert);
    }
    if (SSL_CTX_use_PrivateKey_file(s->server, key, SSL_FILETYPE_PEM) != 1) {
        return complain(key);
    }
    SSL_CTX_set_options(s->server, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_read_ahead(s->server, 1);
    SSL_CTX_set_num_tickets(s->server, 0);
    SSL_CTX_set_session_cache_mode(s->server, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(s->server, context, sizeof context - 1);
    SSL_CTX_set_session_cache_mode(s->client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(s->client, keep_session);
    return true;
}

void pair_setting_fini(struct pair_setting *s)
{
    SSL_CTX_free(s->server);
    SSL_CTX_free(s->client);
    bytes_bio_cleanup();
}

void pair_init(struct pair *p, const struct pair_setting *setting)
{
    *p = (struct pair){.setting = setting};
    p->server_ends = (struct bytes_bio){.in = &p->to_server, .out = &p->to_client};
    p->client_ends = (struct bytes_bio){.in = &p->to_client, .out = &p->to_server};
}

static SSL *end_new(SSL_CTX *ctx, struct bytes_bio *ends)
{
    SSL *ssl = SSL_new(ctx);
    BIO *bio = bytes_bio_new(ends);

    if (ssl == NULL || bio == NULL) {
        SSL_free(ssl);
        BIO_free(bio);
        return NULL;
    }
    SSL_set_bio(ssl, bio, bio);
    return ssl;
}

/* 1 done, 0 to be continued, -1 failed. */
static int handshake_step(SSL *ssl)
{
    int result;

    ERR_clear_error();
    result = SSL_do_handshake(ssl);
    if (result == 1) {
        return 1;
    }
    return SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ ? 0 : -1;
}

static bool shake_hands(struct pair *p)
{
    int client = 0;
    int server = 0;
    int rounds;
    struct meter m;

    for (rounds = 0; rounds < 8 && (client != 1 || server != 1); rounds++) {
        client = handshake_step(p->client);
        if (client < 0) {
            return complain("client handshake");
        }
        meter_begin(&m);
        server = handshake_step(p->server);
        meter_end(p, &m);
        if (server < 0) {
            return complain("server handshake");
        }
    }
    return client == 1 && server == 1;
}

bool pair_open(struct pair *p, bool resume)
{
    struct meter m;

    p->server_ns = 0;
    p->server_bytes = 0;
    bytes_clear(&p->to_server);
    bytes_clear(&p->to_client);
    p->client = end_new(p->setting->client, &p->client_ends);
    meter_begin(&m);
    p->server = end_new(p->setting->server, &p->server_ends);
    meter_end(p, &m);
    if (p->client == NULL || p->server == NULL) {
        return complain("SSL_new");
    }
    SSL_set_app_data(p->client, p);
    SSL_set_connect_state(p->client);
    SSL_set_accept_state(p->server);
    if (resume && SSL_set_session(p->client, p->session) != 1) {
        return complain("SSL_set_session");
    }
    return shake_hands(p);
}

/* What a server does for a first or later message. */
static bool serve_one(struct pair *p, bool first)
{
    static char reply[MESSAGE_PREFIX_LEN + MESSAGE_SIZE_MAX];
    size_t got, put;

    memcpy(reply, MESSAGE_PREFIX, MESSAGE_PREFIX_LEN);
    if (SSL_read_ex(p->server, reply + MESSAGE_PREFIX_LEN, MESSAGE_SIZE_MAX, &got) != 1) {
        return complain("server read");
    }
    if (first && SSL_version(p->server) == TLS1_3_VERSION &&
        SSL_new_session_ticket(p->server) != 1) {
        return complain("ticket");
    }
    if (SSL_write_ex(p->server, reply, MESSAGE_PREFIX_LEN + got, &put) != 1) {
        return complain("server write");
    }
    return true;
}

static bool read_reply(struct pair *p, size_t size, uint64_t sequence)
{
    static char reply[MESSAGE_PREFIX_LEN + MESSAGE_SIZE_MAX];
    struct reply_check check;
    size_t got;

    reply_check_init(&check, size, 0, sequence, false);
    if (SSL_read_ex(p->client, reply, sizeof reply, &got) != 1) {
        return complain("client read");
    }
    return reply_check_feed(&check, reply, got) == 1 || complain("wrong reply");
}

bool pair_exchange(struct pair *p, size_t size, uint64_t sequence)
{
    static char message[MESSAGE_SIZE_MAX];
    size_t put;
    struct meter m;
    bool good;

    message_fill(message, size, 0, sequence);
    if (SSL_write_ex(p->client, message, size, &put) != 1) {
        return complain("client write");
    }
    meter_begin(&m);
    good = serve_one(p, sequence == 0);
    meter_end(p, &m);
    return good && read_reply(p, size, sequence);
}

bool pair_rest(struct pair *p)
{
    struct meter m;
    char byte;
    size_t got;
    int result;

    meter_begin(&m);
    ERR_clear_error();
    result = SSL_read_ex(p->server, &byte, 1, &got);
    meter_end(p, &m);
    return SSL_get_error(p->server, result) == SSL_ERROR_WANT_READ || complain("rest");
}

bool pair_close(struct pair *p)
{
    struct meter m;
    char byte;
    size_t got;

    if (SSL_shutdown(p->client) < 0) {
        return complain("client close");
    }
    meter_begin(&m);
    ERR_clear_error();
    (void)SSL_read_ex(p->server, &byte, 1, &got);
    (void)SSL_shutdown(p->server);
    SSL_free(p->server);
    meter_end(p, &m);
    p->server = NULL;
    SSL_free(p->client);
    p->client = NULL;
    return true;
}

void pair_fini(struct pair *p)
{
    SSL_free(p->server);
    SSL_free(p->client);
    SSL_SESSION_free(p->session);
    bytes_fini(&p->to_server);
    bytes_fini(&p->to_client);
}
