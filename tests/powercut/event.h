/* What the recorder writes down and the replay reads: one record an event, in one order. */
#ifndef POWERCUT_EVENT_H
#define POWERCUT_EVENT_H

#include <stdint.h>

#define EVENT_MARK 0x54435750U

enum event_kind {
    EVENT_FOUND,       /* a file that was there: name, data: all of it */
    EVENT_CREATE,      /* a new file: name */
    EVENT_WRITE,       /* offset, data */
    EVENT_TRUNCATE,    /* offset: the new length */
    EVENT_SYNC,        /* result 0, or -1: it failed */
    EVENT_SYNC_FOLDER, /* the same for the names */
    EVENT_RENAME,      /* name; data: the new name */
    EVENT_UNLINK,      /* name */
    EVENT_PROMISE,     /* data: what a client was told */
    EVENT_SENT,        /* file: the client's port; offset: bytes of the connection up to here */
    EVENT_UNKNOWN,     /* name: a call that could have changed a file, and isn't modelled */
    EVENT_KINDS
};

/* Followed by the name's bytes, then the data's. */
struct event {
    uint32_t mark;
    uint16_t kind;
    uint16_t name_len;
    int64_t result;
    uint64_t file; /* its inode number */
    uint64_t offset;
    uint64_t data_len;
};

#endif
