/* PEM files (RFC 7468), read whole or refused with the line.
 *
 * OpenSSL's readers skip what they don't understand: a block that is indented, has a dash too few
 * or an unknown label is lost in silence. In a file of trust that opens a door, be it a revocation
 * list or a CA that is not there. So the blocks are found here, and the library decodes one at a
 * time. */
#ifndef TRANSPORT_TLS_PEM_H
#define TRANSPORT_TLS_PEM_H

#include <stddef.h>

#include <openssl/bio.h>

#include <tlsmsg/error.h>

#include "base/file.h"

enum pem_kind {
    PEM_CERTIFICATE,
    PEM_CRL,
    PEM_KEY,   /* a private key, encrypted or not */
    PEM_OTHER, /* parameters, requests, public keys: known, and never read */
    PEM_END    /* no block is left */
};

struct pem_block {
    enum pem_kind kind;
    const char *bytes; /* borrowed from the file: from BEGIN to the end of the END line */
    size_t len;
    unsigned line; /* of BEGIN, from 1 */
};

struct pem_reader {
    const struct file *file; /* borrowed */
    const char *what;        /* borrowed: the kind of file for texts, "CA file" */
    const char *convert;     /* borrowed: OpenSSL's command for such files, "x509" */
    const char *rest;
    unsigned line; /* lines read */
    unsigned seen; /* a bit for each kind that was found */
};

/* Begins with a file. TLSMSG_ERR_CONFIG where it isn't text: DER, PKCS#12, UTF-16. */
enum tlsmsg_code pem_begin(struct pem_reader *reader, const struct file *file, const char *what,
                           const char *convert, struct tlsmsg_error *err);

/* The next block; its kind is PEM_END after the last. Text outside of blocks is passed over, unless
 * it looks like a part of a block. TLSMSG_ERR_CONFIG with the line. */
enum tlsmsg_code pem_next(struct pem_reader *reader, struct pem_block *block,
                          struct tlsmsg_error *err);

/* What a file that was read to its end holds instead of what was looked for, as the end of a sentence:
 * ", but a private key"; static. */
const char *pem_instead(const struct pem_reader *reader);

/* What a block's base64 stands for, to be given back by OPENSSL_free(3); NULL where it can't be read, has
 * headers, or memory is short. A caller has to look whether all of it is used: the library's readers of
 * PEM pass over what follows the first object. */
unsigned char *pem_der(const struct pem_block *block, long *len);

/* A read-only BIO over a block, borrowed from it; NULL when out of memory. */
BIO *pem_bio(const struct pem_block *block);

#endif
