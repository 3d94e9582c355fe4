#include "store/postgresql_reach.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "base/decimal.h"
#include "base/error.h"

#define PORT_DEFAULT 5432

/* A parameter that names a file. Where libpq fills in a variable's value, it does so in its answer. */
static const struct {
    const char *keyword;
    const char *at_home; /* NULL: there is no default */
} named[] = {
    {"passfile", ".pgpass"},
    {"sslcert", ".postgresql/postgresql.crt"},
    {"sslkey", ".postgresql/postgresql.key"},
    {"sslrootcert", ".postgresql/root.crt"},
    {"sslcrl", ".postgresql/root.crl"},
    {"sslcrldir", NULL},
};

/* Where libpq was built to look for services' names, in Debian and in Fedora. */
static const char *const service_folders[] = {"/etc/postgresql-common", "/etc/sysconfig/pgsql"};

/* What sslrootcert=system means, in Debian and in Fedora. */
static const char *const system_roots[] = {"/usr/lib/ssl/certs/.", "/usr/share/ca-certificates/.",
                                           "/etc/pki/tls/certs/.", "/etc/pki/tls/cert.pem"};

/* All parameters as libpq has them: of the string, of the service that it names, of the environment.
 * Hosts that don't match their addresses keep it from connecting, and from looking at a home. */
static PQconninfoOption *parameters_of(const char *target)
{
    static const char *const keys[] = {"dbname", "host", "hostaddr", NULL};
    const char *const values[] = {target, "none", "127.0.0.1,127.0.0.1", NULL};
    PGconn *connection = PQconnectStartParams(keys, values, 1);
    PQconninfoOption *options = connection != NULL ? PQconninfo(connection) : NULL;

    PQfinish(connection);
    return options;
}

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    const char *value = NULL;

    for (; options->keyword != NULL; options++) {
        if (strcmp(options->keyword, keyword) == 0) {
            value = options->val;
        }
    }
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool add_file(struct store_reach *reach, const char *folder, const char *name)
{
    char path[PATH_MAX];

    if (reach->file_count == STORE_REACH_MAX ||
        snprintf(path, sizeof(path), "%s%s%s", folder, folder[0] != '\0' ? "/" : "", name) >=
            (int)sizeof(path)) {
        return true; /* no name that a file could have */
    }
    reach->files[reach->file_count] = strdup(path);
    if (reach->files[reach->file_count] == NULL) {
        return false;
    }
    reach->file_count++;
    return true;
}

static bool add_files(struct store_reach *reach, const char *home, const PQconninfoOption *options)
{
    bool has_memory = true;
    size_t i;

    for (i = 0; i < sizeof(named) / sizeof(named[0]) && has_memory; i++) {
        const char *value = value_of(options, named[i].keyword);

        if (value != NULL) {
            has_memory = add_file(reach, "", value);
        } else if (home != NULL && named[i].at_home != NULL) {
            has_memory = add_file(reach, home, named[i].at_home);
        }
    }
    for (i = 0; i < sizeof(system_roots) / sizeof(system_roots[0]) && has_memory; i++) {
        const char *value = value_of(options, "sslrootcert");

        has_memory =
            value == NULL || strcmp(value, "system") != 0 || add_file(reach, "", system_roots[i]);
    }
    return has_memory;
}

/* The files that may say what a service is, which are read at each connection: so it may name any
 * port. options: of the string alone, for a service's name is not among what libpq answers. */
static bool add_services(struct store_reach *reach, const char *home,
                         const PQconninfoOption *options)
{
    const char *file = value_of(options, "servicefile");
    const char *folder = getenv("PGSYSCONFDIR");
    bool has_memory = true;
    size_t i;

    if (value_of(options, "service") == NULL && getenv("PGSERVICE") == NULL) {
        return true;
    }
    reach->any_port = true;
    file = file != NULL ? file : getenv("PGSERVICEFILE");
    if (file != NULL) {
        has_memory = add_file(reach, "", file);
    } else if (home != NULL) {
        has_memory = add_file(reach, home, ".pg_service.conf");
    }
    if (folder != NULL) {
        return has_memory && add_file(reach, folder, "pg_service.conf");
    }
    for (i = 0; i < sizeof(service_folders) / sizeof(service_folders[0]); i++) {
        has_memory = has_memory && add_file(reach, service_folders[i], "pg_service.conf");
    }
    return has_memory;
}

/* "5432,5433,": an empty one is the default. */
static void add_ports(struct store_reach *reach, const char *ports)
{
    const char *end;
    uint64_t port;

    do {
        end = ports + strcspn(ports, ",");
        port = PORT_DEFAULT;
        if (reach->port_count == STORE_REACH_MAX ||
            (end > ports && !decimal_parse(ports, (size_t)(end - ports), 1, UINT16_MAX, &port))) {
            reach->any_port = true;
            return;
        }
        reach->ports[reach->port_count++] = (uint16_t)port;
        ports = end + 1;
    } while (*end != '\0');
}

bool pg_reach(const char *target, const char *home, struct store_reach *reach)
{
    PQconninfoOption *stated = PQconninfoParse(target, NULL);
    PQconninfoOption *options = parameters_of(target);
    bool has_memory = stated != NULL && options != NULL && add_files(reach, home, options) &&
                      add_services(reach, home, stated);
    const char *ports;

    if (has_memory && !reach->any_port) {
        ports = value_of(options, "port");
        add_ports(reach, ports != NULL ? ports : "");
    }
    PQconninfoFree(stated);
    PQconninfoFree(options);
    return has_memory;
}
