/* The rules of tlsmsg/1 that a client can keep or break: what it hears, and what the server tells
 * of it, to the letter. */
#include "support/unit.h"

#include <string.h>

#include "support/numbered_words.h"
#include "support/play.h"

#define SAYS_MAX 4
#define HELLO_64 "HELLO 1 last=0 max=64 window=256 promise=none\n"
#define REFUSED(code, text)                                                                        \
    "warning other 1: refused, BYE " #code ": " text "; the conversation is closed\n"
#define NOT_UTF8                                                                                   \
    "warning invalid-utf8 1: refused, BYE 415: bytes that are not UTF-8; the conversation is "     \
    "closed\n"
#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct row {
    const char *name;
    const char *says[SAYS_MAX]; /* a record each */
    const char *hears;
    const char *told;
} rows[] = {
    {"nothing", {"HELLO 1\n"}, HELLO_64, "closed 1: clean, 0 messages\n"},
    {"one message",
     {"HELLO 1\nMSG 1 1\na\n"},
     HELLO_64 OK(1, "a"),
     "closed 1: clean, 1 messages\n"},
    {"a message before HELLO",
     {"MSG 1 1\na\n"},
     BYE(400, 22, "a message before HELLO"),
     REFUSED(400, "a message before HELLO") "closed 1: refused, 0 messages, BYE 400\n"},
    {"the begin of one before HELLO",
     {"MSG 1 2\na"},
     BYE(400, 22, "a message before HELLO"),
     REFUSED(400, "a message before HELLO") "closed 1: refused, 0 messages, BYE 400\n"},
    {"a second HELLO",
     {"HELLO 1\n", "HELLO 1\n"},
     HELLO_64 BYE(400, 14, "a second HELLO"),
     REFUSED(400, "a second HELLO") "closed 1: refused, 0 messages, BYE 400\n"},
    {"what is no frame",
     {"HELLO 1\nHELO\n"},
     HELLO_64 BYE(400, 38, "a header that is neither HELLO nor MSG"),
     REFUSED(400, "a header that is neither HELLO nor MSG") "closed 1: refused, 0 messages, BYE "
                                                            "400\n"},
    {"a body of another length",
     {"HELLO 1\nMSG 1 1\nab\n"},
     HELLO_64 BYE(400, 45, "a body of another length than its header says"),
     REFUSED(400, "a body of another length than its header says") "closed 1: refused, 0 messages, "
                                                                   "BYE 400\n"},
    {"the first is not 1",
     {"HELLO 1\nMSG 2 1\na\n"},
     HELLO_64 BYE(400, 21, "a number out of order"),
     REFUSED(400, "a number out of order") "closed 1: refused, 0 messages, BYE 400\n"},
    {"below from",
     {"HELLO 1 producer=p from=3\nMSG 2 1\na\n"},
     HELLO_64 BYE(400, 21, "a number out of order"),
     REFUSED(400, "a number out of order") "closed 1: refused, 0 messages, BYE 400, of p\n"},
    {"above from",
     {"HELLO 1 producer=p from=3\nMSG 4 1\na\n"},
     HELLO_64 BYE(400, 21, "a number out of order"),
     REFUSED(400, "a number out of order") "closed 1: refused, 0 messages, BYE 400, of p\n"},
    {"from, and the next",
     {"HELLO 1 producer=p from=3\nMSG 3 1\na\n", "MSG 4 1\nb\n"},
     HELLO_64 OK(3, "a") OK(4, "b"),
     "closed 1: clean, 2 messages, of p\n"},
    {"one left out",
     {"HELLO 1\nMSG 1 1\na\n", "MSG 3 1\na\n"},
     HELLO_64 OK(1, "a") BYE(400, 21, "a number out of order"),
     REFUSED(400, "a number out of order") "closed 1: refused, 1 messages, BYE 400\n"},
    {"the same again",
     {"HELLO 1\nMSG 1 1\na\nMSG 1 1\na\n"},
     HELLO_64 OK(1, "a") BYE(400, 21, "a number out of order"),
     REFUSED(400, "a number out of order") "closed 1: refused, 1 messages, BYE 400\n"},
    {"as long as may be",
     {"HELLO 1\nMSG 1 64\n" X64 "\nMSG 2 64\n" X64, "\n"},
     HELLO_64 OK_OF(1, 100, X64) OK_OF(2, 100, X64),
     "closed 1: clean, 2 messages\n"},
    {"a byte longer",
     {"HELLO 1\nMSG 1 65\n" X64 "x\n"},
     HELLO_64 BYE(413, 25, "a message longer than max"),
     REFUSED(413, "a message longer than max") "closed 1: refused, 0 messages, BYE 413\n"},
    {"the begin of a longer one",
     {"HELLO 1\nMSG 1 65\n"},
     HELLO_64 BYE(413, 25, "a message longer than max"),
     REFUSED(413, "a message longer than max") "closed 1: refused, 0 messages, BYE 413\n"},
    {"not UTF-8",
     {"HELLO 1\nMSG 1 1\n\xff\n"},
     HELLO_64 BYE(415, 24, "bytes that are not UTF-8"),
     NOT_UTF8 "closed 1: invalid-utf8, 0 messages, BYE 415\n"},
    {"a character that is not whole",
     {"HELLO 1\nMSG 1 2\n\xe4\xbd\n"},
     HELLO_64 BYE(415, 24, "bytes that are not UTF-8"),
     NOT_UTF8 "closed 1: invalid-utf8, 0 messages, BYE 415\n"},
    {"not UTF-8 in a part",
     {"HELLO 1\nMSG 1 9\na", "\xff"},
     HELLO_64 BYE(415, 24, "bytes that are not UTF-8"),
     NOT_UTF8 "closed 1: invalid-utf8, 0 messages, BYE 415\n"},
    {"a character that is not whole at the end of parts",
     {"HELLO 1\nMSG 1 3\na", "\xe4\xbd", "\n"},
     HELLO_64 BYE(415, 24, "bytes that are not UTF-8"),
     NOT_UTF8 "closed 1: invalid-utf8, 0 messages, BYE 415\n"},
    {"a character in parts",
     {"HELLO 1\nMSG 1 6\n\xe4\xbd", "\xa0\xe5\xa5", "\xbd", "\nMSG 2 1\nb\n"},
     HELLO_64 OK_OF(1, 42, "你好") OK(2, "b"),
     "closed 1: clean, 2 messages\n"},
    {"the end within a body",
     {"HELLO 1\nMSG 1 2\na"},
     HELLO_64,
     "info truncated 1: ended within a frame\nclosed 1: clean, 0 messages\n"},
    {"the end within a line end",
     {"HELLO 1\nMSG 1 1\na"},
     HELLO_64,
     "info truncated 1: ended within a frame\nclosed 1: clean, 0 messages\n"},
    {"the end within a header",
     {"HELLO 1\nMSG 1"},
     HELLO_64,
     "info truncated 1: ended within a frame\nclosed 1: clean, 0 messages\n"},
    {"the end within a greeting",
     {"HEL"},
     "",
     "info truncated 1: ended within a frame\nclosed 1: clean, 0 messages\n"},
    {"the end before a greeting", {""}, "", "closed 1: clean, 0 messages\n"},
};

static void test_rule(void **state)
{
    const struct row *row = *state;
    struct act acts[SAYS_MAX + 2];
    size_t count = 0;

    play_begin(scene_server_new(TLSMSG_OPT_MAX_MESSAGE, "64", TLSMSG_OPT_COUNT), 1);
    for (size_t i = 0; i < SAYS_MAX && row->says[i] != NULL && row->says[i][0] != '\0'; i++) {
        acts[count++] = (struct act){.says = row->says[i]};
    }
    acts[count++] = (struct act){.hears = row->hears};
    acts[count++] = (struct act){.leaves = true, .has_left = true};
    acts_play(&scene, acts, count);
    play_end_told(row->told);
}

/* --- behind a reset --------------------------------------------------------------------------- */

/* Between the reading of a message and its reply the client breaks a rule and resets. */
static bool resets_behind_a_message(struct scene *s)
{
    if (s->messages == 1 && !scene_is_over(&s->peers[0])) {
        assert_true(scene_say(&s->peers[0], "MSG 3 1\nc\n"));
        (void)raw_peer_step(&s->peers[0]);
        raw_peer_drop(&s->peers[0], true);
    }
    return true;
}

/* What came before the reset is still judged; there is nobody to tell. */
static void test_a_rule_broken_before_a_reset(void **state)
{
    static const struct act acts[] = {
        {.says = "HELLO 1\n"},
        {.hears = HELLO_64, .says = "MSG 1 1\na\n"},
    };
    struct tlsmsg_stats stats = {.size = sizeof(stats)};

    (void)state;
    play_begin(scene_server_new(TLSMSG_OPT_MAX_MESSAGE, "64", TLSMSG_OPT_COUNT), 0);
    assert_true(scene_enter_by_tcp(&scene));
    scene.turn_end = resets_behind_a_message;
    ACTS_PLAY(&scene, acts);
    assert_string_equal(
        scene.told,
        REFUSED(400, "a number out of order") "closed 1: refused, 1 messages, BYE 400\n");
    tlsmsg_server_stats(server, &stats);
    assert_int_equal(stats.replies, 0);
    assert_int_equal(stats.byes[0], 1);
    play_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rule_broken_before_a_reset),
    };
    int failed = 0;

    (void)numbered_setup(NULL);
    RUN_ROWS(failed, test_rule, rows);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    (void)scene_teardown(NULL);
    return failed;
}
