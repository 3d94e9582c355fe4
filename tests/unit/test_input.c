/* Lines of stdin: the same whatever the pieces they come in. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
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

/* What is at hand is read without waiting, an end and a failure too. */
static void test_what_is_at_hand(void **state)
{
    struct input input;
    const char *line;
    size_t len;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    input_init(&input, ends[0], LINE_MAX_BYTES);
    assert_false(input_read_ready(&input));
    assert_int_equal(write(ends[1], "ab", 2), 2);
    assert_true(input_read_ready(&input));
    assert_int_equal(input.unread.len, 2);
    assert_false(input_read_ready(&input));
    (void)close(ends[1]);
    assert_true(input_read_ready(&input));
    assert_true(input.ended);
    assert_int_equal(input_next(&input, &line, &len), INPUT_LINE);
    assert_int_equal(len, 2);
    input_fini(&input);
    (void)close(ends[0]);

    input_init(&input, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), LINE_MAX_BYTES);
    assert_true(input_read_ready(&input));
    assert_int_equal(input.cause, EISDIR);
    (void)close(input.fd);
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

/* ---- what is left */

/* A file of the given text, from its beginning. */
static int file_of(const char *text)
{
    char name[] = "/tmp/tlsmsg-input-XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    (void)unlink(name);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static const struct rest_row {
    const char *name;
    const char *given;
    off_t start;    /* where the input begins */
    unsigned lines; /* that are handed out */
    bool last_sent; /* or the input stays before the last of them */
    enum input_rest rest;
    uint64_t count;
    off_t set_to;
} rest_rows[] = {
    {"nothing handed out", "a\nb\n", 0, 0, true, INPUT_REST_COUNTED, 2, 0},
    {"one of three", "a\nb\nc\n", 0, 1, true, INPUT_REST_COUNTED, 2, 2},
    {"one of three, unsent", "a\nb\nc\n", 0, 1, false, INPUT_REST_COUNTED, 3, 0},
    {"the second unsent", "a\nb\nc\n", 0, 2, false, INPUT_REST_COUNTED, 2, 2},
    {"empty lines are no messages", "a\n\n\nb\n\n", 0, 1, true, INPUT_REST_COUNTED, 1, 2},
    {"nothing but empty lines", "a\n\n\n", 0, 1, true, INPUT_REST_NONE, 0, 2},
    {"no line end at the end", "a\nb", 0, 1, true, INPUT_REST_COUNTED, 1, 2},
    {"all", "a\nb", 0, 2, true, INPUT_REST_NONE, 0, 3},
    {"a line over the limit, unsent", "a\n123456789012\nb\n", 0, 2, false, INPUT_REST_COUNTED, 2,
     2},
    {"behind a line over the limit", "a\n123456789012\nb\n", 0, 2, true, INPUT_REST_COUNTED, 1, 15},
    {"from the middle of a file", "head\na\nb\n", 5, 1, true, INPUT_REST_COUNTED, 1, 7},
};

static void hand_out(struct input *input, unsigned lines)
{
    const char *line;
    size_t len;

    while (lines > 0) {
        if (input_next(input, &line, &len) == INPUT_MORE) {
            input_read(input);
        } else {
            lines--;
        }
    }
}

static void test_rest_of_a_file(void **state)
{
    const struct rest_row *row = *state;
    int fd = file_of(row->given);
    struct input input;
    uint64_t count;
    int64_t at;

    assert_int_equal(lseek(fd, row->start, SEEK_SET), row->start);
    input_init(&input, fd, LINE_MAX_BYTES);
    hand_out(&input, row->lines);
    at = row->last_sent ? input.next_at : input.line_at;
    assert_int_equal(input_rest(&input, at, &count), row->rest);
    assert_int_equal(count, row->count);
    input_set_back(&input, at);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), row->set_to);
    input_fini(&input);
    (void)close(fd);
}

/* A message that lies across two of the pieces in which a file is counted is one. */
static void test_rest_of_a_long_file(void **state)
{
    static char text[2 * 65536 + 16];
    struct input input;
    uint64_t count;
    int fd;

    (void)state;
    memset(text, 'x', 65536 + 3);
    memcpy(text + 65536 + 3, "\nb\n\nc", 6);
    fd = file_of(text);
    input_init(&input, fd, LINE_MAX_BYTES);
    assert_int_equal(input_rest(&input, 0, &count), INPUT_REST_COUNTED);
    assert_int_equal(count, 3);
    assert_int_equal(input_rest(&input, 65536 + 4, &count), INPUT_REST_COUNTED);
    assert_int_equal(count, 2);
    input_fini(&input);
    (void)close(fd);
}

/* A file that can't be read is asked like a pipe, and has nothing. */
static void test_rest_of_what_can_not_be_read(void **state)
{
    char name[] = "/tmp/tlsmsg-input-XXXXXX";
    int made = mkstemp(name);
    struct input input;
    uint64_t count = 7;
    int fd = open(name, O_WRONLY | O_CLOEXEC);

    (void)state;
    assert_true(made >= 0 && fd >= 0);
    (void)unlink(name);
    assert_int_equal(write(made, "a\nb\n", 4), 4);
    input_init(&input, fd, LINE_MAX_BYTES);
    assert_int_equal(input_rest(&input, 0, &count), INPUT_REST_NONE);
    assert_int_equal(count, 0);
    assert_int_equal(input.cause, EBADF);
    input_fini(&input);
    (void)close(fd);
    (void)close(made);
}

static void test_rest_of_a_pipe(void **state)
{
    struct input input;
    uint64_t count;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    input_init(&input, ends[0], LINE_MAX_BYTES);
    assert_int_equal(input_rest(&input, 0, &count), INPUT_REST_UNKNOWN);
    assert_int_equal(write(ends[1], "a\nb\n", 4), 4);
    hand_out(&input, 2);
    assert_int_equal(input_rest(&input, input.next_at, &count), INPUT_REST_UNKNOWN);
    assert_int_equal(input_rest(&input, input.line_at, &count), INPUT_REST_SOME);
    assert_int_equal(write(ends[1], "c", 1), 1);
    assert_int_equal(input_rest(&input, input.next_at, &count), INPUT_REST_SOME);
    (void)close(ends[1]);
    hand_out(&input, 1);
    assert_int_equal(input_rest(&input, input.next_at, &count), INPUT_REST_NONE);
    input_set_back(&input, 0); /* a pipe has no way back */
    input_fini(&input);
    (void)close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nul_inside),
                                       cmocka_unit_test(test_not_yet_and_never),
                                       cmocka_unit_test(test_what_is_at_hand),
                                       cmocka_unit_test(test_no_memory_is_no_end),
                                       cmocka_unit_test(test_rest_of_a_pipe),
                                       cmocka_unit_test(test_rest_of_a_long_file),
                                       cmocka_unit_test(test_rest_of_what_can_not_be_read)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_rest_of_a_file, rest_rows);
    for (piece_bytes = 1; piece_bytes <= 32; piece_bytes = piece_bytes * 2 + 1) {
        RUN_ROWS(failed, test_lines_in_pieces, rows);
    }
    return failed;
}
