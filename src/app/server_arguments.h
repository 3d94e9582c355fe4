/* The command line of tlsmsg-server. */
#ifndef APP_SERVER_ARGUMENTS_H
#define APP_SERVER_ARGUMENTS_H

#include "app/arguments.h"
#include "app/listening.h"
#include "app/log.h"
#include "app/phrases.h"
#include "app/sandbox.h"
#include "app/transcript.h"

extern const struct arguments server_arguments;

struct server_settings {
    struct tlsmsg_options *options; /* owned */
    struct listening listening;
    const struct phrases *phrases;
    enum transcript_format format;
    enum tlsmsg_log_level log_level;
    enum log_format log_format;
    const char *metrics_file; /* from argv, NULL: none; so the next */
    const char *user;
    struct sandbox sandbox; /* the files that the options name */
    bool quiet;
    bool check;
};

/* Sets defaults; TLSMSG_OK or TLSMSG_ERR_NOMEM. */
enum tlsmsg_code server_settings_init(struct server_settings *settings, struct tlsmsg_error *err);
void server_settings_fini(struct server_settings *settings);

/* For arguments_parse; user: the settings. */
enum tlsmsg_code server_settings_take(int id, const char *value, void *user,
                                      struct tlsmsg_error *err);

#endif
