/* The plaintext client program: what differs from the one with TLS. */
#include "support/unit.h"

#include "support/client_run.h"

#define PROMPT CLIENT_RUN_PROMPT
#define REPLY CLIENT_RUN_REPLY
#define CLIENT "tlsmsg-client: "
#define SERVER CLIENT "127.0.0.1:*: "

static const struct client_run runs[] = {
    {.name = "lines",
     .input = "one\n\ntwo\n",
     .steps = {"accept", "<one", ">x", "<two", ">y", "end"},
     .out = PROMPT REPLY "x\n" PROMPT PROMPT REPLY "y\n" PROMPT,
     .left_at = 9},
    {.name = "lines behind exit, of which nothing is said",
     .input = "exit\none\n",
     .steps = {"accept", "<exit", "end"},
     .out = PROMPT,
     .left_at = 5},
    {.name = "lines behind exit, told to scripts",
     .args = {"-q"},
     .input = "exit\none\n",
     .steps = {"accept", "<exit", "end"},
     .err = CLIENT "'exit' on line 1 ended the conversation: 1 not sent (from line 2)\n",
     .left_at = 5},
    {.name = "the server leaves at once",
     .input = "one\ntwo\n",
     .steps = {"accept", "<one", "close"},
     .out = PROMPT,
     .exit = 6,
     .err =
         SERVER "the server closed the connection; the last message has no reply (line 1); perhaps "
                "it speaks TLS, and this is the plaintext build\n" CLIENT
                "2 messages: 0 answered, 1 without an answer (line 1), 1 not sent (from line 2)\n",
     .left_at = 4},
    {.name = "the server leaves later",
     .input = "one\ntwo\n",
     .steps = {"accept", "<one", ">x", "<two", "close"},
     .out = PROMPT REPLY "x\n" PROMPT,
     .exit = 6,
     .err = SERVER "the server closed the connection; the last message has no reply (line 2); try: "
                   "connect again\n",
     .left_at = 8},
    {.name = "told at length",
     .args = {"-v", "-m", "one"},
     .steps = {"accept", "<one", ">x\x1b", "end"},
     .out = REPLY "x\x1b\n",
     .err = CLIENT "address: 127.0.0.1:*\n" CLIENT "transport: plaintext, not encrypted\n" CLIENT
                   "1 message: 1 answered\n"},
    {.name = "typed",
     .kind = STDIN_TERMINAL,
     .input = "one\nexit\n",
     .steps = {"accept", "<one", ">x\x1b", "<exit", "end"},
     .out = PROMPT REPLY "x\\x1b\n" PROMPT},
    {.name = "typed, and the end",
     .kind = STDIN_TERMINAL,
     .input = "\x04",
     .steps = {"accept", "end"},
     .out = PROMPT "\n"},
    {.name = "options of the other build",
     .args = {"--probe"},
     .exit = 2,
     .err = CLIENT "--probe needs TLS, and this is the plaintext build\n"},
};

int main(void)
{
    int failed = client_run_setup(NULL);

    RUN_ROWS(failed, client_run_row, runs);
    return failed + client_run_teardown(NULL);
}
