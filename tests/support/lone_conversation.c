/* See lone_conversation.h. */
#include "support/lone_conversation.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/limits.h"
#include "server/messages.h"
#include "server/table.h"
#include "support/ends_identity.h"
#include "support/test_clock.h"
#include "support/unit.h"

struct lone lone;

/* --- the transport ---------------------------------------------------------------------------- */

enum tlsmsg_code __wrap_transport_new(struct transport_config *config, struct byte_source *src,
                                      const char *server_name, struct transport **out,
                                      struct tlsmsg_error *err);
void __wrap_transport_free(struct transport *t);
enum transport_result __wrap_transport_handshake(struct transport *t, struct tlsmsg_error *err);
enum transport_result __wrap_transport_recv(struct transport *t, void *buf, size_t cap, size_t *got,
                                            struct tlsmsg_error *err);
enum transport_result __wrap_transport_send(struct transport *t, const void *buf, size_t len,
                                            size_t *out, struct tlsmsg_error *err);
enum transport_result __wrap_transport_shutdown(struct transport *t, struct tlsmsg_error *err);
unsigned __wrap_transport_idle_records(const struct transport *t);
bool __wrap_transport_describe(struct transport *t, struct tlsmsg_tls *out);
bool __wrap_transport_heard(const struct transport *t);

static void fail_with(struct tlsmsg_error *err, enum tlsmsg_code code)
{
    err->code = code;
    (void)snprintf(err->text, sizeof(err->text), LONE_WORDS);
}

enum tlsmsg_code __wrap_transport_new(struct transport_config *config, struct byte_source *src,
                                      const char *server_name, struct transport **out,
                                      struct tlsmsg_error *err)
{
    assert_ptr_equal(config, lone.w->config);
    assert_ptr_equal(src, &lone.c->source.base);
    assert_null(server_name);
    if (lone.made != TLSMSG_OK) {
        fail_with(err, lone.made);
        return lone.made;
    }
    *out = (struct transport *)(void *)&lone.shaken;
    return TLSMSG_OK;
}

void __wrap_transport_free(struct transport *t)
{
    (void)t;
}

enum transport_result __wrap_transport_handshake(struct transport *t, struct tlsmsg_error *err)
{
    assert_non_null(t);
    lone.handshakes++;
    if (lone.shaken_code != TLSMSG_OK) {
        fail_with(err, lone.shaken_code);
    }
    return lone.shaken;
}

enum transport_result __wrap_transport_recv(struct transport *t, void *buf, size_t cap, size_t *got,
                                            struct tlsmsg_error *err)
{
    const enum transport_result result = lone.taken;

    (void)t;
    (void)cap;
    (void)err;
    lone.receives++;
    if (result == TRANSPORT_OK) {
        *(char *)buf = 'x';
        *got = 1;
        lone.taken = TRANSPORT_WANT_READ;
    }
    return result;
}

enum transport_result __wrap_transport_send(struct transport *t, const void *buf, size_t len,
                                            size_t *out, struct tlsmsg_error *err)
{
    (void)t;
    (void)buf;
    lone.sends++;
    *out = lone.sent == TRANSPORT_OK ? len : 0;
    if (lone.sent == TRANSPORT_ERROR) {
        fail_with(err, TLSMSG_ERR_PROTOCOL);
    }
    return lone.sent;
}

enum transport_result __wrap_transport_shutdown(struct transport *t, struct tlsmsg_error *err)
{
    (void)t;
    assert_null(err);
    lone.shutdowns++;
    return lone.shut;
}

unsigned __wrap_transport_idle_records(const struct transport *t)
{
    (void)t;
    return 0;
}

bool __wrap_transport_describe(struct transport *t, struct tlsmsg_tls *out)
{
    (void)t;
    memset(out, 0, sizeof(*out));
    out->identity = lone.identity;
    return lone.identity != NULL;
}

bool __wrap_transport_heard(const struct transport *t)
{
    (void)t;
    return lone.heard;
}

/* --- the flow --------------------------------------------------------------------------------- */

static void note(const char *what)
{
    size_t len = strlen(lone.asked);

    (void)snprintf(lone.asked + len, sizeof(lone.asked) - len, "%s ", what);
}

static struct verdict received(struct conversation *of, char *data, size_t len)
{
    (void)of;
    (void)data;
    assert_int_equal(len, 1);
    note("received");
    return lone.verdict;
}

static struct verdict ended(struct conversation *of)
{
    (void)of;
    note("ended");
    return (struct verdict){FINISH, TLSMSG_CLOSE_CLEAN};
}

static bool may_read(const struct conversation *of)
{
    (void)of;
    return lone.reads;
}

static size_t kept_bytes(const struct conversation *of)
{
    (void)of;
    return lone.kept;
}

static int64_t deadline(const struct conversation *of)
{
    (void)of;
    return lone.deadline_ns;
}

static struct verdict expired(struct conversation *of)
{
    (void)of;
    note("expired");
    return lone.verdict;
}

static struct verdict woken(struct conversation *of)
{
    (void)of;
    note("woken");
    return lone.verdict;
}

static struct verdict shed(struct conversation *of)
{
    (void)of;
    note("shed");
    return lone.verdict;
}

static struct verdict greeted(struct conversation *of, uint64_t last, enum tlsmsg_promise promise)
{
    (void)of;
    assert_int_equal(last, 5);
    assert_int_equal(promise, TLSMSG_PROMISE_DISK);
    note("greeted");
    return lone.verdict;
}

static struct verdict refused(struct conversation *of, uint64_t message, unsigned code)
{
    (void)of;
    assert_int_equal(message, 3);
    assert_int_equal(code, 507);
    note("refused");
    return lone.verdict;
}

static struct verdict taken_over(struct conversation *of)
{
    (void)of;
    note("taken_over");
    return lone.verdict;
}

static void decided(struct conversation *of)
{
    (void)of;
    note("decided");
}

static void farewell(struct conversation *of)
{
    note("farewell");
    assert_int_equal(messages_say(of, "bye", 3), TLSMSG_OK);
}

static void report(const struct conversation *of, struct tlsmsg_closed *closed)
{
    (void)of;
    note("report");
    closed->code = 409;
}

static void end(struct conversation *of)
{
    (void)of;
    note("end");
}

const struct flow lone_plain_flow = {.name = "plain", .received = received, .ended = ended};
const struct flow lone_full_flow = {
    .name = "full",
    .received = received,
    .ended = ended,
    .may_read = may_read,
    .kept_bytes = kept_bytes,
    .deadline = deadline,
    .expired = expired,
    .woken = woken,
    .shed = shed,
    .greeted = greeted,
    .refused = refused,
    .taken_over = taken_over,
    .decided = decided,
    .farewell = farewell,
    .report = report,
    .end = end,
};

/* --- the handler ------------------------------------------------------------------------------ */

static void tell(const char *text)
{
    size_t len = strlen(lone.told);

    (void)snprintf(lone.told + len, sizeof(lone.told) - len, "%s\n", text);
}

static void on_connected(const struct tlsmsg_peer *peer, unsigned worker, void *user)
{
    char line[128];

    assert_ptr_equal(user, lone.told);
    (void)snprintf(line, sizeof(line), "connected %d to %u", (int)peer->connection, worker);
    tell(line);
}

static void on_closed(const struct tlsmsg_closed *closed, unsigned worker, void *user)
{
    char line[128];

    assert_ptr_equal(user, lone.told);
    (void)snprintf(line, sizeof(line), "closed %d of %u: %s, %d messages, %d ms%s",
                   (int)closed->peer->connection, worker, tlsmsg_close_reason_name(closed->reason),
                   (int)closed->messages, (int)closed->duration_ms,
                   closed->heard ? "" : ", unheard");
    tell(line);
    assert_int_equal(closed->code, lone.c->flow == &lone_full_flow ? 409 : 0);
}

static void on_event(const struct tlsmsg_event *event, void *user)
{
    char line[256];

    assert_ptr_equal(user, lone.told);
    (void)snprintf(line, sizeof(line), "%d %s %d: %s", (int)event->level,
                   tlsmsg_cause_name(event->cause), (int)event->connection, event->text);
    tell(line);
}

/* --- the conversation -------------------------------------------------------------------------------- */

static const struct tlsmsg_handler handler = {
    .size = sizeof(handler),
    .connected = on_connected,
    .closed = on_closed,
    .event = on_event,
    .user = lone.told,
};

int lone_setup(void **state)
{
    test_clock_stop();
    return ends_identity_setup(state);
}

int lone_teardown(void **state)
{
    return ends_identity_teardown(state);
}

static void make_server(void)
{
    struct tlsmsg_options *o = NULL;

    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL), TLSMSG_OK);
    ends_identity_of_server(o, false);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, "127.0.0.1:0", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_WORKERS, "1", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_ACCEPT, "0", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_new(o, &handler, &lone.server, NULL), TLSMSG_OK);
    tlsmsg_options_free(o);
}

int lone_begin(void **state)
{
    static const struct address nobody = {.len = sizeof(struct sockaddr)};
    int pair[2];

    (void)state;
    lone = (struct lone){.taken = TRANSPORT_WANT_READ, .heard = true, .reads = true};
    make_server();
    lone.w = &lone.server->workers[0];
    lone.begun_ns = clock_now_ns();
    lone.w->now_ns = lone.begun_ns;
    lone.w->most_bytes = ITERATION_BYTES;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(limits_enter(&lone.server->limits, &nobody, lone.begun_ns), LIMIT_NONE);
    lone.other = pair[1];
    lone.c = table_add(lone.w, pair[0], &nobody, LONE_ID);
    assert_non_null(lone.c);
    return 0;
}

int lone_end(void **state)
{
    (void)state;
    (void)close(lone.other);
    tlsmsg_server_free(lone.server);
    return 0;
}

void lone_open(const struct flow *flow)
{
    conversation_step(lone.c, 0);
    assert_int_equal(lone.c->state, CONVERSATION_OPEN);
    lone.c->flow = flow;
    lone.receives = lone.sends = 0;
    lone.w->dirty = false;
    lone.told[0] = '\0';
    list_remove(&lone.c->in_requeued);
}

void lone_queue(const char *text, size_t released)
{
    assert_int_equal(buffer_append(&lone.c->out, text, strlen(text)), TLSMSG_OK);
    count(&lone.w->stats.queued_bytes, strlen(text));
    lone.c->released = released;
}

void lone_wait_ms(int64_t ms)
{
    test_clock_advance(ms);
    lone.w->now_ns = clock_now_ns();
}

void lone_expect_told(const char *text)
{
    assert_string_equal(lone.told, text);
    lone.told[0] = '\0';
}

void lone_expect_asked(const char *text)
{
    assert_string_equal(lone.asked, text);
    lone.asked[0] = '\0';
}
