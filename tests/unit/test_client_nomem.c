/* The client program without memory, at each of its allocations: it says so and leaves nothing behind,
 * or does without. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/client_run.h"
#include "support/failmalloc.h"
#include "support/glob_text.h"

#define HELLO ">HELLO 1 last=0 max=1048576 window=4 promise=disk\n"

static void remove_spool(void)
{
    static const char *const names[] = {"spool", "spool-wal", "spool-shm"};

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        (void)unlink(client_run_path(names[i]));
    }
}

static const struct client_run runs[] = {
    {.name = "the document's flow",
     .args = {"--document-flow", "-q"},
     .input = "one\ntwo\n",
     .steps = {"accept", "<one", ">x", "<two", ">y", "end"},
     .out = "x\ny\n"},
    {.name = "tlsmsg/1, told at length",
     .args = {"-q", "-v"},
     .input = "one\ntwo\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\nMSG 2 3\ntwo\n", ">OK 1 1\nx\nOK 2 1\ny\n",
               "end"},
     .out = "x\ny\n"},
    {.name = "a spool",
     .args = {"--spool", "@spool", "-q", "--retry", "0"},
     .before = remove_spool,
     .input = "one\n\ntwo\nexit\n",
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\nMSG 2 3\ntwo\nMSG 3 4\nexit\n",
               ">OK 1 1\nx\nOK 2 1\ny\nOK 3 1\nz\n", "end"},
     .out = "x\ny\nz\n"},
    {.name = "a probe",
     .args = {"--probe", "--format", "json"},
     .steps = {"accept", "end"},
     .out = "{*}\n"},
    {.name = "messages",
     .args = {"--format", "json", "-m", "one", "-m", "two"},
     .steps = {"accept", "hello", HELLO, "<MSG 1 3\none\nMSG 2 3\ntwo\n", ">OK 1 1\nx\nOK 2 1\ny\n",
               "end"},
     .out = "{\"seq\":1,*}\n{\"seq\":2,*}\n"},
};

static size_t failing; /* 0: none */
static size_t needed;

int __real_client_main(int argc, char **argv);
int __wrap_client_main(int argc, char **argv);

int __wrap_client_main(int argc, char **argv)
{
    int code;

    failmalloc_of_this_thread(true);
    failmalloc_at(failing);
    code = __real_client_main(argc, argv);
    needed = failmalloc_count();
    failmalloc_at(0);
    failmalloc_of_this_thread(false);
    return code;
}

static void run_once(const struct client_run *run)
{
    const struct client_ran *ran = client_run_cut_short(run);

    if (ran->exit == 0) {
        expect_text("stdout", run->out, ran->out);
    } else if (strstr(ran->err, "out of memory") == NULL &&
               strstr(ran->err, "Cannot allocate memory") == NULL) {
        fail_msg("exit %d without allocation %zu: %s", ran->exit, failing, ran->err);
    }
}

/* Blocks that are there after a run and were not before. */
static long run_and_count(const struct client_run *run)
{
    long live = failmalloc_live();

    run_once(run);
    return failmalloc_live() - live;
}

static void test_each_allocation_fails(void **state)
{
    const struct client_run *run = *state;
    long usual;

    failing = 0;
    if (client_run_cut_short(run)->exit == 2) {
        skip(); /* a build that keeps nothing */
    }
    usual = run_and_count(run); /* negative: of what the C library has made we free some */
    for (failing = 1; failing == 1 || failing <= needed + 1; failing++) {
        long left = run_and_count(run);

        if (left > 0 || left < usual) {
            fail_msg("%ld blocks are left of allocation %zu", left, failing);
        }
    }
    assert_true(failing > 20);
}

int main(void)
{
    int failed = client_run_setup(NULL);

    RUN_ROWS(failed, test_each_allocation_fails, runs);
    return failed + client_run_teardown(NULL);
}
