/* See keeper.h. A request is a packet with the number of a file, behind it the text of the metrics; an
 * answer is a packet with an error, and the descriptor that was opened. One request is under way at a
 * time: an answer that comes too late is taken before the next. */
#include "app/server/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/server/kernel_abi.h"
#include "app/server/metrics.h"
#include "app/server/transcript_file.h"
#include "app/startup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/escape.h"
#include "base/file.h"

#define PROCESS_NAME "tlsmsg-keeper" /* as ps(1) shows it: at most 15 bytes */
#define START_WAIT_MS 30000          /* for a directory service that knows the user */
#define ANSWER_WAIT_MS 5000          /* for a disk */
#define END_WAIT_MS 1000

struct request {
    uint32_t file;
    char text[KEEPER_TEXT_MAX + 1]; /* a NUL is set behind what came */
};

#define REQUEST_HEAD offsetof(struct request, text)

/* Room for one descriptor beside a packet, aligned as the kernel wants it. */
union beside {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr head;
};

static enum tlsmsg_code open_key_log(const char *path, int *fd, struct tlsmsg_error *err)
{
    char shown[FILE_NAME_MAX];

    *fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    return *fd >= 0 ? TLSMSG_OK
                    : error_set(err, TLSMSG_ERR_CONFIG, errno, "cannot open key log '%s'",
                                escape_name(shown, sizeof(shown), path));
}

static enum tlsmsg_code perform(const char *const names[KEEPER_FILES], uint32_t file,
                                const char *text, int *fd, struct tlsmsg_error *err)
{
    *fd = -1;
    if (file < KEEPER_FILES && names[file] != NULL) {
        switch ((enum keeper_file)file) {
        case KEEPER_METRICS:
            return metrics_write(names[file], text, err);
        case KEEPER_TRANSCRIPT:
            return transcript_file_open(names[file], fd, err);
        case KEEPER_KEY_LOG:
            return open_key_log(names[file], fd, err);
        }
    }
    return error_set(err, TLSMSG_ERR_STATE, 0, "no such file was named at the start");
}

/* ---- the process */

/* False: nobody is there to read it. */
static bool answer(int fd, const struct tlsmsg_error *err, int opened)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)err, .iov_len = sizeof(*err)};
    union beside beside = {.bytes = {0}};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};

    if (opened >= 0) {
        packet.msg_control = beside.bytes;
        packet.msg_controllen = sizeof(beside.bytes);
        beside.head.cmsg_level = SOL_SOCKET;
        beside.head.cmsg_type = SCM_RIGHTS;
        beside.head.cmsg_len = CMSG_LEN(sizeof(opened));
        memcpy(CMSG_DATA(&beside.head), &opened, sizeof(opened));
    }
    return sendmsg(fd, &packet, MSG_NOSIGNAL) >= 0;
}

/* One request. False: nobody is there to ask or to be told. */
static bool serve_one(int fd, const char *const names[KEEPER_FILES], struct request *request)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    ssize_t n;
    int opened = -1;
    bool told;

    do {
        n = recv(fd, request, REQUEST_HEAD + KEEPER_TEXT_MAX, MSG_TRUNC);
    } while (n < 0 && errno == EINTR);
    if (n < (ssize_t)REQUEST_HEAD) {
        return false;
    }
    if ((size_t)n > REQUEST_HEAD + KEEPER_TEXT_MAX) {
        error_set(&err, TLSMSG_ERR_LIMIT, 0, "more than %d bytes for a file", KEEPER_TEXT_MAX);
    } else {
        request->text[(size_t)n - REQUEST_HEAD] = '\0';
        (void)perform(names, request->file, request->text, &opened, &err);
    }
    told = answer(fd, &err, opened);
    if (opened >= 0) {
        (void)close(opened);
    }
    return told;
}

void keeper_serve(int fd, const char *const names[KEEPER_FILES])
{
    static struct request request;

    while (serve_one(fd, names, &request)) {
    }
}

/* Lets go of all that was inherited: the listening sockets, a terminal, who reads stdout. */
static bool keep_only(int *fd)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    int last;

    for (last = STDIN_FILENO; last <= STDERR_FILENO && nothing >= 0; last++) {
        if (dup2(nothing, last) < 0) {
            return false;
        }
    }
    if (nothing < 0 || (*fd != last && dup2(*fd, last) < 0)) {
        return false;
    }
    *fd = last;
    return syscall(CLOSE_RANGE, last + 1, UINT_MAX, 0) == 0;
}

/* The names are in the command line. False: no memory. */
static bool take_title(char *names[KEEPER_FILES], const struct keeper *keeper, char *const *argv)
{
    for (size_t i = 0; i < KEEPER_FILES; i++) {
        names[i] = keeper->names[i] != NULL ? strdup(keeper->names[i]) : NULL;
        if (names[i] == NULL && keeper->names[i] != NULL) {
            return false;
        }
    }
    (void)prctl(PR_SET_NAME, PROCESS_NAME, 0, 0, 0);
    if (argv != NULL) {
        startup_set_title(argv, PROCESS_NAME);
    }
    return true;
}

/* Signals are for the server: a terminal and a service manager send them to both, and the keeper is
 * needed until the server has ended. */
static _Noreturn void run(const struct keeper *keeper, const char *user,
                          const struct sandbox *sandbox, char *const *argv, int fd)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct sandbox own = {.writes = SANDBOX_WRITES_ANEW, .write_count = sandbox->write_count};
    struct sandbox_report report;
    char *names[KEEPER_FILES] = {NULL};
    sigset_t all;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    memcpy(own.write, sandbox->write, sizeof(own.write));
    if (!keep_only(&fd) || (sandbox_enter(user, &own, &report, &err) == TLSMSG_OK &&
                            !take_title(names, keeper, argv))) {
        error_set(&err, TLSMSG_ERR_SYSTEM, errno, "cannot start the file keeper");
    }
    if (answer(fd, &err, -1) && err.code == TLSMSG_OK) {
        keeper_serve(fd, (const char *const *)names);
    }
    _exit(0);
}

/* ---- the server's side */

void keeper_init(struct keeper *keeper, const char *const names[KEEPER_FILES])
{
    *keeper = (struct keeper){.fd = -1};
    memcpy(keeper->names, names, sizeof(keeper->names));
}

bool keeper_has(const struct keeper *keeper, enum keeper_file file)
{
    return keeper->names[file] != NULL;
}

/* Its end of the socket is closed: it has ended, or does so just now. */
static void lose(struct keeper *keeper)
{
    (void)close(keeper->fd);
    keeper->fd = -1;
    keeper->is_lost = true;
    (void)waitpid(keeper->pid, NULL, 0);
}

/* Takes an answer if it is there. False: it isn't, or none will come. *fd: what it brings, or -1. */
static bool take_answer(struct keeper *keeper, struct tlsmsg_error *said, int *fd)
{
    struct iovec part = {.iov_base = said, .iov_len = sizeof(*said)};
    union beside beside;
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = beside.bytes,
                            .msg_controllen = sizeof(beside.bytes)};
    ssize_t n = recvmsg(keeper->fd, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    *fd = -1;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (n != (ssize_t)sizeof(*said)) {
        lose(keeper);
        return false;
    }
    keeper->awaits = false;
    if (CMSG_FIRSTHDR(&packet) != NULL) {
        memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&packet)), sizeof(*fd));
    }
    said->text[sizeof(said->text) - 1] = '\0';
    return true;
}

/* Waits for the answer. False: it didn't come. */
static bool wait_answer(struct keeper *keeper, int wait_ms, struct tlsmsg_error *said, int *fd)
{
    int64_t deadline_ns = clock_deadline_ns(clock_now_ns(), wait_ms);
    struct pollfd entry = {.fd = keeper->fd, .events = POLLIN};
    int ready;

    do {
        ready = poll(&entry, 1, clock_poll_ms(clock_now_ns(), deadline_ns));
        if (ready > 0 && take_answer(keeper, said, fd)) {
            return true;
        }
    } while (keeper->fd >= 0 && (ready > 0 || (ready < 0 && errno == EINTR)));
    return false;
}

enum tlsmsg_code keeper_start(struct keeper *keeper, const char *user, struct sandbox *sandbox,
                              char *const *argv, struct tlsmsg_error *err)
{
    struct tlsmsg_error said;
    int ends[2];
    int none;

    if (sandbox->write_count == 0 || !sandbox_restricts_files()) {
        return TLSMSG_OK;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot start the file keeper");
    }
    keeper->fd = ends[0];
    keeper->pid = fork();
    if (keeper->pid == 0) {
        run(keeper, user, sandbox, argv, ends[1]);
    }
    (void)close(ends[1]);
    if (keeper->pid < 0) {
        keeper->pid = 0;
        return error_set(err, TLSMSG_ERR_SYSTEM, errno, "cannot start the file keeper");
    }
    sandbox->writes = SANDBOX_WRITES_NOTHING;
    if (!wait_answer(keeper, START_WAIT_MS, &said, &none)) {
        return error_set(err, TLSMSG_ERR_SYSTEM, 0, "the file keeper didn't start");
    }
    return said.code == TLSMSG_OK ? TLSMSG_OK : error_set(err, said.code, 0, "%s", said.text);
}

/* Takes an answer that came after its time, and what it brings. */
static void take_late(struct keeper *keeper)
{
    struct tlsmsg_error said;
    int late;

    if (keeper->fd >= 0 && take_answer(keeper, &said, &late) && late >= 0) {
        (void)close(late);
    }
}

/* Sends a request, unless an earlier one is still under way. False: it couldn't. */
static bool ask(struct keeper *keeper, enum keeper_file file, const char *text)
{
    uint32_t number = file;
    struct iovec parts[] = {
        {.iov_base = &number, .iov_len = sizeof(number)},
        {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)},
    };
    const struct msghdr packet = {.msg_iov = parts, .msg_iovlen = 2};

    take_late(keeper);
    if (keeper->fd < 0 || keeper->awaits) {
        return false;
    }
    keeper->awaits = sendmsg(keeper->fd, &packet, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
    return keeper->awaits;
}

static enum tlsmsg_code have_done(struct keeper *keeper, enum keeper_file file, const char *text,
                                  int *fd, struct tlsmsg_error *err)
{
    static const char *const deeds[KEEPER_FILES] = {"write metrics", "open transcript",
                                                    "open key log"};
    struct tlsmsg_error said;
    char shown[FILE_NAME_MAX];

    if (keeper->pid == 0) {
        return perform(keeper->names, file, text, fd, err);
    }
    *fd = -1;
    if (!ask(keeper, file, text) || !wait_answer(keeper, ANSWER_WAIT_MS, &said, fd)) {
        return error_set(err, TLSMSG_ERR_SYSTEM, 0, "cannot %s '%s': the file keeper %s",
                         deeds[file], escape_name(shown, sizeof(shown), keeper->names[file]),
                         keeper->fd < 0 ? "has ended (try: a restart)" : "doesn't answer");
    }
    if (said.code != TLSMSG_OK && err != NULL && err->code == TLSMSG_OK) {
        *err = said;
    }
    return said.code;
}

enum tlsmsg_code keeper_write_metrics(struct keeper *keeper, const char *text,
                                      struct tlsmsg_error *err)
{
    int none;

    return have_done(keeper, KEEPER_METRICS, text, &none, err);
}

enum tlsmsg_code keeper_open(struct keeper *keeper, enum keeper_file file, int *fd,
                             struct tlsmsg_error *err)
{
    enum tlsmsg_code code = have_done(keeper, file, "", fd, err);

    if (code != TLSMSG_OK || *fd >= 0) {
        return code;
    }
    /* It was opened, and lost on the way: this process had no room for another descriptor. */
    return file_error(keeper->names[file], "open",
                      file == KEEPER_TRANSCRIPT ? "transcript" : "key log", EMFILE, err);
}

int keeper_fd(const struct keeper *keeper)
{
    return keeper->fd;
}

bool keeper_look(struct keeper *keeper)
{
    bool is_lost;

    take_late(keeper);
    is_lost = keeper->is_lost;
    keeper->is_lost = false;
    return is_lost;
}

void keeper_fini(struct keeper *keeper)
{
    struct pollfd entry = {.fd = keeper->fd, .events = POLLIN};

    if (keeper->fd < 0) {
        return;
    }
    /* It sees the end of its requests, and closes its own end by ending. One that a disk holds is
     * left to itself. */
    (void)shutdown(keeper->fd, SHUT_WR);
    if (poll(&entry, 1, END_WAIT_MS) > 0) {
        lose(keeper);
    } else {
        (void)close(keeper->fd);
        keeper->fd = -1;
    }
}
