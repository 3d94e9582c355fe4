/* The numbers of a client's messages, and the name that they belong to. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "support/unit.h"

#include "base/clock.h"
#include "client/internal.h"
#include "support/client_ends.h"
#include "support/scripted_transport.h"
#include "support/test_clock.h"

#define HOURS_MS(n) ((int64_t)(n)*3600 * 1000)

static unsigned char random_first; /* of the bytes that getrandom gives; the next ones count up */
static ssize_t random_result;      /* 0: all that was asked for */

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags);

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags)
{
    unsigned char *bytes = buf;

    assert_int_equal(flags, 0);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (unsigned char)(random_first + i);
    }
    errno = EIO;
    return random_result != 0 ? random_result : (ssize_t)len;
}

static int forget(void **state)
{
    random_first = 0;
    random_result = 0;
    return scripted_forget(state);
}

/* The producer's name is a setting; it is as if the client were made with it. */
static enum tlsmsg_code name(const char *producer)
{
    client->settings.document_flow = false;
    client->settings.producer = producer;
    client->numbers = (struct client_numbers){.from = 70, .next = 80};
    memset(client->producer, 0, sizeof(client->producer));
    return client_numbers_init(client, &err);
}

static void names_that_can_be(void **state)
{
    (void)state;
    scripted_client();
    assert_int_equal(name(NULL), TLSMSG_OK);
    assert_string_equal(client->producer, "");
    assert_int_equal(client->numbers.from, 1);
    assert_int_equal(client->numbers.next, 1);
    assert_int_equal(name("job:7"), TLSMSG_OK);
    assert_string_equal(client->producer, "job:7");
    assert_int_equal(client->numbers.from, 1);
    assert_int_equal(client->numbers.next, 1);
    assert_int_equal(err.code, TLSMSG_OK);

    assert_int_equal(name("no\x1bjob"), TLSMSG_ERR_CONFIG);
    scripted_expect_bare(TLSMSG_ERR_CONFIG,
                         "--producer wants 1 to 64 of the characters A-Z a-z 0-9 . _ : -, not "
                         "'no\\x1bjob'");
    assert_string_equal(client->producer, "");
    client->settings.document_flow = true;
    assert_int_equal(client_numbers_init(client, &err), TLSMSG_ERR_CONFIG);
    scripted_expect_bare(TLSMSG_ERR_CONFIG,
                         "a producer's numbers need tlsmsg/1 (leave --document-flow out)");
    scripted_finish();
}

/* Six random bits a character, of all 64. */
static void makes_a_name(void **state)
{
    static const struct {
        unsigned char first;
        const char *made;
    } rows[] = {
        {0, "~ABCDEFGHIJKLMNOPQRSTUV"},  {20, "~UVWXYZabcdefghijklmnop"},
        {42, "~qrstuvwxyz0123456789-_"}, {250, "~6789-_ABCDEFGHIJKLMNOP"},
        {64, "~ABCDEFGHIJKLMNOPQRSTUV"},
    };

    (void)state;
    scripted_client();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        random_first = rows[i].first;
        assert_int_equal(name("~"), TLSMSG_OK);
        assert_string_equal(client->producer, rows[i].made);
        assert_int_equal(client->numbers.next, 1);
    }
    random_result = 21; /* one too few, which the kernel does not do */
    assert_int_equal(name("~"), TLSMSG_ERR_SYSTEM);
    assert_string_equal(err.text, "cannot get random bits: Input/output error");
    assert_int_equal(err.code, TLSMSG_ERR_SYSTEM);
    assert_int_equal(err.sys_errno, EIO);
    assert_string_equal(client->producer, "");
    scripted_finish();
}

/* Before the server may have forgotten a name that was made, another one is; with messages whose fate
 * can't be known any more, none. */
static void a_made_name_lives_for_twelve_hours(void **state)
{
    static const struct {
        const char *producer;
        int64_t idle_ms;
        uint64_t known;
        enum tlsmsg_code code;
        bool is_new;
    } rows[] = {
        {"~", HOURS_MS(12) - 1, 4, TLSMSG_OK, false},
        {"~", HOURS_MS(12), 4, TLSMSG_OK, true},
        {"~", HOURS_MS(12), 5, TLSMSG_ERR_STATE, false},
        {"~", HOURS_MS(12), 6, TLSMSG_ERR_STATE, false},
        {"~", HOURS_MS(12) - 1, 6, TLSMSG_OK, false},
        {"job", HOURS_MS(99), 6, TLSMSG_OK, false},
        {NULL, HOURS_MS(99), 6, TLSMSG_OK, false},
    };

    (void)state;
    scripted_client();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        random_first = 0;
        assert_int_equal(name(rows[i].producer), TLSMSG_OK);
        random_first = 1;
        client->numbers = (struct client_numbers){.from = 5,
                                                  .next = 5,
                                                  .known = rows[i].known,
                                                  .reply = 4,
                                                  .heard_ns = clock_since_boot_ns()};
        test_clock_sleep(rows[i].idle_ms);
        assert_int_equal(client_numbers_renew(client, &err), rows[i].code);
        assert_int_equal(client->numbers.from, rows[i].is_new ? 1 : 5);
        assert_int_equal(client->numbers.next, rows[i].is_new ? 1 : 5);
        assert_int_equal(client->numbers.known, rows[i].is_new ? 0 : rows[i].known);
        assert_int_equal(client->numbers.reply, rows[i].is_new ? 0 : 4);
        assert_int_equal(client->numbers.heard_ns == 0, rows[i].is_new);
        assert_int_equal(strcmp(client->producer, "~BCDEFGHIJKLMNOPQRSTUVW") == 0, rows[i].is_new);
        if (rows[i].code != TLSMSG_OK) {
            scripted_expect_bare(rows[i].code,
                                 "no connection for 12 hours: the server may have forgotten which "
                                 "messages it has taken");
        }
        assert_int_equal(err.code, TLSMSG_OK);
    }
    client->numbers.heard_ns = 0; /* never connected */
    client->settings.producer = "~";
    assert_int_equal(client_numbers_renew(client, NULL), TLSMSG_OK);
    assert_int_equal(client->numbers.from, 5);
    scripted_finish();
}

/* A name that can't be made anew ends the attempt to connect. */
static void no_connection_under_a_name_that_is_forgotten(void **state)
{
    (void)state;
    scripted_client();
    assert_int_equal(name("~"), TLSMSG_OK);
    client->numbers.known = 1;
    client->numbers.heard_ns = clock_since_boot_ns();
    test_clock_sleep(HOURS_MS(12));
    assert_int_equal(tlsmsg_client_connect(client, &err), TLSMSG_CLIENT_ERROR);
    assert_int_equal(err.code, TLSMSG_ERR_STATE);
    assert_int_equal(tlsmsg_client_fd(client), -1);
    assert_int_equal(scripted.made, 0);
    client->settings.producer = NULL;
    scripted_finish();
}

static void a_first_number_is_chosen_before_connecting(void **state)
{
    (void)state;
    scripted_client();
    assert_int_equal(tlsmsg_client_number_from(client, 0, &err), TLSMSG_ERR_STATE);
    scripted_expect_bare(TLSMSG_ERR_STATE, "a number is 1 or more");
    assert_int_equal(tlsmsg_client_number_from(client, (uint64_t)INT64_MAX + 1, &err),
                     TLSMSG_ERR_STATE);
    scripted_expect_bare(TLSMSG_ERR_STATE, "a number is 1 or more");
    assert_int_equal(client->numbers.next, 1);
    assert_int_equal(tlsmsg_client_number_from(client, INT64_MAX, &err), TLSMSG_OK);
    assert_int_equal(tlsmsg_client_number_from(client, 7, &err), TLSMSG_OK);
    assert_int_equal(client->numbers.from, 7);
    assert_int_equal(client->numbers.next, 7);
    assert_int_equal(client->numbers.known, 0);
    assert_int_equal(tlsmsg_client_number(client), 0); /* none was sent */
    assert_int_equal(tlsmsg_client_unanswered(client), 0);

    scripted.protocol = FRAME_PROTOCOL;
    assert_int_equal(scripted_go(), TLSMSG_CLIENT_OK);
    assert_null(tlsmsg_client_hello(client));
    assert_int_equal(tlsmsg_client_number_from(client, 8, &err), TLSMSG_ERR_STATE);
    scripted_expect_bare(TLSMSG_ERR_STATE,
                         "a number is chosen before connecting, or before the first message");
    FOLLOW(on_recv, GIVES("HELLO 1 last=6 max=100 window=9 promise=none\n"));
    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_OK);
    assert_memory_equal(scripted.sent, "HELLO 1\n", 8);
    assert_int_equal(tlsmsg_client_number(client), 6);
    scripted_finish();
}

/* What a server that has messages already is asked to go on with. */
static void or_before_the_first_message(void **state)
{
    static const struct {
        uint64_t known, number;
        enum tlsmsg_code code;
        uint64_t known_after;
    } rows[] = {
        {0, 3, TLSMSG_ERR_STATE, 0}, {0, 4, TLSMSG_OK, 6}, {0, 6, TLSMSG_OK, 6},
        {0, 7, TLSMSG_OK, 6},        {9, 7, TLSMSG_OK, 9}, {0, 8, TLSMSG_ERR_STATE, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t number = rows[i].code == TLSMSG_OK ? rows[i].number : 4;

        scripted_client();
        assert_int_equal(tlsmsg_client_number_from(client, 4, &err), TLSMSG_OK);
        scripted.protocol = FRAME_PROTOCOL;
        assert_int_equal(scripted_go(), TLSMSG_CLIENT_OK);
        FOLLOW(on_recv, GIVES("HELLO 1 last=6 max=100 window=9 promise=none\n"));
        assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_OK);
        client->numbers.known = rows[i].known;
        assert_int_equal(tlsmsg_client_number_from(client, rows[i].number, &err), rows[i].code);
        if (rows[i].code != TLSMSG_OK) {
            scripted_expect_bare(TLSMSG_ERR_STATE,
                                 rows[i].number == 3
                                     ? "the server has messages up to 6, and those below 4 are "
                                       "settled: 3 can't be next"
                                     : "the server has messages up to 6, and those below 4 are "
                                       "settled: 8 can't be next");
        }
        assert_int_equal(client->numbers.from, number);
        assert_int_equal(client->numbers.next, number);
        assert_int_equal(client->numbered.arrived, number);
        assert_int_equal(client->numbers.known, rows[i].known_after);
        if (rows[i].code == TLSMSG_OK) {
            assert_int_equal(scripted_send("a"), TLSMSG_CLIENT_OK);
            assert_int_equal(tlsmsg_client_number(client), number);
            assert_int_equal(tlsmsg_client_unanswered(client), 1);
            assert_int_equal(tlsmsg_client_number_from(client, number + 1, &err), TLSMSG_ERR_STATE);
            scripted_expect_bare(TLSMSG_ERR_STATE,
                                 "a number is chosen before connecting, or before the first "
                                 "message");
        }
        scripted_finish();
        (void)scripted_forget(NULL);
    }
}

/* At the server's very last number, and where its own are behind. */
static void the_next_number_of_ones_own_is_always_good(void **state)
{
    (void)state;
    scripted_client();
    assert_int_equal(tlsmsg_client_number_from(client, 9, &err), TLSMSG_OK);
    scripted.protocol = FRAME_PROTOCOL;
    assert_int_equal(scripted_go(), TLSMSG_CLIENT_OK);
    FOLLOW(on_recv, GIVES("HELLO 1 last=6 max=100 window=9 promise=none\n"));
    assert_int_equal(tlsmsg_client_greet(client, &err), TLSMSG_CLIENT_OK);
    assert_int_equal(tlsmsg_client_number_from(client, 9, &err), TLSMSG_OK);
    FOLLOW(on_send, WANTS_WRITE);
    assert_int_equal(scripted_send("a"), TLSMSG_CLIENT_AGAIN);
    assert_int_equal(tlsmsg_client_number_from(client, 9, &err), TLSMSG_ERR_STATE);
    scripted_expect_bare(TLSMSG_ERR_STATE,
                         "a number is chosen before connecting, or before the first message");
    scripted_finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(names_that_can_be, forget),
        cmocka_unit_test_setup(makes_a_name, forget),
        cmocka_unit_test_setup(a_made_name_lives_for_twelve_hours, forget),
        cmocka_unit_test_setup(no_connection_under_a_name_that_is_forgotten, forget),
        cmocka_unit_test_setup(a_first_number_is_chosen_before_connecting, forget),
        cmocka_unit_test_setup(or_before_the_first_message, forget),
        cmocka_unit_test_setup(the_next_number_of_ones_own_is_always_good, forget),
    };
    return cmocka_run_group_tests(tests, ends_setup, ends_teardown);
}
