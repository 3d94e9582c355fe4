/* Verification: who trusts whom, and in which words the others are refused.
 *
 * Handshakes of our own client with our own server over memory; the refusing
 * side's text and what the refused side is told are both looked at. */
#include <stdio.h>
#include <string.h>

#include "support/glob_text.h"
#include "support/tls_ends.h"
#include "support/unit.h"
#include "transport/tls/x509_text.h"

static struct tls_files files;
static struct test_cert other_ca;

struct row {
    const char *name;
    const char *cert; /* NAME of NAME.crt and NAME.key */
    const char *ca;   /* the client's; NULL: the system's */
    const char *asked;
    const char *text; /* the client's cause, '*' is any bytes; NULL: it has to work */
    const char *server_text;
};

/* What the refused side is told. */
#define UNKNOWN_CA                                                                                 \
    "the client does not accept the server's certificate (alert: unknown ca): the client does "    \
    "not know its CA, or was not sent a certificate between them; try: --cert with the whole "     \
    "chain"
#define BAD_NAME                                                                                   \
    "the client does not accept the server's certificate (alert: bad certificate): perhaps it "    \
    "was asked for by a name that is not in it; try: what the client says"
#define UNKNOWN_TO_SERVER                                                                          \
    "the server does not accept this certificate (alert: unknown ca): the server does not know "   \
    "its CA, or was not sent a certificate between them; try: --cert with the whole chain"

static const struct row rows[] = {
    {"a name", "server", "ca.crt", "localhost", NULL, NULL},
    {"a name in other case", "server", "ca.crt", "LocalHost", NULL, NULL},
    {"a trailing dot", "server", "ca.crt", "localhost.", NULL, NULL},
    {"IPv4", "server", "ca.crt", "127.0.0.1", NULL, NULL},
    {"IPv6 in brackets", "server", "ca.crt", "[::1]", NULL, NULL},
    {"a wildcard", "wild", "ca.crt", "a.example.com", NULL, NULL},
    {"a self-signed leaf as its own CA", "self", "self.crt", "localhost", NULL, NULL},
    {"the leaf itself as CA", "server", "server.crt", "localhost", NULL, NULL},
    {"an unknown CA", "server", "other.crt", "localhost",
     "cannot verify server 'localhost': unknown CA 'CN=test CA': its certificate was not sent, and "
     "is not in '*/other.crt'; its pin is sha256//*; try: on the server, --cert with the whole "
     "chain; or --ca with that CA's file",
     UNKNOWN_CA},
    {"the system's CAs", "server", NULL, "localhost",
     "cannot verify server 'localhost': unknown CA 'CN=test CA' (no --ca was given, and this "
     "system doesn't know it); its pin is sha256//*; try: --ca FILE, with the CA's certificate "
     "from whoever runs the server",
     UNKNOWN_CA},
    {"a CA that has another key now", "rekeyed", "ca.crt", "localhost",
     "cannot verify server 'localhost': its signature is not by the trusted CA 'CN=test CA' in "
     "'*/ca.crt' (that CA has another key now); its pin is sha256//*; try: the CA's new "
     "certificate from whoever runs the server",
     UNKNOWN_CA},
    {"the same, with its root", "rekeyed-root", "ca.crt", "localhost",
     "cannot verify server 'localhost': its signature is not by the trusted CA 'CN=test CA' in "
     "'*/ca.crt' (that CA has another key now); its pin is sha256//*; try: the CA's new "
     "certificate from whoever runs the server",
     UNKNOWN_CA},
    {"an issuer of the right name", "mischained", "ca.crt", "localhost",
     "cannot verify server 'localhost': its signature is not by its issuer 'CN=middle' as it was "
     "sent (that one has another key); its pin is sha256//*; try: on the server, --cert with the "
     "issuer that signed it",
     UNKNOWN_CA},
    {"an issuer of the right name, by its signature", "mischained-blind", "ca.crt", "localhost",
     "cannot verify server 'localhost': its signature is not by its issuer 'CN=middle' as it was "
     "sent (that one has another key); its pin is sha256//*; try: on the server, --cert with the "
     "issuer that signed it",
     "the client gave up (alert: decrypt error)"},
    {"a CA that was renewed, and is named by its old number", "old-number", "renewed-ca.crt",
     "localhost",
     "cannot verify server 'localhost': the CA 'CN=renewed CA' in '*/renewed-ca.crt' has signed "
     "it, and can't be its issuer (authority*); its pin is sha256//*; try: the CA's certificate "
     "that issued "
     "it, from whoever runs the server",
     UNKNOWN_CA},
    {"a CA that may not issue", "unfit", "unfit-ca.crt", "localhost",
     "cannot verify server 'localhost': 'CN=unfit CA' may not issue certificates (invalid*); its "
     "pin is "
     "sha256//*; try: an issuer with CA:TRUE and keyCertSign, for the "
     "server's certificate",
     UNKNOWN_CA},
    {"a self-signed stranger", "self", "ca.crt", "localhost",
     "cannot verify server 'localhost': unknown CA (its certificate is self-signed); its pin is "
     "sha256//*; try: --ca FILE, with its certificate from whoever runs the server",
     UNKNOWN_CA},
    {"another name", "server", "ca.crt", "example.com",
     "cannot verify server 'example.com': wrong name (its certificate is for localhost, 127.0.0.1, "
     "::1); its pin is sha256//*; try: --server-name NAME, with the name that you know the server "
     "by",
     BAD_NAME},
    {"another address", "server", "ca.crt", "127.0.0.2",
     "cannot verify server '127.0.0.2': wrong name (its certificate is for localhost, 127.0.0.1, "
     "::1); its pin is sha256//*; try: --server-name NAME, with the name that you know the server "
     "by",
     BAD_NAME},
    {"a name for an address", "named", "ca.crt", "127.0.0.1",
     "cannot verify server '127.0.0.1': wrong name (its certificate is for localhost); its pin is "
     "sha256//*; try: --server-name NAME, with the name that you know the server by",
     BAD_NAME},
    {"a common name alone", "common", "ca.crt", "localhost",
     "cannot verify server 'localhost': wrong name (its certificate is for no name; a CN does not "
     "count); its pin is sha256//*; try: a certificate with subjectAltName on the server",
     BAD_NAME},
    {"an address as a name", "address", "ca.crt", "127.0.0.1",
     "cannot verify server '127.0.0.1': wrong name (its certificate has the address as a DNS "
     "name); "
     "its pin is sha256//*; try: a certificate with IP:ADDRESS in its subjectAltName on the server",
     BAD_NAME},
    {"a wildcard over two labels", "wild", "ca.crt", "a.b.example.com",
     "cannot verify server 'a.b.example.com': wrong name (its certificate is for *.example.com); "
     "its pin is sha256//*; try: --server-name NAME, with the name that you know the server by",
     BAD_NAME},
    {"a partial wildcard", "partial", "ca.crt", "ax.example.com",
     "cannot verify server 'ax.example.com': wrong name (its certificate is for a*.example.com); "
     "its pin is sha256//*; try: --server-name NAME, with the name that you know the server by",
     BAD_NAME},
    {"a subdomain is no match", "server", "ca.crt", "x.localhost",
     "cannot verify server 'x.localhost': wrong name (its certificate is for localhost, 127.0.0.1, "
     "::1); its pin is sha256//*; try: --server-name NAME, with the name that you know the server "
     "by",
     BAD_NAME},
};

/* Writes a server's certificate under an issuer, with what stands behind it; frees none of them. */
static void write_chain(const char *name, const struct test_cert_spec *spec,
                        const struct test_cert *behind)
{
    struct test_cert cert;
    char file[64];
    char path[TEST_PATH_MAX];

    test_cert_make(&cert, spec);
    (void)snprintf(file, sizeof(file), "%s.key", name);
    test_cert_write_key(&cert, test_folder_file(&files.folder, file, path), NULL);
    (void)snprintf(file, sizeof(file), "%s.crt", name);
    test_cert_write(&cert, test_folder_file(&files.folder, file, path));
    if (behind != NULL) {
        test_cert_append(behind, path);
    }
    test_cert_free(&cert);
}

/* Chains that name an issuer which is there, and has another key. */
static void write_namesakes(const struct test_cert *old_ca)
{
    struct test_cert_spec spec = {.alternative_names = "DNS:localhost", .issuer = old_ca};
    const struct test_cert_spec middle = {
        .common_name = "middle", .issuer = &files.ca, .is_ca = true};
    struct test_cert one;
    struct test_cert other;
    char path[TEST_PATH_MAX];

    write_chain("rekeyed", &spec, NULL);
    write_chain("rekeyed-root", &spec, old_ca);
    spec.common_name = "resigned";
    write_chain("resigned-by-id", &spec, NULL);
    test_cert_make(&one, &middle);
    test_cert_make(&other, &middle);
    spec.issuer = &one;
    write_chain("mischained", &spec, &other);
    spec.lacks_key_id = true;
    write_chain("mischained-blind", &spec, &other);
    test_cert_free(&one);
    test_cert_free(&other);
    test_cert_make(&one, &(struct test_cert_spec){
                             .common_name = "unfit CA", .is_ca = true, .key_usage = "cRLSign"});
    test_cert_write(&one, test_folder_file(&files.folder, "unfit-ca.crt", path));
    spec.issuer = &one;
    write_chain("unfit", &spec, NULL);
    test_cert_free(&one);
    test_cert_make(&one, &(struct test_cert_spec){.common_name = "renewed CA", .is_ca = true});
    test_cert_make(&other, &(struct test_cert_spec){
                               .common_name = "renewed CA", .is_ca = true, .key = one.key});
    test_cert_write(&other, test_folder_file(&files.folder, "renewed-ca.crt", path));
    spec = (struct test_cert_spec){
        .alternative_names = "DNS:localhost", .issuer = &one, .key_id = "issuer:always"};
    write_chain("old-number", &spec, NULL);
    test_cert_free(&one);
    test_cert_free(&other);
}

static int set_up(void **state)
{
    struct test_cert old_ca; /* of the same name as the CA */
    struct test_cert cert;
    char path[TEST_PATH_MAX];

    (void)state;
    tls_files_make(&files);
    test_cert_make(&other_ca, &(struct test_cert_spec){.common_name = "other CA", .is_ca = true});
    test_cert_write(&other_ca, test_folder_file(&files.folder, "other.crt", path));
    test_cert_make(&cert, &(struct test_cert_spec){.common_name = "self",
                                                   .alternative_names = "DNS:localhost"});
    test_cert_write(&cert, test_folder_file(&files.folder, "self.crt", path));
    test_cert_write_key(&cert, test_folder_file(&files.folder, "self.key", path), NULL);
    test_cert_free(&cert);
    test_cert_make(&cert, &(struct test_cert_spec){.common_name = "mallory", .issuer = &other_ca});
    test_cert_write(&cert, test_folder_file(&files.folder, "mallory.crt", path));
    test_cert_write_key(&cert, test_folder_file(&files.folder, "mallory.key", path), NULL);
    test_cert_free(&cert);
    test_cert_make(&old_ca, &(struct test_cert_spec){.common_name = "test CA", .is_ca = true});
    test_cert_make(&cert, &(struct test_cert_spec){
                              .common_name = "resigned", .issuer = &old_ca, .lacks_key_id = true});
    test_cert_write(&cert, test_folder_file(&files.folder, "resigned.crt", path));
    test_cert_write_key(&cert, test_folder_file(&files.folder, "resigned.key", path), NULL);
    write_namesakes(&old_ca);
    test_cert_free(&old_ca);
    test_cert_free(&cert);
    tls_files_leaf(&files, "common", &(struct test_cert_spec){.common_name = "localhost"});
    tls_files_leaf(&files, "named", &(struct test_cert_spec){.alternative_names = "DNS:localhost"});
    tls_files_leaf(&files, "address",
                   &(struct test_cert_spec){.alternative_names = "DNS:127.0.0.1"});
    tls_files_leaf(&files, "wild",
                   &(struct test_cert_spec){.alternative_names = "DNS:*.example.com"});
    tls_files_leaf(&files, "partial",
                   &(struct test_cert_spec){.alternative_names = "DNS:a*.example.com"});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_cert_free(&other_ca);
    tls_files_remove(&files);
    return 0;
}

static struct transport_config *server_with(const char *name)
{
    char cert[64];
    char key[64];

    (void)snprintf(cert, sizeof(cert), "%s.crt", name);
    (void)snprintf(key, sizeof(key), "%s.key", name);
    return tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, cert, TLSMSG_OPT_KEY, key,
                      TLSMSG_OPT_COUNT);
}

static struct transport_config *client_with(const char *ca)
{
    return ca == NULL ? tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_COUNT)
                      : tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, ca, TLSMSG_OPT_COUNT);
}

static void test_servers(void **state)
{
    const struct row *row = *state;
    struct transport_config *server = server_with(row->cert);
    struct transport_config *client = client_with(row->ca);
    struct pair p;

    pair_init(&p, server, client, row->asked);
    pair_client_says(&p, "hello", 5);
    assert_true(pair_run(&p, TLS_STEPS));
    if (row->text == NULL) {
        assert_string_equal(p.client.error.text, "");
        assert_int_equal(p.client.code, TLSMSG_OK);
        assert_int_equal(p.server.in_len, 5);
    } else {
        assert_int_equal(p.client.code, TLSMSG_ERR_UNTRUSTED);
        expect_text("the client's cause", row->text, p.client.error.text);
        /* Not a byte of the message left, and the alert did. */
        assert_int_equal(p.server.in_len, 0);
        assert_false(p.client.opened);
        assert_int_equal(p.server.code, TLSMSG_ERR_HANDSHAKE);
        expect_text("the server's cause", row->server_text, p.server.error.text);
    }
    pair_fini(&p);
    transport_config_unref(server);
    transport_config_unref(client);
}

/* Our own server refuses to start with such certificates, so a bare library serves them. */
struct dates {
    const char *name;
    long from_s;
    long until_s;
    const char *from_text;
    const char *until_text;
    const char *text;
};

static const struct dates dates[] = {
    {"an expired certificate", -5 * TEST_DAY_S, -TEST_DAY_S, NULL, NULL,
     "cannot verify server 'localhost': its certificate expired on 20*; its pin is sha256//*; try: "
     "a new certificate on the server (or is this clock wrong?)"},
    {"a certificate for tomorrow", TEST_DAY_S, 5 * TEST_DAY_S, NULL, NULL,
     "cannot verify server 'localhost': its certificate is not yet valid (from 20* on); its pin is "
     "sha256//*; try: the clocks of both machines"},
    {"an end that is no date", 0, 0, NULL, "some other day",
     "cannot verify server 'localhost': *notAfter field; its pin is "
     "sha256//*"},
    {"a beginning that is no date", 0, 0, "some other day", NULL,
     "cannot verify server 'localhost': *notBefore field; its pin is "
     "sha256//*"},
};

static void test_dates(void **state)
{
    const struct dates *row = *state;
    struct transport_config *config = client_with("ca.crt");
    struct bare_server s;
    struct test_cert cert;

    test_cert_make(&cert, &(struct test_cert_spec){.alternative_names = "DNS:localhost",
                                                   .issuer = &files.ca,
                                                   .from_s = row->from_s,
                                                   .until_s = row->until_s,
                                                   .from_text = row->from_text,
                                                   .until_text = row->until_text});
    bare_server_init(&s, &cert, 0);
    bare_server_join(&s, config, "localhost");
    assert_false(bare_server_handshake(&s));
    assert_int_equal(s.client.code, TLSMSG_ERR_UNTRUSTED);
    expect_text("the cause", row->text, s.client.error.text);
    if (row->from_text == NULL && row->until_text == NULL) {
        char date[X509_TEXT_DATE_MAX];

        x509_text_date(
            row->from_s > 0 ? X509_get0_notBefore(cert.cert) : X509_get0_notAfter(cert.cert), date);
        assert_non_null(strstr(s.client.error.text, date));
    }
    bare_server_fini(&s);
    test_cert_free(&cert);
    transport_config_unref(config);
}

struct client_row {
    const char *name;
    const char *cert;     /* NAME, or NULL for none */
    const char *identity; /* not NULL: accepted */
    const char *server_text;
    const char *client_text;
};

static const struct client_row client_rows[] = {
    {"a client's certificate", "alice", "CN=alice", NULL, NULL},
    {"no certificate", NULL, NULL, "TLS handshake failed: the client shows no certificate",
     "the server wants a client certificate (alert: certificate required); --cert and --key give "
     "one"},
    {"another CA's certificate", "mallory", NULL,
     "cannot verify client 'CN=mallory': unknown CA 'CN=other CA': its certificate was not sent, "
     "and is not in '*/ca.crt'; try: on the client, --cert with the whole chain; or that CA in "
     "--client-ca",
     UNKNOWN_TO_SERVER},
    {"of a CA that has another key now", "resigned", NULL,
     "cannot verify client 'CN=resigned': its signature is not by the trusted CA 'CN=test CA' in "
     "'*/ca.crt' (that CA has another key now); try: the CA's new certificate in --client-ca, or a "
     "new one for the client",
     "the server does not accept this certificate (alert: decrypt error): perhaps its CA has "
     "another key now; try: a new certificate from whoever runs the server"},
    {"the same, told by the key's id", "resigned-by-id", NULL,
     "cannot verify client 'CN=resigned': its signature is not by the trusted CA 'CN=test CA' in "
     "'*/ca.crt' (that CA has another key now); try: the CA's new certificate in --client-ca, or a "
     "new one for the client",
     UNKNOWN_TO_SERVER},
};

static struct transport_config *client_showing(const char *name)
{
    char cert[64];
    char key[64];

    if (name == NULL) {
        return client_with("ca.crt");
    }
    (void)snprintf(cert, sizeof(cert), "%s.crt", name);
    (void)snprintf(key, sizeof(key), "%s.key", name);
    return tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, "ca.crt", TLSMSG_OPT_CERT, cert,
                      TLSMSG_OPT_KEY, key, TLSMSG_OPT_COUNT);
}

static void test_clients(void **state)
{
    const struct client_row *row = *state;
    struct transport_config *server =
        tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                   "server.key", TLSMSG_OPT_CLIENT_CA, "ca.crt", TLSMSG_OPT_COUNT);
    struct transport_config *client = client_showing(row->cert);
    struct tlsmsg_tls tls;
    struct pair p;

    pair_init(&p, server, client, "localhost");
    pair_client_says(&p, "hello", 5);
    assert_true(pair_run(&p, TLS_STEPS));
    if (row->identity != NULL) {
        assert_int_equal(p.client.code, TLSMSG_OK);
        assert_int_equal(p.server.code, TLSMSG_OK);
        (void)transport_describe(p.server.transport, &tls);
        assert_non_null(tls.identity);
        assert_string_equal(tls.identity, row->identity);
    } else {
        assert_false(p.server.opened);
        assert_int_equal(p.server.in_len, 0);
        assert_int_equal(p.server.code, TLSMSG_ERR_UNTRUSTED);
        expect_text("the server's cause", row->server_text, p.server.error.text);
        assert_int_equal(p.client.code, TLSMSG_ERR_REFUSED);
        expect_text("the client's cause", row->client_text, p.client.error.text);
    }
    pair_fini(&p);
    transport_config_unref(server);
    transport_config_unref(client);
}

/* What --client-ca holds is trusted, be it a client's own certificate. */
static void test_a_client_as_its_own_ca(void **state)
{
    struct transport_config *server =
        tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                   "server.key", TLSMSG_OPT_CLIENT_CA, "alice.crt", TLSMSG_OPT_COUNT);
    struct transport_config *client = client_showing("alice");
    struct pair p;

    (void)state;
    pair_init(&p, server, client, "localhost");
    pair_client_says(&p, "hello", 5);
    assert_true(pair_run(&p, TLS_STEPS));
    assert_string_equal(p.server.error.text, "");
    assert_int_equal(p.client.code, TLSMSG_OK);
    assert_int_equal(p.server.in_len, 5);
    pair_fini(&p);
    transport_config_unref(server);
    transport_config_unref(client);
}

static void test_a_name_that_is_none(void **state)
{
    struct transport_config *client = client_with("ca.crt");
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct memory_pipe pipe;
    struct memory_source source;
    struct transport *t = NULL;

    (void)state;
    memory_pipe_init(&pipe, 100);
    memory_source_init(&source, &pipe, &pipe);
    assert_int_equal(transport_new(client, &source.base, ".example.com", &t, &err),
                     TLSMSG_ERR_CONFIG);
    assert_null(t);
    assert_string_equal(err.text,
                        "'.example.com' is not a server name (a name with other letters is "
                        "written as xn--...)");
    memory_pipe_fini(&pipe);
    transport_config_unref(client);
}

/* An address is no server name: the ClientHello must not carry it (RFC 6066 section 3). */
static void test_no_sni_for_addresses(void **state)
{
    static const struct {
        const char *asked;
        const char *sni;
    } cases[] = {{"localhost", "localhost"}, {"127.0.0.1", NULL}, {"::1", NULL}};
    struct transport_config *client = client_with("ca.crt");
    struct transport_config *server = server_with("server");
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        struct pair p;
        bool found = false;
        size_t at;

        pair_init(&p, server, client, cases[i].asked);
        pair_step(&p.client);
        for (at = 0; at + strlen(cases[i].asked) <= p.to_server.len; at++) {
            found |= memcmp(p.to_server.data + at, cases[i].asked, strlen(cases[i].asked)) == 0;
        }
        assert_int_equal(found, cases[i].sni != NULL);
        pair_fini(&p);
    }
    transport_config_unref(client);
    transport_config_unref(server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_as_its_own_ca),
        cmocka_unit_test(test_a_name_that_is_none),
        cmocka_unit_test(test_no_sni_for_addresses),
    };
    int failed = 0;

    (void)set_up(NULL);
    RUN_ROWS(failed, test_servers, rows);
    RUN_ROWS(failed, test_dates, dates);
    RUN_ROWS(failed, test_clients, client_rows);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    (void)tear_down(NULL);
    return failed;
}
