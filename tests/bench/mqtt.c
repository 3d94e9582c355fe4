/* A publisher's packets: see mqtt.h. */
#include "mqtt.h"

#include <stdio.h>
#include <string.h>

#define PACKET_CONNECT 0x10
#define PACKET_PUBLISH_QOS1 0x32
#define PACKET_PUBACK 0x40
#define ACK_BYTES 4
#define TOPIC "bench"
#define TOPIC_LEN (sizeof TOPIC - 1)

static size_t put_u16(unsigned char *out, unsigned value)
{
    out[0] = (unsigned char)(value >> 8);
    out[1] = (unsigned char)value;
    return 2;
}

size_t mqtt_connect(unsigned char out[MQTT_CONNECT_MAX], uint32_t client)
{
    /* Protocol MQTT, level 4, a clean session, no keep-alive. */
    static const unsigned char variable[] = {0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0};
    char name[16];
    size_t name_len = (size_t)snprintf(name, sizeof name, "bench%u", client);
    size_t at = 2;

    memcpy(out + at, variable, sizeof variable);
    at += sizeof variable;
    at += put_u16(out + at, (unsigned)name_len);
    memcpy(out + at, name, name_len);
    at += name_len;
    out[0] = PACKET_CONNECT;
    out[1] = (unsigned char)(at - 2);
    return at;
}

bool mqtt_is_accepted(const char *data, size_t len)
{
    static const char accepted[] = {0x20, 2, 0, 0};

    return len == sizeof accepted && memcmp(data, accepted, sizeof accepted) == 0;
}

/* 1 to 65535, and again. */
static unsigned identifier(uint64_t sequence)
{
    return (unsigned)(sequence % 65535) + 1;
}

size_t mqtt_publish_head(unsigned char out[MQTT_HEAD_MAX], uint64_t sequence, size_t size)
{
    size_t rest = 2 + TOPIC_LEN + 2 + size;
    size_t at = 0;

    out[at++] = PACKET_PUBLISH_QOS1;
    do {
        out[at++] = (unsigned char)((rest & 127u) | (rest > 127 ? 128u : 0u));
        rest >>= 7;
    } while (rest > 0);
    at += put_u16(out + at, TOPIC_LEN);
    memcpy(out + at, TOPIC, TOPIC_LEN);
    at += TOPIC_LEN;
    return at + put_u16(out + at, identifier(sequence));
}

long mqtt_check_acks(struct reply_check *c, const char *data, size_t len)
{
    unsigned char awaited[ACK_BYTES] = {PACKET_PUBACK, 2};
    long answered = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        (void)put_u16(awaited + 2, identifier(c->sequence));
        if ((unsigned char)data[i] != awaited[c->payload_seen]) {
            return -1;
        }
        c->payload_seen = (c->payload_seen + 1) % ACK_BYTES;
        if (c->payload_seen == 0) {
            c->sequence++;
            c->prefixes++;
            answered++;
        }
    }
    return answered;
}
