/* The transcript's turns: when lines leave, and what happens when they can't. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/server/transcript.h"
#include "support/failmalloc.h"

#define PIPE_BYTES 4096
#define LINE_MAX_BYTES 16384

/* The message that the handler was called with. */
static struct {
    const char *data;
    size_t len;
    unsigned worker;
    bool duplicate;
} now;

const char *__wrap_tlsmsg_message_data(const struct tlsmsg_message *message, size_t *len);
unsigned __wrap_tlsmsg_message_worker(const struct tlsmsg_message *message);
const struct tlsmsg_peer *__wrap_tlsmsg_message_peer(const struct tlsmsg_message *message);
const char *__wrap_tlsmsg_message_producer(const struct tlsmsg_message *message);
uint64_t __wrap_tlsmsg_message_number(const struct tlsmsg_message *message);
bool __wrap_tlsmsg_message_is_duplicate(const struct tlsmsg_message *message);

const char *__wrap_tlsmsg_message_data(const struct tlsmsg_message *message, size_t *len)
{
    (void)message;
    *len = now.len;
    return now.data;
}

unsigned __wrap_tlsmsg_message_worker(const struct tlsmsg_message *message)
{
    (void)message;
    return now.worker;
}

const struct tlsmsg_peer *__wrap_tlsmsg_message_peer(const struct tlsmsg_message *message)
{
    static const struct tlsmsg_peer peer = {.connection = 1, .address = "a:1"};

    (void)message;
    return &peer;
}

const char *__wrap_tlsmsg_message_producer(const struct tlsmsg_message *message)
{
    (void)message;
    return NULL;
}

uint64_t __wrap_tlsmsg_message_number(const struct tlsmsg_message *message)
{
    (void)message;
    return 0;
}

bool __wrap_tlsmsg_message_is_duplicate(const struct tlsmsg_message *message)
{
    (void)message;
    return now.duplicate;
}

struct fixture {
    struct stdout_writer writer;
    struct transcript transcript;
    int ends[2];
    unsigned released;
};

static void release(unsigned worker, bool fail, void *user)
{
    struct fixture *f = user;

    (void)worker;
    f->released += !fail;
}

static void begin(struct fixture *f, enum transcript_format format)
{
    struct transcript_style style = {.phrases = phrases_get(1)};

    *f = (struct fixture){.ends = {-1, -1}};
    assert_int_equal(pipe(f->ends), 0);
    assert_int_equal(fcntl(f->ends[1], F_SETPIPE_SZ, PIPE_BYTES), PIPE_BYTES);
    assert_int_equal(fcntl(f->ends[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(stdout_writer_init(&f->writer, f->ends[1], NULL), TLSMSG_OK);
    transcript_init(&f->transcript, &f->writer, format, &style);
    assert_int_equal(transcript_set_workers(&f->transcript, 2, NULL), TLSMSG_OK);
}

static void end(struct fixture *f)
{
    transcript_fini(&f->transcript);
    stdout_writer_fini(&f->writer);
    (void)close(f->ends[0]);
    (void)close(f->ends[1]);
}

static void say(struct fixture *f, unsigned worker, const char *data, size_t len)
{
    now.data = data;
    now.len = len;
    now.worker = worker;
    transcript_message(&f->transcript, NULL);
}

/* What has come out so far, NUL-terminated. */
static const char *out(struct fixture *f)
{
    static char buf[PIPE_BYTES + 1];
    ssize_t n = read(f->ends[0], buf, PIPE_BYTES);

    buf[n > 0 ? n : 0] = '\0';
    return buf;
}

/* Everything that comes, with the main thread's part between; returns its length. */
static size_t drain(struct fixture *f)
{
    size_t total = 0;
    int fd;

    for (;;) {
        bool waits = stdout_writer_continue(&f->writer, release, f, &fd);
        size_t n = strlen(out(f));

        total += n;
        if (!waits && n == 0) {
            return total;
        }
    }
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
}

static void test_lines_leave_at_the_turns_end(void **state)
{
    struct sockaddr_in address = loopback(1);
    struct tlsmsg_peer peer = {.connection = 1, .socket_address = (struct sockaddr *)&address};
    struct tlsmsg_closed closed = {.peer = &peer};
    struct fixture f;

    (void)state;
    begin(&f, TRANSCRIPT_TEXT);
    assert_true(transcript_begin(&f.transcript, NULL));
    assert_string_equal(out(&f), "Waiting for a client...\n");
    transcript_connected(&f.transcript, &peer, 0);
    say(&f, 0, "one", 3);
    say(&f, 1, "other", 5);
    say(&f, 0, "two", 3);
    transcript_closed(&f.transcript, &closed, 0);
    assert_string_equal(out(&f), "");
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_RELEASE);
    assert_string_equal(out(&f), "Client connected: ('127.0.0.1', 1)\n"
                                 "Message received: one\nMessage received: two\n");
    assert_int_equal(transcript_turn_end(&f.transcript, 1), TLSMSG_TURN_RELEASE);
    assert_string_equal(out(&f), "Message received: other\n");
    assert_int_equal(transcript_turn_end(&f.transcript, 1), TLSMSG_TURN_RELEASE);
    assert_string_equal(out(&f), "");
    end(&f);
}

static void test_json_has_one_time_a_turn(void **state)
{
    struct fixture f;
    const char *text;
    char time[64];

    (void)state;
    begin(&f, TRANSCRIPT_JSON);
    say(&f, 0, "one", 3);
    say(&f, 0, "two", 3);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_RELEASE);
    text = out(&f);
    assert_memory_equal(text, "{\"time\":\"20", 11);
    assert_memory_equal(
        text + 33, "\",\"event\":\"message\",\"connection\":1,\"peer\":\"a:1\",\"bytes\":3,", 45);
    memcpy(time, text, 33);
    assert_memory_equal(strchr(text, '\n') + 1, time, 33);
    end(&f);
}

/* A turn with more than the memory for it: early writes, in order, nothing lost. */
static void test_turn_that_overflows(void **state)
{
    static char message[LINE_MAX_BYTES];
    struct fixture f;
    size_t i;

    (void)state;
    memset(message, 'x', sizeof(message));
    begin(&f, TRANSCRIPT_TEXT);
    for (i = 0; i < 100; i++) {
        say(&f, 0, message, sizeof(message));
    }
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_HOLD);
    assert_int_equal(drain(&f), 100 * (strlen("Message received: \n") + sizeof(message)));
    assert_int_equal(f.released, 1);
    end(&f);
}

/* While stdout takes nothing, lines about connections are kept up to a limit, then counted. */
static void test_news_while_held(void **state)
{
    enum { LINES = 100 * 1000 };
    static char message[2 * PIPE_BYTES];
    struct sockaddr_in address = loopback(12345);
    struct tlsmsg_peer peer = {.connection = 1, .socket_address = (struct sockaddr *)&address};
    const size_t line = strlen("Client connected: ('127.0.0.1', 12345)\n");
    struct fixture f;
    size_t i;
    uint64_t left_out;

    (void)state;
    memset(message, 'x', sizeof(message));
    begin(&f, TRANSCRIPT_TEXT);
    say(&f, 0, message, sizeof(message));
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_HOLD);
    for (i = 0; i < LINES; i++) {
        transcript_connected(&f.transcript, &peer, 0);
    }
    left_out = transcript_left_out(&f.transcript, 0, false).held;
    assert_in_range(left_out, LINES / 10, LINES - 1);
    assert_int_equal(transcript_left_out(&f.transcript, 0, false).held, 0);
    assert_true(stdout_writer_waiting_bytes(&f.writer) < 3 * PIPE_BYTES);
    (void)drain(&f);
    assert_int_equal(f.released, 1);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_HOLD);
    assert_int_equal(drain(&f), (LINES - left_out) * line);
    say(&f, 0, "again", 5);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_RELEASE);
    assert_string_equal(out(&f), "Message received: again\n");
    end(&f);
}

/* A long message waits as it came: not six times as long, and not twice in memory. */
static void test_long_messages(void **state)
{
    enum { LONG = 1000 * 1000 };
    static const char head[] = "{\"time\":\"2026-11-22T15:00:00.123Z\",\"event\":\"message\","
                               "\"connection\":1,\"peer\":\"a:1\",\"bytes\":1000000,"
                               "\"message\":\"";
    char *message = calloc(1, LONG);
    struct fixture f;

    (void)state;
    assert_non_null(message);
    for (int json = 0; json < 2; json++) {
        size_t line =
            json != 0 ? strlen(head) + 6 * LONG + 3 : strlen("Message received: \n") + 4 * LONG;
        size_t before;

        begin(&f, json != 0 ? TRANSCRIPT_JSON : TRANSCRIPT_TEXT);
        say(&f, 0, message, LONG);
        assert_in_range(stdout_writer_waiting_bytes(&f.writer), LONG, LONG + 1000);
        assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_HOLD);
        say(&f, 1, "short", 5);
        before = stdout_writer_waiting_bytes(&f.writer);
        assert_int_equal(transcript_turn_end(&f.transcript, 1), TLSMSG_TURN_HOLD);
        before = stdout_writer_waiting_bytes(&f.writer) - before;
        assert_int_equal(drain(&f), line + before);
        assert_int_equal(f.released, 2);
        assert_int_equal(stdout_writer_waiting_bytes(&f.writer), 0);
        end(&f);
    }
    free(message);
}

/* Connections that never become conversations cause as many lines as they cause in the log. */
static void test_lines_of_strangers_are_limited(void **state)
{
    struct tlsmsg_peer peer = {.connection = 1, .address = "a:1"};
    struct tlsmsg_closed closed = {.peer = &peer, .reason = TLSMSG_CLOSE_HANDSHAKE, .heard = true};
    struct fixture f;
    size_t lines = 0;

    (void)state;
    begin(&f, TRANSCRIPT_JSON);
    for (int i = 0; i < 1000; i++) {
        transcript_closed(&f.transcript, &closed, 0);
    }
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_RELEASE);
    for (const char *at = out(&f); (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    assert_in_range(lines, 10, 12);
    assert_int_equal(transcript_left_out(&f.transcript, 0, true).strangers, 1000 - lines);
    assert_int_equal(transcript_left_out(&f.transcript, 0, true).strangers, 0);
    /* A conversation's end is told however many there were. */
    closed.reason = TLSMSG_CLOSE_CLEAN;
    transcript_closed(&f.transcript, &closed, 0);
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_RELEASE);
    assert_non_null(strstr(out(&f), "clean"));
    end(&f);
}

static void test_left_lines_at_the_end(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f, TRANSCRIPT_TEXT);
    say(&f, 1, "last", 4);
    transcript_end(&f.transcript);
    assert_string_equal(out(&f), "Message received: last\n");
    transcript_end(&f.transcript);
    assert_string_equal(out(&f), "");
    end(&f);
}

static void test_failed_stdout(void **state)
{
    static char message[LINE_MAX_BYTES];
    struct fixture f;
    size_t i;

    (void)state;
    memset(message, 'x', sizeof(message));
    begin(&f, TRANSCRIPT_TEXT);
    (void)close(f.ends[0]);
    f.ends[0] = -1;
    for (i = 0; i < 100; i++) { /* more than the memory of a turn: fails before its end */
        say(&f, 0, message, sizeof(message));
    }
    assert_int_equal(transcript_turn_end(&f.transcript, 0), TLSMSG_TURN_FAIL);
    say(&f, 1, "x", 1);
    assert_int_equal(transcript_turn_end(&f.transcript, 1), TLSMSG_TURN_FAIL);
    assert_int_equal(stdout_writer_cause(&f.writer), EPIPE);
    assert_false(transcript_begin(&f.transcript, NULL));
    end(&f);
}

/* A line that there is no memory for must not be answered: the turn fails, or it is written. */
static void test_out_of_memory(void **state)
{
    static char message[200 * 1024];
    struct fixture f;
    size_t failures = 0;
    size_t n, needed;

    (void)state;
    memset(message, 'x', sizeof(message));
    for (n = 1;; n++) {
        enum tlsmsg_turn turn;

        begin(&f, TRANSCRIPT_TEXT);
        failmalloc_at(n);
        say(&f, 0, message, sizeof(message));
        turn = transcript_turn_end(&f.transcript, 0);
        needed = failmalloc_count();
        failmalloc_at(0);
        if (turn == TLSMSG_TURN_FAIL) {
            assert_int_equal(stdout_writer_cause(&f.writer), ENOMEM);
            failures++;
        } else {
            assert_int_equal(turn, TLSMSG_TURN_HOLD);
            assert_int_equal(drain(&f), strlen("Message received: \n") + sizeof(message));
        }
        end(&f);
        if (needed < n) {
            break;
        }
    }
    assert_in_range(failures, 2, n - 1);
}

static void test_no_memory_for_the_workers(void **state)
{
    struct transcript_style style = {.phrases = phrases_get(1)};
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct transcript transcript;
    struct stdout_writer writer;
    size_t n;

    (void)state;
    for (n = 1; n < 100; n++) {
        enum tlsmsg_code code;

        assert_int_equal(stdout_writer_init(&writer, STDOUT_FILENO, NULL), TLSMSG_OK);
        transcript_init(&transcript, &writer, TRANSCRIPT_TEXT, &style);
        failmalloc_at(n);
        code = transcript_set_workers(&transcript, 4, &err);
        failmalloc_at(0);
        transcript_fini(&transcript);
        stdout_writer_fini(&writer);
        if (code == TLSMSG_OK) {
            break;
        }
        assert_int_equal(code, TLSMSG_ERR_NOMEM);
        tlsmsg_error_clear(&err);
    }
    assert_in_range(n, 5, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_leave_at_the_turns_end),
        cmocka_unit_test(test_json_has_one_time_a_turn),
        cmocka_unit_test(test_turn_that_overflows),
        cmocka_unit_test(test_news_while_held),
        cmocka_unit_test(test_long_messages),
        cmocka_unit_test(test_lines_of_strangers_are_limited),
        cmocka_unit_test(test_left_lines_at_the_end),
        cmocka_unit_test(test_failed_stdout),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_no_memory_for_the_workers),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
