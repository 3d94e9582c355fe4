/* What tests of the TLS transport share: certificates in a folder, configurations from options in
 * one line, and a bare OpenSSL client for what our own client never does. */
#ifndef SUPPORT_TLS_ENDS_H
#define SUPPORT_TLS_ENDS_H

#include <openssl/ssl.h>

#include "support/test_certs.h"
#include "support/test_folder.h"
#include "support/transport_pair.h"
#include "transport/tls/bio.h"

/* Enough turns for any handshake and a few messages; reaching it means that something hangs. */
#define TLS_STEPS 20000

/* A CA, a server ("localhost", 127.0.0.1, ::1) and a client ("CN=alice"), and their files
 * ca.crt, server.crt, server.key, alice.crt, alice.key. */
struct tls_files {
    struct test_folder folder;
    struct test_cert ca;
    struct test_cert server;
    struct test_cert alice;
};

void tls_files_make(struct tls_files *files);
void tls_files_remove(struct tls_files *files);

/* Makes a leaf of files->ca and writes NAME.crt and NAME.key. */
void tls_files_leaf(struct tls_files *files, const char *name, const struct test_cert_spec *spec);

/* Options from pairs of option and value, ended by TLSMSG_OPT_COUNT. Values of options that
 * name files are names in the folder, unless they begin with '/'. */
struct tlsmsg_options *tls_options(const struct tls_files *files, enum tlsmsg_role role, ...);

/* The same up to a configuration, made from scratch. Fails the test where it can't be made. */
struct transport_config *tls_config(const struct tls_files *files, enum tlsmsg_role role, ...);

/* A configuration in place of another, from options that are freed. */
struct transport_config *tls_config_from(struct tlsmsg_options *options,
                                         struct transport_config *previous);

/* A bare client over memory, joined to a server's transport. */
struct bare_client {
    SSL_CTX *ctx;
    SSL *ssl;
    SSL_SESSION *session; /* the last one it was given */
    unsigned tickets;     /* how many it was given */
    BIO_METHOD *method;
    struct source_link link;
    struct memory_pipe to_server;
    struct memory_pipe to_client;
    struct memory_source server_source;
    struct memory_source client_source;
    struct pair_end server;
};

/* version: TLS1_2_VERSION or TLS1_3_VERSION, and no other. */
void bare_client_init(struct bare_client *c, const struct tls_files *files, int version);
void bare_client_fini(struct bare_client *c);

/* Joins a new connection to a new transport of server. session: to resume, borrowed, or NULL. */
void bare_client_join(struct bare_client *c, struct transport_config *server, SSL_SESSION *session);

/* Ends the connection; ctx and session stay. */
void bare_client_part(struct bare_client *c);

/* Does the handshake on both sides; false where it failed on either. */
bool bare_client_handshake(struct bare_client *c);

/* Sends one message and waits for its echo; false where none came. */
bool bare_client_talk(struct bare_client *c, const char *message);

/* A bare server over memory, joined to a client's transport: for what our own server never does. */
struct bare_server {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO_METHOD *method;
    struct source_link link;
    struct memory_pipe to_server;
    struct memory_pipe to_client;
    struct memory_source server_source;
    struct memory_source client_source;
    struct pair_end client;
};

/* cert: shown, borrowed; version: the only one it speaks, 0 for any. */
void bare_server_init(struct bare_server *s, const struct test_cert *cert, int version);
void bare_server_join(struct bare_server *s, struct transport_config *client,
                      const char *server_name);
void bare_server_fini(struct bare_server *s);

/* Does the handshake on both sides; false where the client ended it. */
bool bare_server_handshake(struct bare_server *s);

#endif
