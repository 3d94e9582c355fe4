/* Keeping messages in a spool, beside a spool, a delivery and a screen that answer as they are told: what
 * is counted, what is said, and how each failure ends. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/client/input.h"
#include "app/client/keeping.h"
#include "app/client/report.h"
#include "base/error.h"

#define BEHIND 8192

/* ---- what answers */

static struct {
    enum tlsmsg_code keep, next, waiting, settle;
    size_t kept;
    bool adds;      /* whether there is memory to gather */
    unsigned room;  /* messages that the delivery takes */
    bool takes;     /* whether there is memory for them */
    uint64_t waits; /* messages */
    struct spooling_message messages[3];
    struct spooling_print print;
    bool screen_fails;
} says;

static struct {
    char warned[512];
    unsigned keeps, nexts, backs, leaves, replies, prompts, settles, reports;
    bool connected, now, silent;
    struct delivery_message added[3];
    unsigned adds;
    uint64_t answered;
} did;

static struct delivery delivery;
static struct console console;
static struct input input;
static struct session session;
static struct spooling *const spool = (struct spooling *)&says;

void __wrap_startup_warn(const char *program, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool __wrap_console_leave_prompt(struct console *c);
bool __wrap_console_reply(struct console *c, const struct console_reply *reply);
bool __wrap_console_prompt(struct console *c);
bool __wrap_spooling_add(struct spooling *s, const char *data, size_t len,
                         const struct spooling_print *print);
enum tlsmsg_code __wrap_spooling_keep(struct spooling *s, bool connected, size_t *count,
                                      struct tlsmsg_error *err);
enum tlsmsg_code __wrap_spooling_next(struct spooling *s, struct spooling_message *out,
                                      struct tlsmsg_error *err);
enum tlsmsg_code __wrap_spooling_waiting(struct spooling *s, uint64_t *count,
                                         struct tlsmsg_error *err);
enum tlsmsg_code __wrap_spooling_settle(struct spooling *s, bool now, struct tlsmsg_error *err);
struct spooling_print __wrap_spooling_answered(struct spooling *s, uint64_t number);
bool __wrap_delivery_has_room(const struct delivery *d);
struct delivery_message *__wrap_delivery_add(struct delivery *d,
                                             const struct delivery_message *message,
                                             const char *data, size_t len);
void __wrap_report_connection(const char *program, struct tlsmsg_client *client);
void __wrap_spooling_put_back(struct spooling *s);
void __wrap_delivery_blame_length(const struct delivery *d, uint64_t number, size_t len,
                                  struct tlsmsg_error *err);

void __wrap_startup_warn(const char *program, const char *format, ...)
{
    size_t len = strlen(did.warned);
    va_list args;

    assert_string_equal(program, "client");
    va_start(args, format);
    (void)vsnprintf(did.warned + len, sizeof(did.warned) - len, format, args);
    va_end(args);
    len = strlen(did.warned);
    (void)snprintf(did.warned + len, sizeof(did.warned) - len, "\n");
}

bool __wrap_console_leave_prompt(struct console *c)
{
    assert_ptr_equal(c, &console);
    assert_string_equal(did.warned, ""); /* the line is ended first */
    did.leaves++;
    return true;
}

bool __wrap_console_reply(struct console *c, const struct console_reply *reply)
{
    assert_ptr_equal(c, &console);
    assert_string_equal(reply->text, "reply");
    did.replies++;
    return !says.screen_fails;
}

bool __wrap_console_prompt(struct console *c)
{
    assert_ptr_equal(c, &console);
    did.prompts++;
    return did.prompts < 3;
}

bool __wrap_spooling_add(struct spooling *s, const char *data, size_t len,
                         const struct spooling_print *print)
{
    assert_ptr_equal(s, spool);
    assert_int_equal(len, 4);
    assert_memory_equal(data, "line", 4);
    assert_int_equal(print->prompts, 0);
    did.silent = print->is_silent;
    return says.adds;
}

static enum tlsmsg_code answer(enum tlsmsg_code code, struct tlsmsg_error *err)
{
    assert_int_equal(err->code, TLSMSG_OK);
    return code == TLSMSG_OK ? code : error_set(err, code, 0, "the spool is broken");
}

enum tlsmsg_code __wrap_spooling_keep(struct spooling *s, bool connected, size_t *count,
                                      struct tlsmsg_error *err)
{
    assert_ptr_equal(s, spool);
    did.keeps++;
    did.connected = connected;
    *count = says.kept;
    return answer(says.keep, err);
}

enum tlsmsg_code __wrap_spooling_next(struct spooling *s, struct spooling_message *out,
                                      struct tlsmsg_error *err)
{
    assert_ptr_equal(s, spool);
    *out = says.messages[did.nexts++];
    return answer(says.next, err);
}

enum tlsmsg_code __wrap_spooling_waiting(struct spooling *s, uint64_t *count,
                                         struct tlsmsg_error *err)
{
    assert_ptr_equal(s, spool);
    *count = says.waits;
    return answer(says.waiting, err);
}

enum tlsmsg_code __wrap_spooling_settle(struct spooling *s, bool now, struct tlsmsg_error *err)
{
    assert_ptr_equal(s, spool);
    did.settles++;
    did.now = now;
    return answer(says.settle, err);
}

struct spooling_print __wrap_spooling_answered(struct spooling *s, uint64_t number)
{
    assert_ptr_equal(s, spool);
    did.answered = number;
    return says.print;
}

bool __wrap_delivery_has_room(const struct delivery *d)
{
    assert_ptr_equal(d, &delivery);
    return did.adds < says.room;
}

struct delivery_message *__wrap_delivery_add(struct delivery *d,
                                             const struct delivery_message *message,
                                             const char *data, size_t len)
{
    assert_int_equal(len, 2);
    assert_memory_equal(data, "xy", 2);
    if (!says.takes) {
        return NULL;
    }
    did.added[did.adds] = *message;
    d->count++;
    return &did.added[did.adds++];
}

void __wrap_report_connection(const char *program, struct tlsmsg_client *client)
{
    assert_string_equal(program, "client");
    assert_null(client);
    did.reports++;
}

void __wrap_spooling_put_back(struct spooling *s)
{
    assert_ptr_equal(s, spool);
    did.backs++;
}

void __wrap_delivery_blame_length(const struct delivery *d, uint64_t number, size_t len,
                                  struct tlsmsg_error *err)
{
    assert_ptr_equal(d, &delivery);
    (void)error_set(err, TLSMSG_ERR_LIMIT, 0, "%llu has %llu", (unsigned long long)number,
                    (unsigned long long)len);
}

static int begin(void **state)
{
    (void)state;
    memset(&says, 0, sizeof(says));
    memset(&did, 0, sizeof(did));
    says.adds = true;
    says.takes = true;
    delivery = (struct delivery){.first = 7, .max = 8, .greeted = true, .connected = true};
    console = (struct console){.fd = -1};
    input = (struct input){.number = 41, .next_at = 300};
    session = (struct session){.program = "client",
                               .delivery = &delivery,
                               .console = &console,
                               .input = &input,
                               .spooling = spool,
                               .spool_path = "/a\nspool",
                               .cause = EXIT_CUT};
    return 0;
}

#define BROKEN "--spool: the spool is broken\n"

/* ---- keeping */

static void test_what_is_kept_is_counted(void **state)
{
    bool full = true;

    (void)state;
    says.kept = 3;
    session.tally.sent = 2;
    assert_int_equal(keeping_keep(&session, 9, 100, &full), EXIT_DONE);
    assert_false(full);
    assert_true(did.connected);
    assert_int_equal(session.tally.sent, 5);
    assert_int_equal(session.tally.next, 9);
    assert_int_equal(session.resume_at, 100);
    delivery.connected = false;
    assert_int_equal(keeping_keep(&session, 10, 101, &full), EXIT_DONE);
    assert_false(did.connected);
    assert_string_equal(did.warned, "");
}

static void test_no_room_in_the_spool(void **state)
{
    bool full = false;

    (void)state;
    says.keep = TLSMSG_ERR_LIMIT;
    says.kept = 3;
    assert_int_equal(keeping_keep(&session, 9, 100, &full), EXIT_DONE);
    assert_true(full);
    assert_int_equal(session.no_room.code, TLSMSG_ERR_LIMIT);
    assert_string_equal(session.no_room.text, "the spool is broken");
    assert_int_equal(session.tally.sent, 0);
    assert_int_equal(session.tally.next, 0);
    assert_int_equal(session.resume_at, 0);
    assert_int_equal(did.leaves, 0);
    assert_string_equal(did.warned, "");
}

static void test_a_spool_that_fails(void **state)
{
    bool full = true;

    (void)state;
    says.keep = TLSMSG_ERR_SYSTEM;
    says.kept = 3;
    assert_int_equal(keeping_keep(&session, 9, 100, &full), EXIT_OTHER);
    assert_false(full);
    assert_int_equal(session.tally.sent, 0);
    assert_int_equal(session.no_room.code, TLSMSG_OK);
    assert_int_equal(did.leaves, 1);
    assert_string_equal(did.warned, BROKEN);
}

static void test_lines(void **state)
{
    static const struct {
        bool is_exit;
        bool adds;
        enum tlsmsg_code keep;
        enum exit_code code;
        uint64_t next;
        const char *warned;
    } rows[] = {
        {false, true, TLSMSG_OK, EXIT_DONE, 42, ""},
        {true, true, TLSMSG_OK, EXIT_DONE, 42, ""},
        {false, false, TLSMSG_OK, EXIT_OTHER, 0, "out of memory\n"},
        {false, true, TLSMSG_ERR_LIMIT, EXIT_OTHER, 0,
         "line 41 was not kept: the spool is broken\n"},
        {false, true, TLSMSG_ERR_SYSTEM, EXIT_OTHER, 0, BROKEN},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)begin(NULL);
        says.adds = rows[i].adds;
        says.keep = rows[i].keep;
        assert_int_equal(keeping_line(&session, "line", 4, rows[i].is_exit), rows[i].code);
        assert_int_equal(did.silent, rows[i].is_exit);
        assert_int_equal(did.keeps, rows[i].adds);
        assert_int_equal(session.tally.next, rows[i].next);
        assert_int_equal(session.resume_at, rows[i].next == 0 ? 0 : 300);
        assert_string_equal(did.warned, rows[i].warned);
    }
}

/* ---- sending */

static struct spooling_message message_of(uint64_t number, uint64_t seq)
{
    return (struct spooling_message){.number = number, .seq = seq, .data = "xy", .len = 2};
}

static void test_loading(void **state)
{
    (void)state;
    says.room = 3;
    says.messages[0] = message_of(7, 0);
    says.messages[1] = message_of(8, 1);
    assert_int_equal(keeping_load(&session), EXIT_DONE);
    assert_int_equal(did.nexts, 3);
    assert_int_equal(did.adds, 2);
    assert_int_equal(did.added[0].spooled, 7);
    assert_int_equal(did.added[0].seq, 0);
    assert_int_equal(did.added[1].spooled, 8);
    assert_int_equal(did.added[1].seq, 1);

    (void)begin(NULL);
    says.room = 1;
    says.messages[0] = message_of(7, 0);
    says.messages[1] = message_of(8, 1);
    assert_int_equal(keeping_load(&session), EXIT_DONE);
    assert_int_equal(did.nexts, 1);
}

static void test_loading_that_ends(void **state)
{
    static const char gap[] = "message 9 is missing from the spool, and those behind it wait (try: "
                              "tlsmsg-store export, and a new spool)\n";
    static const struct {
        enum tlsmsg_code next;
        uint64_t number;
        uint64_t max;
        bool greeted;
        bool takes;
        enum exit_code code;
        unsigned adds;
        uint64_t held_up; /* bytes of what is put back */
        const char *warned;
    } rows[] = {
        {TLSMSG_OK, 9, 2, true, true, EXIT_DONE, 1, 0, ""},
        {TLSMSG_OK, 9, 1, false, true, EXIT_DONE, 1, 0, ""}, /* nobody has said what it takes */
        {TLSMSG_OK, 9, 1, true, true, EXIT_DONE, 0, 2, "9 has 2\n"},
        {TLSMSG_OK, 10, 8, true, true, EXIT_DONE, 0, UINT64_MAX, gap},
        {TLSMSG_OK, 8, 8, true, true, EXIT_DONE, 0, UINT64_MAX, gap},
        {TLSMSG_OK, 9, 8, true, false, EXIT_OTHER, 0, 0, "out of memory\n"},
        {TLSMSG_ERR_SYSTEM, 9, 8, true, true, EXIT_OTHER, 0, 0, BROKEN},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)begin(NULL);
        delivery.count = 2; /* 7 and 8 are on their way */
        delivery.max = rows[i].max;
        delivery.greeted = rows[i].greeted;
        says.room = 3;
        says.next = rows[i].next;
        says.takes = rows[i].takes;
        says.messages[0] = message_of(rows[i].number, 1);
        assert_int_equal(keeping_load(&session), rows[i].code);
        assert_int_equal(did.adds, rows[i].adds);
        assert_int_equal(did.nexts, 1 + rows[i].adds);
        assert_int_equal(did.backs, rows[i].held_up != 0);
        assert_true(session.held_up_bytes == rows[i].held_up);
        assert_int_equal(keeping_is_held_up(&session), rows[i].held_up != 0);
        assert_string_equal(did.warned, rows[i].warned);
    }
}

/* Told once, and tried again where a server takes more; but not enough. */
static void test_what_is_held_up_waits(void **state)
{
    (void)state;
    says.room = 3;
    delivery.max = 1;
    session.held_up_bytes = 2;
    assert_int_equal(keeping_load(&session), EXIT_DONE);
    assert_int_equal(did.nexts, 0);
    session.held_up_bytes = 1; /* as long as this server takes */
    says.messages[0] = message_of(7, 1);
    assert_int_equal(keeping_load(&session), EXIT_DONE);
    assert_int_equal(did.nexts, 1);
    assert_int_equal(did.backs, 1);
    assert_int_equal(session.held_up_bytes, 2);
    assert_int_equal(did.leaves, 0);
    assert_string_equal(did.warned, "");
}

static void test_being_behind(void **state)
{
    (void)state;
    session.tally.answered = 5;
    session.tally.sent = 5 + BEHIND - 1;
    assert_false(keeping_is_behind(&session));
    session.tally.sent++;
    assert_true(keeping_is_behind(&session));
    session.tally.sent++;
    assert_true(keeping_is_behind(&session));
    session.held_up_bytes = delivery.max + 1;
    assert_false(keeping_is_behind(&session));
    session.held_up_bytes = delivery.max;
    assert_true(keeping_is_behind(&session));
    delivery.connected = false;
    assert_false(keeping_is_behind(&session));
}

static void test_answers(void **state)
{
    static const struct console_reply reply = {.text = "reply"};
    static const struct {
        uint64_t seq;
        struct spooling_print print;
        bool screen_fails;
        bool good;
        unsigned replies, prompts;
        uint64_t answered, earlier;
    } rows[] = {
        {1, {0, false}, false, true, 1, 0, 1, 0}, {1, {2, false}, false, true, 1, 2, 1, 0},
        {1, {2, true}, false, true, 0, 2, 0, 0},  {0, {0, false}, false, true, 1, 0, 0, 1},
        {0, {0, true}, false, true, 0, 0, 0, 1},  {1, {2, false}, true, false, 1, 0, 1, 0},
        {1, {2, true}, true, true, 0, 2, 0, 0},   {1, {9, false}, false, false, 1, 3, 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct delivery_message message = {.seq = rows[i].seq, .spooled = 77};

        (void)begin(NULL);
        says.print = rows[i].print;
        says.screen_fails = rows[i].screen_fails;
        assert_int_equal(keeping_answered(&session, &message, &reply), rows[i].good);
        assert_int_equal(did.answered, 77);
        assert_int_equal(did.replies, rows[i].replies);
        assert_int_equal(did.prompts, rows[i].prompts);
        assert_int_equal(session.tally.answered, rows[i].answered);
        assert_int_equal(session.earlier, rows[i].earlier);
    }
}

static void test_greeting(void **state)
{
    (void)state;
    session.verbose = true;
    keeping_greeted(&session);
    assert_int_equal(did.reports, 1);
    session.verbose = false;
    console.style.quiet = true;
    keeping_greeted(&session);
    assert_int_equal(did.reports, 1);
}

static void test_settling(void **state)
{
    (void)state;
    for (int now = 0; now < 2; now++) {
        assert_int_equal(keeping_settle(&session, now), EXIT_DONE);
        assert_int_equal(did.now, now);
    }
    assert_string_equal(did.warned, "");
    says.settle = TLSMSG_ERR_SYSTEM;
    assert_int_equal(keeping_settle(&session, true), EXIT_OTHER);
    assert_string_equal(did.warned, BROKEN);
    assert_int_equal(did.settles, 3);
}

/* ---- the end */

static const struct end_row {
    const char *name;
    enum exit_code code;
    uint64_t waits;
    enum tlsmsg_code waiting;
    enum exit_code want;
    const char *warned;
} end_rows[] = {
    {"nothing waits", EXIT_DONE, 0, TLSMSG_OK, EXIT_DONE, ""},
    {"one waits", EXIT_CUT, 1, TLSMSG_OK, EXIT_CUT, "1 message waits in spool '/a\\nspool'\n"},
    {"some wait", EXIT_OTHER, 2, TLSMSG_OK, EXIT_OTHER, "2 messages wait in spool '/a\\nspool'\n"},
    {"kept", EXIT_KEPT, 2, TLSMSG_OK, EXIT_KEPT,
     "2 messages wait in spool '/a\\nspool'; try: run it again later, with </dev/null\n"},
    {"nothing to be kept", EXIT_KEPT, 0, TLSMSG_OK, EXIT_CUT, ""},
    {"broken at the end", EXIT_DONE, 2, TLSMSG_ERR_SYSTEM, EXIT_OTHER, BROKEN},
    {"broken after another failure", EXIT_REFUSED, 2, TLSMSG_ERR_SYSTEM, EXIT_REFUSED, ""},
};

static void test_end(void **state)
{
    const struct end_row *row = *state;

    (void)begin(NULL);
    says.waits = row->waits;
    says.waiting = row->waiting;
    session.earlier = 3; /* told with --verbose alone */
    assert_int_equal(keeping_end(&session, row->code), row->want);
    assert_string_equal(did.warned, row->warned);
}

static void test_end_without_a_spool(void **state)
{
    (void)state;
    session.spooling = NULL;
    session.verbose = true;
    session.earlier = 1;
    assert_int_equal(keeping_end(&session, EXIT_KEPT), EXIT_KEPT);
    assert_string_equal(did.warned, "");
}

static void test_earlier_runs(void **state)
{
    (void)state;
    session.verbose = true;
    assert_int_equal(keeping_end(&session, EXIT_DONE), EXIT_DONE);
    assert_string_equal(did.warned, "");
    session.earlier = 1;
    assert_int_equal(keeping_end(&session, EXIT_DONE), EXIT_DONE);
    assert_string_equal(did.warned, "of earlier runs: 1 message delivered\n");
    did.warned[0] = '\0';
    session.earlier = 2;
    assert_int_equal(keeping_end(&session, EXIT_DONE), EXIT_DONE);
    assert_string_equal(did.warned, "of earlier runs: 2 messages delivered\n");
}

#define TEST(test) cmocka_unit_test_setup(test, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_kept_is_counted),
        TEST(test_no_room_in_the_spool),
        TEST(test_a_spool_that_fails),
        TEST(test_lines),
        TEST(test_loading),
        TEST(test_loading_that_ends),
        TEST(test_what_is_held_up_waits),
        TEST(test_being_behind),
        TEST(test_answers),
        TEST(test_greeting),
        TEST(test_settling),
        TEST(test_end_without_a_spool),
        TEST(test_earlier_runs),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_end, end_rows);
    return failed;
}
