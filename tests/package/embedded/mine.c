/* Uses the library from a parent project's build, and shows that the parent's asserts are its own
 * affair. */
#include <assert.h>
#include <stdio.h>

#include <tlsmsg/tlsmsg.h>

int main(void)
{
    int asserts = 0;
    assert((asserts = 1));
    struct tlsmsg_options *options = NULL;
    struct tlsmsg_error error = {0};
    if (tlsmsg_options_new(TLSMSG_ROLE_CLIENT, &options, &error) != TLSMSG_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    struct tlsmsg_client *client = NULL;
    if (tlsmsg_client_new(options, &client, &error) != TLSMSG_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    tlsmsg_client_free(client);
    tlsmsg_options_free(options);
    (void)printf("%s, asserts %s\n", tlsmsg_version(), asserts != 0 ? "on" : "off");
    return 0;
}
