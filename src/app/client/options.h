/* The command line of tlsmsg-client. */
#ifndef APP_CLIENT_OPTIONS_H
#define APP_CLIENT_OPTIONS_H

#include "app/args.h"
#include "app/phrases.h"

extern const struct args_table client_options;

struct client_settings {
    struct tlsmsg_options *options; /* owned */
    const char *address;            /* from argv; NULL: the default */
    const struct phrases *phrases;
    size_t help_language;
    const char **messages; /* of --message, from argv; the array is owned */
    size_t message_count;
    bool quiet;
    bool verbose;
    bool probes;  /* --probe: no conversation */
    bool as_json; /* replies, or the probe */
};

/* Sets defaults; TLSMSG_OK or TLSMSG_ERR_NOMEM. */
enum tlsmsg_code client_settings_init(struct client_settings *settings, struct tlsmsg_error *err);
void client_settings_fini(struct client_settings *settings);

/* Whether what was taken goes together. TLSMSG_OK or TLSMSG_ERR_CONFIG. */
enum tlsmsg_code client_settings_check(const struct client_settings *settings,
                                       struct tlsmsg_error *err);

/* For args_parse; user: the settings. */
enum tlsmsg_code client_settings_take(int id, const char *value, void *user,
                                      struct tlsmsg_error *err);

#endif
