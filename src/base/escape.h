/* Escaping of what peers send before it reaches a terminal, a log or a transcript.
 *
 * Text form: C0 and DEL as \xNN (\n \r \t under those names), U+0080 to U+009F, U+2028/2029
 * and the bidirectional controls (U+061C, U+200E/F, U+202A-202E, U+2066-2069) as \uNNNN; a backslash stays as it is.
 * Strict form, for identities and names: the text form, and what draws nothing or only a blank (zero
 * width, soft hyphen, fillers, variation selectors, tags, blanks other than U+0020) as \uNNNN, above
 * U+FFFF as \UNNNNNNNN.
 * JSON form: RFC 8259 escapes, and all of the above as \uNNNN too.
 * Invalid UTF-8 bytes come out as \xNN in text; JSON input must be valid (invalid bytes
 * become U+FFFD). Nothing is allocated. */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include <stddef.h>

/* Most bytes that one input byte can become, and that one character can. */
#define ESCAPE_EXPANSION_MAX 6
#define ESCAPE_LONGEST 10

/* Writes the escaped form of len bytes at s into out, of which cap bytes can be used.
 * Returns the bytes written; stops before a character that no longer fits. Not NUL-terminated.
 * ESCAPE_EXPANSION_MAX * len bytes always suffice. */
size_t escape_text(char *out, size_t cap, const char *s, size_t len);
size_t escape_strict(char *out, size_t cap, const char *s, size_t len);
size_t escape_json(char *out, size_t cap, const char *s, size_t len);

/* Strict form of a C string as a NUL-terminated string of at most cap - 1 bytes; cut with
 * "..." where it doesn't fit. Returns out. */
const char *escape_name(char *out, size_t cap, const char *s);

#endif
