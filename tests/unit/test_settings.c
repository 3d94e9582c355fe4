/* Settings: each option is in the field that its readers know it by, and in no other; and what an
 * option is called. */
#include "support/unit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/build.h"
#include "options/options.h"
#include "options/table.h"

#define S TLSMSG_ROLE_SERVER
#define C TLSMSG_ROLE_CLIENT

static struct tlsmsg_options *new_options(enum tlsmsg_role role)
{
    struct tlsmsg_options *o = NULL;

    assert_int_equal(tlsmsg_options_new(role, &o, NULL), TLSMSG_OK);
    assert_non_null(o);
    return o;
}

/* Each field has the value of its own option: all of them differ. */
static void test_settings_of_a_server(void **state)
{
    static const enum tlsmsg_option options[] = {
        TLSMSG_OPT_HANDSHAKE_TIMEOUT, TLSMSG_OPT_IDLE_TIMEOUT,    TLSMSG_OPT_WRITE_TIMEOUT,
        TLSMSG_OPT_DRAIN_TIMEOUT,     TLSMSG_OPT_MAX_CONNECTIONS, TLSMSG_OPT_MAX_PER_ADDRESS,
        TLSMSG_OPT_MAX_HANDSHAKES,    TLSMSG_OPT_HANDSHAKE_RATE,  TLSMSG_OPT_ACCEPT,
        TLSMSG_OPT_WORKERS,           TLSMSG_OPT_RECV_SIZE};
    struct tlsmsg_options *o = new_options(S);
    struct server_settings set;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        bool set_here = BUILD_HAS_TLS || options[i] != TLSMSG_OPT_HANDSHAKE_TIMEOUT;

        assert_int_equal(tlsmsg_options_set_number(o, options[i], (int64_t)i + 1, NULL),
                         set_here ? TLSMSG_OK : TLSMSG_ERR_CONFIG);
    }
    options_server(o, &set);
    assert_int_equal(set.handshake_timeout_ms, BUILD_HAS_TLS ? 1 : 10000);
    assert_int_equal(set.idle_timeout_ms, 2);
    assert_int_equal(set.write_timeout_ms, 3);
    assert_int_equal(set.drain_timeout_ms, 4);
    assert_int_equal(set.max_connections, 5);
    assert_int_equal(set.max_per_address, 6);
    assert_int_equal(set.max_handshakes, 7);
    assert_int_equal(set.handshake_rate, 8);
    assert_int_equal(set.accept, 9);
    assert_int_equal(set.workers, 10);
    assert_int_equal(set.recv_size_bytes, 11);
    tlsmsg_options_free(o);
}

static void test_settings_of_a_client(void **state)
{
    struct tlsmsg_options *o = new_options(C);
    struct client_settings set;

    (void)state;
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_ADDRESS, "h:1", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_TIMEOUT, "2", NULL), TLSMSG_OK);
    options_client(o, &set);
    assert_string_equal(set.address, "h:1");
    assert_null(set.server_name);
    assert_int_equal(set.timeout_ms, 2000);
    assert_int_equal(set.reply_timeout_ms, BUILD_HAS_TLS ? 2000 : 0);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_REPLY_TIMEOUT, "3", NULL), TLSMSG_OK);
    options_client(o, &set);
    assert_int_equal(set.timeout_ms, 2000);
    assert_int_equal(set.reply_timeout_ms, 3000);
    if (BUILD_HAS_TLS) {
        assert_int_equal(set.window, 0);
        assert_int_equal(tlsmsg_options_set_number(o, TLSMSG_OPT_WINDOW, 7, NULL), TLSMSG_OK);
        options_client(o, &set);
        assert_int_equal(set.window, 7);
    }
    tlsmsg_options_free(o);
}

static bool answer_yes(const struct tlsmsg_new_server *server, void *user)
{
    *(const char **)user = server->pin;
    return true;
}

static bool give_password(const char *file, char *buf, size_t cap, void *user)
{
    *(const char **)user = file;
    return snprintf(buf, cap, "secret") == 6;
}

static int open_nothing(const char *path, void *user)
{
    const char **seen = user;

    *seen = path;
    return -7;
}

static void test_callbacks_are_kept_and_copied(void **state)
{
    struct tlsmsg_options *o = new_options(C);
    struct tlsmsg_options *copy;
    struct tls_settings set;
    const char *seen = NULL;
    char password[16];

    (void)state;
    options_tls(o, &set);
    assert_null(set.confirm);
    assert_null(set.ask_password);
    assert_null(set.open_keylog);
    tlsmsg_options_set_confirm(o, answer_yes, &seen);
    tlsmsg_options_set_ask_password(o, give_password, &seen);
    tlsmsg_options_set_open_keylog(o, open_nothing, &seen);
    copy = options_copy(o);
    assert_non_null(copy);
    tlsmsg_options_free(o);
    options_tls(copy, &set);
    assert_true(
        set.confirm(&(const struct tlsmsg_new_server){.pin = "sha256//x"}, set.confirm_user));
    assert_string_equal(seen, "sha256//x");
    assert_true(set.ask_password("x.key", password, sizeof(password), set.ask_password_user));
    assert_string_equal(seen, "x.key");
    assert_string_equal(password, "secret");
    assert_int_equal(set.open_keylog("keys", set.open_keylog_user), -7);
    assert_string_equal(seen, "keys");
    tlsmsg_options_free(copy);
}

struct tls_row {
    const char *name;
    enum tlsmsg_role role;
    enum tlsmsg_option option;
    size_t offset; /* of the field: a text, or a list with one */
    bool is_list;
};

#define TEXT_ROW(role, option, field)                                                              \
    {                                                                                              \
#field, role, TLSMSG_OPT_##option, offsetof(struct tls_settings, field), false             \
    }
#define LIST_ROW(role, option, field)                                                              \
    {                                                                                              \
#field, role, TLSMSG_OPT_##option, offsetof(struct tls_settings, field), true              \
    }

static const struct tls_row tls_rows[] = {
    LIST_ROW(S, CERT, certs),
    LIST_ROW(C, KEY, keys),
    TEXT_ROW(S, KEY_PASSWORD_FILE, key_password_file),
    TEXT_ROW(C, CRL, crl),
    TEXT_ROW(S, KEYLOG_FILE, keylog_file),
    TEXT_ROW(S, CLIENT_CA, client_ca),
    LIST_ROW(S, ALLOW, allow),
    TEXT_ROW(S, ALLOW_FILE, allow_file),
    TEXT_ROW(S, TICKET_KEYS, ticket_keys),
    TEXT_ROW(C, CA, ca),
    LIST_ROW(C, PIN, pins),
    TEXT_ROW(C, KNOWN_SERVERS, known_servers),
};

static void test_texts_of_tls(void **state)
{
    const struct tls_row *row = *state;
    struct tlsmsg_options *o = new_options(row->role);
    struct tls_settings set;
    struct text_list list;
    const char *text;

    assert_int_equal(tlsmsg_options_set(o, row->option, "only this", NULL), TLSMSG_OK);
    options_tls(o, &set);
    assert_int_equal(set.is_server, row->role == S);
    for (size_t i = 0; i < COUNT_OF(tls_rows); i++) {
        const char *at = (const char *)&set + tls_rows[i].offset;
        const char *want = tls_rows[i].option == row->option ? "only this" : NULL;

        if (tls_rows[i].is_list) {
            memcpy(&list, at, sizeof(list));
            text = text_list_at(&list, 0);
            assert_int_equal(list.count, want != NULL);
        } else {
            memcpy(&text, at, sizeof(text));
        }
        assert_true(text == want || (text != NULL && want != NULL && strcmp(text, want) == 0));
    }
    tlsmsg_options_free(o);
}

static void test_numbers_of_tls(void **state)
{
    struct tlsmsg_options *o = new_options(C);
    struct tls_settings set;

    (void)state;
    options_tls(o, &set);
    assert_int_equal(set.tls_min, 12);
    assert_int_equal(set.pad_bytes, 0);
    assert_false(set.trust_on_first_use || set.accept_new);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_TLS_MIN, "1.3", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_PAD, "512", NULL), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(o, TLSMSG_OPT_ACCEPT_NEW, "1", NULL), TLSMSG_OK);
    options_tls(o, &set);
    assert_int_equal(set.tls_min, 13);
    assert_int_equal(set.pad_bytes, 512);
    assert_true(set.accept_new && !set.trust_on_first_use);
    tlsmsg_options_free(o);
}

/* Errors and command lines call an option the same. */
static void test_names(void **state)
{
    (void)state;
    assert_string_equal(tlsmsg_option_name(TLSMSG_OPT_HANDSHAKE_TIMEOUT), "handshake-timeout");
    assert_string_equal(tlsmsg_option_name(TLSMSG_OPT_ADDRESS), "address");
    for (int i = 0; i < TLSMSG_OPT_COUNT; i++) {
        assert_non_null(tlsmsg_option_name((enum tlsmsg_option)i));
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(tlsmsg_option_name((enum tlsmsg_option)i),
                                    tlsmsg_option_name((enum tlsmsg_option)k));
        }
    }
    assert_null(tlsmsg_option_name(TLSMSG_OPT_COUNT));
    assert_null(tlsmsg_option_name((enum tlsmsg_option) - 1));
}

static void test_owner(void **state)
{
    struct tlsmsg_options *o = new_options(S);
    struct tlsmsg_options *copy;
    struct tls_settings set;

    (void)state;
    options_tls(o, &set);
    assert_false(set.has_owner);
    tlsmsg_options_set_owner(o, 12, 34);
    options_tls(o, &set);
    assert_true(set.has_owner);
    assert_int_equal(set.owner_uid, 12);
    assert_int_equal(set.owner_gid, 34);
    copy = options_copy(o);
    tlsmsg_options_free(o);
    assert_non_null(copy);
    options_tls(copy, &set);
    assert_true(set.is_server);
    assert_true(set.has_owner);
    assert_int_equal(set.owner_uid, 12);
    assert_int_equal(set.owner_gid, 34);
    tlsmsg_options_free(copy);
}

static void test_copy_has_its_role(void **state)
{
    struct tlsmsg_options *o = new_options(C);
    struct tlsmsg_options *copy = options_copy(o);

    (void)state;
    assert_non_null(copy);
    assert_int_equal(options_role(copy), C);
    assert_int_equal(tlsmsg_options_set(copy, TLSMSG_OPT_TIMEOUT, "1", NULL), TLSMSG_OK);
    tlsmsg_options_free(copy);
    tlsmsg_options_free(o);
}

static void test_document_flow(void **state)
{
    (void)state;
    for (int is_on = 0; is_on < 2 && BUILD_HAS_TLS; is_on++) {
        struct tlsmsg_options *o = new_options(C);
        struct client_settings client;
        struct tls_settings tls;

        assert_int_equal(tlsmsg_options_set_number(o, TLSMSG_OPT_DOCUMENT_FLOW, is_on, NULL),
                         TLSMSG_OK);
        options_client(o, &client);
        options_tls(o, &tls);
        assert_int_equal(client.document_flow, is_on);
        assert_int_equal(tls.document_flow, is_on);
        tlsmsg_options_free(o);
    }
}

static void test_lists_end(void **state)
{
    static const char *const items[] = {"a", "b", "behind"};
    const struct text_list list = {.items = items, .count = 2};

    (void)state;
    assert_string_equal(text_list_at(&list, 0), "a");
    assert_string_equal(text_list_at(&list, 1), "b");
    assert_null(text_list_at(&list, 2));
    assert_null(text_list_at(&list, SIZE_MAX));
}

/* Both ends of each range, as a number. */
static void test_ranges(void **state)
{
    (void)state;
    for (int option = 0; option < TLSMSG_OPT_COUNT; option++) {
        const struct option_row *row = table_row((enum tlsmsg_option)option);
        char text[256];

        if (row->kind == KIND_TEXT || row->kind == KIND_LIST) {
            continue;
        }
        assert_int_equal(table_check_number(row, row->min, NULL), TLSMSG_OK);
        assert_int_equal(table_check_number(row, row->max, NULL), TLSMSG_OK);
        for (int i = 0; i < 2; i++) {
            struct tlsmsg_error err = {.code = TLSMSG_OK};
            int64_t number = i == 0 ? row->min - 1 : row->max + 1;

            (void)snprintf(text, sizeof(text), "%s wants %s from %lld to %lld, not %lld",
                           row->label, row->kind == KIND_MILLIS ? "milliseconds" : "a number",
                           (long long)row->min, (long long)row->max, (long long)number);
            assert_int_equal(table_check_number(row, number, &err), TLSMSG_ERR_CONFIG);
            assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
            assert_int_equal(err.sys_errno, 0);
            assert_string_equal(err.text, text);
        }
    }
}

static void test_host_names(void **state)
{
    const struct option_row *row = table_row(TLSMSG_OPT_SERVER_NAME);
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    (void)state;
    assert_int_equal(table_check_text(row, "!~", NULL), TLSMSG_OK);
    assert_int_equal(table_check_text(row, "a\x7f", &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text,
                        "--server-name: 'a\\x7f' holds other than ASCII letters, digits and signs"
                        " (give such a name in its xn-- form)");
    assert_int_equal(err.sys_errno, 0);
    assert_int_equal(table_check_text(table_row(TLSMSG_OPT_PRODUCER), "a\x7f", NULL), TLSMSG_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings_of_a_server),
        cmocka_unit_test(test_settings_of_a_client),
        cmocka_unit_test(test_owner),
        cmocka_unit_test(test_copy_has_its_role),
        cmocka_unit_test(test_document_flow),
        cmocka_unit_test(test_lists_end),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_host_names),
        cmocka_unit_test(test_callbacks_are_kept_and_copied),
        cmocka_unit_test(test_names),
    };
    const struct CMUnitTest tls_tests[] = {cmocka_unit_test(test_numbers_of_tls)};
    int failed = cmocka_run_group_tests_name("settings", tests, NULL, NULL);

    if (BUILD_HAS_TLS) {
        RUN_ROWS(failed, test_texts_of_tls, tls_rows);
        failed += cmocka_run_group_tests_name("settings of TLS", tls_tests, NULL, NULL);
    }
    return failed;
}
