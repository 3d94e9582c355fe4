/* The editor over libedit.
 *
 * libedit asks for each key through a function of ours, wherever it wants one (also within a search
 * or a key's escape sequence); that function waits for the server and for signals at the same
 * time. Signals are read as data meanwhile: the terminal gets its mode back before one takes its
 * action. Keys are decoded and lines encoded here, so that UTF-8 holds whatever the locale, and a
 * byte that is not reaches the check that refuses the line.
 *
 * The history is in memory alone and ends with the program: messages can be secrets, and a file
 * would outlive the wish to keep them. No ~/.editrc is read, which could change that. Main
 * thread. */
#include "app/client/editor.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "app/signals.h"
#include "base/utf8.h"

#define HISTORY_LINES 500
#define KEYS_BYTES 256

/* A byte that is not UTF-8 goes through the editor as a lone surrogate, which no text can hold. */
#define STRAY_BASE 0xDC00

const char editor_remark[] = "At a terminal lines can be edited, with a history (libedit).\n";

struct editor {
    EditLine *el;
    HistoryW *history;
    struct input *input; /* borrowed */
    editor_wait *wait;
    void *user;
    wchar_t *prompt;
    char *line; /* what was handed out */
    char keys[KEYS_BYTES];
    size_t key_head;
    size_t key_count;
    struct termios before; /* mode of the terminal between lines */
    sigset_t watched;
    sigset_t mask; /* signals blocked between lines */
    int signal_fd;
    int cursor;               /* while aside: its place within the line */
    bool has_rest;            /* keys are left that no line has brought */
    bool aside;               /* the cursor stands below the line, for something else */
    enum input_result result; /* INPUT_LINE: go on; else why no key comes any more */
};

/* ---- drawing */

/* Through the stream that libedit draws on, which keeps the order. */
static void draw(const char *text)
{
    if (fputs(text, stdout) == EOF || fflush(stdout) != 0) {
        clearerr(stdout); /* the next reply finds out why */
    }
}

/* Draws prompt and line; the cursor stands at the beginning of a terminal line. */
static void redraw(struct editor *editor)
{
    (void)el_wset(editor->el, EL_REFRESH, NULL);
}

void editor_step_aside(struct editor *editor)
{
    const LineInfoW *line = el_wline(editor->el);

    if (editor->aside) {
        return;
    }
    editor->aside = true;
    editor->cursor = (int)(line->cursor - line->buffer);
    (void)el_cursor(editor->el, (int)(line->lastchar - line->cursor));
    draw("\r");
    redraw(editor); /* over itself: to get to its end, which may be some lines below */
    draw("\n");
}

static void come_back(struct editor *editor)
{
    const LineInfoW *line = el_wline(editor->el);

    if (editor->aside) {
        editor->aside = false;
        (void)el_cursor(editor->el, editor->cursor - (int)(line->cursor - line->buffer));
        redraw(editor);
    }
}

/* ---- the terminal's mode, and signals */

static void enter(struct editor *editor)
{
    (void)pthread_sigmask(SIG_BLOCK, &editor->watched, &editor->mask);
    (void)tcgetattr(editor->input->fd, &editor->before);
}

/* libedit's own way back is to a mode of its making, which needn't be the one that was found. */
static void leave(struct editor *editor)
{
    (void)el_wset(editor->el, EL_PREP_TERM, 0);
    (void)tcsetattr(editor->input->fd, TCSADRAIN, &editor->before);
    (void)pthread_sigmask(SIG_SETMASK, &editor->mask, NULL);
}

/* Lets a signal take its action, which mostly ends or stops the program. */
static void yield_to(struct editor *editor, int number)
{
    editor_step_aside(editor);
    leave(editor);
    (void)raise(number);
    enter(editor);
    (void)el_wset(editor->el, EL_PREP_TERM, 1);
}

static void take_signals(struct editor *editor)
{
    int number;

    while ((number = signals_next(editor->signal_fd)) != 0) {
        switch (number) {
        case SIGWINCH:
            el_resize(editor->el);
            draw("\r");
            redraw(editor);
            break;
        case SIGCONT:
            /* A shell had the terminal meanwhile. */
            (void)el_wset(editor->el, EL_PREP_TERM, 0);
            (void)el_wset(editor->el, EL_PREP_TERM, 1);
            draw("\r");
            redraw(editor);
            break;
        default:
            yield_to(editor, number);
            break;
        }
    }
    come_back(editor);
}

static bool watch_signals(struct editor *editor)
{
    static const int numbers[] = {SIGINT,  SIGTERM,  SIGQUIT, SIGHUP,    SIGTSTP, SIGCONT,
                                  SIGPIPE, SIGWINCH, SIGALRM, SIGVTALRM, SIGXCPU, SIGUSR2};
    size_t i;

    (void)sigemptyset(&editor->watched);
    for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        (void)sigaddset(&editor->watched, numbers[i]);
    }
    editor->signal_fd = signals_open(&editor->watched);
    return editor->signal_fd >= 0;
}

/* ---- keys */

/* One read(2) where the terminal has something. */
static void read_keys(struct editor *editor)
{
    struct pollfd entry = {.fd = editor->input->fd, .events = POLLIN};
    ssize_t n;

    if (poll(&entry, 1, 0) != 1) {
        return;
    }
    memmove(editor->keys, editor->keys + editor->key_head, editor->key_count);
    editor->key_head = 0;
    n = read(editor->input->fd, editor->keys + editor->key_count, KEYS_BYTES - editor->key_count);
    if (n > 0) {
        editor->key_count += (size_t)n;
    } else if (n == 0) {
        editor->result = INPUT_END;
    } else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
        editor->input->cause = errno;
        editor->result = INPUT_FAILED;
    }
}

/* Takes a character of what was read. False: there is none, or only a part of one. */
static bool take_key(struct editor *editor, wchar_t *key)
{
    const char *at = editor->keys + editor->key_head;
    uint32_t codepoint;
    size_t whole = 0;
    size_t len = 1;

    if (editor->key_count == 0 ||
        (utf8_check(at, editor->key_count, &whole) == UTF8_INCOMPLETE && whole == 0)) {
        return false;
    }
    codepoint = STRAY_BASE + (unsigned char)*at;
    if (whole > 0) {
        len = utf8_decode(at, whole, &codepoint);
    }
    editor->key_head += len;
    editor->key_count -= len;
    *key = (wchar_t)codepoint;
    return true;
}

/* A line that is too long already takes no more text, so that memory stays bounded; it stays one
 * character over the limit and is refused, unless it is made shorter. */
static bool is_over_limit(const struct editor *editor, wchar_t key)
{
    const LineInfoW *line = el_wline(editor->el);

    return key >= L' ' && key != 0x7F &&
           (size_t)(line->lastchar - line->buffer) > editor->input->line_max;
}

/* libedit's function for the next key (EL_GETCFN): 1, or 0 when there will be none any more. */
static int next_key(EditLine *el, wchar_t *key)
{
    struct editor *editor = NULL;

    (void)el_wget(el, EL_CLIENTDATA, &editor);
    while (editor->result == INPUT_LINE) {
        if (take_key(editor, key)) {
            if (!is_over_limit(editor, *key)) {
                return 1;
            }
        } else if (!editor->wait(editor->signal_fd, editor->user)) {
            const LineInfoW *typed = el_wline(el);

            editor->has_rest = editor->key_count > 0 || typed->lastchar > typed->buffer;
            editor->result = INPUT_MORE;
        } else {
            take_signals(editor);
            read_keys(editor);
        }
    }
    return 0;
}

/* ---- lines */

static wchar_t *prompt_of(EditLine *el)
{
    struct editor *editor = NULL;

    (void)el_wget(el, EL_CLIENTDATA, &editor);
    return editor->prompt;
}

static size_t encode(char *out, uint32_t c)
{
    if (c >= STRAY_BASE && c <= STRAY_BASE + 0xFF) {
        out[0] = (char)(c - STRAY_BASE);
        return 1;
    }
    return utf8_encode(c, out);
}

/* Hands out count characters of text, and remembers them where they can be sent. text goes on with
 * its line end. */
static enum input_result hand_out(struct editor *editor, const wchar_t *text, size_t count,
                                  const char **line, size_t *len)
{
    HistEventW event;
    char *data = realloc(editor->line, count * UTF8_BYTES_MAX + 1);
    size_t used = 0;
    size_t i;

    if (data == NULL) {
        editor->input->cause = ENOMEM;
        return INPUT_FAILED;
    }
    editor->line = data;
    for (i = 0; i < count; i++) {
        used += encode(data + used, (uint32_t)text[i]);
    }
    editor->input->number++;
    if (used > editor->input->line_max) {
        return INPUT_TOO_LONG;
    }
    if (used > 0 && utf8_is_valid(data, used)) {
        (void)history_w(editor->history, &event, H_ENTER, text);
    }
    *line = data;
    *len = used;
    return INPUT_LINE;
}

enum input_result editor_next(struct editor *editor, const char **line, size_t *len)
{
    const wchar_t *text;
    int count = 0;

    enter(editor);
    editor->aside = false;
    editor->result = INPUT_LINE;
    text = el_wgets(editor->el, &count);
    if (editor->result != INPUT_LINE) {
        editor_step_aside(editor);
    } else if (text == NULL || count < 1) {
        draw("\n"); /* Ctrl-D, which libedit shows */
        editor->result = INPUT_END;
    } else {
        editor->result = hand_out(editor, text, (size_t)count - 1, line, len);
    }
    leave(editor);
    return editor->result;
}

bool editor_has_rest(const struct editor *editor)
{
    return editor->has_rest;
}

/* ---- making and freeing */

/* Widths and drawing follow the locale; messages are UTF-8 in any. */
static bool use_utf8(void)
{
    return setlocale(LC_CTYPE, "C.UTF-8") != NULL ||
           (setlocale(LC_CTYPE, "") != NULL && strcmp(nl_langinfo(CODESET), "UTF-8") == 0);
}

static bool can_draw(const struct input *input)
{
    const char *term = getenv("TERM");

    return isatty(input->fd) == 1 && isatty(STDOUT_FILENO) == 1 && term != NULL && *term != '\0' &&
           strcmp(term, "dumb") != 0 && strcmp(term, "emacs") != 0;
}

static wchar_t *widen(const char *text)
{
    size_t len = mbstowcs(NULL, text, 0);
    wchar_t *wide = len != (size_t)-1 ? calloc(len + 1, sizeof(*wide)) : NULL;

    if (wide != NULL) {
        (void)mbstowcs(wide, text, len + 1);
    }
    return wide;
}

/* Tab is text here, and C1 controls in a pasted text are not commands. Keys that libedit looks up in
 * the terminal's description alone come in other forms where TERM is not quite the truth, as in
 * tmux, and with Ctrl held down it knows none. */
static void bind_keys(EditLine *el)
{
    static const struct {
        const wchar_t *keys;
        const wchar_t *command;
    } moves[] = {
        {L"\033[1~", L"ed-move-to-beg"},      {L"\033[7~", L"ed-move-to-beg"},
        {L"\033[H", L"ed-move-to-beg"},       {L"\033OH", L"ed-move-to-beg"},
        {L"\033[4~", L"ed-move-to-end"},      {L"\033[8~", L"ed-move-to-end"},
        {L"\033[F", L"ed-move-to-end"},       {L"\033OF", L"ed-move-to-end"},
        {L"\033[3~", L"ed-delete-next-char"}, {L"\033[1;5C", L"em-next-word"},
        {L"\033[1;5D", L"ed-prev-word"},      {L"\033[1;3C", L"em-next-word"},
        {L"\033[1;3D", L"ed-prev-word"},
    };
    wchar_t key[2] = {L'\t', L'\0'};
    size_t i;

    (void)el_wset(el, EL_EDITOR, L"emacs");
    (void)el_wset(el, EL_BIND, key, L"ed-insert", NULL);
    for (key[0] = 0x80; key[0] < 0xA0; key[0]++) {
        (void)el_wset(el, EL_BIND, key, L"ed-insert", NULL);
    }
    for (i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
        (void)el_wset(el, EL_BIND, moves[i].keys, moves[i].command, NULL);
    }
}

static bool prepare(struct editor *editor)
{
    HistEventW event;

    editor->history = history_winit();
    if (editor->history == NULL || tcgetattr(editor->input->fd, &editor->before) != 0) {
        return false;
    }
    editor->el = el_init("tlsmsg-client", stdin, stdout, stderr);
    (void)tcsetattr(editor->input->fd, TCSADRAIN, &editor->before);
    if (editor->el == NULL) {
        return false;
    }
    (void)history_w(editor->history, &event, H_SETSIZE, HISTORY_LINES);
    (void)history_w(editor->history, &event, H_SETUNIQUE, 1);
    (void)el_wset(editor->el, EL_CLIENTDATA, editor);
    (void)el_wset(editor->el, EL_PROMPT, prompt_of);
    (void)el_wset(editor->el, EL_HIST, history_w, editor->history);
    (void)el_wset(editor->el, EL_GETCFN, next_key);
    bind_keys(editor->el);
    return true;
}

struct editor *editor_new(const char *prompt, struct input *input, editor_wait *wait, void *user)
{
    struct editor *editor;

    if (!can_draw(input) || !use_utf8()) {
        return NULL;
    }
    editor = calloc(1, sizeof(*editor));
    if (editor == NULL) {
        return NULL;
    }
    editor->input = input;
    editor->wait = wait;
    editor->user = user;
    editor->prompt = widen(prompt);
    if (!watch_signals(editor) || editor->prompt == NULL || !prepare(editor)) {
        editor_free(editor);
        return NULL;
    }
    return editor;
}

void editor_free(struct editor *editor)
{
    if (editor == NULL) {
        return;
    }
    if (editor->el != NULL) {
        el_end(editor->el);
    }
    if (editor->history != NULL) {
        history_wend(editor->history);
    }
    if (editor->signal_fd >= 0) {
        (void)close(editor->signal_fd);
    }
    free(editor->prompt);
    free(editor->line);
    free(editor);
}
