/* See scripted_transport.h. */
#include "support/scripted_transport.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "support/unit.h"

#include "base/clock.h"
#include "base/error.h"
#include "client/internal.h"
#include "support/client_ends.h"
#include "support/test_clock.h"

struct script on_handshake;
struct script on_recv;
struct script on_send;
struct script on_shutdown;
struct scripted scripted;
struct tlsmsg_client *client;
struct peer *peer;
struct tlsmsg_error err;

static char transport; /* its address is all that a client has of it */
static struct socket_source *source;

/* What the next step says to a call with so many bytes, told as far as all verbs tell it. */
static enum transport_result play(struct script *script, size_t len,
                                  enum transport_result otherwise, struct script_step *step,
                                  struct tlsmsg_error *error)
{
    size_t i = script->calls++;

    script->len = len;
    if (i < SCRIPT_LENS) {
        script->lens[i] = len;
    }
    *step = (struct script_step){.result = otherwise};
    if (i < script->count) {
        *step = script->steps[i];
    }
    if (step->write_errno != 0) {
        source->write_errno = step->write_errno;
    }
    if (step->result == TRANSPORT_ERROR && error != NULL) {
        error_set(error, step->code, 0, SCRIPT_TEXT);
        error->sys_errno = SCRIPT_ERRNO;
        error->ssl_code = SCRIPT_SSL_CODE;
    }
    return step->result;
}

enum tlsmsg_code __wrap_transport_new(struct transport_config *config, struct byte_source *src,
                                      const char *server_name, struct transport **out,
                                      struct tlsmsg_error *error);
void __wrap_transport_free(struct transport *t);
void __wrap_transport_accept_key(struct transport *t, const char *pin);
enum transport_result __wrap_transport_handshake(struct transport *t, struct tlsmsg_error *error);
enum transport_result __wrap_transport_recv(struct transport *t, void *buf, size_t cap, size_t *got,
                                            struct tlsmsg_error *error);
enum transport_result __wrap_transport_send(struct transport *t, const void *buf, size_t len,
                                            size_t *sent, struct tlsmsg_error *error);
enum transport_result __wrap_transport_shutdown(struct transport *t, struct tlsmsg_error *error);
bool __wrap_transport_ask_user(struct transport *t, char pin[TRANSPORT_PIN_MAX]);
bool __wrap_transport_describe(struct transport *t, struct tlsmsg_tls *out);

enum tlsmsg_code __wrap_transport_new(struct transport_config *config, struct byte_source *src,
                                      const char *server_name, struct transport **out,
                                      struct tlsmsg_error *error)
{
    assert_non_null(config);
    if (scripted.cannot_be_made != TLSMSG_OK) {
        return error_set(error, scripted.cannot_be_made, 0, SCRIPT_TEXT);
    }
    source = (struct socket_source *)src; /* the base is the first member */
    (void)snprintf(scripted.server_name, sizeof(scripted.server_name), "%s", server_name);
    scripted.made++;
    *out = (struct transport *)&transport;
    return TLSMSG_OK;
}

void __wrap_transport_free(struct transport *t)
{
    scripted.freed += t != NULL;
}

void __wrap_transport_accept_key(struct transport *t, const char *pin)
{
    assert_non_null(t);
    (void)snprintf(scripted.accepted, sizeof(scripted.accepted), "%s", pin);
}

enum transport_result __wrap_transport_handshake(struct transport *t, struct tlsmsg_error *error)
{
    struct script_step step;

    assert_non_null(t);
    return play(&on_handshake, 0, TRANSPORT_OK, &step, error);
}

enum transport_result __wrap_transport_recv(struct transport *t, void *buf, size_t cap, size_t *got,
                                            struct tlsmsg_error *error)
{
    struct script_step step;
    enum transport_result result = play(&on_recv, cap, TRANSPORT_WANT_READ, &step, error);

    assert_non_null(t);
    *got = 0;
    if (result == TRANSPORT_OK) {
        *got = step.len != 0 ? step.len : strlen(step.bytes);
        assert_true(*got <= cap);
        memcpy(buf, step.bytes, *got);
    }
    return result;
}

enum transport_result __wrap_transport_send(struct transport *t, const void *buf, size_t len,
                                            size_t *sent, struct tlsmsg_error *error)
{
    struct script_step step;
    enum transport_result result = play(&on_send, len, TRANSPORT_OK, &step, error);

    assert_non_null(t);
    *sent = 0;
    if (result == TRANSPORT_OK) {
        *sent = step.len != 0 ? step.len : len;
        assert_true(*sent <= len);
        assert_true(*sent <= sizeof(scripted.sent) - scripted.sent_len);
        memcpy(scripted.sent + scripted.sent_len, buf, *sent);
        scripted.sent_len += *sent;
    }
    return result;
}

enum transport_result __wrap_transport_shutdown(struct transport *t, struct tlsmsg_error *error)
{
    struct script_step step;

    assert_non_null(t);
    return play(&on_shutdown, 0, TRANSPORT_OK, &step, error);
}

bool __wrap_transport_ask_user(struct transport *t, char pin[TRANSPORT_PIN_MAX])
{
    assert_non_null(t);
    if (scripted.pin == NULL) {
        return false;
    }
    (void)snprintf(pin, TRANSPORT_PIN_MAX, "%s", scripted.pin);
    return true;
}

bool __wrap_transport_describe(struct transport *t, struct tlsmsg_tls *out)
{
    assert_non_null(t);
    *out = (struct tlsmsg_tls){.protocol = scripted.protocol};
    return scripted.protocol != NULL;
}

int scripted_forget(void **state)
{
    (void)state;
    on_handshake = on_recv = on_send = on_shutdown = (struct script){.steps = NULL};
    memset(&scripted, 0, sizeof(scripted));
    return 0;
}

void scripted_client(void)
{
    peer = ends_peer();
    client = ends_client(peer, 5000);
    tlsmsg_error_clear(&err);
    tlsmsg_client_set_blocking(client, false);
    test_clock_stop();
}

enum tlsmsg_client_result scripted_go(void)
{
    enum tlsmsg_client_result result;

    while ((result = tlsmsg_client_connect(client, &err)) == TLSMSG_CLIENT_AGAIN) {
        struct pollfd entry = {.fd = tlsmsg_client_fd(client),
                               .events = tlsmsg_client_events(client)};

        assert_int_equal(poll(&entry, 1, PEER_LIMIT_MS), 1);
    }
    return result;
}

void scripted_connect(const char *protocol)
{
    scripted_client();
    scripted.protocol = protocol;
    if (scripted_go() != TLSMSG_CLIENT_OK) {
        fail_msg("%s", err.text);
    }
}

enum tlsmsg_client_result scripted_send(const char *text)
{
    return tlsmsg_client_send(client, text, strlen(text), &err);
}

enum tlsmsg_client_result scripted_receive(const char *text)
{
    const char *data = "not set";
    size_t len = SIZE_MAX;
    enum tlsmsg_client_result result = tlsmsg_client_receive(client, &data, &len, &err);

    assert_int_equal(text != NULL, result == TLSMSG_CLIENT_OK);
    assert_int_equal(data != NULL, text != NULL);
    assert_int_equal(len, text != NULL ? strlen(text) : 0);
    if (text != NULL) {
        assert_memory_equal(data, text, len);
    }
    return result;
}

void scripted_expect_sent(const char *text)
{
    assert_int_equal(scripted.sent_len, strlen(text));
    assert_memory_equal(scripted.sent, text, scripted.sent_len);
}

void scripted_expect_one_message(void)
{
    assert_int_equal(scripted_send(""), TLSMSG_CLIENT_ERROR);
    scripted_expect_bare(TLSMSG_ERR_STATE, "a message has at least 1 byte");
    FOLLOW(on_send, WANTS_WRITE);
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(scripted_send("hi"), TLSMSG_CLIENT_ERROR);
    scripted_expect_bare(TLSMSG_ERR_STATE, "another message is still being sent");
    assert_int_equal(scripted_send(""), TLSMSG_CLIENT_ERROR);
    scripted_expect_bare(TLSMSG_ERR_STATE, "a message has at least 1 byte");
}

void scripted_expect_late_send(void)
{
    FOLLOW(on_send, WANTS_WRITE, WANTS_WRITE);
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_AGAIN);
    test_clock_advance(5000);
    assert_int_equal(scripted_send("hello"), TLSMSG_CLIENT_ERROR);
    scripted_expect(TLSMSG_ERR_TIMEOUT, 0, "the server took no more of the message within 5 s");
    assert_int_equal(client->state, CLIENT_FAILED);
    assert_true(client->timed_out);
    assert_int_equal(client->deadline_ns, 0);
}

void scripted_expect_bare(enum tlsmsg_code code, const char *text)
{
    assert_string_equal(err.text, text);
    assert_string_equal(tlsmsg_code_name(err.code), tlsmsg_code_name(code));
    assert_int_equal(err.sys_errno, 0);
    assert_int_equal(err.ssl_code, 0);
    tlsmsg_error_clear(&err);
}

void scripted_expect(enum tlsmsg_code code, int sys_errno, const char *text)
{
    char whole[256];

    (void)snprintf(whole, sizeof(whole), "%s: %s", peer->address, text);
    assert_string_equal(err.text, whole);
    assert_string_equal(tlsmsg_code_name(err.code), tlsmsg_code_name(code));
    assert_int_equal(err.sys_errno, sys_errno);
    assert_int_equal(err.ssl_code, strcmp(text, SCRIPT_TEXT) == 0 ? SCRIPT_SSL_CODE : 0);
    tlsmsg_error_clear(&err);
}

void scripted_finish(void)
{
    tlsmsg_client_free(client);
    peer_free(peer);
    assert_int_equal(scripted.freed, scripted.made);
    assert_true(on_handshake.calls >= on_handshake.count);
    assert_true(on_recv.calls >= on_recv.count);
    assert_true(on_send.calls >= on_send.count);
    assert_true(on_shutdown.calls >= on_shutdown.count);
}

int64_t in_ms(int64_t ms)
{
    return clock_now_ns() + ms * CLOCK_NS_PER_MS;
}
