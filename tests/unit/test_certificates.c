/* Own certificates and keys: everything wrong with them is said before a socket opens. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "support/config.h"
#include "support/glob_text.h"
#include "support/tls_ends.h"
#include "support/unit.h"

static struct tls_files files;

struct row {
    const char *name;
    const char *cert; /* NULL: not given */
    const char *key;  /* NULL: not given */
    const char *password_file;
    const char *text; /* '*' is any bytes; NULL: it has to work */
};

static const struct row rows[] = {
    {"a pair", "server.crt", "server.key", NULL, NULL},
    {"a key in the certificate's file", "both.pem", NULL, NULL, NULL},
    {"a chain", "chain.crt", "chain.key", NULL, NULL},
    {"RSA", "rsa.crt", "rsa.key", NULL, NULL},
    {"P-384", "p384.crt", "p384.key", NULL, NULL},
    {"P-521", "p521.crt", "p521.key", NULL, NULL},
    {"a curve of few clients", "brainpool.crt", "brainpool.key", NULL,
     "certificate '*/brainpool.crt': no client can use its key (brainpoolP256r1) under this TLS "
     "policy; try: ECDSA with P-256, or RSA with 2048 bits or more"},
    {"a curve of none", "koblitz.crt", "koblitz.key", NULL,
     "certificate '*/koblitz.crt': no client can use its key (secp256k1) under this TLS policy; "
     "try: ECDSA with P-256, or RSA with 2048 bits or more"},
    {"an encrypted key with its password", "server.crt", "locked.key", "password", NULL},
    {"a password file with DOS line ends", "server.crt", "locked.key", "dos-password", NULL},
    {"none at all", NULL, NULL, NULL,
     "a TLS server needs --cert FILE and --key FILE (scripts/gen-certs.sh makes them)"},
    {"a missing certificate", "nowhere.crt", "server.key", NULL,
     "cannot read certificate '*/nowhere.crt': No such file or directory (scripts/gen-certs.sh "
     "makes one)"},
    {"a missing key", "server.crt", "nowhere.key", NULL,
     "cannot read key '*/nowhere.key': No such file or directory (scripts/gen-certs.sh makes one)"},
    {"a folder for a certificate", "/tmp", "server.key", NULL,
     "cannot read certificate '/tmp': Is a directory"},
    {"a folder for a key", "server.crt", "/tmp", NULL, "cannot read key '/tmp': Is a directory"},
    {"no key", "server.crt", NULL, NULL,
     "'*/server.crt' holds no private key in PEM form, but a certificate (--key FILE names the "
     "key's file)"},
    {"a certificate for a key", "server.crt", "alice.crt", NULL,
     "'*/alice.crt' holds no private key in PEM form, but a certificate"},
    {"a key for a certificate", "server.key", "server.key", NULL,
     "certificate '*/server.key' holds no certificate in PEM form, but a private key"},
    {"an empty file", "empty", "server.key", NULL,
     "certificate '*/empty' holds no certificate in PEM form: it is empty"},
    {"an empty key", "server.crt", "empty", NULL,
     "'*/empty' holds no private key in PEM form: it is empty"},
    {"another's key", "server.crt", "alice.key", NULL,
     "key '*/alice.key' does not belong to certificate '*/server.crt'"},
    {"a damaged certificate", "damaged.crt", "server.key", NULL,
     "certificate '*/damaged.crt' is damaged: the certificate at line 1 can't be read"},
    {"a damaged issuer", "damaged-chain.crt", "server.key", NULL,
     "certificate '*/damaged-chain.crt' is damaged: the certificate at line * can't be read"},
    {"two certificates in one block", "block.crt", "server.key", NULL,
     "certificate '*/block.crt' is damaged: more than a certificate in the block at line 1"},
    {"a damaged key", "server.crt", "damaged.key", NULL,
     "key '*/damaged.key' is damaged or of an unknown kind"},
    {"an expired certificate", "expired.crt", "expired.key", NULL,
     "certificate '*/expired.crt' expired on 20*; try: a new one"},
    {"an expired one that the script has made", "ours.crt", "ours.key", NULL,
     "certificate '*/ours.crt' expired on 20* (scripts/gen-certs.sh renews one)"},
    {"one of a CA of nearly such a name", "nearly.crt", "nearly.key", NULL,
     "certificate '*/nearly.crt' expired on 20*; try: a new one"},
    {"a certificate for tomorrow", "future.crt", "future.key", NULL,
     "certificate '*/future.crt' is not valid before 20* (is this clock right?)"},
    {"an end that is no date", "no-end.crt", "no-end.key", NULL,
     "certificate '*/no-end.crt' expired on ?; try: a new one"},
    {"a beginning that is no date", "no-begin.crt", "no-begin.key", NULL,
     "certificate '*/no-begin.crt' is not valid before ? (is this clock right?)"},
    {"an issuer's end that is no date", "no-issuer-end.crt", "server.key", NULL, NULL},
    {"an expired issuer", "old-issuer.crt", "server.key", NULL, NULL},
    {"an encrypted key without a password", "server.crt", "locked.key", NULL,
     "key '*/locked.key' is encrypted: --key-password-file FILE opens it"},
    {"a wrong password", "server.crt", "locked.key", "wrong-password",
     "the password does not open key '*/locked.key'"},
    {"an empty password file", "server.crt", "locked.key", "empty",
     "key password file '*/empty' is empty or begins with an empty line; try: the password in its "
     "first line"},
    {"the issuer before the certificate", "backwards.crt", "server.key", NULL,
     "key '*/server.key' belongs to certificate number 2 in '*/backwards.crt'; try: that one "
     "first, then its issuers"},
    {"a password file with a blank behind", "server.crt", "locked.key", "blank-password",
     "the password does not open key '*/locked.key'; it has a blank at an end, which counts"},
    {"two keys, the other's first", "server.crt", "two.key", NULL,
     "the first key in '*/two.key', which holds 2, does not belong to certificate '*/server.crt'; "
     "try: a file with its own key alone"},
    {"two keys, its own first", "alice.crt", "two.key", NULL, NULL},
    {"a missing password file", "server.crt", "locked.key", "nowhere",
     "cannot read key password file '*/nowhere': No such file or directory"},
};

static void write_text(const char *name, const char *text)
{
    char path[TEST_PATH_MAX];
    FILE *file = fopen(test_folder_file(&files.folder, name, path), "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Copies a file with one character of its nth block (from 0) made invalid. */
static void write_damaged(const char *from, const char *to, int nth)
{
    char path[TEST_PATH_MAX];
    char text[16384];
    char *at = text;
    FILE *file = fopen(test_folder_file(&files.folder, from, path), "r");
    size_t len;

    assert_non_null(file);
    len = fread(text, 1, sizeof(text) - 1, file);
    text[len] = '\0';
    fclose(file);
    for (; nth > 0; nth--) {
        at = strstr(at + 1, "-----BEGIN ");
        assert_non_null(at);
    }
    at = strchr(at + 1, '\n');
    assert_non_null(at);
    at[5] = '!';
    write_text(to, text);
}

static const struct {
    const char *name;
    const char *curve;
} curves[] = {{"p384", "P-384"},
              {"p521", "P-521"},
              {"brainpool", "brainpoolP256r1"},
              {"koblitz", "secp256k1"}};

/* Chains that hold more than one, or in another order. */
static void write_repeated(void)
{
    struct test_cert middle;
    struct test_cert lower;
    struct test_cert leaf;
    char path[TEST_PATH_MAX];

    test_cert_write(&files.server, test_folder_file(&files.folder, "twice.crt", path));
    test_cert_append(&files.ca, path);
    test_cert_append(&files.server, path);
    test_cert_make(&middle, &(struct test_cert_spec){
                                .common_name = "middle", .issuer = &files.ca, .is_ca = true});
    test_cert_make(&leaf,
                   &(struct test_cert_spec){.alternative_names = "DNS:leaf", .issuer = &middle});
    test_cert_write_key(&leaf, test_folder_file(&files.folder, "order.key", path), NULL);
    test_cert_write(&leaf, test_folder_file(&files.folder, "order.crt", path));
    test_cert_append(&files.ca, path);
    test_cert_append(&middle, path);
    test_cert_write(&leaf, test_folder_file(&files.folder, "gap.crt", path));
    test_cert_append(&files.ca, path);
    test_cert_free(&leaf);
    test_cert_make(
        &lower, &(struct test_cert_spec){.common_name = "lower", .issuer = &middle, .is_ca = true});
    test_cert_make(&leaf,
                   &(struct test_cert_spec){.alternative_names = "DNS:leaf", .issuer = &lower});
    test_cert_write_key(&leaf, test_folder_file(&files.folder, "order-no-root.key", path), NULL);
    test_cert_write(&leaf, test_folder_file(&files.folder, "order-no-root.crt", path));
    test_cert_append(&middle, path);
    test_cert_append(&lower, path);
    test_cert_free(&leaf);
    test_cert_free(&lower);
    test_cert_free(&middle);
}

/* An expired certificate of a CA of this name. */
static void write_expired(const char *name, const char *ca_name)
{
    struct test_cert ca;
    struct test_cert cert;
    char file[64];
    char path[TEST_PATH_MAX];

    test_cert_make(&ca, &(struct test_cert_spec){.common_name = ca_name, .is_ca = true});
    test_cert_make(&cert, &(struct test_cert_spec){.common_name = name,
                                                   .issuer = &ca,
                                                   .from_s = -5 * TEST_DAY_S,
                                                   .until_s = -TEST_DAY_S});
    (void)snprintf(file, sizeof(file), "%s.crt", name);
    test_cert_write(&cert, test_folder_file(&files.folder, file, path));
    (void)snprintf(file, sizeof(file), "%s.key", name);
    test_cert_write_key(&cert, test_folder_file(&files.folder, file, path), NULL);
    test_cert_free(&cert);
    test_cert_free(&ca);
}

static int set_up(void **state)
{
    const struct test_cert_spec expired = {
        .common_name = "old", .from_s = -5 * TEST_DAY_S, .until_s = -TEST_DAY_S};
    const struct test_cert_spec future = {
        .common_name = "new", .from_s = TEST_DAY_S, .until_s = 5 * TEST_DAY_S};
    struct test_cert_spec old_ca = {
        .common_name = "old CA", .is_ca = true, .from_s = -5 * TEST_DAY_S, .until_s = -TEST_DAY_S};
    struct test_cert issuer;
    char path[TEST_PATH_MAX];
    char from[TEST_PATH_MAX];

    (void)state;
    tls_files_make(&files);
    tls_files_leaf(&files, "expired", &expired);
    tls_files_leaf(&files, "future", &future);
    write_expired("ours", "tlsmsg CA x1y2");
    write_expired("nearly", "tlsmsg CA");
    for (size_t i = 0; i < COUNT_OF(curves); i++) {
        tls_files_leaf(&files, curves[i].name, &(struct test_cert_spec){.curve = curves[i].curve});
    }
    tls_files_leaf(&files, "rsa", &(struct test_cert_spec){.common_name = "rsa", .is_rsa = true});
    tls_files_leaf(&files, "chain", &(struct test_cert_spec){.common_name = "chain"});
    test_cert_append(&files.ca, test_folder_file(&files.folder, "chain.crt", path));
    test_cert_write(&files.server, test_folder_file(&files.folder, "both.pem", path));
    test_cert_append_key(&files.server, path);
    test_cert_make(&issuer, &old_ca);
    test_cert_write(&files.server, test_folder_file(&files.folder, "old-issuer.crt", path));
    test_cert_append(&issuer, path);
    test_cert_free(&issuer);
    test_cert_make(&issuer, &(struct test_cert_spec){.common_name = "odd CA",
                                                     .is_ca = true,
                                                     .until_text = "some other day"});
    test_cert_write(&files.server, test_folder_file(&files.folder, "no-issuer-end.crt", path));
    test_cert_append(&issuer, path);
    test_cert_free(&issuer);
    tls_files_leaf(&files, "no-end",
                   &(struct test_cert_spec){.common_name = "odd", .until_text = "some other day"});
    tls_files_leaf(&files, "no-begin",
                   &(struct test_cert_spec){.common_name = "odd", .from_text = "some other day"});
    test_cert_write_key(&files.server, test_folder_file(&files.folder, "locked.key", path),
                        "open sesame");
    write_text("password", "open sesame\nsecond line\n");
    write_text("dos-password", "open sesame\r\n");
    write_text("wrong-password", "open barley\n");
    write_text("blank-password", "open sesame \n");
    write_text("empty", "");
    test_folder_file(&files.folder, "two.key", path);
    test_cert_write_key(&files.alice, path, NULL);
    test_cert_append_key(&files.server, path);
    write_repeated();
    test_cert_write(&files.ca, test_folder_file(&files.folder, "backwards.crt", path));
    test_cert_append(&files.server, path);
    write_damaged("server.crt", "damaged.crt", 0);
    test_block_write_twice(test_folder_file(&files.folder, "server.crt", from),
                           test_folder_file(&files.folder, "block.crt", path));
    write_damaged("chain.crt", "damaged-chain.crt", 1);
    write_damaged("server.key", "damaged.key", 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_files_remove(&files);
    return 0;
}

static void set_file(struct tlsmsg_options *options, enum tlsmsg_option option, const char *name)
{
    char path[TEST_PATH_MAX];

    if (name != NULL) {
        assert_int_equal(
            tlsmsg_options_set(options, option,
                               name[0] == '/' ? name : test_folder_file(&files.folder, name, path),
                               NULL),
            TLSMSG_OK);
    }
}

static void test_loading(void **state)
{
    const struct row *row = *state;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_options *options = tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_COUNT);
    struct transport_config *config = NULL;
    enum tlsmsg_code code;

    set_file(options, TLSMSG_OPT_CERT, row->cert);
    set_file(options, TLSMSG_OPT_KEY, row->key);
    set_file(options, TLSMSG_OPT_KEY_PASSWORD_FILE, row->password_file);
    code = config_from_options(options, NULL, &config, &err);
    if (row->text != NULL) {
        expect_text("the refusal", row->text, err.text);
        assert_int_equal(code, TLSMSG_ERR_CONFIG);
        assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
        assert_null(config);
    } else {
        assert_string_equal(err.text, "");
        assert_int_equal(code, TLSMSG_OK);
    }
    transport_config_unref(config);
    tlsmsg_options_free(options);
}

struct asked {
    unsigned times;
    const char *answer;
    char file[TEST_PATH_MAX];
};

static bool answer(const char *file, char *buf, size_t cap, void *user)
{
    struct asked *asked = user;

    asked->times++;
    (void)snprintf(asked->file, sizeof(asked->file), "%s", file);
    if (asked->answer == NULL) {
        return false;
    }
    (void)snprintf(buf, cap, "%s", asked->answer);
    return true;
}

static void test_asking_for_a_password(void **state)
{
    static const struct {
        const char *answer;
        const char *text;
    } cases[] = {
        {"open sesame", NULL},
        {"open barley", "the password does not open key '*/locked.key'"},
        {"", "key '*/locked.key' is encrypted: --key-password-file FILE opens it"},
        {NULL, "key '*/locked.key' is encrypted: --key-password-file FILE opens it"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        struct asked asked = {.answer = cases[i].answer};
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        struct transport_config *config = NULL;
        struct tlsmsg_options *options =
            tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                        "locked.key", TLSMSG_OPT_COUNT);

        tlsmsg_options_set_ask_password(options, answer, &asked);
        (void)config_from_options(options, NULL, &config, &err);
        assert_int_equal(asked.times, 1);
        assert_non_null(strstr(asked.file, "locked.key"));
        assert_int_equal(config != NULL, cases[i].text == NULL);
        if (cases[i].text != NULL) {
            expect_text("the refusal", cases[i].text, err.text);
            assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
        }
        transport_config_unref(config);
        tlsmsg_options_free(options);
    }
}

/* File names are printed, so what is in them is escaped. */
static void test_names_of_files_are_escaped(void **state)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct transport_config *config = NULL;
    struct tlsmsg_options *options = tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT,
                                                 "no\nwhere\x1b.crt", TLSMSG_OPT_COUNT);

    (void)state;
    assert_int_equal(config_from_options(options, NULL, &config, &err), TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(err.text, "no\\nwhere\\x1b.crt"));
    tlsmsg_options_free(options);
}

static void test_a_client_needs_none(void **state)
{
    (void)state;
    transport_config_unref(
        tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, "ca.crt", TLSMSG_OPT_COUNT));
    transport_config_unref(tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_COUNT));
}

static void test_bad_ca_files(void **state)
{
    static const struct {
        const char *file;
        const char *text;
    } cases[] = {
        {"nowhere.crt", "cannot read CA file '*/nowhere.crt': No such file or directory "
                        "(scripts/gen-certs.sh makes one)"},
        {"server.key",
         "CA file '*/server.key' holds no certificate in PEM form, but a private key"},
        {"damaged.crt",
         "CA file '*/damaged.crt' is damaged: the certificate at line 1 can't be read"},
        {"/tmp", "cannot read CA file '/tmp': Is a directory"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT_OF(cases); i++) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        struct transport_config *config = NULL;
        struct tlsmsg_options *options =
            tls_options(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, cases[i].file, TLSMSG_OPT_COUNT);

        assert_int_equal(config_from_options(options, NULL, &config, &err), TLSMSG_ERR_CONFIG);
        expect_text("the refusal", cases[i].text, err.text);
        assert_null(config);
        tlsmsg_options_free(options);
    }
}

/* ---- chains that work for most clients */

static void test_chains(void **state)
{
    static const struct {
        const char *cert;
        const char *key;
        const char *says;
    } cases[] = {
        {"chain.crt", "chain.key", NULL},
        {"twice.crt", "server.key", "twice.crt' holds 1 certificate that is not of the chain"},
        {"order.crt", "order.key", "order.crt' has its certificates out of order"},
        {"order-no-root.crt", "order-no-root.key", "has its certificates out of order"},
        {"gap.crt", "order.key", "gap.crt' lacks the certificate of 'CN=middle' between others"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct transport_config *config =
            tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, cases[i].cert, TLSMSG_OPT_KEY,
                       cases[i].key, TLSMSG_OPT_COUNT);
        size_t count = transport_config_warning_count(config);
        bool said = false;

        for (size_t w = 0; cases[i].says != NULL && w < count; w++) {
            said |= strstr(transport_config_warning(config, w), cases[i].says) != NULL;
        }
        assert_int_equal(said, cases[i].says != NULL);
        for (size_t w = 0; cases[i].says == NULL && w < count; w++) {
            assert_null(strstr(transport_config_warning(config, w), "chain;"));
            assert_null(strstr(transport_config_warning(config, w), "order"));
            assert_null(strstr(transport_config_warning(config, w), "lacks"));
        }
        transport_config_unref(config);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asking_for_a_password),
        cmocka_unit_test(test_names_of_files_are_escaped),
        cmocka_unit_test(test_a_client_needs_none),
        cmocka_unit_test(test_bad_ca_files),
        cmocka_unit_test(test_chains),
    };
    int failed = 0;

    (void)set_up(NULL);
    RUN_ROWS(failed, test_loading, rows);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    (void)tear_down(NULL);
    return failed;
}
