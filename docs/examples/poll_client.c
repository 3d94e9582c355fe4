/* A client inside a poll loop, which could wait for other things, too. Each call is repeated until it
 * no longer returns TLSMSG_CLIENT_AGAIN.
 *
 *   poll_client HOST:PORT QUESTION [CA.pem] */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <tlsmsg/tlsmsg.h>

enum phase { CONNECTING, SENDING, RECEIVING, DONE };
static enum tlsmsg_client_result advance(struct tlsmsg_client *client, enum phase phase,
                                         const char *question, struct tlsmsg_error *err)
{
    enum tlsmsg_client_result result;
    const char *text;
    size_t len;

    if (phase == CONNECTING) {
        return tlsmsg_client_connect(client, err);
    }
    if (phase == SENDING) {
        return tlsmsg_client_send(client, question, strlen(question), err);
    }
    result = tlsmsg_client_receive(client, &text, &len, err);
    if (result == TLSMSG_CLIENT_OK) {
        (void)printf("%.*s\n", (int)len, text);
    }
    return result;
}

int main(int argc, char **argv)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_options *options = NULL;
    struct tlsmsg_client *client = NULL;
    enum tlsmsg_client_result result = TLSMSG_CLIENT_ERROR;
    int phase = CONNECTING;

    if (argc >= 3 && tlsmsg_options_new(TLSMSG_ROLE_CLIENT, &options, &err) == TLSMSG_OK &&
        tlsmsg_options_set(options, TLSMSG_OPT_ADDRESS, argv[1], &err) == TLSMSG_OK &&
        (argc == 3 || tlsmsg_options_set(options, TLSMSG_OPT_CA, argv[3], &err) == TLSMSG_OK) &&
        tlsmsg_client_new(options, &client, &err) == TLSMSG_OK) {
        tlsmsg_client_set_blocking(client, false);
        result = TLSMSG_CLIENT_OK;
    }
    while (phase != DONE && (result == TLSMSG_CLIENT_OK || result == TLSMSG_CLIENT_AGAIN)) {
        if (result == TLSMSG_CLIENT_AGAIN) {
            struct pollfd entry = {tlsmsg_client_fd(client), tlsmsg_client_events(client), 0};
            (void)poll(&entry, 1, tlsmsg_client_timeout_ms(client));
        }
        result = advance(client, (enum phase)phase, argv[2], &err);
        phase += result == TLSMSG_CLIENT_OK ? 1 : 0;
    }
    tlsmsg_client_free(client);
    tlsmsg_options_free(options);
    (void)fputs(err.code == TLSMSG_OK ? "" : err.text, stderr);
    return phase == DONE ? 0 : 1;
}
