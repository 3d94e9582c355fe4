/* tlsmsg/1 that finds no memory: for a conversation, for what isn't whole, for a hash. The client
 * hears BYE 503 where it can hear anything, and the log says why. */
#include "support/unit.h"

#include <string.h>

#include "support/failmalloc.h"
#include "support/numbered_words.h"
#include "support/play.h"
#include "transport/digest.h"

#define NO_MEMORY(connection)                                                                      \
    "warning memory " #connection ": no memory for a message; the conversation is closed\n"

/* Calls of the digest that go well; then one fails. */
static unsigned adds;
static unsigned ends;

bool __real_digest_add(struct digest *digest, const void *data, size_t len);
bool __wrap_digest_add(struct digest *digest, const void *data, size_t len);
bool __real_digest_end(struct digest *digest, unsigned char hash[DIGEST_BYTES]);
bool __wrap_digest_end(struct digest *digest, unsigned char hash[DIGEST_BYTES]);

bool __wrap_digest_add(struct digest *digest, const void *data, size_t len)
{
    return adds-- > 0 && __real_digest_add(digest, data, len);
}

bool __wrap_digest_end(struct digest *digest, unsigned char hash[DIGEST_BYTES])
{
    return ends-- > 0 && __real_digest_end(digest, hash);
}

static int fresh(void **state)
{
    (void)state;
    adds = ends = 1000;
    play_begin(scene_server_new(TLSMSG_OPT_COUNT), 0);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    failmalloc_at(0);
    play_end();
    return 0;
}

/* --- hashes ----------------------------------------------------------------------------------- */

static void play_hash(const char *says, const char *hears)
{
    const struct act acts[] = {
        {.says = says},
        {.hears = hears, .has_left = true},
    };

    assert_true(scene_enter(&scene, -1));
    ACTS_PLAY(&scene, acts);
    assert_string_equal(scene.told, NO_MEMORY(1) "closed 1: failed, 0 messages, BYE 503, of p\n");
}

static void test_no_hash_of_a_whole_message(void **state)
{
    (void)state;
    adds = 0;
    play_hash("HELLO 1 producer=p\nMSG 1 1\na\n", HELLO BUSY);
}

static void test_no_hash_of_a_part(void **state)
{
    (void)state;
    adds = 0;
    play_hash("HELLO 1 producer=p\nMSG 1 2\na", HELLO BUSY);
}

static void test_no_hash_at_the_end(void **state)
{
    (void)state;
    ends = 0;
    play_hash("HELLO 1 producer=p\nMSG 1 1\na\n", HELLO BUSY);
}

/* --- memory ----------------------------------------------------------------------------------- */

static unsigned long failing;

static bool memory_is_short(struct scene *s)
{
    s->peers[0].most = (size_t)-1;
    failmalloc_at(failing);
    return true;
}

static bool is_told(struct scene *s)
{
    return s->closed == 1 || s->peers[0].open;
}

static bool memory_is_back(struct scene *s)
{
    (void)s;
    failmalloc_at(0);
    return true;
}

/* Of what a conversation needs to begin the transport is the first, and then its own. */
static void test_no_memory_for_a_conversation(void **state)
{
    static const struct act acts[] = {
        {.does = memory_is_short},
        {.does = is_told},
        {.does = memory_is_back},
    };
    bool was_told = false;

    (void)state;
    for (failing = 1; !was_told && failing < 50; failing++) {
        assert_true(stepped_begin(server));
        scene_init(&scene, server, peers);
        assert_true(scene_enter(&scene, -1));
        peers[0].most = 0;
        ACTS_PLAY(&scene, acts);
        was_told =
            strcmp(scene.told, "warning memory 1: no memory for a conversation; it is closed\n"
                               "closed 1: failed, 0 messages\n") == 0;
        if (!was_told) {
            assert_non_null(strstr(scene.told, "warning memory 1: "));
            assert_non_null(strstr(scene.told, "\nclosed 1: handshake, 0 messages"));
        }
        assert_true(scene.events[TLSMSG_CAUSE_MEMORY] == 1);
        scene_fini(&scene);
    }
    assert_true(was_told);
    assert_true(stepped_begin(server));
    scene_init(&scene, server, peers);
}

static bool memory_is_short_now(struct scene *s)
{
    (void)s;
    failmalloc_at(failing);
    return true;
}

static bool it_has_ended(struct scene *s)
{
    return s->closed == 1;
}

/* Greeted, or told why not: nobody waits for ever. */
static bool second_has_its_answer(struct scene *s)
{
    static const char greeting[] = "HELLO 1 last=1 max=1048576 window=256 promise=none\n";
    const struct raw_peer *p = &s->peers[1];

    if (p->heard == 0) {
        return false;
    }
    assert_true((p->heard == strlen(BUSY) && memcmp(p->in, BUSY, p->heard) == 0) ||
                (p->heard >= strlen(greeting) && memcmp(p->in, greeting, strlen(greeting)) == 0));
    return true;
}

/* A greeting that waits for another connection, and what comes behind it: each allocation in turn. */
static void test_no_memory_for_a_takeover(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1 producer=p\n"}, {.hears = HELLO, .holds = "MSG 1 1\na\n"},
        {.does = memory_is_short_now},    {.peer = 1, .says = "HELLO 1 producer=p\nMSG 2 5\nhello"},
        {.does = scene_release},          {.does = second_has_its_answer},
        {.does = memory_is_back},
    };
    unsigned hurt = 0;

    (void)state;
    for (failing = 1; failing < 12; failing++) {
        assert_true(stepped_begin(server));
        scene_init(&scene, server, peers);
        assert_true(scene_enter(&scene, -1));
        assert_true(scene_enter(&scene, -1));
        ACTS_PLAY(&scene, acts);
        if (scene.events[TLSMSG_CAUSE_MEMORY] > 0) {
            assert_int_equal(scene.events[TLSMSG_CAUSE_MEMORY], 1);
            assert_non_null(
                strstr(scene.told, NO_MEMORY(2) "closed 2: failed, 0 messages, BYE 503"));
            hurt++;
        }
        scene_fini(&scene);
        producers_fini(&server->producers);
        producers_init(&server->producers, PRODUCERS_MAX);
    }
    /* Its name, its hold and digest, the producer, a place in it, who is told, what came behind. */
    assert_true(hurt > 6);
    assert_true(stepped_begin(server));
    scene_init(&scene, server, peers);
}

/* --- replies ---------------------------------------------------------------------------------- */

#define LONG_BYTES (100 * 1024)

static char long_reply[LONG_BYTES];
static enum tlsmsg_code reply_code;

static void answer_at_length(struct tlsmsg_message *message, void *user)
{
    const struct iovec text = {.iov_base = long_reply, .iov_len = sizeof(long_reply)};

    (void)user;
    failmalloc_at(1);
    reply_code = tlsmsg_message_reply(message, &text, 1);
    failmalloc_at(0);
}

static void test_no_memory_for_a_reply(void **state)
{
    static const struct act acts[] = {{.says = "HELLO 1\nMSG 1 1\na\n"}, {.does = it_has_ended}};

    (void)state;
    assert_true(scene_enter(&scene, -1));
    server->handler.message = answer_at_length;
    ACTS_PLAY(&scene, acts);
    assert_int_equal(reply_code, TLSMSG_ERR_NOMEM);
    assert_string_equal(scene.told,
                        "warning memory 1: no room for a reply; the conversation is closed\n"
                        "closed 1: failed, 1 messages\n");
}

static void defer_without_memory(struct tlsmsg_message *message, void *user)
{
    struct tlsmsg_token token;

    (void)user;
    failmalloc_at(1);
    reply_code = tlsmsg_message_defer(message, &token);
    failmalloc_at(0);
}

/* What could not be taken for later is answered as if that had not been tried. */
static void test_no_memory_to_defer(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1\nMSG 1 1\na\n"},
        {.hears = HELLO "OK 1 37\n你好，我已收到你的消息：a\n", .leaves = true, .has_left = true},
    };

    (void)state;
    assert_true(scene_enter(&scene, -1));
    server->handler.message = defer_without_memory;
    ACTS_PLAY(&scene, acts);
    assert_int_equal(reply_code, TLSMSG_ERR_NOMEM);
    assert_string_equal(scene.told, "closed 1: clean, 1 messages\n");
}

/* A reply from another thread has come over; there is no room for it in the queue. */
static bool late_reply_is_given(struct scene *s)
{
    assert_int_equal(s->token_count, 1);
    failmalloc_at(3);
    assert_int_equal(tlsmsg_server_reply(s->server, &s->tokens[0], long_reply, sizeof(long_reply)),
                     TLSMSG_OK);
    return true;
}

static void test_no_memory_for_a_late_reply(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1\nMSG 1 1\na\n"},
        {.hears = HELLO, .does = late_reply_is_given},
        {.does = it_has_ended},
    };

    (void)state;
    assert_true(scene_enter(&scene, -1));
    scene.defer = 1;
    ACTS_PLAY(&scene, acts);
    assert_string_equal(scene.told,
                        "warning memory 1: no room for a reply; the conversation is closed\n"
                        "closed 1: failed, 1 messages\n");
}

#define BOTH(function) cmocka_unit_test_setup_teardown(function, fresh, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_no_hash_of_a_whole_message), BOTH(test_no_hash_of_a_part),
        BOTH(test_no_hash_at_the_end),         BOTH(test_no_memory_for_a_conversation),
        BOTH(test_no_memory_for_a_takeover),   BOTH(test_no_memory_for_a_reply),
        BOTH(test_no_memory_to_defer),         BOTH(test_no_memory_for_a_late_reply),
    };

    return cmocka_run_group_tests(tests, numbered_setup, scene_teardown);
}
