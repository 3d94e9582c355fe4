#!/bin/sh
# Sends what is appended to a log file, line by line, also across the log's rotation. What the
# server can't take now waits in a spool and is delivered once it is back, each line once.
# Lines that are written while this doesn't run are not seen: run it as a service that restarts.
#
#   follow-log.sh /var/log/nginx/error.log
#
# TLSMSG_SERVER and TLSMSG_CA name the server and its CA's certificate, TLSMSG_SPOOL the spool.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: follow-log.sh FILE" >&2
    exit 2
fi
# A week of trying again: longer, and the client ends with what is left in the spool.
tail -n 0 -F -- "$1" |
    tlsmsg-client -q ${TLSMSG_CA:+--ca "$TLSMSG_CA"} --spool "$TLSMSG_SPOOL" --retry 604800 \
        "$TLSMSG_SERVER" >/dev/null
