/* The transcript's lines: what each says, its time, and which are left out. */
#include "support/unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/server/log.h"
#include "base/clock.h"
#include "support/transcript_scene.h"

#define HEAD "{\"time\":\"" SCENE_TIME "\",\"event\":\""
#define LONG ((size_t)32 * 1024)

static const struct tlsmsg_tls tls = {.version = "v", .identity = "CN=alice"};

/* ---- JSON */

static void test_json_begins_with_the_addresses(void **state)
{
    struct fixture f;

    (void)state;
    scene_begin(&f, TRANSCRIPT_JSON);
    scene_now.addresses[0] = "127.0.0.1:1";
    scene_now.addresses[1] = "[::1]:2";
    assert_true(transcript_begin(&f.transcript, NULL));
    assert_string_equal(scene_out(&f), HEAD "listening\",\"address\":\"127.0.0.1:1\"}\n" HEAD
                                            "listening\",\"address\":\"[::1]:2\"}\n");
    scene_end(&f);
}

static void test_json(void **state)
{
    const struct tlsmsg_peer peer = {.connection = 1, .address = "a:1", .tls = &tls};
    const struct tlsmsg_closed closed = {
        .peer = &peer, .reason = TLSMSG_CLOSE_CLEAN, .messages = 1, .heard = true};
    struct fixture f;

    (void)state;
    scene_begin(&f, TRANSCRIPT_JSON);
    scene_now.tls = &tls;
    scene_now.producer = "p";
    scene_now.number = 7;
    transcript_connected(&f.transcript, &peer, 0);
    scene_say(&f, 0, "one", 3);
    transcript_closed(&f.transcript, &closed, 0);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_RELEASE);
    assert_string_equal(
        scene_out(&f),
        HEAD "connected\",\"connection\":1,\"peer\":\"a:1\",\"tls\":{\"version\":\"v\","
             "\"resumed\":false,\"identity\":\"CN=alice\"},\"flow\":\"document\"}\n" HEAD
             "message\",\"connection\":1,\"peer\":\"a:1\",\"identity\":\"CN=alice\","
             "\"producer\":\"p\",\"seq\":7,\"bytes\":3,\"message\":\"one\"}\n" HEAD
             "closed\",\"connection\":1,\"how\":\"clean\",\"messages\":1,\"seconds\":0.000}\n");
    scene_end(&f);
}

static void test_what_came_before_is_not_told_again(void **state)
{
    struct fixture f;

    (void)state;
    for (int json = 0; json < 2; json++) {
        scene_begin(&f, json != 0 ? TRANSCRIPT_JSON : TRANSCRIPT_TEXT);
        scene_now.is_duplicate = true;
        scene_say(&f, 0, "one", 3);
        assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_RELEASE);
        assert_string_equal(scene_out(&f), "");
        scene_end(&f);
    }
}

/* ---- times */

static void expect_times(struct fixture *f, const char *first, const char *second)
{
    const char *line = scene_out(f);

    assert_memory_equal(line, "{\"time\":\"", 9);
    assert_memory_equal(line + 9, first, strlen(first));
    line = strchr(line, '\n') + 1;
    assert_memory_equal(line, "{\"time\":\"", 9);
    assert_memory_equal(line + 9, second, strlen(second));
    assert_string_equal(strchr(line, '\n'), "\n");
}

static void say_twice(struct fixture *f)
{
    scene_say(f, 0, "one", 3);
    scene_now.time_of_day.tv_sec++;
    scene_say(f, 0, "two", 3);
    assert_int_equal(transcript_turn_end(&f->transcript, 0), TLSMSG_TURN_RELEASE);
}

/* All lines of a turn have that of its first, and the next turn has its own. */
static void test_a_turn_has_one_time(void **state)
{
    struct fixture f;

    (void)state;
    scene_begin(&f, TRANSCRIPT_JSON);
    say_twice(&f);
    expect_times(&f, SCENE_TIME, SCENE_TIME);
    say_twice(&f);
    expect_times(&f, "2026-11-22T15:00:01.123Z", "2026-11-22T15:00:01.123Z");
    scene_now.time_of_day.tv_nsec += 999999; /* 123.456789 to 124.456788 */
    say_twice(&f);
    expect_times(&f, "2026-11-22T15:00:02.124Z", "2026-11-22T15:00:02.124Z");
    scene_now.time_of_day.tv_sec--;
    scene_now.time_of_day.tv_nsec += 543210; /* still the same millisecond */
    say_twice(&f);
    expect_times(&f, "2026-11-22T15:00:02.124Z", "2026-11-22T15:00:02.124Z");
    scene_end(&f);
}

/* That of the beginning is not that of the first turn. */
static void test_the_beginning_has_its_own_time(void **state)
{
    struct fixture f;

    (void)state;
    scene_begin(&f, TRANSCRIPT_JSON);
    scene_now.addresses[0] = "127.0.0.1:1";
    assert_true(transcript_begin(&f.transcript, NULL));
    (void)scene_out(&f);
    scene_now.time_of_day.tv_sec = 0;
    scene_now.time_of_day.tv_nsec = 0;
    scene_say(&f, 0, "one", 3);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_RELEASE);
    assert_memory_equal(scene_out(&f), "{\"time\":\"1970-01-01T00:00:00.000Z\"", 34);
    scene_end(&f);
}

/* ---- long messages */

/* What is written of such a message: its head, each byte as `shown`, its tail. */
static void expect_long(struct fixture *f, const char *head, const char *shown, size_t len,
                        const char *tail)
{
    size_t each = strlen(shown);
    size_t total = strlen(head) + len * each + strlen(tail);
    char *found = malloc(total + 2 * SCENE_PIPE_BYTES);

    assert_non_null(found);
    assert_int_equal(scene_drain(f, found), total);
    assert_memory_equal(found, head, strlen(head));
    for (size_t i = 0; i < len; i++) {
        assert_memory_equal(found + strlen(head) + i * each, shown, each);
    }
    assert_memory_equal(found + total - strlen(tail), tail, strlen(tail));
    free(found);
}

/* From 32 KiB on a message waits as it came: not six times as long, and not twice in memory. Behind what
 * its turn has said before. */
static void expect_message(enum transcript_format format, size_t len, size_t waits_bytes)
{
    char *message = calloc(1, len);
    struct fixture f;
    char head[512];

    assert_non_null(message);
    scene_begin(&f, format);
    scene_now.tls = &tls;
    scene_now.producer = "p";
    scene_now.number = 7;
    scene_say(&f, 1, "ab", 2);
    scene_say(&f, 1, message, len);
    assert_int_equal(stdout_writer_waiting_bytes(&f.writer), waits_bytes);
    assert_int_equal(transcript_turn_end(&f.transcript, 1), TLSMSG_TURN_HOLD);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_RELEASE);
    if (format == TRANSCRIPT_TEXT) {
        expect_long(&f, "Message received: ab\nMessage received: ", "\\x00", len, "\n");
    } else {
#define MESSAGE                                                                                    \
    HEAD "message\",\"connection\":1,\"peer\":\"a:1\",\"identity\":\"CN=alice\",\"producer\":"     \
         "\"p\","                                                                                  \
         "\"seq\":7,\"bytes\":"
        (void)snprintf(head, sizeof(head),
                       MESSAGE "2,\"message\":\"ab\"}\n" MESSAGE "%zu,\"message\":\"", len);
        expect_long(&f, head, "\\u0000", len, "\"}\n");
    }
    assert_int_equal(f.released, 1);
    assert_int_equal(stdout_writer_waiting_bytes(&f.writer), 0);
    scene_end(&f);
    free(message);
}

static void test_long_messages(void **state)
{
    const size_t text_head = strlen("Message received: ab\nMessage received: ");
    const size_t json_head =
        strlen(MESSAGE "2,\"message\":\"ab\"}\n" MESSAGE "32768,\"message\":\"");

    (void)state;
    expect_message(TRANSCRIPT_TEXT, LONG - 1, 0);
    expect_message(TRANSCRIPT_TEXT, LONG, text_head + LONG + 1);
    expect_message(TRANSCRIPT_TEXT, 1000 * 1000, text_head + 1000 * 1000 + 1);
    expect_message(TRANSCRIPT_JSON, LONG - 1, 0);
    expect_message(TRANSCRIPT_JSON, LONG, json_head + LONG + 3);
    expect_message(TRANSCRIPT_JSON, 1000 * 1000, json_head + 2 + 1000 * 1000 + 3);
}

/* ---- connections that never become conversations */

static struct tlsmsg_peer stranger = {.connection = 1, .address = "a:1"};

/* So many of them: how many lines come of it. */
static size_t lines_of_strangers(struct fixture *f, size_t count, bool heard)
{
    const struct tlsmsg_closed closed = {
        .peer = &stranger, .reason = TLSMSG_CLOSE_HANDSHAKE, .heard = heard};
    size_t lines = 0;

    while (count-- > 0) {
        transcript_closed(&f->transcript, &closed, 0);
    }
    assert_int_equal(transcript_turn_end(&f->transcript, 0), TLSMSG_TURN_RELEASE);
    for (const char *at = scene_out(f); (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    return lines;
}

static uint64_t left_out(struct fixture *f, bool all)
{
    return transcript_left_out(&f->transcript, 0, all).strangers;
}

/* They cause as many lines as they cause in the log. What was left out is told with the next line of
 * theirs, or at the end. */
static void test_lines_of_strangers_are_limited(void **state)
{
    const struct tlsmsg_closed closed = {.peer = &stranger, .reason = TLSMSG_CLOSE_CLEAN};
    struct fixture f;

    (void)state;
    scene_begin(&f, TRANSCRIPT_JSON);
    assert_int_equal(lines_of_strangers(&f, 1000, false),
                     0); /* those that said nothing cost nothing */
    assert_int_equal(lines_of_strangers(&f, 1000, true), LOG_BURST);
    assert_int_equal(left_out(&f, false), 1000 - LOG_BURST);
    assert_int_equal(left_out(&f, false), 0);
    assert_int_equal(lines_of_strangers(&f, 5, true), 0);
    assert_int_equal(left_out(&f, false), 0); /* not yet */
    scene_now.now_ns += (int64_t)LOG_REFILL_MS * CLOCK_NS_PER_MS;
    assert_int_equal(lines_of_strangers(&f, 2, true), 1);
    assert_int_equal(left_out(&f, false), 6);
    assert_int_equal(lines_of_strangers(&f, 3, true), 0);
    assert_int_equal(left_out(&f, true), 3);
    assert_int_equal(left_out(&f, true), 0);
    /* A conversation's end is told however many there were. */
    transcript_closed(&f.transcript, &closed, 0);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_RELEASE);
    assert_string_equal(scene_out(&f), HEAD "closed\",\"connection\":1,\"how\":\"clean\","
                                            "\"messages\":0,\"seconds\":0.000}\n");
    scene_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_begins_with_the_addresses),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_what_came_before_is_not_told_again),
        cmocka_unit_test(test_a_turn_has_one_time),
        cmocka_unit_test(test_the_beginning_has_its_own_time),
        cmocka_unit_test(test_long_messages),
        cmocka_unit_test(test_lines_of_strangers_are_limited),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
