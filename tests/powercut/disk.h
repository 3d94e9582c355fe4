/* A model of a disk and of what a power cut leaves of it.
 *
 * Of each file the model knows what is durable and, in their order, the changes that no sync has
 * covered. After a failed sync those are gone: the machine's memory counts them as written, and no
 * later sync brings them to the disk. */
#ifndef POWERCUT_DISK_H
#define POWERCUT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "powercut/event.h"

struct disk;

/* One event with its texts, as it lies in the log. */
struct disk_event {
    struct event head;
    const char *name; /* name_len bytes */
    const char *data;
};

/* How the changes that no sync has covered fare at a cut. */
enum disk_cut {
    CUT_ABSENT,  /* none is there */
    CUT_WHOLE,   /* all are */
    CUT_TORN,    /* the first ones are, the next is torn at a byte */
    CUT_SECTORS, /* any sectors of 512 bytes are */
    CUT_ZEROS,   /* lengths are, the bytes that came with them are zeros */
    CUT_KINDS
};

struct disk *disk_new(void);
void disk_free(struct disk *disk);

/* Applies an event. NULL, or why the recording is no proof. */
const char *disk_apply(struct disk *disk, const struct disk_event *event);

/* Whether a cut now could leave different disks. */
bool disk_has_pending(const struct disk *disk);

/* Writes the disk that a cut leaves into a folder, which is emptied first. names: names that no
 * sync of the folder has covered are there. random: what a kind leaves open. Returns a hash of
 * what was written. With folder NULL nothing is written. */
uint64_t disk_cut(const struct disk *disk, enum disk_cut kind, bool names, uint64_t random,
                  const char *folder);

/* Whether a folder holds just what the model says that a running machine sees there; why not. */
const char *disk_compare(const struct disk *disk, const char *folder);

#endif
