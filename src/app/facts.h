/* What is known of the connection, for the person at the client: --verbose and SIGUSR1. */
#ifndef APP_FACTS_H
#define APP_FACTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <tlsmsg/client.h>

struct facts {
    const char *address;
    struct tlsmsg_tls tls;                 /* version NULL: plaintext */
    struct tlsmsg_certificate certificate; /* the server's own */
    bool has_certificate;
    int64_t now_unix_s;
};

/* Prints the block: with styled as an aligned table in colour, else as lines that each begin with
 * the program's name, as all else does that goes to a log. */
void facts_print(const struct facts *facts, const char *program, bool styled, FILE *out);

/* Tells the facts of a connected client on stderr, in one write(2). */
void facts_tell(const char *program, struct tlsmsg_client *client);

#endif
