/* Reading a private key. A password is wiped as soon as it was tried and is never logged. */
#include "transport/tls/own_key.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/pem.h>

#include "base/error.h"
#include "transport/tls/tls_error.h"

#define PASSWORD_MAX 1024 /* OpenSSL's own limit, PEM_BUFSIZE */

/* What the password callback knows, and what it met. The library may ask more than once, as it
 * tries one form after another; people are asked once. */
struct password_request {
    const struct tls_settings *settings;
    const struct pem_file *file;
    struct tlsmsg_error *err;
    bool wanted; /* the key is encrypted */
    size_t len;  /* of what was given; 0: nothing */
    char password[PASSWORD_MAX];
};

/* The first line of the password file, without its end (\n or \r\n). */
static void take_from_file(struct password_request *request, const char *path)
{
    struct pem_file file;
    size_t len;

    if (pem_file_read(&file, path, "key password file", NULL, request->err) != TLSMSG_OK) {
        return;
    }
    len = strcspn(file.bytes, "\r\n");
    if (len > sizeof(request->password)) {
        error_set(request->err, TLSMSG_ERR_CONFIG, 0, "the password in '%s' is too long",
                  file.name);
    } else {
        memcpy(request->password, file.bytes, len);
        request->len = len;
    }
    pem_file_fini(&file);
}

static void take_password(struct password_request *request)
{
    const struct tls_settings *settings = request->settings;

    request->wanted = true;
    if (settings->key_password_file != NULL) {
        take_from_file(request, settings->key_password_file);
    } else if (settings->ask_password != NULL &&
               settings->ask_password(request->file->path, request->password,
                                      sizeof(request->password), settings->ask_password_user)) {
        request->len = strnlen(request->password, sizeof(request->password));
    }
}

/* pem_password_cb of PEM_read_bio_PrivateKey(3). */
static int give_password(char *buf, int cap, int writing, void *user)
{
    struct password_request *request = user;

    (void)writing;
    if (!request->wanted) {
        take_password(request);
    }
    if (request->len == 0 || request->len > (size_t)cap) {
        return -1;
    }
    memcpy(buf, request->password, request->len);
    return (int)request->len;
}

enum tlsmsg_code own_key_read(const struct pem_file *file, const struct tls_settings *settings,
                              EVP_PKEY **out, struct tlsmsg_error *err)
{
    struct password_request request = {.settings = settings, .file = file, .err = err};
    BIO *bio = pem_file_bio(file);

    if (bio == NULL) {
        return tls_error_config(err, TLSMSG_ERR_NOMEM, "cannot read key '%s'", file->name);
    }
    tls_error_begin();
    *out = PEM_read_bio_PrivateKey(bio, NULL, give_password, &request);
    OPENSSL_cleanse(request.password, sizeof(request.password));
    BIO_free(bio);
    if (*out != NULL) {
        return TLSMSG_OK;
    }
    if (request.wanted && request.len == 0) {
        return tls_error_blame(err, "key '%s' is encrypted: --key-password-file FILE opens it",
                               file->name);
    }
    if (request.wanted) {
        return tls_error_blame(err, "the password does not open key '%s'", file->name);
    }
    /* The library's reasons differ between versions; the label is the same in all forms. */
    if (strstr(file->bytes, "PRIVATE KEY-----") == NULL) {
        return tls_error_blame(
            err, "'%s' holds no private key in PEM form (--key FILE names the key's file)",
            file->name);
    }
    return tls_error_blame(err, "key '%s' is damaged or of an unknown kind", file->name);
}
