/* The backlog: what goes in comes out in order, over the edges of its pieces, and is counted. */
#include "support/unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "app/server/backlog.h"
#include "support/failmalloc.h"

#define TOTAL_BYTES ((size_t)300 * 1000)

static struct backlog backlog;

/* Pages that the backlog has. */
static size_t mapped_bytes;
static bool no_pages;

void *__real_mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *at, size_t len, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t len);
int __wrap_munmap(void *at, size_t len);

void *__wrap_mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    if (no_pages) {
        return MAP_FAILED;
    }
    mapped_bytes += len;
    return __real_mmap(at, len, protection, flags, fd, offset);
}

void *__wrap_mmap64(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    return __wrap_mmap(at, len, protection, flags, fd, offset);
}

int __wrap_munmap(void *at, size_t len)
{
    mapped_bytes -= len;
    return __real_munmap(at, len);
}

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
    assert_int_equal(mapped_bytes, 0); /* with the last byte the last page is given back */
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
    assert_int_equal(mapped_bytes, 0);
    backlog_fini(&backlog);
}

/* ---- the parts of a text */

#define PARTS_MAX 8

static size_t parts[PARTS_MAX]; /* the lengths of those that were escaped */
static size_t part_count;

static size_t note_part(char *out, size_t cap, const char *s, size_t len)
{
    assert_true(part_count < PARTS_MAX);
    assert_int_equal(cap, len * ESCAPE_EXPANSION_MAX);
    parts[part_count++] = len;
    memcpy(out, s, len);
    return len;
}

static char text[3 * BACKLOG_PART_BYTES];

/* What comes out of a line with so much of the text is the text again. */
static void expect_text_out(size_t text_len, stdout_escape *escape)
{
    const struct stdout_line line = {.text = text, .text_len = text_len, .escape = escape};
    size_t seen = 0;
    size_t len;

    part_count = 0;
    backlog_init(&backlog);
    assert_true(backlog_add_long(&backlog, &line));
    assert_int_equal(backlog.bytes, text_len);
    for (;;) {
        const char *data = backlog_next(&backlog, &len);

        if (len == 0) {
            break;
        }
        assert_memory_equal(data, text + seen, len);
        seen += len;
        backlog_written(&backlog, len);
        assert_int_equal(backlog.bytes, text_len - seen);
    }
    assert_int_equal(seen, text_len);
    assert_int_equal(mapped_bytes, 0);
    backlog_fini(&backlog);
    assert_int_equal(backlog_line_len(&line), text_len);
}

/* No part ends within a character. */
static void test_parts_hold_whole_characters(void **state)
{
    static const size_t wanted[] = {BACKLOG_PART_BYTES - 2, BACKLOG_PART_BYTES, 12};

    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text + BACKLOG_PART_BYTES - 2, "\xe4\xbd\xa0", 3);
    expect_text_out(2 * BACKLOG_PART_BYTES + 10, note_part);
    assert_int_equal(part_count, 2 * COUNT_OF(wanted)); /* once more for the line's length */
    for (size_t i = 0; i < part_count; i++) {
        assert_int_equal(parts[i], wanted[i % COUNT_OF(wanted)]);
    }
}

static void test_a_text_that_fits_is_one_part(void **state)
{
    (void)state;
    memset(text, 'x', sizeof(text));
    text[BACKLOG_PART_BYTES - 1] = '\xe4';
    expect_text_out(BACKLOG_PART_BYTES, note_part);
    assert_int_equal(part_count, 2);
    assert_int_equal(parts[0], BACKLOG_PART_BYTES);
}

/* Plaintext's transcript shows any bytes as they came. */
static void test_a_text_as_it_came(void **state)
{
    (void)state;
    memset(text, '\x80', sizeof(text));
    for (size_t i = 0; i < sizeof(text); i += 97) {
        text[i] = '\0';
    }
    text[0] = '\x80';
    expect_text_out(sizeof(text), NULL);
}

/* ---- no memory */

static void expect_nothing_added(bool (*add)(void))
{
    long before = failmalloc_live();

    backlog_init(&backlog);
    failmalloc_at(1);
    assert_false(add());
    failmalloc_at(0);
    no_pages = true;
    assert_false(add());
    no_pages = false;
    assert_int_equal(backlog.bytes, 0);
    assert_int_equal(failmalloc_live(), before);
    assert_true(add());
    backlog_fini(&backlog);
    assert_int_equal(failmalloc_live(), before);
    assert_int_equal(mapped_bytes, 0);
}

static bool add_line(void)
{
    return backlog_add(&backlog, "line\n", 5);
}

static bool add_head(void)
{
    const struct stdout_line line = {.head = "<", .head_len = 1, .text = "text", .text_len = 4};

    return backlog_add_long(&backlog, &line);
}

static bool add_text(void)
{
    const struct stdout_line line = {.text = "text", .text_len = 4, .tail = ">", .tail_len = 1};

    return backlog_add_long(&backlog, &line);
}

static bool add_tail(void)
{
    const struct stdout_line line = {.tail = ">", .tail_len = 1};

    return backlog_add_long(&backlog, &line);
}

static void test_no_memory(void **state)
{
    (void)state;
    expect_nothing_added(add_line);
    expect_nothing_added(add_head);
    expect_nothing_added(add_text);
    expect_nothing_added(add_tail);
}

/* Given back with all that still waits. */
static void test_end_with_lines_that_wait(void **state)
{
    const struct stdout_line line = {.text = "text", .text_len = 4, .tail = "\n", .tail_len = 1};
    size_t len;

    (void)state;
    memset(&backlog, 0, sizeof(backlog));
    backlog_init(&backlog);
    backlog_written(&backlog, 0); /* nothing of nothing */
    assert_true(backlog_add_long(&backlog, &line));
    assert_memory_equal(backlog_next(&backlog, &len), "text", 4);
    backlog_written(&backlog, 1);
    backlog_fini(&backlog);
    assert_int_equal(backlog.bytes, 0);
    assert_int_equal(mapped_bytes, 0);
    (void)backlog_next(&backlog, &len);
    assert_int_equal(len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_over_pieces),
        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_end_with_lines_that_wait),
        cmocka_unit_test(test_parts_hold_whole_characters),
        cmocka_unit_test(test_a_text_that_fits_is_one_part),
        cmocka_unit_test(test_a_text_as_it_came),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
