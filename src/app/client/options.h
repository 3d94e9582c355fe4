/* The command line of tlsmsg-client. */
#ifndef APP_CLIENT_OPTIONS_H
#define APP_CLIENT_OPTIONS_H

#include "app/args.h"
#include "app/client/session.h"
#include "app/phrases.h"

extern const struct args_table client_options;

struct client_settings {
    struct tlsmsg_options *options; /* owned */
    const char *address;            /* from argv; NULL: the default */
    const struct phrases *phrases;
    size_t help_language;
    struct session_message *messages; /* of --message and --message-file, in their order; owned */
    char **owned;                     /* the memory of each that is from a file; NULL: of argv */
    size_t message_count;
    size_t longest;          /* bytes of the longest of them */
    int64_t retry_ms;        /* 0: a lost connection is the end */
    const char *producer;    /* --producer; NULL: none was named */
    const char *spool;       /* --spool; NULL: nothing is kept */
    const char *config_file; /* so */
    const char *need;        /* what was given and needs tlsmsg/1, in words; NULL: nothing */
    bool retries_first;      /* --retry was given: it holds for the first connection, too */
    bool quiet;
    bool verbose;
    bool probes;  /* --probe: no conversation */
    bool as_json; /* replies, or the probe */
};

/* Sets defaults; TLSMSG_OK or TLSMSG_ERR_NOMEM. */
enum tlsmsg_code client_settings_init(struct client_settings *settings, struct tlsmsg_error *err);
void client_settings_fini(struct client_settings *settings);

/* Whether what was taken goes together; names the producer where none was named. TLSMSG_OK or
 * TLSMSG_ERR_CONFIG. */
enum tlsmsg_code client_settings_check(struct client_settings *settings, struct tlsmsg_error *err);

/* For args_parse; user: the settings. */
enum tlsmsg_code client_settings_take(int id, const char *value, void *user,
                                      struct tlsmsg_error *err);

#endif
