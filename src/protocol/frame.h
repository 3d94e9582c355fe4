/* The frames of tlsmsg/1: a header line of ASCII words, then, where the header says a length, that
 * many bytes and a line end.
 *
 * A reader is fed with bytes as they come, cut anywhere, and gives them back in pieces: headers,
 * parts of a body (which stay where they are, nothing is copied), the end of a body. It keeps no
 * more than one header line. What both ends print stands here too, so that one file knows the form.
 * Pure: no I/O, no allocation; any thread that owns the reader. */
#ifndef PROTOCOL_FRAME_H
#define PROTOCOL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_PROTOCOL "tlsmsg/1"  /* its ALPN name (RFC 7301) */
#define FRAME_HEADER_MAX 256       /* bytes of a header line with its end */
#define FRAME_NUMBER_MAX INT64_MAX /* of numbers and lengths */
#define FRAME_PRODUCER_MAX 64      /* bytes of a producer's name after a '~' */
#define FRAME_BYE_TEXT_MAX 1024    /* bytes of a BYE's text */
#define FRAME_OK_EXTRA_MAX 1024    /* a reply is at most the longest message and this much */

enum frame_kind { FRAME_HELLO, FRAME_MSG, FRAME_OK, FRAME_BYE };

/* What an OK promises. */
enum frame_promise { FRAME_PROMISE_NONE, FRAME_PROMISE_DISK, FRAME_PROMISE_REPLICATED };

/* Whose frames a reader reads: a client sends HELLO and MSG, a server HELLO, OK and BYE. */
enum frame_sender { FRAME_FROM_CLIENT, FRAME_FROM_SERVER };

/* A client's HELLO and a server's. */
struct frame_hello {
    const char *producer; /* the client's; not NUL-terminated, borrowed; NULL: none */
    size_t producer_len;
    uint64_t from; /* the client's: the lowest number it will send */
    uint64_t last; /* the server's, as all that follows */
    uint64_t max;  /* bytes of the longest message */
    uint64_t window;
    enum frame_promise promise;
};

struct frame {
    enum frame_kind kind;
    uint64_t number; /* of MSG and OK */
    uint64_t len;    /* bytes of the body; 0 with HELLO, which has none */
    unsigned code;   /* of BYE, 100 to 999 */
    struct frame_hello hello;
};

enum frame_event {
    FRAME_EVENT_MORE,   /* all bytes are taken, more are needed */
    FRAME_EVENT_HEADER, /* piece->frame is a header; a HELLO is whole with it */
    FRAME_EVENT_BODY,   /* piece->data, piece->len are the next bytes of the body */
    FRAME_EVENT_END,    /* the body and its line end were read */
    FRAME_EVENT_BROKEN  /* not the protocol; piece->why says what is wrong. For good */
};

struct frame_piece {
    struct frame frame; /* its texts are borrowed until the next call */
    const char *data;   /* in the caller's bytes */
    size_t len;
    const char *why; /* static, one line of plain ASCII */
};

struct frame_reader {
    uint64_t left; /* bytes of the body that are still to come */
    uint16_t line_len;
    uint8_t sender; /* enum frame_sender */
    uint8_t state;
    char line[FRAME_HEADER_MAX]; /* the begin of a header that was cut */
};

void frame_reader_init(struct frame_reader *reader, enum frame_sender sender);

/* Takes bytes from the front of *data until there is something to tell.
 * data, len: the bytes that are there; both move past what was taken.
 * Returns an event; at most one header, one run of body bytes or one end a call. */
enum frame_event frame_read(struct frame_reader *reader, const char **data, size_t *len,
                            struct frame_piece *piece);

/* Between two frames: reads a message or reply that lies whole at the begin of the bytes, its header,
 * body and line end at once, as most come, at a third of the instructions and without a reader.
 * Fills frame, data and len of the piece.
 * False: nothing was read, and frame_read tells what is there. */
bool frame_read_whole(enum frame_sender sender, const char **data, size_t *len,
                      struct frame_piece *piece);

/* True between frames: nothing of a next one was read. */
bool frame_reader_is_between(const struct frame_reader *reader);

/* Whether a text is a producer's name that a client may use: 1 to 64 of A-Z a-z 0-9 . _ : - with an
 * optional '~' before them. */
bool frame_is_producer(const char *name, size_t len);

/* Print headers with their line end; buf holds FRAME_HEADER_MAX bytes. Each returns the bytes
 * written, without a NUL. A body is followed by one "\n". */
size_t frame_print_client_hello(char *buf, const char *producer, uint64_t from);
size_t frame_print_server_hello(char *buf, const struct frame_hello *hello);
size_t frame_print_msg(char *buf, uint64_t number, uint64_t len);
size_t frame_print_ok(char *buf, uint64_t number, uint64_t len);
size_t frame_print_bye(char *buf, unsigned code, uint64_t len);

/* "none", "disk", "replicated". Static. */
const char *frame_promise_name(enum frame_promise promise);

#endif
