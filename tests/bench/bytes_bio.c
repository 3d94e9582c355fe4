/* The BIO over byte runs. Its callbacks follow BIO_meth_new(3); BIO_CTRL_EOF lets OpenSSL tell a
 * truncated stream from an empty one. */
#include "bytes_bio.h"

#include <string.h>

static BIO_METHOD *method;

static int bytes_bio_read(BIO *bio, char *data, size_t len, size_t *got)
{
    struct bytes_bio *ends = BIO_get_data(bio);
    size_t held = bytes_len(ends->in);

    BIO_clear_retry_flags(bio);
    if (held == 0) {
        *got = 0;
        if (!ends->eof) {
            BIO_set_retry_read(bio);
        }
        return 0;
    }
    if (len > held) {
        len = held;
    }
    memcpy(data, bytes_head(ends->in), len);
    bytes_take(ends->in, len);
    *got = len;
    return 1;
}

static int bytes_bio_write(BIO *bio, const char *data, size_t len, size_t *put)
{
    struct bytes_bio *ends = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    bytes_append(ends->out, data, len);
    *put = len;
    return 1;
}

static long bytes_bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    const struct bytes_bio *ends = BIO_get_data(bio);

    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return ends->eof && bytes_len(ends->in) == 0;
    case BIO_CTRL_PENDING:
        return (long)bytes_len(ends->in);
    default:
        return 0;
    }
}

static BIO_METHOD *method_new(void)
{
    BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bytes");

    if (made == NULL) {
        return NULL;
    }
    if (BIO_meth_set_read_ex(made, bytes_bio_read) != 1 ||
        BIO_meth_set_write_ex(made, bytes_bio_write) != 1 ||
        BIO_meth_set_ctrl(made, bytes_bio_ctrl) != 1) {
        BIO_meth_free(made);
        return NULL;
    }
    return made;
}

BIO *bytes_bio_new(struct bytes_bio *ends)
{
    BIO *bio;

    if (method == NULL) {
        method = method_new();
    }
    if (method == NULL) {
        return NULL;
    }
    bio = BIO_new(method);
    if (bio != NULL) {
        BIO_set_data(bio, ends);
        BIO_set_init(bio, 1);
    }
    return bio;
}

void bytes_bio_cleanup(void)
{
    BIO_meth_free(method);
    method = NULL;
}
