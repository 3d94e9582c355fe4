/* tlsmsg-client: connects, talks, closes, and turns what happened into an exit code.
 *
 * Owns the order of things; the conversation itself is session.c's. One thread. */
#include <stdio.h>
#include <unistd.h>

#include <tlsmsg/tlsmsg.h>

#include "app/client/options.h"
#include "app/client/report.h"
#include "app/client/session.h"
#include "app/config_file.h"
#include "app/signals.h"
#include "app/startup.h"
#include "app/terminal.h"
#include "base/build.h"

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
    code = session->input != NULL
               ? session_talk(session)
               : session_send(session, settings->messages, settings->message_count);
    tlsmsg_client_set_blocking(session->client, true);
    /* A refusal of our certificate can come as late as this (TLS 1.3). */
    if (tlsmsg_client_close(session->client, &err) == TLSMSG_CLIENT_ERROR &&
        (code == EXIT_DONE || code == EXIT_OTHER)) {
        code = fail(&err, EXIT_WHILE_TALKING);
    }
    session_end(session, code);
    return code;
}

static enum exit_code converse(const struct client_settings *settings, struct tlsmsg_client *client,
                               int sigusr1_fd)
{
    const struct console_style style = {.phrases = settings->phrases,
                                        .quiet = settings->quiet,
                                        .raw_text = BUILD_TEXT_IS_RAW,
                                        .json = settings->as_json};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct console console;
    struct input input;
    struct session session = {.program = name,
                              .client = client,
                              .console = &console,
                              /* cppcheck-suppress uninitvar ; its address alone is taken */
                              .input = settings->message_count > 0 ? NULL : &input,
                              .sigusr1_fd = sigusr1_fd,
                              .exit_is_message = settings->quiet && BUILD_HAS_TLS,
                              .verbose = settings->verbose};
    enum exit_code code;

    if (tlsmsg_client_connect(client, &err) != TLSMSG_CLIENT_OK) {
        return fail_to_connect(settings, &err);
    }
    if (settings->verbose) {
        report_connection(name, client);
    } else if (!settings->quiet && isatty(STDERR_FILENO) == 1) {
        report_connected(name, client, settings->options, settings->phrases);
    }
    console_init(&console, STDOUT_FILENO, &style);
    input_init(&input, STDIN_FILENO, (size_t)BUILD_LINE_MAX_BYTES);
    code = talk(settings, &session);
    input_fini(&input);
    console_fini(&console);
    return code;
}

static enum exit_code run(const struct client_settings *settings, int sigusr1_fd)
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
                            : converse(settings, client, sigusr1_fd);
    tlsmsg_client_free(client);
    return code;
}

/* From before anything is asked at the terminal, whose mode a signal's default action would leave
 * behind. */
static enum exit_code run_with_sigusr1(const struct client_settings *settings)
{
    int sigusr1_fd = signals_open_for_client();
    enum exit_code code = run(settings, sigusr1_fd);

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
