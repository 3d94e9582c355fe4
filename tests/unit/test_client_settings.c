/* What the client's own options become, and what is refused of them: the whole text, its code, and
 * the system's cause. */
#include "support/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/client/options.h"
#include "base/build.h"
#include "support/failmalloc.h"
#include "support/test_folder.h"

#define WORDS_MAX 6

static struct test_folder folder;

/* "@NAME" is a file of the test's own. */
struct words {
    char texts[WORDS_MAX + 1][TEST_PATH_MAX];
    char *argv[WORDS_MAX + 1];
    int argc;
};

static void fill(struct words *words, const char *const *given)
{
    words->argc = 0;
    for (int i = 0; i == 0 || (i <= WORDS_MAX && given[i - 1] != NULL); i++) {
        const char *text = i == 0 ? "tlsmsg-client" : given[i - 1];
        const char *at = strchr(text, '@');

        if (at != NULL) {
            char path[TEST_PATH_MAX];

            (void)snprintf(words->texts[i], TEST_PATH_MAX, "%.*s%.120s", (int)(at - text), text,
                           test_folder_file(&folder, at + 1, path));
        } else {
            (void)snprintf(words->texts[i], TEST_PATH_MAX, "%s", text);
        }
        words->argv[words->argc++] = words->texts[i];
    }
}

static enum tlsmsg_code take(struct client_settings *settings, const char *const *given,
                             struct words *words, struct tlsmsg_error *err)
{
    enum tlsmsg_code code;
    int stopped;

    fill(words, given);
    *err = (struct tlsmsg_error){.code = TLSMSG_OK};
    code = client_settings_init(settings, err);
    if (code == TLSMSG_OK) {
        code = args_parse(&client_options, words->argc, words->argv, client_settings_take, settings,
                          &stopped, err);
    }
    return code == TLSMSG_OK ? client_settings_check(settings, err) : code;
}

/* ---- what is refused */

#define ONE_WORD "the server's address is one word, HOST:PORT; try: "
#define TRY_HELP " (try 'tlsmsg-client --help')"
#define NEEDS_NUMBERED " needs tlsmsg/1, which --document-flow leaves out"

static const struct refused {
    const char *name;
    const char *words[WORDS_MAX];
    const char *text;
} refused[] = {
    {"an empty message", {"-m", ""}, "--message: an empty message can't be sent"},
    {"a message that is not UTF-8", {"-m", "a\xff"}, "--message: the text is not valid UTF-8"},
    {"a second address", {"one", "two"}, "unexpected argument 'two'" TRY_HELP},
    {"a second address, which is empty", {"one", ""}, "unexpected argument ''" TRY_HELP},
    {"host and port", {"one", "123"}, ONE_WORD "one:123"},
    {"host and port in IPv6", {"::1", "123"}, ONE_WORD "[::1]:123"},
    {"host and port in IPv6 with brackets", {"[::1]", "123"}, ONE_WORD "[::1]:123"},
    {"another language", {"--lang", "fr"}, "--lang wants zh or en, not 'fr'"},
};

static const struct refused refused_with_tls[] = {
    {"an empty file", {"-M", "/dev/null"}, "--message-file: an empty message can't be sent"},
    {"a file that is not UTF-8", {"-M", "@binary"}, "--message-file: the text is not valid UTF-8"},
    {"seconds that are none",
     {"--retry", "x\n"},
     "--retry wants seconds from 0 to 10000000, such as 2.5, not 'x\\n'"},
    {"too many seconds",
     {"--retry", "10000000.001"},
     "--retry wants seconds from 0 to 10000000, such as 2.5, not '10000000.001'"},
    {"another format", {"--format", "xml"}, "--format wants text or json, not 'xml'"},
    {"a probe with a message",
     {"--probe", "-m", "x"},
     "--probe sends no message (leave --probe or --message out)"},
    {"a probe with a spool",
     {"--probe", "--spool", "s"},
     "--probe sends no message (leave --probe or --spool out)"},
    {"keys in the place of the known servers",
     {"--trust-on-first-use", "--known-servers=k", "--keylog-file=k"},
     "--keylog-file and --known-servers name the same file 'k' (try: a file of its own for "
     "--keylog-file)"},
    {"records in the place of a CA",
     {"--ca=/etc/passwd", "--known-servers=/etc/./passwd"},
     "--known-servers and --ca name the same file '/etc/./passwd' (try: a file of its own for "
     "--known-servers)"},
    {"a probe told at length",
     {"--probe", "-v"},
     "--probe shows what --verbose tells (leave --verbose out)"},
    {"a spool without numbers", {"--document-flow", "--spool", "s"}, "--spool" NEEDS_NUMBERED},
    {"a producer without them",
     {"--document-flow", "--producer", "p"},
     "--producer" NEEDS_NUMBERED},
    {"a retry without them", {"--document-flow", "--retry", "1"}, "--retry" NEEDS_NUMBERED},
    {"a window without them", {"--document-flow", "--window", "2"}, "--window" NEEDS_NUMBERED},
    {"a long message without them",
     {"--document-flow", "-M", "@16001"},
     "a message of over 16000 bytes" NEEDS_NUMBERED},
    {"a spool with a producer",
     {"--spool", "s", "--producer", "p"},
     "--spool numbers the messages under a name of its own (leave --producer or --spool out)"},
    {"a producer of the program's kind",
     {"--producer", "~p", "-m", "x"},
     "--producer: names with '~' are made by the program itself"},
};

static void assert_refused(const char *const *given, const char *text, int sys_errno)
{
    struct client_settings settings;
    struct tlsmsg_error err;
    struct words words;

    assert_int_equal(take(&settings, given, &words, &err), TLSMSG_ERR_CONFIG);
    assert_string_equal(err.text, text);
    assert_int_equal(err.sys_errno, sys_errno);
    client_settings_fini(&settings);
}

static void is_refused(void **state)
{
    const struct refused *row = *state;

    assert_refused(row->words, row->text, 0);
}

static const struct unreadable {
    const char *name; /* the file */
    int sys_errno;
    const char *cause;
} unreadable[] = {
    {"@none", ENOENT, "No such file or directory"},
    {"/", EISDIR, "Is a directory"},
    {"/dev/zero", EFBIG, "File too large"}, /* it never ends */
};

static void is_unreadable(void **state)
{
    const struct unreadable *row = *state;
    const char *given[] = {"-M", row->name, NULL};
    struct words words;
    char text[2 * TEST_PATH_MAX];

    fill(&words, given);
    (void)snprintf(text, sizeof(text), "--message-file: cannot read '%s': %s", words.argv[2],
                   row->cause);
    assert_refused(given, text, row->sys_errno);
}

/* ---- what is taken */

static const char *const nothing[] = {NULL};

static void test_what_is_set_without_an_option(void **state)
{
    struct client_settings settings;
    struct tlsmsg_error err;
    struct words words;

    (void)state;
    assert_int_equal(take(&settings, nothing, &words, &err), TLSMSG_OK);
    assert_false(settings.quiet || settings.verbose || settings.probes || settings.as_json ||
                 settings.retries_first);
    assert_int_equal(settings.retry_ms, BUILD_HAS_TLS ? 30000 : 0);
    assert_int_equal(settings.message_count, 0);
    assert_null(settings.spool);
    assert_null(settings.producer);
    assert_null(settings.need);
    assert_null(settings.address);
    assert_int_equal(tlsmsg_options_is_set(settings.options, TLSMSG_OPT_PRODUCER), BUILD_HAS_TLS);
    client_settings_fini(&settings);
}

static const struct taken {
    const char *name;
    const char *words[WORDS_MAX];
    const char *need;
    const char *producer; /* the library's */
    int64_t retry_ms;
} taken[] = {
    {"a short message", {"-m", "x"}, NULL, "~", 30000},
    {"a long message", {"-M", "@16001"}, "a message of over 16000 bytes", "~", 30000},
    {"a message that is just not too long", {"-M", "@16000"}, NULL, "~", 30000},
    {"the document's flow", {"--document-flow"}, NULL, NULL, 30000},
    {"never again", {"--retry", "0"}, NULL, NULL, 0},
    {"never again, in the document's flow", {"--document-flow", "--retry=0"}, NULL, NULL, 0},
    {"for the longest time", {"--retry", "10000000"}, "--retry", "~", 10000000000},
    {"for part of a second", {"--retry", "2.5"}, "--retry", "~", 2500},
    {"a producer", {"--producer", "p", "-m", "x"}, "--producer", "p", 30000},
    {"a spool", {"--spool", "s"}, "--spool", NULL, 30000},
    {"a window", {"--window", "3"}, "--window", "~", 30000},
    {"a probe", {"--probe"}, NULL, NULL, 30000},
    {"a configuration", {"--config", "c"}, NULL, "~", 30000},
};

static void assert_same(const char *found, const char *expected)
{
    if (expected == NULL || found == NULL) {
        assert_ptr_equal(found, expected);
    } else {
        assert_string_equal(found, expected);
    }
}

static void is_taken(void **state)
{
    const struct taken *row = *state;
    struct client_settings settings;
    struct tlsmsg_error err;
    struct words words;

    if (take(&settings, row->words, &words, &err) != TLSMSG_OK) {
        fail_msg("%s", err.text);
    }
    assert_same(settings.need, row->need);
    assert_same(tlsmsg_options_text(settings.options, TLSMSG_OPT_PRODUCER, 0), row->producer);
    assert_same(settings.producer,
                row->producer != NULL && *row->producer != '~' ? row->producer : NULL);
    assert_int_equal(settings.retry_ms, row->retry_ms);
    assert_int_equal(settings.retries_first,
                     strncmp(row->words[0], "--retry", 7) == 0 ||
                         (row->words[1] != NULL && strncmp(row->words[1], "--retry", 7) == 0));
    assert_int_equal(settings.probes, strcmp(row->words[0], "--probe") == 0);
    client_settings_fini(&settings);
}

static void test_message_files(void **state)
{
    const char *given[] = {"-m", "one", "-M", "@20000", "-M@16000", NULL};
    struct client_settings settings;
    struct tlsmsg_error err;
    struct words words;

    (void)state;
    if (!BUILD_HAS_TLS) {
        skip();
    }
    assert_int_equal(take(&settings, given, &words, &err), TLSMSG_OK);
    assert_int_equal(settings.message_count, 3);
    assert_int_equal(settings.messages[1].len, 200000);
    for (size_t i = 0; i < 200000; i++) {
        assert_int_equal(settings.messages[1].data[i], 'a' + (int)(i % 26));
    }
    assert_int_equal(settings.messages[2].len, 16000);
    assert_int_equal(settings.longest, 200000);
    assert_null(settings.owned[0]);
    assert_ptr_equal(settings.owned[2], settings.messages[2].data);
    client_settings_fini(&settings);
}

static void test_words_without_a_value(void **state)
{
    const char *given[] = {"-qv", "--lang=zh", "--format=json", "[::1]:7", NULL};
    struct client_settings settings;
    struct tlsmsg_error err;
    struct words words;

    (void)state;
    if (!BUILD_HAS_TLS) {
        skip();
    }
    assert_int_equal(take(&settings, given, &words, &err), TLSMSG_OK);
    assert_true(settings.quiet && settings.verbose && settings.as_json);
    assert_ptr_equal(settings.phrases, phrases_get(PHRASES_ZH));
    assert_int_equal(settings.help_language, PHRASES_ZH);
    assert_string_equal(settings.address, "[::1]:7");
    assert_string_equal(tlsmsg_options_text(settings.options, TLSMSG_OPT_ADDRESS, 0), "[::1]:7");
    client_settings_fini(&settings);
}

static void without_memory(void *state)
{
    const char *given[] = {"-m", "one", "-M", "@16000", "-m", "two"};
    struct client_settings settings;
    struct tlsmsg_error err;
    struct words words;
    enum tlsmsg_code code = take(&settings, given, &words, &err);

    (void)state;
    if (code != TLSMSG_OK) {
        bool is_file = strstr(err.text, "cannot read") != NULL;

        assert_int_equal(code, is_file ? TLSMSG_ERR_CONFIG : TLSMSG_ERR_NOMEM);
        if (is_file) {
            assert_int_equal(err.sys_errno, ENOMEM);
        } else {
            assert_string_equal(err.text, "out of memory");
        }
    }
    client_settings_fini(&settings);
}

static void test_each_allocation_fails(void **state)
{
    long live = failmalloc_live();

    (void)state;
    if (!BUILD_HAS_TLS) {
        skip();
    }
    for (size_t n = 1; failmalloc_try(n, without_memory, NULL); n++) {
        assert_int_equal(failmalloc_live(), live);
    }
    assert_int_equal(failmalloc_live(), live);
}

static void write_letters(const char *name, size_t count)
{
    char path[TEST_PATH_MAX];
    FILE *file = fopen(test_folder_file(&folder, name, path), "w");

    assert_non_null(file);
    for (size_t i = 0; i < count; i++) {
        assert_int_not_equal(fputc('a' + (int)(i % 26), file), EOF);
    }
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    char path[TEST_PATH_MAX];
    FILE *file;

    (void)state;
    test_folder_make(&folder);
    write_letters("16000", 16000);
    write_letters("16001", 16001);
    write_letters("20000", 200000);
    file = fopen(test_folder_file(&folder, "binary", path), "w");
    assert_non_null(file);
    assert_true(fputs("a\xff", file) >= 0);
    return fclose(file);
}

static int tear_down(void **state)
{
    (void)state;
    test_folder_remove(&folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_set_without_an_option),
        cmocka_unit_test(test_message_files),
        cmocka_unit_test(test_words_without_a_value),
        cmocka_unit_test(test_each_allocation_fails),
    };
    int failed = set_up(NULL);

    failed += cmocka_run_group_tests(tests, NULL, NULL);
    RUN_ROWS(failed, is_refused, refused);
    if (BUILD_HAS_TLS) {
        RUN_ROWS(failed, is_refused, refused_with_tls);
        RUN_ROWS(failed, is_unreadable, unreadable);
        RUN_ROWS(failed, is_taken, taken);
    }
    return failed + tear_down(NULL);
}
