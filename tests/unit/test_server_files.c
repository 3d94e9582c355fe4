/* The server program's files, the sockets that are passed to it, and its service manager: what it makes, with
 * which mode, and what a reload does. */
#include "support/unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/build.h"
#include "support/server_run.h"

#define SERVER "tlsmsg-server: "
#define LISTENING SERVER "listening on 127.0.0.1:*\n"
#define WAITING "Waiting for a client...\n"
#define SAID(text) "Client connected: ('127.0.0.1', *)\nMessage received: " text "\n"
#define RELOADED "* info: certificate: configuration reloaded\n"
#define REPLY(text) ">你好，我已收到你的消息：" text
#define SECRETS_TEXT                                                                               \
    "SESSION SECRETS ARE LOGGED: whoever reads the file of --keylog-file reads every message\n"
#define SECRETS "* warning: certificate: " SECRETS_TEXT
#define NO_ISSUER SERVER "warning: '/*/server.crt' does not hold the certificate of its issuer *\n"
#define WARNED SERVER "warning: " SECRETS_TEXT

static void assert_mode(const char *name, mode_t mode)
{
    char path[TEST_PATH_MAX];
    struct stat file;

    assert_int_equal(stat(server_run_path(name, path), &file), 0);
    assert_int_equal(file.st_mode & 0777, mode);
}

/* ---- the transcript */

static void take_a_strict_mask(void)
{
    (void)umask(077);
}

static bool has_the_servers_mask(void)
{
    return umask(0) == 022;
}

static const struct server_run into_a_file = {
    .in_child = take_a_strict_mask,
    .after = has_the_servers_mask,
    .args = {"--transcript", "@transcript"},
    .steps = {"<one", REPLY("one"), "hup", "shown reloaded", "<two", REPLY("two"), "leave", "term"},
    .err = LISTENING RELOADED};

static void test_a_transcript_in_a_file(void **state)
{
    (void)state;
    server_run_expect(&into_a_file);
    server_run_expect_file("transcript", WAITING SAID("one") "Message received: two\n");
    assert_mode("transcript", 0640);
}

static const struct server_run moved = {
    .args = {"--transcript", "@kept"},
    .steps = {"<one", REPLY("one"), "move kept", "hup", "shown reloaded", "<two", REPLY("two"),
              "block kept", "hup", "shown old file", "<three", REPLY("three"), "leave", "term"},
    .err = LISTENING RELOADED "* error: other: the transcript goes on in the old file: cannot open "
                              "transcript '/*/kept': it is not a regular file\n" RELOADED};

/* A new file is begun where the old one was; where none can be, the lines go on as before. */
static void test_a_transcript_that_is_moved(void **state)
{
    (void)state;
    server_run_expect(&moved);
    server_run_expect_file("kept.1", WAITING SAID("one"));
    server_run_expect_file("kept.2", "Message received: two\nMessage received: three\n");
}

/* ---- metrics */

static const struct server_run into_metrics = {.args = {"-q", "--metrics-file", "@metrics"},
                                               .steps = {"<one", REPLY("one"), "leave", "term"},
                                               .err = LISTENING};

static void test_metrics_in_a_file(void **state)
{
    (void)state;
    server_run_expect(&into_metrics);
    assert_mode("metrics", 0644);
}

/* ---- session keys */

#define KEYS "SERVER_HANDSHAKE_TRAFFIC_SECRET *\n*\n*\n*\n*\n"

static const struct server_run with_keys = {.args = {"-q", "--keylog-file", "@keys"},
                                            .steps = {"<one", REPLY("one"), "leave", "move keys",
                                                      "hup", "shown reloaded", "<two", REPLY("two"),
                                                      "leave", "term"},
                                            .err = LISTENING SECRETS SECRETS RELOADED};

/* Of each conversation in the file that was there when it began. */
static void test_session_keys_in_a_file(void **state)
{
    (void)state;
    server_run_expect(&with_keys);
    server_run_expect_file("keys.1", KEYS);
    server_run_expect_file("keys", KEYS);
    assert_mode("keys", 0600);
}

/* A folder that none but its owner can enter, with root's file in it. */
static void lay_keys(const char *folder, const char *file, uid_t owner)
{
    char path[TEST_PATH_MAX];
    int fd;

    assert_int_equal(mkdir(server_run_path(folder, path), 0700), 0);
    fd = open(server_run_path(file, path), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(chown(server_run_path(folder, path), owner, (gid_t)-1), 0);
}

static void remove_keys(const char *folder, const char *file)
{
    char path[TEST_PATH_MAX];

    assert_int_equal(unlink(server_run_path(file, path)), 0);
    assert_int_equal(rmdir(server_run_path(folder, path)), 0);
}

static const struct server_run keys_without_their_folder = {
    .args = {"-q", "--keylog-file", "@sub/keys"},
    .steps = {"shown listening", "move sub", "hup", "shown the old configuration stays", "<one",
              REPLY("one"), "leave", "term"},
    .err = LISTENING SECRETS
    "* error: certificate: the old configuration stays, since the new one fails: cannot open key "
    "log '/*/sub/keys': No such file or directory\n"};

static void test_session_keys_whose_folder_is_gone(void **state)
{
    char path[TEST_PATH_MAX];

    (void)state;
    assert_int_equal(mkdir(server_run_path("sub", path), 0700), 0);
    server_run_expect(&keys_without_their_folder);
    server_run_expect_file("sub.1/keys", KEYS);
    remove_keys("sub.1", "sub.1/keys");
}

static const struct server_run keys_of_another[] = {
    {.name = "of the user that serves",
     .args = {"--check", "--user", "nobody", "--keylog-file", "@closed/keys"},
     .exit = 2,
     .err = SERVER "user 'nobody' cannot open key log '/*/closed/keys', as a reload does (try: a "
                   "folder and a file of that user's): Permission denied\n"},
};

/* Root without its privileges is kept out as any other user is. */
static const struct server_run keys_out_of_reach[] = {
    {.name = "of root without privileges, checked",
     .args = {"--check", "--keylog-file", "@nobodys/keys"},
     .exit = 2,
     .err = NO_ISSUER WARNED SERVER
     "user 0 cannot open key log '/*/nobodys/keys' without root's privileges, as a reload does "
     "(try: a folder and a file of that user's): Permission denied\n"},
    {.name = "of root without privileges",
     .args = {"-q", "--keylog-file", "@nobodys/keys"},
     .exit = 2,
     .err = SERVER
     "user 0 cannot open key log '/*/nobodys/keys' without root's privileges, as a reload does "
     "(try: a folder and a file of that user's): Permission denied\n"},
};

/* ---- sockets that are passed */

/* Says that there is a socket. */
static void pass_nothing(void)
{
    char pid[16];

    (void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    (void)setenv("LISTEN_PID", pid, 1);
    (void)setenv("LISTEN_FDS", "1", 1);
}

/* As systemd passes them: the first is descriptor 3. */
static void pass_a_socket(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 8) != 0 ||
        (fd != 3 && (dup2(fd, 3) != 3 || close(fd) != 0))) {
        _exit(98);
    }
    pass_nothing();
}

static const struct server_run passed = {.in_child = pass_a_socket,
                                         .args = {"-q"},
                                         .steps = {"<one", REPLY("one"), "leave", "term"},
                                         .err = LISTENING LISTENING};

static void test_a_socket_that_is_passed(void **state)
{
    (void)state;
    server_run_expect(&passed);
}

static const struct server_run passed_nothing = {.in_child = pass_nothing,
                                                 .args = {"-q"},
                                                 .exit = 2,
                                                 .err = SERVER
                                                 "descriptor 3 is not a listening TCP socket\n"};

static void test_a_socket_that_is_none(void **state)
{
    (void)state;
    server_run_expect(&passed_nothing);
}

/* ---- a service manager */

static int manager;

static void be_managed(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(at);
    char name[64];

    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (manager < 0 || bind(manager, (struct sockaddr *)&at, sizeof(sa_family_t)) != 0 ||
        getsockname(manager, (struct sockaddr *)&at, &len) != 0) {
        _exit(98);
    }
    (void)snprintf(name, sizeof(name), "@%.*s", (int)(len - sizeof(sa_family_t) - 1),
                   at.sun_path + 1);
    (void)setenv("NOTIFY_SOCKET", name, 1);
}

/* What came begins so. */
static bool was_told(const char *text)
{
    char told[256] = "";

    return recv(manager, told, sizeof(told) - 1, 0) > 0 && strncmp(told, text, strlen(text)) == 0;
}

static bool was_told_of_start_and_end(void)
{
    bool good = was_told("READY=1\nSTATUS=Serving on 127.0.0.1:") &&
                was_told("STOPPING=1\nSTATUS=Ending conversations") && !was_told("");

    return close(manager) == 0 && good;
}

static const struct server_run managed = {.in_child = be_managed,
                                          .after = was_told_of_start_and_end,
                                          .args = {"-q"},
                                          .steps = {"shown listening", "term"},
                                          .err = LISTENING};

static void test_a_service_manager(void **state)
{
    (void)state;
    server_run_expect(&managed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_transcript_in_a_file),
        cmocka_unit_test(test_a_transcript_that_is_moved),
        cmocka_unit_test(test_metrics_in_a_file),
        cmocka_unit_test(test_session_keys_in_a_file),
        cmocka_unit_test(test_session_keys_whose_folder_is_gone),
        cmocka_unit_test(test_a_socket_that_is_passed),
        cmocka_unit_test(test_a_socket_that_is_none),
        cmocka_unit_test(test_a_service_manager),
    };
    int failed = server_run_setup(NULL);

    failed += cmocka_run_group_tests(tests, NULL, NULL);
    if (geteuid() == 0 && getpwnam("nobody") != NULL) {
        lay_keys("closed", "closed/keys", 0);
        lay_keys("nobodys", "nobodys/keys", getpwnam("nobody")->pw_uid);
        RUN_ROWS(failed, server_run_row, keys_of_another);
        if (BUILD_HAS_SANDBOX) {
            RUN_ROWS(failed, server_run_row, keys_out_of_reach);
        }
        remove_keys("closed", "closed/keys");
        remove_keys("nobodys", "nobodys/keys");
    }
    return failed + server_run_teardown(NULL);
}
