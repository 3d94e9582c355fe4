/* See hints.h. Texts have {names} of things in them, which are put in as they are. */
#include "transport/tls/hints.h"

#include <string.h>
#include <strings.h>

#include <openssl/x509v3.h>

/* The reason is the same on both ends; what can be done is not. NULL: nothing. */
struct row {
    const char *reason;
    const char *client; /* what tlsmsg-client proposes */
    const char *server; /* what the server's log proposes */
};

#define NEW_CERTIFICATE "a new certificate"
#define CLOCK " (or is this clock wrong?)"

static const struct row rows[TRUST_CASES] = {
    [TRUST_LEAF_EXPIRED] = {"its certificate expired on {date}",
                            NEW_CERTIFICATE " on the server" CLOCK,
                            NEW_CERTIFICATE " for the client" CLOCK},
    [TRUST_ISSUER_EXPIRED] = {"its issuer's certificate, '{subject}', expired on {date}",
                              "the issuer's new certificate in the server's chain" CLOCK,
                              "the issuer's new certificate in the client's chain" CLOCK},
    [TRUST_CA_EXPIRED] = {"the CA '{subject}' in your file '{file}' expired on {date}",
                          "the CA's new certificate from whoever runs the server",
                          "the CA's new certificate in --client-ca, then SIGHUP"},
    [TRUST_LEAF_FUTURE] = {"its certificate is not yet valid (from {date} on)",
                           "the clocks of both machines", "the clocks of both machines"},
    [TRUST_ISSUER_FUTURE] = {"its issuer's certificate is not yet valid (from {date} on)",
                             "the clocks of both machines", "the clocks of both machines"},
    [TRUST_REVOKED] = {"its certificate is revoked", NULL, NULL},
    [TRUST_ISSUER_REVOKED] = {"its issuer's certificate is revoked", NULL, NULL},
    [TRUST_LIST_MISSING] = {"'{file}' holds no revocation list of '{issuer}'",
                            "that CA's list in the file of --crl",
                            "that CA's list in the file of --crl, then SIGHUP"},
    [TRUST_LIST_ENDED] = {"the revocation list of '{issuer}' in '{file}' ended on {date}",
                          "the CA's new list from whoever runs the server",
                          "a new list, then SIGHUP"},
    [TRUST_LIST_FUTURE] = {"the revocation list of '{issuer}' in '{file}' is not yet valid",
                           "this machine's clock", "this machine's clock"},
    [TRUST_LIST_UNFIT] = {"the revocation list of '{issuer}' in '{file}' does not cover it, or is "
                          "not that CA's ({library})",
                          "that CA's full list in --crl", "that CA's full list in --crl"},
    [TRUST_NAME] = {"wrong name (its certificate is for {names})",
                    "--server-name NAME, with the name that you know the server by", NULL},
    [TRUST_NAME_MISSING] = {"wrong name (its certificate is for no name; a CN does not count)",
                            "a certificate with subjectAltName on the server", NULL},
    [TRUST_NAME_ADDRESS] = {"wrong name (its certificate has the address as a DNS name)",
                            "a certificate with IP:ADDRESS in its subjectAltName on the server",
                            NULL},
    [TRUST_SELF_SIGNED] = {"unknown CA (its certificate is self-signed)",
                           "--ca FILE, with its certificate from whoever runs the server",
                           "its certificate in --client-ca, if it is meant"},
    [TRUST_SYSTEM] = {"unknown CA '{issuer}' (no --ca was given, and this system doesn't know it)",
                      "--ca FILE, with the CA's certificate from whoever runs the server", NULL},
    [TRUST_CHAIN] = {"unknown CA '{issuer}': its certificate was not sent, and is not in '{file}'",
                     "on the server, --cert with the whole chain; or --ca with that CA's file",
                     "on the client, --cert with the whole chain; or that CA in --client-ca"},
    [TRUST_UNKNOWN] = {"unknown CA '{issuer}', which is not in '{file}'",
                       "--ca with that CA's file, from whoever runs the server",
                       "that CA in --client-ca, if it is meant"},
    [TRUST_OTHER_KEY] = {"its signature is not by the trusted CA '{issuer}' in '{file}' (that CA "
                         "has another key now)",
                         "the CA's new certificate from whoever runs the server",
                         "the CA's new certificate in --client-ca, or a new one for the client"},
    [TRUST_SENT_KEY] =
        {"its signature is not by its issuer '{issuer}' as it was sent (that one has "
         "another key)",
         "on the server, --cert with the issuer that signed it",
         "on the client, --cert with the issuer that signed it"},
    [TRUST_UNFIT_CA] = {"the CA '{issuer}' in '{file}' has signed it, and can't be its issuer "
                        "({library})",
                        "the CA's certificate that issued it, from whoever runs the server",
                        "the CA's certificate that issued it in --client-ca"},
    [TRUST_NO_CA] = {"'{subject}' may not issue certificates ({library})",
                     "an issuer with CA:TRUE and keyCertSign, for the server's certificate",
                     "an issuer with CA:TRUE and keyCertSign, for the client's certificate"},
    [TRUST_PURPOSE] = {"its certificate, or its issuer's, is not for this purpose ({library})",
                       "a certificate with serverAuth on the server",
                       "a certificate with clientAuth for the client"},
    [TRUST_CONSTRAINED] = {"its issuer '{issuer}' may not issue for its names ({library})",
                           "a certificate on the server from a CA that may",
                           "a certificate for the client from a CA that may"},
    [TRUST_EXTENSION] = {"'{subject}' has a critical extension that is not understood here",
                         "a certificate on the server without it",
                         "a certificate for the client without it"},
    [TRUST_WEAK] = {"too weak ({library})", "a stronger key on the server",
                    "a stronger key for the client"},
    [TRUST_OTHER] = {"{library}", NULL, NULL},
};

/* ---- which case it is */

static bool is_named(const X509 *leaf, const char *name, bool *any)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    bool found = false;

    *any = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);

        *any |= type == GEN_DNS || type == GEN_IPADD;
        found |= type == GEN_DNS && name != NULL &&
                 (size_t)ASN1_STRING_length(value) == strlen(name) &&
                 strncasecmp((const char *)ASN1_STRING_get0_data(value), name, strlen(name)) == 0;
    }
    GENERAL_NAMES_free(names);
    return found;
}

static enum trust_case find_name(const struct trust_view *view)
{
    bool any;
    bool as_dns = is_named(view->leaf, view->name, &any);

    if (!any) {
        return TRUST_NAME_MISSING;
    }
    return as_dns && view->error == X509_V_ERR_IP_ADDRESS_MISMATCH ? TRUST_NAME_ADDRESS
                                                                   : TRUST_NAME;
}

static enum trust_case find_unknown(const struct trust_view *view)
{
    if (view->error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT) {
        return TRUST_SELF_SIGNED;
    }
    switch (view->namesake) {
    case NAMESAKE_TRUSTED:
        return TRUST_OTHER_KEY;
    case NAMESAKE_UNFIT:
        return TRUST_UNFIT_CA;
    case NAMESAKE_SENT:
        return TRUST_SENT_KEY;
    default:
        break;
    }
    if (view->error == X509_V_ERR_CERT_SIGNATURE_FAILURE) {
        return TRUST_OTHER_KEY;
    }
    if (view->by_system) {
        return TRUST_SYSTEM;
    }
    return view->sent_count <= 1 ? TRUST_CHAIN : TRUST_UNKNOWN;
}

enum trust_case hints_find(const struct trust_view *view)
{
    switch (view->error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return view->depth == 0                ? TRUST_LEAF_EXPIRED
               : view->sent || view->by_system ? TRUST_ISSUER_EXPIRED
                                               : TRUST_CA_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return view->depth == 0 ? TRUST_LEAF_FUTURE : TRUST_ISSUER_FUTURE;
    case X509_V_ERR_CERT_REVOKED:
        return view->depth == 0 ? TRUST_REVOKED : TRUST_ISSUER_REVOKED;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
        return TRUST_LIST_MISSING;
    case X509_V_ERR_CRL_HAS_EXPIRED:
        return TRUST_LIST_ENDED;
    case X509_V_ERR_CRL_NOT_YET_VALID:
        return TRUST_LIST_FUTURE;
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_DIFFERENT_CRL_SCOPE:
    case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
    case X509_V_ERR_CRL_PATH_VALIDATION_ERROR:
    case X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION:
        return TRUST_LIST_UNFIT;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return find_name(view);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return find_unknown(view);
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
        return TRUST_NO_CA;
    case X509_V_ERR_PERMITTED_VIOLATION:
    case X509_V_ERR_EXCLUDED_VIOLATION:
        return TRUST_CONSTRAINED;
    case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
        return TRUST_EXTENSION;
    case X509_V_ERR_INVALID_PURPOSE:
        return TRUST_PURPOSE;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
        return TRUST_WEAK;
    default:
        return TRUST_OTHER;
    }
}

/* ---- its texts */

static const char *fact(const struct trust_words *with, const char *name, size_t len)
{
    const struct {
        const char *name;
        const char *value;
    } all[] = {{"subject", with->subject}, {"issuer", with->issuer}, {"file", with->file},
               {"date", with->date},       {"names", with->names},   {"library", with->library}};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (strlen(all[i].name) == len && memcmp(all[i].name, name, len) == 0) {
            return all[i].value != NULL ? all[i].value : "?";
        }
    }
    return "?";
}

static size_t put(char *out, size_t used, size_t cap, const char *text, size_t len)
{
    if (len > cap - 1 - used) {
        len = cap - 1 - used;
    }
    memcpy(out + used, text, len);
    out[used + len] = '\0';
    return used + len;
}

static size_t fill(const char *text, const struct trust_words *with, char *out, size_t used,
                   size_t cap)
{
    while (*text != '\0') {
        size_t plain = strcspn(text, "{");

        used = put(out, used, cap, text, plain);
        text += plain;
        if (*text == '{') {
            size_t len = strcspn(text + 1, "}");
            const char *value = fact(with, text + 1, len);

            used = put(out, used, cap, value, strlen(value));
            text += len + 2;
        }
    }
    return used;
}

void hints_print(enum trust_case which, const struct trust_words *with, char *reason, char *hint,
                 size_t cap)
{
    const struct row *row = &rows[which];
    const char *try_this = with->is_server ? row->server : row->client;

    reason[0] = '\0';
    hint[0] = '\0';
    (void)fill(row->reason, with, reason, 0, cap);
    if (try_this != NULL) {
        (void)fill(try_this, with, hint, put(hint, 0, cap, "; try: ", strlen("; try: ")), cap);
    }
}
