/* tlsmsg-server: puts the parts of the program together and takes them apart again.
 *
 * Owns the order of things at start and end, and the handler that ties the library's calls to
 * transcript and log. The main thread does all of it; the handler runs on workers' threads. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <tlsmsg/tlsmsg.h>

#include "app/answer.h"
#include "app/build.h"
#include "app/complain.h"
#include "app/confinement.h"
#include "app/control.h"
#include "app/descriptors.h"
#include "app/exit_codes.h"
#include "app/server_arguments.h"
#include "app/service.h"
#include "app/signals.h"
#include "app/terminal.h"
#include "app/transcript.h"

struct program {
    struct server_settings settings;
    struct log log;
    struct journal journal;
    struct transcript transcript;
    struct tlsmsg_server *server;
    struct service service;
    int signal_fd;
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

    transcript_message(&program->transcript, message);
}

static void on_closed(const struct tlsmsg_closed *closed, unsigned worker, void *user)
{
    struct program *program = user;

    transcript_closed(&program->transcript, closed, worker);
}

static void tell_left_out(struct program *program, unsigned worker)
{
    uint64_t left_out = transcript_left_out(&program->transcript, worker);
    char text[128];
    struct tlsmsg_event event = {
        .level = TLSMSG_LOG_WARNING, .cause = TLSMSG_CAUSE_LIMIT, .text = text};

    if (left_out > 0) {
        (void)snprintf(text, sizeof(text),
                       "%" PRIu64 " transcript lines about connections were left out while "
                       "stdout took nothing",
                       left_out);
        log_event(&program->log, &event);
    }
}

static enum tlsmsg_turn on_turn_end(unsigned worker, void *user)
{
    struct program *program = user;
    enum tlsmsg_turn turn = transcript_turn_end(&program->transcript, worker);

    tell_left_out(program, worker);
    return turn;
}

static void on_event(const struct tlsmsg_event *event, void *user)
{
    struct program *program = user;

    log_event(&program->log, event);
}

static enum exit_code fail(const struct tlsmsg_error *err)
{
    complain(name, "%s", err->text);
    return exit_code_for(err->code, EXIT_WHILE_STARTING);
}

/* Goes as far as a start does without opening a socket: a process that ends can be confined too. */
static enum exit_code check(const struct server_settings *settings)
{
    struct confinement confinement;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (confinement_check(settings->user, &err) != TLSMSG_OK ||
        tlsmsg_server_check(settings->options, &err) != TLSMSG_OK ||
        confinement_enter(settings->user, &settings->sandbox, &confinement, &err) != TLSMSG_OK) {
        return fail(&err);
    }
    if (confinement.warning[0] != '\0') {
        complain(name, "warning: %s", confinement.warning);
    }
    return answer_line(name, "The configuration is good.");
}

/* Makes the server with its log and its transcript. */
static enum tlsmsg_code prepare(struct program *program, struct tlsmsg_error *err)
{
    const struct server_settings *settings = &program->settings;
    struct tlsmsg_handler handler = {.size = sizeof(handler), .user = program, .event = on_event};
    struct text_style style = {.phrases = settings->phrases,
                               .raw = app_raw_text && !isatty(STDOUT_FILENO),
                               .drops_line_end = app_drops_line_end};
    enum tlsmsg_code code;

    if (settings->quiet) {
        return tlsmsg_server_new(settings->options, &handler, &program->server, err);
    }
    handler.connected = on_connected;
    handler.message = on_message;
    handler.closed = on_closed;
    handler.turn_end = on_turn_end;
    code = journal_init(&program->journal, STDOUT_FILENO, err);
    if (code == TLSMSG_OK) {
        transcript_init(&program->transcript, &program->journal, settings->format, &style);
        code = tlsmsg_server_new(settings->options, &handler, &program->server, err);
    }
    if (code == TLSMSG_OK) {
        code = transcript_set_workers(&program->transcript, tlsmsg_server_workers(program->server),
                                      err);
    }
    return code;
}

/* Hands over the sockets that a service manager has passed. */
static enum tlsmsg_code take_sockets(const struct program *program, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = TLSMSG_OK;
    unsigned i;

    for (i = 0; i < program->service.passed_sockets && code == TLSMSG_OK; i++) {
        code =
            tlsmsg_options_add_listener(program->settings.options, SERVICE_FIRST_FD + (int)i, err);
    }
    return code;
}

/* The server has duplicates. These would keep the sockets open when it closes them. */
static void close_sockets(const struct program *program)
{
    unsigned i;

    for (i = 0; i < program->service.passed_sockets; i++) {
        (void)close(SERVICE_FIRST_FD + (int)i);
    }
}

/* Gives up what serving does not need: all files and sockets are open, no worker runs yet. */
static enum tlsmsg_code confine(struct program *program, struct tlsmsg_error *err)
{
    const struct server_settings *settings = &program->settings;
    struct confinement confinement;
    struct tlsmsg_event event = {.cause = TLSMSG_CAUSE_OTHER};
    enum tlsmsg_code code =
        confinement_enter(settings->user, &settings->sandbox, &confinement, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    event.level = TLSMSG_LOG_INFO;
    event.text = confinement.held;
    log_event(&program->log, &event);
    if (confinement.warning[0] != '\0') {
        event.level = TLSMSG_LOG_WARNING;
        event.text = confinement.warning;
        log_event(&program->log, &event);
    }
    return TLSMSG_OK;
}

/* Tells where it listens and starts the workers. */
static enum exit_code begin(struct program *program)
{
    const struct server_settings *settings = &program->settings;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (signals_open(&program->signal_fd, &err) != TLSMSG_OK) {
        return fail(&err);
    }
    if (!settings->quiet && !transcript_begin(&program->transcript, program->server)) {
        complain(name, "cannot write the transcript: %s",
                 strerror(journal_cause(&program->journal)));
        return EXIT_OTHER;
    }
    /* Whoever waits for this line finds the transcript begun. */
    listening_tell(&settings->listening, name, program->server);
    if (tlsmsg_server_start(program->server, &err) != TLSMSG_OK) {
        return fail(&err);
    }
    return EXIT_DONE;
}

static enum exit_code serve(struct program *program)
{
    const struct server_settings *settings = &program->settings;
    struct control control = {
        .program = name,
        .options = settings->options,
        .transcript = settings->quiet ? NULL : &program->transcript,
        .log = &program->log,
        .service = &program->service,
        .metrics_file = settings->metrics_file,
        .drain_ms = tlsmsg_options_number(settings->options, TLSMSG_OPT_DRAIN_TIMEOUT)};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum exit_code code;
    unsigned worker;

    if (confinement_check(settings->user, &err) != TLSMSG_OK ||
        take_sockets(program, &err) != TLSMSG_OK || prepare(program, &err) != TLSMSG_OK) {
        return fail(&err);
    }
    close_sockets(program);
    if (confine(program, &err) != TLSMSG_OK) {
        return fail(&err);
    }
    /* From here on nobody sits at the terminal, and a reload must not wait for an answer. */
    tlsmsg_options_set_ask_password(settings->options, NULL, NULL);
    code = begin(program);
    if (code != EXIT_DONE) {
        return code;
    }
    control.server = program->server;
    control.signal_fd = program->signal_fd;
    code = control_run(&control) ? EXIT_DONE : EXIT_OTHER;
    for (worker = 0; worker < program->transcript.workers; worker++) {
        tell_left_out(program, worker);
    }
    return code;
}

static enum exit_code run(const struct server_settings *settings)
{
    struct program program = {.settings = *settings, .signal_fd = -1, .journal = {.wake_fd = -1}};
    enum exit_code code;

    log_init(&program.log, settings->log_level, settings->log_format);
    signals_prepare();
    service_open(&program.service);
    descriptors_raise_limit();
    code = serve(&program);
    tlsmsg_server_free(program.server);
    transcript_fini(&program.transcript);
    journal_fini(&program.journal);
    log_fini(&program.log);
    service_close(&program.service);
    if (program.signal_fd >= 0) {
        (void)close(program.signal_fd);
    }
    return code;
}

int main(int argc, char **argv)
{
    struct server_settings settings;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum exit_code code;
    int asked = ARGUMENT_NONE;

    descriptors_prepare();
    if (server_settings_init(&settings, &err) != TLSMSG_OK ||
        arguments_parse(&server_arguments, argc, argv, server_settings_take, &settings, &asked,
                        &err) != TLSMSG_OK) {
        code = fail(&err);
    } else if (asked != ARGUMENT_NONE) {
        code = answer_print(&server_arguments, asked);
    } else {
        if (terminal_can_ask()) {
            tlsmsg_options_set_ask_password(settings.options, terminal_ask_password, NULL);
        }
        code = settings.check ? check(&settings) : run(&settings);
    }
    server_settings_fini(&settings);
    return (int)code;
}
