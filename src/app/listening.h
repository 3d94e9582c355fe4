/* Which listening ports were left to the system (port 0), and telling them. */
#ifndef APP_LISTENING_H
#define APP_LISTENING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tlsmsg/server.h>

#define LISTENING_MAX 64

struct listening {
    bool has_free; /* some --listen has port 0 */
    size_t fixed_count;
    uint16_t fixed[LISTENING_MAX]; /* ports that the user named */
};

/* Notes a --listen value that the library has taken. */
void listening_note(struct listening *listening, const char *value);

/* True when an address of the server has a port that the system chose. */
bool listening_is_chosen(const struct listening *listening, const char *address);

/* Tells each such address on stderr: "tlsmsg-server: listening on 127.0.0.1:40213". */
void listening_tell(const struct listening *listening, const char *program,
                    const struct tlsmsg_server *server);

#endif
