/* JSON: the whole text of an object, strings without loss, and failures that leave nothing. */
#include "support/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "support/failmalloc.h"

static void assert_text(const struct buffer *b, const char *want)
{
    assert_int_equal(b->len, strlen(want));
    assert_memory_equal(buffer_head(b), want, b->len);
}

static void write_all_kinds(struct json *json)
{
    json_string(json, "text", "hello");
    json_string(json, "absent", NULL);
    json_plain(json, "plain", "12:00", 5);
    json_bytes(json, "bytes", "a\0b", 3);
    json_number(json, "most", UINT64_MAX);
    json_signed(json, "least", INT64_MIN);
    json_signed(json, "plus", 7);
    json_bool(json, "yes", true);
    json_bool(json, "no", false);
    json_seconds(json, "seconds", 1203);
    json_seconds(json, "never", -1);
    json_seconds_us(json, "exact", 1000234);
    json_begin_object(json, "tls");
    json_string(json, "version", "TLSv1.3");
    json_end_object(json);
    json_begin_object(json, "empty");
    json_end_object(json);
    json_begin_array(json, "chain");
    json_begin_object(json, NULL);
    json_number(json, "i", 0);
    json_end_object(json);
    json_string(json, NULL, "x");
    json_end_array(json);
    json_number(json, "exit", 0);
}

static const char all_kinds[] =
    "{\"text\":\"hello\",\"plain\":\"12:00\",\"bytes\":\"a\\u0000b\",\"most\":18446744073709551615,"
    "\"least\":-9223372036854775808,\"plus\":7,\"yes\":true,\"no\":false,\"seconds\":1.203,"
    "\"never\":0.000,\"exact\":1.000234,\"tls\":{\"version\":\"TLSv1.3\"},\"empty\":{},\"chain\":[{"
    "\"i\":0},\"x\"],"
    "\"exit\":0}\n";

static void test_all_kinds(void **state)
{
    struct buffer b;
    struct json json;

    (void)state;
    buffer_init(&b, 1 << 20, 0);
    for (int i = 0; i < 2; i++) {
        json_begin(&json, &b);
        write_all_kinds(&json);
        assert_int_equal(json_end(&json, "\n"), TLSMSG_OK);
        assert_memory_equal(buffer_head(&b) + (size_t)i * (sizeof(all_kinds) - 1), all_kinds,
                            sizeof(all_kinds) - 1);
    }
    assert_int_equal(b.len, 2 * (sizeof(all_kinds) - 1));
    buffer_fini(&b);
}

static void test_signed_numbers(void **state)
{
    struct buffer b;
    struct json json;

    (void)state;
    buffer_init(&b, 1000, 0);
    json_begin(&json, &b);
    json_signed(&json, "a", -5);
    json_signed(&json, "b", 0);
    json_signed(&json, "c", -1);
    json_signed(&json, "d", INT64_MAX);
    json_signed(&json, "e", INT64_MIN + 1);
    json_seconds(&json, "f", 0);
    json_seconds(&json, "g", 1);
    json_seconds_us(&json, "h", INT64_MAX);
    assert_int_equal(json_end(&json, ""), TLSMSG_OK);
    assert_text(&b, "{\"a\":-5,\"b\":0,\"c\":-1,\"d\":9223372036854775807,"
                    "\"e\":-9223372036854775807,\"f\":0.000,\"g\":0.001,"
                    "\"h\":9223372036854.775807}");
    buffer_fini(&b);
}

/* Longer than what memory is got at first: the room is what the longest form needs. */
static void test_room_for_long_texts(void **state)
{
    static char text[5000];
    struct buffer b;
    struct json json;

    (void)state;
    memset(text, 1, sizeof(text));
    for (int plain = 0; plain < 2; plain++) {
        size_t len = plain ? sizeof(text) : 6 * sizeof(text);

        buffer_init(&b, 1 << 20, 0);
        json_begin(&json, &b);
        if (plain) {
            json_plain(&json, "s", text, sizeof(text));
        } else {
            json_bytes(&json, "s", text, sizeof(text));
        }
        assert_int_equal(b.len, sizeof("{\"s\":\"\"") - 1 + len);
        assert_true(b.len <= b.cap);
        assert_int_equal(json_end(&json, ""), TLSMSG_OK);
        buffer_fini(&b);
    }
}

static void test_empty_object(void **state)
{
    struct buffer b;
    struct json json;

    (void)state;
    buffer_init(&b, 100, 0);
    json_begin(&json, &b);
    assert_int_equal(json_end(&json, ""), TLSMSG_OK);
    assert_text(&b, "{}");
    buffer_fini(&b);
}

struct string_row {
    const char *name;
    const char *text;
    const char *want;
};

static const struct string_row string_rows[] = {
    {"quote and backslash", "\"\\", "\\\"\\\\"},
    {"short escapes", "\b\f\n\r\t", "\\b\\f\\n\\r\\t"},
    {"control", "\x1b", "\\u001b"},
    {"delete", "\x7f", "\\u007f"},
    {"C1", "\xc2\x85", "\\u0085"},
    {"line and paragraph separator", "\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029"},
    {"bidi", "\xe2\x80\xae\xe2\x81\xa6\xd8\x9c", "\\u202e\\u2066\\u061c"},
    {"Chinese stays", "你好", "你好"},
    {"emoji stays", "😀", "😀"},
    {"invalid", "a\xff", "a\xef\xbf\xbd"},
    {"empty", "", ""},
};

static void test_string(void **state)
{
    const struct string_row *row = *state;
    char want[128];
    struct buffer b;
    struct json json;

    buffer_init(&b, 1000, 0);
    json_begin(&json, &b);
    json_string(&json, "s", row->text);
    assert_int_equal(json_end(&json, ""), TLSMSG_OK);
    assert_true(snprintf(want, sizeof(want), "{\"s\":\"%s\"}", row->want) > 0);
    assert_text(&b, want);
    buffer_fini(&b);
}

static void test_cut_string(void **state)
{
    static const struct {
        size_t max;
        const char *want;
    } rows[] = {
        {0, "{\"s\":\"\"}"},   {2, "{\"s\":\"\"}"},      {3, "{\"s\":\"你\"}"},
        {4, "{\"s\":\"你\"}"}, {5, "{\"s\":\"你\\n\"}"}, {100, "{\"s\":\"你\\nz\"}"},
    };
    char memory[128];
    struct buffer b;
    struct json json;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        buffer_init_fixed(&b, memory, sizeof(memory));
        json_begin(&json, &b);
        json_string_cut(&json, "s", "你\nz", rows[i].max);
        json_string_cut(&json, "absent", NULL, rows[i].max);
        assert_int_equal(json_end(&json, ""), TLSMSG_OK);
        assert_text(&b, rows[i].want);
    }
}

/* Whatever the limit: the whole object, or what was there before and nothing else. */
static void test_every_limit(void **state)
{
    struct buffer b;
    struct json json;
    bool fitted = false;

    (void)state;
    for (size_t limit = 4; limit < 2 * sizeof(all_kinds); limit++) {
        enum tlsmsg_code code;

        buffer_init(&b, limit, 0);
        assert_int_equal(buffer_append(&b, "old\n", 4), TLSMSG_OK);
        json_begin(&json, &b);
        write_all_kinds(&json);
        code = json_end(&json, "\n");
        if (code == TLSMSG_OK) {
            fitted = true;
            assert_int_equal(b.len, 4 + sizeof(all_kinds) - 1);
        } else {
            assert_false(fitted);
            assert_int_equal(code, TLSMSG_ERR_LIMIT);
            assert_text(&b, "old\n");
        }
        buffer_fini(&b);
    }
    assert_true(fitted);
}

static void scenario_write(void *state)
{
    static char message[3000];
    enum tlsmsg_code code;
    struct buffer b;
    struct json json;

    (void)state;
    memset(message, '\n', sizeof(message));
    buffer_init(&b, 1 << 20, 0);
    json_begin(&json, &b);
    json_number(&json, "bytes", sizeof(message));
    json_bytes(&json, "message", message, sizeof(message));
    code = json_end(&json, "\n");
    if (code == TLSMSG_OK) {
        assert_int_equal(b.len, sizeof("{\"bytes\":3000,\"message\":\"\"}") + 2 * sizeof(message));
    } else {
        assert_int_equal(code, TLSMSG_ERR_NOMEM);
        assert_int_equal(b.len, 0);
    }
    buffer_fini(&b);
}

static void test_every_failed_allocation(void **state)
{
    size_t n;

    (void)state;
    for (n = 1; failmalloc_try(n, scenario_write, NULL); n++) {
    }
    assert_true(n >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_kinds),
        cmocka_unit_test(test_empty_object),
        cmocka_unit_test(test_signed_numbers),
        cmocka_unit_test(test_room_for_long_texts),
        cmocka_unit_test(test_cut_string),
        cmocka_unit_test(test_every_limit),
        cmocka_unit_test(test_every_failed_allocation),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_string, string_rows);
    return failed;
}
