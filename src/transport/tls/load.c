/* Reading files and reporting on them: see load.h. Runs while a configuration is made.
 *
 * A file is read before OpenSSL sees it, because its own file functions tell neither a directory
 * nor a missing file in words. */
#include "transport/tls/load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/error.h"
#include "base/escape.h"
#include "base/tools.h"
#include "transport/tls/errors.h"
#include "transport/tls/pem.h"
#include "transport/tls/x509_text.h"

#define PIPE_WAIT_MS                                                                               \
    5000 /* bash's <(...) takes a moment; a FIFO of nobody must not stop a reload */
#define ENDS_SOON_DAYS 30 /* from then on an end is worth a warning */
#define SHARE_OF_LIFE 3   /* ... or the last third of a short life */
#define DAY_SECONDS 86400

void load_report_fini(struct load_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free(report->items[i].file);
        free(report->items[i].subject);
    }
    for (size_t i = 0; i < report->warning_count; i++) {
        free(report->warnings[i]);
    }
    free(report->items);
    free(report->warnings);
    *report = (struct load_report){0};
}

bool load_is_ours(const X509_NAME *ca)
{
    static const char given[] = "tlsmsg CA "; /* and some letters of its pin */
    char name[64];

    return X509_NAME_get_text_by_NID((X509_NAME *)(uintptr_t)ca, NID_commonName, name,
                                     sizeof(name)) > 0 &&
           strncmp(name, given, sizeof(given) - 1) == 0;
}

void load_report_add(struct load_report *report, enum loaded_kind kind, const struct file *file,
                     const X509_NAME *subject, const X509_NAME *by, const ASN1_TIME *begins,
                     const ASN1_TIME *ends)
{
    struct loaded *items = realloc(report->items, (report->count + 1) * sizeof(*items));
    struct loaded item = {.kind = kind,
                          .is_ours = load_is_ours(by),
                          .begins_unix_s = begins != NULL ? x509_text_unix_s(begins) : 0,
                          .ends_unix_s = ends != NULL ? x509_text_unix_s(ends) : 0};
    char name[LOAD_NAME_MAX];

    if (items == NULL) {
        report->no_memory = true;
        return;
    }
    report->items = items;
    x509_text_name(subject, name, sizeof(name));
    item.file = strdup(file->name);
    item.subject = strdup(name);
    if (item.file == NULL || item.subject == NULL) {
        report->no_memory = true;
        free(item.file);
        free(item.subject);
        return;
    }
    items[report->count++] = item;
}

/* Puts a line at a place; those from there on move up. */
static void insert_warning(struct load_report *report, size_t at, const char *text)
{
    char **warnings =
        realloc(report->warnings, (report->warning_count + 1) * sizeof(*report->warnings));
    char *copy = strdup(text);

    if (warnings != NULL) {
        report->warnings = warnings;
    }
    if (warnings == NULL || copy == NULL) {
        report->no_memory = true;
        free(copy);
        return;
    }
    for (size_t i = report->warning_count; i > at; i--) {
        warnings[i] = warnings[i - 1];
    }
    warnings[at] = copy;
    report->warning_count++;
}

void load_report_warn(struct load_report *report, const char *format, ...)
{
    char text[LOAD_WARNING_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    insert_warning(report, report->warning_count, text);
}

void load_report_check_secret(struct load_report *report, const char *what, const char *path)
{
    char shown[LOAD_NAME_MAX];
    struct stat info;

    bool lent; /* by root to a group, on purpose */

    if (path == NULL || stat(path, &info) != 0) {
        return;
    }
    lent = info.st_uid == 0 && info.st_gid != 0;
    if ((info.st_mode & (lent ? 037 : 077)) != 0) {
        (void)escape_name(shown, sizeof(shown), path);
        load_report_warn(report, "%s '%s' can be read by others (chmod %s '%s')", what, shown,
                         lent ? "640" : "600", shown);
    }
}

void load_print_date(int64_t unix_s, char out[X509_TEXT_DATE_MAX])
{
    time_t seconds = (time_t)unix_s;
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL ||
        strftime(out, X509_TEXT_DATE_MAX, "%Y-%m-%d", &tm) == 0) {
        (void)snprintf(out, X509_TEXT_DATE_MAX, "?");
    }
}

int64_t load_warns_from(const struct loaded *item)
{
    int64_t margin_s = (item->ends_unix_s - item->begins_unix_s) / SHARE_OF_LIFE;

    if (item->ends_unix_s == 0) {
        return INT64_MAX;
    }
    if (margin_s > ENDS_SOON_DAYS * DAY_SECONDS) {
        margin_s = ENDS_SOON_DAYS * DAY_SECONDS;
    }
    return item->ends_unix_s - margin_s;
}

/* What ends is named by kind; what follows from it and what to do, too. An issuer that has ended is
 * best left out, since those who don't need it never use it. */
static const struct {
    const char *what;
    const char *then; /* what becomes of whom, once it has ended */
    const char *now;  /* it has */
    const char *verb; /* of the product's script, which makes a new one */
    const char *hint; /* for what somebody else's CA has made */
    const char *last; /* the same, once it has ended */
} end_texts[LOADED_KINDS] = {
    [LOADED_LEAF] = {"certificate", "every peer refuses it then", "every peer refuses it", "renew",
                     "a new one in its place", "a new one in its place"},
    [LOADED_ISSUER] = {"issuer", "peers that need it refuse the certificate that it issued then",
                       "peers that need it refuse the certificate that it issued", "renew ca",
                       "the CA's new one in its place",
                       "the CA's new one in its place, or take it out of the file"},
    [LOADED_CA] = {"CA", "certificates under it are refused then",
                   "certificates under it are refused", "renew ca", "the CA's new certificate",
                   "the CA's new certificate"},
    [LOADED_CRL] = {"revocation list of",
                    "everybody whose certificate that CA issued is refused then",
                    "everybody whose certificate that CA issued is refused", "crl",
                    "that CA's new list in its place", "that CA's new list in its place"},
};

static void print_when(const struct loaded *item, int64_t now_unix_s, char *when, size_t cap)
{
    int64_t days = (item->ends_unix_s - now_unix_s) / DAY_SECONDS;
    char date[X509_TEXT_DATE_MAX];

    load_print_date(item->ends_unix_s, date);
    if (item->ends_unix_s <= now_unix_s) {
        (void)snprintf(when, cap, "ended on %s", date);
    } else if (days == 0) {
        (void)snprintf(when, cap, "ends in %d h %d min, on %s",
                       (int)((item->ends_unix_s - now_unix_s) / 3600),
                       (int)((item->ends_unix_s - now_unix_s) / 60 % 60), date);
    } else {
        (void)snprintf(when, cap, "ends in %d day%s, on %s", (int)days, days == 1 ? "" : "s", date);
    }
}

bool load_print_end(const struct loaded *item, int64_t now_unix_s, char *out, size_t cap)
{
    bool ended = item->ends_unix_s <= now_unix_s;
    const char *hint = ended ? end_texts[item->kind].last : end_texts[item->kind].hint;
    char own[64];
    char when[64];

    if (now_unix_s <= load_warns_from(item)) {
        return false;
    }
    print_when(item, now_unix_s, when, sizeof(when));
    (void)snprintf(own, sizeof(own), "%s %s", tools()->certs, end_texts[item->kind].verb);
    (void)snprintf(out, cap, "%s '%s' in '%s' %s: %s; try: %s", end_texts[item->kind].what,
                   item->subject, item->file, when,
                   ended ? end_texts[item->kind].now : end_texts[item->kind].then,
                   item->is_ours ? own : hint);
    return true;
}

/* Own certificates and lists that are not valid yet are refused. */
static void check_begin(struct load_report *report, const struct loaded *item, int64_t now_unix_s)
{
    char date[X509_TEXT_DATE_MAX];

    if (item->begins_unix_s > now_unix_s) {
        load_print_date(item->begins_unix_s, date);
        load_report_warn(report,
                         "%s '%s' in '%s' is not valid before %s: certificates that it issued are "
                         "refused; try: this machine's clock, or the CA's certificate of before",
                         end_texts[item->kind].what, item->subject, item->file, date);
    }
}

void load_report_check_ends(struct load_report *report)
{
    int64_t now_unix_s = (int64_t)time(NULL);
    size_t found = 0;

    for (size_t i = 0; i < report->count; i++) {
        char text[LOAD_WARNING_MAX];

        check_begin(report, &report->items[i], now_unix_s);
        if (load_print_end(&report->items[i], now_unix_s, text, sizeof(text))) {
            insert_warning(report, found++, text);
        }
    }
}

int64_t load_report_first_end(const struct load_report *report, enum loaded_kind kind)
{
    int64_t first = 0;

    for (size_t i = 0; i < report->count; i++) {
        int64_t ends = report->items[i].ends_unix_s;

        if (report->items[i].kind == kind && ends != 0 && (first == 0 || ends < first)) {
            first = ends;
        }
    }
    return first;
}

enum tlsmsg_code load_file(struct file *file, const char *path, const struct tls_settings *settings,
                           const char *what, const char *hint, struct tlsmsg_error *err)
{
    int failed = file_read(file, path, FILE_MAX_BYTES, settings->reloads ? 0 : PIPE_WAIT_MS);
    enum tlsmsg_code code;

    if (failed == 0) {
        return TLSMSG_OK;
    }
    code = file_error(path, "read", what, failed, err);
    if (failed == ENOENT && hint != NULL && err != NULL) {
        error_append(err, " (%s)", hint);
    }
    return code;
}

/* Decodes one block and appends what is in it. */
static enum tlsmsg_code take_certificate(const struct file *file, const char *what,
                                         const struct pem_block *block, STACK_OF(X509) *out,
                                         struct tlsmsg_error *err)
{
    const unsigned char *end;
    unsigned char *der;
    X509 *cert;
    long len;
    bool is_read;

    tls_error_begin();
    der = pem_der(block, &len);
    end = der;
    cert = der != NULL ? d2i_X509(NULL, &end, len) : NULL;
    is_read = cert != NULL;
    if (is_read && end != der + len) {
        X509_free(cert);
        cert = NULL;
    }
    OPENSSL_free(der);
    if (cert == NULL) {
        return tls_error_blame(err,
                               is_read
                                   ? "%s '%s' is damaged: more than a certificate in the block at "
                                     "line %u"
                                   : "%s '%s' is damaged: the certificate at line %u can't be "
                                     "read",
                               what, file->name, block->line);
    }
    if (sk_X509_push(out, cert) <= 0) {
        X509_free(cert);
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    return TLSMSG_OK;
}

enum tlsmsg_code load_certificates(const struct file *file, const char *what, STACK_OF(X509) *out,
                                   struct tlsmsg_error *err)
{
    int before = sk_X509_num(out);
    struct pem_reader reader;
    struct pem_block block;
    enum tlsmsg_code code = pem_begin(&reader, file, what, "x509", err);

    while (code == TLSMSG_OK) {
        code = pem_next(&reader, &block, err);
        if (code != TLSMSG_OK || block.kind == PEM_END) {
            break;
        }
        if (block.kind == PEM_CERTIFICATE) {
            code = take_certificate(file, what, &block, out, err);
        }
    }
    if (code == TLSMSG_OK && sk_X509_num(out) == before) {
        code = error_set(err, TLSMSG_ERR_CONFIG, 0, "%s '%s' holds no certificate in PEM form%s",
                         what, file->name, pem_instead(&reader));
    }
    return code;
}
