/* The table of options: names, kinds, ranges, defaults; and values held against it.
 *
 * Owns every fact about an option that both programs and the library share, and the words of the
 * errors about values; adding an option begins with a row here. Constant data and pure functions,
 * any thread. */
#include "options/table.h"

#include <inttypes.h>
#include <string.h>

#include "base/build.h"
#include "base/decimal.h"
#include "base/error.h"
#include "base/escape.h"
#include "base/utf8.h"

#define COUNT_MAX 2147483647
#define SECONDS_MAX_MS INT64_C(10000000000) /* ten million seconds, about four months */
#define MESSAGE_MAX (1024 * 1024)           /* bytes of a numbered message */
#define MESSAGE_MAX_MAX (64 * 1024 * 1024)
#define BUFFERED (256 * 1024 * 1024) /* bytes held because of messages */
#define BUFFERED_MIN (1024 * 1024)
#define BUFFERED_MAX (INT64_C(1) << 40)
#define WINDOW 256 /* numbered messages that may be unanswered */
#define WINDOW_MAX 65536
#define VALUE_SHOWN_MAX 160 /* bytes of a wrong value that an error shows */

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
    [TLSMSG_OPT_PAD] = {NUMBER("pad", FOR_BOTH, 0, TLS_RECORD_BYTES), T},
    [TLSMSG_OPT_ACCEPT] = {NUMBER("accept", FOR_SERVER, 0, COUNT_MAX), .initial = BUILD_ACCEPT},
    [TLSMSG_OPT_WORKERS] = {NUMBER("workers", FOR_SERVER, 0, 1024), .initial = BUILD_WORKERS},
    [TLSMSG_OPT_REPLY] = {TEXT("reply", FOR_SERVER), .text = TEXT_REPLY,
                          .initial_text = "你好，我已收到你的消息：{message}"},
    [TLSMSG_OPT_RECV_SIZE] = {NUMBER("recv-size", FOR_SERVER, 1, TLS_RECORD_BYTES),
                              .initial = BUILD_RECV_SIZE},
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
    [TLSMSG_OPT_MAX_MESSAGE] = {NUMBER("max-message", FOR_SERVER, 1, MESSAGE_MAX_MAX), T,
                                .initial = MESSAGE_MAX},
    [TLSMSG_OPT_WINDOW] = {NUMBER("window", FOR_BOTH, 1, WINDOW_MAX), T, .initial = WINDOW},
    [TLSMSG_OPT_MAX_BUFFERED] = {NUMBER("max-buffered", FOR_SERVER, BUFFERED_MIN, BUFFERED_MAX),
                                 .initial = BUFFERED},
    [TLSMSG_OPT_KEEPALIVE] = {MILLIS("keepalive", FOR_BOTH, 120000)},
    [TLSMSG_OPT_DOCUMENT_FLOW] = {FLAG("document-flow", FOR_CLIENT), T},
    [TLSMSG_OPT_PRODUCER] = {TEXT("producer", FOR_CLIENT), T},
};

const struct option_row *table_row(enum tlsmsg_option option)
{
    return (size_t)option < TLSMSG_OPT_COUNT ? &rows[option] : NULL;
}

static bool parse_tls_version(const char *text, uint64_t *out)
{
    if (strcmp(text, "1.2") == 0 || strcmp(text, "1.3") == 0) {
        *out = 10 + (uint64_t)(text[2] - '0');
        return true;
    }
    return false;
}

static enum tlsmsg_code wrong(const struct option_row *row, const char *text,
                              struct tlsmsg_error *err)
{
    char shown[VALUE_SHOWN_MAX];

    (void)escape_name(shown, sizeof(shown), text);
    switch (row->kind) {
    case KIND_MILLIS:
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s wants seconds from %" PRId64 " to %" PRId64 ", such as 2.5, not '%s'",
                         row->label, row->min / 1000, row->max / 1000, shown);
    case KIND_FLAG:
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s wants 1 or 0, not '%s'", row->label, shown);
    case KIND_TLS_MIN:
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s wants 1.2 or 1.3, not '%s'", row->label,
                         shown);
    default:
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s wants a number from %" PRId64 " to %" PRId64 ", not '%s'", row->label,
                         row->min, row->max, shown);
    }
}

enum tlsmsg_code table_parse(const struct option_row *row, const char *text, int64_t *out,
                             struct tlsmsg_error *err)
{
    size_t len = strlen(text);
    uint64_t number = 0;
    bool good;

    switch (row->kind) {
    case KIND_MILLIS:
        good = decimal_parse_scaled(text, len, 3, &number);
        break;
    case KIND_TLS_MIN:
        good = parse_tls_version(text, &number);
        break;
    default:
        good = decimal_parse(text, len, 0, UINT64_MAX, &number);
        break;
    }
    if (!good || number < (uint64_t)row->min || number > (uint64_t)row->max) {
        return wrong(row, text, err);
    }
    *out = (int64_t)number;
    return TLSMSG_OK;
}

enum tlsmsg_code table_check_number(const struct option_row *row, int64_t number,
                                    struct tlsmsg_error *err)
{
    if (number >= row->min && number <= row->max) {
        return TLSMSG_OK;
    }
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "%s wants %s from %" PRId64 " to %" PRId64 ", not %" PRId64, row->label,
                     row->kind == KIND_MILLIS ? "milliseconds" : "a number", row->min, row->max,
                     number);
}

/* Names with other than ASCII travel as their xn-- form, which no library function of ours
 * makes; a silent guess would verify another name than the one that was typed. */
static enum tlsmsg_code check_domain(const struct option_row *row, const char *text,
                                     struct tlsmsg_error *err)
{
    char shown[VALUE_SHOWN_MAX];
    const char *p;

    for (p = text; *p > ' ' && *p < 0x7F; p++) {
    }
    if (*p == '\0') {
        return TLSMSG_OK;
    }
    (void)escape_name(shown, sizeof(shown), text);
    if (!utf8_is_valid(text, strlen(text))) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s: '%s' is not valid UTF-8", row->label,
                         shown);
    }
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "%s: '%s' holds other than ASCII letters, digits and signs"
                     " (give such a name in its xn-- form)",
                     row->label, shown);
}

static enum tlsmsg_code check_reply(const struct option_row *row, const char *text,
                                    struct tlsmsg_error *err)
{
    const size_t placeholder_len = sizeof(TABLE_PLACEHOLDER) - 1;
    const char *first = strstr(text, TABLE_PLACEHOLDER);
    size_t len = strlen(text);
    char shown[VALUE_SHOWN_MAX];

    (void)escape_name(shown, sizeof(shown), text);
    if (!utf8_is_valid(text, len)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s wants valid UTF-8, not '%s'", row->label,
                         shown);
    }
    if (first == NULL || strstr(first + placeholder_len, TABLE_PLACEHOLDER) != NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s wants " TABLE_PLACEHOLDER " exactly once, not as in '%s'", row->label,
                         shown);
    }
    if (len - placeholder_len > TABLE_REPLY_MAX_BYTES) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s wants at most %d bytes beside " TABLE_PLACEHOLDER ", not %zu",
                         row->label, TABLE_REPLY_MAX_BYTES, len - placeholder_len);
    }
    return TLSMSG_OK;
}

enum tlsmsg_code table_check_text(const struct option_row *row, const char *text,
                                  struct tlsmsg_error *err)
{
    if (text[0] == '\0') {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s wants a value that is not empty",
                         row->label);
    }
    switch (row->text) {
    case TEXT_DOMAIN:
        return check_domain(row, text, err);
    case TEXT_REPLY:
        return check_reply(row, text, err);
    default:
        return TLSMSG_OK;
    }
}
