/* See storing_ends.h. */
#include "support/storing_ends.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tlsmsg/tlsmsg.h>

#include "base/error.h"
#include "support/unit.h"

struct storing_seen seen;

static char store_place;
static char server_place;
static char log_place;
struct store *const storing_store = (struct store *)&store_place;
struct tlsmsg_server *const storing_server = (struct tlsmsg_server *)&server_place;
struct log *const storing_log = (struct log *)&log_place;

enum tlsmsg_code __wrap_store_open(const struct store_settings *settings, struct store **out,
                                   struct tlsmsg_error *error);
enum tlsmsg_code __wrap_store_check(const char *target, struct tlsmsg_error *error);
enum tlsmsg_code __wrap_store_reach(const char *target, const char *home, struct store_reach *out,
                                    struct tlsmsg_error *error);
void __wrap_store_reach_fini(struct store_reach *reach);
enum store_promise __wrap_store_promise(const struct store *which);
enum store_promise __wrap_store_promise_to(struct store *which, uint64_t connection);
enum tlsmsg_code __wrap_store_put(struct store *which, unsigned worker,
                                  const struct store_record *record);
unsigned __wrap_store_turn_end(struct store *which, unsigned worker);
void __wrap_store_hand_over(struct store *which, unsigned worker);
size_t __wrap_store_undecided(const struct store *which, unsigned worker);
void __wrap_store_connection_ended(struct store *which, unsigned worker, uint64_t connection);
void __wrap_store_stats(struct store *which, struct store_stats *out);
bool __wrap_store_failed(struct store *which, char *text, size_t cap);
void __wrap_store_close(struct store *which);
unsigned __wrap_tlsmsg_server_workers(const struct tlsmsg_server *which);
void __wrap_tlsmsg_server_buffered(struct tlsmsg_server *which, int64_t delta);
enum tlsmsg_code __wrap_tlsmsg_server_hello(struct tlsmsg_server *which,
                                            const struct tlsmsg_token *token, uint64_t last,
                                            enum tlsmsg_promise promise);
enum tlsmsg_code __wrap_tlsmsg_server_refuse(struct tlsmsg_server *which,
                                             const struct tlsmsg_token *token, unsigned code);
void __wrap_tlsmsg_server_release(struct tlsmsg_server *which, unsigned worker, bool fail);
void __wrap_log_event(struct log *log, const struct tlsmsg_event *event);
struct passwd *__wrap_getpwnam(const char *name);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);

void storing_ends_reset(void)
{
    memset(&seen, 0, sizeof(seen));
    storing_message_reset();
}

enum tlsmsg_code __wrap_store_open(const struct store_settings *settings, struct store **out,
                                   struct tlsmsg_error *error)
{
    seen.settings = *settings;
    if (seen.opened == TLSMSG_OK) {
        *out = storing_store;
    }
    return seen.opened == TLSMSG_OK ? TLSMSG_OK : error_set(error, seen.opened, 0, "not opened");
}

enum tlsmsg_code __wrap_store_check(const char *target, struct tlsmsg_error *error)
{
    seen.target = target;
    return error_set(error, TLSMSG_ERR_CONFIG, 0, "not a store");
}

enum tlsmsg_code __wrap_store_reach(const char *target, const char *home, struct store_reach *out,
                                    struct tlsmsg_error *error)
{
    seen.target = target;
    seen.home = home;
    out->port_count = 7;
    return error_set(error, TLSMSG_ERR_CONFIG, 0, "out of reach");
}

void __wrap_store_reach_fini(struct store_reach *reach)
{
    reach->port_count = 0;
}

enum store_promise __wrap_store_promise(const struct store *which)
{
    assert_ptr_equal(which, storing_store);
    return seen.promise;
}

enum store_promise __wrap_store_promise_to(struct store *which, uint64_t connection)
{
    assert_ptr_equal(which, storing_store);
    seen.promised_to = connection;
    return seen.promise;
}

enum tlsmsg_code __wrap_store_put(struct store *which, unsigned worker,
                                  const struct store_record *record)
{
    assert_ptr_equal(which, storing_store);
    seen.record = *record;
    seen.worker = worker;
    seen.puts++;
    return seen.put;
}

unsigned __wrap_store_turn_end(struct store *which, unsigned worker)
{
    assert_ptr_equal(which, storing_store);
    assert_int_equal(worker, 1);
    seen.turn_ends++;
    return seen.parts;
}

void storing_decide(enum store_verdict verdict, uint64_t message, bool failed)
{
    const struct store_decision decision = {
        .connection = 7, .tag = message << 24 | 0xABCDEF, .seq = 3, .last = 42, .verdict = verdict};

    seen.settings.decided(storing, 1, &decision, 1, failed);
}

void __wrap_store_hand_over(struct store *which, unsigned worker)
{
    unsigned i;

    assert_ptr_equal(which, storing_store);
    assert_int_equal(worker, 1);
    seen.handed++;
    for (i = 0; i < seen.parts && seen.decides_at_once; i++) {
        storing_decide(STORE_TAKEN, 1, false);
        /* Not all of it has been handed over yet. */
        assert_int_equal(seen.releases, 0);
    }
}

size_t __wrap_store_undecided(const struct store *which, unsigned worker)
{
    assert_ptr_equal(which, storing_store);
    return seen.undecided[worker];
}

void __wrap_store_connection_ended(struct store *which, unsigned worker, uint64_t connection)
{
    assert_ptr_equal(which, storing_store);
    seen.worker = worker;
    seen.ended = connection;
}

void __wrap_store_stats(struct store *which, struct store_stats *out)
{
    assert_ptr_equal(which, storing_store);
    *out = (struct store_stats){.taken = 5};
}

bool __wrap_store_failed(struct store *which, char *text, size_t cap)
{
    assert_ptr_equal(which, storing_store);
    (void)snprintf(text, cap, "%s", seen.failed ? "the disk is gone" : "");
    return seen.failed;
}

void __wrap_store_close(struct store *which)
{
    seen.closes += which != NULL;
}

unsigned __wrap_tlsmsg_server_workers(const struct tlsmsg_server *which)
{
    assert_ptr_equal(which, storing_server);
    return STORING_WORKERS;
}

void __wrap_tlsmsg_server_buffered(struct tlsmsg_server *which, int64_t delta)
{
    assert_ptr_equal(which, storing_server);
    seen.buffered += delta;
    seen.buffered_calls++;
}

enum tlsmsg_code __wrap_tlsmsg_server_hello(struct tlsmsg_server *which,
                                            const struct tlsmsg_token *token, uint64_t last,
                                            enum tlsmsg_promise promise)
{
    assert_ptr_equal(which, storing_server);
    seen.token = *token;
    seen.last = last;
    seen.told_promise = promise;
    seen.hellos++;
    return seen.hello;
}

enum tlsmsg_code __wrap_tlsmsg_server_refuse(struct tlsmsg_server *which,
                                             const struct tlsmsg_token *token, unsigned code)
{
    assert_ptr_equal(which, storing_server);
    seen.token = *token;
    seen.code = code;
    seen.refusals++;
    return seen.refuse;
}

void __wrap_tlsmsg_server_release(struct tlsmsg_server *which, unsigned worker, bool fail)
{
    assert_ptr_equal(which, storing_server);
    seen.releases++;
    seen.released_worker = worker;
    seen.released_failed = fail;
}

void __wrap_log_event(struct log *log, const struct tlsmsg_event *event)
{
    assert_ptr_equal(log, storing_log);
    seen.event = *event;
    seen.events++;
}

struct passwd *__wrap_getpwnam(const char *name)
{
    static char home[] = "/home/alice";
    static struct passwd entry = {.pw_dir = home};

    return strcmp(name, "alice") == 0 ? &entry : NULL;
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return seen.no_workers ? NULL : __real_aligned_alloc(alignment, bytes);
}
