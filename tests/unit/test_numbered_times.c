/* Deadlines of tlsmsg/1, by a clock that the test puts forward: for a greeting, for a message that
 * stands still or drips, for silence; and the server's stop. */
#include "support/unit.h"

#include <string.h>

#include "support/numbered_words.h"
#include "support/play.h"

#define TOO_SLOW BYE(503, 8, "too slow")
#define KIB 1024
#define HOUR_MS 3600000

#define TOLD_NO_GREETING                                                                           \
    "warning timeout 1: sent no HELLO in time\nclosed 1: timeout, 0 messages, BYE 503\n"
#define TOLD_SLOW_AFTER(messages)                                                                  \
    "warning timeout 1: brings a message too slowly\n"                                             \
    "closed 1: timeout, " #messages " messages, BYE 503\n"
#define TOLD_IDLE_AFTER(messages)                                                                  \
    "info timeout 1: idle for 60 s\nclosed 1: timeout, " #messages " messages, BYE 503\n"

/* A greeting has the time of a handshake. One whose header is cut has no time of its own: the
 * greeting's, or the idle timeout. */
static const struct play greetings[] = {
    {.name = "none comes",
     .options = {{TLSMSG_OPT_HANDSHAKE_TIMEOUT, "20"}},
     .acts = {{.does = scene_is_open},
              {.passes_ms = 12000, .does = scene_told_nothing},
              {.does = scene_told_nothing},
              {.passes_ms = 8000},
              {.hears = TOO_SLOW, .has_left = true}},
     .told = TOLD_NO_GREETING},
    {.name = "one is in time",
     .options = {{TLSMSG_OPT_HANDSHAKE_TIMEOUT, "20"}},
     .acts = {{.does = scene_is_open, .passes_ms = 12000},
              {.says = "HELLO 1\n"},
              {.hears = HELLO, .passes_ms = HOUR_MS},
              {.does = scene_told_nothing, .says = "MSG 1 1\na\n"},
              {.hears = OK(1, "a"), .leaves = true, .has_left = true}},
     .told = "closed 1: clean, 1 messages\n"},
    {.name = "one in parts is too slow",
     .options = {{TLSMSG_OPT_HANDSHAKE_TIMEOUT, "20"}},
     .acts = {{.says = "HEL", .passes_ms = 12000},
              {.says = "LO", .does = scene_told_nothing, .passes_ms = 8000},
              {.hears = TOO_SLOW, .has_left = true}},
     .told = TOLD_NO_GREETING},
};

/* The header of a message of 100 KiB, and 12 KiB of it. */
static bool brings_12_kib(struct scene *s)
{
    static char text[16 * KIB] = "HELLO 1\nMSG 1 102400\n";
    size_t header = strcspn(text, "x");

    memset(text + header, 'x', 12 * KIB);
    return s->peers[0].open && scene_say(&s->peers[0], text);
}

static bool is_held(struct scene *s)
{
    return s->holds == 1;
}

static const struct play messages[] = {
    /* Each byte gives it the write timeout anew. */
    {.name = "one that stands still",
     .options = {{TLSMSG_OPT_WRITE_TIMEOUT, "30"}},
     .acts = {{.says = "HELLO 1\nMSG 1 3\na"},
              {.hears = HELLO, .passes_ms = 20000},
              {.says = "b"},
              {.passes_ms = 20000},
              {.does = scene_told_nothing, .passes_ms = 10000},
              {.hears = TOO_SLOW, .has_left = true}},
     .told = TOLD_SLOW_AFTER(0)},
    /* One that is whole has no deadline, and the next one a time of its own. */
    {.name = "one that came whole is not slow",
     .options = {{TLSMSG_OPT_WRITE_TIMEOUT, "30"}},
     .acts = {{.says = "HELLO 1\nMSG 1 1\na"},
              {.hears = HELLO, .says = "\n"},
              {.hears = OK(1, "a"), .passes_ms = HOUR_MS},
              {.says = "MSG 2 3\na"},
              {.passes_ms = 20000},
              {.does = scene_told_nothing, .passes_ms = 10000},
              {.hears = TOO_SLOW, .has_left = true}},
     .told = TOLD_SLOW_AFTER(1)},
    /* 12 KiB are there: they have earned 12 s, and 2 s are there to begin with. */
    {.name = "a long one must bring a kibibyte a second",
     .options = {{TLSMSG_OPT_WRITE_TIMEOUT, "0"}},
     .acts = {{.does = brings_12_kib},
              {.hears = HELLO, .passes_ms = 5000},
              {.does = scene_told_nothing, .says = "y"},
              {.passes_ms = 8900},
              {.does = scene_told_nothing, .passes_ms = 150},
              {.hears = TOO_SLOW, .has_left = true}},
     .told = TOLD_SLOW_AFTER(0)},
    /* The sooner of both. */
    {.name = "a long one that stands still",
     .options = {{TLSMSG_OPT_WRITE_TIMEOUT, "11"}},
     .acts = {{.does = brings_12_kib},
              {.hears = HELLO, .passes_ms = 5000},
              {.does = scene_told_nothing, .passes_ms = 6050},
              {.hears = TOO_SLOW, .has_left = true}},
     .told = TOLD_SLOW_AFTER(0)},
    {.name = "a short one may drip",
     .options = {{TLSMSG_OPT_WRITE_TIMEOUT, "0"}},
     .acts = {{.says = "HELLO 1\nMSG 1 1024\nx"},
              {.hears = HELLO, .passes_ms = HOUR_MS},
              {.does = scene_told_nothing},
              {.leaves = true, .has_left = true}},
     .told = "info truncated 1: ended within a frame\nclosed 1: clean, 0 messages\n"},
    {.name = "one over a kibibyte may not",
     .options = {{TLSMSG_OPT_WRITE_TIMEOUT, "0"}},
     .acts = {{.says = "HELLO 1\nMSG 1 1025\nx"},
              {.hears = HELLO, .passes_ms = 2050},
              {.hears = TOO_SLOW, .has_left = true}},
     .told = TOLD_SLOW_AFTER(0)},
    /* We don't listen during a hold: its time is not the peer's. */
    {.name = "a hold is no message's slowness",
     .options = {{TLSMSG_OPT_WRITE_TIMEOUT, "30"}},
     .peers = 2,
     .acts = {{.does = brings_12_kib},
              {.peer = 1, .says = "HELLO 1\n"},
              {.peer = 1, .hears = HELLO, .holds = "MSG 1 1\na\n"},
              {.does = is_held, .passes_ms = HOUR_MS},
              {.does = scene_told_nothing},
              {.does = scene_release},
              {.peer = 1, .hears = OK(1, "a")},
              {.hears = HELLO, .passes_ms = 5000},
              {.does = scene_told_nothing, .passes_ms = 9050},
              {.hears = TOO_SLOW, .has_left = true},
              {.peer = 1, .leaves = true, .has_left = true}},
     .told = TOLD_SLOW_AFTER(0) "closed 2: clean, 1 messages\n"},
};

static const struct play silences[] = {
    {.name = "behind a message",
     .options = {{TLSMSG_OPT_IDLE_TIMEOUT, "60"}},
     .acts = {{.says = "HELLO 1\nMSG 1 1\na\n"},
              {.hears = HELLO OK(1, "a"), .passes_ms = 40000},
              {.does = scene_told_nothing, .passes_ms = 20000},
              {.hears = BYE(503, 4, "idle"), .has_left = true}},
     .told = TOLD_IDLE_AFTER(1)},
    /* With a greeting it counts from its answer. */
    {.name = "behind a greeting",
     .options = {{TLSMSG_OPT_IDLE_TIMEOUT, "60"}, {TLSMSG_OPT_HANDSHAKE_TIMEOUT, "0"}},
     .acts = {{.does = scene_is_open, .passes_ms = 40000},
              {.says = "HELLO 1\n"},
              {.hears = HELLO, .passes_ms = 40000},
              {.does = scene_told_nothing, .passes_ms = 20000},
              {.hears = BYE(503, 4, "idle"), .has_left = true}},
     .told = TOLD_IDLE_AFTER(0)},
};

static const struct play stops[] = {
    {.name = "behind a message",
     .options = {{TLSMSG_OPT_DRAIN_TIMEOUT, "60"}},
     .acts = {{.says = "HELLO 1\nMSG 1 1\na\n"},
              {.hears = HELLO OK(1, "a"), .does = scene_stop},
              {.hears = BYE(503, 8, "stopping"), .has_left = true}},
     .told = "closed 1: drained, 1 messages, BYE 503\n"},
    /* One that has said nothing so far has a second for it. */
    {.name = "before a first message",
     .options = {{TLSMSG_OPT_DRAIN_TIMEOUT, "60"}},
     .acts = {{.says = "HELLO 1\n"},
              {.hears = HELLO, .does = scene_stop, .passes_ms = 1000},
              {.hears = BYE(503, 8, "stopping"), .has_left = true}},
     .told = "closed 1: drained, 0 messages, BYE 503\n"},
};

int main(void)
{
    int failed = 0;

    (void)numbered_setup(NULL);
    RUN_ROWS(failed, play_row, greetings);
    RUN_ROWS(failed, play_row, messages);
    RUN_ROWS(failed, play_row, silences);
    RUN_ROWS(failed, play_row, stops);
    (void)scene_teardown(NULL);
    return failed;
}
