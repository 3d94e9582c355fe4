/* tlsmsg-server's options: the table, and what the program itself does with some of them.
 *
 * Values of the library's options are checked by the library; the program keeps only what it
 * needs to know besides. Main thread. */
#include "app/server/options.h"

#include <stdlib.h>
#include <string.h>

#include "app/outputs.h"
#include "base/build.h"
#include "base/decimal.h"
#include "base/error.h"

enum server_own {
    OWN_LANG = ARGS_OWN,
    OWN_FORMAT,
    OWN_QUIET,
    OWN_LOG_LEVEL,
    OWN_LOG_FORMAT,
    OWN_TRANSCRIPT,
    OWN_METRICS_FILE,
    OWN_USER,
    OWN_CHECK,
    OWN_STORE,
    OWN_STORE_KEEP,
    OWN_STORE_MIN_FREE,
    OWN_STORE_TIMEOUT
};

enum server_group {
    GROUP_SERVING,
    GROUP_TRANSCRIPT,
    GROUP_STORE,
    GROUP_IDENTITY,
    GROUP_TLS,
    GROUP_LIMITS,
    GROUP_OTHER
};

static const char *const groups[] = {
    [GROUP_SERVING] = "Serving:",
    [GROUP_TRANSCRIPT] = "The conversation on stdout or in a file, the log on stderr:",
    [GROUP_STORE] =
        BUILD_HAS_TLS ? "Storing messages:" : "Storing (refused by this plaintext build):",
    [GROUP_IDENTITY] =
        BUILD_HAS_TLS ? "Certificates:" : "Certificates (refused by this plaintext build):",
    [GROUP_TLS] = BUILD_HAS_TLS ? "TLS:" : "TLS (refused by this plaintext build):",
    [GROUP_LIMITS] = "Limits (SECS may be decimal; 0: no limit):",
    [GROUP_OTHER] = "Other:",
};

static const struct args_option rows[] = {
    {TLSMSG_OPT_LISTEN, 'l', NULL, "[HOST:]PORT",
     "repeatable; port 0: a free one (127.0.0.1:12345)", GROUP_SERVING},
    {TLSMSG_OPT_ACCEPT, 'n', NULL, "N", "serve N conversations, 0: no end (TLS 0, else 1)",
     GROUP_SERVING},
    {TLSMSG_OPT_WORKERS, 'w', NULL, "N", "threads (TLS: one per processor; else 1)", GROUP_SERVING},
    {TLSMSG_OPT_REPLY, 0, NULL, "TEMPLATE", "the reply; {message} stands for the message",
     GROUP_SERVING},
    {TLSMSG_OPT_RECV_SIZE, 0, NULL, "BYTES", "most bytes of a receive (TLS: 16384; else 1024)",
     GROUP_SERVING},
    {OWN_LANG, 0, "lang", "zh|en", "language of the texts (the locale's)", GROUP_TRANSCRIPT},
    {OWN_FORMAT, 0, "format", "text|json", "format of the transcript (text)", GROUP_TRANSCRIPT},
    {OWN_TRANSCRIPT, 0, "transcript", "FILE", "append it here (SIGHUP reopens it)",
     GROUP_TRANSCRIPT},
    {OWN_QUIET, 'q', "quiet", NULL, "print no transcript", GROUP_TRANSCRIPT},
    {OWN_LOG_LEVEL, 0, "log-level", "LEVEL", "error, warning, info or debug (warning)",
     GROUP_TRANSCRIPT},
    {OWN_LOG_FORMAT, 0, "log-format", "text|json", "format of the log (text)", GROUP_TRANSCRIPT},
    {OWN_STORE, 0, "store", "TARGET", "keep messages before replying: a file or a URL",
     GROUP_STORE},
    {OWN_STORE_KEEP, 0, "store-keep", "AGE", "delete older messages, such as 90d (keep all)",
     GROUP_STORE},
    {OWN_STORE_MIN_FREE, 0, "store-min-free", "BYTES",
     "refuse messages below this free space (64 MiB)", GROUP_STORE},
    {OWN_STORE_TIMEOUT, 0, "store-timeout", "SECS", "wait for a store that is unavailable (5)",
     GROUP_STORE},
    {TLSMSG_OPT_CERT, 0, NULL, "FILE", "certificate and its chain (PEM); repeatable",
     GROUP_IDENTITY},
    {TLSMSG_OPT_KEY, 0, NULL, "FILE", "its private key, if FILE of --cert has none",
     GROUP_IDENTITY},
    {TLSMSG_OPT_KEY_PASSWORD_FILE, 0, NULL, "FILE", "file whose first line is the keys' password",
     GROUP_IDENTITY},
    {TLSMSG_OPT_CLIENT_CA, 0, NULL, "FILE", "require client certificates, signed by these CAs",
     GROUP_IDENTITY},
    {TLSMSG_OPT_CRL, 0, NULL, "FILE", "revocation lists (CRL) of client certificates",
     GROUP_IDENTITY},
    {TLSMSG_OPT_ALLOW, 0, NULL, "NAME", "accept this client only; repeatable", GROUP_IDENTITY},
    {TLSMSG_OPT_ALLOW_FILE, 0, NULL, "FILE", "file with such names, one per line", GROUP_IDENTITY},
    {TLSMSG_OPT_TLS_MIN, 0, NULL, "1.2|1.3", "oldest TLS version to accept (1.2)", GROUP_TLS},
    {TLSMSG_OPT_TICKET_KEYS, 0, NULL, "FILE", "session ticket keys, to share among servers",
     GROUP_TLS},
    {TLSMSG_OPT_KEYLOG_FILE, 0, NULL, "FILE", "append session keys, for debugging", GROUP_TLS},
    {TLSMSG_OPT_PAD, 0, NULL, "BYTES", "pad TLS 1.3 records to a multiple of BYTES (0)", GROUP_TLS},
    {TLSMSG_OPT_HANDSHAKE_TIMEOUT, 0, NULL, "SECS", "longest handshake (10)", GROUP_TLS},
    {TLSMSG_OPT_MAX_MESSAGE, 0, NULL, "BYTES", "longest numbered message (1048576)", GROUP_LIMITS},
    {TLSMSG_OPT_WINDOW, 0, NULL, "N", "numbered messages unanswered at once (256)", GROUP_LIMITS},
    {TLSMSG_OPT_MAX_BUFFERED, 0, NULL, "BYTES", "memory for all messages together (268435456)",
     GROUP_LIMITS},
    {TLSMSG_OPT_MAX_CONNECTIONS, 0, NULL, "N", "connections at once (0: as descriptors allow)",
     GROUP_LIMITS},
    {TLSMSG_OPT_MAX_PER_ADDRESS, 0, NULL, "N", "connections at once from one address (0)",
     GROUP_LIMITS},
    {TLSMSG_OPT_MAX_HANDSHAKES, 0, NULL, "N", "unfinished handshakes at once (0)", GROUP_LIMITS},
    {TLSMSG_OPT_HANDSHAKE_RATE, 0, NULL, "N", "new connections per second and address (0)",
     GROUP_LIMITS},
    {TLSMSG_OPT_IDLE_TIMEOUT, 0, NULL, "SECS", "close a client that sends nothing for SECS (0)",
     GROUP_LIMITS},
    {TLSMSG_OPT_WRITE_TIMEOUT, 0, NULL, "SECS", "close a client that takes no reply for SECS (30)",
     GROUP_LIMITS},
    {TLSMSG_OPT_KEEPALIVE, 0, NULL, "SECS", "drop a peer that has been gone for SECS (120)",
     GROUP_LIMITS},
    {TLSMSG_OPT_DRAIN_TIMEOUT, 0, NULL, "SECS", "when stopping, wait for unsent replies (5)",
     GROUP_LIMITS},
    {OWN_METRICS_FILE, 0, "metrics-file", "FILE", "write Prometheus metrics here every 5 seconds",
     GROUP_OTHER},
    {OWN_USER, 0, "user", "NAME", "switch to this user before serving", GROUP_OTHER},
    {ARGS_CONFIG, 0, "config", "FILE", "long options, one a line, as 'name value'", GROUP_OTHER},
    {OWN_CHECK, 0, "check", NULL, "check options and files, then exit", GROUP_OTHER},
    {ARGS_HELP, 'h', "help", NULL, "print this help", GROUP_OTHER},
    {ARGS_VERSION, 'V', "version", NULL, "print the version and the TLS library", GROUP_OTHER},
};

static const char examples_tls[] =
    "  tlsmsg-server --cert server.crt --key server.key\n"
    "  tlsmsg-server -l 0.0.0.0:12345 --cert server.crt --key server.key\n"
    "  tlsmsg-server --cert server.crt --key server.key --client-ca ca.crt\n";
static const char examples_plaintext[] = "  tlsmsg-server\n"
                                         "  tlsmsg-server -l 0.0.0.0:12345 --accept 0\n"
                                         "  tlsmsg-server --accept 0 --format json\n";

const struct args_table server_options = {
    .program = "tlsmsg-server",
    .english =
        {.synopsis = "[OPTION]...",
         .purpose = "Receives messages from any number of clients and replies to each one.",
         .examples = BUILD_HAS_TLS ? examples_tls : examples_plaintext,
         .closing =
             "SIGTERM or SIGINT: finish and exit. SIGHUP: read the files again. SIGUSR1: print\n"
             "the server's state. Exit status: 0 done, 1 failure, 2 usage or configuration.\n"},
    .chinese = {.synopsis = "[选项]...",
                .purpose = "接收任意多个客户端的消息，逐条回应。",
                .examples = BUILD_HAS_TLS ? examples_tls : examples_plaintext,
                .closing =
                    "SIGTERM 或 SIGINT：收尾后退出。SIGHUP：重新读取文件。SIGUSR1：显示服务器的\n"
                    "状态。退出码：0 完成，1 失败，2 用法或配置错误。\n"},
    .groups = groups,
    .group_count = sizeof(groups) / sizeof(groups[0]),
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
    .operands_max = 0,
};

enum tlsmsg_code server_settings_init(struct server_settings *settings, struct tlsmsg_error *err)
{
    *settings = (struct server_settings){.phrases = phrases_get(phrases_default()),
                                         .help_language = phrases_default_for_help(),
                                         .log_level = TLSMSG_LOG_WARNING,
                                         .storing = STORING_DEFAULTS};
    return tlsmsg_options_new(TLSMSG_ROLE_SERVER, &settings->options, err);
}

void server_settings_fini(struct server_settings *settings)
{
    storing_reach_fini(&settings->reach);
    tlsmsg_options_free(settings->options);
    settings->options = NULL;
}

static const enum tlsmsg_option read_again[] = {
    TLSMSG_OPT_CERT, TLSMSG_OPT_KEY,        TLSMSG_OPT_KEY_PASSWORD_FILE, TLSMSG_OPT_CLIENT_CA,
    TLSMSG_OPT_CRL,  TLSMSG_OPT_ALLOW_FILE, TLSMSG_OPT_TICKET_KEYS};

/* Files that a reload reads or writes stay within the sandbox's reach. */
static bool add_files(struct sandbox *sandbox, const struct tlsmsg_options *options)
{
    bool added =
        sandbox_may_write(sandbox, tlsmsg_options_text(options, TLSMSG_OPT_KEYLOG_FILE, 0));

    for (size_t i = 0; i < sizeof(read_again) / sizeof(read_again[0]); i++) {
        size_t count = tlsmsg_options_count(options, read_again[i]);

        for (size_t k = 0; k < count && added; k++) {
            added = sandbox_may_read(sandbox, tlsmsg_options_text(options, read_again[i], k));
        }
    }
    return added;
}

/* How the store is reached; what looks after a file is refused where there is none. */
static enum tlsmsg_code finish_store(struct server_settings *settings, struct tlsmsg_error *err)
{
    struct storing_settings *storing = &settings->storing;
    bool is_in_database = store_is_in_database(storing->target);

    if (settings->has_store_option && storing->target == NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--store-keep, --store-min-free and --store-timeout need --store");
    }
    if (is_in_database && settings->has_file_option) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--store-keep and --store-min-free are for a store in a file (try: "
                         "tlsmsg-store prune, run now and then by the database's owner)");
    }
    settings->sandbox.connects = is_in_database;
    settings->sandbox.store = is_in_database ? NULL : storing->target;
    settings->sandbox.reach = &settings->reach;
    return is_in_database ? storing_reach(storing, settings->user, &settings->reach, err)
                          : TLSMSG_OK;
}

static enum tlsmsg_code check_outputs(const struct server_settings *settings,
                                      struct tlsmsg_error *err)
{
    struct outputs outputs = {.count = 0};

    outputs_add(&outputs, "metrics-file", settings->metrics_file, true);
    outputs_add(&outputs, "transcript", settings->transcript_file, true);
    outputs_add(&outputs, "store", settings->sandbox.store, true);
    outputs_add_option(&outputs, settings->options, TLSMSG_OPT_KEYLOG_FILE, true);
    outputs_add(&outputs, "config", settings->config_file, false);
    for (size_t i = 0; i < sizeof(read_again) / sizeof(read_again[0]); i++) {
        outputs_add_option(&outputs, settings->options, read_again[i], false);
    }
    return outputs_check(&outputs, err);
}

enum tlsmsg_code server_settings_finish(struct server_settings *settings, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = finish_store(settings, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    if (settings->quiet) {
        settings->transcript_file = NULL;
    }
    if (sandbox_may_write(&settings->sandbox, settings->metrics_file) &&
        sandbox_may_write(&settings->sandbox, settings->transcript_file) &&
        add_files(&settings->sandbox, settings->options)) {
        return check_outputs(settings, err);
    }
    return error_set(err, TLSMSG_ERR_CONFIG, 0, "the options name more than %d files",
                     SANDBOX_PATHS_MAX);
}

static uint64_t port_of(const char *address)
{
    const char *colon = strrchr(address, ':');
    const char *digits = colon != NULL ? colon + 1 : address;
    uint64_t port;

    (void)decimal_digits(digits, strlen(digits), &port);
    return port;
}

bool server_port_is_chosen(const struct tlsmsg_options *options, const char *address)
{
    size_t count = tlsmsg_options_count(options, TLSMSG_OPT_LISTEN);
    unsigned long port = port_of(address);
    bool any_is_free = false;

    for (size_t i = 0; i < count; i++) {
        unsigned long named = port_of(tlsmsg_options_text(options, TLSMSG_OPT_LISTEN, i));

        if (named == port) {
            return false;
        }
        any_is_free |= named == 0;
    }
    return any_is_free;
}

/* A file, or a store. */
static enum tlsmsg_code take_target(const char *option, const char *value, const char **target,
                                    struct tlsmsg_error *err)
{
    if (value[0] == '\0') {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "--%s wants a value that is not empty", option);
    }
    *target = value;
    return TLSMSG_OK;
}

static enum tlsmsg_code take_store(struct server_settings *settings, enum server_own own,
                                   const char *value, struct tlsmsg_error *err)
{
    /* In the order of their keys. */
    static const char *const names[] = {"store", "store-keep", "store-min-free", "store-timeout"};
    struct storing_settings *storing = &settings->storing;
    uint64_t number;

    if (!BUILD_HAS_TLS) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--%s needs TLS, and this is the plaintext build", names[own - OWN_STORE]);
    }
    settings->has_store_option |= own != OWN_STORE;
    settings->has_file_option |= own == OWN_STORE_KEEP || own == OWN_STORE_MIN_FREE;
    switch (own) {
    case OWN_STORE_KEEP:
        return args_age("store-keep", value, &storing->keep_ms, err);
    case OWN_STORE_MIN_FREE:
        if (!decimal_parse(value, strlen(value), 0, INT64_MAX, &storing->min_free)) {
            return error_set(err, TLSMSG_ERR_CONFIG, 0, "--store-min-free wants a number of bytes");
        }
        return TLSMSG_OK;
    case OWN_STORE_TIMEOUT:
        if (!decimal_parse_scaled(value, strlen(value), 3, &number) || number > INT32_MAX) {
            return error_set(err, TLSMSG_ERR_CONFIG, 0,
                             "--store-timeout wants seconds, such as 5 or 0.5");
        }
        storing->timeout_ms = (int64_t)number;
        return TLSMSG_OK;
    default:
        return take_target("store", value, &storing->target, err);
    }
}

static enum tlsmsg_code take_own(struct server_settings *settings, enum server_own own,
                                 const char *value, struct tlsmsg_error *err)
{
    static const char *const forms[] = {"text", "json"};
    enum tlsmsg_code code = TLSMSG_OK;
    size_t i = 0;

    switch (own) {
    case OWN_LANG:
        code = args_choice("lang", phrases_names, PHRASES_LANGUAGES, value, &i, err);
        settings->phrases = phrases_get(i);
        settings->help_language = i;
        break;
    case OWN_FORMAT:
        code = args_choice("format", forms, 2, value, &i, err);
        settings->format = i == 0 ? TRANSCRIPT_TEXT : TRANSCRIPT_JSON;
        break;
    case OWN_LOG_LEVEL:
        code = args_choice("log-level", log_level_names, LOG_LEVELS, value, &i, err);
        settings->log_level = (enum tlsmsg_log_level)i;
        break;
    case OWN_LOG_FORMAT:
        code = args_choice("log-format", forms, 2, value, &i, err);
        settings->log_format = i == 0 ? LOG_TEXT : LOG_JSON;
        break;
    case OWN_TRANSCRIPT:
        code = take_target("transcript", value, &settings->transcript_file, err);
        break;
    case OWN_METRICS_FILE:
        code = take_target("metrics-file", value, &settings->metrics_file, err);
        break;
    case OWN_USER:
        settings->user = value;
        break;
    case OWN_QUIET:
        settings->quiet = true;
        break;
    case OWN_CHECK:
        settings->check = true;
        break;
    case OWN_STORE:
    case OWN_STORE_KEEP:
    case OWN_STORE_MIN_FREE:
    case OWN_STORE_TIMEOUT:
        code = take_store(settings, own, value, err);
        break;
    }
    return code;
}

enum tlsmsg_code server_settings_take(int id, const char *value, void *user,
                                      struct tlsmsg_error *err)
{
    struct server_settings *settings = user;

    if (id == ARGS_CONFIG) {
        settings->config_file = value; /* was followed before */
        return TLSMSG_OK;
    }
    if (id >= ARGS_OWN) {
        return take_own(settings, (enum server_own)id, value, err);
    }
    return tlsmsg_options_set(settings->options, (enum tlsmsg_option)id, value, err);
}
