/* See scene.h. One scene is on at a time. */
#include "support/scene.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/table.h"
#include "support/ends_identity.h"
#include "support/unit.h"

#define TURNS_MAX 100000

static struct scene *on;
static unsigned inside; /* functions of the handler that have not returned */

/* None of the handler's functions is called inside another. */
static void enter(void)
{
    assert_int_equal(inside, 0);
    inside++;
}

static void leave(void)
{
    if (on->leaves != NULL) {
        on->leaves();
    }
    inside--;
}

/* Adds to what was told; what there is no room for is left out. */
static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void tell(const char *format, ...)
{
    size_t len = strlen(on->told);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(on->told + len, sizeof(on->told) - len, format, args);
    va_end(args);
}

static void tell_end(const struct tlsmsg_closed *closed)
{
    tell("closed %" PRIu64 ": %s, %" PRIu64 " messages", closed->peer->connection,
         tlsmsg_close_reason_name(closed->reason), closed->messages);
    if (closed->duplicates > 0) {
        tell(", %" PRIu64 " duplicates", closed->duplicates);
    }
    if (closed->code != 0) {
        tell(", BYE %u", closed->code);
    }
    if (closed->producer != NULL) {
        tell(", of %s", closed->producer);
    }
    tell(closed->heard ? "\n" : ", unheard\n");
}

static void on_connected(const struct tlsmsg_peer *peer, unsigned worker, void *user)
{
    (void)peer;
    (void)worker;
    (void)user;
    enter();
    on->connected++;
    leave();
}

static void reply_as_by_default(struct tlsmsg_message *message)
{
    const struct server_settings *settings = &on->server->settings;
    size_t len;
    const char *data = tlsmsg_message_data(message, &len);
    const struct iovec parts[] = {
        {.iov_base = (void *)(uintptr_t)settings->reply_prefix,
         .iov_len = settings->reply_prefix_len},
        {.iov_base = (void *)(uintptr_t)data, .iov_len = len},
    };

    (void)tlsmsg_message_reply(message, parts, 2);
}

static void on_message(struct tlsmsg_message *message, void *user)
{
    uint64_t sender = tlsmsg_message_connection(message);

    tlsmsg_message_token(message, &on->last_message);
    (void)user;
    enter();
    if (on->messages < SCENE_MESSAGES) {
        on->senders[on->messages] = sender;
    }
    on->messages++;
    if (sender == on->defer && on->token_count < SCENE_TOKENS &&
        tlsmsg_message_defer(message, &on->tokens[on->token_count]) == TLSMSG_OK) {
        on->token_count++;
    } else if (on->replies_itself) {
        reply_as_by_default(message);
    }
    leave();
}

static void on_closed(const struct tlsmsg_closed *closed, unsigned worker, void *user)
{
    (void)worker;
    (void)user;
    enter();
    on->closed++;
    on->ends[closed->reason]++;
    on->last_how = closed->reason;
    tell_end(closed);
    leave();
}

static enum tlsmsg_turn on_turn_end(unsigned worker, void *user)
{
    enum tlsmsg_turn verdict = TLSMSG_TURN_RELEASE;

    (void)worker;
    (void)user;
    enter();
    if (on->turn_end != NULL) {
        (void)on->turn_end(on);
    }
    if (on->hold > 0) {
        on->hold--;
        on->holds++;
        verdict = TLSMSG_TURN_HOLD;
    }
    leave();
    return verdict;
}

static void on_event(const struct tlsmsg_event *event, void *user)
{
    static const char *const levels[] = {"error", "warning", "info", "debug"};

    (void)user;
    if (on != NULL) {
        enter();
        on->events[event->cause]++;
        tell("%s %s %" PRIu64 ": %s\n", levels[event->level], tlsmsg_cause_name(event->cause),
             event->connection, event->text);
        leave();
    }
}

const struct tlsmsg_handler *scene_handler(void)
{
    static const struct tlsmsg_handler handler = {
        .size = sizeof(handler),
        .connected = on_connected,
        .message = on_message,
        .closed = on_closed,
        .turn_end = on_turn_end,
        .event = on_event,
    };

    return &handler;
}

int scene_setup(void **state)
{
    raw_peer_setup();
    return ends_identity_setup(state);
}

int scene_teardown(void **state)
{
    raw_peer_teardown();
    return ends_identity_teardown(state);
}

static struct tlsmsg_server *new_server(const struct tlsmsg_handler *handler, int option,
                                        va_list pairs)
{
    struct tlsmsg_options *o = NULL;
    struct tlsmsg_server *server;

    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_ACCEPT, "0", NULL), TLSMSG_OK);
    for (int at = option; at != TLSMSG_OPT_COUNT; at = va_arg(pairs, int)) {
        const char *value = va_arg(pairs, const char *);

        assert_int_equal(tlsmsg_options_set(o, (enum tlsmsg_option)at, value, NULL), TLSMSG_OK);
    }
    ends_identity_of_server(o, false);
    server = stepped_server_new(o, handler);
    assert_non_null(server);
    return server;
}

struct tlsmsg_server *scene_server_new(enum tlsmsg_option option, ...)
{
    struct tlsmsg_server *server;
    va_list pairs;

    va_start(pairs, option);
    server = new_server(scene_handler(), (int)option, pairs);
    va_end(pairs);
    return server;
}

struct tlsmsg_server *scene_server_with(const struct tlsmsg_handler *handler,
                                        enum tlsmsg_option option, ...)
{
    struct tlsmsg_server *server;
    va_list pairs;

    va_start(pairs, option);
    server = new_server(handler, (int)option, pairs);
    va_end(pairs);
    return server;
}

void scene_init(struct scene *scene, struct tlsmsg_server *server, struct raw_peer *peers)
{
    memset(scene, 0, sizeof(*scene));
    scene->server = server;
    scene->peers = peers;
    on = scene;
}

void scene_fini(struct scene *scene)
{
    for (unsigned i = 0; i < scene->peer_count; i++) {
        raw_peer_fini(&scene->peers[i]);
    }
    scene->peer_count = 0;
    on = NULL;
}

void scene_begin(struct scene *scene, struct tlsmsg_server *server, struct raw_peer *peers)
{
    assert_true(stepped_begin(server));
    scene_init(scene, server, peers);
}

void scene_finish(struct scene *scene)
{
    const struct tlsmsg_server *s = scene->server;
    struct tlsmsg_stats stats = {.size = sizeof(stats)};

    tlsmsg_server_stats(scene->server, &stats);
    assert_int_equal(stats.open, 0);
    assert_int_equal(stats.handshaking, 0);
    assert_int_equal(stats.queued_bytes, 0);
    assert_int_equal(atomic_load(&s->limits.connections), 0);
    assert_int_equal(atomic_load(&s->limits.handshakes), 0);
    scene_fini(scene);
}

/* The worker waits: the peers move, then the play goes on. */
static bool act(void *user)
{
    struct scene *s = user;
    bool moved = s->always != NULL && s->always(s);

    for (unsigned i = 0; i < s->peer_count; i++) {
        moved = raw_peer_step(&s->peers[i]) || moved;
    }
    if (!moved && s->at < s->step_count && s->steps[s->at](s)) {
        s->at++;
        moved = true;
    }
    if (!moved && s->at == s->step_count) {
        s->at++; /* once */
        for (unsigned i = 0; i < s->peer_count; i++) {
            raw_peer_drop(&s->peers[i], false);
        }
        tlsmsg_server_stop(s->server);
        moved = true;
    }
    return (s->after != NULL && s->after(s)) || moved;
}

enum stepped_end scene_play(struct scene *scene, scene_step *const *steps, size_t count,
                            int patience_ms)
{
    scene->steps = steps;
    scene->step_count = count;
    scene->at = 0;
    return stepped_run(scene->server, act, scene, patience_ms, TURNS_MAX);
}

bool scene_enter(struct scene *scene, int fd)
{
    if (fd < 0) {
        fd = stepped_connect(scene->server);
    }
    if (fd < 0 || scene->peer_count == SCENE_PEERS) {
        return false;
    }
    raw_peer_init(&scene->peers[scene->peer_count++], fd, false);
    return true;
}

bool scene_enter_by_tcp(struct scene *scene)
{
    const struct sockaddr_in any = {.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int now = 1;
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int accepted;

    assert_int_equal(bind(listener, (const struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&bound, &len), 0);
    /* What is said leaves at once, also where the message before it was not acknowledged yet. */
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &now, sizeof(now)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&bound, len), 0);
    accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    (void)close(listener);
    assert_true(accepted >= 0);
    return stepped_adopt(scene->server, accepted) && scene_enter(scene, fd);
}

bool scene_say(struct raw_peer *p, const char *text)
{
    return raw_peer_say(p, text, strlen(text));
}

bool scene_heard(const struct raw_peer *p, const char *const *texts, size_t count)
{
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        const size_t prefix = strlen(SCENE_REPLY);
        const size_t len = strlen(texts[i]);

        if (p->heard - at < prefix + len || memcmp(p->in + at, SCENE_REPLY, prefix) != 0 ||
            memcmp(p->in + at + prefix, texts[i], len) != 0) {
            return false;
        }
        at += prefix + len;
    }
    return p->heard == at;
}

bool scene_is_over(const struct raw_peer *p)
{
    return p->fd < 0 || p->eof || p->lost || p->ended;
}

bool scene_release(struct scene *scene)
{
    if (scene->holds == 0) {
        return false;
    }
    scene->holds--;
    tlsmsg_server_release(scene->server, 0, false);
    return true;
}

bool scene_was_played(const struct scene *scene)
{
    return scene->at > scene->step_count;
}

bool scene_time_passes(struct scene *scene)
{
    int64_t now_ns = clock_now_ns();

    if (scene->waiting_since_ns == 0) {
        scene->waiting_since_ns = now_ns;
    }
    if (now_ns - scene->waiting_since_ns < scene->wait_ms * CLOCK_NS_PER_MS) {
        return false;
    }
    scene->waiting_since_ns = 0;
    return true;
}

bool scene_is_open(struct scene *scene)
{
    return scene->peers[0].open;
}

bool scene_cut(struct scene *scene)
{
    raw_peer_drop(&scene->peers[0], false);
    return true;
}

bool scene_stop(struct scene *scene)
{
    tlsmsg_server_stop(scene->server);
    return true;
}

bool scene_told_nothing(struct scene *scene)
{
    assert_int_equal(scene->closed, 0);
    assert_string_equal(scene->told, "");
    return true;
}

struct conversation *scene_conversation(const struct scene *scene, unsigned peer)
{
    const struct worker *w = &scene->server->workers[0];
    struct conversation *c = NULL;

    for (uint32_t i = 0; i < w->slot_cap && c == NULL; i++) {
        c = table_find(w, i, peer + 1);
    }
    return c;
}

size_t scene_queued(const struct scene *scene, unsigned peer)
{
    const struct conversation *c = scene_conversation(scene, peer);

    return c != NULL ? c->out.len : 0;
}

unsigned long scene_stride(void)
{
    const char *text = getenv("TLSMSG_TEST_STRIDE");
    unsigned long stride = text != NULL ? strtoul(text, NULL, 10) : 0;

    return stride > 0 ? stride : 1;
}
