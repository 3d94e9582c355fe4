/* An allocation of OpenSSL's fails while a configuration is loaded: what is told must be the memory,
 * not a fault of files that are fine. A program of its own, because OpenSSL takes another allocator
 * only before it has used its own.
 *
 * Of the allocations that one line of OpenSSL makes, the first fails, the 32nd, the 1024th and so on:
 * nine of ten are of a few lines, which gather the names of algorithms and bear it. */
#include "support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "support/config.h"
#include "support/tls_ends.h"

#define SPREAD 32
#define SITES_MAX 1024
#define TRIES_MAX 4096

#define TICKET_KEY                                                                                 \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"                             \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"                             \
    "0123456789abcdef0123456789abcdef"

static struct tls_files files;
static unsigned long counted;
static unsigned long failing; /* 0: none */
static unsigned told;         /* that memory was short */
static unsigned mistold;

/* A line of OpenSSL that allocates. */
struct site {
    const char *file;
    int line;
    unsigned long count;
    unsigned long next; /* the count at which it is to be tried */
};

static struct site sites[SITES_MAX];
static size_t site_count;
static unsigned long tries[TRIES_MAX]; /* allocations that are to fail */
static size_t try_count;
static bool looks; /* for those */

static struct site *site_of(const char *file, int line)
{
    size_t i = 0;

    while (i < site_count && (sites[i].line != line || sites[i].file != file)) {
        i++;
    }
    if (i == site_count) {
        assert_true(site_count < SITES_MAX);
        sites[site_count++] = (struct site){.file = file, .line = line, .next = 1};
    }
    return &sites[i];
}

static void look_at(const char *file, int line)
{
    struct site *site = site_of(file, line);

    if (++site->count == site->next) {
        assert_true(try_count < TRIES_MAX);
        tries[try_count++] = counted;
        site->next *= SPREAD;
    }
}

static bool fails_now(const char *file, int line)
{
    counted++;
    if (looks) {
        look_at(file, line);
    }
    return counted == failing;
}

static void *allocate(size_t size, const char *file, int line)
{
    return fails_now(file, line) ? NULL : malloc(size);
}

static void *reallocate(void *old, size_t size, const char *file, int line)
{
    return fails_now(file, line) ? NULL : realloc(old, size);
}

static void release(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    free(memory);
}

/* Where OpenSSL 3.0 keeps to itself that memory was short: it drops what it met when it decodes a
 * certificate's key, takes a key of unknown strength for a weak one, and some of its readers fail
 * without a reason. Nobody can tell these from files that are bad. */
static bool is_hidden(const char *text)
{
    static const char *const hidden[] = {"does not belong to certificate",
                                         "ee key too small",
                                         "is damaged: the certificate at line 1 can't be read",
                                         "is damaged: the list at line 1 can't be read",
                                         "is not signed by the trusted CA of that name",
                                         "has extensions that can't be read"};
    size_t i = 0;

    while (i < COUNT_OF(hidden) && strstr(text, hidden[i]) == NULL) {
        i++;
    }
    return i < COUNT_OF(hidden);
}

/* Loads once with the nth allocation failing. Returns how many there were. */
static unsigned long load(const struct tlsmsg_options *options, unsigned long n)
{
    struct transport_config *config = NULL;
    struct tlsmsg_error err = {.code = TLSMSG_OK};
    enum tlsmsg_code code;
    unsigned long needed;

    counted = 0;
    failing = n;
    code = config_from_options(options, NULL, &config, &err);
    failing = 0;
    needed = counted;
    told += code == TLSMSG_ERR_NOMEM ? 1 : 0;
    mistold += code == TLSMSG_ERR_CONFIG ? 1 : 0;
    if (code != TLSMSG_OK && code != TLSMSG_ERR_NOMEM &&
        !(code == TLSMSG_ERR_CONFIG && is_hidden(err.text))) {
        fail_msg("allocation %lu of %lu: %s: %s", n, needed, tlsmsg_code_name(code), err.text);
    }
    if (err.code != code || ERR_peek_error() != 0) {
        fail_msg("allocation %lu: %s, but %s is told; queue %lx", n, tlsmsg_code_name(code),
                 tlsmsg_code_name(err.code), ERR_peek_error());
    }
    transport_config_unref(config);
    return needed;
}

/* Each of some 30,000 takes two minutes: TLSMSG_TEST_STRIDE=1 does that. */
static void try_with_stride(const struct tlsmsg_options *options, unsigned long stride,
                            unsigned long needed)
{
    for (unsigned long n = 1; n <= needed; n += stride) {
        (void)load(options, n);
    }
}

static void try_allocations(struct tlsmsg_options *options)
{
    const char *stride = getenv("TLSMSG_TEST_STRIDE");
    unsigned long needed;

    (void)load(options, 0); /* what is loaded once in a process is not counted */
    site_count = try_count = 0;
    looks = true;
    needed = load(options, 0);
    looks = false;
    assert_true(needed > 100);
    assert_true(try_count > 50);
    told = 0;
    mistold = 0;
    if (stride != NULL) {
        try_with_stride(options, strtoul(stride, NULL, 10), needed);
    }
    for (size_t i = 0; stride == NULL && i < try_count; i++) {
        (void)load(options, tries[i]);
    }
    assert_true(told > 10);
    assert_true(mistold < told);
    tlsmsg_options_free(options);
}

static void test_server(void **state)
{
    (void)state;
    try_allocations(tls_options(
        &files, TLSMSG_ROLE_SERVER, TLSMSG_OPT_CERT, "server.crt", TLSMSG_OPT_KEY, "server.key",
        TLSMSG_OPT_CERT, "alice.crt", TLSMSG_OPT_KEY, "alice.key", TLSMSG_OPT_CLIENT_CA, "ca.crt",
        TLSMSG_OPT_CRL, "ca.crl", TLSMSG_OPT_ALLOW, "CN=alice", TLSMSG_OPT_TICKET_KEYS,
        "tickets.keys", TLSMSG_OPT_KEYLOG_FILE, "keys.log", TLSMSG_OPT_COUNT));
}

static void test_client(void **state)
{
    (void)state;
    try_allocations(tls_options(&files, TLSMSG_ROLE_CLIENT, TLSMSG_OPT_CERT, "alice.crt",
                                TLSMSG_OPT_KEY, "alice.key", TLSMSG_OPT_CA, "ca.crt",
                                TLSMSG_OPT_COUNT));
}

static int set_up(void **state)
{
    char path[TEST_PATH_MAX];
    FILE *file;

    (void)state;
    tls_files_make(&files);
    test_crl_write(&(struct test_crl_spec){.issuer = &files.ca},
                   test_folder_file(&files.folder, "ca.crl", path));
    file = fopen(test_folder_file(&files.folder, "tickets.keys", path), "w");
    assert_non_null(file);
    assert_true(fprintf(file, "current %s\n", TICKET_KEY) > 0);
    assert_int_equal(fclose(file), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_files_remove(&files);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server),
        cmocka_unit_test(test_client),
    };

    if (CRYPTO_set_mem_functions(allocate, reallocate, release) != 1) {
        return 1;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
