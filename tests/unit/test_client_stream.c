/* The client program in tlsmsg/1: what goes on its way, what is printed in which order, lost
 * connections, and what an end leaves. */
#include "support/unit.h"

#include <string.h>

#include "support/client_run.h"

#define PROMPT CLIENT_RUN_PROMPT
#define REPLY CLIENT_RUN_REPLY
#define CLIENT "tlsmsg-client: "
#define SERVER CLIENT "127.0.0.1:*: "
#define HELLO ">HELLO 1 last=0 max=1048576 window=4 promise=none\n"
#define ONE_AT_A_TIME ">HELLO 1 last=0 max=1048576 window=1 promise=none\n"
#define SHORT ">HELLO 1 last=0 max=8 window=4 promise=none\n"
#define KEEPS(last) ">HELLO 1 last=" last " max=8 window=4 promise=disk\n"

static const struct client_run lines[] = {
    {.name = "of a file, all on their way",
     .input = "one\n\ntwo\nexi\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\nMSG 2 3\ntwo\nMSG 3 3\nexi\n",
               ">OK 1 1\nx\nOK 2 1\ny\nOK 3 1\nz\n", "end"},
     .out = PROMPT REPLY "x\n" PROMPT PROMPT REPLY "y\n" PROMPT REPLY "z\n" PROMPT,
     .left_at = 13},
    {.name = "of a pipe, replies alone, with exit as a message",
     .args = {"-q"},
     .kind = STDIN_PIPE,
     .input = "one\nexit",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\nMSG 2 4\nexit\n",
               ">OK 1 1\nx\nOK 2 1\ny\n", "end"},
     .out = "x\ny\n"},
    {.name = "in JSON",
     .args = {"--format", "json"},
     .input = "one\n\nthree\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\nMSG 2 5\nthree\n",
               ">OK 1 1\nx\nOK 2 1\ny\n", "end"},
     .out = "{\"seq\":1,\"bytes\":3,\"reply\":\"x\",\"seconds\":0.*}\n"
            "{\"seq\":2,\"bytes\":5,\"reply\":\"y\",\"seconds\":0.*}\n",
     .left_at = 11},
    {.name = "none", .steps = {"accept", "hello", HELLO, "end"}, .out = PROMPT},
    {.name = "exit, whose reply is not shown",
     .input = "one\nexit\n\ntwo\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\nMSG 2 4\nexit\n",
               ">OK 1 1\nx\nOK 2 1\ny\n", "end"},
     .out = PROMPT REPLY "x\n" PROMPT,
     .err = CLIENT "'exit' on line 2 ended the conversation: 1 not sent (from line 3); "
                   "try: -q, with which it is a message\n",
     .left_at = 9},
    {.name = "that are no messages",
     .input = "a\xff\none\nb\xff\n\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", ">OK 1 1\nx\n", "end"},
     .out = PROMPT PROMPT REPLY "x\n" PROMPT PROMPT PROMPT,
     .exit = 1,
     .err = CLIENT "line 1 of stdin was not sent: it is not valid UTF-8\n" CLIENT
                   "line 3 of stdin was not sent: it is not valid UTF-8\n",
     .left_at = 11},
    {.name = "that are too long",
     .args = {"-q"},
     .input = "123456789\n12345678\n",
     .steps = {"accept", "hello", SHORT, "<MSG 1 8\n12345678\n", ">OK 1 1\nx\n", "end"},
     .out = "x\n",
     .exit = 1,
     .err = CLIENT "line 1 of stdin was not sent: it is longer than the 8 bytes that the server "
                   "takes\n",
     .left_at = 19},
    {.name = "that cannot be read",
     .kind = STDIN_FOLDER,
     .steps = {"accept", "hello", HELLO, "end"},
     .out = PROMPT,
     .exit = 1,
     .err = CLIENT "cannot read stdin: Is a directory\n"},
    {.name = "whose replies nobody takes",
     .args = {"-q"},
     .input = "one\ntwo\n",
     .full_stdout = true,
     .steps = {"accept", "hello", ONE_AT_A_TIME, "<MSG 1 3\none\n", ">OK 1 1\nx\n", "leave"},
     .exit = 1,
     .err = CLIENT "cannot write to stdout: No space left on device\n" CLIENT
                   "2 messages: 1 answered, 1 not sent (from line 2)\n",
     .left_at = 4},
    {.name = "whose prompt nobody takes",
     .input = "one\n",
     .full_stdout = true,
     .steps = {"accept", "hello", HELLO, "end"},
     .exit = 1,
     .err = CLIENT "cannot write to stdout: No space left on device\n" CLIENT
                   "1 message: 0 answered, 1 not sent (from line 1)\n"},
    {.name = "asked about meanwhile",
     .args = {"-q"},
     .input = "one\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", "usr1", "shown pin: ", ">OK 1 1\nx\n",
               "end"},
     .out = "x\n",
     .err = CLIENT_RUN_CONNECTION,
     .left_at = 4},
};

static const struct client_run ends[] = {
    {.name = "closed, with one on its way",
     .args = {"--retry", "0"},
     .input = "one\n\ntwo\nthree\n",
     .steps = {"accept", "hello", ONE_AT_A_TIME, "<MSG 1 3\none\n", ">OK 1 1\nx\n",
               "<MSG 2 3\ntwo\n", "close"},
     .out = PROMPT REPLY "x\n" PROMPT PROMPT,
     .exit = 6,
     .err = SERVER
     "the server closed the conversation (close_notify) (line 3); try: connect again\n" CLIENT
     "stdin is set back to line 3, which has no answer: sent again it may be taken twice\n" CLIENT
     "3 messages: 1 answered, 1 without an answer (line 3), 1 not sent (from line 4)\n",
     .left_at = 5},
    {.name = "closed, with two on their way",
     .args = {"--retry", "0"},
     .kind = STDIN_PIPE,
     .input = "one\ntwo\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\nMSG 2 3\ntwo\n", "close"},
     .out = PROMPT,
     .exit = 6,
     .err = SERVER
     "the server closed the conversation (close_notify) (line 1); try: connect again\n" CLIENT
     "2 messages: 0 answered, 2 without an answer (lines 1 to 2)\n"},
    {.name = "closed, with nothing on its way",
     .args = {"--retry", "0"},
     .kind = STDIN_OPEN,
     .input = "one\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", ">OK 1 1\nx\n", "close"},
     .out = PROMPT REPLY "x\n" PROMPT,
     .exit = 6,
     .err = SERVER "the server closed the conversation (close_notify); not sent from line 2; try: "
                   "connect again\n"},
    {.name = "closed before messages",
     .args = {"--retry", "0", "-m", "one", "-m", "two"},
     .steps = {"accept", "hello", ONE_AT_A_TIME, "<MSG 1 3\none\n", "cut"},
     .exit = 6,
     .err = SERVER
     "the server dropped the connection (no close_notify) (message 1)\n" CLIENT
     "2 messages: 0 answered, 1 without an answer (message 1), 1 not sent (from message 2)\n"},
    {.name = "ended by the server, full",
     .args = {"-q"},
     .input = "one\ntwo\n",
     .steps = {"accept", "hello", ONE_AT_A_TIME, "<MSG 1 3\none\n", ">BYE 413 8\ntoo much\n",
               "close"},
     .exit = 1,
     .err = SERVER
     "the server ended the conversation: too much (BYE 413) (line 1)\n" CLIENT
     "stdin is set back to line 1, which has no answer: sent again it may be taken twice\n" CLIENT
     "2 messages: 0 answered, 1 without an answer (line 1), 1 not sent (from line 2)\n"},
    {.name = "ended by the server, broken",
     .args = {"-q"},
     .input = "one\ntwo\n",
     .steps = {"accept", "hello", ONE_AT_A_TIME, "<MSG 1 3\none\n", ">BYE 400 4\nwhat\n", "close"},
     .exit = 6,
     .err = SERVER
     "the server ended the conversation: what (BYE 400) (line 1)\n" CLIENT
     "stdin is set back to line 1, which has no answer: sent again it may be taken twice\n" CLIENT
     "2 messages: 0 answered, 1 without an answer (line 1), 1 not sent (from line 2)\n"},
    {.name = "no greeting",
     .args = {"--retry", "0", "-m", "one"},
     .steps = {"accept", "hello", "close"},
     .exit = 6,
     .err = SERVER "the server closed the conversation (close_notify)\n"},
    {.name = "another greeting",
     .args = {"--retry", "0", "-m", "one"},
     .steps = {"accept", "hello", ">nonsense\n", "leave"},
     .exit = 6,
     .err = SERVER "the server broke tlsmsg/1: a header that is neither HELLO, OK nor BYE\n"},
    {.name = "a reply out of order",
     .args = {"--retry", "0", "-m", "one"},
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", ">OK 2 1\nx\n", "leave"},
     .exit = 6,
     .err = SERVER "the server broke tlsmsg/1: a reply to a message that was not sent\n"},
};

static const struct client_run again[] = {
    {.name = "sent again",
     .args = {"-q"},
     .input = "one\ntwo\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\nMSG 2 3\ntwo\n", ">OK 1 1\nx\n", "cut",
               "accept", "hello", HELLO, "<MSG 2 3\ntwo\n", ">OK 2 1\ny\n", "end"},
     .out = "x\ny\n",
     .err = SERVER "the server dropped the connection (no close_notify); connecting again\n" CLIENT
                   "the server has started anew without a store: messages 2 to 2, which had no "
                   "answer, may stand in its transcript twice\n",
     .left_at = 8},
    {.name = "bye 503",
     .args = {"-m", "one", "-m", "two"},
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\nMSG 2 3\ntwo\n", ">BYE 503 5\ngoing\n",
               "close", "accept", "hello", HELLO, "<MSG 1 3\none\nMSG 2 3\ntwo\n",
               ">OK 1 1\nx\nOK 2 1\ny\n", "end"},
     .out = REPLY "x\n" REPLY "y\n",
     .err = SERVER "the server ended the conversation: going (BYE 503); connecting again\n"},
    {.name = "bye 503 behind the last reply",
     .args = {"--retry", "0", "-m", "one"},
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", ">OK 1 1\nx\nBYE 503 5\ngoing\n",
               "close"},
     .out = REPLY "x\n"},
    {.name = "bye 503 behind the last reply to a file",
     .args = {"-q"},
     .input = "one\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", ">OK 1 1\nx\nBYE 503 5\ngoing\n",
               "close"},
     .out = "x\n",
     .left_at = 4},
    {.name = "a server that takes less than before",
     .args = {"-q", "-m", "one", "-m", "123456789", "-m", "three"},
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\nMSG 2 9\n123456789\nMSG 3 5\nthree\n",
               "cut", "accept", "hello", SHORT, "<MSG 1 3\none\n", ">OK 1 1\nx\n", "leave"},
     .out = "x\n",
     .exit = 1,
     .err = SERVER "the server dropped the connection (no close_notify); connecting again\n" CLIENT
                   "a message of 9 bytes is over the server's limit of 8 bytes (message 2)\n" CLIENT
                   "3 messages: 1 answered, 2 without an answer (messages 2 to 3)\n"},
    {.name = "reset before the first message",
     .args = {"--retry", "0", "-q", "-m", "one", "-m", "two"},
     .is_held = true,
     .steps = {"accept", "hello", HELLO, "reset", "go"},
     .exit = 6,
     .err = SERVER "the connection is broken: Connection reset by peer\n" CLIENT
                   "2 messages: 0 answered, 2 not sent (from message 1)\n"},
    {.name = "reset before the first message, and sent again",
     .args = {"-q", "-m", "one"},
     .is_held = true,
     .steps = {"accept", "hello", HELLO, "reset", "go", "accept", "hello", HELLO, "<MSG 1 3\none\n",
               ">OK 1 1\nx\n", "end"},
     .out = "x\n",
     .err = SERVER "the connection is broken: Connection reset by peer; connecting again\n"},
    {.name = "shared name",
     .args = {"-m", "one"},
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\n", "cut", "accept", "hello",
               ">HELLO 1 last=2 max=1048576 window=4 promise=none\n", "leave"},
     .exit = 1,
     .err = SERVER "the server dropped the connection (no close_notify); connecting again\n" CLIENT
                   "the server has messages of this program's own name up to 2, and this program "
                   "has sent 1: another program uses the name\n"},
};

static const struct client_run producers[] = {
    {.name = "goes on where the server is",
     .args = {"--producer", "p1", "-q"},
     .input = "one\ntwo\nthree\n",
     .steps = {"accept", "hello", KEEPS("2"), "<MSG 2 3\ntwo\nMSG 3 5\nthree\n",
               ">OK 2 1\nx\nOK 3 1\ny\n", "end"},
     .out = "y\n",
     .left_at = 14},
    {.name = "counts what the server has",
     .args = {"--producer", "p1", "-q", "-v"},
     .input = "one\ntwo\nthree\n",
     .steps = {"accept", "hello", KEEPS("2"), "<MSG 2 3\ntwo\nMSG 3 5\nthree\n",
               ">OK 2 1\nx\nOK 3 1\ny\n", "end"},
     .out = "y\n",
     .err =
         CLIENT "address: *\n" CLIENT "version: *\n" CLIENT "cipher: *\n" CLIENT "group: *\n" CLIENT
                "resumed: no\n" CLIENT "certificate: *\n" CLIENT "names: *\n" CLIENT
                "expires: *\n" CLIENT "pin: *\n" CLIENT "3 messages: 3 answered\n",
     .left_at = 14},
    {.name = "an input that has less",
     .args = {"--producer", "p1", "-q"},
     .input = "one\n",
     .steps = {"accept", "hello", KEEPS("2"), "end"},
     .exit = 1,
     .err = CLIENT "the input ends with message 1, and the server has 2 of this producer (is it "
                   "another input?)\n",
     .left_at = 4},
    {.name = "a server that keeps nothing",
     .args = {"--producer", "p1", "-q"},
     .input = "one\n",
     .steps = {"accept", "hello", HELLO, "end"},
     .exit = 3,
     .err = CLIENT "the server keeps no messages over a restart (promise=none), which --producer "
                   "needs; try: --store on the server\n"},
    {.name = "a message that is too long",
     .args = {"--producer", "p1", "-q"},
     .input = "one\n123456789\nthree\n",
     .steps = {"accept", "hello", KEEPS("0"), "<MSG 1 3\none\n", ">OK 1 1\nx\n", "end"},
     .out = "x\n",
     .exit = 1,
     .err = CLIENT
     "line 2 of stdin was not sent: it is longer than the 8 bytes that the server takes\n" CLIENT
     "3 messages: 1 answered, 1 refused, 1 not sent (from line 3)\n"},
    {.name = "given messages",
     .args = {"--producer", "p1", "-q", "-m", "one", "-m", "two"},
     .steps = {"accept", "hello", KEEPS("1"), "<MSG 1 3\none\nMSG 2 3\ntwo\n",
               ">OK 1 1\nx\nOK 2 1\ny\n", "end"},
     .out = "y\n"},
    {.name = "cut",
     .args = {"--producer", "p1", "-q", "--retry", "0"},
     .input = "one\ntwo\n",
     .steps = {"accept", "hello", KEEPS("0"), "<MSG 1 3\none\nMSG 2 3\ntwo\n", ">OK 1 1\nx\n",
               "cut"},
     .out = "x\n",
     .exit = 6,
     .err = SERVER "the server dropped the connection (no close_notify) (line 2)\n"},
    {.name = "set back",
     .args = {"--producer", "p1", "-q"},
     .input = "one\ntwo\n",
     .steps = {"accept", "hello", KEEPS("0"), "<MSG 1 3\none\nMSG 2 3\ntwo\n", ">OK 1 1\nx\n",
               "cut", "accept", "hello", KEEPS("0"), "<MSG 2 3\ntwo\n", ">OK 2 1\ny\n", "end"},
     .out = "x\ny\n",
     .err = SERVER "the server dropped the connection (no close_notify); connecting again\n" CLIENT
                   "error: the server has lost messages that it had acknowledged: up to 1, and it "
                   "has 0 (is it another server?)\n",
     .left_at = 8},
    {.name = "a server without tlsmsg/1",
     .args = {"--producer", "p1", "-q", "--document-flow"},
     .input = "one\n",
     .exit = 2,
     .err = CLIENT "--producer needs tlsmsg/1, which --document-flow leaves out\n"},
};

static const struct client_run watched[] = {
    {.name = "for a second and more",
     .args = {"-q"},
     .is_watched = true,
     .input = "one\na\xff\ntwo\n",
     .steps = {"accept", "hello", ONE_AT_A_TIME, "<MSG 1 3\none\n", "late 1999", ">OK 1 1\nx\n",
               "<MSG 2 3\ntwo\n", "late 250", ">OK 2 1\ny\n", "end"},
     .out = "x\ny\n",
     .exit = 1,
     .err = "\r*1 messages, * a second, 0 unanswered\033[K\r\033[K" CLIENT
            "line 2 of stdin was not sent: it is not valid UTF-8\n*"
            "\r2 messages, * a second, 0 unanswered\033[K\r\033[K",
     .left_at = 11},
};

static const struct client_run given[] = {
    {.name = "one that is too long",
     .args = {"-q", "-m", "one", "-m", "123456789", "-m", "three"},
     .steps = {"accept", "hello", SHORT, "<MSG 1 3\none\nMSG 2 5\nthree\n",
               ">OK 1 1\nx\nOK 2 1\ny\n", "end"},
     .out = "x\ny\n",
     .exit = 1,
     .err = CLIENT "message 2 was not sent: it is longer than the 8 bytes that the server takes\n"},
    {.name = "one that is too long, with more to tell",
     .args = {"-m", "one", "-m", "123456789"},
     .steps = {"accept", "hello", SHORT, "<MSG 1 3\none\n", ">OK 1 1\nx\n", "end"},
     .out = REPLY "x\n",
     .exit = 1,
     .err = CLIENT "message 2 was not sent: it is longer than the 8 bytes that the server takes\n"},
    {.name = "one alone that is too long",
     .args = {"-q", "-m", "123456789"},
     .steps = {"accept", "hello", SHORT, "end"},
     .exit = 1,
     .err = CLIENT "message 1 was not sent: it is longer than the 8 bytes that the server takes\n"},
    {.name = "one that is too long, of a producer",
     .args = {"--producer", "p", "-q", "-m", "one", "-m", "123456789", "-m", "three"},
     .steps = {"accept", "hello", KEEPS("0"), "<MSG 1 3\none\n", ">OK 1 1\nx\n", "end"},
     .out = "x\n",
     .exit = 1,
     .err = CLIENT
     "message 2 was not sent: it is longer than the 8 bytes that the server takes\n" CLIENT
     "3 messages: 1 answered, 1 refused, 1 not sent (from message 3)\n"},
    {.name = "a server that has all and more",
     .args = {"--producer", "p", "-q", "-m", "one"},
     .steps = {"accept", "hello", KEEPS("2"), "end"},
     .exit = 1,
     .err = CLIENT "the input ends with message 1, and the server has 2 of this producer (is it "
                   "another input?)\n"},
};

int main(void)
{
    int failed = client_run_setup(NULL);

    RUN_ROWS(failed, client_run_row, lines);
    RUN_ROWS(failed, client_run_row, ends);
    RUN_ROWS(failed, client_run_row, again);
    RUN_ROWS(failed, client_run_row, producers);
    RUN_ROWS(failed, client_run_row, given);
    RUN_ROWS(failed, client_run_row, watched);
    return failed + client_run_teardown(NULL);
}
