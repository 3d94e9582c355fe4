/* The client program with an editor for its lines, which is played here: when it asks, what it is
 * asked for, and what becomes of what it brings. */
#include "support/unit.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/client/editor.h"
#include "support/client_run.h"

#define FLOW "--document-flow"
#define PROMPT CLIENT_RUN_PROMPT
#define REPLY CLIENT_RUN_REPLY
#define CLIENT "tlsmsg-client: "
#define SERVER CLIENT "127.0.0.1:*: "
#define HELLO ">HELLO 1 last=0 max=1048576 window=4 promise=none\n"
#define CONNECTED CLIENT "connected to 127.0.0.1:*, encrypted with TLSv1.3, verified by /*/ca.crt\n"

/* It shows a prompt and takes a line of the terminal as it is, when one of its keys is there. */
struct editor {
    struct input *input;
    editor_wait *wait;
    void *user;
    char *prompt;
};

/* Of the run: whether keys are left in the end, and what was made and freed of editors. */
static bool has_rest;
static unsigned editors;

struct editor *__wrap_editor_new(const char *prompt, struct input *input, editor_wait *wait,
                                 void *user);
void __wrap_editor_free(struct editor *editor);
enum input_result __wrap_editor_next(struct editor *editor, const char **line, size_t *len);
bool __wrap_editor_has_rest(const struct editor *editor);
void __wrap_editor_step_aside(struct editor *editor);

static void show(const char *text)
{
    assert_int_equal(write(STDOUT_FILENO, text, strlen(text)), (ssize_t)strlen(text));
}

struct editor *__wrap_editor_new(const char *prompt, struct input *input, editor_wait *wait,
                                 void *user)
{
    struct editor *editor = calloc(1, sizeof(*editor));

    assert_non_null(editor);
    *editor = (struct editor){.input = input, .wait = wait, .user = user, .prompt = strdup(prompt)};
    editors++;
    return editor;
}

void __wrap_editor_free(struct editor *editor)
{
    free(editor->prompt);
    free(editor);
    editors--;
}

enum input_result __wrap_editor_next(struct editor *editor, const char **line, size_t *len)
{
    enum input_result result;

    show(editor->prompt);
    while ((result = input_next(editor->input, line, len)) == INPUT_MORE) {
        struct pollfd key = {.fd = STDIN_FILENO, .events = POLLIN};

        if (!editor->wait(-1, editor->user)) {
            show("<left>\n");
            return INPUT_MORE;
        }
        if (poll(&key, 1, 0) > 0) {
            input_read(editor->input);
        }
    }
    return result;
}

bool __wrap_editor_has_rest(const struct editor *editor)
{
    assert_non_null(editor);
    return has_rest;
}

void __wrap_editor_step_aside(struct editor *editor)
{
    assert_non_null(editor);
    show("<aside>\n");
}

#define CANONICAL_MAX 4095 /* bytes of a line that the kernel's terminal keeps */

static char long_step[1 + CANONICAL_MAX + 1];
static char long_line[CANONICAL_MAX + 3];

static void fill_long_line(void)
{
    memset(long_step, 'x', 1 + CANONICAL_MAX);
    long_step[0] = '<';
    (void)snprintf(long_line, sizeof(long_line), "%s\n\x04", long_step + 1);
}

static const struct client_run runs[] = {
    {.name = "lines and exit",
     .args = {FLOW},
     .kind = STDIN_TERMINAL,
     .input = "one\n\nexit\n",
     .steps = {"accept", "<one", ">x", "<exit", "end"},
     .out = CONNECTED PROMPT REPLY "x\n" PROMPT PROMPT},
    {.name = "the end",
     .args = {FLOW},
     .kind = STDIN_TERMINAL,
     .input = "\x04",
     .steps = {"accept", "end"},
     .out = CONNECTED PROMPT},
    {.name = "asked about",
     .args = {FLOW},
     .kind = STDIN_TERMINAL,
     .steps = {"accept", "shown leave): ", "usr1", "shown pin: ", "close"},
     .exit = 6,
     .out = CONNECTED PROMPT "<aside>\n" CLIENT_RUN_CONNECTION "<left>\n" SERVER
                             "the server closed the conversation (close_notify); try: connect "
                             "again\n"},
    {.name = "asked about during a message",
     .args = {FLOW},
     .kind = STDIN_TERMINAL,
     .input = "one\nexit\n",
     .steps = {"accept", "<one", "usr1", "shown pin: ", ">x", "<exit", "end"},
     .out = CONNECTED PROMPT CLIENT_RUN_CONNECTION REPLY "x\n" PROMPT},
    {.name = "the server leaves",
     .args = {"--retry", "0"},
     .kind = STDIN_TERMINAL,
     .steps = {"accept", "hello", HELLO, "close"},
     .exit = 6,
     .out = CONNECTED PROMPT "<left>\n" SERVER
                             "the server closed the conversation (close_notify); try: connect "
                             "again\n"},
    {.name = "a line that a terminal may have cut, which an editor reads by the key",
     .args = {FLOW, "-q"},
     .kind = STDIN_TERMINAL,
     .input = long_line,
     .steps = {"accept", long_step, ">x", "end"},
     .out = "x\n"},
};

static void test_edited(void **state)
{
    has_rest = false;
    editors = 0;
    client_run_row(state);
    assert_int_equal(editors, 0);
}

static void test_keys_that_no_line_has_brought(void **state)
{
    static const struct client_run run = {
        .args = {FLOW},
        .kind = STDIN_TERMINAL,
        .steps = {"accept", "shown leave): ", "close"},
        .exit = 6,
        .out = CONNECTED PROMPT
        "<left>\n" SERVER
        "the server closed the conversation (close_notify); try: connect again\n" CLIENT
        "0 messages: 0 answered, not sent from line 1 (what was typed was discarded)\n"};

    (void)state;
    has_rest = true;
    client_run_expect(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys_that_no_line_has_brought)};
    int failed = client_run_setup(NULL);

    fill_long_line();
    RUN_ROWS(failed, test_edited, runs);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    return failed + client_run_teardown(NULL);
}
