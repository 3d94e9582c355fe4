/* The message, or the greeting, that storing is given: what the server's functions say of it.
 * Needs the WRAPs ${message_of_storing} of tests/unit/app.cmake. */
#ifndef SUPPORT_STORING_MESSAGE_H
#define SUPPORT_STORING_MESSAGE_H

#include <stddef.h>

#include <tlsmsg/server.h>

#include "app/server/storing.h"
#include "store/store.h"

extern struct storing *storing; /* what is tested */

extern struct tlsmsg_peer storing_peer;
extern struct tlsmsg_token storing_token;
extern const char *storing_producer;
extern const char *storing_body;
extern size_t storing_body_len;
extern const unsigned char storing_hash[STORE_HASH_BYTES];

/* As at first: "hello", number 11 of producer "p", by CN=alice on connection 7 of worker 1, its first
 * message. */
void storing_message_reset(void);

/* Gives it to storing; and a greeting of this producer, whose slot is 0xABCDEF. */
void storing_say(void);
void storing_greet(const char *producer);

#endif
