/* Reading PEM files: see pem_file.h.
 *
 * The file is read before OpenSSL sees it, because its own file functions
 * tell neither a directory nor a missing file in words. Bytes are wiped when
 * they are freed: they may hold a key. Runs while a configuration is made. */
#include "transport/tls/pem_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/error.h"
#include "base/escape.h"
#include "transport/tls/tls_error.h"

#define FILE_MAX_BYTES (4U * 1024 * 1024)
#define FILE_FIRST_BYTES (16U * 1024)

static int open_file(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return -1;
    }
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        errno = EISDIR;
        return -1;
    }
    return fd;
}

/* One more byte than len is always there, so that a NUL can follow. 0, or an errno. */
static int grow(struct pem_file *file, size_t *cap)
{
    size_t wider = *cap == 0 ? FILE_FIRST_BYTES : *cap * 2;
    char *bytes;

    if (*cap > FILE_MAX_BYTES) {
        return EFBIG;
    }
    /* Never realloc: the old block may hold a key and has to be wiped. */
    bytes = OPENSSL_malloc(wider);
    if (bytes == NULL) {
        return ENOMEM;
    }
    if (file->len > 0) {
        memcpy(bytes, file->bytes, file->len);
    }
    OPENSSL_clear_free(file->bytes, file->len);
    file->bytes = bytes;
    *cap = wider;
    return 0;
}

static int read_all(struct pem_file *file, int fd)
{
    size_t cap = 0;
    ssize_t n;

    for (;;) {
        if (file->len + 1 >= cap) {
            int failed = grow(file, &cap);

            if (failed != 0) {
                return failed;
            }
        }
        n = read(fd, file->bytes + file->len, cap - file->len - 1);
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        if (n == 0) {
            file->bytes[file->len] = '\0';
            return 0;
        }
        file->len += n > 0 ? (size_t)n : 0;
    }
}

enum tlsmsg_code pem_file_read(struct pem_file *file, const char *path, const char *what,
                               const char *hint, struct tlsmsg_error *err)
{
    int fd = open_file(path);
    int failed = fd < 0 ? errno : 0;

    *file = (struct pem_file){.path = path};
    escape_name(file->name, sizeof(file->name), path);
    if (fd >= 0) {
        failed = read_all(file, fd);
        close(fd);
    }
    if (failed == 0) {
        return TLSMSG_OK;
    }
    pem_file_fini(file);
    if (failed == ENOMEM) {
        return error_set(err, TLSMSG_ERR_NOMEM, failed, "cannot read %s '%s'", what, file->name);
    }
    error_set(err, TLSMSG_ERR_CONFIG, failed, "cannot read %s '%s'", what, file->name);
    if (failed == ENOENT && hint != NULL && err != NULL) {
        error_append(err, " (%s)", hint);
    }
    return TLSMSG_ERR_CONFIG;
}

void pem_file_fini(struct pem_file *file)
{
    OPENSSL_clear_free(file->bytes, file->len);
    file->bytes = NULL;
    file->len = 0;
}

BIO *pem_file_bio(const struct pem_file *file)
{
    return BIO_new_mem_buf(file->bytes, (int)file->len);
}

enum tlsmsg_code pem_file_certificates(const struct pem_file *file, const char *what,
                                       STACK_OF(X509) *out, struct tlsmsg_error *err)
{
    BIO *bio = pem_file_bio(file);
    int before = sk_X509_num(out);
    X509 *cert;
    bool at_end;

    if (bio == NULL) {
        return tls_error_config(err, TLSMSG_ERR_NOMEM, "cannot read %s '%s'", what, file->name);
    }
    tls_error_begin();
    while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (sk_X509_push(out, cert) <= 0) {
            X509_free(cert);
            break;
        }
    }
    BIO_free(bio);
    /* "No start line" after the last one is how the end looks. */
    at_end = tls_error_reason(ERR_LIB_PEM) == PEM_R_NO_START_LINE;
    if (at_end && sk_X509_num(out) > before) {
        tls_error_begin();
        return TLSMSG_OK;
    }
    if (at_end) {
        return tls_error_blame(err, "%s '%s' holds no certificate in PEM form", what, file->name);
    }
    return tls_error_blame(err, "%s '%s' is damaged: certificate %d can't be read", what,
                           file->name, sk_X509_num(out) - before + 1);
}
