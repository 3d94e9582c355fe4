/* Ticket keys under a clock that the test moves: who can resume, and for how long. */
#include <string.h>

#include <openssl/err.h>

#include "support/tls_ends.h"
#include "support/unit.h"
#include "transport/tls/tickets.h"

static int64_t now_s;

/* The nth call of one of the library's functions does its work and then says that it has failed. */
enum call { CALL_RANDOM, CALL_SECRET_RANDOM, CALL_ENCRYPT, CALL_DECRYPT, CALL_MAC };

static enum call failing;
static unsigned fails_at; /* calls to come until then, that one included; 0: none fails */

static int judge(enum call which, int result)
{
    return fails_at > 0 && which == failing && --fails_at == 0 ? 0 : result;
}

int __real_RAND_bytes(unsigned char *buf, int num);
int __wrap_RAND_bytes(unsigned char *buf, int num);
int __real_RAND_priv_bytes(unsigned char *buf, int num);
int __wrap_RAND_priv_bytes(unsigned char *buf, int num);
int __real_EVP_EncryptInit_ex2(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher,
                               const unsigned char *key, const unsigned char *iv,
                               const OSSL_PARAM params[]);
int __wrap_EVP_EncryptInit_ex2(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher,
                               const unsigned char *key, const unsigned char *iv,
                               const OSSL_PARAM params[]);
int __real_EVP_DecryptInit_ex2(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher,
                               const unsigned char *key, const unsigned char *iv,
                               const OSSL_PARAM params[]);
int __wrap_EVP_DecryptInit_ex2(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher,
                               const unsigned char *key, const unsigned char *iv,
                               const OSSL_PARAM params[]);
int __real_EVP_MAC_CTX_set_params(EVP_MAC_CTX *ctx, const OSSL_PARAM params[]);
int __wrap_EVP_MAC_CTX_set_params(EVP_MAC_CTX *ctx, const OSSL_PARAM params[]);

int __wrap_RAND_bytes(unsigned char *buf, int num)
{
    return judge(CALL_RANDOM, __real_RAND_bytes(buf, num));
}

int __wrap_RAND_priv_bytes(unsigned char *buf, int num)
{
    return judge(CALL_SECRET_RANDOM, __real_RAND_priv_bytes(buf, num));
}

int __wrap_EVP_EncryptInit_ex2(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher,
                               const unsigned char *key, const unsigned char *iv,
                               const OSSL_PARAM params[])
{
    return judge(CALL_ENCRYPT, __real_EVP_EncryptInit_ex2(ctx, cipher, key, iv, params));
}

int __wrap_EVP_DecryptInit_ex2(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher,
                               const unsigned char *key, const unsigned char *iv,
                               const OSSL_PARAM params[])
{
    return judge(CALL_DECRYPT, __real_EVP_DecryptInit_ex2(ctx, cipher, key, iv, params));
}

int __wrap_EVP_MAC_CTX_set_params(EVP_MAC_CTX *ctx, const OSSL_PARAM params[])
{
    return judge(CALL_MAC, __real_EVP_MAC_CTX_set_params(ctx, params));
}

static int64_t fake_clock(void *user)
{
    return *(int64_t *)user;
}

static unsigned keys_wiped; /* copies of a key */
static size_t most_wiped;   /* at once */

void __real_OPENSSL_cleanse(void *bytes, size_t len);
void __wrap_OPENSSL_cleanse(void *bytes, size_t len);

void __wrap_OPENSSL_cleanse(void *bytes, size_t len)
{
    keys_wiped += len == sizeof(struct ticket_key);
    most_wiped = len > most_wiped ? len : most_wiped;
    __real_OPENSSL_cleanse(bytes, len);
}

struct ends {
    struct test_cert cert;
    struct ticket_keys *keys;
    SSL_CTX *server;
    SSL_CTX *client;
    SSL_SESSION *session;
};

static int set_up(void **state)
{
    static struct ends e;

    memset(&e, 0, sizeof(e));
    now_s = 1000000;
    test_cert_make(&e.cert, &(struct test_cert_spec){.common_name = "server"});
    assert_int_equal(ticket_keys_new(fake_clock, &now_s, &e.keys, NULL), TLSMSG_OK);
    e.server = SSL_CTX_new(TLS_server_method());
    e.client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_use_certificate(e.server, e.cert.cert);
    SSL_CTX_use_PrivateKey(e.server, e.cert.key);
    SSL_CTX_set_max_proto_version(e.server, TLS1_2_VERSION);
    assert_int_equal(ticket_keys_install(e.keys, e.server, NULL), TLSMSG_OK);
    SSL_CTX_set_session_cache_mode(e.server, SSL_SESS_CACHE_OFF);
    *state = &e;
    return 0;
}

static int tear_down(void **state)
{
    struct ends *e = *state;

    SSL_SESSION_free(e->session);
    SSL_CTX_free(e->server);
    SSL_CTX_free(e->client);
    ticket_keys_unref(e->keys);
    test_cert_free(&e->cert);
    return 0;
}

enum visit { FULL, RESUMED, RESUMED_AND_RENEWED };

static bool same_ticket(const SSL_SESSION *a, const SSL_SESSION *b)
{
    const unsigned char *ticket_a;
    const unsigned char *ticket_b;
    size_t len_a;
    size_t len_b;

    SSL_SESSION_get0_ticket(a, &ticket_a, &len_a);
    SSL_SESSION_get0_ticket(b, &ticket_b, &len_b);
    return len_a == len_b && memcmp(ticket_a, ticket_b, len_a) == 0;
}

/* One handshake with the given session (borrowed). False where it came to no end. */
static bool shake_hands(SSL *server, SSL *client, SSL_SESSION *session)
{
    BIO *a;
    BIO *b;
    int i;

    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(server, a, a);
    SSL_set_bio(client, b, b);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    if (session != NULL) {
        assert_int_equal(SSL_set_session(client, session), 1);
    }
    for (i = 0; i < 20; i++) {
        ERR_clear_error();
        (void)SSL_do_handshake(client);
        (void)SSL_do_handshake(server);
    }
    ERR_clear_error();
    return SSL_is_init_finished(client) && SSL_is_init_finished(server);
}

/* The same to its end; e->session is the one it ended with. */
static enum visit visit(struct ends *e, SSL_SESSION *session)
{
    SSL *server = SSL_new(e->server);
    SSL *client = SSL_new(e->client);
    enum visit result = FULL;

    assert_true(shake_hands(server, client, session));
    SSL_SESSION_free(e->session);
    e->session = SSL_get1_session(client);
    if (SSL_session_reused(server)) {
        result = same_ticket(e->session, session) ? RESUMED : RESUMED_AND_RENEWED;
    }
    SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(client);
    SSL_free(server);
    return result;
}

static SSL_SESSION *take(struct ends *e)
{
    SSL_SESSION *session = e->session;

    assert_non_null(session);
    e->session = NULL;
    return session;
}

static void test_the_same_key_resumes(void **state)
{
    struct ends *e = *state;
    SSL_SESSION *session;

    assert_int_equal(visit(e, NULL), FULL);
    session = take(e);
    assert_int_equal(visit(e, session), RESUMED);
    now_s += TICKETS_LIFETIME_S - 1;
    assert_int_equal(visit(e, session), RESUMED);
    SSL_SESSION_free(session);
}

static void test_the_previous_key_resumes_and_renews(void **state)
{
    struct ends *e = *state;
    SSL_SESSION *session;

    assert_int_equal(visit(e, NULL), FULL);
    session = take(e);
    now_s += TICKETS_LIFETIME_S;
    assert_int_equal(visit(e, session), RESUMED_AND_RENEWED);
    SSL_SESSION_free(session);
    session = take(e);
    /* The renewed one is sealed with the key that is current now. */
    now_s += TICKETS_LIFETIME_S - 1;
    assert_int_equal(visit(e, session), RESUMED);
    SSL_SESSION_free(session);
}

static void test_older_keys_are_gone(void **state)
{
    struct ends *e = *state;
    SSL_SESSION *session;

    assert_int_equal(visit(e, NULL), FULL);
    session = take(e);
    now_s += 2 * TICKETS_LIFETIME_S;
    assert_int_equal(visit(e, session), FULL);
    SSL_SESSION_free(session);
}

static void test_a_long_pause_skips_keys(void **state)
{
    struct ends *e = *state;
    SSL_SESSION *session;

    assert_int_equal(visit(e, NULL), FULL);
    session = take(e);
    now_s += 1000LL * TICKETS_LIFETIME_S + 17;
    assert_int_equal(visit(e, session), FULL);
    SSL_SESSION_free(session);
    session = take(e);
    assert_int_equal(visit(e, session), RESUMED);
    /* The rhythm is kept: the next change comes at the next multiple. */
    now_s += TICKETS_LIFETIME_S - 17;
    assert_int_equal(visit(e, session), RESUMED_AND_RENEWED);
    SSL_SESSION_free(session);
}

static void test_a_clock_that_goes_back_changes_nothing(void **state)
{
    struct ends *e = *state;
    SSL_SESSION *session;

    assert_int_equal(visit(e, NULL), FULL);
    session = take(e);
    now_s -= 500000;
    assert_int_equal(visit(e, session), RESUMED);
    SSL_SESSION_free(session);
}

static void test_another_set_opens_nothing(void **state)
{
    struct ends *e = *state;
    struct ticket_keys *mine = e->keys;
    struct ticket_keys *others;
    SSL_SESSION *session;

    assert_int_equal(ticket_keys_new(fake_clock, &now_s, &others, NULL), TLSMSG_OK);
    assert_int_equal(visit(e, NULL), FULL);
    session = take(e);
    assert_int_equal(ticket_keys_install(others, e->server, NULL), TLSMSG_OK);
    assert_int_equal(visit(e, session), FULL);
    assert_int_equal(ticket_keys_install(mine, e->server, NULL), TLSMSG_OK);
    assert_int_equal(visit(e, session), RESUMED);
    ticket_keys_unref(others);
    SSL_SESSION_free(session);
}

/* A key in use is a copy, and no copy stays; nor does a key that opens nothing any more. */
static void test_keys_are_wiped(void **state)
{
    struct ends *e = *state;
    SSL_SESSION *session;

    keys_wiped = 0;
    assert_int_equal(visit(e, NULL), FULL);
    assert_int_equal(keys_wiped, 1); /* to seal */
    session = take(e);
    assert_int_equal(visit(e, session), RESUMED);
    assert_int_equal(keys_wiped, 2); /* to open */
    now_s += TICKETS_LIFETIME_S;
    assert_int_equal(visit(e, session), RESUMED_AND_RENEWED);
    assert_int_equal(keys_wiped, 5); /* to open, to seal, and the new one */
    now_s += 10 * TICKETS_LIFETIME_S;
    assert_int_equal(visit(e, NULL), FULL);
    assert_int_equal(keys_wiped, 8); /* to seal, the new one, and the one before */
    most_wiped = 0;
    ticket_keys_unref(e->keys);
    e->keys = NULL;
    assert_true(most_wiped > TICKET_KEY_COUNT * sizeof(struct ticket_key));
    SSL_SESSION_free(session);
}

/* ---- where the library fails */

static void test_keys_that_cannot_be_made(void **state)
{
    static const struct {
        enum call call;
        unsigned times; /* for a current and a next key */
    } calls[] = {{CALL_RANDOM, 2}, {CALL_SECRET_RANDOM, 4}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        for (unsigned at = 1; at <= calls[i].times; at++) {
            struct ticket_keys *keys = NULL;
            struct tlsmsg_error err = {.code = TLSMSG_OK};

            ERR_raise(ERR_LIB_SSL, ERR_R_MALLOC_FAILURE); /* somebody's, from before */
            failing = calls[i].call;
            fails_at = at;
            assert_int_equal(ticket_keys_new(fake_clock, &now_s, &keys, &err), TLSMSG_ERR_CONFIG);
            assert_int_equal(fails_at, 0);
            assert_null(keys);
            assert_string_equal(err.text, "cannot make session ticket keys");
            assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
        }
    }
}

/* An old key is better than none. */
static void test_no_random_bytes_for_a_new_key(void **state)
{
    static const struct {
        enum call call;
        unsigned at;
    } calls[] = {{CALL_RANDOM, 1}, {CALL_SECRET_RANDOM, 1}, {CALL_SECRET_RANDOM, 2}};
    struct ends *e = *state;

    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        SSL_SESSION *session;

        assert_int_equal(visit(e, NULL), FULL);
        session = take(e);
        now_s += TICKETS_LIFETIME_S;
        failing = calls[i].call;
        fails_at = calls[i].at;
        assert_int_equal(visit(e, session), RESUMED);
        assert_int_equal(fails_at, 0);
        assert_int_equal(visit(e, session), RESUMED_AND_RENEWED);
        SSL_SESSION_free(session);
    }
}

/* A ticket that was not sealed, or not opened, as it should be is none. */
static void test_what_fails_ends_the_handshake(void **state)
{
    static const struct {
        enum call call;
        bool resumes;
    } calls[] = {{CALL_RANDOM, false},
                 {CALL_ENCRYPT, false},
                 {CALL_MAC, false},
                 {CALL_DECRYPT, true},
                 {CALL_MAC, true}};
    struct ends *e = *state;
    SSL_SESSION *session;

    assert_int_equal(visit(e, NULL), FULL);
    session = take(e);
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        SSL *server = SSL_new(e->server);
        SSL *client = SSL_new(e->client);

        failing = calls[i].call;
        fails_at = 1;
        assert_false(shake_hands(server, client, calls[i].resumes ? session : NULL));
        assert_int_equal(fails_at, 0);
        SSL_free(client);
        SSL_free(server);
    }
    SSL_SESSION_free(session);
}

static void test_null_is_no_key_set(void **state)
{
    (void)state;
    ticket_keys_unref(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_same_key_resumes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_previous_key_resumes_and_renews, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_older_keys_are_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_long_pause_skips_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_clock_that_goes_back_changes_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_another_set_opens_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys_are_wiped, set_up, tear_down),
        cmocka_unit_test(test_keys_that_cannot_be_made),
        cmocka_unit_test_setup_teardown(test_no_random_bytes_for_a_new_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_fails_ends_the_handshake, set_up, tear_down),
        cmocka_unit_test(test_null_is_no_key_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
