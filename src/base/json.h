/* A writer of JSON (RFC 8259) into a buffer: fields in the order in which they are put.
 *
 * Strings are lossless: what RFC 8259 requires is escaped, and DEL, C1, U+2028/2029 and the
 * bidirectional controls as \uNNNN too (base/escape.h). The first failure is kept and ends the
 * writing, so that a caller looks once, at json_end. No allocation but the buffer's own.
 *
 *     struct json json;
 *     json_begin(&json, buffer);
 *     json_string(&json, "event", "message");
 *     json_number(&json, "bytes", 5);
 *     code = json_end(&json, "\n");          {"event":"message","bytes":5}
 *
 * A name is NULL inside an array. Nothing checks that objects and arrays end as they began. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

struct json {
    struct buffer *out;
    size_t start;          /* bytes that were in out before */
    bool follows;          /* a comma goes before what comes next */
    enum tlsmsg_code code; /* of the first failure */
};

/* Begins an object behind what out holds. */
void json_begin(struct json *json, struct buffer *out);

/* Ends it, with `after` behind it ("" or "\n"). TLSMSG_OK, or TLSMSG_ERR_LIMIT or _NOMEM, and then
 * out holds what it held before json_begin. */
enum tlsmsg_code json_end(struct json *json, const char *after);

void json_begin_object(struct json *json, const char *name);
void json_end_object(struct json *json);
void json_begin_array(struct json *json, const char *name);
void json_end_array(struct json *json);

/* A text that may be absent: NULL puts nothing, not even the name. */
void json_string(struct json *json, const char *name, const char *text);

/* A text of len bytes. */
void json_bytes(struct json *json, const char *name, const char *text, size_t len);

/* A text of which at most max bytes of the escaped form are put, cut at a character. */
void json_string_cut(struct json *json, const char *name, const char *text, size_t max);

/* A text of len bytes that is ours and needs no escape, such as a time. */
void json_plain(struct json *json, const char *name, const char *text, size_t len);

void json_number(struct json *json, const char *name, uint64_t number);
void json_signed(struct json *json, const char *name, int64_t number);
void json_bool(struct json *json, const char *name, bool value);

/* Milliseconds as seconds with three places: 1.203; what is below 0 is 0.000. */
void json_seconds(struct json *json, const char *name, int64_t ms);

/* Microseconds as seconds with six places: 0.001234. */
void json_seconds_us(struct json *json, const char *name, int64_t us);

#endif
