/* Heap that a held connection costs the server in OpenSSL alone, after its handshake and one
 * message: the growth of its heap across the server's calls. */
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>

bool memory_held(const struct pair_setting *s, const struct memory_options *o,
                 struct memory_result *out)
{
    struct pair *pairs = calloc(o->connections, sizeof *pairs);
    uint64_t held_bytes = 0;
    uint32_t c;
    bool good = true;

    if (pairs == NULL) {
        fputs("bench-memory: out of memory\n", stderr);
        return false;
    }
    for (c = 0; c < o->connections; c++) {
        pair_init(&pairs[c], s);
    }
    for (c = 0; c < o->connections && good; c++) {
        good = pair_open(&pairs[c], false) && pair_exchange(&pairs[c], o->size, 0) &&
               pair_rest(&pairs[c]);
        if (c > 0) { /* the first one also allocates what is shared */
            held_bytes += pairs[c].server_bytes;
        }
    }
    for (c = 0; c < o->connections; c++) {
        pair_fini(&pairs[c]);
    }
    free(pairs);
    out->units = o->connections;
    out->kib_per_connection =
        o->connections < 2 ? 0 : (double)held_bytes / 1024.0 / (double)(o->connections - 1);
    return good;
}
