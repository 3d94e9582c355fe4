/* A configuration: one context, built off to the side and never changed after.
 *
 * Puts together what policy, certificates, trust and tickets make of the
 * settings. A reload makes a new one, because a context's trust can only grow
 * (X509_STORE_add_cert(3)); ticket keys alone pass from the old one to the
 * new, so that sessions outlive it. Any thread; counted references. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/escape.h"
#include "base/file.h"
#include "transport/tls/certificates.h"
#include "transport/tls/client_trust.h"
#include "transport/tls/errors.h"
#include "transport/tls/identity.h"
#include "transport/tls/internal.h"
#include "transport/tls/policy.h"
#include "transport/tls/rehearsal.h"
#include "transport/tls/revocation.h"
#include "transport/tls/tickets.h"
#include "transport/tls/verify.h"

/* Opens the file to append to it, and makes it with mode 0600 and the owner, but for a check, which
 * leaves nothing behind; never through a symbolic link. -1 with errno. */
static int open_or_make(const char *path, const struct tls_settings *settings)
{
    const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    int fd;

    if (settings->open_keylog != NULL) {
        return settings->open_keylog(path, settings->open_keylog_user);
    }
    fd = settings->checks ? -1 : open(path, flags | O_CREAT | O_EXCL, 0600);
    if (fd < 0) {
        return settings->checks || errno == EEXIST ? open(path, flags) : -1;
    }
    if (settings->has_owner && geteuid() != settings->owner_uid &&
        fchown(fd, settings->owner_uid, settings->owner_gid) != 0) {
        int saved = errno;

        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* One that was there already may be open to others, or be another user's who laid it there, or have a
 * second name; secrets don't go into it. */
static bool is_private(int fd, const struct tls_settings *settings)
{
    uid_t owner = settings->has_owner ? settings->owner_uid : geteuid();
    struct stat info;

    return fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 077) == 0 &&
           info.st_uid == owner && info.st_nlink == 1;
}

/* *fd is -1 without the option, and in a check of a file that would have to be made. */
static enum tlsmsg_code open_keylog(const struct tls_settings *settings, int *fd,
                                    struct tlsmsg_error *err)
{
    const char *path = settings->keylog_file;
    char shown[160];
    int failed;

    *fd = -1;
    if (path == NULL) {
        return TLSMSG_OK;
    }
    *fd = open_or_make(path, settings);
    failed = *fd < 0 ? errno : 0;
    if (failed == ENOENT && settings->checks) {
        failed = file_may_make(path);
        /* One of another user's is made by who starts, root; that user then finds it, as it found the
         * folder just now. */
        failed = failed == EACCES && settings->has_owner ? 0 : failed;
    }
    if (failed == ELOOP) {
        return error_set(err, TLSMSG_ERR_CONFIG, failed,
                         "cannot open key log '%s' (a symbolic link is not followed)",
                         escape_name(shown, sizeof(shown), path));
    }
    if (failed != 0) {
        /* A FIFO that nobody reads, or a socket. */
        return file_error(path, "open", "key log", failed == ENXIO ? EOPNOTSUPP : failed, err);
    }
    if (*fd >= 0 && !is_private(*fd, settings)) {
        (void)close(*fd);
        *fd = -1;
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "key log '%s' is not a plain file of mode 0600, of the user that serves "
                         "and with one name (chmod 600 mends the mode)",
                         escape_name(shown, sizeof(shown), path));
    }
    return TLSMSG_OK;
}

/* Lines in NSS's format, each in one write so that workers' lines never mix
 * (SSL_CTX_set_keylog_callback(3)). */
static void log_line(const SSL *ssl, const char *line)
{
    int fd = transport_from_ssl(ssl)->config->keylog_fd;
    char end[] = "\n";
    struct iovec parts[] = {
        {.iov_base = (void *)(uintptr_t)line, .iov_len = strlen(line)},
        {.iov_base = end, .iov_len = 1},
    };

    if (writev(fd, parts, 2) < 0) {
        /* A full disk costs the debugger a line, not the peers their conversation. */
    }
}

/* A ticket is of use to a client that says how it would resume (RFC 8446 section 4.2.9); in
 * TLS 1.2 the library decides by itself. */
static int on_client_hello(SSL *ssl, int *alert, void *unused)
{
    const unsigned char *modes;
    size_t len;

    (void)alert;
    (void)unused;
    transport_from_ssl(ssl)->wants_ticket =
        SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk_kex_modes, &modes, &len) == 1;
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* On a client the library calls this exactly when the server asks for a certificate
 * (SSL_CTX_set_cert_cb(3)). */
static int on_certificate_request(SSL *ssl, void *unused)
{
    (void)unused;
    transport_from_ssl(ssl)->state.cert_was_asked = true;
    return 1;
}

/* Keys from the file are read anew on each reload; our own random ones live on through it. */
static enum tlsmsg_code set_tickets(struct transport_config *config,
                                    const struct tls_settings *settings,
                                    struct transport_config *previous, struct tlsmsg_error *err)
{
    const char *path = settings->ticket_keys;
    enum tlsmsg_code code = TLSMSG_OK;

    if (path != NULL) {
        struct ticket_file file;

        code = ticket_file_read(settings, &file, err);
        if (code == TLSMSG_OK) {
            code = ticket_keys_from_file(&file, &config->tickets, err);
            ticket_file_wipe(&file);
        }
    } else if (previous != NULL && previous->tickets != NULL &&
               !ticket_keys_are_from_file(previous->tickets)) {
        config->tickets = ticket_keys_ref(previous->tickets);
    } else {
        code = ticket_keys_new(NULL, NULL, &config->tickets, err);
    }
    load_report_check_secret(&config->report, "ticket key file", path);
    return code == TLSMSG_OK ? ticket_keys_install(config->tickets, config->ctx, err) : code;
}

/* The state machine runs for each message that is not data, and never for data. At the limit the
 * library is told that the peer has ended, the one thing that makes it stop within a read. */
static void on_state(const SSL *ssl, int where, int unused)
{
    struct transport *t = transport_from_ssl(ssl);

    (void)unused;
    if (!t->receiving || (where != SSL_CB_ACCEPT_EXIT && where != SSL_CB_CONNECT_EXIT &&
                          where != SSL_CB_READ_ALERT)) {
        return;
    }
    t->idle_records++;
    if (t->idle_in_row++ == IDLE_RECORDS_MAX) {
        SSL_set_shutdown((SSL *)(uintptr_t)ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
    }
}

static enum tlsmsg_code set_role(struct transport_config *config,
                                 const struct tls_settings *settings,
                                 struct transport_config *previous, struct tlsmsg_error *err)
{
    enum tlsmsg_code code;

    SSL_CTX_set_info_callback(config->ctx, on_state);
    if (!config->is_server) {
        SSL_CTX_set_cert_cb(config->ctx, on_certificate_request, NULL);
        return TLSMSG_OK;
    }
    SSL_CTX_set_client_hello_cb(config->ctx, on_client_hello, NULL);
    if (!tickets_watch(config->ctx)) {
        return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot watch over session tickets");
    }
    code = ticket_lists_of(config->crls, &config->lists, err);
    return code == TLSMSG_OK ? set_tickets(config, settings, previous, err) : code;
}

/* Who may be talked to, and what is kept of it for later: resumed sessions skip the verification. */
static enum tlsmsg_code load_trust(struct transport_config *config,
                                   const struct tls_settings *settings, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = verify_load_cas(config->ctx, settings, &config->report, err);

    config->asks_for_certificate = settings->client_ca != NULL;
    if (code == TLSMSG_OK) {
        rehearse_request(config->ctx, &config->report);
        code = revocation_load(config->ctx, settings, &config->crls, &config->report, err);
    }
    if (code == TLSMSG_OK) {
        code = config->is_server ? allow_load(settings, &config->allowed, &config->report, err)
                                 : client_trust_new(settings, &config->client_trust, err);
    }
    return code;
}

/* What hides lengths, and what gives everything away to whoever debugs. */
static enum tlsmsg_code set_extras(struct transport_config *config,
                                   const struct tls_settings *settings, struct tlsmsg_error *err)
{
    size_t pad = settings->pad_bytes;
    enum tlsmsg_code code = open_keylog(settings, &config->keylog_fd, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    if (config->keylog_fd >= 0) {
        SSL_CTX_set_keylog_callback(config->ctx, log_line);
    }
    if (settings->keylog_file != NULL) {
        load_report_warn(
            &config->report,
            "SESSION SECRETS ARE LOGGED: whoever reads the file of --keylog-file reads "
            "every message");
    }
    if (pad > 0 && SSL_CTX_set_block_padding(config->ctx, pad) != 1) {
        return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot pad records to %zu bytes", pad);
    }
    load_report_check_ends(&config->report);
    return config->report.no_memory ? error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory")
                                    : TLSMSG_OK;
}

static enum tlsmsg_code fill(struct transport_config *config, const struct tls_settings *settings,
                             struct transport_config *previous, struct tlsmsg_error *err)
{
    enum tlsmsg_code code;

    config->is_server = settings->is_server;
    config->has_certificate = settings->certs.count > 0;
    config->bio_method = source_bio_method_new();
    if (config->bio_method == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    code = policy_context_new(settings, &config->ctx, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    code = certificates_load(config->ctx, settings, &config->by_name, &config->report, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    code = load_trust(config, settings, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    code = set_role(config, settings, previous, err);
    return code == TLSMSG_OK ? set_extras(config, settings, err) : code;
}

enum tlsmsg_code transport_config_new(const struct tls_settings *settings,
                                      struct transport_config *previous,
                                      struct transport_config **out, struct tlsmsg_error *err)
{
    struct transport_config *config = calloc(1, sizeof(*config));
    enum tlsmsg_code code;

    if (config == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    atomic_init(&config->refs, 1);
    config->keylog_fd = -1;
    code = fill(config, settings, previous, err);
    tls_error_begin(); /* the host program may use OpenSSL on this thread, too */
    if (code != TLSMSG_OK) {
        transport_config_unref(config);
        return code;
    }
    *out = config;
    return TLSMSG_OK;
}

struct transport_config *transport_config_ref(struct transport_config *config)
{
    atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
    return config;
}

void transport_config_unref(struct transport_config *config)
{
    if (config == NULL || atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    SSL_CTX_free(config->ctx);
    ticket_keys_unref(config->tickets);
    client_trust_free(config->client_trust);
    sk_X509_CRL_pop_free(config->crls, X509_CRL_free);
    allow_free(config->allowed);
    certificates_free(config->by_name);
    load_report_fini(&config->report);
    if (config->keylog_fd >= 0) {
        (void)close(config->keylog_fd);
    }
    BIO_meth_free(config->bio_method);
    free(config);
    tls_error_suspect();
}

size_t transport_config_warning_count(const struct transport_config *config)
{
    return config->report.warning_count;
}

const char *transport_config_warning(const struct transport_config *config, size_t i)
{
    return i < config->report.warning_count ? config->report.warnings[i] : NULL;
}

static int64_t first(int64_t a, int64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

int64_t transport_config_expiry(const struct transport_config *config, enum tlsmsg_expiry what)
{
    const struct load_report *report = &config->report;

    switch (what) {
    case TLSMSG_EXPIRY_CERTIFICATE:
        return first(load_report_first_end(report, LOADED_LEAF),
                     load_report_first_end(report, LOADED_ISSUER));
    case TLSMSG_EXPIRY_CA:
        return load_report_first_end(report, LOADED_CA);
    case TLSMSG_EXPIRY_CRL:
        return load_report_first_end(report, LOADED_CRL);
    default:
        return 0;
    }
}

int64_t transport_config_tell_ends(const struct transport_config *config, int64_t since_unix_s,
                                   int64_t now_unix_s, transport_tell_fn *tell, void *user)
{
    const struct load_report *report = &config->report;
    int64_t next = 0;
    char text[LOAD_WARNING_MAX];

    for (size_t i = 0; i < report->count; i++) {
        const struct loaded *item = &report->items[i];
        int64_t from = load_warns_from(item);

        if (load_print_end(item, now_unix_s, text, sizeof(text))) {
            if (since_unix_s <= from ||
                (item->ends_unix_s > since_unix_s && item->ends_unix_s <= now_unix_s)) {
                tell(text, user);
            }
            /* The end itself is told when it has come. */
            next = item->ends_unix_s > now_unix_s ? first(next, item->ends_unix_s) : next;
        } else if (from != INT64_MAX) {
            next = first(next, from + 1);
        }
    }
    return next;
}
