/* Identities are compared by their bytes and shown escaped: two that differ may look alike on paper,
 * and must not be taken for each other. An allow list is immutable once loaded; any thread may ask. */
#include "transport/tls/identity.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/x509v3.h>

#include "base/error.h"
#include "base/escape.h"
#include "base/utf8.h"
#include "transport/tls/load.h"

#define DNS "DNS:"
#define DNS_NAME_MAX 253

struct allow_list {
    char **names;
    size_t count;
};

/* The type and the very bytes of the certificate, which may be any, with a NUL behind them. */
struct identity {
    char *bytes; /* NULL: none */
    size_t len;
};

static void set_typed(struct identity *out, const char *type, const unsigned char *value,
                      size_t value_len)
{
    size_t type_len = strlen(type);

    out->bytes = malloc(type_len + value_len + 1);
    if (out->bytes != NULL) {
        memcpy(out->bytes, type, type_len);
        memcpy(out->bytes + type_len, value, value_len);
        out->len = type_len + value_len;
        out->bytes[out->len] = '\0';
    }
}

static const ASN1_STRING *first_of(const GENERAL_NAMES *names, int wanted)
{
    int i;

    for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);

        if (type == wanted && ASN1_STRING_length(value) > 0) {
            return value;
        }
    }
    return NULL;
}

static void take_alternative_name(const X509 *cert, struct identity *out)
{
    static const struct {
        int type;
        const char *name;
    } kinds[] = {{GEN_URI, "URI:"}, {GEN_EMAIL, "email:"}, {GEN_DNS, DNS}};
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    const ASN1_STRING *value = NULL;

    for (size_t i = 0; value == NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        value = first_of(names, kinds[i].type);
        if (value != NULL) {
            set_typed(out, kinds[i].name, ASN1_STRING_get0_data(value),
                      (size_t)ASN1_STRING_length(value));
        }
    }
    GENERAL_NAMES_free(names);
}

static void take_common_name(const X509 *cert, struct identity *out)
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    unsigned char *utf8 = NULL;
    int last = -1;
    int i;

    while ((i = X509_NAME_get_index_by_NID(subject, NID_commonName, last)) >= 0) {
        last = i;
    }
    if (last >= 0) {
        const X509_NAME_ENTRY *name = X509_NAME_get_entry(subject, last);
        /* A CN may be in any of several encodings; printed and compared is its UTF-8. */
        int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(name));

        if (len > 0) {
            set_typed(out, "CN=", utf8, (size_t)len);
        }
        OPENSSL_free(utf8);
    }
}

static struct identity read_identity(const X509 *cert)
{
    struct identity identity = {NULL, 0};

    take_alternative_name(cert, &identity);
    if (identity.bytes == NULL) {
        take_common_name(cert, &identity);
    }
    return identity;
}

/* Escaped, for people, in one new string. */
static char *show(const struct identity *identity)
{
    size_t cap = identity->len * ESCAPE_EXPANSION_MAX + 1;
    char *wide = identity->bytes != NULL ? malloc(cap) : NULL;
    char *fitted;

    if (wide == NULL) {
        return NULL;
    }
    wide[escape_strict(wide, cap - 1, identity->bytes, identity->len)] = '\0';
    /* Kept as long as the conversation, so no larger than it has to be. */
    fitted = strdup(wide);
    free(wide);
    return fitted;
}

char *identity_of(const X509 *cert)
{
    struct identity identity = read_identity(cert);
    char *shown = show(&identity);

    free(identity.bytes);
    return shown;
}

/* C0 with NUL, DEL and C1. No name needs them, and they are what forges lines and ends texts. */
static bool has_control(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char b = (unsigned char)bytes[i];
        bool is_c1 = b == 0xC2 && i + 1 < len && (unsigned char)bytes[i + 1] < 0xA0;

        if (b < 0x20 || b == 0x7F || is_c1) {
            return true;
        }
    }
    return false;
}

enum tlsmsg_code identity_check(const struct allow_list *list, const X509 *cert,
                                struct tlsmsg_error *err)
{
    struct identity identity = read_identity(cert);
    enum tlsmsg_code code = TLSMSG_OK;
    char *shown = show(&identity);

    if (identity.bytes != NULL && has_control(identity.bytes, identity.len)) {
        code = error_set(err, TLSMSG_ERR_UNTRUSTED, 0,
                         "client '%s' has control characters in its name",
                         shown != NULL ? shown : "?");
    } else if (!allow_holds(list, identity.bytes)) {
        code = error_set(err, TLSMSG_ERR_UNTRUSTED, 0, "client '%s' is not on the allow list",
                         shown != NULL ? shown : "without a name");
    }
    free(shown);
    free(identity.bytes);
    return code;
}

static bool has_type(const char *name)
{
    static const char *const types[] = {"CN=", DNS, "email:", "URI:"};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        size_t len = strlen(types[i]);

        if (strncmp(name, types[i], len) == 0 && name[len] != '\0') {
            return true;
        }
    }
    return false;
}

static const char *value_of(const char *name)
{
    return name + strcspn(name, "=:") + 1;
}

/* A blank, or what the escaper shows by its number. Any editor leaves such behind, and nobody sees
 * why the name never matches. */
static bool is_unseen(const char *at, size_t len)
{
    char shown[ESCAPE_LONGEST];

    return *at == ' ' || escape_strict(shown, sizeof(shown), at, len) != len;
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Of a valid name. */
static bool has_unseen_ends(const char *name)
{
    const char *value = value_of(name);
    const char *end = name + strlen(name);
    const char *last = end - 1;
    size_t first_len = 1;

    while (is_continuation(value[first_len])) {
        first_len++;
    }
    while (is_continuation(*last)) {
        last--;
    }
    return is_unseen(value, first_len) || is_unseen(last, (size_t)(end - last));
}

/* "CN=alice,O=Example" or "CN=alice, CN=bob"; a comma alone may be part of a CN. */
static bool is_like_list(const char *name)
{
    bool is_cn = strncmp(name, "CN=", 3) == 0;

    for (const char *comma = strchr(name, ','); comma != NULL; comma = strchr(comma + 1, ',')) {
        const char *next = comma + 1 + strspn(comma + 1, " ");

        if (is_cn && next[strcspn(next, "=, ")] == '=') {
            return true;
        }
    }
    return !is_cn && strncmp(name, "URI:", 4) != 0 && strchr(name, ',') != NULL;
}

/* What makes a name one that is hardly meant; NULL: nothing. */
static const char *find_doubt(const char *name)
{
    const char *value = value_of(name);
    bool is_dns = strncmp(name, DNS, strlen(DNS)) == 0;
    char shown[ESCAPE_LONGEST];

    if (strstr(value, " #") != NULL) {
        return "holds a blank and '#'; try: comments on lines of their own";
    }
    if (is_like_list(name)) {
        return "looks like a whole subject or a list; try: its CN alone, one name a line";
    }
    if (strchr(is_dns && strncmp(value, "*.", 2) == 0 ? value + 1 : value, '*') != NULL) {
        return "holds a star, which stands for itself; try: DNS:*.SUFFIX, or one name a line";
    }
    for (const char *at = value; *at != '\0';) {
        size_t len = 1;

        while (is_continuation(at[len])) {
            len++;
        }
        if (escape_strict(shown, sizeof(shown), at, len) != len) {
            return "holds a character that can't be seen; try: the name as the log has it";
        }
        at += len;
    }
    return NULL;
}

/* Checks one name. where: "--allow", or a file and its line. */
static enum tlsmsg_code check_name(const char *name, const char *where, struct load_report *report,
                                   struct tlsmsg_error *err)
{
    const char *doubt;
    char shown[160];

    (void)escape_name(shown, sizeof(shown), name);
    if (!has_type(name) || !utf8_is_valid(name, strlen(name)) || has_control(name, strlen(name))) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s: '%s' is not an identity (CN=..., DNS:..., email:... or URI:...)",
                         where, shown);
    }
    if (has_unseen_ends(name)) {
        return error_set(
            err, TLSMSG_ERR_CONFIG, 0,
            "%s: '%s' begins or ends with a blank, or with what can't be seen; try: the "
            "name without it",
            where, shown);
    }
    doubt = find_doubt(name);
    if (doubt != NULL) {
        load_report_warn(report, "%s: '%s' %s", where, shown, doubt);
    }
    return TLSMSG_OK;
}

static enum tlsmsg_code add_name(struct allow_list *list, const char *name, const char *where,
                                 struct load_report *report, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = check_name(name, where, report, err);
    char **names;

    if (code != TLSMSG_OK) {
        return code;
    }
    names = realloc(list->names, (list->count + 1) * sizeof(char *));
    if (names == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    list->names = names;
    list->names[list->count] = strdup(name);
    if (list->names[list->count] == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    list->count++;
    return TLSMSG_OK;
}

static enum tlsmsg_code add_file(struct allow_list *list, const struct tls_settings *settings,
                                 struct load_report *report, struct tlsmsg_error *err)
{
    char where[FILE_NAME_MAX + 40];
    struct file file;
    enum tlsmsg_code code =
        load_file(&file, settings->allow_file, settings, "allow file", NULL, err);
    struct file_lines lines;
    char *line;

    if (code != TLSMSG_OK) {
        return code;
    }
    code = file_check_text(&file, "allow file", err);
    (void)file_lines_begin(&lines, &file);
    while (code == TLSMSG_OK && (line = file_lines_next_entry(&lines)) != NULL) {
        (void)snprintf(where, sizeof(where), "allow file '%s', line %u", file.name, lines.number);
        code = add_name(list, line, where, report, err);
    }
    if (code == TLSMSG_OK && list->count == 0) {
        load_report_warn(report, "allow file '%s' names nobody: every client is refused",
                         file.name);
    }
    file_fini(&file);
    return code;
}

static enum tlsmsg_code read_names(struct allow_list *list, const struct tls_settings *settings,
                                   struct load_report *report, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = TLSMSG_OK;

    for (size_t i = 0; i < settings->allow.count && code == TLSMSG_OK; i++) {
        code = add_name(list, text_list_at(&settings->allow, i), "--allow", report, err);
    }
    if (code == TLSMSG_OK && settings->allow_file != NULL) {
        code = add_file(list, settings, report, err);
    }
    return code;
}

enum tlsmsg_code allow_load(const struct tls_settings *settings, struct allow_list **out,
                            struct load_report *report, struct tlsmsg_error *err)
{
    struct allow_list *list;
    enum tlsmsg_code code;

    *out = NULL;
    if (settings->allow.count == 0 && settings->allow_file == NULL) {
        return TLSMSG_OK;
    }
    if (settings->client_ca == NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--allow and --allow-file need --client-ca FILE, which verifies who a "
                         "client is");
    }
    list = calloc(1, sizeof(*list));
    if (list == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    code = read_names(list, settings, report, err);
    if (code != TLSMSG_OK) {
        allow_free(list);
        return code;
    }
    *out = list;
    return TLSMSG_OK;
}

void allow_free(struct allow_list *list)
{
    if (list == NULL) {
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        free(list->names[i]);
    }
    free(list->names);
    free(list);
}

/* Both without their type. */
static bool dns_matches(const char *pattern, const char *name)
{
    const char *dot;

    if (strncmp(pattern, "*.", 2) != 0) {
        return strcasecmp(pattern, name) == 0;
    }
    dot = strchr(name, '.');
    return dot != NULL && dot != name && strcasecmp(pattern + 1, dot) == 0;
}

static bool matches(const char *allowed, const char *identity)
{
    if (strncmp(allowed, DNS, strlen(DNS)) == 0 && strncmp(identity, DNS, strlen(DNS)) == 0) {
        return dns_matches(allowed + strlen(DNS), identity + strlen(DNS));
    }
    return strcmp(allowed, identity) == 0;
}

bool allow_holds(const struct allow_list *list, const char *identity)
{
    if (list == NULL) {
        return true;
    }
    for (size_t i = 0; identity != NULL && i < list->count; i++) {
        if (matches(list->names[i], identity)) {
            return true;
        }
    }
    return false;
}

/* Copies what lies between brackets, or all of it. */
static bool copy_unbracketed(const char *typed, char out[SERVER_NAME_MAX])
{
    size_t len = strlen(typed);

    if (len >= 2 && typed[0] == '[' && typed[len - 1] == ']') {
        typed++;
        len -= 2;
    }
    if (len == 0 || len >= SERVER_NAME_MAX) {
        return false;
    }
    memcpy(out, typed, len);
    out[len] = '\0';
    return true;
}

/* Recognises a literal; a zone id (RFC 6874) says which link, no certificate knows it. */
static bool take_literal(char text[SERVER_NAME_MAX])
{
    unsigned char address[16];
    struct in_addr v4;
    char *zone = strchr(text, '%');

    if (zone != NULL) {
        *zone = '\0';
        if (inet_pton(AF_INET6, text, address) == 1) {
            return true;
        }
        *zone = '%';
        return false;
    }
    if (inet_pton(AF_INET6, text, address) == 1 || inet_pton(AF_INET, text, address) == 1) {
        return true;
    }
    /* "127.1" and the like connect as an address, so they are verified as that address. */
    return inet_aton(text, &v4) != 0 && inet_ntop(AF_INET, &v4, text, SERVER_NAME_MAX) != NULL;
}

static bool is_dns_name(const char *text)
{
    const char *c;

    for (c = text; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~') {
            return false;
        }
    }
    /* A leading dot would make the library accept any subdomain (X509_check_host(3)). */
    return text[0] != '\0' && text[0] != '.' && strlen(text) <= DNS_NAME_MAX;
}

enum tlsmsg_code server_name_parse(const char *typed, struct server_name *out,
                                   struct tlsmsg_error *err)
{
    char name[SERVER_NAME_MAX];

    if (copy_unbracketed(typed, out->text)) {
        size_t len;

        out->is_literal = take_literal(out->text);
        len = strlen(out->text);
        if (len > 1 && out->text[len - 1] == '.') {
            out->text[len - 1] = '\0';
        }
        if (is_dns_name(out->text)) {
            return TLSMSG_OK;
        }
    }
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "'%s' is not a server name (a name with other letters is written as xn--...)",
                     escape_name(name, sizeof(name), typed));
}
