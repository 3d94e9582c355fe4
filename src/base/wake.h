/* A descriptor that polls readable because another thread said so. */
#ifndef BASE_WAKE_H
#define BASE_WAKE_H

/* Non-blocking, closed on exec; the caller closes it. -1 with errno where there is none. */
int wake_open(void);

/* It polls readable from now on; again: no effect. Any thread, and signal handlers
 * (async-signal-safe, errno is kept). */
void wake_raise(int fd);

/* Until the next wake_raise it doesn't. */
void wake_clear(int fd);

#endif
