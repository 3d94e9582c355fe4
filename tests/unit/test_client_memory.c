/* A client without memory, and what is left when it is freed. */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "support/unit.h"

#include "client/internal.h"
#include "support/client_ends.h"
#include "support/failmalloc.h"

static void await_arrival(const struct tlsmsg_client *client)
{
    struct pollfd entry = {.fd = tlsmsg_client_fd(client), .events = POLLIN};
    assert_int_equal(poll(&entry, 1, PEER_LIMIT_MS), 1);
}

static void talk_unasked(struct peer *peer)
{
    peer_handshake(peer);
    peer_say(peer, "news");
    peer_tell(peer);
    peer_await_cue(peer);
}

static void no_memory_to_receive_receive_queue_is_told(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, talk_unasked, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum tlsmsg_client_result result = TLSMSG_CLIENT_OK;
    char text[128];
    snprintf(text, sizeof(text), "%s: cannot keep what the server sent: out of memory",
             peer->address);
    peer_hear(peer);
    while (result == TLSMSG_CLIENT_OK && receive_queue_is_empty(&client->exchange.queue)) {
        await_arrival(client); /* under TLS a ticket may come first */
        failmalloc_at(1);
        result = tlsmsg_client_watch(client, &err);
        failmalloc_at(0);
    }
    assert_int_equal(result, TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_NOMEM);
    assert_string_equal(err.text, text);
    peer_cue(peer);
    ends_finish(client, peer);
}

struct client_scene {
    struct tlsmsg_options *options;
    struct tlsmsg_client *client;
    bool made;
};

static void scenario_new_client(void *state)
{
    struct client_scene *scene = state;
    struct tlsmsg_client *client = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum tlsmsg_code code = tlsmsg_client_new(scene->options, &client, &err);
    scene->made = code == TLSMSG_OK;
    assert_int_equal(client != NULL, scene->made);
    if (!scene->made) {
        assert_int_equal(code, TLSMSG_ERR_NOMEM);
        assert_int_equal(err.code, TLSMSG_ERR_NOMEM);
        assert_true(err.text[0] != '\0');
    }
    tlsmsg_client_free(client);
}

/* Whichever allocation fails: it is told, and nothing is left behind. */
static void every_failed_allocation_of_a_new_client(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct client_scene scene = {.options = ends_options(peer, 0)};
    long live = failmalloc_live();
    size_t n;
    for (n = 1; failmalloc_try(n, scenario_new_client, &scene); n++) {
        assert_false(scene.made);
        assert_int_equal(failmalloc_live(), live);
    }
    assert_true(scene.made);
    assert_true(n > 3);
    assert_int_equal(failmalloc_live(), live);
    tlsmsg_options_free(scene.options);
    peer_free(peer);
}

/* Connects as far as to its first words of the handshake, which nobody answers; plaintext has none. */
static void scenario_connect(void *state)
{
    struct client_scene *scene = state;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum tlsmsg_client_result result = TLSMSG_CLIENT_AGAIN;
    while (result == TLSMSG_CLIENT_AGAIN && scene->client->state != CLIENT_HANDSHAKE) {
        result = tlsmsg_client_connect(scene->client, &err);
    }
    scene->made = result != TLSMSG_CLIENT_ERROR;
    if (!scene->made) {
        assert_int_equal(err.code, TLSMSG_ERR_NOMEM);
        assert_non_null(strstr(err.text, "out of memory"));
    }
}

static void every_failed_allocation_while_connecting(void **state)
{
    (void)state;
    struct peer *peer = ends_peer();
    struct client_scene scene = {.made = false};
    size_t n = 1;
    bool failed = true;
    while (failed) {
        scene.client = ends_client(peer, 5000);
        tlsmsg_client_set_blocking(scene.client, false);
        failed = failmalloc_try(n++, scenario_connect, &scene);
        assert_int_equal(scene.made, !failed);
        tlsmsg_client_free(scene.client);
    }
    assert_true(n > 2);
    peer_free(peer);
}

/* What came unasked is freed with the client. */
static void nothing_is_left_of_what_was_never_received(void **state)
{
    (void)state;
    long live = failmalloc_live();
    struct peer *peer = ends_peer();
    struct tlsmsg_client *client = ends_connect(peer, talk_unasked, 5000);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    while (receive_queue_is_empty(&client->exchange.queue)) {
        await_arrival(client);
        assert_int_equal(tlsmsg_client_watch(client, &err), TLSMSG_CLIENT_OK);
    }
    peer_cue(peer);
    peer_finish(peer);
    peer_free(peer);
    tlsmsg_client_free(client);
    assert_int_equal(failmalloc_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_to_receive_receive_queue_is_told),
        cmocka_unit_test(every_failed_allocation_of_a_new_client),
        cmocka_unit_test(every_failed_allocation_while_connecting),
        cmocka_unit_test(nothing_is_left_of_what_was_never_received),
    };
    return cmocka_run_group_tests(tests, ends_setup, ends_teardown);
}
