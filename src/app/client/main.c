/* tlsmsg-client: connects, talks, closes, and turns what happened into an exit code.
 *
 * Owns the order of things; the conversation itself is session.c's. One thread. */
#include <stdio.h>
#include <unistd.h>

#include <tlsmsg/tlsmsg.h>

#include "app/client/keeping.h"
#include "app/client/options.h"
#include "app/client/report.h"
#include "app/client/rest.h"
#include "app/client/session.h"
#include "app/client/stream.h"
#include "app/config_file.h"
#include "app/signals.h"
#include "app/startup.h"
#include "app/terminal.h"
#include "base/build.h"

#define SPOOL_LINE_MAX_BYTES ((size_t)64 * 1024 * 1024) /* more than any server takes */

static const char *const name = "tlsmsg-client";

static enum exit_code fail(const struct tlsmsg_error *err, enum exit_phase phase)
{
    startup_warn(name, "%s", err->text);
    return exit_code_for(err->code, phase);
}

/* What was typed meanwhile was meant for the server. */
static enum exit_code fail_to_connect(const struct client_settings *settings,
                                      const struct tlsmsg_error *err)
{
    enum exit_code code;

    if (err->code == TLSMSG_ERR_KEY_CHANGED && isatty(STDERR_FILENO) == 1) {
        (void)fputs(settings->phrases->key_changed, stderr);
    }
    code = fail(err, EXIT_WHILE_CONNECTING);
    if (settings->message_count == 0 && terminal_discard_input()) {
        startup_warn(name, "nothing was sent (what was typed was discarded)");
    }
    return code;
}

static enum exit_code talk(const struct client_settings *settings, struct session *session)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum exit_code code;

    /* The session waits by itself, for signals too. */
    tlsmsg_client_set_blocking(session->client, false);
    if (session->delivery != NULL && (session->input == NULL || !session->input->is_terminal)) {
        code = stream_run(session, settings->messages, settings->message_count);
    } else {
        code = session->spooling != NULL ? stream_catch_up(session) : EXIT_DONE;
        if (code == EXIT_DONE) {
            code = session->input != NULL
                       ? session_talk(session)
                       : session_send(session, settings->messages, settings->message_count);
        }
    }
    tlsmsg_client_set_blocking(session->client, true);
    /* A refusal of our certificate can come as late as this (TLS 1.3). */
    if (tlsmsg_client_close(session->client, &err) == TLSMSG_CLIENT_ERROR &&
        (code == EXIT_DONE || code == EXIT_OTHER)) {
        code = fail(&err, EXIT_WHILE_TALKING);
    }
    rest_end(session, code);
    return keeping_end(session, code);
}

/* Talks over a connection that is there. */
static enum exit_code converse(const struct client_settings *settings, struct session *session)
{
    const struct console_style style = {.phrases = settings->phrases,
                                        .quiet = settings->quiet,
                                        .raw_text = BUILD_TEXT_IS_RAW,
                                        .json = settings->as_json};
    size_t line_max = session->spooling != NULL   ? SPOOL_LINE_MAX_BYTES
                      : session->delivery != NULL ? (size_t)session->delivery->max
                                                  : (size_t)BUILD_LINE_MAX_BYTES;
    struct console console;
    struct input input;
    enum exit_code code;

    console_init(&console, STDOUT_FILENO, &style);
    input_init(&input, STDIN_FILENO, line_max);
    /* cppcheck-suppress autoVariables ; both are taken out of it below */
    session->console = &console;
    session->input = settings->message_count > 0 ? NULL : &input;
    code = talk(settings, session);
    session->console = NULL;
    session->input = NULL;
    input_fini(&input);
    console_fini(&console);
    return code;
}

/* In tlsmsg/1 messages are kept until they are answered. With a spool the delivery connects. */
static enum exit_code deliver(const struct client_settings *settings, struct session *session)
{
    const struct delivery_style style = {.program = name,
                                         .retry_ms = settings->retry_ms,
                                         .retries_first = settings->retries_first,
                                         .producer = session->spooling != NULL
                                                         ? spooling_producer(session->spooling)
                                                         : settings->producer,
                                         .spooling = session->spooling,
                                         .greeted = keeping_greeted,
                                         .sent = session_sent,
                                         .answered = session_answered,
                                         .user = session};
    struct delivery delivery;
    enum exit_code code;

    delivery_init(&delivery, session->client, &style);
    /* cppcheck-suppress autoVariables ; it is taken out of it below */
    session->delivery = &delivery;
    code = session->spooling != NULL ? EXIT_DONE : delivery_greet(&delivery);
    if (code == EXIT_DONE) {
        code = converse(settings, session);
    } else {
        startup_warn(name, "%s", delivery.err.text);
        tlsmsg_client_set_blocking(session->client, true);
        (void)tlsmsg_client_close(session->client, NULL);
        (void)terminal_discard_input();
    }
    session->delivery = NULL;
    delivery_fini(&delivery);
    return code;
}

static enum exit_code meet(const struct client_settings *settings, struct tlsmsg_client *client,
                           struct spooling *spooling, int sigusr1_fd)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct session session = {.program = name,
                              .client = client,
                              .spooling = spooling,
                              .spool_path = settings->spool,
                              .options = settings->options,
                              .sigusr1_fd = sigusr1_fd,
                              .exit_is_message = settings->quiet && BUILD_HAS_TLS,
                              .is_whole = settings->producer != NULL,
                              .verbose = settings->verbose};
    const struct tlsmsg_tls *tls;

    if (spooling != NULL) {
        return tlsmsg_client_number_from(client, spooling_first(spooling), &err) == TLSMSG_OK
                   ? deliver(settings, &session)
                   : fail(&err, EXIT_WHILE_STARTING);
    }
    if (delivery_connect(name, client, settings->retries_first ? settings->retry_ms : 0, &err) !=
        TLSMSG_CLIENT_OK) {
        if (err.code == TLSMSG_ERR_NOT_NUMBERED) { /* the session works, so it is closed in order */
            (void)tlsmsg_client_close(client, NULL);
        }
        return fail_to_connect(settings, &err);
    }
    if (settings->verbose) {
        report_connection(name, client);
    } else if (!settings->quiet && isatty(STDERR_FILENO) == 1) {
        report_connected(name, client, settings->options, settings->phrases);
    }
    tls = tlsmsg_client_tls(client);
    if (tls != NULL && tls->protocol != NULL) {
        return deliver(settings, &session);
    }
    if (settings->need != NULL) {
        startup_warn(name, "%s: the server does not speak tlsmsg/1, which %s needs",
                     tlsmsg_client_address(client), settings->need);
        (void)tlsmsg_client_close(client, NULL);
        return EXIT_NO_CONNECTION;
    }
    return converse(settings, &session);
}

static enum exit_code run(const struct client_settings *settings, struct spooling *spooling,
                          int sigusr1_fd)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_client *client = NULL;
    const struct phrases *phrases = settings->phrases;
    enum exit_code code;

    if (terminal_can_ask()) {
        tlsmsg_options_set_ask_password(settings->options, terminal_ask_password, NULL);
        tlsmsg_options_set_confirm(settings->options, terminal_confirm, &phrases);
    }
    if (tlsmsg_client_new(settings->options, &client, &err) != TLSMSG_OK) {
        return fail(&err, EXIT_WHILE_STARTING);
    }
    for (size_t i = 0; tlsmsg_client_warning(client, i) != NULL; i++) {
        startup_warn(name, "warning: %s", tlsmsg_client_warning(client, i));
    }
    code = settings->probes ? report_probe(name, client, settings->options, settings->as_json)
                            : meet(settings, client, spooling, sigusr1_fd);
    tlsmsg_client_free(client);
    return code;
}

/* The spool numbers the messages, under a name of its own. */
static enum exit_code run_with_spool(const struct client_settings *settings, int sigusr1_fd)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct spooling *spooling = NULL;
    enum exit_code code;

    if (settings->spool == NULL) {
        return run(settings, NULL, sigusr1_fd);
    }
    if (spooling_open(settings->spool, &spooling, &err) != TLSMSG_OK) {
        startup_warn(name, "--spool: %s", err.text);
        return exit_code_for(err.code, EXIT_WHILE_STARTING);
    }
    code = tlsmsg_options_set(settings->options, TLSMSG_OPT_PRODUCER, spooling_producer(spooling),
                              &err) == TLSMSG_OK
               ? run(settings, spooling, sigusr1_fd)
               : fail(&err, EXIT_WHILE_STARTING);
    spooling_close(spooling);
    return code;
}

/* From before anything is asked at the terminal, whose mode a signal's default action would leave
 * behind. */
static enum exit_code run_with_sigusr1(const struct client_settings *settings)
{
    int sigusr1_fd = signals_open_for_client();
    enum exit_code code = run_with_spool(settings, sigusr1_fd);

    if (sigusr1_fd >= 0) {
        (void)close(sigusr1_fd);
    }
    return code;
}

int main(int argc, char **argv)
{
    struct client_settings settings;
    struct config_file config = {.is_read = false};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum exit_code code;
    int asked = ARGS_NONE;

    startup_descriptors();
    if (client_settings_init(&settings, &err) != TLSMSG_OK ||
        config_file_parse(&config, &client_options, argc, argv, client_settings_take, &settings,
                          &asked, &err) != TLSMSG_OK) {
        code = fail(&err, EXIT_WHILE_STARTING);
    } else if (asked != ARGS_NONE) {
        code = args_answer(&client_options, asked, settings.help_language == PHRASES_ZH);
    } else if (client_settings_check(&settings, &err) != TLSMSG_OK) {
        code = fail(&err, EXIT_WHILE_STARTING);
    } else {
        code = run_with_sigusr1(&settings);
    }
    client_settings_fini(&settings);
    config_file_fini(&config);
    return (int)code;
}
