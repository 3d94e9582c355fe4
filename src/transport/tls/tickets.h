/* The keys that encrypt session tickets: shared by all workers, kept over a reload, replaced
 * every few hours, so that a stolen key opens little. */
#ifndef TRANSPORT_TLS_TICKETS_H
#define TRANSPORT_TLS_TICKETS_H

#include <stdint.h>

#include <openssl/ssl.h>

#include <tlsmsg/error.h>

#include "transport/tls/ticket_file.h"

/* How long a session can be resumed, and how long a key encrypts. */
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

#endif
