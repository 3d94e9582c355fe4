/* A publisher's side of NATS: see nats.h. */
#include "nats.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STREAM "bench"
#define LINE_MAX_BYTES 8192u
#define BODY_MAX_BYTES (1024u * 1024)
#define LINE_END "\r\n"
#define LINE_END_LEN (sizeof LINE_END - 1)

/* One operation of the server: a line, and behind MSG the bytes that it announces. */
struct operation {
    const char *line; /* without its end */
    size_t line_len;
    const char *body;
    size_t body_len;
    size_t len; /* of all of it */
};

void nats_init(struct nats *n)
{
    struct bytes held = n->held;

    bytes_clear(&held);
    *n = (struct nats){.held = held};
}

void nats_fini(struct nats *n)
{
    bytes_fini(&n->held);
}

static bool begins(const struct operation *op, const char *word)
{
    size_t len = strlen(word);

    return op->line_len >= len && memcmp(op->line, word, len) == 0;
}

static bool body_says(const struct operation *op, const char *words)
{
    return memmem(op->body, op->body_len, words, strlen(words)) != NULL;
}

/* The last word of a MSG line: how many bytes follow. */
static bool read_body_len(struct operation *op)
{
    const char *space = memrchr(op->line, ' ', op->line_len);
    const char *digit = space + 1;
    const char *end = op->line + op->line_len;

    op->body_len = 0;
    for (; digit < end; digit++) {
        if (*digit < '0' || *digit > '9' || op->body_len > BODY_MAX_BYTES) {
            return false;
        }
        op->body_len = op->body_len * 10 + (size_t)(*digit - '0');
    }
    return digit > space + 1;
}

/* 1 an operation is there, 0 not the whole of it, -1 what is there is none. */
static int next_operation(const struct nats *n, struct operation *op)
{
    const char *data = bytes_head(&n->held);
    size_t len = bytes_len(&n->held);
    const char *end = memmem(data, len, LINE_END, LINE_END_LEN);

    if (end == NULL) {
        return len > LINE_MAX_BYTES ? -1 : 0;
    }
    *op = (struct operation){
        .line = data, .line_len = (size_t)(end - data), .body = end + LINE_END_LEN};
    op->len = op->line_len + LINE_END_LEN;
    if (!begins(op, "MSG ")) {
        return 1;
    }
    if (!read_body_len(op)) {
        return -1;
    }
    if (len < op->len + op->body_len + LINE_END_LEN) {
        return 0;
    }
    op->len += op->body_len + LINE_END_LEN;
    return memcmp(op->body + op->body_len, LINE_END, LINE_END_LEN) == 0 ? 1 : -1;
}

/* What a server may say at any time. Errors, and that nobody listens (HMSG), are not among it. */
static bool is_small_talk(struct nats *n, const struct operation *op)
{
    n->owes_pong |= begins(op, "PING");
    return begins(op, "PING") || begins(op, "PONG") || begins(op, "INFO ") || begins(op, "+OK");
}

static bool is_stream_there(const struct operation *op)
{
    return begins(op, "MSG ") && body_says(op, "\"config\":{\"name\":\"" STREAM "\"") &&
           body_says(op, "\"storage\":\"file\"") && !body_says(op, "\"error\":");
}

enum greeting nats_take_greeting(struct nats *n, const char *data, size_t len)
{
    enum greeting result = GREETING_PART;
    struct operation op;
    int found;

    bytes_append(&n->held, data, len);
    while (result == GREETING_PART && (found = next_operation(n, &op)) != 0) {
        if (found < 0) {
            return GREETING_REFUSED;
        }
        if (!n->has_info) {
            n->has_info = begins(&op, "INFO ");
            result = n->has_info ? GREETING_INFO : GREETING_REFUSED;
        } else if (!is_small_talk(n, &op)) {
            result = is_stream_there(&op) ? GREETING_ACCEPTED : GREETING_REFUSED;
        }
        if (result == GREETING_REFUSED) {
            return result; /* which nats_quote() tells */
        }
        bytes_take(&n->held, op.len);
    }
    /* The server says nothing more in plain: what came behind that line would never reach TLS. */
    return result == GREETING_INFO && bytes_len(&n->held) > 0 ? GREETING_REFUSED : result;
}

void nats_put_connect(struct bytes *to, uint32_t client)
{
    static const char stream[] =
        "{\"name\":\"" STREAM "\",\"subjects\":[\"" STREAM "\"],"
        "\"storage\":\"file\",\"retention\":\"limits\",\"num_replicas\":1}";
    char words[768];
    int len = snprintf(words, sizeof words,
                       "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c\","
                       "\"version\":\"1\",\"headers\":true,\"no_responders\":true}\r\n"
                       "SUB _INBOX.%" PRIu32 ".* 1\r\n"
                       "PUB $JS.API.STREAM.CREATE." STREAM " _INBOX.%" PRIu32 ".stream %zu\r\n"
                       "%s\r\n",
                       client, client, sizeof stream - 1, stream);

    bytes_append(to, words, (size_t)len);
}

void nats_put_publish(struct nats *n, struct bytes *to, uint32_t client, uint64_t sequence,
                      const char *message, size_t size)
{
    char line[96];
    int len = snprintf(line, sizeof line, "%sPUB " STREAM " _INBOX.%" PRIu32 ".%" PRIu64 " %zu\r\n",
                       n->owes_pong ? "PONG\r\n" : "", client, sequence, size);

    n->owes_pong = false;
    bytes_append(to, line, (size_t)len);
    bytes_append(to, message, size);
    bytes_append(to, LINE_END, LINE_END_LEN);
}

/* The number that the stream gave a message, 0 for none. */
static uint64_t read_stored(const struct operation *op)
{
    static const char key[] = "\"seq\":";
    const char *found = memmem(op->body, op->body_len, key, sizeof key - 1);
    const char *end = op->body + op->body_len;
    uint64_t number = 0;

    if (found == NULL) {
        return 0;
    }
    for (found += sizeof key - 1; found < end && *found == ' '; found++) {
    }
    for (; found < end && *found >= '0' && *found <= '9'; found++) {
        number = number * 10 + (uint64_t)(*found - '0');
    }
    return number;
}

static bool is_ack(struct nats *n, const struct reply_check *check, const struct operation *op)
{
    char due[64];
    uint64_t stored;

    snprintf(due, sizeof due, "MSG _INBOX.%" PRIu32 ".%" PRIu64 " 1 ", check->connection,
             check->sequence);
    if (!begins(op, due) || body_says(op, "\"error\":") ||
        !body_says(op, "\"stream\":\"" STREAM "\"")) {
        return false;
    }
    stored = read_stored(op);
    if (stored <= n->stored) {
        return false;
    }
    n->stored = stored;
    return true;
}

long nats_feed(struct nats *n, struct reply_check *check, const char *data, size_t len)
{
    struct operation op;
    long answered = 0;
    int found;

    bytes_append(&n->held, data, len);
    while ((found = next_operation(n, &op)) != 0) {
        if (found < 0) {
            return -1;
        }
        if (!is_small_talk(n, &op)) {
            if (!is_ack(n, check, &op)) {
                return -1;
            }
            check->sequence++;
            check->prefixes++;
            answered++;
        }
        bytes_take(&n->held, op.len);
    }
    return answered;
}

void nats_quote(const struct nats *n, char *out, size_t size)
{
    int shown = (int)(bytes_len(&n->held) < size ? bytes_len(&n->held) : size - 1);
    char *at;

    snprintf(out, size, "the server says: %.*s", shown, bytes_head(&n->held));
    for (at = out; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == '\x7f') {
            *at = ' ';
        }
    }
}
