/* Ticket keys: previous, current and next; where they come from, and who may resume by them.
 *
 * New tickets are sealed with the current key; the previous one still opens what it sealed, for as
 * long as a session lives; then it is wiped. Called by OpenSSL on any worker's thread: the three
 * keys are behind a lock that is held for a copy (in handshakes only, never in a message's path).
 * Cipher and digest are looked up once, since fetching takes locks of OpenSSL's own.
 *
 * Keys are secrets: wiped by whoever is done with them, never in a text. */
#include "transport/tls/tickets.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

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
#include "transport/tls/x509_text.h"

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

    if (sealing && !tickets_fit(ssl)) {
        return 0; /* an empty ticket (RFC 5077 section 3.3) */
    }
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

    return strlen(hex) == 2 * sizeof(*out) &&
           OPENSSL_hexstr2buf_ex((unsigned char *)out, sizeof(*out), &len, hex, '\0') == 1;
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
    struct file file = {.bytes = text, .len = strlen(text)};
    struct file_lines lines;
    char *line;

    memset(out, 0, sizeof(*out));
    (void)file_lines_begin(&lines, &file);
    while ((line = file_lines_next_entry(&lines)) != NULL) {
        if (!parse_line(line, out)) {
            ticket_file_wipe(out);
            return error_set(err, TLSMSG_ERR_CONFIG, 0,
                             "ticket key file '%s', line %u: not 'previous', 'current' or 'next' "
                             "and 160 hexadecimal digits, each once (%s)",
                             name, lines.number, tools()->makes_ticket_keys);
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

enum tlsmsg_code ticket_file_read(const struct tls_settings *settings, struct ticket_file *out,
                                  struct tlsmsg_error *err)
{
    static const char what[] = "ticket key file";
    const char *path = settings->ticket_keys;
    struct stat is;
    struct file file;
    enum tlsmsg_code code;

    /* Keys are rotated in a file: what comes out of a pipe at the start is gone at the first reload. */
    if (stat(path, &is) == 0 && !S_ISREG(is.st_mode) && !S_ISDIR(is.st_mode)) {
        return file_error(path, "read", what, EOPNOTSUPP, err);
    }
    code = load_file(&file, path, settings, what, tools()->makes_ticket_keys, err);
    if (code == TLSMSG_OK) {
        code = file_check_text(&file, what, err);
        if (code == TLSMSG_OK) {
            code = ticket_file_parse(file.bytes, file.name, out, err);
        }
        file_fini(&file);
    }
    return code;
}

void ticket_file_wipe(struct ticket_file *file)
{
    OPENSSL_cleanse(file, sizeof(*file));
}

/* Resumption. It skips all checks of certificates, so a ticket is taken only where a full handshake
 * would end as it did when the session began. A change of CAs ends all sessions through the session
 * id context (verify.c). For the rest a ticket carries a stamp: when the full handshake was, from
 * when until when the whole chain holds, and the digest of the revocation lists. Other lists, or
 * lists past their end, cost one full handshake. The allow list is asked anew. */
enum {
    STAMP_FORM = 0, /* a byte: STAMP_VERSION */
    STAMP_BEGAN = 1,
    STAMP_SHORT_BYTES = STAMP_BEGAN + 8, /* where no certificate was asked for */
    STAMP_FROM = STAMP_SHORT_BYTES,
    STAMP_UNTIL = STAMP_FROM + 8,
    STAMP_LISTS = STAMP_UNTIL + 8,
    STAMP_BYTES = STAMP_LISTS + sizeof(((struct ticket_lists *)0)->digest)
};

#define STAMP_VERSION 1

/* How far the clocks of servers that share ticket keys may lie apart. */
#define CLOCKS_APART_S 300

static void put_time(unsigned char *out, int64_t unix_s)
{
    for (int i = 0; i < 8; i++) {
        out[i] = (unsigned char)((uint64_t)unix_s >> (56 - 8 * i));
    }
}

static int64_t get_time(const unsigned char *in)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++) {
        value = value << 8 | in[i];
    }
    return (int64_t)value;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

enum tlsmsg_code ticket_lists_of(STACK_OF(X509_CRL) *lists, struct ticket_lists *out,
                                 struct tlsmsg_error *err)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    unsigned char one[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    bool good = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;

    *out = (struct ticket_lists){.from_unix_s = INT64_MIN, .until_unix_s = INT64_MAX};
    for (int i = 0; good && i < sk_X509_CRL_num(lists); i++) {
        const X509_CRL *list = sk_X509_CRL_value(lists, i);
        const ASN1_TIME *next = X509_CRL_get0_nextUpdate(list);

        good = X509_CRL_digest(list, EVP_sha256(), one, &len) == 1 &&
               EVP_DigestUpdate(digest, one, len) == 1;
        out->from_unix_s =
            later(out->from_unix_s, x509_text_unix_s(X509_CRL_get0_lastUpdate(list)));
        if (next != NULL) {
            out->until_unix_s = earlier(out->until_unix_s, x509_text_unix_s(next));
        }
    }
    good = good && EVP_DigestFinal_ex(digest, out->digest, &len) == 1;
    EVP_MD_CTX_free(digest);
    return good ? TLSMSG_OK
                : tls_error_config(err, TLSMSG_ERR_NOMEM, "cannot digest the revocation lists");
}

/* Of the chain that was verified, the client's own certificate included. */
static void stamp_chain(unsigned char stamp[STAMP_BYTES], const SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    int64_t from_s = INT64_MIN;
    int64_t until_s = chain != NULL ? INT64_MAX : INT64_MIN;

    for (int i = 0; i < sk_X509_num(chain); i++) {
        const X509 *cert = sk_X509_value(chain, i);

        from_s = later(from_s, x509_text_unix_s(X509_get0_notBefore(cert)));
        until_s = earlier(until_s, x509_text_unix_s(X509_get0_notAfter(cert)));
    }
    put_time(stamp + STAMP_FROM, from_s);
    put_time(stamp + STAMP_UNTIL, until_s);
}

/* A certificate of 32 KiB and more would make a ticket of that size, which the client then sends
 * with each handshake; from 64 KiB on OpenSSL fails at it. */
#define CERTIFICATE_MAX_BYTES (32 * 1024)

bool tickets_fit(const SSL *ssl)
{
    const X509 *cert = SSL_get0_peer_certificate(ssl);

    return cert == NULL || i2d_X509(cert, NULL) <= CERTIFICATE_MAX_BYTES;
}

/* TLS 1.2 promises a ticket before it sees the certificate, and OpenSSL measures the session before
 * it asks whether there is to be one: then it ends the handshake, and does not say why. */
#define SESSION_MAX_BYTES 0xff00

static void explain_oversized(SSL *ssl)
{
    if (!tickets_fit(ssl) && i2d_SSL_SESSION(SSL_get_session(ssl), NULL) > SESSION_MAX_BYTES) {
        error_set(transport_from_ssl(ssl)->err, TLSMSG_ERR_HANDSHAKE, 0,
                  "the client's certificate is too long for a session of TLS 1.2 (%d bytes; TLS "
                  "1.3 takes it)",
                  i2d_X509(SSL_get0_peer_certificate(ssl), NULL));
    }
}

/* The stamp of a session; NULL where it has none of the form that this server writes. */
static const unsigned char *stamp_of(const struct transport_config *config, SSL_SESSION *session)
{
    void *stamp = NULL;
    size_t len = 0;

    if (SSL_SESSION_get0_ticket_appdata(session, &stamp, &len) != 1 ||
        len != (config->asks_for_certificate ? STAMP_BYTES : STAMP_SHORT_BYTES) ||
        ((const unsigned char *)stamp)[STAMP_FORM] != STAMP_VERSION) {
        return NULL;
    }
    return stamp;
}

/* A resumed session keeps its stamp, which it had or would not have been resumed, and what is left of
 * its life: in TLS 1.3 the library has begun a new one just now, in TLS 1.2 it counts from the full
 * handshake by itself. */
static void keep_life(const SSL *ssl, SSL_SESSION *session, int64_t now_s)
{
    const unsigned char *stamp = stamp_of(transport_from_ssl(ssl)->config, session);

    if (stamp != NULL && SSL_version(ssl) == TLS1_3_VERSION) {
        int64_t left_s = get_time(stamp + STAMP_BEGAN) + TICKETS_LIFETIME_S - now_s;

        (void)SSL_SESSION_set_timeout(session, (long)later(left_s, 1));
    }
}

/* The generate-ticket callback (SSL_CTX_set_session_ticket_cb(3)). */
static int stamp_ticket(SSL *ssl, void *unused)
{
    const struct transport_config *config = transport_from_ssl(ssl)->config;
    unsigned char stamp[STAMP_BYTES] = {STAMP_VERSION};
    SSL_SESSION *session = SSL_get_session(ssl);
    int64_t now_s = (int64_t)time(NULL);

    (void)unused;
    if (SSL_session_reused(ssl) == 1) {
        keep_life(ssl, session, now_s);
        return 1;
    }
    explain_oversized(ssl);
    put_time(stamp + STAMP_BEGAN, now_s);
    if (!config->asks_for_certificate) {
        return SSL_SESSION_set1_ticket_appdata(session, stamp, STAMP_SHORT_BYTES);
    }
    stamp_chain(stamp, ssl);
    memcpy(stamp + STAMP_LISTS, config->lists.digest, sizeof(config->lists.digest));
    return SSL_SESSION_set1_ticket_appdata(session, stamp, STAMP_BYTES);
}

static bool is_allowed(const struct transport_config *config, SSL_SESSION *session)
{
    const X509 *cert = SSL_SESSION_get0_peer(session);

    return cert != NULL && identity_check(config->allowed, cert, NULL) == TLSMSG_OK;
}

static bool may_resume(const struct transport_config *config, SSL_SESSION *session)
{
    const unsigned char *stamp = stamp_of(config, session);
    const struct ticket_lists *lists = &config->lists;
    int64_t now_s = (int64_t)time(NULL);
    int64_t age_s = stamp != NULL ? now_s - get_time(stamp + STAMP_BEGAN) : INT64_MAX;

    if (age_s < -CLOCKS_APART_S || age_s >= TICKETS_LIFETIME_S) {
        return false;
    }
    return !config->asks_for_certificate ||
           (now_s >= later(get_time(stamp + STAMP_FROM), lists->from_unix_s) &&
            now_s < earlier(get_time(stamp + STAMP_UNTIL), lists->until_unix_s) &&
            memcmp(stamp + STAMP_LISTS, lists->digest, sizeof(lists->digest)) == 0 &&
            is_allowed(config, session));
}

/* The decrypt-ticket callback. */
static SSL_TICKET_RETURN judge_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                      size_t name_len, SSL_TICKET_STATUS status, void *unused)
{
    (void)name;
    (void)name_len;
    (void)unused;
    if ((status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) ||
        !may_resume(transport_from_ssl(ssl)->config, session)) {
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

bool tickets_watch(SSL_CTX *ctx)
{
    return SSL_CTX_set_session_ticket_cb(ctx, stamp_ticket, judge_ticket, NULL) == 1;
}
