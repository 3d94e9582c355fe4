/* The file of first-use records, looked up and added to. The first byte chooses whether a server
 * is added; the rest is the file. */
#include "fuzz.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "support/test_folder.h"
#include "transport/tls/known_servers.h"

#define SERVER "localhost:12345"
#define PIN "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define ADD 0x5A

static struct test_folder folder;
static char path[TEST_PATH_MAX];
static char lock_path[TEST_PATH_MAX];

static void remove_folder(void)
{
    test_folder_remove(&folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    test_folder_make(&folder);
    (void)test_folder_file(&folder, "known_servers", path);
    (void)test_folder_file(&folder, "known_servers.lock", lock_path);
    FUZZ_CHECK(atexit(remove_folder) == 0);
    return 0;
}

static void write_file(const uint8_t *data, size_t len)
{
    FILE *file = fopen(path, "wb");

    FUZZ_CHECK(file != NULL && fwrite(data, 1, len, file) == len && fclose(file) == 0);
}

/* The file begins with these bytes and is `more` longer. */
static void check_file(const uint8_t *data, size_t len, bool longer)
{
    static uint8_t bytes[1024 * 1024];
    FILE *file = fopen(path, "rb");
    size_t got;

    FUZZ_CHECK(file != NULL);
    got = fread(bytes, 1, sizeof(bytes), file);
    FUZZ_CHECK(fclose(file) == 0);
    FUZZ_CHECK(got >= len && (got > len) == longer && memcmp(bytes, data, len) == 0);
}

/* Whether a line about the server holds this pin: read the plain way. */
static bool is_recorded(const char *text)
{
    static const char *const begins[] = {SERVER " ", "localhost.:12345 "};

    while (text != NULL && *text != '\0') {
        text += strncmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0; /* an editor's mark */
        for (size_t i = 0; i < 2; i++) {
            size_t len = strlen(begins[i]);

            if (strncasecmp(text, begins[i], len) == 0 &&
                strncmp(text + len, PIN " ", strlen(PIN) + 1) == 0) {
                return true;
            }
        }
        text = strchr(text, '\n');
        text = text == NULL ? NULL : text + 1;
    }
    return false;
}

static void check_add(const struct pin *pin, enum known_answer before, const uint8_t *data,
                      size_t len)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct known_record record;
    enum known_answer answer;
    enum tlsmsg_code code = known_servers_add(path, SERVER, pin, &err);

    FUZZ_CHECK(code == (before == KNOWN_OTHER ? TLSMSG_ERR_UNTRUSTED : TLSMSG_OK));
    fuzz_check_error(&err, code);
    check_file(data, len, before == KNOWN_NOT);
    FUZZ_CHECK(known_servers_find(path, SERVER, pin, &answer, &record, NULL) == TLSMSG_OK);
    FUZZ_CHECK(answer == (before == KNOWN_OTHER ? KNOWN_OTHER : KNOWN_SAME));
    (void)unlink(lock_path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct known_record record;
    enum known_answer answer = KNOWN_NOT;
    struct pin pin;
    enum tlsmsg_code code;
    char *text;

    if (len == 0) {
        return 0;
    }
    FUZZ_CHECK(pin_parse(PIN, &pin, NULL) == TLSMSG_OK);
    write_file(data + 1, len - 1);
    text = fuzz_text(data + 1, len - 1);
    code = known_servers_find(path, SERVER, &pin, &answer, &record, &err);
    FUZZ_CHECK(code == TLSMSG_OK || code == TLSMSG_ERR_CONFIG);
    fuzz_check_error(&err, code);
    if (code == TLSMSG_OK) {
        FUZZ_CHECK((answer == KNOWN_SAME) == is_recorded(text));
        FUZZ_CHECK(answer == KNOWN_NOT || pin_is_valid(record.pin.text));
        FUZZ_CHECK(answer != KNOWN_OTHER || strcmp(record.pin.text, PIN) != 0);
        if (data[0] == ADD) {
            check_add(&pin, answer, data + 1, len - 1);
        }
    }
    free(text);
    return 0;
}
