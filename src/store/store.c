/* Which engine a target is for. */
#include "store/store.h"

#include <string.h>

#include "base/error.h"
#include "store/backend.h"
#include "store/sqlite.h"
#include "store/sqlite_db.h"

static bool is_postgresql(const char *target)
{
    return strncmp(target, "postgresql://", 13) == 0 || strncmp(target, "postgres://", 11) == 0;
}

static enum tlsmsg_code refuse_postgresql(struct tlsmsg_error *err)
{
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "this build stores in files alone (the build option TLSMSG_POSTGRESQL is off)");
}

enum tlsmsg_code store_open(const struct store_settings *settings, struct store **out,
                            struct tlsmsg_error *err)
{
    struct store_backend *backend;
    enum tlsmsg_code code =
        is_postgresql(settings->target)
            ? refuse_postgresql(err)
            : sqlite_backend_open(settings->target, SQLITE_CHECKPOINT_PAGES, &backend, err);

    return code == TLSMSG_OK ? store_start(settings, backend, out, err) : code;
}

enum tlsmsg_code store_check(const char *target, struct tlsmsg_error *err)
{
    return is_postgresql(target) ? refuse_postgresql(err) : sqlite_db_check(target, err);
}
