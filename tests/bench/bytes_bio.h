/*
 * An OpenSSL BIO that reads from one byte run and writes to another. The load program needs it to
 * put the records of a batch into one send() and to take a whole recv() at once; the in-memory
 * bench uses it as the network between two SSL objects.
 */
#ifndef BENCH_BYTES_BIO_H
#define BENCH_BYTES_BIO_H

#include "bytes.h"

#include <openssl/bio.h>

/* Owned by the caller, and must outlive the BIO. */
struct bytes_bio {
    struct bytes *in;
    struct bytes *out;
    bool eof; /* the peer has ended: an empty `in` is the end, not "try again" */
};

/* A new BIO over `ends`, or NULL when OpenSSL has no memory. SSL_set_bio() takes ownership. */
BIO *bytes_bio_new(struct bytes_bio *ends);

/* Frees the BIO method; call once, after the last BIO has gone. */
void bytes_bio_cleanup(void);

#endif
