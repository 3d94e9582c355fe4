/* Each allocation of our own fails while a configuration is loaded: memory is told, never a fault of
 * files that are fine, and nothing is left. OpenSSL's own are in test_config_memory.c. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>

#include "support/config.h"
#include "support/failmalloc.h"
#include "support/tls_ends.h"

#define TICKET_KEY                                                                                 \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"                             \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"                             \
    "0123456789abcdef0123456789abcdef"

static struct tls_files files;

static void write_text(const char *name, const char *text)
{
    char path[TEST_PATH_MAX];
    FILE *file = fopen(test_folder_file(&files.folder, name, path), "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    char path[TEST_PATH_MAX];

    (void)state;
    tls_files_make(&files);
    test_crl_write(&(struct test_crl_spec){.issuer = &files.ca},
                   test_folder_file(&files.folder, "ca.crl", path));
    write_text("tickets.keys", "current " TICKET_KEY "\n");
    write_text("allowed", "# who may come in\nCN=alice\nDNS:*.example\n");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_files_remove(&files);
    return 0;
}

struct scene {
    const struct tlsmsg_options *options;
    enum tlsmsg_code code;
};

static void load(void *state)
{
    struct scene *scene = state;
    struct transport_config *config = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    scene->code = config_from_options(scene->options, NULL, &config, &err);
    assert_int_equal(err.code, scene->code);
    assert_int_equal(config != NULL, scene->code == TLSMSG_OK);
    if (scene->code != TLSMSG_OK &&
        (scene->code != TLSMSG_ERR_NOMEM || (strstr(err.text, "out of memory") == NULL &&
                                             strstr(err.text, "Cannot allocate memory") == NULL))) {
        fail_msg("allocation %zu: %s: %s", failmalloc_count(), tlsmsg_code_name(scene->code),
                 err.text);
    }
    transport_config_unref(config);
}

static void try_all(struct tlsmsg_options *options, size_t at_least)
{
    struct scene scene = {.options = options};
    long live;
    size_t n;

    load(&scene); /* what is loaded once in a process is not counted */
    live = failmalloc_live();
    for (n = 1; failmalloc_try(n, load, &scene); n++) {
        assert_int_equal(scene.code, TLSMSG_ERR_NOMEM);
        assert_int_equal(failmalloc_live(), live);
    }
    assert_int_equal(scene.code, TLSMSG_OK);
    assert_true(n > at_least);
    tlsmsg_options_free(options);
}

static void test_server(void **state)
{
    (void)state;
    try_all(tls_options(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                        "server.key", TLSMSG_OPT_CERT, "alice.crt", TLSMSG_OPT_KEY, "alice.key",
                        TLSMSG_OPT_CLIENT_CA, "ca.crt", TLSMSG_OPT_CRL, "ca.crl", TLSMSG_OPT_ALLOW,
                        "CN=alice", TLSMSG_OPT_ALLOW_FILE, "allowed", TLSMSG_OPT_TICKET_KEYS,
                        "tickets.keys", TLSMSG_OPT_KEYLOG_FILE, "keys.log", TLSMSG_OPT_COUNT),
            20);
}

static void test_client(void **state)
{
    (void)state;
    try_all(tls_options(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CERT, "alice.crt", TLSMSG_OPT_KEY,
                        "alice.key", TLSMSG_OPT_CA, "ca.crt", TLSMSG_OPT_CRL, "ca.crl",
                        TLSMSG_OPT_PIN,
                        "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", TLSMSG_OPT_COUNT),
            10);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server),
        cmocka_unit_test(test_client),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
