/* tlsmsg-client run within a test: its arguments and its stdin are given, a scripted server talks to
 * it, and all that it prints is compared whole.
 *
 * A server's script is a list of steps, played by a thread of its own:
 *     accept      a connection, with its handshake       hello      the client's greeting, noted
 *     <TEXT       expects TEXT                            >TEXT      says TEXT
 *     end         expects the client's end, in order      close      ends in order
 *     cut         ends without close_notify               reset      resets
 *     refuse      a connection whose handshake fails here
 *     fin         close_notify alone                      leave      the rest of close
 *     go          the client, held between connecting and talking, may go on
 *     usr1        SIGUSR1 to the client                   late N     the clock is N ms later
 *     cont        SIGCONT to the client                   deaf       no more connections
 *     shown TEXT  waits until the client has printed TEXT, on stderr or on its terminal
 * After end, close, cut and reset another connection can be accepted. */
#ifndef SUPPORT_CLIENT_RUN_H
#define SUPPORT_CLIENT_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "support/test_peer.h"

#define CLIENT_RUN_ARGS 12
#define CLIENT_RUN_STEPS 24

enum client_stdin {
    STDIN_FILE,     /* a regular file */
    STDIN_PIPE,     /* whose writer is gone */
    STDIN_OPEN,     /* a pipe whose writer is there */
    STDIN_TERMINAL, /* with stdout and stderr, on which it was typed in advance */
    STDIN_FOLDER,   /* cannot be read */
};

struct client_run {
    const char *name;
    const char *args
        [CLIENT_RUN_ARGS]; /* behind --ca; "@NAME": a file of the test's own, "CERT": the server's */
    enum client_stdin kind;
    const char *input;
    size_t input_len; /* 0: the whole text */
    bool full_stdout; /* takes nothing */
    bool is_watched;  /* stderr is a terminal that takes colours, stdout is none */
    bool is_held;     /* until the script says go */
    bool is_strict;   /* the server wants a certificate of the client */
    const char *steps[CLIENT_RUN_STEPS];
    int exit;
    const char *out;      /* NULL: nothing */
    const char *err;      /* a '*' stands for what a line has there */
    long left_at;         /* where stdin stands afterwards, of a file */
    void (*before)(void); /* NULL: nothing is to be done first */
    bool is_alone;        /* no address is given */
    const char *address; /* how the server is asked for, with %u for its port; NULL: 127.0.0.1:%u */
    bool by_system;      /* the CA is the system's, and --ca is not given */
};

/* What the last run has left. */
struct client_ran {
    int exit;
    long left_at;
    char out[16384];
    char err[16384];
    char hello[128];
};

/* What a client prints of a connection to the scripted server, each line begun by its name. */
#define CLIENT_RUN_CONNECTION                                                                      \
    "tlsmsg-client: address: 127.0.0.1:*\n"                                                        \
    "tlsmsg-client: version: TLSv1.3\n"                                                            \
    "tlsmsg-client: cipher: TLS_*\n"                                                               \
    "tlsmsg-client: group: X25519*\n"                                                              \
    "tlsmsg-client: resumed: no\n"                                                                 \
    "tlsmsg-client: certificate: CN=server\n"                                                      \
    "tlsmsg-client: names: localhost, 127.0.0.1\n"                                                 \
    "tlsmsg-client: expires: 20*-*-*, * days left\n"                                               \
    "tlsmsg-client: pin: sha256//*=\n"

#define CLIENT_RUN_PROMPT "Enter a message ('exit' to leave): "
#define CLIENT_RUN_REPLY "Reply received: "

/* Makes and removes what all runs of a program share; for cmocka's group functions. */
int client_run_setup(void **state);
int client_run_teardown(void **state);

/* The path of a file in a folder of the test's own. */
const char *client_run_path(const char *name);

/* "127.0.0.1:PORT" of the server, for what a run does before. */
const char *client_run_address(void);

/* Runs it and fails the test where a step went wrong. Valid until the next run. */
const struct client_ran *client_run(const struct client_run *run);

/* In the next run the nth sync of a file fails; 0: none. Returns how many there were since the last
 * call. */
unsigned client_run_fail_sync(unsigned nth);

/* The same where the client may end before the script does, and what it leaves of that is no failure. */
const struct client_ran *client_run_cut_short(const struct client_run *run);

/* The same, and compares what it left; the second for RUN_ROWS. */
void client_run_expect(const struct client_run *run);
void client_run_row(void **state);

#endif
