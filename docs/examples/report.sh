#!/bin/sh
# Runs a command and reports how it ended, as one message: for cron, whose mail nobody reads.
#
#   17 3 * * * /usr/local/bin/report.sh backup pg_dump -f /backup/db.sql db
#
# TLSMSG_SERVER and TLSMSG_CA name the server and its CA's certificate. With TLSMSG_SPOOL the report
# is kept in that file first, and sent now or by a later run.
set -u

if [ $# -lt 2 ]; then
    echo "usage: report.sh NAME COMMAND [ARGUMENT...]" >&2
    exit 2
fi
name=$1
shift

began=$(date +%s)
"$@"
status=$?
took=$(($(date +%s) - began))

if [ $status -eq 0 ]; then
    words="done after $took s"
else
    words="FAILED with $status after $took s"
fi
tlsmsg-client -q ${TLSMSG_CA:+--ca "$TLSMSG_CA"} ${TLSMSG_SPOOL:+--spool "$TLSMSG_SPOOL"} \
    -m "$(hostname): $name $words" "$TLSMSG_SERVER" >/dev/null
sent=$?
# 7: kept in the spool. Any other failure is left to cron, which mails what was on stderr.
if [ $status -eq 0 ] && [ $sent -ne 7 ]; then
    status=$sent
fi
exit $status
