/* See client_ends.h. */
#include "support/client_ends.h"

#include <string.h>

#include "support/unit.h"

#include "base/build.h"

#include "support/config.h"
#include "support/ends_identity.h"

static struct transport_config *server_configs[2]; /* one that is strict and one that isn't */

int ends_setup(void **state)
{
    return ends_identity_setup(state);
}

int ends_teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        transport_config_unref(server_configs[i]);
        server_configs[i] = NULL;
    }
    return ends_identity_teardown(state);
}

static struct tlsmsg_options *new_options(enum tlsmsg_role role)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_options *options = NULL;
    assert_int_equal(tlsmsg_options_new(role, &options, &err), TLSMSG_OK);
    return options;
}

/* Servers of one kind share what was loaded for the first: loading tries the certificate. */
static struct transport_config *server_config(bool strict)
{
    struct transport_config **config = &server_configs[strict];
    if (*config == NULL) {
        struct tlsmsg_error err = {.code = TLSMSG_OK};
        struct tlsmsg_options *options = new_options(TLSMSG_ROLE_SERVER);
        ends_identity_of_server(options, strict);
        if (config_from_options(options, NULL, config, &err) != TLSMSG_OK) {
            fail_msg("%s", err.text);
        }
        tlsmsg_options_free(options);
    }
    return transport_config_ref(*config);
}

static struct peer *new_peer(bool strict)
{
    return peer_new(server_config(strict));
}

struct peer *ends_peer(void)
{
    return new_peer(false);
}

struct peer *ends_strict_peer(void)
{
    return new_peer(true);
}

struct tlsmsg_options *ends_options(const struct peer *peer, int64_t timeout_ms)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_options *options = new_options(TLSMSG_ROLE_CLIENT);
    assert_int_equal(tlsmsg_options_set(options, TLSMSG_OPT_ADDRESS, peer->address, &err),
                     TLSMSG_OK);
    ends_identity_trusted_by(options);
    if (BUILD_HAS_TLS) { /* the peer would select tlsmsg/1, see ends_numbered */
        assert_int_equal(tlsmsg_options_set(options, TLSMSG_OPT_DOCUMENT_FLOW, "1", &err),
                         TLSMSG_OK);
    }
    if (timeout_ms != 0) {
        assert_int_equal(
            tlsmsg_options_set_number(options, TLSMSG_OPT_REPLY_TIMEOUT, timeout_ms, &err),
            TLSMSG_OK);
        assert_int_equal(tlsmsg_options_set_number(options, TLSMSG_OPT_TIMEOUT, timeout_ms, &err),
                         TLSMSG_OK);
    }
    return options;
}

struct tlsmsg_client *ends_numbered(struct peer *peer, void (*play)(struct peer *peer),
                                    const char *producer)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_options *options = ends_options(peer, 5000);
    struct tlsmsg_client *client = NULL;
    assert_int_equal(tlsmsg_options_set(options, TLSMSG_OPT_DOCUMENT_FLOW, "0", &err), TLSMSG_OK);
    if (producer != NULL) {
        assert_int_equal(tlsmsg_options_set(options, TLSMSG_OPT_PRODUCER, producer, &err),
                         TLSMSG_OK);
    }
    assert_int_equal(tlsmsg_client_new(options, &client, &err), TLSMSG_OK);
    tlsmsg_options_free(options);
    peer_start(peer, play);
    if (tlsmsg_client_connect(client, &err) != TLSMSG_CLIENT_OK) {
        fail_msg("%s", err.text);
    }
    return client;
}

struct tlsmsg_client *ends_client(const struct peer *peer, int64_t timeout_ms)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_options *options = ends_options(peer, timeout_ms);
    struct tlsmsg_client *client = NULL;
    if (tlsmsg_client_new(options, &client, &err) != TLSMSG_OK) {
        fail_msg("%s", err.text);
    }
    tlsmsg_options_free(options);
    return client;
}

struct tlsmsg_client *ends_connect(struct peer *peer, void (*play)(struct peer *peer),
                                   int64_t timeout_ms)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_client *client = ends_client(peer, timeout_ms);
    peer_start(peer, play);
    if (tlsmsg_client_connect(client, &err) != TLSMSG_CLIENT_OK) {
        fail_msg("%s", err.text);
    }
    return client;
}

void ends_send(struct tlsmsg_client *client, const char *text)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    if (tlsmsg_client_send(client, text, strlen(text), &err) != TLSMSG_CLIENT_OK) {
        fail_msg("%s", err.text);
    }
}

void ends_expect(struct tlsmsg_client *client, const char *text)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    const char *data = NULL;
    size_t len = 0;
    if (tlsmsg_client_receive(client, &data, &len, &err) != TLSMSG_CLIENT_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(len, strlen(text));
    assert_memory_equal(data, text, len);
}

const struct tlsmsg_error *ends_expect_failure(struct tlsmsg_client *client, enum tlsmsg_code code)
{
    static struct tlsmsg_error err;
    const char *data = NULL;
    size_t len = 0;
    tlsmsg_error_clear(&err);
    enum tlsmsg_client_result result = tlsmsg_client_receive(client, &data, &len, &err);
    if (err.code != code) {
        fail_msg("%s instead of %s: %s", tlsmsg_code_name(err.code), tlsmsg_code_name(code),
                 err.text);
    }
    assert_int_equal(result,
                     code == TLSMSG_ERR_CLOSED ? TLSMSG_CLIENT_CLOSED : TLSMSG_CLIENT_ERROR);
    assert_null(data);
    assert_int_equal(len, 0);
    return &err;
}

void ends_finish(struct tlsmsg_client *client, struct peer *peer)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    tlsmsg_client_set_blocking(client, true);
    enum tlsmsg_client_result result = tlsmsg_client_close(client, &err);
    peer_finish(peer);
    peer_free(peer);
    tlsmsg_client_free(client);
    if (result != TLSMSG_CLIENT_OK) {
        fail_msg("%s", err.text);
    }
}
