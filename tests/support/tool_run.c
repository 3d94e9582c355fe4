/* See tool_run.h. */
#include "support/tool_run.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "app/sha256.h"
#include "store/sqlite.h"
#include "support/unit.h"

#define WORDS_MAX 16

int store_tool_main(int argc, char **argv);

struct tool_ran tool_ran;

static int redirect(int fd, const char *name)
{
    char path[TEST_PATH_MAX];
    int before = dup(fd);
    int file = open(test_folder_file(&scene.folder, name, path),
                    O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(before >= 0 && file >= 0);
    assert_int_equal(dup2(file, fd), fd);
    (void)close(file);
    return before;
}

static void restore(int fd, int before, const char *name, char *text, size_t cap)
{
    char path[TEST_PATH_MAX];
    ssize_t got = pread(fd, text, cap - 1, 0);

    assert_true(got >= 0);
    text[got] = '\0';
    assert_int_equal(dup2(before, fd), fd);
    (void)close(before);
    assert_int_equal(unlink(test_folder_file(&scene.folder, name, path)), 0);
}

int tool_run(const char *word, ...)
{
    static char words[WORDS_MAX][TEST_PATH_MAX];
    char *argv[WORDS_MAX + 1] = {NULL};
    int argc = 0;
    va_list more;
    int out;
    int err;

    (void)snprintf(words[argc], sizeof(words[argc]), "tlsmsg-store");
    argv[argc] = words[argc];
    argc++;
    va_start(more, word);
    for (; word != NULL; word = va_arg(more, const char *)) {
        assert_true(argc < WORDS_MAX);
        (void)snprintf(words[argc], sizeof(words[argc]), "%s", word);
        argv[argc] = words[argc];
        argc++;
    }
    va_end(more);
    (void)fflush(stdout);
    out = redirect(STDOUT_FILENO, "stdout");
    err = redirect(STDERR_FILENO, "stderr");
    tool_ran.exit = store_tool_main(argc, argv);
    (void)fflush(stdout);
    restore(STDOUT_FILENO, out, "stdout", tool_ran.out, sizeof(tool_ran.out));
    restore(STDERR_FILENO, err, "stderr", tool_ran.err, sizeof(tool_ran.err));
    return tool_ran.exit;
}

/* Puts the store's path in the place of "%s". */
static void fill_in(char *out, size_t cap, const char *before, const char *text, const char *after)
{
    const char *at = strstr(text, "%s");

    if (at == NULL) {
        (void)snprintf(out, cap, "%s%s%s", before, text, after);
    } else {
        (void)snprintf(out, cap, "%s%.*s%s%s%s", before, (int)(at - text), text, scene.path, at + 2,
                       after);
    }
}

void tool_assert(int exit, const char *out, const char *err)
{
    static char wanted[sizeof(tool_ran.out)];

    if (err == NULL) {
        assert_string_equal(tool_ran.err, "");
    } else {
        fill_in(wanted, sizeof(wanted), "tlsmsg-store: ", err, "\n");
        assert_string_equal(tool_ran.err, wanted);
    }
    fill_in(wanted, sizeof(wanted), "", out, "");
    assert_string_equal(tool_ran.out, wanted);
    assert_int_equal(tool_ran.exit, exit);
}

void tool_init(void)
{
    struct store_backend *backend = NULL;

    assert_int_equal(sqlite_backend_open(scene.path, 1000, &backend, &scene.err), TLSMSG_OK);
    backend->ops->close(backend, false);
}

void tool_change(const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(scene.path, &db), SQLITE_OK);
    /* No test cuts the power. */
    assert_int_equal(sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    }
    (void)sqlite3_close(db);
}

void tool_add(int64_t producer, uint64_t seq, const char *body)
{
    unsigned char hash[SHA256_OUT_BYTES];
    char hex[2 * SHA256_OUT_BYTES + 1];
    char sql[1024];
    size_t i;

    assert_true(sha256(body, strlen(body), hash));
    for (i = 0; i < sizeof(hash); i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    }
    (void)snprintf(sql, sizeof(sql),
                   "INSERT INTO message(time, run, connection, peer, producer, seq, hash, body)"
                   " VALUES(1795741801069, 1, 4, '127.0.0.1:1', %" PRId64 ", %" PRIu64
                   ", x'%s', CAST('%s' AS BLOB));"
                   "UPDATE producer SET seq = %" PRIu64 " WHERE id = %" PRId64,
                   producer, seq, hex, body, seq, producer);
    tool_change(sql);
}
