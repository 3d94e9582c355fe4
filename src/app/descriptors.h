/* The three standard descriptors, and how many there may be. */
#ifndef APP_DESCRIPTORS_H
#define APP_DESCRIPTORS_H

/* Fills 0, 1 and 2 where the program was started without them, so that no socket or file of
 * ours ever gets one of these numbers and receives the conversation. A missing stdin reads as
 * empty, writing to a missing stdout fails (EBADF), a missing stderr swallows.
 * Ignores SIGPIPE and SIGXFSZ, so that a write that can't be done fails with a cause (EPIPE,
 * EFBIG) instead of ending the program without a word. */
void descriptors_prepare(void);

/* Raises the soft limit of open descriptors to the hard one: how many connections are taken
 * follows it, and a server has no use for select(2), for which the soft one is kept low. */
void descriptors_raise_limit(void);

#endif
