/* See transcript_scene.h. */
#include "support/transcript_scene.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "support/unit.h"

struct scene_now scene_now;

static struct {
    const char *data;
    size_t len;
    unsigned worker;
} message_now;

const char *__wrap_tlsmsg_message_data(const struct tlsmsg_message *message, size_t *len);
unsigned __wrap_tlsmsg_message_worker(const struct tlsmsg_message *message);
const struct tlsmsg_peer *__wrap_tlsmsg_message_peer(const struct tlsmsg_message *message);
const char *__wrap_tlsmsg_message_producer(const struct tlsmsg_message *message);
uint64_t __wrap_tlsmsg_message_number(const struct tlsmsg_message *message);
bool __wrap_tlsmsg_message_is_duplicate(const struct tlsmsg_message *message);
const char *__wrap_tlsmsg_server_address(const struct tlsmsg_server *server, size_t i);
int64_t __wrap_clock_now_ns(void);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap___clock_gettime64(clockid_t clock, struct timespec *out);

const char *__wrap_tlsmsg_message_data(const struct tlsmsg_message *message, size_t *len)
{
    (void)message;
    *len = message_now.len;
    return message_now.data;
}

unsigned __wrap_tlsmsg_message_worker(const struct tlsmsg_message *message)
{
    (void)message;
    return message_now.worker;
}

const struct tlsmsg_peer *__wrap_tlsmsg_message_peer(const struct tlsmsg_message *message)
{
    static struct tlsmsg_peer peer = {.connection = 1, .address = "a:1"};

    (void)message;
    peer.tls = scene_now.tls;
    return &peer;
}

const char *__wrap_tlsmsg_message_producer(const struct tlsmsg_message *message)
{
    (void)message;
    return scene_now.producer;
}

uint64_t __wrap_tlsmsg_message_number(const struct tlsmsg_message *message)
{
    (void)message;
    return scene_now.number;
}

bool __wrap_tlsmsg_message_is_duplicate(const struct tlsmsg_message *message)
{
    (void)message;
    return scene_now.is_duplicate;
}

const char *__wrap_tlsmsg_server_address(const struct tlsmsg_server *server, size_t i)
{
    (void)server;
    return i < COUNT_OF(scene_now.addresses) ? scene_now.addresses[i] : NULL;
}

int64_t __wrap_clock_now_ns(void)
{
    return scene_now.now_ns;
}

/* Where time_t was widened, glibc's clock_gettime(2) has the second name. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    assert_int_equal(clock, CLOCK_REALTIME);
    *out = scene_now.time_of_day;
    return 0;
}

int __wrap___clock_gettime64(clockid_t clock, struct timespec *out)
{
    return __wrap_clock_gettime(clock, out);
}

static void release(unsigned worker, bool fail, void *user)
{
    struct fixture *f = user;

    (void)worker;
    f->released += !fail;
}

void scene_begin(struct fixture *f, enum transcript_format format)
{
    struct transcript_style style = {.phrases = phrases_get(1)};

    scene_now = (struct scene_now){.time_of_day = {.tv_sec = 1795359600, .tv_nsec = 123456789},
                                   .now_ns = INT64_C(1000000000000)};
    *f = (struct fixture){.ends = {-1, -1}};
    assert_int_equal(pipe(f->ends), 0);
    assert_int_equal(fcntl(f->ends[1], F_SETPIPE_SZ, SCENE_PIPE_BYTES), SCENE_PIPE_BYTES);
    assert_int_equal(fcntl(f->ends[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(stdout_writer_init(&f->writer, f->ends[1], NULL), TLSMSG_OK);
    transcript_init(&f->transcript, &f->writer, format, &style);
    assert_int_equal(transcript_set_workers(&f->transcript, 2, NULL), TLSMSG_OK);
}

void scene_end(struct fixture *f)
{
    transcript_fini(&f->transcript);
    stdout_writer_fini(&f->writer);
    (void)close(f->ends[0]);
    (void)close(f->ends[1]);
}

void scene_say(struct fixture *f, unsigned worker, const char *data, size_t len)
{
    message_now.data = data;
    message_now.len = len;
    message_now.worker = worker;
    transcript_message(&f->transcript, NULL);
}

static char out[SCENE_PIPE_BYTES + 1];

static size_t take_out(struct fixture *f)
{
    ssize_t n = read(f->ends[0], out, SCENE_PIPE_BYTES);

    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

const char *scene_out(struct fixture *f)
{
    (void)take_out(f);
    return out;
}

size_t scene_drain(struct fixture *f, char *into)
{
    size_t total = 0;
    int fd;

    for (;;) {
        bool waits = stdout_writer_continue(&f->writer, release, f, &fd);
        size_t n = take_out(f);

        if (into != NULL) {
            memcpy(into + total, out, n);
        }
        total += n;
        if (!waits && n == 0) {
            return total;
        }
    }
}

struct sockaddr_in scene_loopback(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
}
