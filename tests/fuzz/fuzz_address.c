/* Addresses: what is parsed and printed parses to the same again, and a socket's address always
 * has a text. The first byte chooses: 0 --listen, 1 the client's operand, else a socket's. */
#include "fuzz.h"

#include <netinet/in.h>
#include <string.h>

#include "net/address.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

static enum tlsmsg_code parse(bool listens, const char *text, struct address_name *out,
                              struct tlsmsg_error *err)
{
    return listens ? address_parse_listen(text, "--listen", out, err)
                   : address_parse_connect(text, out, err);
}

static void check_name(bool listens, const char *text)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct address_name first;
    struct address_name again;
    char printed[ADDRESS_NAME_TEXT_MAX];
    enum tlsmsg_code code = parse(listens, text, &first, &err);

    FUZZ_CHECK(code == TLSMSG_OK || code == TLSMSG_ERR_CONFIG);
    fuzz_check_error(&err, code);
    if (code != TLSMSG_OK) {
        return;
    }
    FUZZ_CHECK(listens || first.port != 0);
    FUZZ_CHECK(strlen(first.host) > 0 && fuzz_is_printable(first.host, strlen(first.host)));
    (void)address_is_literal(first.host);
    address_name_print(&first, printed, sizeof(printed));
    FUZZ_CHECK(strlen(printed) < sizeof(printed) - 1);
    FUZZ_CHECK(parse(listens, printed, &again, NULL) == TLSMSG_OK);
    FUZZ_CHECK(strcmp(first.host, again.host) == 0 && first.port == again.port);
}

static void check_socket(const uint8_t *data, size_t len)
{
    struct address a = {.len = sizeof(a.socket)};
    char text[ADDRESS_TEXT_MAX];
    struct address_name name;
    uint8_t key[16];

    memcpy(&a.socket, data, len < sizeof(a.socket) ? len : sizeof(a.socket));
    a.socket.any.sa_family = (sa_family_t)(a.socket.any.sa_family % 3 == 0   ? AF_INET
                                           : a.socket.any.sa_family % 3 == 1 ? AF_INET6
                                                                             : AF_UNIX);
    address_print(&a, text, sizeof(text));
    address_key(&a, key);
    FUZZ_CHECK(strlen(text) < sizeof(text) - 1 && fuzz_is_printable(text, strlen(text)));
    if (a.socket.any.sa_family != AF_UNIX) {
        FUZZ_CHECK(address_parse_listen(text, "--listen", &name, NULL) == TLSMSG_OK);
        FUZZ_CHECK(address_is_literal(name.host));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text;

    if (len == 0) {
        return 0;
    }
    if (data[0] % 3 == 2) {
        check_socket(data + 1, len - 1);
        return 0;
    }
    text = fuzz_text(data + 1, len - 1);
    check_name(data[0] % 3 == 0, text);
    free(text);
    return 0;
}
