/* Session tickets: the keys that encrypt them, shared by all workers, kept over a reload, replaced
 * every few hours, so that a stolen key opens little; the file that may hold them instead; and
 * who may resume a session. */
#ifndef TRANSPORT_TLS_TICKETS_H
#define TRANSPORT_TLS_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <tlsmsg/error.h>

#include "options/options.h"

/* The file of --ticket-keys: keys that several servers behind one address share.
 *
 * Up to three lines, "previous", "current" and "next", each followed by a space and 160 hexadecimal
 * digits: 16 bytes of name, 32 of cipher key, 32 of MAC key. New tickets are sealed with the
 * current key; all three open. Rotation moves next to current and current to previous, so a key
 * is known everywhere before anybody seals with it (tlsmsg-ticket-keys). */
#define TICKET_NAME_BYTES 16
#define KEY_BYTES 32

struct ticket_key {
    unsigned char name[TICKET_NAME_BYTES];
    unsigned char cipher[KEY_BYTES];
    unsigned char mac[KEY_BYTES];
};

enum { TICKET_PREVIOUS, TICKET_CURRENT, TICKET_NEXT, TICKET_KEY_COUNT };

struct ticket_file {
    bool present[TICKET_KEY_COUNT];
    struct ticket_key keys[TICKET_KEY_COUNT];
};

/* Reads the file of the settings. TLSMSG_ERR_CONFIG names the line that is wrong, and never shows what is in it. */
enum tlsmsg_code ticket_file_read(const struct tls_settings *settings, struct ticket_file *out,
                                  struct tlsmsg_error *err);

/* Takes the text of such a file, which it changes; name: the file's, for the error. */
enum tlsmsg_code ticket_file_parse(char *text, const char *name, struct ticket_file *out,
                                   struct tlsmsg_error *err);

void ticket_file_wipe(struct ticket_file *file);

/* How long after its full handshake a session can be resumed, and how long a key encrypts. */
#define TICKETS_LIFETIME_S (4 * 60 * 60)

struct ticket_keys;

/* Seconds since an arbitrary start; for tests that can't wait for hours. */
typedef int64_t ticket_clock(void *user);

/* Fresh random keys with one reference. clock: NULL for the monotonic clock; user: passed to it. */
enum tlsmsg_code ticket_keys_new(ticket_clock *clock, void *user, struct ticket_keys **out,
                                 struct tlsmsg_error *err);

/* Keys that a file holds: they change only when the file is read again. */
enum tlsmsg_code ticket_keys_from_file(const struct ticket_file *file, struct ticket_keys **out,
                                       struct tlsmsg_error *err);
bool ticket_keys_are_from_file(const struct ticket_keys *keys);

struct ticket_keys *ticket_keys_ref(struct ticket_keys *keys);
void ticket_keys_unref(struct ticket_keys *keys); /* NULL is a no-op; wipes */

/* Makes a server's context use keys (borrowed; they outlive it). */
enum tlsmsg_code ticket_keys_install(struct ticket_keys *keys, SSL_CTX *ctx,
                                     struct tlsmsg_error *err);

/* What a server's revocation lists mean for sessions: which lists they are, and when they hold. */
struct ticket_lists {
    unsigned char digest[32];
    int64_t from_unix_s;
    int64_t until_unix_s;
};

/* lists: may be NULL. TLSMSG_ERR_NOMEM. */
enum tlsmsg_code ticket_lists_of(STACK_OF(X509_CRL) *lists, struct ticket_lists *out,
                                 struct tlsmsg_error *err);

/* Has a server's context write into each ticket what its full handshake rested on, and ignore a
 * ticket where a full handshake now might end otherwise, so that the full handshake that follows
 * decides, and says why. True on success. */
bool tickets_watch(SSL_CTX *ctx);

/* False where the client's certificate, which a ticket carries, is too long for one. */
bool tickets_fit(const SSL *ssl);

#endif
