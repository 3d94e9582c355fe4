/* Intrusive list: order, removal from anywhere, moving whole lists. */
#include "support/unit.h"

#include <string.h>

#include "base/list.h"

struct item {
    char letter;
    struct list link;
};

struct scene {
    struct list list;
    struct item items[4];
};

/* The letters that the items of a list spell, forwards, checked backwards too. */
static void assert_spells(const struct list *list, const char *want)
{
    size_t len = strlen(want);
    size_t i = 0;

    LIST_EACH(at, list) {
        assert_true(i < len);
        assert_int_equal(LIST_ITEM(at, struct item, link)->letter, want[i]);
        i++;
    }
    assert_int_equal(i, len);
    for (const struct list *at = list->prev; at != list; at = at->prev) {
        assert_int_equal(LIST_ITEM(at, struct item, link)->letter, want[--i]);
    }
    assert_int_equal(i, 0);
    assert_int_equal(list_is_empty(list), len == 0);
}

static void begin(struct scene *s)
{
    list_init(&s->list);
    for (size_t i = 0; i < COUNT_OF(s->items); i++) {
        s->items[i].letter = (char)('a' + i);
        list_init(&s->items[i].link);
        assert_false(list_is_linked(&s->items[i].link));
        list_append(&s->list, &s->items[i].link);
        assert_true(list_is_linked(&s->items[i].link));
    }
}

static void test_order(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    assert_spells(&s.list, "abcd");
    list_remove(&s.items[2].link);
    list_prepend(&s.list, &s.items[2].link);
    assert_spells(&s.list, "cabd");
}

static void test_removal(void **state)
{
    static const struct {
        size_t i;
        const char *left;
    } steps[] = {{1, "acd"}, {1, "acd"}, {0, "cd"}, {3, "c"}, {2, ""}};
    struct scene s;

    (void)state;
    begin(&s);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        list_remove(&s.items[steps[i].i].link);
        assert_false(list_is_linked(&s.items[steps[i].i].link));
        assert_spells(&s.list, steps[i].left);
    }
}

static void test_removal_while_visiting(void **state)
{
    struct scene s;
    size_t visited = 0;

    (void)state;
    begin(&s);
    LIST_EACH_SAFE(at, after, &s.list) {
        visited++;
        if (LIST_ITEM(at, struct item, link)->letter != 'b') {
            list_remove(at);
        }
    }
    assert_int_equal(visited, 4);
    assert_spells(&s.list, "b");
}

static void test_taking_the_first(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    for (size_t i = 0; i < COUNT_OF(s.items); i++) {
        assert_ptr_equal(list_take_first(&s.list), &s.items[i].link);
        assert_false(list_is_linked(&s.items[i].link));
    }
    assert_null(list_take_first(&s.list));
}

static void test_moving_all(void **state)
{
    struct scene from, to;

    (void)state;
    begin(&from);
    begin(&to);
    list_move_all(&from.list, &to.list);
    assert_spells(&to.list, "abcdabcd");
    assert_spells(&from.list, "");
    list_move_all(&from.list, &to.list);
    assert_spells(&to.list, "abcdabcd");
    list_move_all(&to.list, &from.list);
    assert_spells(&from.list, "abcdabcd");
    assert_spells(&to.list, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_removal),
        cmocka_unit_test(test_removal_while_visiting),
        cmocka_unit_test(test_taking_the_first),
        cmocka_unit_test(test_moving_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
