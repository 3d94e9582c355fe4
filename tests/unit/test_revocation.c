/* Revocation lists: whom they refuse, the leaf's issuers included, and lists that are no use. */
#include <stdio.h>
#include <string.h>

#include "support/config.h"
#include "support/glob_text.h"
#include "support/tls_ends.h"
#include "support/unit.h"

static struct tls_files files;
static struct test_cert issuer; /* between the CA and the leaves */
static struct test_cert carol;
static struct test_cert other_ca;
static struct test_cert no_lists_ca;

static void write_leaf(const char *name, const struct test_cert *leaf)
{
    char file[64];
    char path[TEST_PATH_MAX];

    (void)snprintf(file, sizeof(file), "%s.crt", name);
    test_cert_write(leaf, test_folder_file(&files.folder, file, path));
    test_cert_append(&issuer, path);
    (void)snprintf(file, sizeof(file), "%s.key", name);
    test_cert_write_key(leaf, test_folder_file(&files.folder, file, path), NULL);
}

/* A file with the CA's list and the issuer's, each with one entry or none. */
static void write_lists(const char *name, const struct test_cert *by_ca,
                        const struct test_cert *by_issuer)
{
    char path[TEST_PATH_MAX];

    test_crl_write(&(struct test_crl_spec){.issuer = &files.ca, .revoked = by_ca},
                   test_folder_file(&files.folder, name, path));
    test_crl_append(&(struct test_crl_spec){.issuer = &issuer, .revoked = by_issuer}, path);
}

/* Two lists under one name. Of those that are equally old the library takes the first. */
static void write_pairs(void)
{
    const struct test_crl_spec none = {.issuer = &issuer};
    const struct test_crl_spec names_carol = {.issuer = &issuer, .revoked = &carol};
    struct test_cert namesake;
    char path[TEST_PATH_MAX];

    test_crl_write(&none, test_folder_file(&files.folder, "first.crl", path));
    test_crl_append(&names_carol, path);
    test_crl_write(&names_carol, test_folder_file(&files.folder, "second.crl", path));
    test_crl_append(&none, path);
    test_cert_make(&namesake, &(struct test_cert_spec){
                                  .common_name = "issuer", .issuer = &files.ca, .is_ca = true});
    test_crl_write(&none, test_folder_file(&files.folder, "namesake.crl", path));
    test_crl_append(&(struct test_crl_spec){.issuer = &namesake,
                                            .revoked = &carol,
                                            .extension = NID_authority_key_identifier,
                                            .extension_value = "keyid:always"},
                    path);
    test_cert_free(&namesake);
}

static int set_up(void **state)
{
    struct test_cert server;
    struct test_cert ours; /* the script's */
    char path[TEST_PATH_MAX];

    (void)state;
    tls_files_make(&files);
    test_cert_make(&issuer, &(struct test_cert_spec){
                                .common_name = "issuer", .issuer = &files.ca, .is_ca = true});
    test_cert_make(&carol, &(struct test_cert_spec){.common_name = "carol", .issuer = &issuer});
    test_cert_make(&server, &(struct test_cert_spec){.common_name = "served",
                                                     .alternative_names = "DNS:localhost",
                                                     .issuer = &issuer});
    test_cert_make(&other_ca, &(struct test_cert_spec){.common_name = "other CA", .is_ca = true});
    test_cert_make(&no_lists_ca, &(struct test_cert_spec){.common_name = "CA without lists",
                                                          .is_ca = true,
                                                          .key_usage = "critical,keyCertSign"});
    test_cert_write(&files.ca, test_folder_file(&files.folder, "cas.crt", path));
    test_cert_append(&no_lists_ca, path);
    write_leaf("carol", &carol);
    write_leaf("served", &server);
    test_cert_free(&server);
    write_lists("nobody.crl", NULL, NULL);
    write_lists("issuer.crl", &issuer, NULL);
    write_lists("carol.crl", NULL, &carol);
    /* Another CA's word about the same number. */
    write_lists("stranger.crl", NULL, NULL);
    test_crl_append(&(struct test_crl_spec){.issuer = &other_ca, .revoked = &issuer},
                    test_folder_file(&files.folder, "stranger.crl", path));
    write_pairs();
    {
        char twice[TEST_PATH_MAX];

        test_block_write_twice(test_folder_file(&files.folder, "nobody.crl", path),
                               test_folder_file(&files.folder, "twice.crl", twice));
    }
    test_crl_write(&(struct test_crl_spec){.issuer = &issuer, .until_s = -TEST_DAY_S},
                   test_folder_file(&files.folder, "past.crl", path));
    test_crl_write(&(struct test_crl_spec){.issuer = &issuer, .until_text = "some other day"},
                   test_folder_file(&files.folder, "some-day.crl", path));
    test_cert_make(&ours, &(struct test_cert_spec){.common_name = "tlsmsg CA x1y2", .is_ca = true});
    test_crl_write(&(struct test_crl_spec){.issuer = &ours, .until_s = -TEST_DAY_S},
                   test_folder_file(&files.folder, "ours.crl", path));
    test_cert_free(&ours);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_cert_free(&no_lists_ca);
    test_cert_free(&other_ca);
    test_cert_free(&carol);
    test_cert_free(&issuer);
    tls_files_remove(&files);
    return 0;
}

struct row {
    const char *name;
    const char *server_crl; /* NULL: none */
    const char *client_crl;
    const char *text; /* of who refuses; '*' is any bytes; NULL: it has to work */
};

static const struct row rows[] = {
    {"nobody is revoked", "nobody.crl", "nobody.crl", NULL},
    {"another CA's list", "stranger.crl", "stranger.crl", NULL},
    {"a list of others on the client's side", NULL, "carol.crl", NULL},
    {"another CA of the issuer's name, with a number of hers", "namesake.crl", "namesake.crl",
     NULL},
    {"a client that one of two lists names", "first.crl", NULL,
     "cannot verify client 'CN=carol': its certificate is revoked"},
    {"the same, the other list first", "second.crl", NULL,
     "cannot verify client 'CN=carol': its certificate is revoked"},
    {"a revoked client", "carol.crl", NULL,
     "cannot verify client 'CN=carol': its certificate is revoked"},
    {"a client with a revoked issuer", "issuer.crl", NULL,
     "cannot verify client 'CN=carol': its issuer's certificate is revoked"},
    {"a server with a revoked issuer", NULL, "issuer.crl",
     "cannot verify server 'localhost': its issuer's certificate is revoked; its pin is sha256//*"},
};

static struct transport_config *server_with(const char *crl)
{
    return tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "served.crt", TLSMSG_OPT_KEY,
                      "served.key", TLSMSG_OPT_CLIENT_CA, "ca.crt",
                      crl != NULL ? TLSMSG_OPT_CRL : TLSMSG_OPT_COUNT, crl, TLSMSG_OPT_COUNT);
}

static struct transport_config *client_with(const char *crl)
{
    return tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CERT, "carol.crt", TLSMSG_OPT_KEY,
                      "carol.key", TLSMSG_OPT_CA, "ca.crt",
                      crl != NULL ? TLSMSG_OPT_CRL : TLSMSG_OPT_COUNT, crl, TLSMSG_OPT_COUNT);
}

static void test_chains(void **state)
{
    const struct row *row = *state;
    struct transport_config *server = server_with(row->server_crl);
    struct transport_config *client = client_with(row->client_crl);
    struct pair p;

    pair_init(&p, server, client, "localhost");
    pair_client_says(&p, "hello", 5);
    assert_true(pair_run(&p, TLS_STEPS));
    if (row->text == NULL) {
        assert_string_equal(p.client.error.text, "");
        assert_int_equal(p.client.code, TLSMSG_OK);
        assert_int_equal(p.server.in_len, 5);
    } else {
        const struct pair_end *judge = row->server_crl != NULL ? &p.server : &p.client;
        const struct pair_end *judged = row->server_crl != NULL ? &p.client : &p.server;

        assert_int_equal(judge->code, TLSMSG_ERR_UNTRUSTED);
        expect_text("the refusal", row->text, judge->error.text);
        assert_string_equal(
            judged->error.text,
            row->server_crl != NULL
                ? "the server does not accept this certificate (alert: certificate revoked)"
                : "the client does not accept the server's certificate (alert: certificate "
                  "revoked)");
        assert_int_equal(p.server.in_len, 0);
    }
    pair_fini(&p);
    transport_config_unref(server);
    transport_config_unref(client);
}

static void test_lists_that_are_no_use(void **state)
{
    static const struct {
        const char *file;
        const char *text;
    } cases[] = {
        {"past.crl", "revocation list '*/past.crl', line 1: the list of 'CN=issuer' ended on 20*; "
                     "try: that CA's new list"},
        {"ours.crl", "revocation list '*/ours.crl', line 1: the list of 'CN=tlsmsg CA x1y2' ended "
                     "on 20*; try: scripts/gen-certs.sh crl makes one"},
        {"some-day.crl", "revocation list '*/some-day.crl', line 1: the list of 'CN=issuer' ended "
                         "on ?; try: that CA's new list"},
        {"twice.crl", "revocation list '*/twice.crl' is damaged: more than a list in the block at "
                      "line 1; try: the file as its CA has made it"},
        {"ca.crt", "'*/ca.crt' holds no revocation list in PEM form, but a certificate "
                   "(scripts/gen-certs.sh crl makes one)"},
        {"nowhere.crl", "cannot read revocation list '*/nowhere.crl': No such file or directory "
                        "(scripts/gen-certs.sh crl makes one)"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        struct transport_config *config = NULL;
        struct tlsmsg_options *options =
            tls_options(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, "ca.crt", TLSMSG_OPT_CRL,
                        cases[i].file, TLSMSG_OPT_COUNT);

        assert_int_equal(config_from_options(options, NULL, &config, &err), TLSMSG_ERR_CONFIG);
        expect_text("the refusal", cases[i].text, err.text);
        assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
        tlsmsg_options_free(options);
    }
}

/* ---- lists that can't do their work: each would let somebody in, or keep everybody out */

struct unfit {
    const char *name;
    struct test_crl_spec spec; /* its issuer is `issuer`, its entry carol, where it names none */
    const char *says;          /* NULL: it is taken */
};

static const struct unfit unfits[] = {
    {"a full list", {0}, NULL},
    {"its number", {.extension = NID_crl_number, .extension_value = "DER:020107"}, NULL},
    {"its number, critical",
     {.extension = NID_crl_number, .extension_value = "critical,DER:020107"},
     NULL},
    {"all certificates of its distribution point",
     {.extension = NID_issuing_distribution_point,
      .extension_value = "critical,fullname:URI:http://crl.example/1"},
     NULL},
    {"people's certificates alone",
     {.extension = NID_issuing_distribution_point, .extension_value = "critical,onlyuser:TRUE"},
     NULL},
    {"where a delta list is", {.extension = NID_freshest_crl, .extension_value = "DER:3000"}, NULL},
    {"a delta list",
     {.extension = NID_delta_crl, .extension_value = "critical,DER:02010A"},
     "revocation list '*/unfit.crl', line 1: the list of 'CN=issuer' is a delta list, which holds "
     "changes alone; try: the full list of that CA"},
    {"a delta list that does not say how much it matters",
     {.extension = NID_delta_crl, .extension_value = "DER:02010A"},
     "revocation list '*/unfit.crl', line 1: the list of 'CN=issuer' is a delta list, which holds "
     "changes alone; try: the full list of that CA"},
    {"CAs alone",
     {.extension = NID_issuing_distribution_point, .extension_value = "critical,onlyCA:TRUE"},
     "revocation list '*/unfit.crl' covers CAs alone, and no peer's own certificate; try: the full "
     "list of the CA that issues them"},
    {"some reasons alone",
     {.extension = NID_issuing_distribution_point,
      .extension_value = "critical,onlysomereasons:keyCompromise"},
     "revocation list '*/unfit.crl', line 1: the list of 'CN=issuer' covers some reasons for "
     "revoking only; try: the full list of that CA"},
    {"attribute certificates alone",
     {.extension = NID_issuing_distribution_point, .extension_value = "critical,onlyAA:TRUE"},
     "revocation list '*/unfit.crl', line 1: the list of 'CN=issuer' covers attribute certificates "
     "only; try: the full list of that CA"},
    {"of other CAs' certificates",
     {.extension = NID_issuing_distribution_point, .extension_value = "critical,indirectCRL:TRUE"},
     "revocation list '*/unfit.crl', line 1: the list of 'CN=issuer' is an indirect one (of other "
     "CAs' certificates); try: the full list of that CA"},
    {"a distribution point beyond reading",
     {.extension = NID_issuing_distribution_point, .extension_value = "critical,DER:0403414141"},
     "revocation list '*/unfit.crl', line 1: the list of 'CN=issuer' has an issuing distribution "
     "point that can't be read; try: the full list of that CA"},
    {"an extension of a certificate's, critical",
     {.extension = NID_issuer_alt_name, .extension_value = "critical,DER:3000"},
     "revocation list '*/unfit.crl', line 1: the list of 'CN=issuer' has a critical extension that "
     "is not understood; try: the full list of that CA"},
    {"the same, not critical",
     {.extension = NID_issuer_alt_name, .extension_value = "DER:3000"},
     NULL},
    {"an entry's reason", {.entry_extension = NID_crl_reason, .entry_value = "DER:0A0101"}, NULL},
    {"an entry's extension, critical",
     {.entry_extension = NID_hold_instruction_code, .entry_value = "critical,DER:06032B0601"},
     "revocation list '*/unfit.crl', line 1: the list of 'CN=issuer' has a critical extension that "
     "is not understood; try: the full list of that CA"},
    {"an entry of another CA's certificate",
     {.entry_extension = NID_certificate_issuer, .entry_value = "critical,DER:30028200"},
     "revocation list '*/unfit.crl', line 1: the list of 'CN=issuer' has a critical extension that "
     "is not understood; try: the full list of that CA"},
    {"another CA's signature",
     {.issuer = &files.ca, .signer = &other_ca},
     "revocation list '*/unfit.crl', line 1: the list of 'CN=test CA' is not signed by the trusted "
     "CA of that name; try: a list made with that CA's key"},
    {"another CA's list", {.issuer = &other_ca}, NULL},
    {"a CA that may not sign lists",
     {.issuer = &no_lists_ca},
     "revocation list '*/unfit.crl', line 1: the list of 'CN=CA without lists' is signed by a CA "
     "whose key usage lacks cRLSign; try: that CA's certificate with cRLSign"},
    {"a list for tomorrow",
     {.from_s = TEST_DAY_S},
     "revocation list '*/unfit.crl', line 1: not valid before 20* UTC; try: the clocks of this "
     "machine and of the CA's"},
};

static void test_unfit(void **state)
{
    const struct unfit *row = *state;
    struct test_crl_spec spec = row->spec;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct transport_config *config = NULL;
    struct tlsmsg_options *options;
    char path[TEST_PATH_MAX];
    enum tlsmsg_code code;

    spec.issuer = spec.issuer != NULL ? spec.issuer : &issuer;
    spec.revoked = &carol;
    test_crl_write(&spec, test_folder_file(&files.folder, "unfit.crl", path));
    options = tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "served.crt", TLSMSG_OPT_KEY,
                          "served.key", TLSMSG_OPT_CLIENT_CA, "cas.crt", TLSMSG_OPT_CRL,
                          "unfit.crl", TLSMSG_OPT_COUNT);
    code = config_from_options(options, NULL, &config, &err);
    assert_int_equal(code, row->says == NULL ? TLSMSG_OK : TLSMSG_ERR_CONFIG);
    assert_int_equal(err.code, code);
    expect_text("the refusal", row->says, err.text);
    transport_config_unref(config);
    tlsmsg_options_free(options);
}

static void test_a_list_without_an_end(void **state)
{
    struct transport_config *config;
    char path[TEST_PATH_MAX];
    bool said = false;

    (void)state;
    test_crl_write(&(struct test_crl_spec){.issuer = &issuer, .is_endless = true},
                   test_folder_file(&files.folder, "endless.crl", path));
    config = server_with("endless.crl");
    for (size_t i = 0; i < transport_config_warning_count(config); i++) {
        said |= strstr(transport_config_warning(config, i), "a list without an end") != NULL;
    }
    assert_true(said);
    assert_int_equal(transport_config_expiry(config, TLSMSG_EXPIRY_CRL), 0);
    transport_config_unref(config);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_that_are_no_use),
        cmocka_unit_test(test_a_list_without_an_end),
    };
    int failed = 0;

    (void)set_up(NULL);
    RUN_ROWS(failed, test_unfit, unfits);
    RUN_ROWS(failed, test_chains, rows);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    (void)tear_down(NULL);
    return failed;
}
