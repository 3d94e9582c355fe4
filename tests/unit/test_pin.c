/* Pins: the one form that is taken, and that they are of the key and not of the certificate. */
#include <string.h>

#include "support/test_certs.h"
#include "support/unit.h"
#include "transport/tls/known_servers.h"

#define A43 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

struct row {
    const char *name;
    const char *text;
    bool valid;
};

static const struct row rows[] = {
    {"32 zero bytes", "sha256//" A43 "=", true},
    {"all kinds of characters", "sha256//+/09azAZ+/09azAZ+/09azAZ+/09azAZ+/09azAZ+/0=", true},
    {"the last character's largest value",
     "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF8=", true},
    {"nothing", "", false},
    {"the prefix alone", "sha256//", false},
    {"no prefix", A43 "=", false},
    {"another digest", "sha512//" A43 "=", false},
    {"a prefix in capitals", "SHA256//" A43 "=", false},
    {"one slash", "sha256/" A43 "=", false},
    {"one character less", "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", false},
    {"no padding", "sha256//" A43, false},
    {"a character in place of the padding", "sha256//" A43 "A", false},
    {"twice the padding", "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", false},
    {"padding and more", "sha256//" A43 "==", false},
    {"33 bytes", "sha256//" A43 "A=", false},
    {"a last character with bits to spare",
     "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", false},
    {"two bits to spare", "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD=", false},
    {"base64 for addresses", "sha256//-_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", false},
    {"padding in the middle", "sha256//AAAAAAAAAAAAAAAAAAAA=AAAAAAAAAAAAAAAAAAAAAA=", false},
    {"a blank before", " sha256//" A43 "=", false},
    {"a blank after", "sha256//" A43 "= ", false},
    {"a blank within", "sha256//AAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAAAA=", false},
    {"a line's end", "sha256//" A43 "=\n", false},
    {"two pins, as curl has them", "sha256//" A43 "=;sha256//" A43 "=", false},
    {"no ASCII", "sha256//\xe4\xbd\xa0" A43 "=", false},
};

static void test_parse(void **state)
{
    const struct row *row = *state;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pin pin = {"untouched"};

    assert_int_equal(pin_is_valid(row->text), row->valid);
    if (row->valid) {
        assert_int_equal(pin_parse(row->text, &pin, &err), TLSMSG_OK);
        assert_string_equal(pin.text, row->text);
        return;
    }
    assert_int_equal(pin_parse(row->text, &pin, &err), TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(err.text, "--pin wants sha256//"));
    assert_null(strchr(err.text, '\n'));
    assert_string_equal(pin.text, "untouched");
}

static void test_a_pin_is_of_the_key(void **state)
{
    struct test_cert first;
    struct test_cert renewed;
    struct test_cert other;
    struct pin pins[3];
    struct pin parsed;

    (void)state;
    test_cert_make(&first, &(struct test_cert_spec){.common_name = "server"});
    test_cert_make(&renewed, &(struct test_cert_spec){.common_name = "new name", .key = first.key});
    test_cert_make(&other, &(struct test_cert_spec){.common_name = "server"});
    assert_true(pin_of(first.cert, &pins[0]));
    assert_true(pin_of(renewed.cert, &pins[1]));
    assert_true(pin_of(other.cert, &pins[2]));
    assert_true(pin_equal(&pins[0], &pins[1]));
    assert_false(pin_equal(&pins[0], &pins[2]));
    assert_int_equal(pin_parse(pins[0].text, &parsed, NULL), TLSMSG_OK);
    assert_true(pin_equal(&parsed, &pins[0]));
    test_cert_free(&first);
    test_cert_free(&renewed);
    test_cert_free(&other);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pin_is_of_the_key),
    };
    int failed = 0;

    RUN_ROWS(failed, test_parse, rows);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
