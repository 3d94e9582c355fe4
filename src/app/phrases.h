/* The texts for people who talk, in the document's Chinese and in English. */
#ifndef APP_PHRASES_H
#define APP_PHRASES_H

#include <stddef.h>

struct phrase {
    const char *text; /* NUL-terminated */
    size_t len;
};

/* Around what the user is asked about a server's key at its first use. */
struct new_server_phrases {
    const char *unknown; /* before its address */
    const char *pin;     /* between that and the pin; so the next two */
    const char *names;
    const char *until;
    const char *compare; /* before the program that shows the pin on the server */
    const char *trust;   /* the question itself, without how to answer */
    const char *again;   /* after an answer that is neither yes nor no */
};

struct phrases {
    struct phrase waiting;   /* a whole line without its end */
    struct phrase connected; /* before the peer's tuple */
    struct phrase message;   /* before the message */
    struct phrase prompt;    /* for a line to send */
    struct phrase reply;     /* before the reply */

    /* What a client says at a terminal: "connected to localhost:12345, encrypted with TLSv1.3,
     * verified by ca.crt". */
    const char *connected_to;
    const char *encrypted_with;
    const char *verified_by;
    const char *by_system; /* the CAs of the system */
    const char *by_pin;
    const char *by_record; /* of first use */
    const char *both;      /* between a file of CAs and one of the two above */
    struct new_server_phrases new_server;
    const char *key_changed; /* lines: another key than on first use */
};

enum { PHRASES_ZH, PHRASES_EN, PHRASES_LANGUAGES };

/* The values of --lang. */
extern const char *const phrases_names[PHRASES_LANGUAGES];

/* The language without --lang, as an index: Chinese in plaintext, as in the tutorial. Under TLS the
 * locale's by LC_ALL, LC_MESSAGES or LANG: Chinese for zh*, and where there is none (unset, C, POSIX);
 * English for any other. */
size_t phrases_default(void);

/* The language of --help without --lang: Chinese for a locale of zh*, in plaintext too. Where there is
 * none it is English, as manuals and errors are. */
size_t phrases_default_for_help(void);

/* The texts of a language; i: an index into phrases_names. */
const struct phrases *phrases_get(size_t i);

#endif
