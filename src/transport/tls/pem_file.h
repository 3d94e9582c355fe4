/* Files that options name, read whole, with causes that people can act on. */
#ifndef TRANSPORT_TLS_PEM_FILE_H
#define TRANSPORT_TLS_PEM_FILE_H

#include <stddef.h>

#include <openssl/bio.h>
#include <openssl/x509.h>

#include <tlsmsg/error.h>

#define PEM_FILE_NAME_MAX 160

struct pem_file {
    const char *path;             /* borrowed */
    char name[PEM_FILE_NAME_MAX]; /* path, escaped for texts */
    char *bytes;
    size_t len;
};

/* Reads a file of at most 4 MiB. what: "certificate", "key"; hint: what to try where the file is
 * missing, or NULL. TLSMSG_ERR_CONFIG (`cannot read key 'x.key': No such file or directory
 * (...)`) or _NOMEM. */
enum tlsmsg_code pem_file_read(struct pem_file *file, const char *path, const char *what,
                               const char *hint, struct tlsmsg_error *err);

/* Wipes and frees the bytes. */
void pem_file_fini(struct pem_file *file);

/* A read-only BIO over the bytes, borrowed from file; NULL when out of memory. */
BIO *pem_file_bio(const struct pem_file *file);

/* Appends all certificates of the file, in order. TLSMSG_ERR_CONFIG where there is none or one
 * can't be read. */
enum tlsmsg_code pem_file_certificates(const struct pem_file *file, const char *what,
                                       STACK_OF(X509) *out, struct tlsmsg_error *err);

#endif
