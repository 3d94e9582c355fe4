#include "support/args_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/help_zh.h"
#include "support/unit.h"

/* Columns on a screen: all beyond ASCII that --help uses is wide. */
static size_t columns(const char *line)
{
    size_t count = 0;

    for (; *line != '\0'; line++) {
        unsigned char byte = (unsigned char)*line;

        count += byte < 0x80 ? 1 : byte >= 0xC0 ? 2 : 0;
    }
    return count;
}

static void assert_in_chinese(const char *english)
{
    if (*english != '\0' && help_in_chinese(english) == NULL) {
        fail_msg("src/app/help_zh.c has no Chinese for: %s", english);
    }
}

static void assert_fits_a_screen(const struct args_table *table, bool chinese)
{
    char *text = NULL;
    char *line;
    char *rest = NULL;
    size_t len = 0;
    size_t lines = 0;
    size_t i;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    args_print(table, ARGS_HELP, chinese, out);
    assert_int_equal(fclose(out), 0);
    for (i = 0; i < table->count; i++) {
        char name[64];

        (void)snprintf(name, sizeof(name), "--%s", args_name(&table->rows[i]));
        assert_non_null(strstr(text, name));
    }
    for (i = 0; i < len; i++) {
        lines += text[i] == '\n';
    }
    assert_in_range(lines, 20, 75);
    for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        if (columns(line) > 80) {
            fail_msg("%zu columns: %s", columns(line), line);
        }
    }
    free(text);
}

void assert_help_fits_a_screen(const struct args_table *table)
{
    size_t i;

    assert_fits_a_screen(table, false);
    assert_fits_a_screen(table, true);
    for (i = 0; i < table->count; i++) {
        assert_in_chinese(table->rows[i].help);
    }
    for (i = 0; i < table->group_count; i++) {
        assert_in_chinese(table->groups[i]);
    }
    assert_in_chinese(table->remark != NULL ? table->remark : "");
}

void assert_table_is_sound(const struct args_table *table)
{
    size_t i, j;

    for (i = 0; i < table->count; i++) {
        const struct args_option *a = &table->rows[i];

        assert_true(a->group < table->group_count);
        for (j = 0; j < i; j++) {
            const struct args_option *b = &table->rows[j];

            assert_string_not_equal(args_name(a), args_name(b));
            assert_int_not_equal(a->id, b->id);
            assert_true(a->letter == 0 || a->letter != b->letter);
        }
    }
}
