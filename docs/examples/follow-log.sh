#!/bin/sh
# Sends each line that is appended to a log file, also after the log was rotated. While the server is
# away, lines wait in a spool; they are delivered once it is back, each line once.
# Lines that are written while this doesn't run are missed: run it as a service that restarts.
#
#   follow-log.sh /var/log/nginx/error.log
#
# TLSMSG_SERVER and TLSMSG_CA name the server and its CA's certificate, TLSMSG_SPOOL the spool.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: follow-log.sh FILE" >&2
    exit 2
fi
# The client tries to connect for a week. After that it ends, and the rest stays in the spool.
tail -n 0 -F -- "$1" |
    tlsmsg-client -q ${TLSMSG_CA:+--ca "$TLSMSG_CA"} --spool "$TLSMSG_SPOOL" --retry 604800 \
        "$TLSMSG_SERVER" >/dev/null
