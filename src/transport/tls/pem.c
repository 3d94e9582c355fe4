/* See pem.h. Lines end as editors end them: "\n" or "\r\n", blanks before it mean nothing, and a byte
 * order mark may stand where files were put together. */
#include "transport/tls/pem.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/pem.h>

#include "base/error.h"
#include "base/escape.h"

#define LABEL_MAX 64
#define STRAY_SHOWN_MAX 120
#define MARKER_SHOWN_MAX 40
#define BODY_LINE_MIN 32 /* shorter ones could be a word */

/* A line without its end. */
struct line {
    const char *at;
    size_t len;
};

static const struct {
    const char *label;
    enum pem_kind kind;
} labels[] = {
    {"CERTIFICATE", PEM_CERTIFICATE},
    {"X509 CERTIFICATE", PEM_CERTIFICATE},
    {"X509 CRL", PEM_CRL},
    {"PRIVATE KEY", PEM_KEY},
    {"ENCRYPTED PRIVATE KEY", PEM_KEY},
    {"RSA PRIVATE KEY", PEM_KEY},
    {"EC PRIVATE KEY", PEM_KEY},
    {"DSA PRIVATE KEY", PEM_OTHER},
    {"EC PARAMETERS", PEM_OTHER},
    {"DH PARAMETERS", PEM_OTHER},
    {"X9.42 DH PARAMETERS", PEM_OTHER},
    {"DSA PARAMETERS", PEM_OTHER},
    {"PUBLIC KEY", PEM_OTHER},
    {"RSA PUBLIC KEY", PEM_OTHER},
    {"CERTIFICATE REQUEST", PEM_OTHER},
    {"NEW CERTIFICATE REQUEST", PEM_OTHER},
};

/* ---- what is not text */

/* A SEQUENCE, with a length in several bytes or one that is the file's. */
static bool is_der(const struct file *file)
{
    const unsigned char *bytes = (const unsigned char *)file->bytes;

    return file->len > 8 && bytes[0] == 0x30 &&
           ((bytes[1] & 0xF0) == 0x80 || bytes[1] + (size_t)2 == file->len);
}

/* What stands in the outermost SEQUENCE. */
static const unsigned char *der_contents(const struct file *file)
{
    const unsigned char *bytes = (const unsigned char *)file->bytes;

    return bytes + 2 + ((bytes[1] & 0x80) != 0 ? bytes[1] & 0x0F : 0);
}

static bool begins_with(const struct file *file, const unsigned char *bytes, size_t len)
{
    const unsigned char *contents = der_contents(file);
    const unsigned char *end = (const unsigned char *)file->bytes + file->len;

    return contents < end && (size_t)(end - contents) >= len && memcmp(contents, bytes, len) == 0;
}

static enum tlsmsg_code refuse_der(const struct pem_reader *reader, struct tlsmsg_error *err)
{
    static const unsigned char pkcs12[] = {0x02, 0x01, 0x03}; /* version 3 (RFC 7292) */
    static const unsigned char pkcs7[] = {0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 7};
    const struct file *file = reader->file;

    if (begins_with(file, pkcs12, sizeof(pkcs12))) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s '%s' is PKCS#12, not PEM; try: openssl pkcs12 -in '%s' -nodes -out "
                         "FILE.pem",
                         reader->what, file->name, file->name);
    }
    if (begins_with(file, pkcs7, sizeof(pkcs7))) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s '%s' is PKCS#7, not PEM; try: openssl pkcs7 -inform DER -print_certs "
                         "-in '%s' -out FILE.pem",
                         reader->what, file->name, file->name);
    }
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "%s '%s' is DER, not PEM; try: openssl %s -inform DER -in '%s' -out FILE.pem",
                     reader->what, file->name, reader->convert, file->name);
}

enum tlsmsg_code pem_begin(struct pem_reader *reader, const struct file *file, const char *what,
                           const char *convert, struct tlsmsg_error *err)
{
    *reader =
        (struct pem_reader){.file = file, .what = what, .convert = convert, .rest = file->bytes};
    if (is_der(file)) {
        return refuse_der(reader, err);
    }
    return file_check_text(file, what, err);
}

/* ---- lines */

static bool starts(struct line line, const char *text)
{
    return line.len >= strlen(text) && memcmp(line.at, text, strlen(text)) == 0;
}

static struct line skip(struct line line, size_t n)
{
    return (struct line){line.at + n, line.len - n};
}

static bool next_line(struct pem_reader *reader, struct line *line)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* U+FEFF */
    const char *end = reader->file->bytes + reader->file->len;
    const char *stop;

    if (reader->rest == end) {
        return false;
    }
    line->at = reader->rest;
    stop = memchr(line->at, '\n', (size_t)(end - line->at));
    reader->rest = stop == NULL ? end : stop + 1;
    line->len = (size_t)((stop == NULL ? end : stop) - line->at);
    if (starts(*line, mark)) {
        *line = skip(*line, strlen(mark));
    }
    while (line->len > 0 && file_is_blank(line->at[line->len - 1])) {
        line->len--;
    }
    reader->line++;
    return true;
}

/* The label of "-----BEGIN LABEL-----"; false where a line isn't that, to the letter. */
static bool take_marker(struct line line, const char *begin, char label[LABEL_MAX])
{
    static const char dashes[] = "-----";
    size_t from = strlen(begin);
    size_t around = from + sizeof(dashes) - 1;

    if (!starts(line, begin) || line.len <= around || line.len - around >= LABEL_MAX ||
        memcmp(line.at + line.len - (sizeof(dashes) - 1), dashes, sizeof(dashes) - 1) != 0) {
        return false;
    }
    memcpy(label, line.at + from, line.len - around);
    label[line.len - around] = '\0';
    return label[0] != '-' && label[0] != ' ' && label[strlen(label) - 1] != '-';
}

/* The length of a dash at the begin of a line, one of those that word processors make of it (U+2010
 * to U+2015, U+2212) included; 0: there is none. */
static size_t dash_len(struct line line)
{
    if (line.len > 0 && (line.at[0] == '-' || line.at[0] == '_')) {
        return 1;
    }
    return line.len >= 3 && (starts(line, "\xE2\x80") || starts(line, "\xE2\x88\x92")) ? 3 : 0;
}

/* Takes what may stand around a mistyped marker's words: dashes and blanks. */
static struct line skip_dashes(struct line line, unsigned *dashes)
{
    size_t n;

    *dashes = 0;
    while ((n = dash_len(line)) > 0 || (line.len > 0 && file_is_blank(line.at[0]))) {
        *dashes += n > 0;
        line = skip(line, n > 0 ? n : 1);
    }
    return line;
}

/* Words that were meant to begin or end a block, with dashes around them. */
static bool begins_like_marker(struct line line, unsigned dashes_min)
{
    static const char *const words[] = {"CERTIFICATE", "X509",    "TRUSTED", "RSA",   "EC ", "DH ",
                                        "PRIVATE",     "ENCRYPT", "PUBLIC",  "PKCS7", "CMS"};
    unsigned before;
    unsigned between;
    struct line rest = skip_dashes(line, &before);
    size_t word;

    if (rest.len > 5 && strncasecmp(rest.at, "BEGIN", 5) == 0) {
        word = 5;
    } else if (rest.len > 3 && strncasecmp(rest.at, "END", 3) == 0) {
        word = 3;
    } else {
        return false;
    }
    rest = skip_dashes(skip(rest, word), &between);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (rest.len >= strlen(words[i]) && strncasecmp(rest.at, words[i], strlen(words[i])) == 0) {
            return dashes_min > 0 ? before >= dashes_min
                                  : before > 0 || line.at[line.len - 1] == '-';
        }
    }
    return false;
}

#define DASHES_WITHIN_MIN 3 /* fewer are a person's, between words */

/* Finds what was meant to begin or end a block, and doesn't: mistyped, or with something in front as
 * mail, YAML and JSON have it. Comments may say what they like. */
static bool find_like_marker(struct line line, struct line *found)
{
    size_t blanks = 0;

    while (blanks < line.len && file_is_blank(line.at[blanks])) {
        blanks++;
    }
    *found = line;
    if (blanks < line.len && line.at[blanks] == '#') {
        return false;
    }
    if (begins_like_marker(line, 0)) {
        return true;
    }
    while (found->len > 0) {
        size_t dash = dash_len(*found);

        if (dash > 0 && begins_like_marker(*found, DASHES_WITHIN_MIN)) {
            return true;
        }
        *found = skip(*found, dash > 0 ? dash : 1);
    }
    return false;
}

/* Cuts a marker behind its words and the dashes that follow: what comes then may be a key. */
static struct line cut_marker(struct line marker)
{
    struct line rest = marker;
    size_t n;

    while ((n = dash_len(rest)) > 0) {
        rest = skip(rest, n);
    }
    while (rest.len > 0 && dash_len(rest) == 0 && marker.len - rest.len < MARKER_SHOWN_MAX) {
        rest = skip(rest, 1);
    }
    while ((n = dash_len(rest)) > 0) {
        rest = skip(rest, n);
    }
    return (struct line){marker.at, marker.len - rest.len};
}

static bool is_base64(struct line line)
{
    for (size_t i = 0; i < line.len; i++) {
        char c = line.at[i];

        if (!isalnum((unsigned char)c) && c != '+' && c != '/' && c != '=') {
            return false;
        }
    }
    return true;
}

/* How the body of a certificate, a list or a key begins: SEQUENCE, in base64. */
static bool is_like_body(struct line line)
{
    while (line.len > 0 && file_is_blank(line.at[0])) {
        line = skip(line, 1);
    }
    return line.len >= BODY_LINE_MIN && starts(line, "MI") && is_base64(line);
}

/* ---- blocks */

static enum tlsmsg_code refuse(const struct pem_reader *reader, unsigned number, const char *why,
                               struct tlsmsg_error *err)
{
    return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s '%s', line %u: %s", reader->what,
                     reader->file->name, number, why);
}

/* marker: in the line, where something there was meant as one. */
static enum tlsmsg_code refuse_stray(const struct pem_reader *reader, struct line line,
                                     struct line marker, struct tlsmsg_error *err)
{
    struct line words = cut_marker(marker);
    char bytes[STRAY_SHOWN_MAX / 2];
    char shown[STRAY_SHOWN_MAX];
    char why[STRAY_SHOWN_MAX * 2];

    if (file_is_blank(line.at[0])) {
        return refuse(reader, reader->line,
                      "a PEM block is indented; try: take the blanks in front of its lines away",
                      err);
    }
    if (marker.len == 0) {
        return refuse(reader, reader->line,
                      "a part of a PEM block without its BEGIN line; try: the file as its maker "
                      "has it",
                      err);
    }
    (void)snprintf(bytes, sizeof(bytes), "%.*s", (int)words.len, words.at);
    (void)snprintf(
        why, sizeof(why),
        marker.at == line.at
            ? "'%s' does not begin or end a PEM block; try: five dashes on both sides, as "
              "in -----BEGIN CERTIFICATE-----"
            : "'%s' is not at the begin of its line; try: a line of its own, with nothing "
              "in front",
        escape_name(shown, sizeof(shown), bytes));
    return refuse(reader, reader->line, why, err);
}

static const char *hint_for_label(const char *label)
{
    if (strcmp(label, "OPENSSH PRIVATE KEY") == 0) {
        return "; try: ssh-keygen -p -m PKCS8 -f FILE, which makes the key one of OpenSSL's";
    }
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        if (strcasecmp(labels[i].label, label) == 0) {
            return "; try: -----BEGIN CERTIFICATE-----, in capital letters";
        }
    }
    return "; try: the file without it";
}

static enum tlsmsg_code take_label(const struct pem_reader *reader, const char *label,
                                   enum pem_kind *kind, struct tlsmsg_error *err)
{
    char shown[LABEL_MAX];
    char why[STRAY_SHOWN_MAX * 2];

    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        if (strcmp(labels[i].label, label) == 0) {
            *kind = labels[i].kind;
            return TLSMSG_OK;
        }
    }
    (void)escape_name(shown, sizeof(shown), label);
    if (strcmp(label, "TRUSTED CERTIFICATE") == 0) {
        return refuse(reader, reader->line,
                      "a TRUSTED CERTIFICATE is a form of OpenSSL's own; try: openssl x509 -in "
                      "FILE -out FILE.pem makes a plain one",
                      err);
    }
    if (strcmp(label, "PKCS7") == 0 || strcmp(label, "CMS") == 0) {
        return refuse(reader, reader->line,
                      "PKCS#7 is not read; try: openssl pkcs7 -print_certs -in FILE -out FILE.pem",
                      err);
    }
    (void)snprintf(why, sizeof(why), "a PEM block with the unknown label '%s'%s", shown,
                   hint_for_label(label));
    return refuse(reader, reader->line, why, err);
}

/* Goes to the END line of a block that has begun. */
static enum tlsmsg_code find_end(struct pem_reader *reader, struct pem_block *block,
                                 const char *label, struct tlsmsg_error *err)
{
    char ended[LABEL_MAX];
    char why[STRAY_SHOWN_MAX * 2];
    struct line marker;
    struct line line;

    while (next_line(reader, &line)) {
        if (take_marker(line, "-----END ", ended)) {
            if (strstr(ended, "-----") != NULL) {
                return refuse(reader, reader->line,
                              "a line break is missing between two PEM blocks; try: one behind the "
                              "END line",
                              err);
            }
            if (strcmp(ended, label) != 0) {
                (void)snprintf(why, sizeof(why),
                               "the END line is not that of the block that begins at line %u",
                               block->line);
                return refuse(reader, reader->line, why, err);
            }
            block->len = (size_t)(line.at + line.len - block->bytes);
            return TLSMSG_OK;
        }
        if (take_marker(line, "-----BEGIN ", ended)) {
            break;
        }
        if (find_like_marker(line, &marker)) {
            return refuse_stray(reader, line, marker, err);
        }
    }
    return refuse(reader, block->line, "the PEM block that begins here has no END line", err);
}

enum tlsmsg_code pem_next(struct pem_reader *reader, struct pem_block *block,
                          struct tlsmsg_error *err)
{
    char label[LABEL_MAX];
    struct line marker;
    struct line line;

    while (next_line(reader, &line)) {
        enum tlsmsg_code code;

        if (!take_marker(line, "-----BEGIN ", label) || strstr(label, "-----") != NULL) {
            if (find_like_marker(line, &marker) || is_like_body(line)) {
                return refuse_stray(reader, line, marker, err);
            }
            continue;
        }
        *block = (struct pem_block){.bytes = line.at, .line = reader->line};
        code = take_label(reader, label, &block->kind, err);
        if (code == TLSMSG_OK) {
            reader->seen |= 1U << block->kind;
            code = find_end(reader, block, label, err);
        }
        return code;
    }
    *block = (struct pem_block){.kind = PEM_END};
    return TLSMSG_OK;
}

const char *pem_instead(const struct pem_reader *reader)
{
    static const char *const texts[PEM_END] = {
        [PEM_CERTIFICATE] = ", but a certificate",
        [PEM_CRL] = ", but a revocation list",
        [PEM_KEY] = ", but a private key",
        [PEM_OTHER] = ", but a request, parameters or a public key",
    };

    for (unsigned kind = 0; kind < PEM_END; kind++) {
        if ((reader->seen & 1U << kind) != 0) {
            return texts[kind];
        }
    }
    return reader->file->len == 0 ? ": it is empty" : "";
}

unsigned char *pem_der(const struct pem_block *block, long *len)
{
    BIO *bio = pem_bio(block);
    unsigned char *der = NULL;
    char *label = NULL;
    char *headers = NULL;

    *len = 0;
    if (bio != NULL && PEM_read_bio(bio, &label, &headers, &der, len) == 1 && headers[0] != '\0') {
        OPENSSL_free(der);
        der = NULL;
    }
    OPENSSL_free(label);
    OPENSSL_free(headers);
    BIO_free(bio);
    return der;
}

BIO *pem_bio(const struct pem_block *block)
{
    return BIO_new_mem_buf(block->bytes, (int)block->len);
}
