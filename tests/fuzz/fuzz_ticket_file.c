/* Ticket key files: what is accepted can be written again from what was read; what is refused
 * leaves no key behind and none in the text of the error. */
#include "fuzz.h"

#include <ctype.h>
#include <string.h>

#include "transport/tls/tickets.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

static bool is_wiped(const struct ticket_file *file)
{
    const unsigned char *bytes = (const unsigned char *)file;

    for (size_t i = 0; i < sizeof(*file); i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

static bool shows_a_key(const char *text)
{
    int run = 0;

    for (; *text != '\0' && run < 8; text++) {
        run = isxdigit((unsigned char)*text) ? run + 1 : 0;
    }
    return run >= 8;
}

/* Writes the keys as a file and reads them back. */
static void check_again(const struct ticket_file *file)
{
    static const char *const names[TICKET_KEY_COUNT] = {"previous", "current", "next"};
    char text[TICKET_KEY_COUNT * (2 * sizeof(struct ticket_key) + 16)];
    struct ticket_file again;
    size_t at = 0;

    for (int i = 0; i < TICKET_KEY_COUNT; i++) {
        const unsigned char *key = (const unsigned char *)&file->keys[i];

        if (!file->present[i]) {
            continue;
        }
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s ", names[i]);
        for (size_t n = 0; n < sizeof(file->keys[i]); n++) {
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%02x", key[n]);
        }
        at += (size_t)snprintf(text + at, sizeof(text) - at, "\n");
    }
    FUZZ_CHECK(ticket_file_parse(text, "again", &again, NULL) == TLSMSG_OK);
    FUZZ_CHECK(memcmp(&again, file, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct ticket_keys *keys = NULL;
    struct ticket_file file;
    char *text = fuzz_text(data, len);
    enum tlsmsg_code code = ticket_file_parse(text, "keys.txt", &file, &err);

    FUZZ_CHECK(code == TLSMSG_OK || code == TLSMSG_ERR_CONFIG);
    fuzz_check_error(&err, code);
    if (code == TLSMSG_OK) {
        FUZZ_CHECK(file.present[TICKET_CURRENT]);
        check_again(&file);
        FUZZ_CHECK(ticket_keys_from_file(&file, &keys, NULL) == TLSMSG_OK);
        FUZZ_CHECK(ticket_keys_are_from_file(keys));
        ticket_keys_unref(keys);
        ticket_file_wipe(&file);
    } else {
        FUZZ_CHECK(!shows_a_key(err.text));
    }
    FUZZ_CHECK(is_wiped(&file));
    free(text);
    return 0;
}
