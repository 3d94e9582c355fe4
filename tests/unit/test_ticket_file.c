/* The shared ticket keys' file: what is taken, what is refused without a word of a key, and which
 * keys of it open what another server sealed. */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include "base/clock.h"
#include "base/tools.h"
#include "support/glob_text.h"
#include "support/test_certs.h"
#include "support/test_folder.h"
#include "support/unit.h"
#include "transport/tls/tickets.h"

#define HEX_8 "a1b2c3d4a1b2c3d4"
#define HEX_40 HEX_8 HEX_8 HEX_8 HEX_8 HEX_8
#define OTHER_8 "a1b2c3d4a1b2c300"
#define HEX HEX_40 HEX_40 /* 160 digits */
#define OTHER "00" HEX_8 HEX_8 HEX_8 HEX_8 HEX_8 HEX_8 HEX_8 HEX_8 HEX_8 "a1b2c3d4a1b2c3"
#define THIRD "01" HEX_8 HEX_8 HEX_8 HEX_8 HEX_8 HEX_8 HEX_8 HEX_8 HEX_8 "a1b2c3d4a1b2c3"

/* The clock of the keys, since nobody waits for hours. */
static int64_t skipped_ns;

int64_t __real_clock_now_ns(void);
int64_t __wrap_clock_now_ns(void);

int64_t __wrap_clock_now_ns(void)
{
    return __real_clock_now_ns() + skipped_ns;
}

struct row {
    const char *name;
    const char *text;
    const char *says; /* NULL: it is taken */
};

static const struct row rows[] = {
    {"current alone", "current " HEX "\n", NULL},
    {"no end of line", "current " HEX, NULL},
    {"all three", "previous " HEX "\ncurrent " OTHER "\nnext " THIRD "\n", NULL},
    {"in any order", "next " HEX "\ncurrent " OTHER "\nprevious " THIRD "\n", NULL},
    {"comments and empty lines", "# ours\n\ncurrent " HEX "\n\n#" HEX "\n", NULL},
    {"nothing", "", "holds no current key"},
    {"comments only", "# none\n", "holds no current key"},
    {"no current", "previous " HEX "\nnext " OTHER "\n", "holds no current key"},
    {"a digit less", "current " HEX_40 HEX_8 HEX_8 HEX_8 HEX_8 "a1b2c3d4a1b2c3d\n", "line 1"},
    {"two digits more", "current " HEX "a1\n", "line 1"},
    {"no hexadecimal", "current g" HEX_40 HEX_8 HEX_8 HEX_8 HEX_8 "a1b2c3d4a1b2c3d\n", "line 1"},
    {"a blank after", "current " HEX " \n", NULL},
    {"a blank before", " current " HEX "\n", "line 1"},
    {"two blanks", "current  " HEX "\n", "line 1"},
    {"a tab", "current\t" HEX "\n", "line 1"},
    {"a carriage return", "current " HEX "\r\n", NULL},
    {"a byte order mark",
     "\xEF\xBB\xBF"
     "current " HEX "\n",
     NULL},
    {"no name", HEX "\n", "line 1"},
    {"no key", "current\n", "line 1"},
    {"an empty key", "current \n", "line 1"},
    {"an unknown name", "current " HEX "\nfirst " OTHER "\n", "line 2"},
    {"a name in capitals", "CURRENT " HEX "\n", "line 1"},
    {"a name twice", "# ours\ncurrent " HEX "\ncurrent " OTHER "\n", "line 3"},
    {"two keys alike", "current " HEX "\nnext " HEX "\n", "names two keys alike"},
    {"the outer two alike", "previous " HEX "\ncurrent " OTHER "\nnext " HEX "\n",
     "names two keys alike"},
    {"the older two alike", "previous " HEX "\ncurrent " HEX "\n", "names two keys alike"},
    {"keys with one name", "current " HEX "\nnext " HEX_8 HEX_8 OTHER_8 HEX_40 HEX_8 HEX_8 "\n",
     "names two keys alike"},
    {"names that differ at their end",
     "current " HEX "\nnext " HEX_8 OTHER_8 HEX_40 HEX_8 HEX_8 HEX_8 "\n", NULL},
};

static void test_parse(void **state)
{
    const struct row *row = *state;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    static const struct ticket_file nothing;
    struct ticket_file file;
    char text[1024];
    char wanted[256];

    (void)snprintf(text, sizeof(text), "%s", row->text);
    if (row->says == NULL) {
        assert_int_equal(ticket_file_parse(text, "keys", &file, &err), TLSMSG_OK);
        assert_true(file.present[TICKET_CURRENT]);
        return;
    }
    assert_int_equal(ticket_file_parse(text, "keys", &file, &err), TLSMSG_ERR_CONFIG);
    (void)snprintf(wanted, sizeof(wanted), "ticket key file 'keys'%s %s%s (%s)",
                   row->says[0] == 'l' ? "," : "", row->says,
                   row->says[0] == 'l'
                       ? ": not 'previous', 'current' or 'next' and 160 hexadecimal "
                         "digits, each once"
                       : "",
                   tools()->makes_ticket_keys);
    assert_string_equal(err.text, wanted); /* and not a word of a key */
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
    assert_memory_equal(&file, &nothing, sizeof(file));
}

static void test_bytes(void **state)
{
    char text[] =
        "current 00ff" HEX_8 HEX_8 HEX_8 HEX_8 HEX_8 HEX_8 HEX_8 HEX_8 HEX_8 "0123456789AB";
    struct ticket_file file;

    (void)state;
    assert_int_equal(ticket_file_parse(text, "keys", &file, NULL), TLSMSG_OK);
    assert_int_equal(file.keys[TICKET_CURRENT].name[0], 0x00);
    assert_int_equal(file.keys[TICKET_CURRENT].name[1], 0xff);
    assert_int_equal(file.keys[TICKET_CURRENT].name[2], 0xa1);
    assert_int_equal(file.keys[TICKET_CURRENT].mac[KEY_BYTES - 1], 0xab);
    assert_int_equal(file.keys[TICKET_CURRENT].mac[KEY_BYTES - 6], 0x01);
    assert_false(file.present[TICKET_PREVIOUS] || file.present[TICKET_NEXT]);
}

static void test_files(void **state)
{
    static const char zero[] = "current " HEX "\n\0next";
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct test_folder folder;
    struct ticket_file file;
    char path[TEST_PATH_MAX];
    struct tls_settings settings = {.ticket_keys = path};
    FILE *out;

    (void)state;
    test_folder_make(&folder);
    test_folder_file(&folder, "keys", path);
    assert_int_equal(ticket_file_read(&settings, &file, &err), TLSMSG_ERR_CONFIG);
    expect_text("the refusal",
                "cannot read ticket key file '*/keys': No such file or directory "
                "(scripts/rotate-ticket-keys.sh*)",
                err.text);
    tlsmsg_error_clear(&err);
    settings.ticket_keys = folder.path;
    assert_int_equal(ticket_file_read(&settings, &file, &err), TLSMSG_ERR_CONFIG);
    expect_text("the refusal", "cannot read ticket key file '*': Is a directory", err.text);
    settings.ticket_keys = path;
    out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(zero, 1, sizeof(zero) - 1, out), sizeof(zero) - 1);
    assert_int_equal(fclose(out), 0);
    tlsmsg_error_clear(&err);
    assert_int_equal(ticket_file_read(&settings, &file, &err), TLSMSG_ERR_CONFIG);
    expect_text("the refusal", "ticket key file '*/keys' is not text: it holds a zero byte",
                err.text);
    out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(zero, 1, strlen(zero), out), strlen(zero));
    assert_int_equal(fclose(out), 0);
    tlsmsg_error_clear(&err);
    assert_int_equal(ticket_file_read(&settings, &file, &err), TLSMSG_OK);
    assert_true(file.present[TICKET_CURRENT]);
    assert_string_equal(err.text, "");
    test_folder_remove(&folder);
}

static struct ticket_keys *keys_from(const char *text)
{
    struct ticket_keys *keys = NULL;
    struct ticket_file file;
    char copy[1024];

    (void)snprintf(copy, sizeof(copy), "%s", text);
    assert_int_equal(ticket_file_parse(copy, "keys", &file, NULL), TLSMSG_OK);
    assert_int_equal(ticket_keys_from_file(&file, &keys, NULL), TLSMSG_OK);
    assert_true(ticket_keys_are_from_file(keys));
    ticket_file_wipe(&file);
    return keys;
}

static void shake_hands(SSL *client, SSL *server)
{
    BIO *a;
    BIO *b;

    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(server, a, a);
    SSL_set_bio(client, b, b);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    for (int i = 0; i < 20; i++) {
        ERR_clear_error();
        (void)SSL_do_handshake(client);
        (void)SSL_do_handshake(server);
    }
    assert_true(SSL_is_init_finished(client) && SSL_is_init_finished(server));
}

/* A handshake with a server that has these keys. *session: tried, and replaced by what it gave.
 * True where it was resumed. */
static bool visit(struct ticket_keys *keys, SSL_SESSION **session)
{
    SSL_CTX *server_ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
    struct test_cert cert;
    SSL *server;
    SSL *client;
    bool resumed;

    test_cert_make(&cert, &(struct test_cert_spec){.common_name = "server"});
    SSL_CTX_use_certificate(server_ctx, cert.cert);
    SSL_CTX_use_PrivateKey(server_ctx, cert.key);
    SSL_CTX_set_max_proto_version(server_ctx, TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(server_ctx, SSL_SESS_CACHE_OFF);
    assert_int_equal(ticket_keys_install(keys, server_ctx, NULL), TLSMSG_OK);
    server = SSL_new(server_ctx);
    client = SSL_new(client_ctx);
    if (*session != NULL) {
        assert_int_equal(SSL_set_session(client, *session), 1);
    }
    shake_hands(client, server);
    resumed = SSL_session_reused(server) == 1;
    SSL_SESSION_free(*session);
    *session = SSL_get1_session(client);
    SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(client_ctx);
    SSL_CTX_free(server_ctx);
    test_cert_free(&cert);
    return resumed;
}

struct pair {
    const char *name;
    const char *sealed_by;
    const char *opened_by;
    bool opens;
};

static const struct pair pairs[] = {
    {"the same file", "current " HEX "\n", "current " HEX "\n", true},
    {"previous opens", "current " HEX "\n", "previous " HEX "\ncurrent " OTHER "\n", true},
    {"next opens", "current " HEX "\n", "current " OTHER "\nnext " HEX "\n", true},
    {"next does not seal", "current " HEX "\nnext " OTHER "\n", "current " OTHER "\n", false},
    {"previous does not seal", "previous " OTHER "\ncurrent " HEX "\n", "current " OTHER "\n",
     false},
    {"a key that is gone", "current " HEX "\n", "previous " OTHER "\ncurrent " THIRD "\n", false},
};

static void test_fleet(void **state)
{
    const struct pair *row = *state;
    struct ticket_keys *sealing = keys_from(row->sealed_by);
    struct ticket_keys *opening = keys_from(row->opened_by);
    SSL_SESSION *session = NULL;

    assert_false(visit(sealing, &session));
    assert_int_equal(visit(opening, &session), row->opens);
    SSL_SESSION_free(session);
    ticket_keys_unref(sealing);
    ticket_keys_unref(opening);
}

/* Time moves a server's own keys on, but not those that it shares. */
static void test_keys_of_a_file_do_not_rotate(void **state)
{
    struct ticket_keys *shared = keys_from("current " HEX "\nnext " OTHER "\n");
    struct ticket_keys *same = keys_from("current " HEX "\n");
    struct ticket_keys *own = NULL;
    SSL_SESSION *session = NULL;
    SSL_SESSION *own_session = NULL;

    (void)state;
    assert_int_equal(ticket_keys_new(NULL, NULL, &own, NULL), TLSMSG_OK);
    assert_false(ticket_keys_are_from_file(own));
    assert_false(visit(own, &own_session));
    skipped_ns = 2 * (int64_t)TICKETS_LIFETIME_S * CLOCK_NS_PER_S;
    assert_false(visit(shared, &session));
    assert_true(visit(same, &session));
    assert_false(visit(own, &own_session));
    skipped_ns = 0;
    SSL_SESSION_free(session);
    SSL_SESSION_free(own_session);
    ticket_keys_unref(shared);
    ticket_keys_unref(same);
    ticket_keys_unref(own);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_keys_of_a_file_do_not_rotate),
    };
    int failed = 0;

    RUN_ROWS(failed, test_parse, rows);
    RUN_ROWS(failed, test_fleet, pairs);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
