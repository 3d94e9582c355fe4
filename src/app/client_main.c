/* tlsmsg-client: connects, talks, closes, and turns what happened into an exit code.
 *
 * Owns the order of things; the conversation itself is session.c's. One thread. */
#include <unistd.h>

#include <tlsmsg/tlsmsg.h>

#include "app/answer.h"
#include "app/build.h"
#include "app/client_arguments.h"
#include "app/complain.h"
#include "app/descriptors.h"
#include "app/exit_codes.h"
#include "app/facts.h"
#include "app/request.h"
#include "app/session.h"
#include "app/terminal.h"

static const char *const name = "tlsmsg-client";

static enum exit_code fail(const struct tlsmsg_error *err, enum exit_phase phase)
{
    complain(name, "%s", err->text);
    return exit_code_for(err->code, phase);
}

static enum exit_code talk(const struct client_settings *settings, struct tlsmsg_client *client,
                           int request_fd)
{
    struct console console;
    struct session session = {
        .program = name, .client = client, .console = &console, .request_fd = request_fd};
    struct input input;
    enum exit_code code;

    if (!console_init(&console, STDOUT_FILENO, settings->phrases, settings->quiet, app_raw_text)) {
        complain(name, "out of memory");
        return EXIT_OTHER;
    }
    if (settings->message_count > 0) {
        code = session_send(&session, settings->messages, settings->message_count);
    } else {
        input_init(&input, STDIN_FILENO, app_line_max_bytes);
        code = session_talk(&session, &input);
        input_fini(&input);
    }
    console_fini(&console);
    return code;
}

static enum exit_code converse(const struct client_settings *settings, struct tlsmsg_client *client,
                               int request_fd)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum exit_code code;

    if (tlsmsg_client_connect(client, &err) != TLSMSG_CLIENT_OK) {
        return fail(&err, EXIT_WHILE_CONNECTING);
    }
    if (settings->verbose) {
        facts_tell(name, client);
    }
    /* The session waits by itself, for requests too. */
    tlsmsg_client_set_blocking(client, false);
    code = talk(settings, client, request_fd);
    tlsmsg_client_set_blocking(client, true);
    /* A refusal of our certificate can come as late as this (TLS 1.3). */
    if (tlsmsg_client_close(client, &err) == TLSMSG_CLIENT_ERROR &&
        (code == EXIT_DONE || code == EXIT_OTHER)) {
        code = fail(&err, EXIT_WHILE_TALKING);
    }
    return code;
}

static enum exit_code run(const struct client_settings *settings, int request_fd)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_client *client = NULL;
    enum exit_code code;

    if (terminal_can_ask()) {
        tlsmsg_options_set_ask_password(settings->options, terminal_ask_password, NULL);
        tlsmsg_options_set_confirm(settings->options, terminal_confirm, NULL);
    }
    if (tlsmsg_client_new(settings->options, &client, &err) != TLSMSG_OK) {
        return fail(&err, EXIT_WHILE_STARTING);
    }
    for (size_t i = 0; tlsmsg_client_warning(client, i) != NULL; i++) {
        complain(name, "warning: %s", tlsmsg_client_warning(client, i));
    }
    code = settings->probes ? probe_run(name, client, &settings->probe)
                            : converse(settings, client, request_fd);
    tlsmsg_client_free(client);
    return code;
}

/* From before anything is asked at the terminal, whose mode a signal's default action would leave
 * behind. */
static enum exit_code run_with_requests(const struct client_settings *settings)
{
    int request_fd = request_open();
    enum exit_code code = run(settings, request_fd);

    if (request_fd >= 0) {
        (void)close(request_fd);
    }
    return code;
}

int main(int argc, char **argv)
{
    struct client_settings settings;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum exit_code code;
    int asked = ARGUMENT_NONE;

    descriptors_prepare();
    if (client_settings_init(&settings, &err) != TLSMSG_OK ||
        arguments_parse(&client_arguments, argc, argv, client_settings_take, &settings, &asked,
                        &err) != TLSMSG_OK) {
        code = fail(&err, EXIT_WHILE_STARTING);
    } else if (asked != ARGUMENT_NONE) {
        code = answer_print(&client_arguments, asked);
    } else if (client_settings_check(&settings, &err) != TLSMSG_OK) {
        code = fail(&err, EXIT_WHILE_STARTING);
    } else {
        code = run_with_requests(&settings);
    }
    client_settings_fini(&settings);
    return (int)code;
}
