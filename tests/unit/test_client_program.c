/* The client program around its conversations: how it starts, whom it trusts, what it reports, and how
 * it connects. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "support/client_run.h"
#include "support/ends_identity.h"

#define FLOW "--document-flow"
#define PROMPT CLIENT_RUN_PROMPT
#define REPLY CLIENT_RUN_REPLY
#define CLIENT "tlsmsg-client: "
#define SERVER CLIENT "127.0.0.1:*: "
#define HELLO ">HELLO 1 last=0 max=1048576 window=4 promise=none\n"
#define SCREEN                                                                                     \
    "127.0.0.1:*\n"                                                                                \
    "  version       TLSv1.3\n"                                                                    \
    "  cipher        TLS_*\n"                                                                      \
    "  group         X25519*\n"                                                                    \
    "  protocol      the document's flow\n"                                                        \
    "  certificate   CN=server\n"                                                                  \
    "    names       localhost, 127.0.0.1\n"                                                       \
    "    issuer      CN=Test CA\n"                                                                 \
    "    valid       20*-*-* to 20*-*-*, * days left\n"                                            \
    "  pin           sha256//*=\n"                                                                 \
    "  verification  "
#define WRONG_PIN "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static const struct client_run starts[] = {
    {.name = "an option that there is not",
     .args = {"--nothing"},
     .exit = 2,
     .err = CLIENT "unknown option '--nothing' (try 'tlsmsg-client --help')\n"},
    {.name = "a second address",
     .args = {"host"},
     .exit = 2,
     .err = CLIENT "unexpected argument '127.0.0.1:*' (try 'tlsmsg-client --help')\n"},
    {.name = "a CA that is not there",
     .args = {"--ca", "/none"},
     .exit = 2,
     .err = CLIENT
     "cannot read CA file '/none': No such file or directory (scripts/gen-certs.sh makes one)\n"},
    {.name = "an empty message",
     .args = {"-m", ""},
     .exit = 2,
     .err = CLIENT "--message: an empty message can't be sent\n"},
    {.name = "a probe with a message",
     .args = {"--probe", "-mx"},
     .exit = 2,
     .err = CLIENT "--probe sends no message (leave --probe or --message out)\n"},
    {.name = "the version", .args = {"--version"}, .out = "tlsmsg-client 0.* (TLS, OpenSSL *)\n"},
    {.name = "the version, which nobody takes",
     .args = {"--version"},
     .full_stdout = true,
     .exit = 1,
     .err = CLIENT "cannot write to stdout: No space left on device\n"},
};

static const struct client_run probes[] = {
    {.name = "a server that is trusted",
     .args = {FLOW, "--probe"},
     .steps = {"accept", "end"},
     .out = SCREEN "trusted: its chain leads to --ca, and its name holds\n"},
    {.name = "a server that is trusted, in JSON",
     .args = {"--probe", "--format", "json"},
     .steps = {"accept", "end"},
     .out = "{\"time\":\"20*\",\"address\":\"127.0.0.1:*\",\"tls\":{\"version\":\"TLSv1.3\","
            "\"cipher\":\"*\",\"group\":\"*\",\"protocol\":\"tlsmsg/1\"},\"pin\":\"sha256//"
            "*=\",\"chain\":[{\"subject\":\"CN=server\","
            "\"issuer\":\"CN=Test CA\",\"names\":\"localhost, "
            "127.0.0.1\",\"pin\":\"sha256//*=\",\"not_before\":\"*\",\"not_after\":\"*"
            "\",\"days_left\":*}],\"result\":\"trusted\",\"detail\":\"its chain leads to --ca, "
            "and its name holds\",\"exit\":0}\n"},
    {.name = "a server of another key",
     .args = {FLOW, "--probe", "--pin", WRONG_PIN},
     .steps = {"refuse"},
     .exit = 4,
     .out = SCREEN "untrusted: the server's pin is "
                   "sha256//*=, which no --pin allows (a new "
                   "key? compare with scripts/gen-certs.sh show on the server)\n",
     .err = SERVER "the server's pin is sha256//*=, which no --pin "
                   "allows (a new key? compare with scripts/gen-certs.sh show on the server)\n"},
    {.name = "a server that wants a certificate",
     .args = {FLOW, "--probe"},
     .is_strict = true,
     .steps = {"refuse"},
     .exit = 5,
     .out = SCREEN "refused: the server wants a client certificate (alert: certificate "
                   "required); --cert and --key give one\n",
     .err = SERVER "the server wants a client certificate (alert: certificate required); --cert "
                   "and --key give one\n"},
    {.name = "a server that wants a certificate, in JSON",
     .args = {FLOW, "--probe", "--format=json"},
     .is_strict = true,
     .steps = {"refuse"},
     .exit = 5,
     .out = "{\"time\":\"20*\",\"address\":\"127.0.0.1:*\",\"tls\":{\"version\":\"TLSv1.3\","
            "\"cipher\":\"*\",\"group\":\"*\"},\"pin\":\"sha256//"
            "*=\",\"chain\":[{\"subject\":\"CN=server\","
            "\"issuer\":\"CN=Test CA\",\"names\":\"localhost, "
            "127.0.0.1\",\"pin\":\"sha256//*=\",\"not_before\":\"*\",\"not_after\":\"*"
            "\",\"days_left\":*}],\"result\":\"refused\",\"detail\":\"the server wants a client "
            "certificate (alert: certificate required); --cert and --key give one\",\"exit\":5}\n",
     .err = SERVER "the server wants a client certificate (alert: certificate required); --cert "
                   "and --key give one\n"},
    {.name = "by this system's CAs",
     .args = {FLOW, "--probe"},
     .by_system = true,
     .steps = {"accept", "end"},
     .out = SCREEN "trusted: its chain leads to a CA of this system, and its name holds\n"},
    {.name = "by a record alone",
     .args = {FLOW, "--probe", "--trust-on-first-use", "--accept-new", "--known-servers",
              "@known4"},
     .by_system = true,
     .steps = {"accept", "end"},
     .out = SCREEN "trusted: its key is the recorded one\n"},
    {.name = "whose verdict nobody takes",
     .args = {FLOW, "--probe"},
     .full_stdout = true,
     .steps = {"accept", "end"},
     .exit = 1,
     .err = CLIENT "cannot write to stdout: No space left on device\n"},
    {.name = "a server that is not there",
     .args = {FLOW, "--probe", "127.0.0.1:1"},
     .is_alone = true,
     .exit = 3,
     .err = CLIENT "cannot connect to 127.0.0.1:*: Connection refused\n"},
    {.name = "by a record",
     .args = {FLOW, "--probe", "--trust-on-first-use", "--accept-new", "--known-servers", "@known"},
     .steps = {"accept", "end"},
     .out = SCREEN "trusted: its chain, its name and its key are as asked for\n"},
};

/* A server that has another key than on first use. */
static void record_another_key(void)
{
    FILE *known = fopen(client_run_path("changed"), "w");

    assert_non_null(known);
    assert_true(fprintf(known, "%s " WRONG_PIN " 2026-01-31\n", client_run_address()) > 0);
    assert_int_equal(fclose(known), 0);
    assert_int_equal(chmod(client_run_path("changed"), 0600), 0);
}

/* A key that is not for its owner alone. */
static void open_key(void)
{
    char key[8192];
    FILE *from = fopen(ends_identity_key(), "r");
    FILE *to = fopen(client_run_path("open.key"), "w");
    size_t len;

    assert_true(from != NULL && to != NULL);
    len = fread(key, 1, sizeof(key), from);
    assert_int_equal(fwrite(key, 1, len, to), len);
    assert_int_equal(fclose(from) | fclose(to), 0);
    assert_int_equal(chmod(client_run_path("open.key"), 0644), 0);
}

/* open_memstream(3), which fails for want of memory in the next run. */
static bool lacks_stream;

FILE *__real_open_memstream(char **text, size_t *len);
FILE *__wrap_open_memstream(char **text, size_t *len);

FILE *__wrap_open_memstream(char **text, size_t *len)
{
    return lacks_stream ? NULL : __real_open_memstream(text, len);
}

static void take_streams(void)
{
    lacks_stream = true;
}

static const struct client_run meetings[] = {
    {.name = "no memory to tell of the connection",
     .args = {FLOW, "-q", "-v", "-m", "one"},
     .before = take_streams,
     .steps = {"accept", "<one", ">x", "end"},
     .out = "x\n",
     .err = CLIENT "out of memory\n" CLIENT "1 message: 1 answered\n"},
    {.name = "a key that others can read",
     .args = {FLOW, "-q", "-m", "one", "--cert", "CERT", "--key", "@open.key"},
     .before = open_key,
     .steps = {"accept", "<one", ">x", "end"},
     .out = "x\n",
     .err = CLIENT "warning: key '/tmp/*/open.key' can be read by others (chmod 600 "
                   "'/tmp/*/open.key')\n"},
    {.name = "a refusal behind the last line",
     .args = {FLOW, "-q"},
     .is_held = true,
     .is_strict = true,
     .steps = {"refuse", "go"},
     .exit = 5,
     .err = SERVER "the server wants a client certificate (alert: certificate required); --cert "
                   "and --key give one\n"},
    {.name = "a refusal behind a line that is none",
     .args = {FLOW, "-q"},
     .is_held = true,
     .is_strict = true,
     .input = "a\xff\n",
     .steps = {"refuse", "go"},
     .exit = 5,
     .err = CLIENT "line 1 of stdin was not sent: it is not valid UTF-8\n" SERVER
                   "the server wants a client certificate (alert: certificate required); --cert "
                   "and --key give one\n"},
    {.name = "a greeting that does not come, and then nobody is there",
     .args = {"-q", "-m", "one", "--retry", "30"},
     .steps = {"accept", "hello", "deaf", "close"},
     .exit = 3,
     .err = CLIENT "cannot connect to 127.0.0.1:*: Connection refused; trying again\n" CLIENT
                   "cannot connect to 127.0.0.1:*: Connection refused\n"},
    {.name = "a server that leaves, and then nobody is there",
     .args = {"-q", "-m", "one", "--retry", "30"},
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", "late 30001", "deaf", "cut"},
     .exit = 6,
     .err = SERVER "the server dropped the connection (no close_notify); connecting again\n" CLIENT
                   "cannot connect to 127.0.0.1:*: Connection refused\n"},
    {.name = "nobody is there",
     .args = {"-q", "-m", "one", "127.0.0.1:1"},
     .is_alone = true,
     .exit = 3,
     .err = CLIENT "cannot connect to 127.0.0.1:*: Connection refused\n"},
    {.name = "nobody is there for a while",
     .args = {"-q", "-m", "one", "--retry", "30", "127.0.0.1:1"},
     .is_alone = true,
     .exit = 3,
     .err = CLIENT "cannot connect to 127.0.0.1:*: Connection refused; trying again\n" CLIENT
                   "cannot connect to 127.0.0.1:*: Connection refused\n"},
    {.name = "a greeting that comes at the second connection",
     .args = {"-q", "-m", "one"},
     .steps = {"accept", "hello", "close", "accept", "hello", HELLO, "<MSG 1 3\none\n",
               ">OK 1 1\nx\n", "end"},
     .out = "x\n"},
    {.name = "a wrong pin",
     .args = {"-m", "one", "--pin", WRONG_PIN},
     .steps = {"refuse"},
     .exit = 4,
     .err = SERVER "the server's pin is sha256//*=, which no --pin "
                   "allows (a new key? compare with scripts/gen-certs.sh show on the server)\n"},
    {.name = "a new server that is recorded",
     .args = {"-q", "-m", "one", "--trust-on-first-use", "--accept-new", "--known-servers",
              "@known2"},
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", ">OK 1 1\nx\n", "end"},
     .out = "x\n"},
};

static const struct client_run typed[] = {
    {.name = "a server by its name",
     .args = {FLOW},
     .address = "localhost:%u",
     .kind = STDIN_TERMINAL,
     .input = "\x04",
     .steps = {"accept", "end"},
     .out = CLIENT "connected to localhost:* (127.0.0.1:*), encrypted with TLSv1.3, verified by "
                   "/tmp/*/ca.crt\n" PROMPT "\n"},
    {.name = "a server by its port",
     .args = {FLOW},
     .address = "%u",
     .kind = STDIN_TERMINAL,
     .input = "\x04",
     .steps = {"accept", "end"},
     .out = CLIENT "connected to 127.0.0.1:*, encrypted with TLSv1.3, verified by "
                   "/tmp/*/ca.crt\n" PROMPT "\n"},
    {.name = "a server by this system's CAs",
     .args = {FLOW},
     .by_system = true,
     .kind = STDIN_TERMINAL,
     .input = "\x04",
     .steps = {"accept", "end"},
     .out = CLIENT "connected to 127.0.0.1:*, encrypted with TLSv1.3, verified by "
                   "this system's CAs\n" PROMPT "\n"},
    {.name = "a server by its record alone",
     .args = {FLOW, "--trust-on-first-use", "--accept-new", "--known-servers", "@known3"},
     .by_system = true,
     .kind = STDIN_TERMINAL,
     .input = "\x04",
     .steps = {"accept", "end"},
     .out = CLIENT "connected to 127.0.0.1:*, encrypted with TLSv1.3, verified by "
                   "its key's record of first use\n" PROMPT "\n"},
    {.name = "a server with another key than its record",
     .args = {FLOW, "-m", "x", "--trust-on-first-use", "--known-servers", "@changed"},
     .before = record_another_key,
     .kind = STDIN_TERMINAL,
     .steps = {"refuse"},
     .exit = 4,
     .out = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\n"
            "         WARNING: THE KEY OF THE SERVER HAS CHANGED!\n"
            "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\n"
            "Somebody may be in between (man in the middle). Nothing was sent.\n" CLIENT
            "THE KEY OF SERVER '127.0.0.1:*' HAS CHANGED: somebody may be in between (man in the "
            "middle); recorded on 2026-01-31 " WRONG_PIN ", shown now sha256//*=; try: ask whoever "
            "runs the server; only if its key was replaced, remove its line from "
            "'/tmp/*/changed'\n"},
    {.name = "a server by its record",
     .args = {FLOW, "--trust-on-first-use", "--accept-new", "--known-servers", "@known2"},
     .kind = STDIN_TERMINAL,
     .input = "\x04",
     .steps = {"accept", "end"},
     .out = CLIENT "connected to 127.0.0.1:*, encrypted with TLSv1.3, verified by /tmp/*/ca.crt "
                   "and its key's record of first use\n" PROMPT "\n"},
    {.name = "nobody is there, and something was typed",
     .args = {"--retry", "0", "127.0.0.1:1"},
     .is_alone = true,
     .kind = STDIN_TERMINAL,
     .input = "one\n",
     .exit = 3,
     .out = CLIENT "cannot connect to 127.0.0.1:*: Connection refused\n" CLIENT
                   "nothing was sent (what was typed was discarded)\n"},
    {.name = "nobody is there, and nothing was typed",
     .args = {"--retry", "0", "127.0.0.1:1"},
     .is_alone = true,
     .kind = STDIN_TERMINAL,
     .exit = 3,
     .out = CLIENT "cannot connect to 127.0.0.1:*: Connection refused\n"},
    {.name = "a wrong pin with a message",
     .args = {"--retry", "0", "-m", "x", "--pin", WRONG_PIN},
     .kind = STDIN_TERMINAL,
     .input = "one\n",
     .steps = {"refuse"},
     .exit = 4,
     .out = SERVER "the server's pin is sha256//*=, which no --pin "
                   "allows (a new key? compare with scripts/gen-certs.sh show on the server)\n"},
};

/* ---- a server whose pin is given */

static void learn_pin(char pin[64])
{
    static const struct client_run probe = {.args = {FLOW, "--probe"}, .steps = {"accept", "end"}};
    const char *at = strstr(client_run(&probe)->out, "sha256//");

    assert_non_null(at);
    (void)snprintf(pin, 64, "%.*s", (int)strcspn(at, "\n"), at);
}

static void test_row(void **state)
{
    lacks_stream = false;
    client_run_row(state);
}

static void test_a_server_by_its_pin(void **state)
{
    char pin[64];
    struct client_run probe = {.args = {FLOW, "--probe", "--pin", pin},
                               .by_system = true,
                               .steps = {"accept", "end"},
                               .out = SCREEN "trusted: its key is the pinned one\n"};
    struct client_run typed_in = {
        .args = {FLOW, "--pin", pin},
        .by_system = true,
        .kind = STDIN_TERMINAL,
        .input = "\x04",
        .steps = {"accept", "end"},
        .out = CLIENT
        "connected to 127.0.0.1:*, encrypted with TLSv1.3, verified by its pin\n" PROMPT "\n"};

    (void)state;
    learn_pin(pin);
    client_run_expect(&probe);
    client_run_expect(&typed_in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_server_by_its_pin)};
    int failed = client_run_setup(NULL);

    failed += cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, client_run_row, starts);
    RUN_ROWS(failed, client_run_row, probes);
    RUN_ROWS(failed, test_row, meetings);
    lacks_stream = false;
    RUN_ROWS(failed, client_run_row, typed);
    return failed + client_run_teardown(NULL);
}
