/* See spooling.h. Numbers, recovery and syncs are the spool's own (store/spool.h). */
#include "app/client/spooling.h"

#include <stdlib.h>

#include <tlsmsg/tlsmsg.h>

#include "app/sha256.h"
#include "base/buffer.h"
#include "base/error.h"
#include "store/spool.h"

#define GATHERED_MAX 1024 /* messages that share a sync */
#define GATHERED_MAX_BYTES ((size_t)1024 * 1024)
#define SETTLE_AT 1024 /* answered messages that share one */

/* Of a message that was gathered and isn't kept yet. */
struct gathered {
    size_t at; /* of its bytes, in bodies */
    size_t len;
    unsigned char hash[STORE_HASH_BYTES];
};

/* Of a message behind which not just one prompt comes, which most lines have. */
struct note {
    uint64_t number;
    struct spooling_print print;
};

struct spooling {
    struct spool *spool;
    size_t silent;   /* of those that are gathered */
    uint64_t base;   /* the last number of earlier runs */
    uint64_t cursor; /* the last that was handed out to be sent */
    uint64_t answered;
    uint64_t removed;     /* of these, all up to here have left */
    struct buffer list;   /* struct gathered */
    struct buffer bodies; /* of the same */
    struct buffer notes;  /* struct note, in the order of the numbers */
};

enum tlsmsg_code spooling_open(const char *path, struct spooling **out, struct tlsmsg_error *err)
{
    struct spooling *spooling = calloc(1, sizeof(*spooling));
    struct spool_message first;
    enum tlsmsg_code code;

    *out = NULL;
    if (spooling == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    buffer_init(&spooling->list, SIZE_MAX, BUFFER_KEEP);
    buffer_init(&spooling->bodies, SIZE_MAX, 0);
    buffer_init(&spooling->notes, SIZE_MAX, 0);
    code = spool_open(path, tlsmsg_version(), &spooling->spool, err);
    if (code == TLSMSG_OK) {
        code = spool_next(spooling->spool, 0, &first, err);
    }
    if (code != TLSMSG_OK) {
        spooling_close(spooling);
        return code;
    }
    spooling->base = spool_last(spooling->spool);
    spooling->cursor = (first.number != 0 ? first.number : spooling->base + 1) - 1;
    spooling->answered = spooling->removed = spooling->cursor;
    *out = spooling;
    return TLSMSG_OK;
}

void spooling_close(struct spooling *spooling)
{
    if (spooling != NULL) {
        spool_close(spooling->spool);
        buffer_fini(&spooling->list);
        buffer_fini(&spooling->bodies);
        buffer_fini(&spooling->notes);
        free(spooling);
    }
}

const char *spooling_producer(const struct spooling *spooling)
{
    return spool_producer(spooling->spool);
}

uint64_t spooling_first(const struct spooling *spooling)
{
    return spooling->answered + 1;
}

enum tlsmsg_code spooling_waiting(struct spooling *spooling, uint64_t *count,
                                  struct tlsmsg_error *err)
{
    enum tlsmsg_code code = spooling_settle(spooling, true, err);

    return code == TLSMSG_OK ? spool_waiting(spooling->spool, count, err) : code;
}

/* ---- keeping */

static size_t gathered_count(const struct spooling *spooling)
{
    return spooling->list.len / sizeof(struct gathered);
}

/* The number of the message that was gathered last. */
static uint64_t last_number(const struct spooling *spooling)
{
    return spool_last(spooling->spool) + gathered_count(spooling);
}

static bool add_note(struct spooling *spooling, uint64_t number, const struct spooling_print *print)
{
    const struct note note = {.number = number, .print = *print};

    return buffer_append(&spooling->notes, &note, sizeof(note)) == TLSMSG_OK;
}

bool spooling_add(struct spooling *spooling, const char *data, size_t len,
                  const struct spooling_print *print)
{
    struct gathered gathered = {.at = spooling->bodies.len, .len = len};
    bool is_usual = print->prompts == 1 && !print->is_silent;

    if (!sha256(data, len, gathered.hash) ||
        !(is_usual || add_note(spooling, last_number(spooling) + 1, print)) ||
        buffer_append(&spooling->bodies, data, len) != TLSMSG_OK ||
        buffer_append(&spooling->list, &gathered, sizeof(gathered)) != TLSMSG_OK) {
        return false;
    }
    spooling->silent += print->is_silent;
    return true;
}

bool spooling_add_prompt(struct spooling *spooling)
{
    const struct spooling_print two = {.prompts = 2};
    uint64_t number = last_number(spooling);
    struct note *last;

    if (number == spooling->base || number <= spooling->answered) {
        return false;
    }
    if (spooling->notes.len > 0) {
        last = (struct note *)(void *)(buffer_end(&spooling->notes) - sizeof(*last));
        if (last->number == number) {
            last->print.prompts++;
            return true;
        }
    }
    return add_note(spooling, number, &two);
}

bool spooling_is_gathered(const struct spooling *spooling)
{
    return gathered_count(spooling) >= GATHERED_MAX || spooling->bodies.len >= GATHERED_MAX_BYTES;
}

enum tlsmsg_code spooling_keep(struct spooling *spooling, bool connected, size_t *count,
                               struct tlsmsg_error *err)
{
    const struct gathered *list = (const struct gathered *)(void *)buffer_head(&spooling->list);
    size_t many = gathered_count(spooling);
    struct spool_message *messages;
    enum tlsmsg_code code;

    *count = 0;
    if (many == 0) {
        return TLSMSG_OK;
    }
    messages = calloc(many, sizeof(*messages));
    if (messages == NULL) {
        return error_set(err, TLSMSG_ERR_NOMEM, 0, "out of memory");
    }
    for (size_t i = 0; i < many; i++) {
        messages[i] = (struct spool_message){.body = buffer_head(&spooling->bodies) + list[i].at,
                                             .len = list[i].len,
                                             .hash = list[i].hash};
    }
    code = spool_keep(spooling->spool, messages, many, connected, err);
    free(messages);
    if (code == TLSMSG_OK) {
        *count = many - spooling->silent;
        spooling->silent = 0;
        buffer_consume(&spooling->list, spooling->list.len);
        buffer_consume(&spooling->bodies, spooling->bodies.len);
    }
    return code;
}

/* ---- sending */

enum tlsmsg_code spooling_next(struct spooling *spooling, struct spooling_message *out,
                               struct tlsmsg_error *err)
{
    struct spool_message found;
    enum tlsmsg_code code = spool_next(spooling->spool, spooling->cursor, &found, err);

    *out = (struct spooling_message){0};
    if (code == TLSMSG_OK && found.number != 0) {
        spooling->cursor = found.number;
        *out = (struct spooling_message){
            .number = found.number,
            .seq = found.number > spooling->base ? found.number - spooling->base : 0,
            .data = found.body,
            .len = found.len};
    }
    return code;
}

void spooling_put_back(struct spooling *spooling)
{
    spooling->cursor--;
}

bool spooling_has_next(const struct spooling *spooling)
{
    return spooling->cursor < spool_last(spooling->spool);
}

enum tlsmsg_code spooling_meet(struct spooling *spooling, uint64_t last, uint64_t *first,
                               struct tlsmsg_error *err)
{
    enum tlsmsg_code code = spool_meet(spooling->spool, last, first, err);

    if (code == TLSMSG_OK) {
        *first = *first != 0 ? *first : spool_last(spooling->spool) + 1;
        spooling->cursor = *first - 1;
    }
    return code;
}

enum tlsmsg_code spooling_will_send(struct spooling *spooling, struct tlsmsg_error *err)
{
    return spool_will_send(spooling->spool, err);
}

struct spooling_print spooling_answered(struct spooling *spooling, uint64_t number)
{
    struct spooling_print print = {.prompts = 1};

    spooling->answered = number;
    while (spooling->notes.len > 0) {
        const struct note *note = (const struct note *)(void *)buffer_head(&spooling->notes);

        if (note->number > number) {
            break;
        }
        if (note->number == number) {
            print = note->print;
        }
        buffer_consume(&spooling->notes, sizeof(*note));
    }
    return number > spooling->base ? print : (struct spooling_print){.is_silent = true};
}

enum tlsmsg_code spooling_settle(struct spooling *spooling, bool now, struct tlsmsg_error *err)
{
    struct tlsmsg_error no_room = {.code = TLSMSG_OK};
    uint64_t many = spooling->answered - spooling->removed;
    enum tlsmsg_code code;

    if (many == 0 || (!now && many < SETTLE_AT)) {
        return TLSMSG_OK;
    }
    code = spool_answered(spooling->spool, spooling->answered, &no_room);
    if (code == TLSMSG_OK) {
        spooling->removed = spooling->answered;
    } else if (code != TLSMSG_ERR_LIMIT) {
        *err = no_room;
        return code;
    }
    return TLSMSG_OK;
}
