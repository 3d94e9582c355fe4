/* Asking the person at the terminal, and what a terminal can show. */
#ifndef APP_TERMINAL_H
#define APP_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

#include <tlsmsg/options.h>

/* True when stdin and stderr are terminals, so that a question is seen and answered by a person
 * and takes no line away from what a program sends. */
bool terminal_can_ask(void);

/* True when fd is a terminal that colour and alignment are for: not with NO_COLOR, nor on one that
 * calls itself dumb. */
bool terminal_takes_style(int fd);

/* True when the terminal that stdin is takes input for this program, not for another job. */
bool terminal_is_foreground(void);

/* Throws away what was typed or pasted for a conversation that is over, until nothing has come for
 * 0.2 s, at most for 2 s: it would go to the shell, which would run it. True where there was
 * something. Does nothing where stdin is not a terminal, or another job's. */
bool terminal_discard_input(void);

/* For tlsmsg_options_set_ask_password: see tlsmsg_ask_password_fn. Gives up after two minutes. user is
 * not used. */
bool terminal_ask_password(const char *file, char *buf, size_t cap, void *user);

/* For tlsmsg_options_set_confirm: see tlsmsg_confirm_fn. Waits as long as it takes. user: a
 * pointer to the struct phrases * to ask with. */
bool terminal_confirm(const struct tlsmsg_new_server *server, void *user);

/* Takes hold of the terminal that the program was started at, whose SIGHUP ends it: before the
 * signal is blocked or read. Returns a descriptor (the caller closes it); -1 where there is none, or
 * where SIGHUP was ignored from the start, as nohup(1) has it. */
int terminal_hold(void);

/* True once that terminal is gone: its window was closed, or its connection has ended. fd may be
 * -1. */
bool terminal_is_hung_up(int fd);

#endif
