/* The plaintext transport: the document's conversation, byte for byte.
 *
 * Owns no buffer and no state of the wire but whether a first byte came. The
 * same verbs as over TLS, so that nothing above knows the difference. A peer
 * that speaks TLS is recognised by its first two bytes and named. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "transport/common.h"

#define TLS_MAJOR_VERSION 0x03 /* RFC 8446 section 5.1 */

struct transport_config {
    atomic_uint refs;
    bool is_server;
};

struct transport {
    struct transport_config *config; /* a reference */
    struct byte_source *source;      /* borrowed */
    bool heard;
    bool is_tls; /* the peer's: nothing it sends is a message */
    bool write_is_shut;
};

enum tlsmsg_code transport_config_new(const struct tls_settings *settings,
                                      struct transport_config *previous,
                                      struct transport_config **out, struct tlsmsg_error *err)
{
    struct transport_config *config = malloc(sizeof(*config));

    (void)previous;
    if (config == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    atomic_init(&config->refs, 1);
    config->is_server = settings->is_server;
    *out = config;
    return TLSMSG_OK;
}

size_t transport_config_warning_count(const struct transport_config *config)
{
    (void)config;
    return 0;
}

const char *transport_config_warning(const struct transport_config *config, size_t i)
{
    (void)config;
    (void)i;
    return NULL;
}

int64_t transport_config_expiry(const struct transport_config *config, enum tlsmsg_expiry what)
{
    (void)config;
    (void)what;
    return 0;
}

int64_t transport_config_tell_ends(const struct transport_config *config, int64_t since_unix_s,
                                   int64_t now_unix_s, transport_tell_fn *tell, void *user)
{
    (void)config;
    (void)since_unix_s;
    (void)now_unix_s;
    (void)tell;
    (void)user;
    return 0;
}

struct transport_config *transport_config_ref(struct transport_config *config)
{
    atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
    return config;
}

void transport_config_unref(struct transport_config *config)
{
    if (config != NULL && atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) == 1) {
        free(config);
    }
}

enum tlsmsg_code transport_new(struct transport_config *config, struct byte_source *src,
                               const char *server_name, struct transport **out,
                               struct tlsmsg_error *err)
{
    struct transport *t = calloc(1, sizeof(*t));

    (void)server_name;
    if (t == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    t->config = transport_config_ref(config);
    t->source = src;
    *out = t;
    return TLSMSG_OK;
}

void transport_free(struct transport *t)
{
    if (t != NULL) {
        transport_config_unref(t->config);
        free(t);
    }
}

enum transport_result transport_handshake(struct transport *t, struct tlsmsg_error *err)
{
    (void)t;
    (void)err;
    return TRANSPORT_OK;
}

static enum transport_result tls_peer(struct tlsmsg_error *err)
{
    error_set(err, TLSMSG_ERR_IS_TLS, 0, "the peer speaks TLS, this is the plaintext build");
    return TRANSPORT_ERROR;
}

/* A server hears a hello first, a client perhaps an alert. */
static bool looks_like_tls(const struct transport *t, const unsigned char *bytes, size_t len)
{
    return len >= 2 && bytes[1] == TLS_MAJOR_VERSION &&
           (bytes[0] == TLS_HANDSHAKE || (bytes[0] == TLS_ALERT && !t->config->is_server));
}

enum transport_result transport_recv(struct transport *t, void *buf, size_t cap, size_t *got,
                                     struct tlsmsg_error *err)
{
    *got = 0;
    if (t->is_tls) {
        return tls_peer(err);
    }
    switch (t->source->read(t->source, buf, cap, got)) {
    case BYTE_OK:
        if (!t->heard && looks_like_tls(t, buf, *got)) {
            t->is_tls = true;
            *got = 0;
        }
        t->heard = true;
        return t->is_tls ? tls_peer(err) : TRANSPORT_OK;
    case BYTE_AGAIN:
        return TRANSPORT_WANT_READ;
    case BYTE_EOF:
        return TRANSPORT_CLOSED;
    case BYTE_ERROR:
        break;
    }
    return transport_socket_error(t->source->sys_errno, err);
}

void transport_program_ran(void)
{
}

unsigned transport_idle_records(const struct transport *t)
{
    (void)t;
    return 0;
}

enum transport_result transport_send(struct transport *t, const void *buf, size_t len, size_t *sent,
                                     struct tlsmsg_error *err)
{
    *sent = 0;
    switch (t->source->write(t->source, buf, len, false, sent)) {
    case BYTE_OK:
        return TRANSPORT_OK;
    case BYTE_AGAIN:
        return TRANSPORT_WANT_WRITE;
    case BYTE_EOF:
    case BYTE_ERROR:
        break;
    }
    return transport_socket_error(t->source->sys_errno, err);
}

enum transport_result transport_shutdown(struct transport *t, struct tlsmsg_error *err)
{
    (void)err;
    if (!t->write_is_shut) {
        t->write_is_shut = true;
        t->source->shut_write(t->source);
    }
    return TRANSPORT_OK;
}

void transport_accept_key(struct transport *t, const char *pin)
{
    (void)t;
    (void)pin;
}

bool transport_ask_user(struct transport *t, char pin[TRANSPORT_PIN_MAX])
{
    (void)t;
    (void)pin;
    return false;
}

bool transport_describe(struct transport *t, struct tlsmsg_tls *out)
{
    (void)t;
    *out = (struct tlsmsg_tls){.version = NULL};
    return false;
}

bool transport_peer_certificate(const struct transport *t, size_t i, struct tlsmsg_certificate *out)
{
    (void)t;
    (void)i;
    (void)out;
    return false;
}

bool transport_heard(const struct transport *t)
{
    return t->heard;
}

const char *transport_name(void)
{
    return "plaintext";
}
