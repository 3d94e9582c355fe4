/* Lines of the log in both forms. */
#include "support/unit.h"

#include <string.h>

#include "app/log_line.h"

#define TIME "2026-11-22T15:00:00.123Z"

static const struct row {
    const char *name;
    struct tlsmsg_event event;
    uint64_t left_out;
    const char *text;
    const char *json;
} rows[] = {
    {"a connection's",
     {.cause = TLSMSG_CAUSE_PLAINTEXT_PEER,
      .connection = 7,
      .address = "127.0.0.1:3333",
      .text = "the peer speaks HTTP"},
     0,
     TIME " warning connection 7 127.0.0.1:3333: plaintext-peer: the peer speaks HTTP\n",
     "{\"time\":\"" TIME "\",\"level\":\"warning\",\"connection\":7,\"peer\":\"127.0.0.1:3333\","
     "\"cause\":\"plaintext-peer\",\"text\":\"the peer speaks HTTP\"}\n"},
    {"of none",
     {.cause = TLSMSG_CAUSE_CERTIFICATE, .text = "'a\\b' has 12 days left"},
     0,
     TIME " warning: certificate: 'a\\b' has 12 days left\n",
     "{\"time\":\"" TIME "\",\"level\":\"warning\",\"cause\":\"certificate\","
     "\"text\":\"'a\\\\b' has 12 days left\"}\n"},
    {"a summary",
     {.cause = TLSMSG_CAUSE_RESET, .text = "9 more"},
     9,
     TIME " warning: reset: 9 more\n",
     "{\"time\":\"" TIME "\",\"level\":\"warning\",\"cause\":\"reset\",\"left_out\":9,"
     "\"text\":\"9 more\"}\n"},
};

static void test_line(void **state)
{
    const struct row *row = *state;
    char buf[LOG_LINE_MAX + 1];

    buf[log_line_text(buf, TIME, "warning", &row->event)] = '\0';
    assert_string_equal(buf, row->text);
    buf[log_line_json(buf, TIME, "warning", &row->event, row->left_out)] = '\0';
    assert_string_equal(buf, row->json);
}

/* However long the parts, a line is whole and fits a pipe. */
static void test_long_parts_are_cut(void **state)
{
    static char text[20000];
    struct tlsmsg_event event = {.connection = UINT64_MAX, .address = text, .text = text};
    char buf[LOG_LINE_MAX];
    size_t len;

    (void)state;
    memset(text, '"', sizeof(text) - 1);
    len = log_line_text(buf, TIME, "warning", &event);
    assert_in_range(len, 3000, LOG_LINE_MAX);
    assert_int_equal(buf[len - 1], '\n');
    len = log_line_json(buf, TIME, "warning", &event, UINT64_MAX);
    assert_in_range(len, 3000, LOG_LINE_MAX);
    assert_memory_equal(buf + len - 5, "\\\"\"}\n", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_long_parts_are_cut)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_line, rows);
    return failed;
}
