/* The absent editor: lines come as the terminal gives them. Any thread. */
#include "app/client/editor.h"

#include <stddef.h>

const char editor_remark[] = "";

struct editor *editor_new(const char *prompt, struct input *input, editor_wait *wait, void *user)
{
    (void)prompt;
    (void)input;
    (void)wait;
    (void)user;
    return NULL;
}

void editor_free(struct editor *editor)
{
    (void)editor;
}

enum input_result editor_next(struct editor *editor, const char **line, size_t *len)
{
    (void)editor;
    *line = NULL;
    *len = 0;
    return INPUT_END;
}

bool editor_has_rest(const struct editor *editor)
{
    (void)editor;
    return false;
}

void editor_step_aside(struct editor *editor)
{
    (void)editor;
}
