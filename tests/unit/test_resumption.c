/* Resumption: in both versions, with client certificates, over a reload; and never at the cost of
 * a message or under other trust. */
#include <string.h>

#include "support/tls_ends.h"
#include "support/unit.h"

static struct tls_files files;

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
    RUN_ROWS(failed, test_resumes_again_and_again, versions);
    RUN_ROWS(failed, test_survives_a_reload, versions);
    RUN_ROWS(failed, test_with_client_certificates, versions);
    RUN_ROWS(failed, test_not_under_other_trust, versions);
    RUN_ROWS(failed, test_a_ticket_is_hours_old_at_most, versions);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    tls_files_remove(&files);
    return failed;
}
