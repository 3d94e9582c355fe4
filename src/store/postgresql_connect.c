#include "store/postgresql_connect.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"

/* What stands before dbname the string may overrule, what stands behind it not. */
static const char *const keys[] = {"connect_timeout",
                                   "tcp_user_timeout",
                                   "keepalives_idle",
                                   "keepalives_interval",
                                   "keepalives_count",
                                   "gssencmode",
                                   "fallback_application_name",
                                   "dbname",
                                   "target_session_attrs",
                                   "client_encoding",
                                   NULL};

struct pg_connecting {
    pthread_mutex_t lock;
    pthread_cond_t done;
    PGconn *connection;
    bool is_done;
    bool is_abandoned;
    bool reads;
    char target[];
};

static void free_connecting(struct pg_connecting *connecting)
{
    (void)pthread_cond_destroy(&connecting->done);
    (void)pthread_mutex_destroy(&connecting->lock);
    free(connecting);
}

static void *connect_thread(void *user)
{
    struct pg_connecting *connecting = user;
    const char *const values[] = {"10",
                                  "10000",
                                  "10",
                                  "5",
                                  "2",
                                  "disable",
                                  "tlsmsg",
                                  connecting->target,
                                  connecting->reads ? "any" : "read-write",
                                  "UTF8",
                                  NULL};
    PGconn *connection = PQconnectdbParams(keys, values, 1);
    bool is_abandoned;

    (void)pthread_mutex_lock(&connecting->lock);
    is_abandoned = connecting->is_abandoned;
    connecting->connection = connection;
    connecting->is_done = true;
    (void)pthread_cond_signal(&connecting->done);
    (void)pthread_mutex_unlock(&connecting->lock);
    if (is_abandoned) {
        PQfinish(connection);
        free_connecting(connecting);
    }
    return NULL;
}

/* Detached: nobody could wait for it when it is abandoned. Signals are the main thread's. */
static bool start(struct pg_connecting *connecting)
{
    pthread_attr_t detached;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    int failed;

    (void)pthread_attr_init(&detached);
    (void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread, &detached, connect_thread, connecting);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&detached);
    return failed == 0;
}

struct pg_connecting *pg_connecting_begin(const char *target, bool reads)
{
    size_t bytes = strlen(target) + 1;
    struct pg_connecting *connecting = calloc(1, sizeof(*connecting) + bytes);
    pthread_condattr_t monotonic;

    if (connecting == NULL) {
        return NULL;
    }
    memcpy(connecting->target, target, bytes);
    connecting->reads = reads;
    (void)pthread_mutex_init(&connecting->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&connecting->done, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (!start(connecting)) {
        free_connecting(connecting);
        return NULL;
    }
    return connecting;
}

PGconn *pg_connecting_wait(struct pg_connecting *connecting, int ms)
{
    int64_t until_ns = clock_now_ns() + (int64_t)ms * CLOCK_NS_PER_MS;
    const struct timespec until = {.tv_sec = (time_t)(until_ns / CLOCK_NS_PER_S),
                                   .tv_nsec = (long)(until_ns % CLOCK_NS_PER_S)};
    PGconn *connection;
    int late = 0;

    (void)pthread_mutex_lock(&connecting->lock);
    while (!connecting->is_done && late == 0) {
        late = pthread_cond_timedwait(&connecting->done, &connecting->lock, &until);
    }
    if (!connecting->is_done) {
        (void)pthread_mutex_unlock(&connecting->lock);
        return NULL;
    }
    connection = connecting->connection;
    (void)pthread_mutex_unlock(&connecting->lock);
    free_connecting(connecting);
    return connection;
}

void pg_connecting_abandon(struct pg_connecting *connecting)
{
    bool is_done;

    if (connecting == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&connecting->lock);
    connecting->is_abandoned = true;
    is_done = connecting->is_done;
    (void)pthread_mutex_unlock(&connecting->lock);
    if (is_done) {
        PQfinish(connecting->connection);
        free_connecting(connecting);
    }
}

enum tlsmsg_code pg_target_check(const char *target, struct tlsmsg_error *err)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(target, &message);
    const PQconninfoOption *option;
    bool is_good = options != NULL;

    if (options == NULL && message == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    /* A password with a bare '@' ends early, and its rest would be told as the host's name. */
    for (option = options; option != NULL && option->keyword != NULL; option++) {
        if (strcmp(option->keyword, "host") == 0 && option->val != NULL &&
            strchr(option->val, '@') != NULL) {
            is_good = false;
        }
    }
    PQconninfoFree(options);
    PQfreemem(message);
    return is_good
               ? TLSMSG_OK
               : error_set(err, TLSMSG_ERR_CONFIG, 0,
                           "--store: what follows postgresql:// is not a connection string of "
                           "libpq (not shown, for it may hold a password; try: "
                           "postgresql://USER@HOST/DATABASE, with %%40 for an @ in a password)");
}
