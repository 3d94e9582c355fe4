/* PEM files: which blocks are found, and what is refused with its line instead of being skipped. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "transport/tls/pem.h"

#define BODY "MIIBszCCAVmgAwIBAgIUQ3VyaW9zaXR5IGtpbGxlZCB0aGUgY2F0\nAAAA\n"
#define CERT "-----BEGIN CERTIFICATE-----\n" BODY "-----END CERTIFICATE-----\n"
#define LIST "-----BEGIN X509 CRL-----\n" BODY "-----END X509 CRL-----\n"
#define KEY "-----BEGIN PRIVATE KEY-----\n" BODY "-----END PRIVATE KEY-----\n"
#define MARK "\xEF\xBB\xBF"

struct row {
    const char *name;
    const char *text;
    const char *found; /* a letter for each block: C, L, K, o for others */
    const char *says;  /* NULL: nothing is refused */
};

/* What is said behind a line. */
#define NO_MARKER                                                                                  \
    " does not begin or end a PEM block; try: five dashes on both sides, as in -----BEGIN "        \
    "CERTIFICATE-----"
#define NOT_FIRST " is not at the begin of its line; try: a line of its own, with nothing in front"
#define INDENTED "a PEM block is indented; try: take the blanks in front of its lines away"
#define PART "a part of a PEM block without its BEGIN line; try: the file as its maker has it"
#define UNKNOWN "a PEM block with the unknown label "
#define NO_END "the PEM block that begins here has no END line"

static const struct row rows[] = {
    {"nothing", "", "", NULL},
    {"one", CERT, "C", NULL},
    {"without the last line's end", "-----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----", "L",
     NULL},
    {"three of them", CERT LIST KEY, "CLK", NULL},
    {"text around", "subject=CN = x\n\n" CERT "=====\nissuer: y\n" CERT "\n", "CC", NULL},
    {"prose about certificates", "-- END of the old CAs --\nBEGIN with care\n" CERT, "C", NULL},
    {"a comment about a block", "# -----BEGIN CERTIFICATE-----\n" CERT, "C", NULL},
    {"EC parameters",
     "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" KEY, "oK",
     NULL},
    {"DH parameters", "-----BEGIN DH PARAMETERS-----\nMIIBCAKC\n-----END DH PARAMETERS-----\n" CERT,
     "oC", NULL},
    {"CR LF", "-----BEGIN CERTIFICATE-----\r\nAAAA\r\n-----END CERTIFICATE-----\r\n", "C", NULL},
    {"blanks at the ends", "-----BEGIN CERTIFICATE----- \t\nAAAA \n-----END CERTIFICATE-----  \n",
     "C", NULL},
    {"a byte order mark", MARK CERT, "C", NULL},
    {"files put together, each with a mark", MARK CERT MARK CERT, "CC", NULL},
    {"the old label", "-----BEGIN X509 CERTIFICATE-----\nAAAA\n-----END X509 CERTIFICATE-----\n",
     "C", NULL},
    {"indented", CERT "  -----BEGIN X509 CRL-----\n", "C", "line 5: " INDENTED},
    {"indented by a tab", "\t-----BEGIN CERTIFICATE-----\n", "", "line 1: " INDENTED},
    {"a dash too few before", "----BEGIN CERTIFICATE-----\n", "",
     "line 1: '----BEGIN CERTIFICATE-----'" NO_MARKER},
    {"a dash too few behind", "-----BEGIN CERTIFICATE----\n", "",
     "line 1: '-----BEGIN CERTIFICATE----'" NO_MARKER},
    {"a dash too many", "------BEGIN CERTIFICATE-----\n", "",
     "line 1: '------BEGIN CERTIFICATE-----'" NO_MARKER},
    {"a dash too many behind", "-----BEGIN CERTIFICATE------\n", "",
     "line 1: '-----BEGIN CERTIFICATE------'" NO_MARKER},
    {"a dash behind BEGIN", "-----BEGIN -CERTIFICATE-----\n", "",
     "line 1: '-----BEGIN -'" NO_MARKER},
    {"a label with a dash in it", "-----BEGIN X-Y-----\n", "",
     "line 1: " UNKNOWN "'X-Y'; try: the file without it"},
    {"a label of a letter", "-----BEGIN X-----\n", "",
     "line 1: " UNKNOWN "'X'; try: the file without it"},
    {"what is nearly a byte order mark", "\xEF\xBB\xBE" CERT, "",
     "line 1: '-----BEGIN CERTIFICATE-----'" NOT_FIRST},
    {"small letters", "-----begin certificate-----\n", "",
     "line 1: '-----begin certificate-----'" NO_MARKER},
    {"no blank", "-----BEGINCERTIFICATE-----\n", "",
     "line 1: '-----BEGINCERTIFICATE-----'" NO_MARKER},
    {"no blank behind END", "-----ENDCERTIFICATE-----\n", "",
     "line 1: '-----ENDCERTIFICATE-----'" NO_MARKER},
    {"two blanks", "-----BEGIN  CERTIFICATE-----\n", "",
     "line 1: '-----BEGIN  CERTIFICATE-----'" NO_MARKER},
    {"dashes of a word processor", "\xE2\x80\x94\xE2\x80\x94-BEGIN CERTIFICATE-----\n", "",
     "line 1: '"
     "\xE2\x80\x94\xE2\x80\x94"
     "-BEGIN CERTIFICATE-----'" NO_MARKER},
    {"blanks between", "----- BEGIN CERTIFICATE -----\n", "",
     "line 1: '----- BEGIN CERTIFICATE -----'" NO_MARKER},
    {"no BEGIN at all", "# mine\n" BODY "-----END CERTIFICATE-----\n", "", "line 2: " PART},
    {"a BEGIN beyond recognition", "-----BGIN CERTIFICATE-----\n" BODY, "", "line 2: " PART},
    {"a commented BEGIN with its body", "#-----BEGIN CERTIFICATE-----\n" BODY, "", "line 2: " PART},
    {"quoted, as mail does", CERT "> -----BEGIN X509 CRL-----\n> " BODY, "C",
     "line 5: '-----BEGIN X509 CRL-----'" NOT_FIRST},
    {"indented by what is no blank", CERT "\xC2\xA0-----BEGIN X509 CRL-----\n", "C",
     "line 5: '-----BEGIN X509 CRL-----'" NOT_FIRST},
    {"in a value of YAML", CERT "crl: -----BEGIN X509 CRL-----\n", "C",
     "line 5: '-----BEGIN X509 CRL-----'" NOT_FIRST},
    {"in a string of JSON", CERT "\"-----BEGIN X509 CRL-----\\nMIIB\\n-----END X509 CRL-----\"\n",
     "C", "line 5: '-----BEGIN X509 CRL-----'" NOT_FIRST},
    {"commented out by another mark", CERT "; -----BEGIN X509 CRL-----\n", "C",
     "line 5: '-----BEGIN X509 CRL-----'" NOT_FIRST},
    {"behind the end of another",
     "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE----------BEGIN CERTIFICATE-----\n",
     "", "line 3: a line break is missing between two PEM blocks; try: one behind the END line"},
    {"two on a line, with a blank", CERT "-----END X509 CRL----- -----BEGIN X509 CRL-----\n", "C",
     "line 5: '-----END X509 CRL-----'" NO_MARKER},
    {"three dashes within a line", CERT "x ---BEGIN CERTIFICATE---\n", "C",
     "line 5: '---BEGIN CERTIFICATE---'" NOT_FIRST},
    {"a key before its END", "-----BEGIN PRIVATE KEY-----\nQ3VyaW9zaXR5-----END PRIVATE KEY-----\n",
     "", "line 2: '-----END PRIVATE KEY-----'" NOT_FIRST},
    {"a key in a string of JSON", "\"-----BEGIN PRIVATE KEY-----\\nQ3VyaW9zaXR5\"", "",
     "line 1: '-----BEGIN PRIVATE KEY-----'" NOT_FIRST},
    {"a key behind its BEGIN", "-----BEGIN PRIVATE KEY-----Q3VyaW9zaXR5\n", "",
     "line 1: '-----BEGIN PRIVATE KEY-----'" NO_MARKER},
    {"a key behind its BEGIN and a blank",
     "-----BEGIN PRIVATE KEY MIGHAgEAMBMGByqGSM49AgEGCCqGSM4QQ3VyaW9zaXR5\n", "",
     "line 1: '-----BEGIN PRIVATE KEY MIGHAgEAMBMGByqGS'" NO_MARKER},
    {"a key on a line with both",
     "-----BEGIN PRIVATE KEY-----Q3VyaW9zaXR5-----END PRIVATE KEY-----\n", "",
     "line 1: '-----BEGIN PRIVATE KEY-----'" NO_MARKER},
    {"commented out as a whole",
     "#-----BEGIN X509 CRL-----\n#" BODY "#-----END X509 CRL-----\n" CERT, "C", NULL},
    {"commented out, indented", "  # -----BEGIN X509 CRL-----\n" CERT, "C", NULL},
    {"a body in quotes", CERT "> " BODY, "C", NULL},
    {"prose that begins like a body",
     "MIND the gap between the train and the platform: 12 cm, or more (where it bends)\n" CERT, "C",
     NULL},
    {"a body that is indented by a blank", CERT " " BODY, "C", "line 5: " INDENTED},
    {"a body that is indented by two", CERT "  " BODY, "C", "line 5: " INDENTED},
    {"a body that is indented by three", CERT "\t \t" BODY, "C", "line 5: " INDENTED},
    {"an unknown label", "-----BEGIN CERTIFCATE-----\n" BODY, "",
     "line 1: " UNKNOWN "'CERTIFCATE'; try: the file without it"},
    {"a trusted certificate", CERT "-----BEGIN TRUSTED CERTIFICATE-----\n", "C",
     "line 5: a TRUSTED CERTIFICATE is a form of OpenSSL's own; try: openssl x509 -in FILE -out "
     "FILE.pem makes a plain one"},
    {"a key of OpenSSH's", "-----BEGIN OPENSSH PRIVATE KEY-----\n", "",
     "line 1: " UNKNOWN "'OPENSSH PRIVATE KEY'; try: ssh-keygen -p -m PKCS8 -f FILE, which makes "
     "the key one of OpenSSL's"},
    {"a label in small letters", "-----BEGIN certificate-----\n", "",
     "line 1: " UNKNOWN "'certificate'; try: -----BEGIN CERTIFICATE-----, in capital letters"},
    {"PKCS#7", "-----BEGIN PKCS7-----\n", "",
     "line 1: PKCS#7 is not read; try: openssl pkcs7 -print_certs -in FILE -out FILE.pem"},
    {"cut", CERT "-----BEGIN CERTIFICATE-----\n" BODY, "C", "line 5: " NO_END},
    {"cut by the next", "-----BEGIN X509 CRL-----\n" BODY CERT, "", "line 1: " NO_END},
    {"another END", "-----BEGIN CERTIFICATE-----\n" BODY "-----END X509 CRL-----\n", "",
     "line 4: the END line is not that of the block that begins at line 1"},
    {"a mistyped END", "-----BEGIN CERTIFICATE-----\n" BODY "----END CERTIFICATE-----\n" CERT, "",
     "line 4: '----END CERTIFICATE-----'" NO_MARKER},
    {"two dashes around", "--BEGIN CERTIFICATE--\n", "",
     "line 1: '--BEGIN CERTIFICATE--'" NO_MARKER},
    {"one dash before", "-BEGIN CERTIFICATE\n", "", "line 1: '-BEGIN CERTIFICATE'" NO_MARKER},
    {"one dash behind", "BEGIN CERTIFICATE-\n", "", "line 1: 'BEGIN CERTIFICATE-'" NO_MARKER},
    {"no dash before", CERT "BEGIN X509 CRL-----\n", "C",
     "line 5: 'BEGIN X509 CRL-----'" NO_MARKER},
    {"no dash at all", "BEGIN CERTIFICATE\n" CERT, "C", NULL},
    {"an END without dashes before", "END CERTIFICATE-----\n", "",
     "line 1: 'END CERTIFICATE-----'" NO_MARKER},
    {"an END alone", "-----END CERTIFICATE-----\n", "",
     "line 1: '-----END CERTIFICATE-----'" NO_MARKER},
    {"two dashes within a line", "x --BEGIN CERTIFICATE--\n" CERT, "C", NULL},
    {"underlines", "_____BEGIN CERTIFICATE_____\n", "",
     "line 1: '_____BEGIN CERTIFICATE_____'" NO_MARKER},
    {"a minus sign", "\xE2\x88\x92-BEGIN CERTIFICATE-----\n", "",
     "line 1: '"
     "\xE2\x88\x92"
     "-BEGIN CERTIFICATE-----'" NO_MARKER},
    {"dashes of a word processor within",
     "x \xE2\x80\x94\xE2\x80\x94\xE2\x80\x94"
     "BEGIN CERTIFICATE-----\n",
     "",
     "line 1: '"
     "\xE2\x80\x94\xE2\x80\x94\xE2\x80\x94"
     "BEGIN CERTIFICATE-----'" NOT_FIRST},
    {"nothing between the words", "-----BEGINX509 CRL-----\n", "",
     "line 1: '-----BEGINX509 CRL-----'" NO_MARKER},
    {"another word", "-----BEGIN HERE-----\n" CERT, "",
     "line 1: " UNKNOWN "'HERE'; try: the file without it"},
    {"another word, mistyped", "----BEGIN HERE-----\n" CERT, "C", NULL},
    {"BEGIN alone", "-----BEGIN\n" CERT, "C", NULL},
    {"BEGIN alone, with dashes", "-----BEGIN-----\n" CERT, "C", NULL},
    {"BEGIN and a blank", "-----BEGIN -----\n" CERT, "C", NULL},
    {"END alone", "-----END\n" CERT, "C", NULL},
    {"END alone, with dashes", "-----END-----\n" CERT, "C", NULL},
    {"a short word", "-----END EC-----\n" CERT, "C", NULL},
    {"a mistyped RSA", "----BEGIN RSA PRIVATE KEY-----\n", "",
     "line 1: '----BEGIN RSA PRIVATE KEY-----'" NO_MARKER},
    {"a mistyped EC", "----BEGIN EC PRIVATE KEY-----\n", "",
     "line 1: '----BEGIN EC PRIVATE KEY-----'" NO_MARKER},
    {"a mistyped list of none", "----BEGIN DH PARAMETERS-----\n", "",
     "line 1: '----BEGIN DH PARAMETERS-----'" NO_MARKER},
    {"a mistyped end of a private key", "----END PRIVATE KEY-----\n", "",
     "line 1: '----END PRIVATE KEY-----'" NO_MARKER},
    {"a comment behind blanks with a marker", " \t# ----BEGIN CERTIFICATE-----\n" CERT, "C", NULL},
    {"blanks alone", " \t \n" CERT, "C", NULL},
    {"dashes alone", "-----\n--\n" CERT, "C", NULL},
    {"a label of 63 letters",
     "-----BEGIN 123456789012345678901234567890123456789012345678901234567890123-----\n", "",
     "line 1: " UNKNOWN
     "'123456789012345678901234567890123456789012345678901234567890123'; try: the file without it"},
    {"a label of 64 letters",
     "-----BEGIN 1234567890123456789012345678901234567890123456789012345678901234-----\n" CERT, "C",
     NULL},
    {"a label that ends in a blank", "-----BEGIN CERTIFICATE -----\n" CERT, "",
     "line 1: " UNKNOWN "'CERTIFICATE '; try: the file without it"},
    {"a word that ends behind 40 letters",
     "----BEGIN CERTIFICATE REQUEST THAT IS TOO LONG TO SHOW-----\n", "",
     "line 1: '----BEGIN CERTIFICATE REQUEST THAT IS TO'" NO_MARKER},
    {"a marker behind a word of ours", "x-----BEGIN CERTIFICATE-----y\n", "",
     "line 1: '-----BEGIN CERTIFICATE-----'" NOT_FIRST},
    {"a body of 31 letters", "MI34567890123456789012345678901\n" CERT, "C", NULL},
    {"a body of 32 letters", CERT "MI345678901234567890123456789012\n", "C", "line 5: " PART},
    {"a body with all of base64's signs", CERT "MI+/56789012345678901234567890==\n", "C",
     "line 5: " PART},
    {"a body with another sign", "MI+/56789012345678901234567890_=\n" CERT, "C", NULL},
    {"a body that begins otherwise", "MJ345678901234567890123456789012\n" CERT, "C", NULL},
    {"an OpenSSH key's END",
     "-----BEGIN CERTIFICATE-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "",
     "line 3: the END line is not that of the block that begins at line 1"},
    {"CMS", "-----BEGIN CMS-----\n", "",
     "line 1: PKCS#7 is not read; try: openssl pkcs7 -print_certs -in FILE -out FILE.pem"},
    {"a small label of a key", "-----BEGIN private key-----\n", "",
     "line 1: " UNKNOWN "'private key'; try: -----BEGIN CERTIFICATE-----, in capital letters"},
    {"a marker that is cut", "-----BEGIN CERTIFICATE-----\n" BODY "-----END CERTIFICATE\n", "",
     "line 4: '-----END CERTIFICATE'" NO_MARKER},
    {"a block within a block, mistyped",
     "-----BEGIN CERTIFICATE-----\n" BODY "x -----BEGIN CERTIFICATE-----\n", "",
     "line 4: '-----BEGIN CERTIFICATE-----'" NOT_FIRST},
    {"the old keys",
     "-----BEGIN RSA PRIVATE KEY-----\nAA==\n-----END RSA PRIVATE KEY-----\n"
     "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n"
     "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
     "KKK", NULL},
    {"eight bytes as DER begins", "\x30\x82\x01\x0a\x30\x81\xb1\xa0", "", NULL},
    {"a nought in front", "0123456789\n" CERT, "C", NULL},
    {"what else OpenSSL writes",
     "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"
     "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n"
     "-----BEGIN DSA PRIVATE KEY-----\nAA==\n-----END DSA PRIVATE KEY-----\n",
     "ooo", NULL},
};

static char letter_of(enum pem_kind kind)
{
    return kind == PEM_CERTIFICATE ? 'C' : kind == PEM_CRL ? 'L' : kind == PEM_KEY ? 'K' : 'o';
}

static void test_blocks(void **state)
{
    const struct row *row = *state;
    char text[2048];
    struct file file = {.name = "it.pem", .bytes = text, .len = strlen(row->text)};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pem_reader reader;
    struct pem_block block;
    char wanted[sizeof(err.text)];
    char found[16] = "";
    size_t n = 0;
    enum tlsmsg_code code;

    (void)snprintf(text, sizeof(text), "%s", row->text);
    assert_int_equal(pem_begin(&reader, &file, "CA file", "x509", &err), TLSMSG_OK);
    while ((code = pem_next(&reader, &block, &err)) == TLSMSG_OK && block.kind != PEM_END) {
        assert_memory_equal(block.bytes, "-----BEGIN ", 11);
        assert_memory_equal(block.bytes + block.len - 5, "-----", 5);
        assert_true(n + 1 < sizeof(found));
        found[n++] = letter_of(block.kind);
    }
    assert_string_equal(found, row->found);
    if (row->says == NULL) {
        assert_string_equal(err.text, "");
        assert_int_equal(code, TLSMSG_OK);
        return;
    }
    assert_int_equal(code, TLSMSG_ERR_CONFIG);
    (void)snprintf(wanted, sizeof(wanted), "CA file 'it.pem', %s", row->says);
    assert_string_equal(err.text, wanted);
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
    assert_null(strstr(err.text, "Q3VyaW9")); /* it may be a key */
}

/* ---- files that are not text */

struct binary {
    const char *name;
    const char *bytes;
    size_t len;
    const char *says;
};

#define BYTES(text) text, sizeof(text) - 1

#define IS_DER "is DER, not PEM; try: openssl crl -inform DER -in 'it.pem' -out FILE.pem"
#define IS_PKCS12 "is PKCS#12, not PEM; try: openssl pkcs12 -in 'it.pem' -nodes -out FILE.pem"

static const struct binary binaries[] = {
    {"DER", BYTES("\x30\x82\x01\x0a\x30\x81\xb1\xa0\x03\x02"), IS_DER},
    {"a short DER", BYTES("\x30\x08\x02\x01\x01\x04\x03\x01\x02\x03"), IS_DER},
    {"PKCS#12", BYTES("\x30\x82\x01\x0a\x02\x01\x03\x30\x81\xb1"), IS_PKCS12},
    {"the shortest DER", BYTES("\x30\x82\x01\x0a\x30\x81\xb1\xa0\x03"), IS_DER},
    {"a header beyond the end", BYTES("\x30\x8f\x01\x0a\x02\x01\x03\xa0\x03"), IS_DER},
    {"PKCS#12 with a short length", BYTES("\x30\x81\x90\x02\x01\x03\x30\x81\xb1"), IS_PKCS12},
    {"PKCS#12 of few bytes", BYTES("\x30\x08\x02\x01\x03\x04\x03\x01\x02\x03"), IS_PKCS12},
    {"PKCS#12 that ends at once", BYTES("\x30\x84\x01\x01\x01\x01\x02\x01\x03"), IS_PKCS12},
    {"PKCS#12 of another version", BYTES("\x30\x84\x01\x01\x01\x01\x02\x01\x04"), IS_DER},
    {"PKCS#12 that is cut", BYTES("\x30\x85\x01\x01\x01\x01\x01\x02\x01"), IS_DER},
    {"PKCS#7", BYTES("\x30\x82\x01\x0a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"),
     "is PKCS#7, not PEM; try: openssl pkcs7 -inform DER -print_certs -in 'it.pem' -out FILE.pem"},
    {"UTF-16, little", BYTES("\xff\xfe-\0-\0-\0-\0-\0"),
     "is UTF-16; try: iconv -f UTF-16 -t UTF-8 'it.pem' >FILE"},
    {"UTF-16, big", BYTES("\xfe\xff\0-\0-\0-\0-"),
     "is UTF-16; try: iconv -f UTF-16 -t UTF-8 'it.pem' >FILE"},
    {"UTF-16 without a mark", BYTES("-\0-\0-\0-\0"),
     "is UTF-16; try: iconv -f UTF-16 -t UTF-8 'it.pem' >FILE"},
    {"UTF-32, little", BYTES("\xff\xfe\0\0-\0\0\0"),
     "is UTF-32; try: iconv -f UTF-32 -t UTF-8 'it.pem' >FILE"},
    {"UTF-32, big", BYTES("\0\0\xfe\xff\0\0\0-"),
     "is UTF-32; try: iconv -f UTF-32 -t UTF-8 'it.pem' >FILE"},
    {"UTF-32 without a mark", BYTES("-\0\0\0-\0\0\0"),
     "is UTF-32; try: iconv -f UTF-32 -t UTF-8 'it.pem' >FILE"},
    {"the line ends of old", BYTES("-----BEGIN X509 CRL-----\rMIIB\r"),
     "ends its lines in CR alone; try: tr '\\r' '\\n' <'it.pem' >FILE"},
    {"a zero byte", BYTES("-----BEGIN\0"), "is not text: it holds a zero byte"},
};

static void test_binary(void **state)
{
    const struct binary *row = *state;
    char bytes[64] = {0};
    struct file file = {.name = "it.pem", .bytes = bytes, .len = row->len};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char wanted[sizeof(err.text)];
    struct pem_reader reader;

    memcpy(bytes, row->bytes, row->len);
    assert_int_equal(pem_begin(&reader, &file, "revocation list", "crl", &err), TLSMSG_ERR_CONFIG);
    (void)snprintf(wanted, sizeof(wanted), "revocation list 'it.pem' %s", row->says);
    assert_string_equal(err.text, wanted);
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
}

/* ---- what is in a block */

static void contents_are_given_without_headers(void **state)
{
    static const struct {
        const char *text;
        const char *bytes; /* NULL: nothing is given */
    } blocks[] = {
        {"-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----", "\x01\x02\x03"},
        {"-----BEGIN CERTIFICATE-----\nX: y\n\nAQID\n-----END CERTIFICATE-----", NULL},
        {"-----BEGIN CERTIFICATE-----\nAQ!D\n-----END CERTIFICATE-----", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        struct pem_block block = {.bytes = blocks[i].text, .len = strlen(blocks[i].text)};
        long len = 99;
        unsigned char *der = pem_der(&block, &len);

        if (blocks[i].bytes != NULL) {
            assert_non_null(der);
            assert_int_equal(len, strlen(blocks[i].bytes));
            assert_memory_equal(der, blocks[i].bytes, strlen(blocks[i].bytes));
        } else {
            assert_null(der);
        }
        OPENSSL_free(der);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(contents_are_given_without_headers)};
    int failed = 0;

    RUN_ROWS(failed, test_blocks, rows);
    RUN_ROWS(failed, test_binary, binaries);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
