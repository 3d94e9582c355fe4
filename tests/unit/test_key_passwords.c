/* Encrypted keys: the password, and the old ways to encrypt that the library no longer reads. */
#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "support/config.h"
#include "support/tls_ends.h"
#include "support/unit.h"
#include "transport/tls/tickets.h"

#define OLD_WAY                                                                                    \
    "key '%s' is encrypted in an old way that this OpenSSL does not read; try: openssl pkcs8 "     \
    "-topk8 -provider legacy -provider default -in '%s' -out FILE"
#define PASSWORD_LONGEST 1024
#define WRONG "the password does not open key '%s'"

static struct tls_files files;

/* Of what size it is tells what is wiped. */
static unsigned passwords_wiped;
static unsigned ticket_files_wiped;

void __real_OPENSSL_cleanse(void *bytes, size_t len);
void __wrap_OPENSSL_cleanse(void *bytes, size_t len);

void __wrap_OPENSSL_cleanse(void *bytes, size_t len)
{
    passwords_wiped += len == PASSWORD_LONGEST;
    ticket_files_wiped += len == sizeof(struct ticket_file);
    __real_OPENSSL_cleanse(bytes, len);
}

static FILE *create(const char *name)
{
    char path[TEST_PATH_MAX];
    FILE *file = fopen(test_folder_file(&files.folder, name, path), "w");

    assert_non_null(file);
    return file;
}

static void write_text(const char *name, const char *text)
{
    FILE *file = create(name);

    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* In OpenSSL's oldest form: the cipher stands in a line of the block. */
static void write_oldest(const char *name, const char *dek)
{
    BIO *bio = BIO_new(BIO_s_mem());
    FILE *file = create(name);
    char *text;
    char *at;
    long len;

    assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, files.server.key, EVP_aes_256_cbc(),
                                                          (const unsigned char *)"secret", 6, NULL,
                                                          NULL),
                     1);
    len = BIO_get_mem_data(bio, &text);
    at = strstr(text, "DEK-Info: ");
    assert_non_null(at);
    if (dek == NULL) {
        assert_int_equal(fwrite(text, 1, (size_t)len, file), len);
    } else {
        char *behind = strchr(at, '\n');

        assert_true(fprintf(file, "%.*sDEK-Info: %s%.*s", (int)(at - text), text, dek,
                            (int)(len - (behind - text)), behind) > 0);
    }
    assert_int_equal(fclose(file), 0);
    BIO_free(bio);
}

/* PBES2 with a cipher, which the library need not have. */
static X509_ALGOR *scheme_with(int cipher)
{
    X509_ALGOR *scheme = PKCS5_pbe2_set(EVP_aes_256_cbc(), 2048, (unsigned char *)"saltsalt", 8);
    PBE2PARAM *param;

    assert_non_null(scheme);
    param = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), scheme->parameter);
    assert_non_null(param);
    param->encryption->algorithm = OBJ_nid2obj(cipher);
    assert_non_null(ASN1_TYPE_pack_sequence(ASN1_ITEM_rptr(PBE2PARAM), param, &scheme->parameter));
    PBE2PARAM_free(param);
    return scheme;
}

/* In PKCS#8, said to be encrypted in another way than it is: by PBES1 of a kind, or PBES2 with a
 * cipher. */
static void write_scheme(const char *name, const char *password, int pbe, int cipher)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(files.server.key);
    X509_SIG *sealed =
        PKCS8_encrypt(-1, EVP_aes_256_cbc(), password, (int)strlen(password), NULL, 0, 0, info);
    FILE *file = create(name);

    assert_true(info != NULL && sealed != NULL);
    if (pbe != 0 || cipher != 0) {
        X509_ALGOR *other = cipher != 0
                                ? scheme_with(cipher)
                                : PKCS5_pbe_set(pbe, 2048, (const unsigned char *)"saltsalt", 8);
        X509_ALGOR *scheme;
        ASN1_OCTET_STRING *bytes;

        assert_non_null(other);
        X509_SIG_getm(sealed, &scheme, &bytes);
        assert_int_equal(X509_ALGOR_copy(scheme, other), 1);
        X509_ALGOR_free(other);
    }
    assert_int_equal(PEM_write_PKCS8(file, sealed), 1);
    assert_int_equal(fclose(file), 0);
    X509_SIG_free(sealed);
    PKCS8_PRIV_KEY_INFO_free(info);
}

static void write_ticket_key(const char *name)
{
    FILE *file = create(name);

    assert_true(fprintf(file, "current %0160d\n", 7) > 0);
    assert_int_equal(fclose(file), 0);
}

static void write_long(const char *name, size_t len)
{
    char text[2048];

    assert_true(len < sizeof(text));
    memset(text, 'x', len);
    text[len] = '\0';
    write_text(name, text);
}

static int set_up(void **state)
{
    (void)state;
    tls_files_make(&files);
    write_text("right", "secret\n");
    write_text("wrong", "sacred\nsecret\n");
    write_text("blank", "sacred \n");
    write_text("blank-before", " sacred\n");
    write_text("empty", "");
    write_text("late", "\nsecret\n");
    write_long("longest", PASSWORD_LONGEST);
    write_long("longer", PASSWORD_LONGEST + 1);
    write_oldest("oldest.key", NULL);
    write_oldest("oldest-des.key", "DES-CBC,0011223344556677");
    write_scheme("sealed.key", "secret", 0, 0);
    write_scheme("no-password.key", "", 0, 0);
    write_scheme("md5-des.key", "secret", NID_pbeWithMD5AndDES_CBC, 0);
    write_scheme("sha1-3des.key", "secret", NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 0);
    write_scheme("des.key", "secret", 0, NID_des_cbc);
    write_scheme("3des.key", "secret", 0, NID_des_ede3_cbc);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_files_remove(&files);
    return 0;
}

struct row {
    const char *name;
    const char *key;
    const char *password; /* file; NULL: none */
    const char *text;     /* each %s is the key's file; NULL: it opens */
};

static const struct row rows[] = {
    {"PKCS#8", "sealed.key", "right", NULL},
    {"the oldest form", "oldest.key", "right", NULL},
    {"no password", "sealed.key", NULL, "key '%s' is encrypted: --key-password-file FILE opens it"},
    {"no password for the oldest form", "oldest.key", NULL,
     "key '%s' is encrypted: --key-password-file FILE opens it"},
    {"no password for a key that needs the empty one", "no-password.key", NULL,
     "key '%s' is encrypted: --key-password-file FILE opens it"},
    {"a wrong one", "sealed.key", "wrong", WRONG},
    {"a wrong one for the oldest form", "oldest.key", "wrong", WRONG},
    {"a blank behind it", "sealed.key", "blank", WRONG "; it has a blank at an end, which counts"},
    {"a blank before it", "sealed.key", "blank-before",
     WRONG "; it has a blank at an end, which counts"},
    {"the longest", "sealed.key", "longest", WRONG},
    {"DES in the oldest form", "oldest-des.key", "right", OLD_WAY},
    {"DES and MD5", "md5-des.key", "right", OLD_WAY},
    {"DES", "des.key", "right", OLD_WAY},
    {"triple DES", "3des.key", "wrong", WRONG},
    {"triple DES and SHA-1", "sha1-3des.key", "wrong", WRONG},
};

static void test_opening(void **state)
{
    const struct row *row = *state;
    struct tlsmsg_options *options = tls_options(
        &files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY, row->key,
        row->password != NULL ? TLSMSG_OPT_KEY_PASSWORD_FILE : TLSMSG_OPT_COUNT, row->password,
        TLSMSG_OPT_COUNT);
    struct transport_config *config = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum tlsmsg_code code = config_from_options(options, NULL, &config, &err);
    char path[TEST_PATH_MAX];
    char text[sizeof(err.text)] = "";

    (void)test_folder_file(&files.folder, row->key, path);
    if (row->text != NULL) {
        const char *end = strstr(row->text, "%s") + 2;

        (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(end - 2 - row->text), row->text, path,
                       end);
        if (strstr(text, "%s") != NULL) {
            size_t before = (size_t)(strstr(text, "%s") - text);
            char rest[64];

            (void)snprintf(rest, sizeof(rest), "%s", text + before + 2);
            (void)snprintf(text + before, sizeof(text) - before, "%s%s", path, rest);
        }
    }
    assert_string_equal(err.text, text);
    assert_int_equal(code, row->text != NULL ? TLSMSG_ERR_CONFIG : TLSMSG_OK);
    assert_int_equal(err.code, code);
    transport_config_unref(config);
    tlsmsg_options_free(options);
}

/* What was read of a secret's file is wiped once it has been used. */
static void test_secrets_are_wiped(void **state)
{
    struct transport_config *config;

    (void)state;
    write_ticket_key("tickets");
    passwords_wiped = ticket_files_wiped = 0;
    config = tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                        "sealed.key", TLSMSG_OPT_KEY_PASSWORD_FILE, "right", TLSMSG_OPT_TICKET_KEYS,
                        "tickets", TLSMSG_OPT_COUNT);
    assert_int_equal(passwords_wiped, 1);
    assert_int_equal(ticket_files_wiped, 1);
    transport_config_unref(config);
}

static void test_password_files(void **state)
{
    static const struct {
        const char *file;
        const char *before, *behind; /* its path */
    } files_of[] = {
        {"longer", "the password in '", "' is too long"},
        {"empty", "key password file '",
         "' is empty or begins with an empty line; try: the password in its first line"},
        {"late", "key password file '",
         "' is empty or begins with an empty line; try: the password in its first line"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(files_of); i++) {
        struct tlsmsg_options *options = tls_options(
            &files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY, "sealed.key",
            TLSMSG_OPT_KEY_PASSWORD_FILE, files_of[i].file, TLSMSG_OPT_COUNT);
        struct transport_config *config = NULL;
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        char path[TEST_PATH_MAX];
        char text[sizeof(err.text)];

        assert_int_equal(config_from_options(options, NULL, &config, &err), TLSMSG_ERR_CONFIG);
        (void)snprintf(text, sizeof(text), "%s%s%s", files_of[i].before,
                       test_folder_file(&files.folder, files_of[i].file, path), files_of[i].behind);
        assert_string_equal(err.text, text);
        assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
        tlsmsg_options_free(options);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secrets_are_wiped),
        cmocka_unit_test(test_password_files),
    };
    int failed = 0;

    (void)set_up(NULL);
    RUN_ROWS(failed, test_opening, rows);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    (void)tear_down(NULL);
    return failed;
}
