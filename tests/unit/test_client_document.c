/* The client program in the document's flow: what it sends, what it prints, how it ends. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>

#include "support/client_run.h"

#define FLOW "--document-flow"
#define PROMPT CLIENT_RUN_PROMPT
#define REPLY CLIENT_RUN_REPLY
#define CLIENT "tlsmsg-client: "
#define SERVER CLIENT "127.0.0.1:*: "
#define LEFT SERVER "the server closed the conversation (close_notify)"

#define LONGEST 16000 /* bytes: what a record takes */

static char longest[1 + LONGEST + 1];                 /* a step that expects a line of these */
static char longest_lines[LONGEST + 2 + LONGEST + 2]; /* of a byte more, and of these */

static void fill_longest(void)
{
    memset(longest, 'x', 1 + LONGEST);
    longest[0] = '<';
    (void)snprintf(longest_lines, sizeof(longest_lines), "%sx\n%s\n", longest + 1, longest + 1);
}

static const struct client_run lines[] = {
    {.name = "of a file",
     .args = {FLOW},
     .input = "one\n\ntwo",
     .steps = {"accept", "<one", ">x", "<two", ">y", "end"},
     .out = PROMPT REPLY "x\n" PROMPT PROMPT REPLY "y\n" PROMPT,
     .left_at = 8},
    {.name = "of a pipe, replies alone",
     .args = {FLOW, "-q"},
     .kind = STDIN_PIPE,
     .input = "one\nexit\n",
     .steps = {"accept", "<one", ">x", "<exit", ">y", "end"},
     .out = "x\ny\n"},
    {.name = "in JSON",
     .args = {FLOW, "--format", "json"},
     .input = "one\n\nthree\n",
     .steps = {"accept", "<one", ">x", "<three", ">y", "end"},
     .out = "{\"seq\":1,\"bytes\":3,\"reply\":\"x\",\"seconds\":0.*}\n"
            "{\"seq\":2,\"bytes\":5,\"reply\":\"y\",\"seconds\":0.*}\n",
     .left_at = 11},
    {.name = "exit",
     .args = {FLOW},
     .input = "one\nexit\n",
     .steps = {"accept", "<one", ">x", "<exit", "end"},
     .out = PROMPT REPLY "x\n" PROMPT,
     .left_at = 9},
    {.name = "almost exit",
     .args = {FLOW},
     .input = "exit \nexi\n",
     .steps = {"accept", "<exit ", ">x", "<exi", ">y", "end"},
     .out = PROMPT REPLY "x\n" PROMPT REPLY "y\n" PROMPT,
     .left_at = 10},
    {.name = "behind exit",
     .args = {FLOW},
     .input = "exit\none\n\ntwo\n",
     .steps = {"accept", "<exit", "end"},
     .out = PROMPT,
     .err = CLIENT "'exit' on line 1 ended the conversation: 2 not sent (from line 2); "
                   "try: -q, with which it is a message\n",
     .left_at = 5},
    {.name = "behind exit in a pipe, told at length",
     .args = {FLOW, "--verbose"},
     .kind = STDIN_PIPE,
     .input = "\nexit\none\n",
     .steps = {"accept", "<exit", "end"},
     .out = PROMPT PROMPT,
     .err = CLIENT_RUN_CONNECTION CLIENT
     "'exit' on line 2 ended the conversation: not sent from line 3; "
     "try: -q, with which it is a message\n" CLIENT "0 messages: 0 answered\n"},
    {.name = "behind exit in a pipe whose writer may go on",
     .args = {FLOW},
     .kind = STDIN_OPEN,
     .input = "exit\n",
     .steps = {"accept", "<exit", "end"},
     .out = PROMPT},
    {.name = "that are no messages",
     .args = {FLOW, "-q"},
     .input = "a\xff\none\nb\xff",
     .steps = {"accept", "<one", ">x", "end"},
     .out = "x\n",
     .exit = 1,
     .err = CLIENT "line 1 of stdin was not sent: it is not valid UTF-8\n" CLIENT
                   "line 3 of stdin was not sent: it is not valid UTF-8\n",
     .left_at = 9},
    {.name = "that are too long, and as long as can be",
     .args = {FLOW, "-q"},
     .input = longest_lines,
     .steps = {"accept", longest, ">x", "end"},
     .out = "x\n",
     .exit = 1,
     .err = CLIENT "line 1 of stdin was not sent: it is longer than 16000 bytes\n",
     .left_at = LONGEST + 2 + LONGEST + 1},
    {.name = "that cannot be read",
     .args = {FLOW},
     .kind = STDIN_FOLDER,
     .steps = {"accept", "end"},
     .out = PROMPT,
     .exit = 1,
     .err = CLIENT "cannot read stdin: Is a directory\n"},
    {.name = "whose replies nobody takes",
     .args = {FLOW, "-q"},
     .input = "one\ntwo\n",
     .full_stdout = true,
     .steps = {"accept", "<one", ">x", "end"},
     .exit = 1,
     .err = CLIENT "cannot write to stdout: No space left on device\n" CLIENT
                   "2 messages: 1 answered, 1 not sent (from line 2)\n",
     .left_at = 4},
    {.name = "whose prompt nobody takes",
     .args = {FLOW},
     .input = "one\n",
     .full_stdout = true,
     .steps = {"accept", "end"},
     .exit = 1,
     .err = CLIENT "cannot write to stdout: No space left on device\n" CLIENT
                   "1 message: 0 answered, 1 not sent (from line 1)\n"},
};

static const struct client_run cuts[] = {
    {.name = "closed",
     .args = {FLOW},
     .input = "one\ntwo\nthree\n",
     .steps = {"accept", "<one", ">x", "<two", "close"},
     .out = PROMPT REPLY "x\n" PROMPT,
     .exit = 6,
     .err = LEFT "; the last message has no reply (line 2); try: connect again\n" CLIENT
                 "3 messages: 1 answered, 1 without an answer (line 2), 1 not sent (from line 3)\n",
     .left_at = 8},
    {.name = "closed behind the last line",
     .args = {FLOW},
     .input = "one\n\n",
     .steps = {"accept", "<one", "close"},
     .out = PROMPT,
     .exit = 6,
     .err = LEFT "; the last message has no reply (line 1); try: connect again\n",
     .left_at = 4},
    {.name = "closed on a pipe",
     .args = {FLOW},
     .kind = STDIN_PIPE,
     .input = "one\ntwo\nthree\n",
     .steps = {"accept", "<one", "close"},
     .out = PROMPT,
     .exit = 6,
     .err = LEFT "; the last message has no reply (line 1); try: connect again\n" CLIENT
                 "1 message: 0 answered, 1 without an answer (line 1), not sent from line 2\n"},
    {.name = "closed on a pipe whose writer may go on",
     .args = {FLOW},
     .kind = STDIN_OPEN,
     .input = "one\n",
     .steps = {"accept", "<one", ">x", "close"},
     .out = PROMPT REPLY "x\n" PROMPT,
     .exit = 6,
     .err = LEFT "; not sent from line 2; try: connect again\n"},
    {.name = "closed on a pipe that has given nothing",
     .args = {FLOW},
     .kind = STDIN_OPEN,
     .steps = {"accept", "close"},
     .out = PROMPT,
     .exit = 6,
     .err = LEFT "; try: connect again\n"},
    {.name = "dropped",
     .args = {FLOW},
     .input = "one\ntwo\n",
     .steps = {"accept", "<one", "cut"},
     .out = PROMPT,
     .exit = 6,
     .err =
         SERVER "the server dropped the connection (no close_notify); the last message has no "
                "reply (line 1)\n" CLIENT "2 messages: 0 answered, 1 without an answer (line 1), "
                "1 not sent (from line 2)\n",
     .left_at = 4},
    {.name = "reset on a message",
     .args = {FLOW, "-m", "one"},
     .steps = {"accept", "<one", "reset"},
     .exit = 6,
     .err = SERVER "the peer reset the connection; the last message has no reply\n"},
    {.name = "reset before exit",
     .args = {FLOW},
     .is_held = true,
     .input = "exit\none\n",
     .steps = {"accept", "reset", "go"},
     .out = PROMPT,
     .exit = 6,
     .err = SERVER "the connection is broken: Connection reset by peer\n" CLIENT
                   "2 messages: 0 answered, 2 not sent (from line 1)\n"},
    {.name = "closed before a message",
     .args = {FLOW, "-m", "one"},
     .is_held = true,
     .steps = {"accept", "fin", "go", "leave"},
     .exit = 6,
     .err = LEFT "; the message was not sent; try: connect again\n"},
    {.name = "closed between messages",
     .args = {FLOW, "-m", "one", "-m", "two", "-m", "three"},
     .steps = {"accept", "<one", ">x", "<two", "close"},
     .out = REPLY "x\n",
     .exit = 6,
     .err = LEFT "; the last message has no reply (message 2); try: connect again\n" CLIENT
                 "3 messages: 1 answered, 1 without an answer (message 2), 1 not sent (from "
                 "message 3)\n"},
    {.name = "by a reply that is not UTF-8",
     .args = {FLOW, "-m", "one"},
     .steps = {"accept", "<one", ">\xff", "end"},
     .exit = 6,
     .err = SERVER "the reply is not valid UTF-8\n"},
    {.name = "closed before a second message",
     .args = {FLOW, "-m", "one", "-m", "two"},
     .is_held = true,
     .steps = {"accept", "fin", "go", "leave"},
     .exit = 6,
     .err = LEFT "; try: connect again\n" CLIENT
                 "2 messages: 0 answered, 2 not sent (from message 1)\n"},
    {.name = "by a refusal",
     .args = {FLOW, "-m", "one"},
     .is_held = true,
     .is_strict = true,
     .steps = {"refuse", "go"},
     .exit = 5,
     .err = SERVER "the server wants a client certificate (alert: certificate required); --cert "
                   "and --key give one; the message was not sent\n"},
    {.name = "by a refusal, with lines to send",
     .args = {FLOW},
     .is_held = true,
     .is_strict = true,
     .input = "one\ntwo\n",
     .steps = {"refuse", "go"},
     .out = PROMPT,
     .exit = 5,
     .err = SERVER "the server wants a client certificate (alert: certificate required); --cert "
                   "and --key give one\n"},
};

static const struct client_run messages[] = {
    {.name = "stdin is not read",
     .args = {FLOW, "-m", "one", "--message=exit", "-q"},
     .input = "three\n",
     .steps = {"accept", "<one", ">x", "<exit", ">y", "end"},
     .out = "x\ny\n"},
    {.name = "told at length",
     .args = {FLOW, "-v", "-m", "one"},
     .steps = {"accept", "<one", ">x", "end"},
     .out = REPLY "x\n",
     .err = CLIENT_RUN_CONNECTION CLIENT "1 message: 1 answered\n"},
    {.name = "asked about meanwhile",
     .args = {FLOW, "-m", "one"},
     .steps = {"accept", "<one", "usr1", "shown pin: ", ">x", "end"},
     .out = REPLY "x\n",
     .err = CLIENT_RUN_CONNECTION},
    {.name = "whose reply nobody takes",
     .args = {FLOW, "-m", "one", "-m", "two"},
     .full_stdout = true,
     .steps = {"accept", "<one", ">x", "end"},
     .exit = 1,
     .err = CLIENT "cannot write to stdout: No space left on device\n" CLIENT
                   "2 messages: 1 answered, 1 not sent (from message 2)\n"},
};

int main(void)
{
    int failed = client_run_setup(NULL);

    fill_longest();
    RUN_ROWS(failed, client_run_row, lines);
    RUN_ROWS(failed, client_run_row, cuts);
    RUN_ROWS(failed, client_run_row, messages);
    return failed + client_run_teardown(NULL);
}
