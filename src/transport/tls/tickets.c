/* Ticket keys: previous, current and next.
 *
 * New tickets are sealed with the current key; the previous one still opens
 * what it sealed, for as long as a session lives; then it is wiped. Called by
 * OpenSSL on any worker's thread: the three keys are behind a lock that is
 * held for a copy (in handshakes only, never in a message's path). Cipher and
 * digest are looked up once, since fetching takes locks of OpenSSL's own. */
#include "transport/tls/tickets.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/clock.h"
#include "base/error.h"
#include "transport/tls/tls_error.h"

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

static bool fill(struct ticket_keys *keys)
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
    if (!fill(keys)) {
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
