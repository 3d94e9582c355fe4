/*
 * The server under load as the links see it: its address and, unless plain, the TLS settings that
 * every connection offers. One version, one cipher, one group: what is compared is then the same
 * for every server, whatever its configuration would have chosen.
 */
#ifndef BENCH_ENDPOINT_H
#define BENCH_ENDPOINT_H

#include "link.h"
#include "options.h"

/* Resolves the target and makes the TLS context. False after telling stderr why. */
bool endpoint_init(struct endpoint *e, const struct bench_options *o);

void endpoint_fini(struct endpoint *e);

/* What a finished handshake agreed on, e.g. "TLSv1.3 TLS_AES_128_GCM_SHA256 X25519". */
void endpoint_describe(const struct link *l, char *text, size_t size);

#endif
