/* What is allowed on the wire, the same for server and client.
 *
 * TLS 1.3 and 1.2 only; forward secrecy and authenticated encryption only; no
 * renegotiation, no compression, no early data (a replayed message would be
 * printed twice). Certificates, trust and tickets have files of their own.
 * Runs while a configuration is made, on its thread; keeps no state. */
#include "transport/tls/policy.h"
#include "transport/tls/alpn.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "transport/tls/errors.h"

/* AES-128 first: the cheapest by measurement, and what most clients put first as well. A client that
 * puts ChaCha20 first, having no AES in hardware, is given that (SSL_OP_PRIORITIZE_CHACHA). */
#define SUITES_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define SUITES_12                                                                                  \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

/* 112 bits (SSL_CTX_set_security_level(3)). */
#define SECURITY_LEVEL_MIN 2

/* Most bytes of early data that are skipped. Only the server that gave the client its ticket knows
 * how many it allowed; 16 KiB are usual. */
#define EARLY_DATA_SKIPPED_MAX ((uint32_t)64 * 1024)

#define SUITES_MAX 256
#define GROUPS_MAX 96

/* Where the library knows tuples (3.5): the hybrid group is preferred even at the price of a
 * second hello, and a client sends a share for both of the first two, so that a server without
 * the hybrid costs no extra round trip (SSL_CTX_set1_groups_list(3)). */
#define GROUPS_HYBRID_FIRST "*X25519MLKEM768/*X25519:P-256:P-384"

static const char *const wanted_groups[] = {"X25519MLKEM768", "X25519", "P-256", "P-384"};

/* One unknown name fails a whole list, and '?' (optional) is not known before 3.3: so each name
 * is tried by itself, on a context that is thrown away. *no_memory is set where that was why it
 * was not taken, which says nothing about the name. */
static bool library_takes_groups(SSL_CTX *scratch, const char *list, bool *no_memory)
{
    bool taken = SSL_CTX_set1_groups_list(scratch, list) == 1;

    *no_memory |= tls_error_take_no_memory();
    return taken;
}

/* False: out of memory. */
static bool choose_groups(SSL_CTX *scratch, char list[GROUPS_MAX])
{
    bool no_memory = false;
    size_t used = 0;
    size_t i;

    if (library_takes_groups(scratch, GROUPS_HYBRID_FIRST, &no_memory)) {
        (void)snprintf(list, GROUPS_MAX, "%s", GROUPS_HYBRID_FIRST);
        return true;
    }
    list[0] = '\0';
    for (i = 0; i < sizeof(wanted_groups) / sizeof(wanted_groups[0]); i++) {
        if (library_takes_groups(scratch, wanted_groups[i], &no_memory)) {
            int n = snprintf(list + used, GROUPS_MAX - used, "%s%s", used > 0 ? ":" : "",
                             wanted_groups[i]);

            used += (size_t)n;
        }
    }
    return !no_memory;
}

static enum tlsmsg_code set_groups(SSL_CTX *ctx, struct tlsmsg_error *err)
{
    char list[GROUPS_MAX];
    SSL_CTX *scratch = SSL_CTX_new(TLS_method());
    bool chosen;

    if (scratch == NULL) {
        return tls_error_config(err, TLSMSG_ERR_NOMEM, "cannot start the TLS library");
    }
    chosen = choose_groups(scratch, list);
    SSL_CTX_free(scratch);
    if (!chosen) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    if (list[0] == '\0') {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "the TLS library has none of the groups X25519, P-256, P-384");
    }
    /* It has taken each of them before. */
    if (SSL_CTX_set1_groups_list(ctx, list) != 1) {
        return tls_error_config(err, TLSMSG_ERR_NOMEM, "cannot use the groups %s", list);
    }
    return TLSMSG_OK;
}

/* Writes those of a list that the context has, as the system's openssl.cnf has left it; false: none. */
static bool keep_suites(SSL_CTX *ctx, const char *list, char kept[SUITES_MAX])
{
    const STACK_OF(SSL_CIPHER) *had = SSL_CTX_get_ciphers(ctx);
    size_t used = 0;

    kept[0] = '\0';
    for (const char *name = list; *name != '\0'; name += name[0] == ':') {
        size_t len = strcspn(name, ":");

        for (int i = 0; i < sk_SSL_CIPHER_num(had); i++) {
            const char *one = SSL_CIPHER_get_name(sk_SSL_CIPHER_value(had, i));

            if (strlen(one) == len && memcmp(one, name, len) == 0) {
                used += (size_t)snprintf(kept + used, SUITES_MAX - used, "%s%s",
                                         used > 0 ? ":" : "", one);
            }
        }
        name += len;
    }
    return used > 0;
}

/* The policy's, in its order, without those that the system leaves out. A system that has none of them
 * for TLS 1.2 does without it; TLS 1.3 can't be taken away. */
static enum tlsmsg_code set_suites(SSL_CTX *ctx, struct tlsmsg_error *err)
{
    char new_ones[SUITES_MAX];
    char old_ones[SUITES_MAX];
    bool has_new = keep_suites(ctx, SUITES_13, new_ones);
    bool has_old = keep_suites(ctx, SUITES_12, old_ones);

    if (SSL_CTX_set_ciphersuites(ctx, has_new ? new_ones : SUITES_13) != 1 ||
        SSL_CTX_set_cipher_list(ctx, has_old ? old_ones : SUITES_12) != 1 ||
        (!has_old && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1)) {
        return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot use the policy's cipher suites");
    }
    return TLSMSG_OK;
}

/* The system's openssl.cnf has been applied already (SSL_CTX_new(3)). What it may have loosened is
 * taken back here and in the next two; what it tightens stays. */
static enum tlsmsg_code set_bounds(SSL_CTX *ctx, int lowest, struct tlsmsg_error *err)
{
    long configured = SSL_CTX_get_min_proto_version(ctx);

    if (SSL_CTX_set_min_proto_version(ctx, configured > lowest ? configured : lowest) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1) {
        return tls_error_config(err, TLSMSG_ERR_CONFIG, "cannot set the TLS versions");
    }
    if (SSL_CTX_get_security_level(ctx) < SECURITY_LEVEL_MIN) {
        SSL_CTX_set_security_level(ctx, SECURITY_LEVEL_MIN);
    }
    return TLSMSG_OK;
}

static void set_options(SSL_CTX *ctx)
{
    SSL_CTX_clear_options(ctx, SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
                                   SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_IGNORE_UNEXPECTED_EOF |
                                   SSL_OP_NO_TICKET | SSL_OP_ALLOW_CLIENT_RENEGOTIATION |
                                   SSL_OP_NO_EXTENDED_MASTER_SECRET | SSL_OP_ALLOW_NO_DHE_KEX |
                                   SSL_OP_NO_TLSv1_3);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* Partial writes from buffers that move: what waits to be sent lives in a queue.
     * Auto-retry stays on: without it a read that met a key update would say "try again" with
     * records left in the read-ahead buffer, and no poll would ever wake for those. */
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(ctx, 1);
    /* None is allowed, and what a client sends all the same, with a ticket of somebody else's, is
     * skipped (RFC 8446 section 4.2.10). */
    SSL_CTX_set_max_early_data(ctx, 0);
    SSL_CTX_set_recv_max_early_data(ctx, EARLY_DATA_SKIPPED_MAX);
    /* Sessions live in tickets or nowhere; in TLS 1.3 the transport asks for the one ticket. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
}

static enum tlsmsg_code apply(SSL_CTX *ctx, const struct tls_settings *settings,
                              struct tlsmsg_error *err)
{
    int lowest = settings->tls_min == 13 ? TLS1_3_VERSION : TLS1_2_VERSION;
    enum tlsmsg_code code = set_bounds(ctx, lowest, err);

    if (code != TLSMSG_OK) {
        return code;
    }
    code = set_suites(ctx, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    code = set_groups(ctx, err);
    if (code != TLSMSG_OK) {
        return code;
    }
    set_options(ctx);
    return TLSMSG_OK;
}

enum tlsmsg_code policy_context_new(const struct tls_settings *settings, SSL_CTX **out,
                                    struct tlsmsg_error *err)
{
    bool is_server = settings->is_server;
    enum tlsmsg_code code;
    SSL_CTX *ctx;

    tls_error_begin();
    ctx = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    if (ctx == NULL) {
        return tls_error_config(err, TLSMSG_ERR_NOMEM, "cannot start the TLS library");
    }
    code = apply(ctx, settings, err);
    if (code != TLSMSG_OK) {
        SSL_CTX_free(ctx);
        return code;
    }
    if (is_server) {
        alpn_select(ctx);
    } else if (!settings->document_flow && !alpn_offer(ctx)) {
        SSL_CTX_free(ctx);
        return tls_error_config(err, TLSMSG_ERR_NOMEM, "cannot start the TLS library");
    }
    *out = ctx;
    return TLSMSG_OK;
}

const char *policy_group_name(const char *library_name)
{
    static const char *const names[][2] = {
        {"x25519", "X25519"},
        {"secp256r1", "P-256"},
        {"prime256v1", "P-256"},
        {"secp384r1", "P-384"},
    };
    size_t i;

    for (i = 0; library_name != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(library_name, names[i][0]) == 0) {
            return names[i][1];
        }
    }
    return library_name;
}
