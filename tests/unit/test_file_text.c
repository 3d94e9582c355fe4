/* What files are said to be: text or not, of which kind, and why one is out of reach. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

/* ---- text */

enum said { TEXT, UTF_16, UTF_32, ZERO, CR };

static const char *const texts[] = {
    [TEXT] = "",
    [UTF_16] = "key 'a.key' is UTF-16; try: iconv -f UTF-16 -t UTF-8 'a.key' >FILE",
    [UTF_32] = "key 'a.key' is UTF-32; try: iconv -f UTF-32 -t UTF-8 'a.key' >FILE",
    [ZERO] = "key 'a.key' is not text: it holds a zero byte",
    [CR] = "key 'a.key' ends its lines in CR alone; try: tr '\\r' '\\n' <'a.key' >FILE",
};

/* What stands behind `len` must not matter. */
static const struct text_row {
    const char *name;
    char bytes[10];
    size_t len;
    enum said said;
} text_rows[] = {
    {"nothing", "\r", 0, TEXT},
    {"one byte", "\xFF\xFE", 1, TEXT},
    {"two bytes", "ab", 2, TEXT},
    {"a line", "ab\n", 3, TEXT},
    {"another coding", "\xFF\xFF", 2, TEXT},
    {"two of the other mark", "\xFE\xFE", 2, TEXT},
    {"the first half of a mark",
     "\xFF"
     "abc",
     4, TEXT},
    {"the first half of the other",
     "\xFE"
     "abc",
     4, TEXT},
    {"the second half of a mark",
     "a\xFE\xFE"
     "b",
     4, TEXT},
    {"the second half of the other",
     "a\xFF\xFF"
     "b",
     4, TEXT},

    {"UTF-16, a mark alone", "\xFF\xFE", 2, UTF_16},
    {"the other mark alone", "\xFE\xFF", 2, UTF_16},
    {"a mark before others", "\xFF\xFE`O", 4, UTF_16},
    {"the other mark before others", "\xFE\xFFO`", 4, UTF_16},
    {"a mark before ASCII", "\xFF\xFEk\0e\0", 6, UTF_16},
    {"ASCII, low first", "k\0e\0", 4, UTF_16},
    {"ASCII, high first", "\0k\0e", 4, UTF_16},
    {"more of it, low first", "k\0e\0\0", 5, UTF_16},
    {"more of it, high first", "\0k\0e\0y", 6, UTF_16},

    {"UTF-32, a mark", "\xFF\xFE\0\0k\0\0\0", 8, UTF_32},
    {"a mark, nothing more", "\xFF\xFE\0\0", 4, UTF_32},
    {"the other mark", "\0\0\xFE\xFF", 4, UTF_32},
    {"the other mark before others", "\0\0\xFE\xFF\0\0\0k", 8, UTF_32},
    {"ASCII as words, low first", "k\0\0\0e", 5, UTF_32},
    {"ASCII as words, high first", "\0\0\0k\0", 5, UTF_32},

    {"zeros alone", "\0\0\0\0", 4, ZERO},
    {"a zero in three bytes", "k\0e\0", 3, ZERO},
    {"two zeros in three bytes", "k\0\0\0", 3, ZERO},
    {"a zero first", "\0key", 4, ZERO},
    {"a zero last", "key\0", 4, ZERO},
    {"zeros within", "k\0\0y", 4, ZERO},
    {"zeros around", "\0ke\0", 4, ZERO},
    {"two zeros last", "ke\0\0", 4, ZERO},
    {"two behind half a mark",
     "\xFF"
     "k\0\0",
     4, ZERO},
    {"two behind the other half", "k\xFE\0\0", 4, ZERO},
    {"a mark in the wrong place", "\xFFk\xFE\0", 4, ZERO},
    {"late", "keykey\0", 7, ZERO},
    {"before a CR", "k\0y\ra", 5, ZERO},

    {"CR", "a\rb", 3, CR},
    {"CR first", "\ra", 2, CR},
    {"CR twice", "\r\r", 2, CR},
    {"CR, and at the end", "a\rb\r", 4, CR},
    {"CR, cut before LF", "a\rb\n", 3, CR},
    {"one CR", "\r\r", 1, TEXT},
    {"one CR at the end", "ab\r\r", 3, TEXT},
    {"CR LF", "a\r\nb", 4, TEXT},
    {"LF somewhere", "a\rb\n", 4, TEXT},
};

static void test_text(void **state)
{
    const struct text_row *row = *state;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char bytes[sizeof(row->bytes)];
    const struct file file = {.bytes = bytes, .len = row->len, .name = "a.key"};
    enum tlsmsg_code code = row->said == TEXT ? TLSMSG_OK : TLSMSG_ERR_CONFIG;

    memcpy(bytes, row->bytes, sizeof(bytes));
    assert_int_equal(file_check_text(&file, "key", &err), code);
    assert_int_equal(err.code, code);
    assert_int_equal(err.sys_errno, 0);
    assert_string_equal(err.text, texts[row->said]);
}

static void test_blanks(void **state)
{
    (void)state;
    for (int c = CHAR_MIN; c <= CHAR_MAX; c++) {
        bool is_blank = c != 0 && c != '\n' && strchr(" \t\r\f\v", c) != NULL;

        assert_int_equal(file_is_blank((char)c), is_blank);
    }
}

/* ---- access, as the kernel would tell of modes alone */

static struct {
    int file;   /* an errno, or 0 */
    int folder; /* of writing in it */
    char asked[256];
} modes;

int __wrap_faccessat(int at, const char *path, int mode, int flags);

int __wrap_faccessat(int at, const char *path, int mode, int flags)
{
    size_t len = strlen(modes.asked);

    assert_int_equal(at, AT_FDCWD);
    assert_int_equal(flags, AT_EACCESS);
    if (len < sizeof(modes.asked)) {
        (void)snprintf(modes.asked + len, sizeof(modes.asked) - len, "%s%s%s %s;",
                       (mode & R_OK) != 0 ? "r" : "", (mode & W_OK) != 0 ? "w" : "",
                       (mode & X_OK) != 0 ? "x" : "", path);
    }
    errno = (mode & X_OK) != 0 ? modes.folder : modes.file;
    return errno == 0 ? 0 : -1;
}

static void expect_modes(int file, int folder)
{
    memset(&modes, 0, sizeof(modes));
    modes.file = file;
    modes.folder = folder;
}

static void test_denied(void **state)
{
    static const struct {
        const char *verb;
        int file;
        int folder;
        bool is_allowed;
        const char *asked;
    } rows[] = {
        {"read", 0, EACCES, true, "r d/f;"},        {"read", EACCES, 0, false, "r d/f;"},
        {"read", ENOENT, 0, false, "r d/f;"},       {"write", 0, 0, true, "w d/f;wx d;"},
        {"write", ENOENT, 0, true, "w d/f;wx d;"},  {"write", EACCES, 0, false, "w d/f;"},
        {"write", 0, EACCES, false, "w d/f;wx d;"}, {"make", ENOENT, EACCES, false, "w d/f;wx d;"},
    };
    char text[256];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        char modes_text[96];

        (void)snprintf(modes_text, sizeof(modes_text),
                       "its modes, or a folder's on the way, keep user %u out",
                       (unsigned)geteuid());
        (void)snprintf(text, sizeof(text), "cannot %s key 'd/f': Permission denied (%s)",
                       rows[i].verb,
                       rows[i].is_allowed
                           ? "its modes allow it: a sandbox is in the way, which knows the folders "
                             "of the start; try: a restart"
                           : modes_text);
        expect_modes(rows[i].file, rows[i].folder);
        assert_int_equal(file_error("d/f", rows[i].verb, "key", EACCES, &err), TLSMSG_ERR_CONFIG);
        assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
        assert_int_equal(err.sys_errno, EACCES);
        assert_string_equal(err.text, text);
        assert_string_equal(modes.asked, rows[i].asked);
    }
    expect_modes(EACCES, EACCES);
    assert_int_equal(file_error("d/f", "read", "key", EACCES, NULL), TLSMSG_ERR_CONFIG);
    assert_string_equal(modes.asked, "");
}

static void test_may_make(void **state)
{
    static char path[PATH_MAX + 1];

    (void)state;
    expect_modes(EACCES, 0);
    assert_int_equal(file_may_make("d/f"), 0);
    assert_int_equal(file_may_make("f"), 0);
    assert_int_equal(file_may_make("/f"), 0);
    assert_string_equal(modes.asked, "wx d;wx .;wx /;");
    expect_modes(0, EROFS);
    assert_int_equal(file_may_make("d/f"), EROFS);

    memset(path, 'x', PATH_MAX);
    expect_modes(0, 0);
    assert_int_equal(file_may_make(path), ENAMETOOLONG);
    assert_string_equal(modes.asked, "");
    path[PATH_MAX - 1] = '\0';
    assert_int_equal(file_may_make(path), 0);
}

/* ---- the other causes */

static const struct cause_row {
    const char *name;
    const char *verb;
    int sys_errno;
    int told_errno;
    const char *text;
} cause_rows[] = {
    {"too large", "read", EFBIG, 0, "cannot read key 'f': it is larger than 4 MiB"},
    {"too large to write", "write", EFBIG, EFBIG, "cannot write key 'f': File too large"},
    {"descriptors of all", "write", ENFILE, ENFILE,
     "cannot write key 'f' (try: a higher LimitNOFILE= or ulimit -n): Too many open files in "
     "system"},
    {"descriptors", "read", EMFILE, EMFILE,
     "cannot read key 'f' (try: a higher LimitNOFILE= or ulimit -n): Too many open files"},
    {"a silent pipe", "read", EAGAIN, 0,
     "cannot read key 'f': it is a pipe, and nothing came out of it"},
    {"another kind", "write", EOPNOTSUPP, 0, "cannot write key 'f': it is not a regular file"},
    {"another cause", "write", EIO, EIO, "cannot write key 'f': Input/output error"},
};

static void test_cause(void **state)
{
    const struct cause_row *row = *state;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    assert_int_equal(file_error("f", row->verb, "key", row->sys_errno, &err), TLSMSG_ERR_CONFIG);
    assert_int_equal(err.sys_errno, row->told_errno);
    assert_string_equal(err.text, row->text);
}

/* ---- links */

static void test_follow(void **state)
{
    static char target[PATH_MAX];
    char made[] = "/tmp/tlsmsg-file-XXXXXX";
    char link[64];
    char want[64];
    char out[PATH_MAX];

    (void)state;
    assert_non_null(mkdtemp(made));
    (void)snprintf(link, sizeof(link), "%s/link", made);
    assert_false(file_follow(link, out));
    assert_false(file_follow(made, out));

    assert_int_equal(symlink("a/b", link), 0);
    assert_true(file_follow(link, out));
    (void)snprintf(want, sizeof(want), "%s/a/b", made);
    assert_string_equal(out, want);
    assert_int_equal(unlink(link), 0);

    /* The longest that there is. */
    memset(target, '/', sizeof(target) - 1);
    target[sizeof(target) - 2] = 'x';
    assert_int_equal(symlink(target, link), 0);
    assert_true(file_follow(link, out));
    assert_string_equal(out, target);
    assert_int_equal(unlink(link), 0);
    target[0] = 'x'; /* too long behind the folder */
    assert_int_equal(symlink(target, link), 0);
    assert_false(file_follow(link, out));
    assert_int_equal(unlink(link), 0);
    assert_int_equal(rmdir(made), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blanks),
        cmocka_unit_test(test_denied),
        cmocka_unit_test(test_may_make),
        cmocka_unit_test(test_follow),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_text, text_rows);
    RUN_ROWS(failed, test_cause, cause_rows);
    return failed;
}
