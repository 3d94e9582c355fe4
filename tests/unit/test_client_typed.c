/* The client program at a terminal: prompts, what is told on the same screen, and what was typed. */
#include "support/unit.h"

#include "support/client_run.h"

#define FLOW "--document-flow"
#define PROMPT CLIENT_RUN_PROMPT
#define REPLY CLIENT_RUN_REPLY
#define CLIENT "tlsmsg-client: "
#define SERVER CLIENT "127.0.0.1:*: "
#define HELLO ">HELLO 1 last=0 max=1048576 window=4 promise=none\n"
#define CONNECTED CLIENT "connected to 127.0.0.1:*, encrypted with TLSv1.3, verified by /*/ca.crt\n"

#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X1024 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64

static const struct client_run document[] = {
    {.name = "more than a line of a terminal holds",
     .args = {FLOW},
     .kind = STDIN_TERMINAL,
     .input = X1024 X1024 X1024 X1024 "\n\x04",
     .steps = {"accept", "end"},
     .exit = 1,
     .out = CLIENT
     "connected to 127.0.0.1:*, encrypted with TLSv1.3, verified by /tmp/*/ca.crt\n" PROMPT
     "tlsmsg-client: line 1 of stdin was not sent: the terminal may have cut it at 4095 bytes; "
     "try: a file, a pipe or -m\n" PROMPT "\n"},
    {.name = "exit",
     .args = {FLOW},
     .kind = STDIN_TERMINAL,
     .input = "one\n\nexit\n",
     .steps = {"accept", "<one", ">x", "<exit", "end"},
     .out = CONNECTED PROMPT REPLY "x\n" PROMPT PROMPT},
    {.name = "the end",
     .args = {FLOW},
     .kind = STDIN_TERMINAL,
     .input = "one\n\x04",
     .steps = {"accept", "<one", ">x", "end"},
     .out = CONNECTED PROMPT REPLY "x\n" PROMPT "\n"},
    {.name = "replies alone",
     .args = {FLOW, "-q"},
     .kind = STDIN_TERMINAL,
     .input = "one\n\x04",
     .steps = {"accept", "<one", ">x", "end"},
     .out = "x\n"},
    {.name = "told at length",
     .args = {FLOW, "-v"},
     .kind = STDIN_TERMINAL,
     .input = "a\xff\n\x04",
     .steps = {"accept", "end"},
     .exit = 1,
     .out = CLIENT_RUN_CONNECTION PROMPT CLIENT
     "line 1 of stdin was not sent: it is not valid UTF-8\n" PROMPT "\n" CLIENT
     "1 message: 0 answered, 1 refused\n"},
    {.name = "the server leaves",
     .args = {FLOW},
     .kind = STDIN_TERMINAL,
     .input = "one\n",
     .steps = {"accept", "<one", ">x", "close"},
     .exit = 6,
     .out = CONNECTED PROMPT REPLY
     "x\n" PROMPT "\n" SERVER
     "the server closed the conversation (close_notify); try: connect again\n"},
    {.name = "asked about at the prompt",
     .args = {FLOW},
     .kind = STDIN_TERMINAL,
     .steps = {"accept", "shown leave): ", "usr1", "shown pin: ", "close"},
     .exit = 6,
     .out = CONNECTED PROMPT
     "\n" CLIENT_RUN_CONNECTION PROMPT "\n" SERVER
     "the server closed the conversation (close_notify); try: connect again\n"},
    {.name = "stopped at the prompt, and gone on",
     .args = {FLOW},
     .kind = STDIN_TERMINAL,
     .steps = {"accept", "shown leave): ", "cont", "shown leave): Enter a message", "close"},
     .exit = 6,
     .out = CONNECTED PROMPT PROMPT
     "\n" SERVER "the server closed the conversation (close_notify); try: connect again\n"},
    {.name = "stopped without a prompt, and gone on",
     .args = {FLOW, "-q"},
     .kind = STDIN_TERMINAL,
     .input = "one\n",
     .steps = {"accept", "<one", ">x", "shown x\n", "cont", "usr1", "shown pin: ", "close"},
     .exit = 6,
     .out = "x\n" CLIENT_RUN_CONNECTION SERVER
            "the server closed the conversation (close_notify); try: connect again\n"},
    {.name = "stopped during a message, and gone on",
     .args = {FLOW},
     .kind = STDIN_TERMINAL,
     .input = "one\n",
     .steps = {"accept", "<one", "cont", ">x", "shown x\nEnter", "usr1", "shown pin: ", "close"},
     .exit = 6,
     .out = CONNECTED PROMPT REPLY "x\n" PROMPT "\n" CLIENT_RUN_CONNECTION PROMPT "\n" SERVER
                                   "the server closed the conversation "
                                   "(close_notify); try: connect again\n"},
    {.name = "the server leaves with more typed",
     .args = {FLOW},
     .kind = STDIN_TERMINAL,
     .input = "one\ntwo\n",
     .steps = {"accept", "<one", "close"},
     .exit = 6,
     .out = CONNECTED PROMPT SERVER
     "the server closed the conversation (close_notify); the last "
     "message has no reply (line 1); try: connect again\n" CLIENT
     "1 message: 0 answered, 1 without an answer (line 1), not sent from line 2 (what was typed "
     "was discarded)\n"},
    {.name = "a message, and a refusal",
     .args = {FLOW},
     .kind = STDIN_TERMINAL,
     .is_held = true,
     .is_strict = true,
     .input = "one\n",
     .steps = {"refuse", "go"},
     .exit = 5,
     .out = CONNECTED PROMPT SERVER "the server wants a client certificate (alert: certificate "
                                    "required); --cert and --key give one\n"},
};

static const struct client_run numbered[] = {
    {.name = "exit",
     .kind = STDIN_TERMINAL,
     .input = "one\n\nexit\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", ">OK 1 1\nx\n", "<MSG 2 4\nexit\n",
               ">OK 2 1\ny\n", "end"},
     .out = CONNECTED PROMPT REPLY "x\n" PROMPT PROMPT},
    {.name = "the end",
     .kind = STDIN_TERMINAL,
     .input = "one\n\x04",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", ">OK 1 1\nx\n", "end"},
     .out = CONNECTED PROMPT REPLY "x\n" PROMPT "\n"},
    {.name = "the server leaves",
     .args = {"--retry", "0"},
     .kind = STDIN_TERMINAL,
     .input = "one\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", ">OK 1 1\nx\n", "shown x\nEnter",
               "close"},
     .exit = 6,
     .out = CONNECTED PROMPT REPLY
     "x\n" PROMPT "\n" SERVER
     "the server closed the conversation (close_notify); try: connect again\n"},
    {.name = "the server leaves a message",
     .args = {"--retry", "0"},
     .kind = STDIN_TERMINAL,
     .input = "one\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", "close"},
     .exit = 6,
     .out =
         CONNECTED PROMPT SERVER "the server closed the conversation (close_notify) (line 1); try: "
                                 "connect again\n"},
    {.name = "the server leaves with more typed",
     .args = {"--retry", "0"},
     .kind = STDIN_TERMINAL,
     .input = "\none\ntwo\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", "close"},
     .exit = 6,
     .out = CONNECTED PROMPT PROMPT SERVER
     "the server closed the conversation (close_notify) (line 2); try: connect again\n" CLIENT
     "1 message: 0 answered, 1 without an answer (line 2), not sent from line 3 (what was typed "
     "was discarded)\n"},
    {.name = "the server leaves an exit",
     .args = {"--retry", "0"},
     .kind = STDIN_TERMINAL,
     .input = "exit\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 4\nexit\n", "close"},
     .exit = 6,
     .out = CONNECTED PROMPT SERVER
     "the server closed the conversation (close_notify); try: connect again\n"},
    {.name = "asked about during a message",
     .kind = STDIN_TERMINAL,
     .input = "one\nexit\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", "usr1", "shown pin: ", ">OK 1 1\nx\n",
               "<MSG 2 4\nexit\n", ">OK 2 1\ny\n", "end"},
     .out = CONNECTED PROMPT CLIENT_RUN_CONNECTION REPLY "x\n" PROMPT},
    {.name = "lost and found",
     .kind = STDIN_TERMINAL,
     .input = "one\nexit\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", "cut", "accept", "hello", HELLO,
               "<MSG 1 3\none\n", ">OK 1 1\nx\n", "<MSG 2 4\nexit\n", ">OK 2 1\ny\n", "end"},
     .out =
         CONNECTED PROMPT SERVER "the server dropped the connection (no close_notify); connecting "
                                 "again\n" REPLY "x\n" PROMPT},
};

int main(void)
{
    int failed = client_run_setup(NULL);

    RUN_ROWS(failed, client_run_row, document);
    RUN_ROWS(failed, client_run_row, numbered);
    return failed + client_run_teardown(NULL);
}
