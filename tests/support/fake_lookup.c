/* Name lookups with known answers; see fake_lookup.h. */
#include "support/fake_lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX 128

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static bool is_blocked;
static unsigned lookups;
static unsigned lists;
static sigset_t last_mask;

static const char *known_name;
static const char *const *known_literals;
static size_t known_count;
static int known_gai;
static struct addrinfo nodes[NODES_MAX];
static struct sockaddr_storage storages[NODES_MAX];

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);
void __real_freeaddrinfo(struct addrinfo *list);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);
void __wrap_freeaddrinfo(struct addrinfo *list);

void fake_lookup_set(const char *name, const char *const *literals, size_t count, int gai)
{
    (void)pthread_mutex_lock(&mutex);
    known_name = name;
    known_literals = literals;
    known_count = count < NODES_MAX ? count : NODES_MAX;
    known_gai = gai;
    (void)pthread_mutex_unlock(&mutex);
}

static void set_blocked(bool blocked)
{
    (void)pthread_mutex_lock(&mutex);
    is_blocked = blocked;
    (void)pthread_cond_broadcast(&released);
    (void)pthread_mutex_unlock(&mutex);
}

void fake_lookup_block(void)
{
    set_blocked(true);
}

void fake_lookup_release(void)
{
    set_blocked(false);
}

unsigned fake_lookup_lists(void)
{
    unsigned n;

    (void)pthread_mutex_lock(&mutex);
    n = lists;
    (void)pthread_mutex_unlock(&mutex);
    return n;
}

unsigned fake_lookup_count(void)
{
    unsigned n;

    (void)pthread_mutex_lock(&mutex);
    n = lookups;
    (void)pthread_mutex_unlock(&mutex);
    return n;
}

sigset_t fake_lookup_mask(void)
{
    sigset_t mask;

    (void)pthread_mutex_lock(&mutex);
    mask = last_mask;
    (void)pthread_mutex_unlock(&mutex);
    return mask;
}

static void fill_node(struct addrinfo *node, struct sockaddr_storage *storage, const char *literal,
                      in_port_t port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)storage;

    memset(node, 0, sizeof(*node));
    memset(storage, 0, sizeof(*storage));
    node->ai_socktype = SOCK_STREAM;
    node->ai_addr = (struct sockaddr *)storage;
    if (inet_pton(AF_INET, literal, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = port;
        node->ai_family = AF_INET;
        node->ai_addrlen = sizeof(*v4);
    } else {
        memset(storage, 0, sizeof(*storage));
        (void)inet_pton(AF_INET6, literal, &v6->sin6_addr);
        v6->sin6_family = AF_INET6;
        v6->sin6_port = port;
        node->ai_family = AF_INET6;
        node->ai_addrlen = sizeof(*v6);
    }
}

/* With the mutex held. */
static int answer(const char *host, in_port_t port, struct addrinfo **out)
{
    size_t i;

    if (known_name == NULL || strcmp(host, known_name) != 0) {
        return EAI_NONAME;
    }
    if (known_gai != 0) {
        errno = EIO; /* tells of EAI_SYSTEM alone */
        return known_gai;
    }
    for (i = 0; i < known_count; i++) {
        fill_node(&nodes[i], &storages[i], known_literals[i], port);
        nodes[i].ai_next = i + 1 < known_count ? &nodes[i + 1] : NULL;
    }
    *out = known_count > 0 ? nodes : NULL;
    lists += known_count > 0;
    return 0;
}

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out)
{
    int gai;

    if ((hints->ai_flags & AI_NUMERICHOST) != 0) {
        return __real_getaddrinfo(host, service, hints, out);
    }
    if (hints->ai_socktype != SOCK_STREAM) {
        return EAI_SOCKTYPE; /* each address would come for each kind of socket */
    }
    (void)pthread_mutex_lock(&mutex);
    lookups++;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &last_mask);
    while (is_blocked) {
        (void)pthread_cond_wait(&released, &mutex);
    }
    gai = answer(host, htons((uint16_t)strtoul(service, NULL, 10)), out);
    (void)pthread_mutex_unlock(&mutex);
    return gai;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
    if (list != nodes) {
        __real_freeaddrinfo(list);
        return;
    }
    (void)pthread_mutex_lock(&mutex);
    lists--;
    (void)pthread_mutex_unlock(&mutex);
}
