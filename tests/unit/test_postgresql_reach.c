/* Which files and ports a connection string leads to, as libpq itself reads it and its environment. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/store.h"
#include "support/failmalloc.h"
#include "support/test_folder.h"
#include "support/unit.h"

#define HOME_FILES                                                                                 \
    "/h/.pgpass /h/.postgresql/postgresql.crt /h/.postgresql/postgresql.key "                      \
    "/h/.postgresql/root.crt /h/.postgresql/root.crl"
#define ROOTS                                                                                      \
    "/usr/lib/ssl/certs/. /usr/share/ca-certificates/. /etc/pki/tls/certs/. "                      \
    "/etc/pki/tls/cert.pem"
#define SERVICES "/etc/postgresql-common/pg_service.conf /etc/sysconfig/pgsql/pg_service.conf"
#define FOLDER_OF_S "."
#define FILE_OF_S "./pg_service.conf"
#define P8 "1,2,3,4,5,6,7,8,"

static const char *const variables[] = {"PGSERVICE",  "PGSERVICEFILE", "PGSYSCONFDIR",
                                        "PGPASSFILE", "PGPORT",        "PGSSLROOTCERT"};

static const struct reached {
    const char *name; /* the target, behind postgresql:// */
    const char *home;
    const char *variables[2]; /* NAME=VALUE */
    const char *files;
    const char *ports;
} reached[] = {
    {"a/d", NULL, {NULL}, "", "5432"},
    {"a/d", "/h", {NULL}, HOME_FILES, "5432"},
    {"a:1,b,c:65535/d", NULL, {NULL}, "", "1 5432 65535"},
    {"a/d?port=7", NULL, {NULL}, "", "7"},
    {"a/d", NULL, {"PGPORT=6000"}, "", "6000"},
    {"a:0/d", NULL, {NULL}, "", "any"},
    {"a:1,b:65536/d", NULL, {NULL}, "", "1 any"},
    {"a/d?port=x", NULL, {NULL}, "", "any"},
    {"/d?port=" P8 P8 P8 "1,2,3,4,5,6,7,8",
     NULL,
     {NULL},
     "",
     "1 2 3 4 5 6 7 8 1 2 3 4 5 6 7 8 1 2 3 4 5 6 7 8 1 2 3 4 5 6 7 8"},
    {"/d?port=" P8 P8 P8 P8 "1",
     NULL,
     {NULL},
     "",
     "1 2 3 4 5 6 7 8 1 2 3 4 5 6 7 8 1 2 3 4 5 6 7 8 1 2 3 4 5 6 7 8 any"},
    {"a/d?passfile=/p&sslcert=/c&sslkey=/k&sslrootcert=/r&sslcrl=/l&sslcrldir=/f",
     "/h",
     {NULL},
     "/p /c /k /r /l /f",
     "5432"},
    {"a/d?sslrootcert=", NULL, {NULL}, "", "5432"},
    {"a/d?passfile=&sslkey=k",
     "/h",
     {NULL},
     "/h/.pgpass /h/.postgresql/postgresql.crt k /h/.postgresql/root.crt /h/.postgresql/root.crl",
     "5432"},
    {"a/d?sslrootcert=system", NULL, {NULL}, "system " ROOTS, "5432"},
    {"a/d", NULL, {"PGSSLROOTCERT=system"}, "system " ROOTS, "5432"},
    {"a/d", NULL, {"PGPASSFILE=/e"}, "/e", "5432"},
    {"a/d?service=s", NULL, {"PGSERVICEFILE=" FILE_OF_S}, FILE_OF_S " " SERVICES, "any"},
    {"a/d?service=s",
     "/h",
     {"PGSERVICEFILE=" FILE_OF_S},
     HOME_FILES " " FILE_OF_S " " SERVICES,
     "any"},
    {"a/d", NULL, {"PGSERVICE=s", "PGSERVICEFILE=" FILE_OF_S}, FILE_OF_S " " SERVICES, "any"},
    {"a/d?service=s",
     "/h",
     {"PGSYSCONFDIR=" FOLDER_OF_S},
     HOME_FILES " /h/.pg_service.conf " FOLDER_OF_S "/pg_service.conf",
     "any"},
    {"a/d?service=s", NULL, {"PGSYSCONFDIR=" FOLDER_OF_S}, FOLDER_OF_S "/pg_service.conf", "any"},
};

static void put(char *text, size_t cap, const char *word)
{
    size_t len = strlen(text);

    (void)snprintf(text + len, cap - len, "%s%s", len > 0 ? " " : "", word);
}

static void clear_environment(void)
{
    size_t i;

    for (i = 0; i < COUNT_OF(variables); i++) {
        (void)unsetenv(variables[i]);
    }
}

static void set_environment(const char *const *pairs)
{
    size_t i;

    clear_environment();
    for (i = 0; i < 2 && pairs[i] != NULL; i++) {
        char name[64];
        const char *value = strchr(pairs[i], '=') + 1;

        (void)snprintf(name, sizeof(name), "%.*s", (int)(value - pairs[i] - 1), pairs[i]);
        (void)setenv(name, value, 1);
    }
}

static void assert_reach(const struct store_reach *reach, const char *files, const char *ports)
{
    char text[4096] = "";
    char port[16];
    size_t i;

    for (i = 0; i < reach->file_count; i++) {
        put(text, sizeof(text), reach->files[i]);
    }
    assert_string_equal(text, files);
    text[0] = '\0';
    for (i = 0; i < reach->port_count; i++) {
        (void)snprintf(port, sizeof(port), "%u", reach->ports[i]);
        put(text, sizeof(text), port);
    }
    if (reach->any_port) {
        put(text, sizeof(text), "any");
    }
    assert_string_equal(text, ports);
}

static enum tlsmsg_code reach_of(const char *name, const char *home, struct store_reach *reach,
                                 struct tlsmsg_error *err)
{
    char target[256];

    (void)snprintf(target, sizeof(target), "postgresql://%s", name);
    tlsmsg_error_clear(err);
    return store_reach(target, home, reach, err);
}

static void test_reached(void **state)
{
    const struct reached *row = *state;
    struct store_reach reach;
    struct tlsmsg_error err;

    set_environment(row->variables);
    assert_int_equal(reach_of(row->name, row->home, &reach, &err), TLSMSG_OK);
    assert_reach(&reach, row->files, row->ports);
    store_reach_fini(&reach);
    clear_environment();
}

/* No file has a name that is longer; the longest one counts. */
static void test_the_longest_name(void **state)
{
    static char home[PATH_MAX];
    struct store_reach reach;
    struct tlsmsg_error err;
    size_t more;

    (void)state;
    clear_environment();
    for (more = 0; more < 2; more++) {
        memset(home, 'h', sizeof(home));
        home[PATH_MAX - 1 - strlen("/.pgpass") + more] = '\0';
        assert_int_equal(reach_of("a/d", home, &reach, &err), TLSMSG_OK);
        assert_int_equal(reach.file_count, 1 - more);
        if (more == 0) {
            assert_int_equal(strlen(reach.files[0]), PATH_MAX - 1);
        }
        store_reach_fini(&reach);
    }
}

/* Whichever name finds no memory. */
static void test_no_memory(void **state)
{
    static const char *const service[] = {"PGSERVICEFILE=" FILE_OF_S, NULL};
    long live = failmalloc_live();
    struct store_reach reach;
    struct tlsmsg_error err;
    size_t n;

    (void)state;
    set_environment(service);
    for (n = 1; n <= 12; n++) {
        failmalloc_at(n);
        assert_int_equal(reach_of("a/d?service=s&sslrootcert=system", "/h", &reach, &err),
                         TLSMSG_ERR_NOMEM);
        assert_string_equal(err.text, "out of memory");
        assert_int_equal(err.code, TLSMSG_ERR_NOMEM);
        assert_int_equal(err.sys_errno, 0);
        assert_int_equal(reach.file_count, n - 1);
        failmalloc_at(0);
        store_reach_fini(&reach);
        assert_int_equal(failmalloc_live(), live);
    }
    assert_int_equal(reach_of("a/d?service=s&sslrootcert=system", "/h", &reach, &err), TLSMSG_OK);
    assert_int_equal(reach.file_count, n - 1);
    store_reach_fini(&reach);
    clear_environment();
}

/* The test stands in a folder of its own, where a service is described. */
static int begin_all(void **state)
{
    static struct test_folder folder;
    FILE *file;

    test_folder_make(&folder);
    *state = &folder;
    assert_int_equal(chdir(folder.path), 0);
    file = fopen(FILE_OF_S, "w");
    assert_non_null(file);
    assert_true(fputs("[s]\nuser=u\nport=7\n", file) >= 0);
    return fclose(file);
}

static int end_all(void **state)
{
    test_folder_remove(*state);
    return chdir("/");
}

int main(void)
{
    void *folder = NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_longest_name),
        cmocka_unit_test(test_no_memory),
    };
    int failed;

    if (begin_all(&folder) != 0) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    RUN_ROWS(failed, test_reached, reached);
    return end_all(&folder) != 0 ? 1 : failed;
}
