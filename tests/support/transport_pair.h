/* A server's and a client's transport joined in one process, and a conversation between them.
 *
 * The server echoes; the client sends what it is given, waits for as many
 * bytes in return, then says goodbye. Both are stepped in turn, a bounded
 * number of times, so that a hang is a failed assertion and never a wait. */
#ifndef SUPPORT_TRANSPORT_PAIR_H
#define SUPPORT_TRANSPORT_PAIR_H

#include <stdbool.h>
#include <stddef.h>

#include "support/memory_source.h"
#include "transport/transport.h"

#define PAIR_PIPE_BYTES (64 * 1024)

enum pair_phase { PAIR_HANDSHAKE, PAIR_TALK, PAIR_GOODBYE, PAIR_LISTEN, PAIR_DONE };

struct pair_end {
    struct transport *transport;
    struct byte_source *source; /* borrowed: memory by default */
    bool is_server;
    enum pair_phase phase;
    unsigned char *out; /* not yet sent, from out_head on */
    size_t out_head;
    size_t out_len;
    size_t out_cap;
    unsigned char *in; /* all that was received */
    size_t in_len;
    size_t in_cap;
    size_t in_wanted; /* a client's: what it waits for before it says goodbye */
    size_t recv_cap;  /* bytes a recv; 0: all there is room for */
    unsigned recvs;   /* calls that gave bytes */
    bool opened;
    enum tlsmsg_code code; /* how it ended: TLSMSG_OK or the first cause's code */
    struct tlsmsg_error error;
    enum transport_result shutdown_result;
};

struct pair {
    struct memory_pipe to_server;
    struct memory_pipe to_client;
    struct memory_source server_source;
    struct memory_source client_source;
    struct pair_end server;
    struct pair_end client;
};

/* Joins two new transports over memory. server_name: what the client asks for. */
void pair_init(struct pair *p, struct transport_config *server, struct transport_config *client,
               const char *server_name);
void pair_fini(struct pair *p);

/* One end by itself. server_name: NULL for a server. */
void pair_end_init(struct pair_end *end, struct transport_config *config,
                   struct byte_source *source, const char *server_name);
void pair_end_fini(struct pair_end *end);

/* Receives once into end->in, however much is in it already. A server's end queues it as its
 * reply. */
enum transport_result pair_recv(struct pair_end *end);

/* What the client will send. */
void pair_client_says(struct pair *p, const void *data, size_t len);

/* Steps both ends until they are done. False where that takes more than steps turns. */
bool pair_run(struct pair *p, unsigned steps);

/* Steps both ends until both are past the handshake (or ended). */
bool pair_open(struct pair *p, unsigned steps);

/* One step of one end. */
void pair_step(struct pair_end *end);

#endif
