/* A build without PostgreSQL: such a target is refused. */
#include "base/error.h"
#include "store/postgresql.h"

static enum tlsmsg_code refuse(struct tlsmsg_error *err)
{
    return error_set(
        err, TLSMSG_ERR_CONFIG, 0,
        "this build stores in files alone (the build option TLSMSG_POSTGRESQL is off)");
}

enum tlsmsg_code postgresql_backend_open(const char *target, struct store_backend **out,
                                         struct tlsmsg_error *err)
{
    (void)target;
    (void)out;
    return refuse(err);
}

enum tlsmsg_code postgresql_check(const char *target, struct tlsmsg_error *err)
{
    (void)target;
    return refuse(err);
}

enum tlsmsg_code postgresql_reach(const char *target, const char *home, struct store_reach *reach,
                                  struct tlsmsg_error *err)
{
    (void)target;
    (void)home;
    (void)reach;
    return refuse(err);
}
