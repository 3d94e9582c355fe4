#!/bin/sh
# The picture in the README: a session that is really played, and recorded by termtosvg. The test
# of the README plays it again and compares what it sees with the picture's text.
set -eu
unset CDPATH

help() {
    cat <<'END'
Usage: picture.sh [OPTIONS]
Plays a session with the programs in the PATH, on localhost:12345, and draws the screen that it
leaves as docs/session.svg (needs Debian's termtosvg).

  --play      play it in this terminal, and draw nothing
  -h, --help  this text
END
}

# show COMMAND: as typed at a prompt, then run.
show() {
    printf '$ %s\n' "$1"
    eval "$1"
}

start_server() {
    show 'tlsmsg-server --config server.conf &'
    server=$!
    tries=0
    until tlsmsg-client --probe --ca ca.crt localhost >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ]; then
            echo "picture.sh: the server doesn't answer on localhost:12345" >&2
            exit 1
        fi
        sleep 0.1
    done
}

# shellcheck disable=SC2317,SC2329 # called by the trap
stop_server() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || :
        wait "$server" || :
    fi
}

# shellcheck disable=SC2016 # what is shown is as it would be typed
play() {
    folder=$(mktemp -d)
    server=
    trap 'stop_server; rm -rf "$folder"' EXIT
    cd "$folder"
    if ! "$scripts/gen-certs.sh" --name localhost --out . >log 2>&1; then
        cat log >&2
        exit 1
    fi
    printf '%s\n' 'cert server.crt' 'key server.key' 'store kept.db' 'reply got: {message}' quiet \
        >server.conf
    export LC_ALL=en_US.UTF-8

    show 'cat server.conf'
    start_server
    show 'tlsmsg-client --ca ca.crt -m "backup done" localhost'
    show 'seq 10000 | tlsmsg-client --ca ca.crt -q --producer seq localhost | wc -l'
    show 'kill -KILL $!'
    wait "$server" 2>/dev/null || :
    start_server
    show 'seq 10001 | tlsmsg-client --ca ca.crt -q --producer seq localhost | tail -n 1'
    show 'tlsmsg-store list kept.db | wc -l'
    show 'tlsmsg-store tail -n 3 kept.db'
}

draw() {
    for program in termtosvg tlsmsg-server tlsmsg-client tlsmsg-store; do
        if ! command -v "$program" >/dev/null; then
            echo "picture.sh: no '$program' in the PATH" >&2
            exit 1
        fi
    done
    frames=$(mktemp -d)
    trap 'rm -rf "$frames"' EXIT
    # termtosvg reads what is typed from a terminal of its own.
    script --quiet --return --command "termtosvg '$frames' --still-frames --screen-geometry 80x26 \
        --template gjm8 --command '$scripts/picture.sh --play'" /dev/null </dev/null >"$frames/log"
    last=$(grep --files-with-matches "tlsmsg-store tail" "$frames"/*.svg | sort | tail -n 1)
    cp "$last" "$scripts/../docs/session.svg"
}

scripts=$(cd "$(dirname "$0")" && pwd)
case "$#,${1-}" in
0,) draw ;;
1,--play) play ;;
1,-h | 1,--help) help ;;
*)
    echo "picture.sh: not an option: '$*' (--help lists them)" >&2
    exit 2
    ;;
esac
