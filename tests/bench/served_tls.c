/* See served_tls.h. */
#include "served_tls.h"

#include "floor.h"

#include <openssl/err.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

SSL_CTX *served_tls_context(int argc, char **argv)
{
    SSL_CTX *ctx;

    if (argc != 4 || strcmp(argv[0], "--cert") != 0 || strcmp(argv[2], "--key") != 0) {
        return NULL;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, argv[1]) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, argv[3], SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "%s: cannot use the certificate and key\n", floor_name);
        ERR_print_errors_fp(stderr);
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_num_tickets(ctx, 1);
    return ctx;
}

SSL *served_tls_session(SSL_CTX *ctx, int fd)
{
    SSL *ssl = SSL_new(ctx);

    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return ssl;
}

/* True when it is only to be tried again. */
static bool waits(SSL *ssl, int ret)
{
    int why = SSL_get_error(ssl, ret);

    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

bool served_tls_read(SSL *ssl, char *data, size_t cap, size_t *got)
{
    int ret = SSL_read_ex(ssl, data, cap, got);

    if (ret == 1) {
        return true;
    }
    *got = 0;
    return waits(ssl, ret);
}

bool served_tls_write(SSL *ssl, const char *data, size_t len, size_t *put)
{
    *put = 0;
    while (*put < len) {
        size_t part = 0;
        int ret = SSL_write_ex(ssl, data + *put, len - *put, &part);

        if (ret != 1) {
            return waits(ssl, ret);
        }
        *put += part;
    }
    return true;
}
