/* Options: every option's kind, range and default, pairing of keys, and the errors' words. */
#include "support/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/build.h"
#include "options/options.h"
#include "support/failmalloc.h"

#define S TLSMSG_ROLE_SERVER
#define C TLSMSG_ROLE_CLIENT
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X384 X50 X50 X50 X50 X50 X50 X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

#define IDLE_WANTS "--idle-timeout wants seconds from 0 to 10000000, such as 2.5, not "
#define ACCEPT_WANTS "--accept wants a number from 0 to 2147483647, not "
#define RECV_WANTS "--recv-size wants a number from 1 to 16384, not "

/* The whole text: what stands behind it, the words of an errno say, would be told to people too. */
static void check_refusal(const struct tlsmsg_error *err, const char *text)
{
    assert_int_equal(err->code, TLSMSG_ERR_CONFIG);
    assert_string_equal(err->text, text);
    assert_int_equal(err->sys_errno, 0);
}

static struct tlsmsg_options *new_options(enum tlsmsg_role role)
{
    struct tlsmsg_options *o = NULL;

    assert_int_equal(tlsmsg_options_new(role, &o, NULL), TLSMSG_OK);
    assert_non_null(o);
    return o;
}

/* What an option is, written down once more from the public header and the manual. */
struct option_row {
    const char *name; /* of the option; also the row's */
    enum tlsmsg_option option;
    const char *roles;
    bool tls_only;
    const char *good; /* a value that it takes */
    int64_t initial;
    const char *initial_text;
};

static const struct option_row option_rows[] = {
    {"listen", TLSMSG_OPT_LISTEN, "S", false, "0", 0, "127.0.0.1:12345"},
    {"address", TLSMSG_OPT_ADDRESS, "C", false, "h:1", 0, "127.0.0.1:12345"},
    {"cert", TLSMSG_OPT_CERT, "SC", true, "f", 0, NULL},
    {"key", TLSMSG_OPT_KEY, "SC", true, "f", 0, NULL},
    {"key-password-file", TLSMSG_OPT_KEY_PASSWORD_FILE, "SC", true, "f", 0, NULL},
    {"client-ca", TLSMSG_OPT_CLIENT_CA, "S", true, "f", 0, NULL},
    {"ca", TLSMSG_OPT_CA, "C", true, "f", 0, NULL},
    {"crl", TLSMSG_OPT_CRL, "SC", true, "f", 0, NULL},
    {"allow", TLSMSG_OPT_ALLOW, "S", true, "CN=alice", 0, NULL},
    {"allow-file", TLSMSG_OPT_ALLOW_FILE, "S", true, "f", 0, NULL},
    {"pin", TLSMSG_OPT_PIN, "C", true, "sha256//x", 0, NULL},
    {"trust-on-first-use", TLSMSG_OPT_TRUST_ON_FIRST_USE, "C", true, "1", 0, NULL},
    {"accept-new", TLSMSG_OPT_ACCEPT_NEW, "C", true, "1", 0, NULL},
    {"known-servers", TLSMSG_OPT_KNOWN_SERVERS, "C", true, "f", 0, NULL},
    {"server-name", TLSMSG_OPT_SERVER_NAME, "C", true, "example.com", 0, NULL},
    {"tls-min", TLSMSG_OPT_TLS_MIN, "SC", true, "1.3", 12, NULL},
    {"ticket-keys", TLSMSG_OPT_TICKET_KEYS, "S", true, "f", 0, NULL},
    {"keylog-file", TLSMSG_OPT_KEYLOG_FILE, "SC", true, "f", 0, NULL},
    {"pad", TLSMSG_OPT_PAD, "SC", true, "512", 0, NULL},
    {"accept", TLSMSG_OPT_ACCEPT, "S", false, "3", -1, NULL},
    {"workers", TLSMSG_OPT_WORKERS, "S", false, "3", -1, NULL},
    {"reply", TLSMSG_OPT_REPLY, "S", false, "{message}", 0, "你好，我已收到你的消息：{message}"},
    {"recv-size", TLSMSG_OPT_RECV_SIZE, "S", false, "3", -1, NULL},
    {"max-connections", TLSMSG_OPT_MAX_CONNECTIONS, "S", false, "3", 0, NULL},
    {"max-per-address", TLSMSG_OPT_MAX_PER_ADDRESS, "S", false, "3", 0, NULL},
    {"max-handshakes", TLSMSG_OPT_MAX_HANDSHAKES, "S", false, "3", 0, NULL},
    {"handshake-rate", TLSMSG_OPT_HANDSHAKE_RATE, "S", false, "3", 0, NULL},
    {"handshake-timeout", TLSMSG_OPT_HANDSHAKE_TIMEOUT, "S", true, "3", 10000, NULL},
    {"idle-timeout", TLSMSG_OPT_IDLE_TIMEOUT, "S", false, "3", 0, NULL},
    {"write-timeout", TLSMSG_OPT_WRITE_TIMEOUT, "S", false, "3", 30000, NULL},
    {"drain-timeout", TLSMSG_OPT_DRAIN_TIMEOUT, "S", false, "3", 5000, NULL},
    {"timeout", TLSMSG_OPT_TIMEOUT, "C", false, "3", 10000, NULL},
    {"reply-timeout", TLSMSG_OPT_REPLY_TIMEOUT, "C", false, "3", 0, NULL},
    {"max-message", TLSMSG_OPT_MAX_MESSAGE, "S", true, "1", 1048576, NULL},
    {"window", TLSMSG_OPT_WINDOW, "SC", true, "1", 256, NULL},
    {"max-buffered", TLSMSG_OPT_MAX_BUFFERED, "S", false, "1048576", 268435456, NULL},
    {"keepalive", TLSMSG_OPT_KEEPALIVE, "SC", false, "3", 120000, NULL},
    {"document-flow", TLSMSG_OPT_DOCUMENT_FLOW, "C", true, "1", 0, NULL},
    {"producer", TLSMSG_OPT_PRODUCER, "C", true, "import-7", 0, NULL},
};

static void check_role(const struct option_row *row, enum tlsmsg_role role)
{
    struct tlsmsg_options *o = new_options(role);
    struct tlsmsg_error err = {0};
    bool fits = strchr(row->roles, role == TLSMSG_ROLE_SERVER ? 'S' : 'C') != NULL;
    bool taken = fits && (BUILD_HAS_TLS || !row->tls_only);
    enum tlsmsg_code code;

    assert_false(tlsmsg_options_is_set(o, row->option));
    code = tlsmsg_options_set(o, row->option, row->good, &err);
    assert_int_equal(code, taken ? TLSMSG_OK : TLSMSG_ERR_CONFIG);
    assert_true(tlsmsg_options_is_set(o, row->option) == taken);
    if (!taken) {
        const char *why = fits ? "needs TLS, and this is the plaintext build"
                               : (role == S ? "belongs to the client" : "belongs to the server");
        char want[128];

        (void)snprintf(want, sizeof(want), "%s%s %s", row->option == TLSMSG_OPT_ADDRESS ? "" : "--",
                       row->option == TLSMSG_OPT_ADDRESS ? "HOST[:PORT]" : row->name, why);
        check_refusal(&err, want);
    }
    tlsmsg_options_free(o);
}

static void test_option(void **state)
{
    const struct option_row *row = *state;
    struct tlsmsg_options *o = new_options(strchr(row->roles, 'S') != NULL ? S : C);

    if (row->initial >= 0) {
        assert_int_equal(tlsmsg_options_number(o, row->option), row->initial);
    }
    assert_int_equal(tlsmsg_options_count(o, row->option), row->initial_text != NULL);
    if (row->initial_text == NULL) {
        assert_null(tlsmsg_options_text(o, row->option, 0));
    } else {
        assert_string_equal(tlsmsg_options_text(o, row->option, 0), row->initial_text);
    }
    assert_null(tlsmsg_options_text(o, row->option, 1));
    assert_false(tlsmsg_options_is_set(o, row->option));
    if (BUILD_HAS_TLS || !row->tls_only) {
        struct tlsmsg_error err = {0};
        char want[64];

        (void)snprintf(want, sizeof(want), "%s%s wants a value",
                       row->option == TLSMSG_OPT_ADDRESS ? "" : "--",
                       row->option == TLSMSG_OPT_ADDRESS ? "HOST[:PORT]" : row->name);
        assert_int_equal(tlsmsg_options_set(o, row->option, NULL, &err), TLSMSG_ERR_CONFIG);
        check_refusal(&err, want);
    }
    tlsmsg_options_free(o);
    check_role(row, S);
    check_role(row, C);
}

static void test_every_option_is_in_the_table_above(void **state)
{
    size_t i;

    (void)state;
    assert_int_equal(COUNT_OF(option_rows), TLSMSG_OPT_COUNT);
    for (i = 0; i < COUNT_OF(option_rows); i++) {
        assert_int_equal(option_rows[i].option, i);
    }
}

static void test_defaults_of_the_build(void **state)
{
    struct tlsmsg_options *o = new_options(S);

    (void)state;
    assert_int_equal(tlsmsg_options_number(o, TLSMSG_OPT_RECV_SIZE), BUILD_HAS_TLS ? 16384 : 1024);
    assert_int_equal(tlsmsg_options_number(o, TLSMSG_OPT_ACCEPT), BUILD_HAS_TLS ? 0 : 1);
    assert_int_equal(tlsmsg_options_number(o, TLSMSG_OPT_WORKERS), BUILD_HAS_TLS ? 0 : 1);
    assert_int_equal(options_role(o), S);
    tlsmsg_options_free(o);
}

/* A value and what becomes of it: a number, a text, or an error, whose text is `error`. */
struct value_row {
    const char *name;
    enum tlsmsg_role role;
    enum tlsmsg_option option;
    const char *value;
    int64_t number;
    const char *error;
};

static const struct value_row value_rows[] = {
    {"smallest", S, TLSMSG_OPT_RECV_SIZE, "1", 1, NULL},
    {"largest", S, TLSMSG_OPT_RECV_SIZE, "16384", 16384, NULL},
    {"leading zeros", S, TLSMSG_OPT_RECV_SIZE, "00007", 7, NULL},
    {"zero where 1 is least", S, TLSMSG_OPT_RECV_SIZE, "0", 0, RECV_WANTS "'0'"},
    {"one too many", S, TLSMSG_OPT_RECV_SIZE, "16385", 0, RECV_WANTS "'16385'"},
    {"letters", S, TLSMSG_OPT_RECV_SIZE, "abc", 0, RECV_WANTS "'abc'"},
    {"empty number", S, TLSMSG_OPT_RECV_SIZE, "", 0, RECV_WANTS "''"},
    {"negative", S, TLSMSG_OPT_ACCEPT, "-1", 0, ACCEPT_WANTS "'-1'"},
    {"plus sign", S, TLSMSG_OPT_ACCEPT, "+1", 0, ACCEPT_WANTS "'+1'"},
    {"blank before", S, TLSMSG_OPT_ACCEPT, " 1", 0, ACCEPT_WANTS "' 1'"},
    {"blank after", S, TLSMSG_OPT_ACCEPT, "1 ", 0, ACCEPT_WANTS "'1 '"},
    {"hexadecimal", S, TLSMSG_OPT_ACCEPT, "0x1", 0, ACCEPT_WANTS "'0x1'"},
    {"decimal where whole", S, TLSMSG_OPT_ACCEPT, "1.0", 0, ACCEPT_WANTS "'1.0'"},
    {"past 64 bits", S, TLSMSG_OPT_ACCEPT, "18446744073709551617", 0,
     ACCEPT_WANTS "'18446744073709551617'"},
    {"control characters are shown escaped", S, TLSMSG_OPT_ACCEPT, "\x1b[2J", 0,
     ACCEPT_WANTS "'\\x1b[2J'"},
    {"largest count", S, TLSMSG_OPT_ACCEPT, "2147483647", 2147483647, NULL},
    {"most workers", S, TLSMSG_OPT_WORKERS, "1024", 1024, NULL},
    {"too many workers", S, TLSMSG_OPT_WORKERS, "1025", 0,
     "--workers wants a number from 0 to 1024, not '1025'"},
    {"no timeout", S, TLSMSG_OPT_IDLE_TIMEOUT, "0", 0, NULL},
    {"whole seconds", S, TLSMSG_OPT_IDLE_TIMEOUT, "90", 90000, NULL},
    {"decimal seconds", S, TLSMSG_OPT_IDLE_TIMEOUT, "2.5", 2500, NULL},
    {"milliseconds", S, TLSMSG_OPT_IDLE_TIMEOUT, "0.001", 1, NULL},
    {"three decimals", S, TLSMSG_OPT_IDLE_TIMEOUT, "1.234", 1234, NULL},
    {"more decimals round up", S, TLSMSG_OPT_IDLE_TIMEOUT, "0.0001", 1, NULL},
    {"zeros after the third round nothing", S, TLSMSG_OPT_IDLE_TIMEOUT, "1.5000000", 1500, NULL},
    {"no digit before the point", S, TLSMSG_OPT_IDLE_TIMEOUT, ".5", 500, NULL},
    {"largest time", S, TLSMSG_OPT_IDLE_TIMEOUT, "10000000", 10000000000, NULL},
    {"largest time with decimals", S, TLSMSG_OPT_IDLE_TIMEOUT, "10000000.000", 10000000000, NULL},
    {"just over the largest time", S, TLSMSG_OPT_IDLE_TIMEOUT, "10000000.0001", 0,
     IDLE_WANTS "'10000000.0001'"},
    {"time past 64 bits", S, TLSMSG_OPT_IDLE_TIMEOUT, "99999999999999999999", 0,
     IDLE_WANTS "'99999999999999999999'"},
    {"no digit after the point", S, TLSMSG_OPT_IDLE_TIMEOUT, "5.", 0, IDLE_WANTS "'5.'"},
    {"a point", S, TLSMSG_OPT_IDLE_TIMEOUT, ".", 0, IDLE_WANTS "'.'"},
    {"two points", S, TLSMSG_OPT_IDLE_TIMEOUT, "1.2.3", 0, IDLE_WANTS "'1.2.3'"},
    {"decimal comma", S, TLSMSG_OPT_IDLE_TIMEOUT, "1,5", 0, IDLE_WANTS "'1,5'"},
    {"exponent", S, TLSMSG_OPT_IDLE_TIMEOUT, "1e3", 0, IDLE_WANTS "'1e3'"},
    {"time with a blank", S, TLSMSG_OPT_IDLE_TIMEOUT, " 1", 0, IDLE_WANTS "' 1'"},
    {"time with a sign", S, TLSMSG_OPT_IDLE_TIMEOUT, "+1", 0, IDLE_WANTS "'+1'"},
    {"negative time", S, TLSMSG_OPT_IDLE_TIMEOUT, "-1", 0, IDLE_WANTS "'-1'"},
    {"hexadecimal time", S, TLSMSG_OPT_IDLE_TIMEOUT, "0x1", 0, IDLE_WANTS "'0x1'"},
    {"empty time", S, TLSMSG_OPT_IDLE_TIMEOUT, "", 0, IDLE_WANTS "''"},
    {"infinite time", S, TLSMSG_OPT_IDLE_TIMEOUT, "inf", 0, IDLE_WANTS "'inf'"},
    {"time with a unit", S, TLSMSG_OPT_IDLE_TIMEOUT, "5s", 0, IDLE_WANTS "'5s'"},
    {"client's time", C, TLSMSG_OPT_TIMEOUT, "0.25", 250, NULL},
    {"no value", S, TLSMSG_OPT_ACCEPT, NULL, 0, "--accept wants a value"},
    {"no text", S, TLSMSG_OPT_LISTEN, NULL, 0, "--listen wants a value"},
    {"empty text", S, TLSMSG_OPT_LISTEN, "", 0, "--listen wants a value that is not empty"},
    {"empty operand", C, TLSMSG_OPT_ADDRESS, "", 0, "HOST[:PORT] wants a value that is not empty"},
};

static const struct value_row tls_value_rows[] = {
    {"TLS 1.2", S, TLSMSG_OPT_TLS_MIN, "1.2", 12, NULL},
    {"TLS 1.3", C, TLSMSG_OPT_TLS_MIN, "1.3", 13, NULL},
    {"TLS 1.1", S, TLSMSG_OPT_TLS_MIN, "1.1", 0, "--tls-min wants 1.2 or 1.3, not '1.1'"},
    {"TLS 1.4", S, TLSMSG_OPT_TLS_MIN, "1.4", 0, "--tls-min wants 1.2 or 1.3, not '1.4'"},
    {"TLS 1.30", S, TLSMSG_OPT_TLS_MIN, "1.30", 0, "--tls-min wants 1.2 or 1.3, not '1.30'"},
    {"TLS as it is kept", S, TLSMSG_OPT_TLS_MIN, "13", 0, "--tls-min wants 1.2 or 1.3, not '13'"},
    {"flag on", C, TLSMSG_OPT_ACCEPT_NEW, "1", 1, NULL},
    {"flag off", C, TLSMSG_OPT_ACCEPT_NEW, "0", 0, NULL},
    {"flag of words", C, TLSMSG_OPT_ACCEPT_NEW, "yes", 0, "--accept-new wants 1 or 0, not 'yes'"},
    {"flag of 2", C, TLSMSG_OPT_ACCEPT_NEW, "2", 0, "--accept-new wants 1 or 0, not '2'"},
    {"no padding", S, TLSMSG_OPT_PAD, "0", 0, NULL},
    {"padding to a record", C, TLSMSG_OPT_PAD, "16384", 16384, NULL},
    {"padding past a record", C, TLSMSG_OPT_PAD, "16385", 0,
     "--pad wants a number from 0 to 16384, not '16385'"},
    {"empty file name", S, TLSMSG_OPT_CERT, "", 0, "--cert wants a value that is not empty"},
    {"empty pin", C, TLSMSG_OPT_PIN, "", 0, "--pin wants a value that is not empty"},
    {"domain of Chinese", C, TLSMSG_OPT_SERVER_NAME, "例子.example", 0,
     "--server-name: '例子.example' holds other than ASCII letters, digits and signs (give such a "
     "name in its xn-- form)"},
    {"domain of invalid UTF-8", C, TLSMSG_OPT_SERVER_NAME, "a\xFF", 0,
     "--server-name: 'a\\xff' is not valid UTF-8"},
    {"domain with a blank", C, TLSMSG_OPT_SERVER_NAME, "a b", 0,
     "--server-name: 'a b' holds other than ASCII letters, digits and signs (give such a name in "
     "its xn-- form)"},
};

static void test_value(void **state)
{
    const struct value_row *row = *state;
    struct tlsmsg_options *o = new_options(row->role);
    struct tlsmsg_error err = {0};
    int64_t before = tlsmsg_options_number(o, row->option);
    enum tlsmsg_code code = tlsmsg_options_set(o, row->option, row->value, &err);

    if (row->error == NULL) {
        assert_int_equal(code, TLSMSG_OK);
        assert_int_equal(err.code, TLSMSG_OK);
        assert_true(tlsmsg_options_number(o, row->option) == row->number);
        assert_true(tlsmsg_options_is_set(o, row->option));
    } else {
        assert_int_equal(code, TLSMSG_ERR_CONFIG);
        check_refusal(&err, row->error);
        assert_true(tlsmsg_options_number(o, row->option) == before);
        assert_false(tlsmsg_options_is_set(o, row->option));
    }
    tlsmsg_options_free(o);
}

struct number_row {
    const char *name;
    enum tlsmsg_option option;
    int64_t number;
    const char *error;
};

static const struct number_row number_rows[] = {
    {"count", TLSMSG_OPT_ACCEPT, 5, NULL},
    {"milliseconds", TLSMSG_OPT_IDLE_TIMEOUT, 1, NULL},
    {"most milliseconds", TLSMSG_OPT_IDLE_TIMEOUT, 10000000000, NULL},
    {"too many milliseconds", TLSMSG_OPT_IDLE_TIMEOUT, 10000000001,
     "--idle-timeout wants milliseconds from 0 to 10000000000, not 10000000001"},
    {"negative", TLSMSG_OPT_RECV_SIZE, -1, RECV_WANTS "-1"},
    {"smallest of all", TLSMSG_OPT_RECV_SIZE, INT64_MIN, RECV_WANTS "-9223372036854775808"},
    {"text", TLSMSG_OPT_LISTEN, 1, "--listen wants a text, not a number"},
    {"other role", TLSMSG_OPT_TIMEOUT, 1, "--timeout belongs to the client"},
    {"no option", (enum tlsmsg_option)1000, 1, "there is no option with the key 1000"},
};

static void test_number(void **state)
{
    const struct number_row *row = *state;
    struct tlsmsg_options *o = new_options(S);
    struct tlsmsg_error err = {0};
    enum tlsmsg_code code = tlsmsg_options_set_number(o, row->option, row->number, &err);

    assert_int_equal(code, row->error == NULL ? TLSMSG_OK : TLSMSG_ERR_CONFIG);
    if (row->error == NULL) {
        assert_true(tlsmsg_options_number(o, row->option) == row->number);
    } else {
        check_refusal(&err, row->error);
    }
    tlsmsg_options_free(o);
}

struct reply_row {
    const char *name;
    const char *value;
    const char *prefix; /* NULL: refused, and `error` is the text */
    const char *suffix;
    const char *error;
};

static const struct reply_row reply_rows[] = {
    {"message alone", "{message}", "", "", NULL},
    {"both sides", "<{message}>", "<", ">", NULL},
    {"Chinese", "收到：{message}。", "收到：", "。", NULL},
    {"nothing else is interpreted", "%s {} {msg} \\n{message}{", "%s {} {msg} \\n", "{", NULL},
    {"384 bytes beside it", X384 "{message}", X384, "", NULL},
    {"385 bytes beside it", X384 "{message}x", NULL, NULL,
     "--reply wants at most 384 bytes beside {message}, not 385"},
    {"without", "hello", NULL, NULL, "--reply wants {message} exactly once, not as in 'hello'"},
    {"cut", "{message", NULL, NULL, "--reply wants {message} exactly once, not as in '{message'"},
    {"twice", "{message}{message}", NULL, NULL,
     "--reply wants {message} exactly once, not as in '{message}{message}'"},
    {"invalid UTF-8", "\xFF{message}", NULL, NULL,
     "--reply wants valid UTF-8, not '\\xff{message}'"},
    {"cut character", "{message}\xE4\xBD", NULL, NULL,
     "--reply wants valid UTF-8, not '{message}\\xe4\\xbd'"},
    {"empty", "", NULL, NULL, "--reply wants a value that is not empty"},
};

static void test_reply(void **state)
{
    const struct reply_row *row = *state;
    struct tlsmsg_options *o = new_options(S);
    struct tlsmsg_error err = {0};
    enum tlsmsg_code code = tlsmsg_options_set(o, TLSMSG_OPT_REPLY, row->value, &err);
    struct server_settings set;

    assert_int_equal(code, row->prefix != NULL ? TLSMSG_OK : TLSMSG_ERR_CONFIG);
    options_server(o, &set);
    if (row->prefix == NULL) {
        check_refusal(&err, row->error);
        assert_int_equal(set.reply_prefix_len, 36); /* the document's */
        assert_int_equal(set.reply_suffix_len, 0);
    } else {
        assert_int_equal(set.reply_prefix_len, strlen(row->prefix));
        assert_memory_equal(set.reply_prefix, row->prefix, set.reply_prefix_len);
        assert_string_equal(set.reply_suffix, row->suffix);
        assert_int_equal(set.reply_suffix_len, strlen(row->suffix));
    }
    tlsmsg_options_free(o);
}

static void test_lists_grow_and_texts_are_replaced(void **state)
{
    struct tlsmsg_options *o = new_options(S);
    struct tlsmsg_options *c = new_options(C);
    char value[] = "1";

    (void)state;
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, value, NULL), TLSMSG_OK);
    value[0] = '2'; /* the first was copied */
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, value, NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_count(o, TLSMSG_OPT_LISTEN), 2);
    assert_string_equal(tlsmsg_options_text(o, TLSMSG_OPT_LISTEN, 0), "1");
    assert_string_equal(tlsmsg_options_text(o, TLSMSG_OPT_LISTEN, 1), "2");
    assert_null(tlsmsg_options_text(o, TLSMSG_OPT_LISTEN, 2));
    assert_int_equal(tlsmsg_options_set(c, TLSMSG_OPT_ADDRESS, "a", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(c, TLSMSG_OPT_ADDRESS, "b", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_count(c, TLSMSG_OPT_ADDRESS), 1);
    assert_string_equal(tlsmsg_options_text(c, TLSMSG_OPT_ADDRESS, 0), "b");
    tlsmsg_options_free(o);
    tlsmsg_options_free(c);
    tlsmsg_options_free(NULL);
}

static void test_file_names_are_any_bytes(void **state)
{
    struct tlsmsg_options *o;

    (void)state;
    if (!BUILD_HAS_TLS) {
        print_message("plaintext build: no option takes a file\n");
        skip();
    }
    o = new_options(S);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_CERT, "\xFF\n", NULL), TLSMSG_OK);
    assert_string_equal(tlsmsg_options_text(o, TLSMSG_OPT_CERT, 0), "\xFF\n");
    tlsmsg_options_free(o);
}

/* Steps: "c1" sets certificate 1, "k1" key 1. Result: the key of each certificate, '-' for none. */
struct pairing_row {
    const char *name;
    const char *steps;
    const char *want;
    bool last_refused;
};

static const struct pairing_row pairing_rows[] = {
    {"pair", "c1k1", "1", false},
    {"two pairs", "c1k1c2k2", "12", false},
    {"key in the certificate's file", "c1", "-", false},
    {"first has its key inside", "c1c2k2", "-2", false},
    {"second has its key inside", "c1k1c2", "1-", false},
    {"key before its certificate", "k1c1", "1", false},
    {"key first, then another pair", "k1c1c2k2", "12", false},
    {"keys after two certificates go backwards", "c1c2k2k1", "12", false},
    {"two keys for one certificate", "c1k1k2", "1", true},
    {"two keys before any certificate", "k1k2", "1", true},
    {"a key too many for two certificates", "c1k1c2k2k3", "12", true},
};

static void test_pairing(void **state)
{
    const struct pairing_row *row = *state;
    struct tlsmsg_options *o = new_options(S);
    struct tlsmsg_error err = {0};
    struct tlsmsg_options *copy;
    size_t i;

    for (i = 0; row->steps[i] != '\0'; i += 2) {
        char value[2] = {row->steps[i + 1], '\0'};
        bool is_last = row->steps[i + 2] == '\0';
        enum tlsmsg_code code = tlsmsg_options_set(
            o, row->steps[i] == 'c' ? TLSMSG_OPT_CERT : TLSMSG_OPT_KEY, value, &err);

        assert_int_equal(code, is_last && row->last_refused ? TLSMSG_ERR_CONFIG : TLSMSG_OK);
    }
    if (row->last_refused) {
        char want[128];

        (void)snprintf(want, sizeof(want),
                       "--key '%c' is one too many: each certificate before it has its key already"
                       " (give each --key after its --cert)",
                       row->steps[i - 1]);
        check_refusal(&err, want);
    }
    copy = options_copy(o);
    assert_non_null(copy);
    assert_int_equal(tlsmsg_options_count(copy, TLSMSG_OPT_KEY),
                     tlsmsg_options_count(o, TLSMSG_OPT_KEY));
    for (i = 0; row->want[i] != '\0'; i++) {
        char want[2] = {row->want[i], '\0'};

        if (row->want[i] == '-') {
            assert_null(tlsmsg_options_text(o, TLSMSG_OPT_KEY, i));
            assert_null(tlsmsg_options_text(copy, TLSMSG_OPT_KEY, i));
        } else {
            assert_string_equal(tlsmsg_options_text(o, TLSMSG_OPT_KEY, i), want);
            assert_string_equal(tlsmsg_options_text(copy, TLSMSG_OPT_KEY, i), want);
        }
    }
    assert_null(tlsmsg_options_text(o, TLSMSG_OPT_KEY, i));
    tlsmsg_options_free(copy);
    tlsmsg_options_free(o);
}

static void test_keys_that_are_no_option(void **state)
{
    static const int keys[] = {-1, TLSMSG_OPT_COUNT, 1000};
    struct tlsmsg_options *o = new_options(S);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        enum tlsmsg_option option = (enum tlsmsg_option)keys[i];

        assert_int_equal(tlsmsg_options_count(o, option), 0);
        assert_null(tlsmsg_options_text(o, option, 0));
        assert_int_equal(tlsmsg_options_number(o, option), 0);
        assert_false(tlsmsg_options_is_set(o, option));
    }
    /* Nor has an option values of the other kind. */
    assert_null(tlsmsg_options_text(o, TLSMSG_OPT_DRAIN_TIMEOUT, 0));
    assert_int_equal(tlsmsg_options_count(o, TLSMSG_OPT_DRAIN_TIMEOUT), 0);
    assert_int_equal(tlsmsg_options_number(o, TLSMSG_OPT_LISTEN), 0);
    tlsmsg_options_free(o);
}

static void test_copy_is_independent(void **state)
{
    struct tlsmsg_options *o = new_options(S);
    struct tlsmsg_options *copy;

    (void)state;
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, "1", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_ACCEPT, "7", NULL), TLSMSG_OK);
    copy = options_copy(o);
    assert_non_null(copy);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_LISTEN, "2", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_ACCEPT, "8", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_count(copy, TLSMSG_OPT_LISTEN), 1);
    assert_int_equal(tlsmsg_options_number(copy, TLSMSG_OPT_ACCEPT), 7);
    assert_int_equal(options_role(copy), S);
    assert_false(tlsmsg_options_is_set(copy, TLSMSG_OPT_REPLY));
    tlsmsg_options_free(o);
    assert_string_equal(tlsmsg_options_text(copy, TLSMSG_OPT_LISTEN, 0), "1");
    tlsmsg_options_free(copy);
}

/* One setting that may run out of memory: then it changed nothing and works the second time. */
static void set_or_retry(struct tlsmsg_options *o, enum tlsmsg_option option, const char *value)
{
    struct tlsmsg_error err = {0};
    size_t before = tlsmsg_options_count(o, option);
    bool was_set = tlsmsg_options_is_set(o, option);
    enum tlsmsg_code code = tlsmsg_options_set(o, option, value, &err);

    if (code != TLSMSG_OK) {
        assert_int_equal(code, TLSMSG_ERR_NOMEM);
        assert_string_equal(err.text, "out of memory");
        assert_int_equal(tlsmsg_options_count(o, option), before);
        assert_true(tlsmsg_options_is_set(o, option) == was_set);
        assert_int_equal(tlsmsg_options_set(o, option, value, NULL), TLSMSG_OK);
    }
}

static void scenario_fill_and_copy(void *state)
{
    struct tlsmsg_error err = {0};
    struct tlsmsg_options *copy;
    struct tlsmsg_options *o;

    (void)state;
    if (tlsmsg_options_new(S, &o, &err) != TLSMSG_OK) {
        assert_null(o);
        assert_int_equal(err.code, TLSMSG_ERR_NOMEM);
        return;
    }
    set_or_retry(o, TLSMSG_OPT_LISTEN, "1");
    set_or_retry(o, TLSMSG_OPT_LISTEN, "2");
    set_or_retry(o, TLSMSG_OPT_REPLY, "a{message}");
    set_or_retry(o, TLSMSG_OPT_REPLY, "b{message}");
    if (BUILD_HAS_TLS) {
        set_or_retry(o, TLSMSG_OPT_CERT, "c1");
        set_or_retry(o, TLSMSG_OPT_CERT, "c2");
        set_or_retry(o, TLSMSG_OPT_KEY, "k2");
    }
    assert_int_equal(tlsmsg_options_count(o, TLSMSG_OPT_LISTEN), 2);
    assert_string_equal(tlsmsg_options_text(o, TLSMSG_OPT_REPLY, 0), "b{message}");
    copy = options_copy(o);
    if (copy == NULL) {
        copy = options_copy(o);
    }
    assert_non_null(copy);
    assert_string_equal(tlsmsg_options_text(copy, TLSMSG_OPT_LISTEN, 1), "2");
    tlsmsg_options_free(copy);
    tlsmsg_options_free(o);
}

static void test_every_failed_allocation_changes_nothing(void **state)
{
    size_t n;

    (void)state;
    for (n = 1; failmalloc_try(n, scenario_fill_and_copy, NULL); n++) {
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_option_is_in_the_table_above),
        cmocka_unit_test(test_defaults_of_the_build),
        cmocka_unit_test(test_lists_grow_and_texts_are_replaced),
        cmocka_unit_test(test_file_names_are_any_bytes),
        cmocka_unit_test(test_copy_is_independent),
        cmocka_unit_test(test_keys_that_are_no_option),
        cmocka_unit_test(test_every_failed_allocation_changes_nothing),
    };
    int failed = 0;

    RUN_ROWS(failed, test_option, option_rows);
    RUN_ROWS(failed, test_value, value_rows);
    if (BUILD_HAS_TLS) {
        RUN_ROWS(failed, test_value, tls_value_rows);
        RUN_ROWS(failed, test_pairing, pairing_rows);
    }
    RUN_ROWS(failed, test_number, number_rows);
    RUN_ROWS(failed, test_reply, reply_rows);
    failed += cmocka_run_group_tests_name("options", tests, NULL, NULL);
    return failed;
}
