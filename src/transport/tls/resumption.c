/* The decrypt-ticket callback (SSL_CTX_set_session_ticket_cb(3)).
 *
 * A change of CAs ends all sessions through the session id context (trust.c). What changes more
 * often, dates, revocation lists and the allow list, is asked here for the one certificate. */
#include "transport/tls/resumption.h"

#include <stdlib.h>

#include "transport/tls/allow.h"
#include "transport/tls/config.h"
#include "transport/tls/identity.h"
#include "transport/tls/revocation.h"
#include "transport/tls/session.h"

static bool is_within_dates(const X509 *cert)
{
    return X509_cmp_current_time(X509_get0_notBefore(cert)) < 0 &&
           X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
}

static bool may_still_talk(const struct transport_config *config, X509 *cert)
{
    char *identity;
    bool allowed;

    if (cert == NULL || !is_within_dates(cert) || revocation_names(config->revoked, cert)) {
        return false;
    }
    identity = identity_of(cert);
    allowed = allow_holds(config->allowed, identity);
    free(identity);
    return allowed;
}

static SSL_TICKET_RETURN judge_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                      size_t name_len, SSL_TICKET_STATUS status, void *unused)
{
    const struct transport_config *config = session_of(ssl)->config;

    (void)name;
    (void)name_len;
    (void)unused;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) {
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    if (config->asks_for_certificate && !may_still_talk(config, SSL_SESSION_get0_peer(session))) {
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

int resumption_install(SSL_CTX *ctx)
{
    return SSL_CTX_set_session_ticket_cb(ctx, NULL, judge_ticket, NULL);
}
