/* A client of the document's flow and a server that says anything, whenever it likes: what the
 * replies hold is what the server said, in its order and cut between characters, whatever came ahead
 * of its time. The first byte tells how many bytes arrive at a time, the second how many leave, the
 * third how the connection ends, how often nothing has come yet, and whether a send fails. */
#include "fuzz.h"

#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "client/internal.h"

#define STEPS_MAX 2000
#define TEXT "to the server"

static struct {
    const uint8_t *data; /* what the server says */
    size_t len;
    size_t said;     /* so much of it has arrived */
    size_t received; /* so much of it was in replies */
    size_t arrives;  /* bytes at a time */
    size_t leaves;
    unsigned rests; /* of so many reads one finds nothing; 0: none does */
    unsigned reads;
    bool breaks; /* the connection is reset in the end */
    bool blocked;
    unsigned sends_left; /* until one fails; 0: none does */
    bool has_failed;
} wire;

enum transport_result __wrap_transport_recv(struct transport *t, void *buf, size_t cap, size_t *got,
                                            struct tlsmsg_error *err);
enum transport_result __wrap_transport_send(struct transport *t, const void *buf, size_t len,
                                            size_t *sent, struct tlsmsg_error *err);

enum transport_result __wrap_transport_recv(struct transport *t, void *buf, size_t cap, size_t *got,
                                            struct tlsmsg_error *err)
{
    size_t left = wire.len - wire.said;
    size_t part = left < wire.arrives ? left : wire.arrives;

    (void)t;
    if (wire.rests > 0 && wire.reads++ % wire.rests == 0) {
        return TRANSPORT_WANT_READ;
    }
    part = part < cap ? part : cap;
    if (part == 0 && wire.breaks) {
        (void)error_set(err, TLSMSG_ERR_RESET, 0, "reset");
        return TRANSPORT_ERROR;
    }
    if (part == 0) {
        return TRANSPORT_CLOSED;
    }
    memcpy(buf, wire.data + wire.said, part);
    wire.said += part;
    *got = part;
    return TRANSPORT_OK;
}

enum transport_result __wrap_transport_send(struct transport *t, const void *buf, size_t len,
                                            size_t *sent, struct tlsmsg_error *err)
{
    (void)t;
    FUZZ_CHECK(len <= strlen(TEXT));
    FUZZ_CHECK(memcmp(buf, &TEXT[strlen(TEXT) - len], len) == 0);
    FUZZ_CHECK(!wire.has_failed);
    if (wire.sends_left > 0 && --wire.sends_left == 0) {
        wire.has_failed = true;
        (void)error_set(err, TLSMSG_ERR_RESET, 0, "reset");
        return TRANSPORT_ERROR;
    }
    wire.blocked = !wire.blocked;
    if (wire.blocked) {
        return TRANSPORT_WANT_WRITE;
    }
    *sent = len < wire.leaves ? len : wire.leaves;
    return TRANSPORT_OK;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

static void check_reply(const char *reply, size_t len)
{
    FUZZ_CHECK(len > 0 && len <= wire.said - wire.received);
    FUZZ_CHECK(memcmp(reply, wire.data + wire.received, len) == 0);
    FUZZ_CHECK(utf8_is_valid(reply, len));
    wire.received += len;
}

/* Nothing that could be received is left out, whatever the end. */
static void check_end(const struct tlsmsg_error *err)
{
    const char *left = (const char *)wire.data + wire.received;
    size_t len = wire.len - wire.received;

    switch (err->code) {
    case TLSMSG_ERR_UTF8:
        FUZZ_CHECK(!utf8_is_valid(left, len));
        break;
    case TLSMSG_ERR_CLOSED:
        FUZZ_CHECK(!wire.breaks && len == 0);
        break;
    default:
        FUZZ_CHECK(err->code == TLSMSG_ERR_RESET && wire.breaks);
        FUZZ_CHECK(wire.said == wire.len && len < 4);
        break;
    }
    fuzz_check_error(err, err->code);
}

/* Says a text and takes a reply, over and over; once the end is told, takes what came before it. */
static void talk(struct tlsmsg_client *client)
{
    bool sends = true;

    for (unsigned step = 0; step < STEPS_MAX; step++) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        const char *reply;
        size_t len;
        enum tlsmsg_client_result result =
            sends ? tlsmsg_client_send(client, TEXT, strlen(TEXT), &err)
                  : tlsmsg_client_receive(client, &reply, &len, &err);

        FUZZ_CHECK(!wire.has_failed || err.code == TLSMSG_ERR_RESET);
        if (result == TLSMSG_CLIENT_OK && !sends) {
            check_reply(reply, len);
        } else if (result != TLSMSG_CLIENT_OK && result != TLSMSG_CLIENT_AGAIN && !sends) {
            check_end(&err);
            return;
        }
        if (client->state != CLIENT_OPEN) {
            return;
        }
        sends = result == TLSMSG_CLIENT_AGAIN ? sends : !sends && client->end == CLIENT_END_NONE;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tlsmsg_client *client;

    if (len < 4) {
        return 0;
    }
    client = calloc(1, sizeof(*client));
    FUZZ_CHECK(client != NULL);
    memset(&wire, 0, sizeof(wire));
    wire.arrives = 1 + data[0];
    wire.leaves = 1 + data[1] % 16u;
    wire.breaks = (data[2] & 1) != 0;
    wire.rests = data[2] >> 1 & 7;
    wire.rests = wire.rests == 1 ? 2 : wire.rests;
    wire.sends_left = data[2] >> 4;
    wire.data = data + 3;
    wire.len = len - 3;
    client->fd = -1;
    client->state = CLIENT_OPEN;
    client->flow = &client_exchange_flow;
    client->flow->begin(client);
    talk(client);
    client->flow->end(client);
    free(client);
    return 0;
}
