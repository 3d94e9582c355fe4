/* Editing a line at the terminal, with a history of those before it. CMake links one of
 * editor_libedit.c (the option TLSMSG_EDITLINE) and editor_none.c. */
#ifndef APP_CLIENT_EDITOR_H
#define APP_CLIENT_EDITOR_H

#include <stdbool.h>

#include "app/client/input.h"

struct editor;

/* Last line of --help, with its line end; empty where the build has no line editing. */
extern const char editor_remark[];

/* Waits until input's descriptor or signal_fd is readable, or for something of the program's own.
 * May print, after editor_step_aside. False: no line is wanted any more. */
typedef bool editor_wait(int signal_fd, void *user);

/* An editor for the terminal that input and stdout are; NULL where there is no such terminal, where
 * it can't be drawn on (TERM), and in a build without. Then lines are read from input itself.
 * prompt: UTF-8, copied; input: its limit and numbers are used, borrowed; wait: called with user
 * whenever there is no key to take. */
struct editor *editor_new(const char *prompt, struct input *input, editor_wait *wait, void *user);

/* Leaves the terminal as it was found. */
void editor_free(struct editor *editor);

/* Prompts and reads a line. INPUT_LINE (*line is borrowed until the next call), INPUT_TOO_LONG,
 * INPUT_END, INPUT_FAILED, or INPUT_MORE when wait has returned false. In every case the terminal's
 * mode is that of before, and the cursor stands at the beginning of a line. */
enum input_result editor_next(struct editor *editor, const char **line, size_t *len);

/* After INPUT_MORE: whether keys were typed that no line has brought. */
bool editor_has_rest(const struct editor *editor);

/* For wait: moves below the line that is being typed, so that something can be printed. Prompt and
 * line are drawn again when wait returns. */
void editor_step_aside(struct editor *editor);

#endif
