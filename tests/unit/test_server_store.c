/* The server program with a store in a file: what is kept, what is told of it, and what is refused. */
#include "support/unit.h"

#include "support/server_run.h"

#define SERVER "tlsmsg-server: "
#define LISTENING SERVER "listening on 127.0.0.1:*\n"
#define REPLY(text) ">你好，我已收到你的消息：" text
#define NO_ISSUER SERVER "warning: '/*/server.crt' does not hold the certificate of its issuer *\n"
#define STORE "--store", "@store"

#define SCREEN(in, out)                                                                            \
    "tlsmsg-server *\n"                                                                            \
    "  up 0 d *, workers: 1, listening on 127.0.0.1:*\n"                                           \
    "  connections:   * open (0 in handshake), 1 accepted\n"                                       \
    "  conversations: 1 begun\n"                                                                   \
    "  messages:      " in "\n"                                                                    \
    "  replies:       " out ", 0 bytes wait\n"                                                     \
    "  ended:         1 clean\n"                                                                   \
    "  ends first:    certificate on *\n"

static const struct server_run runs[] = {
    {.name = "with its lines",
     .args = {STORE, "--format", "json"},
     .steps = {"<one", REPLY("one"), "<two", REPLY("two"), "leave", "said closed", "usr1",
               "shown commits", "term"},
     .out = "*\"listening\"*\n*\"connected\"*\n*\"message\":\"one\"}\n*\"message\":\"two\"}\n"
            "*\"how\":\"clean\",\"messages\":2,*\n",
     .err = LISTENING SCREEN("2 in * bytes", "2 in * bytes") "  transcript:    0 bytes wait for "
                                                             "stdout\n"
                                                             "  store:         2 messages in 2 "
                                                             "commits\n"},
    {.name = "without its lines",
     .args = {STORE, "-q", "--format", "json"},
     .steps = {"<one", REPLY("one"), "leave", "term"},
     .err = LISTENING},
    {.name = "checked",
     .args = {STORE, "--check"},
     .out = "The configuration is good.\n",
     .err = NO_ISSUER,
     .err_of_root = NO_ISSUER SERVER "checked as root, *\n"},
};

static const struct server_run refused[] = {
    {.name = "in a folder's place",
     .args = {"-q", "--store", "/"},
     .exit = 2,
     .err = SERVER "cannot open store '/': Is a directory\n"},
    {.name = "in a folder's place, checked",
     .args = {"--check", "--store", "/"},
     .exit = 2,
     .err = NO_ISSUER SERVER "cannot open store '/': Is a directory\n"},
};

int main(void)
{
    int failed = server_run_setup(NULL);

    RUN_ROWS(failed, server_run_row, runs);
    RUN_ROWS(failed, server_run_row, refused);
    return failed + server_run_teardown(NULL);
}
