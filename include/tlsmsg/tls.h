/* What TLS agreed on, and certificates in words.
 *
 * Servers and clients hand out the same structures; in the plaintext build there are none. The
 * library fills them and callers only read them, through a pointer: members may be added at the
 * end of each.
 */
#ifndef TLSMSG_TLS_H
#define TLSMSG_TLS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A session. All texts are one line, safe to print; NULL where there is nothing. */
struct tlsmsg_tls {
    const char *version;  /* "TLSv1.3" */
    const char *cipher;   /* "TLS_AES_128_GCM_SHA256" */
    const char *group;    /* "X25519", as the policy names it */
    const char *identity; /* a server's view: "CN=alice", of the client's verified certificate */
    bool resumed;
    const char *protocol; /* by ALPN (RFC 7301), "tlsmsg/1"; NULL: none, the document's flow */
};

/* A certificate in words, as one line each, safe to print; cut with "..." where too long. */
struct tlsmsg_certificate {
    char subject[256]; /* "CN=localhost" */
    char issuer[256];
    char names[512]; /* that it is for, "localhost, 127.0.0.1"; "no name" where there is none */
    char pin[64];    /* "sha256//BASE64" of its key, as TLSMSG_OPT_PIN takes it */
    int64_t not_before_unix_s;
    int64_t not_after_unix_s;
};

/* What an OK of tlsmsg/1 means. */
enum tlsmsg_promise {
    TLSMSG_PROMISE_NONE,      /* the message was taken; it survives no restart */
    TLSMSG_PROMISE_DISK,      /* ... and is on a disk */
    TLSMSG_PROMISE_REPLICATED /* ... of more than one machine */
};

/* What of a configuration ends at a date. */
enum tlsmsg_expiry {
    TLSMSG_EXPIRY_CERTIFICATE, /* own ones, and the issuers that are sent with them */
    TLSMSG_EXPIRY_CA,          /* that peers' certificates are verified with */
    TLSMSG_EXPIRY_CRL,         /* revocation lists */
    TLSMSG_EXPIRY_COUNT        /* number of the above, none itself */
};

#ifdef __cplusplus
}
#endif

#endif
