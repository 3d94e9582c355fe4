/* CPU of the server's TLS per connection: SSL_new, handshake, one message and its reply (with the
 * ticket), close_notify, SSL_free. The same unit as the load program's handshake mode. */
#include "clock.h"
#include "memory.h"

#include <stdio.h>

static bool one(struct pair *p, const struct memory_options *o, bool resume)
{
    if (!pair_open(p, resume)) {
        return false;
    }
    if (resume && SSL_session_reused(p->client) != 1) {
        fputs("bench-memory: the session was not resumed\n", stderr);
        return false;
    }
    return pair_exchange(p, o->size, 0) && pair_close(p);
}

bool memory_handshakes(const struct pair_setting *s, const struct memory_options *o,
                       struct memory_result *out)
{
    struct pair p;
    uint64_t begin_ns = clock_now_ns();
    uint64_t warm_ns = begin_ns + clock_seconds_ns(o->seconds / 5);
    uint64_t end_ns = warm_ns + clock_seconds_ns(o->seconds);
    uint64_t ns = 0;
    bool good;

    pair_init(&p, s);
    good = one(&p, o, false); /* brings the first session */
    while (good && clock_now_ns() < warm_ns) {
        good = one(&p, o, o->resume);
    }
    while (good && (out->units == 0 || clock_now_ns() < end_ns)) {
        good = one(&p, o, o->resume);
        ns += p.server_ns;
        out->units++;
    }
    pair_fini(&p);
    out->server_cpu_us_per_unit = out->units == 0 ? 0 : (double)ns / 1000.0 / (double)out->units;
    return good;
}
