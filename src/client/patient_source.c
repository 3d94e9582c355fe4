/* See patient_source.h. Forwards to a socket_source; owns nothing. */
#include "client/patient_source.h"

static struct patient_source *patient(struct byte_source *s)
{
    return (struct patient_source *)s; /* base is the first member */
}

static enum byte_result patient_read(struct byte_source *s, void *buf, size_t cap, size_t *got)
{
    struct byte_source *socket = &patient(s)->socket.base;
    enum byte_result result = socket->read(socket, buf, cap, got);
    s->sys_errno = socket->sys_errno;
    return result;
}

static enum byte_result patient_write(struct byte_source *s, const void *buf, size_t len, bool more,
                                      size_t *put)
{
    struct patient_source *p = patient(s);
    if (p->write_errno == 0) {
        enum byte_result result = p->socket.base.write(&p->socket.base, buf, len, more, put);
        if (result != BYTE_ERROR) {
            return result;
        }
        p->write_errno = p->socket.base.sys_errno;
    }
    *put = len;
    return BYTE_OK;
}

static void patient_shut_write(struct byte_source *s)
{
    struct byte_source *socket = &patient(s)->socket.base;
    socket->shut_write(socket);
}

void patient_source_init(struct patient_source *s, int fd)
{
    socket_source_init(&s->socket, fd);
    s->base.read = patient_read;
    s->base.write = patient_write;
    s->base.shut_write = patient_shut_write;
    s->base.sys_errno = 0;
    s->base.dry = false; /* nobody here knows */
    s->write_errno = 0;
}

void patient_source_turn(struct patient_source *s)
{
    socket_source_turn(&s->socket);
}
