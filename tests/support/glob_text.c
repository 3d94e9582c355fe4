/* See glob_text.h. */
#include "support/glob_text.h"

#include <stdbool.h>

#include "support/unit.h"

static bool fits(const char *pattern, const char *text)
{
    for (; *pattern != '\0' && *pattern != '*'; pattern++, text++) {
        if (*pattern != *text) {
            return false;
        }
    }
    if (*pattern == '\0') {
        return *text == '\0';
    }
    while (!fits(pattern + 1, text)) {
        if (*text == '\0' || *text++ == '\n') {
            return false;
        }
    }
    return true;
}

void expect_text(const char *what, const char *expected, const char *found)
{
    if (!fits(expected != NULL ? expected : "", found)) {
        fail_msg("%s is\n%s\ninstead of\n%s", what, found, expected != NULL ? expected : "");
    }
}
