/* Deferred replies: order, filling out of order, what is refused. */
#include "support/unit.h"

#include <stdlib.h>
#include <string.h>

#include "server/pending.h"

static void test_front_waits_for_the_first(void **state)
{
    struct pending p = {0};

    (void)state;
    assert_true(pending_add(&p, 1));
    assert_true(pending_add(&p, 2));
    assert_true(pending_fill(&p, 2, strdup("second"), 6));
    assert_null(pending_front(&p));
    assert_true(pending_fill(&p, 1, strdup("first"), 5));
    assert_memory_equal(pending_front(&p)->data, "first", 5);
    pending_drop(&p);
    assert_memory_equal(pending_front(&p)->data, "second", 6);
    pending_drop(&p);
    assert_null(pending_front(&p));
    assert_int_equal(p.count, 0);
}

static void test_unknown_or_filled_message_is_refused(void **state)
{
    struct pending p = {0};

    (void)state;
    assert_true(pending_add(&p, 7));
    assert_false(pending_fill(&p, 8, strdup("x"), 1));
    assert_true(pending_fill(&p, 7, NULL, 0));
    assert_false(pending_fill(&p, 7, strdup("again"), 5));
    assert_int_equal(pending_front(&p)->len, 0);
    pending_fini(&p);
    assert_null(p.head);
    pending_drop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_front_waits_for_the_first),
        cmocka_unit_test(test_unknown_or_filled_message_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
