/* Address and TLS context of the load: see endpoint.h. Sessions reach their link through the
 * new-session callback, because a TLS 1.3 ticket comes after the handshake. */
#include "endpoint.h"

#include "frames.h"

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <stdio.h>
#include <string.h>

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct link *l = SSL_get_app_data(ssl);

    SSL_SESSION_free(l->session);
    l->session = session;
    return 1; /* ours now */
}

static bool resolve(struct endpoint *e, const struct bench_options *o)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(o->host, o->port, &hints, &found);

    if (error != 0) {
        fprintf(stderr, "tlsmsg-bench: %s:%s: %s\n", o->host, o->port, gai_strerror(error));
        return false;
    }
    memcpy(&e->address, found->ai_addr, found->ai_addrlen);
    e->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static bool limit_offer(SSL_CTX *ctx, const struct bench_options *o)
{
    int version = o->tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;

    if (SSL_CTX_set_min_proto_version(ctx, version) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, version) != 1) {
        return false;
    }
    if (SSL_CTX_set1_groups_list(ctx, o->groups) != 1) {
        return false;
    }
    return o->tls12 ? SSL_CTX_set_cipher_list(ctx, o->cipher) == 1
                    : SSL_CTX_set_ciphersuites(ctx, o->cipher) == 1;
}

static SSL_CTX *context_new(const struct bench_options *o)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL || !limit_offer(ctx, o)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    /* 0 is success here. */
    if (o->numbered && SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)FRAMES_PROTOCOL,
                                               sizeof FRAMES_PROTOCOL - 1) != 0) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    if (o->resume) {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ctx, keep_session);
    } else {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    }
    return ctx;
}

bool endpoint_init(struct endpoint *e, const struct bench_options *o)
{
    const char *reason;

    *e = (struct endpoint){.sources = o->sources, .late_tls = o->nats};
    if (!resolve(e, o)) {
        return false;
    }
    if (o->plain) {
        return true;
    }
    e->tls = context_new(o);
    if (e->tls == NULL) {
        reason = ERR_reason_error_string(ERR_peek_error());
        fprintf(stderr, "tlsmsg-bench: cannot offer cipher '%s' with groups '%s': %s\n", o->cipher,
                o->groups, reason == NULL ? "unknown to OpenSSL" : reason);
        return false;
    }
    return true;
}

void endpoint_fini(struct endpoint *e)
{
    SSL_CTX_free(e->tls);
    e->tls = NULL;
    bytes_fini(&e->in);
    bytes_fini(&e->out);
    bytes_bio_cleanup();
}

void endpoint_describe(const struct link *l, char *text, size_t size)
{
    const char *group;
    int nid;

    if (l->ssl == NULL) {
        snprintf(text, size, "plain");
        return;
    }
    nid = (int)SSL_get_negotiated_group(l->ssl);
    group = nid == NID_undef ? "" : OBJ_nid2sn(nid);
    snprintf(text, size, "%s %s %s", SSL_get_version(l->ssl), SSL_get_cipher_name(l->ssl),
             group == NULL ? "?" : group);
}
