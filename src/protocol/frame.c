#include "protocol/frame.h"

#include <string.h>

#include "base/decimal.h"

enum reader_state { READ_HEADER, READ_BODY, READ_LINE_END, READ_LINE_FEED, READ_BROKEN };

/* A header's words, one after the other. */
struct words {
    const char *at;
    const char *end;
};

struct word {
    const char *text;
    size_t len;
};

static const char *const promises[] = {
    [FRAME_PROMISE_NONE] = "none",
    [FRAME_PROMISE_DISK] = "disk",
    [FRAME_PROMISE_REPLICATED] = "replicated",
};

void frame_reader_init(struct frame_reader *reader, enum frame_sender sender)
{
    reader->line_len = 0;
    reader->sender = (uint8_t)sender;
    reader->state = READ_HEADER;
}

bool frame_reader_is_between(const struct frame_reader *reader)
{
    return reader->state == READ_HEADER && reader->line_len == 0;
}

static enum frame_event broken(struct frame_reader *reader, struct frame_piece *piece,
                               const char *why)
{
    reader->state = READ_BROKEN;
    piece->why = why;
    return FRAME_EVENT_BROKEN;
}

static bool is_over(const struct words *words)
{
    return words->at == words->end;
}

static bool is_visible(char c)
{
    return c > ' ' && c <= '~';
}

/* The next word. Empty where there is none, or where a blank stands twice, first or last. */
static struct word next_word(struct words *words)
{
    struct word word = {.text = words->at};

    while (!is_over(words) && is_visible(*words->at)) {
        words->at++;
    }
    word.len = (size_t)(words->at - word.text);
    /* A blank belongs to the word before it, but not at the end of the line. */
    if (words->end - words->at > 1 && *words->at == ' ') {
        words->at++;
    }
    return word;
}

static bool is_word(struct word word, const char *text, size_t len)
{
    return word.len == len && memcmp(word.text, text, len) == 0;
}

#define IS_WORD(word, literal) is_word(word, literal, sizeof(literal) - 1)

/* A number in decimal, without sign or leading zero. 0 stands for none: no number but `last` may
 * be 0, which its reader looks after. */
static uint64_t number_of(struct word word)
{
    uint64_t number = 0;

    if (word.len > 0 && *word.text != '0') {
        (void)decimal_parse(word.text, word.len, 1, FRAME_NUMBER_MAX, &number);
    }
    return number;
}

bool frame_is_producer(const char *name, size_t len)
{
    if (len > 0 && *name == '~') {
        name++;
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        char c = name[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == ':' || c == '-')) {
            return false;
        }
    }
    return len >= 1 && len <= FRAME_PRODUCER_MAX;
}

/* Splits "key=value"; false where it is not of that form. */
static bool split(struct word word, struct word *key, struct word *value)
{
    const char *equals = memchr(word.text, '=', word.len);

    if (equals == NULL || equals == word.text) {
        return false;
    }
    *key = (struct word){.text = word.text, .len = (size_t)(equals - word.text)};
    *value = (struct word){.text = equals + 1, .len = word.len - key->len - 1};
    return true;
}

/* Takes a number that may stand once. */
static const char *take_number(uint64_t *to, struct word value, const char *twice,
                               const char *wrong)
{
    if (*to != 0) {
        return twice;
    }
    *to = number_of(value);
    return *to == 0 ? wrong : NULL;
}

static const char *take_client_word(struct frame_hello *hello, struct word key, struct word value)
{
    if (IS_WORD(key, "producer")) {
        if (hello->producer != NULL) {
            return "producer= stands twice";
        }
        if (!frame_is_producer(value.text, value.len)) {
            return "producer= is not 1 to 64 of A-Z a-z 0-9 . _ : -";
        }
        hello->producer = value.text;
        hello->producer_len = value.len;
    } else if (IS_WORD(key, "from")) {
        return take_number(&hello->from, value, "from= stands twice",
                           "from= is not a number from 1");
    }
    return NULL;
}

/* What a server's HELLO has told so far. */
struct told {
    bool last;
    bool promise;
};

static const char *take_promise(struct frame_hello *hello, struct told *told, struct word value)
{
    if (told->promise) {
        return "promise= stands twice";
    }
    for (size_t i = 0; i < sizeof(promises) / sizeof(promises[0]); i++) {
        if (is_word(value, promises[i], strlen(promises[i]))) {
            hello->promise = (enum frame_promise)i;
            told->promise = true;
        }
    }
    return told->promise ? NULL : "promise= is not none, disk or replicated";
}

static const char *take_server_word(struct frame_hello *hello, struct told *told, struct word key,
                                    struct word value)
{
    if (IS_WORD(key, "last")) {
        if (told->last) {
            return "last= stands twice";
        }
        told->last = true;
        hello->last = number_of(value);
        return hello->last == 0 && !IS_WORD(value, "0") ? "last= is not a number" : NULL;
    }
    if (IS_WORD(key, "max")) {
        return take_number(&hello->max, value, "max= stands twice", "max= is not a number from 1");
    }
    if (IS_WORD(key, "window")) {
        return take_number(&hello->window, value, "window= stands twice",
                           "window= is not a number from 1");
    }
    return IS_WORD(key, "promise") ? take_promise(hello, told, value) : NULL;
}

/* The words behind HELLO. Unknown keys are ignored, so that a later version can add some. */
static const char *parse_hello(struct words *words, enum frame_sender sender,
                               struct frame_hello *hello)
{
    struct told told = {.last = false};
    const char *why = NULL;

    if (!IS_WORD(next_word(words), "1")) {
        return "HELLO of another version than 1";
    }
    while (why == NULL && !is_over(words)) {
        struct word key;
        struct word value;

        if (!split(next_word(words), &key, &value)) {
            return "a word of HELLO is not key=value";
        }
        why = sender == FRAME_FROM_CLIENT ? take_client_word(hello, key, value)
                                          : take_server_word(hello, &told, key, value);
    }
    if (why != NULL) {
        return why;
    }
    if (sender == FRAME_FROM_SERVER &&
        (!told.last || !told.promise || hello->max == 0 || hello->window == 0)) {
        return "HELLO lacks last=, max=, window= or promise=";
    }
    if (hello->from != 0 && hello->producer == NULL) {
        return "from= without producer=";
    }
    if (sender == FRAME_FROM_CLIENT && hello->from == 0) {
        hello->from = 1;
    }
    return NULL;
}

/* "MSG N LEN" and "OK N LEN". */
static const char *parse_numbered(struct words *words, struct frame *frame)
{
    frame->number = number_of(next_word(words));
    frame->len = number_of(next_word(words));
    if (frame->number == 0 || frame->len == 0) {
        return "not two numbers from 1 in a header";
    }
    return is_over(words) ? NULL : "a word too many in a header";
}

static const char *parse_bye(struct words *words, struct frame *frame)
{
    uint64_t code = number_of(next_word(words));

    frame->len = number_of(next_word(words));
    if (code < 100 || code > 999) {
        return "BYE without a code of three digits";
    }
    frame->code = (unsigned)code;
    if (frame->len == 0 || frame->len > FRAME_BYE_TEXT_MAX) {
        return "BYE without a text of 1 to 1024 bytes";
    }
    return is_over(words) ? NULL : "a word too many in a header";
}

/* A header line without its end. NULL, or what is wrong with it. */
static const char *parse_header(const char *line, size_t len, enum frame_sender sender,
                                struct frame *frame)
{
    struct words words = {.at = line, .end = line + len};
    struct word kind = next_word(&words);

    *frame = (struct frame){.kind = FRAME_HELLO};
    if (IS_WORD(kind, "MSG") && sender == FRAME_FROM_CLIENT) {
        frame->kind = FRAME_MSG;
        return parse_numbered(&words, frame);
    }
    if (IS_WORD(kind, "OK") && sender == FRAME_FROM_SERVER) {
        frame->kind = FRAME_OK;
        return parse_numbered(&words, frame);
    }
    if (IS_WORD(kind, "BYE") && sender == FRAME_FROM_SERVER) {
        frame->kind = FRAME_BYE;
        return parse_bye(&words, frame);
    }
    if (IS_WORD(kind, "HELLO")) {
        return parse_hello(&words, sender, &frame->hello);
    }
    return sender == FRAME_FROM_CLIENT ? "a header that is neither HELLO nor MSG"
                                       : "a header that is neither HELLO, OK nor BYE";
}

static enum frame_event read_header(struct frame_reader *reader, const char **data, size_t *len,
                                    struct frame_piece *piece)
{
    size_t room = (size_t)(FRAME_HEADER_MAX - reader->line_len);
    size_t taken = *len < room ? *len : room;
    const char *feed = memchr(*data, '\n', taken);
    const char *line = *data;
    size_t line_len;
    const char *why;

    if (feed == NULL && taken == room) {
        return broken(reader, piece, "a header line of over 256 bytes");
    }
    if (feed != NULL) {
        taken = (size_t)(feed - *data) + 1;
    }
    line_len = reader->line_len + taken;
    /* A header that is whole here is read where it lies. */
    if (feed == NULL || reader->line_len > 0) {
        memcpy(reader->line + reader->line_len, *data, taken);
        line = reader->line;
    }
    *data += taken;
    *len -= taken;
    reader->line_len = feed == NULL ? (uint16_t)line_len : 0;
    if (feed == NULL) {
        return FRAME_EVENT_MORE;
    }
    line_len--;
    if (line_len > 0 && line[line_len - 1] == '\r') {
        line_len--;
    }
    why = parse_header(line, line_len, (enum frame_sender)reader->sender, &piece->frame);
    if (why != NULL) {
        return broken(reader, piece, why);
    }
    reader->left = piece->frame.len;
    reader->state = reader->left > 0 ? READ_BODY : READ_HEADER;
    return FRAME_EVENT_HEADER;
}

static enum frame_event read_body(struct frame_reader *reader, const char **data, size_t *len,
                                  struct frame_piece *piece)
{
    size_t part = *len < reader->left ? *len : (size_t)reader->left;

    piece->data = *data;
    piece->len = part;
    *data += part;
    *len -= part;
    reader->left -= part;
    if (reader->left == 0) {
        reader->state = READ_LINE_END;
    }
    return FRAME_EVENT_BODY;
}

/* "\n" or "\r\n" behind a body. */
static enum frame_event read_line_end(struct frame_reader *reader, const char **data, size_t *len,
                                      struct frame_piece *piece)
{
    if (**data == '\r' && reader->state == READ_LINE_END) {
        reader->state = READ_LINE_FEED;
        (*data)++;
        (*len)--;
        if (*len == 0) {
            return FRAME_EVENT_MORE;
        }
    }
    if (**data != '\n') {
        return broken(reader, piece, "a body of another length than its header says");
    }
    (*data)++;
    (*len)--;
    reader->state = READ_HEADER;
    return FRAME_EVENT_END;
}

enum frame_event frame_read(struct frame_reader *reader, const char **data, size_t *len,
                            struct frame_piece *piece)
{
    if (reader->state == READ_BROKEN) {
        return broken(reader, piece, "what follows is not read");
    }
    if (*len == 0) {
        return FRAME_EVENT_MORE;
    }
    switch (reader->state) {
    case READ_HEADER:
        return read_header(reader, data, len, piece);
    case READ_BODY:
        return read_body(reader, data, len, piece);
    default:
        return read_line_end(reader, data, len, piece);
    }
}

/* What stands for no digit is above 9. */
static inline unsigned digit_of(char c)
{
    return (unsigned)(unsigned char)c - '0';
}

/* A number as a header has it and the byte behind it. What is behind both, or NULL. */
static const char *read_number(const char *at, const char *end, char behind, uint64_t *number)
{
    const char *begin = at;
    uint64_t value = 0;
    size_t digits;

    while (at < end && digit_of(*at) <= 9) {
        value = value * 10 + digit_of(*at++);
    }
    *number = value;
    digits = (size_t)(at - begin);
    /* One digit less than what may overflow. */
    if (at == end || *at != behind || digits == 0 || digits >= DECIMAL_DIGITS_MAX - 1) {
        return NULL;
    }
    return *begin == '0' ? NULL : at + 1;
}

static inline const char *skip(const char *at, const char *end, const char *text, size_t len)
{
    return (size_t)(end - at) >= len && memcmp(at, text, len) == 0 ? at + len : NULL;
}

bool frame_read_whole(enum frame_sender sender, const char **data, size_t *len,
                      struct frame_piece *piece)
{
    bool is_client = sender == FRAME_FROM_CLIENT;
    const char *end = *data + *len;
    const char *at = *data;
    uint64_t number;
    uint64_t body;

    at = is_client ? skip(at, end, "MSG ", 4) : skip(at, end, "OK ", 3);
    at = at != NULL ? read_number(at, end, ' ', &number) : NULL;
    at = at != NULL ? read_number(at, end, '\n', &body) : NULL;
    if (at == NULL || (uint64_t)(end - at) <= body || at[body] != '\n') {
        return false;
    }
    piece->frame.kind = is_client ? FRAME_MSG : FRAME_OK;
    piece->frame.number = number;
    piece->frame.len = body;
    piece->data = at;
    piece->len = (size_t)body;
    *data = at + body + 1;
    *len = (size_t)(end - *data);
    return true;
}

const char *frame_promise_name(enum frame_promise promise)
{
    return promises[promise];
}

static char *put_text(char *to, const char *text)
{
    size_t len = strlen(text);

    memcpy(to, text, len);
    return to + len;
}

static char *put_number(char *to, uint64_t number)
{
    return to + decimal_print(to, number);
}

/* "WORD A B\n" */
static size_t print_two(char *buf, const char *word, uint64_t a, uint64_t b)
{
    char *to = put_number(put_text(buf, word), a);

    *to++ = ' ';
    to = put_number(to, b);
    *to++ = '\n';
    return (size_t)(to - buf);
}

size_t frame_print_client_hello(char *buf, const char *producer, uint64_t from)
{
    char *to = put_text(buf, "HELLO 1");

    if (producer != NULL) {
        to = put_text(put_text(to, " producer="), producer);
        to = put_number(put_text(to, " from="), from);
    }
    *to++ = '\n';
    return (size_t)(to - buf);
}

size_t frame_print_server_hello(char *buf, const struct frame_hello *hello)
{
    char *to = put_number(put_text(buf, "HELLO 1 last="), hello->last);

    to = put_number(put_text(to, " max="), hello->max);
    to = put_number(put_text(to, " window="), hello->window);
    to = put_text(put_text(to, " promise="), frame_promise_name(hello->promise));
    *to++ = '\n';
    return (size_t)(to - buf);
}

size_t frame_print_msg(char *buf, uint64_t number, uint64_t len)
{
    return print_two(buf, "MSG ", number, len);
}

size_t frame_print_ok(char *buf, uint64_t number, uint64_t len)
{
    return print_two(buf, "OK ", number, len);
}

size_t frame_print_bye(char *buf, unsigned code, uint64_t len)
{
    return print_two(buf, "BYE ", code, len);
}
