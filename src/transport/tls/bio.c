/* The BIO over a byte source: see bio.h for why it never fails hard.
 *
 * Owns nothing but its method. Called by OpenSSL on the transport's thread.
 * A BIO of our own also spares SIGPIPE and lets a ticket share a segment with
 * the reply after it. */
#include "transport/tls/bio.h"

#include <errno.h>
#include <string.h>

#include "transport/common.h"

void source_link_init(struct source_link *link, struct byte_source *source, bool alert_is_tls)
{
    *link = (struct source_link){.source = source, .alert_is_tls = alert_is_tls};
    /* A client is sent none. */
    link->guard.is_over = alert_is_tls;
}

/* No word is longer than a record's header: that is all that some versions of OpenSSL read. */
static bool starts_with_http(const char *bytes, size_t len)
{
    static const char *const words[] = {"GET ",  "HEAD ", "POST ", "PUT ",  "DELET", "PATCH",
                                        "TRACE", "OPTIO", "CONNE", "PRI *", "HTTP/"};
    size_t i;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t word_len = strlen(words[i]);

        if (len >= word_len && memcmp(bytes, words[i], word_len) == 0) {
            return true;
        }
    }
    return false;
}

/* One byte decides whether it is TLS; the others only help to name what else it is. */
static enum link_peer judge_peer(const struct source_link *link, const char *bytes, size_t len)
{
    unsigned char first = (unsigned char)bytes[0];

    if (first == TLS_HANDSHAKE || (first == TLS_ALERT && link->alert_is_tls)) {
        return LINK_PEER_TLS;
    }
    return starts_with_http(bytes, len) ? LINK_PEER_HTTP : LINK_PEER_PLAINTEXT;
}

/* Reads a header byte by byte; true where it is whole. */
static bool gather(unsigned char *head, uint8_t *have, uint8_t want, const unsigned char **p,
                   size_t *len)
{
    while (*len > 0 && *have < want) {
        head[(*have)++] = *(*p)++;
        (*len)--;
    }
    return *have == want;
}

static void begin_record(struct hello_guard *g)
{
    g->record_have = 0;
    g->record_left = (uint16_t)(g->record[3] << 8 | g->record[4]);
    g->skips = g->record[0] != TLS_HANDSHAKE;
    /* From the first encrypted record on lengths are not for us to see. */
    g->is_over = g->record[0] == TLS_APPLICATION_DATA;
}

static void skip(struct hello_guard *g, const unsigned char **p, size_t *len)
{
    size_t n = *len < g->record_left ? *len : g->record_left;

    if (!g->skips && n > g->message_left) {
        n = g->message_left;
    }
    g->record_left = (uint16_t)(g->record_left - n);
    g->message_left -= g->skips ? 0 : (uint32_t)n;
    *p += n;
    *len -= n;
}

/* False: a ClientHello says that it is too long. */
static bool watch_hello(struct hello_guard *g, const unsigned char *p, size_t len)
{
    while (len > 0 && !g->is_over) {
        size_t before = len;

        if (g->record_left == 0) {
            if (gather(g->record, &g->record_have, sizeof(g->record), &p, &len)) {
                begin_record(g);
            }
        } else if (g->skips || g->message_left > 0) {
            skip(g, &p, &len);
        } else {
            size_t inside = len < g->record_left ? len : g->record_left;
            bool whole;

            before = inside;
            whole = gather(g->message, &g->message_have, sizeof(g->message), &p, &inside);
            g->record_left = (uint16_t)(g->record_left - (before - inside));
            len -= before - inside;
            if (whole) {
                g->message_have = 0;
                g->message_left =
                    (uint32_t)g->message[1] << 16 | (uint32_t)g->message[2] << 8 | g->message[3];
                if (g->message[0] == TLS_CLIENT_HELLO && g->message_left > CLIENT_HELLO_MAX_BYTES) {
                    return false;
                }
            }
        }
    }
    return true;
}

/* TLS 1.2 has one ClientHello, and encrypts messages in records that don't say so. The library may
 * have agreed on it and read on since the transport asked it last. */
static bool may_bring_hello(const struct source_link *link)
{
    return !link->guard.is_over && link->peer == LINK_PEER_TLS &&
           (link->ssl == NULL || SSL_version(link->ssl) != TLS1_2_VERSION);
}

static bool read_source(struct source_link *link, char *buf, size_t cap, size_t *got)
{
    if (link->eof || link->is_too_long || link->read_errno != 0 || link->peer != LINK_PEER_TLS) {
        return false;
    }
    switch (link->source->read(link->source, buf, cap, got)) {
    case BYTE_OK:
        if (!link->heard) {
            link->heard = true;
            link->peer = judge_peer(link, buf, *got);
        }
        link->is_too_long =
            may_bring_hello(link) && !watch_hello(&link->guard, (const unsigned char *)buf, *got);
        return link->peer == LINK_PEER_TLS && !link->is_too_long;
    case BYTE_EOF:
        link->eof = true;
        return false;
    case BYTE_ERROR:
        link->read_errno = link->source->sys_errno != 0 ? link->source->sys_errno : EIO;
        return false;
    case BYTE_AGAIN:
        break;
    }
    return false;
}

static int bio_read(BIO *bio, char *buf, size_t cap, size_t *got)
{
    struct source_link *link = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (cap > 0 && !link->muted && read_source(link, buf, cap, got)) {
        return 1;
    }
    *got = 0;
    BIO_set_retry_read(bio);
    return -1;
}

/* After a failed write nothing more is tried: what was to be sent counts as sent, so that OpenSSL
 * has nothing pending, which it would have to finish before it reads on. */
static bool write_source(struct source_link *link, const char *data, size_t len, size_t *put)
{
    if (link->write_errno == 0) {
        switch (link->source->write(link->source, data, len, link->cork, put)) {
        case BYTE_OK:
            link->cork = false;
            return true;
        case BYTE_AGAIN:
            return false;
        case BYTE_EOF:
        case BYTE_ERROR:
            link->write_errno = link->source->sys_errno != 0 ? link->source->sys_errno : EPIPE;
            break;
        }
    }
    *put = len;
    return true;
}

static int bio_write(BIO *bio, const char *data, size_t len, size_t *put)
{
    struct source_link *link = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (len > 0 && write_source(link, data, len, put)) {
        return 1;
    }
    *put = 0;
    BIO_set_retry_write(bio);
    return -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    /* Nothing is held back here, so there is nothing to flush. */
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

BIO_METHOD *source_bio_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "byte source");

    if (method == NULL) {
        return NULL;
    }
    if (BIO_meth_set_read_ex(method, bio_read) != 1 ||
        BIO_meth_set_write_ex(method, bio_write) != 1 || BIO_meth_set_ctrl(method, bio_ctrl) != 1 ||
        BIO_meth_set_create(method, bio_create) != 1) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

BIO *source_bio_new(const BIO_METHOD *method, struct source_link *link)
{
    BIO *bio = BIO_new(method);

    if (bio != NULL) {
        BIO_set_data(bio, link);
    }
    return bio;
}
