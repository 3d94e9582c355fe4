/* The text transcript: the document's lines, raw and escaped. */
#include "support/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "app/server/transcript_text.h"
#include "base/escape.h"

static const struct row {
    const char *name;
    size_t language;
    bool raw;
    bool drops_line_end;
    const char *message;
    size_t len;
    const char *line;
} rows[] = {
#define ROW(name, language, raw, drops, message, line)                                             \
    {                                                                                              \
        name, language, raw, drops, message, sizeof(message) - 1, line                             \
    }
    ROW("ASCII", 0, false, true, "hello", "收到消息：hello\n"),
    ROW("English", 1, false, true, "hello", "Message received: hello\n"),
    ROW("Chinese stays", 0, false, true, "你好", "收到消息：你好\n"),
    ROW("one line end is dropped", 0, false, true, "a\n", "收到消息：a\n"),
    ROW("with its CR", 0, false, true, "a\r\n", "收到消息：a\n"),
    ROW("one, not two", 0, false, true, "a\n\n", "收到消息：a\\n\n"),
    ROW("a CR alone is shown", 0, false, true, "a\r", "收到消息：a\\r\n"),
    ROW("nothing but a line end", 0, false, true, "\n", "收到消息：\n"),
    ROW("a line end that is kept", 0, false, false, "a\n", "收到消息：a\\n\n"),
    ROW("a forged line", 0, false, true, "a\n收到消息：b", "收到消息：a\\n收到消息：b\n"),
    ROW("controls", 0, false, true, "\x1b[1m\x07\x7f\t", "收到消息：\\x1b[1m\\x07\\x7f\\t\n"),
    ROW("bidi and C1", 0, false, true, "\u202e\xc2\x85", "收到消息：\\u202e\\u0085\n"),
    ROW("a backslash stays", 0, false, true, "\\n", "收到消息：\\n\n"),
    ROW("nothing", 0, false, true, "", "收到消息：\n"),
    {"nothing, behind a line end", 0, false, true, &"\n"[1], 0, "收到消息：\n"},
    {"a line end, behind a CR", 0, false, true, &"\r\n"[1], 1, "收到消息：\n"},
    ROW("nothing but a CR and a line end", 0, false, true, "\r\n", "收到消息：\n"),
    ROW("a line end within", 0, false, true, "a\r\nb", "收到消息：a\\r\\nb\n"),
    ROW("raw, with no bytes", 0, true, false, "", "收到消息：\n"),
    ROW("raw, and nothing is dropped", 0, true, true, "a\r\n", "收到消息：a\r\n\n"),
    ROW("raw", 0, true, false, "a\x1b\n\u202e\r\n", "收到消息：a\x1b\n\u202e\r\n\n"),
};

/* As much room as was asked for and no more: what passes it fails. */
static void begin(struct buffer *lines, size_t bytes)
{
    buffer_init(lines, bytes, BUFFER_KEEP);
    assert_int_equal(buffer_reserve(lines, bytes), TLSMSG_OK);
}

static void check(const struct buffer *lines, const char *expected)
{
    assert_int_equal(lines->len, strlen(expected));
    assert_memory_equal(buffer_head(lines), expected, lines->len);
}

static void test_message(void **state)
{
    const struct row *row = *state;
    struct transcript_style style = {.phrases = phrases_get(row->language),
                                     .raw = row->raw,
                                     .drops_line_end = row->drops_line_end};
    struct buffer lines;

    begin(&lines, transcript_text_bound(&style, row->len));
    transcript_text_message(&lines, &style, row->message, row->len);
    check(&lines, row->line);
    buffer_fini(&lines);
}

/* What a long line is made of: its head here, the rest as it comes. */
static void test_long(void **state)
{
    const struct row *row = *state;
    struct transcript_style style = {.phrases = phrases_get(row->language),
                                     .raw = row->raw,
                                     .drops_line_end = row->drops_line_end};
    struct stdout_line line = {.text = row->message};
    char shown[256];
    struct buffer lines;
    size_t len;

    begin(&lines, transcript_text_bound(&style, 0));
    transcript_text_long(&lines, &style, row->len, &line);
    assert_int_equal(lines.len, style.phrases->message.len);
    memcpy(shown, buffer_head(&lines), lines.len);
    assert_ptr_equal(line.escape, row->raw ? NULL : escape_text);
    assert_ptr_equal(line.text, row->message);
    len = lines.len;
    if (row->raw) {
        memcpy(shown + len, line.text, line.text_len);
        len += line.text_len;
    } else {
        len += escape_text(shown + len, sizeof(shown) - len, line.text, line.text_len);
    }
    memcpy(shown + len, line.tail, line.tail_len);
    assert_int_equal(len + line.tail_len, strlen(row->line));
    assert_memory_equal(shown, row->line, strlen(row->line));
    buffer_fini(&lines);
}

/* The worst of both: the longest phrase with a message that grows most. */
static void test_bound_holds(void **state)
{
    struct transcript_style style = {.phrases = phrases_get(1)};
    char message[2 * 100];
    struct buffer lines;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(message); i += 2) {
        memcpy(message + i, "\xc2\x85", 2);
    }
    begin(&lines, transcript_text_bound(&style, sizeof(message)));
    transcript_text_message(&lines, &style, message, sizeof(message));
    assert_int_equal(lines.len, style.phrases->message.len + 6 * 100 + 1);
    assert_true(lines.len <= lines.cap);
    buffer_fini(&lines);
}

/* A line of any kind has room, whichever language has the longest phrase. */
static void test_bound_is_that_of_the_longest_phrase(void **state)
{
    static struct phrases phrases[3];
    struct transcript_style style = {.raw = false};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(phrases); i++) {
        phrases[i].waiting.len = i == 0 ? 9 : 4;
        phrases[i].connected.len = i == 1 ? 9 : 5;
        phrases[i].message.len = i == 2 ? 9 : 6;
        style.phrases = &phrases[i];
        style.raw = true;
        assert_int_equal(transcript_text_bound(&style, 100), 9 + 100 + 1);
        style.raw = false;
        assert_int_equal(transcript_text_bound(&style, 100), 9 + 100 * ESCAPE_EXPANSION_MAX + 1);
    }
}

static void test_other_lines(void **state)
{
    struct transcript_style style = {.phrases = phrases_get(0)};
    struct buffer lines;

    (void)state;
    begin(&lines, 1024);
    transcript_text_waiting(&lines, &style);
    transcript_text_connected(&lines, &style, "('::1', 50412, 0, 0)");
    check(&lines, "等待客户端连接...\n已连接客户端：('::1', 50412, 0, 0)\n");
    buffer_truncate(&lines, 0);
    style.phrases = phrases_get(1);
    transcript_text_waiting(&lines, &style);
    transcript_text_connected(&lines, &style, "('127.0.0.1', 50412)");
    check(&lines, "Waiting for a client...\nClient connected: ('127.0.0.1', 50412)\n");
    buffer_fini(&lines);
}

static const struct tuple_row {
    const char *name;
    const char *v4;
    const char *v6;
    uint16_t port;
    uint32_t flow;
    uint32_t scope;
    const char *tuple;
} tuple_rows[] = {
    {"IPv4", "127.0.0.1", NULL, 50412, 0, 0, "('127.0.0.1', 50412)"},
    {"IPv4, port 0", "0.0.0.0", NULL, 0, 0, 0, "('0.0.0.0', 0)"},
    {"IPv6", NULL, "::1", 50412, 0, 0, "('::1', 50412, 0, 0)"},
    {"IPv6 with a scope", NULL, "fe80::1", 12345, 0, 2, "('fe80::1', 12345, 0, 2)"},
    {"IPv6 with a flow", NULL, "2001:db8::1", 1, 7, 0, "('2001:db8::1', 1, 7, 0)"},
    {"longest", NULL, "1111:2222:3333:4444:5555:6666:7777:8888", 65535, 4294967295, 4294967295,
     "('1111:2222:3333:4444:5555:6666:7777:8888', 65535, 4294967295, 4294967295)"},
    {"another family", NULL, NULL, 0, 0, 0, "''"},
};

static void test_tuple(void **state)
{
    const struct tuple_row *row = *state;
    struct sockaddr_storage peer = {.ss_family = AF_UNIX};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&peer;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&peer;
    char buf[TRANSCRIPT_TUPLE_MAX];

    if (row->v4 != NULL) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(row->port);
        assert_int_equal(inet_pton(AF_INET, row->v4, &v4->sin_addr), 1);
    } else if (row->v6 != NULL) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(row->port);
        v6->sin6_flowinfo = htonl(row->flow);
        v6->sin6_scope_id = row->scope;
        assert_int_equal(inet_pton(AF_INET6, row->v6, &v6->sin6_addr), 1);
    }
    transcript_text_tuple((const struct sockaddr *)&peer, buf, sizeof(buf));
    assert_string_equal(buf, row->tuple);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bound_holds),
                                       cmocka_unit_test(test_bound_is_that_of_the_longest_phrase),
                                       cmocka_unit_test(test_other_lines)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_message, rows);
    RUN_ROWS(failed, test_long, rows);
    RUN_ROWS(failed, test_tuple, tuple_rows);
    return failed;
}
