/* tlsmsg-store's commands on a store in a scripted engine: what each asks, and what it shows. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/sha256.h"
#include "app/store/database.h"
#include "app/store/progress.h"
#include "support/failmalloc.h"
#include "support/fake_store.h"

#define NEXT(xid, id)                                                                              \
    "SELECT m.xid::text, m.id, m.time, m.connection, m.peer, p.identity, p.name, m.seq, m.hash, "  \
    "m.body FROM * '" xid "' '" id "'"
#define GUESS "SELECT greatest(reltuples, 0)::bigint FROM pg_class*"
#define GAPS "SELECT p.name, n.before, n.seq FROM *"
#define JUMPS "SELECT count(*) FROM tlsmsg.message WHERE follows > 0 AND seq <> follows + 1"
#define OLDEST(last) "SELECT p.id FROM tlsmsg.producer p *LIMIT 1000 '" last "' '1789999990000'"
#define DELETE(producer) "DELETE FROM tlsmsg.message WHERE * '" producer "' '1789999990000'"
#define FORGET "DELETE FROM tlsmsg.producer p WHERE left(name, 1) IN ('~', '@') *"
#define HASH_OF_HI "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"

/* A reader's start; and what is there. */
#define START                                                                                      \
    {FAKE_CONNECT(FAKE_TARGET, "any"), .rows = "a|192.0.2.1|5432"},                                \
        {FAKE_IDENTIFY, .rows = FAKE_PID "|" FAKE_ENGINE}, {FAKE_SET_UP, .rows = "on"},            \
    {                                                                                              \
        FAKE_FIND, .rows = FAKE_MARK "|t|u"                                                        \
    }

#define ROW_1 "700|11|1790000000123|13|192.0.2.7:4711|CN=a|~p|15|\\x" HASH_OF_HI "|\\x6869"
#define ROW_2 "701|2|1790000001000|4|192.0.2.8:4712||@r|1|~|\\x00"
#define ROW_3 "701|3|1790000001001|4|192.0.2.9:4713|~|~|2|\\x" HASH_OF_HI "|\\x6869"

static struct tlsmsg_error err;
static uint64_t faults;
static char shown[16384];
static char told[1024];
static bool can_hash;

static int begin(void **state)
{
    (void)state;
    tlsmsg_error_clear(&err);
    faults = 99;
    can_hash = true;
    fake_libpq_begin();
    return 0;
}

static int end(void **state)
{
    (void)state;
    failmalloc_at(0);
    fake_libpq_end();
    return 0;
}

/* ---- what is told of progress, in place of a terminal's line */

void __wrap_progress_begin(struct progress *progress, const char *what);
void __wrap_progress_begin(struct progress *progress, const char *what)
{
    (void)memset(progress, 0, sizeof(*progress));
    (void)snprintf(told, sizeof(told), "%s", what);
}

void __wrap_progress_tell(struct progress *progress, uint64_t done, uint64_t all);
void __wrap_progress_tell(struct progress *progress, uint64_t done, uint64_t all)
{
    size_t len = strlen(told);

    (void)progress;
    (void)snprintf(told + len, sizeof(told) - len, " %" PRIu64 "/%" PRIu64, done, all);
}

void __wrap_progress_end(struct progress *progress);
void __wrap_progress_end(struct progress *progress)
{
    size_t len = strlen(told);

    (void)progress;
    (void)snprintf(told + len, sizeof(told) - len, " end");
}

/* ---- what hashes */

bool __real_sha256(const void *data, size_t len, unsigned char out[SHA256_OUT_BYTES]);
bool __wrap_sha256(const void *data, size_t len, unsigned char out[SHA256_OUT_BYTES]);
bool __wrap_sha256(const void *data, size_t len, unsigned char out[SHA256_OUT_BYTES])
{
    return can_hash && __real_sha256(data, len, out);
}

/* Runs a command; shown receives what it writes to stdout. */
static enum tlsmsg_code run(const struct store_options_taken *taken)
{
    FILE *file = tmpfile();
    int kept = dup(STDOUT_FILENO);
    enum tlsmsg_code code;
    size_t len;

    assert_non_null(file);
    (void)fflush(stdout);
    assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
    code = database_run(taken, &faults, &err);
    (void)fflush(stdout);
    assert_true(dup2(kept, STDOUT_FILENO) >= 0);
    (void)close(kept);
    rewind(file);
    len = fread(shown, 1, sizeof(shown) - 1, file);
    shown[len] = '\0';
    (void)fclose(file);
    return code;
}

static enum tlsmsg_code run_command(enum store_command command)
{
    const struct store_options_taken taken = {
        .command = command, .target = FAKE_TARGET, .lines = 2, .keep_ms = 10000};

    return run(&taken);
}

/* ---- before anything is asked */

static void test_refused(void **state)
{
    const struct store_options_taken bad = {.command = COMMAND_LIST,
                                            .target = "postgresql://a@b@c"};

    (void)state;
    assert_int_equal(run_command(COMMAND_BACKUP), TLSMSG_ERR_CONFIG);
    assert_cause(&err, TLSMSG_ERR_CONFIG,
                 "backup is for a store in a file (try: pg_basebackup, or pg_dump -n tlsmsg)");
    tlsmsg_error_clear(&err);
    assert_int_equal(run(&bad), TLSMSG_ERR_CONFIG);
    assert_int_equal(err.code, TLSMSG_ERR_CONFIG);
}

static void test_no_store(void **state)
{
    static const struct fake_exchange script[] = {
        {FAKE_CONNECT(FAKE_TARGET, "any"), .rows = "a|192.0.2.1|5432"},
        {FAKE_IDENTIFY, .rows = FAKE_PID "|" FAKE_ENGINE},
        {FAKE_SET_UP, .rows = "on"},
        {FAKE_FIND, .rows = ""}};

    (void)state;
    FAKE_PLAY(script);
    assert_int_equal(run_command(COMMAND_LIST), TLSMSG_ERR_CONFIG);
    assert_cause(&err, TLSMSG_ERR_CONFIG, "the database has no store (try: tlsmsg-store init)");
}

static void test_no_connection(void **state)
{
    static const struct fake_exchange reading[] = {
        {FAKE_CONNECT(FAKE_TARGET, "any"), .fault = FAKE_REFUSED}};
    static const struct fake_exchange making[] = {
        {"2: " FAKE_CONNECT(FAKE_TARGET, "read-write"), .fault = FAKE_REFUSED}};

    (void)state;
    FAKE_PLAY(reading);
    assert_int_equal(run_command(COMMAND_LIST), TLSMSG_ERR_SYSTEM);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: " FAKE_LOST);
    tlsmsg_error_clear(&err);
    FAKE_PLAY(making);
    assert_int_equal(run_command(COMMAND_INIT), TLSMSG_ERR_SYSTEM);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: " FAKE_LOST);
}

/* ---- showing */

static void test_list(void **state)
{
    static const struct fake_exchange script[] = {START,
                                                  {NEXT("0", "0"), .rows = ROW_1 ";" ROW_2},
                                                  {NEXT("701", "2"), .rows = ROW_3},
                                                  {NEXT("701", "3"), .rows = ""}};

    (void)state;
    FAKE_PLAY(script);
    assert_int_equal(run_command(COMMAND_LIST), TLSMSG_OK);
    assert_string_equal(shown, "     11  2026-09-21 14:13:20  CN=a                   hi\n"
                               "      2  2026-09-21 14:13:21  192.0.2.8:4712         \\x00\n"
                               "      3  2026-09-21 14:13:21  192.0.2.9:4713         hi\n");
}

static void test_export(void **state)
{
    static const struct fake_exchange script[] = {
        START, {NEXT("0", "0"), .rows = ROW_1 ";" ROW_3}, {NEXT("701", "3"), .rows = ""}};

    (void)state;
    FAKE_PLAY(script);
    assert_int_equal(run_command(COMMAND_EXPORT), TLSMSG_OK);
    assert_string_equal(
        shown,
        "{\"time\":\"2026-09-21T14:13:20.123Z\",\"event\":\"message\",\"id\":11,\"connection\":13,"
        "\"peer\":\"192.0.2.7:4711\",\"identity\":\"CN=a\",\"producer\":\"~p\",\"seq\":15,"
        "\"bytes\":2,\"message\":\"hi\"}\n"
        "{\"time\":\"2026-09-21T14:13:21.001Z\",\"event\":\"message\",\"id\":3,\"connection\":4,"
        "\"peer\":\"192.0.2.9:4713\",\"seq\":2,\"bytes\":2,\"message\":\"hi\"}\n");
}

/* It begins behind the message before the last ones; with fewer there, with the first. */
static void test_tail(void **state)
{
    static const char skip[] = "SELECT xid::text, id FROM tlsmsg.message WHERE xid < *ORDER BY xid "
                               "DESC, id DESC OFFSET $1::text::bigint LIMIT 1 '2'";
    const struct fake_exchange many[] = {START,
                                         {skip, .rows = "700|11"},
                                         {NEXT("700", "11"), .rows = ROW_3},
                                         {NEXT("701", "3"), .rows = ""}};
    const struct fake_exchange few[] = {START, {skip, .rows = ""}, {NEXT("0", "0"), .rows = ""}};
    const struct fake_exchange failing[] = {START, {skip, .error = "57014"}};

    (void)state;
    FAKE_PLAY(many);
    assert_int_equal(run_command(COMMAND_TAIL), TLSMSG_OK);
    assert_string_equal(shown, "      3  2026-09-21 14:13:21  192.0.2.9:4713         hi\n");
    (void)end(NULL);
    (void)begin(NULL);
    FAKE_PLAY(few);
    assert_int_equal(run_command(COMMAND_TAIL), TLSMSG_OK);
    assert_string_equal(shown, "");
    (void)end(NULL);
    (void)begin(NULL);
    FAKE_PLAY(failing);
    assert_int_equal(run_command(COMMAND_TAIL), TLSMSG_ERR_SYSTEM);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: ERROR:  it is 57014");
}

/* No memory for a message's hash, or for its body. */
static void test_no_memory_for_a_message(void **state)
{
    static const struct fake_exchange script[] = {START, {NEXT("0", "0"), .rows = ROW_1}};
    unsigned n;

    (void)state;
    for (n = 1; n <= 2; n++) {
        (void)begin(NULL);
        FAKE_PLAY(script);
        fake_libpq_fail_allocation(n + 1); /* the target was read first */
        assert_int_equal(run_command(COMMAND_LIST), TLSMSG_ERR_NOMEM);
        assert_cause(&err, TLSMSG_ERR_NOMEM, "out of memory");
        assert_string_equal(shown, "");
        (void)end(NULL);
    }
}

/* What was read before is shown. */
static void test_next_fails(void **state)
{
    static const struct fake_exchange script[] = {
        START, {NEXT("0", "0"), .rows = ROW_1}, {NEXT("700", "11"), .error = "57014"}};

    (void)state;
    FAKE_PLAY(script);
    assert_int_equal(run_command(COMMAND_LIST), TLSMSG_ERR_SYSTEM);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: ERROR:  it is 57014");
    assert_string_equal(shown, "     11  2026-09-21 14:13:20  CN=a                   hi\n");
}

/* ---- verifying */

#define BAD(id, producer, hash) "700|" id "|0|3|p||" producer "|5|" hash "|\\x6869"
#define TOLD "verified message"
#define NOT_STORED(id, name) "message " id " (number 5 of '" name "') is not what was stored\n"

static const struct verified {
    const char *name;
    const char *messages;
    const char *gaps;
    const char *jumps;
    const char *shown;
    uint64_t faults;
    const char *told;
} verified[] = {
    {"nothing", "", "", "0", "0 messages, 0 with a hash: sound\n", 0, TOLD " end"},
    {"all is well", ROW_1 ";" ROW_2 ";" ROW_3, "", "0", "3 messages, 2 with a hash: sound\n", 0,
     TOLD " 1/30 2/30 3/30 end"},
    {"jumps", ROW_1, "", "12",
     "1 messages, 1 with a hash, 12 jumps in their senders' numbers: sound\n", 0, TOLD " 1/30 end"},
    {"a jump", ROW_1, "", "1",
     "1 messages, 1 with a hash, 1 jumps in their senders' numbers: sound\n", 0, TOLD " 1/30 end"},
    {"other bytes", BAD("4", "~p", "\\x" FAKE_HASH("2a")), "", "0",
     NOT_STORED("4", "~p") "1 messages, 1 with a hash: 1 faults\n", 1, TOLD " 1/30 end end"},
    {"a longer hash", BAD("4", "~p", "\\x" HASH_OF_HI "00"), "", "0",
     NOT_STORED("4", "~p") "1 messages, 1 with a hash: 1 faults\n", 1, TOLD " 1/30 end end"},
    {"no hash", BAD("4", "~p", "~") ";" BAD("5", "~", "~"), "", "0",
     NOT_STORED("4", "~p") NOT_STORED("5", "?") "2 messages, 2 with a hash: 2 faults\n", 2,
     TOLD " 1/30 end 2/30 end end"},
    {"a hash in the document's flow", BAD("4", "@p", "\\x" FAKE_HASH("2a")), "", "0",
     NOT_STORED("4", "@p") "1 messages, 1 with a hash: 1 faults\n", 1, TOLD " 1/30 end end"},
    {"gaps", "", "~p|3|7;~q|1|3", "0",
     "messages of '~p' between its numbers 3 and 7 are missing: they were deleted\n"
     "messages of '~q' between its numbers 1 and 3 are missing: they were deleted\n"
     "0 messages, 0 with a hash: 2 faults\n",
     2, TOLD " end end end"},
};

static void test_verify(void **state)
{
    static const struct fake_exchange start[] = {START};
    const struct verified *row = *state;
    struct fake_exchange script[9];
    size_t count = COUNT_OF(start);

    memcpy(script, start, sizeof(start));
    script[count++] = (struct fake_exchange){GUESS, .rows = "30"};
    script[count++] = (struct fake_exchange){NEXT("0", "0"), .rows = row->messages};
    if (row->messages[0] != '\0') {
        script[count++] = (struct fake_exchange){NEXT("70*", "*"), .rows = ""};
    }
    script[count++] = (struct fake_exchange){GAPS, .rows = row->gaps};
    script[count++] = (struct fake_exchange){JUMPS, .rows = row->jumps};
    (void)begin(NULL);
    fake_libpq_play(script, count);
    assert_int_equal(run_command(COMMAND_VERIFY), TLSMSG_OK);
    assert_string_equal(shown, row->shown);
    assert_string_equal(told, row->told);
    assert_int_equal(faults, row->faults);
    (void)end(NULL);
}

static void test_verify_cannot_hash(void **state)
{
    static const struct fake_exchange script[] = {
        START, {GUESS, .rows = "30"}, {NEXT("0", "0"), .rows = ROW_2 ";" ROW_1}};

    (void)state;
    can_hash = false;
    FAKE_PLAY(script);
    assert_int_equal(run_command(COMMAND_VERIFY), TLSMSG_ERR_NOMEM);
    assert_cause(&err, TLSMSG_ERR_NOMEM, "cannot compute SHA-256");
    assert_string_equal(shown, "");
    assert_int_equal(faults, 0);
}

/* A hundred faults are shown, and all are counted. */
static void test_verify_many_faults(void **state)
{
    char gaps[1024] = "~p|1|3";
    const struct fake_exchange script[] = {START,
                                           {GUESS, .rows = "30"},
                                           {NEXT("0", "0"), .rows = ""},
                                           {GAPS, .rows = gaps},
                                           {JUMPS, .rows = "0"}};
    size_t count = 1;

    (void)state;
    for (; count <= 101; count++, (void)strcat(gaps, ";~p|1|3")) {
        const char *at = shown;
        size_t lines = 0;

        if (count < 100) {
            continue;
        }
        (void)begin(NULL);
        FAKE_PLAY(script);
        assert_int_equal(run_command(COMMAND_VERIFY), TLSMSG_OK);
        for (; strncmp(at, "messages of", strlen("messages of")) == 0; at = strchr(at, '\n') + 1) {
            lines++;
        }
        assert_int_equal(lines, 100);
        assert_string_equal(at, count == 100
                                    ? "0 messages, 0 with a hash: 100 faults\n"
                                    : "... and 1 more\n0 messages, 0 with a hash: 101 faults\n");
        assert_int_equal(faults, count);
        (void)end(NULL);
    }
}

/* Each question of a verification fails: nothing is summed up, and what was found until then counts. */
static void test_verify_fails(void **state)
{
    static const struct fake_exchange whole[] = {START,
                                                 {GUESS, .rows = "30"},
                                                 {NEXT("0", "0"), .rows = BAD("4", "~p", "~")},
                                                 {NEXT("700", "4"), .rows = ""},
                                                 {GAPS, .rows = ""},
                                                 {JUMPS, .rows = "0"}};
    size_t i;

    (void)state;
    for (i = 3; i < COUNT_OF(whole); i++) {
        (void)begin(NULL);
        fake_libpq_play_failing(whole, i, "57014");
        faults = 0;
        assert_int_equal(run_command(COMMAND_VERIFY), TLSMSG_ERR_SYSTEM);
        assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: ERROR:  it is 57014");
        assert_string_equal(shown, i > 5 ? NOT_STORED("4", "~p") : "");
        assert_int_equal(faults, i > 5);
        (void)end(NULL);
    }
}

/* ---- pruning, and making */

static void test_prune(void **state)
{
    static const struct fake_exchange script[] = {FAKE_START,
                                                  {FAKE_FIND, .rows = FAKE_MARK "|t|u"},
                                                  {OLDEST("0"), .rows = "3;5"},
                                                  {DELETE("3"), .status = "DELETE 1000"},
                                                  {DELETE("3"), .status = "DELETE 4"},
                                                  {DELETE("3"), .status = "DELETE 0"},
                                                  {DELETE("5"), .status = "DELETE 0"},
                                                  {OLDEST("5"), .rows = "7"},
                                                  {DELETE("7"), .status = "DELETE 1"},
                                                  {DELETE("7"), .status = "DELETE 0"},
                                                  {OLDEST("7"), .rows = ""},
                                                  {FORGET, .status = "DELETE 7"}};

    (void)state;
    FAKE_PLAY(script);
    assert_int_equal(run_command(COMMAND_PRUNE), TLSMSG_OK);
    assert_string_equal(shown, "1005 messages deleted\n");
}

static void test_prune_fails(void **state)
{
    static const struct fake_exchange whole[] = {FAKE_START,
                                                 {FAKE_FIND, .rows = FAKE_MARK "|t|u"},
                                                 {OLDEST("0"), .rows = "3;5"},
                                                 {DELETE("3"), .status = "DELETE 4"},
                                                 {DELETE("3"), .status = "DELETE 0"},
                                                 {DELETE("5"), .status = "DELETE 0"},
                                                 {OLDEST("5"), .rows = ""},
                                                 {FORGET, .status = "DELETE 7"}};
    size_t i;

    (void)state;
    for (i = 4; i < COUNT_OF(whole); i++) {
        (void)begin(NULL);
        fake_libpq_play_failing(whole, i, "57014");
        assert_int_equal(run_command(COMMAND_PRUNE), TLSMSG_ERR_SYSTEM);
        assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: ERROR:  it is 57014");
        assert_string_equal(shown, "");
        (void)end(NULL);
    }
}

#define CREATES                                                                                    \
    {.sent = "BEGIN"}, {"SELECT pg_advisory_xact_lock(*", .rows = ""},                             \
        {FAKE_FIND, .rows = FAKE_MARK "|t|u"},                                                     \
    {                                                                                              \
        "COMMIT", .status = "COMMIT"                                                               \
    }

static void test_init(void **state)
{
    static const struct fake_exchange script[] = {FAKE_START,
                                                  CREATES,
                                                  {.sent = "BEGIN"},
                                                  {.sent = "DO $$ *"},
                                                  {.sent = "GRANT *"},
                                                  {.sent = "GRANT *"},
                                                  {.sent = "GRANT *"},
                                                  {.sent = "GRANT *"},
                                                  {.sent = "GRANT *"},
                                                  {.sent = "GRANT *"},
                                                  {"COMMIT", .status = "COMMIT"}};

    (void)state;
    FAKE_PLAY(script);
    assert_int_equal(run_command(COMMAND_INIT), TLSMSG_OK);
    assert_string_equal(shown, "");
}

static void test_init_fails(void **state)
{
    static const struct fake_exchange making[] = {FAKE_START, {"BEGIN", .error = "42501"}};
    static const struct fake_exchange granting[] = {
        FAKE_START, CREATES, {"BEGIN", .error = "42501"}};

    (void)state;
    FAKE_PLAY(making);
    assert_int_equal(run_command(COMMAND_INIT), TLSMSG_ERR_SYSTEM);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: ERROR:  it is 42501");
    (void)end(NULL);
    (void)begin(NULL);
    FAKE_PLAY(granting);
    assert_int_equal(run_command(COMMAND_INIT), TLSMSG_ERR_SYSTEM);
    assert_cause(&err, TLSMSG_ERR_SYSTEM, "the store's engine: ERROR:  it is 42501");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_no_store, begin, end),
        cmocka_unit_test_setup_teardown(test_no_connection, begin, end),
        cmocka_unit_test_setup_teardown(test_list, begin, end),
        cmocka_unit_test_setup_teardown(test_export, begin, end),
        cmocka_unit_test_setup_teardown(test_tail, begin, end),
        cmocka_unit_test(test_no_memory_for_a_message),
        cmocka_unit_test_setup_teardown(test_next_fails, begin, end),
        cmocka_unit_test_setup_teardown(test_verify_cannot_hash, begin, end),
        cmocka_unit_test(test_verify_many_faults),
        cmocka_unit_test(test_verify_fails),
        cmocka_unit_test_setup_teardown(test_prune, begin, end),
        cmocka_unit_test(test_prune_fails),
        cmocka_unit_test_setup_teardown(test_init, begin, end),
        cmocka_unit_test_setup_teardown(test_init_fails, begin, end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_verify, verified);
    return failed;
}
