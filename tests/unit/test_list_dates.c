/* Revocation lists that end while a configuration is in use, and a server that is known by its key and
 * revoked all the same. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/tls_ends.h"
#include "support/unit.h"
#include "transport/tls/internal.h"
#include "transport/tls/known_servers.h"
#include "transport/tls/load.h"

static struct tls_files files;
static struct test_cert leaf; /* of files.ca, from ten days ago on */

static int set_up(void **state)
{
    char path[TEST_PATH_MAX];

    (void)state;
    tls_files_make(&files);
    test_cert_make(&leaf, &(struct test_cert_spec){.common_name = "served",
                                                   .alternative_names = "DNS:localhost",
                                                   .issuer = &files.ca,
                                                   .from_s = -10 * TEST_DAY_S,
                                                   .until_s = 300 * TEST_DAY_S});
    test_cert_write(&leaf, test_folder_file(&files.folder, "served.crt", path));
    test_cert_write_key(&leaf, test_folder_file(&files.folder, "served.key", path), NULL);
    test_crl_write(&(struct test_crl_spec){.issuer = &files.ca, .until_s = 5 * TEST_DAY_S},
                   test_folder_file(&files.folder, "five.crl", path));
    test_crl_write(&(struct test_crl_spec){.issuer = &files.ca, .revoked = &leaf},
                   test_folder_file(&files.folder, "revoked.crl", path));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_cert_free(&leaf);
    tls_files_remove(&files);
    return 0;
}

static struct transport_config *server(void)
{
    return tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "served.crt", TLSMSG_OPT_KEY,
                      "served.key", TLSMSG_OPT_COUNT);
}

/* Meets the server, and is to refuse it so; what comes before and behind the pin. */
static void expect_refusal(struct transport_config *client, const char *before, const char *behind,
                           const char *alert)
{
    struct transport_config *config = server();
    struct pin pin;
    struct pair p;
    char text[sizeof(p.client.error.text)];
    char heard[256];

    assert_true(pin_of(leaf.cert, &pin));
    pair_init(&p, config, client, "localhost");
    assert_true(pair_run(&p, TLS_STEPS));
    assert_int_equal(p.client.code, TLSMSG_ERR_UNTRUSTED);
    (void)snprintf(text, sizeof(text), "cannot verify server 'localhost': %s; its pin is %s%s",
                   before, pin.text, behind);
    assert_string_equal(p.client.error.text, text);
    (void)snprintf(heard, sizeof(heard),
                   "the client does not accept the server's certificate (alert: %s)", alert);
    assert_int_equal(strncmp(p.server.error.text, heard, strlen(heard)), 0);
    pair_fini(&p);
    transport_config_unref(config);
    transport_config_unref(client);
}

/* The peer is not to hear that its own certificate had ended. */
static void a_list_ends_while_it_is_in_use(void **state)
{
    struct transport_config *client =
        tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, "ca.crt", TLSMSG_OPT_CRL, "five.crl",
                   TLSMSG_OPT_COUNT);
    char before[512];
    char path[TEST_PATH_MAX];
    char date[X509_TEXT_DATE_MAX];

    (void)state;
    load_print_date(transport_config_expiry(client, TLSMSG_EXPIRY_CRL), date);
    (void)snprintf(before, sizeof(before),
                   "the revocation list of 'CN=test CA' in '%s' ended on %s",
                   test_folder_file(&files.folder, "five.crl", path), date);
    X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(client->ctx), time(NULL) + 6 * TEST_DAY_S);
    expect_refusal(client, before, "; try: the CA's new list from whoever runs the server",
                   "certificate unknown");
}

/* Of several lists of one CA the one that ends first counts, and no other CA's. */
static void the_first_end_of_several_lists_is_told(void **state)
{
    static const long orders[][3] = {{2, 10, 5}, {5, 10, 2}, {10, 2, 5}}; /* 2: another CA's */
    struct test_cert other;
    char before[512];
    char path[TEST_PATH_MAX];
    char date[X509_TEXT_DATE_MAX];

    (void)state;
    test_cert_make(&other, &(struct test_cert_spec){.common_name = "other CA", .is_ca = true});
    (void)test_folder_file(&files.folder, "several.crl", path);
    for (size_t i = 0; i < COUNT_OF(orders); i++) {
        struct transport_config *client;

        for (size_t k = 0; k < COUNT_OF(orders[i]); k++) {
            const struct test_crl_spec spec = {.issuer = orders[i][k] == 2 ? &other : &files.ca,
                                               .until_s = orders[i][k] * TEST_DAY_S};

            (k == 0 ? test_crl_write : test_crl_append)(&spec, path);
        }
        client = tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, "ca.crt", TLSMSG_OPT_CRL,
                            "several.crl", TLSMSG_OPT_COUNT);
        load_print_date(transport_config_expiry(client, TLSMSG_EXPIRY_CRL) + 3 * TEST_DAY_S, date);
        (void)snprintf(before, sizeof(before),
                       "the revocation list of 'CN=test CA' in '%s' ended on %s", path, date);
        X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(client->ctx), time(NULL) + 11 * TEST_DAY_S);
        expect_refusal(client, before, "; try: the CA's new list from whoever runs the server",
                       "certificate unknown");
    }
    test_cert_free(&other);
}

/* Neither the pin nor the record of first use is asked then. */
static void a_revoked_key_is_refused_though_it_is_known(void **state)
{
    struct pin pin;

    (void)state;
    assert_true(pin_of(leaf.cert, &pin));
    expect_refusal(tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_PIN, pin.text, TLSMSG_OPT_CRL,
                              "revoked.crl", TLSMSG_OPT_COUNT),
                   "its certificate is revoked", "", "certificate revoked");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_ends_while_it_is_in_use),
        cmocka_unit_test(the_first_end_of_several_lists_is_told),
        cmocka_unit_test(a_revoked_key_is_refused_though_it_is_known),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
