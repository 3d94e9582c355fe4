/* When an own certificate that ends soon is worth a warning once more. */
#ifndef APP_EXPIRY_H
#define APP_EXPIRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Days before a certificate's end from which on it is warned about. */
#define EXPIRY_DAYS 30

/* True when a day has passed since the last warning, or the last occasion for one (the library
 * warns at start and on reload), and the certificate has under EXPIRY_DAYS left or is past.
 * All times are wall clock, seconds since the epoch. expiry_unix_s: 0 for no certificate.
 * *last_unix_s becomes now when the answer is true, and when the clock was set back behind it. */
bool expiry_is_due(int64_t expiry_unix_s, int64_t *last_unix_s, int64_t now_unix_s);

/* The warning, NUL-terminated. */
void expiry_print(int64_t expiry_unix_s, int64_t now_unix_s, char *buf, size_t cap);

#endif
