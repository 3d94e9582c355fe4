#!/bin/sh
# From a bare machine to a conversation over TLS: set-up, build, certificates, a server on a free
# port, and the client in the foreground. Arguments go to the client, and so does standard input.
# stdout is the client's alone; its exit code is this script's. The server ends with it.
set -eu
unset CDPATH

top=$(cd "$(dirname "$0")/.." && pwd)
build=$top/build/run
exec 3>&1 4<&0 1>&2 </dev/null

if [ $# -eq 1 ] && { [ "$1" = -h ] || [ "$1" = --help ]; }; then
    cat >&3 <<'END'
Usage: run.sh [CLIENT OPTIONS]
Installs what is missing, builds, makes certificates, starts a server on a free port and runs the
client against it, with these options: run.sh -m hello, or echo hello | run.sh
--lang zh|en is the language of both.
END
    exit 0
fi

# The last --lang of the client's options, for the server too; its form is checked by the programs.
lang=
before=
for word in "$@"; do
    case $before in --lang) lang=$word ;; esac
    case $word in --lang=*) lang=${word#--lang=} ;; esac
    before=$word
done

# quietly WHAT COMMAND...: the command's words are shown when it fails.
quietly() {
    what=$1
    shift
    if ! "$@" >"$build/log" 2>&1; then
        cat "$build/log"
        echo "run.sh: $what failed"
        exit 1
    fi
}

# Says how far the build is: each second in one line of a terminal, in a file after one second and then
# each five. A build that is done within the first says nothing.
progress() {
    seconds=0
    while sleep 1; do
        seconds=$((seconds + 1))
        part=$(sed -n 's/^\[ *\([0-9/]*%*\)\].*/\1/p' "$build/log" | tail -n 1)
        if [ -t 2 ]; then
            printf '\rrun.sh: building in %s: %s \033[K' "$build" "$part"
        elif [ $((seconds % 5)) -eq 1 ]; then
            echo "run.sh: building in $build: $part"
        fi
    done
}

server=
client=
ticker=
# shellcheck disable=SC2317,SC2329 # called by the trap
stop() {
    trap '' INT TERM HUP
    for pid in $client $server $ticker; do
        kill -TERM "$pid" 2>/dev/null || :
    done
    tries=0
    while [ -n "$server" ] && kill -0 "$server" 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ]; then
            kill -KILL "$server" 2>/dev/null || :
            break
        fi
        sleep 0.1
    done
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

"$top/scripts/setup.sh" --programs
mkdir -p "$build"
: >"$build/log"
progress 3>&- 4<&- &
ticker=$!
quietly 'configuring the build' cmake -S "$top" -B "$build" -DTLSMSG_TESTS=OFF
quietly 'building' cmake --build "$build" --parallel "$(nproc)"
kill "$ticker"
ticker=
if [ -t 2 ]; then
    printf '\r\033[K'
fi
quietly 'making certificates' "$top/scripts/gen-certs.sh" --out "$top/certs"

"$build/tlsmsg-server" --listen 127.0.0.1:0 --cert "$top/certs/server.crt" \
    --key "$top/certs/server.key" ${lang:+--lang "$lang"} >"$build/transcript.txt" 2>"$build/server.log" 3>&- 4<&- &
server=$!

address=
tries=0
while [ -z "$address" ]; do
    tries=$((tries + 1))
    if ! kill -0 "$server" 2>/dev/null || [ "$tries" -gt 100 ]; then
        cat "$build/server.log"
        echo "run.sh: the server did not start"
        exit 1
    fi
    sleep 0.1
    address=$(sed -n 's/^tlsmsg-server: listening on \(127\.0\.0\.1:[0-9]*\)$/\1/p' \
        "$build/server.log")
done
echo "run.sh: server on $address, transcript in $build/transcript.txt, log in $build/server.log"

# In the background, so that a signal reaches this script at once; it ends the client.
"$build/tlsmsg-client" --ca "$top/certs/ca.crt" "$@" "$address" >&3 <&4 3>&- 4<&- &
client=$!
code=0
wait "$client" || code=$?
client=
exit "$code"
