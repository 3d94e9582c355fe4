/* A build that stores nothing: --store is refused, and all else does nothing. */
#include "app/server/storing.h"
#include "base/error.h"

enum tlsmsg_code storing_check(const struct storing_settings *settings, struct tlsmsg_error *err)
{
    if (settings->target != NULL) {
        return error_set(err, TLSMSG_ERR_CONFIG, 0,
                         "--store: this build stores nothing (the build option TLSMSG_SQLITE is "
                         "off)");
    }
    return TLSMSG_OK;
}

enum tlsmsg_code storing_reach(const struct storing_settings *settings, const char *user,
                               struct store_reach *reach, struct tlsmsg_error *err)
{
    (void)user;
    (void)reach;
    return storing_check(settings, err);
}

void storing_reach_fini(struct store_reach *reach)
{
    (void)reach;
}

enum tlsmsg_code storing_open(const struct storing_settings *settings, struct tlsmsg_server *server,
                              struct log *log, struct storing **out, struct tlsmsg_error *err)
{
    (void)server;
    (void)log;
    *out = NULL;
    return storing_check(settings, err);
}

void storing_message(struct storing *storing, struct tlsmsg_message *message)
{
    (void)storing;
    (void)message;
}

void storing_hello(struct storing *storing, const struct tlsmsg_hello *hello)
{
    (void)storing;
    (void)hello;
}

void storing_closed(struct storing *storing, const struct tlsmsg_closed *closed, unsigned worker)
{
    (void)storing;
    (void)closed;
    (void)worker;
}

enum tlsmsg_turn storing_turn_end(struct storing *storing, unsigned worker, enum tlsmsg_turn lines)
{
    (void)storing;
    (void)worker;
    return lines;
}

void storing_lines_out(struct storing *storing, struct tlsmsg_server *server, unsigned worker,
                       bool fail)
{
    (void)storing;
    tlsmsg_server_release(server, worker, fail);
}

const char *storing_failure(struct storing *storing)
{
    (void)storing;
    return NULL;
}

bool storing_stats(struct storing *storing, struct store_stats *stats, enum store_promise *promise)
{
    (void)storing;
    (void)stats;
    (void)promise;
    return false;
}

void storing_close(struct storing *storing)
{
    (void)storing;
}
