/* Errors as values.
 *
 * Every call that can fail returns a code and, when the caller passes a
 * struct tlsmsg_error, fills it with the cause. The structure belongs to the
 * caller; the first cause recorded in it stays until the caller clears it, so
 * that an error met while cleaning up never hides the one that mattered.
 * errno carries no meaning after any call of this library.
 */
#ifndef TLSMSG_ERROR_H
#define TLSMSG_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#ifndef TLSMSG_API
#define TLSMSG_API __attribute__((visibility("default")))
#endif

/* What kind of failure it was. Values are stable; new ones are added at the end. */
enum tlsmsg_code {
    TLSMSG_OK = 0,
    TLSMSG_ERR_NOMEM,        /* an allocation failed */
    TLSMSG_ERR_SYSTEM,       /* the operating system refused; sys_errno says why */
    TLSMSG_ERR_CONFIG,       /* an option, or a file that an option names, can't be used */
    TLSMSG_ERR_STATE,        /* the call doesn't fit the object's state */
    TLSMSG_ERR_CONNECT,      /* no connection: refused, unreachable, name unknown */
    TLSMSG_ERR_HANDSHAKE,    /* no TLS session could be agreed on */
    TLSMSG_ERR_NOT_TLS,      /* the peer's first byte isn't TLS */
    TLSMSG_ERR_IS_TLS,       /* the peer speaks TLS to the plaintext transport */
    TLSMSG_ERR_UNTRUSTED,    /* the peer's certificate isn't to be trusted */
    TLSMSG_ERR_REFUSED,      /* the peer refused our certificate or our access */
    TLSMSG_ERR_TRUNCATED,    /* end of file without close_notify */
    TLSMSG_ERR_RESET,        /* the connection was reset */
    TLSMSG_ERR_TIMEOUT,      /* a deadline passed */
    TLSMSG_ERR_PROTOCOL,     /* the peer broke TLS after the handshake, or tlsmsg/1 */
    TLSMSG_ERR_UTF8,         /* bytes that are not UTF-8 */
    TLSMSG_ERR_LIMIT,        /* a documented size or count was exceeded */
    TLSMSG_ERR_CLOSED,       /* the peer closed in order, but something was still due */
    TLSMSG_ERR_KEY_CHANGED,  /* a server shows another key than on first use; not to be trusted */
    TLSMSG_ERR_NOT_NUMBERED, /* the server doesn't speak tlsmsg/1, or refuses its offer */
    TLSMSG_ERR_BYE           /* the server ended the conversation with a BYE (tlsmsg/1) */
};

/* A cause. text is one line of English, NUL-terminated, without a final stop
 * and without a program's name; bytes that came from a peer or a file name are
 * escaped in it. sys_errno and ssl_code are 0 where they have no part in it. */
struct tlsmsg_error {
    enum tlsmsg_code code;
    int sys_errno;
    unsigned long ssl_code;
    char text[512];
};

/* Empties an error, so that the next cause is recorded.
 * err: the error, or NULL (then nothing is done).
 * Thread rule: any thread that owns err; never blocks. */
TLSMSG_API void tlsmsg_error_clear(struct tlsmsg_error *err);

/* Names a code for people, such as "untrusted".
 * code: any value; an unknown one gives "unknown".
 * Returns a static string, never NULL. Thread rule: any thread; never blocks. */
TLSMSG_API const char *tlsmsg_code_name(enum tlsmsg_code code);

#ifdef __cplusplus
}
#endif

#endif
