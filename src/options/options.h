/* What the inner floors are told of an option object.
 *
 * Options are resolved once: who is made from them copies the object and takes plain structs from
 * the copy, defaults filled in, each value checked by itself. What values mean together, and what
 * is in the files that they name, is checked by whoever reads the fields. All texts and lists are
 * borrowed from the object. */
#ifndef OPTIONS_OPTIONS_H
#define OPTIONS_OPTIONS_H

#include <tlsmsg/options.h>

/* Most sockets that a server listens on, those that are handed over included. */
#define LISTENERS_MAX 32

/* The values of an option that may be set more than once. */
struct text_list {
    const char *const *items;
    size_t count;
};

/* The i-th value; NULL past the end. */
const char *text_list_at(const struct text_list *list, size_t i);

/* What a transport is configured from. A text is NULL where its option is unset. */
struct tls_settings {
    bool is_server;
    bool reloads; /* a configuration is in force already: no pipe is waited for */
    bool checks;  /* it is looked at alone: what may be as it should is said, too */
    struct text_list certs;
    struct text_list keys; /* by the index of their certificate; NULL, or past the end: the
                            * certificate's own file holds the key */
    const char *key_password_file;
    tlsmsg_ask_password_fn *ask_password; /* NULL: there is nobody to ask */
    void *ask_password_user;
    const char *crl;
    int tls_min; /* 12 or 13 */
    const char *keylog_file;
    tlsmsg_open_keylog_fn *open_keylog; /* NULL: it is opened by name */
    void *open_keylog_user;
    bool has_owner; /* of what is made by name; else the process's user */
    uid_t owner_uid;
    gid_t owner_gid;
    size_t pad_bytes; /* 0: no padding */

    /* A server's. */
    const char *client_ca;
    struct text_list allow;
    const char *allow_file;
    const char *ticket_keys;

    /* A client's. */
    const char *ca;
    struct text_list pins;
    bool trust_on_first_use;
    bool accept_new;
    const char *known_servers;
    tlsmsg_confirm_fn *confirm; /* NULL: there is nobody to ask */
    void *confirm_user;
    bool document_flow; /* tlsmsg/1 is not offered */
    const char *server; /* "host:port", for the records of first use; set by the client, which has
                         * parsed its address */
};

/* Times in milliseconds, 0: none. */
struct server_settings {
    struct text_list listen; /* empty where sockets were handed over and none was asked for */
    const int *listeners;    /* the sockets that were handed over */
    size_t listener_count;
    int64_t handshake_timeout_ms;
    int64_t idle_timeout_ms;
    int64_t write_timeout_ms;
    int64_t drain_timeout_ms;
    uint64_t max_connections; /* 0: what the descriptor limit allows */
    uint64_t max_per_address; /* 0: no limit; so the next two */
    uint64_t max_handshakes;
    uint64_t handshake_rate; /* per address and second */
    uint64_t accept;         /* conversations to serve; 0: no end */
    unsigned workers;        /* 0: one per processor */
    size_t recv_size_bytes;
    size_t max_message_bytes; /* of a numbered message */
    size_t max_buffered_bytes;
    int64_t keepalive_ms;
    size_t window;            /* numbered messages that may be unanswered */
    const char *reply_prefix; /* the reply's text before the message, and after it */
    const char *reply_suffix;
    size_t reply_prefix_len;
    size_t reply_suffix_len;
};

struct client_settings {
    const char *address;     /* as typed */
    const char *server_name; /* NULL: the address's host */
    int64_t timeout_ms;      /* to connect; 0: none */
    int64_t keepalive_ms;    /* 0: off */
    int64_t reply_timeout_ms;
    bool document_flow;
    const char *producer; /* NULL: none */
    size_t window;        /* 0: the server's */
};

void options_tls(const struct tlsmsg_options *o, struct tls_settings *out);
void options_server(const struct tlsmsg_options *o, struct server_settings *out);
void options_client(const struct tlsmsg_options *o, struct client_settings *out);

/* An independent copy; NULL when out of memory. */
struct tlsmsg_options *options_copy(const struct tlsmsg_options *o);

enum tlsmsg_role options_role(const struct tlsmsg_options *o);

#endif
