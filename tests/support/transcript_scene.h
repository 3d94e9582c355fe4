/* A transcript into a small pipe, with messages, times and addresses of a test's own. Needs FAILMALLOC and
 * WRAP ${transcript_wraps} in tests/unit/app.cmake. One thread. */
#ifndef SUPPORT_TRANSCRIPT_SCENE_H
#define SUPPORT_TRANSCRIPT_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <netinet/in.h>

#include <tlsmsg/server.h>

#include "app/server/transcript.h"

#define SCENE_PIPE_BYTES 4096
#define SCENE_TIME "2026-11-22T15:00:00.123Z" /* the time of day until it is changed */

/* What the message is that comes; the server's addresses; and the clocks. */
extern struct scene_now {
    bool is_duplicate;
    const char *producer;
    uint64_t number;
    const struct tlsmsg_tls *tls; /* of its peer, which is a:1 on connection 1 */
    const char *addresses[3];
    struct timespec time_of_day;
    int64_t now_ns;
} scene_now;

struct fixture {
    struct stdout_writer writer;
    struct transcript transcript;
    int ends[2];
    unsigned released;
};

void scene_begin(struct fixture *f, enum transcript_format format);
void scene_end(struct fixture *f);

/* A message comes to a worker. */
void scene_say(struct fixture *f, unsigned worker, const char *data, size_t len);

/* What has come out so far, at most what the pipe has room for; NUL-terminated. */
const char *scene_out(struct fixture *f);

/* All that comes out, with the main thread's part between: its length. into: NULL, or where to put it, with
 * room for all of it. */
size_t scene_drain(struct fixture *f, char *into);

struct sockaddr_in scene_loopback(uint16_t port);

#endif
