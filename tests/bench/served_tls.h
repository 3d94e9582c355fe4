/*
 * OpenSSL on the server's side as a tight server in C uses it: read-ahead, released buffers, one
 * ticket, OpenSSL's own socket BIO. For bench-reference and bench-numbered.
 */
#ifndef BENCH_SERVED_TLS_H
#define BENCH_SERVED_TLS_H

#include <openssl/ssl.h>

#include <stdbool.h>
#include <stddef.h>

/* Takes `--cert FILE --key FILE`. NULL: other arguments, or they can't be used, which is told. */
SSL_CTX *served_tls_context(int argc, char **argv);

/* NULL when out of memory. The caller closes fd. */
SSL *served_tls_session(SSL_CTX *ctx, int fd);

/* One read; *got 0: nothing is there. False: the end, or an error. */
bool served_tls_read(SSL *ssl, char *data, size_t cap, size_t *got);

/* Writes what the kernel takes. False: an error. */
bool served_tls_write(SSL *ssl, const char *data, size_t len, size_t *put);

#endif
