/* The command line of tlsmsg-server. */
#ifndef APP_SERVER_OPTIONS_H
#define APP_SERVER_OPTIONS_H

#include "app/args.h"
#include "app/phrases.h"
#include "app/server/log.h"
#include "app/server/sandbox.h"
#include "app/server/storing.h"
#include "app/server/transcript.h"

extern const struct args_table server_options;

struct server_settings {
    struct tlsmsg_options *options; /* owned */
    const struct phrases *phrases;
    size_t help_language;
    enum transcript_format format;
    enum tlsmsg_log_level log_level;
    enum log_format log_format;
    const char *transcript_file; /* borrowed, NULL: stdout */
    const char *metrics_file;    /* borrowed, NULL: none; so the next */
    const char *user;
    const char *config_file;
    struct storing_settings storing;
    struct sandbox sandbox;   /* the files that the options name */
    struct store_reach reach; /* of a store in a database; owned */
    bool quiet;
    bool check;
    bool has_store_option; /* one that says nothing without --store */
    bool has_file_option;  /* one that a store in a database doesn't take */
};

/* Sets defaults; TLSMSG_OK or TLSMSG_ERR_NOMEM. */
enum tlsmsg_code server_settings_init(struct server_settings *settings, struct tlsmsg_error *err);
void server_settings_fini(struct server_settings *settings);

/* For args_parse; user: the settings. */
enum tlsmsg_code server_settings_take(int id, const char *value, void *user,
                                      struct tlsmsg_error *err);

/* When all is taken: adds the files that the options name. TLSMSG_OK, or TLSMSG_ERR_CONFIG when
 * they are too many, or one that is written is another's, too. */
enum tlsmsg_code server_settings_finish(struct server_settings *settings, struct tlsmsg_error *err);

/* True when an address of the server has a port that the system chose. A name can stand for several
 * addresses, so values of --listen and addresses don't match one to one: it has where some --listen
 * has port 0 and none names this one. */
bool server_port_is_chosen(const struct tlsmsg_options *options, const char *address);

#endif
