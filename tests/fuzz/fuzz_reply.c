/* The reply template: what is accepted falls apart into the texts before and after {message} and
 * is the same again when joined; what is refused has a reason that is counted here once more. */
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

static size_t count_places(const char *text)
{
    size_t count = 0;

    while ((text = strstr(text, TABLE_PLACEHOLDER)) != NULL) {
        count++;
        text += strlen(TABLE_PLACEHOLDER);
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_options *o = NULL;
    char *text = fuzz_text(data, len);
    size_t text_len = strlen(text);
    struct server_settings set;
    bool ignored;
    bool good = fuzz_utf8_whole(text, text_len, &ignored) == text_len && count_places(text) == 1 &&
                text_len <= TABLE_REPLY_MAX_BYTES + strlen(TABLE_PLACEHOLDER);
    enum tlsmsg_code code;

    FUZZ_CHECK(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL) == TLSMSG_OK);
    code = tlsmsg_options_set(o, TLSMSG_OPT_REPLY, text, &err);
    FUZZ_CHECK(code == (good ? TLSMSG_OK : TLSMSG_ERR_CONFIG));
    fuzz_check_error(&err, code);
    options_server(o, &set);
    if (good) {
        FUZZ_CHECK(set.reply_prefix_len + strlen(TABLE_PLACEHOLDER) + set.reply_suffix_len ==
                   text_len);
        FUZZ_CHECK(memcmp(set.reply_prefix, text, set.reply_prefix_len) == 0);
        FUZZ_CHECK(memcmp(set.reply_suffix, text + text_len - set.reply_suffix_len,
                          set.reply_suffix_len) == 0);
    } else {
        FUZZ_CHECK(set.reply_prefix_len == 36 &&
                   set.reply_suffix_len == 0); /* the default is untouched */
    }
    tlsmsg_options_free(o);
    free(text);
    return 0;
}
