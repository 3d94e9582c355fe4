/* What is left of the input when a conversation has ended. */
#ifndef APP_CLIENT_REST_H
#define APP_CLIENT_REST_H

#include "app/client/session.h"

/* What was not sent, as input_rest has it; *count receives the messages with INPUT_REST_COUNTED. */
enum input_rest rest_of(const struct session *session, uint64_t *count);

/* When all else was told: discards what was typed for a conversation that has failed, sets a
 * seekable input back to the first line that was not sent, and tells what is left in one line. */
void rest_end(struct session *session, enum exit_code code);

#endif
