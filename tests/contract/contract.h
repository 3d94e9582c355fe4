/* The contract of transport.h, tested against whichever transport is linked.
 *
 * What differs by contract (a bare end of file, say) is told by fixture_is_tls;
 * everything else has to be the same over TLS and in plaintext. */
#ifndef CONTRACT_CONTRACT_H
#define CONTRACT_CONTRACT_H

#include <stdbool.h>

#include "support/transport_pair.h"
#include "support/unit.h"

/* Enough turns for anything here; reaching it means that something hangs. */
#define STEPS 400000

extern const bool fixture_is_tls;

/* Sets what a server's and a client's options need beside their defaults, and makes the files;
 * the other takes them away. */
void fixture_set_up(struct tlsmsg_options *server, struct tlsmsg_options *client);
void fixture_tear_down(void);

/* Configurations made once, shared by all tests. */
extern struct transport_config *contract_server;
extern struct transport_config *contract_client;

/* A pair over memory with the shared configurations. */
void contract_pair(struct pair *p);

/* The same, past the handshake. */
void contract_open(struct pair *p);

/* One call of an end, which has to come to this: all of text sent, exactly text received, the other
 * side's end instead, its own end said. None leaves an error. */
void contract_send(struct pair_end *end, const char *text);
void contract_receive(struct pair_end *end, const char *text);
void contract_receive_end(struct pair_end *end);
void contract_shutdown(struct pair_end *end);

/* Text of a given length, different at every offset within a stride of 251. */
void contract_fill(char *text, size_t len);

/* Runs to the end and asserts that every byte came back and both ends closed in order. */
void contract_assert_clean(struct pair *p, const void *said, size_t len);

int contract_exchange(void);
int contract_faults(void);
int contract_closing(void);
int contract_strangers(void);

#endif
