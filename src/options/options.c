/* Options: the object that holds what a server or client was asked to be.
 *
 * Owns copies of all values and pairs keys with certificates; what a value may be is told by
 * table.c, and what values mean together by whoever is made from them. One thread at a time while
 * it is filled, any number once it is only read. Every value is kept in the same small structure,
 * so that only the settings at the end know options by name. */
#include "options/options.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/build.h"
#include "base/error.h"
#include "base/escape.h"
#include "options/table.h"

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
    tlsmsg_open_keylog_fn *open_keylog;
    void *open_keylog_user; /* borrowed */
    bool has_owner;
    uid_t owner_uid;
    gid_t owner_gid;
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
    enum tlsmsg_code code = table_check_text(row, text, err);
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
    if (row->tls_only && !BUILD_HAS_TLS) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s needs TLS, and this is the plaintext build",
                         row->label);
    }
    return TLSMSG_OK;
}

const char *tlsmsg_option_name(enum tlsmsg_option option)
{
    const struct option_row *row = table_row(option);

    return row != NULL ? row->name : NULL;
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
    code = table_parse(row, value, &number, err);
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
    code = table_check_number(row, number, err);
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

void tlsmsg_options_set_owner(struct tlsmsg_options *options, uid_t uid, gid_t gid)
{
    options->has_owner = true;
    options->owner_uid = uid;
    options->owner_gid = gid;
}

void tlsmsg_options_set_open_keylog(struct tlsmsg_options *options,
                                    tlsmsg_open_keylog_fn *open_keylog, void *user)
{
    options->open_keylog = open_keylog;
    options->open_keylog_user = user;
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
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "descriptor %d is not a listening TCP socket",
                         fd);
    }
    options->listeners[options->listener_count++] = fd;
    return TLSMSG_OK;
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
    copy->open_keylog = o->open_keylog;
    copy->open_keylog_user = o->open_keylog_user;
    copy->has_owner = o->has_owner;
    copy->owner_uid = o->owner_uid;
    copy->owner_gid = o->owner_gid;
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

size_t tlsmsg_options_count(const struct tlsmsg_options *options, enum tlsmsg_option option)
{
    const struct option_row *row = table_row(option);

    if (row == NULL) {
        return 0;
    }
    if (!options->values[option].is_set) {
        return row->initial_text != NULL;
    }
    return options->values[option].count;
}

const char *tlsmsg_options_text(const struct tlsmsg_options *options, enum tlsmsg_option option,
                                size_t i)
{
    const struct option_row *row = table_row(option);

    if (row == NULL) {
        return NULL;
    }
    if (!options->values[option].is_set) {
        return i == 0 ? row->initial_text : NULL;
    }
    return i < options->values[option].count ? options->values[option].items[i] : NULL;
}

int64_t tlsmsg_options_number(const struct tlsmsg_options *options, enum tlsmsg_option option)
{
    const struct option_row *row = table_row(option);

    if (row == NULL) {
        return 0;
    }
    return options->values[option].is_set ? options->values[option].number : row->initial;
}

bool tlsmsg_options_is_set(const struct tlsmsg_options *options, enum tlsmsg_option option)
{
    return table_row(option) != NULL && options->values[option].is_set;
}

enum tlsmsg_role options_role(const struct tlsmsg_options *o)
{
    return o->role;
}

const char *text_list_at(const struct text_list *list, size_t i)
{
    return i < list->count ? list->items[i] : NULL;
}

static const char *text_of(const struct tlsmsg_options *o, enum tlsmsg_option option)
{
    return tlsmsg_options_text(o, option, 0);
}

static uint64_t count_of(const struct tlsmsg_options *o, enum tlsmsg_option option)
{
    return (uint64_t)tlsmsg_options_number(o, option);
}

static struct text_list list_of(const struct tlsmsg_options *o, enum tlsmsg_option option)
{
    const struct value *value = &o->values[option];

    if (!value->is_set) {
        return (struct text_list){.items = &table_row(option)->initial_text,
                                  .count = tlsmsg_options_count(o, option)};
    }
    return (struct text_list){.items = (const char *const *)value->items, .count = value->count};
}

void options_tls(const struct tlsmsg_options *o, struct tls_settings *out)
{
    *out = (struct tls_settings){
        .is_server = o->role == TLSMSG_ROLE_SERVER,
        .certs = list_of(o, TLSMSG_OPT_CERT),
        .keys = list_of(o, TLSMSG_OPT_KEY),
        .key_password_file = text_of(o, TLSMSG_OPT_KEY_PASSWORD_FILE),
        .ask_password = o->ask_password,
        .ask_password_user = o->ask_password_user,
        .crl = text_of(o, TLSMSG_OPT_CRL),
        .tls_min = (int)tlsmsg_options_number(o, TLSMSG_OPT_TLS_MIN),
        .keylog_file = text_of(o, TLSMSG_OPT_KEYLOG_FILE),
        .open_keylog = o->open_keylog,
        .open_keylog_user = o->open_keylog_user,
        .has_owner = o->has_owner,
        .owner_uid = o->owner_uid,
        .owner_gid = o->owner_gid,
        .pad_bytes = (size_t)count_of(o, TLSMSG_OPT_PAD),
        .client_ca = text_of(o, TLSMSG_OPT_CLIENT_CA),
        .allow = list_of(o, TLSMSG_OPT_ALLOW),
        .allow_file = text_of(o, TLSMSG_OPT_ALLOW_FILE),
        .ticket_keys = text_of(o, TLSMSG_OPT_TICKET_KEYS),
        .ca = text_of(o, TLSMSG_OPT_CA),
        .pins = list_of(o, TLSMSG_OPT_PIN),
        .trust_on_first_use = tlsmsg_options_number(o, TLSMSG_OPT_TRUST_ON_FIRST_USE) != 0,
        .accept_new = tlsmsg_options_number(o, TLSMSG_OPT_ACCEPT_NEW) != 0,
        .known_servers = text_of(o, TLSMSG_OPT_KNOWN_SERVERS),
        .document_flow = tlsmsg_options_number(o, TLSMSG_OPT_DOCUMENT_FLOW) != 0,
        .confirm = o->confirm,
        .confirm_user = o->confirm_user,
    };
}

/* Splits the reply's template, in which the placeholder was looked for when it was set. */
static void split_reply(const char *text, struct server_settings *out)
{
    const char *placeholder = strstr(text, TABLE_PLACEHOLDER);

    out->reply_prefix = text;
    out->reply_prefix_len = (size_t)(placeholder - text);
    out->reply_suffix = placeholder + sizeof(TABLE_PLACEHOLDER) - 1;
    out->reply_suffix_len = strlen(out->reply_suffix);
}

void options_server(const struct tlsmsg_options *o, struct server_settings *out)
{
    *out = (struct server_settings){
        .listen = list_of(o, TLSMSG_OPT_LISTEN),
        .listeners = o->listeners,
        .listener_count = o->listener_count,
        .handshake_timeout_ms = tlsmsg_options_number(o, TLSMSG_OPT_HANDSHAKE_TIMEOUT),
        .idle_timeout_ms = tlsmsg_options_number(o, TLSMSG_OPT_IDLE_TIMEOUT),
        .write_timeout_ms = tlsmsg_options_number(o, TLSMSG_OPT_WRITE_TIMEOUT),
        .drain_timeout_ms = tlsmsg_options_number(o, TLSMSG_OPT_DRAIN_TIMEOUT),
        .max_connections = count_of(o, TLSMSG_OPT_MAX_CONNECTIONS),
        .max_per_address = count_of(o, TLSMSG_OPT_MAX_PER_ADDRESS),
        .max_handshakes = count_of(o, TLSMSG_OPT_MAX_HANDSHAKES),
        .handshake_rate = count_of(o, TLSMSG_OPT_HANDSHAKE_RATE),
        .accept = count_of(o, TLSMSG_OPT_ACCEPT),
        .workers = (unsigned)count_of(o, TLSMSG_OPT_WORKERS),
        .recv_size_bytes = (size_t)count_of(o, TLSMSG_OPT_RECV_SIZE),
        .max_message_bytes = (size_t)count_of(o, TLSMSG_OPT_MAX_MESSAGE),
        .max_buffered_bytes = (size_t)count_of(o, TLSMSG_OPT_MAX_BUFFERED),
        .keepalive_ms = tlsmsg_options_number(o, TLSMSG_OPT_KEEPALIVE),
        .window = (size_t)count_of(o, TLSMSG_OPT_WINDOW),
    };
    if (o->listener_count > 0 && !tlsmsg_options_is_set(o, TLSMSG_OPT_LISTEN)) {
        out->listen.count = 0;
    }
    split_reply(text_of(o, TLSMSG_OPT_REPLY), out);
}

void options_client(const struct tlsmsg_options *o, struct client_settings *out)
{
    *out = (struct client_settings){
        .address = text_of(o, TLSMSG_OPT_ADDRESS),
        .server_name = text_of(o, TLSMSG_OPT_SERVER_NAME),
        .timeout_ms = tlsmsg_options_number(o, TLSMSG_OPT_TIMEOUT),
        .keepalive_ms = tlsmsg_options_number(o, TLSMSG_OPT_KEEPALIVE),
        .document_flow = tlsmsg_options_number(o, TLSMSG_OPT_DOCUMENT_FLOW) != 0,
        .producer = text_of(o, TLSMSG_OPT_PRODUCER),
    };
    if (tlsmsg_options_is_set(o, TLSMSG_OPT_WINDOW)) {
        out->window = (size_t)count_of(o, TLSMSG_OPT_WINDOW);
    }
    /* In plaintext a reply is waited for as the document's client does, unless told otherwise. */
    out->reply_timeout_ms = BUILD_HAS_TLS ? out->timeout_ms : 0;
    if (tlsmsg_options_is_set(o, TLSMSG_OPT_REPLY_TIMEOUT)) {
        out->reply_timeout_ms = tlsmsg_options_number(o, TLSMSG_OPT_REPLY_TIMEOUT);
    }
}
