/* The public server: made from options, started, waited for, stopped, reloaded, freed. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/wake.h"
#include "net/socket.h"
#include "server/deferred.h"
#include "server/internal.h"
#include "server/limits.h"
#include "server/stats.h"
#include "server/worker.h"

#define WORKERS_MAX 1024
/* Descriptors that connections must leave free: standard ones, listeners, loops, files of a reload. */
#define DESCRIPTORS_RESERVED 32

static void add_listener(struct tlsmsg_server *s, int fd, const struct address *bound)
{
    struct server_listener *listener = &s->listeners[s->listener_count++];

    listener->fd = fd;
    listener->bound = *bound;
    socket_keepalive(fd, s->settings.keepalive_ms);
    address_print(bound, listener->text, sizeof(listener->text));
}

static enum tlsmsg_code overlap(const char *text, const char *other, struct tlsmsg_error *err)
{
    tlsmsg_error_clear(err);
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "--listen %s overlaps %s, which this server listens on already (try: without "
                     "one of the two)",
                     text, other);
}

/* An address that is in use may be in use by ourselves. */
static enum tlsmsg_code name_overlap(const struct tlsmsg_server *s, const struct address *failed,
                                     enum tlsmsg_code code, struct tlsmsg_error *err)
{
    char text[ADDRESS_TEXT_MAX];

    for (size_t i = 0; err != NULL && err->sys_errno == EADDRINUSE && i < s->listener_count; i++) {
        if (address_overlaps(&s->listeners[i].bound, failed)) {
            address_print(failed, text, sizeof(text));
            return overlap(text, s->listeners[i].text, err);
        }
    }
    return code;
}

/* Opens the sockets of one --listen. */
static enum tlsmsg_code listen_on(struct tlsmsg_server *s, const char *text,
                                  struct tlsmsg_error *err)
{
    struct address_name name;
    struct address bound[LISTENERS_MAX];
    int fds[LISTENERS_MAX];
    size_t n = 0;
    enum tlsmsg_code code = address_parse_listen(text, "--listen", &name, err);

    if (code == TLSMSG_OK && s->listener_count == LISTENERS_MAX) {
        code =
            error_set(err, TLSMSG_ERR_CONFIG, 0, "more than %d listening sockets", LISTENERS_MAX);
    }
    if (code == TLSMSG_OK) {
        code = socket_listen(&name, fds, bound, LISTENERS_MAX - s->listener_count, &n, err);
    }
    if (code != TLSMSG_OK) {
        return code == TLSMSG_ERR_SYSTEM ? name_overlap(s, &bound[0], code, err) : code;
    }
    s->has_v4_alone |= strcmp(name.host, ADDRESS_ANY) == 0 && n == 1;
    for (size_t i = 0; i < n; i++) {
        add_listener(s, fds[i], &bound[i]);
    }
    return TLSMSG_OK;
}

/* Takes over the sockets that were handed to the options. */
static enum tlsmsg_code adopt_listeners(struct tlsmsg_server *s, struct tlsmsg_error *err)
{
    for (size_t i = 0; i < s->settings.listener_count; i++) {
        struct address bound;
        int fd = socket_adopt(s->settings.listeners[i], &bound, err);

        if (fd < 0) {
            return TLSMSG_ERR_SYSTEM;
        }
        add_listener(s, fd, &bound);
        s->listeners[i].passed = true;
    }
    return TLSMSG_OK;
}

static enum tlsmsg_code open_listeners(struct tlsmsg_server *s, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = adopt_listeners(s, err);

    for (size_t i = 0; i < s->settings.listen.count && code == TLSMSG_OK; i++) {
        code = listen_on(s, text_list_at(&s->settings.listen, i), err);
    }
    return code;
}

static enum tlsmsg_code make_workers(struct tlsmsg_server *s, struct tlsmsg_error *err)
{
    long wanted = (long)s->settings.workers;
    enum tlsmsg_code code = TLSMSG_OK;

    if (wanted == 0) {
        wanted = sysconf(_SC_NPROCESSORS_ONLN);
    }
    wanted = wanted < 1 ? 1 : wanted;
    wanted = wanted > WORKERS_MAX ? WORKERS_MAX : wanted;
    s->workers = calloc((size_t)wanted, sizeof(*s->workers));
    if (s->workers == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    while (s->worker_count < (unsigned)wanted && code == TLSMSG_OK) {
        code = worker_init(&s->workers[s->worker_count], s, s->worker_count, err);
        s->worker_count++;
    }
    atomic_store(&s->listening, s->worker_count);
    return code;
}

static enum tlsmsg_code check_role(const struct tlsmsg_options *options, struct tlsmsg_error *err)
{
    return options_role(options) == TLSMSG_ROLE_SERVER
               ? TLSMSG_OK
               : error_set(err, TLSMSG_ERR_CONFIG, 0, "these are a client's options");
}

/* Loads what the options name, for connections to come. */
static enum tlsmsg_code load(const struct tlsmsg_options *options, bool checks,
                             struct transport_config *previous, struct transport_config **out,
                             struct tlsmsg_error *err)
{
    struct tls_settings tls;

    options_tls(options, &tls);
    tls.checks = checks;
    tls.reloads = previous != NULL;
    return transport_config_new(&tls, previous, out, err);
}

/* What is overlapping can be seen without opening a socket, where addresses and no names are given. */
static enum tlsmsg_code check_listen(const struct text_list *listen, struct tlsmsg_error *err)
{
    struct address_name names[LISTENERS_MAX];
    enum tlsmsg_code code = TLSMSG_OK;

    for (size_t i = 0; i < listen->count && code == TLSMSG_OK; i++) {
        code = address_parse_listen(text_list_at(listen, i), "--listen", &names[i], err);
        for (size_t k = 0; k < i && code == TLSMSG_OK; k++) {
            if (address_names_overlap(&names[k], &names[i])) {
                code = overlap(text_list_at(listen, i), text_list_at(listen, k), err);
            }
        }
    }
    return code;
}

static void tell_warning(const struct tlsmsg_handler *handler, enum tlsmsg_cause cause,
                         const char *text)
{
    const struct tlsmsg_event event = {.level = TLSMSG_LOG_WARNING, .cause = cause, .text = text};

    if (handler != NULL && handler->event != NULL) {
        handler->event(&event, handler->user);
    }
}

/* What is worth knowing of a configuration that works. */
static void tell_warnings(const struct tlsmsg_handler *handler,
                          const struct transport_config *config)
{
    for (size_t i = 0; i < transport_config_warning_count(config); i++) {
        tell_warning(handler, TLSMSG_CAUSE_CERTIFICATE, transport_config_warning(config, i));
    }
}

/* A limit that can't act leaves nothing for a reload to open files with. */
static void tell_descriptors(const struct tlsmsg_server *server)
{
    uint64_t allowed = limits_allowed(DESCRIPTORS_RESERVED);
    char text[320];

    if (server->settings.max_connections > allowed) {
        (void)snprintf(text, sizeof(text),
                       "--max-connections %" PRIu64 " is more than the %" PRIu64
                       " that this process's file descriptors allow: when they are used up, a "
                       "reload fails, too (try: a higher LimitNOFILE= or ulimit -n, or a lower "
                       "--max-connections)",
                       server->settings.max_connections, allowed);
        tell_warning(&server->handler, TLSMSG_CAUSE_DESCRIPTORS, text);
    }
}

/* A size that is promised, and can never be held. */
static void tell_sizes(const struct tlsmsg_handler *handler, const struct server_settings *settings)
{
    char text[320];

    if (settings->max_message_bytes > settings->max_buffered_bytes) {
        (void)snprintf(text, sizeof(text),
                       "--max-message %zu is more than --max-buffered %zu, the memory for all "
                       "messages together: a message over that is always refused as busy (try: "
                       "--max-buffered %zu)",
                       settings->max_message_bytes, settings->max_buffered_bytes,
                       4 * settings->max_message_bytes);
        tell_warning(handler, TLSMSG_CAUSE_LIMIT, text);
    }
}

enum tlsmsg_code tlsmsg_server_check(const struct tlsmsg_options *options,
                                     const struct tlsmsg_handler *handler, struct tlsmsg_error *err)
{
    struct transport_config *config = NULL;
    struct server_settings settings;
    enum tlsmsg_code code = check_role(options, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    options_server(options, &settings);
    if (settings.listen.count > LISTENERS_MAX) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0, "more than %d listening sockets",
                         LISTENERS_MAX);
    }
    code = check_listen(&settings.listen, err);
    if (code == TLSMSG_OK) {
        code = load(options, true, NULL, &config, err);
    }
    if (code == TLSMSG_OK) {
        tell_warnings(handler, config);
        tell_sizes(handler, &settings);
    }
    transport_config_unref(config);
    return code;
}

static enum tlsmsg_code prepare(struct tlsmsg_server *s, const struct tlsmsg_options *options,
                                struct tlsmsg_error *err)
{
    enum tlsmsg_code code = check_role(options, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    s->options = options_copy(options);
    if (s->options == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    options_server(s->options, &s->settings);
    code = limits_init(&s->limits, &s->settings, DESCRIPTORS_RESERVED, err);
    s->done_fd = wake_open();
    if (code == TLSMSG_OK && s->done_fd < 0) {
        code = error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot create an event descriptor");
    }
    if (code == TLSMSG_OK) {
        code = load(s->options, false, NULL, &s->config, err);
    }
    if (code == TLSMSG_OK) {
        code = open_listeners(s, err);
    }
    if (code == TLSMSG_OK) {
        code = make_workers(s, err);
    }
    return code;
}

/* Takes what the program's version of the structure has; the rest stays NULL. */
static enum tlsmsg_code copy_handler(struct tlsmsg_handler *to, const struct tlsmsg_handler *from,
                                     struct tlsmsg_error *err)
{
    if (from == NULL) {
        return TLSMSG_OK;
    }
    if (from->size < offsetof(struct tlsmsg_handler, listening)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "the handler's size is not set (sizeof(struct tlsmsg_handler))");
    }
    memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
    return TLSMSG_OK;
}

enum tlsmsg_code tlsmsg_server_new(const struct tlsmsg_options *options,
                                   const struct tlsmsg_handler *handler, struct tlsmsg_server **out,
                                   struct tlsmsg_error *err)
{
    struct tlsmsg_server *server = calloc(1, sizeof(*server));
    enum tlsmsg_code code;

    *out = NULL;
    if (server == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    server->done_fd = -1;
    (void)pthread_mutex_init(&server->config_lock, NULL);
    atomic_store(&server->next_id, 1);
    producers_init(&server->producers, PRODUCERS_MAX);
    code = copy_handler(&server->handler, handler, err);
    if (code == TLSMSG_OK) {
        code = prepare(server, options, err);
    }
    if (code != TLSMSG_OK) {
        tlsmsg_server_free(server);
        return code;
    }
    *out = server;
    return TLSMSG_OK;
}

const char *tlsmsg_server_address(const struct tlsmsg_server *server, size_t i)
{
    return i < server->listener_count ? server->listeners[i].text : NULL;
}

/* Starts the threads with all signals blocked: they are the program's, not the library's. */
static int start_threads(struct tlsmsg_server *s)
{
    sigset_t all;
    sigset_t before;
    int failed = 0;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    atomic_store(&s->running, s->worker_count);
    while (s->started < s->worker_count && failed == 0) {
        struct worker *w = &s->workers[s->started];

        failed = pthread_create(&w->thread, NULL, worker_run, w);
        if (failed == 0) {
            s->started++;
        }
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

enum tlsmsg_code tlsmsg_server_start(struct tlsmsg_server *server, struct tlsmsg_error *err)
{
    int failed;

    if (server->started > 0) {
        return error_set(err, TLSMSG_ERR_STATE, 0, "the server was started already");
    }
    for (size_t i = 0; i < server->listener_count && server->handler.listening != NULL; i++) {
        server->handler.listening(server->listeners[i].text, server->handler.user);
    }
    tell_warnings(&server->handler, server->config);
    tell_descriptors(server);
    tell_sizes(&server->handler, &server->settings);
    if (server->has_v4_alone) {
        tell_warning(&server->handler, TLSMSG_CAUSE_OTHER,
                     "this machine has no IPv6: --listen * is IPv4 alone");
    }
    failed = start_threads(server);
    if (failed != 0) {
        /* Those that never ran don't count, so that the others' end is the server's. */
        unsigned missing = server->worker_count - server->started;

        if (atomic_fetch_sub(&server->running, missing) == missing) {
            wake_raise(server->done_fd);
        }
        server_advance(server, SERVER_STOPPING);
        return error_set(err, TLSMSG_ERR_SYSTEM, failed, "cannot start a worker's thread");
    }
    return TLSMSG_OK;
}

enum tlsmsg_code tlsmsg_server_wait(struct tlsmsg_server *server, struct tlsmsg_error *err)
{
    for (unsigned i = 0; i < server->started; i++) {
        (void)pthread_join(server->workers[i].thread, NULL);
    }
    server->started = 0;
    if (atomic_load(&server->phase) == SERVER_FAILED) {
        return error_set(err, TLSMSG_ERR_CLOSED, 0, "the handler failed");
    }
    if (atomic_load(&server->undelivered)) {
        return error_set(err, TLSMSG_ERR_TIMEOUT, 0,
                         "a reply could not be delivered before the drain timeout");
    }
    return TLSMSG_OK;
}

int tlsmsg_server_done_fd(const struct tlsmsg_server *server)
{
    return server->done_fd;
}

void tlsmsg_server_stop(struct tlsmsg_server *server)
{
    server_advance(server, SERVER_STOPPING);
}

void tlsmsg_server_buffered(struct tlsmsg_server *server, int64_t delta)
{
    atomic_fetch_add_explicit(&server->elsewhere, (size_t)delta, memory_order_relaxed);
}

void tlsmsg_server_release(struct tlsmsg_server *server, unsigned worker, bool fail)
{
    if (worker < server->worker_count) {
        mailbox_post_release(&server->workers[worker].mailbox, fail);
        loop_wake(&server->workers[worker].loop);
    }
}

/* Posts something to the worker of a token. */
static enum tlsmsg_code post(struct tlsmsg_server *server, const struct posted *what)
{
    struct worker *w;
    enum tlsmsg_code code;

    if (what->token.worker >= server->worker_count) {
        return TLSMSG_OK;
    }
    w = &server->workers[what->token.worker];
    code = mailbox_post(&w->mailbox, what);
    if (code == TLSMSG_OK) {
        loop_wake(&w->loop);
    }
    return code;
}

enum tlsmsg_code tlsmsg_server_reply(struct tlsmsg_server *server, const struct tlsmsg_token *token,
                                     const void *data, size_t len)
{
    const struct posted what = {
        .kind = POSTED_REPLY, .token = *token, .data = (char *)(uintptr_t)data, .len = len};

    if (len > REPLY_MAX_BYTES && len > server->settings.max_message_bytes + NUMBERED_REPLY_EXTRA) {
        return TLSMSG_ERR_LIMIT;
    }
    return post(server, &what);
}

enum tlsmsg_code tlsmsg_server_refuse(struct tlsmsg_server *server,
                                      const struct tlsmsg_token *token, unsigned code)
{
    return post(server, &(struct posted){.kind = POSTED_REFUSAL, .token = *token, .code = code});
}

enum tlsmsg_code tlsmsg_server_hello(struct tlsmsg_server *server, const struct tlsmsg_token *token,
                                     uint64_t last, enum tlsmsg_promise promise)
{
    return post(
        server,
        &(struct posted){.kind = POSTED_HELLO, .token = *token, .last = last, .promise = promise});
}

enum tlsmsg_code tlsmsg_server_reload(struct tlsmsg_server *server,
                                      const struct tlsmsg_options *options,
                                      struct tlsmsg_error *err)
{
    unsigned generation;
    struct transport_config *previous;
    struct transport_config *fresh = NULL;
    struct transport_config *old;
    enum tlsmsg_code code = check_role(options, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    previous = server_config(server, &generation);
    code = load(options, false, previous, &fresh, err);
    transport_config_unref(previous);
    if (code != TLSMSG_OK) {
        return code;
    }
    tell_warnings(&server->handler, fresh);
    (void)pthread_mutex_lock(&server->config_lock);
    old = server->config;
    server->config = fresh;
    atomic_fetch_add_explicit(&server->config_generation, 1, memory_order_release);
    (void)pthread_mutex_unlock(&server->config_lock);
    transport_config_unref(old);
    return TLSMSG_OK;
}

void tlsmsg_server_stats(const struct tlsmsg_server *server, struct tlsmsg_stats *out)
{
    struct tlsmsg_stats sum = {.size = out->size < sizeof(sum) ? out->size : sizeof(sum)};

    for (unsigned i = 0; i < server->worker_count; i++) {
        stats_add(&server->workers[i].stats, &sum);
    }
    sum.buffered_bytes += atomic_load(&server->elsewhere) + producers_bytes(&server->producers);
    memcpy(out, &sum, sum.size);
}

/* The lock is the server's own, whatever the caller may see of it. */
static struct transport_config *current_config(const struct tlsmsg_server *server)
{
    unsigned generation;

    return server_config((struct tlsmsg_server *)(uintptr_t)server, &generation);
}

int64_t tlsmsg_server_expiry(const struct tlsmsg_server *server, enum tlsmsg_expiry what)
{
    struct transport_config *config = current_config(server);
    int64_t expiry = transport_config_expiry(config, what);

    transport_config_unref(config);
    return expiry;
}

static void tell_end(const char *text, void *user)
{
    const struct tlsmsg_server *server = user;

    tell_warning(&server->handler, TLSMSG_CAUSE_CERTIFICATE, text);
}

int64_t tlsmsg_server_tell_ends(const struct tlsmsg_server *server, int64_t since_unix_s)
{
    struct transport_config *config = current_config(server);
    int64_t next = transport_config_tell_ends(config, since_unix_s, (int64_t)time(NULL), tell_end,
                                              (struct tlsmsg_server *)(uintptr_t)server);

    transport_config_unref(config);
    return next;
}

unsigned tlsmsg_server_workers(const struct tlsmsg_server *server)
{
    return server->worker_count;
}

void tlsmsg_server_free(struct tlsmsg_server *server)
{
    if (server == NULL) {
        return;
    }
    for (unsigned i = 0; i < server->worker_count; i++) {
        worker_fini(&server->workers[i]);
    }
    free(server->workers);
    server_close_listeners(server);
    transport_config_unref(server->config);
    if (server->options != NULL) {
        limits_fini(&server->limits);
    }
    tlsmsg_options_free(server->options);
    if (server->done_fd >= 0) {
        (void)close(server->done_fd);
    }
    producers_fini(&server->producers);
    (void)pthread_mutex_destroy(&server->config_lock);
    free(server);
}
