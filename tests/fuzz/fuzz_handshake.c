/* The server's side of a handshake, fed with arbitrary bytes before any session exists. The first
 * byte says how many bytes a read gives at most, the second how often a call is told to try again. */
#include "fuzz.h"

#include <string.h>

#include "fuzz_identity.h"
#include "support/config.h"
#include "support/memory_source.h"
#include "transport/transport.h"

#define TLS_HANDSHAKE 0x16
#define STEPS_MAX 200000

static struct transport_config *config;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct tlsmsg_options *o = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)argc;
    (void)argv;
    FUZZ_CHECK(tlsmsg_options_new(TLSMSG_ROLE_SERVER, &o, NULL) == TLSMSG_OK);
    fuzz_identity_make(o);
    if (config_from_options(o, NULL, &config, &err) != TLSMSG_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        abort();
    }
    fuzz_identity_remove();
    tlsmsg_options_free(o);
    return 0;
}

/* Until the handshake has failed, which it must at the latest at the end of file. */
static void shake_hands(struct transport *t, struct tlsmsg_error *err)
{
    enum transport_result result = TRANSPORT_WANT_READ;

    for (int i = 0; i < STEPS_MAX && result != TRANSPORT_ERROR; i++) {
        result = transport_handshake(t, err);
        FUZZ_CHECK(result != TRANSPORT_OK && result != TRANSPORT_CLOSED);
    }
    FUZZ_CHECK(result == TRANSPORT_ERROR);
    FUZZ_CHECK(transport_handshake(t, NULL) == TRANSPORT_ERROR);
}

static void check_ended(struct transport *t, const struct tlsmsg_error *err, const uint8_t *data,
                        size_t len, const struct memory_pipe *out)
{
    struct tlsmsg_error ignored = {.code = TLSMSG_OK};
    char byte = 'x';
    size_t moved;

    fuzz_check_error(err, err->code);
    switch (err->code) {
    case TLSMSG_ERR_NOT_TLS:
        FUZZ_CHECK(len > 0 && data[0] != TLS_HANDSHAKE && out->total == 0);
        break;
    case TLSMSG_ERR_TRUNCATED:
    case TLSMSG_ERR_HANDSHAKE:
    case TLSMSG_ERR_REFUSED:
        FUZZ_CHECK(len == 0 || data[0] == TLS_HANDSHAKE);
        break;
    default:
        FUZZ_CHECK(false);
    }
    FUZZ_CHECK(transport_heard(t) == (len > 0));
    FUZZ_CHECK(transport_recv(t, &byte, 1, &moved, &ignored) == TRANSPORT_ERROR && moved == 0);
    FUZZ_CHECK(transport_send(t, &byte, 1, &moved, &ignored) == TRANSPORT_ERROR && moved == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct transport *t = NULL;
    struct memory_pipe in;
    struct memory_pipe out;
    struct memory_source source;
    enum transport_result result = TRANSPORT_WANT_WRITE;

    if (len < 2) {
        return 0;
    }
    memory_pipe_init(&in, len);
    memory_pipe_init(&out, 64 * 1024);
    memory_source_init(&source, &in, &out);
    source.read_max = data[0];
    source.one_in = data[1] > 1 ? data[1] : 0;
    memory_pipe_put(&in, data + 2, len - 2);
    in.is_shut = true;
    FUZZ_CHECK(transport_new(config, &source.base, NULL, &t, NULL) == TLSMSG_OK);
    shake_hands(t, &err);
    check_ended(t, &err, data + 2, len - 2, &out);
    for (int i = 0; i < STEPS_MAX && result == TRANSPORT_WANT_WRITE; i++) {
        result = transport_shutdown(t, NULL);
    }
    FUZZ_CHECK(result == TRANSPORT_ERROR || result == TRANSPORT_OK);
    FUZZ_CHECK(out.is_shut);
    transport_free(t);
    memory_pipe_fini(&in);
    memory_pipe_fini(&out);
    return 0;
}
