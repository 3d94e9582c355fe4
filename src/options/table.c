/* The table of options: names, kinds, ranges, defaults.
 *
 * Owns every fact about an option that both programs and the library share; adding an option
 * begins with a row here. Constant data, any thread. The few defaults that depend on the build
 * come from build.h, because a constant of another file can't stand in a table. */
#include "options/table.h"

#include "options/build.h"

#define COUNT_MAX 2147483647
#define SECONDS_MAX_MS INT64_C(10000000000) /* ten million seconds, about four months */
#define RECORD_BYTES 16384                  /* most of one TLS record */

/* Beginnings of rows. T marks an option of the TLS build only, as in tlsmsg/options.h. */
#define NAMED(key) .name = key, .label = "--" key
#define TEXT(key, roles_) NAMED(key), .kind = KIND_TEXT, .roles = (roles_)
#define LIST(key, roles_) NAMED(key), .kind = KIND_LIST, .roles = (roles_)
#define FLAG(key, roles_) NAMED(key), .kind = KIND_FLAG, .roles = (roles_), .max = 1
#define NUMBER(key, roles_, min_, max_)                                                            \
    NAMED(key), .kind = KIND_NUMBER, .roles = (roles_), .min = (min_), .max = (max_)
#define MILLIS(key, roles_, initial_)                                                              \
    NAMED(key), .kind = KIND_MILLIS, .roles = (roles_), .max = SECONDS_MAX_MS, .initial = (initial_)
#define T .tls_only = true

static const struct option_row rows[TLSMSG_OPT_COUNT] = {
    [TLSMSG_OPT_LISTEN] = {LIST("listen", FOR_SERVER), .initial_text = "127.0.0.1:12345"},
    [TLSMSG_OPT_ADDRESS] = {.name = "address",
                            .label = "HOST[:PORT]",
                            .kind = KIND_TEXT,
                            .roles = FOR_CLIENT,
                            .initial_text = "127.0.0.1:12345"},
    [TLSMSG_OPT_CERT] = {LIST("cert", FOR_BOTH), T},
    [TLSMSG_OPT_KEY] = {LIST("key", FOR_BOTH), T},
    [TLSMSG_OPT_KEY_PASSWORD_FILE] = {TEXT("key-password-file", FOR_BOTH), T},
    [TLSMSG_OPT_CLIENT_CA] = {TEXT("client-ca", FOR_SERVER), T},
    [TLSMSG_OPT_CA] = {TEXT("ca", FOR_CLIENT), T},
    [TLSMSG_OPT_CRL] = {TEXT("crl", FOR_BOTH), T},
    [TLSMSG_OPT_ALLOW] = {LIST("allow", FOR_SERVER), T},
    [TLSMSG_OPT_ALLOW_FILE] = {TEXT("allow-file", FOR_SERVER), T},
    [TLSMSG_OPT_PIN] = {LIST("pin", FOR_CLIENT), T},
    [TLSMSG_OPT_TRUST_ON_FIRST_USE] = {FLAG("trust-on-first-use", FOR_CLIENT), T},
    [TLSMSG_OPT_ACCEPT_NEW] = {FLAG("accept-new", FOR_CLIENT), T},
    [TLSMSG_OPT_KNOWN_SERVERS] = {TEXT("known-servers", FOR_CLIENT), T},
    [TLSMSG_OPT_SERVER_NAME] = {TEXT("server-name", FOR_CLIENT), T, .text = TEXT_DOMAIN},
    [TLSMSG_OPT_TLS_MIN] = {NAMED("tls-min"), .kind = KIND_TLS_MIN, .roles = FOR_BOTH, T, .min = 12,
                            .max = 13, .initial = 12},
    [TLSMSG_OPT_TICKET_KEYS] = {TEXT("ticket-keys", FOR_SERVER), T},
    [TLSMSG_OPT_KEYLOG_FILE] = {TEXT("keylog-file", FOR_BOTH), T},
    [TLSMSG_OPT_PAD] = {NUMBER("pad", FOR_BOTH, 0, RECORD_BYTES), T},
    [TLSMSG_OPT_ACCEPT] = {NUMBER("accept", FOR_SERVER, 0, COUNT_MAX)},
    [TLSMSG_OPT_WORKERS] = {NUMBER("workers", FOR_SERVER, 0, 1024)},
    [TLSMSG_OPT_REPLY] = {TEXT("reply", FOR_SERVER), .text = TEXT_REPLY,
                          .initial_text = "你好，我已收到你的消息：{message}"},
    [TLSMSG_OPT_RECV_SIZE] = {NUMBER("recv-size", FOR_SERVER, 1, RECORD_BYTES)},
    [TLSMSG_OPT_MAX_CONNECTIONS] = {NUMBER("max-connections", FOR_SERVER, 0, COUNT_MAX)},
    [TLSMSG_OPT_MAX_PER_ADDRESS] = {NUMBER("max-per-address", FOR_SERVER, 0, COUNT_MAX)},
    [TLSMSG_OPT_MAX_HANDSHAKES] = {NUMBER("max-handshakes", FOR_SERVER, 0, COUNT_MAX)},
    [TLSMSG_OPT_HANDSHAKE_RATE] = {NUMBER("handshake-rate", FOR_SERVER, 0, COUNT_MAX)},
    [TLSMSG_OPT_HANDSHAKE_TIMEOUT] = {MILLIS("handshake-timeout", FOR_SERVER, 10000), T},
    [TLSMSG_OPT_IDLE_TIMEOUT] = {MILLIS("idle-timeout", FOR_SERVER, 0)},
    [TLSMSG_OPT_WRITE_TIMEOUT] = {MILLIS("write-timeout", FOR_SERVER, 30000)},
    [TLSMSG_OPT_DRAIN_TIMEOUT] = {MILLIS("drain-timeout", FOR_SERVER, 5000)},
    [TLSMSG_OPT_TIMEOUT] = {MILLIS("timeout", FOR_CLIENT, 10000)},
    [TLSMSG_OPT_REPLY_TIMEOUT] = {MILLIS("reply-timeout", FOR_CLIENT, 0)},
};

const struct option_row *table_row(enum tlsmsg_option option)
{
    return (size_t)option < TLSMSG_OPT_COUNT ? &rows[option] : NULL;
}

int64_t table_initial(enum tlsmsg_option option)
{
    switch (option) {
    case TLSMSG_OPT_ACCEPT:
        return build_accept;
    case TLSMSG_OPT_WORKERS:
        return build_workers;
    case TLSMSG_OPT_RECV_SIZE:
        return (int64_t)build_recv_size_bytes;
    default:
        return rows[option].initial;
    }
}
