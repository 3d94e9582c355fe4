/* See server_run.h. */
#include "support/server_run.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tlsmsg/tlsmsg.h>

#include "support/ends_identity.h"
#include "support/glob_text.h"
#include "support/server_main.h"
#include "support/unit.h"

#include "base/build.h"
#include "base/clock.h"

#define LIMIT_MS 20000
#define DESCRIPTORS_MAX 256
#define PRINTED_MAX 16384
#define LISTENING "listening on "

/* A run, while it goes on. */
struct scene {
    pid_t child;
    int fds[3]; /* the child's; [0] is not used */
    char printed[3][PRINTED_MAX];
    struct tlsmsg_client *client;
    unsigned moved; /* files */
};

static struct test_folder folder;

/* ---- the server's clock */

static bool clock_stands;      /* in this process */
static int64_t *clock_then_ns; /* what it says then; shared with the child */

int64_t __real_clock_now_ns(void);
int64_t __wrap_clock_now_ns(void);

int64_t __wrap_clock_now_ns(void)
{
    return clock_stands ? __atomic_load_n(clock_then_ns, __ATOMIC_SEQ_CST) : __real_clock_now_ns();
}

int server_run_setup(void **state)
{
    (void)signal(SIGPIPE, SIG_IGN);
    test_folder_make(&folder);
    clock_then_ns = mmap(NULL, sizeof(*clock_then_ns), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return ends_identity_setup(state) + (clock_then_ns == MAP_FAILED);
}

int server_run_teardown(void **state)
{
    (void)munmap(clock_then_ns, sizeof(*clock_then_ns));
    test_folder_remove(&folder);
    return ends_identity_teardown(state);
}

const char *server_run_path(const char *name, char out[TEST_PATH_MAX])
{
    return test_folder_file(&folder, name, out);
}

/* ---- the child */

static int fill_arguments(const struct server_run *run, char texts[][TEST_PATH_MAX], char **argv)
{
    const char *before[] = {
        "tlsmsg-server",      "-l",    "127.0.0.1:0",      "--lang=en", "--workers", "1", "--cert",
        ends_identity_cert(), "--key", ends_identity_key()};
    size_t fixed = run->is_bare ? 1 : BUILD_HAS_TLS ? 10 : 4;
    int argc = 0;

    for (size_t i = 0; i < fixed; i++) {
        (void)snprintf(texts[argc++], TEST_PATH_MAX, "%s", before[i]);
    }
    for (size_t i = 0; i < SERVER_RUN_ARGS && run->args[i] != NULL; i++) {
        char path[TEST_PATH_MAX];
        const char *text = run->args[i];

        (void)snprintf(texts[argc++], TEST_PATH_MAX, "%s",
                       *text == '@' ? server_run_path(text + 1, path) : text);
    }
    for (int i = 0; i < argc; i++) {
        argv[i] = texts[i];
    }
    argv[argc] = NULL;
    return argc;
}

/* From the first on that no program begins with: closes them, or tells that there is one. */
static bool has_descriptors(bool closes)
{
    bool any = false;

    for (int fd = STDERR_FILENO + 1; fd < DESCRIPTORS_MAX; fd++) {
        any |= closes ? close(fd) == 0 : fcntl(fd, F_GETFD) >= 0;
    }
    return any;
}

/* Ends as a program does, so that what looks for leaks looks. */
static _Noreturn void be_the_server(const struct server_run *run, const struct scene *scene)
{
    char texts[SERVER_RUN_ARGS + 10][TEST_PATH_MAX];
    char *argv[SERVER_RUN_ARGS + 11];
    int argc = fill_arguments(run, texts, argv);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int code;

    if (dup2(nothing, 0) != 0 || dup2(scene->fds[1], 1) != 1 || dup2(scene->fds[2], 2) != 2) {
        _exit(99);
    }
    (void)has_descriptors(true);
    clock_stands = run->clock_stands;
    if (run->in_child != NULL) {
        run->in_child();
    }
    code = server_main(argc, argv);
    if (run->after != NULL && !run->after()) {
        code = 96;
    }
    exit(has_descriptors(false) ? 97 : code);
}

static void begin(const struct server_run *run, struct scene *scene)
{
    for (int i = 1; i < 3; i++) {
        scene->fds[i] = i == 1 && run->full_stdout ? open("/dev/full", O_WRONLY | O_CLOEXEC)
                                                   : memfd_create("output", MFD_CLOEXEC);
        assert_true(scene->fds[i] >= 0);
    }
    (void)fflush(NULL);
    *clock_then_ns = __real_clock_now_ns();
    scene->child = fork();
    assert_true(scene->child >= 0);
    if (scene->child == 0) {
        be_the_server(run, scene);
    }
}

static const char *printed(struct scene *scene, int i)
{
    ssize_t n = pread(scene->fds[i], scene->printed[i], PRINTED_MAX - 1, 0);

    scene->printed[i][n > 0 ? n : 0] = '\0';
    return scene->printed[i];
}

static void fail_run(struct scene *scene, const char *why)
{
    (void)kill(scene->child, SIGKILL);
    (void)waitpid(scene->child, NULL, 0);
    fail_msg("%s; stderr: %s; stdout: %s", why, printed(scene, 2), printed(scene, 1));
}

static void await_printed(struct scene *scene, int i, const char *text)
{
    for (int ms = 0; strstr(printed(scene, i), text) == NULL; ms++) {
        if (ms == LIMIT_MS) {
            fail_run(scene, text);
        }
        (void)poll(NULL, 0, 1);
    }
}

/* Its exit code; 128 and the signal that ended it. */
static int await_end(struct scene *scene)
{
    int status = 0;

    for (int ms = 0; waitpid(scene->child, &status, WNOHANG) == 0; ms++) {
        if (ms == LIMIT_MS) {
            fail_run(scene, "it does not end");
        }
        (void)poll(NULL, 0, 1);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- who uses it */

/* The address that it has told last. */
static void take_address(struct scene *scene, char out[64])
{
    const char *at = NULL;

    await_printed(scene, 2, LISTENING);
    for (const char *next = scene->printed[2]; (next = strstr(next, LISTENING)) != NULL; next++) {
        at = next + strlen(LISTENING);
    }
    (void)snprintf(out, 64, "%.*s", (int)strcspn(at, "\n"), at);
}

static void connect_client(struct scene *scene)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    struct tlsmsg_options *options = NULL;
    char address[64];

    take_address(scene, address);
    assert_int_equal(tlsmsg_options_new(TLSMSG_ROLE_CLIENT, &options, &err), TLSMSG_OK);
    assert_int_equal(tlsmsg_options_set(options, TLSMSG_OPT_ADDRESS, address, &err), TLSMSG_OK);
    ends_identity_trusted_by(options);
    assert_int_equal(tlsmsg_client_new(options, &scene->client, &err), TLSMSG_OK);
    tlsmsg_options_free(options);
    if (tlsmsg_client_connect(scene->client, &err) != TLSMSG_CLIENT_OK) {
        fail_run(scene, err.text);
    }
}

static void say(struct scene *scene, const char *text)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};

    if (scene->client == NULL) {
        connect_client(scene);
    }
    if (tlsmsg_client_send(scene->client, text, strlen(text), &err) != TLSMSG_CLIENT_OK) {
        fail_run(scene, err.text);
    }
}

static void expect_reply(struct scene *scene, const char *text)
{
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    const char *reply = NULL;
    size_t len = 0;

    if (tlsmsg_client_receive(scene->client, &reply, &len, &err) != TLSMSG_CLIENT_OK) {
        fail_run(scene, err.text);
    }
    if (len != strlen(text) || memcmp(reply, text, len) != 0) {
        fail_run(scene, "another reply came");
    }
}

static void leave(struct scene *scene)
{
    if (scene->client != NULL) {
        (void)tlsmsg_client_close(scene->client, NULL);
        tlsmsg_client_free(scene->client);
        scene->client = NULL;
    }
}

/* Its own end too ends as it likes: with an alert, or reset. */
static void say_garbage(struct scene *scene)
{
    static const char text[] = "GET / HTTP/1.0\r\n\r\n";
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct pollfd entry = {.events = POLLIN};
    char address[64];
    char buf[256];
    ssize_t n;

    take_address(scene, address);
    at.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    entry.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (entry.fd < 0 || connect(entry.fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        write(entry.fd, text, sizeof(text) - 1) != sizeof(text) - 1) {
        fail_run(scene, strerror(errno));
    }
    do {
        if (poll(&entry, 1, LIMIT_MS) != 1) {
            fail_run(scene, "it goes on with garbage");
        }
        n = read(entry.fd, buf, sizeof(buf));
    } while (n > 0);
    (void)close(entry.fd);
}

static void move(struct scene *scene, const char *name, bool blocks)
{
    char numbered[TEST_PATH_MAX / 4];
    char from[TEST_PATH_MAX];
    char to[TEST_PATH_MAX];

    (void)snprintf(numbered, sizeof(numbered), "%s.%u", name, ++scene->moved);
    (void)server_run_path(name, from);
    if (rename(from, server_run_path(numbered, to)) != 0 || (blocks && mkfifo(from, 0600) != 0)) {
        fail_run(scene, strerror(errno));
    }
}

static void take_step(struct scene *scene, const char *step)
{
    static const struct {
        const char *name;
        int number;
    } signals[] = {{"term", SIGTERM}, {"hup", SIGHUP}, {"usr1", SIGUSR1}};

    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        if (strcmp(step, signals[i].name) == 0) {
            assert_int_equal(kill(scene->child, signals[i].number), 0);
            return;
        }
    }
    if (*step == '<') {
        say(scene, step + 1);
    } else if (*step == '>') {
        expect_reply(scene, step + 1);
    } else if (strncmp(step, "shown ", 6) == 0) {
        await_printed(scene, 2, step + 6);
    } else if (strncmp(step, "said ", 5) == 0) {
        await_printed(scene, 1, step + 5);
    } else if (strncmp(step, "move ", 5) == 0) {
        move(scene, step + 5, false);
    } else if (strncmp(step, "block ", 6) == 0) {
        move(scene, step + 6, true);
    } else if (strncmp(step, "later ", 6) == 0) {
        (void)__atomic_add_fetch(clock_then_ns, (int64_t)atoi(step + 6) * CLOCK_NS_PER_MS,
                                 __ATOMIC_SEQ_CST);
    } else if (strcmp(step, "garbage") == 0) {
        say_garbage(scene);
    } else if (strcmp(step, "leave") == 0) {
        leave(scene);
    } else {
        fail_run(scene, step);
    }
}

void server_run_expect(const struct server_run *run)
{
    struct scene scene = {.child = 0};
    int code;

    begin(run, &scene);
    for (const char *const *step = run->steps; *step != NULL; step++) {
        take_step(&scene, *step);
    }
    code = await_end(&scene);
    leave(&scene);
    expect_text("stderr", run->err_of_root != NULL && geteuid() == 0 ? run->err_of_root : run->err,
                printed(&scene, 2));
    if (!run->full_stdout) {
        (void)printed(&scene, 1);
        if (run->out_goes_on && strlen(scene.printed[1]) > strlen(run->out)) {
            scene.printed[1][strlen(run->out)] = '\0';
        }
        expect_text("stdout", run->out, scene.printed[1]);
    }
    (void)close(scene.fds[1]);
    (void)close(scene.fds[2]);
    assert_int_equal(code, run->exit);
}

void server_run_row(void **state)
{
    server_run_expect(*state);
}

void server_run_expect_file(const char *name, const char *expected)
{
    char path[TEST_PATH_MAX];
    char text[PRINTED_MAX];
    FILE *file = fopen(server_run_path(name, path), "r");
    size_t len;

    assert_non_null(file);
    len = fread(text, 1, sizeof(text) - 1, file);
    text[len] = '\0';
    (void)fclose(file);
    expect_text(name, expected, text);
}
