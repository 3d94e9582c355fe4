/* Lines of stdin: the same whatever the pieces they come in. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/client/input.h"
#include "support/failmalloc.h"

#define LINE_MAX_BYTES 8

/* Lines as "text|", one that is too long as "TOO LONG|", the end as "END". */
static const struct row {
    const char *name;
    const char *given;
    size_t len;
    const char *found;
} rows[] = {
#define ROW(name, given, found)                                                                    \
    {                                                                                              \
        name, given, sizeof(given) - 1, found                                                      \
    }
    ROW("nothing", "", "END"),
    ROW("one line", "a\n", "1:a|END"),
    ROW("no line end at the end", "a\nb", "1:a|2:b|END"),
    ROW("empty lines", "\n\na\n", "1:|2:|3:a|END"),
    ROW("CR belongs to the line", "a\r\nb\rc\n", "1:a\r|2:b\rc|END"),
    ROW("other line separators too", "a\v\f\xc2\x85\n", "1:a\v\f\xc2\x85|END"),
    ROW("bytes that are no UTF-8", "\xff\xfe\n", "1:\xff\xfe|END"),
    ROW("as long as can be", "12345678\n", "1:12345678|END"),
    ROW("as long as can be, unended", "12345678", "1:12345678|END"),
    ROW("too long", "123456789\nb\n", "1:TOO LONG|2:b|END"),
    ROW("far too long", "1234567890123456789012345\nb\n", "1:TOO LONG|2:b|END"),
    ROW("too long and unended", "a\n123456789", "1:a|2:TOO LONG|END"),
    ROW("two too long", "123456789\n123456789\n", "1:TOO LONG|2:TOO LONG|END"),
};

static size_t piece_bytes;

static void test_lines_in_pieces(void **state)
{
    const struct row *row = *state;
    char found[256] = "";
    struct input input;
    const char *line = NULL;
    size_t given = 0, len = 0, used;
    enum input_result result;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    input_init(&input, ends[0], LINE_MAX_BYTES);
    while ((result = input_next(&input, &line, &len)) != INPUT_END) {
        used = strlen(found);
        if (result == INPUT_LINE) {
            (void)snprintf(found + used, sizeof(found) - used, "%d:%.*s|", (int)input.number,
                           (int)len, line);
        } else if (result == INPUT_TOO_LONG) {
            (void)snprintf(found + used, sizeof(found) - used, "%d:TOO LONG|", (int)input.number);
        } else if (given < row->len) {
            size_t n = row->len - given < piece_bytes ? row->len - given : piece_bytes;

            assert_int_equal(result, INPUT_MORE);
            assert_int_equal(write(ends[1], row->given + given, n), n);
            given += n;
            input_read(&input);
        } else {
            assert_int_equal(result, INPUT_MORE);
            (void)close(ends[1]);
            input_read(&input);
        }
    }
    (void)strcat(found, "END");
    assert_string_equal(found, row->found);
    assert_int_equal(input_next(&input, &line, &len), INPUT_END);
    input_fini(&input);
    (void)close(ends[0]);
}

static void test_nul_inside(void **state)
{
    struct input input;
    const char *line;
    size_t len;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "a\0b\n", 4), 4);
    input_init(&input, ends[0], LINE_MAX_BYTES);
    assert_int_equal(input_next(&input, &line, &len), INPUT_MORE);
    input_read(&input);
    assert_int_equal(input_next(&input, &line, &len), INPUT_LINE);
    assert_int_equal(len, 3);
    assert_memory_equal(line, "a\0b", 3);
    input_fini(&input);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* Nothing there yet on a descriptor that someone has made non-blocking, and one that fails. */
static void test_not_yet_and_never(void **state)
{
    struct input input;
    const char *line;
    size_t len;
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    input_init(&input, ends[0], LINE_MAX_BYTES);
    input_read(&input);
    assert_int_equal(input_next(&input, &line, &len), INPUT_MORE);
    (void)close(ends[0]);
    (void)close(ends[1]);
    input_read(&input);
    assert_int_equal(input_next(&input, &line, &len), INPUT_FAILED);
    assert_int_not_equal(input.cause, 0);
    input_fini(&input);
}

/* Without memory the input fails, and what is unread is not told as its end. */
static void test_no_memory_is_no_end(void **state)
{
    struct input input;
    const char *line;
    size_t len;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    (void)close(ends[1]);
    input_init(&input, ends[0], LINE_MAX_BYTES);
    failmalloc_at(1);
    input_read(&input);
    failmalloc_at(0);
    assert_false(input.ended);
    assert_int_equal(input_next(&input, &line, &len), INPUT_FAILED);
    assert_int_equal(input.cause, ENOMEM);
    input_fini(&input);
    (void)close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nul_inside),
                                       cmocka_unit_test(test_not_yet_and_never),
                                       cmocka_unit_test(test_no_memory_is_no_end)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    for (piece_bytes = 1; piece_bytes <= 32; piece_bytes = piece_bytes * 2 + 1) {
        RUN_ROWS(failed, test_lines_in_pieces, rows);
    }
    return failed;
}
