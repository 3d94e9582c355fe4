/* Command line: cuts it into options and operands by the table of arguments.h.
 *
 * Owns the rules of the form alone; what a value means is the taker's. Written out rather than
 * left to getopt_long(3), whose messages go to stderr by themselves and can't be worded, and
 * which keeps its place in global variables. Main thread, before anything else runs. */
#include "app/arguments.h"

#include <string.h>

#include "base/error.h"
#include "base/escape.h"

#define SHOWN_MAX 120 /* most bytes of a word that a message repeats */

struct cursor {
    const struct arguments *arguments;
    int argc;
    char *const *argv;
    int next; /* index of the word after the one in work */
    arguments_take *take;
    void *user;
    size_t operands;
    int stopped;
    struct tlsmsg_error *err;
};

static enum tlsmsg_code refuse(const struct cursor *c, const char *what, const char *word,
                               const char *rest)
{
    char shown[SHOWN_MAX];

    return error_set(c->err, TLSMSG_ERR_CONFIG, 0, "%s '%s'%s (try '%s --help')", what,
                     escape_name(shown, sizeof(shown), word), rest, c->arguments->program);
}

static enum tlsmsg_code refuse_ambiguous(const struct cursor *c, const char *word, size_t len)
{
    char names[256] = "";
    size_t used = 0;
    size_t i;

    for (i = 0; i < c->arguments->count; i++) {
        const char *name = c->arguments->rows[i].name;

        if (strncmp(name, word + 2, len) == 0 && used < sizeof(names)) {
            int n =
                snprintf(names + used, sizeof(names) - used, "%s --%s", used > 0 ? "," : "", name);

            used += n > 0 ? (size_t)n : 0;
        }
    }
    return error_set(c->err, TLSMSG_ERR_CONFIG, 0, "option '%.*s' can mean%s (try '%s --help')",
                     (int)(len + 2), word, names, c->arguments->program);
}

static enum tlsmsg_code hand_over(struct cursor *c, const struct argument *row, const char *value)
{
    if (row->id == ARGUMENT_HELP || row->id == ARGUMENT_VERSION) {
        c->stopped = row->id;
        return TLSMSG_OK;
    }
    return c->take(row->id, value, c->user, c->err);
}

/* The row that the first len bytes of name stand for; *several tells why there is none. */
static const struct argument *find_long(const struct arguments *arguments, const char *name,
                                        size_t len, bool *several)
{
    const struct argument *found = NULL;
    size_t i;

    *several = false;
    for (i = 0; i < arguments->count; i++) {
        const struct argument *row = &arguments->rows[i];

        if (strncmp(row->name, name, len) != 0) {
            continue;
        }
        if (row->name[len] == '\0') {
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

static enum tlsmsg_code take_value(struct cursor *c, const struct argument *row, const char *word)
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
    const struct argument *row;
    bool several;

    row = len > 0 ? find_long(c->arguments, name, len, &several) : NULL;
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

static const struct argument *find_short(const struct arguments *arguments, char letter)
{
    size_t i;

    for (i = 0; i < arguments->count; i++) {
        if (arguments->rows[i].letter == letter) {
            return &arguments->rows[i];
        }
    }
    return NULL;
}

static enum tlsmsg_code parse_short(struct cursor *c, const char *word)
{
    enum tlsmsg_code code = TLSMSG_OK;
    const char *at;

    for (at = word + 1; *at != '\0' && code == TLSMSG_OK && c->stopped == ARGUMENT_NONE; at++) {
        const struct argument *row = find_short(c->arguments, *at);

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
    if (c->operands >= c->arguments->operands_max) {
        return refuse(c, "unexpected argument", word, "");
    }
    c->operands++;
    return c->take(ARGUMENT_OPERAND, word, c->user, c->err);
}

enum tlsmsg_code arguments_parse(const struct arguments *arguments, int argc, char *const *argv,
                                 arguments_take *take, void *user, int *stopped,
                                 struct tlsmsg_error *err)
{
    struct cursor c = {.arguments = arguments,
                       .argc = argc,
                       .argv = argv,
                       .next = 1,
                       .take = take,
                       .user = user,
                       .stopped = ARGUMENT_NONE,
                       .err = err};
    enum tlsmsg_code code = TLSMSG_OK;
    bool options_ended = false;

    while (code == TLSMSG_OK && c.stopped == ARGUMENT_NONE && c.next < argc) {
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

enum tlsmsg_code arguments_choice(const char *option, const char *const *names, size_t count,
                                  const char *value, size_t *index, struct tlsmsg_error *err)
{
    char list[128] = "";
    char shown[SHOWN_MAX];
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
