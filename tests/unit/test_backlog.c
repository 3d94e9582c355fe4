/* The backlog: what goes in comes out in order, over the edges of its pieces, and is counted. */
#include "support/unit.h"

#include <stdlib.h>
#include <string.h>

#include "app/server/backlog.h"

#define TOTAL_BYTES ((size_t)300 * 1000)

static struct backlog backlog;

/* A pattern that no shift maps onto itself. */
static char byte_at(size_t at)
{
    return (char)('a' + (at * 7 + at / 997) % 26);
}

/* Takes out at most n bytes of what is next. */
static size_t take(size_t at, size_t n)
{
    size_t len;
    const char *data = backlog_next(&backlog, &len);

    n = len < n ? len : n;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(data[i], byte_at(at + i));
    }
    backlog_written(&backlog, n);
    return n;
}

static void test_order_over_pieces(void **state)
{
    static char data[TOTAL_BYTES];
    size_t in = 0;
    size_t out = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = byte_at(i);
    }
    backlog_init(&backlog);
    while (out < TOTAL_BYTES) {
        size_t n = 1 + in % 40000;

        n = n < TOTAL_BYTES - in ? n : TOTAL_BYTES - in;
        assert_true(backlog_add(&backlog, data + in, n));
        in += n;
        out += take(out, 1 + out % 30000);
        assert_int_equal(backlog.bytes, in - out);
    }
    assert_int_equal(take(out, 1), 0);
    backlog_fini(&backlog);
}

static size_t twice(char *out, size_t cap, const char *s, size_t len)
{
    assert_true(cap >= 2 * len);
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = s[i];
        out[2 * i + 1] = s[i];
    }
    return 2 * len;
}

/* A long line between short ones, of which the text is escaped as it leaves. */
static void test_long_line(void **state)
{
    static char text[3 * BACKLOG_PART_BYTES + 5];
    const struct stdout_line line = {.head = "<",
                                     .head_len = 1,
                                     .text = text,
                                     .text_len = sizeof(text),
                                     .escape = twice,
                                     .tail = ">",
                                     .tail_len = 1};
    size_t len;
    size_t seen = 0;

    (void)state;
    memset(text, 'x', sizeof(text));
    backlog_init(&backlog);
    assert_true(backlog_add(&backlog, "before", 6));
    assert_true(backlog_add_long(&backlog, &line));
    assert_true(backlog_add(&backlog, "after", 5));
    assert_int_equal(backlog.bytes, sizeof(text) + 13);
    assert_int_equal(backlog_line_len(&line), 2 * sizeof(text) + 2);
    assert_memory_equal(backlog_next(&backlog, &len), "before<", 7);
    assert_int_equal(len, 7);
    backlog_written(&backlog, len);
    while (backlog_next(&backlog, &len)[0] == 'x') {
        assert_in_range(len, 1, 2 * BACKLOG_PART_BYTES);
        len = len > 1000 ? 1000 : len;
        backlog_written(&backlog, len);
        seen += len;
    }
    assert_int_equal(seen, 2 * sizeof(text));
    assert_memory_equal(backlog_next(&backlog, &len), ">after", 6);
    assert_int_equal(backlog.bytes, 6);
    backlog_written(&backlog, len);
    assert_int_equal(backlog.bytes, 0);
    backlog_fini(&backlog);
}

/* Given back with all that still waits. */
static void test_end_with_lines_that_wait(void **state)
{
    const struct stdout_line line = {.text = "text", .text_len = 4, .tail = "\n", .tail_len = 1};
    size_t len;

    (void)state;
    backlog_init(&backlog);
    assert_true(backlog_add_long(&backlog, &line));
    assert_memory_equal(backlog_next(&backlog, &len), "text", 4);
    backlog_written(&backlog, 1);
    backlog_fini(&backlog);
    assert_int_equal(backlog.bytes, 0);
    (void)backlog_next(&backlog, &len);
    assert_int_equal(len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_over_pieces),
        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_end_with_lines_that_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
