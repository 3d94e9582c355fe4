/* Two reloads at once, from two threads or from within each other: what one is at work with must
 * not be freed by the other. A sanitizer's build says whether it was. TLS only. */
#include "support/unit.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <tlsmsg/tlsmsg.h>

#include "server/internal.h"
#include "support/test_certs.h"
#include "support/test_folder.h"

#define WAIT_MS 20000
#define PASSWORD "open sesame"
#define THREADS 4
#define RELOADS_EACH 15
#define REPLY "{message}!"

static struct test_folder folder;
static char ca_file[TEST_PATH_MAX];
static char cert_file[TEST_PATH_MAX];
static char key_file[TEST_PATH_MAX];
static char open_key_file[TEST_PATH_MAX];   /* others can read it, which is worth a warning */
static char locked_key_file[TEST_PATH_MAX]; /* asks for PASSWORD */

static struct tlsmsg_server *server;
static struct tlsmsg_options *options;
static bool nests;      /* the next callback reloads, once */
static unsigned nested; /* that were fine */
static atomic_uint warnings;

static void set(struct tlsmsg_options *o, enum tlsmsg_option option, const char *value)
{
    assert_int_equal(tlsmsg_options_set(o, option, value, NULL), TLSMSG_OK);
}

static struct tlsmsg_options *options_of(const char *cert, const char *key)
{
    struct tlsmsg_options *o = NULL;

    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL), TLSMSG_OK);
    set(o, TLSMSG_OPT_LISTEN, "127.0.0.1:0");
    set(o, TLSMSG_OPT_WORKERS, "2");
    set(o, TLSMSG_OPT_REPLY, REPLY);
    set(o, TLSMSG_OPT_CERT, cert);
    set(o, TLSMSG_OPT_KEY, key);
    return o;
}

static struct tlsmsg_options *options_with(const char *key)
{
    return options_of(cert_file, key);
}

static void reload_within(void)
{
    if (nests) {
        nests = false;
        nested += tlsmsg_server_reload(server, options, NULL) == TLSMSG_OK ? 1 : 0;
    }
}

static void on_event(const struct tlsmsg_event *event, void *user)
{
    (void)user;
    if (event->cause == TLSMSG_CAUSE_CERTIFICATE) {
        atomic_fetch_add(&warnings, 1);
        reload_within();
    }
}

static bool on_password(const char *file, char *buf, size_t cap, void *user)
{
    (void)file;
    (void)user;
    reload_within();
    (void)snprintf(buf, cap, "%s", PASSWORD);
    return true;
}

static int group_set_up(void **state)
{
    struct test_cert ca;
    struct test_cert cert;

    (void)state;
    test_folder_make(&folder);
    test_cert_make(&ca, &(struct test_cert_spec){.common_name = "test CA", .is_ca = true});
    /* For so long that its end is worth no warning. */
    test_cert_make(&cert,
                   &(struct test_cert_spec){.common_name = "server",
                                            .alternative_names = "DNS:localhost,IP:127.0.0.1",
                                            .issuer = &ca,
                                            .from_s = -3600,
                                            .until_s = 365 * TEST_DAY_S});
    test_cert_write(&ca, test_folder_file(&folder, "ca.crt", ca_file));
    test_cert_write(&cert, test_folder_file(&folder, "server.crt", cert_file));
    test_cert_write_key(&cert, test_folder_file(&folder, "server.key", key_file), NULL);
    test_cert_write_key(&cert, test_folder_file(&folder, "open.key", open_key_file), NULL);
    assert_int_equal(chmod(open_key_file, 0644), 0);
    test_cert_write_key(&cert, test_folder_file(&folder, "locked.key", locked_key_file), PASSWORD);
    test_cert_free(&cert);
    test_cert_free(&ca);
    return 0;
}

static int group_tear_down(void **state)
{
    (void)state;
    test_folder_remove(&folder);
    return 0;
}

static void start(const char *key)
{
    static const struct tlsmsg_handler handler = {.size = sizeof(handler), .event = on_event};

    nests = false;
    nested = 0;
    atomic_store(&warnings, 0);
    options = options_with(key);
    assert_int_equal(tlsmsg_server_new(options, &handler, &server, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_start(server, NULL), TLSMSG_OK);
}

static void finish(void)
{
    struct pollfd done = {.fd = tlsmsg_server_done_fd(server), .events = POLLIN};

    tlsmsg_server_stop(server);
    assert_int_equal(poll(&done, 1, WAIT_MS), 1);
    assert_int_equal(tlsmsg_server_wait(server, NULL), TLSMSG_OK);
    tlsmsg_server_free(server);
    tlsmsg_options_free(options);
}

/* One conversation with whatever configuration the server has now. */
static void converse(void)
{
    struct tlsmsg_options *o = NULL;
    struct tlsmsg_client *client = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    const char *data = NULL;
    size_t len = 0;

    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_CLIENT, &o, NULL), TLSMSG_OK);
    set(o, TLSMSG_OPT_CA, ca_file);
    set(o, TLSMSG_OPT_ADDRESS, tlsmsg_server_address(server, 0));
    assert_int_equal(tlsmsg_client_new(o, &client, NULL), TLSMSG_OK);
    tlsmsg_options_free(o);
    if (tlsmsg_client_connect(client, &err) != TLSMSG_CLIENT_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(tlsmsg_client_send(client, "hi", 2, NULL), TLSMSG_CLIENT_OK);
    assert_int_equal(tlsmsg_client_receive(client, &data, &len, NULL), TLSMSG_CLIENT_OK);
    assert_int_equal(len, 3);
    assert_memory_equal(data, "hi!", 3);
    assert_int_equal(tlsmsg_client_close(client, NULL), TLSMSG_CLIENT_OK);
    tlsmsg_client_free(client);
}

static void *reload_often(void *unused)
{
    unsigned done = 0;

    (void)unused;
    for (int i = 0; i < RELOADS_EACH; i++) {
        done += tlsmsg_server_reload(server, options, NULL) == TLSMSG_OK ? 1 : 0;
    }
    return done == RELOADS_EACH ? &server : NULL;
}

static void test_reloads_from_threads_at_once(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    start(open_key_file);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, reload_often, NULL), 0);
    }
    for (int i = 0; i < 5; i++) {
        converse();
        assert_true(tlsmsg_server_expiry(server, TLSMSG_EXPIRY_CERTIFICATE) > 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;

        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
    }
    converse();
    /* Each told its own, and the start too. */
    assert_int_equal(atomic_load(&warnings), THREADS * RELOADS_EACH + 1);
    finish();
}

/* The second comes and goes while the first reads its files: the configuration that the first is
 * to replace is then no longer the server's. */
static void test_reload_while_another_reads(void **state)
{
    struct tlsmsg_options *asking;

    (void)state;
    start(key_file);
    asking = options_with(locked_key_file);
    tlsmsg_options_set_ask_password(asking, on_password, NULL);
    nests = true;
    assert_int_equal(tlsmsg_server_reload(server, asking, NULL), TLSMSG_OK);
    assert_int_equal(nested, 1);
    converse();
    tlsmsg_options_free(asking);
    finish();
}

/* As at the start: they would load, and the server would go on without a certificate. */
static void test_options_of_a_client_are_refused(void **state)
{
    struct tlsmsg_options *others = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    start(key_file);
    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_CLIENT, &others, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_server_reload(server, others, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, "these are a client's options");
    converse();
    tlsmsg_options_free(others);
    finish();
}

/* What is in force stays, and so does its number. */
static void test_a_reload_that_fails(void **state)
{
    struct tlsmsg_options *wrong = options_with(ca_file);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    const struct transport_config *before;

    (void)state;
    start(key_file);
    before = server->config;
    assert_int_equal(tlsmsg_server_reload(server, wrong, &err), TLSMSG_ERR_CONFIG);
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
    assert_ptr_equal(server->config, before);
    assert_int_equal(atomic_load(&server->config_generation), 0);
    assert_int_equal(tlsmsg_server_reload(server, options, NULL), TLSMSG_OK);
    assert_ptr_not_equal(server->config, before);
    assert_int_equal(atomic_load(&server->config_generation), 1);
    converse();
    tlsmsg_options_free(wrong);
    finish();
}

/* A check looks only. */
static void test_a_check_leaves_nothing_behind(void **state)
{
    struct tlsmsg_options *o = options_with(key_file);
    struct tlsmsg_server *made = NULL;
    char keylog[TEST_PATH_MAX];

    (void)state;
    set(o, TLSMSG_OPT_KEYLOG_FILE, test_folder_file(&folder, "keys", keylog));
    assert_int_equal(tlsmsg_server_check(o, NULL, NULL), TLSMSG_OK);
    assert_int_equal(access(keylog, F_OK), -1);
    assert_int_equal(tlsmsg_server_new(o, NULL, &made, NULL), TLSMSG_OK);
    assert_int_equal(access(keylog, F_OK), 0);
    tlsmsg_server_free(made);
    tlsmsg_options_free(o);
}

/* Its first certificate ends in a year; of that nothing is told before. */
static void test_when_certificates_end(void **state)
{
    int64_t now_s = (int64_t)time(NULL);
    int64_t end_s;
    int64_t next_s;

    (void)state;
    start(key_file);
    end_s = tlsmsg_server_expiry(server, TLSMSG_EXPIRY_CERTIFICATE);
    assert_in_range(end_s - now_s, 360 * TEST_DAY_S, 366 * TEST_DAY_S);
    assert_int_equal(tlsmsg_server_expiry(server, TLSMSG_EXPIRY_CRL), 0);
    next_s = tlsmsg_server_tell_ends(server, 0);
    assert_in_range(next_s, now_s, end_s);
    assert_int_equal(atomic_load(&warnings), 0);
    finish();
}

/* One that ends soon is told of when it is asked for, but not what was so before already. */
static void test_a_certificate_that_ends_soon(void **state)
{
    struct tlsmsg_options *o;
    struct test_cert soon;
    char file[TEST_PATH_MAX];
    char key[TEST_PATH_MAX];
    int64_t now_s = (int64_t)time(NULL);

    (void)state;
    test_cert_make(&soon, &(struct test_cert_spec){.common_name = "soon",
                                                   .alternative_names = "DNS:localhost",
                                                   .from_s = -300 * TEST_DAY_S,
                                                   .until_s = 5 * TEST_DAY_S});
    test_cert_write(&soon, test_folder_file(&folder, "soon.crt", file));
    test_cert_write_key(&soon, test_folder_file(&folder, "soon.key", key), NULL);
    test_cert_free(&soon);
    start(key_file);
    assert_int_equal(atomic_load(&warnings), 0);
    o = options_of(file, key);
    assert_int_equal(tlsmsg_server_reload(server, o, NULL), TLSMSG_OK);
    assert_true(atomic_load(&warnings) > 0);
    atomic_store(&warnings, 0);
    assert_in_range(tlsmsg_server_tell_ends(server, 0), now_s, now_s + 6 * TEST_DAY_S);
    assert_int_equal(atomic_load(&warnings), 1);
    assert_in_range(tlsmsg_server_tell_ends(server, now_s + 3600), now_s, now_s + 6 * TEST_DAY_S);
    assert_int_equal(atomic_load(&warnings), 1);
    tlsmsg_options_free(o);
    finish();
}

/* The second comes and goes while the first tells its warnings. */
static void test_reload_while_another_warns(void **state)
{
    (void)state;
    start(open_key_file);
    nests = true;
    assert_int_equal(tlsmsg_server_reload(server, options, NULL), TLSMSG_OK);
    assert_int_equal(nested, 1);
    assert_int_equal(atomic_load(&warnings), 3);
    converse();
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reloads_from_threads_at_once),
        cmocka_unit_test(test_reload_while_another_reads),
        cmocka_unit_test(test_reload_while_another_warns),
        cmocka_unit_test(test_options_of_a_client_are_refused),
        cmocka_unit_test(test_a_reload_that_fails),
        cmocka_unit_test(test_a_check_leaves_nothing_behind),
        cmocka_unit_test(test_when_certificates_end),
        cmocka_unit_test(test_a_certificate_that_ends_soon),
    };

    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
