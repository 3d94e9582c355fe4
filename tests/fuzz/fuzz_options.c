/* Options set from text, one after the other on one object. The first byte chooses the role; then
 * each line is a byte that chooses the option, and its value. */
#include "fuzz.h"

#include <string.h>

#include "options/options.h"
#include "options/table.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

static bool is_text(enum tlsmsg_option option)
{
    const struct option_row *row = table_row(option);

    return row->kind == KIND_TEXT || row->kind == KIND_LIST;
}

/* A key goes to a certificate before it, so it isn't always the last. */
static bool holds(const struct tlsmsg_options *o, enum tlsmsg_option option, const char *value)
{
    size_t count = tlsmsg_options_count(o, option);
    size_t i = option == TLSMSG_OPT_KEY ? 0 : count - 1;

    for (; i < count; i++) {
        const char *text = tlsmsg_options_text(o, option, i);

        if (text != NULL && strcmp(text, value) == 0) {
            return true;
        }
    }
    return false;
}

/* What was set is what is kept; a number lies in its range. */
static void check_kept(const struct tlsmsg_options *o, enum tlsmsg_option option, const char *value)
{
    const struct option_row *row = table_row(option);
    size_t count = tlsmsg_options_count(o, option);
    int64_t number;

    FUZZ_CHECK(tlsmsg_options_is_set(o, option));
    if (is_text(option)) {
        FUZZ_CHECK(count > 0);
        FUZZ_CHECK(holds(o, option, value));
        FUZZ_CHECK(tlsmsg_options_text(o, option, count) == NULL);
    } else {
        number = tlsmsg_options_number(o, option);
        FUZZ_CHECK(number >= row->min && number <= row->max);
    }
}

static void check_set(struct tlsmsg_options *o, enum tlsmsg_option option, const char *value)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    bool known = table_row(option) != NULL;
    bool number = known && !is_text(option);
    size_t count = known ? tlsmsg_options_count(o, option) : 0;
    int64_t before = number ? tlsmsg_options_number(o, option) : 0;
    bool was_set = known && tlsmsg_options_is_set(o, option);
    enum tlsmsg_code code = tlsmsg_options_set(o, option, value, &err);

    FUZZ_CHECK(code == TLSMSG_OK || code == TLSMSG_ERR_CONFIG || code == TLSMSG_ERR_LIMIT);
    fuzz_check_error(&err, code);
    if (code == TLSMSG_OK) {
        check_kept(o, option, value);
    } else if (known) {
        FUZZ_CHECK(tlsmsg_options_count(o, option) == count);
        FUZZ_CHECK(!number || tlsmsg_options_number(o, option) == before);
        FUZZ_CHECK(tlsmsg_options_is_set(o, option) == was_set);
    }
}

/* A copy says the same as its original. */
static void check_copy(const struct tlsmsg_options *o)
{
    struct tlsmsg_options *copy = options_copy(o);

    FUZZ_CHECK(copy != NULL && options_role(copy) == options_role(o));
    for (int i = 0; i < TLSMSG_OPT_COUNT; i++) {
        enum tlsmsg_option option = (enum tlsmsg_option)i;

        if (!is_text(option)) {
            FUZZ_CHECK(tlsmsg_options_number(copy, option) == tlsmsg_options_number(o, option));
            continue;
        }
        FUZZ_CHECK(tlsmsg_options_count(copy, option) == tlsmsg_options_count(o, option));
        for (size_t n = 0; n < tlsmsg_options_count(o, option); n++) {
            const char *theirs = tlsmsg_options_text(copy, option, n);
            const char *ours = tlsmsg_options_text(o, option, n);

            FUZZ_CHECK((theirs == NULL) == (ours == NULL));
            FUZZ_CHECK(ours == NULL || strcmp(theirs, ours) == 0);
        }
    }
    tlsmsg_options_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tlsmsg_options *o = NULL;
    size_t at = 1;

    if (len == 0) {
        return 0;
    }
    FUZZ_CHECK(tlsmsg_options_new(data[0] & 1 ? TLSMSG_ROLE_CLIENT : TLSMSG_ROLE_SERVER, &o,
                                  NULL) == TLSMSG_OK);
    while (at < len) {
        enum tlsmsg_option option = (enum tlsmsg_option)(data[at] % (TLSMSG_OPT_COUNT + 2));
        const uint8_t *value = data + at + 1;
        const uint8_t *end = memchr(value, '\n', len - at - 1);
        size_t value_len = end != NULL ? (size_t)(end - value) : len - at - 1;
        char *text = fuzz_text(value, value_len);

        check_set(o, option, text);
        free(text);
        at += value_len + 2;
    }
    check_copy(o);
    tlsmsg_options_free(o);
    return 0;
}
