/* Two transports in one process: see transport_pair.h. */
#include "support/transport_pair.h"

#include <stdlib.h>
#include <string.h>

/* Room for one recv: a record of TLS and some more. */
#define RECV_BYTES (20 * 1024)

/* Makes room for more bytes behind the first len. */
static void reserve(unsigned char **bytes, size_t *cap, size_t len, size_t more)
{
    unsigned char *wider;

    if (len + more <= *cap) {
        return;
    }
    wider = realloc(*bytes, 2 * (len + more));
    if (wider == NULL) {
        abort();
    }
    *bytes = wider;
    *cap = 2 * (len + more);
}

static void queue(struct pair_end *end, const void *data, size_t len)
{
    reserve(&end->out, &end->out_cap, end->out_len, len);
    memcpy(end->out + end->out_len, data, len);
    end->out_len += len;
}

void pair_end_init(struct pair_end *end, struct transport_config *config,
                   struct byte_source *source, const char *server_name)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    *end = (struct pair_end){.source = source, .is_server = server_name == NULL};
    reserve(&end->out, &end->out_cap, 0, 1);
    reserve(&end->in, &end->in_cap, 0, 1);
    if (transport_new(config, source, server_name, &end->transport, &err) != TLSMSG_OK) {
        abort();
    }
}

void pair_init(struct pair *p, struct transport_config *server, struct transport_config *client,
               const char *server_name)
{
    memory_pipe_init(&p->to_server, PAIR_PIPE_BYTES);
    memory_pipe_init(&p->to_client, PAIR_PIPE_BYTES);
    memory_source_init(&p->server_source, &p->to_server, &p->to_client);
    memory_source_init(&p->client_source, &p->to_client, &p->to_server);
    pair_end_init(&p->server, server, &p->server_source.base, NULL);
    pair_end_init(&p->client, client, &p->client_source.base, server_name);
}

void pair_end_fini(struct pair_end *end)
{
    transport_free(end->transport);
    free(end->out);
    free(end->in);
}

void pair_fini(struct pair *p)
{
    pair_end_fini(&p->server);
    pair_end_fini(&p->client);
    memory_pipe_fini(&p->to_server);
    memory_pipe_fini(&p->to_client);
}

void pair_client_says(struct pair *p, const void *data, size_t len)
{
    queue(&p->client, data, len);
    p->client.in_wanted += len;
}

/* Notes how an end's conversation ended; it still says goodbye. */
static void end_with(struct pair_end *end, enum transport_result result)
{
    if (result == TRANSPORT_ERROR && end->code == TLSMSG_OK) {
        end->code = end->error.code;
    }
    end->phase = PAIR_GOODBYE;
}

static void step_handshake(struct pair_end *end)
{
    enum transport_result result = transport_handshake(end->transport, &end->error);

    if (result == TRANSPORT_OK) {
        end->opened = true;
        end->phase = PAIR_TALK;
    } else if (result == TRANSPORT_ERROR) {
        end_with(end, result);
    }
}

/* Sends what waits; false where an error ended it. */
static bool push(struct pair_end *end)
{
    enum transport_result result = TRANSPORT_OK;
    size_t sent;

    while (end->out_head < end->out_len && result == TRANSPORT_OK) {
        result = transport_send(end->transport, end->out + end->out_head,
                                end->out_len - end->out_head, &sent, &end->error);
        end->out_head += sent;
    }
    if (result == TRANSPORT_ERROR) {
        end_with(end, result);
        return false;
    }
    return true;
}

enum transport_result pair_recv(struct pair_end *end)
{
    size_t got;
    enum transport_result result;

    reserve(&end->in, &end->in_cap, end->in_len, RECV_BYTES);
    result = transport_recv(end->transport, end->in + end->in_len,
                            end->recv_cap != 0 ? end->recv_cap : RECV_BYTES, &got, &end->error);
    if (result != TRANSPORT_OK) {
        return result;
    }
    end->recvs++;
    if (end->is_server) {
        queue(end, end->in + end->in_len, got);
    }
    end->in_len += got;
    return result;
}

static void step_talk(struct pair_end *end)
{
    enum transport_result result;

    if (!push(end)) {
        return;
    }
    if (end->code == TLSMSG_ERR_TRUNCATED) {
        /* Only what was still to be sent kept it here. */
        if (end->out_head == end->out_len) {
            end->phase = PAIR_GOODBYE;
        }
        return;
    }
    if (!end->is_server && end->out_head == end->out_len && end->in_len >= end->in_wanted) {
        end->phase = PAIR_GOODBYE;
        return;
    }
    result = pair_recv(end);
    if (result == TRANSPORT_CLOSED && end->out_head == end->out_len) {
        end->phase = PAIR_GOODBYE;
    } else if (result == TRANSPORT_ERROR) {
        end->code = end->error.code;
        if (end->code != TLSMSG_ERR_TRUNCATED) {
            end->phase = PAIR_GOODBYE;
        }
    }
}

static void step_goodbye(struct pair_end *end)
{
    struct tlsmsg_error ignored = {.code = TLSMSG_OK};

    end->shutdown_result = transport_shutdown(end->transport, &ignored);
    if (end->shutdown_result != TRANSPORT_WANT_WRITE &&
        end->shutdown_result != TRANSPORT_WANT_READ) {
        end->phase = end->is_server || end->code != TLSMSG_OK ? PAIR_DONE : PAIR_LISTEN;
    }
}

/* A client hears the server out. */
static void step_listen(struct pair_end *end)
{
    enum transport_result result = pair_recv(end);

    if (result == TRANSPORT_ERROR) {
        end->code = end->error.code;
    }
    if (result == TRANSPORT_ERROR || result == TRANSPORT_CLOSED) {
        end->phase = PAIR_DONE;
    }
}

void pair_step(struct pair_end *end)
{
    switch (end->phase) {
    case PAIR_HANDSHAKE:
        step_handshake(end);
        break;
    case PAIR_TALK:
        step_talk(end);
        break;
    case PAIR_GOODBYE:
        step_goodbye(end);
        break;
    case PAIR_LISTEN:
        step_listen(end);
        break;
    case PAIR_DONE:
        break;
    }
}

bool pair_run(struct pair *p, unsigned steps)
{
    while (steps-- > 0) {
        if (p->server.phase == PAIR_DONE && p->client.phase == PAIR_DONE) {
            return true;
        }
        pair_step(&p->client);
        pair_step(&p->server);
    }
    return false;
}

bool pair_open(struct pair *p, unsigned steps)
{
    while (steps-- > 0) {
        if (p->server.phase != PAIR_HANDSHAKE && p->client.phase != PAIR_HANDSHAKE) {
            return true;
        }
        if (p->client.phase == PAIR_HANDSHAKE) {
            pair_step(&p->client);
        }
        if (p->server.phase == PAIR_HANDSHAKE) {
            pair_step(&p->server);
        }
    }
    return false;
}
