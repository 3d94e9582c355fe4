/* The server program: how it starts, what it prints, what signals do, and how it ends; its files are in
 * test_server_files.c. */
#include "support/unit.h"

#include <stdio.h>
#include <stdlib.h>
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
#define STRANGERS_5 "garbage", "garbage", "garbage", "garbage", "garbage"
#define CLOSED "*\"event\":\"closed\"*\"how\":\"handshake\"*\n"
#define CLOSED_5 CLOSED CLOSED CLOSED CLOSED CLOSED
#define HTTP "* warning * plaintext-peer: *\n"
#define HTTP_5 HTTP HTTP HTTP HTTP HTTP
#define LEFT_OUT(cause, what) "* warning: " cause ": " what " were left out\n"
#define NO_ISSUER                                                                                  \
    SERVER                                                                                         \
    "warning: '/*/server.crt' does not hold the certificate of its issuer 'CN=Test CA', so "       \
    "clients need it among their CAs; try: append it, unless it is a root that they have\n"

static const struct server_run talks[] = {
    {.name = "a message",
     .steps = {"<one", REPLY("one"), "leave", "said one", "term"},
     .out = WAITING SAID("one"),
     .err = LISTENING},
    {.name = "a message that would change the terminal",
     .steps = {"<a\x1b[2J", REPLY("a\x1b[2J"), "leave", "said 2J", "term"},
     .out = WAITING SAID("a\\x1b[2J"),
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
    /* A reply says that the worker is done with all that came before. */
    {.name = "among strangers",
     .args = {"--format", "json"},
     .clock_stands = true,
     .steps = {STRANGERS_5, STRANGERS_5, "<one", REPLY("one"), "garbage", "garbage", "<two",
               REPLY("two"), "later 1000", "garbage", "<three", REPLY("three"),
               "shown were left out", "garbage", "<four", REPLY("four"), "leave", "term"},
     .out = "*\"listening\"*\n" CLOSED_5 CLOSED_5 "*\"connected\"*\n*\"one\"}\n*\"two\"}\n" CLOSED
            "*\"three\"}\n*\"four\"}\n*\"clean\"*\n",
     .err = LISTENING HTTP_5 HTTP_5 HTTP LEFT_OUT("limit",
                                                  "2 transcript lines about failed handshakes")
         LEFT_OUT("limit", "1 transcript lines about failed handshakes")
             LEFT_OUT("plaintext-peer", "3 more of these in 2 s")},
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
    {.name = "an age for a store in a database",
     .args = {"--store", "postgresql://u:secret@h/d", "--store-keep", "1d"},
     .exit = 2,
     .err = SERVER "--store-keep and --store-min-free are for a store in a file (try: "
                   "tlsmsg-store prune, run now and then by the database's owner)\n"},
    {.name = "help in Chinese",
     .args = {"--lang", "zh", "--help"},
     .is_bare = true,
     .out_goes_on = true,
     .out = "用法：tlsmsg-server [选项]...\n接收任意多个客户端的消息，逐条回应。\n"},
    {.name = "help in English",
     .args = {"--lang", "en", "--help"},
     .is_bare = true,
     .out_goes_on = true,
     .out = "Usage: tlsmsg-server [OPTION]...\nReceives messages from any number of clients"},
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

static const struct server_run good_checks[] = {
    {.name = "good",
     .args = {"--check"},
     .out = "The configuration is good.\n",
     .err = NO_ISSUER,
     .err_of_root = NO_ISSUER AS_ROOT},
    {.name = "nobody takes the answer",
     .args = {"--check"},
     .full_stdout = true,
     .exit = 1,
     .err = NO_ISSUER SERVER "cannot write to stdout: No space left on device\n",
     .err_of_root = NO_ISSUER AS_ROOT SERVER "cannot write to stdout: No space left on device\n"},
};

/* ---- plaintext */

static const struct server_run plain[] = {
    {.name = "a message",
     .steps = {"<one", REPLY("one"), "leave", "said one", "term"},
     .out = WAITING SAID("one"),
     .err = LISTENING},
    {.name = "a message with any bytes",
     .steps = {"<a\x1b[2J", REPLY("a\x1b[2J"), "leave", "said 2J", "term"},
     .out = WAITING SAID("a\x1b[2J"),
     .err = LISTENING},
    {.name = "a store",
     .args = {"--store", "x"},
     .exit = 2,
     .err = SERVER "--store needs TLS, and this is the plaintext build\n"},
    {.name = "a store's age",
     .args = {"--store-keep", "1d"},
     .exit = 2,
     .err = SERVER "--store-keep needs TLS, and this is the plaintext build\n"},
    {.name = "a store's room",
     .args = {"--store-min-free", "1"},
     .exit = 2,
     .err = SERVER "--store-min-free needs TLS, and this is the plaintext build\n"},
    {.name = "a store's timeout",
     .args = {"--store-timeout", "1"},
     .exit = 2,
     .err = SERVER "--store-timeout needs TLS, and this is the plaintext build\n"},
};

int main(void)
{
    int failed = server_run_setup(NULL);

    if (!BUILD_HAS_TLS) {
        RUN_ROWS(failed, server_run_row, plain);
        return failed + server_run_teardown(NULL);
    }
    RUN_ROWS(failed, server_run_row, talks);
    RUN_ROWS(failed, server_run_row, starts);
    RUN_ROWS(failed, server_run_row, checks);
    write_config("open", "user password=x\nlang password=y\n", 0644);
    write_config("private", "user password=x\nlang password=y\n", 0600);
    write_config("harmless", "user x\nlang y\n", 0644);
    RUN_ROWS(failed, server_run_row, configured);
    RUN_ROWS(failed, server_run_row, good_checks);
    return failed + server_run_teardown(NULL);
}
