#include "powercut/script.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/sha256.h"

static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    value = (value ^ value >> 27) * UINT64_C(0x94D049BB133111EB);
    return value ^ value >> 31;
}

const char *script_producer(unsigned producer)
{
    static const char *const names[SCRIPT_PRODUCERS + 1] = {"p0", "p1", "p2", "document"};

    return names[producer];
}

size_t script_body(unsigned producer, uint64_t seq, char body[SCRIPT_BODY_MAX])
{
    uint64_t random = mix(seq * 8 + producer + 1);
    size_t wanted =
        random % 16 == 0 ? 1000 + (size_t)(random >> 8) % 4500 : 20 + (size_t)(random >> 8) % 100;
    size_t len =
        (size_t)snprintf(body, SCRIPT_BODY_MAX, "%s %" PRIu64, script_producer(producer), seq);

    while (len < wanted) {
        body[len] = (char)('a' + mix(random + len) % 26);
        len++;
    }
    return len;
}

void script_hash(unsigned producer, uint64_t seq, unsigned char hash[SCRIPT_HASH_BYTES])
{
    char body[SCRIPT_BODY_MAX];

    if (!sha256(body, script_body(producer, seq, body), hash)) {
        abort();
    }
}
