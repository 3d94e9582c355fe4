/* The language without --lang: the locale's where there is one. */
#include "support/unit.h"

#include <stdlib.h>

#include "app/phrases.h"
#include "base/build.h"

static const struct row {
    const char *name;
    const char *lc_all; /* NULL: not set */
    const char *lc_messages;
    const char *lang;
    const char *found; /* under TLS; in plaintext always zh */
    const char *help;  /* that of --help */
} rows[] = {
    {"nothing set", NULL, NULL, NULL, "zh", "en"},
    {"empty counts as not set", "", "", "", "zh", "en"},
    {"LANG", NULL, NULL, "en_US.UTF-8", "en", "en"},
    {"LC_MESSAGES before LANG", NULL, "zh_CN.UTF-8", "en_US.UTF-8", "zh", "zh"},
    {"LC_ALL before both", "de_DE", "zh_CN.UTF-8", "zh_CN.UTF-8", "en", "en"},
    {"an empty LC_ALL is passed over", "", "en_GB", "zh_CN", "en", "en"},
    {"C", "C", NULL, NULL, "zh", "en"},
    {"C with a character set", "C.UTF-8", NULL, NULL, "zh", "en"},
    {"POSIX", "POSIX", NULL, NULL, "zh", "en"},
    {"zh alone", NULL, NULL, "zh", "zh", "zh"},
    {"Taiwan", NULL, NULL, "zh_TW.Big5", "zh", "zh"},
    {"begins with C as Czech does", "cs_CZ.UTF-8", NULL, NULL, "en", "en"},
    {"begins with C without a dot", "CC", NULL, NULL, "en", "en"},
};

static void set(const char *name, const char *value)
{
    assert_int_equal(value != NULL ? setenv(name, value, 1) : unsetenv(name), 0);
}

static void test_default(void **state)
{
    const struct row *row = *state;

    set("LC_ALL", row->lc_all);
    set("LC_MESSAGES", row->lc_messages);
    set("LANG", row->lang);
    assert_string_equal(phrases_names[phrases_default()], BUILD_HAS_TLS ? row->found : "zh");
    assert_string_equal(phrases_names[phrases_default_for_help()], row->help);
}

int main(void)
{
    int failed = 0;

    RUN_ROWS(failed, test_default, rows);
    return failed;
}
