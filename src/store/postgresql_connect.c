#include "store/postgresql_connect.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"

/* The parameters that list something for each host. */
enum pg_list { HOST, ADDRESS, PORT, LISTS };

static const char *const list_keys[LISTS] = {"host", "hostaddr", "port"};

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
                                   "host",
                                   "hostaddr",
                                   "port",
                                   NULL};

struct pg_connecting {
    pthread_mutex_t lock;
    pthread_cond_t done;
    PGconn *connection;
    bool is_done;
    bool is_abandoned;
    bool reads;
    char *lists[LISTS];           /* in place of the string's; NULL: what that says */
    char engine[PG_ENGINE_CHARS]; /* that is no result; empty: all are */
    char target[];
};

static void free_lists(struct pg_connecting *connecting)
{
    size_t i;

    for (i = 0; i < LISTS; i++) {
        free(connecting->lists[i]);
        connecting->lists[i] = NULL;
    }
}

static void free_connecting(struct pg_connecting *connecting)
{
    free_lists(connecting);
    (void)pthread_cond_destroy(&connecting->done);
    (void)pthread_mutex_destroy(&connecting->lock);
    free(connecting);
}

/* Whether that engine answers, or one that can't be told from it. */
static bool is_engine(PGconn *connection, const char *engine)
{
    PGresult *result = PQexec(connection, "SELECT " PG_ENGINE);
    bool is_same =
        PQresultStatus(result) != PGRES_TUPLES_OK || strcmp(PQgetvalue(result, 0, 0), engine) == 0;

    PQclear(result);
    return is_same;
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
                                  connecting->lists[HOST],
                                  connecting->lists[ADDRESS],
                                  connecting->lists[PORT],
                                  NULL};
    PGconn *connection = PQconnectdbParams(keys, values, 1);
    bool is_abandoned;

    if (connecting->engine[0] != '\0' && is_engine(connection, connecting->engine)) {
        PQfinish(connection);
        connection = NULL;
    }
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

/* ---- the hosts but one */

/* Whether a list names this value for the n-th host. A list of one holds for all of them, and one
 * that isn't there says nothing against it. */
static bool names(const char *list, size_t n, const char *value)
{
    const char *entry = list;
    size_t len = strlen(value);

    for (; n > 0 && entry != NULL && strchr(list, ',') != NULL; n--) {
        entry = strchr(entry, ',');
        entry = entry != NULL ? entry + 1 : NULL;
    }
    return list == NULL || (entry != NULL && strncmp(entry, value, len) == 0 &&
                            (entry[len] == ',' || entry[len] == '\0'));
}

/* Takes the n-th of several entries out of a list; of one that is alone nothing is taken. */
static void drop_entry(char *list, size_t n)
{
    char *entry = list;
    char *next;

    if (list == NULL || strchr(list, ',') == NULL) {
        return;
    }
    for (; n > 0 && strchr(entry, ',') != NULL; n--) {
        entry = strchr(entry, ',') + 1;
    }
    next = strchr(entry, ',');
    if (next != NULL) {
        memmove(entry, next + 1, strlen(next + 1) + 1);
    } else {
        entry[-1] = '\0';
    }
}

static bool copy_lists(struct pg_connecting *connecting, PGconn *connection)
{
    PQconninfoOption *options = PQconninfo(connection);
    const PQconninfoOption *option;
    bool has_memory = options != NULL;
    size_t i;

    for (option = options; has_memory && option->keyword != NULL; option++) {
        for (i = 0; i < LISTS; i++) {
            if (option->val != NULL && strcmp(option->keyword, list_keys[i]) == 0) {
                connecting->lists[i] = strdup(option->val);
                has_memory = has_memory && connecting->lists[i] != NULL;
            }
        }
    }
    PQconninfoFree(options);
    return has_memory;
}

/* Leaves the connection's host out where the string has others. False: no memory. */
static bool leave_out(struct pg_connecting *connecting, PGconn *connection)
{
    char **lists = connecting->lists;
    const char *hosts;
    const char *host = PQhost(connection);
    size_t count = 1;
    size_t n = 0;
    size_t i;

    if (!copy_lists(connecting, connection)) {
        return false;
    }
    hosts = lists[HOST];
    if (lists[ADDRESS] != NULL) {
        hosts = lists[ADDRESS];
        host = PQhostaddr(connection);
    }
    for (i = 0; hosts != NULL && hosts[i] != '\0'; i++) {
        count += hosts[i] == ',';
    }
    while (n < count && !(names(hosts, n, host) && names(lists[PORT], n, PQport(connection)))) {
        n++;
    }
    if (count == 1 || n == count) {
        free_lists(connecting); /* the string as it is */
    }
    for (i = 0; i < LISTS; i++) {
        drop_entry(lists[i], n);
    }
    return true;
}

/* ---- connecting */

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

struct pg_connecting *pg_connecting_begin(const char *target, bool reads, const struct pg_but *but)
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
    if (but != NULL) {
        (void)snprintf(connecting->engine, sizeof(connecting->engine), "%s", but->engine);
    }
    if ((but != NULL && !leave_out(connecting, but->connection)) || !start(connecting)) {
        free_connecting(connecting);
        return NULL;
    }
    return connecting;
}

bool pg_connecting_wait(struct pg_connecting **connecting, int ms, PGconn **out)
{
    struct pg_connecting *made = *connecting;
    int64_t until_ns = clock_now_ns() + (int64_t)ms * CLOCK_NS_PER_MS;
    const struct timespec until = {.tv_sec = (time_t)(until_ns / CLOCK_NS_PER_S),
                                   .tv_nsec = (long)(until_ns % CLOCK_NS_PER_S)};
    bool is_done;
    int late = 0;

    (void)pthread_mutex_lock(&made->lock);
    while (!made->is_done && late == 0) {
        late = pthread_cond_timedwait(&made->done, &made->lock, &until);
    }
    is_done = made->is_done;
    (void)pthread_mutex_unlock(&made->lock);
    if (!is_done) {
        return false;
    }
    *out = made->connection;
    *connecting = NULL;
    free_connecting(made);
    return true;
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
