/* The list behind allow.h. Names are kept in the escaped form that identities have. Immutable once
 * loaded; any thread may ask. */
#include "transport/tls/allow.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/escape.h"
#include "base/utf8.h"
#include "transport/tls/pem_file.h"

#define DNS "DNS:"

struct allow_list {
    char **names;
    size_t count;
};

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

static char *escaped(const char *name)
{
    size_t len = strlen(name);
    char *out = malloc(len * ESCAPE_EXPANSION_MAX + 1);

    if (out != NULL) {
        out[escape_text(out, len * ESCAPE_EXPANSION_MAX, name, len)] = '\0';
    }
    return out;
}

/* where: "--allow", or a file and line. */
static enum tlsmsg_code add(struct allow_list *list, const char *name, const char *where, int line,
                            struct tlsmsg_error *err)
{
    char **names;
    char shown[160];

    if (!has_type(name) || !utf8_is_valid(name, strlen(name))) {
        (void)escape_name(shown, sizeof(shown), name);
        return line == 0
                   ? error_set(
                         err, TLSMSG_ERR_CONFIG, 0,
                         "%s: '%s' is not an identity (CN=..., DNS:..., email:... or URI:...)",
                         where, shown)
                   : error_set(
                         err, TLSMSG_ERR_CONFIG, 0,
                         "%s, line %d: '%s' is not an identity (CN=..., DNS:..., email:... or "
                         "URI:...)",
                         where, line, shown);
    }
    names = realloc(list->names, (list->count + 1) * sizeof(char *));
    if (names == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    list->names = names;
    list->names[list->count] = escaped(name);
    if (list->names[list->count] == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    list->count++;
    return TLSMSG_OK;
}

static enum tlsmsg_code add_file(struct allow_list *list, const char *path,
                                 struct tlsmsg_error *err)
{
    struct pem_file file;
    enum tlsmsg_code code = pem_file_read(&file, path, "allow file", NULL, err);
    char *rest;
    char *line;
    int number = 0;

    if (code != TLSMSG_OK) {
        return code;
    }
    if (strlen(file.bytes) != file.len) {
        code = error_set(err, TLSMSG_ERR_CONFIG, 0, "allow file '%s' holds a zero byte", file.name);
    }
    rest = file.bytes;
    while (code == TLSMSG_OK && (line = strsep(&rest, "\n")) != NULL) {
        number++;
        if (line[0] != '\0' && line[strlen(line) - 1] == '\r') {
            line[strlen(line) - 1] = '\0';
        }
        if (line[0] != '\0' && line[0] != '#') {
            code = add(list, line, file.name, number, err);
        }
    }
    pem_file_fini(&file);
    return code;
}

static enum tlsmsg_code fill(struct allow_list *list, const struct tls_settings *settings,
                             struct tlsmsg_error *err)
{
    const char *path = settings->allow_file;
    enum tlsmsg_code code = TLSMSG_OK;

    for (size_t i = 0; i < settings->allow.count && code == TLSMSG_OK; i++) {
        code = add(list, text_list_at(&settings->allow, i), "--allow", 0, err);
    }
    if (code == TLSMSG_OK && path != NULL) {
        code = add_file(list, path, err);
    }
    return code;
}

enum tlsmsg_code allow_load(const struct tls_settings *settings, struct allow_list **out,
                            struct tlsmsg_error *err)
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
    code = fill(list, settings, err);
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
