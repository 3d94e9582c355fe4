/* The decision behind client_trust.h. Immutable once made; the thread that drives the handshake. */
#include "transport/tls/client_trust.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/escape.h"
#include "base/file.h"
#include "base/tools.h"
#include "net/address.h"
#include "transport/tls/known_servers.h"
#include "transport/tls/x509_text.h"

#define HOSTS_MAX 160
#define QUESTION_MAX 1024
#define SERVER_MAX (ADDRESS_HOST_MAX + 16)

struct client_trust {
    struct pin *pins;
    size_t pin_count;
    bool has_ca;
    bool first_use;
    bool accept_new;
    tlsmsg_confirm_fn *confirm; /* NULL: there is nobody to ask */
    void *confirm_user;         /* borrowed */
    char path[PATH_MAX];        /* of the first-use records */
    char server[SERVER_MAX];    /* "host:port" as typed */
};

static enum tlsmsg_code read_pins(struct client_trust *trust, const struct text_list *pins,
                                  struct tlsmsg_error *err)
{
    enum tlsmsg_code code = TLSMSG_OK;

    if (pins->count == 0) {
        return TLSMSG_OK;
    }
    trust->pins = calloc(pins->count, sizeof(*trust->pins));
    if (trust->pins == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    while (trust->pin_count < pins->count && code == TLSMSG_OK) {
        code = pin_parse(text_list_at(pins, trust->pin_count), &trust->pins[trust->pin_count], err);
        trust->pin_count++;
    }
    return code;
}

static enum tlsmsg_code read_first_use(struct client_trust *trust,
                                       const struct tls_settings *settings,
                                       struct tlsmsg_error *err)
{
    const char *path = settings->known_servers;

    trust->first_use = settings->trust_on_first_use;
    trust->accept_new = settings->accept_new;
    trust->confirm = settings->confirm;
    trust->confirm_user = settings->confirm_user;
    if (!trust->first_use) {
        return trust->accept_new || path != NULL
                   ? error_set(err, TLSMSG_ERR_CONFIG, 0, "%s needs --trust-on-first-use",
                               trust->accept_new ? "--accept-new" : "--known-servers")
                   : TLSMSG_OK;
    }
    (void)snprintf(trust->server, sizeof(trust->server), "%s", settings->server);
    if (path == NULL) {
        return known_servers_default_path(trust->path, sizeof(trust->path), err);
    }
    if (snprintf(trust->path, sizeof(trust->path), "%s", path) >= (int)sizeof(trust->path)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "--known-servers: the path is too long");
    }
    return TLSMSG_OK;
}

enum tlsmsg_code client_trust_new(const struct tls_settings *settings, struct client_trust **out,
                                  struct tlsmsg_error *err)
{
    struct client_trust *trust = calloc(1, sizeof(*trust));
    enum tlsmsg_code code;

    *out = NULL;
    if (trust == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    trust->has_ca = settings->ca != NULL;
    code = read_pins(trust, &settings->pins, err);
    if (code == TLSMSG_OK) {
        code = read_first_use(trust, settings, err);
    }
    if (code != TLSMSG_OK) {
        client_trust_free(trust);
        return code;
    }
    *out = trust;
    return TLSMSG_OK;
}

void client_trust_free(struct client_trust *trust)
{
    if (trust != NULL) {
        free(trust->pins);
        free(trust);
    }
}

static bool key_decides(const struct client_trust *trust)
{
    return trust->pin_count > 0 || trust->first_use;
}

bool client_trust_needs_chain(const struct client_trust *trust)
{
    return trust->has_ca || !key_decides(trust);
}

bool client_trust_is_default(const struct client_trust *trust)
{
    return !trust->has_ca && !key_decides(trust);
}

static enum tlsmsg_code judge_pins(const struct client_trust *trust, const struct pin *shown,
                                   struct tlsmsg_error *err)
{
    for (size_t i = 0; i < trust->pin_count; i++) {
        if (pin_equal(&trust->pins[i], shown)) {
            return TLSMSG_OK;
        }
    }
    return error_set(err, TLSMSG_ERR_UNTRUSTED, 0,
                     "the server's pin is %s, which no --pin allows (a new key? compare with "
                     "%s show on the server)",
                     shown->text, tools()->certs);
}

bool client_trust_ask(const struct client_trust *trust, X509 *leaf, char pin[PIN_TEXT_MAX])
{
    char question[QUESTION_MAX];
    char hosts[HOSTS_MAX];
    char until[X509_TEXT_DATE_MAX];
    const struct tlsmsg_new_server server = {.size = sizeof(server),
                                             .question = question,
                                             .server = trust->server,
                                             .pin = pin,
                                             .names = hosts,
                                             .until = until};

    x509_text_pin(leaf, pin);
    x509_text_hosts(leaf, hosts, sizeof(hosts));
    x509_text_date(X509_get0_notAfter(leaf), until);
    (void)snprintf(question, sizeof(question),
                   "Server %s is not known yet.\n"
                   "  pin    %s\n"
                   "  names  %s\n"
                   "  until  %s\n"
                   "Compare the pin with %s show on the server.\n"
                   "Trust this key from now on?",
                   trust->server, pin, hosts, until, tools()->certs);
    return trust->confirm(&server, trust->confirm_user);
}

/* An unknown server. Nobody is asked here: the server waits for the handshake, and comparing a pin
 * takes longer than any server would. */
static enum tlsmsg_code judge_new(const struct client_trust *trust, const struct pin *shown,
                                  struct server_key *key, struct tlsmsg_error *err)
{
    if (key->accepted != NULL && strcmp(key->accepted, shown->text) != 0) {
        return error_set(err, TLSMSG_ERR_UNTRUSTED, 0,
                         "server '%s' shows another key than a moment ago: somebody may be in "
                         "between (man in the middle); accepted was %s, shown now is %s",
                         trust->server, key->accepted, shown->text);
    }
    key->is_new = key->accepted != NULL || trust->accept_new;
    key->asks_user = !key->is_new && trust->confirm != NULL;
    if (key->is_new) {
        return TLSMSG_OK;
    }
    return error_set(
        err, TLSMSG_ERR_UNTRUSTED, 0,
        key->asks_user ? "server '%s' is not known yet, and its key was not accepted; its pin is %s"
                       : "server '%s' is not known yet; its pin is %s; try: connect at a terminal, "
                         "which asks, and compare the pin with %s show on the server",
        trust->server, shown->text, tools()->certs);
}

static enum tlsmsg_code judge_first_use(const struct client_trust *trust, const struct pin *shown,
                                        struct server_key *key, struct tlsmsg_error *err)
{
    enum known_answer answer;
    struct known_record known;
    char path[FILE_NAME_MAX];
    enum tlsmsg_code code =
        known_servers_find(trust->path, trust->server, shown, &answer, &known, err);

    if (code != TLSMSG_OK || answer == KNOWN_SAME) {
        return code;
    }
    if (answer == KNOWN_NOT) {
        return judge_new(trust, shown, key, err);
    }
    return error_set(err, TLSMSG_ERR_KEY_CHANGED, 0,
                     "THE KEY OF SERVER '%s' HAS CHANGED: somebody may be in between (man in the "
                     "middle); recorded on %s %s, shown now %s; try: ask whoever runs the server; "
                     "only if its key was replaced, remove its line from '%s'",
                     trust->server, known.date, known.pin.text, shown->text,
                     escape_name(path, sizeof(path), trust->path));
}

static enum tlsmsg_code judge_dates(X509 *leaf, const struct pin *shown, struct tlsmsg_error *err)
{
    /* What can't be read as a date counts as past. */
    bool expired = X509_cmp_current_time(X509_get0_notAfter(leaf)) <= 0;
    char date[X509_TEXT_DATE_MAX];

    if (!expired && X509_cmp_current_time(X509_get0_notBefore(leaf)) < 0) {
        return TLSMSG_OK;
    }
    x509_text_date(expired ? X509_get0_notAfter(leaf) : X509_get0_notBefore(leaf), date);
    return error_set(err, TLSMSG_ERR_UNTRUSTED, 0,
                     expired ? "the server's certificate expired on %s; its pin is %s"
                             : "the server's certificate is not yet valid (from %s on); its pin is "
                               "%s",
                     date, shown->text);
}

enum tlsmsg_code client_trust_judge(const struct client_trust *trust, X509 *leaf,
                                    struct server_key *key, struct tlsmsg_error *err)
{
    struct pin shown;
    enum tlsmsg_code code;

    if (!key_decides(trust)) {
        return TLSMSG_OK;
    }
    if (!pin_of(leaf, &shown)) {
        return error_set(err, TLSMSG_ERR_UNTRUSTED, 0, "the server's key can't be read");
    }
    code = judge_dates(leaf, &shown, err);
    if (code == TLSMSG_OK && trust->pin_count > 0) {
        code = judge_pins(trust, &shown, err);
    }
    if (code == TLSMSG_OK && trust->first_use) {
        code = judge_first_use(trust, &shown, key, err);
    }
    return code;
}

enum tlsmsg_code client_trust_record(const struct client_trust *trust, X509 *leaf,
                                     struct tlsmsg_error *err)
{
    struct pin shown;

    if (leaf == NULL || !pin_of(leaf, &shown)) {
        return error_set(err, TLSMSG_ERR_UNTRUSTED, 0, "the server's key can't be read");
    }
    return known_servers_add(trust->path, trust->server, &shown, err);
}
