/* Options: the object that holds what a server or client was asked to be.
 *
 * Owns copies of all values and pairs keys with certificates; what a value may be is told by
 * table.c and value.c, and what values mean together by whoever is made from them. One thread
 * at a time while it is filled, any number once it is only read. Every value is kept in the
 * same small structure, so that no option needs code of its own here. */
#include "options/options.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/escape.h"
#include "options/build.h"
#include "options/table.h"
#include "options/value.h"

#define LISTENERS_MAX 32

struct value {
    bool is_set;
    int64_t number;
    char **items; /* of a text or list; NULL items only among keys */
    size_t count;
};

struct tlsmsg_options {
    enum tlsmsg_role role;
    int listeners[LISTENERS_MAX]; /* borrowed descriptors */
    size_t listener_count;
    struct value values[TLSMSG_OPT_COUNT];
    tlsmsg_confirm_fn *confirm;
    void *confirm_user; /* borrowed */
    tlsmsg_ask_password_fn *ask_password;
    void *ask_password_user; /* borrowed */
};

static bool is_text(const struct option_row *row)
{
    return row->kind == KIND_TEXT || row->kind == KIND_LIST;
}

/* Puts a copy of text into slot i, which may lie past the end. All or nothing. */
static enum tlsmsg_code put_item(struct value *value, size_t i, const char *text)
{
    char *copy = strdup(text);
    char **items;

    if (copy == NULL) {
        return TLSMSG_ERR_NOMEM;
    }
    if (i >= value->count) {
        items = realloc(value->items, (i + 1) * sizeof(*items));
        if (items == NULL) {
            free(copy);
            return TLSMSG_ERR_NOMEM;
        }
        memset(items + value->count, 0, (i + 1 - value->count) * sizeof(*items));
        value->items = items;
        value->count = i + 1;
    }
    free(value->items[i]);
    value->items[i] = copy;
    value->is_set = true;
    return TLSMSG_OK;
}

/* Finds the slot of the next key, which is its certificate's: of those before it without a key
 * the last; before any certificate, the first one's. */
static enum tlsmsg_code key_slot(const struct tlsmsg_options *options, const char *text,
                                 size_t *slot, struct tlsmsg_error *err)
{
    const struct value *keys = &options->values[TLSMSG_OPT_KEY];
    size_t certs = options->values[TLSMSG_OPT_CERT].count;
    size_t i = certs == 0 ? 1 : certs;
    char shown[160];

    while (i-- > 0) {
        if (i >= keys->count || keys->items[i] == NULL) {
            *slot = i;
            return TLSMSG_OK;
        }
    }
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "--key '%s' is one too many: each certificate before it has its key already"
                     " (give each --key after its --cert)",
                     escape_name(shown, sizeof(shown), text));
}

static enum tlsmsg_code set_text(struct tlsmsg_options *options, enum tlsmsg_option option,
                                 const struct option_row *row, const char *text,
                                 struct tlsmsg_error *err)
{
    struct value *value = &options->values[option];
    enum tlsmsg_code code = value_check_text(row, text, err);
    size_t slot = row->kind == KIND_LIST ? value->count : 0;

    if (code == TLSMSG_OK && option == TLSMSG_OPT_KEY) {
        code = key_slot(options, text, &slot, err);
    }
    if (code != TLSMSG_OK) {
        return code;
    }
    code = put_item(value, slot, text);
    return code == TLSMSG_OK ? code : error_set(err, code, 0, "out of memory");
}

/* Finds the row of an option that this object may hold. */
static enum tlsmsg_code find_row(const struct tlsmsg_options *options, enum tlsmsg_option option,
                                 const struct option_row **out, struct tlsmsg_error *err)
{
    const struct option_row *row = table_row(option);

    *out = row;
    if (row == NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "there is no option with the key %d",
                         (int)option);
    }
    if ((row->roles & (options->role == TLSMSG_ROLE_SERVER ? FOR_SERVER : FOR_CLIENT)) == 0) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s belongs to the %s", row->label,
                         options->role == TLSMSG_ROLE_SERVER ? "client" : "server");
    }
    if (row->tls_only && !build_has_tls) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s needs TLS, and this is the plaintext build",
                         row->label);
    }
    return TLSMSG_OK;
}

enum tlsmsg_code tlsmsg_options_new(enum tlsmsg_role role, struct tlsmsg_options **out,
                                    struct tlsmsg_error *err)
{
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    (*out)->role = role;
    return TLSMSG_OK;
}

void tlsmsg_options_free(struct tlsmsg_options *options)
{
    size_t option;
    size_t i;

    if (options == NULL) {
        return;
    }
    for (option = 0; option < TLSMSG_OPT_COUNT; option++) {
        for (i = 0; i < options->values[option].count; i++) {
            free(options->values[option].items[i]);
        }
        free(options->values[option].items);
    }
    free(options);
}

enum tlsmsg_code tlsmsg_options_set(struct tlsmsg_options *options, enum tlsmsg_option option,
                                    const char *value, struct tlsmsg_error *err)
{
    const struct option_row *row = NULL;
    int64_t number;
    enum tlsmsg_code code = find_row(options, option, &row, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    if (value == NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s wants a value", row->label);
    }
    if (is_text(row)) {
        return set_text(options, option, row, value, err);
    }
    code = value_parse(row, value, &number, err);
    if (code == TLSMSG_OK) {
        options->values[option].number = number;
        options->values[option].is_set = true;
    }
    return code;
}

enum tlsmsg_code tlsmsg_options_set_number(struct tlsmsg_options *options,
                                           enum tlsmsg_option option, int64_t number,
                                           struct tlsmsg_error *err)
{
    const struct option_row *row = NULL;
    enum tlsmsg_code code = find_row(options, option, &row, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    if (is_text(row)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s wants a text, not a number", row->label);
    }
    code = value_check_number(row, number, err);
    if (code == TLSMSG_OK) {
        options->values[option].number = number;
        options->values[option].is_set = true;
    }
    return code;
}

void tlsmsg_options_set_confirm(struct tlsmsg_options *options, tlsmsg_confirm_fn *confirm,
                                void *user)
{
    options->confirm = confirm;
    options->confirm_user = user;
}

void tlsmsg_options_set_ask_password(struct tlsmsg_options *options, tlsmsg_ask_password_fn *ask,
                                     void *user)
{
    options->ask_password = ask;
    options->ask_password_user = user;
}

/* A socket option that is a number; -1 where the descriptor has none such. */
static int socket_option(int fd, int option)
{
    int value = -1;
    socklen_t len = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

enum tlsmsg_code tlsmsg_options_add_listener(struct tlsmsg_options *options, int fd,
                                             struct tlsmsg_error *err)
{
    int domain = socket_option(fd, SO_DOMAIN);

    if (options->role != TLSMSG_ROLE_SERVER) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "a client has no listening sockets");
    }
    if (options->listener_count == LISTENERS_MAX) {
        return error_set(err, TLSMSG_ERR_LIMIT, 0, "more than %d listening sockets", LISTENERS_MAX);
    }
    if ((domain != AF_INET && domain != AF_INET6) || socket_option(fd, SO_TYPE) != SOCK_STREAM ||
        socket_option(fd, SO_ACCEPTCONN) != 1) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "descriptor %d is no listening TCP socket", fd);
    }
    options->listeners[options->listener_count++] = fd;
    return TLSMSG_OK;
}

const int *options_listeners(const struct tlsmsg_options *o, size_t *count)
{
    *count = o->listener_count;
    return o->listeners;
}

struct tlsmsg_options *options_copy(const struct tlsmsg_options *o)
{
    struct tlsmsg_options *copy = calloc(1, sizeof(*copy));
    size_t option;
    size_t i;

    if (copy == NULL) {
        return NULL;
    }
    copy->role = o->role;
    memcpy(copy->listeners, o->listeners, sizeof(o->listeners));
    copy->listener_count = o->listener_count;
    copy->confirm = o->confirm;
    copy->confirm_user = o->confirm_user;
    copy->ask_password = o->ask_password;
    copy->ask_password_user = o->ask_password_user;
    for (option = 0; option < TLSMSG_OPT_COUNT; option++) {
        const struct value *value = &o->values[option];

        copy->values[option].is_set = value->is_set;
        copy->values[option].number = value->number;
        for (i = 0; i < value->count; i++) {
            if (value->items[i] != NULL &&
                put_item(&copy->values[option], i, value->items[i]) != TLSMSG_OK) {
                tlsmsg_options_free(copy);
                return NULL;
            }
        }
    }
    return copy;
}

size_t options_count(const struct tlsmsg_options *o, enum tlsmsg_option option)
{
    if (!o->values[option].is_set) {
        return table_row(option)->initial_text != NULL;
    }
    return o->values[option].count;
}

const char *options_text(const struct tlsmsg_options *o, enum tlsmsg_option option, size_t i)
{
    const struct value *value = &o->values[option];

    if (!value->is_set) {
        return i == 0 ? table_row(option)->initial_text : NULL;
    }
    return i < value->count ? value->items[i] : NULL;
}

int64_t options_number(const struct tlsmsg_options *o, enum tlsmsg_option option)
{
    const struct value *value = &o->values[option];

    return value->is_set ? value->number : table_initial(option);
}

bool options_is_set(const struct tlsmsg_options *o, enum tlsmsg_option option)
{
    return o->values[option].is_set;
}

enum tlsmsg_role options_role(const struct tlsmsg_options *o)
{
    return o->role;
}

const char *options_name(enum tlsmsg_option option)
{
    return table_row(option)->name;
}

bool options_can_confirm(const struct tlsmsg_options *o)
{
    return o->confirm != NULL;
}

bool options_confirm(const struct tlsmsg_options *o, const char *question)
{
    return o->confirm != NULL && o->confirm(question, o->confirm_user);
}

bool options_ask_password(const struct tlsmsg_options *o, const char *file, char *buf, size_t cap)
{
    return o->ask_password != NULL && o->ask_password(file, buf, cap, o->ask_password_user);
}

void options_reply_parts(const struct tlsmsg_options *o, const char **prefix, size_t *prefix_len,
                         const char **suffix, size_t *suffix_len)
{
    const char *text = options_text(o, TLSMSG_OPT_REPLY, 0);
    const char *placeholder = strstr(text, VALUE_PLACEHOLDER); /* checked when it was set */

    *prefix = text;
    *prefix_len = (size_t)(placeholder - text);
    *suffix = placeholder + sizeof(VALUE_PLACEHOLDER) - 1;
    *suffix_len = strlen(*suffix);
}
