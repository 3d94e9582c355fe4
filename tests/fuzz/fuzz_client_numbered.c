/* A client of tlsmsg/1 and a server that says anything: whatever comes, cut anywhere, the client
 * prints frames in order, takes replies in order to what it has sent, and holds no more than was
 * said; closed and reset, it goes on where it was. The first byte tells how many bytes arrive at a
 * time, how the connection ends and whether there is a second one, the next how many leave and
 * whether the program looks after each thing before it does it. */
#include "fuzz.h"

#include <poll.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "client/internal.h"

#define STEPS_MAX 400
#define TEXT "to the server"

/* Of the first byte, beside how many arrive. */
#define SAYS_RESET 0x40
#define SAYS_TWICE 0x80
/* Of the second. */
#define SAYS_REST 0x40
#define SAYS_CAREFUL 0x80

static struct {
    const uint8_t *data; /* what the server says */
    size_t len;
    size_t arrives; /* bytes at a time */
    size_t leaves;
    bool breaks;  /* the connection is reset in the end */
    bool rests;   /* every second read finds nothing */
    bool waits;   /* the next read does */
    bool blocked; /* the next send is */
    struct frame_reader sent;
    uint64_t next; /* number of the next MSG */
} wire;

static struct tlsmsg_client *client;

enum transport_result __wrap_transport_recv(struct transport *t, void *buf, size_t cap, size_t *got,
                                            struct tlsmsg_error *err);
enum transport_result __wrap_transport_send(struct transport *t, const void *buf, size_t len,
                                            size_t *sent, struct tlsmsg_error *err);
enum transport_result __wrap_transport_shutdown(struct transport *t, struct tlsmsg_error *err);
void __wrap_transport_free(struct transport *t);

enum transport_result __wrap_transport_recv(struct transport *t, void *buf, size_t cap, size_t *got,
                                            struct tlsmsg_error *err)
{
    size_t part = wire.len < wire.arrives ? wire.len : wire.arrives;

    (void)t;
    wire.waits = wire.rests && !wire.waits;
    if (wire.waits) {
        return TRANSPORT_WANT_READ;
    }
    part = part < cap ? part : cap;
    if (part == 0 && wire.breaks) {
        (void)error_set(err, TLSMSG_ERR_REFUSED, 0, "refused");
        return TRANSPORT_ERROR;
    }
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

enum transport_result __wrap_transport_shutdown(struct transport *t, struct tlsmsg_error *err)
{
    (void)t;
    wire.blocked = !wire.blocked;
    if (wire.blocked) {
        return TRANSPORT_WANT_WRITE;
    }
    if (wire.breaks && wire.len == 0) {
        (void)error_set(err, TLSMSG_ERR_RESET, 0, "reset");
        return TRANSPORT_ERROR;
    }
    return TRANSPORT_OK;
}

void __wrap_transport_free(struct transport *t)
{
    (void)t;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct tlsmsg_options *o = NULL;

    (void)argc;
    (void)argv;
    FUZZ_CHECK(tlsmsg_options_new(TLSMSG_ROLE_CLIENT, &o, NULL) == TLSMSG_OK);
    FUZZ_CHECK(tlsmsg_options_set(o, TLSMSG_OPT_ADDRESS, "localhost:1", NULL) == TLSMSG_OK);
    FUZZ_CHECK(tlsmsg_options_set(o, TLSMSG_OPT_PRODUCER, "~", NULL) == TLSMSG_OK);
    /* No key has it: it keeps the system's CAs from being loaded. */
    FUZZ_CHECK(tlsmsg_options_set(o, TLSMSG_OPT_PIN,
                                  "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", NULL) ==
               TLSMSG_OK);
    FUZZ_CHECK(tlsmsg_client_new(o, &client, NULL) == TLSMSG_OK);
    tlsmsg_client_set_blocking(client, false);
    tlsmsg_options_free(o);
    return 0;
}

/* As after a handshake that chose tlsmsg/1. */
static void open_client(const uint8_t *data, size_t len)
{
    wire.data = data;
    wire.len = len;
    wire.waits = wire.blocked = false;
    wire.next = client->numbers.next;
    frame_reader_init(&wire.sent, FRAME_FROM_CLIENT);
    socket_source_init(&client->source, -1);
    client->transport = (struct transport *)(void *)&wire; /* our own verbs take it */
    client->state = CLIENT_OPEN;
    client->opened = true;
    client->flow = &client_numbered_flow;
    client->has_numbers = true;
    client->flow->begin(client);
}

/* Chooses the first number as a program does that knows what the server has. */
static void choose_number(void)
{
    const struct tlsmsg_greeting *hello = tlsmsg_client_hello(client);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    uint64_t from = client->numbers.from;
    uint64_t number;

    if (hello == NULL || tlsmsg_client_unanswered(client) != 0) {
        return;
    }
    number = hello->last + 1;
    if (tlsmsg_client_number_from(client, number, &err) == TLSMSG_OK) {
        FUZZ_CHECK(number <= FRAME_NUMBER_MAX && number >= from);
        FUZZ_CHECK(tlsmsg_client_number(client) == number - 1);
        wire.next = number;
    }
    fuzz_check_error(&err, err.code);
}

/* What a program asks before it sends or receives. False: the conversation has ended. */
static bool look(bool first)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum tlsmsg_client_result result = tlsmsg_client_greet(client, &err);

    fuzz_check_error(&err, err.code);
    if (result == TLSMSG_CLIENT_OK && first) {
        choose_number();
    }
    FUZZ_CHECK((tlsmsg_client_hello(client) != NULL) == (result == TLSMSG_CLIENT_OK));
    FUZZ_CHECK((tlsmsg_client_events(client) & ~(POLLIN | POLLOUT)) == 0);
    FUZZ_CHECK(tlsmsg_client_timeout_ms(client) >= -1);
    if (client->state == CLIENT_OPEN && result == TLSMSG_CLIENT_OK) {
        result = tlsmsg_client_watch(client, &err);
        fuzz_check_error(&err, err.code);
    }
    return result == TLSMSG_CLIENT_OK || result == TLSMSG_CLIENT_AGAIN;
}

static void talk(bool is_careful)
{
    size_t said = wire.len;
    bool greeted = false;

    for (unsigned step = 0; step < STEPS_MAX; step++) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        const char *reply;
        size_t len;
        enum tlsmsg_client_result result;

        if (is_careful && !client->numbered.sending) {
            if (!look(!greeted)) {
                return;
            }
            greeted = tlsmsg_client_hello(client) != NULL;
        }
        result = tlsmsg_client_send(client, TEXT, strlen(TEXT), &err);
        if (result == TLSMSG_CLIENT_FULL || step % 3 == 0) {
            uint64_t before = client->numbers.from - 1;

            result = client->state == CLIENT_OPEN
                         ? tlsmsg_client_receive(client, &reply, &len, &err)
                         : TLSMSG_CLIENT_ERROR;
            if (result == TLSMSG_CLIENT_OK) {
                FUZZ_CHECK(tlsmsg_client_reply_number(client) == before + 1);
                FUZZ_CHECK(before + 1 < wire.next);
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

/* Closes in any state: it ends, and only a refusal that nobody was told of is an error. */
static void close_client(void)
{
    enum tlsmsg_client_result result = TLSMSG_CLIENT_AGAIN;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    size_t steps = 2 * wire.len + 8; /* a byte at a time, with a rest before each */

    for (size_t i = 0; i < steps && result == TLSMSG_CLIENT_AGAIN; i++) {
        result = tlsmsg_client_close(client, &err);
    }
    FUZZ_CHECK(client->state == CLIENT_DONE);
    FUZZ_CHECK(result == TLSMSG_CLIENT_OK ||
               (result == TLSMSG_CLIENT_ERROR && err.code == TLSMSG_ERR_REFUSED && wire.breaks));
    FUZZ_CHECK(tlsmsg_client_close(client, NULL) == TLSMSG_CLIENT_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    size_t first;

    if (len < 3) {
        return 0;
    }
    wire.arrives = 1 + data[0] % 64u;
    wire.leaves = 1 + data[1] % 64u;
    wire.breaks = (data[0] & SAYS_RESET) != 0;
    wire.rests = (data[1] & SAYS_REST) != 0;
    first = (data[0] & SAYS_TWICE) != 0 ? (len - 2) / 2 : len - 2;
    client->numbers = (struct client_numbers){.from = 1, .next = 1};
    open_client(data + 2, first);
    talk((data[1] & SAYS_CAREFUL) != 0);
    close_client();
    if ((data[0] & SAYS_TWICE) != 0) {
        uint64_t from = client->numbers.from;

        tlsmsg_client_reset(client);
        FUZZ_CHECK(client->numbers.from == from && tlsmsg_client_unanswered(client) == 0);
        FUZZ_CHECK(client_numbers_renew(client, NULL) == TLSMSG_OK);
        open_client(data + 2 + first, len - 2 - first);
        talk((data[1] & SAYS_CAREFUL) != 0);
        close_client();
    }
    tlsmsg_client_reset(client);
    return 0;
}
