/* Collecting what notes.h describes, once a configuration is built. */
#include "transport/tls/notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/escape.h"
#include "transport/tls/name_choice.h"
#include "transport/tls/x509_text.h"

#define NOTE_MAX 512
#define SHOWN_MAX 200
#define DAY_S 86400

static void add(struct notes *notes, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct notes *notes, const char *format, ...)
{
    char text[NOTE_MAX];
    char **texts = realloc(notes->texts, (notes->count + 1) * sizeof(char *));
    va_list args;

    if (texts == NULL) {
        return;
    }
    notes->texts = texts;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    texts[notes->count] = strdup(text);
    notes->count += texts[notes->count] != NULL ? 1 : 0;
}

static void note_secret_file(struct notes *notes, const char *what, const char *path)
{
    char shown[SHOWN_MAX];
    struct stat info;

    if (path != NULL && stat(path, &info) == 0 && (info.st_mode & 077) != 0) {
        (void)escape_name(shown, sizeof(shown), path);
        add(notes, "%s '%s' can be read by others (chmod 600 '%s')", what, shown, shown);
    }
}

static void note_certificate(struct notes *notes, const X509 *cert)
{
    int64_t ends = x509_text_unix_s(X509_get0_notAfter(cert));
    int64_t days = (ends - (int64_t)time(NULL)) / DAY_S;
    char date[X509_TEXT_DATE_MAX];
    char name[SHOWN_MAX];

    if (notes->expiry_unix_s == 0 || ends < notes->expiry_unix_s) {
        notes->expiry_unix_s = ends;
    }
    if (days < NOTES_DAYS) {
        x509_text_date(X509_get0_notAfter(cert), date);
        x509_text_name(X509_get_subject_name(cert), name, sizeof(name));
        add(notes, "certificate '%s' ends in %d days, on %s (scripts/gen-certs.sh renew)", name,
            (int)days, date);
    }
}

/* Of several certificates the context itself holds only the first of each kind of key. */
static void note_certificates(struct notes *notes, SSL_CTX *ctx)
{
    const X509 *one = name_choice_leaf(ctx, 0);
    long more = one != NULL ? 0 : SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_FIRST);

    for (size_t i = 0; one != NULL; one = name_choice_leaf(ctx, ++i)) {
        note_certificate(notes, one);
    }
    while (more == 1) {
        const X509 *cert = SSL_CTX_get0_certificate(ctx);

        if (cert != NULL) {
            note_certificate(notes, cert);
        }
        more = SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_NEXT);
    }
}

void notes_collect(struct notes *notes, SSL_CTX *ctx, const struct tls_settings *settings)
{
    size_t n = settings->certs.count;

    note_certificates(notes, ctx);
    for (size_t i = 0; i < n; i++) {
        const char *key = text_list_at(&settings->keys, i);

        note_secret_file(notes, "key", key != NULL ? key : text_list_at(&settings->certs, i));
    }
    note_secret_file(notes, "key password file", settings->key_password_file);
    note_secret_file(notes, "ticket key file", settings->ticket_keys);
    if (settings->keylog_file != NULL) {
        add(notes, "SESSION SECRETS ARE LOGGED: whoever reads the file of --keylog-file reads "
                   "every message");
    }
}

void notes_fini(struct notes *notes)
{
    for (size_t i = 0; i < notes->count; i++) {
        free(notes->texts[i]);
    }
    free(notes->texts);
    *notes = (struct notes){0};
}
