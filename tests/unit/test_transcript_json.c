/* The JSON transcript: fields, their order, what is absent, and that the room asked for suffices. */
#include "support/unit.h"

#include "app/server/transcript_json.h"
#include "base/escape.h"

#define TIME "2026-11-22T15:00:00.123Z"
#define HEAD "{\"time\":\"" TIME "\",\"event\":"

/* As much room as was asked for and no more: what passes it fails. */
static void begin(struct buffer *lines, size_t bytes)
{
    buffer_init(lines, bytes, BUFFER_KEEP);
    assert_int_equal(buffer_reserve(lines, bytes), TLSMSG_OK);
}

static void check(struct buffer *lines, const char *expected)
{
    assert_int_equal(lines->len, strlen(expected));
    assert_memory_equal(buffer_head(lines), expected, lines->len);
    buffer_truncate(lines, 0);
}

static void test_listening(void **state)
{
    struct buffer lines;

    (void)state;
    begin(&lines, transcript_json_bound(15));
    transcript_json_listening(&lines, TIME, "127.0.0.1:12345");
    check(&lines, HEAD "\"listening\",\"address\":\"127.0.0.1:12345\"}\n");
    buffer_fini(&lines);
}

static const struct connected {
    const char *name;
    struct tlsmsg_peer peer;
    const char *line;
} connected[] = {
    {"everything",
     {.connection = 1,
      .address = "127.0.0.1:32916",
      .tls = &(const struct tlsmsg_tls){.version = "TLSv1.3",
                                        .cipher = "TLS_AES_256_GCM_SHA384",
                                        .group = "X25519",
                                        .identity = "CN=alice"}},
     HEAD "\"connected\",\"connection\":1,\"peer\":\"127.0.0.1:32916\",\"tls\":{\"version\":"
          "\"TLSv1.3\",\"cipher\":\"TLS_AES_256_GCM_SHA384\",\"group\":\"X25519\",\"resumed\":"
          "false,\"identity\":\"CN=alice\"},\"flow\":\"document\"}\n"},
    {"resumed, neither group nor identity",
     {.connection = 20,
      .address = "[::1]:50412",
      .tls = &(const struct tlsmsg_tls){.version = "TLSv1.2", .cipher = "C", .resumed = true}},
     HEAD "\"connected\",\"connection\":20,\"peer\":\"[::1]:50412\",\"tls\":{\"version\":"
          "\"TLSv1.2\",\"cipher\":\"C\",\"resumed\":true},\"flow\":\"document\"}\n"},
    {"plaintext",
     {.connection = UINT64_MAX, .address = "127.0.0.1:1"},
     HEAD "\"connected\",\"connection\":18446744073709551615,\"peer\":\"127.0.0.1:1\"}\n"},
    {"an identity to be escaped",
     {.connection = 1,
      .address = "a",
      .tls = &(const struct tlsmsg_tls){.version = "v", .identity = "CN=\"\\x0a\xe7\x88\xb1"}},
     HEAD "\"connected\",\"connection\":1,\"peer\":\"a\",\"tls\":{\"version\":\"v\",\"resumed\":"
          "false,\"identity\":\"CN=\\\"\\\\x0a\xe7\x88\xb1\"},\"flow\":\"document\"}\n"},
};

/* The flow is told as the peer's protocol has it. */
static void test_the_flow(void **state)
{
    const struct tlsmsg_tls tls = {
        .version = "v", .cipher = "c", .group = "g", .identity = "i", .protocol = "tlsmsg/1"};
    const struct tlsmsg_peer peer = {.connection = 2, .address = "a:1", .tls = &tls};
    struct buffer lines;

    (void)state;
    begin(&lines, transcript_json_peer_bound(&peer));
    transcript_json_connected(&lines, TIME, &peer);
    check(&lines, HEAD "\"connected\",\"connection\":2,\"peer\":\"a:1\",\"tls\":{\"version\":\"v\","
                       "\"cipher\":\"c\",\"group\":\"g\",\"resumed\":false,\"identity\":\"i\"},"
                       "\"flow\":\"tlsmsg/1\"}\n");
    buffer_fini(&lines);
}

static void test_connected(void **state)
{
    const struct connected *row = *state;
    struct buffer lines;

    begin(&lines, transcript_json_peer_bound(&row->peer));
    transcript_json_connected(&lines, TIME, &row->peer);
    assert_true(lines.len <= lines.cap);
    check(&lines, row->line);
    buffer_fini(&lines);
}

static const struct message {
    const char *name;
    const char *message;
    size_t len;
    const char *line;
} messages[] = {
#define ROW(name, message, bytes, shown)                                                           \
    {                                                                                              \
        name, message, sizeof(message) - 1,                                                        \
            HEAD "\"message\",\"connection\":3,\"peer\":\"a:1\",\"bytes\":" bytes                  \
                 ",\"message\":\"" shown "\"}\n"                                                   \
    }
    ROW("ASCII", "hello", "5", "hello"),
    ROW("Chinese", "\xe4\xbd\xa0", "3", "\xe4\xbd\xa0"),
    ROW("quotes and backslashes", "\"\\/", "3", "\\\"\\\\/"),
    ROW("line ends are kept", "a\r\n", "3", "a\\r\\n"),
    ROW("NUL", "a\0b", "3", "a\\u0000b"),
    ROW("controls, DEL, C1, bidi", "\x1b\x7f\xc2\x85\xe2\x80\xae", "7",
        "\\u001b\\u007f\\u0085\\u202e"),
};

static void test_message(void **state)
{
    const struct message *row = *state;
    struct buffer lines;

    const struct transcript_message message = {
        .connection = 3, .peer = "a:1", .data = row->message, .len = row->len};

    begin(&lines, transcript_json_message_bound(&message));
    transcript_json_message(&lines, TIME, &message);
    assert_true(lines.len <= lines.cap);
    check(&lines, row->line);
    buffer_fini(&lines);
}

static void test_message_of_a_producer(void **state)
{
    const struct transcript_message message = {.connection = 3,
                                               .peer = "[::1]:2",
                                               .identity = "CN=alice",
                                               .producer = "import-7",
                                               .seq = 17,
                                               .data = "hello",
                                               .len = 5};
    struct buffer lines;

    (void)state;
    begin(&lines, transcript_json_message_bound(&message));
    transcript_json_message(&lines, TIME, &message);
    check(&lines,
          HEAD "\"message\",\"connection\":3,\"peer\":\"[::1]:2\",\"identity\":\"CN=alice\","
               "\"producer\":\"import-7\",\"seq\":17,\"bytes\":5,\"message\":\"hello\"}\n");
    buffer_fini(&lines);
}

static const struct closed {
    const char *name;
    struct tlsmsg_closed closed;
    const char *line;
} closed[] = {
    {"clean",
     {.peer = &(const struct tlsmsg_peer){.connection = 1, .address = "a:1"},
      .reason = TLSMSG_CLOSE_CLEAN,
      .messages = 2,
      .duration_ms = 1203,
      .heard = true},
     HEAD "\"closed\",\"connection\":1,\"how\":\"clean\",\"messages\":2,\"seconds\":1.203}\n"},
    {"a conversation in which nothing was said",
     {.peer = &(const struct tlsmsg_peer){.connection = 1, .address = "a:1"},
      .reason = TLSMSG_CLOSE_DRAINED,
      .duration_ms = 7},
     HEAD "\"closed\",\"connection\":1,\"how\":\"drained\",\"messages\":0,\"seconds\":0.007}\n"},
    {"never a conversation",
     {.peer = &(const struct tlsmsg_peer){.connection = 4, .address = "a:1"},
      .reason = TLSMSG_CLOSE_HANDSHAKE,
      .duration_ms = 60000,
      .heard = true},
     HEAD "\"closed\",\"connection\":4,\"peer\":\"a:1\",\"how\":\"handshake\",\"messages\":0,"
          "\"seconds\":60.000}\n"},
    {"never a conversation nor a byte",
     {.peer = &(const struct tlsmsg_peer){.connection = 4, .address = "a:1"},
      .reason = TLSMSG_CLOSE_HANDSHAKE},
     ""},
    {"a numbered conversation",
     {.peer = &(const struct tlsmsg_peer){.connection = 5, .address = "a:1"},
      .reason = TLSMSG_CLOSE_CLEAN,
      .producer = "p-1",
      .code = 503,
      .messages = 3,
      .duplicates = 2,
      .duration_ms = 1,
      .heard = true},
     HEAD "\"closed\",\"connection\":5,\"producer\":\"p-1\",\"how\":\"clean\",\"messages\":3,"
          "\"duplicates\":2,\"seconds\":0.001}\n"},
    {"a numbered conversation that was refused",
     {.peer = &(const struct tlsmsg_peer){.connection = 5, .address = "a:1"},
      .reason = TLSMSG_CLOSE_REFUSED,
      .producer = "p-1",
      .code = 412,
      .messages = 3,
      .duration_ms = 1,
      .heard = true},
     HEAD "\"closed\",\"connection\":5,\"producer\":\"p-1\",\"how\":\"refused\",\"code\":412,"
          "\"messages\":3,\"seconds\":0.001}\n"},
    {"invalid UTF-8",
     {.peer = &(const struct tlsmsg_peer){.connection = 5, .address = "a:1"},
      .reason = TLSMSG_CLOSE_INVALID_UTF8,
      .messages = 1,
      .duration_ms = -3,
      .heard = true},
     HEAD "\"closed\",\"connection\":5,\"how\":\"invalid-utf8\",\"messages\":1,\"seconds\":0.000}"
          "\n"},
};

static void test_closed(void **state)
{
    const struct closed *row = *state;
    struct buffer lines;

    begin(&lines, transcript_json_peer_bound(row->closed.peer));
    transcript_json_closed(&lines, TIME, &row->closed);
    check(&lines, row->line);
    buffer_fini(&lines);
}

/* Of a long line the text and what comes behind it are handed over as they are. */
static void test_a_long_line(void **state)
{
    const struct transcript_message message = {
        .connection = 3, .peer = "a:1", .identity = "i", .producer = "p", .seq = 9, .len = 12345};
    struct stdout_line line = {.text = "text", .text_len = 4};
    struct buffer lines;

    (void)state;
    begin(&lines, 1000);
    transcript_json_long(&lines, TIME, &message, &line);
    check(&lines, HEAD "\"message\",\"connection\":3,\"peer\":\"a:1\",\"identity\":\"i\","
                       "\"producer\":\"p\",\"seq\":9,\"bytes\":12345,\"message\":\"");
    assert_ptr_equal(line.escape, escape_json);
    assert_int_equal(line.tail_len, 3);
    assert_memory_equal(line.tail, "\"}\n", 3);
    assert_string_equal(line.text, "text");
    assert_int_equal(line.text_len, 4);
    buffer_fini(&lines);
}

/* The longest of everything fits what the bound says. */
static void test_bound_holds(void **state)
{
    static char message[1000];
    char text[200];
    struct tlsmsg_tls tls = {.version = text, .cipher = text, .group = text, .identity = text};
    struct tlsmsg_peer peer = {.connection = UINT64_MAX, .address = text, .tls = &tls};
    struct tlsmsg_closed end = {.peer = &peer,
                                .reason = TLSMSG_CLOSE_HANDSHAKE,
                                .heard = true,
                                .messages = UINT64_MAX,
                                .duration_ms = INT64_MAX};
    struct buffer lines;

    (void)state;
    memset(message, 1, sizeof(message));
    memset(text, 1, sizeof(text));
    text[sizeof(text) - 1] = '\0';
    const struct transcript_message all = {.connection = UINT64_MAX,
                                           .peer = text,
                                           .identity = text,
                                           .producer = text,
                                           .seq = UINT64_MAX,
                                           .data = message,
                                           .len = sizeof(message)};
    begin(&lines, transcript_json_message_bound(&all));
    transcript_json_message(&lines, TIME, &all);
    assert_true(lines.len <= lines.cap && lines.len > 6 * sizeof(message));
    buffer_fini(&lines);
    begin(&lines, transcript_json_peer_bound(&peer));
    transcript_json_connected(&lines, TIME, &peer);
    assert_true(lines.len <= lines.cap && lines.len > 6 * 5 * (sizeof(text) - 1));
    buffer_truncate(&lines, 0);
    transcript_json_closed(&lines, TIME, &end);
    assert_true(lines.len <= lines.cap);
    buffer_fini(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listening), cmocka_unit_test(test_the_flow),
        cmocka_unit_test(test_message_of_a_producer), cmocka_unit_test(test_a_long_line),
        cmocka_unit_test(test_bound_holds)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_connected, connected);
    RUN_ROWS(failed, test_message, messages);
    RUN_ROWS(failed, test_closed, closed);
    return failed;
}
