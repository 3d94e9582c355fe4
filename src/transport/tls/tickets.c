/* Ticket keys: previous, current and next; where they come from, and who may resume by them.
 *
 * New tickets are sealed with the current key; the previous one still opens what it sealed, for as
 * long as a session lives; then it is wiped. Called by OpenSSL on any worker's thread: the three
 * keys are behind a lock that is held for a copy (in handshakes only, never in a message's path).
 * Cipher and digest are looked up once, since fetching takes locks of OpenSSL's own.
 *
 * Keys are secrets: wiped by whoever is done with them, never in a text. */
#include "transport/tls/tickets.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/tools.h"
#include "transport/tls/errors.h"
#include "transport/tls/identity.h"
#include "transport/tls/internal.h"
#include "transport/tls/load.h"
#include "transport/tls/verify.h"

#define IV_BYTES 16

struct ticket_keys {
    atomic_uint refs;
    ticket_clock *clock;
    void *clock_user; /* borrowed */
    EVP_CIPHER *cipher;
    pthread_mutex_t lock; /* guards what follows */
    int64_t rotates_at_s;
    struct ticket_key keys[TICKET_KEY_COUNT];
    bool has_previous;
    bool from_file;
};

static int64_t monotonic_s(void *user)
{
    (void)user;
    return clock_now_ns() / CLOCK_NS_PER_S;
}

static bool make_key(struct ticket_key *key)
{
    return RAND_bytes(key->name, sizeof(key->name)) == 1 &&
           RAND_priv_bytes(key->cipher, sizeof(key->cipher)) == 1 &&
           RAND_priv_bytes(key->mac, sizeof(key->mac)) == 1;
}

/* Moves on by as many lifetimes as have passed. Without random bytes all stays as it is: an old
 * key is better than none. Under the lock. */
static void rotate(struct ticket_keys *keys)
{
    int64_t now_s = keys->clock(keys->clock_user);
    struct ticket_key fresh;
    int64_t steps;

    if (keys->from_file || now_s < keys->rotates_at_s || !make_key(&fresh)) {
        return;
    }
    steps = (now_s - keys->rotates_at_s) / TICKETS_LIFETIME_S + 1;
    keys->keys[TICKET_PREVIOUS] = keys->keys[TICKET_CURRENT];
    keys->keys[TICKET_CURRENT] = keys->keys[TICKET_NEXT];
    keys->keys[TICKET_NEXT] = fresh;
    /* After a pause of more than a lifetime nothing the old key sealed is still valid. */
    keys->has_previous = steps == 1;
    if (!keys->has_previous) {
        OPENSSL_cleanse(&keys->keys[TICKET_PREVIOUS], sizeof(keys->keys[TICKET_PREVIOUS]));
    }
    keys->rotates_at_s += steps * TICKETS_LIFETIME_S;
    OPENSSL_cleanse(&fresh, sizeof(fresh));
}

static void copy_current(struct ticket_keys *keys, struct ticket_key *out)
{
    pthread_mutex_lock(&keys->lock);
    rotate(keys);
    *out = keys->keys[TICKET_CURRENT];
    pthread_mutex_unlock(&keys->lock);
}

/* Finds the key that sealed a ticket: its slot, or -1. */
static int copy_named(struct ticket_keys *keys, const unsigned char *name, struct ticket_key *out)
{
    int found = -1;
    int i;

    pthread_mutex_lock(&keys->lock);
    rotate(keys);
    for (i = keys->has_previous ? TICKET_PREVIOUS : TICKET_CURRENT; i < TICKET_KEY_COUNT; i++) {
        if (CRYPTO_memcmp(name, keys->keys[i].name, TICKET_NAME_BYTES) == 0) {
            *out = keys->keys[i];
            found = i;
            break;
        }
    }
    pthread_mutex_unlock(&keys->lock);
    return found;
}

static bool set_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* Seals a new ticket: 1, or -1 (the handshake fails). */
static int seal(struct ticket_keys *keys, unsigned char *name, unsigned char *iv,
                EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    struct ticket_key key;
    bool sealed;

    copy_current(keys, &key);
    memcpy(name, key.name, TICKET_NAME_BYTES);
    sealed = RAND_bytes(iv, IV_BYTES) == 1 &&
             EVP_EncryptInit_ex2(cipher, keys->cipher, key.cipher, iv, NULL) == 1 &&
             set_mac(mac, &key);
    OPENSSL_cleanse(&key, sizeof(key));
    return sealed ? 1 : -1;
}

/* Opens a ticket: 1, 2 (opened, to be renewed), 0 (unknown: a full handshake follows), -1. */
static int open_ticket(struct ticket_keys *keys, const unsigned char *name, const unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    struct ticket_key key;
    int slot = copy_named(keys, name, &key);
    bool opened;

    if (slot < 0) {
        return 0;
    }
    opened =
        EVP_DecryptInit_ex2(cipher, keys->cipher, key.cipher, iv, NULL) == 1 && set_mac(mac, &key);
    OPENSSL_cleanse(&key, sizeof(key));
    if (!opened) {
        return -1;
    }
    return slot == TICKET_PREVIOUS ? 2 : 1;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3). */
static int ticket_callback(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                           EVP_MAC_CTX *mac, int sealing)
{
    struct ticket_keys *keys = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    return sealing ? seal(keys, name, iv, cipher, mac) : open_ticket(keys, name, iv, cipher, mac);
}

static bool make_keys(struct ticket_keys *keys)
{
    keys->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    return keys->cipher != NULL && make_key(&keys->keys[TICKET_CURRENT]) &&
           make_key(&keys->keys[TICKET_NEXT]);
}

enum tlsmsg_code ticket_keys_new(ticket_clock *clock, void *user, struct ticket_keys **out,
                                 struct tlsmsg_error *err)
{
    struct ticket_keys *keys = calloc(1, sizeof(*keys));

    if (keys == NULL || pthread_mutex_init(&keys->lock, NULL) != 0) {
        free(keys);
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    atomic_init(&keys->refs, 1);
    keys->clock = clock != NULL ? clock : monotonic_s;
    keys->clock_user = user;
    keys->rotates_at_s = keys->clock(user) + TICKETS_LIFETIME_S;
    tls_error_begin();
    if (!make_keys(keys)) {
        ticket_keys_unref(keys);
        return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot make session ticket keys");
    }
    *out = keys;
    return TLSMSG_OK;
}

enum tlsmsg_code ticket_keys_from_file(const struct ticket_file *file, struct ticket_keys **out,
                                       struct tlsmsg_error *err)
{
    enum tlsmsg_code code = ticket_keys_new(NULL, NULL, out, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    /* Places that the file leaves empty keep random keys, which no other server knows. */
    for (int i = 0; i < TICKET_KEY_COUNT; i++) {
        if (file->present[i]) {
            (*out)->keys[i] = file->keys[i];
        }
    }
    (*out)->has_previous = file->present[TICKET_PREVIOUS];
    (*out)->from_file = true;
    return TLSMSG_OK;
}

bool ticket_keys_are_from_file(const struct ticket_keys *keys)
{
    return keys->from_file;
}

struct ticket_keys *ticket_keys_ref(struct ticket_keys *keys)
{
    atomic_fetch_add_explicit(&keys->refs, 1, memory_order_relaxed);
    return keys;
}

void ticket_keys_unref(struct ticket_keys *keys)
{
    if (keys == NULL || atomic_fetch_sub_explicit(&keys->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    pthread_mutex_destroy(&keys->lock);
    EVP_CIPHER_free(keys->cipher);
    OPENSSL_cleanse(keys, sizeof(*keys));
    free(keys);
}

enum tlsmsg_code ticket_keys_install(struct ticket_keys *keys, SSL_CTX *ctx,
                                     struct tlsmsg_error *err)
{
    if (SSL_CTX_set_app_data(ctx, keys) != 1 ||
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_callback) != 1) {
        return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot use session ticket keys");
    }
    SSL_CTX_set_timeout(ctx, TICKETS_LIFETIME_S);
    return TLSMSG_OK;
}

/* Exactly the bytes of a key as hexadecimal digits, and nothing after them. */
static bool parse_key(const char *hex, struct ticket_key *out)
{
    size_t len = 0;
    bool good = strlen(hex) == 2 * sizeof(*out) &&
                OPENSSL_hexstr2buf_ex((unsigned char *)out, sizeof(*out), &len, hex, '\0') == 1;

    tls_error_begin();
    return good;
}

static bool parse_line(char *line, struct ticket_file *out)
{
    static const char *const names[TICKET_KEY_COUNT] = {"previous", "current", "next"};
    char *hex = strchr(line, ' ');

    if (hex == NULL) {
        return false;
    }
    *hex++ = '\0';
    for (int i = 0; i < TICKET_KEY_COUNT; i++) {
        if (strcmp(line, names[i]) == 0 && !out->present[i]) {
            out->present[i] = true;
            return parse_key(hex, &out->keys[i]);
        }
    }
    return false;
}

static bool has_repeated_name(const struct ticket_file *file)
{
    for (int a = 0; a < TICKET_KEY_COUNT; a++) {
        for (int b = a + 1; b < TICKET_KEY_COUNT; b++) {
            if (file->present[a] && file->present[b] &&
                memcmp(file->keys[a].name, file->keys[b].name, TICKET_NAME_BYTES) == 0) {
                return true;
            }
        }
    }
    return false;
}

enum tlsmsg_code ticket_file_parse(char *text, const char *name, struct ticket_file *out,
                                   struct tlsmsg_error *err)
{
    char *rest = text;
    char *line;
    int number = 0;

    memset(out, 0, sizeof(*out));
    while ((line = strsep(&rest, "\n")) != NULL) {
        number++;
        if (line[0] == '\0' || line[0] == '#') {
            continue;
        }
        if (!parse_line(line, out)) {
            ticket_file_wipe(out);
            return error_set(err, TLSMSG_ERR_CONFIG, 0,
                             "ticket key file '%s', line %d: not 'previous', 'current' or 'next' "
                             "and 160 hexadecimal digits, each once (%s)",
                             name, number, tools()->makes_ticket_keys);
        }
    }
    if (!out->present[TICKET_CURRENT] || has_repeated_name(out)) {
        bool repeated = out->present[TICKET_CURRENT];

        ticket_file_wipe(out);
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "ticket key file '%s' %s (%s)", name,
                         repeated ? "names two keys alike" : "holds no current key",
                         tools()->makes_ticket_keys);
    }
    return TLSMSG_OK;
}

enum tlsmsg_code ticket_file_read(const char *path, struct ticket_file *out,
                                  struct tlsmsg_error *err)
{
    struct file file;
    enum tlsmsg_code code =
        load_file(&file, path, "ticket key file", tools()->makes_ticket_keys, err);

    if (code == TLSMSG_OK) {
        code = strlen(file.bytes) == file.len
                   ? ticket_file_parse(file.bytes, file.name, out, err)
                   : error_set(err, TLSMSG_ERR_CONFIG, 0,
                               "ticket key file '%s' holds a zero byte (%s)", file.name,
                               tools()->makes_ticket_keys);
        file_fini(&file);
    }
    return code;
}

void ticket_file_wipe(struct ticket_file *file)
{
    OPENSSL_cleanse(file, sizeof(*file));
}

/* Resumption. A change of CAs ends all sessions through the session id context (verify.c). What
 * changes more often, dates, revocation lists and the allow list, is asked here for the one
 * certificate. */
static bool is_within_dates(const X509 *cert)
{
    return X509_cmp_current_time(X509_get0_notBefore(cert)) < 0 &&
           X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
}

static bool may_still_talk(const struct transport_config *config, X509 *cert)
{
    char *identity;
    bool allowed;

    if (cert == NULL || !is_within_dates(cert) || verify_is_revoked(config->crls, cert)) {
        return false;
    }
    identity = identity_of(cert);
    allowed = allow_holds(config->allowed, identity);
    free(identity);
    return allowed;
}

/* The decrypt-ticket callback (SSL_CTX_set_session_ticket_cb(3)). */
static SSL_TICKET_RETURN judge_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                      size_t name_len, SSL_TICKET_STATUS status, void *unused)
{
    const struct transport_config *config = transport_from_ssl(ssl)->config;

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

int tickets_check_resumption(SSL_CTX *ctx)
{
    return SSL_CTX_set_session_ticket_cb(ctx, NULL, judge_ticket, NULL);
}
