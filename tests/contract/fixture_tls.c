/* TLS needs a CA and a server certificate. */
#include "contract/contract.h"

#include "support/test_certs.h"
#include "support/test_folder.h"

const bool fixture_is_tls = true;

static struct test_folder folder;

static void set(struct tlsmsg_options *options, enum tlsmsg_option option, const char *value)
{
    assert_int_equal(tlsmsg_options_set(options, option, value, NULL), TLSMSG_OK);
}

void fixture_set_up(struct tlsmsg_options *server, struct tlsmsg_options *client)
{
    char path[TEST_PATH_MAX];
    struct test_cert ca;
    struct test_cert leaf;

    test_folder_make(&folder);
    test_cert_make(&ca, &(struct test_cert_spec){.common_name = "contract CA", .is_ca = true});
    test_cert_make(&leaf, &(struct test_cert_spec){.common_name = "server",
                                                   .alternative_names = "DNS:localhost",
                                                   .issuer = &ca});
    test_cert_write(&ca, test_folder_file(&folder, "ca.crt", path));
    set(client, TLSMSG_OPT_CA, path);
    test_cert_write(&leaf, test_folder_file(&folder, "server.crt", path));
    set(server, TLSMSG_OPT_CERT, path);
    test_cert_write_key(&leaf, test_folder_file(&folder, "server.key", path), NULL);
    set(server, TLSMSG_OPT_KEY, path);
    test_cert_free(&leaf);
    test_cert_free(&ca);
}

void fixture_tear_down(void)
{
    test_folder_remove(&folder);
}
