/* bench-numbered's conversation: see floor.h. The least that a server of tlsmsg/1 has to do: it reads,
 * decrypts, hashes, looks whether it is UTF-8, and sends the same bytes back behind the document's
 * words. No limits, no deadlines, no producers, no order checked; a peer that breaks the frames is
 * dropped. A reply is sent from where its message lies. */
#include "floor.h"

#include "bytes.h"
#include "frames.h"
#include "message.h"
#include "served_tls.h"

#include <openssl/evp.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD_BYTES 16384u
#define LONG_BYTES 4096u /* from here on a message is sent without a copy */

struct floor_connection {
    int fd;
    SSL *ssl;
    struct bytes in;     /* what is not answered yet */
    struct bytes unsent; /* while there is any, nothing more is read */
    EVP_MD_CTX *digest;
    bool greeted;
    uint64_t number;
    size_t head;    /* bytes of the header at the front of `in`; 0 = it is not read yet */
    size_t len;     /* ... of the body behind it */
    size_t seen;    /* ... that were hashed and looked at */
    unsigned trail; /* bytes that the last character still lacks */
};

const char floor_name[] = "bench-numbered";
const char floor_usage[] = "Usage: bench-numbered --listen IPV4:PORT --cert FILE --key FILE\n"
                           "Replies to messages of tlsmsg/1; port 0 = any free one.\n";

static SSL_CTX *ctx;
static EVP_MD *sha256;
static struct bytes replies;

static int choose(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                  const unsigned char *in, unsigned in_len, void *arg)
{
    (void)ssl;
    (void)arg;
    return SSL_select_next_proto((unsigned char **)out, out_len,
                                 (const unsigned char *)FRAMES_PROTOCOL, sizeof FRAMES_PROTOCOL - 1,
                                 in, in_len) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

bool floor_configure(int argc, char **argv)
{
    ctx = served_tls_context(argc, argv);
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL); /* once: it is looked up for each message else */
    if (ctx != NULL) {
        SSL_CTX_set_alpn_select_cb(ctx, choose, NULL);
    }
    return ctx != NULL && sha256 != NULL;
}

struct floor_connection *floor_connection_new(int fd)
{
    struct floor_connection *c = calloc(1, sizeof *c);

    if (c == NULL) {
        return NULL;
    }
    c->fd = fd;
    c->ssl = served_tls_session(ctx, fd);
    c->digest = EVP_MD_CTX_new();
    if (c->ssl == NULL || c->digest == NULL) {
        c->fd = -1;
        floor_connection_free(c);
        return NULL;
    }
    return c;
}

void floor_connection_free(struct floor_connection *c)
{
    if (c != NULL) {
        SSL_free(c->ssl);
        EVP_MD_CTX_free(c->digest);
        if (c->fd >= 0) {
            close(c->fd);
        }
        bytes_fini(&c->in);
        bytes_fini(&c->unsent);
        free(c);
    }
}

int floor_fd(const struct floor_connection *c)
{
    return c->fd;
}

bool floor_end_turn(void (*changed)(struct floor_connection *c))
{
    (void)changed;
    return true;
}

bool floor_wants_write(const struct floor_connection *c)
{
    return bytes_len(&c->unsent) > 0;
}

/* Sends now what the kernel takes, and keeps the rest. */
static bool send_now(struct floor_connection *c, const char *data, size_t len)
{
    size_t put = 0;

    if (bytes_len(&c->unsent) == 0 && !served_tls_write(c->ssl, data, len, &put)) {
        return false;
    }
    bytes_append(&c->unsent, data + put, len - put);
    return true;
}

static bool flush(struct floor_connection *c)
{
    bool good = bytes_len(&replies) == 0 || send_now(c, bytes_head(&replies), bytes_len(&replies));

    bytes_clear(&replies);
    return good;
}

/* Whether it goes on being UTF-8; of ASCII eight bytes at a time. Overlong forms are let through:
 * what they would cost is nothing. */
static bool look(struct floor_connection *c, const char *data, size_t len)
{
    size_t i = 0;

    while (i < len) {
        unsigned char byte = (unsigned char)data[i];
        uint64_t eight;

        if (c->trail == 0 && len - i >= sizeof eight) {
            memcpy(&eight, data + i, sizeof eight);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                i += sizeof eight;
                continue;
            }
        }
        if (c->trail > 0) {
            if ((byte & 0xC0u) != 0x80u) {
                return false;
            }
            c->trail--;
        } else if (byte >= 0x80u) {
            c->trail = byte >= 0xF0u ? 3 : byte >= 0xE0u ? 2 : 1;
            if (byte < 0xC2u || byte > 0xF4u) {
                return false;
            }
        }
        i++;
    }
    return true;
}

static bool take_line(struct floor_connection *c, const char *line, size_t len)
{
    static const char hello[] = "HELLO 1 last=0 max=67108864 window=4096 promise=none\n";
    char text[64];

    if (!c->greeted) {
        c->greeted = len >= 7 && memcmp(line, "HELLO 1", 7) == 0;
        bytes_append(&replies, hello, sizeof hello - 1);
        bytes_take(&c->in, len + 1);
        return c->greeted;
    }
    if (len >= sizeof text) {
        return false;
    }
    memcpy(text, line, len);
    text[len] = '\0';
    c->head = len + 1;
    c->seen = 0;
    c->trail = 0;
    return sscanf(text, "MSG %" SCNu64 " %zu", &c->number, &c->len) == 2 && c->len > 0 &&
           c->len <= FRAMES_SIZE_MAX && EVP_DigestInit_ex(c->digest, sha256, NULL) == 1;
}

/* The message at the front is whole. */
static bool answer(struct floor_connection *c)
{
    const char *body = bytes_head(&c->in) + c->head;
    unsigned char hash[EVP_MAX_MD_SIZE];
    char line[64];

    if (c->trail > 0 || body[c->len] != '\n' || EVP_DigestFinal_ex(c->digest, hash, NULL) != 1) {
        return false;
    }
    snprintf(line, sizeof line, "OK %" PRIu64 " %zu\n", c->number, MESSAGE_PREFIX_LEN + c->len);
    bytes_append(&replies, line, strlen(line));
    bytes_append(&replies, MESSAGE_PREFIX, MESSAGE_PREFIX_LEN);
    if (c->len < LONG_BYTES) {
        bytes_append(&replies, body, c->len + 1);
    } else if (!flush(c) || !send_now(c, body, c->len + 1)) {
        return false;
    }
    bytes_take(&c->in, c->head + c->len + 1);
    c->head = 0;
    return true;
}

static bool take(struct floor_connection *c)
{
    for (;;) {
        const char *at = bytes_head(&c->in);
        size_t len = bytes_len(&c->in);
        const char *feed;
        size_t end;

        if (c->head == 0) {
            feed = len > 0 ? memchr(at, '\n', len) : NULL;
            if (feed == NULL) {
                return len < 256;
            }
            if (!take_line(c, at, (size_t)(feed - at))) {
                return false;
            }
            continue;
        }
        end = len - c->head < c->len ? len - c->head : c->len;
        if (end > c->seen) {
            if (EVP_DigestUpdate(c->digest, at + c->head + c->seen, end - c->seen) != 1 ||
                !look(c, at + c->head + c->seen, end - c->seen)) {
                return false;
            }
            c->seen = end;
        }
        if (len < c->head + c->len + 1) {
            return true;
        }
        if (!answer(c)) {
            return false;
        }
    }
}

bool floor_step(struct floor_connection *c)
{
    size_t put = 0;

    if (floor_wants_write(c)) {
        if (!served_tls_write(c->ssl, bytes_head(&c->unsent), bytes_len(&c->unsent), &put)) {
            return false;
        }
        bytes_take(&c->unsent, put);
        return true;
    }
    bytes_clear(&replies);
    do {
        size_t got = 0;

        if (!served_tls_read(c->ssl, bytes_reserve(&c->in, RECORD_BYTES), RECORD_BYTES, &got)) {
            (void)flush(c);
            (void)SSL_shutdown(c->ssl);
            return false;
        }
        if (got == 0) {
            break;
        }
        c->in.end += got;
        if (!take(c)) {
            return false;
        }
    } while (SSL_has_pending(c->ssl) == 1 && bytes_len(&c->unsent) == 0);
    return flush(c);
}
