/* tlsmsg-client's options: the table, and what the program itself does with some of them.
 *
 * Messages given by -m are checked here, all of them before the first is sent. Main thread. */
#include "app/client/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/client/editor.h"
#include "app/outputs.h"
#include "base/build.h"
#include "base/decimal.h"
#include "base/error.h"
#include "base/escape.h"
#include "base/utf8.h"

#define ADDRESS_SHOWN_MAX 160 /* bytes of an address or a name that an error shows */
#define MESSAGE_FILE_MAX_BYTES ((size_t)64 * 1024 * 1024) /* more than any server takes */
#define MESSAGE_FILE_READ_BYTES ((size_t)64 * 1024)
#define RETRY_MS 30000
#define RETRY_MAX_MS UINT64_C(10000000000)

enum client_own {
    OWN_MESSAGE = ARGS_OWN,
    OWN_MESSAGE_FILE,
    OWN_RETRY,
    OWN_SPOOL,
    OWN_QUIET,
    OWN_VERBOSE,
    OWN_LANG,
    OWN_PROBE,
    OWN_FORMAT
};

enum client_group { GROUP_TALKING, GROUP_TRUST, GROUP_IDENTITY, GROUP_TLS, GROUP_OTHER };

static const char *const groups[] = {
    [GROUP_TALKING] = "Messages:",
    [GROUP_TRUST] = BUILD_HAS_TLS ? "Which server to trust (else the system's CAs decide):"
                                  : "Which server to trust (refused by this plaintext build):",
    [GROUP_IDENTITY] =
        BUILD_HAS_TLS ? "Certificates:" : "Certificates (refused by this plaintext build):",
    [GROUP_TLS] = BUILD_HAS_TLS ? "TLS:" : "TLS (refused by this plaintext build):",
    [GROUP_OTHER] = "Other:",
};

static const struct args_option rows[] = {
    {OWN_MESSAGE, 'm', "message", "TEXT", "send TEXT instead of stdin; repeatable", GROUP_TALKING},
    {OWN_MESSAGE_FILE, 'M', "message-file", "FILE", "send FILE as one message (-: stdin)",
     GROUP_TALKING},
    {TLSMSG_OPT_PRODUCER, 0, NULL, "NAME", "store each line once, however often it is sent",
     GROUP_TALKING},
    {OWN_SPOOL, 0, "spool", "FILE", "keep messages in FILE until they are delivered",
     GROUP_TALKING},
    {OWN_RETRY, 0, "retry", "SECS", "how long to try to connect again (30; 0: never)",
     GROUP_TALKING},
    {TLSMSG_OPT_WINDOW, 0, NULL, "N", "messages in flight at once (the server's limit)",
     GROUP_TALKING},
    {TLSMSG_OPT_DOCUMENT_FLOW, 0, NULL, NULL, "one at a time, without tlsmsg/1", GROUP_TALKING},
    {OWN_QUIET, 'q', "quiet", NULL, "print replies only, one per line", GROUP_TALKING},
    {OWN_VERBOSE, 'v', "verbose", NULL, "print details of the connection on stderr", GROUP_TALKING},
    {OWN_FORMAT, 0, "format", "text|json", "format of replies, and of --probe (text)",
     GROUP_TALKING},
    {OWN_LANG, 0, "lang", "zh|en", "language of the texts (the locale's)", GROUP_TALKING},
    {TLSMSG_OPT_TIMEOUT, 0, NULL, "SECS", "to connect, and for each reply (10; 0: no limit)",
     GROUP_TALKING},
    {TLSMSG_OPT_KEEPALIVE, 0, NULL, "SECS", "drop a server that has been gone for SECS (120)",
     GROUP_TALKING},
    {TLSMSG_OPT_CA, 0, NULL, "FILE", "trust these CAs instead of the system's", GROUP_TRUST},
    {TLSMSG_OPT_CRL, 0, NULL, "FILE", "revocation lists (CRL)", GROUP_TRUST},
    {TLSMSG_OPT_PIN, 0, NULL, "sha256//BASE64", "trust a server with this key; repeatable",
     GROUP_TRUST},
    {TLSMSG_OPT_TRUST_ON_FIRST_USE, 0, NULL, NULL, "remember servers' keys; ask about a new server",
     GROUP_TRUST},
    {TLSMSG_OPT_ACCEPT_NEW, 0, NULL, NULL, "... and remember a new server without asking",
     GROUP_TRUST},
    {TLSMSG_OPT_KNOWN_SERVERS, 0, NULL, "FILE", "file of the remembered keys", GROUP_TRUST},
    {TLSMSG_OPT_SERVER_NAME, 0, NULL, "NAME", "the server's name in its certificate (HOST)",
     GROUP_TRUST},
    {OWN_PROBE, 0, "probe", NULL, "show its certificates and whether it is trusted", GROUP_TRUST},
    {TLSMSG_OPT_CERT, 0, NULL, "FILE", "the client's certificate and its chain (PEM)",
     GROUP_IDENTITY},
    {TLSMSG_OPT_KEY, 0, NULL, "FILE", "its private key, if FILE of --cert has none",
     GROUP_IDENTITY},
    {TLSMSG_OPT_KEY_PASSWORD_FILE, 0, NULL, "FILE", "file whose first line is the key's password",
     GROUP_IDENTITY},
    {TLSMSG_OPT_TLS_MIN, 0, NULL, "1.2|1.3", "oldest TLS version to accept (1.2)", GROUP_TLS},
    {TLSMSG_OPT_KEYLOG_FILE, 0, NULL, "FILE", "append session keys, for debugging", GROUP_TLS},
    {TLSMSG_OPT_PAD, 0, NULL, "BYTES", "pad TLS 1.3 records to a multiple of BYTES (0)", GROUP_TLS},
    {ARGS_CONFIG, 0, "config", "FILE", "long options, one a line, as 'name value'", GROUP_OTHER},
    {ARGS_HELP, 'h', "help", NULL, "print this help", GROUP_OTHER},
    {ARGS_VERSION, 'V', "version", NULL, "print the version and the TLS library", GROUP_OTHER},
};

static const char examples_tls[] =
    "  tlsmsg-client --ca ca.crt msg.example.org\n"
    "  tlsmsg-client --ca ca.crt -q -m 'backup done' msg.example.org:12345\n"
    "  tlsmsg-client --ca ca.crt -q msg.example.org <lines.txt\n";
static const char examples_plaintext[] = "  tlsmsg-client\n"
                                         "  tlsmsg-client -q -m hello 12345\n"
                                         "  tlsmsg-client -q 12345 <lines.txt\n";

const struct args_table client_options = {
    .program = "tlsmsg-client",
    .english =
        {.synopsis = "[OPTION]... [HOST[:PORT]]",
         .purpose = "Sends each line of stdin as a message and prints the reply (127.0.0.1:12345).",
         .examples = BUILD_HAS_TLS ? examples_tls : examples_plaintext,
         .closing =
             "The line 'exit' or the end of stdin ends the conversation; with -q under TLS,\n"
             "and as a TEXT of --message, 'exit' is a message like any other. SIGUSR1: print\n"
             "what --verbose prints. Exit status: 0 done, 1 other failure, 2 usage or\n"
             "configuration, 3 no connection, 4 server not trusted, 5 refused by the server,\n"
             "6 conversation cut, 7 kept in the spool and not yet delivered.\n"},
    .chinese =
        {.synopsis = "[选项]... [HOST[:PORT]]",
         .purpose = "把 stdin 的每一行作为消息发送，并显示回应（127.0.0.1:12345）。",
         .examples = BUILD_HAS_TLS ? examples_tls : examples_plaintext,
         .closing =
             "输入 'exit' 一行，或 stdin 结束，即结束对话；TLS 下用 -q 时，以及作为 --message\n"
             "的 TEXT 时，'exit' 是普通消息。SIGUSR1：显示 --verbose 的内容。退出码：0 完成，\n"
             "1 其他失败，2 用法或配置错误，3 连接失败，4 服务器不可信，5 被服务器拒绝，\n"
             "6 连接意外中断，7 已保存在 --spool 文件中，尚未送达。\n"},
    .groups = groups,
    .group_count = sizeof(groups) / sizeof(groups[0]),
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
    .operands_max = 2, /* so that HOST PORT gets an answer of its own */
    .remark = editor_remark,
};

enum tlsmsg_code client_settings_init(struct client_settings *settings, struct tlsmsg_error *err)
{
    *settings = (struct client_settings){.phrases = phrases_get(phrases_default()),
                                         .help_language = phrases_default_for_help(),
                                         .retry_ms = BUILD_HAS_TLS ? RETRY_MS : 0};
    return tlsmsg_options_new(TLSMSG_ROLE_CLIENT, &settings->options, err);
}

void client_settings_fini(struct client_settings *settings)
{
    tlsmsg_options_free(settings->options);
    for (size_t i = 0; i < settings->message_count; i++) {
        free(settings->owned[i]);
    }
    free(settings->messages);
    free(settings->owned);
    settings->options = NULL;
    settings->messages = NULL;
    settings->owned = NULL;
    settings->message_count = 0;
}

/* Adds a message; owned: its memory where that is the settings', which this takes over. */
static enum tlsmsg_code add_message(struct client_settings *settings, const char *option,
                                    const char *data, size_t len, char *owned,
                                    struct tlsmsg_error *err)
{
    size_t count = settings->message_count;
    struct session_message *messages;
    char **all_owned;

    if (len == 0) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s: an empty message can't be sent", option);
    }
    if (!utf8_is_valid(data, len)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s: the text is not valid UTF-8", option);
    }
    messages = realloc(settings->messages, (count + 1) * sizeof(*messages));
    if (messages == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    settings->messages = messages;
    all_owned = realloc(settings->owned, (count + 1) * sizeof(*all_owned));
    if (all_owned == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    settings->owned = all_owned;
    messages[count] = (struct session_message){.data = data, .len = len};
    all_owned[count] = owned;
    settings->message_count++;
    settings->longest = len > settings->longest ? len : settings->longest;
    return TLSMSG_OK;
}

static enum tlsmsg_code take_message(struct client_settings *settings, const char *value,
                                     struct tlsmsg_error *err)
{
    size_t len = strlen(value);

    if (len > (BUILD_HAS_TLS ? MESSAGE_FILE_MAX_BYTES : (size_t)BUILD_LINE_MAX_BYTES)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--message: %zu bytes are too long for a message (at most %zu)", len,
                         BUILD_HAS_TLS ? MESSAGE_FILE_MAX_BYTES : (size_t)BUILD_LINE_MAX_BYTES);
    }
    return add_message(settings, "--message", value, len, NULL, err);
}

/* Reads all of a descriptor. NULL with errno; EFBIG: over the limit. */
static char *read_all(int fd, size_t *len)
{
    size_t cap = 0;
    char *data = NULL;
    ssize_t n = 1;

    *len = 0;
    while (n > 0 && *len <= MESSAGE_FILE_MAX_BYTES) {
        if (cap - *len < MESSAGE_FILE_READ_BYTES) {
            char *more = realloc(data, cap = 2 * cap + 2 * MESSAGE_FILE_READ_BYTES);

            if (more == NULL) {
                break;
            }
            data = more;
        }
        n = read(fd, data + *len, cap - *len);
        if (n < 0 && errno == EINTR) {
            n = 1;
        } else if (n > 0) {
            *len += (size_t)n;
        }
    }
    if (n == 0) {
        return data;
    }
    free(data);
    errno = n < 0 ? errno : *len > MESSAGE_FILE_MAX_BYTES ? EFBIG : ENOMEM;
    return NULL;
}

static enum tlsmsg_code take_message_file(struct client_settings *settings, const char *value,
                                          struct tlsmsg_error *err)
{
    bool is_stdin = strcmp(value, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(value, O_RDONLY | O_CLOEXEC);
    char shown[ADDRESS_SHOWN_MAX];
    enum tlsmsg_code code;
    char *data = NULL;
    size_t len = 0;

    if (fd >= 0) {
        data = read_all(fd, &len);
    }
    if (data == NULL) {
        code = error_set(err, TLSMSG_ERR_CONFIG, errno, "--message-file: cannot read '%s'",
                         escape_name(shown, sizeof(shown), value));
    } else {
        code = add_message(settings, "--message-file", data, len, data, err);
    }
    if (code != TLSMSG_OK) {
        free(data);
    }
    if (fd >= 0 && !is_stdin) {
        (void)close(fd);
    }
    return code;
}

static enum tlsmsg_code take_retry(struct client_settings *settings, const char *value,
                                   struct tlsmsg_error *err)
{
    char shown[ADDRESS_SHOWN_MAX];
    uint64_t ms;

    if (!decimal_parse_scaled(value, strlen(value), 3, &ms) || ms > RETRY_MAX_MS) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--retry wants seconds from 0 to 10000000, such as 2.5, not '%s'",
                         escape_name(shown, sizeof(shown), value));
    }
    settings->retry_ms = (int64_t)ms;
    settings->retries_first = true;
    return TLSMSG_OK;
}

static enum tlsmsg_code take_tls_own(struct client_settings *settings, int id, const char *value,
                                     struct tlsmsg_error *err)
{
    static const char *const forms[] = {"text", "json"};
    enum tlsmsg_code code = TLSMSG_OK;
    size_t i = 0;

    if (!BUILD_HAS_TLS) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "%s needs TLS, and this is the plaintext build",
                         id == OWN_PROBE          ? "--probe"
                         : id == OWN_RETRY        ? "--retry"
                         : id == OWN_SPOOL        ? "--spool"
                         : id == OWN_MESSAGE_FILE ? "--message-file"
                                                  : "--format");
    }
    if (id == OWN_RETRY) {
        code = take_retry(settings, value, err);
    } else if (id == OWN_MESSAGE_FILE) {
        code = take_message_file(settings, value, err);
    } else if (id == OWN_SPOOL) {
        settings->spool = value;
    } else if (id == OWN_PROBE) {
        settings->probes = true;
    } else {
        code = args_choice("format", forms, 2, value, &i, err);
        settings->as_json = i == 1;
    }
    return code;
}

static const char *find_need(const struct client_settings *settings)
{
    if (settings->spool != NULL) {
        return "--spool";
    }
    if (tlsmsg_options_is_set(settings->options, TLSMSG_OPT_PRODUCER)) {
        return "--producer";
    }
    if (settings->retries_first && settings->retry_ms > 0) {
        return "--retry";
    }
    if (tlsmsg_options_is_set(settings->options, TLSMSG_OPT_WINDOW)) {
        return "--window";
    }
    return BUILD_HAS_TLS && settings->longest > TLSMSG_RECORD_MESSAGE_MAX
               ? "a message of over 16000 bytes"
               : NULL;
}

/* What needs tlsmsg/1, and what a producer's numbers need. */
static enum tlsmsg_code check_numbered(struct client_settings *settings, struct tlsmsg_error *err)
{
    bool is_document = tlsmsg_options_number(settings->options, TLSMSG_OPT_DOCUMENT_FLOW) != 0;
    const char *need = find_need(settings);

    settings->need = need;
    if (is_document && need != NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "%s needs tlsmsg/1, which --document-flow leaves out", need);
    }
    if (settings->spool != NULL) {
        return tlsmsg_options_is_set(settings->options, TLSMSG_OPT_PRODUCER)
                   ? error_set(err, TLSMSG_ERR_CONFIG, 0,
                               "--spool numbers the messages under a name of its own (leave "
                               "--producer or --spool out)")
                   : TLSMSG_OK;
    }
    if (tlsmsg_options_is_set(settings->options, TLSMSG_OPT_PRODUCER)) {
        settings->producer = tlsmsg_options_text(settings->options, TLSMSG_OPT_PRODUCER, 0);
        if (settings->producer[0] == '~') {
            return error_set(err, TLSMSG_ERR_CONFIG, 0,
                             "--producer: names with '~' are made by the program itself");
        }
        return settings->message_count > 0 || isatty(STDIN_FILENO) != 1
                   ? TLSMSG_OK
                   : error_set(err, TLSMSG_ERR_CONFIG, 0,
                               "--producer needs an input that can be sent again, not a terminal; "
                               "try: a file or a pipe");
    }
    if (!BUILD_HAS_TLS || is_document || settings->retry_ms == 0 || settings->probes) {
        return TLSMSG_OK;
    }
    return tlsmsg_options_set(settings->options, TLSMSG_OPT_PRODUCER, "~", err);
}

static enum tlsmsg_code check_outputs(const struct client_settings *settings,
                                      struct tlsmsg_error *err)
{
    static const enum tlsmsg_option read[] = {TLSMSG_OPT_CA, TLSMSG_OPT_CRL, TLSMSG_OPT_CERT,
                                              TLSMSG_OPT_KEY, TLSMSG_OPT_KEY_PASSWORD_FILE};
    struct outputs outputs = {.count = 0};

    outputs_add(&outputs, "spool", settings->spool, true);
    outputs_add_option(&outputs, settings->options, TLSMSG_OPT_KEYLOG_FILE, true);
    outputs_add_option(&outputs, settings->options, TLSMSG_OPT_KNOWN_SERVERS, true);
    outputs_add(&outputs, "config", settings->config_file, false);
    for (size_t i = 0; i < sizeof(read) / sizeof(read[0]); i++) {
        outputs_add_option(&outputs, settings->options, read[i], false);
    }
    return outputs_check(&outputs, err);
}

enum tlsmsg_code client_settings_check(struct client_settings *settings, struct tlsmsg_error *err)
{
    if (settings->probes && settings->message_count > 0) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--probe sends no message (leave --probe or --message out)");
    }
    if (settings->probes && settings->spool != NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--probe sends no message (leave --probe or --spool out)");
    }
    if (settings->probes && settings->verbose) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--probe shows what --verbose tells (leave --verbose out)");
    }
    return check_outputs(settings, err) == TLSMSG_OK ? check_numbered(settings, err)
                                                     : TLSMSG_ERR_CONFIG;
}

/* "localhost 12345", as nc takes it. */
static enum tlsmsg_code refuse_second_address(const char *first, const char *second,
                                              struct tlsmsg_error *err)
{
    bool is_v6 = strchr(first, ':') != NULL && first[0] != '[';
    bool is_port = *second != '\0' && second[strspn(second, "0123456789")] == '\0';
    char shown[2][ADDRESS_SHOWN_MAX];

    (void)escape_name(shown[0], sizeof(shown[0]), first);
    (void)escape_name(shown[1], sizeof(shown[1]), second);
    if (!is_port) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "unexpected argument '%s' (try 'tlsmsg-client --help')", shown[1]);
    }
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "the server's address is one word, HOST:PORT; try: %s%s%s:%s",
                     is_v6 ? "[" : "", shown[0], is_v6 ? "]" : "", shown[1]);
}

static enum tlsmsg_code take_address(struct client_settings *settings, const char *value,
                                     struct tlsmsg_error *err)
{
    if (settings->address != NULL) {
        return refuse_second_address(settings->address, value, err);
    }
    settings->address = value;
    return tlsmsg_options_set(settings->options, TLSMSG_OPT_ADDRESS, value, err);
}

enum tlsmsg_code client_settings_take(int id, const char *value, void *user,
                                      struct tlsmsg_error *err)
{
    struct client_settings *settings = user;
    enum tlsmsg_code code;
    size_t i = 0;

    switch (id) {
    case ARGS_CONFIG: /* was followed before */
        settings->config_file = value;
        return TLSMSG_OK;
    case ARGS_OPERAND:
        return take_address(settings, value, err);
    case OWN_MESSAGE:
        return take_message(settings, value, err);
    case OWN_LANG:
        code = args_choice("lang", phrases_names, PHRASES_LANGUAGES, value, &i, err);
        settings->phrases = phrases_get(i);
        settings->help_language = i;
        return code;
    case OWN_RETRY:
    case OWN_SPOOL:
    case OWN_MESSAGE_FILE:
    case OWN_PROBE:
    case OWN_FORMAT:
        return take_tls_own(settings, id, value, err);
    case OWN_QUIET:
        settings->quiet = true;
        return TLSMSG_OK;
    case OWN_VERBOSE:
        settings->verbose = true;
        return TLSMSG_OK;
    default:
        return tlsmsg_options_set(settings->options, (enum tlsmsg_option)id, value, err);
    }
}
