/* Pins as text, which is how they are given, stored, shown and compared: the base64 of 32 bytes
 * has one form only, and nothing about a pin is secret. Pure; any thread. */
#include "transport/tls/pin.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/escape.h"
#include "transport/tls/x509_text.h"

#define PREFIX "sha256//"
#define BASE64_LEN 44 /* 32 bytes: 43 characters and one '=' */

static int value_of(char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c == '\0' ? NULL : strchr(alphabet, c);

    return at == NULL ? -1 : (int)(at - alphabet);
}

bool pin_is_valid(const char *text)
{
    const char *base64 = text + strlen(PREFIX);

    if (strncmp(text, PREFIX, strlen(PREFIX)) != 0 || strlen(base64) != BASE64_LEN ||
        base64[BASE64_LEN - 1] != '=') {
        return false;
    }
    for (int i = 0; i < BASE64_LEN - 1; i++) {
        if (value_of(base64[i]) < 0) {
            return false;
        }
    }
    /* The last character carries four bits of the digest; the other two must be 0. */
    return (value_of(base64[BASE64_LEN - 2]) & 3) == 0;
}

enum tlsmsg_code pin_parse(const char *text, struct pin *out, struct tlsmsg_error *err)
{
    char shown[96];

    if (!pin_is_valid(text)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "'%s' is not a pin: --pin wants sha256// and the base64 of 32 bytes, as "
                         "scripts/gen-certs.sh show prints it",
                         escape_name(shown, sizeof(shown), text));
    }
    (void)snprintf(out->text, sizeof(out->text), "%s", text);
    return TLSMSG_OK;
}

bool pin_of(X509 *cert, struct pin *out)
{
    x509_text_pin(cert, out->text);
    return pin_is_valid(out->text);
}

bool pin_equal(const struct pin *a, const struct pin *b)
{
    return strcmp(a->text, b->text) == 0;
}
