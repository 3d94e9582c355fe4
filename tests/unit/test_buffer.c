/* Buffer: bytes come out as they went in, the limit holds, failures change nothing. */
#include "support/unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "support/failmalloc.h"

static void assert_holds(const struct buffer *b, const char *want, size_t len)
{
    assert_int_equal(b->len, len);
    if (want[0] != '\0') {
        assert_memory_equal(buffer_head(b), want, strlen(want));
    }
}

static void test_bytes_come_out_in_order(void **state)
{
    struct buffer b;

    (void)state;
    buffer_init(&b, 100, 0);
    assert_int_equal(buffer_append(&b, "hello ", 6), TLSMSG_OK);
    assert_int_equal(buffer_append(&b, "world", 5), TLSMSG_OK);
    assert_holds(&b, "hello world", 11);
    buffer_consume(&b, 6);
    assert_holds(&b, "world", 5);
    assert_int_equal(buffer_append(&b, "!", 1), TLSMSG_OK);
    assert_holds(&b, "world!", 6);
    buffer_fini(&b);
}

static void test_empty_costs_no_memory(void **state)
{
    struct buffer b;

    (void)state;
    buffer_init(&b, 100, 0);
    assert_null(b.data);
    assert_null(buffer_head(&b));
    assert_int_equal(buffer_append(&b, NULL, 0), TLSMSG_OK);
    assert_null(b.data);
    assert_int_equal(buffer_append(&b, "abc", 3), TLSMSG_OK);
    assert_non_null(b.data);
    buffer_consume(&b, 0);
    assert_holds(&b, "abc", 3);
    buffer_consume(&b, 3);
    assert_null(b.data);
    assert_int_equal(b.cap, 0);
    buffer_consume(&b, 0);
    assert_null(b.data);
    buffer_fini(&b);
    buffer_fini(&b);
}

/* Emptied by one buffer, memory is the next one's, of either; and no more of it is kept than were
 * in use at once. */
static void test_spares_are_handed_on(void **state)
{
    struct buffer_spares spares = {NULL, 0};
    struct buffer a;
    struct buffer b;
    char *first;

    (void)state;
    buffer_init(&a, 100000, 0);
    buffer_init(&b, 100000, 0);
    buffer_use_spares(&a, &spares);
    buffer_use_spares(&b, &spares);
    assert_int_equal(buffer_append(&a, "abc", 3), TLSMSG_OK);
    first = a.data;
    buffer_consume(&a, 3);
    assert_null(a.data);
    assert_int_equal(spares.count, 1);
    assert_int_equal(buffer_append(&b, "defg", 4), TLSMSG_OK);
    assert_ptr_equal(b.data, first);
    assert_int_equal(spares.count, 0);
    assert_holds(&b, "defg", 4);
    assert_int_equal(buffer_append(&a, "hi", 2), TLSMSG_OK);
    assert_ptr_not_equal(a.data, first);
    buffer_fini(&a);
    buffer_fini(&b);
    assert_int_equal(spares.count, 2);
    buffer_spares_free(&spares);
    assert_int_equal(spares.count, 0);
    assert_null(spares.first);
}

/* A buffer begins at the front again, of whichever memory. */
static void test_all_of_the_memory_is_there_again(void **state)
{
    struct buffer_spares spares = {NULL, 0};
    struct buffer b;
    size_t size;

    (void)state;
    buffer_init(&b, 1000, BUFFER_KEEP);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(buffer_append(&b, "abcdef", 6), TLSMSG_OK);
        assert_int_equal(b.head, 0);
        buffer_consume(&b, 2);
        buffer_consume(&b, 4);
        assert_int_equal(buffer_room(&b), b.cap);
    }
    buffer_fini(&b);
    assert_int_equal(b.head, 0);

    buffer_init(&b, 100000, 0);
    buffer_use_spares(&b, &spares);
    failmalloc_at(0);
    assert_int_equal(buffer_make_room(&b, 1), TLSMSG_OK);
    size = b.cap;
    for (int i = 0; i < 2; i++) {
        memcpy(buffer_end(&b), "abcdef", 6);
        buffer_commit(&b, 6);
        buffer_consume(&b, 2);
        buffer_consume(&b, 4);
        assert_int_equal(spares.count, 1);
        assert_int_equal(buffer_make_room(&b, size), TLSMSG_OK); /* no byte more fits one */
        assert_int_equal(b.cap, size);
        assert_int_equal(buffer_room(&b), size);
    }
    assert_int_equal(failmalloc_count(), 1);
    buffer_fini(&b);
    buffer_spares_free(&spares);
}

/* What has outgrown a spare is no spare any more, nor is what never was one. */
static void test_spares_are_all_of_one_size(void **state)
{
    static const char piece[1000];
    static const char large[5000];
    struct buffer_spares spares = {NULL, 0};
    struct buffer b;

    (void)state;
    buffer_init(&b, 100000, 0);
    buffer_use_spares(&b, &spares);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(buffer_append(&b, piece, sizeof(piece)), TLSMSG_OK);
    }
    assert_true(b.cap >= 5 * sizeof(piece));
    assert_int_equal(spares.count, 1);
    buffer_consume(&b, 5 * sizeof(piece));
    assert_int_equal(spares.count, 1);
    assert_int_equal(buffer_append(&b, large, sizeof(large)), TLSMSG_OK);
    buffer_consume(&b, sizeof(large));
    assert_int_equal(spares.count, 1);
    buffer_spares_free(&spares);
}

/* Without memory for a first spare the buffer is as before, and works once there is some. */
static void test_a_failed_spare_changes_nothing(void **state)
{
    struct buffer_spares spares = {NULL, 0};
    struct buffer b;

    (void)state;
    buffer_init(&b, 100000, 0);
    buffer_use_spares(&b, &spares);
    failmalloc_at(1);
    assert_int_equal(buffer_append(&b, "abc", 3), TLSMSG_ERR_NOMEM);
    failmalloc_at(0);
    assert_null(b.data);
    assert_int_equal(buffer_room(&b), 0);
    buffer_fini(&b);
    assert_int_equal(spares.count, 0);
    assert_int_equal(buffer_append(&b, "abc", 3), TLSMSG_OK);
    assert_holds(&b, "abc", 3);
    buffer_fini(&b);
    buffer_spares_free(&spares);
}

/* A crowd that leaves at once leaves no more than a bound. */
static void test_spares_are_bounded(void **state)
{
    static struct buffer many[1000];
    struct buffer_spares spares = {NULL, 0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(many); i++) {
        buffer_init(&many[i], 100000, 0);
        buffer_use_spares(&many[i], &spares);
        assert_int_equal(buffer_append(&many[i], "abc", 3), TLSMSG_OK);
    }
    for (size_t i = 0; i < COUNT_OF(many); i++) {
        buffer_fini(&many[i]);
    }
    assert_in_range(spares.count, 1, 128);
    buffer_spares_free(&spares);
}

static void test_limit_is_all_or_nothing(void **state)
{
    struct buffer b;

    (void)state;
    buffer_init(&b, 8, 0);
    assert_int_equal(buffer_append(&b, "123456789", 9), TLSMSG_ERR_LIMIT);
    assert_null(b.data);
    assert_int_equal(buffer_append(&b, "12345678", 8), TLSMSG_OK);
    assert_int_equal(buffer_append(&b, "9", 1), TLSMSG_ERR_LIMIT);
    assert_int_equal(buffer_reserve(&b, SIZE_MAX), TLSMSG_ERR_LIMIT);
    assert_holds(&b, "12345678", 8);
    buffer_consume(&b, 3);
    assert_int_equal(buffer_append(&b, "abc", 3), TLSMSG_OK);
    assert_int_equal(buffer_append(&b, "d", 1), TLSMSG_ERR_LIMIT);
    assert_holds(&b, "45678abc", 8);
    assert_true(b.cap <= 8);
    buffer_fini(&b);
}

static void test_nothing_fits_a_limit_of_zero(void **state)
{
    struct buffer b;

    (void)state;
    buffer_init(&b, 0, 0);
    assert_int_equal(buffer_append(&b, "1", 1), TLSMSG_ERR_LIMIT);
    assert_int_equal(buffer_reserve(&b, 0), TLSMSG_OK);
    buffer_commit(&b, 0);
    assert_null(b.data);
    buffer_fini(&b);
}

static void test_reserved_bytes_count_once_committed(void **state)
{
    struct buffer b;

    (void)state;
    buffer_init(&b, 5000, 0);
    assert_int_equal(buffer_reserve(&b, 5000), TLSMSG_OK);
    assert_int_equal(b.len, 0);
    memset(buffer_end(&b), 'x', 5000);
    buffer_commit(&b, 0);
    assert_null(b.data);
    assert_int_equal(buffer_reserve(&b, 5000), TLSMSG_OK);
    assert_true(buffer_room(&b) >= 5000);
    BUFFER_PUT(&b, "a");
    buffer_end(&b)[0] = 'b';
    buffer_commit(&b, 1);
    assert_holds(&b, "ab", 2);
    buffer_fini(&b);
}

/* What a reader borrowed stays readable until more is put. */
static void test_kept_memory(void **state)
{
    struct buffer b;
    const char *data;

    (void)state;
    buffer_init(&b, 5000, BUFFER_KEEP);
    assert_int_equal(buffer_append(&b, "line", 4), TLSMSG_OK);
    data = buffer_head(&b);
    buffer_consume(&b, 4);
    assert_int_equal(b.len, 0);
    assert_memory_equal(data, "line", 4);
    failmalloc_at(0);
    assert_int_equal(buffer_append(&b, "next", 4), TLSMSG_OK);
    assert_ptr_equal(buffer_head(&b), data);
    buffer_truncate(&b, 2);
    assert_holds(&b, "ne", 2);
    buffer_truncate(&b, 0);
    assert_int_equal(buffer_reserve(&b, 0), TLSMSG_OK);
    buffer_commit(&b, 0);
    assert_int_equal(failmalloc_count(), 0);
    buffer_fini(&b);
    assert_null(b.data);
}

static void test_truncated_to_nothing_costs_no_memory(void **state)
{
    struct buffer b;

    (void)state;
    buffer_init(&b, 100, 0);
    assert_int_equal(buffer_append(&b, "abc", 3), TLSMSG_OK);
    buffer_truncate(&b, 1);
    assert_holds(&b, "a", 1);
    buffer_truncate(&b, 0);
    assert_null(b.data);
}

static void test_fixed_memory(void **state)
{
    char memory[8];
    struct buffer b;

    (void)state;
    failmalloc_at(0);
    buffer_init_fixed(&b, memory, sizeof(memory));
    assert_int_equal(buffer_append(&b, "12345", 5), TLSMSG_OK);
    buffer_consume(&b, 2);
    assert_int_equal(buffer_append(&b, "678901", 6), TLSMSG_ERR_LIMIT);
    assert_int_equal(buffer_append(&b, "67890", 5), TLSMSG_OK);
    assert_holds(&b, "34567890", 8);
    assert_ptr_equal(buffer_head(&b), memory);
    buffer_consume(&b, 8);
    assert_int_equal(buffer_append(&b, "1", 1), TLSMSG_OK);
    assert_int_equal(memory[0], '1');
    buffer_fini(&b);
    assert_int_equal(failmalloc_count(), 0);
}

static bool found_secret;

static void look_for_secret(void *block)
{
    found_secret = found_secret || memcmp(block, "secret", 6) == 0;
}

static void use_secret(unsigned flags)
{
    static const char more[2000];
    struct buffer b;

    found_secret = false;
    buffer_init(&b, 1 << 20, flags);
    assert_int_equal(buffer_append(&b, "secret", 6), TLSMSG_OK);
    assert_int_equal(buffer_append(&b, more, sizeof(more)), TLSMSG_OK);
    assert_holds(&b, "secret", 6 + sizeof(more));
    buffer_fini(&b);
}

static void test_secrets_are_wiped(void **state)
{
    (void)state;
    failmalloc_on_free = look_for_secret;
    use_secret(BUFFER_WIPE);
    assert_false(found_secret);
    use_secret(0);
    assert_true(found_secret);
    use_secret(BUFFER_KEEP); /* what is no secret costs nothing */
    assert_true(found_secret);
    failmalloc_on_free = NULL;
}

/* Buffers that never empty: the cost of a trickle is a few allocations, not one a message. */
static void test_trickle_reuses_memory(void **state)
{
    struct buffer b;
    size_t i;

    (void)state;
    buffer_init(&b, 1 << 20, 0);
    failmalloc_at(0);
    assert_int_equal(buffer_append(&b, "0123456789", 10), TLSMSG_OK);
    for (i = 0; i < 100000; i++) {
        assert_int_equal(buffer_append(&b, "0123456789", 10), TLSMSG_OK);
        buffer_consume(&b, 10);
    }
    assert_holds(&b, "0123456789", 10);
    assert_true(failmalloc_count() <= 2);
    assert_true(b.cap <= 4096);
    buffer_fini(&b);
}

/* Moving to the front pays only where little is left to move. */
static void test_moves_little_or_grows(void **state)
{
    static const char block[1024];
    struct buffer b;

    (void)state;
    buffer_init(&b, 4096, 0);
    assert_int_equal(buffer_append(&b, block, 1024), TLSMSG_OK);
    assert_int_equal(b.cap, 1024);
    buffer_consume(&b, 600);
    assert_int_equal(buffer_append(&b, block, 500), TLSMSG_OK);
    assert_int_equal(b.cap, 1024);
    assert_int_equal(b.head, 0);
    buffer_consume(&b, 100);
    assert_int_equal(buffer_append(&b, block, 200), TLSMSG_OK);
    assert_int_equal(b.cap, 2048);
    assert_int_equal(b.len, 1024);
    buffer_fini(&b);

    /* As much was consumed as is left. */
    assert_int_equal(buffer_append(&b, block, 1024), TLSMSG_OK);
    buffer_consume(&b, 512);
    assert_int_equal(buffer_append(&b, block, 512), TLSMSG_OK);
    assert_int_equal(b.cap, 1024);
    assert_int_equal(b.head, 0);
    buffer_fini(&b);
}

static void test_growth_doubles(void **state)
{
    struct buffer b;
    size_t i;

    (void)state;
    buffer_init(&b, 1 << 20, 0);
    failmalloc_at(0);
    for (i = 0; i < 1 << 20; i++) {
        assert_int_equal(buffer_append(&b, "x", 1), TLSMSG_OK);
    }
    assert_true(failmalloc_count() <= 12);
    assert_int_equal(b.cap, 1 << 20);
    buffer_fini(&b);
}

/* What stands at a place of the endless text that goes through the buffer. */
static char byte_at(size_t place)
{
    return (char)(place * 2654435761U >> 7);
}

/* Two counters are the model, driven by a fixed sequence of pseudo-random sizes. */
static void test_equals_a_model(void **state)
{
    enum { LIMIT = 6000, STEPS = 20000 };
    static char piece[2000];
    size_t appended = 0;
    size_t consumed = 0;
    uint32_t random = 1;
    struct buffer b;
    size_t i;
    size_t step;

    (void)state;
    buffer_init(&b, LIMIT, 0);
    for (step = 0; step < STEPS; step++) {
        size_t n;

        random = random * 1664525 + 1013904223;
        n = (random >> 8) % ((random >> 28) == 0 ? sizeof(piece) : 100);
        if ((random >> 24 & 1) == 0) {
            bool fits = appended - consumed + n <= LIMIT;

            for (i = 0; i < n; i++) {
                piece[i] = byte_at(appended + i);
            }
            assert_int_equal(buffer_append(&b, piece, n), fits ? TLSMSG_OK : TLSMSG_ERR_LIMIT);
            appended += fits ? n : 0;
        } else {
            n = n < b.len ? n : b.len;
            buffer_consume(&b, n);
            consumed += n;
        }
        assert_int_equal(b.len, appended - consumed);
        assert_true((b.data == NULL) == (b.len == 0));
        for (i = 0; i < b.len; i++) {
            if (buffer_head(&b)[i] != byte_at(consumed + i)) {
                fail_msg("step %zu: wrong byte at %zu of %zu", step, i, b.len);
            }
        }
    }
    assert_true(consumed > 500000);
    buffer_fini(&b);
}

/* Appends until three allocations were needed; one of them may fail, after which the same
 * append must succeed. */
static void scenario_append(void *state)
{
    static const char piece[700] = "piece";
    struct buffer b;
    size_t done = 0;
    unsigned failures = 0;

    (void)state;
    buffer_init(&b, 1 << 16, 0);
    while (done < 6) {
        size_t before = b.len;
        enum tlsmsg_code code = buffer_append(&b, piece, sizeof(piece));

        if (code == TLSMSG_OK) {
            done++;
            continue;
        }
        assert_int_equal(code, TLSMSG_ERR_NOMEM);
        assert_int_equal(b.len, before);
        assert_int_equal(++failures, 1);
    }
    assert_int_equal(b.len, 6 * sizeof(piece));
    while (done-- > 0) {
        assert_memory_equal(buffer_head(&b), piece, sizeof(piece));
        buffer_consume(&b, sizeof(piece));
    }
    buffer_fini(&b);
}

static void test_every_failed_allocation_changes_nothing(void **state)
{
    size_t n;

    (void)state;
    for (n = 1; failmalloc_try(n, scenario_append, NULL); n++) {
    }
    assert_true(n >= 4);
}

/* No test leaves a block behind. */
static int remember_live(void **state)
{
    static long live;

    live = failmalloc_live();
    *state = &live;
    return 0;
}

static int check_live(void **state)
{
    const long *live = *state;

    assert_int_equal(failmalloc_live(), *live);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes_come_out_in_order, remember_live, check_live),
        cmocka_unit_test_setup_teardown(test_empty_costs_no_memory, remember_live, check_live),
        cmocka_unit_test_setup_teardown(test_spares_are_handed_on, remember_live, check_live),
        cmocka_unit_test_setup_teardown(test_all_of_the_memory_is_there_again, remember_live,
                                        check_live),
        cmocka_unit_test_setup_teardown(test_spares_are_all_of_one_size, remember_live, check_live),
        cmocka_unit_test_setup_teardown(test_a_failed_spare_changes_nothing, remember_live,
                                        check_live),
        cmocka_unit_test_setup_teardown(test_spares_are_bounded, remember_live, check_live),
        cmocka_unit_test_setup_teardown(test_limit_is_all_or_nothing, remember_live, check_live),
        cmocka_unit_test_setup_teardown(test_nothing_fits_a_limit_of_zero, remember_live,
                                        check_live),
        cmocka_unit_test_setup_teardown(test_reserved_bytes_count_once_committed, remember_live,
                                        check_live),
        cmocka_unit_test_setup_teardown(test_kept_memory, remember_live, check_live),
        cmocka_unit_test_setup_teardown(test_truncated_to_nothing_costs_no_memory, remember_live,
                                        check_live),
        cmocka_unit_test_setup_teardown(test_fixed_memory, remember_live, check_live),
        cmocka_unit_test_setup_teardown(test_secrets_are_wiped, remember_live, check_live),
        cmocka_unit_test_setup_teardown(test_trickle_reuses_memory, remember_live, check_live),
        cmocka_unit_test_setup_teardown(test_moves_little_or_grows, remember_live, check_live),
        cmocka_unit_test_setup_teardown(test_growth_doubles, remember_live, check_live),
        cmocka_unit_test_setup_teardown(test_equals_a_model, remember_live, check_live),
        cmocka_unit_test_setup_teardown(test_every_failed_allocation_changes_nothing, remember_live,
                                        check_live),
    };

    return cmocka_run_group_tests_name("buffer", tests, NULL, NULL);
}
