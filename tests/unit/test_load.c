/* What loaders report: warnings of a configuration that works, and everything that ends. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support/glob_text.h"
#include "support/tls_ends.h"
#include "support/unit.h"
#include "transport/tls/internal.h"

#define HOUR 3600

static struct tls_files files;

static void set_mode(const char *name, mode_t mode)
{
    char path[TEST_PATH_MAX];

    assert_int_equal(chmod(test_folder_file(&files.folder, name, path), mode), 0);
}

static struct transport_config *server_with(const char *cert, const char *key)
{
    return tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, cert, TLSMSG_OPT_KEY, key,
                      TLSMSG_OPT_COUNT);
}

struct row {
    const char *name;
    long days;
    mode_t key_mode;
    const char *says; /* NULL: nothing */
};

static const struct row rows[] = {
    {"a year, a private key", 365, 0600, NULL},
    {"31 days", 31, 0600, NULL},
    {"just under 30 days", 30, 0600, "ends in 29 days"},
    {"one day", 1, 0600, "ends in 23 h 59 min"},
    {"the owner reads only", 365, 0400, NULL},
    {"the group may read the key", 365, 0640, "(chmod 600 '"},
    {"others may read the key", 365, 0604, "(chmod 600 '"},
    {"the group may write the key", 365, 0620, "(chmod 600 '"},
};

static void test_certificate_and_key(void **state)
{
    const struct row *row = *state;
    struct transport_config *config;
    int64_t left_s;

    /* Ten seconds short of whole days, so that no second's edge decides. */
    tls_files_leaf(&files, "noted",
                   &(struct test_cert_spec){.common_name = "noted",
                                            .alternative_names = "DNS:noted",
                                            .from_s = -400 * TEST_DAY_S,
                                            .until_s = row->days * TEST_DAY_S - 10});
    set_mode("noted.key", row->key_mode);
    config = server_with("noted.crt", "noted.key");
    left_s = transport_config_expiry(config, TLSMSG_EXPIRY_CERTIFICATE) - (int64_t)time(NULL);
    assert_in_range(left_s, row->days * TEST_DAY_S - HOUR, row->days * TEST_DAY_S);
    assert_int_equal(transport_config_warning_count(config), row->says != NULL ? 1 : 0);
    if (row->says != NULL) {
        const char *text = transport_config_warning(config, 0);

        if (strstr(text, row->says) == NULL) {
            fail_msg("\"%s\" lacks \"%s\"", text, row->says);
        }
        assert_non_null(strstr(text, row->key_mode == 0600 ? "CN=noted" : "noted.key"));
    }
    assert_null(transport_config_warning(config, 1));
    transport_config_unref(config);
}

/* The earliest end counts, whichever of the certificates given has it. */
static void test_the_first_to_end(void **state)
{
    struct transport_config *config;
    int64_t left_s;

    (void)state;
    tls_files_leaf(&files, "long",
                   &(struct test_cert_spec){.common_name = "long",
                                            .alternative_names = "DNS:long",
                                            .from_s = -3600,
                                            .until_s = 300 * TEST_DAY_S});
    tls_files_leaf(&files, "short",
                   &(struct test_cert_spec){.common_name = "short",
                                            .alternative_names = "DNS:short",
                                            .is_rsa = true,
                                            .from_s = -3600,
                                            .until_s = 90 * TEST_DAY_S});
    set_mode("long.key", 0600);
    set_mode("short.key", 0600);
    config = tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "long.crt", TLSMSG_OPT_KEY,
                        "long.key", TLSMSG_OPT_CERT, "short.crt", TLSMSG_OPT_KEY, "short.key",
                        TLSMSG_OPT_COUNT);
    left_s = transport_config_expiry(config, TLSMSG_EXPIRY_CERTIFICATE) - (int64_t)time(NULL);
    assert_in_range(left_s, 90 * TEST_DAY_S - HOUR, 90 * TEST_DAY_S);
    assert_int_equal(transport_config_warning_count(config), 0);
    transport_config_unref(config);
}

/* Each kind by itself; what is not given has no end. */
static void test_each_kind_that_ends(void **state)
{
    struct transport_config *config;
    struct test_cert ca;
    char path[TEST_PATH_MAX];
    int64_t now_s = (int64_t)time(NULL);

    (void)state;
    test_cert_make(&ca, &(struct test_cert_spec){.common_name = "kinds",
                                                 .is_ca = true,
                                                 .from_s = -3600,
                                                 .until_s = 200 * TEST_DAY_S});
    test_cert_write(&ca, test_folder_file(&files.folder, "kinds.crt", path));
    test_crl_write(&(struct test_crl_spec){.issuer = &ca, .until_s = 100 * TEST_DAY_S},
                   test_folder_file(&files.folder, "kinds.crl", path));
    config = tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, "kinds.crt", TLSMSG_OPT_CRL,
                        "kinds.crl", TLSMSG_OPT_COUNT);
    assert_in_range(transport_config_expiry(config, TLSMSG_EXPIRY_CA) - now_s,
                    200 * TEST_DAY_S - HOUR, 200 * TEST_DAY_S + HOUR);
    assert_in_range(transport_config_expiry(config, TLSMSG_EXPIRY_CRL) - now_s,
                    100 * TEST_DAY_S - HOUR, 100 * TEST_DAY_S + HOUR);
    assert_true(transport_config_expiry(config, TLSMSG_EXPIRY_CERTIFICATE) == 0);
    assert_true(transport_config_expiry(config, TLSMSG_EXPIRY_COUNT) == 0);
    transport_config_unref(config);
    test_cert_free(&ca);
}

/* Certificates that only some names get are given to somebody, so they are looked at, too. */
static void test_a_certificate_for_another_name(void **state)
{
    struct transport_config *config;

    (void)state;
    tls_files_leaf(&files, "here",
                   &(struct test_cert_spec){.alternative_names = "DNS:here.example",
                                            .from_s = -3600,
                                            .until_s = 300 * TEST_DAY_S});
    tls_files_leaf(&files, "there",
                   &(struct test_cert_spec){.common_name = "there",
                                            .alternative_names = "DNS:there.example",
                                            .from_s = -20 * TEST_DAY_S,
                                            .until_s = 5 * TEST_DAY_S});
    set_mode("here.key", 0600);
    set_mode("there.key", 0600);
    config = tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "here.crt", TLSMSG_OPT_KEY,
                        "here.key", TLSMSG_OPT_CERT, "there.crt", TLSMSG_OPT_KEY, "there.key",
                        TLSMSG_OPT_COUNT);
    assert_int_equal(transport_config_warning_count(config), 1);
    assert_non_null(strstr(transport_config_warning(config, 0), "CN=there"));
    assert_in_range(transport_config_expiry(config, TLSMSG_EXPIRY_CERTIFICATE) -
                        (int64_t)time(NULL),
                    4 * TEST_DAY_S, 5 * TEST_DAY_S);
    transport_config_unref(config);
}

static void test_logged_secrets(void **state)
{
    struct transport_config *config;

    (void)state;
    tls_files_leaf(&files, "debugged",
                   &(struct test_cert_spec){.common_name = "debugged",
                                            .alternative_names = "DNS:debugged",
                                            .from_s = -3600,
                                            .until_s = 300 * TEST_DAY_S});
    set_mode("debugged.key", 0600);
    config = tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "debugged.crt", TLSMSG_OPT_KEY,
                        "debugged.key", TLSMSG_OPT_KEYLOG_FILE, "keylog", TLSMSG_OPT_COUNT);
    assert_int_equal(transport_config_warning_count(config), 1);
    assert_non_null(strstr(transport_config_warning(config, 0), "SECRETS ARE LOGGED"));
    transport_config_unref(config);
}

static void test_a_client_without_certificates(void **state)
{
    struct transport_config *config =
        tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, "ca.crt", TLSMSG_OPT_COUNT);

    (void)state;
    assert_int_equal(transport_config_warning_count(config), 0);
    assert_int_equal(transport_config_expiry(config, TLSMSG_EXPIRY_CERTIFICATE), 0);
    assert_null(config->tickets); /* it seals none */
    transport_config_unref(config);
}

static void check_item(const struct load_report *report, size_t i, enum loaded_kind kind,
                       const char *file, const char *subject)
{
    const struct loaded *item = &report->items[i];

    assert_true(i < report->count);
    assert_int_equal(item->kind, kind);
    assert_string_equal(strrchr(item->file, '/') + 1, file);
    assert_string_equal(item->subject, subject);
}

static int64_t end_of(const struct test_cert *cert)
{
    struct tm end;

    assert_int_equal(ASN1_TIME_to_tm(X509_get0_notAfter(cert->cert), &end), 1);
    return (int64_t)timegm(&end);
}

/* Each certificate and list that was loaded, the issuers in a chain included. */
static void test_everything_that_ends_is_reported(void **state)
{
    struct transport_config *config;
    struct test_cert middle;
    struct test_cert leaf;
    char path[TEST_PATH_MAX];

    (void)state;
    test_cert_make(&middle, &(struct test_cert_spec){.common_name = "middle",
                                                     .issuer = &files.ca,
                                                     .is_ca = true,
                                                     .from_s = -3600,
                                                     .until_s = 20 * TEST_DAY_S});
    test_cert_make(&leaf, &(struct test_cert_spec){.common_name = "leaf",
                                                   .alternative_names = "DNS:leaf",
                                                   .issuer = &middle,
                                                   .from_s = -3600,
                                                   .until_s = 200 * TEST_DAY_S});
    test_cert_write(&leaf, test_folder_file(&files.folder, "chain.crt", path));
    test_cert_append(&middle, path);
    test_cert_write_key(&leaf, test_folder_file(&files.folder, "chain.key", path), NULL);
    int64_t before_s = (int64_t)time(NULL);
    test_crl_write(&(struct test_crl_spec){.issuer = &files.ca, .until_s = 7 * TEST_DAY_S},
                   test_folder_file(&files.folder, "ca.crl", path));
    int64_t after_s = (int64_t)time(NULL);
    set_mode("chain.key", 0600);
    config = tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "chain.crt", TLSMSG_OPT_KEY,
                        "chain.key", TLSMSG_OPT_CLIENT_CA, "ca.crt", TLSMSG_OPT_CRL, "ca.crl",
                        TLSMSG_OPT_COUNT);
    assert_int_equal(config->report.count, 4);
    check_item(&config->report, 0, LOADED_LEAF, "chain.crt", "CN=leaf");
    check_item(&config->report, 1, LOADED_ISSUER, "chain.crt", "CN=middle");
    check_item(&config->report, 2, LOADED_CA, "ca.crt", "CN=test CA");
    check_item(&config->report, 3, LOADED_CRL, "ca.crl", "CN=test CA");
    assert_int_equal(config->report.items[0].ends_unix_s, end_of(&leaf));
    assert_int_equal(config->report.items[1].ends_unix_s, end_of(&middle));
    assert_int_equal(config->report.items[2].ends_unix_s, end_of(&files.ca));
    assert_in_range(config->report.items[3].ends_unix_s, before_s + 7 * TEST_DAY_S,
                    after_s + 7 * TEST_DAY_S);
    assert_int_equal(transport_config_expiry(config, TLSMSG_EXPIRY_CERTIFICATE),
                     config->report.items[1].ends_unix_s);
    assert_int_equal(load_report_first_end(&config->report, LOADED_CRL),
                     config->report.items[3].ends_unix_s);
    /* The leaf outlives its issuer, however short that one's life was meant. */
    assert_int_equal(transport_config_warning_count(config), 1);
    assert_non_null(strstr(transport_config_warning(config, 0), "issuer 'CN=middle' in '"));
    transport_config_unref(config);
    test_cert_free(&leaf);
    test_cert_free(&middle);
}

/* What ends is told first, whatever else was found before. */
static void test_order_of_warnings(void **state)
{
    struct transport_config *config;

    (void)state;
    tls_files_leaf(&files, "one",
                   &(struct test_cert_spec){.common_name = "one",
                                            .alternative_names = "DNS:one",
                                            .from_s = -20 * TEST_DAY_S,
                                            .until_s = 3 * TEST_DAY_S});
    tls_files_leaf(&files, "two",
                   &(struct test_cert_spec){.common_name = "two",
                                            .alternative_names = "DNS:two",
                                            .from_s = -20 * TEST_DAY_S,
                                            .until_s = 2 * TEST_DAY_S});
    set_mode("one.key", 0644);
    set_mode("two.key", 0644);
    config = tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "one.crt", TLSMSG_OPT_KEY,
                        "one.key", TLSMSG_OPT_CERT, "two.crt", TLSMSG_OPT_KEY, "two.key",
                        TLSMSG_OPT_COUNT);
    assert_int_equal(transport_config_warning_count(config), 4);
    assert_non_null(strstr(transport_config_warning(config, 0), "certificate 'CN=one' in '/"));
    assert_non_null(strstr(transport_config_warning(config, 1), "certificate 'CN=two' in '/"));
    assert_non_null(strstr(transport_config_warning(config, 2), "one.key"));
    assert_non_null(strstr(transport_config_warning(config, 3), "two.key"));
    transport_config_unref(config);
}

/* Whatever holds a secret is looked at. */
static void test_each_secret_that_others_can_read(void **state)
{
    static const struct {
        enum tlsmsg_option option;
        const char *what;
    } secrets[] = {{TLSMSG_OPT_TICKET_KEYS, "ticket key file"},
                   {TLSMSG_OPT_KEY_PASSWORD_FILE, "key password file"}};
    char path[TEST_PATH_MAX];
    FILE *file;

    (void)state;
    tls_files_leaf(&files, "noted",
                   &(struct test_cert_spec){.common_name = "noted",
                                            .alternative_names = "DNS:noted",
                                            .from_s = -HOUR,
                                            .until_s = 90 * TEST_DAY_S});
    set_mode("noted.key", 0600);
    file = fopen(test_folder_file(&files.folder, "secret", path), "w");
    assert_non_null(file);
    assert_true(fprintf(file, "current %0160d\n", 7) > 0); /* a password, too */
    assert_int_equal(fclose(file), 0);
    for (size_t i = 0; i < COUNT_OF(secrets); i++) {
        struct transport_config *config;
        char text[128];

        set_mode("secret", 0600);
        for (unsigned open = 0; open < 2; open++) {
            config =
                tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "noted.crt", TLSMSG_OPT_KEY,
                           "noted.key", secrets[i].option, "secret", TLSMSG_OPT_COUNT);
            assert_int_equal(transport_config_warning_count(config), open);
            if (open) {
                (void)snprintf(text, sizeof(text),
                               "%s '*/secret' can be read by others (chmod 600 '*/secret')",
                               secrets[i].what);
                expect_text("the warning", text, transport_config_warning(config, 0));
            }
            transport_config_unref(config);
            set_mode("secret", 0644);
        }
    }
}

/* A group that may read what is root's is meant; of anybody else's it is a leak. */
static void test_a_group_that_is_meant(void **state)
{
    struct transport_config *config;
    char path[TEST_PATH_MAX];
    bool lent;

    (void)state;
    tls_files_leaf(&files, "noted",
                   &(struct test_cert_spec){.common_name = "noted",
                                            .alternative_names = "DNS:noted",
                                            .from_s = -HOUR,
                                            .until_s = 90 * TEST_DAY_S});
    lent = chown(test_folder_file(&files.folder, "noted.key", path), 0, 12345) == 0;
    set_mode("noted.key", 0640);
    config = server_with("noted.crt", "noted.key");
    assert_int_equal(transport_config_warning_count(config), lent ? 0 : 1);
    transport_config_unref(config);
    set_mode("noted.key", 0644);
    config = server_with("noted.crt", "noted.key");
    assert_int_equal(transport_config_warning_count(config), 1);
    assert_non_null(
        strstr(transport_config_warning(config, 0), lent ? "(chmod 640 '" : "(chmod 600 '"));
    transport_config_unref(config);
}

/* ---- what a configuration loads and nobody gets in with */

static bool is_warned(const struct transport_config *config, const char *says)
{
    bool said = false;

    for (size_t i = 0; i < transport_config_warning_count(config); i++) {
        said |= strstr(transport_config_warning(config, i), says) != NULL;
    }
    return said;
}

static struct transport_config *server_trusting(const char *ca)
{
    return tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                      "server.key", TLSMSG_OPT_CLIENT_CA, ca, TLSMSG_OPT_COUNT);
}

static void write_ca(const char *name, const struct test_cert_spec *spec)
{
    struct test_cert cert;
    char path[TEST_PATH_MAX];

    test_cert_make(&cert, spec);
    test_cert_write(&cert, test_folder_file(&files.folder, name, path));
    test_cert_free(&cert);
}

static void test_cas_that_let_nobody_in(void **state)
{
    static const char of_no_ca[] =
        "holds no CA: only who has one of these very certificates gets in";
    static const char future[] = "CA 'CN=future CA' in '";
    static const struct {
        const char *file;
        const char *says;
        bool warned;
    } cases[] = {
        {"ca.crt", of_no_ca, false},
        {"alice.crt", of_no_ca, true},
        {"both.crt", of_no_ca, false},
        {"self.crt", of_no_ca, false},
        {"no-sign.crt", of_no_ca, false},
        {"future.crt", future, true},
        {"ca.crt", "is not valid before", false},
    };
    char path[TEST_PATH_MAX];

    (void)state;
    test_cert_write(&files.alice, test_folder_file(&files.folder, "both.crt", path));
    test_cert_append(&files.ca, path);
    write_ca("self.crt", &(struct test_cert_spec){.common_name = "self"});
    write_ca("no-sign.crt", &(struct test_cert_spec){.common_name = "self", .is_ca = true});
    write_ca("future.crt", &(struct test_cert_spec){.common_name = "future CA",
                                                    .is_ca = true,
                                                    .from_s = TEST_DAY_S,
                                                    .until_s = 90 * TEST_DAY_S});
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct transport_config *config = server_trusting(cases[i].file);

        assert_int_equal(is_warned(config, cases[i].says), cases[i].warned);
        transport_config_unref(config);
    }
}

/* An issuer that begins after the certificate does is as much in the way as one that has ended. */
static void test_an_issuer_for_tomorrow(void **state)
{
    struct transport_config *config;
    struct test_cert middle;
    struct test_cert leaf;
    char path[TEST_PATH_MAX];

    (void)state;
    test_cert_make(&middle, &(struct test_cert_spec){.common_name = "middle",
                                                     .issuer = &files.ca,
                                                     .is_ca = true,
                                                     .from_s = TEST_DAY_S,
                                                     .until_s = 90 * TEST_DAY_S});
    test_cert_make(&leaf,
                   &(struct test_cert_spec){.alternative_names = "DNS:leaf", .issuer = &middle});
    test_cert_write(&leaf, test_folder_file(&files.folder, "early.crt", path));
    test_cert_append(&middle, path);
    test_cert_write_key(&leaf, test_folder_file(&files.folder, "early.key", path), NULL);
    config = server_with("early.crt", "early.key");
    assert_true(is_warned(config, "issuer 'CN=middle' in '"));
    assert_true(is_warned(config, "is not valid before 20"));
    assert_true(is_warned(config, "; try: this machine's clock"));
    transport_config_unref(config);
    test_cert_free(&leaf);
    test_cert_free(&middle);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_to_end),
        cmocka_unit_test(test_each_kind_that_ends),
        cmocka_unit_test(test_each_secret_that_others_can_read),
        cmocka_unit_test(test_a_group_that_is_meant),
        cmocka_unit_test(test_a_certificate_for_another_name),
        cmocka_unit_test(test_logged_secrets),
        cmocka_unit_test(test_everything_that_ends_is_reported),
        cmocka_unit_test(test_order_of_warnings),
        cmocka_unit_test(test_a_client_without_certificates),
        cmocka_unit_test(test_cas_that_let_nobody_in),
        cmocka_unit_test(test_an_issuer_for_tomorrow),
    };
    int failed = 0;

    tls_files_make(&files);
    RUN_ROWS(failed, test_certificate_and_key, rows);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    tls_files_remove(&files);
    return failed;
}
