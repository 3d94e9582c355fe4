/* The server program when a step of its start fails: each is told, with its exit code, and leaves nothing
 * behind; and what comes while it starts. */
#include "support/unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <tlsmsg/options.h>

#include "app/server/keeper.h"
#include "app/server/transcript.h"
#include "app/terminal.h"
#include "base/build.h"
#include "base/error.h"
#include "support/server_run.h"

#define SERVER "tlsmsg-server: "
#define LISTENING SERVER "listening on 127.0.0.1:*\n"
#define REPLY(text) ">你好，我已收到你的消息：" text
#define NO_ISSUER SERVER "warning: '/*/server.crt' does not hold the certificate of its issuer *\n"
#define FAILS SERVER "a step fails: Too many open files\n"

/* The step that fails, in the child alone. */
static enum step {
    STEP_NONE,
    STEP_KEEPER,
    STEP_SANDBOX,
    STEP_WRITER,
    STEP_TRANSCRIPT,
    STEP_SIGNALS,
    STEP_START,
    STEP_KEY_LOG,      /* since it may not be opened */
    STEP_KEY_LOG_LATER /* ... for a cause that is not the system's */
} failing;
static bool warns;    /* the sandbox */
static bool is_asked; /* signals come while it starts */

enum tlsmsg_code __real_keeper_start(struct keeper *keeper, const char *user,
                                     struct sandbox *sandbox, char *const *argv,
                                     struct tlsmsg_error *err);
enum tlsmsg_code __wrap_keeper_start(struct keeper *keeper, const char *user,
                                     struct sandbox *sandbox, char *const *argv,
                                     struct tlsmsg_error *err);
enum tlsmsg_code __real_keeper_open(struct keeper *keeper, enum keeper_file file, int *fd,
                                    struct tlsmsg_error *err);
enum tlsmsg_code __wrap_keeper_open(struct keeper *keeper, enum keeper_file file, int *fd,
                                    struct tlsmsg_error *err);
enum tlsmsg_code __real_sandbox_enter(const char *user, const struct sandbox *sandbox,
                                      struct sandbox_report *report, struct tlsmsg_error *err);
enum tlsmsg_code __wrap_sandbox_enter(const char *user, const struct sandbox *sandbox,
                                      struct sandbox_report *report, struct tlsmsg_error *err);
enum tlsmsg_code __real_stdout_writer_init(struct stdout_writer *writer, int fd,
                                           struct tlsmsg_error *err);
enum tlsmsg_code __wrap_stdout_writer_init(struct stdout_writer *writer, int fd,
                                           struct tlsmsg_error *err);
enum tlsmsg_code __real_transcript_set_workers(struct transcript *transcript, unsigned workers,
                                               struct tlsmsg_error *err);
enum tlsmsg_code __wrap_transcript_set_workers(struct transcript *transcript, unsigned workers,
                                               struct tlsmsg_error *err);
enum tlsmsg_code __real_signals_open_for_server(int *fd, struct tlsmsg_error *err);
enum tlsmsg_code __wrap_signals_open_for_server(int *fd, struct tlsmsg_error *err);
enum tlsmsg_code __real_tlsmsg_server_start(struct tlsmsg_server *server, struct tlsmsg_error *err);
enum tlsmsg_code __wrap_tlsmsg_server_start(struct tlsmsg_server *server, struct tlsmsg_error *err);

/* ---- what else a run asks for */

static struct {
    bool is_at_terminal;              /* which a person sits at */
    int terminal_fd;                  /* -1: none; the run's to close */
    unsigned asks;                    /* so many times was set who asks for passwords */
    tlsmsg_ask_password_fn *asker[2]; /* who, in order */
    unsigned large_memory;            /* so often was large memory left to the system */
} seen = {.terminal_fd = -1};

bool __wrap_terminal_can_ask(void);
int __wrap_terminal_hold(void);
void __wrap_tlsmsg_options_set_ask_password(struct tlsmsg_options *options,
                                            tlsmsg_ask_password_fn *ask, void *user);
int __wrap_mallopt(int what, int value);

bool __wrap_terminal_can_ask(void)
{
    return seen.is_at_terminal;
}

int __wrap_terminal_hold(void)
{
    return seen.terminal_fd;
}

void __wrap_tlsmsg_options_set_ask_password(struct tlsmsg_options *options,
                                            tlsmsg_ask_password_fn *ask, void *user)
{
    assert_non_null(options);
    assert_null(user);
    assert_true(seen.asks < COUNT_OF(seen.asker));
    seen.asker[seen.asks++] = ask;
}

int __wrap_mallopt(int what, int value)
{
    (void)what;
    seen.large_memory += value == 128 * 1024;
    return 1;
}

static enum tlsmsg_code fail_step(struct tlsmsg_error *err)
{
    return error_set(err, TLSMSG_ERR_SYSTEM, EMFILE, "a step fails");
}

enum tlsmsg_code __wrap_keeper_start(struct keeper *keeper, const char *user,
                                     struct sandbox *sandbox, char *const *argv,
                                     struct tlsmsg_error *err)
{
    if (is_asked) {
        (void)raise(SIGHUP);
        (void)raise(SIGUSR1);
    }
    return failing == STEP_KEEPER ? fail_step(err)
                                  : __real_keeper_start(keeper, user, sandbox, argv, err);
}

/* It leaves errno as the last call of the system has it, which is another one's. */
enum tlsmsg_code __wrap_keeper_open(struct keeper *keeper, enum keeper_file file, int *fd,
                                    struct tlsmsg_error *err)
{
    if (failing != STEP_KEY_LOG && failing != STEP_KEY_LOG_LATER) {
        return __real_keeper_open(keeper, file, fd, err);
    }
    assert_int_equal(file, KEEPER_KEY_LOG);
    *fd = -1;
    error_set(err, TLSMSG_ERR_CONFIG, failing == STEP_KEY_LOG ? EACCES : 0, "not now");
    errno = EINTR;
    return TLSMSG_ERR_CONFIG;
}

static unsigned library_uses; /* before the sandbox */

enum tlsmsg_code __real_tlsmsg_server_check(const struct tlsmsg_options *options,
                                            const struct tlsmsg_handler *handler,
                                            struct tlsmsg_error *err);
enum tlsmsg_code __wrap_tlsmsg_server_check(const struct tlsmsg_options *options,
                                            const struct tlsmsg_handler *handler,
                                            struct tlsmsg_error *err);

enum tlsmsg_code __wrap_tlsmsg_server_check(const struct tlsmsg_options *options,
                                            const struct tlsmsg_handler *handler,
                                            struct tlsmsg_error *err)
{
    library_uses++;
    return __real_tlsmsg_server_check(options, handler, err);
}

enum tlsmsg_code __wrap_sandbox_enter(const char *user, const struct sandbox *sandbox,
                                      struct sandbox_report *report, struct tlsmsg_error *err)
{
    enum tlsmsg_code code =
        failing == STEP_SANDBOX ? fail_step(err) : __real_sandbox_enter(user, sandbox, report, err);

    if (warns) {
        (void)snprintf(report->held, sizeof(report->held), "what it holds");
        (void)snprintf(report->warning, sizeof(report->warning), "what it cannot");
    }
    return code;
}

enum tlsmsg_code __wrap_stdout_writer_init(struct stdout_writer *writer, int fd,
                                           struct tlsmsg_error *err)
{
    return failing == STEP_WRITER ? fail_step(err) : __real_stdout_writer_init(writer, fd, err);
}

enum tlsmsg_code __wrap_transcript_set_workers(struct transcript *transcript, unsigned workers,
                                               struct tlsmsg_error *err)
{
    return failing == STEP_TRANSCRIPT ? fail_step(err)
                                      : __real_transcript_set_workers(transcript, workers, err);
}

enum tlsmsg_code __wrap_signals_open_for_server(int *fd, struct tlsmsg_error *err)
{
    return failing == STEP_SIGNALS ? fail_step(err) : __real_signals_open_for_server(fd, err);
}

enum tlsmsg_code __wrap_tlsmsg_server_start(struct tlsmsg_server *server, struct tlsmsg_error *err)
{
    return failing == STEP_START ? fail_step(err) : __real_tlsmsg_server_start(server, err);
}

#define FAIL(step)                                                                                 \
    static void fail_##step(void)                                                                  \
    {                                                                                              \
        failing = step;                                                                            \
    }

FAIL(STEP_KEEPER)
FAIL(STEP_SANDBOX)
FAIL(STEP_WRITER)
FAIL(STEP_TRANSCRIPT)
FAIL(STEP_SIGNALS)
FAIL(STEP_START)
FAIL(STEP_KEY_LOG)
FAIL(STEP_KEY_LOG_LATER)

static const struct server_run steps[] = {
    {.name = "the file keeper", .in_child = fail_STEP_KEEPER, .exit = 1, .err = FAILS},
    {.name = "the sandbox", .in_child = fail_STEP_SANDBOX, .exit = 1, .err = FAILS},
    {.name = "the writer", .in_child = fail_STEP_WRITER, .exit = 1, .err = FAILS},
    {.name = "the transcript", .in_child = fail_STEP_TRANSCRIPT, .exit = 1, .err = FAILS},
    {.name = "signals", .in_child = fail_STEP_SIGNALS, .exit = 1, .err = FAILS},
    {.name = "threads",
     .in_child = fail_STEP_START,
     .exit = 1,
     .out = "Waiting for a client...\n",
     .err = LISTENING FAILS},
    {.name = "a key log that may not be opened",
     .args = {"-q", "--keylog-file", "@keys"},
     .in_child = fail_STEP_KEY_LOG,
     .exit = 2,
     .err = SERVER
     "user * cannot open key log '/*/keys' without root's privileges, as a reload does (try: a "
     "folder and a file of that user's): Permission denied\n"},
    {.name = "a key log, later",
     .args = {"-q", "--keylog-file", "@keys"},
     .in_child = fail_STEP_KEY_LOG_LATER,
     .steps = {"shown listening", "hup", "shown the old configuration stays", "term"},
     .err = LISTENING
     "* warning: certificate: SESSION SECRETS ARE LOGGED: *\n"
     "* error: certificate: the old configuration stays, since the new one fails: cannot open key "
     "log '/*/keys': Input/output error\n"},
    {.name = "the sandbox, checked",
     .args = {"--check"},
     .in_child = fail_STEP_SANDBOX,
     .exit = 1,
     .err = NO_ISSUER FAILS},
};

/* ---- what the sandbox cannot hold */

static void warn(void)
{
    warns = true;
}

static const struct server_run warned[] = {
    {.name = "while it serves",
     .args = {"-q", "--log-level", "info"},
     .in_child = warn,
     .steps = {"shown listening", "term"},
     .err = "* info: other: what it holds\n* warning: other: what it cannot\n" LISTENING},
    {.name = "checked",
     .args = {"--check"},
     .in_child = warn,
     .out = "The configuration is good.\n",
     .err = NO_ISSUER SERVER "warning: what it cannot\n",
     .err_of_root = NO_ISSUER SERVER "warning: what it cannot\n" SERVER "checked as root, *\n"},
};

/* ---- while it starts */

static void ask(void)
{
    struct rlimit limit;

    is_asked = true;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max > 128) {
        limit.rlim_cur = 128;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* As many descriptors as it may have. */
static bool has_raised_its_limit(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == limit.rlim_max;
}

/* A signal that comes early waits until it can be answered. */
static const struct server_run asked[] = {
    {.name = "for a reload and its state",
     .args = {"-q"},
     .in_child = ask,
     .after = has_raised_its_limit,
     .steps = {"shown reloaded", "shown ends first", "<one", REPLY("one"), "leave", "term"},
     .err = LISTENING "* info: certificate: configuration reloaded\n"
                      "tlsmsg-server *\n  up 0 d *\n  connections: *\n  conversations: *\n"
                      "  messages: *\n  replies: *\n  ends first: *\n"},
};

/* ---- terminals */

static void sit_at_a_terminal(void)
{
    seen.is_at_terminal = true;
}

/* A reload must not wait for somebody who may have left. */
static bool was_asked_at_the_start_alone(void)
{
    return seen.asks == 2 && seen.asker[0] == terminal_ask_password && seen.asker[1] == NULL;
}

/* The TLS library has read its own files before those of the options are looked at. */
static bool was_asked(void)
{
    return library_uses == 2 && seen.asks == 1 && seen.asker[0] == terminal_ask_password;
}

static bool was_not_asked(void)
{
    return seen.asks == 1 && seen.asker[0] == NULL;
}

/* Whose other end is closed. */
static void lose_the_terminal(void)
{
    int ends[2];

    if (pipe(ends) != 0 || close(ends[1]) != 0) {
        _exit(98);
    }
    seen.terminal_fd = ends[0];
}

static bool leaves_large_memory_to_the_system(void)
{
    return seen.large_memory == TLSMSG_BUILD_MALLOC_TRIM;
}

static const struct server_run terminals[] = {
    {.name = "with somebody at it",
     .args = {"-q"},
     .in_child = sit_at_a_terminal,
     .after = was_asked_at_the_start_alone,
     .steps = {"shown listening", "term"},
     .err = LISTENING},
    {.name = "with somebody at it, checked",
     .args = {"--check"},
     .in_child = sit_at_a_terminal,
     .after = was_asked,
     .out = "The configuration is good.\n",
     .err = NO_ISSUER,
     .err_of_root = NO_ISSUER SERVER "checked as root, *\n"},
    {.name = "with nobody at it",
     .args = {"-q"},
     .after = was_not_asked,
     .steps = {"shown listening", "term"},
     .err = LISTENING},
    {.name = "that is gone",
     .args = {"-q"},
     .in_child = lose_the_terminal,
     .after = leaves_large_memory_to_the_system,
     .steps = {"shown listening", "hup"},
     .err = LISTENING},
};

int main(void)
{
    int failed = server_run_setup(NULL);

    RUN_ROWS(failed, server_run_row, steps);
    RUN_ROWS(failed, server_run_row, warned);
    RUN_ROWS(failed, server_run_row, asked);
    RUN_ROWS(failed, server_run_row, terminals);
    return failed + server_run_teardown(NULL);
}
