/* The frames of tlsmsg/1: each rule of the form kept and broken, and every cut. */
#include "support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/frame.h"

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BLANKS(n) n " k=" A63

static const char letters[] = {
    [FRAME_HELLO] = 'H', [FRAME_MSG] = 'M', [FRAME_OK] = 'O', [FRAME_BYE] = 'B'};

/* What a reader tells, in words: "M1/5[hello]". cut: bytes handed over at a time; at_once: whole
 * frames are read in one call. */
static void tell(enum frame_sender sender, const char *text, size_t len, size_t cut, bool at_once,
                 char *out, size_t cap)
{
    struct frame_reader reader;
    size_t at = 0;
    size_t used = 0;

    frame_reader_init(&reader, sender);
    out[0] = '\0';
    while (at < len) {
        size_t part = len - at < cut ? len - at : cut;
        /* Memory of its own, so that a sanitizer sees a byte too many. */
        char *copy = malloc(part);
        const char *data = copy;
        size_t left = part;
        enum frame_event event;

        assert_non_null(copy);
        memcpy(copy, text + at, part);
        do {
            struct frame_piece piece;
            const struct frame *f = &piece.frame;

            while (at_once && frame_reader_is_between(&reader) &&
                   frame_read_whole(sender, &data, &left, &piece)) {
                used += (size_t)snprintf(out + used, cap - used, "%c%llu/%llu[%.*s]",
                                         letters[f->kind], (unsigned long long)f->number,
                                         (unsigned long long)f->len, (int)piece.len, piece.data);
            }
            event = frame_read(&reader, &data, &left, &piece);
            if (event == FRAME_EVENT_HEADER) {
                used += (size_t)snprintf(out + used, cap - used, "%c", letters[f->kind]);
                if (f->kind == FRAME_HELLO && sender == FRAME_FROM_CLIENT) {
                    used += (size_t)snprintf(out + used, cap - used, "(%.*s,%llu)",
                                             (int)f->hello.producer_len,
                                             f->hello.producer != NULL ? f->hello.producer : "",
                                             (unsigned long long)f->hello.from);
                } else if (f->kind == FRAME_HELLO) {
                    used += (size_t)snprintf(
                        out + used, cap - used, "(%llu,%llu,%llu,%s)",
                        (unsigned long long)f->hello.last, (unsigned long long)f->hello.max,
                        (unsigned long long)f->hello.window, frame_promise_name(f->hello.promise));
                } else {
                    used += (size_t)snprintf(
                        out + used, cap - used, "%llu/%llu[",
                        (unsigned long long)(f->kind == FRAME_BYE ? f->code : f->number),
                        (unsigned long long)f->len);
                }
            } else if (event == FRAME_EVENT_BODY) {
                assert_true(piece.len > 0);
                used +=
                    (size_t)snprintf(out + used, cap - used, "%.*s", (int)piece.len, piece.data);
            } else if (event == FRAME_EVENT_END) {
                used += (size_t)snprintf(out + used, cap - used, "]");
            } else if (event == FRAME_EVENT_BROKEN) {
                (void)snprintf(out + used, cap - used, "!%s", piece.why);
                free(copy);
                return;
            }
        } while (event != FRAME_EVENT_MORE);
        assert_int_equal(left, 0);
        free(copy);
        at += part;
    }
    if (!frame_reader_is_between(&reader)) {
        (void)snprintf(out + used, cap - used, "...");
    }
}

static const struct row {
    const char *name;
    enum frame_sender sender;
    const char *text;
    const char *told;
} rows[] = {
    {"HELLO alone", FRAME_FROM_CLIENT, "HELLO 1\n", "H(,1)"},
    {"CR LF", FRAME_FROM_CLIENT, "HELLO 1\r\nMSG 1 5\r\nhello\r\n", "H(,1)M1/5[hello]"},
    {"producer and from", FRAME_FROM_CLIENT, "HELLO 1 producer=k3-B.x_:0 from=17\n",
     "H(k3-B.x_:0,17)"},
    {"a producer alone sends from 1", FRAME_FROM_CLIENT, "HELLO 1 producer=a\n", "H(a,1)"},
    {"the words in another order", FRAME_FROM_CLIENT, "HELLO 1 from=2 producer=~a\n", "H(~a,2)"},
    {"unknown words are ignored", FRAME_FROM_CLIENT, "HELLO 1 x= last=9 y==1 z=z\n", "H(,1)"},
    {"the longest name", FRAME_FROM_CLIENT, "HELLO 1 producer=~" A63 "a\n", "H(~" A63 "a,1)"},
    {"messages behind one another", FRAME_FROM_CLIENT, "MSG 1 1\na\nMSG 2 3\nb\nc\nMSG 3 1\n\n\n",
     "M1/1[a]M2/3[b\nc]M3/1[\n]"},
    {"the largest numbers", FRAME_FROM_CLIENT,
     "HELLO 1 producer=a from=9223372036854775807\nMSG 9223372036854775807 9223372036854775807\n",
     "H(a,9223372036854775807)M9223372036854775807/9223372036854775807[..."},
    {"a server's HELLO", FRAME_FROM_SERVER, "HELLO 1 last=16 max=1048576 window=256 promise=disk\n",
     "H(16,1048576,256,disk)"},
    {"nothing taken yet", FRAME_FROM_SERVER,
     "HELLO 1 promise=replicated new=1 window=1 max=1 last=0\n", "H(0,1,1,replicated)"},
    {"replies and the end", FRAME_FROM_SERVER, "OK 17 5\nhello\nBYE 503 8\nstopping\n",
     "O17/5[hello]B503/8[stopping]"},
    {"the longest end", FRAME_FROM_SERVER, "BYE 400 1024\nx", "B400/1024[x..."},
    {"half a header", FRAME_FROM_CLIENT, "MSG 1", "..."},
    {"half a body", FRAME_FROM_CLIENT, "MSG 1 5\nhel", "M1/5[hel..."},
    {"a line end is still to come", FRAME_FROM_CLIENT, "MSG 1 1\na\r", "M1/1[a..."},
    {"256 bytes with the line end", FRAME_FROM_CLIENT,
     BLANKS("HELLO 1 a=" A63 " b=" A63) " c=44444444444444444444444444444444444444444444444\n",
     "H(,1)"},
    {"257 bytes", FRAME_FROM_CLIENT,
     BLANKS("HELLO 1 a=" A63 " b=" A63) " c=444444444444444444444444444444444444444444444444\n",
     "!a header line of over 256 bytes"},
    {"a header without end", FRAME_FROM_CLIENT,
     BLANKS("HELLO 1 a=" A63 " b=" A63) " c=" A63 A63 A63, "!a header line of over 256 bytes"},
    {"an empty line", FRAME_FROM_CLIENT, "\n", "!a header that is neither HELLO nor MSG"},
    {"an empty line between", FRAME_FROM_CLIENT, "MSG 1 1\na\n\n",
     "M1/1[a]!a header that is neither HELLO nor MSG"},
    {"a blank first", FRAME_FROM_CLIENT, " MSG 1 1\n", "!a header that is neither HELLO nor MSG"},
    {"small letters", FRAME_FROM_CLIENT, "msg 1 1\n", "!a header that is neither HELLO nor MSG"},
    {"a client says OK", FRAME_FROM_CLIENT, "OK 1 1\n", "!a header that is neither HELLO nor MSG"},
    {"a client says BYE", FRAME_FROM_CLIENT, "BYE 400 1\n",
     "!a header that is neither HELLO nor MSG"},
    {"a server says MSG", FRAME_FROM_SERVER, "MSG 1 1\n",
     "!a header that is neither HELLO, OK nor BYE"},
    {"two blanks", FRAME_FROM_CLIENT, "MSG  1 1\n", "!not two numbers from 1 in a header"},
    {"two blanks further on", FRAME_FROM_CLIENT, "MSG 1  1\n",
     "!not two numbers from 1 in a header"},
    {"a blank at the end", FRAME_FROM_CLIENT, "MSG 1 1 \n", "!a word too many in a header"},
    {"a tab", FRAME_FROM_CLIENT, "MSG\t1 1\n", "!not two numbers from 1 in a header"},
    {"a tab further on", FRAME_FROM_CLIENT, "MSG 1\t1\n", "!not two numbers from 1 in a header"},
    {"a tab at the end", FRAME_FROM_CLIENT, "MSG 1 1\t\n", "!a word too many in a header"},
    {"two CRs", FRAME_FROM_CLIENT, "MSG 1 1\r\r\n", "!a word too many in a header"},
    {"a word too few", FRAME_FROM_CLIENT, "MSG 1\n", "!not two numbers from 1 in a header"},
    {"no words", FRAME_FROM_CLIENT, "MSG\n", "!not two numbers from 1 in a header"},
    {"a word too many", FRAME_FROM_CLIENT, "MSG 1 1 1\n", "!a word too many in a header"},
    {"number 0", FRAME_FROM_CLIENT, "MSG 0 1\n", "!not two numbers from 1 in a header"},
    {"length 0", FRAME_FROM_CLIENT, "MSG 1 0\n", "!not two numbers from 1 in a header"},
    {"a leading zero", FRAME_FROM_CLIENT, "MSG 01 1\n", "!not two numbers from 1 in a header"},
    {"a sign", FRAME_FROM_CLIENT, "MSG +1 1\n", "!not two numbers from 1 in a header"},
    {"minus", FRAME_FROM_CLIENT, "MSG 1 -1\n", "!not two numbers from 1 in a header"},
    {"hexadecimal", FRAME_FROM_CLIENT, "MSG 1 0x1\n", "!not two numbers from 1 in a header"},
    {"2^63", FRAME_FROM_CLIENT, "MSG 9223372036854775808 1\n",
     "!not two numbers from 1 in a header"},
    {"20 digits", FRAME_FROM_CLIENT, "MSG 1 10000000000000000000\n",
     "!not two numbers from 1 in a header"},
    {"a length that says too little", FRAME_FROM_CLIENT, "MSG 1 4\nhello\n",
     "M1/4[hell!a body of another length than its header says"},
    {"a CR without LF behind a body", FRAME_FROM_CLIENT, "MSG 1 1\na\rb",
     "M1/1[a!a body of another length than its header says"},
    {"two CRs behind a body", FRAME_FROM_CLIENT, "MSG 1 1\na\r\r\n",
     "M1/1[a!a body of another length than its header says"},
    {"another version", FRAME_FROM_CLIENT, "HELLO 2\n", "!HELLO of another version than 1"},
    {"no version", FRAME_FROM_CLIENT, "HELLO\n", "!HELLO of another version than 1"},
    {"version 01", FRAME_FROM_CLIENT, "HELLO 01\n", "!HELLO of another version than 1"},
    {"HELLO with a blank at the end", FRAME_FROM_CLIENT, "HELLO 1 \n",
     "!a word of HELLO is not key=value"},
    {"HELLO with two blanks", FRAME_FROM_CLIENT, "HELLO 1  a=b\n",
     "!a word of HELLO is not key=value"},
    {"HELLO with a bare word", FRAME_FROM_CLIENT, "HELLO 1 a\n",
     "!a word of HELLO is not key=value"},
    {"HELLO without a key", FRAME_FROM_CLIENT, "HELLO 1 =a\n", "!a word of HELLO is not key=value"},
    {"HELLO with other than ASCII", FRAME_FROM_CLIENT, "HELLO 1 a=\xc3\xa4\n",
     "!a word of HELLO is not key=value"},
    {"producer twice", FRAME_FROM_CLIENT, "HELLO 1 producer=a producer=a\n",
     "!producer= stands twice"},
    {"from twice", FRAME_FROM_CLIENT, "HELLO 1 producer=a from=1 from=1\n", "!from= stands twice"},
    {"from without a producer", FRAME_FROM_CLIENT, "HELLO 1 from=1\n", "!from= without producer="},
    {"from 0", FRAME_FROM_CLIENT, "HELLO 1 producer=a from=0\n", "!from= is not a number from 1"},
    {"an empty name", FRAME_FROM_CLIENT, "HELLO 1 producer=\n",
     "!producer= is not 1 to 64 of A-Z a-z 0-9 . _ : -"},
    {"a tilde alone", FRAME_FROM_CLIENT, "HELLO 1 producer=~\n",
     "!producer= is not 1 to 64 of A-Z a-z 0-9 . _ : -"},
    {"two tildes", FRAME_FROM_CLIENT, "HELLO 1 producer=~~a\n",
     "!producer= is not 1 to 64 of A-Z a-z 0-9 . _ : -"},
    {"a server's own name", FRAME_FROM_CLIENT, "HELLO 1 producer=@a\n",
     "!producer= is not 1 to 64 of A-Z a-z 0-9 . _ : -"},
    {"a name of 65", FRAME_FROM_CLIENT, "HELLO 1 producer=" A63 "aa\n",
     "!producer= is not 1 to 64 of A-Z a-z 0-9 . _ : -"},
    {"a server without last", FRAME_FROM_SERVER, "HELLO 1 max=1 window=1 promise=none\n",
     "!HELLO lacks last=, max=, window= or promise="},
    {"a server without max", FRAME_FROM_SERVER, "HELLO 1 last=0 window=1 promise=none\n",
     "!HELLO lacks last=, max=, window= or promise="},
    {"a server without window", FRAME_FROM_SERVER, "HELLO 1 last=0 max=1 promise=none\n",
     "!HELLO lacks last=, max=, window= or promise="},
    {"a server without promise", FRAME_FROM_SERVER, "HELLO 1 last=0 max=1 window=1\n",
     "!HELLO lacks last=, max=, window= or promise="},
    {"last 00", FRAME_FROM_SERVER, "HELLO 1 last=00 max=1 window=1 promise=none\n",
     "!last= is not a number"},
    {"last twice", FRAME_FROM_SERVER, "HELLO 1 last=0 last=0 max=1 window=1 promise=none\n",
     "!last= stands twice"},
    {"max twice", FRAME_FROM_SERVER, "HELLO 1 max=1 max=1\n", "!max= stands twice"},
    {"max 0", FRAME_FROM_SERVER, "HELLO 1 max=0\n", "!max= is not a number from 1"},
    {"window 0", FRAME_FROM_SERVER, "HELLO 1 window=0\n", "!window= is not a number from 1"},
    {"window twice", FRAME_FROM_SERVER, "HELLO 1 window=1 window=2\n", "!window= stands twice"},
    {"another promise", FRAME_FROM_SERVER, "HELLO 1 promise=tape\n",
     "!promise= is not none, disk or replicated"},
    {"promise twice", FRAME_FROM_SERVER, "HELLO 1 promise=disk promise=disk\n",
     "!promise= stands twice"},
    {"BYE with two digits", FRAME_FROM_SERVER, "BYE 40 1\n", "!BYE without a code of three digits"},
    {"BYE with four digits", FRAME_FROM_SERVER, "BYE 1000 1\n",
     "!BYE without a code of three digits"},
    {"BYE with 2^32 more", FRAME_FROM_SERVER, "BYE 4294967696 1\n",
     "!BYE without a code of three digits"},
    {"BYE without a text", FRAME_FROM_SERVER, "BYE 400\n",
     "!BYE without a text of 1 to 1024 bytes"},
    {"BYE with a long text", FRAME_FROM_SERVER, "BYE 400 1025\n",
     "!BYE without a text of 1 to 1024 bytes"},
    {"BYE with a word too many", FRAME_FROM_SERVER, "BYE 400 1 1\n",
     "!a word too many in a header"},
};

/* Whole, and cut behind every byte: the same is told. */
static void test_rows(void **state)
{
    const struct row *row = *state;
    char whole[2048];
    char cut[2048];
    size_t len = strlen(row->text);

    for (int at_once = 0; at_once < 2; at_once++) {
        tell(row->sender, row->text, len, len, at_once, whole, sizeof(whole));
        assert_string_equal(whole, row->told);
        for (size_t n = 1; n <= len; n++) {
            tell(row->sender, row->text, len, n, at_once, cut, sizeof(cut));
            assert_string_equal(cut, row->told);
        }
    }
}

/* Which frames are read at once: those that are whole, in the form that most have. */
static void test_whole_frames(void **state)
{
    static const struct {
        enum frame_sender sender;
        const char *text;
        size_t read; /* bytes; 0: it is left to frame_read */
    } cases[] = {
        {FRAME_FROM_CLIENT, "MSG 1 5\nhello\n", 14},
        {FRAME_FROM_CLIENT, "MSG 1 5\nhello\nMSG 2 1\na\n", 14},
        {FRAME_FROM_CLIENT, "MSG 999999999999999999 1\n\n\n", 27},
        {FRAME_FROM_CLIENT, "MSG 1000000000000000000 1\na\n", 0},
        {FRAME_FROM_CLIENT, "MSG 18446744073709551617 1\na\n", 0},
        {FRAME_FROM_CLIENT, "MSG 1 5\nhello", 0},
        {FRAME_FROM_CLIENT, "MSG 1 5\nhell\n", 0},
        {FRAME_FROM_CLIENT, "MSG 1 5\nhellos\n", 0},
        {FRAME_FROM_CLIENT, "MSG 1 5\r\nhello\r\n", 0},
        {FRAME_FROM_CLIENT, "MSG 1 18446744073709551615\na\n", 0},
        {FRAME_FROM_CLIENT, "MSG 1 1 \na\n", 0},
        {FRAME_FROM_CLIENT, "MSG 01 1\na\n", 0},
        {FRAME_FROM_CLIENT, "MSG  1\na\n", 0},
        {FRAME_FROM_CLIENT, "MSG 1 ", 0},
        {FRAME_FROM_CLIENT, "MSG ", 0},
        {FRAME_FROM_CLIENT, "M", 0},
        {FRAME_FROM_CLIENT, "MSG 1: 1\na\n", 0},
        {FRAME_FROM_CLIENT, "MSG 1 1:\na\n", 0},
        {FRAME_FROM_CLIENT, "MSB 1 1\na\n", 0},
        {FRAME_FROM_SERVER, "KO 1 1\na\n", 0},
        {FRAME_FROM_CLIENT, "OK 1 1\na\n", 0},
        {FRAME_FROM_SERVER, "OK 1 1\na\n", 9},
        {FRAME_FROM_SERVER, "MSG 1 1\na\n", 0},
        {FRAME_FROM_SERVER, "BYE 400 1\na\n", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct frame_piece piece;
        size_t left = strlen(cases[i].text);
        char *copy = malloc(left);
        const char *data = copy;

        assert_non_null(copy);
        memcpy(copy, cases[i].text, left);
        assert_int_equal(frame_read_whole(cases[i].sender, &data, &left, &piece),
                         cases[i].read > 0);
        assert_int_equal(data - copy, cases[i].read);
        assert_int_equal(left, strlen(cases[i].text) - cases[i].read);
        free(copy);
    }
}

/* The bounds of each run of characters, and the length, which counts and not a NUL. */
static void test_names_of_producers(void **state)
{
    char long_name[80];

    (void)state;
    for (int c = 0; c < 256; c++) {
        const char name[] = {'a', (char)c, 'a'};
        bool is_good = c != 0 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                        "0123456789._:-",
                                        c) != NULL;

        assert_int_equal(frame_is_producer(name, sizeof(name)), is_good);
        assert_int_equal(frame_is_producer(name + 1, 1), is_good);
    }
    memset(long_name, 'a', sizeof(long_name));
    assert_true(frame_is_producer(long_name, FRAME_PRODUCER_MAX));
    assert_false(frame_is_producer(long_name, FRAME_PRODUCER_MAX + 1));
    assert_false(frame_is_producer(long_name, 0));
    long_name[0] = '~';
    assert_true(frame_is_producer(long_name, FRAME_PRODUCER_MAX + 1));
    assert_false(frame_is_producer(long_name, FRAME_PRODUCER_MAX + 2));
    assert_false(frame_is_producer(long_name, 1));
    assert_false(frame_is_producer(long_name, 0));
}

/* What stands before a line is not its own. */
static void test_an_empty_line_behind_a_cr(void **state)
{
    static const char text[] = "\r\n";
    struct frame_reader reader;
    struct frame_piece piece;
    const char *data = text + 1;
    size_t len = 1;

    (void)state;
    frame_reader_init(&reader, FRAME_FROM_CLIENT);
    assert_int_equal(frame_read(&reader, &data, &len, &piece), FRAME_EVENT_BROKEN);
    assert_string_equal(piece.why, "a header that is neither HELLO nor MSG");
}

static void test_codes_of_the_end(void **state)
{
    static const struct {
        const char *text;
        unsigned code; /* 0: none */
    } cases[] = {{"BYE 99 1\n", 0},
                 {"BYE 100 1\n", 100},
                 {"BYE 101 1\n", 101},
                 {"BYE 999 1\n", 999},
                 {"BYE 1000 1\n", 0}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct frame_reader reader;
        struct frame_piece piece;
        const char *data = cases[i].text;
        size_t len = strlen(data);

        frame_reader_init(&reader, FRAME_FROM_SERVER);
        if (cases[i].code == 0) {
            assert_int_equal(frame_read(&reader, &data, &len, &piece), FRAME_EVENT_BROKEN);
            assert_string_equal(piece.why, "BYE without a code of three digits");
        } else {
            assert_int_equal(frame_read(&reader, &data, &len, &piece), FRAME_EVENT_HEADER);
            assert_int_equal(piece.frame.kind, FRAME_BYE);
            assert_int_equal(piece.frame.code, cases[i].code);
        }
    }
}

static void test_nothing_is_read_after_a_break(void **state)
{
    struct frame_reader reader;
    struct frame_piece piece;
    const char *data = "x\nHELLO 1\n";
    size_t len = strlen(data);

    (void)state;
    frame_reader_init(&reader, FRAME_FROM_CLIENT);
    assert_int_equal(frame_read(&reader, &data, &len, &piece), FRAME_EVENT_BROKEN);
    assert_int_equal(frame_read(&reader, &data, &len, &piece), FRAME_EVENT_BROKEN);
    assert_false(frame_reader_is_between(&reader));
}

/* A body is handed over where it lies. */
static void test_a_body_is_not_copied(void **state)
{
    static const char text[] = "MSG 1 5\nhello\n";
    struct frame_reader reader;
    struct frame_piece piece;
    const char *data = text;
    size_t len = sizeof(text) - 1;

    (void)state;
    frame_reader_init(&reader, FRAME_FROM_CLIENT);
    assert_int_equal(frame_read(&reader, &data, &len, &piece), FRAME_EVENT_HEADER);
    assert_int_equal(frame_read(&reader, &data, &len, &piece), FRAME_EVENT_BODY);
    assert_ptr_equal(piece.data, text + 8);
    assert_int_equal(piece.len, 5);
}

/* What one end prints the other reads. */
static void test_printed(void **state)
{
    const struct frame_hello hello = {.last = INT64_MAX,
                                      .max = INT64_MAX,
                                      .window = INT64_MAX,
                                      .promise = FRAME_PROMISE_REPLICATED};
    char buf[FRAME_HEADER_MAX + 1];
    size_t len;

    (void)state;
#define PRINTED(call, text)                                                                        \
    do {                                                                                           \
        len = (call);                                                                              \
        assert_true(len <= FRAME_HEADER_MAX);                                                      \
        buf[len] = '\0';                                                                           \
        assert_string_equal(buf, text);                                                            \
    } while (0)
    PRINTED(frame_print_client_hello(buf, NULL, 1), "HELLO 1\n");
    PRINTED(frame_print_client_hello(buf, "~" A63 "a", INT64_MAX),
            "HELLO 1 producer=~" A63 "a from=9223372036854775807\n");
    PRINTED(frame_print_server_hello(buf, &hello),
            "HELLO 1 last=9223372036854775807 max=9223372036854775807 "
            "window=9223372036854775807 promise=replicated\n");
    PRINTED(frame_print_msg(buf, 10, 1), "MSG 10 1\n");
    PRINTED(frame_print_ok(buf, 1, INT64_MAX), "OK 1 9223372036854775807\n");
    PRINTED(frame_print_bye(buf, 503, 8), "BYE 503 8\n");
#undef PRINTED
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_frames),
        cmocka_unit_test(test_names_of_producers),
        cmocka_unit_test(test_an_empty_line_behind_a_cr),
        cmocka_unit_test(test_codes_of_the_end),
        cmocka_unit_test(test_nothing_is_read_after_a_break),
        cmocka_unit_test(test_a_body_is_not_copied),
        cmocka_unit_test(test_printed),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    RUN_ROWS(failed, test_rows, rows);
    return failed;
}
