/* A server that is not known, or no longer the one it was: what is refused, asked and recorded, word
 * for word. The handshakes around it are in test_client_trust.c. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/config.h"
#include "support/failmalloc.h"
#include "support/tls_ends.h"
#include "support/unit.h"
#include "transport/tls/client_trust.h"
#include "transport/tls/internal.h"
#include "transport/tls/x509_text.h"

#define SERVER "server.test:4433"
#define OTHER_PIN "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static struct tls_files files;
static struct pin shown;
static char records[TEST_PATH_MAX];

/* The user, and what he was asked. */
static struct user {
    bool accepts;
    unsigned asked;
    struct tlsmsg_new_server server;
    char question[1024];
} user;

static bool ask(const struct tlsmsg_new_server *server, void *who)
{
    struct user *asked = who;

    asked->asked++;
    asked->server = *server;
    (void)snprintf(asked->question, sizeof(asked->question), "%s", server->question);
    assert_string_equal(server->pin, shown.text);
    assert_string_equal(server->server, SERVER);
    assert_string_equal(server->names, "localhost, 127.0.0.1, ::1");
    return asked->accepts;
}

static int set_up(void **state)
{
    (void)state;
    tls_files_make(&files);
    assert_true(pin_of(files.server.cert, &shown));
    (void)test_folder_file(&files.folder, "known", records);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_files_remove(&files);
    return 0;
}

static int forget(void **state)
{
    (void)state;
    memset(&user, 0, sizeof(user));
    (void)unlink(records);
    return 0;
}

static void record(const char *line)
{
    FILE *file = fopen(records, "w");

    assert_non_null(file);
    assert_true(fputs(line, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* By first use, with or without somebody to ask, or accepting whatever is new. */
static struct client_trust *first_use(bool asks, bool accepts)
{
    const struct tls_settings settings = {.trust_on_first_use = true,
                                          .accept_new = accepts,
                                          .known_servers = records,
                                          .confirm = asks ? ask : NULL,
                                          .confirm_user = &user,
                                          .server = SERVER};
    struct client_trust *trust = NULL;

    assert_int_equal(client_trust_new(&settings, &trust, NULL), TLSMSG_OK);
    return trust;
}

static void expect(struct tlsmsg_error *err, enum tlsmsg_code code, const char *text)
{
    assert_string_equal(err->text, text);
    assert_string_equal(tlsmsg_code_name(err->code), tlsmsg_code_name(code));
    assert_int_equal(err->sys_errno, 0);
    tlsmsg_error_clear(err);
}

static void judged(bool asks, bool accepts, struct server_key *key, struct tlsmsg_error *err,
                   enum tlsmsg_code code)
{
    struct client_trust *trust = first_use(asks, accepts);

    assert_int_equal(client_trust_judge(trust, files.server.cert, key, err), code);
    assert_int_equal(user.asked, 0); /* not inside the handshake */
    client_trust_free(trust);
}

static void nobody_to_ask(void **state)
{
    struct server_key key = {.accepted = NULL};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char text[512];

    (void)state;
    (void)snprintf(text, sizeof(text),
                   "server '" SERVER "' is not known yet; its pin is %s; try: connect at a "
                   "terminal, which asks, and compare the pin with scripts/gen-certs.sh show on "
                   "the server",
                   shown.text);
    judged(false, false, &key, &err, TLSMSG_ERR_UNTRUSTED);
    expect(&err, TLSMSG_ERR_UNTRUSTED, text);
    assert_false(key.is_new);
    assert_false(key.asks_user);
}

static void somebody_to_ask(void **state)
{
    struct server_key key = {.accepted = NULL};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char text[512];

    (void)state;
    (void)snprintf(text, sizeof(text),
                   "server '" SERVER "' is not known yet, and its key was not accepted; its pin "
                   "is %s",
                   shown.text);
    judged(true, false, &key, &err, TLSMSG_ERR_UNTRUSTED);
    expect(&err, TLSMSG_ERR_UNTRUSTED, text);
    assert_false(key.is_new);
    assert_true(key.asks_user);
}

static void whatever_is_new_is_accepted(void **state)
{
    struct server_key key = {.accepted = NULL};
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    judged(true, true, &key, &err, TLSMSG_OK);
    assert_true(key.is_new);
    assert_false(key.asks_user);
    assert_int_not_equal(access(records, F_OK), 0); /* not before the key is proved */
}

static void what_the_user_accepted(void **state)
{
    struct server_key key = {.accepted = shown.text};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char text[512];

    (void)state;
    judged(true, false, &key, &err, TLSMSG_OK);
    assert_true(key.is_new);
    assert_false(key.asks_user);

    key = (struct server_key){.accepted = OTHER_PIN};
    (void)snprintf(text, sizeof(text),
                   "server '" SERVER "' shows another key than a moment ago: somebody may be in "
                   "between (man in the middle); accepted was " OTHER_PIN ", shown now is %s",
                   shown.text);
    judged(true, true, &key, &err, TLSMSG_ERR_UNTRUSTED);
    expect(&err, TLSMSG_ERR_UNTRUSTED, text);
    assert_false(key.is_new);
    assert_false(key.asks_user);
}

static void a_known_server_is_nothing_new(void **state)
{
    struct server_key key = {.accepted = NULL};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char line[256];

    (void)state;
    (void)snprintf(line, sizeof(line), SERVER " %s 2026-01-31\n", shown.text);
    record(line);
    judged(true, true, &key, &err, TLSMSG_OK);
    assert_false(key.is_new);
    assert_false(key.asks_user);
}

static void a_changed_key_is_told_loudly(void **state)
{
    struct server_key key = {.accepted = NULL};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char text[768];

    (void)state;
    record(SERVER " " OTHER_PIN " 2026-01-31\n");
    (void)snprintf(text, sizeof(text),
                   "THE KEY OF SERVER '" SERVER "' HAS CHANGED: somebody may be in between (man "
                   "in the middle); recorded on 2026-01-31 " OTHER_PIN ", shown now %s; try: ask "
                   "whoever runs the server; only if its key was replaced, remove its line from "
                   "'%s'",
                   shown.text, records);
    judged(true, true, &key, &err, TLSMSG_ERR_KEY_CHANGED);
    text[sizeof(err.text) - 1] = '\0';
    expect(&err, TLSMSG_ERR_KEY_CHANGED, text);
    assert_false(key.is_new);
    assert_false(key.asks_user);
}

static void records_that_cannot_be_read(void **state)
{
    struct server_key key = {.accepted = NULL};
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    record("nonsense\n");
    judged(true, true, &key, &err, TLSMSG_ERR_CONFIG);
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
    assert_false(key.is_new);
}

/* A key that can't be read is nobody's, and nothing is recorded of it. */
static void a_certificate_without_a_key(void **state)
{
    struct client_trust *trust = first_use(false, true);
    struct server_key key = {.accepted = NULL};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    X509 *bare = X509_new();

    (void)state;
    assert_non_null(bare);
    assert_int_equal(client_trust_judge(trust, bare, &key, &err), TLSMSG_ERR_UNTRUSTED);
    expect(&err, TLSMSG_ERR_UNTRUSTED, "the server's key can't be read");
    assert_int_equal(client_trust_record(trust, bare, &err), TLSMSG_ERR_UNTRUSTED);
    expect(&err, TLSMSG_ERR_UNTRUSTED, "the server's key can't be read");
    assert_int_equal(client_trust_record(trust, NULL, &err), TLSMSG_ERR_UNTRUSTED);
    expect(&err, TLSMSG_ERR_UNTRUSTED, "the server's key can't be read");
    assert_int_not_equal(access(records, F_OK), 0);
    assert_false(key.is_new);
    X509_free(bare);
    client_trust_free(trust);
}

static void dates_hold_for_a_key_too(void **state)
{
    static const struct {
        const char *from, *until;
        const char *text; /* before the pin */
    } rows[] = {
        {"200101000000Z", "210203000000Z",
         "the server's certificate expired on 2021-02-03; its pin is "},
        {"480405000000Z", "490101000000Z",
         "the server's certificate is not yet valid (from 2048-04-05 on); its pin is "},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct test_cert cert;
        struct client_trust *trust = first_use(false, true);
        struct server_key key = {.accepted = NULL};
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        struct pin pin;
        char text[256];

        test_cert_make(&cert, &(struct test_cert_spec){.common_name = "server",
                                                       .from_text = rows[i].from,
                                                       .until_text = rows[i].until});
        assert_true(pin_of(cert.cert, &pin));
        (void)snprintf(text, sizeof(text), "%s%s", rows[i].text, pin.text);
        assert_int_equal(client_trust_judge(trust, cert.cert, &key, &err), TLSMSG_ERR_UNTRUSTED);
        expect(&err, TLSMSG_ERR_UNTRUSTED, text);
        assert_false(key.is_new);
        client_trust_free(trust);

        /* Where no key decides, the chain's verification has said so, on its own clock. */
        assert_int_equal(client_trust_new(&(struct tls_settings){.ca = "ca"}, &trust, NULL),
                         TLSMSG_OK);
        assert_int_equal(client_trust_judge(trust, cert.cert, &key, &err), TLSMSG_OK);
        client_trust_free(trust);
        test_cert_free(&cert);
    }
}

/* --- what decides ------------------------------------------------------------------------------- */

static void what_decides(void **state)
{
    static const struct {
        const char *ca;
        bool pins, first_use;
        bool needs_chain, is_default;
    } rows[] = {
        {NULL, false, false, true, true},  {"ca", false, false, true, false},
        {NULL, true, false, false, false}, {NULL, false, true, false, false},
        {"ca", true, false, true, false},  {"ca", false, true, true, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct tls_settings settings = {.ca = rows[i].ca,
                                        .trust_on_first_use = rows[i].first_use,
                                        .known_servers = rows[i].first_use ? records : NULL,
                                        .server = SERVER};
        struct tlsmsg_options *options =
            tls_options(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_PIN, OTHER_PIN, TLSMSG_OPT_COUNT);
        struct client_trust *trust = NULL;
        struct tls_settings pinned;
        struct server_key key = {.accepted = NULL};

        options_tls(options, &pinned);
        if (rows[i].pins) {
            settings.pins = pinned.pins;
        }
        assert_int_equal(client_trust_new(&settings, &trust, NULL), TLSMSG_OK);
        assert_int_equal(client_trust_needs_chain(trust), rows[i].needs_chain);
        assert_int_equal(client_trust_is_default(trust), rows[i].is_default);
        assert_int_equal(client_trust_judge(trust, files.server.cert, &key, NULL) == TLSMSG_OK,
                         !rows[i].pins && !rows[i].first_use);
        client_trust_free(trust);
        tlsmsg_options_free(options);
    }
    client_trust_free(NULL);
}

static void places_for_records(void **state)
{
    static char path[PATH_MAX + 1];
    struct tls_settings settings = {
        .trust_on_first_use = true, .accept_new = true, .server = SERVER, .known_servers = path};
    struct client_trust *trust = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char below[TEST_PATH_MAX];

    (void)state;
    memset(path, 'x', PATH_MAX);
    assert_int_equal(client_trust_new(&settings, &trust, &err), TLSMSG_ERR_CONFIG);
    expect(&err, TLSMSG_ERR_CONFIG, "--known-servers: the path is too long");
    assert_null(trust);
    path[PATH_MAX - 1] = '\0';
    assert_int_equal(client_trust_new(&settings, &trust, &err), TLSMSG_OK);
    client_trust_free(trust);

    settings.known_servers = NULL;
    assert_int_equal(setenv("XDG_STATE_HOME", files.folder.path, 1), 0);
    assert_int_equal(client_trust_new(&settings, &trust, &err), TLSMSG_OK);
    assert_int_equal(client_trust_record(trust, files.server.cert, &err), TLSMSG_OK);
    client_trust_free(trust);
    assert_int_equal(unlink(test_folder_file(&files.folder, "tlsmsg/known_servers", below)), 0);
    assert_int_equal(unlink(test_folder_file(&files.folder, "tlsmsg/known_servers.lock", below)),
                     0);
    assert_int_equal(rmdir(test_folder_file(&files.folder, "tlsmsg", below)), 0);

    assert_int_equal(unsetenv("XDG_STATE_HOME") | unsetenv("HOME"), 0);
    assert_int_equal(client_trust_new(&settings, &trust, &err), TLSMSG_ERR_CONFIG);
    expect(&err, TLSMSG_ERR_CONFIG,
           "no place for first-use records: HOME is not set (--known-servers FILE names one)");
    assert_null(trust);
}

static void no_memory_for_it(void **state)
{
    struct tlsmsg_options *options =
        tls_options(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_PIN, OTHER_PIN, TLSMSG_OPT_COUNT);
    struct tls_settings settings;
    long live = failmalloc_live();

    (void)state;
    options_tls(options, &settings);
    for (size_t n = 1; n <= 2; n++) {
        struct client_trust *trust = (struct client_trust *)&settings;
        struct tlsmsg_error err = {.code = TLSMSG_OK};

        failmalloc_at(n);
        assert_int_equal(client_trust_new(&settings, &trust, &err), TLSMSG_ERR_NOMEM);
        failmalloc_at(0);
        expect(&err, TLSMSG_ERR_NOMEM, "out of memory");
        assert_null(trust);
        assert_int_equal(failmalloc_live(), live);
    }
    tlsmsg_options_free(options);
}

/* --- asking -------------------------------------------------------------------------------------- */

static void the_question_says_all_there_is(void **state)
{
    char pin[PIN_TEXT_MAX] = "";
    char until[X509_TEXT_DATE_MAX];
    char question[1024];

    (void)state;
    x509_text_date(X509_get0_notAfter(files.server.cert), until);
    (void)snprintf(question, sizeof(question),
                   "Server " SERVER " is not known yet.\n"
                   "  pin    %s\n"
                   "  names  localhost, 127.0.0.1, ::1\n"
                   "  until  %s\n"
                   "Compare the pin with scripts/gen-certs.sh show on the server.\n"
                   "Trust this key from now on?",
                   shown.text, until);
    for (unsigned i = 0; i < 2; i++) {
        struct client_trust *trust = first_use(true, false);

        user.accepts = i == 1;
        assert_int_equal(client_trust_ask(trust, files.server.cert, pin), user.accepts);
        assert_int_equal(user.asked, i + 1);
        assert_string_equal(pin, shown.text);
        assert_string_equal(user.question, question);
        assert_int_equal(user.server.size, sizeof(user.server));
        client_trust_free(trust);
    }
}

/* A configuration of a client that asks this user. */
static struct transport_config *asking_client(void)
{
    struct tlsmsg_options *options = tls_options(
        &files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_ADDRESS, SERVER, TLSMSG_OPT_TRUST_ON_FIRST_USE, "1",
        TLSMSG_OPT_KNOWN_SERVERS, "known", TLSMSG_OPT_COUNT);

    tlsmsg_options_set_confirm(options, ask, &user);
    return tls_config_from(options, NULL);
}

/* Nobody is asked but about a server that was refused for being unknown, once the handshake is over;
 * by then the client has parted from it. */
static void the_user_is_asked_after_the_handshake(void **state)
{
    struct transport_config *config = asking_client();
    struct bare_server s;
    char pin[TRANSPORT_PIN_MAX] = "";

    (void)state;
    user.accepts = true;
    bare_server_init(&s, &files.server, 0);
    bare_server_join(&s, config, "server.test");
    assert_false(transport_ask_user(s.client.transport, pin)); /* nothing is known yet */
    s.client.transport->broken = true;
    s.client.transport->key.asks_user = true;
    assert_false(transport_ask_user(s.client.transport, pin)); /* nothing was shown */
    s.client.transport->broken = false;
    s.client.transport->key.asks_user = false;
    assert_false(bare_server_handshake(&s));
    assert_int_equal(s.client.code, TLSMSG_ERR_UNTRUSTED);
    s.client.transport->key.asks_user = false;
    assert_false(transport_ask_user(s.client.transport, pin)); /* refused for another reason */
    s.client.transport->key.asks_user = true;
    s.client.transport->broken = false;
    assert_false(transport_ask_user(s.client.transport, pin)); /* not refused at all */
    assert_int_equal(user.asked, 0);
    s.client.transport->broken = true;
    s.client.transport->write_is_shut = false;
    s.to_server.is_shut = false;
    assert_true(transport_ask_user(s.client.transport, pin));
    assert_int_equal(user.asked, 1);
    assert_string_equal(pin, shown.text);
    assert_true(s.to_server.is_shut);
    bare_server_fini(&s);

    /* What was accepted is recorded, and nothing is asked again. */
    bare_server_init(&s, &files.server, 0);
    bare_server_join(&s, config, "server.test");
    transport_accept_key(s.client.transport, pin);
    assert_true(bare_server_handshake(&s));
    bare_server_fini(&s);
    bare_server_init(&s, &files.server, 0);
    bare_server_join(&s, config, "server.test");
    assert_true(bare_server_handshake(&s));
    assert_int_equal(user.asked, 1);
    bare_server_fini(&s);
    transport_config_unref(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nobody_to_ask, forget),
        cmocka_unit_test_setup(somebody_to_ask, forget),
        cmocka_unit_test_setup(whatever_is_new_is_accepted, forget),
        cmocka_unit_test_setup(what_the_user_accepted, forget),
        cmocka_unit_test_setup(a_known_server_is_nothing_new, forget),
        cmocka_unit_test_setup(a_changed_key_is_told_loudly, forget),
        cmocka_unit_test_setup(records_that_cannot_be_read, forget),
        cmocka_unit_test_setup(a_certificate_without_a_key, forget),
        cmocka_unit_test_setup(dates_hold_for_a_key_too, forget),
        cmocka_unit_test_setup(what_decides, forget),
        cmocka_unit_test_setup(places_for_records, forget),
        cmocka_unit_test_setup(no_memory_for_it, forget),
        cmocka_unit_test_setup(the_question_says_all_there_is, forget),
        cmocka_unit_test_setup(the_user_is_asked_after_the_handshake, forget),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
