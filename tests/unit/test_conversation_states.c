/* The table of states: every way leads down, and every state can end. */
#include "support/unit.h"

#include "server/conversation.h"

static void test_moves(void **state)
{
    static const struct {
        const char *name;
        enum conversation_state from;
        enum conversation_state to;
        bool allowed;
    } rows[] = {
        {"handshake done", CONVERSATION_HANDSHAKE, CONVERSATION_OPEN, true},
        {"handshake failed", CONVERSATION_HANDSHAKE, CONVERSATION_LINGER, true},
        {"no reply before a handshake", CONVERSATION_HANDSHAKE, CONVERSATION_FLUSH, false},
        {"peer closed", CONVERSATION_OPEN, CONVERSATION_FLUSH, true},
        {"no new handshake", CONVERSATION_OPEN, CONVERSATION_HANDSHAKE, false},
        {"no end without flushing", CONVERSATION_OPEN, CONVERSATION_SHUTDOWN, false},
        {"flushed", CONVERSATION_FLUSH, CONVERSATION_SHUTDOWN, true},
        {"not open again", CONVERSATION_FLUSH, CONVERSATION_OPEN, false},
        {"said", CONVERSATION_SHUTDOWN, CONVERSATION_LINGER, true},
        {"not said twice", CONVERSATION_LINGER, CONVERSATION_SHUTDOWN, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (conversation_may_move(rows[i].from, rows[i].to) != rows[i].allowed) {
            fail_msg("%s", rows[i].name);
        }
    }
}

static void test_ways_lead_only_down(void **state)
{
    (void)state;
    for (int from = 0; from < CONVERSATION_STATE_COUNT; from++) {
        for (int to = 0; to <= from; to++) {
            assert_false(
                conversation_may_move((enum conversation_state)from, (enum conversation_state)to));
        }
        if (from != CONVERSATION_DEAD) {
            assert_true(conversation_may_move((enum conversation_state)from, CONVERSATION_DEAD));
        }
    }
}

static void test_names_of_ends_and_causes(void **state)
{
    (void)state;
    for (int how = 0; how <= TLSMSG_CLOSE_FAILED; how++) {
        assert_string_not_equal(tlsmsg_close_reason_name((enum tlsmsg_close_reason)how), "unknown");
    }
    assert_string_equal(tlsmsg_close_reason_name(TLSMSG_CLOSE_INVALID_UTF8), "invalid-utf8");
    assert_string_equal(tlsmsg_close_reason_name((enum tlsmsg_close_reason)99), "unknown");
    for (int cause = 0; cause < TLSMSG_CAUSE_COUNT; cause++) {
        assert_string_not_equal(tlsmsg_cause_name((enum tlsmsg_cause)cause), "unknown");
    }
    assert_string_equal(tlsmsg_cause_name(TLSMSG_CAUSE_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_ways_lead_only_down),
        cmocka_unit_test(test_names_of_ends_and_causes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
