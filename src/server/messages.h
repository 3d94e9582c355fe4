/* Bytes in, messages to the handler, replies out: the two halves of an open conversation. They
 * report what they find and move no state. Owning worker's thread; nothing here blocks. */
#ifndef SERVER_MESSAGES_H
#define SERVER_MESSAGES_H

#include <sys/uio.h>

#include "server/internal.h"

/* Back-pressure as a question: false while the conversation isn't to be read. Pure. */
bool messages_may_read(const struct conversation *c);

/* Reads records until the transport runs dry, the iteration's share is used up or back-pressure
 * says stop, and hands them to the conversation's flow. */
struct verdict messages_read(struct conversation *c);

/* Sends what was released, as far as the peer takes it. */
struct verdict messages_send(struct conversation *c);

/* Nothing can be sent any more: what is queued is dropped, and what would follow. */
void messages_drop(struct conversation *c);

/* For a flow: hands one message to the handler and queues its reply. */
struct verdict messages_dispatch(struct conversation *c, const struct incoming *in);

/* For a flow: queues bytes of its own, which leave with the iteration's replies, or at once where
 * they wait for nothing. TLSMSG_OK or TLSMSG_ERR_NOMEM. */
enum tlsmsg_code messages_say(struct conversation *c, const char *data, size_t len);

/* What is queued behind the first `kept` bytes, which include all that was released, is dropped, and
 * so are replies that were deferred. */
void messages_drop_undecided(struct conversation *c, size_t kept);

/* The reply to a deferred message is there; data is taken. */
struct verdict messages_answer(struct conversation *c, uint64_t message, char *data, size_t len);

#endif
