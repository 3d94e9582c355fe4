/* Replies that come later: the queue that keeps their order, and the mailbox that other threads
 * leave them in. */
#include "support/unit.h"

#include <stdlib.h>
#include <string.h>

#include "server/deferred.h"
#include "support/failmalloc.h"

static char text[] = "reply";

static void test_the_first_is_waited_for(void **state)
{
    struct reply_queue q;

    (void)state;
    reply_queue_init(&q);
    assert_true(reply_queue_add(&q, 1));
    assert_true(reply_queue_add(&q, 2));
    assert_true(reply_queue_fill(&q, 2, strdup("second"), 6));
    assert_null(reply_queue_first(&q));
    assert_true(reply_queue_fill(&q, 1, strdup("first"), 5));
    assert_int_equal(q.bytes, 11);
    assert_memory_equal(reply_queue_first(&q)->data, "first", 5);
    reply_queue_drop_first(&q);
    assert_memory_equal(reply_queue_first(&q)->data, "second", 6);
    reply_queue_drop_first(&q);
    assert_null(reply_queue_first(&q));
    assert_int_equal(q.count, 0);
    assert_int_equal(q.bytes, 0);
}

static void test_unknown_or_filled_message_is_refused(void **state)
{
    struct reply_queue q;

    (void)state;
    reply_queue_init(&q);
    assert_true(reply_queue_add(&q, 7));
    assert_false(reply_queue_fill(&q, 8, strdup("x"), 1));
    assert_true(reply_queue_fill(&q, 7, NULL, 0));
    assert_false(reply_queue_fill(&q, 7, strdup("again"), 5));
    assert_int_equal(reply_queue_first(&q)->len, 0);
    reply_queue_fini(&q);
    assert_null(reply_queue_first(&q));
    reply_queue_drop_first(&q);
}

static size_t take_all(struct mailbox *box, bool *release, bool *fail)
{
    struct list posted;
    struct list *link;
    size_t n = 0;

    list_init(&posted);
    mailbox_take(box, &posted, release, fail);
    while ((link = list_take_first(&posted)) != NULL) {
        posted_free(LIST_ITEM(link, struct posted, link));
        n++;
    }
    return n;
}

static void test_posted_replies_keep_their_order(void **state)
{
    struct mailbox box;
    struct list posted;
    bool release;
    bool fail;

    (void)state;
    mailbox_init(&box);
    for (uint64_t i = 1; i <= 3; i++) {
        const struct tlsmsg_token token = {.connection = i};

        assert_int_equal(
            mailbox_post(&box,
                         &(struct posted){.token = token, .data = text, .len = i == 2 ? 0 : 5}),
            TLSMSG_OK);
    }
    list_init(&posted);
    mailbox_take(&box, &posted, &release, &fail);
    assert_false(release);
    assert_false(fail);
    for (uint64_t i = 1; i <= 3; i++) {
        struct posted *reply = LIST_ITEM(list_take_first(&posted), struct posted, link);

        assert_int_equal(reply->token.connection, i);
        assert_int_equal(reply->len, i == 2 ? 0 : 5);
        posted_free(reply);
    }
    assert_true(list_is_empty(&posted));
    assert_int_equal(take_all(&box, &release, &fail), 0);
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
    assert_int_equal(take_all(&box, &release, &fail), 0);
    assert_true(release);
    assert_true(fail);
    assert_int_equal(take_all(&box, &release, &fail), 0);
    assert_false(release);
    assert_false(fail);
    mailbox_fini(&box);
}

/* What was posted and never taken is freed with the mailbox. */
static void test_untaken_replies_are_freed(void **state)
{
    const struct tlsmsg_token token = {.connection = 1};
    struct mailbox box;

    (void)state;
    mailbox_init(&box);
    assert_int_equal(mailbox_post(&box, &(struct posted){.token = token, .data = text, .len = 1}),
                     TLSMSG_OK);
    mailbox_fini(&box);
}

/* Neither a place nor what is posted is there by half. */
static void test_no_memory(void **state)
{
    struct mailbox box;
    struct reply_queue q;
    bool release;
    bool fail;

    (void)state;
    reply_queue_init(&q);
    failmalloc_at(1);
    assert_false(reply_queue_add(&q, 1));
    failmalloc_at(0);
    assert_int_equal(q.count, 0);
    assert_null(reply_queue_first(&q));
    mailbox_init(&box);
    for (size_t n = 1; n <= 2; n++) {
        failmalloc_at(n);
        assert_int_equal(mailbox_post(&box, &(struct posted){.data = text, .len = 5}),
                         TLSMSG_ERR_NOMEM);
        failmalloc_at(0);
        assert_int_equal(take_all(&box, &release, &fail), 0);
    }
    /* What has no text needs no memory for it. */
    failmalloc_at(2);
    assert_int_equal(mailbox_post(&box, &(struct posted){.data = text, .len = 0}), TLSMSG_OK);
    failmalloc_at(0);
    assert_int_equal(take_all(&box, &release, &fail), 1);
    mailbox_fini(&box);
}

/* All that was posted comes along as it was. */
static void test_what_is_posted(void **state)
{
    const struct posted what = {.kind = POSTED_REFUSAL,
                                .token = {.connection = 1, .message = 2, .worker = 3, .slot = 4},
                                .data = text,
                                .len = 5,
                                .code = 507,
                                .last = 9,
                                .promise = TLSMSG_PROMISE_DISK};
    struct mailbox box;
    struct list posted;
    struct posted *got;
    bool release;
    bool fail;

    (void)state;
    mailbox_init(&box);
    assert_int_equal(mailbox_post(&box, &what), TLSMSG_OK);
    list_init(&posted);
    mailbox_take(&box, &posted, &release, &fail);
    got = LIST_ITEM(list_take_first(&posted), struct posted, link);
    assert_int_equal(got->kind, POSTED_REFUSAL);
    assert_memory_equal(&got->token, &what.token, sizeof(what.token));
    assert_ptr_not_equal(got->data, text);
    assert_memory_equal(got->data, text, 5);
    assert_int_equal(got->len, 5);
    assert_int_equal(got->code, 507);
    assert_int_equal(got->last, 9);
    assert_int_equal(got->promise, TLSMSG_PROMISE_DISK);
    posted_free(got);
    posted_free(NULL);
    mailbox_fini(&box);
}

static void *post_many(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        const struct tlsmsg_token token = {.connection = 1};

        assert_int_equal(
            mailbox_post(arg, &(struct posted){.token = token, .data = text, .len = 1}), TLSMSG_OK);
    }
    return NULL;
}

static void test_none_is_lost_between_threads(void **state)
{
    struct mailbox box;
    pthread_t threads[4];
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
    assert_int_equal(take_all(&box, &release, &fail), 4000);
    mailbox_fini(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_is_waited_for),
        cmocka_unit_test(test_unknown_or_filled_message_is_refused),
        cmocka_unit_test(test_posted_replies_keep_their_order),
        cmocka_unit_test(test_release_is_told_once_and_failure_wins),
        cmocka_unit_test(test_untaken_replies_are_freed),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_what_is_posted),
        cmocka_unit_test(test_none_is_lost_between_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
