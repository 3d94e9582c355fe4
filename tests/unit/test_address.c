/* Addresses: every form that is typed, every form that is shown, and the errors' words. */
#include "support/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/un.h>

#include "net/address.h"

#define X10 "xxxxxxxxxx"
#define X50 X10 X10 X10 X10 X10
#define X255 X50 X50 X50 X50 X50 "xxxxx"

struct parse_row {
    const char *name;
    const char *text;
    const char *host; /* NULL: refused, and `error` stands in the text */
    unsigned port;
    const char *error;
};

static const struct parse_row listen_rows[] = {
    {"digits are a port", "12345", "127.0.0.1", 12345, NULL},
    {"port 0", "0", "127.0.0.1", 0, NULL},
    {"largest port", "65535", "127.0.0.1", 65535, NULL},
    {"IPv4", "0.0.0.0:80", "0.0.0.0", 80, NULL},
    {"name", "localhost:443", "localhost", 443, NULL},
    {"name with a final dot", "example.com.:443", "example.com.", 443, NULL},
    {"IPv6", "[::1]:12345", "::1", 12345, NULL},
    {"IPv6 with a zone", "[fe80::1%eth0]:0", "fe80::1%eth0", 0, NULL},
    {"host of 255 bytes", X255 ":1", X255, 1, NULL},
    {"empty", "", NULL, 0, "--listen wants HOST:PORT, [IPv6]:PORT or PORT, not ''"},
    {"port too large", "65536", NULL, 0, "--listen: the port in '65536' is not a number from 0"},
    {"port far too large", "99999999999999999999", NULL, 0, "is not a number from 0 to 65535"},
    {"port with a sign", "localhost:+80", NULL, 0, "is not a number"},
    {"port with a blank", "localhost: 80", NULL, 0, "is not a number"},
    {"port of letters", "localhost:http", NULL, 0, "is not a number"},
    {"port missing", "localhost:", NULL, 0, "is not a number"},
    {"no port", "localhost", NULL, 0, "wants HOST:PORT"},
    {"no host", ":80", NULL, 0, "no host in ':80'"},
    {"bare IPv6", "::1", NULL, 0, "[IPv6]:PORT"},
    {"bare IPv6 and port", "fe80::1:80", NULL, 0, "[IPv6]:PORT"},
    {"bracket without port", "[::1]", NULL, 0, "wants HOST:PORT"},
    {"bracket not closed", "[::1:80", NULL, 0, "wants HOST:PORT"},
    {"rubbish after the bracket", "[::1]80", NULL, 0, "wants HOST:PORT"},
    {"no IPv6 in brackets", "[localhost]:80", NULL, 0, "'[localhost]:80' is not an IPv6 address"},
    {"empty brackets", "[]:80", NULL, 0, "no host"},
    {"empty zone", "[fe80::1%]:80", NULL, 0, "is not an IPv6 address"},
    {"other than ASCII",
     "b\xC3\xBC"
     "cher.example:80",
     NULL, 0, "xn-- form"},
    {"blank in the host", "a b:80", NULL, 0, "holds other than ASCII"},
    {"delete in the host", "a\x7f:80", NULL, 0,
     "--listen: the host in 'a\\x7f:80' holds other than ASCII"},
    {"signs in the host", "!~:80", "!~", 80, NULL},
    {"control character is shown escaped", "a\nb:80", NULL, 0, "'a\\nb:80'"},
    {"host of 256 bytes", X255 "x:1", NULL, 0, "longer than 255 bytes"},
};

static void check_parsed(const struct parse_row *row, enum tlsmsg_code code,
                         const struct address_name *got, const struct tlsmsg_error *err)
{
    if (row->host != NULL) {
        assert_int_equal(code, TLSMSG_OK);
        assert_int_equal(err->code, TLSMSG_OK);
        assert_string_equal(got->host, row->host);
        assert_int_equal(got->port, row->port);
        return;
    }
    assert_int_equal(code, TLSMSG_ERR_CONFIG);
    assert_int_equal(err->code, TLSMSG_ERR_CONFIG);
    if (strstr(err->text, row->error) == NULL) {
        fail_msg("'%s' does not hold '%s'", err->text, row->error);
    }
}

static void test_parse_listen(void **state)
{
    const struct parse_row *row = *state;
    struct tlsmsg_error err = {0};
    struct address_name got;

    memset(&got, 'x', sizeof(got));
    check_parsed(row, address_parse_listen(row->text, "--listen", &got, &err), &got, &err);
}

static const struct parse_row connect_rows[] = {
    {"digits are a port", "4433", "127.0.0.1", 4433, NULL},
    {"least port", "1", "127.0.0.1", 1, NULL},
    {"largest port", "65535", "127.0.0.1", 65535, NULL},
    {"name", "example.com", "example.com", 12345, NULL},
    {"name and port", "example.com:443", "example.com", 443, NULL},
    {"name of digits and letters", "1and1.com", "1and1.com", 12345, NULL},
    {"xn-- form", "xn--bcher-kva.example", "xn--bcher-kva.example", 12345, NULL},
    {"IPv4", "10.0.0.1", "10.0.0.1", 12345, NULL},
    {"IPv4 and port", "10.0.0.1:1", "10.0.0.1", 1, NULL},
    {"bare IPv6", "::1", "::1", 12345, NULL},
    {"bare IPv6 with a zone", "fe80::1%eth0", "fe80::1%eth0", 12345, NULL},
    {"bracketed IPv6", "[::1]", "::1", 12345, NULL},
    {"bracketed IPv6 and port", "[2001:db8::1]:65535", "2001:db8::1", 65535, NULL},
    {"longest IPv6", "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:1",
     "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 1, NULL},
    {"empty", "", NULL, 0, "no host in ''"},
    {"port 0", "0", NULL, 0, "is not a number from 1 to 65535"},
    {"port 0 of a host", "localhost:0", NULL, 0, "is not a number from 1 to 65535"},
    {"no port after the colon", "localhost:", NULL, 0, "the port in 'localhost:'"},
    {"port too large", "70000", NULL, 0, "is not a number from 1 to 65535"},
    {"no host", ":443", NULL, 0, "no host"},
    {"too many colons", "a:b:c", NULL, 0, "'a:b:c' is not an IPv6 address"},
    {"brackets around a name", "[example.com]", NULL, 0, "is not an IPv6 address"},
    {"bracket not closed", "[::1", NULL, 0, "HOST, HOST:PORT, [IPv6]:PORT or PORT"},
    {"zone without its first bracket", "fe80::1%eth0]:443", NULL, 0, "is not an IPv6 address"},
    {"IPv4 with a zone in brackets", "[127.0.0.1%lo]", NULL, 0, "is not an IPv6 address"},
    {"URL", "https://localhost:4433", NULL, 0,
     "the server's address is HOST:PORT, not 'https://localhost:4433'; try: localhost:4433"},
    {"URL of another scheme", "tls://localhost:4433/", NULL, 0, "; try: localhost:4433"},
    {"URL without a port", "https://example.com/a?b#c", NULL, 0, "; try: example.com:12345"},
    {"URL of an IPv6 address", "https://[::1]:4433/", NULL, 0, "; try: [::1]:4433"},
    {"a path", "localhost:4433/", NULL, 0, "; try: localhost:4433"},
    {"host and port in one word", "localhost 4433", NULL, 0, "; try: localhost:4433"},
    {"IPv6 and port without brackets", "::1:12345", NULL, 0, "; try: [::1]:12345"},
    {"IPv6 and port of a URL", "tls://fe80::1%eth0:12345", NULL, 0, "; try: [fe80::1%eth0]:12345"},
    {"a zone that is no text", "fe80::1%e\x1bth0:443", NULL, 0,
     "the server's address: the host in 'fe80::1%e\\x1bth0:443' holds other than ASCII"},
    {"a scheme alone", "https://", NULL, 0, "the port in 'https://' is not a number"},
    {"a blank alone", " ", NULL, 0, "holds other than ASCII"},
    {"Chinese", "例子.example", NULL, 0, "'例子.example' holds other than ASCII"},
    {"invalid UTF-8", "\xFF.example", NULL, 0, "'\\xff.example'"},
};

static void test_parse_connect(void **state)
{
    const struct parse_row *row = *state;
    struct tlsmsg_error err = {0};
    struct address_name got;

    memset(&got, 'x', sizeof(got));
    check_parsed(row, address_parse_connect(row->text, &got, &err), &got, &err);
}

/* What is guessed has the bounds of what is typed. */
static void test_guess_of_any_length(void **state)
{
    char text[ADDRESS_NAME_TEXT_MAX + 40];
    struct address_name got;

    (void)state;
    for (size_t zone = 1; zone < ADDRESS_NAME_TEXT_MAX + 20; zone++) {
        struct tlsmsg_error err = {0};

        memcpy(text, "fe80::1%", 8);
        memset(text + 8, 'z', zone);
        memcpy(text + 8 + zone, ":443", 5);
        assert_int_equal(address_parse_connect(text, &got, &err), TLSMSG_ERR_CONFIG);
        assert_int_equal(strstr(err.text, "; try: [fe80::1%z") != NULL,
                         8 + zone < ADDRESS_HOST_MAX);
    }
}

struct literal_row {
    const char *name;
    bool want;
};

static const struct literal_row literal_rows[] = {
    {"127.0.0.1", true},
    {"::1", true},
    {"fe80::1%eth0", true},
    {"::ffff:1.2.3.4", true},
    {"localhost", false},
    {"127.1", false},
    {"0x7f000001", false},
    {"1.2.3.4.", false},
    {"1.2.3.4%lo", false},
    {"fe80::1%", false},
    {"%lo", false},
    {"", false},
    {"[::1]", false},
    {"1.2.3.256", false},
    {":::", false},
    {"1111111111111111111111111111111111111111111111", false},
    {"::%zone-that-is-longer-than-any-address-that-is-in-use", true},
    {"1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:0:1:2:3:4:5:6:7:8:9", false},
};

static void test_literal(void **state)
{
    const struct literal_row *row = *state;

    assert_true(address_is_literal(row->name) == row->want);
}

struct print_row {
    const char *name;
    const char *v4;
    const char *v6;
    uint16_t port;
    uint32_t flow;
    uint32_t scope;
    const char *text;
};

static const struct print_row print_rows[] = {
    {"IPv4", "127.0.0.1", NULL, 50412, 0, 0, "127.0.0.1:50412"},
    {"IPv4, port 0", "0.0.0.0", NULL, 0, 0, 0, "0.0.0.0:0"},
    {"IPv6", NULL, "::1", 50412, 0, 0, "[::1]:50412"},
    {"IPv6 with a scope", NULL, "fe80::1", 12345, 0, 2, "[fe80::1%2]:12345"},
    {"IPv6 with a flow", NULL, "2001:db8::1", 1, 7, 0, "[2001:db8::1]:1"},
    {"longest", NULL, "1111:2222:3333:4444:5555:6666:7777:8888", 65535, 4294967295, 4294967295,
     "[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535"},
};

static struct address make_address(const struct print_row *row)
{
    struct address a = {0};
    struct sockaddr_in *v4 = &a.socket.v4;
    struct sockaddr_in6 *v6 = &a.socket.v6;

    if (row->v4 != NULL) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(row->port);
        assert_int_equal(inet_pton(AF_INET, row->v4, &v4->sin_addr), 1);
        a.len = sizeof(*v4);
    } else {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(row->port);
        v6->sin6_flowinfo = htonl(row->flow);
        v6->sin6_scope_id = row->scope;
        assert_int_equal(inet_pton(AF_INET6, row->v6, &v6->sin6_addr), 1);
        a.len = sizeof(*v6);
    }
    return a;
}

static void test_print(void **state)
{
    const struct print_row *row = *state;
    struct address a = make_address(row);
    char buf[ADDRESS_TEXT_MAX];

    address_print(&a, buf, sizeof(buf));
    assert_string_equal(buf, row->text);
}

/* With less room a prefix, and no byte beyond it. */
static void test_print_in_any_room(void **state)
{
    const struct print_row row = {.v4 = "192.168.100.200", .port = 65535};
    static const char text[] = "192.168.100.200:65535";
    struct address a = make_address(&row);

    (void)state;
    for (size_t cap = 0; cap <= sizeof(text); cap++) {
        char buf[sizeof(text) + 1];

        memset(buf, 'x', sizeof(buf));
        address_print(&a, buf, cap);
        if (cap > 0) {
            assert_int_equal(strlen(buf), cap - 1);
            assert_memory_equal(buf, text, cap - 1);
        }
        assert_int_equal(buf[cap], 'x');
    }
}

static void test_overlap_by_family_and_scope(void **state)
{
    const struct print_row link = {.v6 = "fe80::1", .port = 80, .scope = 1};
    const struct print_row other = {.v6 = "fe80::1", .port = 80, .scope = 2};
    const struct print_row all = {.v6 = "::", .port = 80};
    const struct print_row v4 = {.v4 = "0.0.0.0", .port = 80};
    const struct print_row later = {.v6 = "fe80::1", .port = 81, .scope = 1};
    const struct {
        const struct print_row *a;
        const struct print_row *b;
        bool overlap;
    } rows[] = {{&link, &link, true}, {&link, &other, false}, {&link, &all, true},
                {&all, &v4, false},   {&v4, &v4, true},       {&link, &later, false}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct address a = make_address(rows[i].a);
        struct address b = make_address(rows[i].b);

        assert_int_equal(address_overlaps(&a, &b), rows[i].overlap);
        assert_int_equal(address_overlaps(&b, &a), rows[i].overlap);
    }
}

static void test_other_families_print_something(void **state)
{
    struct address a = {0};
    char buf[ADDRESS_TEXT_MAX];
    uint8_t key[16];
    static const uint8_t zero[16];

    (void)state;
    a.socket.any.sa_family = AF_UNIX;
    a.len = sizeof(sa_family_t);
    address_print(&a, buf, sizeof(buf));
    assert_string_equal(buf, "unknown");
    address_key(&a, key);
    assert_memory_equal(key, zero, sizeof(zero));
}

static void test_names_print_as_typed(void **state)
{
    struct address_name n = {.host = "localhost", .port = 80};
    char buf[ADDRESS_NAME_TEXT_MAX];

    (void)state;
    address_name_print(&n, buf, sizeof(buf));
    assert_string_equal(buf, "localhost:80");
    memcpy(n.host, "fe80::1%eth0", sizeof("fe80::1%eth0"));
    address_name_print(&n, buf, sizeof(buf));
    assert_string_equal(buf, "[fe80::1%eth0]:80");
    memset(n.host, ':', sizeof(n.host) - 1);
    n.host[sizeof(n.host) - 1] = '\0';
    n.port = 65535;
    address_name_print(&n, buf, sizeof(buf));
    assert_int_equal(strlen(buf), ADDRESS_HOST_MAX - 1 + strlen("[]:65535"));
    address_name_print(&n, buf, 4);
    assert_string_equal(buf, "[::");
}

static void test_keys_are_by_host(void **state)
{
    struct print_row row = {.v4 = "1.2.3.4", .port = 1};
    struct address a = make_address(&row);
    uint8_t first[16];
    uint8_t second[16];

    (void)state;
    address_key(&a, first);
    row.port = 2;
    a = make_address(&row);
    address_key(&a, second);
    assert_memory_equal(first, second, 16);
    row.v4 = NULL;
    row.v6 = "::ffff:1.2.3.4";
    a = make_address(&row);
    address_key(&a, second);
    assert_memory_equal(first, second, 16);
    row.v6 = "::1";
    a = make_address(&row);
    address_key(&a, second);
    assert_memory_not_equal(first, second, 16);
    row.v6 = "::ffff:1.2.3.5";
    a = make_address(&row);
    address_key(&a, second);
    assert_memory_not_equal(first, second, 16);
}

static void test_keys_end_where_they_should(void **state)
{
    static const struct print_row rows[] = {
        {.v4 = "255.255.255.255"},
        {.v6 = "::ffff:255.255.255.255", .scope = UINT32_MAX},
        {.v6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", .scope = UINT32_MAX}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct address a = make_address(&rows[i]);
        uint8_t key[18];

        memset(key, 'x', sizeof(key));
        address_key(&a, key);
        assert_int_equal(key[16], 'x');
        assert_int_equal(key[17], 'x');
        assert_int_equal(key[0], i == 2 ? 0xFF : 0);
        assert_int_equal(key[15], i == 2 ? 0 : 0xFF);
    }
}

/* One machine has a whole /64 to itself. */
static void test_keys_are_by_network(void **state)
{
    struct print_row row = {.v6 = "2001:db8::1", .port = 1};
    struct address a = make_address(&row);
    uint8_t first[16];
    uint8_t second[16];

    (void)state;
    address_key(&a, first);
    row.v6 = "2001:db8::ffff:ffff:ffff:ffff";
    a = make_address(&row);
    address_key(&a, second);
    assert_memory_equal(first, second, 16);
    row.v6 = "2001:db8:0:1::1";
    a = make_address(&row);
    address_key(&a, second);
    assert_memory_not_equal(first, second, 16);
}

static void test_listeners_overlap(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        bool overlap;
    } rows[] = {
        {"0.0.0.0:80", "127.0.0.1:80", true},    {"127.0.0.1:80", "127.0.0.1:80", true},
        {"*:80", "127.0.0.1:80", true},          {"*:80", "[::1]:80", true},
        {"[::]:80", "[::1]:80", true},           {"localhost:80", "localhost:80", true},
        {"[::]:80", "127.0.0.1:80", false},      {"127.0.0.1:80", "127.0.0.1:81", false},
        {"127.0.0.1:80", "127.0.0.2:80", false}, {"[::1]:80", "[::2]:80", false},
        {"127.0.0.1:0", "127.0.0.1:0", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct address_name a;
        struct address_name b;

        assert_int_equal(address_parse_listen(rows[i].a, "--listen", &a, NULL), TLSMSG_OK);
        assert_int_equal(address_parse_listen(rows[i].b, "--listen", &b, NULL), TLSMSG_OK);
        assert_int_equal(address_names_overlap(&a, &b), rows[i].overlap);
        assert_int_equal(address_names_overlap(&b, &a), rows[i].overlap);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_print_in_any_room),
        cmocka_unit_test(test_overlap_by_family_and_scope),
        cmocka_unit_test(test_keys_end_where_they_should),
        cmocka_unit_test(test_other_families_print_something),
        cmocka_unit_test(test_names_print_as_typed),
        cmocka_unit_test(test_keys_are_by_host),
        cmocka_unit_test(test_keys_are_by_network),
        cmocka_unit_test(test_listeners_overlap),
        cmocka_unit_test(test_guess_of_any_length),
    };
    int failed = 0;

    RUN_ROWS(failed, test_parse_listen, listen_rows);
    RUN_ROWS(failed, test_parse_connect, connect_rows);
    RUN_ROWS(failed, test_literal, literal_rows);
    RUN_ROWS(failed, test_print, print_rows);
    failed += cmocka_run_group_tests_name("address", tests, NULL, NULL);
    return failed;
}
