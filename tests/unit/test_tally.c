/* What became of the messages, in words. */
#include "support/unit.h"

#include "app/client/tally.h"

static const struct row {
    const char *name;
    const char *unit;
    uint64_t sent; /* numbers 1, 2, ... */
    uint64_t answered;
    uint64_t refused; /* numbers after those that were sent */
    enum input_rest rest;
    uint64_t count;
    const char *text;
} rows[] = {
    {"a file", "line", 19, 18, 0, INPUT_REST_COUNTED, 981,
     "1,000 messages: 18 answered, 1 without an answer (line 19), 981 not sent (from line 20)"},
    {"a stream with more", "line", 19, 18, 0, INPUT_REST_SOME, 0,
     "19 messages: 18 answered, 1 without an answer (line 19), not sent from line 20"},
    {"a stream that may bring more", "line", 19, 19, 0, INPUT_REST_UNKNOWN, 0,
     "19 messages: 19 answered, not sent from line 20"},
    {"all answered", "line", 2, 2, 0, INPUT_REST_NONE, 0, "2 messages: 2 answered"},
    {"one", "message", 1, 1, 0, INPUT_REST_NONE, 0, "1 message: 1 answered"},
    {"none", "line", 0, 0, 0, INPUT_REST_NONE, 0, "0 messages: 0 answered"},
    {"several without an answer", "line", 300, 44, 0, INPUT_REST_COUNTED, 1234567,
     "1,234,867 messages: 44 answered, 256 without an answer (lines 45 to 300), "
     "1,234,567 not sent (from line 301)"},
    {"refused", "line", 3, 3, 2, INPUT_REST_COUNTED, 1,
     "6 messages: 3 answered, 2 refused, 1 not sent (from line 6)"},
    {"given messages", "message", 2, 1, 0, INPUT_REST_COUNTED, 2,
     "4 messages: 1 answered, 1 without an answer (message 2), 2 not sent (from message 3)"},
    {"numbers of lines without commas", "line", 12345, 12345, 0, INPUT_REST_UNKNOWN, 0,
     "12,345 messages: 12,345 answered, not sent from line 12346"},
};

static void test_text(void **state)
{
    const struct row *row = *state;
    char text[TALLY_TEXT_MAX];
    struct tally tally;

    tally_init(&tally, row->unit);
    for (uint64_t i = 1; i <= row->sent; i++) {
        tally_sent(&tally, i);
    }
    for (uint64_t i = 1; i <= row->answered; i++) {
        tally_answered(&tally, i + 1);
    }
    for (uint64_t i = 1; i <= row->refused; i++) {
        tally_passed(&tally, row->sent + i, true);
    }
    tally_print(&tally, row->rest, row->count, text, sizeof(text));
    assert_string_equal(text, row->text);
}

/* Lines that are empty have numbers and are no messages. */
static void test_numbers_with_gaps(void **state)
{
    char text[TALLY_TEXT_MAX];
    struct tally tally;

    (void)state;
    tally_init(&tally, "line");
    tally_passed(&tally, 1, false);
    tally_sent(&tally, 2);
    tally_answered(&tally, 0);
    tally_passed(&tally, 3, false);
    tally_sent(&tally, 4);
    tally_print(&tally, INPUT_REST_NONE, 0, text, sizeof(text));
    assert_string_equal(text, "2 messages: 1 answered, 1 without an answer (line 4)");
    tally_print_rest(&tally, INPUT_REST_SOME, 0, text, sizeof(text));
    assert_string_equal(text, "not sent from line 5");
}

/* With a spool nothing is without an answer for good, and what counts is what was kept. */
static void test_kept(void **state)
{
    struct tally tally;
    char text[TALLY_TEXT_MAX];

    (void)state;
    tally_init(&tally, "line");
    tally.keeps = true;
    tally.sent = 20;
    tally.answered = 18;
    tally.next = 21;
    tally_print(&tally, INPUT_REST_NONE, 0, text, sizeof(text));
    assert_string_equal(text, "20 messages: 18 answered, 2 kept");
    tally_print(&tally, INPUT_REST_SOME, 0, text, sizeof(text));
    assert_string_equal(text, "20 messages: 18 answered, 2 kept, not kept from line 21");
    tally_print_rest(&tally, INPUT_REST_COUNTED, 981, text, sizeof(text));
    assert_string_equal(text, "981 not kept (from line 21)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers_with_gaps),
                                       cmocka_unit_test(test_kept)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_text, rows);
    return failed;
}
