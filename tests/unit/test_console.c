/* The client's stdout: texts, and what is escaped where. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "app/client/session.h"

static const char reply[] = "\xe5\x93\x88\x1b[1m\n\\";

static const struct row {
    const char *name;
    bool terminal;
    bool quiet;
    bool raw_text;
    const char *shown;
} rows[] = {
    {"escaped", false, false, false,
     "Enter a message ('exit' to leave): Reply received: \xe5\x93\x88\\x1b[1m\\n\\\n"},
    {"raw in plaintext", false, false, true,
     "Enter a message ('exit' to leave): Reply received: \xe5\x93\x88\x1b[1m\n\\\n"},
    {"quiet is raw", false, true, false, "\xe5\x93\x88\x1b[1m\n\\\n"},
    {"quiet is escaped on a terminal", true, true, true, "\xe5\x93\x88\\x1b[1m\\n\\\n"},
    {"plaintext is escaped on a terminal", true, false, true,
     "Enter a message ('exit' to leave): Reply received: \xe5\x93\x88\\x1b[1m\\n\\\n"},
};

static void open_ends(int ends[2], bool terminal)
{
    struct termios raw;

    if (!terminal) {
        assert_int_equal(pipe(ends), 0);
        return;
    }
    assert_int_equal(openpty(&ends[0], &ends[1], NULL, NULL, NULL), 0);
    assert_int_equal(tcgetattr(ends[1], &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(ends[1], TCSANOW, &raw), 0);
}

static void test_shown(void **state)
{
    const struct row *row = *state;
    struct console console;
    char shown[256];
    ssize_t n;
    size_t len = 0;
    int ends[2];

    open_ends(ends, row->terminal);
    console_init(&console, ends[1], phrases_get(1), row->quiet, row->raw_text);
    assert_true(console_prompt(&console));
    assert_int_equal(console.has_prompt, !row->quiet);
    assert_true(console_reply(&console, reply, sizeof(reply) - 1));
    assert_false(console.has_prompt);
    while (len < strlen(row->shown)) {
        n = read(ends[0], shown + len, sizeof(shown) - len);
        assert_true(n > 0);
        len += (size_t)n;
    }
    assert_int_equal(len, strlen(row->shown));
    assert_memory_equal(shown, row->shown, len);
    console_fini(&console);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void test_failure_is_kept(void **state)
{
    struct console console;
    int full = open("/dev/full", O_WRONLY);

    (void)state;
    assert_true(full >= 0);
    console_init(&console, full, phrases_get(0), false, false);
    assert_false(console_prompt(&console));
    assert_int_equal(console.cause, ENOSPC);
    assert_false(console_reply(&console, "x", 1));
    console_fini(&console);
    (void)close(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_failure_is_kept)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_shown, rows);
    return failed;
}
