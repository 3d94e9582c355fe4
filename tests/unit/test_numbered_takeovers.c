/* Several connections of one producer: the latest has it, once what the others brought is decided;
 * what each hears, and what the server tells of it. */
#include "support/unit.h"

#include <string.h>

#include "support/numbered_words.h"
#include "support/play.h"

#define HELLO_AFTER(last) HELLO_OF(last, "none")
#define LOST_IT(connection, messages)                                                              \
    "info other " #connection ": a later connection of producer 'p' takes over\n"                  \
    "closed " #connection ": refused, " #messages " messages, BYE 409, of p\n"

static bool nobody_waits(struct scene *s)
{
    assert_true(list_is_empty(&s->server->workers[0].waiting));
    assert_true(list_is_empty(&s->server->workers[0].leaving));
    return true;
}

static bool second_is_cut(struct scene *s)
{
    raw_peer_drop(&s->peers[1], false);
    return true;
}

/* What the handler is told of its end makes a turn that is held as well. */
static bool first_is_cut_and_held(struct scene *s)
{
    s->hold = 1;
    return scene_cut(s);
}

static void one_was_told_of_it(void)
{
    struct tlsmsg_stats stats = {.size = sizeof(stats)};

    tlsmsg_server_stats(server, &stats);
    assert_int_equal(stats.byes[1], 1);
}

static void defer_of_the_first(void)
{
    scene.defer = 1;
}

static void room_for_one_producer(void)
{
    server->producers.max = 1;
}

static void assert_ends_in_any_order(void)
{
    assert_int_equal(scene.ends[TLSMSG_CLOSE_CLEAN], 1);
    assert_int_equal(scene.closed, 2);
}

static const struct play plays[] = {
    {.name = "the later connection has it",
     .peers = 2,
     .acts = {{.says = "HELLO 1 producer=p\nMSG 1 1\na\n"},
              {.hears = HELLO OK(1, "a")},
              {.peer = 1, .says = "HELLO 1 producer=p\nMSG 2 1\nb\n"},
              {.peer = 1, .hears = HELLO_AFTER(1) OK(2, "b")},
              {.hears = TAKEN_OVER, .has_left = true},
              {.peer = 1, .does = nobody_waits, .leaves = true, .has_left = true}},
     .check = one_was_told_of_it,
     .told = LOST_IT(1, 1) "closed 2: clean, 1 messages, of p\n"},
    /* Others have names of their own, and none is nobody's. */
    {.name = "names do not meet",
     .peers = 3,
     .acts = {{.says = "HELLO 1 producer=p\nMSG 1 1\na\n"},
              {.peer = 1, .says = "HELLO 1 producer=q\nMSG 1 1\nb\n"},
              {.peer = 2, .says = "HELLO 1\nMSG 1 1\nc\n"},
              {.peer = 1, .hears = HELLO OK(1, "b"), .leaves = true, .has_left = true},
              {.peer = 2, .hears = HELLO OK(1, "c"), .leaves = true, .has_left = true},
              {.hears = HELLO OK(1, "a"), .leaves = true, .has_left = true}},
     .told = "closed 2: clean, 1 messages, of q\nclosed 3: clean, 1 messages\n"
             "closed 1: clean, 1 messages, of p\n"},
    /* The first one's message is held: that is not answered any more, and the second one's number
     * includes it all the same, since it may be stored. */
    {.name = "what is undecided is waited for",
     .peers = 2,
     .acts = {{.says = "HELLO 1 producer=p\n"},
              {.hears = HELLO, .holds = "MSG 1 1\na\n"},
              {.peer = 1, .says = "HELLO 1 producer=p\n"},
              {.hears = TAKEN_OVER, .has_left = true},
              {.peer = 1, .hears = ""},
              {.does = scene_release},
              {.peer = 1, .hears = HELLO_AFTER(1), .leaves = true, .has_left = true}},
     .told = LOST_IT(1, 1) "closed 2: clean, 0 messages, of p\n"},
    /* The same where the first one's connection is gone before anybody asks. */
    {.name = "what a lost connection brought is waited for",
     .peers = 2,
     .acts = {{.says = "HELLO 1 producer=p\n"},
              {.hears = HELLO, .holds = "MSG 1 1\na\n"},
              {.does = scene_cut},
              {.peer = 1, .says = "HELLO 1 producer=p\n"},
              {.peer = 1, .hears = ""},
              {.does = scene_release},
              {.peer = 1, .hears = HELLO_AFTER(1), .leaves = true, .has_left = true}},
     .check = assert_ends_in_any_order},
    /* And where the turn of its end is held, too: that one has no replies, only the producer. */
    {.name = "a lost connection's end is waited for",
     .peers = 2,
     .acts = {{.says = "HELLO 1 producer=p\n"},
              {.hears = HELLO, .holds = "MSG 1 1\na\n"},
              {.does = first_is_cut_and_held},
              {.peer = 1, .says = "HELLO 1 producer=p\n"},
              {.does = scene_release},
              {.peer = 1, .hears = ""},
              {.does = scene_release},
              {.peer = 1, .hears = HELLO_AFTER(1), .leaves = true, .has_left = true}},
     .check = assert_ends_in_any_order},
    /* All that the first one brought is decided: its end needs no hold's end. */
    {.name = "another's hold is not waited for",
     .peers = 3,
     .acts = {{.says = "HELLO 1 producer=p\nMSG 1 1\na\n"},
              {.hears = HELLO OK(1, "a")},
              {.peer = 1, .says = "HELLO 1\n"},
              {.peer = 1, .hears = HELLO, .holds = "MSG 1 1\nb\n"},
              {.does = scene_cut},
              {.peer = 2, .says = "HELLO 1 producer=p\n"},
              {.peer = 2, .hears = HELLO_AFTER(1)},
              {.does = scene_release},
              {.peer = 1, .hears = OK(1, "b"), .leaves = true, .has_left = true},
              {.peer = 2, .leaves = true, .has_left = true}},
     .told = "closed 1: reset, 1 messages, of p\nclosed 2: clean, 1 messages\n"
             "closed 3: clean, 0 messages, of p\n"},
    /* One waits at most. */
    {.name = "a third takes the place of the second",
     .peers = 3,
     .acts = {{.says = "HELLO 1 producer=p\n"},
              {.hears = HELLO, .holds = "MSG 1 1\na\n"},
              {.peer = 1, .says = "HELLO 1 producer=p\nMSG 2 1\nb\n"},
              {.hears = TAKEN_OVER, .has_left = true},
              {.peer = 2, .says = "HELLO 1 producer=p\nMSG 2 1\nc\n"},
              {.peer = 1, .hears = TAKEN_OVER, .has_left = true},
              {.peer = 2, .hears = ""},
              {.does = scene_release},
              {.peer = 2, .hears = HELLO_AFTER(1) OK(2, "c"), .leaves = true, .has_left = true}},
     .told = LOST_IT(1, 1) LOST_IT(2, 0) "closed 3: clean, 1 messages, of p\n"},
    /* Who waits isn't read, and may go all the same: the next one waits in its place. */
    {.name = "one that waits is cut",
     .peers = 3,
     .acts = {{.says = "HELLO 1 producer=p\n"},
              {.hears = HELLO, .holds = "MSG 1 1\na\n"},
              {.peer = 1, .says = "HELLO 1 producer=p\nMSG 2 1\nb\n"},
              {.hears = TAKEN_OVER, .has_left = true},
              {.does = second_is_cut},
              {.peer = 2, .says = "HELLO 1 producer=p\n"},
              {.peer = 2, .hears = ""},
              {.does = scene_release},
              {.peer = 2, .hears = HELLO_AFTER(1), .leaves = true, .has_left = true}},
     .told = LOST_IT(1, 1) "closed 2: reset, 0 messages, of p\n"
                           "closed 3: clean, 0 messages, of p\n"},
    /* A greeting that is read late takes over nothing from a connection that came later. */
    {.name = "an earlier connection comes too late",
     .peers = 2,
     .acts = {{.peer = 1, .says = "HELLO 1 producer=p\n"},
              {.peer = 1, .hears = HELLO},
              {.says = "HELLO 1 producer=p\nMSG 1 1\na\n"},
              {.hears = TAKEN_OVER, .has_left = true},
              {.peer = 1, .says = "MSG 1 1\na\n"},
              {.peer = 1, .hears = OK(1, "a"), .leaves = true, .has_left = true}},
     .told = "closed 1: refused, 0 messages, BYE 409, of p\nclosed 2: clean, 1 messages, of p\n"},
    /* There is room for one producer, and it is connected. */
    {.name = "more producers than there is room for",
     .peers = 3,
     .prepare = room_for_one_producer,
     .acts = {{.says = "HELLO 1 producer=p\n"},
              {.hears = HELLO},
              {.peer = 1, .says = "HELLO 1 producer=q\n"},
              {.peer = 1,
               .hears = BYE(503, 70,
                            "too many producers are connected (try: again later, or another "
                            "server)"),
               .has_left = true},
              {.leaves = true, .has_left = true},
              {.peer = 2, .says = "HELLO 1 producer=q\n"},
              {.peer = 2, .hears = HELLO, .leaves = true, .has_left = true}},
     .told = "warning limit 2: refused, BYE 503: all 1 producers that the server remembers are "
             "connected (try: several servers, each for some of the clients)\n"
             "closed 2: failed, 0 messages, BYE 503, of q\n"
             "closed 1: clean, 0 messages, of p\nclosed 3: clean, 0 messages, of q\n"},
    /* One that has no reply yet to what was deferred is not waited for. */
    {.name = "deferred replies of the earlier are dropped",
     .peers = 2,
     .prepare = defer_of_the_first,
     .acts = {{.says = "HELLO 1 producer=p\nMSG 1 1\na\nMSG 2 1\nb\n"},
              {.hears = HELLO},
              {.peer = 1, .says = "HELLO 1 producer=p\n"},
              {.hears = TAKEN_OVER, .has_left = true},
              {.peer = 1, .hears = HELLO_AFTER(2), .leaves = true, .has_left = true}},
     .told = LOST_IT(1, 2) "closed 2: clean, 0 messages, of p\n"},
};

int main(void)
{
    int failed = 0;

    (void)numbered_setup(NULL);
    RUN_ROWS(failed, play_row, plays);
    (void)scene_teardown(NULL);
    return failed;
}
