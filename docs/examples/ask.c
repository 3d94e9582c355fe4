/* A client that asks one question and prints the answer.
 *
 *   ask HOST:PORT QUESTION [CA.pem]
 *
 * Every call has a deadline: 10 seconds, unless TLSMSG_OPT_TIMEOUT is set. */
#include <stdio.h>
#include <string.h>

#include <tlsmsg/tlsmsg.h>

static enum tlsmsg_code ask(struct tlsmsg_client *client, const char *question,
                            struct tlsmsg_error *err)
{
    const char *answer;
    size_t len;

    /* Nothing of the question leaves before the server is verified. */
    if (tlsmsg_client_connect(client, err) == TLSMSG_CLIENT_OK &&
        tlsmsg_client_send(client, question, strlen(question), err) == TLSMSG_CLIENT_OK &&
        tlsmsg_client_receive(client, &answer, &len, err) == TLSMSG_CLIENT_OK) {
        (void)printf("%.*s\n", (int)len, answer);
        (void)tlsmsg_client_close(client, err);
    }
    return err->code;
}

int main(int argc, char **argv)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_options *options = NULL;
    struct tlsmsg_client *client = NULL;

    if (argc < 3) {
        (void)fprintf(stderr, "usage: ask HOST:PORT QUESTION [CA.pem]\n");
        return 2;
    }
    if (tlsmsg_options_new(TLSMSG_ROLE_CLIENT, &options, &err) == TLSMSG_OK &&
        tlsmsg_options_set(options, TLSMSG_OPT_ADDRESS, argv[1], &err) == TLSMSG_OK && argc > 3) {
        (void)tlsmsg_options_set(options, TLSMSG_OPT_CA, argv[3], &err);
    }
    if (err.code == TLSMSG_OK && tlsmsg_client_new(options, &client, &err) == TLSMSG_OK) {
        (void)ask(client, argv[2], &err);
    }
    tlsmsg_client_free(client);
    tlsmsg_options_free(options);
    if (err.code != TLSMSG_OK) {
        (void)fprintf(stderr, "ask: %s\n", err.text);
    }
    return err.code == TLSMSG_OK ? 0 : 1;
}
