/* Questions at a terminal: a child has a pseudo-terminal for stdin and stderr, the test is the
 * person at it. */
#include "support/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "app/phrases.h"
#include "app/terminal.h"

#define LIMIT_S 20 /* a child that hangs ends itself */
#define SCREEN_MAX 4096
#define QUESTION "Trust this key from now on?"

enum child_result { CHILD_YES, CHILD_NO, CHILD_WRONG };

struct scene {
    int person; /* the terminal's other side */
    pid_t child;
    char screen[SCREEN_MAX]; /* all that was shown */
    size_t len;
};

static bool confirm(void)
{
    static const struct tlsmsg_new_server server = {.size = sizeof(server),
                                                    .question = "of the library's own?",
                                                    .server = "localhost:1",
                                                    .pin = "sha256//x",
                                                    .names = "localhost",
                                                    .until = "2027-12-28"};
    const struct phrases *phrases = phrases_get(1);

    return terminal_confirm(&server, &phrases);
}

static enum child_result ask_confirm(void)
{
    return confirm() ? CHILD_YES : CHILD_NO;
}

static enum child_result ask_password(void)
{
    char password[64];

    if (!terminal_ask_password("a\nfile", password, sizeof(password), NULL)) {
        return CHILD_NO;
    }
    return strcmp(password, "s3cret") == 0 ? CHILD_YES : CHILD_WRONG;
}

/* Nobody would see the question. */
static enum child_result ask_unseen(void)
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
static enum child_result ask_a_file(void)
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

static void type(const struct scene *scene, const char *keys)
{
    assert_int_equal(write(scene->person, keys, strlen(keys)), strlen(keys));
}

/* Takes what is shown next. False: the child has gone. */
static bool look(struct scene *scene)
{
    struct pollfd entry = {.fd = scene->person, .events = POLLIN};
    ssize_t n;

    assert_int_equal(poll(&entry, 1, LIMIT_S * 1000), 1);
    n = read(scene->person, scene->screen + scene->len, SCREEN_MAX - 1 - scene->len);
    if (n <= 0) {
        return false;
    }
    scene->len += (size_t)n;
    scene->screen[scene->len] = '\0';
    return true;
}

static unsigned times_shown(const struct scene *scene, const char *text)
{
    unsigned times = 0;

    for (const char *at = scene->screen; (at = strstr(at, text)) != NULL; at += strlen(text)) {
        times++;
    }
    return times;
}

static void wait_for(struct scene *scene, const char *text, unsigned times)
{
    while (times_shown(scene, text) < times) {
        if (!look(scene)) {
            fail_msg("'%s' was not shown %u times in: %s", text, times, scene->screen);
        }
    }
}

/* Starts the child; typed_before is a line that is in the terminal's input already when it asks:
 * its echo says so. */
static void begin(struct scene *scene, enum child_result (*what)(void), const char *typed_before)
{
    const char *name;
    int slave;

    *scene = (struct scene){.person = posix_openpt(O_RDWR | O_NOCTTY)};
    assert_true(scene->person >= 0);
    assert_int_equal(grantpt(scene->person), 0);
    assert_int_equal(unlockpt(scene->person), 0);
    name = ptsname(scene->person);
    assert_non_null(name);
    slave = open(name, O_RDWR | O_NOCTTY);
    assert_true(slave >= 0);
    type(scene, typed_before);
    wait_for(scene, "\n", typed_before[0] != '\0');
    scene->child = fork();
    assert_true(scene->child >= 0);
    if (scene->child == 0) {
        (void)alarm(LIMIT_S / 2);
        (void)close(scene->person);
        if (dup2(slave, STDIN_FILENO) < 0 || dup2(slave, STDERR_FILENO) < 0) {
            _exit(CHILD_WRONG);
        }
        (void)close(slave);
        _exit((int)what());
    }
    (void)close(slave);
}

static enum child_result end(struct scene *scene)
{
    int status = 0;

    while (look(scene)) {
    }
    assert_int_equal(waitpid(scene->child, &status, 0), scene->child);
    (void)close(scene->person);
    assert_true(WIFEXITED(status));
    return (enum child_result)WEXITSTATUS(status);
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
    struct scene scene;

    begin(&scene, ask_confirm, "");
    wait_for(&scene, "localhost:1 is not known yet.\r\n  pin    sha256//x\r\n", 1);
    wait_for(&scene, QUESTION " (yes/no) ", 1);
    type(&scene, row->keys);
    assert_int_equal(end(&scene), row->result);
    assert_int_equal(times_shown(&scene, "yes/no"), 1);
}

/* Anything but yes or no is asked about again, as often as it takes. */
static void test_other_answers(void **state)
{
    static const char *const others[] = {"\n", "y\n", "YES\n", "y e s\n",
                                         "a line that is longer than any answer has to be\n"};
    struct scene scene;
    unsigned asked = 0;

    (void)state;
    begin(&scene, ask_confirm, "");
    wait_for(&scene, QUESTION " (yes/no) ", 1);
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        type(&scene, others[i]);
        wait_for(&scene, "Type 'yes' or 'no': ", ++asked);
    }
    type(&scene, "yes\n");
    assert_int_equal(end(&scene), CHILD_YES);
    assert_int_equal(times_shown(&scene, QUESTION), 1);
}

/* An answer is one to a question that was seen. */
static void test_no_answer_from_before(void **state)
{
    struct scene scene;

    (void)state;
    begin(&scene, ask_confirm, "yes\nyes\n");
    wait_for(&scene, QUESTION " (yes/no) ", 1);
    type(&scene, "no\n");
    assert_int_equal(end(&scene), CHILD_NO);
}

/* ---- passwords */

static void test_password(void **state)
{
    struct scene scene;

    (void)state;
    begin(&scene, ask_password, "");
    wait_for(&scene, "Password of key 'a\\nfile': ", 1);
    type(&scene, "s3crex\x7ft\r");
    assert_int_equal(end(&scene), CHILD_YES);
    assert_int_equal(times_shown(&scene, "s3c"), 0);
}

static void test_password_refused(void **state)
{
    static const char *const keys[] = {"\x03", "s3c\x04"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        struct scene scene;

        begin(&scene, ask_password, "");
        wait_for(&scene, "': ", 1);
        type(&scene, keys[i]);
        assert_int_equal(end(&scene), CHILD_NO);
    }
}

static void test_a_password_is_not_taken_from_before(void **state)
{
    struct scene scene;

    (void)state;
    begin(&scene, ask_password, "wrong\n");
    wait_for(&scene, "': ", 1);
    type(&scene, "s3cret\r");
    assert_int_equal(end(&scene), CHILD_YES);
}

/* ---- nobody to ask */

static void test_no_question_where_nobody_sees_it(void **state)
{
    struct scene scene;

    (void)state;
    begin(&scene, ask_unseen, "");
    assert_int_equal(end(&scene), CHILD_NO);
    assert_string_equal(scene.screen, "");
}

static void test_no_question_where_nobody_answers(void **state)
{
    struct scene scene;

    (void)state;
    begin(&scene, ask_a_file, "");
    assert_int_equal(end(&scene), CHILD_NO);
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
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_password_refused),
        cmocka_unit_test(test_a_password_is_not_taken_from_before),
        cmocka_unit_test(test_no_question_where_nobody_sees_it),
        cmocka_unit_test(test_no_question_where_nobody_answers),
        cmocka_unit_test(test_style),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_answers, confirm_rows);
    return failed;
}
