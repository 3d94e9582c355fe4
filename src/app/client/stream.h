/* A conversation in tlsmsg/1 whose messages nobody types: as many as the window allows are on their
 * way at once, and stdout is as if one went at a time. */
#ifndef APP_CLIENT_STREAM_H
#define APP_CLIENT_STREAM_H

#include "app/client/session.h"

/* Sends the messages that were given or, where there are none, the lines of the session's input.
 * Those up to delivery_known are left out, and the last of them goes without a reply that shows. */
enum exit_code stream_run(struct session *session, const struct session_message *messages,
                          size_t count);

/* Connects and delivers what waits in the session's spool. */
enum exit_code stream_catch_up(struct session *session);

#endif
