/* Files that options name: what is written is no other option's, by whatever name it goes. */
#include "support/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/outputs.h"
#include "support/test_folder.h"

static struct test_folder folder;
static char path[TEST_PATH_MAX];
static char other[TEST_PATH_MAX];

static int set_up(void **state)
{
    (void)state;
    test_folder_make(&folder);
    (void)test_folder_file(&folder, "file", path);
    (void)test_folder_file(&folder, "other", other);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_folder_remove(&folder);
    return 0;
}

static void make_file(const char *name)
{
    assert_int_equal(close(open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
}

static bool is_taken(const char *written, const char *read)
{
    struct outputs outputs = {.count = 0};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum tlsmsg_code code;

    outputs_add(&outputs, "in", read, false);
    outputs_add(&outputs, "none", NULL, true);
    outputs_add(&outputs, "out", written, true);
    code = outputs_check(&outputs, &err);
    assert_int_equal(err.code, code);
    return code == TLSMSG_ERR_CONFIG && strstr(err.text, "--out and --in name the same") != NULL;
}

static void test_a_file_that_is_there(void **state)
{
    char link_path[TEST_PATH_MAX];
    char again[TEST_PATH_MAX + 2];

    (void)state;
    (void)test_folder_file(&folder, "link", link_path);
    (void)snprintf(again, sizeof(again), "%.*s/.%s", (int)(strrchr(path, '/') - path), path,
                   strrchr(path, '/'));
    make_file(path);
    assert_true(is_taken(path, again));
    assert_false(is_taken(path, other));
    assert_false(is_taken(other, path));
    make_file(other);
    assert_false(is_taken(path, other));
    assert_int_equal(symlink("file", link_path), 0);
    assert_true(is_taken(link_path, path));
    assert_int_equal(unlink(other), 0);
    assert_int_equal(link(path, other), 0);
    assert_true(is_taken(path, other));
    /* Two may write to a device. */
    assert_false(is_taken("/dev/null", "/dev/null"));
}

static void test_a_file_that_is_yet_to_be_made(void **state)
{
    char again[TEST_PATH_MAX + 2];

    (void)state;
    (void)snprintf(again, sizeof(again), "%.*s/.%s", (int)(strrchr(path, '/') - path), path,
                   strrchr(path, '/'));
    assert_true(is_taken(path, again));
    assert_false(is_taken(path, other));
    /* A name alone is in the folder that the program is in. */
    assert_true(is_taken("no-such-file", "./no-such-file"));
    /* Its folder may come later. */
    assert_true(is_taken("/no-such-folder/x", "/no-such-folder/x"));
    assert_false(is_taken("/no-such-folder/x", "/no-such-folder/y"));
}

/* Two that are read may be one, as a certificate and its key; and there is room for so many. */
static void test_what_is_read(void **state)
{
    struct outputs outputs = {.count = 0};

    (void)state;
    for (size_t i = 0; i < OUTPUTS_MAX + 1; i++) {
        outputs_add(&outputs, "in", path, false);
    }
    assert_int_equal(outputs.count, OUTPUTS_MAX);
    assert_int_equal(outputs_check(&outputs, NULL), TLSMSG_OK);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_file_that_is_there),
        TEST(test_a_file_that_is_yet_to_be_made),
        TEST(test_what_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
