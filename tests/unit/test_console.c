/* The client's stdout: texts, and what is escaped where. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "app/client/console.h"

static const char text[] = "\xe5\x93\x88\x1b[1m\n\\";
static const struct console_reply reply = {
    .text = text, .len = sizeof(text) - 1, .seq = 7, .message_bytes = 3, .took_ns = 1000234567};

static const struct row {
    const char *name;
    bool terminal;
    bool quiet;
    bool raw_text;
    bool json;
    const char *shown;
} rows[] = {
    {"escaped", false, false, false, false,
     "Enter a message ('exit' to leave): Reply received: \xe5\x93\x88\\x1b[1m\\n\\\n"},
    {"raw in plaintext", false, false, true, false,
     "Enter a message ('exit' to leave): Reply received: \xe5\x93\x88\x1b[1m\n\\\n"},
    {"quiet is raw", false, true, false, false, "\xe5\x93\x88\x1b[1m\n\\\n"},
    {"quiet is escaped on a terminal", true, true, true, false, "\xe5\x93\x88\\x1b[1m\\n\\\n"},
    {"plaintext is escaped on a terminal", true, false, true, false,
     "Enter a message ('exit' to leave): Reply received: \xe5\x93\x88\\x1b[1m\\n\\\n"},
    {"JSON", false, false, true, true,
     "{\"seq\":7,\"bytes\":3,\"reply\":\"\xe5\x93\x88\\u001b[1m\\n\\\\\",\"seconds\":1.000234}\n"},
    {"JSON on a terminal", true, true, false, true,
     "{\"seq\":7,\"bytes\":3,\"reply\":\"\xe5\x93\x88\\u001b[1m\\n\\\\\",\"seconds\":1.000234}\n"},
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
    const struct console_style style = {.phrases = phrases_get(1),
                                        .quiet = row->quiet,
                                        .raw_text = row->raw_text,
                                        .json = row->json};
    struct console console;
    char shown[256];
    ssize_t n;
    size_t len = 0;
    int ends[2];

    open_ends(ends, row->terminal);
    console_init(&console, ends[1], &style);
    assert_true(console_prompt(&console));
    assert_int_equal(console.has_prompt, !row->quiet && !row->json);
    assert_true(console_reply(&console, &reply));
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
    const struct console_style style = {.phrases = phrases_get(0)};
    struct console console;
    int full = open("/dev/full", O_WRONLY);

    (void)state;
    assert_true(full >= 0);
    console_init(&console, full, &style);
    assert_false(console_prompt(&console));
    assert_int_equal(console.cause, ENOSPC);
    assert_false(console_reply(&console, &reply));
    console_fini(&console);
    (void)close(full);
}

/* ---- the end of a prompt's line */

#define PROMPT "Enter a message ('exit' to leave): "

static const struct left_row {
    const char *name;
    bool terminal;    /* stdout is one */
    bool told_beside; /* stderr is the same */
    bool ends;        /* at the end of all, instead of before something that is told */
    const char *shown;
} left_rows[] = {
    {"before something on the same terminal", true, true, false, PROMPT "\n"},
    {"not before something that goes elsewhere", true, false, false, PROMPT},
    {"not of a pipe", false, true, false, PROMPT},
    {"at the end", true, false, true, PROMPT "\n"},
    {"not at the end of a pipe", false, true, true, PROMPT},
};

/* Twice: a line has one end. */
static void leave_twice(struct console *console, const struct left_row *row)
{
    bool leaves = strcmp(row->shown, PROMPT) != 0;

    for (int i = 0; i < 2; i++) {
        if (row->ends) {
            console_end(console);
        } else {
            assert_int_equal(console_leave_prompt(console), leaves && i == 0);
        }
        assert_int_equal(console->has_prompt, !leaves);
    }
}

static void test_left(void **state)
{
    const struct left_row *row = *state;
    const struct console_style style = {.phrases = phrases_get(1)};
    struct console console;
    int saved = dup(STDERR_FILENO);
    char shown[64] = "";
    int ends[2];
    int beside[2];

    open_ends(ends, row->terminal);
    open_ends(beside, row->told_beside && !row->terminal);
    assert_true(saved >= 0);
    console_init(&console, ends[1], &style);
    assert_false(console_leave_prompt(&console));
    console_end(&console); /* nothing to end */
    assert_true(dup2(row->told_beside && row->terminal ? ends[1] : beside[1], STDERR_FILENO) >= 0);
    assert_true(console_prompt(&console));
    leave_twice(&console, row);
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(write(ends[1], ".", 1), 1);
    for (size_t len = 0; strchr(shown, '.') == NULL; len = strlen(shown)) {
        assert_true(read(ends[0], shown + len, sizeof(shown) - 1 - len) > 0);
    }
    *strchr(shown, '.') = '\0';
    assert_string_equal(shown, row->shown);
    console_fini(&console);
    for (int i = 0; i < 2; i++) {
        (void)close(ends[i]);
        (void)close(beside[i]);
    }
    (void)close(saved);
}

/* ---- what write(2) may do */

/* Of the next writes: an errno, 0 for one that takes nothing, or 1 for one that takes a byte. */
static const int *script;
static char written[16];

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);

ssize_t __wrap_write(int fd, const void *data, size_t len)
{
    if (script == NULL) {
        return __real_write(fd, data, len);
    }
    if (*script == 0 || *script == 1) {
        size_t taken = (size_t)*script++;

        (void)strncat(written, data, taken);
        return (ssize_t)taken;
    }
    errno = *script++;
    return -1;
}

static const struct writes {
    const char *name;
    int script[6];
    const char *written;
    int cause;
} writes[] = {
    {"byte by byte", {1, 1, 1}, "ab\n", 0},
    {"interrupted, and full for a while", {EINTR, 1, EAGAIN, 1, EINTR, 1}, "ab\n", 0},
    {"taken no more", {1, EPIPE}, "a", EPIPE},
    {"taken none, for no cause", {1, EAGAIN, 0}, "a", EIO},
};

static void test_writes(void **state)
{
    const struct console_style style = {.phrases = phrases_get(1), .quiet = true};
    const struct console_reply ab = {.text = "ab", .len = 2};
    const struct writes *row = *state;
    struct console console;
    int ends[2];
    bool good;

    open_ends(ends, false); /* has room, whatever the script says */
    console_init(&console, ends[1], &style);
    written[0] = '\0';
    script = row->script;
    good = console_reply(&console, &ab);
    script = NULL;
    assert_string_equal(written, row->written);
    assert_int_equal(console.cause, row->cause);
    assert_int_equal(good, row->cause == 0);
    console_fini(&console);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_failure_is_kept)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_shown, rows);
    RUN_ROWS(failed, test_left, left_rows);
    RUN_ROWS(failed, test_writes, writes);
    return failed;
}
