/* Both ends of a client test, ready to meet: a peer with a certificate, a client that trusts it.
 * In plaintext the same without certificates. Failing to make one fails the test. */
#ifndef SUPPORT_CLIENT_ENDS_H
#define SUPPORT_CLIENT_ENDS_H

#include <tlsmsg/client.h>

#include "support/test_peer.h"

/* Makes and removes the certificates; for cmocka's group functions. */
int ends_setup(void **state);
int ends_teardown(void **state);

struct peer *ends_peer(void);

/* Requires a client certificate, which ends_client doesn't have. TLS only. */
struct peer *ends_strict_peer(void);

/* Options of a client for peer; timeout_ms 0 leaves the build's default. */
struct tlsmsg_options *ends_options(const struct peer *peer, int64_t timeout_ms);

/* A new client for peer, and one that is connected already while peer plays play. */
struct tlsmsg_client *ends_client(const struct peer *peer, int64_t timeout_ms);
struct tlsmsg_client *ends_connect(struct peer *peer, void (*play)(struct peer *peer),
                                   int64_t timeout_ms);

/* The same in tlsmsg/1, which ends_connect doesn't offer; producer NULL: none. TLS only. */
struct tlsmsg_client *ends_numbered(struct peer *peer, void (*play)(struct peer *peer),
                                    const char *producer);

/* Sends and receives, both expected to be fine; err's text is shown when they are not. */
void ends_send(struct tlsmsg_client *client, const char *text);
void ends_expect(struct tlsmsg_client *client, const char *text);

/* The next reply has to fail so. Returns the cause, valid until the next call. */
const struct tlsmsg_error *ends_expect_failure(struct tlsmsg_client *client, enum tlsmsg_code code);

/* Closes in order, frees both ends, and fails the test when the peer's play went wrong. */
void ends_finish(struct tlsmsg_client *client, struct peer *peer);

#endif
