/* Why a peer's certificate is refused, and what to do: one table of cases and texts.
 *
 * A hint names the file at fault, whose it is, and never proposes to lower a check. */
#ifndef TRANSPORT_TLS_HINTS_H
#define TRANSPORT_TLS_HINTS_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/x509.h>

#include "transport/tls/load.h"

#define HINT_TEXT_MAX 320

enum trust_case {
    TRUST_LEAF_EXPIRED,
    TRUST_ISSUER_EXPIRED, /* as the peer has sent it */
    TRUST_CA_EXPIRED,     /* as our own file has it */
    TRUST_LEAF_FUTURE,
    TRUST_ISSUER_FUTURE,
    TRUST_REVOKED,
    TRUST_ISSUER_REVOKED,
    TRUST_LIST_MISSING,
    TRUST_LIST_ENDED,
    TRUST_LIST_FUTURE,
    TRUST_LIST_UNFIT,
    TRUST_NAME,
    TRUST_NAME_MISSING, /* the certificate has none that counts */
    TRUST_NAME_ADDRESS, /* the address stands there as a DNS name */
    TRUST_SELF_SIGNED,
    TRUST_SYSTEM,    /* no --ca was given */
    TRUST_CHAIN,     /* the peer sent no issuer */
    TRUST_UNKNOWN,   /* another CA */
    TRUST_OTHER_KEY, /* than the trusted CA of that name */
    TRUST_SENT_KEY,  /* the issuer that was sent has another key than the one that signed */
    TRUST_UNFIT_CA,  /* the trusted CA of that name has signed it, and may not have */
    TRUST_NO_CA,     /* an issuer that may not issue */
    TRUST_PURPOSE,
    TRUST_CONSTRAINED, /* names that its issuer may not issue for */
    TRUST_EXTENSION,
    TRUST_WEAK,
    TRUST_OTHER,
    TRUST_CASES
};

/* What a text may name. All are texts already, escaped; NULL where there is none. */
struct trust_words {
    bool is_server;
    const char *subject; /* of the certificate that the case is about */
    const char *issuer;  /* its issuer, or the list's */
    const char *file;    /* the CA file or list that decides */
    const char *date;
    const char *names;   /* that the peer's certificate is for */
    const char *library; /* the library's own words */
};

/* A certificate of the issuer's name that is at hand, and is not taken as the issuer. */
enum namesake {
    NAMESAKE_NONE,
    NAMESAKE_TRUSTED, /* a CA that is trusted, with another key */
    NAMESAKE_UNFIT,   /* the same, with the key that signed */
    NAMESAKE_SENT     /* one that the peer has sent */
};

/* What the verification knows, apart from the certificates. */
struct trust_view {
    int error; /* X509_V_ERR_* */
    int depth;
    X509 *cert;             /* that it is about */
    X509 *leaf;             /* the peer's own */
    const char *name;       /* a client: that the server was asked for by; else NULL */
    bool by_system;         /* the system's trust store decides */
    bool sent;              /* cert came from the peer */
    int sent_count;         /* certificates that the peer has sent */
    enum namesake namesake; /* of cert's issuer */
    int misfit;             /* NAMESAKE_UNFIT: why, X509_V_ERR_* */
};

enum trust_case hints_find(const struct trust_view *view);

/* The reason, then "; try: ..." where something can be tried, NUL-terminated and cut to cap - 1. Two
 * texts, since a pin may stand between them. */
void hints_print(enum trust_case which, const struct trust_words *with, char *reason, char *hint,
                 size_t cap);

#endif
