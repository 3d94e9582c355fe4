/* Errors: records a cause in the caller's structure, names the codes.
 *
 * Owns the texts of the codes and the rule that the first cause wins. What a
 * cause says is the business of whoever met it. No state; any thread. Nothing
 * is allocated, so that running out of memory can be reported too. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Formats behind the first `used` bytes of err->text, leaving `spare` bytes unused at the end.
 * Returns the new length; a character that fits only in part is left out. */
static size_t append(struct tlsmsg_error *err, size_t used, size_t spare, const char *format,
                     va_list args) __attribute__((format(printf, 4, 0)));

static size_t append(struct tlsmsg_error *err, size_t used, size_t spare, const char *format,
                     va_list args)
{
    size_t cap = sizeof(err->text) - used - spare;
    size_t whole;
    int n = vsnprintf(err->text + used, cap, format, args);

    if (n < 0) {
        err->text[used] = '\0';
        return used;
    }
    if ((size_t)n < cap) {
        return used + (size_t)n;
    }
    if (utf8_check(err->text + used, cap - 1, &whole) == UTF8_INCOMPLETE) {
        err->text[used + whole] = '\0';
        return used + whole;
    }
    return used + cap - 1;
}

enum tlsmsg_code error_set(struct tlsmsg_error *err, enum tlsmsg_code code, int sys_errno,
                           const char *format, ...)
{
    int saved_errno = errno;
    const char *reason = "";
    size_t reason_len = 0;
    size_t used;
    va_list args;

    if (err == NULL || err->code != TLSMSG_OK) {
        return code;
    }
    if (sys_errno != 0) {
        /* Thread-safe in glibc since 2.32 and in musl; strerror_r differs between the two. */
        reason = strerror(sys_errno);
        reason_len = strnlen(reason, sizeof(err->text) / 4);
    }
    err->code = code;
    err->sys_errno = sys_errno;
    err->ssl_code = 0;
    va_start(args, format);
    used = append(err, 0, reason_len == 0 ? 0 : reason_len + 2, format, args);
    va_end(args);
    if (reason_len != 0) {
        (void)snprintf(err->text + used, sizeof(err->text) - used, ": %.*s", (int)reason_len,
                       reason);
    }
    errno = saved_errno;
    return code;
}

void error_append(struct tlsmsg_error *err, const char *format, ...)
{
    int saved_errno = errno;
    va_list args;

    if (err == NULL || err->code == TLSMSG_OK) {
        return;
    }
    va_start(args, format);
    (void)append(err, strnlen(err->text, sizeof(err->text) - 1), 0, format, args);
    va_end(args);
    errno = saved_errno;
}

void tlsmsg_error_clear(struct tlsmsg_error *err)
{
    if (err != NULL) {
        memset(err, 0, sizeof(*err));
    }
}

const char *tlsmsg_code_name(enum tlsmsg_code code)
{
    static const char *const names[] = {
        [TLSMSG_OK] = "ok",
        [TLSMSG_ERR_NOMEM] = "out of memory",
        [TLSMSG_ERR_SYSTEM] = "system",
        [TLSMSG_ERR_CONFIG] = "configuration",
        [TLSMSG_ERR_STATE] = "state",
        [TLSMSG_ERR_CONNECT] = "no connection",
        [TLSMSG_ERR_HANDSHAKE] = "handshake",
        [TLSMSG_ERR_NOT_TLS] = "not TLS",
        [TLSMSG_ERR_IS_TLS] = "TLS in plaintext",
        [TLSMSG_ERR_UNTRUSTED] = "untrusted",
        [TLSMSG_ERR_REFUSED] = "refused",
        [TLSMSG_ERR_TRUNCATED] = "truncated",
        [TLSMSG_ERR_RESET] = "reset",
        [TLSMSG_ERR_TIMEOUT] = "timeout",
        [TLSMSG_ERR_PROTOCOL] = "protocol",
        [TLSMSG_ERR_UTF8] = "invalid UTF-8",
        [TLSMSG_ERR_LIMIT] = "limit",
        [TLSMSG_ERR_CLOSED] = "closed",
        [TLSMSG_ERR_KEY_CHANGED] = "key changed",
        [TLSMSG_ERR_NOT_NUMBERED] = "no tlsmsg/1",
        [TLSMSG_ERR_BYE] = "BYE",
    };

    if ((size_t)code >= sizeof(names) / sizeof(names[0])) {
        return "unknown";
    }
    return names[code];
}
