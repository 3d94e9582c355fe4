/* The messages and the check of their replies: see message.h. The check keeps no copy of what was
 * sent but makes the awaited message again: cheaper than storing a batch per connection. */
#include "message.h"

#include "bytes.h"
#include "mqtt.h"

#include <string.h>

#define ID_DIGITS 8

/* Low digits first, so that even a message of a few bytes differs from its neighbours. */
static size_t put_digits(char *out, size_t room, uint64_t value)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    for (i = 0; i < ID_DIGITS && i < room; i++) {
        out[i] = digits[value & 15u];
        value >>= 4;
    }
    return i;
}

void message_fill(char *out, size_t size, uint32_t connection, uint64_t sequence)
{
    static const char letters[] = "the quick brown fox jumps over the lazy dog ";
    size_t body = size > 1 ? size - 1 : size;
    size_t at, run;

    at = put_digits(out, body, sequence);
    at += put_digits(out + at, body - at, connection);
    while (at < body) {
        run = body - at < sizeof letters - 1 ? body - at : sizeof letters - 1;
        memcpy(out + at, letters, run);
        at += run;
    }
    if (size > 1) {
        out[size - 1] = '\n';
    }
}

/* A long message's reply comes in many pieces: it is made once for all of them. */
const char *message_make(size_t size, uint32_t connection, uint64_t sequence)
{
    static struct bytes made;
    static uint32_t made_connection;
    static uint64_t made_sequence;

    if (bytes_len(&made) != size || made_connection != connection || made_sequence != sequence) {
        bytes_clear(&made);
        message_fill(bytes_reserve(&made, size), size, connection, sequence);
        made.end += size;
        made_connection = connection;
        made_sequence = sequence;
    }
    return bytes_head(&made);
}

void reply_check_init(struct reply_check *c, size_t size, uint32_t connection, uint64_t sequence,
                      bool any_cut)
{
    *c = (struct reply_check){
        .size = size, .connection = connection, .sequence = sequence, .any_cut = any_cut};
}

static bool feed_prefix(struct reply_check *c, const char **data, size_t *len)
{
    size_t run = MESSAGE_PREFIX_LEN - c->prefix_seen;

    if (run > *len) {
        run = *len;
    }
    if (memcmp(*data, &MESSAGE_PREFIX[c->prefix_seen], run) != 0) {
        return false;
    }
    c->prefix_seen += run;
    if (c->prefix_seen == MESSAGE_PREFIX_LEN) {
        c->prefixes++;
    }
    *data += run;
    *len -= run;
    return true;
}

/* Compares up to the message's end, or up to the next prefix when cuts are free. */
static bool feed_payload(struct reply_check *c, const char **data, size_t *len)
{
    size_t run = c->size - c->payload_seen;
    const char *cut;

    if (run > *len) {
        run = *len;
    }
    if (c->any_cut) {
        cut = memchr(*data, (unsigned char)MESSAGE_PREFIX[0], run);
        if (cut != NULL) {
            run = (size_t)(cut - *data);
        }
        if (cut == *data) {
            c->prefix_seen = 0;
        }
    }
    if (memcmp(*data, message_make(c->size, c->connection, c->sequence) + c->payload_seen, run) !=
        0) {
        return false;
    }
    c->payload_seen += run;
    *data += run;
    *len -= run;
    return true;
}

long reply_check_feed(struct reply_check *c, const char *data, size_t len)
{
    long answered = 0;

    if (c->mqtt) {
        return mqtt_check_acks(c, data, len);
    }

    while (len > 0) {
        if (c->prefix_seen < MESSAGE_PREFIX_LEN) {
            if (!feed_prefix(c, &data, &len)) {
                return -1;
            }
            continue;
        }
        if (!feed_payload(c, &data, &len)) {
            return -1;
        }
        if (c->payload_seen == c->size) {
            answered++;
            c->sequence++;
            c->payload_seen = 0;
            c->prefix_seen = c->any_cut ? MESSAGE_PREFIX_LEN : 0;
        }
    }
    return answered;
}

bool reply_check_at_edge(const struct reply_check *c)
{
    return c->payload_seen == 0 && (c->prefix_seen == 0 || c->any_cut);
}
