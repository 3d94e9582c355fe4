/* Parameters as they are sent, as text: see fake_libpq.h. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "support/fake_libpq_internal.h"
#include "support/unit.h"

#define HEADER_BYTES 20
#define LONG_BYTES 1024 /* from here on the length is shown alone */

void fake_libpq_append(char *text, const char *format, ...)
{
    size_t len = strlen(text);
    va_list values;
    int added;

    va_start(values, format);
    added = vsnprintf(text + len, FAKE_SENT_CHARS - len, format, values);
    va_end(values);
    assert_in_range(added, 0, FAKE_SENT_CHARS - len - 1);
}

static uint64_t number_at(const unsigned char *at, size_t bytes)
{
    uint64_t number = 0;

    while (bytes-- > 0) {
        number = number << 8 | *at++;
    }
    return number;
}

static void append_element(char *text, const char *type, const unsigned char *at, size_t len)
{
    size_t i;

    if (strcmp(type, "int8") == 0) {
        assert_int_equal(len, 8);
        fake_libpq_append(text, "%lld", (long long)number_at(at, 8));
    } else if (len > LONG_BYTES) {
        fake_libpq_append(text, "<%zu bytes>", len);
    } else if (strcmp(type, "text") == 0) {
        fake_libpq_append(text, "'%.*s'", (int)len, (const char *)at);
    } else {
        for (i = 0; i < len; i++) {
            fake_libpq_append(text, "%02x", at[i]);
        }
    }
}

/* An array in binary: dimensions, whether one is NULL, the elements' type; count, first index. */
static void append_array(char *text, const unsigned char *at, size_t len)
{
    const unsigned char *end = at + len;
    uint64_t number = number_at(at + 8, 4);
    uint64_t count = number_at(at + 12, 4);
    const char *type = number == 25 ? "text" : number == 20 ? "int8" : "bytea";
    bool has_null = false;
    uint64_t i;

    assert_true(len >= HEADER_BYTES);
    assert_int_equal(number_at(at, 4), 1);
    assert_true(number == 25 || number == 20 || number == 17);
    assert_int_equal(number_at(at + 16, 4), 1);
    fake_libpq_append(text, " %s{", type);
    i = number_at(at + 4, 4);
    at += HEADER_BYTES;
    for (number = i, i = 0; i < count; i++) {
        uint64_t bytes = number_at(at, 4);

        at += 4;
        fake_libpq_append(text, "%s", i > 0 ? "," : "");
        if (bytes == UINT32_MAX) {
            has_null = true;
            fake_libpq_append(text, "NULL");
        } else {
            assert_true((uint64_t)(end - at) >= bytes);
            append_element(text, type, at, bytes);
            at += bytes;
        }
    }
    assert_ptr_equal(at, end);
    assert_int_equal(number, has_null);
    fake_libpq_append(text, "}");
}

void fake_libpq_append_values(char *text, int count, const char *const *values, const int *lengths,
                              const int *formats)
{
    int i;

    for (i = 0; i < count; i++) {
        if (lengths == NULL) {
            assert_null(formats);
            fake_libpq_append(text, " '%s'", values[i]);
        } else {
            assert_int_equal(formats[i], 1);
            append_array(text, (const unsigned char *)values[i], (size_t)lengths[i]);
        }
    }
}
