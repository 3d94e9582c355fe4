/* Trust in a key: what first use records, and when; and dates, which hold for a pinned key too. */
#include "transport/tls/client_trust.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "support/config.h"
#include "support/tls_ends.h"
#include "support/unit.h"
#include "transport/tls/known_servers.h"

#define SERVER "server.test:4433"

static struct tls_files files;

static int set_up(void **state)
{
    (void)state;
    tls_files_make(&files);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_files_remove(&files);
    return 0;
}

/* A client that records any new server. */
static struct transport_config *trusting_client(void)
{
    return tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_ADDRESS, SERVER,
                      TLSMSG_OPT_TRUST_ON_FIRST_USE, "1", TLSMSG_OPT_ACCEPT_NEW, "1",
                      TLSMSG_OPT_KNOWN_SERVERS, "known", TLSMSG_OPT_COUNT);
}

static bool there_is_a_record(char *line, size_t cap)
{
    char path[TEST_PATH_MAX];
    FILE *file = fopen(test_folder_file(&files.folder, "known", path), "r");
    bool found = file != NULL && fgets(line, (int)cap, file) != NULL;

    if (file != NULL) {
        assert_int_equal(fgetc(file), EOF);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(unlink(path), 0);
    }
    return found;
}

/* What one has who copied a server's certificate: its public key, and a secret key of one's own. */
static EVP_PKEY *stolen_key(const EVP_PKEY *victim)
{
    EVP_PKEY *own = EVP_EC_gen("P-256");
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params;
    BIGNUM *secret = NULL;
    EVP_PKEY *key = NULL;
    unsigned char point[256];
    size_t len = 0;

    assert_true(own != NULL && context != NULL && builder != NULL);
    assert_int_equal(EVP_PKEY_get_bn_param(own, OSSL_PKEY_PARAM_PRIV_KEY, &secret), 1);
    assert_int_equal(EVP_PKEY_get_octet_string_param(victim, OSSL_PKEY_PARAM_PUB_KEY, point,
                                                     sizeof(point), &len),
                     1);
    assert_int_equal(
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, len),
                     1);
    assert_int_equal(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, secret), 1);
    params = OSSL_PARAM_BLD_to_param(builder);
    assert_non_null(params);
    assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
    assert_int_equal(EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, params), 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    BN_clear_free(secret);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(own);
    return key;
}

struct proof {
    const char *name;
    int version;
    bool has_key; /* of the certificate it shows */
};

static const struct proof proofs[] = {
    {"TLS 1.3, the server itself", TLS1_3_VERSION, true},
    {"TLS 1.2, the server itself", TLS1_2_VERSION, true},
    {"TLS 1.3, a copy of its certificate", TLS1_3_VERSION, false},
    {"TLS 1.2, a copy of its certificate", TLS1_2_VERSION, false},
};

/* The record is of who proved to hold the key, so it can't be made when the certificate is seen. */
static void test_first_use(void **state)
{
    const struct proof *row = *state;
    struct transport_config *config = trusting_client();
    struct test_cert shown = {.cert = files.server.cert, .key = files.server.key};
    struct bare_server s;
    char line[256];

    if (!row->has_key) {
        shown.key = stolen_key(files.server.key);
    }
    bare_server_init(&s, &shown, row->version);
    bare_server_join(&s, config, "server.test");
    assert_int_equal(bare_server_handshake(&s), row->has_key);
    if (row->has_key) {
        struct pin pin;

        /* Known from now on. */
        bare_server_fini(&s);
        bare_server_init(&s, &shown, row->version);
        bare_server_join(&s, config, "server.test");
        assert_true(bare_server_handshake(&s));

        assert_true(pin_of(shown.cert, &pin));
        assert_true(there_is_a_record(line, sizeof(line)));
        assert_memory_equal(line, SERVER " ", strlen(SERVER " "));
        assert_memory_equal(line + strlen(SERVER " "), pin.text, strlen(pin.text));
    } else {
        /* Not for the certificate's sake, which was fine. */
        assert_int_equal(s.client.code, TLSMSG_ERR_HANDSHAKE);
        assert_false(there_is_a_record(line, sizeof(line)));
        EVP_PKEY_free(shown.key);
    }
    bare_server_fini(&s);
    transport_config_unref(config);
}

struct dates {
    const char *name;
    long from_s;
    long until_s;
    const char *from_text;
    const char *until_text;
    const char *text; /* of the refusal; NULL: fine */
};

static const struct dates dates[] = {
    {"today", 0, 0, NULL, NULL, NULL},
    {"the past", -5 * TEST_DAY_S, -TEST_DAY_S, NULL, NULL, "certificate expired on 20"},
    {"the future", TEST_DAY_S, 5 * TEST_DAY_S, NULL, NULL, "certificate is not yet valid (from 20"},
    {"an end that is no date", 0, 0, NULL, "some other day", "certificate expired on ?"},
    {"a beginning that is no date", 0, 0, "some other day", NULL,
     "certificate is not yet valid (from ?"},
};

static void judge(const struct dates *row, struct transport_config *config,
                  const struct test_cert *cert)
{
    struct bare_server s;

    bare_server_init(&s, cert, 0);
    bare_server_join(&s, config, "server.test");
    assert_int_equal(bare_server_handshake(&s), row->text == NULL);
    if (row->text != NULL) {
        assert_int_equal(s.client.code, TLSMSG_ERR_UNTRUSTED);
        if (strstr(s.client.error.text, row->text) == NULL) {
            fail_msg("\"%s\" lacks \"%s\"", s.client.error.text, row->text);
        }
    }
    bare_server_fini(&s);
    transport_config_unref(config);
}

static void test_dates(void **state)
{
    const struct dates *row = *state;
    struct test_cert cert;
    struct pin pin;
    char line[256];

    test_cert_make(&cert, &(struct test_cert_spec){.common_name = "server",
                                                   .from_s = row->from_s,
                                                   .until_s = row->until_s,
                                                   .from_text = row->from_text,
                                                   .until_text = row->until_text});
    assert_true(pin_of(cert.cert, &pin));
    judge(row, tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_PIN, pin.text, TLSMSG_OPT_COUNT),
          &cert);
    judge(row, trusting_client(), &cert);
    assert_int_equal(there_is_a_record(line, sizeof(line)), row->text == NULL);
    test_cert_free(&cert);
}

/* The key is proved, the user has said yes, and then the record can't be made: a conversation all
 * the same would have the next one take a man in the middle for the server. */
static void test_key_that_cannot_be_recorded_ends_the_handshake(void **state)
{
    struct transport_config *config = trusting_client();
    struct bare_server s;
    char path[TEST_PATH_MAX];
    char line[256];

    (void)state;
    (void)unlink(test_folder_file(&files.folder, "known.lock", path));
    assert_int_equal(mkdir(path, 0700), 0);
    bare_server_init(&s, &files.server, 0);
    bare_server_join(&s, config, "server.test");
    assert_false(bare_server_handshake(&s));
    assert_false(s.client.opened);
    assert_int_equal(s.client.code, TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(s.client.error.text, "cannot lock known servers file '"));
    assert_int_equal(s.client.error.sys_errno, EISDIR);
    assert_int_equal(rmdir(path), 0);
    assert_false(there_is_a_record(line, sizeof(line)));
    bare_server_fini(&s);
    transport_config_unref(config);
}

static void test_wrong_pin(void **state)
{
    struct transport_config *config;
    struct bare_server s;
    struct pin other;
    struct pin shown;
    char text[512];

    (void)state;
    assert_true(pin_of(files.alice.cert, &other));
    assert_true(pin_of(files.server.cert, &shown));
    config = tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_PIN, other.text, TLSMSG_OPT_COUNT);
    bare_server_init(&s, &files.server, 0);
    bare_server_join(&s, config, "server.test");
    assert_false(bare_server_handshake(&s));
    assert_int_equal(s.client.code, TLSMSG_ERR_UNTRUSTED);
    (void)snprintf(text, sizeof(text),
                   "the server's pin is %s, which no --pin allows (a new key? compare with "
                   "scripts/gen-certs.sh show on the server)",
                   shown.text);
    assert_string_equal(s.client.error.text, text);
    bare_server_fini(&s);
    transport_config_unref(config);

    /* One of several is enough. */
    config = tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_PIN, other.text, TLSMSG_OPT_PIN,
                        shown.text, TLSMSG_OPT_COUNT);
    bare_server_init(&s, &files.server, 0);
    bare_server_join(&s, config, "server.test");
    assert_true(bare_server_handshake(&s));
    bare_server_fini(&s);
    transport_config_unref(config);
}

struct misfit {
    const char *name;
    enum tlsmsg_option option;
    const char *value;
    const char *text;
};

static const struct misfit misfits[] = {
    {"accept-new alone", TLSMSG_OPT_ACCEPT_NEW, "1", "--accept-new needs --trust-on-first-use"},
    {"known-servers alone", TLSMSG_OPT_KNOWN_SERVERS, "known",
     "--known-servers needs --trust-on-first-use"},
    {"a pin in another form", TLSMSG_OPT_PIN, "sha256//AAAA",
     "'sha256//AAAA' is not a pin: --pin wants sha256// and the base64 of 32 bytes, as "
     "scripts/gen-certs.sh show prints it"},
};

static void test_misfit(void **state)
{
    const struct misfit *row = *state;
    struct tlsmsg_options *options =
        tls_options(&files, TLSMSG_ROLE_CLIENT, row->option, row->value, TLSMSG_OPT_COUNT);
    struct transport_config *config = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    assert_int_equal(config_from_options(options, NULL, &config, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, row->text);
    tlsmsg_options_free(options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_that_cannot_be_recorded_ends_the_handshake),
        cmocka_unit_test(test_wrong_pin),
    };
    int failed = 0;

    (void)set_up(NULL);
    RUN_ROWS(failed, test_first_use, proofs);
    RUN_ROWS(failed, test_dates, dates);
    RUN_ROWS(failed, test_misfit, misfits);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    (void)tear_down(NULL);
    return failed;
}
