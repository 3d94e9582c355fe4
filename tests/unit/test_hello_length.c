/* The watch over a ClientHello's length, in whole handshakes: a client of TLS 1.2 that answers before
 * the server has returned from its handshake's step, as one does whose server loses the processor. */
#include <string.h>

#include <openssl/err.h>

#include "support/tls_ends.h"
#include "support/unit.h"

#define RECORD_HEADER 5
#define CHANGE_CIPHER_SPEC 20
#define HANDSHAKE 22

static struct tls_files files;
static struct bare_client client;
static enum byte_result (*read_memory)(struct byte_source *base, void *buf, size_t cap,
                                       size_t *got);
static unsigned spoilt;

/* Gives the client's encrypted message the look of a ClientHello of 16 MB, as one in 256 has by
 * chance. */
static void spoil_finished(struct memory_pipe *pipe)
{
    unsigned char *at = pipe->data + pipe->head;
    unsigned char *end = at + pipe->len;
    bool is_encrypted = false;

    while (end - at > RECORD_HEADER) {
        size_t len = (size_t)at[3] << 8 | at[4];

        if (is_encrypted && at[0] == HANDSHAKE) {
            memcpy(at + RECORD_HEADER, "\x01\xFF\xFF\xFF", 4);
            spoilt++;
        }
        is_encrypted |= at[0] == CHANGE_CIPHER_SPEC;
        at += RECORD_HEADER + len;
    }
}

/* Where nothing waits for the server the client has its turn. */
static enum byte_result read_after_client(struct byte_source *base, void *buf, size_t cap,
                                          size_t *got)
{
    enum byte_result result = read_memory(base, buf, cap, got);

    if (result == BYTE_AGAIN) {
        (void)SSL_do_handshake(client.ssl);
        ERR_clear_error();
        spoil_finished(&client.to_server);
        result = read_memory(base, buf, cap, got);
    }
    return result;
}

static void join(struct transport_config *config)
{
    bare_client_join(&client, config, client.session);
    read_memory = client.server_source.base.read;
    client.server_source.base.read = read_after_client;
}

static void expect_altered_record(void)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    spoilt = 0;
    assert_int_equal(transport_handshake(client.server.transport, &err), TRANSPORT_ERROR);
    assert_int_equal(spoilt, 1);
    assert_int_equal(err.code, TLSMSG_ERR_HANDSHAKE);
    if (strstr(err.text, "a record was altered on its way") == NULL) {
        fail_msg("'%s'", err.text);
    }
}

static void test_answer_within_the_step(void **state)
{
    struct transport_config *config =
        tls_config(&files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY,
                   "server.key", TLSMSG_OPT_COUNT);

    (void)state;
    bare_client_init(&client, &files, TLS1_2_VERSION);
    join(config);
    expect_altered_record();
    /* Resumed, its first message after the ClientHello is encrypted. */
    bare_client_join(&client, config, NULL);
    assert_true(bare_client_handshake(&client));
    assert_non_null(client.session);
    join(config);
    expect_altered_record();
    bare_client_fini(&client);
    transport_config_unref(config);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_within_the_step),
    };
    int failed;

    tls_files_make(&files);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tls_files_remove(&files);
    return failed;
}
