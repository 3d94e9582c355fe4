/* A client inside libuv's loop, which can wait for other things, too. It uses a poll handle for the
 * connection's descriptor, and a timer for its deadline. Both are new for each wait, because any call
 * of the client may close the descriptor and open another one.
 *
 *   cc uv_client.c $(pkg-config --cflags --libs tlsmsg libuv) -o uv_client
 *   ./uv_client HOST:PORT QUESTION [CA.pem] */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tlsmsg/tlsmsg.h>
#include <uv.h>

enum phase { CONNECTING, SENDING, RECEIVING, DONE };

static struct tlsmsg_client *client;
static const char *question;
static struct tlsmsg_error err;
static int phase = CONNECTING;
static uv_timer_t deadline;

static void go_on(void);

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void on_ready(uv_poll_t *readiness, int status, int events)
{
    (void)status; /* what is wrong with the descriptor, the client's next call finds and names */
    (void)events;
    uv_close((uv_handle_t *)readiness, free_handle);
    (void)uv_timer_stop(&deadline);
    go_on();
}

static void on_deadline(uv_timer_t *timer)
{
    uv_poll_t *readiness = timer->data;

    uv_close((uv_handle_t *)readiness, free_handle);
    go_on();
}

/* Has the loop call when the client can go on. */
static void wait_for_more(uv_loop_t *loop)
{
    int wanted = tlsmsg_client_events(client);
    int timeout_ms = tlsmsg_client_timeout_ms(client);
    uv_poll_t *readiness = malloc(sizeof(*readiness));

    if (readiness == NULL || uv_poll_init(loop, readiness, tlsmsg_client_fd(client)) != 0) {
        abort();
    }
    (void)uv_poll_start(readiness,
                        ((wanted & POLLIN) != 0 ? UV_READABLE : 0) |
                            ((wanted & POLLOUT) != 0 ? UV_WRITABLE : 0),
                        on_ready);
    deadline.data = readiness;
    if (timeout_ms >= 0) {
        (void)uv_timer_start(&deadline, on_deadline, (uint64_t)timeout_ms, 0);
    }
}

static enum tlsmsg_client_result advance(void)
{
    const char *text;
    size_t len;
    enum tlsmsg_client_result result;

    if (phase == CONNECTING) {
        return tlsmsg_client_connect(client, &err);
    }
    if (phase == SENDING) {
        return tlsmsg_client_send(client, question, strlen(question), &err);
    }
    result = tlsmsg_client_receive(client, &text, &len, &err);
    if (result == TLSMSG_CLIENT_OK) {
        (void)printf("%.*s\n", (int)len, text);
    }
    return result;
}

static void go_on(void)
{
    enum tlsmsg_client_result result = TLSMSG_CLIENT_OK;

    while (phase != DONE && result == TLSMSG_CLIENT_OK) {
        result = advance();
        phase += result == TLSMSG_CLIENT_OK ? 1 : 0;
    }
    if (result == TLSMSG_CLIENT_AGAIN) {
        wait_for_more(deadline.loop);
    }
}

int main(int argc, char **argv)
{
    struct tlsmsg_options *options = NULL;

    if (argc >= 3 && tlsmsg_options_new(TLSMSG_ROLE_CLIENT, &options, &err) == TLSMSG_OK &&
        tlsmsg_options_set(options, TLSMSG_OPT_ADDRESS, argv[1], &err) == TLSMSG_OK &&
        (argc == 3 || tlsmsg_options_set(options, TLSMSG_OPT_CA, argv[3], &err) == TLSMSG_OK) &&
        tlsmsg_client_new(options, &client, &err) == TLSMSG_OK) {
        question = argv[2];
        tlsmsg_client_set_blocking(client, false);
        (void)uv_timer_init(uv_default_loop(), &deadline);
        go_on();
        (void)uv_run(uv_default_loop(), UV_RUN_DEFAULT);
        uv_close((uv_handle_t *)&deadline, NULL);
        (void)uv_run(uv_default_loop(), UV_RUN_DEFAULT);
        (void)uv_loop_close(uv_default_loop());
    }
    tlsmsg_client_free(client);
    tlsmsg_options_free(options);
    (void)fputs(err.code == TLSMSG_OK ? "" : err.text, stderr);
    return phase == DONE ? 0 : 1;
}
