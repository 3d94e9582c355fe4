/* The file of identities that may talk. The first line is the identity that asks, the rest is the
 * file. */
#include "fuzz.h"

#include <ctype.h>
#include <string.h>

#include "support/test_folder.h"
#include "transport/tls/identity.h"
#include "transport/tls/load.h"

static struct test_folder folder;
static char path[TEST_PATH_MAX];

static void remove_folder(void)
{
    test_folder_remove(&folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    test_folder_make(&folder);
    (void)test_folder_file(&folder, "allow", path);
    FUZZ_CHECK(atexit(remove_folder) == 0);
    return 0;
}

/* True where a printable identity without a wildcard stands in the file as a line. */
static bool is_listed(const char *identity, const char *text)
{
    size_t len = strlen(identity);
    const char *line = text;

    while (line != NULL) {
        const char *end = strchr(line, '\n');
        size_t line_len = end != NULL ? (size_t)(end - line) : strlen(line);

        if (line_len == len && memcmp(line, identity, len) == 0) {
            return true;
        }
        line = end != NULL ? end + 1 : NULL;
    }
    return false;
}

/* Whether a line of the file would be taken as it is: no comment, and no blanks around it. */
static bool is_whole(const char *identity)
{
    size_t len = strlen(identity);

    return len > 0 && isalpha((unsigned char)identity[0]) != 0 && identity[len - 1] != ' ';
}

static void check_file(const char *identity, const char *text)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct load_report report = {0};
    struct tlsmsg_options *o = NULL;
    struct allow_list *list = NULL;
    struct tls_settings settings;
    enum tlsmsg_code code;

    FUZZ_CHECK(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL) == TLSMSG_OK);
    FUZZ_CHECK(tlsmsg_options_set(o, TLSMSG_OPT_CLIENT_CA, "ca.crt", NULL) == TLSMSG_OK);
    FUZZ_CHECK(tlsmsg_options_set(o, TLSMSG_OPT_ALLOW_FILE, path, NULL) == TLSMSG_OK);
    options_tls(o, &settings);
    code = allow_load(&settings, &list, &report, &err);
    load_report_fini(&report);
    FUZZ_CHECK(code == TLSMSG_OK || code == TLSMSG_ERR_CONFIG);
    fuzz_check_error(&err, code);
    FUZZ_CHECK((code == TLSMSG_OK) == (list != NULL));
    if (list != NULL) {
        bool held = allow_holds(list, identity);

        FUZZ_CHECK(!allow_holds(list, NULL));
        if (is_whole(identity) && fuzz_is_printable(identity, strlen(identity)) &&
            is_listed(identity, text)) {
            FUZZ_CHECK(held);
        }
        /* Without a wildcard or a difference of case nothing but the name itself is held. */
        if (strncmp(identity, "DNS:", 4) != 0) {
            FUZZ_CHECK(!held || strstr(text, identity) != NULL);
        }
    }
    allow_free(list);
    tlsmsg_options_free(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *end = len > 0 ? memchr(data, '\n', len) : NULL;
    size_t identity_len = end != NULL ? (size_t)(end - data) : len;
    size_t at = end != NULL ? identity_len + 1 : len;
    char *identity = fuzz_text(data, identity_len);
    char *text = fuzz_text(data + at, len - at);
    FILE *file = fopen(path, "wb");

    FUZZ_CHECK(file != NULL && fwrite(data + at, 1, len - at, file) == len - at &&
               fclose(file) == 0);
    check_file(identity, text);
    free(identity);
    free(text);
    return 0;
}
