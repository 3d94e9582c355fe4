/* Byte sources over memory: see memory_source.h. */
#include "support/memory_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void memory_pipe_init(struct memory_pipe *pipe, size_t cap_bytes)
{
    *pipe = (struct memory_pipe){.data = malloc(cap_bytes),
                                 .cap = cap_bytes,
                                 .cut_at = MEMORY_NEVER,
                                 .stop_at = MEMORY_NEVER};
    if (pipe->data == NULL) {
        abort();
    }
}

void memory_pipe_fini(struct memory_pipe *pipe)
{
    free(pipe->data);
    pipe->data = NULL;
}

/* Bytes that the reader may have of what was written up to now. */
static size_t readable(const struct memory_pipe *pipe)
{
    size_t taken = pipe->total - pipe->len;
    size_t end = pipe->stop_at < pipe->total ? pipe->stop_at : pipe->total;

    return end > taken ? end - taken : 0;
}

static size_t put(struct memory_pipe *pipe, const void *data, size_t len)
{
    if (pipe->total >= pipe->cut_at) {
        pipe->lost += len; /* on the way: a writer can't know */
        return len;
    }
    if (len > pipe->cap - pipe->len) {
        len = pipe->cap - pipe->len;
    }
    if (len > pipe->cut_at - pipe->total) {
        len = pipe->cut_at - pipe->total;
    }
    if (pipe->head + pipe->len + len > pipe->cap) {
        memmove(pipe->data, pipe->data + pipe->head, pipe->len);
        pipe->head = 0;
    }
    memcpy(pipe->data + pipe->head + pipe->len, data, len);
    pipe->len += len;
    pipe->total += len;
    return len;
}

void memory_pipe_put(struct memory_pipe *pipe, const void *data, size_t len)
{
    if (put(pipe, data, len) != len) {
        abort();
    }
}

/* True where this call was chosen to fail for now. */
static bool is_unlucky(struct memory_source *s)
{
    s->calls++;
    /* A linear congruential generator: never in step with the caller, the same in every run. */
    s->scatter = s->scatter * 1103515245U + 12345U;
    return s->calls == s->again_at || (s->one_in != 0 && (s->scatter >> 16) % s->one_in == 0);
}

static enum byte_result read_memory(struct byte_source *base, void *buf, size_t cap, size_t *got)
{
    struct memory_source *s = (struct memory_source *)base;
    struct memory_pipe *in = s->in;
    size_t len = readable(in);

    *got = 0;
    if (is_unlucky(s)) {
        return BYTE_AGAIN;
    }
    if (len == 0 && in->len == 0 && in->total >= in->cut_at && in->cut_errno != 0) {
        base->sys_errno = in->cut_errno;
        return BYTE_ERROR;
    }
    if (len == 0) {
        return in->len == 0 && (in->is_shut || in->total >= in->cut_at) ? BYTE_EOF : BYTE_AGAIN;
    }
    len = len < cap ? len : cap;
    len = s->read_max != 0 && s->read_max < len ? s->read_max : len;
    memcpy(buf, in->data + in->head, len);
    in->head += len;
    in->len -= len;
    *got = len;
    return BYTE_OK;
}

static enum byte_result write_memory(struct byte_source *base, const void *buf, size_t len,
                                     bool more, size_t *put_bytes)
{
    struct memory_source *s = (struct memory_source *)base;

    *put_bytes = 0;
    if (s->write_errno != 0 || s->out->is_shut) {
        base->sys_errno = s->write_errno != 0 ? s->write_errno : EPIPE;
        return BYTE_ERROR;
    }
    if (is_unlucky(s)) {
        return BYTE_AGAIN;
    }
    len = s->write_max != 0 && s->write_max < len ? s->write_max : len;
    *put_bytes = put(s->out, buf, len);
    if (*put_bytes == 0) {
        return BYTE_AGAIN;
    }
    s->out->writes++;
    s->out->corked += more ? 1 : 0;
    return BYTE_OK;
}

static void shut_memory(struct byte_source *base)
{
    ((struct memory_source *)base)->out->is_shut = true;
}

void memory_source_init(struct memory_source *source, struct memory_pipe *in,
                        struct memory_pipe *out)
{
    *source = (struct memory_source){
        .base = {.read = read_memory, .write = write_memory, .shut_write = shut_memory},
        .in = in,
        .out = out};
}
