/* Names of enumerated values, as the JSON transcript, logs and metrics have them. */
#include <tlsmsg/server.h>

const char *tlsmsg_close_reason_name(enum tlsmsg_close_reason reason)
{
    static const char *const names[] = {
        [TLSMSG_CLOSE_CLEAN] = "clean",     [TLSMSG_CLOSE_TRUNCATED] = "truncated",
        [TLSMSG_CLOSE_RESET] = "reset",     [TLSMSG_CLOSE_HANDSHAKE] = "handshake",
        [TLSMSG_CLOSE_TIMEOUT] = "timeout", [TLSMSG_CLOSE_INVALID_UTF8] = "invalid-utf8",
        [TLSMSG_CLOSE_DRAINED] = "drained", [TLSMSG_CLOSE_FAILED] = "failed",
    };

    return (unsigned)reason < TLSMSG_CLOSE_COUNT ? names[reason] : "unknown";
}

const char *tlsmsg_cause_name(enum tlsmsg_cause cause)
{
    static const char *const names[] = {
        [TLSMSG_CAUSE_PLAINTEXT_PEER] = "plaintext-peer",
        [TLSMSG_CAUSE_TLS_PEER] = "tls-peer",
        [TLSMSG_CAUSE_HANDSHAKE] = "handshake",
        [TLSMSG_CAUSE_REFUSED] = "refused",
        [TLSMSG_CAUSE_TIMEOUT] = "timeout",
        [TLSMSG_CAUSE_TRUNCATED] = "truncated",
        [TLSMSG_CAUSE_RESET] = "reset",
        [TLSMSG_CAUSE_INVALID_UTF8] = "invalid-utf8",
        [TLSMSG_CAUSE_PROBE] = "probe",
        [TLSMSG_CAUSE_LIMIT] = "limit",
        [TLSMSG_CAUSE_DESCRIPTORS] = "descriptors",
        [TLSMSG_CAUSE_MEMORY] = "memory",
        [TLSMSG_CAUSE_CERTIFICATE] = "certificate",
        [TLSMSG_CAUSE_OTHER] = "other",
    };

    return (unsigned)cause < TLSMSG_CAUSE_COUNT ? names[cause] : "unknown";
}
