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
#include "transport/tls/x509_text.h"

#define PIPE_WAIT_MS                                                                               \
    5000 /* bash's <(...) takes a moment; a FIFO of nobody must not stop a reload */
#define LOAD_WARNING_MAX 512
#define LOAD_NAME_MAX 200
#define ENDS_SOON_DAYS 30 /* from then on an end is worth a warning */
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

void load_report_add(struct load_report *report, enum loaded_kind kind, const struct file *file,
                     const X509_NAME *subject, const ASN1_TIME *ends)
{
    struct loaded *items = realloc(report->items, (report->count + 1) * sizeof(*items));
    struct loaded item = {.kind = kind, .ends_unix_s = ends != NULL ? x509_text_unix_s(ends) : 0};
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
    memmove(&warnings[at + 1], &warnings[at], (report->warning_count - at) * sizeof(*warnings));
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

    if (path != NULL && stat(path, &info) == 0 && (info.st_mode & 077) != 0) {
        (void)escape_name(shown, sizeof(shown), path);
        load_report_warn(report, "%s '%s' can be read by others (chmod 600 '%s')", what, shown,
                         shown);
    }
}

static void print_date(int64_t unix_s, char out[X509_TEXT_DATE_MAX])
{
    time_t seconds = (time_t)unix_s;
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL ||
        strftime(out, X509_TEXT_DATE_MAX, "%Y-%m-%d", &tm) == 0) {
        (void)snprintf(out, X509_TEXT_DATE_MAX, "?");
    }
}

void load_report_check_ends(struct load_report *report)
{
    size_t found = 0;

    for (size_t i = 0; i < report->count; i++) {
        const struct loaded *item = &report->items[i];
        int64_t days = (item->ends_unix_s - (int64_t)time(NULL)) / DAY_SECONDS;
        char text[LOAD_WARNING_MAX];
        char date[X509_TEXT_DATE_MAX];

        if (item->kind != LOADED_LEAF || days >= ENDS_SOON_DAYS) {
            continue;
        }
        print_date(item->ends_unix_s, date);
        (void)snprintf(text, sizeof(text), "certificate '%s' ends in %d days, on %s (%s renew)",
                       item->subject, (int)days, date, tools()->certs);
        insert_warning(report, found++, text);
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

enum tlsmsg_code load_file(struct file *file, const char *path, const char *what, const char *hint,
                           struct tlsmsg_error *err)
{
    int failed = file_read(file, path, FILE_MAX_BYTES, PIPE_WAIT_MS);
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

BIO *load_bio(const struct file *file)
{
    return BIO_new_mem_buf(file->bytes, (int)file->len);
}

enum tlsmsg_code load_certificates(const struct file *file, const char *what, STACK_OF(X509) *out,
                                   struct tlsmsg_error *err)
{
    BIO *bio = load_bio(file);
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
