/* The signals of the server program. */
#ifndef APP_SIGNALS_H
#define APP_SIGNALS_H

#include <tlsmsg/error.h>

/* Early: keeps a SIGHUP or SIGUSR1 that comes before the server runs for later. */
void signals_prepare(void);

/* Before the workers start: from now on SIGTERM, SIGINT, SIGHUP and SIGUSR1 are read from *fd
 * (app/signal_fd.h; the caller closes it). TLSMSG_OK or TLSMSG_ERR_SYSTEM. */
enum tlsmsg_code signals_open(int *fd, struct tlsmsg_error *err);

/* Gives SIGTERM and SIGINT their default action back: the next one ends the program at once. */
void signals_restore_stop(void);

#endif
