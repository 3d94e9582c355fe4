/* The three standard descriptors. */
#ifndef APP_DESCRIPTORS_H
#define APP_DESCRIPTORS_H

/* Fills 0, 1 and 2 where the program was started without them, so that no socket or file of
 * ours ever gets one of these numbers and receives the conversation. A missing stdin reads as
 * empty, writing to a missing stdout fails (EBADF), a missing stderr swallows.
 * Ignores SIGPIPE and SIGXFSZ, so that a write that can't be done fails with a cause (EPIPE,
 * EFBIG) instead of ending the program without a word. */
void descriptors_prepare(void);

#endif
