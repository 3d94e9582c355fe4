/* See fake_db.h. */
#include "support/fake_db.h"

struct pg_db db;
struct tlsmsg_error err;
int patience;

int fake_db_begin(const char *target)
{
    db = (struct pg_db){.target = target, .patience = {fake_has_ended, &patience}};
    patience = 1000;
    tlsmsg_error_clear(&err);
    fake_libpq_begin();
    return 0;
}

int fake_db_end(void **state)
{
    (void)state;
    pg_db_close(&db);
    fake_libpq_end();
    return 0;
}
