/* Sends each line of stdin as a message, many at once, and counts the replies. The server keeps the
 * numbers under the producer's name: run again with the same lines, this continues where it was.
 *
 *   bulk HOST:PORT CA.pem PRODUCER <lines */
#include <stdio.h>
#include <string.h>

#include <tlsmsg/tlsmsg.h>

static char line[65536];

/* Receives the reply to the oldest message. */
static int receive(struct tlsmsg_client *client, struct tlsmsg_error *err)
{
    const char *reply;
    size_t len;

    return tlsmsg_client_receive(client, &reply, &len, err) == TLSMSG_CLIENT_OK;
}

static int send_line(struct tlsmsg_client *client, size_t len, struct tlsmsg_error *err)
{
    enum tlsmsg_client_result result;

    /* No more are taken before a reply was received. */
    while ((result = tlsmsg_client_send(client, line, len, err)) == TLSMSG_CLIENT_FULL) {
        if (!receive(client, err)) {
            return 0;
        }
    }
    return result == TLSMSG_CLIENT_OK;
}

static void send_all(struct tlsmsg_client *client, struct tlsmsg_error *err)
{
    const struct tlsmsg_greeting *hello = tlsmsg_client_hello(client);
    uint64_t known = hello != NULL ? hello->last : 0;
    uint64_t number = 0;
    int good = 1;

    /* The last one that the server has goes first, so that it can be compared. */
    if (known > 0 && tlsmsg_client_number_from(client, known, err) != TLSMSG_OK) {
        return;
    }
    while (good && fgets(line, sizeof(line), stdin) != NULL) {
        size_t len = strcspn(line, "\n");

        good = len == 0 || ++number < known || send_line(client, len, err);
    }
    while (good && tlsmsg_client_unanswered(client) > 0) {
        good = receive(client, err);
    }
    (void)printf("%llu answered\n", (unsigned long long)tlsmsg_client_reply_number(client));
}

int main(int argc, char **argv)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_options *options = NULL;
    struct tlsmsg_client *client = NULL;

    if (argc == 4 && tlsmsg_options_new(TLSMSG_ROLE_CLIENT, &options, &err) == TLSMSG_OK &&
        tlsmsg_options_set(options, TLSMSG_OPT_ADDRESS, argv[1], &err) == TLSMSG_OK &&
        tlsmsg_options_set(options, TLSMSG_OPT_CA, argv[2], &err) == TLSMSG_OK &&
        tlsmsg_options_set(options, TLSMSG_OPT_PRODUCER, argv[3], &err) == TLSMSG_OK &&
        tlsmsg_client_new(options, &client, &err) == TLSMSG_OK &&
        tlsmsg_client_connect(client, &err) == TLSMSG_CLIENT_OK &&
        tlsmsg_client_greet(client, &err) == TLSMSG_CLIENT_OK) {
        send_all(client, &err);
        (void)tlsmsg_client_close(client, NULL);
    }
    tlsmsg_client_free(client);
    tlsmsg_options_free(options);
    (void)fprintf(stderr, "%s%s", err.text, err.code == TLSMSG_OK ? "" : "\n");
    return argc == 4 && err.code == TLSMSG_OK ? 0 : 1;
}
