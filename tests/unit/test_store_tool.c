/* tlsmsg-store: its command line, and how it shows messages, to the letter. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "support/failmalloc.h"
#include "support/sqlite_faults.h"
#include "support/tool_run.h"
#include "support/unit.h"

#define HEAD "      1  2026-11-27 01:10:01  CN=alice               "
#define PLANTED SQLITE_FAULT_WORDS

/* Whether stdout is a terminal, and what poll(2) says of it. */
static struct {
    bool is_terminal;
    short revents[4];
    unsigned polls;
    void (*on_poll)(void);
} out;

int __wrap_isatty(int fd);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

int __wrap_isatty(int fd)
{
    return fd == STDOUT_FILENO && out.is_terminal;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    assert_int_equal(count, 1);
    assert_int_equal(fds->fd, STDOUT_FILENO);
    assert_int_equal(timeout_ms, 200);
    assert_true(out.polls < COUNT_OF(out.revents));
    fds->revents = out.revents[out.polls++];
    if (out.on_poll != NULL) {
        out.on_poll();
    }
    return fds->revents != 0;
}

static int begin(void **state)
{
    (void)scene_set_up(state);
    memset(&out, 0, sizeof(out));
    tool_init();
    tool_change("INSERT INTO producer VALUES(1, 'CN=alice', 'p', 0, 1)");
    return 0;
}

/* ---- the command line */

static const struct usage_row {
    const char *name;
    const char *words[5];
    const char *text;
} usage_rows[] = {
    {"nothing", {NULL}, "a command is missing (try 'tlsmsg-store --help')"},
    {"an option alone", {"-f"}, "a command is missing (try 'tlsmsg-store --help')"},
    {"an unknown command",
     {"frob\x1b"},
     "'frob\\x1b' is not a command (try: list, tail, export, verify, prune, backup, init)"},
    {"no store", {"export"}, "export wants a store (try: its file)"},
    {"no store to prune", {"prune", "--store-keep", "1d"}, "prune wants a store (try: its file)"},
    {"no copy", {"backup", "a"}, "backup wants a file to write to"},
    {"a file too many", {"verify", "a", "b"}, "verify takes one store and no further file"},
    {"follow a list", {"list", "a", "-f"}, "--follow and --lines are for tail"},
    {"lines of an export", {"export", "a", "-n", "3"}, "--follow and --lines are for tail"},
    {"keep a list", {"list", "a", "--store-keep", "1d"}, "--store-keep is for prune"},
    {"prune at no age", {"prune", "a"}, "prune wants --store-keep, such as --store-keep 90d"},
    {"lines in words", {"tail", "a", "-n", "x"}, "--lines wants a whole number"},
    {"lines below none", {"tail", "a", "-n", "-1"}, "--lines wants a whole number"},
    {"lines beyond all", {"tail", "a", "-n", "2147483648"}, "--lines wants a whole number"},
    {"no store there",
     {"list", "/nowhere/store.db"},
     "cannot open store '/nowhere/store.db': No such file or directory"},
};

static void test_usage(void **state)
{
    const struct usage_row *row = *state;

    (void)scene_set_up(state);
    (void)tool_run(row->words[0], row->words[1], row->words[2], row->words[3], row->words[4], NULL);
    tool_assert(2, "", row->text);
    (void)scene_tear_down(state);
}

static void test_answers(void **state)
{
    (void)state;
    assert_int_equal(tool_run("--version", NULL), 0);
    assert_int_equal(strncmp(tool_ran.out, "tlsmsg-store ", 13), 0);
    assert_string_equal(tool_ran.err, "");
    assert_int_equal(tool_run("list", "--help", NULL), 0);
    assert_non_null(strstr(tool_ran.out, "COMMAND TARGET [FILE] [OPTION]..."));
    assert_non_null(strstr(tool_ran.out, "Options of commands:\n"));
    assert_string_equal(tool_ran.err, "");
}

/* An address with a password, which no list of processes is to show: the copy is freed. */
static void test_a_password_stays_hidden(void **state)
{
    long live;

    (void)state;
    (void)tool_run("list", "postgresql://u:s3cret@127.0.0.1/d?nonsense=1", NULL);
    live = failmalloc_live();
    (void)tool_run("list", "postgresql://u:s3cret@127.0.0.1/d?nonsense=1", NULL);
    assert_int_equal(failmalloc_live(), live);
    assert_int_equal(tool_ran.exit, 2);
    assert_string_equal(tool_ran.out, "");
    assert_memory_equal(tool_ran.err, "tlsmsg-store: ", 14);
    assert_null(strstr(tool_ran.err, "s3cret"));
}

/* ---- what is shown */

static void test_a_line_each(void **state)
{
    (void)state;
    tool_add(1, 1, "hello");
    tool_change(
        "INSERT INTO producer VALUES(2, '', 'q', 0, 1), (3, 'CN=' || printf('%.*c', 30, 'x'),"
        " 'q', 0, 1), (4, 'CN=张三', 'q', 0, 1)");
    tool_add(2, 1, "two");
    tool_add(3, 1, "three");
    tool_add(4, 1, "four");
    tool_change("UPDATE message SET body = x'61000a1b5b' WHERE id = 2;"
                "UPDATE message SET body = x'', id = 12345678 WHERE id = 4;");
    (void)tool_run("list", scene.path, NULL);
    tool_assert(0,
                HEAD "hello\n"
                     "      2  2026-11-27 01:10:01  127.0.0.1:1            a\\x00\\n\\x1b[\n"
                     "      3  2026-11-27 01:10:01  CN=xxxxxxxxxxxxxxxxxx  three\n"
                     "12345678  2026-11-27 01:10:01  CN=张三                \n",
                NULL);
}

static void test_an_object_each(void **state)
{
    (void)state;
    tool_add(1, 1, "say \"hi\"");
    tool_change("INSERT INTO producer VALUES(2, '', '@run', 0, 1)");
    tool_add(2, 1, "two");
    tool_add(9, 7, "three");
    tool_change("UPDATE message SET time = 1000 WHERE id = 2;"
                "UPDATE message SET body = x'' WHERE id = 3");
    (void)tool_run("export", scene.path, NULL);
    tool_assert(
        0,
        "{\"time\":\"2026-11-27T01:10:01.069Z\",\"event\":\"message\",\"id\":1,\"connection\":4,"
        "\"peer\":\"127.0.0.1:1\",\"identity\":\"CN=alice\",\"producer\":\"p\",\"seq\":1,"
        "\"bytes\":8,\"message\":\"say \\\"hi\\\"\"}\n"
        "{\"time\":\"1970-01-01T00:00:01.000Z\",\"event\":\"message\",\"id\":2,\"connection\":4,"
        "\"peer\":\"127.0.0.1:1\",\"producer\":\"@run\",\"seq\":1,\"bytes\":3,"
        "\"message\":\"two\"}\n"
        "{\"time\":\"2026-11-27T01:10:01.069Z\",\"event\":\"message\",\"id\":3,\"connection\":4,"
        "\"peer\":\"127.0.0.1:1\",\"seq\":7,\"bytes\":0,"
        "\"message\":\"\"}\n",
        NULL);
}

/* Its letters take four bytes each. */
static void test_an_identity_of_large_letters(void **state)
{
    (void)state;
    tool_change("UPDATE producer SET identity = replace(hex(zeroblob(15)), '0', '𝐀')");
    tool_add(1, 1, "hello");
    (void)tool_run("list", scene.path, NULL);
    tool_assert(0, "      1  2026-11-27 01:10:01  𝐀𝐀𝐀𝐀𝐀𝐀𝐀𝐀𝐀𝐀𝐀𝐀𝐀𝐀𝐀𝐀𝐀𝐀𝐀𝐀𝐀  hello\n", NULL);
}

/* A terminal's line ends at its right edge, whatever stands there. */
static const struct cut_row {
    const char *name;
    const char *body;
    const char *shown;
} cut_rows[] = {
    {"27 columns fit", "123456789012345678901234567", "123456789012345678901234567"},
    {"28 do not", "1234567890123456789012345678", "123456789012345678901234..."},
    {"wide ones", "好好好好好好好好好好好好好好", "好好好好好好好好好好好好..."},
    {"a wide one that would stand half outside", "1好好好好好好好好好好好好好好",
     "1好好好好好好好好好好好..."},
    {"wide ones that fit", "1好好好好好好好好好好好好好", "1好好好好好好好好好好好好好"},
    {"an escape is cut like letters", "1234567890123456789012345\x1b",
     "123456789012345678901234..."},
};

static void test_cut(void **state)
{
    const struct cut_row *row = *state;
    char wanted[256];

    (void)begin(state);
    out.is_terminal = true;
    tool_add(1, 1, row->body);
    (void)tool_run("list", scene.path, NULL);
    (void)snprintf(wanted, sizeof(wanted), HEAD "%s\n", row->shown);
    tool_assert(0, wanted, NULL);
    (void)scene_tear_down(state);
}

/* Which characters take two columns, by both ends of each range. */
static void test_widths(void **state)
{
    static const struct {
        const char *narrow;
        const char *wide;
    } rows[] = {
        {"\u10FF", "\u1100"},         {"\u1160", "\u115F"},         {"\u2E7F", "\u2E80"},
        {"\uA4D0", "\uA4CF"},         {"\uABFF", "\uAC00"},         {"\uD7A4", "\uD7A3"},
        {"\uF8FF", "\uF900"},         {"\uFB00", "\uFAFF"},         {"\uFE2F", "\uFE30"},
        {"\uFE70", "\uFE6F"},         {"\uFEFE", "\uFF00"},         {"\uFF61", "\uFF60"},
        {"\uFFDF", "\uFFE0"},         {"\uFFE7", "\uFFE6"},         {"\U0001F2FF", "\U0001F300"},
        {"\U0001FB00", "\U0001FAFF"}, {"\U0001FFFD", "\U00020000"}, {"\U0003FFFE", "\U0003FFFD"},
    };
    static const char dots[] = "..........................";
    char body[128];
    char wanted[256];
    size_t i;

    (void)state;
    out.is_terminal = true;
    for (i = 0; i < COUNT_OF(rows); i++) {
        /* Of 27 columns the last two characters take two, and fit, or three, and do not. */
        tool_change("DELETE FROM message; DELETE FROM sqlite_sequence");
        (void)snprintf(body, sizeof(body), "%.26s%s", dots, rows[i].narrow);
        tool_add(1, 1, body);
        (void)tool_run("list", scene.path, NULL);
        (void)snprintf(wanted, sizeof(wanted), HEAD "%s\n", body);
        tool_assert(0, wanted, NULL);
        tool_change("DELETE FROM message; DELETE FROM sqlite_sequence");
        (void)snprintf(body, sizeof(body), "%.26s%s", dots, rows[i].wide);
        tool_add(1, 1, body);
        (void)tool_run("list", scene.path, NULL);
        (void)snprintf(wanted, sizeof(wanted), HEAD "%.24s...\n", dots);
        tool_assert(0, wanted, NULL);
    }
}

/* An id so long that the head leaves less. */
static void test_a_long_head_leaves_less(void **state)
{
    (void)state;
    out.is_terminal = true;
    tool_add(1, 1, "1234567890123456789012345678");
    tool_change("UPDATE message SET id = 100000000000000000");
    (void)tool_run("list", scene.path, NULL);
    tool_assert(0,
                "100000000000000000  2026-11-27 01:10:01  CN=alice               "
                "1234567890123...\n",
                NULL);
}

static void add_many(unsigned count)
{
    char sql[512];

    (void)snprintf(sql, sizeof(sql),
                   "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
                   " INSERT INTO message(time, run, connection, peer, producer, seq, body)"
                   " SELECT 0, 1, 1, 'a', 1, i, CAST('m' || i AS BLOB) FROM n",
                   count);
    tool_change(sql);
}

static unsigned lines(void)
{
    unsigned count = 0;
    const char *at = tool_ran.out;

    while ((at = strchr(at, '\n')) != NULL) {
        count++;
        at++;
    }
    return count;
}

static void test_tail_shows_the_last(void **state)
{
    static const struct {
        const char *lines;
        unsigned shown;
    } rows[] = {{"0", 0},   {"1", 1},   {"3", 3},          {"11", 11},
                {"12", 12}, {"13", 12}, {"2147483647", 12}};
    size_t i;

    (void)state;
    add_many(12);
    assert_int_equal(tool_run("tail", scene.path, NULL), 0);
    assert_int_equal(lines(), 10);
    assert_non_null(strstr(tool_ran.out, "  m3\n"));
    for (i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(tool_run("tail", scene.path, "-n", rows[i].lines, NULL), 0);
        assert_int_equal(lines(), rows[i].shown);
        assert_int_equal(strstr(tool_ran.out, "  m12\n") != NULL, rows[i].shown > 0);
    }
}

/* More than one piece of a read. */
static void test_a_list_of_many(void **state)
{
    (void)state;
    add_many(2500);
    tool_change("UPDATE message SET peer = ''");
    tool_change("UPDATE producer SET identity = ''");
    assert_int_equal(tool_run("list", scene.path, NULL), 0);
    /* All of it does not fit into what a test keeps. */
    assert_int_equal(strlen(tool_ran.out), sizeof(tool_ran.out) - 1);
    tool_change("DELETE FROM message WHERE id <= 1500");
    assert_int_equal(tool_run("list", scene.path, NULL), 0);
    assert_int_equal(lines(), 1000);
    assert_non_null(strstr(tool_ran.out, "  m2500\n"));
}

static void add_another(void)
{
    if (out.polls == 1) {
        tool_add(1, 2, "behind");
    }
}

/* Goes on with what comes, until nobody reads any more. */
static void test_tail_follows(void **state)
{
    static const short ends[] = {POLLERR, POLLNVAL, POLLERR | POLLOUT};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(ends); i++) {
        memset(&out, 0, sizeof(out));
        tool_change("DELETE FROM message; DELETE FROM sqlite_sequence");
        tool_add(1, 1, "hello");
        out.on_poll = add_another;
        out.revents[1] = POLLOUT;
        out.revents[2] = ends[i];
        (void)tool_run("tail", "-f", scene.path, NULL);
        tool_assert(1,
                    HEAD "hello\n"
                         "      2  2026-11-27 01:10:01  CN=alice               behind\n",
                    "cannot write to stdout: Broken pipe");
        assert_int_equal(out.polls, 3);
    }
}

/* ---- what fails */

static const struct fault_row {
    const char *name;
    enum sqlite_call call;
    const char *sql;
    unsigned nth;
    int result;
    int exit;
    const char *shown;
    const char *text;
} fault_rows[] = {
    {"no connection", SQLITE_CALL_OPEN, NULL, 1, SQLITE_CANTOPEN, 2, "",
     "cannot open store '%s': " PLANTED "14)"},
    {"what it is", SQLITE_CALL_STEP, "PRAGMA page_count", 1, SQLITE_NOTADB, 2, "",
     "cannot read store '%s': " PLANTED "26)"},
    {"a first page that is damaged", SQLITE_CALL_STEP, "PRAGMA page_count", 1, SQLITE_CORRUPT, 1,
     "", "cannot read store '%s': " PLANTED "11)"},
    {"to read only", SQLITE_CALL_EXEC, "PRAGMA query_only", 1, SQLITE_ERROR, 1, "",
     "cannot read store '%s': " PLANTED "1)"},
    {"rows", SQLITE_CALL_PREPARE, "SELECT message.id", 1, SQLITE_ERROR, 1, "",
     "cannot read store '%s': " PLANTED "1)"},
    {"where the last begin", SQLITE_CALL_STEP, "SELECT coalesce", 1, SQLITE_IOERR_READ, 1, "",
     "cannot read store '%s': " PLANTED "266)"},
    {"the first row", SQLITE_CALL_STEP, "SELECT message.id", 1, SQLITE_IOERR_READ, 1, "",
     "cannot read store '%s': " PLANTED "266)"},
};

static void test_fault(void **state)
{
    const struct fault_row *row = *state;
    int descriptors;

    (void)begin(state);
    tool_add(1, 1, "hello");
    descriptors = scene_descriptors();
    sqlite_fault_at(row->call, row->sql, row->nth, row->result);
    (void)tool_run("tail", scene.path, NULL);
    assert_true(sqlite_fault_end());
    tool_assert(row->exit, row->shown, row->text);
    assert_int_equal(scene_descriptors(), descriptors);
    (void)scene_tear_down(state);
}

static void replace(void)
{
    char other[TEST_PATH_MAX];
    FILE *file = fopen(test_folder_file(&scene.folder, "other", other), "wb");

    (void)fclose(file);
    (void)rename(other, scene.path);
}

static void test_what_can_not_be_shown(void **state)
{
    (void)state;
    sqlite_on_open = replace;
    (void)tool_run("list", scene.path, NULL);
    sqlite_on_open = NULL;
    tool_assert(2, "", "the store was replaced while it was opened");
    /* What it was replaced by is empty. */
    (void)tool_run("list", scene.path, NULL);
    tool_assert(2, "", "the store is empty (try: tlsmsg-store init)");
    (void)tool_run("prune", scene.path, "--store-keep", "1d", NULL);
    tool_assert(2, "", "the store is empty (try: tlsmsg-store init)");
}

/* What a crashed server has left in the log is for the next one; a log without anything goes. */
static void test_the_log_is_left_as_it_was(void **state)
{
    static const char *const commands[] = {"list", "export", "verify"};
    struct store_backend *backend = scene_open();
    struct store_item once = scene_item("p", 1, scene_hash_a);
    struct stat before;
    struct stat after;
    char name[TEST_PATH_MAX];
    size_t i;

    (void)state;
    scene_append(backend, &once, 1, true);
    backend->ops->close(backend, true);
    assert_int_equal(stat(test_folder_file(&scene.folder, "store.db-wal", name), &before), 0);
    for (i = 0; i < COUNT_OF(commands); i++) {
        (void)tool_run(commands[i], scene.path, NULL);
        assert_int_equal(stat(name, &after), 0);
        assert_int_equal(after.st_size, before.st_size);
        assert_int_equal(after.st_ino, before.st_ino);
    }
    backend = scene_open();
    backend->ops->close(backend, false);
    assert_int_equal(tool_run("list", scene.path, NULL), 0);
    assert_int_not_equal(access(name, F_OK), 0);
}

/* A client's spool is shown like a store. */
static void test_a_spool_is_shown(void **state)
{
    (void)state;
    tool_change("PRAGMA application_id = 0x746C7370");
    tool_add(1, 1, "hello");
    (void)tool_run("list", scene.path, NULL);
    tool_assert(0, HEAD "hello\n", NULL);
}

/* Whichever allocation of ours finds no memory, it is told, and nothing is shown in part. */
static void test_no_memory_to_show(void **state)
{
    static const char *const commands[] = {"list", "export"};
    size_t n;
    size_t i;
    int exit;

    (void)state;
    add_many(300); /* so that room grows at each of a line's parts */
    for (i = 0; i < COUNT_OF(commands); i++) {
        for (n = 1;; n++) {
            size_t needed;

            failmalloc_at(n);
            exit = tool_run(commands[i], scene.path, NULL);
            needed = failmalloc_count();
            failmalloc_at(0);
            if (needed < n) {
                break;
            }
            assert_int_equal(exit, 1);
            assert_string_equal(tool_ran.out, "");
            assert_string_equal(tool_ran.err, "tlsmsg-store: out of memory\n");
        }
        assert_int_equal(exit, 0);
        assert_true(n > 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_password_stays_hidden, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_line_each, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_an_identity_of_large_letters, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_an_object_each, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_widths, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_long_head_leaves_less, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_tail_shows_the_last, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_list_of_many, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_tail_follows, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_what_can_not_be_shown, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_the_log_is_left_as_it_was, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_a_spool_is_shown, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory_to_show, begin, scene_tear_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_usage, usage_rows);
    RUN_ROWS(failed, test_cut, cut_rows);
    RUN_ROWS(failed, test_fault, fault_rows);
    return failed;
}
