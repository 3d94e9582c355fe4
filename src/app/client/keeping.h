/* What a session does with its spool: keeps, loads what is to be sent, and tells what waits in the
 * end. For sessions with a spool alone, but for keeping_end. */
#ifndef APP_CLIENT_KEEPING_H
#define APP_CLIENT_KEEPING_H

#include "app/client/session.h"

/* Keeps what was gathered; next_number, next_at: the place of the input behind it. *full: there is no
 * room, and it stays gathered. EXIT_DONE, or the spool has failed, which is told. */
enum exit_code keeping_keep(struct session *session, uint64_t next_number, int64_t next_at,
                            bool *full);

/* Keeps the input's line at once. EXIT_DONE, or why it is not kept, told. */
enum exit_code keeping_line(struct session *session, const char *text, size_t len, bool is_exit);

/* Hands the delivery as many messages as it has room for. EXIT_DONE, or why not, told. One that can't
 * be sent is told, too, and with those behind it it waits: see keeping_is_held_up. */
enum exit_code keeping_load(struct session *session);

/* Whether the next message can't be sent to this server. Numbers go one by one, so none behind it can
 * either; what is before it is still delivered. */
bool keeping_is_held_up(const struct session *session);

/* Whether so much waits for an answer that more of the input can wait, too. */
bool keeping_is_behind(const struct session *session);

/* Counts a message of the spool as answered, and prints. False: it could not be printed. */
bool keeping_answered(struct session *session, const struct delivery_message *message,
                      const struct console_reply *reply);

/* For struct delivery_style: tells of the connection, at a terminal or with --verbose. user: the
 * session. */
void keeping_greeted(void *user);

/* Lets leave what was answered; now: all of it, else once it is worth a sync. EXIT_DONE, or the spool
 * has failed, which is told. */
enum exit_code keeping_settle(struct session *session, bool now);

/* When all else was told: tells what waits. Returns the code to leave with. Without a spool that is
 * code. */
enum exit_code keeping_end(struct session *session, enum exit_code code);

#endif
