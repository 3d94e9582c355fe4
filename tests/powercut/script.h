/* The messages of the driver, which the replay can make again from their numbers. Clients of the
 * server send the same ones (test_powercut_server.py). */
#ifndef POWERCUT_SCRIPT_H
#define POWERCUT_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

#define SCRIPT_PRODUCERS 3
#define SCRIPT_BODY_MAX 6000
#define SCRIPT_HASH_BYTES 32

/* "p0" ...; SCRIPT_PRODUCERS: the document's flow. */
const char *script_producer(unsigned producer);

/* The body of a message; returns its length, at most SCRIPT_BODY_MAX. Mostly short, now and then
 * longer than a page. */
size_t script_body(unsigned producer, uint64_t seq, char body[SCRIPT_BODY_MAX]);

/* Its SHA-256. */
void script_hash(unsigned producer, uint64_t seq, unsigned char hash[SCRIPT_HASH_BYTES]);

#endif
