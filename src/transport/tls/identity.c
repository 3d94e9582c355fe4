/* Identity: one rule for what is printed and what is compared. Pure; any thread. */
#include "transport/tls/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "base/escape.h"

/* The type and the escaped value in one new string. */
static char *typed(const char *type, const ASN1_STRING *value)
{
    const char *bytes = (const char *)ASN1_STRING_get0_data(value);
    size_t len = (size_t)ASN1_STRING_length(value);
    size_t type_len = strlen(type);
    size_t cap = type_len + len * ESCAPE_EXPANSION_MAX + 1;
    char *wide = malloc(cap);
    char *fitted;

    if (wide == NULL) {
        return NULL;
    }
    memcpy(wide, type, type_len);
    len = type_len + escape_text(wide + type_len, cap - type_len - 1, bytes, len);
    wide[len] = '\0';
    /* Kept as long as the conversation, so no larger than it has to be. */
    fitted = strdup(wide);
    free(wide);
    return fitted;
}

static const ASN1_STRING *first_of(const GENERAL_NAMES *names, int wanted)
{
    int i;

    for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);

        if (type == wanted && ASN1_STRING_length(value) > 0) {
            return value;
        }
    }
    return NULL;
}

static char *from_alternative_name(const X509 *cert)
{
    static const struct {
        int type;
        const char *name;
    } kinds[] = {{GEN_URI, "URI:"}, {GEN_EMAIL, "email:"}, {GEN_DNS, "DNS:"}};
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    char *identity = NULL;
    size_t i;

    for (i = 0; identity == NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const ASN1_STRING *value = first_of(names, kinds[i].type);

        if (value != NULL) {
            identity = typed(kinds[i].name, value);
        }
    }
    GENERAL_NAMES_free(names);
    return identity;
}

static char *from_common_name(const X509 *cert)
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    unsigned char *utf8 = NULL;
    char *identity = NULL;
    ASN1_STRING *text;
    int last = -1;
    int i;
    int len;

    while ((i = X509_NAME_get_index_by_NID(subject, NID_commonName, last)) >= 0) {
        last = i;
    }
    if (last < 0) {
        return NULL;
    }
    /* A CN may be in any of several encodings; printed and compared is its UTF-8. */
    len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
    text = ASN1_STRING_new();
    if (len > 0 && text != NULL && ASN1_STRING_set(text, utf8, len) == 1) {
        identity = typed("CN=", text);
    }
    ASN1_STRING_free(text);
    OPENSSL_free(utf8);
    return identity;
}

char *identity_of(const X509 *cert)
{
    char *identity = from_alternative_name(cert);

    return identity != NULL ? identity : from_common_name(cert);
}
