/* The alert table. OpenSSL's own strings differ between versions and lack some of TLS 1.3's. */
#include "transport/tls/alerts.h"

#include <stddef.h>

struct alert {
    int number;
    bool is_refusal;
    const char *name;
};

/* RFC 8446 section 6; RFC 5246 section 7.2 for those that only TLS 1.2 sends. */
static const struct alert alerts[] = {
    {0, false, "close notify"},
    {10, false, "unexpected message"},
    {20, false, "bad record mac"},
    {21, false, "decryption failed"},
    {22, false, "record overflow"},
    {30, false, "decompression failure"},
    {40, false, "handshake failure"},
    {41, true, "no certificate"},
    {42, true, "bad certificate"},
    {43, true, "unsupported certificate"},
    {44, true, "certificate revoked"},
    {45, true, "certificate expired"},
    {46, true, "certificate unknown"},
    {47, false, "illegal parameter"},
    {48, true, "unknown ca"},
    {49, true, "access denied"},
    {50, false, "decode error"},
    {51, false, "decrypt error"},
    {70, false, "protocol version"},
    {71, false, "insufficient security"},
    {80, false, "internal error"},
    {86, false, "inappropriate fallback"},
    {90, false, "user canceled"},
    {100, false, "no renegotiation"},
    {109, false, "missing extension"},
    {110, false, "unsupported extension"},
    {112, false, "unrecognized name"},
    {113, false, "bad certificate status response"},
    {115, false, "unknown psk identity"},
    {116, true, "certificate required"},
    {120, false, "no application protocol"},
};

static const struct alert *find(int number)
{
    size_t i;

    for (i = 0; i < sizeof(alerts) / sizeof(alerts[0]); i++) {
        if (alerts[i].number == number) {
            return &alerts[i];
        }
    }
    return NULL;
}

const char *alert_name(int alert)
{
    const struct alert *entry = find(alert);

    return entry != NULL ? entry->name : NULL;
}

bool alert_is_refusal(int alert)
{
    const struct alert *entry = find(alert);

    return entry != NULL && entry->is_refusal;
}
