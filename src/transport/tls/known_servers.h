/* The file of servers that were trusted on first use: a line "host:port sha256//... YYYY-MM-DD".
 *
 * Created 0600 and replaced whole, under a lock, so that two clients at once lose nothing. Empty
 * lines and lines that start with # are left alone. */
#ifndef TRANSPORT_TLS_KNOWN_SERVERS_H
#define TRANSPORT_TLS_KNOWN_SERVERS_H

#include <stddef.h>

#include <tlsmsg/error.h>

#include "transport/tls/pin.h"

#define KNOWN_DATE_MAX 16

enum known_answer {
    KNOWN_NOT,  /* no line about this server */
    KNOWN_SAME, /* recorded with this pin */
    KNOWN_OTHER /* recorded, with another pin only */
};

struct known_record {
    struct pin pin; /* with KNOWN_OTHER: the recorded one */
    char date[KNOWN_DATE_MAX];
};

/* Writes the default path, "$XDG_STATE_HOME/tlsmsg/known_servers" or below "$HOME/.local/state".
 * TLSMSG_ERR_CONFIG where neither variable is set or the path is too long. */
enum tlsmsg_code known_servers_default_path(char *out, size_t cap, struct tlsmsg_error *err);

/* Looks a server ("host:port") up. A file that isn't there knows nobody.
 * TLSMSG_ERR_CONFIG names the line that is not a record, or says why the file can't be read. */
enum tlsmsg_code known_servers_find(const char *path, const char *server, const struct pin *pin,
                                    enum known_answer *answer, struct known_record *record,
                                    struct tlsmsg_error *err);

/* Adds a line for a server, dated today, unless another client was faster with the same pin.
 * TLSMSG_ERR_UNTRUSTED when it was faster with another one; TLSMSG_ERR_CONFIG when the file can't
 * be written. Waits for the lock for a few seconds at most. */
enum tlsmsg_code known_servers_add(const char *path, const char *server, const struct pin *pin,
                                   struct tlsmsg_error *err);

#endif
