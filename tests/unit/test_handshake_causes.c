/* Why a handshake failed is told under a cause of its own: the log's limits, the counters and the
 * operator's filters go by it. */
#include "support/unit.h"

#include <string.h>
#include <sys/socket.h>

#include "support/ends_identity.h"
#include "support/scene.h"

#define PATIENCE_MS 10000

static struct raw_peer peers[SCENE_PEERS];
static struct scene scene;

static const struct row {
    const char *name;
    bool strict;       /* the server requires a certificate, and the peer has none */
    const char *bytes; /* what is sent in place of a handshake; NULL: a handshake */
    size_t len;
    bool leaves; /* ... and shuts its writing side */
    enum tlsmsg_cause cause;
} rows[] = {
    {"not TLS", false, "hello\n", 6, false, TLSMSG_CAUSE_PLAINTEXT_PEER},
    {"HTTP", false, "GET / HTTP/1.0\r\n\r\n", 18, false, TLSMSG_CAUSE_PLAINTEXT_PEER},
    {"no certificate where one is required", true, NULL, 0, false, TLSMSG_CAUSE_REFUSED},
    {"a record of nonsense", false, "\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9, false,
     TLSMSG_CAUSE_HANDSHAKE},
    {"left in the middle", false, "\x16\x03\x01\x00", 4, true, TLSMSG_CAUSE_HANDSHAKE},
    {"left without a byte", false, "", 0, true, TLSMSG_CAUSE_PROBE},
};

static bool has_ended(struct scene *s)
{
    return s->server->workers[0].conversations == 0;
}

/* A peer that only sends the row's bytes. */
static void send_bytes(const struct row *row, struct tlsmsg_server *server)
{
    int fd = stepped_connect(server);

    assert_true(fd >= 0);
    if (row->len > 0) {
        assert_int_equal(send(fd, row->bytes, row->len, MSG_NOSIGNAL), row->len);
    }
    if (row->leaves) {
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
    }
    assert_true(scene_enter(&scene, fd));
    peers[0].most = 0; /* its own handshake never leaves */
}

static void test_cause(void **state)
{
    static scene_step *const steps[] = {has_ended};
    const struct row *row = *state;
    struct tlsmsg_options *o = NULL;
    struct tlsmsg_server *server;

    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_ACCEPT, "0", NULL), TLSMSG_OK);
    ends_identity_of_server(o, row->strict);
    server = stepped_server_new(o, scene_handler());
    assert_non_null(server);
    scene_begin(&scene, server, peers);
    if (row->bytes != NULL) {
        send_bytes(row, server);
    } else {
        assert_true(scene_enter(&scene, -1));
    }
    assert_int_equal(scene_play(&scene, steps, COUNT_OF(steps), PATIENCE_MS), STEPPED_ENDED);
    for (int cause = 0; cause < TLSMSG_CAUSE_COUNT; cause++) {
        assert_int_equal(scene.events[cause], cause == (int)row->cause ? 1 : 0);
    }
    assert_int_equal(scene.ends[TLSMSG_CLOSE_HANDSHAKE], 1);
    assert_int_equal(scene.closed, 1);
    scene_finish(&scene);
    stepped_server_free(server);
}

int main(void)
{
    int failed = 0;

    (void)scene_setup(NULL);
    RUN_ROWS(failed, test_cause, rows);
    (void)scene_teardown(NULL);
    return failed;
}
