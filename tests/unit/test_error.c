/* Errors: the first cause wins, texts fit and are cut at a character, errno is left alone. */
#include "support/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/error.h"
#include "base/utf8.h"

static void test_set_records_code_and_text(void **state)
{
    struct tlsmsg_error err = {0};

    (void)state;
    assert_int_equal(error_set(&err, TLSMSG_ERR_CONFIG, 0, "no %s in %d", "port", 7),
                     TLSMSG_ERR_CONFIG);
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
    assert_int_equal(err.sys_errno, 0);
    assert_int_equal(err.ssl_code, 0);
    assert_string_equal(err.text, "no port in 7");
}

static void test_set_appends_the_system_reason(void **state)
{
    struct tlsmsg_error err = {0};
    char want[128];

    (void)state;
    (void)error_set(&err, TLSMSG_ERR_SYSTEM, ENOENT, "cannot read '%s'", "x.key");
    (void)snprintf(want, sizeof(want), "cannot read 'x.key': %s", strerror(ENOENT));
    assert_string_equal(err.text, want);
    assert_int_equal(err.sys_errno, ENOENT);
}

static void test_first_cause_wins_until_cleared(void **state)
{
    struct tlsmsg_error err = {0};

    (void)state;
    (void)error_set(&err, TLSMSG_ERR_RESET, ECONNRESET, "first");
    assert_int_equal(error_set(&err, TLSMSG_ERR_NOMEM, 0, "second"), TLSMSG_ERR_NOMEM);
    assert_int_equal(err.code, TLSMSG_ERR_RESET);
    assert_int_equal(err.sys_errno, ECONNRESET);
    tlsmsg_error_clear(&err);
    assert_int_equal(err.code, TLSMSG_OK);
    assert_string_equal(err.text, "");
    (void)error_set(&err, TLSMSG_ERR_NOMEM, 0, "third");
    assert_string_equal(err.text, "third");
}

static void test_no_error_object_is_fine(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, TLSMSG_ERR_LIMIT, EIO, "%s", "x"), TLSMSG_ERR_LIMIT);
    error_append(NULL, "%s", "x");
    tlsmsg_error_clear(NULL);
}

static void test_errno_is_left_alone(void **state)
{
    struct tlsmsg_error err = {0};

    (void)state;
    errno = EXDEV;
    (void)error_set(&err, TLSMSG_ERR_SYSTEM, 123456, "odd");
    assert_int_equal(errno, EXDEV);
    error_append(&err, " more");
    assert_int_equal(errno, EXDEV);
}

/* A wide character that the C locale can't show fails in vsnprintf(3), with EILSEQ. */
static void test_text_that_cannot_be_formatted_is_left_out(void **state)
{
    struct tlsmsg_error err = {0};

    (void)state;
    errno = EXDEV;
    assert_int_equal(error_set(&err, TLSMSG_ERR_CONFIG, 0, "%lc", (wint_t)0x4F60),
                     TLSMSG_ERR_CONFIG);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "");
    error_append(&err, "x%lc", (wint_t)0x4F60);
    assert_int_equal(errno, EXDEV);
    assert_string_equal(err.text, "");
}

static void test_append_adds_the_way_on(void **state)
{
    struct tlsmsg_error err = {0};

    (void)state;
    error_append(&err, " (nothing yet)");
    assert_string_equal(err.text, "");
    (void)error_set(&err, TLSMSG_ERR_CONFIG, 0, "no certificate");
    error_append(&err, " (%s makes one)", "scripts/gen-certs.sh");
    assert_string_equal(err.text, "no certificate (scripts/gen-certs.sh makes one)");
}

/* Every length of what stands before a four-byte character, around the end of the text. */
static void test_long_text_is_cut_at_a_character(void **state)
{
    char before[sizeof(((struct tlsmsg_error *)NULL)->text) + 8];
    size_t len;

    (void)state;
    for (len = sizeof(before) - 20; len < sizeof(before); len++) {
        struct tlsmsg_error err = {0};
        size_t cap = sizeof(err.text) - 1;

        memset(before, 'x', len);
        before[len] = '\0';
        (void)error_set(&err, TLSMSG_ERR_CONFIG, 0, "%s\xF0\x9F\x98\x80", before);
        assert_true(utf8_is_valid(err.text, strlen(err.text)));
        assert_int_equal(strlen(err.text), len + 4 <= cap ? len + 4 : len < cap ? len : cap);
    }
}

static void test_appended_text_is_cut_at_a_character(void **state)
{
    size_t len;

    (void)state;
    for (len = 500; len < 512; len++) {
        struct tlsmsg_error err = {0};

        (void)error_set(&err, TLSMSG_ERR_CONFIG, 0, "%0*d", (int)len, 0);
        error_append(&err, "\xE6\xB6\x88\xE6\x81\xAF");
        assert_true(utf8_is_valid(err.text, strlen(err.text)));
        assert_int_equal(strlen(err.text), len + (511 - len >= 6 ? 6 : (511 - len) / 3 * 3));
    }
}

static void test_the_system_reason_survives_a_long_text(void **state)
{
    struct tlsmsg_error err = {0};
    const char *reason = strerror(EACCES);

    (void)state;
    (void)error_set(&err, TLSMSG_ERR_SYSTEM, EACCES, "%0700d", 0);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_string_equal(err.text + sizeof(err.text) - 1 - strlen(reason), reason);
}

/* Where a character is left out, or all of the text, it follows directly. */
static void test_the_system_reason_follows_what_is_left(void **state)
{
    struct tlsmsg_error err = {0};
    size_t room = sizeof(err.text) - 1 - strlen(": Permission denied");
    char want[sizeof(err.text)];

    (void)state;
    (void)error_set(&err, TLSMSG_ERR_SYSTEM, EACCES, "%0*d\xE6\xB6\x88", (int)room - 1, 0);
    memset(want, '0', room - 1);
    (void)snprintf(want + room - 1, sizeof(want) - room + 1, ": %s", strerror(EACCES));
    assert_string_equal(err.text, want);
    tlsmsg_error_clear(&err);
    (void)error_set(&err, TLSMSG_ERR_SYSTEM, EACCES, "%lc", (wint_t)0x4F60);
    assert_string_equal(err.text, want + room - 1);
}

/* Of a structure that was never cleared; and of a text that has no end. */
static void test_what_stood_there_before(void **state)
{
    struct {
        struct tlsmsg_error err;
        char behind[64];
    } held;

    (void)state;
    memset(&held, 'x', sizeof(held));
    held.err.code = TLSMSG_OK;
    (void)error_set(&held.err, TLSMSG_ERR_CONFIG, 0, "text");
    assert_int_equal(held.err.ssl_code, 0);
    assert_int_equal(held.err.sys_errno, 0);
    memset(held.err.text, 'y', sizeof(held.err.text));
    error_append(&held.err, " and more");
    assert_int_equal(strnlen(held.err.text, sizeof(held.err.text)), sizeof(held.err.text) - 1);
    for (size_t i = 0; i < sizeof(held.behind); i++) {
        assert_int_equal(held.behind[i], 'x');
    }
}

static void test_every_code_has_a_name_of_its_own(void **state)
{
    int a;
    int b;

    (void)state;
    for (a = TLSMSG_OK; a <= TLSMSG_ERR_BYE; a++) {
        assert_non_null(tlsmsg_code_name((enum tlsmsg_code)a));
        assert_string_not_equal(tlsmsg_code_name((enum tlsmsg_code)a), "unknown");
        for (b = TLSMSG_OK; b < a; b++) {
            assert_string_not_equal(tlsmsg_code_name((enum tlsmsg_code)a),
                                    tlsmsg_code_name((enum tlsmsg_code)b));
        }
    }
    assert_string_equal(tlsmsg_code_name(TLSMSG_ERR_UNTRUSTED), "untrusted");
    assert_string_equal(tlsmsg_code_name((enum tlsmsg_code)(TLSMSG_ERR_BYE + 1)), "unknown");
    assert_string_equal(tlsmsg_code_name((enum tlsmsg_code) - 1), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_records_code_and_text),
        cmocka_unit_test(test_set_appends_the_system_reason),
        cmocka_unit_test(test_first_cause_wins_until_cleared),
        cmocka_unit_test(test_no_error_object_is_fine),
        cmocka_unit_test(test_errno_is_left_alone),
        cmocka_unit_test(test_text_that_cannot_be_formatted_is_left_out),
        cmocka_unit_test(test_append_adds_the_way_on),
        cmocka_unit_test(test_long_text_is_cut_at_a_character),
        cmocka_unit_test(test_appended_text_is_cut_at_a_character),
        cmocka_unit_test(test_the_system_reason_survives_a_long_text),
        cmocka_unit_test(test_the_system_reason_follows_what_is_left),
        cmocka_unit_test(test_what_stood_there_before),
        cmocka_unit_test(test_every_code_has_a_name_of_its_own),
    };

    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
