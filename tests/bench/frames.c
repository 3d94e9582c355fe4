/* Frames of tlsmsg/1: see frames.h. */
#include "frames.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void frames_init(struct frames *f)
{
    *f = (struct frames){.number = 1};
}

void frames_put_hello(struct bytes *to, bool producer, uint32_t connection, uint32_t cycle)
{
    char line[128] = "HELLO 1\n";

    if (producer) {
        snprintf(line, sizeof line, "HELLO 1 producer=bench-%d-%u-%u from=1\n", (int)getpid(),
                 connection, cycle);
    }
    bytes_append(to, line, strlen(line));
}

void frames_put_message(struct frames *f, struct bytes *to, const char *message, size_t size)
{
    char line[64];

    f->sent++;
    snprintf(line, sizeof line, "MSG %" PRIu64 " %zu\n", f->sent, size);
    bytes_append(to, line, strlen(line));
    bytes_append(to, message, size);
    bytes_append(to, "\n", 1);
}

/* A whole line is in f->line. */
static bool judge_line(struct frames *f, const struct reply_check *check)
{
    static const char greeting[] = "HELLO 1 last=0 ";
    char due[64];

    if (f->state == FRAMES_GREETING) {
        f->state = FRAMES_HEADER;
        return strncmp(f->line, greeting, sizeof greeting - 1) == 0;
    }
    f->left = MESSAGE_PREFIX_LEN + check->size;
    snprintf(due, sizeof due, "OK %" PRIu64 " %zu", f->number, f->left);
    f->state = FRAMES_BODY;
    f->number++;
    return strcmp(f->line, due) == 0;
}

static bool feed_line(struct frames *f, const struct reply_check *check, const char **data,
                      size_t *len)
{
    const char *feed = memchr(*data, '\n', *len);
    size_t run = feed == NULL ? *len : (size_t)(feed - *data);

    if (run >= sizeof f->line - f->line_len) {
        return false;
    }
    memcpy(f->line + f->line_len, *data, run);
    f->line_len += run;
    *data += run;
    *len -= run;
    if (feed == NULL) {
        return true;
    }
    f->line[f->line_len] = '\0';
    f->line_len = 0;
    *data += 1;
    *len -= 1;
    return judge_line(f, check);
}

static bool feed_body(struct frames *f, struct reply_check *check, const char **data, size_t *len)
{
    size_t run = *len < f->left ? *len : f->left;
    long answered = reply_check_feed(check, *data, run);

    f->left -= run;
    *data += run;
    *len -= run;
    if (f->left == 0) {
        f->state = FRAMES_END;
    }
    return answered == (f->left == 0 ? 1 : 0);
}

long frames_feed(struct frames *f, struct reply_check *check, const char *data, size_t len)
{
    long answered = 0;

    while (len > 0) {
        bool good;

        if (f->state == FRAMES_BODY) {
            good = feed_body(f, check, &data, &len);
        } else if (f->state != FRAMES_END) {
            good = feed_line(f, check, &data, &len);
        } else {
            good = *data == '\n';
            f->state = FRAMES_HEADER;
            answered++;
            data++;
            len--;
        }
        if (!good) {
            return -1;
        }
    }
    return answered;
}
