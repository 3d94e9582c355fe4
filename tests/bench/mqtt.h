/*
 * As much of MQTT 3.1.1 as a load on a broker needs: a client that publishes at QoS 1 and awaits the
 * acknowledgements. (OASIS, MQTT Version 3.1.1, chapters 2 and 3.)
 */
#ifndef BENCH_MQTT_H
#define BENCH_MQTT_H

#include "message.h"

#define MQTT_CONNECT_MAX 64
#define MQTT_HEAD_MAX 16

/* Writes the CONNECT of a client to `out`; returns its length. */
size_t mqtt_connect(unsigned char out[MQTT_CONNECT_MAX], uint32_t client);

/* Whether `data` is the whole answer to it, and says yes. */
bool mqtt_is_accepted(const char *data, size_t len);

/* Writes what stands before the `size` bytes of message `sequence`; returns its length. */
size_t mqtt_publish_head(unsigned char out[MQTT_HEAD_MAX], uint64_t sequence, size_t size);

/* Takes PUBACKs, any cut, as reply_check_feed takes replies. */
long mqtt_check_acks(struct reply_check *c, const char *data, size_t len);

#endif
