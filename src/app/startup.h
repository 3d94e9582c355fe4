/* What both programs need from their first line on: the three standard descriptors, a line for
 * people on stderr, and what an exit code means. */
#ifndef APP_STARTUP_H
#define APP_STARTUP_H

#include <stdbool.h>

#include <tlsmsg/error.h>

/* Fills 0, 1 and 2 where the program was started without them, so that no socket or file of
 * ours ever gets one of these numbers and receives the conversation. A missing stdin reads as
 * empty, writing to a missing stdout fails (EBADF), a missing stderr swallows.
 * Ignores SIGPIPE and SIGXFSZ, so that a write that can't be done fails with a cause (EPIPE,
 * EFBIG) instead of ending the program without a word. */
void startup_descriptors(void);

/* Raises the soft limit of open descriptors to the hard one: how many connections are taken
 * follows it, and a server has no use for select(2), for which the soft one is kept low. */
void startup_raise_descriptor_limit(void);

/* Writes "tlsmsg-server: what failed" to stderr in one write(2), with its line end; what doesn't
 * fit is cut. errno is left alone. What comes from outside must be escaped already. Any thread. */
void startup_warn(const char *program, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

enum exit_code {
    EXIT_DONE = 0,
    EXIT_OTHER = 1,         /* bind failed, stdout gone, a line refused */
    EXIT_USAGE = 2,         /* usage or configuration */
    EXIT_NO_CONNECTION = 3, /* before the handshake is done, and neither of the next two */
    EXIT_UNTRUSTED = 4,     /* the server is not to be trusted */
    EXIT_REFUSED = 5,       /* the server refused us */
    EXIT_CUT = 6,           /* the conversation was cut */
    EXIT_KEPT = 7           /* all is kept in the spool, and not all is delivered */
};

/* How far a program had come when something failed. */
enum exit_phase {
    EXIT_WHILE_STARTING,
    EXIT_WHILE_CONNECTING, /* up to the end of the handshake */
    EXIT_WHILE_TALKING
};

enum exit_code exit_code_for(enum tlsmsg_code code, enum exit_phase phase);

/* Sends on what stdio has for stdout, whose failures show only then. EXIT_DONE, or EXIT_OTHER with
 * the cause told. */
enum exit_code startup_flush_stdout(const char *program);

/* Whether a database's address holds a password: "postgresql://user:secret@host/base" or
 * "password=secret". NULL: it doesn't. */
bool startup_holds_password(const char *value);

/* Overwrites such a value where the command line has it, since others see that (ps(1)).
 * Returns a copy of the value for the program itself, owned by the caller; NULL: nothing was
 * overwritten. */
char *startup_hide_password(char *const *argv, const char *value);

/* Has ps(1) show another command line, as far as it fits into the old one, which is overwritten: what
 * points into it is lost. */
void startup_set_title(char *const *argv, const char *title);

#endif
