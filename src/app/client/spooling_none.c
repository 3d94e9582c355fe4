/* A build that keeps nothing: --spool is refused, and nothing else is ever called. */
#include "app/client/spooling.h"
#include "base/error.h"

enum tlsmsg_code spooling_open(const char *path, struct spooling **out, struct tlsmsg_error *err)
{
    (void)path;
    *out = NULL;
    return error_set(err, TLSMSG_ERR_CONFIG, 0,
                     "this build keeps nothing (the build option TLSMSG_SQLITE is off)");
}

void spooling_close(struct spooling *spooling)
{
    (void)spooling;
}

const char *spooling_producer(const struct spooling *spooling)
{
    (void)spooling;
    return NULL;
}

uint64_t spooling_first(const struct spooling *spooling)
{
    (void)spooling;
    return 1;
}

enum tlsmsg_code spooling_waiting(struct spooling *spooling, uint64_t *count,
                                  struct tlsmsg_error *err)
{
    (void)spooling;
    (void)err;
    *count = 0;
    return TLSMSG_OK;
}

bool spooling_add(struct spooling *spooling, const char *data, size_t len,
                  const struct spooling_print *print)
{
    (void)spooling;
    (void)data;
    (void)len;
    (void)print;
    return false;
}

bool spooling_add_prompt(struct spooling *spooling)
{
    (void)spooling;
    return false;
}

bool spooling_is_gathered(const struct spooling *spooling)
{
    (void)spooling;
    return true;
}

enum tlsmsg_code spooling_keep(struct spooling *spooling, bool connected, size_t *count,
                               struct tlsmsg_error *err)
{
    (void)spooling;
    (void)connected;
    (void)err;
    *count = 0;
    return TLSMSG_OK;
}

enum tlsmsg_code spooling_next(struct spooling *spooling, struct spooling_message *out,
                               struct tlsmsg_error *err)
{
    (void)spooling;
    (void)err;
    *out = (struct spooling_message){0};
    return TLSMSG_OK;
}

void spooling_put_back(struct spooling *spooling)
{
    (void)spooling;
}

bool spooling_has_next(const struct spooling *spooling)
{
    (void)spooling;
    return false;
}

enum tlsmsg_code spooling_meet(struct spooling *spooling, uint64_t last, uint64_t *first,
                               struct tlsmsg_error *err)
{
    (void)spooling;
    (void)last;
    (void)err;
    *first = 0;
    return TLSMSG_OK;
}

enum tlsmsg_code spooling_will_send(struct spooling *spooling, struct tlsmsg_error *err)
{
    (void)spooling;
    (void)err;
    return TLSMSG_OK;
}

struct spooling_print spooling_answered(struct spooling *spooling, uint64_t number)
{
    (void)spooling;
    (void)number;
    return (struct spooling_print){0};
}

enum tlsmsg_code spooling_settle(struct spooling *spooling, bool now, struct tlsmsg_error *err)
{
    (void)spooling;
    (void)now;
    (void)err;
    return TLSMSG_OK;
}
