/* See scene.h. One scene is on at a time. */
#include "support/scene.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURNS_MAX 100000

static struct scene *on;

static void on_connected(const struct tlsmsg_peer *peer, unsigned worker, void *user)
{
    (void)peer;
    (void)worker;
    (void)user;
    on->connected++;
}

static void on_message(struct tlsmsg_message *message, void *user)
{
    uint64_t sender = tlsmsg_message_connection(message);

    (void)user;
    if (on->messages < SCENE_MESSAGES) {
        on->senders[on->messages] = sender;
    }
    on->messages++;
    if (sender == on->defer && on->token_count < SCENE_TOKENS &&
        tlsmsg_message_defer(message, &on->tokens[on->token_count]) == TLSMSG_OK) {
        on->token_count++;
    }
}

static void on_closed(const struct tlsmsg_closed *closed, unsigned worker, void *user)
{
    (void)worker;
    (void)user;
    on->closed++;
    on->ends[closed->how]++;
    on->last_how = closed->how;
}

static enum tlsmsg_turn on_turn_end(unsigned worker, void *user)
{
    (void)worker;
    (void)user;
    if (on->hold > 0) {
        on->hold--;
        on->holds++;
        return TLSMSG_TURN_HOLD;
    }
    return TLSMSG_TURN_RELEASE;
}

static void on_event(const struct tlsmsg_event *event, void *user)
{
    (void)user;
    if (on != NULL) {
        on->events[event->cause]++;
    }
}

const struct tlsmsg_handler *scene_handler(void)
{
    static const struct tlsmsg_handler handler = {
        .connected = on_connected,
        .message = on_message,
        .closed = on_closed,
        .turn_end = on_turn_end,
        .event = on_event,
    };

    return &handler;
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

size_t scene_queued(const struct scene *scene, unsigned peer)
{
    const struct worker *w = &stepped_inside(scene->server)->workers[0];

    for (uint32_t i = 0; i < w->slot_cap; i++) {
        const struct conversation *c = worker_find(w, i, peer + 1);

        if (c != NULL) {
            return c->out.len;
        }
    }
    return 0;
}

unsigned long scene_stride(void)
{
    const char *text = getenv("TLSMSG_TEST_STRIDE");
    unsigned long stride = text != NULL ? strtoul(text, NULL, 10) : 0;

    return stride > 0 ? stride : 1;
}
