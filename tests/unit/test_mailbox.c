/* Letters arrive whole and in order, from many threads; a release is told once. */
#include "support/unit.h"

#include <string.h>

#include "server/mailbox.h"

static void test_letters_keep_their_order(void **state)
{
    struct mailbox box;
    struct letter *letter;
    bool release;
    bool fail;

    (void)state;
    mailbox_init(&box);
    for (uint64_t i = 1; i <= 3; i++) {
        const struct tlsmsg_token token = {.connection = i};

        assert_int_equal(mailbox_post(&box, &token, "reply", i == 2 ? 0 : 5), TLSMSG_OK);
    }
    letter = mailbox_take(&box, &release, &fail);
    assert_false(release);
    assert_false(fail);
    for (uint64_t i = 1; i <= 3; i++) {
        struct letter *next = letter->next;

        assert_int_equal(letter->token.connection, i);
        assert_int_equal(letter->len, i == 2 ? 0 : 5);
        letter_free(letter);
        letter = next;
    }
    assert_null(letter);
    assert_null(mailbox_take(&box, &release, &fail));
    mailbox_fini(&box);
}

static void test_release_is_told_once_and_failure_wins(void **state)
{
    struct mailbox box;
    bool release;
    bool fail;

    (void)state;
    mailbox_init(&box);
    mailbox_post_release(&box, true);
    mailbox_post_release(&box, false);
    (void)mailbox_take(&box, &release, &fail);
    assert_true(release);
    assert_true(fail);
    (void)mailbox_take(&box, &release, &fail);
    assert_false(release);
    assert_false(fail);
    mailbox_fini(&box);
}

static void *post_many(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        const struct tlsmsg_token token = {.connection = 1};

        assert_int_equal(mailbox_post(arg, &token, "x", 1), TLSMSG_OK);
    }
    return NULL;
}

static void test_no_letter_is_lost_between_threads(void **state)
{
    struct mailbox box;
    pthread_t threads[4];
    size_t n = 0;
    bool release;
    bool fail;

    (void)state;
    mailbox_init(&box);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &box), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (struct letter *l = mailbox_take(&box, &release, &fail); l != NULL; n++) {
        struct letter *next = l->next;

        letter_free(l);
        l = next;
    }
    assert_int_equal(n, 4000);
    mailbox_fini(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_letters_keep_their_order),
        cmocka_unit_test(test_release_is_told_once_and_failure_wins),
        cmocka_unit_test(test_no_letter_is_lost_between_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
