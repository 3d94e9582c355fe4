/* The sandbox, proved by trying: each row runs in a child of its own, after sandbox_restrict. */
#include "support/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/server/kernel_abi.h"
#include "app/server/sandbox.h"
#include "store/store.h"

static char root[] = "/tmp/tlsmsg-sandbox-XXXXXX";
static char apart[] = "/var/tmp/tlsmsg-sandbox-XXXXXX"; /* below another wide folder */
static char top[] = "/tlsmsg-sandbox-XXXXXX";           /* which root alone can make */
static bool has_top;
static char allowed[96]; /* root/own/in/cert */
static char output[96];  /* root/out/metrics */
static char other[96];   /* root/others/own/secret */
static char late[96];    /* root/late/new/metrics, in folders that are made anew later */
static char highest[96]; /* top/file */
static char linked[96];  /* root/mine/links/log -> apart/log/file, in a folder that comes later */
static char link_to[96]; /* root/mine/links/cert -> ../../own/in/cert */

static long landlock_abi(void)
{
    return syscall(LANDLOCK_CREATE_RULESET, NULL, 0, LANDLOCK_VERSION_FLAG);
}

static void make_folder(const char *name)
{
    char path[96];

    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
}

static void put(const char *directory, const char *file, char *path, size_t cap)
{
    int fd;

    make_folder(directory);
    (void)snprintf(path, cap, "%s/%s/%s", root, directory, file);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    (void)close(fd);
}

static int set_up(void **state)
{
    char target[96];

    (void)state;
    assert_non_null(mkdtemp(root));
    assert_non_null(mkdtemp(apart));
    has_top = mkdtemp(top) != NULL;
    (void)snprintf(highest, sizeof(highest), "%s/file", top);
    make_folder("late");
    (void)snprintf(late, sizeof(late), "%s/late/new/metrics", root);
    make_folder("own");
    make_folder("mine");
    make_folder("mine/links");
    make_folder("others");
    put("own/in", "cert", allowed, sizeof(allowed));
    put("out", "metrics", output, sizeof(output));
    put("others/own", "secret", other, sizeof(other));
    (void)snprintf(link_to, sizeof(link_to), "%s/mine/links/cert", root);
    (void)snprintf(linked, sizeof(linked), "%s/mine/links/log", root);
    (void)snprintf(target, sizeof(target), "%s/log/file", apart);
    assert_int_equal(symlink(target, linked), 0);
    return symlink("../../own/in/cert", link_to);
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf '%s' '%s'", root, apart);
    (void)rmdir(top);
    return system(command);
}

static int opens(const char *path, int flags)
{
    int fd = open(path, flags, 0600);

    if (fd < 0) {
        return errno;
    }
    (void)close(fd);
    return 0;
}

static int read_allowed(void)
{
    return opens(allowed, O_RDONLY);
}

static int read_through_link(void)
{
    return opens(link_to, O_RDONLY);
}

static int read_other(void)
{
    return opens(other, O_RDONLY);
}

static int write_input(void)
{
    return opens(allowed, O_WRONLY);
}

static char fresh[128]; /* what is made to be put in place */

static int replace_with_fresh(const char *name)
{
    int failed = opens(fresh, O_WRONLY | O_CREAT | O_EXCL);

    return failed != 0 ? failed : (rename(fresh, name) == 0 ? 0 : errno);
}

static int replace_output(void)
{
    (void)snprintf(fresh, sizeof(fresh), "%s/out/new", root);
    return replace_with_fresh(output);
}

static int read_output(void)
{
    return opens(output, O_RDONLY);
}

/* A folder of that name made anew is another one to the kernel, and so is the one above it. */
static int write_in_new_folder(void)
{
    (void)snprintf(fresh, sizeof(fresh), "%s.new", late);
    return replace_with_fresh(late);
}

/* The link led nowhere when the sandbox was entered. */
static int write_through_link(void)
{
    return opens(linked, O_WRONLY | O_CREAT | O_APPEND);
}

/* No folder of a system's is above it. */
static int write_highest(void)
{
    return has_top ? opens(highest, O_WRONLY | O_CREAT | O_APPEND) : 0;
}

/* Below none of the wide folders that are on the way to an output. */
static int write_elsewhere(void)
{
    static const char path[] = "/dev/shm/tlsmsg-sandbox";
    int failed = opens(path, O_WRONLY | O_CREAT);

    (void)unlink(path);
    return failed;
}

static int make_folder_there(void)
{
    char path[96];

    (void)snprintf(path, sizeof(path), "%s/late/new/more", root);
    return mkdir(path, 0700) == 0 ? 0 : errno;
}

static int dumpable(void)
{
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
}

static int run_program(void)
{
    char *const argv[] = {(char *)(uintptr_t) "/bin/true", NULL};

    (void)execv(argv[0], argv);
    return errno;
}

static struct sockaddr_in loopback(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET};

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static int bind_port(void)
{
    struct sockaddr_in a = loopback();
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 ? 0 : errno;
}

static int connect_out(void)
{
    struct sockaddr_in a = loopback();
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_port = htons(1);
    return connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 ? 0 : errno;
}

static int signal_parent(void)
{
    return kill(getppid(), 0) == 0 ? 0 : errno;
}

/* The one that writes beside its inputs reads none of them. */
static void confine(enum sandbox_writes writes, bool has_highest)
{
    struct sandbox sandbox = {.writes = writes};
    char held[256];

    if (!sandbox_may_read(&sandbox, writes == SANDBOX_WRITES_ANEW ? NULL : link_to) ||
        !sandbox_may_write(&sandbox, output) || !sandbox_may_write(&sandbox, late) ||
        !sandbox_may_write(&sandbox, linked) ||
        !sandbox_may_write(&sandbox, has_highest ? highest : NULL) ||
        sandbox_restrict(&sandbox, held, sizeof(held), NULL) != TLSMSG_OK) {
        _exit(255);
    }
}

static void make_or_remove_folders(bool make)
{
    char path[96];

    if (make) {
        (void)snprintf(path, sizeof(path), "%s/late", root);
        assert_int_equal(rmdir(path), 0);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_true(!has_top || (rmdir(top) == 0 && mkdir(top, 0700) == 0));
    }
    (void)snprintf(path, sizeof(path), "%s/late/new", root);
    assert_int_equal(make ? mkdir(path, 0700) : rmdir(path), 0);
    (void)snprintf(path, sizeof(path), "%s/log", apart);
    assert_int_equal(make ? mkdir(path, 0700) : rmdir(path), 0);
}

/* Runs try in a sandboxed child and returns the errno it met, 0 for success. Once it is confined,
 * the folders of what is written come into being, and one of them anew. */
static int in_sandbox(enum sandbox_writes writes, int (*try)(void))
{
    int ends[2];
    pid_t child;
    char word;
    int status = 0;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(ends[0]);
        confine(writes, try == write_highest);
        if (write(ends[1], "c", 1) != 1 || read(ends[1], &word, 1) != 1) {
            _exit(255);
        }
        _exit(try());
    }
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &word, 1), 1);
    make_or_remove_folders(true);
    assert_int_equal(write(ends[0], "g", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    (void)close(ends[0]);
    (void)unlink(late);
    (void)snprintf(fresh, sizeof(fresh), "%s.new", late);
    (void)unlink(fresh);
    (void)unlink(highest);
    (void)snprintf(fresh, sizeof(fresh), "%s/log/file", apart);
    (void)unlink(fresh);
    make_or_remove_folders(false);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_what_is_left(void **state)
{
    static const struct {
        const char *name;
        enum sandbox_writes writes;
        int (*try)(void);
        int want;
        long abi; /* that the rule needs; 0: not Landlock's */
    } rows[] = {
        {"reads its certificate", SANDBOX_WRITES_NOTHING, read_allowed, 0, 0},
        {"reads it through a link", SANDBOX_WRITES_NOTHING, read_through_link, 0, 0},
        {"leaves no core file", SANDBOX_WRITES_NOTHING, dumpable, 0, 0},
        {"reads no other file", SANDBOX_WRITES_NOTHING, read_other, EACCES, 1},
        {"writes no input", SANDBOX_WRITES_NOTHING, write_input, EACCES, 1},
        {"writes no output", SANDBOX_WRITES_NOTHING, replace_output, EACCES, 1},
        {"writes to no new folder", SANDBOX_WRITES_NOTHING, write_in_new_folder, EACCES, 1},
        {"runs no program", SANDBOX_WRITES_NOTHING, run_program, EACCES, 1},
        {"binds no port", SANDBOX_WRITES_NOTHING, bind_port, EACCES, 4},
        {"connects nowhere", SANDBOX_WRITES_NOTHING, connect_out, EACCES, 4},
        {"signals nobody outside", SANDBOX_WRITES_NOTHING, signal_parent, EPERM, 6},

        {"in folders: replaces its output", SANDBOX_WRITES_IN_FOLDERS, replace_output, 0, 0},
        {"in folders: writes no input", SANDBOX_WRITES_IN_FOLDERS, write_input, EACCES, 1},
        {"in folders: nor to new ones", SANDBOX_WRITES_IN_FOLDERS, write_in_new_folder, EACCES, 1},

        {"anew: replaces its output", SANDBOX_WRITES_ANEW, replace_output, 0, 0},
        {"anew: writes to new folders", SANDBOX_WRITES_ANEW, write_in_new_folder, 0, 0},
        {"anew: through a link, too", SANDBOX_WRITES_ANEW, write_through_link, 0, 0},
        {"anew: in a folder of the root's", SANDBOX_WRITES_ANEW, write_highest, 0, 0},
        {"anew: makes no folder", SANDBOX_WRITES_ANEW, make_folder_there, EACCES, 1},
        {"anew: reads no output", SANDBOX_WRITES_ANEW, read_output, EACCES, 1},
        {"anew: reads no input", SANDBOX_WRITES_ANEW, read_allowed, EACCES, 1},
        {"anew: runs no program", SANDBOX_WRITES_ANEW, run_program, EACCES, 1},
        {"anew: writes nowhere else", SANDBOX_WRITES_ANEW, write_elsewhere, EACCES, 1},
        {"anew: connects nowhere", SANDBOX_WRITES_ANEW, connect_out, EACCES, 4},
    };
    long abi = landlock_abi();

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].abi > 0 && abi < rows[i].abi) {
            print_message("skipped, this kernel has no such rule: %s\n", rows[i].name);
            continue;
        }
        int got = in_sandbox(rows[i].writes, rows[i].try);

        if (got != rows[i].want) {
            fail_msg("%s: %s", rows[i].name, strerror(got));
        }
    }
}

/* ---- a store that is reached over the network */

/* A socket that listens; its port. */
static int listen_somewhere(uint16_t *port)
{
    struct sockaddr_in a = loopback();
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in a = loopback();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int failed;

    a.sin_port = htons(port);
    failed = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 ? 0 : errno;
    (void)close(fd);
    return failed;
}

/* What a child meets that is confined with this reach: the errno of connecting to a port, and of
 * reading a file. */
static void try_reach(struct store_reach *reach, uint16_t port, const char *path, int met[2])
{
    int ends[2];
    pid_t child;
    int status = 0;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sandbox sandbox = {.connects = true, .reach = reach};
        char held[256];

        if (sandbox_restrict(&sandbox, held, sizeof(held), NULL) != TLSMSG_OK) {
            _exit(1);
        }
        met[0] = connect_to(port);
        met[1] = opens(path, O_RDONLY);
        _exit(write(ends[1], met, 2 * sizeof(*met)) < 0 ? 1 : 0);
    }
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], met, 2 * sizeof(*met)), 2 * sizeof(*met));
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_a_store_over_the_network(void **state)
{
    struct store_reach reach = {.files = {allowed}, .file_count = 1, .port_count = 1};
    uint16_t another;
    int sockets[2] = {listen_somewhere(&reach.ports[0]), listen_somewhere(&another)};
    int met[2];

    (void)state;
    if (landlock_abi() < 4) {
        skip();
    }
    try_reach(&reach, reach.ports[0], allowed, met);
    assert_int_equal(met[0], 0);
    assert_int_equal(met[1], 0);
    try_reach(&reach, another, other, met);
    assert_int_equal(met[0], EACCES);
    assert_int_equal(met[1], EACCES);
    /* A service's file may name any port. */
    reach.any_port = true;
    try_reach(&reach, another, allowed, met);
    assert_int_equal(met[0], 0);
    (void)close(sockets[0]);
    (void)close(sockets[1]);
}

static void test_too_many_files_are_refused(void **state)
{
    struct sandbox sandbox = {0};

    (void)state;
    for (int i = 0; i < SANDBOX_PATHS_MAX; i++) {
        assert_true(sandbox_may_write(&sandbox, "x"));
    }
    assert_false(sandbox_may_write(&sandbox, "x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_left),
        cmocka_unit_test(test_a_store_over_the_network),
        cmocka_unit_test(test_too_many_files_are_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
