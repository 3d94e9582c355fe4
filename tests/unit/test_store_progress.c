/* The line on a terminal for work that lasts, and who the tool becomes before it touches a store. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/store/progress.h"
#include "app/store/reader.h"
#include "base/clock.h"
#include "base/error.h"
#include "support/tool_run.h"
#include "support/unit.h"

#define NOBODY 65534

static int64_t now_ns;
static int64_t step_ns; /* by which each look at the clock moves it */
static bool is_terminal;

bool __wrap_terminal_takes_style(int fd);
int64_t __wrap_clock_now_ns(void);

bool __wrap_terminal_takes_style(int fd)
{
    assert_int_equal(fd, STDERR_FILENO);
    return is_terminal;
}

int64_t __wrap_clock_now_ns(void)
{
    now_ns += step_ns;
    return now_ns;
}

/* What stands on stderr, of which it is the whole. */
static void assert_shown(const char *wanted, void (*work)(struct progress *progress))
{
    struct progress progress;
    char shown[512];
    FILE *file = tmpfile();
    int before = dup(STDERR_FILENO);
    ssize_t got;

    assert_non_null(file);
    assert_int_equal(dup2(fileno(file), STDERR_FILENO), STDERR_FILENO);
    now_ns = 7;
    progress_begin(&progress, "copied page");
    work(&progress);
    (void)fflush(stderr);
    got = pread(STDERR_FILENO, shown, sizeof(shown) - 1, 0);
    assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
    (void)close(before);
    (void)fclose(file);
    assert_true(got >= 0);
    shown[got] = '\0';
    assert_string_equal(shown, wanted);
}

static void work_short(struct progress *progress)
{
    now_ns += CLOCK_NS_PER_S - 1;
    progress_tell(progress, 1, 2);
    progress_end(progress);
}

static void work_long(struct progress *progress)
{
    now_ns += CLOCK_NS_PER_S;
    progress_tell(progress, 1, 3);
    now_ns += 200 * (int64_t)CLOCK_NS_PER_MS - 1;
    progress_tell(progress, 2, 3);
    now_ns += 1;
    progress_tell(progress, 3, 3);
    progress_end(progress);
    progress_end(progress);
    now_ns += CLOCK_NS_PER_S;
    progress_tell(progress, 0, 0);
}

static void test_work_that_lasts_is_shown(void **state)
{
    (void)state;
    is_terminal = true;
    assert_shown("", work_short);
    assert_shown("\rcopied page 1 of 3 (33 %)\033[K\rcopied page 3 of 3 (100 %)\033[K\r\033[K"
                 "\rcopied page 0 of 0 (100 %)\033[K",
                 work_long);
    is_terminal = false;
    assert_shown("", work_long);
}

/* ---- root becomes the owner */

static struct {
    uid_t root;
    bool has_entry;
    const char *fails; /* which call */
    char calls[256];
} user;

uid_t __wrap_geteuid(void);
struct passwd *__wrap_getpwuid(uid_t uid);
int __wrap_initgroups(const char *name, gid_t group);
int __wrap_setgroups(size_t count, const gid_t *groups);
int __wrap_setresgid(gid_t real, gid_t effective, gid_t saved);
int __wrap_setresuid(uid_t real, uid_t effective, uid_t saved);

static int noted(const char *name, const char *call)
{
    size_t len = strlen(user.calls);

    (void)snprintf(user.calls + len, sizeof(user.calls) - len, "%s; ", call);
    if (user.fails != NULL && strcmp(name, user.fails) == 0) {
        errno = EPERM;
        return -1;
    }
    return 0;
}

uid_t __wrap_geteuid(void)
{
    return user.root;
}

struct passwd *__wrap_getpwuid(uid_t uid)
{
    static char name[] = "storer";
    static struct passwd entry = {.pw_name = name, .pw_gid = 77};

    assert_int_equal(uid, NOBODY);
    return user.has_entry ? &entry : NULL;
}

int __wrap_initgroups(const char *name, gid_t group)
{
    char call[64];

    (void)snprintf(call, sizeof(call), "initgroups %s %u", name, (unsigned)group);
    return noted("initgroups", call);
}

int __wrap_setgroups(size_t count, const gid_t *groups)
{
    char call[64];

    assert_null(groups);
    (void)snprintf(call, sizeof(call), "setgroups %zu", count);
    return noted("setgroups", call);
}

int __wrap_setresgid(gid_t real, gid_t effective, gid_t saved)
{
    char call[64];

    (void)snprintf(call, sizeof(call), "gid %u %u %u", (unsigned)real, (unsigned)effective,
                   (unsigned)saved);
    return noted("setresgid", call);
}

int __wrap_setresuid(uid_t real, uid_t effective, uid_t saved)
{
    char call[64];

    (void)snprintf(call, sizeof(call), "uid %u %u %u", (unsigned)real, (unsigned)effective,
                   (unsigned)saved);
    return noted("setresuid", call);
}

/* A store of somebody else's, on which only root can make one. */
static void make_foreign(const char *path, gid_t group)
{
    if (getuid() != 0) {
        skip();
    }
    assert_int_equal(chown(path, NOBODY, group), 0);
}

static int begin(void **state)
{
    memset(&user, 0, sizeof(user));
    return scene_set_up(state);
}

static void make_store(void)
{
    FILE *file = fopen(scene.path, "wb");

    assert_non_null(file);
    (void)fclose(file);
}

static void assert_becomes(const char *calls)
{
    user.calls[0] = '\0';
    assert_int_equal(reader_become_owner(scene.path, &scene.err), TLSMSG_OK);
    scene_assert_error(TLSMSG_OK, 0, "");
    assert_string_equal(user.calls, calls);
}

static void test_root_becomes_the_owner(void **state)
{
    (void)state;
    make_store();
    if (getuid() == 0) {
        assert_becomes("");
    }
    make_foreign(scene.path, 88);
    user.has_entry = true;
    assert_becomes("initgroups storer 77; gid 77 77 77; uid 65534 65534 65534; ");
    user.has_entry = false;
    assert_becomes("setgroups 0; gid 88 88 88; uid 65534 65534 65534; ");
    user.root = 1000;
    assert_becomes("");
}

static void test_root_becomes_the_owner_of_the_folder(void **state)
{
    (void)state;
    make_foreign(scene.folder.path, 88);
    assert_becomes("setgroups 0; gid 88 88 88; uid 65534 65534 65534; ");
}

static void test_nobody_is_become_where_nothing_is(void **state)
{
    (void)state;
    (void)snprintf(scene.path, sizeof(scene.path), "%s/missing/store.db", scene.folder.path);
    assert_becomes("");
    (void)snprintf(scene.path, sizeof(scene.path), "/dev/null/store.db");
    assert_becomes("");
}

static void test_an_owner_that_can_not_be_become(void **state)
{
    static const char *const calls[] = {"setgroups", "setresgid", "setresuid", "initgroups"};
    size_t i;

    (void)state;
    make_store();
    make_foreign(scene.path, 88);
    for (i = 0; i < COUNT_OF(calls); i++) {
        user.fails = calls[i];
        user.has_entry = i == 3;
        assert_int_equal(reader_become_owner(scene.path, &scene.err), TLSMSG_ERR_SYSTEM);
        scene_assert_error(TLSMSG_ERR_SYSTEM, EPERM,
                           "cannot become the store's owner: Operation not permitted");
        tlsmsg_error_clear(&scene.err);
    }
}

/* A link is nobody's store: who planted it is not to be become. */
static void test_root_follows_no_link(void **state)
{
    char text[TEST_PATH_MAX + 100];
    int descriptors;

    (void)state;
    assert_int_equal(symlink("elsewhere", scene.path), 0);
    descriptors = scene_descriptors();
    assert_int_equal(reader_become_owner(scene.path, &scene.err), TLSMSG_ERR_CONFIG);
    (void)snprintf(text, sizeof(text),
                   "store '%s' is a link, and root follows none (try: name the file itself)",
                   scene.path);
    scene_assert_error(TLSMSG_ERR_CONFIG, 0, text);
    assert_string_equal(user.calls, "");
    tlsmsg_error_clear(&scene.err);
    assert_int_equal(unlink(scene.path), 0);
    make_store();
    if (getuid() == 0) {
        assert_becomes("");
    }
    assert_int_equal(scene_descriptors(), descriptors);
}

/* As root nothing is done to what is somebody else's. */
static void test_nothing_is_done_by_who_could_not_be_become(void **state)
{
    (void)state;
    make_foreign(scene.folder.path, 88);
    user.fails = "setresuid";
    (void)tool_run("init", scene.path, NULL);
    tool_assert(1, "", "cannot become the store's owner: Operation not permitted");
    assert_int_not_equal(access(scene.path, F_OK), 0);
}

/* ---- the tool's own work */

static void test_work_of_the_tool_is_shown(void **state)
{
    char copy[TEST_PATH_MAX];
    int64_t pages;
    char wanted[128];

    (void)state;
    user.root = 1000;
    is_terminal = true;
    step_ns = CLOCK_NS_PER_S;
    tool_init();
    tool_change("INSERT INTO producer VALUES(1, '', 'p', 0, 1)");
    tool_add(1, 1, "one");
    tool_add(1, 2, "two");
    (void)tool_run("verify", scene.path, NULL);
    assert_string_equal(tool_ran.out, "2 messages, 2 with a hash: sound\n");
    assert_string_equal(tool_ran.err, "\rverified message 1 of 2 (50 %)\033[K"
                                      "\rverified message 2 of 2 (100 %)\033[K\r\033[K");
    /* A fault has a line of its own. */
    tool_change("UPDATE message SET hash = NULL WHERE id = 1");
    (void)tool_run("verify", scene.path, NULL);
    assert_string_equal(tool_ran.err, "\rverified message 1 of 2 (50 %)\033[K\r\033[K"
                                      "\rverified message 2 of 2 (100 %)\033[K\r\033[K");
    tool_change("UPDATE message SET body = zeroblob(1500000) WHERE id = 2");
    pages = scene_ask("PRAGMA page_count");
    assert_true(pages > 256 && pages < 512);
    (void)tool_run("backup", scene.path, test_folder_file(&scene.folder, "copy.db", copy), NULL);
    (void)snprintf(
        wanted, sizeof(wanted),
        "\rcopied page 256 of %d (%d %%)\033[K\rcopied page %d of %d (100 %%)\033[K\r\033[K",
        (int)pages, (int)(25600 / pages), (int)pages, (int)pages);
    assert_string_equal(tool_ran.err, wanted);
    step_ns = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_work_that_lasts_is_shown),
        cmocka_unit_test_setup_teardown(test_root_becomes_the_owner, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_root_becomes_the_owner_of_the_folder, begin,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_is_become_where_nothing_is, begin,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_an_owner_that_can_not_be_become, begin,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_root_follows_no_link, begin, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_is_done_by_who_could_not_be_become, begin,
                                        scene_tear_down),
        cmocka_unit_test_setup_teardown(test_work_of_the_tool_is_shown, begin, scene_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
