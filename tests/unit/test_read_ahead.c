/* Read-ahead: records that came in one read are all handed on, each by itself, and a source that
 * knows itself dry isn't asked for more. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "support/tls_ends.h"
#include "support/unit.h"

#define RECORDS 3

static struct tls_files files;

static void say(SSL *ssl, const char *message)
{
    size_t put;

    assert_int_equal(SSL_write_ex(ssl, message, strlen(message), &put), 1);
    assert_int_equal(put, strlen(message));
}

static void setup_conversation(struct bare_client *c, struct transport_config *server, int version)
{
    bare_client_init(c, &files, version);
    bare_client_join(c, server, NULL);
    assert_true(bare_client_handshake(c));
    assert_true(bare_client_talk(c, "hello"));
}

static void receive(struct transport *t, enum transport_result expected, const char *message)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char buf[64];
    size_t got = 0;

    assert_int_equal(transport_recv(t, buf, sizeof(buf), &got, &err), expected);
    assert_int_equal(got, strlen(message));
    assert_memory_equal(buf, message, got);
}

static void test_dry_source_is_not_asked(void **state)
{
    static const char *const messages[RECORDS] = {"one", "two", "three"};
    const int *version = *state;
    struct transport_config *server =
        tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                   "server.key", TLSMSG_OPT_COUNT);
    struct bare_client c;
    unsigned calls;
    size_t i;

    setup_conversation(&c, server, *version);
    for (i = 0; i < RECORDS; i++) {
        say(c.ssl, messages[i]);
    }
    receive(c.server.transport, TRANSPORT_OK, messages[0]);
    c.server_source.base.dry = true;
    calls = c.server_source.calls;
    for (i = 1; i < RECORDS; i++) {
        receive(c.server.transport, TRANSPORT_OK, messages[i]);
    }
    receive(c.server.transport, TRANSPORT_WANT_READ, "");
    assert_int_equal(c.server_source.calls, calls);

    /* The next poll says that there is more. */
    say(c.ssl, "four");
    c.server_source.base.dry = false;
    receive(c.server.transport, TRANSPORT_OK, "four");
    bare_client_fini(&c);
    transport_config_unref(server);
}

/* Half a record is pending without being a message: OpenSSL says so, not the short cut. */
static void test_half_a_record_waits(void **state)
{
    const int *version = *state;
    struct transport_config *server =
        tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                   "server.key", TLSMSG_OPT_COUNT);
    struct bare_client c;

    setup_conversation(&c, server, *version);
    c.to_server.stop_at = c.to_server.total + 10;
    say(c.ssl, "halved");
    receive(c.server.transport, TRANSPORT_WANT_READ, "");
    c.server_source.base.dry = true;
    receive(c.server.transport, TRANSPORT_WANT_READ, "");
    c.to_server.stop_at = MEMORY_NEVER;
    c.server_source.base.dry = false;
    receive(c.server.transport, TRANSPORT_OK, "halved");
    bare_client_fini(&c);
    transport_config_unref(server);
}

/* What OpenSSL holds at the moment. */
static size_t live_bytes;

static void *count_malloc(size_t size, const char *file, int line)
{
    void *memory = malloc(size);

    (void)file;
    (void)line;
    live_bytes += memory != NULL ? malloc_usable_size(memory) : 0;
    return memory;
}

static void *count_realloc(void *old, size_t size, const char *file, int line)
{
    size_t before = old != NULL ? malloc_usable_size(old) : 0;
    void *memory = realloc(old, size);

    (void)file;
    (void)line;
    if (memory != NULL) {
        live_bytes += malloc_usable_size(memory) - before;
    }
    return memory;
}

static void count_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    live_bytes -= memory != NULL ? malloc_usable_size(memory) : 0;
    free(memory);
}

/* A ticket is written by OpenSSL's handshake machine, which takes a buffer to read with. It would
 * stay for as long as the conversation is idle. */
static void test_buffer_is_given_back_after_a_ticket(void **state)
{
    struct transport_config *server =
        tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                   "server.key", TLSMSG_OPT_COUNT);
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct bare_client c;
    char buf[16];
    size_t before;
    size_t sent;
    size_t got;

    (void)state;
    bare_client_init(&c, &files, TLS1_3_VERSION);
    bare_client_join(&c, server, NULL);
    assert_true(bare_client_handshake(&c));
    say(c.ssl, "hello");
    receive(c.server.transport, TRANSPORT_OK, "hello");
    receive(c.server.transport, TRANSPORT_WANT_READ, "");
    before = live_bytes;
    assert_int_equal(transport_send(c.server.transport, "reply", 5, &sent, &err), TRANSPORT_OK);
    assert_in_range(live_bytes, 0, before + 4096);
    assert_int_equal(SSL_read_ex(c.ssl, buf, sizeof(buf), &got), 1);
    assert_int_equal(c.tickets, 1);
    bare_client_fini(&c);
    transport_config_unref(server);
}

static int set_up(void **state)
{
    (void)state;
    tls_files_make(&files);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_files_remove(&files);
    return 0;
}

int main(void)
{
    static int v12 = TLS1_2_VERSION;
    static int v13 = TLS1_3_VERSION;
    const struct CMUnitTest tests[] = {
        {"dry source is not asked, TLS 1.2", test_dry_source_is_not_asked, NULL, NULL, &v12},
        {"dry source is not asked, TLS 1.3", test_dry_source_is_not_asked, NULL, NULL, &v13},
        {"half a record waits, TLS 1.2", test_half_a_record_waits, NULL, NULL, &v12},
        {"half a record waits, TLS 1.3", test_half_a_record_waits, NULL, NULL, &v13},
        cmocka_unit_test(test_buffer_is_given_back_after_a_ticket),
    };

    if (CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) != 1) {
        return 1;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
