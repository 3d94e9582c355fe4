/* How long a session can be resumed, to the second: for as long as the shortest of what it rests on. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/pem.h>

#include "support/tls_ends.h"
#include "support/unit.h"
#include "transport/tls/internal.h"
#include "transport/tls/x509_text.h"

#define CLOCKS_APART_S 300

static struct tls_files files;
static time_t now_s; /* the transport's clock, which stands still */

time_t __real_time(time_t *out);
time_t __wrap_time(time_t *out);

time_t __wrap_time(time_t *out)
{
    if (out != NULL) {
        *out = now_s;
    }
    return now_s;
}

/* One connection with a message; true where the session was resumed. A copy of it, since the library
 * uses up what it resumes in TLS 1.3. */
static bool visit(struct bare_client *c, struct transport_config *server, SSL_SESSION *session)
{
    SSL_SESSION *copy = session != NULL ? SSL_SESSION_dup(session) : NULL;

    bare_client_join(c, server, copy);
    SSL_SESSION_free(copy);
    assert_true(bare_client_handshake(c));
    assert_true(bare_client_talk(c, "hello"));
    return SSL_session_reused(c->ssl) == 1;
}

static time_t unix_s(const ASN1_TIME *time)
{
    return (time_t)x509_text_unix_s(time);
}

/* What the session is made of: a client's certificate, its issuer's and the issuer's list. */
struct ground {
    struct test_cert issuer;
    struct test_cert leaf;
};

static void from_itself(const struct ground *ground, time_t began_s, time_t *first_s,
                        time_t *over_s)
{
    (void)ground;
    *first_s = began_s - CLOCKS_APART_S;
    *over_s = began_s + TICKETS_LIFETIME_S;
}

static void from_issuer(const struct ground *ground, time_t began_s, time_t *first_s,
                        time_t *over_s)
{
    (void)began_s;
    *first_s = unix_s(X509_get0_notBefore(ground->issuer.cert));
    *over_s = unix_s(X509_get0_notAfter(ground->issuer.cert));
}

static void from_leaf(const struct ground *ground, time_t began_s, time_t *first_s, time_t *over_s)
{
    (void)began_s;
    *first_s = unix_s(X509_get0_notBefore(ground->leaf.cert));
    *over_s = unix_s(X509_get0_notAfter(ground->leaf.cert));
}

static void from_list(const struct ground *ground, time_t began_s, time_t *first_s, time_t *over_s)
{
    char path[TEST_PATH_MAX];
    FILE *file = fopen(test_folder_file(&files.folder, "issuer.crl", path), "r");
    X509_CRL *list;

    (void)ground;
    (void)began_s;
    assert_non_null(file);
    list = PEM_read_X509_CRL(file, NULL, NULL, NULL);
    assert_non_null(list);
    *first_s = unix_s(X509_CRL_get0_lastUpdate(list));
    *over_s = unix_s(X509_CRL_get0_nextUpdate(list));
    X509_CRL_free(list);
    assert_int_equal(fclose(file), 0);
}

struct row {
    const char *name;
    bool issuer, leaf, list; /* is the shortest */
    void (*find)(const struct ground *ground, time_t began_s, time_t *first_s, time_t *over_s);
};

static const struct row rows[] = {
    {"as long as any", false, false, false, from_itself},
    {"as the issuer's certificate", true, false, false, from_issuer},
    {"as the client's certificate", false, true, false, from_leaf},
    {"as the revocation list", false, false, true, from_list},
};

/* A clock may go back by 300 s, and a session lasts four hours. */
#define FROM_S(is_short) ((is_short) ? -100 : -TEST_DAY_S)
#define UNTIL_S(is_short) ((is_short) ? 3600 : TEST_DAY_S)

static struct transport_config *make(const struct row *row, struct ground *ground)
{
    char path[TEST_PATH_MAX];

    test_cert_make(&ground->issuer, &(struct test_cert_spec){.common_name = "issuer",
                                                             .issuer = &files.ca,
                                                             .is_ca = true,
                                                             .from_s = FROM_S(row->issuer),
                                                             .until_s = UNTIL_S(row->issuer)});
    test_cert_make(&ground->leaf, &(struct test_cert_spec){.common_name = "carol",
                                                           .issuer = &ground->issuer,
                                                           .from_s = FROM_S(row->leaf),
                                                           .until_s = UNTIL_S(row->leaf)});
    test_crl_write(&(struct test_crl_spec){.issuer = &ground->issuer,
                                           .from_s = FROM_S(row->list),
                                           .until_s = UNTIL_S(row->list)},
                   test_folder_file(&files.folder, "issuer.crl", path));
    test_crl_append(
        &(struct test_crl_spec){.issuer = &files.ca, .from_s = -TEST_DAY_S, .until_s = TEST_DAY_S},
        path);
    return tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                      "server.key", TLSMSG_OPT_CLIENT_CA, "ca.crt", TLSMSG_OPT_CRL, "issuer.crl",
                      TLSMSG_OPT_COUNT);
}

static void check(const struct row *row, int version)
{
    const time_t began_s = now_s = __real_time(NULL);
    struct ground ground;
    struct transport_config *server = make(row, &ground);
    struct bare_client c;
    SSL_SESSION *begun;
    time_t first_s;
    time_t over_s;

    bare_client_init(&c, &files, version);
    assert_int_equal(SSL_CTX_use_certificate(c.ctx, ground.leaf.cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(c.ctx, ground.leaf.key), 1);
    assert_int_equal(SSL_CTX_add1_chain_cert(c.ctx, ground.issuer.cert), 1);
    assert_false(visit(&c, server, NULL));
    begun = c.session;
    assert_int_equal(SSL_SESSION_up_ref(begun), 1);
    row->find(&ground, began_s, &first_s, &over_s);
    for (int i = 0; i < 4; i++) {
        const time_t at_s[] = {first_s - 1, first_s, over_s - 1, over_s};
        bool resumes = i == 1 || i == 2;

        now_s = at_s[i];
        assert_int_equal(visit(&c, server, begun), resumes);
        if (resumes && version == TLS1_3_VERSION) {
            /* A new ticket lives no longer. */
            assert_int_equal(SSL_SESSION_get_ticket_lifetime_hint(c.session),
                             began_s + TICKETS_LIFETIME_S - now_s);
        }
    }
    SSL_SESSION_free(begun);
    bare_client_fini(&c);
    transport_config_unref(server);
    test_cert_free(&ground.leaf);
    test_cert_free(&ground.issuer);
}

static void lasts(void **state)
{
    check(*state, TLS1_2_VERSION);
    check(*state, TLS1_3_VERSION);
}

/* ---- whose tickets a server takes at all */

/* A label with its end, eight bytes of length, the lowest first, and so many bytes. */
static size_t put_part(unsigned char *out, const char *label, const void *bytes, size_t len)
{
    size_t used = strlen(label) + 1;

    memcpy(out, label, used);
    memset(out + used, 0, 8);
    out[used] = (unsigned char)len;
    out[used + 1] = (unsigned char)(len >> 8);
    used += 8;
    if (len > 0) {
        memcpy(out + used, bytes, len);
    }
    return used + len;
}

/* Servers of another version, too: so the bytes that say who is trusted stay as they are. */
static void a_session_is_of_those_with_the_same_cas(void **state)
{
    static unsigned char ca[8192];
    static unsigned char all[sizeof(ca) + 64];
    struct transport_config *server =
        tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                   "server.key", TLSMSG_OPT_CLIENT_CA, "ca.crt", TLSMSG_OPT_COUNT);
    struct bare_client c;
    unsigned char wanted[EVP_MAX_MD_SIZE];
    unsigned wanted_len;
    const unsigned char *found;
    unsigned found_len;
    char path[TEST_PATH_MAX];
    FILE *file = fopen(test_folder_file(&files.folder, "ca.crt", path), "r");
    size_t ca_len;
    size_t len;

    (void)state;
    assert_non_null(file);
    ca_len = fread(ca, 1, sizeof(ca), file);
    assert_int_equal(fclose(file), 0);
    assert_in_range(ca_len, 257, sizeof(ca) - 1); /* its length takes two bytes */
    len = put_part(all, "server", NULL, 0);
    len += put_part(all + len, "ca", ca, ca_len);
    assert_int_equal(EVP_Digest(all, len, wanted, &wanted_len, EVP_sha256(), NULL), 1);
    now_s = __real_time(NULL);
    bare_client_init(&c, &files, TLS1_3_VERSION);
    assert_int_equal(SSL_CTX_use_certificate(c.ctx, files.alice.cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(c.ctx, files.alice.key), 1);
    assert_false(visit(&c, server, NULL));
    found = SSL_SESSION_get0_id_context(SSL_get_session(c.server.transport->ssl), &found_len);
    assert_int_equal(found_len, wanted_len);
    assert_memory_equal(found, wanted, wanted_len);
    bare_client_fini(&c);
    transport_config_unref(server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_of_those_with_the_same_cas),
    };
    int failed = 0;

    tls_files_make(&files);
    RUN_ROWS(failed, lasts, rows);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    tls_files_remove(&files);
    return failed;
}
