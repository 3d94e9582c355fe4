/* Parsing the ticket key file. Secrets: wiped by whoever is done with them, never in a text. */
#include "transport/tls/ticket_file.h"

#include <string.h>

#include <openssl/crypto.h>

#include "base/error.h"
#include "transport/tls/pem_file.h"

#define MAKES_ONE "scripts/rotate-ticket-keys.sh makes one"

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly len bytes as hexadecimal digits, and nothing after them. */
static bool parse_hex(const char *text, unsigned char *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int high = digit_of(text[2 * i]);
        int low = high < 0 ? -1 : digit_of(text[2 * i + 1]);

        if (low < 0) {
            return false;
        }
        out[i] = (unsigned char)(high << 4 | low);
    }
    return text[2 * len] == '\0';
}

static bool parse_line(char *line, struct ticket_file *out)
{
    static const char *const names[TICKET_KEY_COUNT] = {"previous", "current", "next"};
    char *hex = strchr(line, ' ');

    if (hex == NULL) {
        return false;
    }
    *hex++ = '\0';
    for (int i = 0; i < TICKET_KEY_COUNT; i++) {
        if (strcmp(line, names[i]) == 0 && !out->present[i]) {
            out->present[i] = true;
            return parse_hex(hex, (unsigned char *)&out->keys[i], sizeof(out->keys[i]));
        }
    }
    return false;
}

static bool has_repeated_name(const struct ticket_file *file)
{
    for (int a = 0; a < TICKET_KEY_COUNT; a++) {
        for (int b = a + 1; b < TICKET_KEY_COUNT; b++) {
            if (file->present[a] && file->present[b] &&
                memcmp(file->keys[a].name, file->keys[b].name, TICKET_NAME_BYTES) == 0) {
                return true;
            }
        }
    }
    return false;
}

enum tlsmsg_code ticket_file_parse(char *text, const char *name, struct ticket_file *out,
                                   struct tlsmsg_error *err)
{
    char *rest = text;
    char *line;
    int number = 0;

    memset(out, 0, sizeof(*out));
    while ((line = strsep(&rest, "\n")) != NULL) {
        number++;
        if (line[0] == '\0' || line[0] == '#') {
            continue;
        }
        if (!parse_line(line, out)) {
            ticket_file_wipe(out);
            return error_set(err, TLSMSG_ERR_CONFIG, 0,
                             "ticket key file '%s', line %d: not 'previous', 'current' or 'next' "
                             "and 160 hexadecimal digits, each once (" MAKES_ONE ")",
                             name, number);
        }
    }
    if (!out->present[TICKET_CURRENT] || has_repeated_name(out)) {
        bool repeated = out->present[TICKET_CURRENT];

        ticket_file_wipe(out);
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "ticket key file '%s' %s (" MAKES_ONE ")", name,
                         repeated ? "names two keys alike" : "holds no current key");
    }
    return TLSMSG_OK;
}

enum tlsmsg_code ticket_file_read(const char *path, struct ticket_file *out,
                                  struct tlsmsg_error *err)
{
    struct pem_file file;
    enum tlsmsg_code code = pem_file_read(&file, path, "ticket key file", MAKES_ONE, err);

    if (code == TLSMSG_OK) {
        code = strlen(file.bytes) == file.len
                   ? ticket_file_parse(file.bytes, file.name, out, err)
                   : error_set(err, TLSMSG_ERR_CONFIG, 0,
                               "ticket key file '%s' holds a zero byte (" MAKES_ONE ")", file.name);
        pem_file_fini(&file);
    }
    return code;
}

void ticket_file_wipe(struct ticket_file *file)
{
    OPENSSL_cleanse(file, sizeof(*file));
}
