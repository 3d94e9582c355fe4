/* See pty_scene.h. */
#include "support/pty_scene.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

#include "support/unit.h"

#define LIMIT_S 60 /* a child that hangs ends itself before */

int pty_person = -1;

void pty_type(const struct pty_scene *scene, const char *keys)
{
    assert_int_equal(write(scene->person, keys, strlen(keys)), strlen(keys));
}

/* Takes what is shown next. False: nobody is there to show more. */
static bool look(struct pty_scene *scene)
{
    struct pollfd entry = {.fd = scene->person, .events = POLLIN};
    ssize_t n;

    assert_int_equal(poll(&entry, 1, LIMIT_S * 1000), 1);
    n = read(scene->person, scene->screen + scene->len, PTY_SCREEN_MAX - 1 - scene->len);
    if (n <= 0) {
        return false;
    }
    scene->len += (size_t)n;
    scene->screen[scene->len] = '\0';
    return true;
}

unsigned pty_times_shown(const struct pty_scene *scene, const char *text)
{
    unsigned times = 0;

    for (const char *at = scene->screen; (at = strstr(at, text)) != NULL; at += strlen(text)) {
        times++;
    }
    return times;
}

void pty_wait_for(struct pty_scene *scene, const char *text, unsigned times)
{
    while (pty_times_shown(scene, text) < times) {
        if (!look(scene)) {
            fail_msg("'%s' was not shown %u times in: %s", text, times, scene->screen);
        }
    }
}

static void open_terminal(struct pty_scene *scene)
{
    const char *name;

    *scene = (struct pty_scene){.person = posix_openpt(O_RDWR | O_NOCTTY)};
    assert_true(scene->person >= 0);
    assert_int_equal(grantpt(scene->person), 0);
    assert_int_equal(unlockpt(scene->person), 0);
    name = ptsname(scene->person);
    assert_non_null(name);
    scene->terminal = open(name, O_RDWR | O_NOCTTY);
    assert_true(scene->terminal >= 0);
}

static void begin(struct pty_scene *scene, int (*what)(void), const char *typed_before,
                  bool controls)
{
    const char *last = strrchr(typed_before, '\n');

    open_terminal(scene);
    if (typed_before[0] != '\0') {
        pty_type(scene, typed_before);
        pty_wait_for(scene, last != NULL ? last : typed_before, 1);
    }
    (void)fflush(NULL);
    scene->child = fork();
    assert_true(scene->child >= 0);
    if (scene->child == 0) {
        (void)alarm(LIMIT_S / 2);
        pty_person = scene->person;
        PTY_EXPECT(!controls || (setsid() > 0 && ioctl(scene->terminal, TIOCSCTTY, 0) == 0));
        PTY_EXPECT(dup2(scene->terminal, STDIN_FILENO) == STDIN_FILENO);
        PTY_EXPECT(dup2(scene->terminal, STDERR_FILENO) == STDERR_FILENO);
        PTY_EXPECT(close(scene->terminal) == 0);
        exit(what());
    }
}

void pty_begin(struct pty_scene *scene, int (*what)(void), const char *typed_before)
{
    begin(scene, what, typed_before, false);
}

void pty_begin_session(struct pty_scene *scene, int (*what)(void), const char *typed_before)
{
    begin(scene, what, typed_before, true);
}

int pty_end_status(struct pty_scene *scene)
{
    int status = 0;

    assert_int_equal(waitpid(scene->child, &status, 0), scene->child);
    assert_int_equal(close(scene->terminal), 0);
    while (scene->person >= 0 && look(scene)) {
    }
    if (scene->person >= 0) {
        (void)close(scene->person);
    }
    return status;
}

int pty_end(struct pty_scene *scene)
{
    int status = pty_end_status(scene);

    if (!WIFEXITED(status) || WEXITSTATUS(status) == 99) {
        fail_msg("the child ended with status %d and this screen:\n%s", status, scene->screen);
    }
    return WEXITSTATUS(status);
}
