/* Listening ports that the system chose are told, since nobody could connect otherwise.
 *
 * A name can stand for several addresses, so values and addresses don't match one to one: an
 * address is told unless its port is one that the user named. Main thread. */
#include "app/listening.h"

#include <stdlib.h>
#include <string.h>

#include "app/complain.h"

static uint16_t port_of(const char *address)
{
    const char *colon = strrchr(address, ':');

    return (uint16_t)strtoul(colon != NULL ? colon + 1 : address, NULL, 10);
}

void listening_note(struct listening *listening, const char *value)
{
    uint16_t port = port_of(value);

    if (port == 0) {
        listening->has_free = true;
    } else if (listening->fixed_count < LISTENING_MAX) {
        listening->fixed[listening->fixed_count++] = port;
    }
}

bool listening_is_chosen(const struct listening *listening, const char *address)
{
    uint16_t port = port_of(address);
    size_t i;

    for (i = 0; i < listening->fixed_count; i++) {
        if (listening->fixed[i] == port) {
            return false;
        }
    }
    return listening->has_free;
}

void listening_tell(const struct listening *listening, const char *program,
                    const struct tlsmsg_server *server)
{
    const char *address;
    size_t i;

    for (i = 0; (address = tlsmsg_server_address(server, i)) != NULL; i++) {
        if (listening_is_chosen(listening, address)) {
            complain(program, "listening on %s", address);
        }
    }
}
