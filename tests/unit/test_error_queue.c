/* The library's queue of errors: what lies in it from before is nobody's cause, and nothing of ours
 * stays in it for who comes next. */
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>

#include "support/config.h"
#include "support/tls_ends.h"
#include "support/unit.h"
#include "transport/tls/internal.h"
#include "transport/tls/known_servers.h"
#include "transport/tls/verify.h"

static struct tls_files files;
static bool plants; /* an old error, with each file that is loaded */

/* The one that would be told as a want of memory, whatever happens then. */
static void plant(void)
{
    ERR_raise(ERR_LIB_X509, ERR_R_MALLOC_FAILURE);
}

enum tlsmsg_code __real_load_file(struct file *file, const char *path,
                                  const struct tls_settings *settings, const char *what,
                                  const char *hint, struct tlsmsg_error *err);
enum tlsmsg_code __wrap_load_file(struct file *file, const char *path,
                                  const struct tls_settings *settings, const char *what,
                                  const char *hint, struct tlsmsg_error *err);

enum tlsmsg_code __wrap_load_file(struct file *file, const char *path,
                                  const struct tls_settings *settings, const char *what,
                                  const char *hint, struct tlsmsg_error *err)
{
    enum tlsmsg_code code = __real_load_file(file, path, settings, what, hint, err);

    if (plants) {
        plant();
    }
    return code;
}

/* A block of the right kind with nothing in it that can be read. */
static void write_damaged(const char *name, const char *kind)
{
    char path[TEST_PATH_MAX];
    FILE *file = fopen(test_folder_file(&files.folder, name, path), "w");

    assert_non_null(file);
    assert_true(fprintf(file, "-----BEGIN %s-----\nAAAA\n-----END %s-----\n", kind, kind) > 0);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    (void)state;
    tls_files_make(&files);
    tls_files_leaf(&files, "old",
                   &(struct test_cert_spec){.common_name = "old",
                                            .alternative_names = "DNS:old",
                                            .from_s = -5 * TEST_DAY_S,
                                            .until_s = -TEST_DAY_S});
    write_damaged("damaged.crt", "CERTIFICATE");
    write_damaged("damaged.key", "PRIVATE KEY");
    write_damaged("damaged.crl", "X509 CRL");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_files_remove(&files);
    return 0;
}

static void old_errors_are_no_cause(void **state)
{
    static const struct {
        enum tlsmsg_role role;
        enum tlsmsg_option first, second;
        const char *one, *other;
        const char *says;
    } rows[] = {
        {TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, TLSMSG_OPT_KEY, "damaged.crt", "server.key",
         "the certificate at line 1 can't be read"},
        {TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, TLSMSG_OPT_KEY, "server.crt", "damaged.key",
         "damaged.key' is damaged"},
        {TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, TLSMSG_OPT_KEY, "server.crt", "alice.key",
         "does not belong to certificate"},
        {TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, TLSMSG_OPT_KEY, "old.crt", "old.key", "expired on"},
        {TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, TLSMSG_OPT_CRL, "damaged.crt", "damaged.crl",
         "the certificate at line 1 can't be read"},
        {TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, TLSMSG_OPT_CRL, "ca.crt", "damaged.crl",
         "the list at line 1 can't be read"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tlsmsg_options *options =
            tls_options(&files, rows[i].role, rows[i].first, rows[i].one, rows[i].second,
                        rows[i].other, TLSMSG_OPT_COUNT);
        struct transport_config *config = NULL;
        struct tlsmsg_error err = {.code = TLSMSG_OK};

        plants = true;
        plant();
        assert_int_equal(config_from_options(options, NULL, &config, &err), TLSMSG_ERR_CONFIG);
        plants = false;
        if (strstr(err.text, rows[i].says) == NULL) {
            fail_msg("\"%s\" lacks \"%s\"", err.text, rows[i].says);
        }
        assert_int_equal(ERR_peek_error(), 0);
        tlsmsg_options_free(options);
    }
}

static struct transport_config *server_config(void)
{
    return tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                      "server.key", TLSMSG_OPT_COUNT);
}

/* Digits that are none are told by a text of ours, without a look at what the library says. */
static void a_bad_ticket_key_leaves_nothing(void **state)
{
    char path[TEST_PATH_MAX];
    FILE *file = fopen(test_folder_file(&files.folder, "bad.keys", path), "w");
    struct transport_config *config = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_options *options;

    (void)state;
    assert_non_null(file);
    assert_true(fprintf(file, "current %0158dxy\n", 0) > 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
    options = tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                          "server.key", TLSMSG_OPT_TICKET_KEYS, "bad.keys", TLSMSG_OPT_COUNT);
    assert_int_equal(config_from_options(options, NULL, &config, &err), TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(err.text, "160 hexadecimal digits"));
    assert_int_equal(ERR_peek_error(), 0);
    tlsmsg_options_free(options);
}

static void nothing_stays_behind(void **state)
{
    struct transport_config *server = server_config();
    struct transport_config *client =
        tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, "ca.crt", TLSMSG_OPT_COUNT);
    struct tlsmsg_certificate shown;
    struct tlsmsg_tls tls;
    struct pair p;

    (void)state;
    assert_int_equal(ERR_peek_error(), 0);
    plant();
    pair_init(&p, server, client, "localhost");
    assert_int_equal(ERR_peek_error(), 0);
    plant();
    assert_true(pair_open(&p, TLS_STEPS));
    plant();
    assert_true(transport_describe(p.client.transport, &tls));
    assert_int_equal(ERR_peek_error(), 0);
    plant();
    assert_true(transport_peer_certificate(p.client.transport, 0, &shown));
    assert_int_equal(ERR_peek_error(), 0);
    assert_false(pin_is_valid("sha256//********************************************"));
    assert_int_equal(ERR_peek_error(), 0);
    pair_fini(&p);
    transport_config_unref(server);
    transport_config_unref(client);
}

/* A server's calls look at the queue only where something may have been left: after each of these. */
static void a_server_looks_where_something_may_be_left(void **state)
{
    struct transport_config *server = server_config();
    struct transport_config *client =
        tls_config(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CA, "ca.crt", TLSMSG_OPT_COUNT);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_tls tls;
    char buf[16];
    size_t moved;
    struct pair p;
    struct pair other;

    (void)state;
    pair_init(&p, server, client, "localhost");
    pair_init(&other, server, client, "localhost");
    assert_true(pair_open(&p, TLS_STEPS));
    assert_true(pair_open(&other, TLS_STEPS));
    for (unsigned i = 0; i < 6; i++) {
        /* Data that moved well leaves the queue as empty as it was seen. */
        assert_int_equal(transport_send(p.client.transport, "a", 1, &moved, &err), TRANSPORT_OK);
        assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &moved, &err),
                         TRANSPORT_OK);
        if (i == 0) {
            transport_program_ran();
        } else if (i == 1) { /* with a ticket */
            assert_int_equal(transport_send(other.server.transport, "a", 1, &moved, &err),
                             TRANSPORT_OK);
        } else if (i == 2) {
            assert_int_equal(transport_shutdown(other.server.transport, &err), TRANSPORT_OK);
        } else if (i == 3) {
            pair_fini(&other);
        } else if (i == 4) {
            transport_config_unref(server_config());
        } else {
            assert_true(transport_describe(p.server.transport, &tls));
        }
        plant();
        assert_int_equal(transport_recv(p.server.transport, buf, sizeof(buf), &moved, &err),
                         TRANSPORT_WANT_READ);
        assert_int_equal(err.code, TLSMSG_OK);
    }
    pair_fini(&p);
    transport_config_unref(server);
    transport_config_unref(client);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_errors_are_no_cause),
        cmocka_unit_test(a_bad_ticket_key_leaves_nothing),
        cmocka_unit_test(nothing_stays_behind),
        cmocka_unit_test(a_server_looks_where_something_may_be_left),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
