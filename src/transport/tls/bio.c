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

static bool read_source(struct source_link *link, char *buf, size_t cap, size_t *got)
{
    if (link->eof || link->read_errno != 0 || link->peer != LINK_PEER_TLS) {
        return false;
    }
    switch (link->source->read(link->source, buf, cap, got)) {
    case BYTE_OK:
        if (!link->heard) {
            link->heard = true;
            link->peer = judge_peer(link, buf, *got);
        }
        return link->peer == LINK_PEER_TLS;
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
