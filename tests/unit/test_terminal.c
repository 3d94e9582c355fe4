/* Questions at a terminal: a child has a pseudo-terminal for stdin and stderr, the test is the
 * person at it. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/phrases.h"
#include "app/terminal.h"
#include "base/tools.h"
#include "support/pty_scene.h"

#define QUESTION "Trust this key from now on?"

enum child_result { CHILD_YES, CHILD_NO, CHILD_WRONG };

static bool confirm(void)
{
    static const struct tlsmsg_new_server server = {.size = sizeof(server),
                                                    .question = "of the library's own?",
                                                    .server = "localhost:1",
                                                    .pin = "sha256//x",
                                                    .names = "localhost",
                                                    .until = "2027-12-28"};
    const struct phrases *phrases = phrases_get(1);

    errno = EAGAIN; /* of before: the end of the input is one all the same */
    return terminal_confirm(&server, &phrases);
}

static int ask_confirm(void)
{
    return confirm() ? CHILD_YES : CHILD_NO;
}

static const char *expected; /* the password; NULL: none is to be given */

static int ask_password(void)
{
    char password[8] = "";
    bool answered = terminal_ask_password("a\nfile", password, sizeof(password), NULL);

    if (expected == NULL) {
        return answered ? CHILD_WRONG : CHILD_NO;
    }
    return answered && strcmp(password, expected) == 0 ? CHILD_YES : CHILD_WRONG;
}

/* Nothing could be given back in no bytes. */
static int ask_without_room(void)
{
    char password[1];

    return terminal_ask_password("file", password, 0, NULL) ? CHILD_YES : CHILD_NO;
}

/* Nobody would see the question. */
static int ask_unseen(void)
{
    char password[64];
    int null = open("/dev/null", O_WRONLY);

    if (null < 0 || dup2(null, STDERR_FILENO) < 0) {
        return CHILD_WRONG;
    }
    return terminal_can_ask() || terminal_ask_password("file", password, sizeof(password), NULL) ||
                   confirm()
               ? CHILD_YES
               : CHILD_NO;
}

/* Its answer would be a line of somebody's file. */
static int ask_a_file(void)
{
    char password[64];
    int null = open("/dev/null", O_RDONLY);

    if (null < 0 || dup2(null, STDIN_FILENO) < 0) {
        return CHILD_WRONG;
    }
    return terminal_can_ask() || terminal_ask_password("file", password, sizeof(password), NULL) ||
                   confirm()
               ? CHILD_YES
               : CHILD_NO;
}

/* ---- yes or no */

static const struct confirm_row {
    const char *name;
    const char *keys;
    enum child_result result;
} confirm_rows[] = {
    {"yes", "yes\n", CHILD_YES},
    {"no", "no\n", CHILD_NO},
    {"the end of the input", "\x04", CHILD_NO},
    {"corrected", "yet\x7fs\n", CHILD_YES},
};

static void test_answers(void **state)
{
    const struct confirm_row *row = *state;
    struct pty_scene scene;
    char question[512];

    (void)snprintf(question, sizeof(question),
                   "Server localhost:1 is not known yet.\r\n"
                   "  pin    sha256//x\r\n"
                   "  names  localhost\r\n"
                   "  until  2027-12-28\r\n"
                   "Compare the pin with %s show on the server.\r\n" QUESTION " (yes/no) ",
                   tools()->certs);
    pty_begin(&scene, ask_confirm, "");
    pty_wait_for(&scene, "(yes/no) ", 1);
    assert_string_equal(scene.screen, question);
    pty_type(&scene, row->keys);
    assert_int_equal(pty_end(&scene), row->result);
    assert_int_equal(pty_times_shown(&scene, "yes/no"), 1);
}

/* Anything but yes or no is asked about again, as often as it takes. */
static void test_other_answers(void **state)
{
    static const char *const others[] = {"\n", "y\n", "YES\n", "y e s\n",
                                         "a line that is longer than any answer has to be\n"};
    struct pty_scene scene;
    unsigned asked = 0;

    (void)state;
    pty_begin(&scene, ask_confirm, "");
    pty_wait_for(&scene, QUESTION " (yes/no) ", 1);
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        pty_type(&scene, others[i]);
        pty_wait_for(&scene, "Type 'yes' or 'no': ", ++asked);
    }
    pty_type(&scene, "yes\n");
    assert_int_equal(pty_end(&scene), CHILD_YES);
    assert_int_equal(pty_times_shown(&scene, QUESTION), 1);
}

/* An answer is one to a question that was seen. */
static void test_no_answer_from_before(void **state)
{
    struct pty_scene scene;

    (void)state;
    pty_begin(&scene, ask_confirm, "yes\nyes\n");
    pty_wait_for(&scene, QUESTION " (yes/no) ", 1);
    pty_type(&scene, "no\n");
    assert_int_equal(pty_end(&scene), CHILD_NO);
}

/* ---- passwords */

static const struct password_row {
    const char *name;
    const char *keys;
    const char *password; /* NULL: none */
} password_rows[] = {
    {"a password", "s3cret\r", "s3cret"},
    {"ended by a line feed", "s3cret\n", "s3cret"},
    {"corrected", "s3crex\x7ft\r", "s3cret"},
    {"corrected by Ctrl-H", "s3crex\bt\r", "s3cret"},
    {"corrected more than was typed", "\x7f\b\x7fs\b\bs3cret\r", "s3cret"},
    {"an empty one", "\r", ""},
    {"one that just fits", "1234567\r", "1234567"},
    {"one that is too long", "12345678\r", NULL},
    {"one that was too long", "12345678\x7f\x7f\r", NULL},
    {"Ctrl-C", "\x03", NULL},
    {"Ctrl-D behind something", "s3c\x04", NULL},
};

static void test_password(void **state)
{
    const struct password_row *row = *state;
    struct pty_scene scene;

    expected = row->password;
    pty_begin(&scene, ask_password, "");
    pty_wait_for(&scene, "': ", 1);
    pty_type(&scene, row->keys);
    assert_int_equal(pty_end(&scene), row->password != NULL ? CHILD_YES : CHILD_NO);
    assert_string_equal(scene.screen, "Password of key 'a\\nfile': \r\n");
}

static void test_a_password_is_not_taken_from_before(void **state)
{
    struct pty_scene scene;

    (void)state;
    expected = "s3cret";
    pty_begin(&scene, ask_password, "wrong\n");
    pty_wait_for(&scene, "': ", 1);
    pty_type(&scene, "s3cret\r");
    assert_int_equal(pty_end(&scene), CHILD_YES);
}

static void test_no_room_for_a_password(void **state)
{
    struct pty_scene scene;

    (void)state;
    pty_begin(&scene, ask_without_room, "");
    assert_int_equal(pty_end(&scene), CHILD_NO);
    assert_string_equal(scene.screen, "");
}

/* ---- nobody to ask */

static void test_no_question_where_nobody_sees_it(void **state)
{
    struct pty_scene scene;

    (void)state;
    pty_begin(&scene, ask_unseen, "");
    assert_int_equal(pty_end(&scene), CHILD_NO);
    assert_string_equal(scene.screen, "");
}

static void test_no_question_where_nobody_answers(void **state)
{
    struct pty_scene scene;

    (void)state;
    pty_begin(&scene, ask_a_file, "");
    assert_int_equal(pty_end(&scene), CHILD_NO);
    assert_string_equal(scene.screen, "");
}

static void test_style(void **state)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    int ends[2];

    (void)state;
    assert_true(terminal >= 0);
    assert_int_equal(pipe(ends), 0);
    (void)unsetenv("NO_COLOR");
    (void)setenv("TERM", "xterm", 1);
    assert_true(terminal_takes_style(terminal));
    assert_false(terminal_takes_style(ends[1]));
    (void)setenv("TERM", "dumb", 1);
    assert_false(terminal_takes_style(terminal));
    (void)unsetenv("TERM");
    assert_true(terminal_takes_style(terminal));
    (void)setenv("NO_COLOR", "", 1);
    assert_true(terminal_takes_style(terminal));
    (void)setenv("NO_COLOR", "0", 1);
    assert_false(terminal_takes_style(terminal));
    (void)close(terminal);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_answers),
        cmocka_unit_test(test_no_answer_from_before),
        cmocka_unit_test(test_a_password_is_not_taken_from_before),
        cmocka_unit_test(test_no_room_for_a_password),
        cmocka_unit_test(test_no_question_where_nobody_sees_it),
        cmocka_unit_test(test_no_question_where_nobody_answers),
        cmocka_unit_test(test_style),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_answers, confirm_rows);
    RUN_ROWS(failed, test_password, password_rows);
    return failed;
}
