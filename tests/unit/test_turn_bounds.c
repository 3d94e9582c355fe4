/* What a turn takes in: its share of --max-buffered, one message where nothing of it is left, and a
 * bounded number of records of each conversation. */
#include "support/unit.h"

#include <string.h>

#include "support/scene.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* ---- the arithmetic ---- */

static struct tlsmsg_server server;
static struct worker worker = {.server = &server};

static void set(size_t max, size_t held, size_t elsewhere, unsigned workers)
{
    memset(&server, 0, sizeof(server));
    server.settings.max_buffered_bytes = max;
    server.worker_count = workers;
    atomic_store(&server.credit, held);
    atomic_store(&server.elsewhere, elsewhere);
}

static void test_share(void **state)
{
    static const struct {
        const char *name;
        size_t max;
        size_t held;
        size_t elsewhere;
        unsigned workers;
        size_t expected;
    } rows[] = {
        {"much room", 256 * MIB, 0, 0, 2, ITERATION_BYTES},
        {"just so", 2 * ITERATION_GROWTH * ITERATION_BYTES, 0, 0, 2, ITERATION_BYTES},
        {"little room", MIB, 0, 0, 2, 64 * KIB},
        {"what the program holds counts", 8 * MIB, 4 * MIB, 3 * MIB, 1, 128 * KIB},
        {"a byte is left", MIB, MIB - 1, 0, 1, 1},
        {"full", MIB, MIB, 0, 1, 1},
        {"over", MIB, 2 * MIB, 5 * MIB, 4, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        set(rows[i].max, rows[i].held, rows[i].elsewhere, rows[i].workers);
        if (worker_most_bytes(&worker) != rows[i].expected) {
            fail_msg("%s: %zu, not %zu", rows[i].name, worker_most_bytes(&worker),
                     rows[i].expected);
        }
    }
}

static void test_spent(void **state)
{
    (void)state;
    worker.most_bytes = 1;
    worker.taken_bytes = 0;
    assert_false(worker_is_spent(&worker)); /* one always goes on */
    worker.taken_bytes = 1;
    assert_true(worker_is_spent(&worker));
    worker.most_bytes = ITERATION_BYTES;
    assert_false(worker_is_spent(&worker));
}

static void test_room_for_a_whole_message(void **state)
{
    static const struct {
        const char *name;
        size_t held;
        size_t len;
        bool expected;
    } rows[] = {
        {"nothing else", 0, MIB, true},
        {"twice its length fits", 4 * MIB, 2 * MIB, true},
        {"a byte too much", 4 * MIB + 1, 2 * MIB, false},
        {"alone it is always taken", 30 * MIB, 30 * MIB, true},
        {"... with what the worker has taken beforehand", 30 * MIB + CREDIT_MAX_SPARE, 30 * MIB,
         true},
        {"... and not beside another", 30 * MIB + CREDIT_MAX_SPARE + 1, 30 * MIB, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        set(8 * MIB, rows[i].held, 0, 1);
        if (worker_has_room(&worker, rows[i].len) != rows[i].expected) {
            fail_msg("%s", rows[i].name);
        }
    }
}

/* ---- the turns ---- */

#define MESSAGES 200

static struct raw_peer peers[SCENE_PEERS];
static unsigned most; /* messages of a turn */
static unsigned before;

static bool count_turn(struct scene *scene)
{
    if (scene->messages - before > most) {
        most = scene->messages - before;
    }
    before = scene->messages;
    return true;
}

static bool all_say(struct scene *scene)
{
    for (unsigned i = 0; i < scene->peer_count; i++) {
        if (!scene->peers[i].open) {
            return false;
        }
    }
    for (unsigned i = 0; i < scene->peer_count; i++) {
        for (unsigned n = 0; n < MESSAGES / 2; n++) {
            assert_true(scene_say(&scene->peers[i], "x"));
        }
    }
    return true;
}

static bool all_have_come(struct scene *scene)
{
    return scene->messages >= MESSAGES;
}

/* Two say as much as they can; how many messages does a turn bring at most? */
static unsigned most_of_a_turn(size_t elsewhere, unsigned *messages)
{
    static scene_step *const steps[] = {all_say, all_have_come};
    struct tlsmsg_server *played = scene_server_new(TLSMSG_OPT_MAX_BUFFERED, "1048576",
                                                    TLSMSG_OPT_RECV_SIZE, "1", TLSMSG_OPT_COUNT);
    struct scene scene;

    most = 0;
    before = 0;
    scene_begin(&scene, played, peers);
    scene.turn_end = count_turn;
    assert_true(scene_enter(&scene, -1));
    assert_true(scene_enter(&scene, -1));
    tlsmsg_server_buffered(played, (int64_t)elsewhere);
    assert_int_equal(scene_play(&scene, steps, 2, 10000), STEPPED_ENDED);
    assert_true(scene_was_played(&scene));
    *messages = scene.messages;
    tlsmsg_server_buffered(played, -(int64_t)elsewhere);
    scene_finish(&scene);
    stepped_server_free(played);
    return most;
}

static void test_turn_takes_what_there_is_room_for(void **state)
{
    unsigned messages;

    (void)state;
    /* Each is a record, of which a conversation has so many in a turn, or what a slow machine reads
     * between two looks at the clock. */
    assert_in_range(most_of_a_turn(0, &messages), 9, 2 * ITERATION_RECORDS);
    assert_int_equal(messages, MESSAGES);
    /* Eight of them, each with what it costs beside its one byte. */
    assert_in_range(most_of_a_turn(MIB - 8 * ITERATION_GROWTH * ITERATION_MESSAGE_BYTES, &messages),
                    1, 8);
    assert_int_equal(messages, MESSAGES);
}

static void test_full_server_goes_on(void **state)
{
    unsigned messages;

    (void)state;
    assert_int_equal(most_of_a_turn(MIB, &messages), 1);
    assert_int_equal(messages, MESSAGES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_spent),
        cmocka_unit_test(test_room_for_a_whole_message),
        cmocka_unit_test(test_turn_takes_what_there_is_room_for),
        cmocka_unit_test(test_full_server_goes_on),
    };

    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
