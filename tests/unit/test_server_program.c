/* The server program: how it starts, what it prints, what signals do, and how it ends. */
#include "support/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/build.h"
#include "support/server_run.h"

#define SERVER "tlsmsg-server: "
#define LISTENING SERVER "listening on 127.0.0.1:*\n"
#define WAITING "Waiting for a client...\n"
#define SAID(text) "Client connected: ('127.0.0.1', *)\nMessage received: " text "\n"
#define RELOADED "* info: certificate: configuration reloaded\n"
#define REPLY(text) ">你好，我已收到你的消息：" text
#define NO_ISSUER                                                                                  \
    SERVER                                                                                         \
    "warning: '/*/server.crt' does not hold the certificate of its issuer 'CN=Test CA', so "       \
    "clients need it among their CAs; try: append it, unless it is a root that they have\n"

static const struct server_run talks[] = {
    {.name = "a message",
     .steps = {"<one", REPLY("one"), "leave", "said one", "term"},
     .out = WAITING SAID("one"),
     .err = LISTENING},
    {.name = "without a transcript",
     .args = {"-q"},
     .steps = {"<one", REPLY("one"), "leave", "term"},
     .err = LISTENING},
    {.name = "in JSON",
     .args = {"--format", "json"},
     .steps = {"<one", REPLY("one"), "leave", "said closed", "term"},
     .out = "{\"time\":\"*\",\"event\":\"listening\",\"address\":\"127.0.0.1:*\"}\n"
            "{\"time\":\"*\",\"event\":\"connected\",\"connection\":1,\"peer\":\"127.0.0.1:*\","
            "\"tls\":{\"version\":\"TLSv1.3\",\"cipher\":\"*\",\"group\":\"*\",\"resumed\":false},"
            "\"flow\":\"tlsmsg/1\"}\n"
            "{\"time\":\"*\",\"event\":\"message\",\"connection\":1,\"peer\":\"127.0.0.1:*\","
            "\"seq\":1,\"bytes\":3,\"message\":\"one\"}\n"
            "{\"time\":\"*\",\"event\":\"closed\",\"connection\":1,\"how\":\"clean\",\"messages\":"
            "1,\"seconds\":*}\n",
     .err = LISTENING},
    {.name = "told at length",
     .args = {"-q", "--log-level", "info"},
     .steps = {"<one", REPLY("one"), "hup", "shown reloaded", "leave", "term"},
     .err = "* info: other: sandbox: *\n" LISTENING RELOADED},
    /* Replies count a moment after the client has them; all do once the conversation is over. */
    {.name = "asked for its state",
     .args = {"--format", "json"},
     .steps = {"<one", REPLY("one"), "leave", "said closed", "usr1", "shown ends first", "term"},
     .out = "*\n*\n*\n*\"event\":\"closed\"*\n",
     .err = LISTENING "tlsmsg-server *\n"
                      "  up 0 d *, workers: 1, listening on 127.0.0.1:*\n"
                      "  connections:   * open (0 in handshake), 1 accepted\n"
                      "  conversations: 1 begun\n"
                      "  messages:      1 in 20 bytes\n"
                      "  replies:       1 in 99 bytes, 0 bytes wait\n"
                      "  ended:         1 clean\n"
                      "  ends first:    certificate on *\n"
                      "  transcript:    * bytes wait for stdout\n"},
    {.name = "stopped under a conversation",
     .args = {"-q", "--drain-timeout", "0"},
     .steps = {"<one", REPLY("one"), "term"},
     .err = LISTENING},
};

static const struct server_run starts[] = {
    {.name = "a stdout that takes nothing",
     .full_stdout = true,
     .exit = 1,
     .err = SERVER "cannot write the transcript: No space left on device\n"},
    {.name = "an option that there is not",
     .args = {"--nothing"},
     .is_bare = true,
     .exit = 2,
     .err = SERVER "unknown option '--nothing' (try 'tlsmsg-server --help')\n"},
    {.name = "an operand",
     .args = {"nothing"},
     .is_bare = true,
     .exit = 2,
     .err = SERVER "unexpected argument 'nothing' (try 'tlsmsg-server --help')\n"},
    {.name = "a certificate that is not there",
     .args = {"--cert", "/none", "--key", "/none"},
     .exit = 2,
     .err = SERVER "cannot read certificate '/none': No such file or directory "
                   "(scripts/gen-certs.sh makes one)\n"},
    {.name = "an address of another machine",
     .args = {"-l", "192.0.2.1:1"},
     .exit = 1,
     .err = SERVER "cannot listen on 192.0.2.1:1: Cannot assign requested address (it is not an "
                   "address of this machine)\n"},
    {.name = "a user that there is not",
     .args = {"--user", "nobody-of-that-name"},
     .exit = 2,
     .err = SERVER "--user: there is no user 'nobody-of-that-name'\n"},
    {.name = "metrics in a folder's place",
     .args = {"--metrics-file", "/"},
     .exit = 2,
     .err = SERVER "cannot write metrics '/': Is a directory\n"},
    {.name = "a transcript in a folder's place",
     .args = {"--transcript", "/"},
     .exit = 2,
     .err = SERVER "cannot open transcript '/': Is a directory\n"},
    {.name = "a key log in no folder",
     .args = {"--keylog-file", "/none/log"},
     .exit = 2,
     .err = SERVER "cannot open key log '/none/log': No such file or directory\n"},
    {.name = "the version", .args = {"-V"}, .is_bare = true, .out = "tlsmsg-server *\n"},
    {.name = "a store's option alone",
     .args = {"--store-keep", "1d"},
     .exit = 2,
     .err = SERVER "--store-keep, --store-min-free and --store-timeout need --store\n"},
};

static const struct server_run checks[] = {
    {.name = "a certificate that is not there, checked",
     .args = {"--check", "--cert", "/none", "--key", "/none"},
     .exit = 2,
     .err = SERVER "cannot read certificate '/none': No such file or directory "
                   "(scripts/gen-certs.sh makes one)\n"},
    {.name = "metrics in a folder's place, checked",
     .args = {"--check", "--metrics-file", "/"},
     .exit = 2,
     .err = SERVER "cannot write metrics '/': Is a directory\n"},
    {.name = "a transcript in a folder's place, checked",
     .args = {"--check", "--transcript", "/"},
     .exit = 2,
     .err = NO_ISSUER SERVER "cannot open transcript '/': Is a directory\n"},
    {.name = "a user that there is not, checked",
     .args = {"--check", "--user", "nobody-of-that-name"},
     .exit = 2,
     .err = SERVER "--user: there is no user 'nobody-of-that-name'\n"},
};

static const struct server_run configured[] = {
    {.name = "a password that others can read",
     .args = {"--config", "@open"},
     .exit = 2,
     .err = SERVER "warning: '/*/open' holds a password and others can read it; try: chmod o= "
                   "/*/open\n" SERVER "--user: there is no user 'password=x'\n"},
    {.name = "a password that others cannot read",
     .args = {"--config", "@private"},
     .exit = 2,
     .err = SERVER "--user: there is no user 'password=x'\n"},
    {.name = "no password",
     .args = {"--config", "@harmless"},
     .exit = 2,
     .err = SERVER "--user: there is no user 'x'\n"},
};

static void write_config(const char *name, const char *text, mode_t mode)
{
    char path[TEST_PATH_MAX];
    FILE *file = fopen(server_run_path(name, path), "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

#define AS_ROOT                                                                                    \
    SERVER "checked as root, who alone can read '/*/server.crt', '/*/server.key'; try: --user "    \
           "NAME checks as the service's user\n"

static const struct server_run checks_by_root[] = {
    {.name = "good",
     .args = {"--check"},
     .out = "The configuration is good.\n",
     .err = NO_ISSUER AS_ROOT},
    {.name = "nobody takes the answer",
     .args = {"--check"},
     .full_stdout = true,
     .exit = 1,
     .err = NO_ISSUER AS_ROOT SERVER "cannot write to stdout: No space left on device\n"},
};

static const struct server_run checks_by_others[] = {
    {.name = "good", .args = {"--check"}, .out = "The configuration is good.\n", .err = NO_ISSUER},
    {.name = "nobody takes the answer",
     .args = {"--check"},
     .full_stdout = true,
     .exit = 1,
     .err = NO_ISSUER SERVER "cannot write to stdout: No space left on device\n"},
};

/* ---- files */

static const struct server_run into_a_file = {
    .args = {"--transcript", "@transcript"},
    .steps = {"<one", REPLY("one"), "hup", "shown reloaded", "<two", REPLY("two"), "leave", "term"},
    .err = LISTENING RELOADED};

static void test_a_transcript_in_a_file(void **state)
{
    (void)state;
    server_run_expect(&into_a_file);
    server_run_expect_file("transcript", WAITING SAID("one") "Message received: two\n");
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

static const struct server_run into_metrics = {.args = {"-q", "--metrics-file", "@metrics"},
                                               .steps = {"<one", REPLY("one"), "leave", "term"},
                                               .err = LISTENING};

static void test_metrics_in_a_file(void **state)
{
    char path[TEST_PATH_MAX];
    struct stat file;

    (void)state;
    server_run_expect(&into_metrics);
    assert_int_equal(stat(server_run_path("metrics", path), &file), 0);
    assert_int_equal(file.st_mode & 0777, 0644);
}

/* ---- sockets that are passed */

/* As systemd passes them: the first is descriptor 3. */
static void pass_a_socket(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char pid[16];

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 8) != 0 ||
        (fd != 3 && (dup2(fd, 3) != 3 || close(fd) != 0))) {
        _exit(98);
    }
    (void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    (void)setenv("LISTEN_PID", pid, 1);
    (void)setenv("LISTEN_FDS", "1", 1);
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

/* ---- plaintext */

static const struct server_run plain[] = {
    {.name = "a message",
     .steps = {"<one", REPLY("one"), "leave", "said one", "term"},
     .out = WAITING SAID("one"),
     .err = LISTENING},
    {.name = "a store",
     .args = {"--store", "x"},
     .exit = 2,
     .err = SERVER "--store needs TLS, and this is the plaintext build\n"},
};

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_transcript_in_a_file),
        cmocka_unit_test(test_a_transcript_that_is_moved),
        cmocka_unit_test(test_metrics_in_a_file),
        cmocka_unit_test(test_a_socket_that_is_passed),
    };
    int failed = server_run_setup(NULL);

    if (!BUILD_HAS_TLS) {
        RUN_ROWS(failed, server_run_row, plain);
        return failed + server_run_teardown(NULL);
    }
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    RUN_ROWS(failed, server_run_row, talks);
    RUN_ROWS(failed, server_run_row, starts);
    RUN_ROWS(failed, server_run_row, checks);
    write_config("open", "user password=x\nlang password=y\n", 0644);
    write_config("private", "user password=x\nlang password=y\n", 0600);
    write_config("harmless", "user x\nlang y\n", 0644);
    RUN_ROWS(failed, server_run_row, configured);
    if (geteuid() == 0) {
        RUN_ROWS(failed, server_run_row, checks_by_root);
    } else {
        RUN_ROWS(failed, server_run_row, checks_by_others);
    }
    return failed + server_run_teardown(NULL);
}
