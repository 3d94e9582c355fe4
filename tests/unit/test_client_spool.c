/* The client program with a spool: what is kept, what a later run delivers, and what is told. */
#include "support/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "support/client_run.h"
#include "support/glob_text.h"
#include "support/sqlite_faults.h"

#define PROMPT CLIENT_RUN_PROMPT
#define REPLY CLIENT_RUN_REPLY
#define CLIENT "tlsmsg-client: "
#define SERVER CLIENT "127.0.0.1:*: "
#define KEEPS(last) ">HELLO 1 last=" last " max=8 window=4 promise=disk\n"
#define SPOOL "--spool", "@spool"
#define TOO_LONG(number)                                                                           \
    CLIENT "message " #number " of the spool has 9 bytes, and the server takes at most 8: it and " \
           "those behind it wait (try: --max-message 9 on the server)\n"

static void lose_the_second(void)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(client_run_path("gap"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM message WHERE seq = 2", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_changes(db), 1);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Each begins with the spool that the one before has left. */
static const struct client_run runs[] = {
    {.name = "delivered at once",
     .args = {SPOOL},
     .input = "one\n\ntwo\n",
     .steps = {"accept", "hello", KEEPS("0"), "<MSG 1 3\none\nMSG 2 3\ntwo\n",
               ">OK 1 1\nx\nOK 2 1\ny\n", "end"},
     .out = PROMPT REPLY "x\n" PROMPT PROMPT REPLY "y\n" PROMPT,
     .left_at = 9},
    {.name = "kept, since nobody greets",
     .args = {SPOOL, "--retry", "0", "-v"},
     .input = "three\n\na\xff\nfour\n",
     .steps = {"accept", "hello", "close"},
     .out = PROMPT,
     .exit = 1,
     .err = CLIENT "line 3 of stdin was not kept: it is not valid UTF-8\n" SERVER
                   "the server closed the conversation (close_notify); try: connect again\n" CLIENT
                   "3 messages: 0 answered, 2 kept, 1 refused\n" CLIENT
                   "2 messages wait in spool '/tmp/*/spool'\n",
     .left_at = 15},
    {.name = "delivered later, with one that is new",
     .args = {SPOOL, "-v"},
     .input = "five\n",
     .steps = {"accept", "hello", KEEPS("2"), "<MSG 3 5\nthree\nMSG 4 4\nfour\nMSG 5 4\nfive\n",
               ">OK 3 1\nx\nOK 4 1\ny\nOK 5 1\nz\n", "end"},
     .out = PROMPT REPLY "z\n" PROMPT,
     .err = CLIENT_RUN_CONNECTION CLIENT "1 message: 1 answered\n" CLIENT
                                         "of earlier runs: 2 messages delivered\n",
     .left_at = 5},
    {.name = "given messages, cut in between",
     .args = {SPOOL, "--retry", "0", "-q", "-m", "six", "-m", "seven"},
     .steps = {"accept", "hello", KEEPS("5"), "<MSG 6 3\nsix\nMSG 7 5\nseven\n", ">OK 6 1\nx\n",
               "cut"},
     .out = "x\n",
     .exit = 7,
     .err = SERVER
     "the server dropped the connection (no close_notify)\n" CLIENT
     "1 message waits in spool '/tmp/*/spool'; try: run it again later, with </dev/null\n"},
    {
        .name = "the rest, without anything new",
        .args = {SPOOL, "-q"},
        .steps = {"accept", "hello", KEEPS("6"), "<MSG 7 5\nseven\n", ">OK 7 1\nx\n", "end"},
    },
    {
        .name = "nothing at all",
        .args = {SPOOL, "-q"},
    },
    {.name = "a server that keeps nothing",
     .args = {SPOOL, "-q", "-m", "eight"},
     .steps = {"accept", "hello", ">HELLO 1 last=7 max=8 window=4 promise=none\n", "end"},
     .exit = 3,
     .err =
         CLIENT "the server keeps no messages over a restart (promise=none), which --spool needs; "
                "try: --store on the server\n" CLIENT "1 message waits in spool '/tmp/*/spool'\n"},
    {.name = "a server that has lost what it had",
     .args = {SPOOL, "-q"},
     .steps = {"accept", "hello", KEEPS("3"), "<MSG 8 5\neight\n", ">OK 8 1\nx\n", "end"},
     .err = CLIENT "error: the server has lost messages that it had acknowledged: up to 7, and it "
                   "has 3 (was an old backup restored?)\n"},
    {.name = "a server that has more",
     .args = {SPOOL, "-q", "-m", "nine"},
     .steps = {"accept", "hello", KEEPS("20"), "end"},
     .exit = 1,
     .err = CLIENT
     "the server has message 20 of spool '/tmp/*/spool', which has sent up to 8 only: it was set "
     "back or copied (try: a new file; tlsmsg-store list shows what waits in this one)\n" CLIENT
     "1 message waits in spool '/tmp/*/spool'\n"},
    {.name = "exit",
     .args = {"--spool", "@second"},
     .input = "one\nexit\ntwo\n",
     .steps = {"accept", "hello", KEEPS("0"), "<MSG 1 3\none\nMSG 2 4\nexit\n",
               ">OK 1 1\nx\nOK 2 1\ny\n", "end"},
     .out = PROMPT REPLY "x\n" PROMPT,
     .err = CLIENT "'exit' on line 2 ended the conversation: 1 not kept (from line 3); try: -q, "
                   "with which it is a message\n",
     .left_at = 9},
    {.name = "a BYE that will not pass",
     .args = {"--spool", "@second", "-q"},
     .kind = STDIN_PIPE,
     .input = "three\nfour\n",
     .steps = {"accept", "hello", KEEPS("2"), "<MSG 3 5\nthree\nMSG 4 4\nfour\n",
               ">BYE 400 4\nwhat\n", "close"},
     .exit = 6,
     .err = SERVER "the server ended the conversation: what (BYE 400)\n" CLIENT
                   "2 messages wait in spool '/tmp/*/second'\n"},
    {.name = "a BYE that will pass",
     .args = {"--spool", "@second", "-q", "--retry", "0"},
     .kind = STDIN_PIPE,
     .steps = {"accept", "hello", KEEPS("2"), "<MSG 3 5\nthree\nMSG 4 4\nfour\n",
               ">BYE 507 4\nfull\n", "close"},
     .exit = 7,
     .err = SERVER
     "the server ended the conversation: full (BYE 507)\n" CLIENT
     "2 messages wait in spool '/tmp/*/second'; try: run it again later, with </dev/null\n"},
    {.name = "a BYE behind the last reply",
     .args = {"--spool", "@bye", "-q", "--retry", "0", "-m", "one"},
     .steps = {"accept", "hello", KEEPS("0"), "<MSG 1 3\none\n", ">OK 1 1\nx\nBYE 503 5\ngoing\n",
               "close"},
     .out = "x\n"},
    {.name = "replies that nobody takes",
     .args = {"--spool", "@second", "-q"},
     .full_stdout = true,
     .input = "five\n",
     .steps = {"accept", "hello", KEEPS("2"), "<MSG 3 5\nthree\nMSG 4 4\nfour\nMSG 5 4\nfive\n",
               ">OK 3 1\nx\nOK 4 1\ny\nOK 5 1\nz\n", "leave"},
     .exit = 1,
     .err = CLIENT "cannot write to stdout: No space left on device\n",
     .left_at = 5},
    {.name = "a stdin that cannot be read",
     .args = {"--spool", "@second", "-q"},
     .kind = STDIN_FOLDER,
     .exit = 1,
     .err = CLIENT "cannot read stdin: Is a directory\n"},
    {.name = "too long for the server",
     .args = {"--spool", "@third", "-q"},
     .input = "one\n123456789\ntwo\n",
     .steps = {"accept", "hello", KEEPS("0"), "<MSG 1 3\none\n", ">OK 1 1\nx\n", "end"},
     .exit = 1,
     .out = "x\n",
     .err = TOO_LONG(2) CLIENT "2 messages wait in spool '/tmp/*/third'\n",
     .left_at = 18},
    {.name = "still too long, and what is new waits behind it",
     .args = {"--spool", "@third", "-q"},
     .kind = STDIN_PIPE,
     .input = "three\n",
     .steps = {"accept", "hello", KEEPS("1"), "end"},
     .exit = 1,
     .err = TOO_LONG(2) CLIENT "3 messages wait in spool '/tmp/*/third'\n"},
    {.name = "too long for the server that comes back",
     .args = {"--spool", "@third", "-q"},
     .steps = {"accept", "hello", ">HELLO 1 last=1 max=9 window=2 promise=disk\n",
               "<MSG 2 9\n123456789\nMSG 3 3\ntwo\n", "cut", "accept", "hello", KEEPS("1"), "end"},
     .exit = 1,
     .err = SERVER
     "the server dropped the connection (no close_notify); connecting again\n" TOO_LONG(2) CLIENT
     "3 messages wait in spool '/tmp/*/third'\n"},
    {.name = "not too long for a server that takes more",
     .args = {"--spool", "@third", "-q"},
     .steps = {"accept", "hello", ">HELLO 1 last=1 max=9 window=4 promise=disk\n",
               "<MSG 2 9\n123456789\nMSG 3 3\ntwo\nMSG 4 5\nthree\n",
               ">OK 2 1\nx\nOK 3 1\ny\nOK 4 1\nz\n", "end"}},
    {.name = "typed, and too long for the server",
     .args = {"--spool", "@third"},
     .kind = STDIN_TERMINAL,
     .input = "123456789\nexit\n",
     .steps = {"accept", "hello", KEEPS("4"), "<MSG 5 4\nexit\n", ">OK 5 1\nx\n", "end"},
     .exit = 1,
     .out = CLIENT
     "connected to 127.0.0.1:*, encrypted with TLSv1.3, verified by /*/ca.crt\n" PROMPT CLIENT
     "line 1 of stdin was not sent: it is longer than 8 bytes\n" PROMPT},
    {.name = "typed",
     .args = {"--spool", "@typed"},
     .kind = STDIN_TERMINAL,
     .input = "one\nexit\n",
     .steps = {"accept", "hello", ">HELLO 1 last=0 max=8 window=4 promise=disk\n",
               "<MSG 1 3\none\n", ">OK 1 1\nx\n", "<MSG 2 4\nexit\n", ">OK 2 1\ny\n", "end"},
     .out = CLIENT
     "connected to 127.0.0.1:*, encrypted with TLSv1.3, verified by /*/ca.crt\n" PROMPT REPLY
     "x\n" PROMPT},
    {.name = "typed, and the server leaves",
     .args = {"--spool", "@typed", "--retry", "0"},
     .kind = STDIN_TERMINAL,
     .input = "one\n",
     .steps = {"accept", "hello", KEEPS("2"), "<MSG 3 3\none\n", "close"},
     .exit = 7,
     .out = CLIENT
     "connected to 127.0.0.1:*, encrypted with TLSv1.3, verified by /*/ca.crt\n" PROMPT SERVER
     "the server closed the conversation (close_notify); try: connect again\n" CLIENT
     "1 message waits in spool '/*/typed'; try: run it again later, with </dev/null\n"},
    {.name = "typed, and nobody is there",
     .args = {"--spool", "@typed", "--retry", "0", "127.0.0.1:1"},
     .is_alone = true,
     .kind = STDIN_TERMINAL,
     .input = "two\n",
     .exit = 7,
     .out = CLIENT
     "cannot connect to 127.0.0.1:1: Connection refused\n" CLIENT
     "0 messages: 0 answered, not kept from line 1 (what was typed was discarded)\n" CLIENT
     "1 message waits in spool '/*/typed'; try: run it again later, with </dev/null\n"},
    {.name = "three, since nobody greets",
     .args = {"--spool", "@gap", "-q", "--retry", "0", "-m", "one", "-m", "two", "-m", "three"},
     .steps = {"accept", "hello", "close"},
     .exit = 7,
     .err = SERVER "the server closed the conversation (close_notify); try: connect again\n" CLIENT
                   "3 messages wait in spool '/tmp/*/gap'; try: run it again later, with "
                   "</dev/null\n"},
    {.name = "one that is lost",
     .args = {"--spool", "@gap", "-q"},
     .before = lose_the_second,
     .steps = {"accept", "hello", KEEPS("0"), "<MSG 1 3\none\n", ">OK 1 1\nx\n", "end"},
     .exit = 1,
     .err = CLIENT "message 2 is missing from the spool, and those behind it wait (try: "
                   "tlsmsg-store export, and a new spool)\n" CLIENT
                   "1 message waits in spool '/tmp/*/gap'\n"},
    {.name = "an empty line first",
     .args = {"--spool", "@fourth"},
     .input = "\none\n",
     .steps = {"accept", "hello", KEEPS("0"), "<MSG 1 3\none\n", ">OK 1 1\nx\n", "end"},
     .out = PROMPT PROMPT REPLY "x\n" PROMPT,
     .left_at = 5},
    {.name = "nobody is there for long, and asked about meanwhile",
     .args = {"--spool", "@fourth", "-q", "--retry", "1000", "-m", "two", "127.0.0.1:1"},
     .is_alone = true,
     .steps = {"shown trying again", "usr1", "shown no connection now", "late 1000000"},
     .exit = 7,
     .err = CLIENT "cannot connect to 127.0.0.1:1: Connection refused; trying again\n" CLIENT
                   "there is no connection now\n" CLIENT
                   "cannot connect to 127.0.0.1:1: Connection refused\n" CLIENT
                   "1 message waits in spool '/tmp/*/fourth'; try: run it again later, with "
                   "</dev/null\n"},
    {.name = "one that waits for later",
     .args = {"--spool", "@full4", "-q", "--retry", "0", "-m", "zero"},
     .steps = {"accept", "hello", "close"},
     .exit = 7,
     .err = SERVER "the server closed the conversation (close_notify); try: connect again\n" CLIENT
                   "1 message waits in spool '/tmp/*/full4'; try: run it again later, with "
                   "</dev/null\n"},
    {.name = "no spool",
     .args = {"--spool", "/dev/null/x"},
     .exit = 2,
     .err = CLIENT "--spool: cannot open spool '/dev/null/x': Not a directory\n"},
};

/* ---- a message that is longer than any server need take */

#define LONG_BYTES (1024 * 1024 + 1)

#define LONG_AT 15 /* behind "<MSG 1 1048577\n" */

static char long_message[32 + LONG_BYTES];

static const struct client_run of_a_long_one[] = {
    {.name = "whose server was not reached",
     .args = {"--spool", "@long1", "-q", "--retry", "0", "-m", "one", "-M", "@long"},
     .steps = {"accept", "hello", "close"},
     .exit = 1,
     .err = SERVER "the server closed the conversation (close_notify); try: connect again\n" CLIENT
                   "message 2 was not kept: it is longer than 1048576 bytes, and the server, which "
                   "may take more, was not reached\n" CLIENT
                   "1 message waits in spool '/tmp/*/long1'\n"},
    {.name = "whose server takes less",
     .args = {"--spool", "@long2", "-q", "-M", "@long"},
     .steps = {"accept", "hello", ">HELLO 1 last=0 max=1048576 window=4 promise=disk\n", "end"},
     .exit = 1,
     .err = CLIENT
     "message 1 was not kept: it is longer than the 1048576 bytes that the server takes\n"},
    {.name = "whose server takes it",
     .args = {"--spool", "@long3", "-q", "-M", "@long"},
     .steps = {"accept", "hello", ">HELLO 1 last=0 max=1048577 window=4 promise=disk\n",
               long_message, ">OK 1 1\nx\n", "end"},
     .out = "x\n"},
    {.name = "as a line, whose server takes it",
     .args = {"--spool", "@long4", "-q"},
     .input = long_message + LONG_AT,
     .input_len = LONG_BYTES + 1,
     .steps = {"accept", "hello", ">HELLO 1 last=0 max=1048577 window=4 promise=disk\n",
               long_message, ">OK 1 1\nx\n", "end"},
     .out = "x\n",
     .left_at = LONG_BYTES + 1},
};

static void write_long_message(void)
{
    FILE *file = fopen(client_run_path("long"), "w");
    size_t head = (size_t)snprintf(long_message, 32, "<MSG 1 %d\n", LONG_BYTES);

    assert_non_null(file);
    memset(long_message + head, 'x', LONG_BYTES);
    long_message[head + LONG_BYTES] = '\n';
    assert_int_equal(fwrite(long_message + head, 1, LONG_BYTES, file), LONG_BYTES);
    assert_int_equal(fclose(file), 0);
}

/* ---- no room */

static void fill_once(void)
{
    sqlite_fault_at(SQLITE_CALL_STEP, "INSERT INTO message", 1, SQLITE_FULL);
}

static void fill_twice(void)
{
    fill_once();
    sqlite_fault_also(SQLITE_CALL_STEP, "INSERT INTO message", 2, SQLITE_FULL);
}

/* A single message, and the same one when it is tried again. */
static void fill_for_two_tries(void)
{
    fill_once();
    sqlite_fault_also(SQLITE_CALL_STEP, "INSERT INTO message", 1, SQLITE_FULL);
}

static const struct client_run of_a_full_disk[] = {
    {.name = "whose room comes back",
     .args = {"--spool", "@full1", "-q"},
     .before = fill_once,
     .input = "one\ntwo\n",
     .steps = {"accept", "hello", KEEPS("0"), "<MSG 1 3\none\nMSG 2 3\ntwo\n",
               ">OK 1 1\nx\nOK 2 1\ny\n", "end"},
     .out = "x\ny\n",
     .left_at = 8},
    {.name = "whose room comes back with an answer",
     .args = {"--spool", "@full4", "-q"},
     .before = fill_for_two_tries,
     .input = "one\n",
     .steps = {"accept", "hello", KEEPS("0"), "<MSG 1 4\nzero\n", ">OK 1 1\nx\n", "<MSG 2 3\none\n",
               ">OK 2 1\ny\n", "end"},
     .out = "y\n",
     .left_at = 4},
    {.name = "that stays full",
     .args = {"--spool", "@full2", "-q"},
     .before = fill_twice,
     .input = "one\ntwo\n",
     .exit = 1,
     .err = CLIENT "--spool: the spool has no room (try: make some)\n" CLIENT
                   "2 messages: 0 answered, 2 not kept (from line 1)\n"},
    {.name = "as it is typed",
     .args = {"--spool", "@full3", "-q"},
     .before = fill_once,
     .kind = STDIN_TERMINAL,
     .input = "one\n",
     .steps = {"accept", "hello", KEEPS("0"), "end"},
     .exit = 1,
     .out = CLIENT "line 1 was not kept: the spool has no room (try: make some)\n" CLIENT
                   "0 messages: 0 answered, not kept from line 1\n"},
};

static void test_no_room(void **state)
{
    client_run_row(state);
    assert_true(sqlite_fault_end());
}

/* ---- a disk that fails */

static void remove_spool(void)
{
    static const char *const names[] = {"failing", "failing-wal", "failing-shm", "failing-lock"};

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        (void)unlink(client_run_path(names[i]));
    }
}

static const struct client_run failing = {.args = {"--spool", "@failing", "-q", "--retry", "0"},
                                          .before = remove_spool,
                                          .input = "one\ntwo\n",
                                          .steps = {"accept", "hello", KEEPS("0"),
                                                    "<MSG 1 3\none\nMSG 2 3\ntwo\n",
                                                    ">OK 1 1\nx\nOK 2 1\ny\n", "end"},
                                          .out = "x\ny\n",
                                          .left_at = 8};

/* Whichever sync of the spool fails: it is told and no success, or it is one that SQLite does without
 * (a folder's). */
static void test_each_sync_fails(void **state)
{
    unsigned failures = 0;
    unsigned syncs;

    (void)state;
    (void)client_run_fail_sync(0);
    client_run_expect(&failing);
    syncs = client_run_fail_sync(0);
    for (unsigned n = 1; n <= syncs; n++) {
        const struct client_ran *ran;

        (void)client_run_fail_sync(n);
        ran = client_run_cut_short(&failing);
        if (ran->exit != 0) {
            failures++;
            assert_int_equal(ran->exit, 1);
            assert_memory_equal(ran->err, CLIENT "--spool: cannot ", 31);
            assert_true(strstr(ran->err, "/failing': disk I/O error (SQLite 1034)\n") != NULL ||
                        strstr(ran->err, "/failing': Input/output error\n") != NULL);
        } else {
            expect_text("stderr", "", ran->err);
            expect_text("stdout", failing.out, ran->out);
        }
    }
    assert_true(failures >= 3);
    (void)client_run_fail_sync(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_sync_fails)};
    int failed = client_run_setup(NULL);

    write_long_message();
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    RUN_ROWS(failed, client_run_row, runs);
    RUN_ROWS(failed, client_run_row, of_a_long_one);
    RUN_ROWS(failed, test_no_room, of_a_full_disk);
    return failed + client_run_teardown(NULL);
}
