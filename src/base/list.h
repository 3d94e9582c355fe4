/* Doubly linked lists whose links are members of what they hold: no allocation, removal from
 * anywhere. A list is a link of its own that closes the ring; an item that is in no list is a ring
 * of one, which list_init makes. The owner guards a list where several threads use it.
 *
 *     struct letter { struct list link; ... };
 *     LIST_EACH(at, &letters) {
 *         struct letter *letter = LIST_ITEM(at, struct letter, link);
 *     }
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

/* What holds a link. */
#define LIST_ITEM(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* Visits each link of a list from the first on; nothing may be removed meanwhile. */
#define LIST_EACH(at, of) for (struct list *at = (of)->next; at != (of); at = at->next)

/* The same where the visited link may be removed and freed. */
#define LIST_EACH_SAFE(at, after, of)                                                              \
    for (struct list *at = (of)->next, *after = at->next; at != (of); at = after, after = at->next)

/* An empty list, or a link that is in none. */
static inline void list_init(struct list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->next == list;
}

/* True where a link is in a list. */
static inline bool list_is_linked(const struct list *link)
{
    return link->next != link;
}

/* The link must be in no list. */
static inline void list_append(struct list *list, struct list *link)
{
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

static inline void list_prepend(struct list *list, struct list *link)
{
    list_append(list->next, link);
}

/* Takes a link out of its list; without effect where it is in none. */
static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* Takes the first link out; NULL where the list is empty. */
static inline struct list *list_take_first(struct list *list)
{
    struct list *first = list->next;

    if (first == list) {
        return NULL;
    }
    /* The analyser loses the ring in loops that free each link that they take. */
    list_remove(first); /* NOLINT(clang-analyzer-unix.Malloc) */
    return first;
}

/* Moves all links of `from` to the end of `to`, in order. */
static inline void list_move_all(struct list *from, struct list *to)
{
    if (list_is_empty(from)) {
        return;
    }
    from->next->prev = to->prev;
    from->prev->next = to;
    to->prev->next = from->next;
    to->prev = from->prev;
    list_init(from);
}

#endif
