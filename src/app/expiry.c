/* The daily look at when the first certificate ends. Pure, any thread; see expiry.h. */
#include "app/expiry.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

#define DAY_S 86400
#define DATE_CHARS 10 /* of "2026-11-22T15:00:00.123Z" */

bool expiry_is_due(int64_t expiry_unix_s, int64_t *last_unix_s, int64_t now_unix_s)
{
    if (now_unix_s < *last_unix_s) {
        *last_unix_s = now_unix_s;
    }
    if (expiry_unix_s == 0 || now_unix_s - *last_unix_s < DAY_S ||
        expiry_unix_s - now_unix_s >= EXPIRY_DAYS * (int64_t)DAY_S) {
        return false;
    }
    *last_unix_s = now_unix_s;
    return true;
}

void expiry_print(int64_t expiry_unix_s, int64_t now_unix_s, char *buf, size_t cap)
{
    char date[32];

    clock_print_utc(expiry_unix_s, 0, date, sizeof(date));
    if (expiry_unix_s <= now_unix_s) {
        (void)snprintf(buf, cap,
                       "a certificate of this server ended on %.*s: clients refuse it "
                       "(scripts/gen-certs.sh renew, then SIGHUP)",
                       DATE_CHARS, date);
    } else {
        (void)snprintf(buf, cap,
                       "a certificate of this server ends in %" PRId64 " days, on %.*s "
                       "(scripts/gen-certs.sh renew, then SIGHUP)",
                       (expiry_unix_s - now_unix_s) / DAY_S, DATE_CHARS, date);
    }
}
