/* The key log: who may read it, what it may be, and what stands in it. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/config.h"
#include "support/tls_ends.h"

static struct tls_files files;

static const char *log_path(char out[TEST_PATH_MAX])
{
    return test_folder_file(&files.folder, "keys.log", out);
}

static struct tlsmsg_options *logging_options(void)
{
    return tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                       "server.key", TLSMSG_OPT_KEYLOG_FILE, "keys.log", TLSMSG_OPT_COUNT);
}

/* What stands at the path beforehand. */
enum there { A_FILE, A_LINK, A_FOLDER, A_FIFO, A_READ_FIFO };

struct place {
    const char *name;
    enum there there;
    mode_t mode;         /* of a file; 0: none is there */
    const char *refusal; /* what stands behind the path in the error; NULL: it is taken */
};

#define NOT_PLAIN                                                                                  \
    "is not a plain file of mode 0600, of the user that serves and with one name (chmod 600 "      \
    "mends "                                                                                       \
    "the mode)"

static const struct place places[] = {
    {"nothing", A_FILE, 0, NULL},
    {"a file of ours", A_FILE, 0600, NULL},
    {"a file that only we read", A_FILE, 0400, NULL},
    {"a file that others read", A_FILE, 0604, NOT_PLAIN},
    {"a file that the group reads", A_FILE, 0640, NOT_PLAIN},
    {"a file that others write", A_FILE, 0602, NOT_PLAIN},
    {"a link", A_LINK, 0, "(a symbolic link is not followed): Too many levels of symbolic links"},
    {"a folder", A_FOLDER, 0, ": Is a directory"},
    {"a fifo that nobody reads", A_FIFO, 0, ": it is not a regular file"},
    {"a fifo that somebody reads", A_READ_FIFO, 0, NOT_PLAIN},
};

static int reader = -1; /* of the fifo */

static void put(const struct place *row, const char *path)
{
    int fd;

    switch (row->there) {
    case A_FILE:
        if (row->mode == 0) {
            return;
        }
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "before\n", 7), 7);
        assert_int_equal(fchmod(fd, row->mode), 0);
        assert_int_equal(close(fd), 0);
        return;
    case A_LINK:
        assert_int_equal(symlink("elsewhere.log", path), 0);
        return;
    case A_FOLDER:
        assert_int_equal(mkdir(path, 0700), 0);
        return;
    case A_FIFO:
    case A_READ_FIFO:
        assert_int_equal(mkfifo(path, 0600), 0);
        if (row->there == A_READ_FIFO) {
            reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
            assert_true(reader >= 0);
        }
        return;
    }
}

/* The lowest descriptor that is free: the same again, where nothing was left open meanwhile. */
static int next_descriptor(void)
{
    int fd = dup(STDERR_FILENO);

    assert_true(fd >= 0);
    (void)close(fd);
    return fd;
}

static void test_place(void **state)
{
    const struct place *row = *state;
    struct tlsmsg_options *options = logging_options();
    struct transport_config *config = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char path[TEST_PATH_MAX];
    struct stat info = {.st_size = 0};
    enum tlsmsg_code code;
    int before;

    put(row, log_path(path));
    before = next_descriptor();
    if (row->mode == 0400 && geteuid() != 0) {
        tlsmsg_options_free(options);
        assert_int_equal(unlink(path), 0);
        skip(); /* only root may write to it */
    }
    code = config_from_options(options, NULL, &config, &err);
    tlsmsg_options_free(options);
    assert_int_equal(next_descriptor() == before, row->refusal != NULL);
    assert_int_equal(stat(path, &info), row->there == A_LINK ? -1 : 0);
    assert_int_equal(row->there == A_FOLDER ? rmdir(path) : unlink(path), 0);
    if (row->there == A_READ_FIFO) {
        assert_int_equal(close(reader), 0);
    }
    if (row->refusal == NULL) {
        assert_int_equal(code, TLSMSG_OK);
        assert_int_equal(info.st_mode & 07777, row->mode != 0 ? row->mode : 0600);
        assert_int_equal(info.st_size, row->mode != 0 ? 7 : 0);
        transport_config_unref(config);
    } else {
        assert_int_equal(code, TLSMSG_ERR_CONFIG);
        assert_non_null(strstr(err.text, path));
        assert_string_equal(err.text + strlen(err.text) - strlen(row->refusal), row->refusal);
    }
}

/* ---- somebody else opens it */

static int open_as_told(const char *path, void *user)
{
    const mode_t *mode = user;

    errno = EDQUOT;
    return *mode == 0 ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, *mode);
}

/* What comes of it is looked at as ever. */
static void test_opened_by_another(void **state)
{
    static const struct {
        mode_t mode; /* 0: it fails */
        const char *refusal;
    } rows[] = {{0600, NULL}, {0644, NOT_PLAIN}, {0, ": Disk quota exceeded"}};
    char path[TEST_PATH_MAX];

    (void)state;
    (void)log_path(path);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tlsmsg_options *options = logging_options();
        struct transport_config *config = NULL;
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        mode_t mode = rows[i].mode;

        tlsmsg_options_set_open_keylog(options, open_as_told, &mode);
        if (rows[i].refusal == NULL) {
            assert_int_equal(config_from_options(options, NULL, &config, &err), TLSMSG_OK);
            transport_config_unref(config);
        } else {
            assert_int_equal(config_from_options(options, NULL, &config, &err), TLSMSG_ERR_CONFIG);
            assert_string_equal(err.text + strlen(err.text) - strlen(rows[i].refusal),
                                rows[i].refusal);
        }
        tlsmsg_options_free(options);
        assert_int_equal(unlink(path), mode == 0 ? -1 : 0);
    }
}

/* One line of NSS's format: a label, 64 digits of the client's random, the secret's digits. */
static void check_line(const char *line, const char *label)
{
    size_t label_len = strlen(label);
    size_t digits = strspn(line + label_len + 1, "0123456789abcdefABCDEF");
    const char *secret = line + label_len + 1 + digits;

    assert_memory_equal(line, label, label_len);
    assert_int_equal(line[label_len], ' ');
    assert_int_equal(digits, 64);
    assert_int_equal(*secret, ' ');
    digits = strspn(secret + 1, "0123456789abcdefABCDEF");
    assert_in_range(digits, 64, 96);
    assert_string_equal(secret + 1 + digits, "\n");
}

static void test_secrets_of_a_handshake(void **state)
{
    static const char *const labels[] = {"SERVER_HANDSHAKE_TRAFFIC_SECRET",
                                         "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "EXPORTER_SECRET",
                                         "SERVER_TRAFFIC_SECRET_0", "CLIENT_TRAFFIC_SECRET_0"};
    struct transport_config *config = tls_config_from(logging_options(), NULL);
    struct bare_client client;
    char path[TEST_PATH_MAX];
    char line[512];
    bool found[COUNT_OF(labels)] = {false};
    FILE *file;

    (void)state;
    bare_client_init(&client, &files, TLS1_3_VERSION);
    bare_client_join(&client, config, NULL);
    assert_true(bare_client_handshake(&client));
    bare_client_fini(&client);
    transport_config_unref(config);

    file = fopen(log_path(path), "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        size_t i = 0;

        while (i < COUNT_OF(labels) && strncmp(line, labels[i], strlen(labels[i])) != 0) {
            i++;
        }
        assert_true(i < COUNT_OF(labels));
        assert_false(found[i]);
        found[i] = true;
        check_line(line, labels[i]);
    }
    for (size_t i = 0; i < COUNT_OF(labels); i++) {
        assert_true(found[i]);
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(unlink(path), 0);
}

/* Where a program has closed its standard input. */
static void test_log_on_descriptor_0(void **state)
{
    struct bare_client client;
    struct transport_config *config;
    char path[TEST_PATH_MAX];
    struct stat info;
    int input = dup(STDIN_FILENO);

    (void)state;
    (void)close(STDIN_FILENO);
    config = tls_config_from(logging_options(), NULL);
    assert_int_equal(fstat(STDIN_FILENO, &info), 0);
    assert_int_equal(info.st_size, 0);
    bare_client_init(&client, &files, TLS1_3_VERSION);
    bare_client_join(&client, config, NULL);
    assert_true(bare_client_handshake(&client));
    assert_int_equal(stat(log_path(path), &info), 0);
    assert_true(info.st_size > 0);
    bare_client_fini(&client);
    transport_config_unref(config);
    assert_int_equal(fstat(STDIN_FILENO, &info), -1); /* it is closed with it */
    assert_int_equal(unlink(path), 0);
    if (input >= 0) {
        assert_int_equal(dup2(input, STDIN_FILENO), STDIN_FILENO);
        assert_int_equal(close(input), 0);
    }
}

/* ---- a check, and a log of another user's */

static struct {
    unsigned calls;
    uid_t uid;
    gid_t gid;
    int sys_errno; /* 0: it is done, as far as the test is concerned */
} chowned;

int __wrap_fchown(int fd, uid_t uid, gid_t gid);

int __wrap_fchown(int fd, uid_t uid, gid_t gid)
{
    assert_true(fd >= 0);
    chowned.calls++;
    chowned.uid = uid;
    chowned.gid = gid;
    errno = chowned.sys_errno;
    return chowned.sys_errno == 0 ? 0 : -1;
}

/* Loads from the options as they are, checking only or not. */
static enum tlsmsg_code load(bool checks, bool has_owner, uid_t owner, struct tlsmsg_error *err)
{
    struct tlsmsg_options *options = logging_options();
    struct transport_config *config = NULL;
    struct tls_settings settings;
    enum tlsmsg_code code;

    options_tls(options, &settings);
    settings.checks = checks;
    settings.has_owner = has_owner;
    settings.owner_uid = owner;
    settings.owner_gid = 77;
    code = transport_config_new(&settings, NULL, &config, err);
    assert_int_equal(config != NULL, code == TLSMSG_OK);
    if (config != NULL) {
        assert_string_equal(
            transport_config_warning(config, transport_config_warning_count(config) - 1),
            "SESSION SECRETS ARE LOGGED: whoever reads the file of --keylog-file "
            "reads every message");
    }
    transport_config_unref(config);
    tlsmsg_options_free(options);
    return code;
}

static void test_a_check_leaves_nothing_behind(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char path[TEST_PATH_MAX];
    struct stat info;
    int fd;

    (void)state;
    assert_int_equal(load(true, false, 0, &err), TLSMSG_OK);
    assert_int_equal(access(log_path(path), F_OK), -1);
    /* One that is there is judged as it would be. */
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(load(true, false, 0, &err), TLSMSG_OK);
    assert_int_equal(fchmod(fd, 0644), 0);
    assert_int_equal(load(true, false, 0, &err), TLSMSG_ERR_CONFIG);
    assert_int_equal(fstat(fd, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0644);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
}

static void test_a_log_of_another_user(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char path[TEST_PATH_MAX];
    char text[512];

    (void)state;
    memset(&chowned, 0, sizeof(chowned));
    assert_int_equal(load(false, true, geteuid(), &err), TLSMSG_OK);
    assert_int_equal(chowned.calls, 0); /* it is that user's already */
    assert_int_equal(unlink(log_path(path)), 0);

    chowned.sys_errno = EPERM;
    assert_int_equal(load(false, true, geteuid() + 1, &err), TLSMSG_ERR_CONFIG);
    assert_int_equal(chowned.calls, 1);
    assert_int_equal(chowned.uid, geteuid() + 1);
    assert_int_equal(chowned.gid, 77);
    (void)snprintf(text, sizeof(text), "cannot open key log '%s': Operation not permitted", path);
    assert_string_equal(err.text, text);
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
    assert_int_equal(err.sys_errno, EPERM);
    assert_int_equal(unlink(path), 0);

    /* Made, and yet not that user's: it would be refused at the next start. */
    tlsmsg_error_clear(&err);
    chowned.sys_errno = 0;
    assert_int_equal(load(false, true, geteuid() + 1, &err), TLSMSG_ERR_CONFIG);
    (void)snprintf(text, sizeof(text), "key log '%s' " NOT_PLAIN, path);
    assert_string_equal(err.text, text);
    assert_int_equal(err.sys_errno, 0);
    /* One that is there is nobody's to give away. */
    assert_int_equal(chowned.calls, 2);
    assert_int_equal(load(false, true, geteuid() + 1, NULL), TLSMSG_ERR_CONFIG);
    assert_int_equal(chowned.calls, 2);
    assert_int_equal(unlink(path), 0);
}

/* A second name may be somebody else's way to it. */
static void test_a_log_with_two_names(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char path[TEST_PATH_MAX];
    char second[TEST_PATH_MAX];

    (void)state;
    assert_int_equal(load(false, false, 0, &err), TLSMSG_OK);
    assert_int_equal(link(log_path(path), test_folder_file(&files.folder, "second", second)), 0);
    assert_int_equal(load(false, false, 0, &err), TLSMSG_ERR_CONFIG);
    assert_int_equal(unlink(second), 0);
    assert_int_equal(load(false, false, 0, NULL), TLSMSG_OK);
    assert_int_equal(unlink(path), 0);
}

/* Without the option nothing is written anywhere, whatever the environment says. */
static void test_no_log_without_the_option(void **state)
{
    struct transport_config *config =
        tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                   "server.key", TLSMSG_OPT_COUNT);
    struct bare_client client;
    char path[TEST_PATH_MAX];

    (void)state;
    assert_int_equal(setenv("SSLKEYLOGFILE", log_path(path), 1), 0);
    bare_client_init(&client, &files, TLS1_3_VERSION);
    bare_client_join(&client, config, NULL);
    assert_true(bare_client_handshake(&client));
    bare_client_fini(&client);
    transport_config_unref(config);
    assert_int_equal(unsetenv("SSLKEYLOGFILE"), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(errno, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opened_by_another),
        cmocka_unit_test(test_secrets_of_a_handshake),
        cmocka_unit_test(test_log_on_descriptor_0),
        cmocka_unit_test(test_a_check_leaves_nothing_behind),
        cmocka_unit_test(test_a_log_of_another_user),
        cmocka_unit_test(test_a_log_with_two_names),
        cmocka_unit_test(test_no_log_without_the_option),
    };
    int failed = 0;

    tls_files_make(&files);
    RUN_ROWS(failed, test_place, places);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    tls_files_remove(&files);
    return failed;
}
