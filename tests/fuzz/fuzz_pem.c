/* PEM files: what is found lies in the file, whole and in order; and no line with a marker in it, read
 * the plain way, is passed over where nothing was refused. */
#include "fuzz.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "transport/tls/pem.h"

#define BEGIN "-----BEGIN "
#define END "-----END "
#define DASHES "-----"
#define MARK "\xEF\xBB\xBF" /* U+FEFF */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

static bool starts_with(const char *at, const char *end, const char *text)
{
    return (size_t)(end - at) >= strlen(text) && memcmp(at, text, strlen(text)) == 0;
}

/* A byte order mark may stand before it, as before any line. */
static bool is_comment(const char *at, const char *end)
{
    if (starts_with(at, end, MARK)) {
        at += strlen(MARK);
    }
    while (at < end && strchr(" \t\r\f\v", *at) != NULL) {
        at++;
    }
    return at < end && *at == '#';
}

/* The markers of blocks that OpenSSL's own reader would take, or that are a blank away from that. */
static unsigned count_markers(const char *bytes, size_t len)
{
    static const char *const labels[] = {"CERTIFICATE", "X509 CRL", "PRIVATE KEY"};
    const char *end = bytes + len;
    unsigned count = 0;

    for (const char *line = bytes; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));

        stop = stop == NULL ? end : stop;
        for (const char *at = line; at < stop && !is_comment(line, stop); at++) {
            for (size_t i = 0; starts_with(at, stop, BEGIN) && i < sizeof(labels) / sizeof(*labels);
                 i++) {
                count += starts_with(at + strlen(BEGIN), stop, labels[i]);
            }
        }
        line = stop + 1;
    }
    return count;
}

static void check_block(const struct pem_block *block, const char *from, const char *end)
{
    FUZZ_CHECK(block->bytes >= from && block->len > strlen(BEGIN) + strlen(END));
    FUZZ_CHECK(block->len <= (size_t)(end - block->bytes));
    FUZZ_CHECK(starts_with(block->bytes, end, BEGIN));
    FUZZ_CHECK(memcmp(block->bytes + block->len - strlen(DASHES), DASHES, strlen(DASHES)) == 0);
    FUZZ_CHECK(memmem(block->bytes, block->len, "\n" END, strlen(END) + 1) != NULL ||
               memmem(block->bytes, block->len, MARK END, strlen(MARK END)) != NULL);
}

static unsigned line_of(const char *bytes, const char *at)
{
    unsigned line = 1;

    for (; bytes < at; bytes++) {
        line += *bytes == '\n';
    }
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *bytes = fuzz_copy(data, len);
    struct file file = {.name = "it.pem", .bytes = bytes, .len = len};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pem_reader reader;
    struct pem_block block;
    unsigned found = 0;
    long der_len;
    const char *from = bytes;
    enum tlsmsg_code code = pem_begin(&reader, &file, "CA file", "x509", &err);

    while (code == TLSMSG_OK) {
        code = pem_next(&reader, &block, &err);
        if (code != TLSMSG_OK || block.kind == PEM_END) {
            break;
        }
        check_block(&block, from, bytes + len);
        FUZZ_CHECK(block.line == line_of(bytes, block.bytes));
        OPENSSL_free(pem_der(&block, &der_len));
        ERR_clear_error();
        from = block.bytes + block.len;
        found++;
    }
    FUZZ_CHECK(code == TLSMSG_OK || code == TLSMSG_ERR_CONFIG);
    fuzz_check_error(&err, code);
    if (code == TLSMSG_OK) {
        FUZZ_CHECK(count_markers(bytes, len) <= found);
        FUZZ_CHECK(pem_instead(&reader) != NULL);
    }
    free(bytes);
    return 0;
}
