/* See keeping.h. Main thread. */
#include "app/client/keeping.h"

#include <inttypes.h>
#include <unistd.h>

#include "app/client/report.h"
#include "base/escape.h"

#define BEHIND_MAX 8192 /* kept and not answered, while there is a connection */
#define SPOOL_SHOWN_MAX 256

/* The spool has failed: nothing more is kept or sent. */
static enum exit_code fail(const struct session *session, const struct tlsmsg_error *err)
{
    (void)console_leave_prompt(session->console);
    startup_warn(session->program, "--spool: %s", err->text);
    return EXIT_OTHER;
}

enum exit_code keeping_keep(struct session *session, uint64_t next_number, int64_t next_at,
                            bool *full)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    size_t count = 0;
    enum tlsmsg_code code =
        spooling_keep(session->spooling, session->delivery->connected, &count, &err);

    *full = code == TLSMSG_ERR_LIMIT;
    if (*full) {
        session->no_room = err;
        return EXIT_DONE;
    }
    if (code != TLSMSG_OK) {
        return fail(session, &err);
    }
    session->tally.sent += count;
    session->tally.next = next_number;
    session->resume_at = next_at;
    return EXIT_DONE;
}

enum exit_code keeping_line(struct session *session, const char *text, size_t len, bool is_exit)
{
    const struct spooling_print print = {.is_silent = is_exit};
    const struct input *input = session->input;
    bool full = false;
    enum exit_code code;

    if (!spooling_add(session->spooling, text, len, &print)) {
        startup_warn(session->program, "out of memory");
        return EXIT_OTHER;
    }
    code = keeping_keep(session, input->number + 1, input->next_at, &full);
    if (full) {
        startup_warn(session->program, "line %" PRIu64 " was not kept: %s", input->number,
                     session->no_room.text);
        return EXIT_OTHER;
    }
    return code;
}

bool keeping_is_held_up(const struct session *session)
{
    return session->held_up_bytes > session->delivery->max;
}

/* It stays the next one: a server that takes more may come. */
static void hold_up(struct session *session, const struct spooling_message *message)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (session->held_up_bytes == 0) {
        delivery_blame_length(session->delivery, message->number, message->len, &err);
        (void)console_leave_prompt(session->console);
        startup_warn(session->program, "%s", err.text);
    }
    session->held_up_bytes = message->len;
    spooling_put_back(session->spooling);
}

/* A number that is not there is one that no server takes. */
static void hold_up_at_gap(struct session *session, uint64_t number)
{
    (void)console_leave_prompt(session->console);
    startup_warn(session->program,
                 "message %" PRIu64 " is missing from the spool, and those behind it wait (try: "
                 "tlsmsg-store export, and a new spool)",
                 number);
    session->held_up_bytes = UINT64_MAX;
    spooling_put_back(session->spooling);
}

enum exit_code keeping_load(struct session *session)
{
    struct delivery *d = session->delivery;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct spooling_message message;

    while (delivery_has_room(d) && !keeping_is_held_up(session)) {
        struct delivery_message added = {.seq = 0};

        if (spooling_next(session->spooling, &message, &err) != TLSMSG_OK) {
            return fail(session, &err);
        }
        if (message.number == 0) {
            return EXIT_DONE;
        }
        if (message.number != d->first + d->count) {
            hold_up_at_gap(session, d->first + d->count);
            return EXIT_DONE;
        }
        if (d->greeted && message.len > d->max) {
            hold_up(session, &message);
            return EXIT_DONE;
        }
        added.seq = message.seq;
        added.spooled = message.number;
        if (delivery_add(d, &added, message.data, message.len) == NULL) {
            startup_warn(session->program, "out of memory");
            return EXIT_OTHER;
        }
    }
    return EXIT_DONE;
}

bool keeping_is_behind(const struct session *session)
{
    return session->delivery->connected && !keeping_is_held_up(session) &&
           session->tally.sent - session->tally.answered >= BEHIND_MAX;
}

void keeping_greeted(void *user)
{
    const struct session *session = user;
    const struct console_style *style = &session->console->style;

    if (session->verbose) {
        report_connection(session->program, session->client);
    } else if (!style->quiet && isatty(STDERR_FILENO) == 1) {
        report_connected(session->program, session->client, session->options, style->phrases);
    }
}

bool keeping_answered(struct session *session, const struct delivery_message *message,
                      const struct console_reply *reply)
{
    struct spooling_print print = spooling_answered(session->spooling, message->spooled);
    bool good = print.is_silent || console_reply(session->console, reply);

    session->tally.answered += message->seq != 0 && !print.is_silent;
    session->earlier += message->seq == 0;
    for (unsigned i = 0; i < print.prompts && good; i++) {
        good = console_prompt(session->console);
    }
    return good;
}

enum exit_code keeping_settle(struct session *session, bool now)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    return spooling_settle(session->spooling, now, &err) == TLSMSG_OK ? EXIT_DONE
                                                                      : fail(session, &err);
}

enum exit_code keeping_end(struct session *session, enum exit_code code)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    char name[SPOOL_SHOWN_MAX];
    uint64_t count = 0;

    if (session->spooling == NULL) {
        return code;
    }
    if (session->verbose && session->earlier > 0) {
        startup_warn(session->program, "of earlier runs: %" PRIu64 " message%s delivered",
                     session->earlier, session->earlier == 1 ? "" : "s");
    }
    if (spooling_waiting(session->spooling, &count, &err) != TLSMSG_OK) {
        return code == EXIT_DONE ? fail(session, &err) : code;
    }
    if (count > 0) {
        startup_warn(session->program, "%" PRIu64 " message%s in spool '%s'%s", count,
                     count == 1 ? " waits" : "s wait",
                     escape_name(name, sizeof(name), session->spool_path),
                     code == EXIT_KEPT ? "; try: run it again later, with </dev/null" : "");
    }
    return code == EXIT_KEPT && count == 0 ? session->cause : code;
}
