/* Resolve: names to addresses, with a deadline that getaddrinfo(3) does not have.
 *
 * Owns a job that the asking thread and the thread that looks up share; whoever lets go of it
 * last frees it, so that neither needs the other to be alive. No cache, no state between calls.
 * Any thread. A thread and not getaddrinfo_a(3), which musl lacks and which can't be cancelled
 * either. */
#include "net/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/escape.h"

/* What a lookup gave. */
struct answer {
    int gai; /* 0 or an EAI_ value */
    int sys_errno;
    size_t count;
    struct address addresses[RESOLVE_MAX];
};

struct job {
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    unsigned refs;
    bool is_done;
    struct address_name name;
    struct answer answer;
};

static bool is_listed(const struct answer *answer, const struct addrinfo *info)
{
    size_t i;

    for (i = 0; i < answer->count; i++) {
        if (answer->addresses[i].len == info->ai_addrlen &&
            memcmp(&answer->addresses[i].socket, info->ai_addr, info->ai_addrlen) == 0) {
            return true;
        }
    }
    return false;
}

/* Asks getaddrinfo(3), which may block; each address is listed once. */
static void look_up(const struct address_name *name, int flags, struct answer *answer)
{
    struct addrinfo hints = {0};
    struct addrinfo *list = NULL;
    const struct addrinfo *info;
    char port[8];

    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV;
    (void)snprintf(port, sizeof(port), "%u", name->port);
    memset(answer, 0, sizeof(*answer));
    answer->gai = getaddrinfo(name->host, port, &hints, &list);
    if (answer->gai != 0) {
        answer->sys_errno = answer->gai == EAI_SYSTEM ? errno : 0;
        return;
    }
    for (info = list; info != NULL && answer->count < RESOLVE_MAX; info = info->ai_next) {
        if ((info->ai_family == AF_INET || info->ai_family == AF_INET6) &&
            !is_listed(answer, info)) {
            struct address *a = &answer->addresses[answer->count++];

            memcpy(&a->socket, info->ai_addr, info->ai_addrlen);
            a->len = info->ai_addrlen;
        }
    }
    if (list != NULL) {
        freeaddrinfo(list); /* musl's takes no NULL */
    }
    answer->gai = answer->count > 0 ? 0 : EAI_NONAME;
}

static struct job *job_new(const struct address_name *name)
{
    struct job *job = calloc(1, sizeof(*job));
    pthread_condattr_t attr;

    if (job == NULL) {
        return NULL;
    }
    if (pthread_condattr_init(&attr) != 0) {
        free(job);
        return NULL;
    }
    if (pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 ||
        pthread_cond_init(&job->ended, &attr) != 0) {
        (void)pthread_condattr_destroy(&attr);
        free(job);
        return NULL;
    }
    (void)pthread_condattr_destroy(&attr);
    if (pthread_mutex_init(&job->mutex, NULL) != 0) {
        (void)pthread_cond_destroy(&job->ended);
        free(job);
        return NULL;
    }
    job->refs = 1;
    job->name = *name;
    return job;
}

/* Lets go of one reference; the mutex is held and is released. */
static void job_unlock_unref(struct job *job)
{
    bool is_last = --job->refs == 0;

    (void)pthread_mutex_unlock(&job->mutex);
    if (is_last) {
        (void)pthread_mutex_destroy(&job->mutex);
        (void)pthread_cond_destroy(&job->ended);
        free(job);
    }
}

static void *job_run(void *arg)
{
    struct job *job = arg;
    struct answer answer;

    look_up(&job->name, 0, &answer); /* name is not written after the thread began */
    (void)pthread_mutex_lock(&job->mutex);
    job->answer = answer;
    job->is_done = true;
    (void)pthread_cond_signal(&job->ended);
    job_unlock_unref(job);
    return NULL;
}

/* Starts the detached thread, which takes a reference. Returns 0 or an errno value. */
static int job_start(struct job *job)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    int rc = pthread_attr_init(&attr);

    if (rc != 0) {
        return rc;
    }
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    job->refs++;
    /* Signals are the program's business: a thread of the library must not receive them. */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&thread, &attr, job_run, job);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    if (rc != 0) {
        job->refs--;
    }
    return rc;
}

/* Waits for the job's end with the mutex held. False: the deadline passed first. */
static bool job_wait(struct job *job, int64_t deadline_ns)
{
    struct timespec until;
    int rc = 0;

    until.tv_sec = (time_t)(deadline_ns / CLOCK_NS_PER_S);
    until.tv_nsec = (long)(deadline_ns % CLOCK_NS_PER_S);
    while (!job->is_done && rc != ETIMEDOUT) {
        rc = deadline_ns == 0 ? pthread_cond_wait(&job->ended, &job->mutex)
                              : pthread_cond_timedwait(&job->ended, &job->mutex, &until);
    }
    return job->is_done;
}

/* Copies an answer out, or says why there is none. */
static enum tlsmsg_code deliver(const struct answer *answer, const struct address_name *name,
                                struct address *out, size_t cap, size_t *count,
                                struct tlsmsg_error *err)
{
    char shown[ADDRESS_HOST_MAX];

    if (answer->gai == 0) {
        *count = answer->count < cap ? answer->count : cap;
        memcpy(out, answer->addresses, *count * sizeof(*out));
        return TLSMSG_OK;
    }
    if (answer->gai == EAI_MEMORY) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    (void)escape_name(shown, sizeof(shown), name->host);
    if (answer->gai == EAI_SYSTEM) {
        return error_set(err, TLSMSG_ERR_CONNECT, answer->sys_errno, "cannot look up '%s'", shown);
    }
    return error_set(err, TLSMSG_ERR_CONNECT, 0, "cannot look up '%s': %s", shown,
                     gai_strerror(answer->gai));
}

/* Looks a name up on a thread of its own and waits for it until the deadline. */
static enum tlsmsg_code look_up_within(const struct address_name *name, int64_t deadline_ns,
                                       struct answer *answer, struct tlsmsg_error *err)
{
    struct job *job = job_new(name);
    char shown[ADDRESS_HOST_MAX];
    bool is_done;
    int rc;

    if (job == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    rc = job_start(job);
    (void)pthread_mutex_lock(&job->mutex);
    if (rc != 0) {
        job_unlock_unref(job);
        return error_set(err, TLSMSG_ERR_SYSTEM, rc, "cannot start a thread to look up a name");
    }
    is_done = job_wait(job, deadline_ns);
    *answer = job->answer;
    job_unlock_unref(job);
    if (is_done) {
        return TLSMSG_OK;
    }
    return error_set(err, TLSMSG_ERR_TIMEOUT, 0, "cannot look up '%s': no answer in time",
                     escape_name(shown, sizeof(shown), name->host));
}

enum tlsmsg_code resolve_name(const struct address_name *name, int64_t deadline_ns,
                              struct address *out, size_t cap, size_t *count,
                              struct tlsmsg_error *err)
{
    struct answer answer = {0};
    enum tlsmsg_code code = TLSMSG_OK;

    *count = 0;
    if (address_is_literal(name->host)) {
        look_up(name, AI_NUMERICHOST, &answer);
    } else {
        code = look_up_within(name, deadline_ns, &answer, err);
    }
    if (code != TLSMSG_OK) {
        return code;
    }
    return deliver(&answer, name, out, cap, count, err);
}
