/* The certificates that a server has shown, in words.
 *
 * The library keeps them in the session from the moment they arrive, so they can be told also
 * where they were refused and there is no peer certificate to speak of. On the transport's thread. */
#include <stdio.h>
#include <string.h>

#include <openssl/ssl.h>

#include "transport/tls/session.h"
#include "transport/tls/x509_text.h"

_Static_assert(sizeof(((struct tlsmsg_certificate *)0)->pin) >= X509_TEXT_PIN_MAX,
               "room for a pin");

bool transport_peer_certificate(const struct transport *t, size_t i, struct tlsmsg_certificate *out)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(t->ssl);
    X509 *cert;

    if (chain == NULL || i >= (size_t)sk_X509_num(chain)) {
        return false;
    }
    tls_error_begin();
    cert = sk_X509_value(chain, (int)i);
    x509_text_name(X509_get_subject_name(cert), out->subject, sizeof(out->subject));
    x509_text_name(X509_get_issuer_name(cert), out->issuer, sizeof(out->issuer));
    x509_text_hosts(cert, out->names, sizeof(out->names));
    x509_text_pin(cert, out->pin);
    out->not_before_unix_s = x509_text_unix_s(X509_get0_notBefore(cert));
    out->not_after_unix_s = x509_text_unix_s(X509_get0_notAfter(cert));
    tls_error_begin();
    return true;
}
