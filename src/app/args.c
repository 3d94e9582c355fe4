/* The command line, cut by a table: the form alone, what a value means is the taker's. And what
 * --help prints of the table: one line an option, texts in one column, within 80 columns as long as
 * the texts are (a test counts them).
 *
 * Not getopt_long(3): it tells an ambiguous and an unknown name alike, doesn't say which word of the
 * command line failed, and keeps its place in global variables. Main thread, before anything else
 * runs. */
#include "app/args.h"

#include <string.h>

#include "app/help_zh.h"
#include "base/decimal.h"
#include "base/error.h"
#include "base/escape.h"

#define WORD_SHOWN_MAX 120 /* most bytes of a word that a message repeats */
#define HELP_COLUMN 32
#define AGE_NUMBER_MAX 100000

struct cursor {
    const struct args_table *table;
    int argc;
    char *const *argv;
    int next; /* index of the word after the one in work */
    args_take *take;
    void *user;
    size_t operands;
    int stopped;
    struct tlsmsg_error *err;
};

const char *args_name(const struct args_option *row)
{
    return row->name != NULL ? row->name : tlsmsg_option_name((enum tlsmsg_option)row->id);
}

static enum tlsmsg_code refuse(const struct cursor *c, const char *what, const char *word,
                               const char *rest)
{
    char shown[WORD_SHOWN_MAX];

    return error_set(c->err, TLSMSG_ERR_CONFIG, 0, "%s '%s'%s (try '%s --help')", what,
                     escape_name(shown, sizeof(shown), word), rest, c->table->program);
}

static enum tlsmsg_code refuse_ambiguous(const struct cursor *c, const char *word, size_t len)
{
    char names[256] = "";
    size_t used = 0;
    size_t i;

    for (i = 0; i < c->table->count; i++) {
        const char *name = args_name(&c->table->rows[i]);

        if (strncmp(name, word + 2, len) == 0 && used < sizeof(names)) {
            int n =
                snprintf(names + used, sizeof(names) - used, "%s --%s", used > 0 ? "," : "", name);

            used += n > 0 ? (size_t)n : 0;
        }
    }
    return error_set(c->err, TLSMSG_ERR_CONFIG, 0, "option '%.*s' can mean%s (try '%s --help')",
                     (int)(len + 2), word, names, c->table->program);
}

static enum tlsmsg_code hand_over(struct cursor *c, const struct args_option *row,
                                  const char *value)
{
    if (row->id == ARGS_HELP || row->id == ARGS_VERSION) {
        c->stopped = row->id;
        return TLSMSG_OK;
    }
    return c->take(row->id, value, c->user, c->err);
}

/* The row that the first len bytes of name stand for; *several tells why there is none. */
static const struct args_option *find_long(const struct args_table *table, const char *name,
                                           size_t len, bool *several)
{
    const struct args_option *found = NULL;
    size_t i;

    *several = false;
    for (i = 0; i < table->count; i++) {
        const struct args_option *row = &table->rows[i];
        const char *whole = args_name(row);

        if (strncmp(whole, name, len) != 0) {
            continue;
        }
        if (whole[len] == '\0') {
            *several = false;
            return row;
        }
        *several = found != NULL;
        if (found == NULL) {
            found = row;
        }
    }
    return *several ? NULL : found;
}

static enum tlsmsg_code take_value(struct cursor *c, const struct args_option *row,
                                   const char *word)
{
    if (c->next >= c->argc) {
        char rest[64];

        (void)snprintf(rest, sizeof(rest), " needs a value: %s", row->value);
        return refuse(c, "option", word, rest);
    }
    return hand_over(c, row, c->argv[c->next++]);
}

static enum tlsmsg_code parse_long(struct cursor *c, const char *word)
{
    const char *name = word + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct args_option *row;
    bool several;

    row = len > 0 ? find_long(c->table, name, len, &several) : NULL;
    if (row == NULL) {
        return len > 0 && several ? refuse_ambiguous(c, word, len)
                                  : refuse(c, "unknown option", word, "");
    }
    if (row->value == NULL) {
        return equals != NULL ? refuse(c, "option", word, " takes no value")
                              : hand_over(c, row, "1");
    }
    return equals != NULL ? hand_over(c, row, equals + 1) : take_value(c, row, word);
}

static const struct args_option *find_short(const struct args_table *table, char letter)
{
    size_t i;

    for (i = 0; i < table->count; i++) {
        if (table->rows[i].letter == letter) {
            return &table->rows[i];
        }
    }
    return NULL;
}

static enum tlsmsg_code parse_short(struct cursor *c, const char *word)
{
    enum tlsmsg_code code = TLSMSG_OK;
    const char *at;

    for (at = word + 1; *at != '\0' && code == TLSMSG_OK && c->stopped == ARGS_NONE; at++) {
        const struct args_option *row = find_short(c->table, *at);

        if (row == NULL) {
            return refuse(c, "unknown option", word, "");
        }
        if (row->value != NULL) {
            return at[1] != '\0' ? hand_over(c, row, at + 1) : take_value(c, row, word);
        }
        code = hand_over(c, row, "1");
    }
    return code;
}

static enum tlsmsg_code parse_operand(struct cursor *c, const char *word)
{
    if (c->operands >= c->table->operands_max) {
        return refuse(c, "unexpected argument", word, "");
    }
    c->operands++;
    return c->take(ARGS_OPERAND, word, c->user, c->err);
}

enum tlsmsg_code args_parse(const struct args_table *table, int argc, char *const *argv,
                            args_take *take, void *user, int *stopped, struct tlsmsg_error *err)
{
    struct cursor c = {.table = table,
                       .argc = argc,
                       .argv = argv,
                       .next = 1,
                       .take = take,
                       .user = user,
                       .stopped = ARGS_NONE,
                       .err = err};
    enum tlsmsg_code code = TLSMSG_OK;
    bool options_ended = false;

    while (code == TLSMSG_OK && c.stopped == ARGS_NONE && c.next < argc) {
        const char *word = argv[c.next++];

        if (options_ended || word[0] != '-' || word[1] == '\0') {
            code = parse_operand(&c, word);
        } else if (strcmp(word, "--") == 0) {
            options_ended = true;
        } else if (word[1] == '-') {
            code = parse_long(&c, word);
        } else {
            code = parse_short(&c, word);
        }
    }
    *stopped = c.stopped;
    return code;
}

enum tlsmsg_code args_age(const char *option, const char *value, int64_t *ms,
                          struct tlsmsg_error *err)
{
    static const char units[] = "smhdw";
    static const int64_t seconds[] = {1, 60, 3600, 86400, 604800};
    size_t len = strlen(value);
    const char *unit = len > 1 ? strchr(units, value[len - 1]) : NULL;
    uint64_t number;

    if (unit == NULL || *unit == '\0' ||
        !decimal_parse(value, len - 1, 1, AGE_NUMBER_MAX, &number)) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--%s wants an age such as 90d (units: s, m, h, d, w)", option);
    }
    *ms = (int64_t)number * seconds[unit - units] * 1000;
    return TLSMSG_OK;
}

enum tlsmsg_code args_choice(const char *option, const char *const *names, size_t count,
                             const char *value, size_t *index, struct tlsmsg_error *err)
{
    char list[128] = "";
    char shown[WORD_SHOWN_MAX];
    size_t used = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        if (strcmp(names[i], value) == 0) {
            *index = i;
            return TLSMSG_OK;
        }
        if (used < sizeof(list)) {
            const char *join = i == 0 ? "" : i + 1 < count ? ", " : " or ";
            int n = snprintf(list + used, sizeof(list) - used, "%s%s", join, names[i]);

            used += n > 0 ? (size_t)n : 0;
        }
    }
    return error_set(err, TLSMSG_ERR_CONFIG, 0, "--%s wants %s, not '%s'", option, list,
                     escape_name(shown, sizeof(shown), value));
}

/* ---- --help and --version */

/* A text in the language of choice, as far as there is one. */
static const char *in_language(const char *english, bool chinese)
{
    const char *text = chinese ? help_in_chinese(english) : NULL;

    return text != NULL ? text : english;
}

static void print_row(const struct args_option *row, bool chinese, FILE *out)
{
    char left[80];

    (void)snprintf(left, sizeof(left), "  %c%c%c --%s%s%s", row->letter != 0 ? '-' : ' ',
                   row->letter != 0 ? row->letter : ' ', row->letter != 0 ? ',' : ' ',
                   args_name(row), row->value != NULL ? " " : "",
                   row->value != NULL ? row->value : "");
    (void)fprintf(out, "%-*s%s%s\n", HELP_COLUMN - 1, left, strlen(left) < HELP_COLUMN ? " " : "  ",
                  in_language(row->help, chinese));
}

static void print_help(const struct args_table *table, bool chinese, FILE *out)
{
    const struct args_texts *texts =
        chinese && table->chinese.closing != NULL ? &table->chinese : &table->english;
    size_t group, i;

    (void)fprintf(out, "%s%s %s\n%s\n",
                  texts == &table->chinese ? "用法：" : "Usage: ", table->program, texts->synopsis,
                  texts->purpose);
    if (texts->examples != NULL) {
        (void)fprintf(out, "\n%s", texts->examples);
    }
    for (group = 0; group < table->group_count; group++) {
        (void)fprintf(out, "\n%s\n", in_language(table->groups[group], chinese));
        for (i = 0; i < table->count; i++) {
            if (table->rows[i].group == group) {
                print_row(&table->rows[i], chinese, out);
            }
        }
    }
    (void)fprintf(out, "\n%s%s", texts->closing,
                  table->remark != NULL ? in_language(table->remark, chinese) : "");
}

void args_print(const struct args_table *table, int id, bool chinese, FILE *out)
{
    if (id == ARGS_VERSION) {
        (void)fprintf(out, "%s %s (%s)\n", table->program, tlsmsg_version(), tlsmsg_transport());
    } else {
        print_help(table, chinese, out);
    }
}

enum exit_code args_answer(const struct args_table *table, int id, bool chinese)
{
    args_print(table, id, chinese, stdout);
    return startup_flush_stdout(table->program);
}
