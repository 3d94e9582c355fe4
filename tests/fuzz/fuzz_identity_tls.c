/* See fuzz_identity.h. */
#include "fuzz_identity.h"

#include "fuzz.h"
#include "support/test_certs.h"
#include "support/test_folder.h"

static struct test_folder folder;

void fuzz_identity_make(struct tlsmsg_options *options)
{
    const struct test_cert_spec spec = {.common_name = "server"};
    char path[TEST_PATH_MAX];
    struct test_cert server;

    test_folder_make(&folder);
    test_cert_make(&server, &spec);
    test_cert_write(&server, test_folder_file(&folder, "server.crt", path));
    FUZZ_CHECK(tlsmsg_options_set(options, TLSMSG_OPT_CERT, path, NULL) == TLSMSG_OK);
    test_cert_write_key(&server, test_folder_file(&folder, "server.key", path), NULL);
    FUZZ_CHECK(tlsmsg_options_set(options, TLSMSG_OPT_KEY, path, NULL) == TLSMSG_OK);
    test_cert_free(&server);
}

void fuzz_identity_remove(void)
{
    test_folder_remove(&folder);
}
