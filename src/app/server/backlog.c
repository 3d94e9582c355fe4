/* See backlog.h. Pages come from mmap(2): what malloc(3) keeps of a burst for each thread would
 * stay on top of all that is counted. */
#include "app/server/backlog.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/utf8.h"

#define BACKLOG_PIECE_BYTES ((size_t)64 * 1024)

struct piece {
    struct list link;
    stdout_escape *escape;
    bool is_text; /* a long line's, which leaves by way of `ready` */
    size_t at;    /* bytes that have left */
    size_t len;   /* ... of so many */
    size_t cap;
    char *data; /* pages of its own */
};

static struct piece *piece_of(struct list *link)
{
    return LIST_ITEM(link, struct piece, link);
}

static void drop(struct piece *piece)
{
    list_remove(&piece->link);
    (void)munmap(piece->data, piece->cap);
    free(piece);
}

void backlog_init(struct backlog *backlog)
{
    list_init(&backlog->pieces);
    backlog->bytes = 0;
    backlog->ready_at = 0;
    backlog->ready_len = 0;
}

void backlog_fini(struct backlog *backlog)
{
    LIST_EACH_SAFE(at, after, &backlog->pieces) {
        drop(piece_of(at));
    }
    backlog_init(backlog);
}

/* Appends an empty piece with room for `cap` bytes; NULL without memory. */
static struct piece *add_piece(struct backlog *backlog, size_t cap)
{
    struct piece *piece = malloc(sizeof(*piece));
    void *data;

    if (piece == NULL) {
        return NULL;
    }
    data = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
        free(piece);
        return NULL;
    }
    *piece = (struct piece){.cap = cap, .data = data};
    list_append(&backlog->pieces, &piece->link);
    return piece;
}

/* The last piece, where lines may be put behind it; or a new one. */
static struct piece *last_piece(struct backlog *backlog)
{
    if (!list_is_empty(&backlog->pieces)) {
        struct piece *last = piece_of(backlog->pieces.prev);

        if (!last->is_text && last->len < last->cap) {
            return last;
        }
    }
    return add_piece(backlog, BACKLOG_PIECE_BYTES);
}

bool backlog_add(struct backlog *backlog, const char *data, size_t len)
{
    while (len > 0) {
        struct piece *piece = last_piece(backlog);
        size_t n;

        if (piece == NULL) {
            return false;
        }
        n = piece->cap - piece->len < len ? piece->cap - piece->len : len;
        memcpy(piece->data + piece->len, data, n);
        piece->len += n;
        backlog->bytes += n;
        data += n;
        len -= n;
    }
    return true;
}

bool backlog_add_long(struct backlog *backlog, const struct stdout_line *line)
{
    struct piece *piece;

    if (!backlog_add(backlog, line->head, line->head_len)) {
        return false;
    }
    if (line->text_len > 0) {
        piece = add_piece(backlog, line->text_len);
        if (piece == NULL) {
            return false;
        }
        piece->is_text = true;
        piece->escape = line->escape;
        piece->len = line->text_len;
        memcpy(piece->data, line->text, line->text_len);
        backlog->bytes += line->text_len;
    }
    return backlog_add(backlog, line->tail, line->tail_len);
}

/* The length of the next part of a text: whole characters. */
static size_t part_len(const char *text, size_t len)
{
    size_t whole = 0;

    if (len <= BACKLOG_PART_BYTES) {
        return len;
    }
    (void)utf8_check(text, BACKLOG_PART_BYTES, &whole);
    return whole > 0 ? whole : BACKLOG_PART_BYTES;
}

static size_t escape_part(stdout_escape *escape, char *out, const char *text, size_t len)
{
    if (escape == NULL) {
        memcpy(out, text, len);
        return len;
    }
    return escape(out, len * ESCAPE_EXPANSION_MAX, text, len);
}

/* Marks of holds are counted in them. */
size_t backlog_line_len(const struct stdout_line *line)
{
    char out[BACKLOG_PART_BYTES * ESCAPE_EXPANSION_MAX];
    size_t total = line->head_len + line->tail_len;
    size_t n;

    for (size_t at = 0; at < line->text_len; at += n) {
        n = part_len(line->text + at, line->text_len - at);
        total += escape_part(line->escape, out, line->text + at, n);
    }
    return total;
}

/* Escapes the next part of a text. */
static void make_ready(struct backlog *backlog, struct piece *piece)
{
    size_t n = part_len(piece->data + piece->at, piece->len - piece->at);

    backlog->ready_at = 0;
    backlog->ready_len = escape_part(piece->escape, backlog->ready, piece->data + piece->at, n);
    backlog->bytes += backlog->ready_len - n;
    piece->at += n;
}

const char *backlog_next(struct backlog *backlog, size_t *len)
{
    *len = 0;
    while (backlog->ready_len == 0 && !list_is_empty(&backlog->pieces)) {
        /* As base/list.h says of loops that free what they take.
         * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        struct piece *first = piece_of(backlog->pieces.next);

        if (first->at == first->len) {
            drop(first);
        } else if (first->is_text) {
            make_ready(backlog, first);
        } else {
            *len = first->len - first->at;
            return first->data + first->at;
        }
    }
    *len = backlog->ready_len;
    return backlog->ready + backlog->ready_at;
}

void backlog_written(struct backlog *backlog, size_t len)
{
    assert(len <= backlog->bytes);
    backlog->bytes -= len;
    if (backlog->ready_len > 0) {
        backlog->ready_at += len;
        backlog->ready_len -= len;
    } else if (len > 0) {
        struct piece *first = piece_of(backlog->pieces.next);

        first->at += len;
        if (first->at == first->len) {
            drop(first);
        }
    }
}
