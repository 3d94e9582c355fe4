/* See keeper_ends.h. */
#include "support/keeper_ends.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "support/unit.h"

struct keeper_ends on;
struct seen *seen;

static struct test_folder folder;
static char transcript[TEST_PATH_MAX];
char metrics[TEST_PATH_MAX];
char key_log[TEST_PATH_MAX];
const char *const names[KEEPER_FILES] = {
    [KEEPER_METRICS] = metrics, [KEEPER_TRANSCRIPT] = transcript, [KEEPER_KEY_LOG] = key_log};

static char words[] = "tlsmsg-server\0--metrics-file\0somewhere";
char *const command_line[] = {words, words + 14, words + 29, NULL};

static pid_t test_pid;

static int answer_of(struct script *script)
{
    int answer = 0;

    script->calls++;
    if (script->answers != NULL && *script->answers != LAST) {
        answer = *script->answers++;
    }
    errno = answer > 0 ? answer : on.stale_errno;
    return answer;
}

pid_t __real_fork(void);
pid_t __wrap_fork(void);
void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));
int __real_socketpair(int domain, int type, int protocol, int ends[2]);
int __wrap_socketpair(int domain, int type, int protocol, int ends[2]);
int __real_dup2(int from, int to);
int __wrap_dup2(int from, int to);
int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout_ms);
ssize_t __wrap_recv(int fd, void *buf, size_t cap, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *packet, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *packet, int flags);
pid_t __real_waitpid(pid_t pid, int *status, int flags);
pid_t __wrap_waitpid(pid_t pid, int *status, int flags);
bool __wrap_sandbox_restricts_files(void);
enum tlsmsg_code __wrap_sandbox_enter(const char *user, const struct sandbox *sandbox,
                                      struct sandbox_report *report, struct tlsmsg_error *err);

pid_t __wrap_fork(void)
{
    return answer_of(&on.fork) != 0 ? -1 : __real_fork();
}

/* Nobody but the process may end without a word. */
void __wrap__exit(int status)
{
    if (getpid() == test_pid) {
        abort();
    }
    __real__exit(status);
}

int __wrap_socketpair(int domain, int type, int protocol, int ends[2])
{
    return answer_of(&on.socketpair) != 0 ? -1 : __real_socketpair(domain, type, protocol, ends);
}

int __wrap_dup2(int from, int to)
{
    return answer_of(&on.dup2) != 0 ? -1 : __real_dup2(from, to);
}

int __wrap_poll(struct pollfd *entries, nfds_t count, int timeout_ms)
{
    int answer = answer_of(&on.poll);

    return answer == 0 ? __real_poll(entries, count, timeout_ms) : answer == NOTHING ? 0 : -1;
}

ssize_t __wrap_recv(int fd, void *buf, size_t cap, int flags)
{
    int answer = answer_of(&on.recv);

    return answer == 0 ? __real_recv(fd, buf, cap, flags) : answer == NOTHING ? 0 : -1;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *packet, int flags)
{
    int answer = answer_of(&on.recvmsg);

    return answer == 0 ? __real_recvmsg(fd, packet, flags) : answer == NOTHING ? 0 : -1;
}

/* The keeper's first word: it is ready. */
static void look_around(void)
{
    struct stat is;
    struct stat null;
    sigset_t blocked;

    seen->std_lead_nowhere = stat("/dev/null", &null) == 0;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        seen->std_lead_nowhere &= fstat(fd, &is) == 0 && is.st_rdev == null.st_rdev;
    }
    seen->has_no_more = fstat(STDERR_FILENO + 1, &is) == 0 && S_ISSOCK(is.st_mode);
    for (int fd = STDERR_FILENO + 2; fd < 256; fd++) {
        seen->has_no_more &= fcntl(fd, F_GETFD) == -1;
    }
    (void)sigprocmask(SIG_BLOCK, NULL, &blocked);
    seen->blocks_signals = sigismember(&blocked, SIGTERM) == 1 &&
                           sigismember(&blocked, SIGHUP) == 1 && sigismember(&blocked, SIGINT) == 1;
    (void)prctl(PR_GET_NAME, seen->name, 0, 0, 0);
    (void)snprintf(seen->title, sizeof(seen->title), "%s", command_line[0]);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *packet, int flags)
{
    ssize_t sent;

    if (getpid() != test_pid && on.sendmsg.calls == 0) {
        look_around();
    }
    if (answer_of(&on.sendmsg) != 0) {
        return -1;
    }
    sent = __real_sendmsg(fd, packet, flags);
    if (on.replies_by > 0) {
        assert_int_equal(send(on.replies_by, &on.reply, on.reply_len, MSG_NOSIGNAL), on.reply_len);
    }
    return sent;
}

pid_t __wrap_waitpid(pid_t pid, int *status, int flags)
{
    on.waits++;
    return __real_waitpid(pid, status, flags);
}

bool __wrap_sandbox_restricts_files(void)
{
    return true;
}

enum tlsmsg_code __wrap_sandbox_enter(const char *user, const struct sandbox *sandbox,
                                      struct sandbox_report *report, struct tlsmsg_error *err)
{
    seen->entered = *sandbox;
    seen->has_user = user != NULL && strcmp(user, "somebody") == 0;
    report->held[0] = '\0';
    return on.enters_with == TLSMSG_OK
               ? TLSMSG_OK
               : error_set(err, on.enters_with, EPERM, "cannot become user 'somebody'");
}

/* ---- each test */

void keeper_ends_forget(void)
{
    on = (struct keeper_ends){.reply_len = sizeof(on.reply)};
}

int keeper_ends_set_up(void **state)
{
    (void)state;
    test_pid = getpid();
    if (seen == NULL) {
        seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(seen != MAP_FAILED);
    }
    memset(seen, 0, sizeof(*seen));
    keeper_ends_forget();
    test_folder_make(&folder);
    (void)test_folder_file(&folder, "m.prom", metrics);
    (void)test_folder_file(&folder, "transcript", transcript);
    (void)test_folder_file(&folder, "keys", key_log);
    return 0;
}

int keeper_ends_tear_down(void **state)
{
    (void)state;
    keeper_ends_forget();
    test_folder_remove(&folder);
    return 0;
}

int next_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_int_equal(close(fd), 0);
    return fd;
}

void connect_ends(int ends[2])
{
    assert_int_equal(__real_socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

int take_stdin(void)
{
    int saved = dup(STDIN_FILENO);

    assert_true(saved >= 0);
    assert_int_equal(close(STDIN_FILENO), 0);
    return saved;
}

void give_stdin(int saved)
{
    assert_int_equal(__real_dup2(saved, STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(close(saved), 0);
}
