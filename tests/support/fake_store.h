/* A connection of the store to a scripted engine: made ready, and given up after each test. */
#ifndef SUPPORT_FAKE_STORE_H
#define SUPPORT_FAKE_STORE_H

#include "store/postgresql_db.h"
#include "support/fake_libpq.h"
#include "support/unit.h"

#define FAKE_TARGET "postgresql://u@a/d"
#define FAKE_ENGINE "1790000000.5" /* when it was started */

/* The start of each connection, but for what it prepares. */
#define FAKE_START                                                                                 \
    {FAKE_CONNECT(FAKE_TARGET, "read-write"), .rows = "a|192.0.2.1|5432"},                         \
        {FAKE_IDENTIFY, .rows = FAKE_PID "|" FAKE_ENGINE}, {FAKE_SET_UP, .rows = "on"},            \
    {                                                                                              \
        FAKE_PLANNING, .rows = "off"                                                               \
    }

/* Asks for the tables, which a store's comment tells; and makes them. */
#define FAKE_MARK "tlsmsg store, schema 1"
#define FAKE_FIND                                                                                  \
    "SELECT coalesce(obj_description(oid, 'pg_namespace'), ''), has_schema_privilege(oid, "        \
    "'USAGE'), current_user FROM pg_namespace WHERE nspname = 'tlsmsg'"
#define FAKE_MAKE                                                                                  \
    {.sent = "BEGIN"}, {"SELECT pg_advisory_xact_lock(1953264493)", .rows = ""},                   \
        {FAKE_FIND, .rows = ""}, {.sent = "CREATE SCHEMA tlsmsg"},                                 \
        {.sent = "COMMENT ON SCHEMA tlsmsg IS '" FAKE_MARK "'"},                                   \
        {.sent = "CREATE TABLE tlsmsg.producer(*"}, {.sent = "CREATE TABLE tlsmsg.run(*"},         \
        {.sent = "CREATE TABLE tlsmsg.message(*"},                                                 \
        {.sent = "COMMENT ON COLUMN tlsmsg.message.follows IS *"},                                 \
        {.sent = "CREATE VIEW tlsmsg.messages *"},                                                 \
        {.sent = "CREATE FUNCTION tlsmsg.has_standby() *"},                                        \
        {.sent = "REVOKE ALL ON FUNCTION tlsmsg.has_standby() FROM PUBLIC"},                       \
    {                                                                                              \
        "COMMIT", .status = "COMMIT"                                                               \
    }

/* A hash as text, of its byte's two digits. */
#define FAKE_HASH(digits) FAKE_8(digits) FAKE_8(digits) FAKE_8(digits) FAKE_8(digits)
#define FAKE_8(digits) digits digits digits digits digits digits digits digits

/* user: how often it may still be asked. */
static inline bool fake_has_ended(void *user)
{
    int *left = user;

    return (*left)-- <= 0;
}

#endif
