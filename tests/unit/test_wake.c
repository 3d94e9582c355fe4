/* Wake-up descriptors: readable from a raise to the next clear, however often they are raised. */
#include "support/unit.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/wake.h"

static bool polls(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};

    return poll(&entry, 1, 0) == 1;
}

static void test_raise_and_clear(void **state)
{
    int fd = wake_open();

    (void)state;
    assert_true(fd >= 0);
    assert_false(polls(fd));
    wake_clear(fd); /* nothing to clear: doesn't wait */
    for (int i = 0; i < 3; i++) {
        wake_raise(fd);
        wake_raise(fd);
        assert_true(polls(fd));
        wake_clear(fd);
        assert_false(polls(fd));
    }
    assert_int_equal(close(fd), 0);
}

static void test_errno_is_kept(void **state)
{
    (void)state;
    errno = ENOENT;
    wake_raise(-1);
    assert_int_equal(errno, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raise_and_clear),
        cmocka_unit_test(test_errno_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
