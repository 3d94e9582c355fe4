/* The transcript: what the server prints on stdout, as text or as JSON. */
#ifndef APP_SERVER_TRANSCRIPT_H
#define APP_SERVER_TRANSCRIPT_H

#include <tlsmsg/server.h>

#include "app/server/stdout.h"
#include "app/server/transcript_text.h"

enum transcript_format { TRANSCRIPT_TEXT, TRANSCRIPT_JSON };

struct transcript_turn;

struct transcript {
    struct stdout_writer *writer; /* borrowed */
    enum transcript_format format;
    struct transcript_style style;
    struct transcript_turn *turns; /* by worker; owned */
    unsigned workers;
};

/* writer, style: borrowed and copied. Nothing is written yet. */
void transcript_init(struct transcript *transcript, struct stdout_writer *writer,
                     enum transcript_format format, const struct transcript_style *style);
void transcript_fini(struct transcript *transcript);

/* Takes the memory for the workers' lines; before any of them runs. */
enum tlsmsg_code transcript_set_workers(struct transcript *transcript, unsigned workers,
                                        struct tlsmsg_error *err);

/* Writes what stands at the beginning: that clients are waited for (text), or each address of
 * the server (JSON). False when stdout has failed. */
bool transcript_begin(struct transcript *transcript, const struct tlsmsg_server *server);

/* For the server's handler, on the worker's thread. */
void transcript_connected(struct transcript *transcript, const struct tlsmsg_peer *peer,
                          unsigned worker);
void transcript_message(struct transcript *transcript, const struct tlsmsg_message *message);
void transcript_closed(struct transcript *transcript, const struct tlsmsg_closed *closed,
                       unsigned worker);
enum tlsmsg_turn transcript_turn_end(struct transcript *transcript, unsigned worker);

/* Lines about connections alone that were left out. */
struct transcript_left_out {
    uint64_t held;      /* while stdout took nothing */
    uint64_t strangers; /* of connections that never became conversations, beyond the log's limit */
};

/* How many of a worker's were left out since they were told; those of strangers are told when the
 * limit lets one pass, or all. On the worker's thread, after its turn's end. */
struct transcript_left_out transcript_left_out(struct transcript *transcript, unsigned worker,
                                               bool all);

/* Hands over what is left of the workers' last turns; once no worker runs any more. */
void transcript_end(struct transcript *transcript);

#endif
