/* Frames: what a reader tells does not depend on where the bytes were cut, nor on whether whole frames
 * are read at once, and what it accepts is printed again to the same words. The first byte chooses whose frames they are, the second how
 * many bytes are handed over at a time. */
#include "fuzz.h"

#include <string.h>

#include "protocol/frame.h"

struct told {
    uint64_t events; /* a running sum of what was told, in order */
    uint64_t body;   /* bytes of bodies */
    bool broken;
    bool between;
};

static void mix(struct told *told, uint64_t value)
{
    told->events = (told->events ^ value) * 1099511628211u;
}

static void check_header(const struct frame *frame, enum frame_sender sender)
{
    char printed[FRAME_HEADER_MAX];
    const char *at = printed;
    size_t len = 0;
    struct frame_reader reader;
    struct frame_piece again;

    switch (frame->kind) {
    case FRAME_MSG:
        len = frame_print_msg(printed, frame->number, frame->len);
        break;
    case FRAME_OK:
        len = frame_print_ok(printed, frame->number, frame->len);
        break;
    case FRAME_BYE:
        len = frame_print_bye(printed, frame->code, frame->len);
        break;
    case FRAME_HELLO:
        if (sender == FRAME_FROM_SERVER) {
            len = frame_print_server_hello(printed, &frame->hello);
        } else {
            char name[FRAME_PRODUCER_MAX + 2];

            FUZZ_CHECK(frame->hello.producer_len < sizeof(name));
            memcpy(name, frame->hello.producer != NULL ? frame->hello.producer : "",
                   frame->hello.producer_len);
            name[frame->hello.producer_len] = '\0';
            len = frame_print_client_hello(printed, frame->hello.producer != NULL ? name : NULL,
                                           frame->hello.from);
        }
        break;
    }
    FUZZ_CHECK(len > 0 && len <= sizeof(printed));
    frame_reader_init(&reader, sender);
    FUZZ_CHECK(frame_read(&reader, &at, &len, &again) == FRAME_EVENT_HEADER && len == 0);
    FUZZ_CHECK(again.frame.kind == frame->kind && again.frame.number == frame->number &&
               again.frame.len == frame->len && again.frame.code == frame->code);
    FUZZ_CHECK(again.frame.hello.from == frame->hello.from &&
               again.frame.hello.last == frame->hello.last &&
               again.frame.hello.max == frame->hello.max &&
               again.frame.hello.window == frame->hello.window &&
               again.frame.hello.promise == frame->hello.promise &&
               again.frame.hello.producer_len == frame->hello.producer_len);
}

static void mix_header(struct told *told, const struct frame *frame)
{
    mix(told, 1 + (uint64_t)frame->kind);
    mix(told, frame->number);
    mix(told, frame->len);
}

static void mix_body(struct told *told, const struct frame_piece *piece)
{
    told->body += piece->len;
    for (size_t i = 0; i < piece->len; i++) {
        mix(told, (unsigned char)piece->data[i]);
    }
}

static struct told read_all(enum frame_sender sender, const uint8_t *bytes, size_t len, size_t cut,
                            bool at_once)
{
    struct told told = {.events = 14695981039346656037u};
    struct frame_reader reader;
    size_t at = 0;

    frame_reader_init(&reader, sender);
    while (at < len && !told.broken) {
        size_t part = len - at < cut ? len - at : cut;
        char *copy = fuzz_copy(bytes + at, part);
        const char *data = copy;
        size_t left = part;
        enum frame_event event;

        do {
            struct frame_piece piece;

            while (at_once && frame_reader_is_between(&reader) &&
                   frame_read_whole(sender, &data, &left, &piece)) {
                FUZZ_CHECK(piece.data + piece.len < data && data <= copy + part);
                mix_header(&told, &piece.frame);
                mix_body(&told, &piece);
                mix(&told, 99);
            }
            event = frame_read(&reader, &data, &left, &piece);
            if (event == FRAME_EVENT_HEADER) {
                check_header(&piece.frame, sender);
                mix_header(&told, &piece.frame);
            } else if (event == FRAME_EVENT_BODY) {
                FUZZ_CHECK(piece.len > 0 && piece.data >= copy &&
                           piece.data + piece.len <= copy + part);
                mix_body(&told, &piece);
            } else if (event == FRAME_EVENT_END) {
                mix(&told, 99);
            } else if (event == FRAME_EVENT_BROKEN) {
                FUZZ_CHECK(fuzz_is_printable(piece.why, strlen(piece.why)));
                told.broken = true;
            }
        } while (event != FRAME_EVENT_MORE && event != FRAME_EVENT_BROKEN);
        FUZZ_CHECK(told.broken || left == 0);
        free(copy);
        at += part;
    }
    told.between = frame_reader_is_between(&reader);
    return told;
}

static bool is_same(const struct told *a, const struct told *b)
{
    return a->events == b->events && a->body == b->body && a->broken == b->broken &&
           a->between == b->between;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct told whole;
    struct told cut;
    struct told at_once;
    enum frame_sender sender;

    if (len < 3) {
        return 0;
    }
    sender = data[0] % 2 == 0 ? FRAME_FROM_CLIENT : FRAME_FROM_SERVER;
    whole = read_all(sender, data + 2, len - 2, len, false);
    cut = read_all(sender, data + 2, len - 2, 1 + data[1] % 32u, false);
    at_once = read_all(sender, data + 2, len - 2, 1 + data[1], true);
    FUZZ_CHECK(is_same(&whole, &cut) && is_same(&whole, &at_once));
    return 0;
}
