/* What became of the messages: which were answered, which were not, and where nothing was sent any
 * more. */
#ifndef APP_CLIENT_TALLY_H
#define APP_CLIENT_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/client/input.h"

struct tally {
    const char *unit; /* what a message's number counts: "line" or "message" */
    bool keeps;       /* in a spool: `sent` is what was kept, whichever of it was sent */
    uint64_t sent;
    uint64_t answered;
    uint64_t refused;    /* not sent for what they hold */
    uint64_t open_first; /* numbers of the messages that were sent and have no answer */
    uint64_t open_last;
    uint64_t next; /* number of the first one that was not sent */
};

void tally_init(struct tally *tally, const char *unit);

/* A message begins to be sent, in the order of the numbers. */
void tally_sent(struct tally *tally, uint64_t number);

/* The oldest message without an answer, which must be there, has one; number: that of the next one
 * without, or 0. */
void tally_answered(struct tally *tally, uint64_t number);

/* A message is left out, with or without a word. */
void tally_passed(struct tally *tally, uint64_t number, bool refused);

/* Room for the texts below. */
#define TALLY_TEXT_MAX 256

/* "1,000 messages: 18 answered, 1 without an answer (line 19), 981 not sent (from line 20)"; of a
 * stream, whose rest nobody knows, "19 messages: 18 answered, 1 without an answer (line 19), not
 * sent from line 20"; with a spool "20 messages: 18 answered, 2 kept, not kept from line 21". rest,
 * count: what lies behind, see input_rest. */
void tally_print(const struct tally *tally, enum input_rest rest, uint64_t count, char *buf,
                 size_t cap);

/* Its last part alone: "981 not sent (from line 20)" or "not sent from line 20". */
void tally_print_rest(const struct tally *tally, enum input_rest rest, uint64_t count, char *buf,
                      size_t cap);

#endif
