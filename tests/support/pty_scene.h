/* A child at a pseudo-terminal, which is its stdin and stderr; the test is the person at it. */
#ifndef SUPPORT_PTY_SCENE_H
#define SUPPORT_PTY_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#define PTY_SCREEN_MAX 4096

struct pty_scene {
    int person;   /* the terminal's other side */
    int terminal; /* open as long as the scene: a terminal that nobody has open forgets its mode */
    pid_t child;
    char screen[PTY_SCREEN_MAX]; /* all that was shown */
    size_t len;
};

/* In the child: ends it with a line on the screen where a condition doesn't hold. */
#define PTY_EXPECT(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)dprintf(STDERR_FILENO, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);   \
            _exit(99);                                                                             \
        }                                                                                          \
    } while (0)

/* Starts the child, which ends with what `what` returns. typed_before is in the terminal's input
 * already when it begins: its echo says so. The child has the person's side open, too (its number is
 * pty_person), where it is to type by itself. */
void pty_begin(struct pty_scene *scene, int (*what)(void), const char *typed_before);

/* The same with the terminal as the one that controls the child's session. */
void pty_begin_session(struct pty_scene *scene, int (*what)(void), const char *typed_before);

extern int pty_person;

void pty_type(const struct pty_scene *scene, const char *keys);

unsigned pty_times_shown(const struct pty_scene *scene, const char *text);

/* Waits until a text was shown so often. */
void pty_wait_for(struct pty_scene *scene, const char *text, unsigned times);

/* Waits for the child's end and takes the rest of what is shown. Returns its status as waitpid(2) has
 * it. */
int pty_end_status(struct pty_scene *scene);

/* The same for one that has to end by itself: its exit code. */
int pty_end(struct pty_scene *scene);

#endif
