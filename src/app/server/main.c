/* tlsmsg-server: puts the parts of the program together and takes them apart again.
 *
 * Owns the order of things at start and end, and the handler that ties the library's calls to
 * transcript and log. The main thread does all of it; the handler runs on workers' threads. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tlsmsg/tlsmsg.h>

#include "app/config_file.h"
#include "app/server/keeper.h"
#include "app/server/main_loop.h"
#include "app/server/metrics.h"
#include "app/server/options.h"
#include "app/server/transcript_file.h"
#include "app/signals.h"
#include "app/startup.h"
#include "app/terminal.h"
#include "base/build.h"
#include "base/error.h"
#include "base/escape.h"

struct program {
    struct server_settings settings;
    char *const *argv;
    struct log log;
    struct stdout_writer writer;
    struct transcript transcript;
    struct storing *storing; /* NULL: nothing is stored */
    struct tlsmsg_server *server;
    struct systemd systemd;
    struct keeper keeper;
    int signal_fd;
    int terminal_fd;
};

static const char *const name = "tlsmsg-server";

static void on_connected(const struct tlsmsg_peer *peer, unsigned worker, void *user)
{
    struct program *program = user;

    transcript_connected(&program->transcript, peer, worker);
}

static void on_message(struct tlsmsg_message *message, void *user)
{
    struct program *program = user;

    if (!program->settings.quiet) {
        transcript_message(&program->transcript, message);
    }
    storing_message(program->storing, message);
}

static void on_hello(const struct tlsmsg_hello *hello, void *user)
{
    struct program *program = user;

    storing_hello(program->storing, hello);
}

static void on_closed(const struct tlsmsg_closed *closed, unsigned worker, void *user)
{
    struct program *program = user;

    if (!program->settings.quiet) {
        transcript_closed(&program->transcript, closed, worker);
    }
    storing_closed(program->storing, closed, worker);
}

static void tell_count(struct program *program, uint64_t count, const char *what)
{
    char text[128];
    struct tlsmsg_event event = {
        .level = TLSMSG_LOG_WARNING, .cause = TLSMSG_CAUSE_LIMIT, .text = text};

    if (count > 0) {
        (void)snprintf(text, sizeof(text), "%" PRIu64 " transcript lines about %s", count, what);
        log_event(&program->log, &event);
    }
}

static void tell_left_out(struct program *program, unsigned worker, bool all)
{
    struct transcript_left_out left_out = transcript_left_out(&program->transcript, worker, all);

    tell_count(program, left_out.held, "connections were left out while stdout took nothing");
    tell_count(program, left_out.strangers, "failed handshakes were left out");
}

/* Lines that wait are held because of messages, too. */
static void on_waiting(int64_t delta, void *user)
{
    const struct program *program = user;

    tlsmsg_server_buffered(program->server, delta);
}

static enum tlsmsg_turn on_turn_end(unsigned worker, void *user)
{
    struct program *program = user;
    enum tlsmsg_turn turn = TLSMSG_TURN_RELEASE;

    if (!program->settings.quiet) {
        turn = transcript_turn_end(&program->transcript, worker);
        tell_left_out(program, worker, false);
    }
    return storing_turn_end(program->storing, worker, turn);
}

static void on_event(const struct tlsmsg_event *event, void *user)
{
    struct program *program = user;

    log_event(&program->log, event);
}

static enum exit_code fail(const struct tlsmsg_error *err)
{
    startup_warn(name, "%s", err->text);
    return exit_code_for(err->code, EXIT_WHILE_STARTING);
}

static void on_check_event(const struct tlsmsg_event *event, void *unused)
{
    (void)unused;
    startup_warn(name, "warning: %s", event->text);
}

/* The TLS library reads its own configuration when it is used first, which must be before the
 * sandbox. */
static void prepare_library(void)
{
    struct tlsmsg_options *nothing = NULL;

    if (tlsmsg_options_new(TLSMSG_ROLE_SERVER, &nothing, NULL) == TLSMSG_OK) {
        (void)tlsmsg_server_check(nothing, NULL, NULL); /* lacks a certificate */
    }
    tlsmsg_options_free(nothing);
}

/* For tlsmsg_options_set_open_keylog. */
static int open_key_log(const char *path, void *user)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    int fd;

    (void)path;
    if (keeper_open(user, KEEPER_KEY_LOG, &fd, &err) != TLSMSG_OK) {
        errno = err.sys_errno != 0 ? err.sys_errno : EIO;
    }
    return fd;
}

/* A reload opens the key log again, as the user that the process is by then and under the sandbox: one
 * that it could not open is refused now. What else is wrong with the file is told where it is opened.
 * keeper: who opens it then; NULL in a check, which makes no file. */
static enum tlsmsg_code look_at_key_log(const struct server_settings *settings,
                                        struct keeper *keeper, struct tlsmsg_error *err)
{
    const char *path = tlsmsg_options_text(settings->options, TLSMSG_OPT_KEYLOG_FILE, 0);
    char shown[256];
    char user[128];
    int failed;
    int fd;

    if (path == NULL) {
        return TLSMSG_OK;
    }
    fd = keeper != NULL ? open_key_log(path, keeper)
                        : open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    failed = fd >= 0 ? 0 : errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (failed != EACCES) {
        return TLSMSG_OK;
    }
    (void)escape_name(shown, sizeof(shown), path);
    if (settings->user != NULL) {
        return error_set(
            err, TLSMSG_ERR_CONFIG, failed,
            "user '%s' cannot open key log '%s', as a reload does (try: a folder and a "
            "file of that user's)",
            escape_name(user, sizeof(user), settings->user), shown);
    }
    return error_set(err, TLSMSG_ERR_CONFIG, failed,
                     "user %u cannot open key log '%s' without root's privileges, as a reload does "
                     "(try: a folder and a file of that user's)",
                     (unsigned)geteuid(), shown);
}

/* Becomes the user, restricts the process, and looks at what it can no longer reach. */
static enum tlsmsg_code enter_sandbox(const struct server_settings *settings, struct keeper *keeper,
                                      struct sandbox_report *report, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = sandbox_enter(settings->user, &settings->sandbox, report, err);

    return code == TLSMSG_OK ? look_at_key_log(settings, keeper, err) : code;
}

/* Goes as far as a start does without opening a socket; with --user as that user, and under the
 * sandbox, which is how a reload will find the files. */
static enum exit_code check(const struct server_settings *settings)
{
    const struct tlsmsg_handler handler = {.size = sizeof(handler), .event = on_check_event};
    struct sandbox_report report;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char roots[512];

    prepare_library();
    if (sandbox_check_user(settings->user, settings->options, &err) != TLSMSG_OK ||
        metrics_check(settings->metrics_file, &err) != TLSMSG_OK ||
        (settings->user != NULL && enter_sandbox(settings, NULL, &report, &err) != TLSMSG_OK) ||
        tlsmsg_server_check(settings->options, &handler, &err) != TLSMSG_OK ||
        (settings->user == NULL && enter_sandbox(settings, NULL, &report, &err) != TLSMSG_OK) ||
        transcript_file_check(settings->transcript_file, &err) != TLSMSG_OK ||
        storing_check(&settings->storing, &err) != TLSMSG_OK) {
        return fail(&err);
    }
    if (report.warning[0] != '\0') {
        startup_warn(name, "warning: %s", report.warning);
    }
    if (settings->user == NULL && geteuid() == 0) {
        sandbox_print_roots_own(&settings->sandbox, roots, sizeof(roots));
        startup_warn(name, "checked as root%s%s; try: --user NAME checks as the service's user",
                     roots[0] != '\0' ? ", who alone can read " : "", roots);
    }
    (void)puts("The configuration is good.");
    return startup_flush_stdout(name);
}

/* Makes the server with its log and its transcript. */
static enum tlsmsg_code prepare(struct program *program, struct tlsmsg_error *err)
{
    const struct server_settings *settings = &program->settings;
    struct tlsmsg_handler handler = {.size = sizeof(handler), .user = program, .event = on_event};
    struct transcript_style style = {
        .phrases = settings->phrases,
        .raw = BUILD_TEXT_IS_RAW && (settings->transcript_file != NULL || !isatty(STDOUT_FILENO)),
        .drops_line_end = !BUILD_LINE_END_IS_SHOWN};
    enum tlsmsg_code code;

    if (!settings->quiet || settings->storing.target != NULL) {
        handler.message = on_message;
        handler.closed = on_closed;
        handler.turn_end = on_turn_end;
        handler.hello = settings->storing.target != NULL ? on_hello : NULL;
    }
    if (settings->quiet) {
        return tlsmsg_server_new(settings->options, &handler, &program->server, err);
    }
    handler.connected = on_connected;
    code = stdout_writer_init(&program->writer,
                              settings->transcript_file != NULL ? -1 : STDOUT_FILENO, err);
    if (code == TLSMSG_OK) {
        transcript_init(&program->transcript, &program->writer, settings->format, &style);
        code = tlsmsg_server_new(settings->options, &handler, &program->server, err);
    }
    if (code == TLSMSG_OK) {
        code = transcript_set_workers(&program->transcript, tlsmsg_server_workers(program->server),
                                      err);
        stdout_writer_on_change(&program->writer, on_waiting, program);
    }
    return code;
}

/* Before keys are read, and before there is a socket that it would hold open, too. */
static enum tlsmsg_code start_keeper(struct program *program, struct tlsmsg_error *err)
{
    struct server_settings *settings = &program->settings;
    const char *const names[KEEPER_FILES] = {
        [KEEPER_METRICS] = settings->metrics_file,
        [KEEPER_TRANSCRIPT] = settings->transcript_file,
        [KEEPER_KEY_LOG] = tlsmsg_options_text(settings->options, TLSMSG_OPT_KEYLOG_FILE, 0),
    };

    keeper_init(&program->keeper, names);
    return keeper_start(&program->keeper, settings->user, &settings->sandbox, program->argv, err);
}

/* Hands over the sockets that a service manager has passed. */
static enum tlsmsg_code take_sockets(const struct program *program, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = TLSMSG_OK;
    unsigned i;

    for (i = 0; i < program->systemd.passed_sockets && code == TLSMSG_OK; i++) {
        code =
            tlsmsg_options_add_listener(program->settings.options, SYSTEMD_FIRST_FD + (int)i, err);
    }
    return code;
}

/* The server has duplicates. These would keep the sockets open when it closes them. */
static void close_sockets(const struct program *program)
{
    unsigned i;

    for (i = 0; i < program->systemd.passed_sockets; i++) {
        (void)close(SYSTEMD_FIRST_FD + (int)i);
    }
}

/* Gives up what serving does not need: all files and sockets are open, no worker runs yet. */
static enum tlsmsg_code confine(struct program *program, struct tlsmsg_error *err)
{
    const struct server_settings *settings = &program->settings;
    struct sandbox_report report;
    struct tlsmsg_event event = {.cause = TLSMSG_CAUSE_OTHER};
    enum tlsmsg_code code = enter_sandbox(settings, &program->keeper, &report, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    event.level = TLSMSG_LOG_INFO;
    event.text = report.held;
    log_event(&program->log, &event);
    if (report.warning[0] != '\0') {
        event.level = TLSMSG_LOG_WARNING;
        event.text = report.warning;
        log_event(&program->log, &event);
    }
    return TLSMSG_OK;
}

/* As the user that the server is now, with the rules that it has: as on SIGHUP later. */
static enum tlsmsg_code open_transcript(struct program *program, struct tlsmsg_error *err)
{
    enum tlsmsg_code code;
    int fd;

    if (!keeper_has(&program->keeper, KEEPER_TRANSCRIPT)) {
        return TLSMSG_OK;
    }
    code = keeper_open(&program->keeper, KEEPER_TRANSCRIPT, &fd, err);
    if (code == TLSMSG_OK) {
        stdout_writer_set_file(&program->writer, fd);
    }
    return code;
}

/* "tlsmsg-server: listening on 127.0.0.1:40213". Plaintext keeps the tutorial's silence, but for a port
 * that the system chose, since nobody could connect otherwise. */
static void tell_addresses(const struct program *program)
{
    const char *address;
    size_t i;

    for (i = 0; (address = tlsmsg_server_address(program->server, i)) != NULL; i++) {
        if (BUILD_HAS_TLS || server_port_is_chosen(program->settings.options, address)) {
            startup_warn(name, "listening on %s", address);
        }
    }
}

/* Tells where it listens and starts the workers. */
static enum exit_code begin(struct program *program)
{
    const struct server_settings *settings = &program->settings;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (signals_open_for_server(&program->signal_fd, &err) != TLSMSG_OK) {
        return fail(&err);
    }
    if (!settings->quiet && !transcript_begin(&program->transcript, program->server)) {
        startup_warn(name, "cannot write the transcript: %s",
                     strerror(stdout_writer_cause(&program->writer)));
        return EXIT_OTHER;
    }
    /* Whoever waits for this line finds the transcript begun. */
    tell_addresses(program);
    if (tlsmsg_server_start(program->server, &err) != TLSMSG_OK) {
        return fail(&err);
    }
    return EXIT_DONE;
}

static enum exit_code serve(struct program *program)
{
    const struct server_settings *settings = &program->settings;
    struct main_loop loop = {
        .program = name,
        .options = settings->options,
        .transcript = settings->quiet ? NULL : &program->transcript,
        .log = &program->log,
        .systemd = &program->systemd,
        .keeper = &program->keeper,
        .drain_ms = tlsmsg_options_number(settings->options, TLSMSG_OPT_DRAIN_TIMEOUT)};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum exit_code code;
    unsigned worker;

    if (sandbox_check_user(settings->user, settings->options, &err) != TLSMSG_OK ||
        metrics_check(settings->metrics_file, &err) != TLSMSG_OK ||
        start_keeper(program, &err) != TLSMSG_OK || take_sockets(program, &err) != TLSMSG_OK ||
        prepare(program, &err) != TLSMSG_OK) {
        return fail(&err);
    }
    close_sockets(program);
    /* The store belongs to the user that the server becomes, and its thread must be confined, too. */
    if (confine(program, &err) != TLSMSG_OK || open_transcript(program, &err) != TLSMSG_OK ||
        storing_open(&settings->storing, program->server, &program->log, &program->storing, &err) !=
            TLSMSG_OK) {
        return fail(&err);
    }
    tlsmsg_options_set_open_keylog(settings->options, open_key_log, &program->keeper);
    /* From here on nobody sits at the terminal, and a reload must not wait for an answer. */
    tlsmsg_options_set_ask_password(settings->options, NULL, NULL);
    code = begin(program);
    if (code != EXIT_DONE) {
        return code;
    }
    loop.server = program->server;
    loop.storing = program->storing;
    loop.signal_fd = program->signal_fd;
    loop.terminal_fd = program->terminal_fd;
    code = main_loop_run(&loop) ? EXIT_DONE : EXIT_OTHER;
    for (worker = 0; worker < program->transcript.workers; worker++) {
        tell_left_out(program, worker, true);
    }
    return code;
}

static enum exit_code run(const struct server_settings *settings, char *const *argv)
{
    struct program program = {.settings = *settings,
                              .argv = argv,
                              .signal_fd = -1,
                              .writer = {.wake_fd = -1},
                              .keeper = {.fd = -1}};
    enum exit_code code;

    /* Files are made with their own modes, none of which lets others write: the mode of a file is
     * then what it was made with, and never set afterwards. */
    (void)umask(022);
    log_init(&program.log, settings->log_level, settings->log_format);
    program.terminal_fd = terminal_hold();
    signals_keep_for_server();
    systemd_open(&program.systemd);
    startup_raise_descriptor_limit();
    code = serve(&program);
    storing_close(program.storing);
    tlsmsg_server_free(program.server);
    transcript_fini(&program.transcript);
    stdout_writer_fini(&program.writer);
    keeper_fini(&program.keeper);
    log_fini(&program.log);
    systemd_close(&program.systemd);
    if (program.signal_fd >= 0) {
        (void)close(program.signal_fd);
    }
    if (program.terminal_fd >= 0) {
        (void)close(program.terminal_fd);
    }
    return code;
}

/* *hidden: to be freed after the settings. */
static enum tlsmsg_code finish_settings(struct server_settings *settings, char *const *argv,
                                        char **hidden, struct tlsmsg_error *err)
{
    *hidden = startup_hide_password(argv, settings->storing.target);
    if (*hidden != NULL) {
        settings->storing.target = *hidden;
    }
    return server_settings_finish(settings, err);
}

int main(int argc, char **argv)
{
    struct server_settings settings;
    struct config_file config = {.is_read = false};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum exit_code code;
    char *hidden = NULL;
    int asked = ARGS_NONE;

    startup_descriptors();
    build_keep_no_large_memory();
    if (server_settings_init(&settings, &err) != TLSMSG_OK ||
        config_file_parse(&config, &server_options, argc, argv, server_settings_take, &settings,
                          &asked, &err) != TLSMSG_OK) {
        code = fail(&err);
    } else if (asked != ARGS_NONE) {
        code = args_answer(&server_options, asked, settings.help_language == PHRASES_ZH);
    } else if (finish_settings(&settings, argv, &hidden, &err) != TLSMSG_OK) {
        code = fail(&err);
    } else {
        if (terminal_can_ask()) {
            tlsmsg_options_set_ask_password(settings.options, terminal_ask_password, NULL);
        }
        code = settings.check ? check(&settings) : run(&settings, argv);
    }
    server_settings_fini(&settings);
    config_file_fini(&config);
    free(hidden);
    return (int)code;
}
