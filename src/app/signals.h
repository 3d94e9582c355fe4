/* Signals as something to poll and read, so that nothing runs in a handler. */
#ifndef APP_SIGNALS_H
#define APP_SIGNALS_H

#include <signal.h>

#include <tlsmsg/error.h>

/* Polls readable while one of these signals is pending; the caller has blocked them. Non-blocking,
 * closed on exec; the caller closes it. -1 with errno where there is none. */
int signals_open(const sigset_t *signals);

/* Takes the next one that is pending: its number, or 0 for none. */
int signals_next(int fd);

/* The server, early: keeps a SIGHUP or SIGUSR1 that comes before it runs for later. */
void signals_keep_for_server(void);

/* The server, before its workers start, which inherit the mask: from now on SIGTERM, SIGINT, SIGHUP
 * and SIGUSR1 are read from *fd (the caller closes it). TLSMSG_OK or TLSMSG_ERR_SYSTEM. */
enum tlsmsg_code signals_open_for_server(int *fd, struct tlsmsg_error *err);

/* Gives SIGTERM and SIGINT their default action back: the next one ends the program at once. */
void signals_restore_stop(void);

/* The client, before it connects: from now on SIGUSR1 waits to be read, and who asks early gets the
 * answer later. Returns a descriptor (the caller closes it), or -1 where there is none; then SIGUSR1
 * does nothing. */
int signals_open_for_client(void);

/* The client, while it asks for lines at a terminal: from now on SIGCONT, which goes on as ever, can
 * be read too. Returns a descriptor (the caller closes it), or -1 where there is none. */
int signals_open_for_prompt(void);

#endif
