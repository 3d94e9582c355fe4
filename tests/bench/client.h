/*
 * What happens to one client of the load: the moves between its phases. load.c calls these; modes
 * use load.h only.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "load.h"

/* epoll reported something for this client. */
void client_event(struct load *load, struct client *client);

/* Ends the client with a counted failure. */
void client_fail(struct load *load, struct client *client, enum load_failure kind, const char *why);

/* True when the client owes progress, so that the timeout applies. */
bool client_is_busy(const struct client *client);

#endif
