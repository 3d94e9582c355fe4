#!/bin/sh
# Mixes well-behaved and hostile clients for MINUTES against a server on loopback, with reloads, and
# ends with a verdict: lost messages, descriptors, the slope of its memory, its exit code.
set -eu
unset CDPATH
cd "$(dirname "$0")/.."

case ${1-} in
'' | -h | --help)
    echo "Usage: soak.sh MINUTES [BUILD_DIR]   (default: build/run; scripts/run.sh makes it)"
    [ -n "${1-}" ] || exit 2
    exit 0
    ;;
esac
build=${2:-build/run}
if [ ! -x "$build/tlsmsg-server" ]; then
    echo "soak.sh: no tlsmsg-server in '$build' (scripts/run.sh builds one)" >&2
    exit 2
fi
TLSMSG_BUILD_DIR=$(cd "$build" && pwd) exec python3 -B tests/support/soak.py "$1"
