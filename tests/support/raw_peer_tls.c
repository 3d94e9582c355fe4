/* A raw peer's TLS session: OpenSSL between two memory BIOs. It trusts anybody. */
#include "support/raw_peer.h"

#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

/* Index 1 speaks TLS 1.2 alone. */
static SSL_CTX *contexts[2];

/* An SSL object under the name that the header knows it by. */
static SSL *ssl_of(const struct raw_peer *p)
{
    return (SSL *)(void *)p->session;
}

void raw_peer_setup(void)
{
    for (int i = 0; i < 2; i++) {
        contexts[i] = SSL_CTX_new(TLS_client_method());
        if (contexts[i] == NULL) {
            abort();
        }
        SSL_CTX_set_verify(contexts[i], SSL_VERIFY_NONE, NULL);
        (void)SSL_CTX_set_mode(contexts[i], SSL_MODE_RELEASE_BUFFERS);
    }
    if (SSL_CTX_set_max_proto_version(contexts[1], TLS1_2_VERSION) != 1) {
        abort();
    }
}

void raw_peer_teardown(void)
{
    SSL_CTX_free(contexts[0]);
    SSL_CTX_free(contexts[1]);
}

static SSL_SESSION *resumed;

void raw_peer_resume(const struct raw_peer *p)
{
    SSL_SESSION_free(resumed);
    resumed = p != NULL ? SSL_get1_session(ssl_of(p)) : NULL;
}

static bool offers;

void raw_peer_offer(bool numbered)
{
    offers = numbered;
}

struct raw_session *raw_session_new(bool old)
{
    static const unsigned char name[] = "\x08tlsmsg/1";
    SSL *ssl = SSL_new(contexts[old ? 1 : 0]);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());

    if (ssl == NULL || in == NULL || out == NULL) {
        abort();
    }
    (void)BIO_set_mem_eof_return(in, -1);
    (void)BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    /* 0 is success. */
    if (offers && SSL_set_alpn_protos(ssl, name, sizeof(name) - 1) != 0) {
        abort();
    }
    if (resumed != NULL && SSL_set_session(ssl, resumed) != 1) {
        abort();
    }
    return (struct raw_session *)(void *)ssl;
}

void raw_session_free(struct raw_session *session)
{
    SSL_free((SSL *)(void *)session);
    ERR_clear_error();
}

/* Moves what OpenSSL has for the server to the wire. */
static void drain(struct raw_peer *p)
{
    char *data;
    long len = BIO_get_mem_data(SSL_get_wbio(ssl_of(p)), &data);

    if (len > 0) {
        p->lost = !raw_peer_to_wire(p, data, (size_t)len) || p->lost;
        (void)BIO_reset(SSL_get_wbio(ssl_of(p)));
    }
}

static void advance(struct raw_peer *p)
{
    char bytes[RAW_PEER_RECORD_MAX];
    size_t got = 0;
    int ret = 1;

    ERR_clear_error();
    if (!p->open && !p->lost) {
        ret = SSL_do_handshake(ssl_of(p));
        p->open = ret == 1;
    }
    while (p->open && (ret = SSL_read_ex(ssl_of(p), bytes, sizeof(bytes), &got)) == 1) {
        p->lost = !raw_peer_hear(p, bytes, got) || p->lost;
    }
    if (ret != 1) {
        switch (SSL_get_error(ssl_of(p), ret)) {
        case SSL_ERROR_WANT_READ:
            break;
        case SSL_ERROR_ZERO_RETURN:
            p->ended = true;
            break;
        default:
            p->lost = true;
            break;
        }
    }
    drain(p);
}

void raw_session_start(struct raw_peer *p)
{
    advance(p);
}

void raw_session_feed(struct raw_peer *p, const void *data, size_t len)
{
    if (p->ended || p->lost) {
        return;
    }
    if (BIO_write(SSL_get_rbio(ssl_of(p)), data, (int)len) != (int)len) {
        abort();
    }
    advance(p);
}

bool raw_session_say(struct raw_peer *p, const void *data, size_t len)
{
    bool said;

    ERR_clear_error();
    said = SSL_write(ssl_of(p), data, (int)len) == (int)len;
    p->lost = !said || p->lost;
    drain(p);
    return said;
}

bool raw_session_rekey(struct raw_peer *p)
{
    ERR_clear_error();
    if (SSL_version(ssl_of(p)) != TLS1_3_VERSION ||
        SSL_key_update(ssl_of(p), SSL_KEY_UPDATE_REQUESTED) != 1) {
        return false;
    }
    p->lost = SSL_do_handshake(ssl_of(p)) != 1 || p->lost;
    drain(p);
    return true;
}

void raw_session_goodbye(struct raw_peer *p)
{
    ERR_clear_error();
    (void)SSL_shutdown(ssl_of(p));
    drain(p);
}

void raw_session_eof(struct raw_peer *p)
{
    p->lost = p->lost || !p->ended;
}
