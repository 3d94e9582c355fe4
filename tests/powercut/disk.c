/* The model: see disk.h. Any failure of the test's own machinery aborts. */
#include "powercut/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 64
#define NAME_BYTES 256
#define SECTOR 512

struct bytes {
    char *data;
    size_t len;
    size_t cap;
};

/* A change that no sync has covered. */
struct change {
    size_t offset;
    size_t len;
    char *data; /* NULL: the file's length becomes offset */
};

struct file {
    uint64_t number;
    struct bytes seen;    /* what a running machine sees */
    struct bytes durable; /* what no cut takes away */
    struct change *changes;
    size_t change_count;
    size_t change_cap;
    char name[NAME_BYTES];         /* "": none now */
    char durable_name[NAME_BYTES]; /* "": none that a cut leaves for sure */
};

struct disk {
    struct file files[FILES_MAX];
    size_t count;
};

static void *must(void *p)
{
    if (p == NULL) {
        abort();
    }
    return p;
}

static void set_len(struct bytes *bytes, size_t len)
{
    if (len > bytes->cap) {
        bytes->cap = 2 * len;
        bytes->data = must(realloc(bytes->data, bytes->cap));
    }
    if (len > bytes->len) {
        memset(bytes->data + bytes->len, 0, len - bytes->len);
    }
    bytes->len = len;
}

static void put(struct bytes *bytes, size_t offset, const char *data, size_t len)
{
    if (offset + len > bytes->len) {
        set_len(bytes, offset + len);
    }
    memcpy(bytes->data + offset, data, len);
}

static void copy(struct bytes *to, const struct bytes *from)
{
    set_len(to, from->len);
    if (from->len > 0) {
        memcpy(to->data, from->data, from->len);
    }
}

struct disk *disk_new(void)
{
    return must(calloc(1, sizeof(struct disk)));
}

static void drop_changes(struct file *file)
{
    size_t i;

    for (i = 0; i < file->change_count; i++) {
        free(file->changes[i].data);
    }
    file->change_count = 0;
}

void disk_free(struct disk *disk)
{
    size_t i;

    for (i = 0; i < disk->count; i++) {
        drop_changes(&disk->files[i]);
        free(disk->files[i].changes);
        free(disk->files[i].seen.data);
        free(disk->files[i].durable.data);
    }
    free(disk);
}

static struct file *by_number(struct disk *disk, uint64_t number)
{
    size_t i;

    /* The last one of that number: it's given again once a file is gone. */
    for (i = disk->count; i > 0; i--) {
        if (disk->files[i - 1].number == number) {
            return &disk->files[i - 1];
        }
    }
    return NULL;
}

static struct file *by_name(struct disk *disk, const char *name, size_t len)
{
    size_t i;

    for (i = 0; i < disk->count; i++) {
        if (strlen(disk->files[i].name) == len && memcmp(disk->files[i].name, name, len) == 0) {
            return &disk->files[i];
        }
    }
    return NULL;
}

/* Whether nothing of a file can come back. */
static bool is_gone(const struct file *file)
{
    return file->name[0] == '\0' && file->durable_name[0] == '\0';
}

static struct file *add(struct disk *disk, const struct disk_event *event)
{
    struct file *file;
    size_t i;

    for (i = 0; i < disk->count && !is_gone(&disk->files[i]); i++) {
    }
    if (i == FILES_MAX || event->head.name_len >= NAME_BYTES) {
        abort();
    }
    if (i == disk->count) {
        disk->count++;
    }
    file = &disk->files[i];
    drop_changes(file);
    file->number = event->head.file;
    file->seen.len = 0;
    file->durable.len = 0;
    memcpy(file->name, event->name, event->head.name_len);
    file->name[event->head.name_len] = '\0';
    return file;
}

static void change(struct file *file, size_t offset, const char *data, size_t len)
{
    struct change *change;

    if (file->change_count == file->change_cap) {
        file->change_cap = file->change_cap == 0 ? 16 : 2 * file->change_cap;
        file->changes = must(realloc(file->changes, file->change_cap * sizeof(*file->changes)));
    }
    change = &file->changes[file->change_count++];
    *change = (struct change){.offset = offset, .len = len};
    if (data != NULL) {
        change->data = must(malloc(len + 1));
        memcpy(change->data, data, len);
    }
}

static void replay_change(struct bytes *bytes, const struct change *one)
{
    if (one->data != NULL) {
        put(bytes, one->offset, one->data, one->len);
    } else {
        set_len(bytes, one->offset);
    }
}

static void sync_file(struct file *file, bool is_good)
{
    size_t i;

    for (i = 0; is_good && i < file->change_count; i++) {
        replay_change(&file->durable, &file->changes[i]);
    }
    drop_changes(file);
}

static void sync_names(struct disk *disk)
{
    size_t i;

    for (i = 0; i < disk->count; i++) {
        memcpy(disk->files[i].durable_name, disk->files[i].name, NAME_BYTES);
    }
}

static const char *apply_to_file(struct file *file, const struct disk_event *event)
{
    size_t offset = (size_t)event->head.offset;
    size_t len = (size_t)event->head.data_len;

    if (file == NULL) {
        return "a file that was never opened is changed";
    }
    switch (event->head.kind) {
    case EVENT_WRITE:
        put(&file->seen, offset, event->data, len);
        change(file, offset, event->data, len);
        return NULL;
    case EVENT_TRUNCATE:
        set_len(&file->seen, offset);
        change(file, offset, NULL, 0);
        return NULL;
    default:
        sync_file(file, event->head.result == 0);
        return NULL;
    }
}

const char *disk_apply(struct disk *disk, const struct disk_event *event)
{
    struct file *file;

    switch (event->head.kind) {
    case EVENT_FOUND:
        if (by_name(disk, event->name, event->head.name_len) == NULL) {
            file = add(disk, event);
            put(&file->seen, 0, event->data, (size_t)event->head.data_len);
            copy(&file->durable, &file->seen);
            memcpy(file->durable_name, file->name, NAME_BYTES);
        }
        return NULL;
    case EVENT_CREATE:
        file = add(disk, event);
        file->durable_name[0] = '\0';
        return NULL;
    case EVENT_WRITE:
    case EVENT_TRUNCATE:
    case EVENT_SYNC:
        return apply_to_file(by_number(disk, event->head.file), event);
    case EVENT_SYNC_FOLDER:
        if (event->head.result == 0) {
            sync_names(disk);
        }
        return NULL;
    case EVENT_UNLINK:
        file = by_name(disk, event->name, event->head.name_len);
        if (file != NULL) {
            file->name[0] = '\0';
            file->number = 0;
        }
        return file != NULL ? NULL : "a name that was never made is removed";
    case EVENT_RENAME:
        file = by_name(disk, event->data, (size_t)event->head.data_len);
        if (file != NULL) {
            file->name[0] = '\0';
        }
        file = by_name(disk, event->name, event->head.name_len);
        if (file == NULL || event->head.data_len >= NAME_BYTES) {
            return "a name that was never made is changed";
        }
        memcpy(file->name, event->data, (size_t)event->head.data_len);
        file->name[event->head.data_len] = '\0';
        return NULL;
    case EVENT_PROMISE:
    case EVENT_SENT:
        return NULL;
    case EVENT_UNKNOWN:
        return "a file was changed by a call that the recorder doesn't know";
    default:
        return "an event that the model doesn't know";
    }
}

bool disk_has_pending(const struct disk *disk)
{
    size_t i;

    for (i = 0; i < disk->count; i++) {
        if (disk->files[i].change_count > 0 ||
            strcmp(disk->files[i].name, disk->files[i].durable_name) != 0) {
            return true;
        }
    }
    return false;
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* The parts of one write that reached the disk, by sectors. */
static void put_sectors(struct bytes *bytes, const struct change *one, uint64_t *random)
{
    size_t at = 0;

    while (at < one->len) {
        size_t n = SECTOR - (one->offset + at) % SECTOR;

        n = n < one->len - at ? n : one->len - at;
        if (next_random(random) % 2 == 0) {
            put(bytes, one->offset + at, one->data + at, n);
        } else if (one->offset + at + n > bytes->len) {
            set_len(bytes, one->offset + at + n);
        }
        at += n;
    }
}

static void cut_change(struct bytes *bytes, const struct change *one, enum disk_cut kind,
                       uint64_t *random)
{
    if (one->data == NULL) {
        if (kind == CUT_ZEROS || next_random(random) % 2 == 0) {
            set_len(bytes, one->offset);
        }
    } else if (kind == CUT_SECTORS) {
        put_sectors(bytes, one, random);
    } else if (one->offset + one->len > bytes->len) {
        set_len(bytes, one->offset + one->len);
    }
}

static void cut_file(const struct file *file, enum disk_cut kind, uint64_t *random,
                     struct bytes *out)
{
    size_t whole = kind == CUT_WHOLE ? file->change_count : 0;
    size_t i;

    copy(out, &file->durable);
    out->len = file->durable.len;
    if (kind == CUT_TORN && file->change_count > 0) {
        whole = (size_t)next_random(random) % file->change_count;
    }
    for (i = 0; i < whole; i++) {
        replay_change(out, &file->changes[i]);
    }
    if (kind == CUT_TORN && whole < file->change_count && file->changes[whole].len > 0) {
        const struct change *torn = &file->changes[whole];

        put(out, torn->offset, torn->data, (size_t)next_random(random) % torn->len);
    }
    for (i = 0; (kind == CUT_SECTORS || kind == CUT_ZEROS) && i < file->change_count; i++) {
        cut_change(out, &file->changes[i], kind, random);
    }
}

/* Removes what stands in the folder. */
static void empty(const char *folder)
{
    char path[4096];
    DIR *dir = must(opendir(folder));
    const struct dirent *entry;

    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
            (void)unlink(path);
        }
    }
    (void)closedir(dir);
}

static void write_file(const char *folder, const char *name, const struct bytes *bytes)
{
    char path[4096];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, bytes->data, bytes->len) != (ssize_t)bytes->len || close(fd) != 0) {
        abort();
    }
}

static uint64_t hash_bytes(uint64_t hash, const char *data, size_t len)
{
    size_t i;

    for (i = 0; i + 8 <= len; i += 8) {
        uint64_t word;

        memcpy(&word, data + i, 8);
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
    }
    for (; i < len; i++) {
        hash = (hash ^ (unsigned char)data[i]) * UINT64_C(1099511628211);
    }
    return (hash ^ len) * UINT64_C(1099511628211);
}

uint64_t disk_cut(const struct disk *disk, enum disk_cut kind, bool names, uint64_t random,
                  const char *folder)
{
    static struct bytes bytes;
    uint64_t hash = 14695981039346656037ULL;
    size_t i;

    if (folder != NULL) {
        empty(folder);
    }
    for (i = 0; i < disk->count; i++) {
        const struct file *file = &disk->files[i];
        const char *name = names ? file->name : file->durable_name;

        if (name[0] == '\0') {
            continue;
        }
        cut_file(file, kind, &random, &bytes);
        hash = hash_bytes(hash_bytes(hash, name, strlen(name)), bytes.data, bytes.len);
        if (folder != NULL) {
            write_file(folder, name, &bytes);
        }
    }
    return hash;
}

static bool is_same(const struct file *file, const char *folder)
{
    char path[4096];
    struct stat status;
    char *data;
    bool same;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, file->name);
    fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &status) != 0) {
        return false;
    }
    data = must(malloc((size_t)status.st_size + 1));
    same = (size_t)status.st_size == file->seen.len &&
           read(fd, data, (size_t)status.st_size) == status.st_size &&
           (file->seen.len == 0 || memcmp(data, file->seen.data, file->seen.len) == 0);
    free(data);
    (void)close(fd);
    return same;
}

const char *disk_compare(const struct disk *disk, const char *folder)
{
    DIR *dir = must(opendir(folder));
    const struct dirent *entry;
    size_t here = 0;
    size_t known = 0;
    size_t i;

    while ((entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name);

        here +=
            entry->d_name[0] != '.' && (len < 4 || strcmp(entry->d_name + len - 4, "-shm") != 0);
    }
    (void)closedir(dir);
    for (i = 0; i < disk->count; i++) {
        known += disk->files[i].name[0] != '\0';
        if (disk->files[i].name[0] != '\0' && !is_same(&disk->files[i], folder)) {
            return "a file was changed by a call that the recorder doesn't know";
        }
    }
    return here == known ? NULL : "a name was made or removed by a call that it doesn't know";
}
