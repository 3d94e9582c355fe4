/* See ends_identity.h. One CA and one server certificate for a whole test program. */
#include "support/ends_identity.h"

#include "support/unit.h"

#include "support/test_certs.h"
#include "support/test_folder.h"

static struct test_folder folder;
static char ca_file[TEST_PATH_MAX];
static char cert_file[TEST_PATH_MAX];
static char key_file[TEST_PATH_MAX];

int ends_identity_setup(void **state)
{
    struct test_cert ca;
    struct test_cert server;
    const struct test_cert_spec ca_spec = {.common_name = "Test CA", .is_ca = true};
    const struct test_cert_spec server_spec = {
        .common_name = "server",
        .alternative_names = "DNS:localhost,IP:127.0.0.1",
        .issuer = &ca,
    };

    (void)state;
    test_folder_make(&folder);
    test_cert_make(&ca, &ca_spec);
    test_cert_make(&server, &server_spec);
    test_cert_write(&ca, test_folder_file(&folder, "ca.crt", ca_file));
    test_cert_write(&server, test_folder_file(&folder, "server.crt", cert_file));
    test_cert_write_key(&server, test_folder_file(&folder, "server.key", key_file), NULL);
    test_cert_free(&server);
    test_cert_free(&ca);
    return 0;
}

int ends_identity_teardown(void **state)
{
    (void)state;
    test_folder_remove(&folder);
    return 0;
}

static void set(struct tlsmsg_options *options, enum tlsmsg_option option, const char *value)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    if (tlsmsg_options_set(options, option, value, &err) != TLSMSG_OK) {
        fail_msg("%s", err.text);
    }
}

void ends_identity_of_server(struct tlsmsg_options *options, bool strict)
{
    set(options, TLSMSG_OPT_CERT, cert_file);
    set(options, TLSMSG_OPT_KEY, key_file);
    if (strict) {
        set(options, TLSMSG_OPT_CLIENT_CA, ca_file);
    }
}

void ends_identity_trusted_by(struct tlsmsg_options *options)
{
    set(options, TLSMSG_OPT_CA, ca_file);
}

const char *ends_identity_ca(void)
{
    return ca_file;
}

const char *ends_identity_cert(void)
{
    return cert_file;
}

const char *ends_identity_key(void)
{
    return key_file;
}
