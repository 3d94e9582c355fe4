/* Pins: exactly the texts that encoding 32 bytes gives, and no others. */
#include "fuzz.h"

#include <string.h>

#include <openssl/evp.h>

#include "transport/tls/known_servers.h"

#define PREFIX "sha256//"
#define DIGEST_BYTES 32
#define BASE64_CHARS 44

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

/* Decodes and encodes again: the same text comes out only of the one right form. */
static bool is_pin(const char *text)
{
    unsigned char digest[BASE64_CHARS];
    char again[BASE64_CHARS + 1];
    const char *base64 = text + strlen(PREFIX);

    if (strncmp(text, PREFIX, strlen(PREFIX)) != 0 || strlen(base64) != BASE64_CHARS ||
        EVP_DecodeBlock(digest, (const unsigned char *)base64, BASE64_CHARS) < 0) {
        return false;
    }
    (void)EVP_EncodeBlock((unsigned char *)again, digest, DIGEST_BYTES);
    return strcmp(again, base64) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pin pin = {.text = "untouched"};
    struct pin same;
    char *text = fuzz_text(data, len);
    bool good = is_pin(text);
    enum tlsmsg_code code = pin_parse(text, &pin, &err);

    FUZZ_CHECK(pin_is_valid(text) == good);
    FUZZ_CHECK(code == (good ? TLSMSG_OK : TLSMSG_ERR_CONFIG));
    fuzz_check_error(&err, code);
    if (good) {
        FUZZ_CHECK(strcmp(pin.text, text) == 0);
        FUZZ_CHECK(pin_parse(pin.text, &same, NULL) == TLSMSG_OK && pin_equal(&pin, &same));
    }
    free(text);
    return 0;
}
