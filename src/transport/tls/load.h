/* Loading what settings name: PEM files, and what is learnt of them on the way.
 *
 * Loaders hand their findings to a report: warnings for an operator, and what ends when. */
#ifndef TRANSPORT_TLS_LOAD_H
#define TRANSPORT_TLS_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/x509.h>

#include <tlsmsg/error.h>

#include "base/file.h"
#include "options/options.h"
#include "transport/tls/x509_text.h"

#define LOAD_WARNING_MAX 512 /* with its NUL */
#define LOAD_NAME_MAX 200    /* of a subject in a report, and of a file in a warning */

enum loaded_kind {
    LOADED_LEAF,   /* a certificate of our own */
    LOADED_ISSUER, /* of its chain, as it is sent */
    LOADED_CA,     /* that peers' certificates are verified with */
    LOADED_CRL,
    LOADED_KINDS
};

/* One certificate or revocation list. */
struct loaded {
    enum loaded_kind kind;
    char *file;            /* as named by the option, escaped */
    char *subject;         /* of a certificate, or a list's issuer; as x509_text_name has it */
    bool is_ours;          /* made by the product's own script */
    int64_t begins_unix_s; /* notBefore, or lastUpdate; 0: the length of its life doesn't count */
    int64_t ends_unix_s;   /* notAfter, or nextUpdate; 0: it has none */
};

struct load_report {
    struct loaded *items; /* in the order in which they were loaded */
    size_t count;
    char **warnings; /* a line each */
    size_t warning_count;
    bool no_memory; /* something is missing */
};

void load_report_fini(struct load_report *report);

/* Whether a CA's name is one that the product's own script gives: then that script is what to try. */
bool load_is_ours(const X509_NAME *ca);

/* Adds a certificate or a list. subject: as in struct loaded; by: the CA that made it. Where memory is short, this and the next note it in the report, and
 * whoever has loaded everything asks once. */
void load_report_add(struct load_report *report, enum loaded_kind kind, const struct file *file,
                     const X509_NAME *subject, const X509_NAME *by, const ASN1_TIME *begins,
                     const ASN1_TIME *ends);

void load_report_warn(struct load_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Warns where others can read a file that holds a secret. A group that may read what is root's is
 * meant: so a service that isn't root gets at its key. what: "key"; path: NULL is a no-op. */
void load_report_check_secret(struct load_report *report, const char *what, const char *path);

/* Warns of what ends soon or has ended, in front of all that was warned of before. Once, after
 * loading. */
void load_report_check_ends(struct load_report *report);

/* The warning of one that ends soon, 30 days or a third of its life before, whichever is shorter,
 * or has ended. False: nothing is to be said. */
bool load_print_end(const struct loaded *item, int64_t now_unix_s, char *out, size_t cap);

/* From when on load_print_end warns of it; INT64_MAX: never. */
int64_t load_warns_from(const struct loaded *item);

/* "2026-11-22", of seconds since the epoch. */
void load_print_date(int64_t unix_s, char out[X509_TEXT_DATE_MAX]);

/* When the first of a kind ends; 0: there is none, or none that ends. */
int64_t load_report_first_end(const struct load_report *report, enum loaded_kind kind);

/* Reads a file of at most 4 MiB, a pipe also as it is written, if this is not a reload. what:
 * "certificate", "key"; hint: what to try where it is missing, or NULL. The caller calls file_fini after success.
 * TLSMSG_ERR_CONFIG (`cannot read key 'x.key': No such file or directory (...)`) or _NOMEM. */
enum tlsmsg_code load_file(struct file *file, const char *path, const struct tls_settings *settings,
                           const char *what, const char *hint, struct tlsmsg_error *err);

/* Appends all certificates of a PEM file, in order. TLSMSG_ERR_CONFIG where there is none or one
 * can't be read; TLSMSG_ERR_NOMEM. */
enum tlsmsg_code load_certificates(const struct file *file, const char *what, STACK_OF(X509) *out,
                                   struct tlsmsg_error *err);

#endif
