/* What ends: when it is told, in which words, and when there will be more to tell. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/unit.h"
#include "transport/tls/internal.h"

#define NOW_S INT64_C(1795000000) /* 2026-11-18 11:06:40 */
#define HOUR_S 3600L
#define DAY_S (24L * HOUR_S)

time_t __wrap_time(time_t *out);

time_t __wrap_time(time_t *out)
{
    if (out != NULL) {
        *out = NOW_S;
    }
    return NOW_S;
}

static char file_name[] = "it.pem";
static char subject[] = "CN=it";

static struct loaded ends_at(enum loaded_kind kind, int64_t begins_s, int64_t ends_s)
{
    return (struct loaded){.kind = kind,
                           .file = file_name,
                           .subject = subject,
                           .begins_unix_s = begins_s,
                           .ends_unix_s = ends_s};
}

/* ---- the words */

struct row {
    const char *name;
    enum loaded_kind kind;
    long life_s;
    long left_s;
    const char *says;    /* NULL: nothing */
    const char *is_ours; /* what to try where the script has made it */
};

#define OURS "scripts/gen-certs.sh "
#define LEAF "certificate 'CN=it' in 'it.pem' "
#define REFUSED ": every peer refuses it then; try: a new one in its place"

static const struct row rows[] = {
    {"a year's, 31 days before", LOADED_LEAF, 365 * DAY_S, 31 * DAY_S, NULL, NULL},
    {"a year's, 30 days before", LOADED_LEAF, 365 * DAY_S, 30 * DAY_S, NULL, NULL},
    {"a year's, a second later", LOADED_LEAF, 365 * DAY_S, 30 * DAY_S - 1,
     LEAF "ends in 29 days, on 2026-12-18" REFUSED, OURS "renew"},
    {"90 days', 30 days before", LOADED_LEAF, 90 * DAY_S, 30 * DAY_S, NULL, NULL},
    {"90 days', a second later", LOADED_LEAF, 90 * DAY_S, 30 * DAY_S - 1,
     LEAF "ends in 29 days, on 2026-12-18" REFUSED, OURS "renew"},
    {"a week's list, fresh", LOADED_CRL, 7 * DAY_S, 6 * DAY_S, NULL, NULL},
    {"six days' list, before its last third", LOADED_CRL, 6 * DAY_S, 2 * DAY_S, NULL, NULL},
    {"six days' list, in its last third", LOADED_CRL, 6 * DAY_S, 2 * DAY_S - 1,
     "revocation list of 'CN=it' in 'it.pem' ends in 1 day, on 2026-11-20: everybody whose "
     "certificate that CA issued is refused then; try: that CA's new list in its place",
     OURS "crl"},
    {"two days", LOADED_LEAF, 365 * DAY_S, 2 * DAY_S, LEAF "ends in 2 days, on 2026-11-20" REFUSED,
     OURS "renew"},
    {"a day", LOADED_LEAF, 365 * DAY_S, DAY_S, LEAF "ends in 1 day, on 2026-11-19" REFUSED,
     OURS "renew"},
    {"a second less", LOADED_LEAF, 365 * DAY_S, DAY_S - 1,
     LEAF "ends in 23 h 59 min, on 2026-11-19" REFUSED, OURS "renew"},
    {"an hour and two minutes", LOADED_LEAF, 365 * DAY_S, HOUR_S + 2 * 60,
     LEAF "ends in 1 h 2 min, on 2026-11-18" REFUSED, OURS "renew"},
    {"a minute", LOADED_LEAF, 365 * DAY_S, 60, LEAF "ends in 0 h 1 min, on 2026-11-18" REFUSED,
     OURS "renew"},
    {"a second", LOADED_LEAF, 365 * DAY_S, 1, LEAF "ends in 0 h 0 min, on 2026-11-18" REFUSED,
     OURS "renew"},
    {"none", LOADED_LEAF, 365 * DAY_S, 0,
     LEAF "ended on 2026-11-18: every peer refuses it; try: a new one in its place", OURS "renew"},
    {"long ago", LOADED_LEAF, 365 * DAY_S, -DAY_S,
     LEAF "ended on 2026-11-17: every peer refuses it; try: a new one in its place", OURS "renew"},
    {"a list that has ended", LOADED_CRL, 6 * HOUR_S, -1,
     "revocation list of 'CN=it' in 'it.pem' ended on 2026-11-18: everybody whose certificate that "
     "CA issued is refused; try: that CA's new list in its place",
     OURS "crl"},
    {"a CA", LOADED_CA, 3650 * DAY_S, 5 * DAY_S,
     "CA 'CN=it' in 'it.pem' ends in 5 days, on 2026-11-23: certificates under it are refused "
     "then; "
     "try: the CA's new certificate",
     OURS "renew ca"},
    {"a CA that has ended", LOADED_CA, 3650 * DAY_S, -1,
     "CA 'CN=it' in 'it.pem' ended on 2026-11-18: certificates under it are refused; try: the CA's "
     "new certificate",
     OURS "renew ca"},
    {"an issuer", LOADED_ISSUER, 900 * DAY_S, 3 * DAY_S,
     "issuer 'CN=it' in 'it.pem' ends in 3 days, on 2026-11-21: peers that need it refuse the "
     "certificate that it issued then; try: the CA's new one in its place",
     OURS "renew ca"},
    {"an issuer that has ended", LOADED_ISSUER, 900 * DAY_S, -3 * DAY_S,
     "issuer 'CN=it' in 'it.pem' ended on 2026-11-15: peers that need it refuse the certificate "
     "that it issued; try: the CA's new one in its place, or take it out of the file",
     OURS "renew ca"},
};

static void is_told(void **state)
{
    const struct row *row = *state;
    struct loaded item = ends_at(row->kind, NOW_S + row->left_s - row->life_s, NOW_S + row->left_s);
    char text[LOAD_WARNING_MAX] = "";
    char wanted[LOAD_WARNING_MAX];

    assert_int_equal(load_print_end(&item, NOW_S, text, sizeof(text)), row->says != NULL);
    assert_int_equal(load_warns_from(&item) < NOW_S, row->says != NULL);
    assert_string_equal(text, row->says != NULL ? row->says : "");
    item.is_ours = true;
    assert_int_equal(load_print_end(&item, NOW_S, text, sizeof(text)), row->says != NULL);
    if (row->says != NULL) {
        (void)snprintf(wanted, sizeof(wanted), "%.*s; try: %s",
                       (int)(strstr(row->says, "; try: ") - row->says), row->says, row->is_ours);
        assert_string_equal(text, wanted);
    }
}

static void what_has_no_end_is_never_told(void **state)
{
    struct loaded item = ends_at(LOADED_CRL, NOW_S, 0);
    char text[LOAD_WARNING_MAX] = "";

    (void)state;
    assert_false(load_print_end(&item, NOW_S, text, sizeof(text)));
    assert_true(load_warns_from(&item) == INT64_MAX);
    assert_string_equal(text, "");
}

static void dates(void **state)
{
    static const struct {
        int64_t unix_s;
        const char *text;
    } rows_of[] = {
        {0, "1970-01-01"},
        {NOW_S, "2026-11-18"},
        {INT64_C(253402300799), "9999-12-31"},
        {INT64_MAX, "?"},
    };
    char date[X509_TEXT_DATE_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows_of); i++) {
        load_print_date(rows_of[i].unix_s, date);
        assert_string_equal(date, rows_of[i].text);
    }
}

/* ---- when */

#define ENDS_S (NOW_S + 100 * DAY_S)
#define FROM_S (ENDS_S - 30 * DAY_S)

static void count(const char *text, void *user)
{
    unsigned *told = user;

    assert_non_null(strstr(text, "'CN=it' in 'it.pem' end"));
    (*told)++;
}

static void it_is_told_twice_at_its_time(void **state)
{
    static const struct {
        int64_t since_s, now_s;
        unsigned told;
        int64_t next_s;
    } turns[] = {
        {0, FROM_S - 1, 0, FROM_S + 1},      {0, FROM_S, 0, FROM_S + 1},
        {0, FROM_S + 1, 1, ENDS_S},          {FROM_S, FROM_S + 1, 1, ENDS_S},
        {FROM_S + 1, FROM_S + 2, 0, ENDS_S}, {FROM_S + 1, ENDS_S - 1, 0, ENDS_S},
        {0, ENDS_S - 1, 1, ENDS_S},          {ENDS_S - 1, ENDS_S, 1, 0},
        {ENDS_S, ENDS_S + 1, 0, 0},          {0, ENDS_S + 1, 1, 0},
    };
    struct loaded item = ends_at(LOADED_LEAF, ENDS_S - 365 * DAY_S, ENDS_S);
    struct transport_config config = {.report = {.items = &item, .count = 1}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(turns); i++) {
        unsigned told = 0;

        assert_true(transport_config_tell_ends(&config, turns[i].since_s, turns[i].now_s, count,
                                               &told) == turns[i].next_s);
        assert_int_equal(told, turns[i].told);
    }
}

static void the_next_to_be_told_decides(void **state)
{
    struct loaded items[4];
    struct transport_config config = {.report = {.items = items, .count = COUNT_OF(items)}};
    unsigned told = 0;

    (void)state;
    items[0] = ends_at(LOADED_CRL, NOW_S, 0);
    items[1] = ends_at(LOADED_LEAF, NOW_S - 300 * DAY_S, NOW_S + 60 * DAY_S); /* from 30 d on */
    items[2] = ends_at(LOADED_CA, NOW_S - 300 * DAY_S, NOW_S + 20 * DAY_S);   /* told */
    items[3] = ends_at(LOADED_ISSUER, NOW_S - 300 * DAY_S, NOW_S - DAY_S);    /* over */
    assert_true(transport_config_tell_ends(&config, 0, NOW_S, count, &told) == NOW_S + 20 * DAY_S);
    assert_int_equal(told, 2);
    items[2] = ends_at(LOADED_CA, NOW_S - 300 * DAY_S, NOW_S + 35 * DAY_S); /* from 5 d on */
    told = 0;
    assert_true(transport_config_tell_ends(&config, 0, NOW_S, count, &told) ==
                NOW_S + 5 * DAY_S + 1);
    assert_int_equal(told, 1);
    items[1] = ends_at(LOADED_LEAF, NOW_S - 300 * DAY_S, NOW_S + 3 * DAY_S);
    told = 0;
    assert_true(transport_config_tell_ends(&config, 0, NOW_S, count, &told) == NOW_S + 3 * DAY_S);
    assert_int_equal(told, 2);
}

static void the_first_of_a_kind_decides(void **state)
{
    static const struct {
        int64_t leaf_s, other_leaf_s, issuer_s;
        int64_t first_s;
    } rows_of[] = {
        {0, 0, 0, 0}, {9, 0, 0, 9}, {0, 9, 0, 9}, {0, 0, 9, 9}, {9, 8, 0, 8},
        {8, 9, 0, 8}, {9, 9, 8, 8}, {8, 9, 9, 8}, {9, 8, 9, 8},
    };
    struct loaded items[5];
    struct transport_config config = {.report = {.items = items, .count = COUNT_OF(items)}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows_of); i++) {
        items[0] = ends_at(LOADED_LEAF, 1, rows_of[i].leaf_s);
        items[1] = ends_at(LOADED_LEAF, 1, rows_of[i].other_leaf_s);
        items[2] = ends_at(LOADED_ISSUER, 1, rows_of[i].issuer_s);
        items[3] = ends_at(LOADED_CA, 1, 4);
        items[4] = ends_at(LOADED_CRL, 1, 3);
        assert_true(transport_config_expiry(&config, TLSMSG_EXPIRY_CERTIFICATE) ==
                    rows_of[i].first_s);
        assert_true(transport_config_expiry(&config, TLSMSG_EXPIRY_CA) == 4);
        assert_true(transport_config_expiry(&config, TLSMSG_EXPIRY_CRL) == 3);
        assert_true(transport_config_expiry(&config, TLSMSG_EXPIRY_COUNT) == 0);
    }
}

/* ---- after loading */

/* What ends stands before all that was found earlier, in its own order; what has not begun, behind. */
static void what_ends_is_told_first(void **state)
{
    static const char *const wanted[] = {
        LEAF "ended on 2026-11-17: every peer refuses it; try: a new one in its place",
        "CA 'CN=it' in 'it.pem' ends in 5 days, on 2026-11-23: certificates under it are refused "
        "then; try: the CA's new certificate",
        "found before",
        "CA 'CN=it' in 'it.pem' is not valid before 2026-11-18: certificates that it issued are "
        "refused; try: this machine's clock, or the CA's certificate of before",
    };
    struct loaded items[5];
    struct load_report report = {.items = items, .count = COUNT_OF(items)};

    (void)state;
    items[0] = ends_at(LOADED_CA, NOW_S + 1, NOW_S + 300 * DAY_S);
    items[1] = ends_at(LOADED_CA, NOW_S, NOW_S + 300 * DAY_S);
    items[2] = ends_at(LOADED_LEAF, NOW_S - 9 * DAY_S, NOW_S - DAY_S);
    items[3] = ends_at(LOADED_LEAF, NOW_S - 9 * DAY_S, NOW_S + 300 * DAY_S);
    items[4] = ends_at(LOADED_CA, NOW_S - 300 * DAY_S, NOW_S + 5 * DAY_S);
    load_report_warn(&report, "%s %s", "found", "before");
    load_report_check_ends(&report);
    assert_int_equal(report.warning_count, COUNT_OF(wanted));
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        assert_string_equal(report.warnings[i], wanted[i]);
    }
    assert_false(report.no_memory);
    report.items = NULL;
    report.count = 0;
    load_report_fini(&report);
    assert_int_equal(report.warning_count, 0);
    assert_null(report.warnings);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_no_end_is_never_told),
        cmocka_unit_test(dates),
        cmocka_unit_test(it_is_told_twice_at_its_time),
        cmocka_unit_test(the_next_to_be_told_decides),
        cmocka_unit_test(the_first_of_a_kind_decides),
        cmocka_unit_test(what_ends_is_told_first),
    };
    int failed = 0;

    RUN_ROWS(failed, is_told, rows);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
