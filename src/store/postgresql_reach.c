#include "store/postgresql_reach.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "base/decimal.h"
#include "base/error.h"

#define PORT_DEFAULT 5432

/* A parameter that names a file. */
static const struct {
    const char *keyword;
    const char *variable;
    const char *at_home; /* NULL: there is no default */
} named[] = {
    {"passfile", "PGPASSFILE", ".pgpass"},
    {"sslcert", "PGSSLCERT", ".postgresql/postgresql.crt"},
    {"sslkey", "PGSSLKEY", ".postgresql/postgresql.key"},
    {"sslrootcert", "PGSSLROOTCERT", ".postgresql/root.crt"},
    {"sslcrl", "PGSSLCRL", ".postgresql/root.crl"},
    {"sslcrldir", "PGSSLCRLDIR", NULL},
};

static const char *value_of(const PQconninfoOption *options, const char *keyword,
                            const char *variable)
{
    const char *value = NULL;

    for (; options->keyword != NULL; options++) {
        if (strcmp(options->keyword, keyword) == 0) {
            value = options->val;
        }
    }
    return value != NULL && value[0] != '\0' ? value : getenv(variable);
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
    return reach->files[reach->file_count] != NULL && ++reach->file_count > 0;
}

static bool add_files(struct store_reach *reach, const char *home, const PQconninfoOption *options)
{
    bool has_memory = true;
    size_t i;

    for (i = 0; i < sizeof(named) / sizeof(named[0]) && has_memory; i++) {
        const char *value = value_of(options, named[i].keyword, named[i].variable);

        if (value != NULL) {
            has_memory = add_file(reach, "", value);
        } else if (home != NULL && named[i].at_home != NULL) {
            has_memory = add_file(reach, home, named[i].at_home);
        }
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
    PQconninfoOption *options = PQconninfoParse(target, NULL);
    bool has_memory = options != NULL && add_files(reach, home, options);
    const char *ports;

    if (has_memory) {
        /* A service's file may name any port. */
        reach->any_port = value_of(options, "service", "PGSERVICE") != NULL;
        ports = value_of(options, "port", "PGPORT");
        add_ports(reach, ports != NULL ? ports : "");
    }
    PQconninfoFree(options);
    return has_memory;
}
