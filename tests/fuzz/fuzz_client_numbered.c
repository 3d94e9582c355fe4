/* A client of tlsmsg/1 and a server that says anything: whatever comes, cut anywhere, the client
 * prints frames in order, takes replies in order to what it has sent, and holds no more than was
 * said. The first byte tells how many bytes arrive at a time, the second how many leave. */
#include "fuzz.h"

#include <string.h>

#include "base/utf8.h"
#include "client/internal.h"

#define STEPS_MAX 400
#define TEXT "to the server"

static struct {
    const uint8_t *data; /* what the server says */
    size_t len;
    size_t arrives; /* bytes at a time */
    size_t leaves;
    bool blocked; /* the next send is */
    struct frame_reader sent;
    uint64_t next; /* number of the next MSG */
} wire;

enum transport_result __wrap_transport_recv(struct transport *t, void *buf, size_t cap, size_t *got,
                                            struct tlsmsg_error *err);
enum transport_result __wrap_transport_send(struct transport *t, const void *buf, size_t len,
                                            size_t *sent, struct tlsmsg_error *err);

enum transport_result __wrap_transport_recv(struct transport *t, void *buf, size_t cap, size_t *got,
                                            struct tlsmsg_error *err)
{
    size_t part = wire.len < wire.arrives ? wire.len : wire.arrives;

    (void)t;
    (void)err;
    part = part < cap ? part : cap;
    if (part == 0) {
        return TRANSPORT_CLOSED;
    }
    memcpy(buf, wire.data, part);
    wire.data += part;
    wire.len -= part;
    *got = part;
    return TRANSPORT_OK;
}

/* Takes what a client sends, and holds it against the rules. */
enum transport_result __wrap_transport_send(struct transport *t, const void *buf, size_t len,
                                            size_t *sent, struct tlsmsg_error *err)
{
    const char *data = buf;
    enum frame_event event;
    struct frame_piece piece;

    (void)t;
    (void)err;
    wire.blocked = !wire.blocked;
    if (wire.blocked) {
        return TRANSPORT_WANT_WRITE;
    }
    *sent = len = len < wire.leaves ? len : wire.leaves;
    do {
        event = frame_read(&wire.sent, &data, &len, &piece);
        FUZZ_CHECK(event != FRAME_EVENT_BROKEN);
        if (event == FRAME_EVENT_HEADER && piece.frame.kind == FRAME_MSG) {
            FUZZ_CHECK(piece.frame.number == wire.next++);
            FUZZ_CHECK(piece.frame.len == strlen(TEXT));
        }
    } while (event != FRAME_EVENT_MORE);
    return TRANSPORT_OK;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

static void talk(struct tlsmsg_client *client)
{
    size_t said = wire.len;
    uint64_t received = 0;

    for (unsigned step = 0; step < STEPS_MAX; step++) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        const char *reply;
        size_t len;
        enum tlsmsg_client_result result = tlsmsg_client_send(client, TEXT, strlen(TEXT), &err);

        if (result == TLSMSG_CLIENT_FULL || step % 3 == 0) {
            result = client->state == CLIENT_OPEN
                         ? tlsmsg_client_receive(client, &reply, &len, &err)
                         : TLSMSG_CLIENT_ERROR;
            if (result == TLSMSG_CLIENT_OK) {
                FUZZ_CHECK(tlsmsg_client_reply_number(client) == ++received);
                FUZZ_CHECK(received < wire.next);
                FUZZ_CHECK(utf8_is_valid(reply, len) && len > 0 && len <= said);
            }
        }
        FUZZ_CHECK(client->numbered.in.len <= said + said / 8 * sizeof(uint64_t) * 2 + 64);
        if (client->state != CLIENT_OPEN) {
            fuzz_check_error(&err, err.code);
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tlsmsg_client *client;

    if (len < 3) {
        return 0;
    }
    client = calloc(1, sizeof(*client));
    FUZZ_CHECK(client != NULL);
    wire.arrives = 1 + data[0] % 64u;
    wire.leaves = 1 + data[1] % 64u;
    wire.data = data + 2;
    wire.len = len - 2;
    wire.blocked = false;
    wire.next = 1;
    frame_reader_init(&wire.sent, FRAME_FROM_CLIENT);
    client->fd = -1;
    client->state = CLIENT_OPEN;
    client->numbers.from = client->numbers.next = 1;
    client->flow = &client_numbered_flow;
    client->has_numbers = true;
    client->flow->begin(client);
    talk(client);
    client->flow->end(client);
    free(client);
    return 0;
}
