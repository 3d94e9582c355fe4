/* The certificate that a peer shows, to our client and to our server: whoever issued it and whatever
 * is in it, only what our trust allows gets past the handshake, and all that is told of it is fit to
 * be shown.
 *
 * The first byte chooses the side and its trust, the second the issuer and what is sent, the next
 * two the dates. Then parts of the certificate: kind, length, bytes. */
#include "fuzz.h"

#include <string.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "fuzz_identity.h"
#include "support/config.h"
#include "support/memory_source.h"
#include "support/test_certs.h"
#include "support/test_folder.h"
#include "transport/tls/bio.h"
#include "transport/tls/identity.h"
#include "transport/tls/x509_text.h"

#define HEAD_BYTES 4
#define PIPE_BYTES (64 * 1024)
#define STEPS_MAX 1000
#define DATE_STEP_S (6 * 60 * 60)
#define REVOKED_SERIAL 2
#define SAYS_EXTENSION 0x80
#define SAYS_CRITICAL 0x10
#define SAYS_HOST 0x20 /* the bytes are one name, not DER */

enum trust { TRUST_CA, TRUST_CRL, TRUST_KEY, TRUST_FIRST, TRUST_KINDS };
enum issuer { BY_CA, BY_NAMESAKE, BY_ITSELF, BY_MIDDLE };

/* One run's choices. */
struct choice {
    bool is_client; /* ours, and a server shows the certificate */
    enum trust trust;
    unsigned asked; /* the name that our client asks for */
    bool is_old;    /* TLS 1.2 */
    enum issuer issuer;
    bool sends_issuer;
    bool is_revoked;
    long from_s;
    long until_s;
};

static struct test_folder folder;
static struct test_cert ca;
static struct test_cert namesake; /* the CA's name, another key */
static struct test_cert middle;   /* an issuer below the CA */
static struct test_cert shown;    /* whose key the peer has */
static struct transport_config *clients[TRUST_KINDS];
static struct transport_config *servers[TRUST_KINDS];
static SSL_CTX *bare[2]; /* the peer: a client, a server */
static BIO_METHOD *method;

static const char *const asked_names[] = {"localhost", "127.0.0.1", "www.example.com", "[::1]"};

static void set_file(struct tlsmsg_options *o, enum tlsmsg_option option, const char *name)
{
    char path[TEST_PATH_MAX];

    FUZZ_CHECK(tlsmsg_options_set(o, option, test_folder_file(&folder, name, path), NULL) ==
               TLSMSG_OK);
}

static struct transport_config *make_config(enum tlsmsg_role role, enum trust trust)
{
    struct tlsmsg_options *o = NULL;
    struct transport_config *config = NULL;
    char pin[X509_TEXT_PIN_MAX];

    FUZZ_CHECK(tlsmsg_options_new(role, &o, NULL) == TLSMSG_OK);
    if (role == TLSMSG_ROLE_SERVER) {
        fuzz_identity_make(o);
        set_file(o, TLSMSG_OPT_CLIENT_CA, "ca.crt");
        if (trust == TRUST_KEY) {
            FUZZ_CHECK(tlsmsg_options_set(o, TLSMSG_OPT_ALLOW, "CN=alice", NULL) == TLSMSG_OK);
        }
    } else if (trust == TRUST_KEY) {
        x509_text_pin(shown.cert, pin);
        FUZZ_CHECK(tlsmsg_options_set(o, TLSMSG_OPT_PIN, pin, NULL) == TLSMSG_OK);
    } else if (trust == TRUST_FIRST) {
        set_file(o, TLSMSG_OPT_KNOWN_SERVERS, "none");
        FUZZ_CHECK(tlsmsg_options_set(o, TLSMSG_OPT_ADDRESS, "localhost:1", NULL) == TLSMSG_OK);
        FUZZ_CHECK(tlsmsg_options_set(o, TLSMSG_OPT_TRUST_ON_FIRST_USE, "1", NULL) == TLSMSG_OK);
    } else {
        set_file(o, TLSMSG_OPT_CA, "ca.crt");
    }
    if (trust == TRUST_CRL) {
        set_file(o, TLSMSG_OPT_CRL, "ca.crl");
    }
    FUZZ_CHECK(config_from_options(o, NULL, &config, NULL) == TLSMSG_OK);
    if (role == TLSMSG_ROLE_SERVER) {
        fuzz_identity_remove();
    }
    tlsmsg_options_free(o);
    return config;
}

static void make_issuers(void)
{
    const struct test_cert_spec root = {.common_name = "test CA", .is_ca = true};
    const struct test_cert_spec below = {.common_name = "middle", .issuer = &ca, .is_ca = true};
    const struct test_cert_spec leaf = {.common_name = "revoked", .issuer = &ca};
    const struct test_crl_spec list = {.issuer = &ca, .revoked = &shown};
    char path[TEST_PATH_MAX];

    test_cert_make(&ca, &root);
    test_cert_make(&namesake, &root);
    test_cert_make(&middle, &below);
    test_cert_make(&shown, &leaf);
    FUZZ_CHECK(ASN1_INTEGER_set(X509_get_serialNumber(shown.cert), REVOKED_SERIAL) == 1);
    test_cert_write(&ca, test_folder_file(&folder, "ca.crt", path));
    test_crl_write(&list, test_folder_file(&folder, "ca.crl", path));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    test_folder_make(&folder);
    make_issuers();
    for (enum trust trust = 0; trust < TRUST_KINDS; trust++) {
        clients[trust] = make_config(TLSMSG_ROLE_CLIENT, trust);
        servers[trust] = make_config(TLSMSG_ROLE_SERVER, trust);
    }
    test_folder_remove(&folder);
    method = source_bio_method_new();
    bare[0] = SSL_CTX_new(TLS_client_method());
    bare[1] = SSL_CTX_new(TLS_server_method());
    FUZZ_CHECK(method != NULL && bare[0] != NULL && bare[1] != NULL);
    for (int i = 0; i < 2; i++) {
        SSL_CTX_set_security_level(bare[i], 0);
        SSL_CTX_set_verify(bare[i], SSL_VERIFY_NONE, NULL);
    }
    return 0;
}

/* ---- the certificate */

static void add_name(X509 *cert, unsigned kind, const uint8_t *bytes, int len)
{
    static const int nids[] = {NID_commonName,         NID_commonName,  NID_organizationName,
                               NID_pkcs9_emailAddress, NID_countryName, NID_serialNumber,
                               NID_domainComponent,    NID_userId};
    static const int types[] = {V_ASN1_UTF8STRING, V_ASN1_UTF8STRING,      V_ASN1_PRINTABLESTRING,
                                V_ASN1_BMPSTRING,  V_ASN1_UNIVERSALSTRING, V_ASN1_T61STRING,
                                V_ASN1_IA5STRING,  V_ASN1_OCTET_STRING};

    (void)X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), nids[kind & 7],
                                     types[kind >> 3 & 7], bytes, len, -1, 0);
}

static void add_extension(X509 *cert, unsigned kind, const uint8_t *bytes, int len)
{
    static const int nids[] = {
        NID_subject_alt_name,     NID_basic_constraints,        NID_key_usage,
        NID_ext_key_usage,        NID_authority_key_identifier, NID_name_constraints,
        NID_certificate_policies, NID_netscape_comment};
    /* A GENERAL_NAME's tags: email, DNS, URI, address. */
    static const uint8_t tags[] = {0x81, 0x82, 0x86, 0x87};
    uint8_t der[4 + 0x7B];
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension;
    int nid = nids[kind & 7];

    FUZZ_CHECK(value != NULL);
    if ((kind & SAYS_HOST) != 0 && len <= 0x7B) {
        nid = NID_subject_alt_name;
        der[0] = 0x30;
        der[1] = (uint8_t)(2 + len);
        der[2] = tags[kind & 3];
        der[3] = (uint8_t)len;
        memcpy(der + 4, bytes, (size_t)len);
        bytes = der;
        len += 4;
    }
    FUZZ_CHECK(ASN1_OCTET_STRING_set(value, bytes, len) == 1);
    extension = X509_EXTENSION_create_by_NID(NULL, nid, (kind & SAYS_CRITICAL) != 0, value);
    FUZZ_CHECK(extension != NULL && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
}

static const struct test_cert *issuer_of(const struct choice *c)
{
    switch (c->issuer) {
    case BY_NAMESAKE:
        return &namesake;
    case BY_MIDDLE:
        return &middle;
    default:
        return &ca;
    }
}

/* NULL: a name can't be encoded. */
static X509 *make_certificate(const struct choice *c, const uint8_t *data, size_t len)
{
    const struct test_cert *issuer = issuer_of(c);
    X509 *cert = X509_new();
    bool by_itself = c->issuer == BY_ITSELF;

    FUZZ_CHECK(cert != NULL && X509_set_version(cert, X509_VERSION_3) == 1);
    FUZZ_CHECK(ASN1_INTEGER_set(X509_get_serialNumber(cert),
                                c->is_revoked ? REVOKED_SERIAL : REVOKED_SERIAL + 1) == 1);
    FUZZ_CHECK(X509_gmtime_adj(X509_getm_notBefore(cert), c->from_s) != NULL);
    FUZZ_CHECK(X509_gmtime_adj(X509_getm_notAfter(cert), c->until_s) != NULL);
    FUZZ_CHECK(X509_set_pubkey(cert, shown.key) == 1);
    while (len >= 2) {
        unsigned kind = data[0];
        size_t part = data[1] < len - 2 ? data[1] : len - 2;
        char *bytes = fuzz_copy(data + 2, part);

        if ((kind & SAYS_EXTENSION) != 0) {
            add_extension(cert, kind, (const uint8_t *)bytes, (int)part);
        } else {
            add_name(cert, kind, (const uint8_t *)bytes, (int)part);
        }
        free(bytes);
        data += 2 + part;
        len -= 2 + part;
    }
    if (X509_set_issuer_name(cert, X509_get_subject_name(by_itself ? cert : issuer->cert)) != 1 ||
        X509_sign(cert, by_itself ? shown.key : issuer->key, EVP_sha256()) <= 0) {
        X509_free(cert);
        cert = NULL;
    }
    return cert;
}

/* ---- what is told of it */

static void check_text(const char *text, size_t cap)
{
    const char *end = memchr(text, '\0', cap);

    FUZZ_CHECK(end != NULL && fuzz_is_printable(text, (size_t)(end - text)));
}

static void check_texts(X509 *cert)
{
    static const size_t caps[] = {16, 96, 512};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char *identity = identity_of(cert);

    for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
        char *text = malloc(caps[i]);

        FUZZ_CHECK(text != NULL);
        x509_text_name(X509_get_subject_name(cert), text, caps[i]);
        check_text(text, caps[i]);
        x509_text_hosts(cert, text, caps[i]);
        check_text(text, caps[i]);
        free(text);
    }
    if (identity != NULL) {
        check_text(identity, strlen(identity) + 1);
    }
    fuzz_check_error(&err, identity_check(NULL, cert, &err));
    free(identity);
}

/* ---- the handshake */

/* Whether these bytes stand somewhere in the certificate, in any letter case. */
static bool holds(const X509 *cert, const char *bytes, size_t len)
{
    unsigned char *der = NULL;
    int der_len = i2d_X509(cert, &der);
    bool found = false;

    FUZZ_CHECK(der_len > 0);
    for (size_t i = 0; i + len <= (size_t)der_len && !found; i++) {
        found =
            strncasecmp((const char *)der + i, bytes, len) == 0 || memcmp(der + i, bytes, len) == 0;
    }
    OPENSSL_free(der);
    return found;
}

/* What must be true of a certificate that was let in. */
static void check_let_in(const struct choice *c, X509 *cert, struct transport *t)
{
    static const char *const in_name[] = {"localhost", "\x7F\0\0\1", "example.com",
                                          "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"};
    static const size_t name_len[] = {9, 4, 11, 16};
    struct tlsmsg_tls tls;

    FUZZ_CHECK(c->from_s < 0 && c->until_s > 0);
    FUZZ_CHECK(!c->is_revoked || c->trust != TRUST_CRL);
    FUZZ_CHECK(c->trust != TRUST_FIRST || !c->is_client);
    if (!c->is_client || c->trust != TRUST_KEY) {
        FUZZ_CHECK(c->issuer == BY_CA || (c->issuer == BY_MIDDLE && c->sends_issuer));
    }
    if (c->is_client && c->trust != TRUST_KEY) {
        FUZZ_CHECK(holds(cert, in_name[c->asked], name_len[c->asked]));
    }
    FUZZ_CHECK(transport_describe(t, &tls));
    if (!c->is_client && c->trust == TRUST_KEY) {
        FUZZ_CHECK(tls.identity != NULL && strcmp(tls.identity, "CN=alice") == 0);
    }
    if (tls.identity != NULL) {
        check_text(tls.identity, strlen(tls.identity) + 1);
    }
}

static void check_shown(const struct transport *t)
{
    struct tlsmsg_certificate told;

    for (size_t i = 0; transport_peer_certificate(t, i, &told); i++) {
        FUZZ_CHECK(i < 2);
        check_text(told.subject, sizeof(told.subject));
        check_text(told.issuer, sizeof(told.issuer));
        check_text(told.names, sizeof(told.names));
        check_text(told.pin, sizeof(told.pin));
    }
}

/* Steps both ends until ours is done. */
static void shake_hands(const struct choice *c, X509 *cert, struct transport *t, SSL *peer)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum transport_result result = TRANSPORT_WANT_READ;

    for (int i = 0; i < STEPS_MAX; i++) {
        result = transport_handshake(t, &err);
        if (result == TRANSPORT_OK || result == TRANSPORT_ERROR) {
            break;
        }
        ERR_clear_error();
        (void)SSL_do_handshake(peer);
    }
    FUZZ_CHECK(result == TRANSPORT_OK || result == TRANSPORT_ERROR);
    fuzz_check_error(&err, err.code);
    FUZZ_CHECK((result == TRANSPORT_OK) == (err.code == TLSMSG_OK));
    FUZZ_CHECK(err.code != TLSMSG_ERR_NOMEM && err.code != TLSMSG_ERR_CONFIG);
    if (result == TRANSPORT_OK) {
        check_let_in(c, cert, t);
    }
    check_shown(t);
}

static void show(const struct choice *c, X509 *cert)
{
    struct transport_config *config = c->is_client ? clients[c->trust] : servers[c->trust];
    struct memory_pipe in;
    struct memory_pipe out;
    struct memory_source ours;
    struct memory_source theirs;
    struct source_link link;
    struct transport *t = NULL;
    SSL *peer = SSL_new(bare[c->is_client]);
    BIO *bio;

    memory_pipe_init(&in, PIPE_BYTES);
    memory_pipe_init(&out, PIPE_BYTES);
    memory_source_init(&ours, &in, &out);
    memory_source_init(&theirs, &out, &in);
    source_link_init(&link, &theirs.base, !c->is_client);
    link.ssl = peer;
    bio = source_bio_new(method, &link);
    FUZZ_CHECK(peer != NULL && bio != NULL);
    SSL_set_bio(peer, bio, bio);
    c->is_client ? SSL_set_accept_state(peer) : SSL_set_connect_state(peer);
    FUZZ_CHECK(SSL_set_max_proto_version(peer, c->is_old ? TLS1_2_VERSION : 0) == 1);
    if (SSL_use_certificate(peer, cert) == 1 && SSL_use_PrivateKey(peer, shown.key) == 1 &&
        (!c->sends_issuer || SSL_add1_chain_cert(peer, issuer_of(c)->cert) == 1)) {
        FUZZ_CHECK(transport_new(config, &ours.base, c->is_client ? asked_names[c->asked] : NULL,
                                 &t, NULL) == TLSMSG_OK);
        shake_hands(c, cert, t, peer);
        transport_free(t);
    }
    SSL_free(peer);
    memory_pipe_fini(&in);
    memory_pipe_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct choice c;
    X509 *cert;

    if (len < HEAD_BYTES) {
        return 0;
    }
    c = (struct choice){
        .is_client = (data[0] & 1) != 0,
        .trust = (enum trust)(data[0] >> 1 & 3),
        .asked = data[0] >> 3 & 3,
        .is_old = (data[0] & 0x20) != 0,
        .issuer = (enum issuer)(data[1] & 3),
        .sends_issuer = (data[1] & 4) != 0,
        .is_revoked = (data[1] & 8) != 0,
        /* Never this very moment. */
        .from_s = ((int8_t)data[2] * 2L + 1) * (DATE_STEP_S / 2),
        .until_s = ((int8_t)data[3] * 2L + 1) * (DATE_STEP_S / 2),
    };
    cert = make_certificate(&c, data + HEAD_BYTES, len - HEAD_BYTES);
    if (cert != NULL) {
        check_texts(cert);
        show(&c, cert);
        X509_free(cert);
    }
    ERR_clear_error();
    return 0;
}
