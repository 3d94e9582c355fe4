/* PEM files: which blocks are found, and what is refused with its line instead of being skipped. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>

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
    {"indented", CERT "  -----BEGIN X509 CRL-----\n", "C", "line 5: a PEM block is indented"},
    {"indented by a tab", "\t-----BEGIN CERTIFICATE-----\n", "", "line 1: a PEM block is indented"},
    {"a dash too few before", "----BEGIN CERTIFICATE-----\n", "", "line 1: '----BEGIN CERT"},
    {"a dash too few behind", "-----BEGIN CERTIFICATE----\n", "", "line 1: '"},
    {"a dash too many", "------BEGIN CERTIFICATE-----\n", "", "line 1: '"},
    {"small letters", "-----begin certificate-----\n", "", "line 1: '"},
    {"no blank", "-----BEGINCERTIFICATE-----\n", "", "line 1: '"},
    {"two blanks", "-----BEGIN  CERTIFICATE-----\n", "", "line 1: '"},
    {"dashes of a word processor", "\xE2\x80\x94\xE2\x80\x94-BEGIN CERTIFICATE-----\n", "",
     "line 1: '"},
    {"blanks between", "----- BEGIN CERTIFICATE -----\n", "", "line 1: '"},
    {"no BEGIN at all", "# mine\n" BODY "-----END CERTIFICATE-----\n", "",
     "line 2: a part of a PEM block"},
    {"a BEGIN beyond recognition", "-----BGIN CERTIFICATE-----\n" BODY, "",
     "line 2: a part of a PEM block"},
    {"a commented BEGIN with its body", "#-----BEGIN CERTIFICATE-----\n" BODY, "",
     "line 2: a part of a PEM block"},
    {"quoted, as mail does", CERT "> -----BEGIN X509 CRL-----\n> " BODY, "C",
     "line 5: '-----BEGIN X509 CRL-----' is not at the begin of its line"},
    {"indented by what is no blank", CERT "\xC2\xA0-----BEGIN X509 CRL-----\n", "C",
     "line 5: '-----BEGIN X509 CRL-----' is not at the begin"},
    {"in a value of YAML", CERT "crl: -----BEGIN X509 CRL-----\n", "C",
     "line 5: '-----BEGIN X509 CRL-----' is not"},
    {"in a string of JSON", CERT "\"-----BEGIN X509 CRL-----\\nMIIB\\n-----END X509 CRL-----\"\n",
     "C", "line 5: '-----BEGIN X509 CRL-----' is not"},
    {"commented out by another mark", CERT "; -----BEGIN X509 CRL-----\n", "C",
     "line 5: '-----BEGIN X509 CRL-----' is not"},
    {"behind the end of another",
     "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE----------BEGIN CERTIFICATE-----\n",
     "", "line 3: a line break is missing between two PEM blocks"},
    {"two on a line, with a blank", CERT "-----END X509 CRL----- -----BEGIN X509 CRL-----\n", "C",
     "line 5: '"},
    {"three dashes within a line", CERT "x ---BEGIN CERTIFICATE---\n", "C",
     "line 5: '---BEGIN CERTIFICATE---' is not"},
    {"a key before its END", "-----BEGIN PRIVATE KEY-----\nQ3VyaW9zaXR5-----END PRIVATE KEY-----\n",
     "", "line 2: '-----END PRIVATE KEY-----' is not at the begin"},
    {"a key in a string of JSON", "\"-----BEGIN PRIVATE KEY-----\\nQ3VyaW9zaXR5\"", "",
     "line 1: '-----BEGIN PRIVATE KEY-----' is not at the begin"},
    {"a key behind its BEGIN", "-----BEGIN PRIVATE KEY-----Q3VyaW9zaXR5\n", "",
     "line 1: '-----BEGIN PRIVATE KEY-----' does not"},
    {"a key behind its BEGIN and a blank",
     "-----BEGIN PRIVATE KEY MIGHAgEAMBMGByqGSM49AgEGCCqGSM4QQ3VyaW9zaXR5\n", "",
     "line 1: '-----BEGIN PRIVATE KEY MIGHAgEAMBMGByqGS' does not"},
    {"a key on a line with both",
     "-----BEGIN PRIVATE KEY-----Q3VyaW9zaXR5-----END PRIVATE KEY-----\n", "",
     "line 1: '-----BEGIN PRIVATE KEY-----' does not"},
    {"commented out as a whole",
     "#-----BEGIN X509 CRL-----\n#" BODY "#-----END X509 CRL-----\n" CERT, "C", NULL},
    {"commented out, indented", "  # -----BEGIN X509 CRL-----\n" CERT, "C", NULL},
    {"a body in quotes", CERT "> " BODY, "C", NULL},
    {"prose that begins like a body",
     "MIND the gap between the train and the platform: 12 cm, or more (where it bends)\n" CERT, "C",
     NULL},
    {"a body that is indented by a blank", CERT " " BODY, "C", "line 5: a PEM block is indented"},
    {"a body that is indented by two", CERT "  " BODY, "C", "line 5: a PEM block is indented"},
    {"a body that is indented by three", CERT "\t \t" BODY, "C", "line 5: a PEM block is indented"},
    {"an unknown label", "-----BEGIN CERTIFCATE-----\n" BODY, "",
     "line 1: a PEM block with the unknown label 'CERTIFCATE'"},
    {"a trusted certificate", CERT "-----BEGIN TRUSTED CERTIFICATE-----\n", "C",
     "line 5: a TRUSTED CERTIFICATE"},
    {"a key of OpenSSH's", "-----BEGIN OPENSSH PRIVATE KEY-----\n", "",
     "; try: ssh-keygen -p -m PKCS8 -f"},
    {"a label in small letters", "-----BEGIN certificate-----\n", "",
     "; try: -----BEGIN CERTIFICATE-----"},
    {"PKCS#7", "-----BEGIN PKCS7-----\n", "", "openssl pkcs7 -print_certs"},
    {"cut", CERT "-----BEGIN CERTIFICATE-----\n" BODY, "C",
     "line 5: the PEM block that begins here has no END line"},
    {"cut by the next", "-----BEGIN X509 CRL-----\n" BODY CERT, "",
     "line 1: the PEM block that begins here has no END line"},
    {"another END", "-----BEGIN CERTIFICATE-----\n" BODY "-----END X509 CRL-----\n", "",
     "line 4: the END line is not that of the block that begins at line 1"},
    {"a mistyped END", "-----BEGIN CERTIFICATE-----\n" BODY "----END CERTIFICATE-----\n" CERT, "",
     "line 4: '----END CERT"},
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
    assert_non_null(strstr(err.text, "CA file 'it.pem'"));
    if (strstr(err.text, row->says) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", err.text, row->says);
    }
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

static const struct binary binaries[] = {
    {"DER", BYTES("\x30\x82\x01\x0a\x30\x81\xb1\xa0\x03\x02"), "is DER, not PEM; try: openssl crl"},
    {"a short DER", BYTES("\x30\x08\x02\x01\x01\x04\x03\x01\x02\x03"), "is DER"},
    {"PKCS#12", BYTES("\x30\x82\x01\x0a\x02\x01\x03\x30\x81\xb1"), "is PKCS#12"},
    {"PKCS#7", BYTES("\x30\x82\x01\x0a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"), "is PKCS#7"},
    {"UTF-16, little", BYTES("\xff\xfe-\0-\0-\0-\0-\0"), "is UTF-16; try: iconv"},
    {"UTF-16, big", BYTES("\xfe\xff\0-\0-\0-\0-"), "is UTF-16"},
    {"UTF-16 without a mark", BYTES("-\0-\0-\0-\0"), "is UTF-16"},
    {"UTF-32, little", BYTES("\xff\xfe\0\0-\0\0\0"), "is UTF-32; try: iconv"},
    {"UTF-32, big", BYTES("\0\0\xfe\xff\0\0\0-"), "is UTF-32; try: iconv"},
    {"UTF-32 without a mark", BYTES("-\0\0\0-\0\0\0"), "is UTF-32; try: iconv"},
    {"the line ends of old", BYTES("-----BEGIN X509 CRL-----\rMIIB\r"),
     "ends its lines in CR alone; try: tr"},
    {"a zero byte", BYTES("-----BEGIN\0"), "holds a zero byte"},
};

static void test_binary(void **state)
{
    const struct binary *row = *state;
    char bytes[64] = {0};
    struct file file = {.name = "it.pem", .bytes = bytes, .len = row->len};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct pem_reader reader;

    memcpy(bytes, row->bytes, row->len);
    assert_int_equal(pem_begin(&reader, &file, "revocation list", "crl", &err), TLSMSG_ERR_CONFIG);
    assert_non_null(strstr(err.text, "revocation list 'it.pem'"));
    if (strstr(err.text, row->says) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", err.text, row->says);
    }
}

int main(void)
{
    int failed = 0;

    RUN_ROWS(failed, test_blocks, rows);
    RUN_ROWS(failed, test_binary, binaries);
    return failed;
}
