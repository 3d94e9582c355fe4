/* See json.h. Each value makes room for the longest form that it can have, once, and is then
 * copied: a line a message is in the server's message path, where printf would be most of it. */
#include "base/json.h"

#include "base/decimal.h"
#include "base/escape.h"

/* Room for a comma, a name and a value of at most `value` bytes. Names are short and ours, and
 * need no escape. False once anything has failed. */
static bool begin_value(struct json *json, const char *name, size_t value)
{
    size_t len = name == NULL ? 0 : strlen(name);

    if (json->code == TLSMSG_OK) {
        json->code = buffer_reserve(json->out, len + sizeof(",\"\":") - 1 + value);
    }
    if (json->code != TLSMSG_OK) {
        return false;
    }
    if (json->follows) {
        BUFFER_PUT(json->out, ",");
    }
    json->follows = true;
    if (name != NULL) {
        BUFFER_PUT(json->out, "\"");
        buffer_put(json->out, name, len);
        BUFFER_PUT(json->out, "\":");
    }
    return true;
}

static void begin_group(struct json *json, const char *name, const char *bracket)
{
    if (begin_value(json, name, 1)) {
        buffer_put(json->out, bracket, 1);
        json->follows = false;
    }
}

static void end_group(struct json *json, const char *bracket)
{
    if (json->code == TLSMSG_OK) {
        json->code = buffer_append(json->out, bracket, 1);
        json->follows = true;
    }
}

void json_begin(struct json *json, struct buffer *out)
{
    *json = (struct json){.out = out, .start = out->len};
    begin_group(json, NULL, "{");
}

enum tlsmsg_code json_end(struct json *json, const char *after)
{
    end_group(json, "}");
    if (json->code == TLSMSG_OK) {
        json->code = buffer_append(json->out, after, strlen(after));
    }
    if (json->code != TLSMSG_OK) {
        buffer_truncate(json->out, json->start);
    }
    return json->code;
}

void json_begin_object(struct json *json, const char *name)
{
    begin_group(json, name, "{");
}

void json_end_object(struct json *json)
{
    end_group(json, "}");
}

void json_begin_array(struct json *json, const char *name)
{
    begin_group(json, name, "[");
}

void json_end_array(struct json *json)
{
    end_group(json, "]");
}

static void put_text(struct json *json, const char *name, const char *text, size_t len, size_t max)
{
    if (!begin_value(json, name, max + 2)) {
        return;
    }
    BUFFER_PUT(json->out, "\"");
    json->out->len += escape_json(buffer_end(json->out), max, text, len);
    BUFFER_PUT(json->out, "\"");
}

void json_bytes(struct json *json, const char *name, const char *text, size_t len)
{
    put_text(json, name, text, len, len * ESCAPE_EXPANSION_MAX);
}

void json_string(struct json *json, const char *name, const char *text)
{
    if (text != NULL) {
        json_bytes(json, name, text, strlen(text));
    }
}

void json_string_cut(struct json *json, const char *name, const char *text, size_t max)
{
    if (text != NULL) {
        put_text(json, name, text, strlen(text), max);
    }
}

void json_plain(struct json *json, const char *name, const char *text, size_t len)
{
    if (begin_value(json, name, len + 2)) {
        BUFFER_PUT(json->out, "\"");
        buffer_put(json->out, text, len);
        BUFFER_PUT(json->out, "\"");
    }
}

void json_number(struct json *json, const char *name, uint64_t number)
{
    if (begin_value(json, name, DECIMAL_DIGITS_MAX)) {
        decimal_put(json->out, number);
    }
}

void json_signed(struct json *json, const char *name, int64_t number)
{
    if (!begin_value(json, name, DECIMAL_DIGITS_MAX + 1)) {
        return;
    }
    if (number < 0) {
        BUFFER_PUT(json->out, "-");
    }
    decimal_put(json->out, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

void json_bool(struct json *json, const char *name, bool value)
{
    if (begin_value(json, name, sizeof("false") - 1)) {
        buffer_put(json->out, value ? "true" : "false", value ? 4 : 5);
    }
}

/* value: seconds times scale, which is 10 to the power of places. */
static void put_seconds(struct json *json, const char *name, int64_t value, uint64_t scale,
                        unsigned places)
{
    uint64_t count = value > 0 ? (uint64_t)value : 0;

    if (begin_value(json, name, 2 * DECIMAL_DIGITS_MAX + 1)) {
        decimal_put(json->out, count / scale);
        BUFFER_PUT(json->out, ".");
        decimal_put_padded(json->out, count % scale, places);
    }
}

void json_seconds(struct json *json, const char *name, int64_t ms)
{
    put_seconds(json, name, ms, 1000, 3);
}

void json_seconds_us(struct json *json, const char *name, int64_t us)
{
    put_seconds(json, name, us, 1000000, 6);
}
