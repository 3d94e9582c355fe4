#include "support/args_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/unit.h"

void assert_help_fits_a_screen(const struct args_table *table)
{
    char *text = NULL;
    char *line;
    char *rest = NULL;
    size_t len = 0;
    size_t lines = 0;
    size_t i;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    args_print(table, ARGS_HELP, out);
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
        if (strlen(line) > 80) {
            fail_msg("%zu columns: %s", strlen(line), line);
        }
    }
    free(text);
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
