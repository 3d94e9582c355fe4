/* Resumption: in both versions, with client certificates, over a reload; and never at the cost of
 * a message, under other trust, or where a full handshake would be refused now. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/glob_text.h"
#include "support/tls_ends.h"
#include "support/unit.h"

#define HOUR_S 3600

static struct tls_files files;
static struct test_cert issuer; /* between the CA and carol */
static struct test_cert carol;
static time_t later_s; /* what the transport takes for the time lies so much later */

time_t __real_time(time_t *out);
time_t __wrap_time(time_t *out);

time_t __wrap_time(time_t *out)
{
    time_t now = __real_time(NULL) + later_s;

    if (out != NULL) {
        *out = now;
    }
    return now;
}

struct version {
    const char *name;
    int version;
};

static const struct version versions[] = {{"TLS 1.2", TLS1_2_VERSION}, {"TLS 1.3", TLS1_3_VERSION}};

static struct tlsmsg_options *open_options(void)
{
    return tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                       "server.key", TLSMSG_OPT_COUNT);
}

static struct tlsmsg_options *open_options_with(const char *ticket_keys)
{
    return tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                       "server.key", TLSMSG_OPT_TICKET_KEYS, ticket_keys, TLSMSG_OPT_COUNT);
}

static struct tlsmsg_options *strict_options(const char *ca)
{
    return tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                       "server.key", TLSMSG_OPT_CLIENT_CA, ca, TLSMSG_OPT_COUNT);
}

static void show_certificate(struct bare_client *c)
{
    assert_int_equal(SSL_CTX_use_certificate(c->ctx, files.alice.cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(c->ctx, files.alice.key), 1);
}

/* One connection with a message; true where it was resumed. */
static bool visit(struct bare_client *c, struct transport_config *server)
{
    struct tlsmsg_tls tls;

    bare_client_join(c, server, c->session);
    assert_true(bare_client_handshake(c));
    assert_true(bare_client_talk(c, "hello"));
    (void)transport_describe(c->server.transport, &tls);
    assert_int_equal(tls.resumed, SSL_session_reused(c->ssl));
    assert_non_null(c->session);
    return tls.resumed;
}

static void test_resumes_again_and_again(void **state)
{
    const struct version *row = *state;
    struct transport_config *server = tls_config_from(open_options(), NULL);
    struct bare_client c;
    int i;

    bare_client_init(&c, &files, row->version);
    assert_false(visit(&c, server));
    for (i = 0; i < 4; i++) {
        c.tickets = 0;
        assert_true(visit(&c, server));
        /* A ticket is for one use in TLS 1.3: each visit brings the next. */
        assert_int_equal(c.tickets, row->version == TLS1_3_VERSION ? 1 : 0);
        assert_int_equal(SSL_SESSION_get_max_early_data(c.session), 0);
    }
    bare_client_fini(&c);
    transport_config_unref(server);
}

static void test_survives_a_reload(void **state)
{
    const struct version *row = *state;
    struct transport_config *before = tls_config_from(open_options(), NULL);
    struct transport_config *after = tls_config_from(open_options(), before);
    struct transport_config *stranger = tls_config_from(open_options(), NULL);
    struct bare_client c;

    bare_client_init(&c, &files, row->version);
    assert_false(visit(&c, before));
    bare_client_part(&c);
    transport_config_unref(before);
    assert_true(visit(&c, after));
    assert_false(visit(&c, stranger));
    bare_client_fini(&c);
    transport_config_unref(after);
    transport_config_unref(stranger);
}

/* Keys of a file are the file's: they go when it is no longer named. */
static void test_keys_of_a_file_do_not_survive_it(void **state)
{
    const struct version *row = *state;
    struct transport_config *before = tls_config_from(open_options_with("ticket.keys"), NULL);
    struct transport_config *same = tls_config_from(open_options_with("ticket.keys"), before);
    struct transport_config *after = tls_config_from(open_options(), before);
    struct bare_client c;

    bare_client_init(&c, &files, row->version);
    assert_false(visit(&c, before));
    assert_true(visit(&c, same));
    assert_false(visit(&c, after));
    assert_true(visit(&c, after));
    bare_client_fini(&c);
    transport_config_unref(before);
    transport_config_unref(same);
    transport_config_unref(after);
}

static void test_with_client_certificates(void **state)
{
    const struct version *row = *state;
    struct transport_config *server = tls_config_from(strict_options("ca.crt"), NULL);
    struct tlsmsg_tls tls;
    struct bare_client c;

    bare_client_init(&c, &files, row->version);
    show_certificate(&c);
    assert_false(visit(&c, server));
    assert_true(visit(&c, server));
    (void)transport_describe(c.server.transport, &tls);
    assert_non_null(tls.identity);
    assert_string_equal(tls.identity, "CN=alice");
    bare_client_fini(&c);
    transport_config_unref(server);
}

/* A session begun where nobody was asked must not open a door where a certificate is wanted. */
static void test_not_under_other_trust(void **state)
{
    const struct version *row = *state;
    struct transport_config *open_door = tls_config_from(open_options(), NULL);
    struct transport_config *strict = tls_config_from(strict_options("ca.crt"), open_door);
    struct transport_config *other = tls_config_from(strict_options("both.crt"), open_door);
    struct bare_client c;

    bare_client_init(&c, &files, row->version);
    assert_false(visit(&c, open_door));
    bare_client_join(&c, strict, c.session);
    if (bare_client_handshake(&c)) {
        assert_false(bare_client_talk(&c, "hello"));
    }
    assert_int_equal(c.server.code, TLSMSG_ERR_UNTRUSTED);
    show_certificate(&c);
    assert_false(visit(&c, strict));
    assert_true(visit(&c, strict));
    assert_false(visit(&c, other));
    bare_client_fini(&c);
    transport_config_unref(open_door);
    transport_config_unref(strict);
    transport_config_unref(other);
}

/* In TLS 1.3 nothing is written after the handshake until there is a reply; then the ticket goes
 * along in the same segment. */
static void test_the_ticket_travels_with_the_reply(void **state)
{
    struct transport_config *server = tls_config_from(open_options(), NULL);
    struct bare_client c;
    size_t before;
    unsigned writes;

    (void)state;
    bare_client_init(&c, &files, TLS1_3_VERSION);
    bare_client_join(&c, server, NULL);
    assert_true(bare_client_handshake(&c));
    before = c.to_client.total;
    pair_step(&c.server);
    assert_int_equal(c.to_client.total, before);
    writes = c.to_client.writes;
    assert_int_equal(c.to_client.corked, 0);
    assert_true(bare_client_talk(&c, "hello"));
    assert_int_equal(c.tickets, 1);
    assert_int_equal(c.to_client.writes, writes + 2);
    assert_int_equal(c.to_client.corked, 1);
    assert_true(bare_client_talk(&c, "once more"));
    assert_int_equal(c.tickets, 1);
    assert_int_equal(c.to_client.writes, writes + 3);
    assert_int_equal(c.to_client.corked, 1);
    bare_client_fini(&c);
    transport_config_unref(server);
}

static void test_a_ticket_is_hours_old_at_most(void **state)
{
    const struct version *row = *state;
    struct transport_config *server = tls_config_from(open_options(), NULL);
    struct bare_client c;

    bare_client_init(&c, &files, row->version);
    assert_false(visit(&c, server));
    assert_in_range(SSL_SESSION_get_ticket_lifetime_hint(c.session), 3600, 24 * 3600);
    bare_client_fini(&c);
    transport_config_unref(server);
}

/* ---- what a full handshake would refuse now */

static void show_carol(struct bare_client *c)
{
    assert_int_equal(SSL_CTX_use_certificate(c->ctx, carol.cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(c->ctx, carol.key), 1);
    assert_int_equal(SSL_CTX_add1_chain_cert(c->ctx, issuer.cert), 1);
}

static struct transport_config *server_with(const char *crl, enum tlsmsg_option option,
                                            const char *value)
{
    return tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                      "server.key", TLSMSG_OPT_CLIENT_CA, "ca.crt", TLSMSG_OPT_CRL, crl,
                      TLSMSG_OPT_TICKET_KEYS, "ticket.keys", option, value, TLSMSG_OPT_COUNT);
}

struct change {
    const char *name;
    const char *crl; /* of the server that is visited second; both share their ticket keys */
    enum tlsmsg_option option;
    const char *value;
    long later_s;
    bool resumes;
    const char *refusal; /* NULL: the full handshake is taken */
};

static const struct change changes[] = {
    {"nothing", "nobody.crl", TLSMSG_OPT_COUNT, NULL, 60, true, NULL},
    {"her issuer is revoked", "issuer.crl", TLSMSG_OPT_COUNT, NULL, 0, false,
     "cannot verify client 'CN=carol': its issuer's certificate is revoked"},
    {"she is revoked", "carol.crl", TLSMSG_OPT_COUNT, NULL, 0, false,
     "cannot verify client 'CN=carol': its certificate is revoked"},
    {"a new list that names nobody", "fresh.crl", TLSMSG_OPT_COUNT, NULL, 0, false, NULL},
    {"she is allowed", "nobody.crl", TLSMSG_OPT_ALLOW, "CN=carol", 0, true, NULL},
    {"others are allowed", "nobody.crl", TLSMSG_OPT_ALLOW, "CN=alice", 0, false,
     "client 'CN=carol' is not on the allow list"},
    {"her issuer is not over yet", "nobody.crl", TLSMSG_OPT_COUNT, NULL, HOUR_S, true, NULL},
    {"her issuer is over", "nobody.crl", TLSMSG_OPT_COUNT, NULL, 3 * HOUR_S, false, NULL},
    {"the clock is before her issuer's begin", "nobody.crl", TLSMSG_OPT_COUNT, NULL, -2 * HOUR_S,
     false, NULL},
};

static void check_change(const struct change *row, int version)
{
    struct transport_config *before = server_with("nobody.crl", TLSMSG_OPT_COUNT, NULL);
    struct transport_config *after = server_with(row->crl, row->option, row->value);
    struct bare_client c;

    bare_client_init(&c, &files, version);
    show_carol(&c);
    assert_false(visit(&c, before));
    later_s = row->later_s;
    if (row->refusal == NULL) {
        assert_int_equal(visit(&c, after), row->resumes);
    } else {
        bare_client_join(&c, after, c.session);
        assert_false(bare_client_handshake(&c) && bare_client_talk(&c, "hello"));
        assert_int_equal(c.server.code, TLSMSG_ERR_UNTRUSTED);
        assert_string_equal(c.server.error.text, row->refusal);
    }
    later_s = 0;
    bare_client_fini(&c);
    transport_config_unref(before);
    transport_config_unref(after);
}

static void test_as_strict_as_a_full_handshake(void **state)
{
    check_change(*state, TLS1_2_VERSION);
    check_change(*state, TLS1_3_VERSION);
}

static void test_a_list_that_has_ended_ends_sessions(void **state)
{
    const struct version *row = *state;
    struct transport_config *server = server_with("short.crl", TLSMSG_OPT_COUNT, NULL);
    struct bare_client c;

    bare_client_init(&c, &files, row->version);
    show_carol(&c);
    assert_false(visit(&c, server));
    assert_true(visit(&c, server));
    later_s = HOUR_S;
    assert_false(visit(&c, server));
    later_s = 0;
    bare_client_fini(&c);
    transport_config_unref(server);
}

/* However often it is resumed meanwhile, with whichever of its tickets. */
static void test_a_session_ends_for_good(void **state)
{
    const struct version *row = *state;
    struct transport_config *server = tls_config_from(open_options(), NULL);
    struct bare_client c;

    bare_client_init(&c, &files, row->version);
    assert_false(visit(&c, server));
    for (later_s = HOUR_S; later_s < 4 * HOUR_S; later_s += HOUR_S) {
        assert_true(visit(&c, server));
        if (row->version == TLS1_3_VERSION) {
            assert_in_range(SSL_SESSION_get_ticket_lifetime_hint(c.session), 1,
                            4 * HOUR_S - later_s);
        }
    }
    assert_int_equal(later_s, 4 * HOUR_S);
    assert_false(visit(&c, server));
    assert_true(visit(&c, server)); /* a new one has begun */
    later_s = 0;
    bare_client_fini(&c);
    transport_config_unref(server);
}

/* A ticket of the key before is renewed, and the new one is good for the rest of the session's life. */
static void test_a_renewed_ticket_lives_on(void **state)
{
    const struct version *row = *state;
    struct transport_config *before = tls_config_from(open_options_with("ticket.keys"), NULL);
    struct transport_config *after = tls_config_from(open_options_with("rotated.keys"), NULL);
    const unsigned char *ticket = NULL;
    struct bare_client c;
    size_t len = 0;

    bare_client_init(&c, &files, row->version);
    assert_false(visit(&c, before));
    later_s = 3 * HOUR_S;
    assert_true(visit(&c, after));
    SSL_SESSION_free(c.session); /* in TLS 1.2 the library tells of new sessions alone */
    c.session = SSL_get1_session(c.ssl);
    SSL_SESSION_get0_ticket(c.session, &ticket, &len);
    assert_true(len > 0 && ticket[0] == 0x30); /* the name of the key */
    assert_true(visit(&c, after));
    later_s = 4 * HOUR_S;
    assert_false(visit(&c, after));
    later_s = 0;
    bare_client_fini(&c);
    transport_config_unref(before);
    transport_config_unref(after);
}

/* ---- certificates that are too long for a ticket */

static void make_long(struct test_cert *out, unsigned names)
{
    const size_t each = sizeof("DNS:host-0000.example,") - 1;
    char *text = calloc(names, each + 1);

    assert_non_null(text);
    for (unsigned i = 0; i < names; i++) {
        (void)snprintf(text + i * each, each + 1, "DNS:host-%04u.example,", i % 10000);
    }
    text[names * each - 1] = '\0';
    test_cert_make(out, &(struct test_cert_spec){
                            .common_name = "long", .issuer = &files.ca, .alternative_names = text});
    free(text);
}

struct length {
    const char *name;
    int version;
    unsigned names; /* each is 19 bytes long in the certificate */
    unsigned tickets;
    const char *refusal; /* NULL: answered */
};

static const struct length lengths[] = {
    {"TLS 1.3, 20 KiB", TLS1_3_VERSION, 1000, 1, NULL},
    {"TLS 1.3, 40 KiB", TLS1_3_VERSION, 2000, 0, NULL},
    {"TLS 1.3, 72 KB", TLS1_3_VERSION, 3600, 0, NULL},
    {"TLS 1.2, 40 KiB", TLS1_2_VERSION, 2000, 0, NULL},
    {"TLS 1.2, 72 KB", TLS1_2_VERSION, 3600, 0,
     "the client's certificate is too long for a session of TLS 1.2 (* bytes; TLS 1.3 takes it)"},
};

static void test_long_certificates_are_answered(void **state)
{
    const struct length *row = *state;
    struct transport_config *server = tls_config_from(strict_options("ca.crt"), NULL);
    struct test_cert cert;
    struct bare_client c;

    make_long(&cert, row->names);
    bare_client_init(&c, &files, row->version);
    assert_int_equal(SSL_CTX_use_certificate(c.ctx, cert.cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(c.ctx, cert.key), 1);
    bare_client_join(&c, server, NULL);
    assert_int_equal(bare_client_handshake(&c), row->refusal == NULL);
    if (row->refusal == NULL) {
        assert_true(bare_client_talk(&c, "hello"));
        assert_true(bare_client_talk(&c, "and again"));
        assert_int_equal(c.session != NULL && SSL_SESSION_has_ticket(c.session), row->tickets);
    } else {
        expect_text("the refusal", row->refusal, c.server.error.text);
    }
    bare_client_fini(&c);
    test_cert_free(&cert);
    transport_config_unref(server);
}

/* ---- */

static void write_list(const char *name, const struct test_crl_spec *by_ca,
                       const struct test_crl_spec *by_issuer)
{
    char path[TEST_PATH_MAX];

    test_crl_write(by_ca, test_folder_file(&files.folder, name, path));
    test_crl_append(by_issuer, path);
}

static void write_keys(const char *name, int previous, int current)
{
    char path[TEST_PATH_MAX];
    FILE *file = fopen(test_folder_file(&files.folder, name, path), "w");

    assert_non_null(file);
    /* The name of a key comes first in it. */
    assert_true(fprintf(file, "previous %d%0159d\ncurrent %d%0159d\n", previous, 0, current, 0) >
                0);
    assert_int_equal(fclose(file), 0);
}

static void make_chain_and_lists(void)
{
    const struct test_crl_spec none = {.issuer = &files.ca};
    const struct test_crl_spec of_issuer = {.issuer = &issuer};

    test_cert_make(&issuer, &(struct test_cert_spec){.common_name = "issuer",
                                                     .issuer = &files.ca,
                                                     .is_ca = true,
                                                     .from_s = -HOUR_S,
                                                     .until_s = 2 * HOUR_S});
    test_cert_make(&carol, &(struct test_cert_spec){.common_name = "carol", .issuer = &issuer});
    write_list("nobody.crl", &none, &of_issuer);
    write_list("fresh.crl", &none,
               &(struct test_crl_spec){.issuer = &issuer, .until_s = 5 * TEST_DAY_S});
    write_list("short.crl", &(struct test_crl_spec){.issuer = &files.ca, .until_s = HOUR_S / 2},
               &of_issuer);
    write_list("issuer.crl", &(struct test_crl_spec){.issuer = &files.ca, .revoked = &issuer},
               &of_issuer);
    write_list("carol.crl", &none, &(struct test_crl_spec){.issuer = &issuer, .revoked = &carol});
    write_keys("ticket.keys", 1, 2);
    write_keys("rotated.keys", 2, 3);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_ticket_travels_with_the_reply),
    };
    char path[TEST_PATH_MAX];
    struct test_cert second;
    int failed = 0;

    tls_files_make(&files);
    test_cert_make(&second, &(struct test_cert_spec){.common_name = "second CA", .is_ca = true});
    test_cert_write(&files.ca, test_folder_file(&files.folder, "both.crt", path));
    test_cert_append(&second, path);
    test_cert_free(&second);
    make_chain_and_lists();
    RUN_ROWS(failed, test_resumes_again_and_again, versions);
    RUN_ROWS(failed, test_survives_a_reload, versions);
    RUN_ROWS(failed, test_keys_of_a_file_do_not_survive_it, versions);
    RUN_ROWS(failed, test_with_client_certificates, versions);
    RUN_ROWS(failed, test_not_under_other_trust, versions);
    RUN_ROWS(failed, test_a_ticket_is_hours_old_at_most, versions);
    RUN_ROWS(failed, test_as_strict_as_a_full_handshake, changes);
    RUN_ROWS(failed, test_a_list_that_has_ended_ends_sessions, versions);
    RUN_ROWS(failed, test_a_session_ends_for_good, versions);
    RUN_ROWS(failed, test_a_renewed_ticket_lives_on, versions);
    RUN_ROWS(failed, test_long_certificates_are_answered, lengths);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    test_cert_free(&carol);
    test_cert_free(&issuer);
    tls_files_remove(&files);
    return failed;
}
