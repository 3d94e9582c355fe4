/* A server with a reply of its own: it answers each message with its length.
 *
 *   server [CHAIN.pem KEY.pem]
 *
 * Listens on a free port of 127.0.0.1, prints it and serves one conversation. Without files it is
 * for the plaintext build of the library. */
#include <stdio.h>

#include <tlsmsg/tlsmsg.h>

/* Called on a worker's thread; it must not block. */
static void on_message(struct tlsmsg_message *message, void *user)
{
    struct iovec part;
    char reply[64];
    size_t len;
    int n;

    (void)user;
    (void)tlsmsg_message_data(message, &len);
    n = snprintf(reply, sizeof(reply), "that was %zu bytes", len);
    part = (struct iovec){.iov_base = reply, .iov_len = n > 0 ? (size_t)n : 0};
    (void)tlsmsg_message_reply(message, &part, 1);
}

int main(int argc, char **argv)
{
    struct tlsmsg_handler handler = {.size = sizeof(handler), .message = on_message};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_options *options = NULL;
    struct tlsmsg_server *server = NULL;

    /* The first cause stays in err, so one look at the end is enough. */
    if (tlsmsg_options_new(TLSMSG_ROLE_SERVER, &options, &err) == TLSMSG_OK &&
        tlsmsg_options_set(options, TLSMSG_OPT_LISTEN, "127.0.0.1:0", &err) == TLSMSG_OK &&
        tlsmsg_options_set(options, TLSMSG_OPT_ACCEPT, "1", &err) == TLSMSG_OK && argc == 3) {
        (void)tlsmsg_options_set(options, TLSMSG_OPT_CERT, argv[1], &err);
        (void)tlsmsg_options_set(options, TLSMSG_OPT_KEY, argv[2], &err);
    }
    if (err.code == TLSMSG_OK && tlsmsg_server_new(options, &handler, &server, &err) == TLSMSG_OK) {
        (void)printf("%s\n", tlsmsg_server_address(server, 0));
        (void)fflush(stdout);
        if (tlsmsg_server_start(server, &err) == TLSMSG_OK) {
            (void)tlsmsg_server_wait(server, &err);
        }
    }
    tlsmsg_server_free(server);
    tlsmsg_options_free(options);
    if (err.code != TLSMSG_OK) {
        (void)fprintf(stderr, "server: %s\n", err.text);
    }
    return err.code == TLSMSG_OK ? 0 : 1;
}
