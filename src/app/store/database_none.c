/* A build without PostgreSQL. */
#include "app/store/database.h"
#include "base/error.h"

enum tlsmsg_code database_run(const struct store_options_taken *taken, uint64_t *faults,
                              struct tlsmsg_error *err)
{
    (void)taken;
    (void)faults;
    return error_set(
        err, TLSMSG_ERR_CONFIG, 0,
        "this build knows stores in files alone (the build option TLSMSG_POSTGRESQL is "
        "off)");
}
