/* Messages in, replies out: the two halves of an open conversation (reading.c, sending.c).
 * Owning worker's thread only; neither blocks. */
#ifndef SERVER_EXCHANGE_H
#define SERVER_EXCHANGE_H

#include "server/conversation.h"

/* Back-pressure as a question: false while the conversation isn't to be read. Pure. */
bool exchange_may_read(const struct conversation *c);

/* Reads records until the transport runs dry, the turn's share is used up or back-pressure says
 * stop; each whole message goes to the handler and gets its reply queued. */
void exchange_read(struct conversation *c);

/* Sends what was released, as far as the peer takes it. */
void exchange_send(struct conversation *c);

/* Nothing can be sent any more: what is queued is dropped, and what would follow. */
void exchange_drop(struct conversation *c);

/* Queues the reply to a message, or keeps it while an earlier one is due. */
enum tlsmsg_code exchange_reply(struct conversation *c, uint64_t message, const struct iovec *parts,
                                int n);

/* Hands one message to the handler. data: valid UTF-8, len >= 1. */
void message_dispatch(struct conversation *c, const char *data, size_t len);

#endif
