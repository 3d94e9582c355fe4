#!/usr/bin/env bash
# Compares the server with its peers, with plain TCP and with TLS alone in memory, in one run, and
# prints Markdown. Each round measures every contender once per column, in turn (A B C A B C), so
# that a machine that slows down slows all of them; ratios are taken within a round.
# What is measured, and what it does not say: docs/performance.md.
# shellcheck disable=SC2034,SC2154 # variables shared with tests/bench/peers/peers.sh
set -euo pipefail

usage() {
    cat <<'END'
Usage: scripts/bench.sh [OPTION]...
  --install          install missing peers with apt-get first; nothing is upgraded, and
                     nothing is started as a service
  --quick            short windows, two rounds: under three minutes, for a first look
  --rounds N         rounds of all columns (5; quick 2)
  --seconds T        measured time of one window (2; quick 0.4)
  --pin              servers on processor 0, the client on processor 1
  --workers N        workers or threads of each server that has the choice (1)
  --idle N           connections of the idle column (2000; quick 500)
  --only A,B,..      these contenders: ours ours-log ours-plain floor memory reference numbered
                     sha256 go nginx node python haproxy hitch stunnel; ours-store
                     ours-postgresql ours-replicated log mosquitto nats
  --columns A,B,..   these columns: 1x1x64 64x1x64 64x16x64 16x1x1000 full resumed idle, or
                     others of connections x messages in flight x bytes; behind each may stand
                     +numbered or +producer for tlsmsg/1 (without or with a producer's name)
  --numbered         tlsmsg/1 instead of the table: each of its works beside the document's, messages
                     of 1 MiB, the least that a server has to do for them, SHA-256 alone
  --instructions     the same works counted in instructions by valgrind, and nothing else: against
                     the reference, or with --numbered against the document's flow
  --transcript       also ours with its transcript going to a file
  --store            what a store costs instead: ours with its transcript alone, with --store in a
                     file, in PostgreSQL, and there with a synchronous standby (on this machine), an
                     own log that is synced (the floor), Mosquitto at QoS 1, NATS JetStream; rate,
                     CPU of the server alone, bytes written and latency. The files lie in TMPDIR
  --build DIR        a build with TLSMSG_BENCH=ON, used as it is (else build/bench is built)
  --build-plain DIR  a build with TLSMSG_PLAINTEXT=ON (else build/bench-plain is built)
  --svg FILE         draw the table (needs gnuplot)
  --raw FILE         keep every single result, one JSON object a line
  --goals            say which goals are met
Exit: 0 done, 1 a goal is missed (--goals) or something failed, 2 usage.
  -h, --help
END
}

fail() {
    printf 'bench.sh: %s\n' "$*" >&2
    exit 1
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
peers_dir=$root/tests/bench/peers
build_dir='' plain_dir='' svg='' raw='' rounds='' seconds='' idle=''
install=0 quick=0 pin=0 goals=0 transcript=0 store=0 instructions=0 numbered=0 workers=1 only='' columns=''

while [ $# -gt 0 ]; do
    case $1 in
    --install) install=1 ;;
    --quick) quick=1 ;;
    --pin) pin=1 ;;
    --goals) goals=1 ;;
    --transcript) transcript=1 ;;
    --instructions) instructions=1 ;;
    --numbered)
        numbered=1
        only=ours,numbered,sha256
        columns=64x1x64,64x1x64+numbered,64x1x64+producer
        columns=$columns,64x16x64,64x16x64+numbered,64x16x64+producer
        columns=$columns,16x1x1000,16x1x1000+numbered,16x1x1000+producer
        columns=$columns,4x1x1048576+producer,idle,idle+numbered
        ;;
    --store) store=1 ;;
    --rounds | --seconds | --workers | --idle | --only | --columns | --build | --build-plain | \
        --svg | --raw)
        [ $# -gt 1 ] || fail "$1 needs a value (--help)"
        case $1 in
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        --workers) workers=$2 ;;
        --idle) idle=$2 ;;
        --only) only=$2 ;;
        --columns) columns=$2 ;;
        --build) build_dir=$2 ;;
        --build-plain) plain_dir=$2 ;;
        --svg) svg=$2 ;;
        --raw) raw=$2 ;;
        esac
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        printf 'bench.sh: unknown option %s (--help)\n' "$1" >&2
        exit 2
        ;;
    esac
    shift
done

for number in "${rounds:-1}" "$workers" "${idle:-1}"; do
    [[ $number =~ ^[1-9][0-9]{0,5}$ ]] || fail "not a count: $number (--help)"
done
[[ ${seconds:-1} =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail "not a time: $seconds (--help)"
if [ "$quick" = 1 ]; then
    rounds=${rounds:-2} seconds=${seconds:-0.4}
    warmup=0.1 settle=0.3 idle_connections=${idle:-500} idle_rounds=1
else
    rounds=${rounds:-5} seconds=${seconds:-2}
    warmup=0.5 settle=1 idle_connections=${idle:-2000} idle_rounds=3
fi
if [ "$store" = 1 ]; then
    only=${only:-ours,ours-log,ours-store,ours-postgresql,ours-replicated,log,mosquitto,nats}
    columns=${columns:-1x1x64,64x1x64,64x16x64,1000x1x64,16x1x16000}
fi
only=${only:-ours,ours-plain,floor,memory,reference,go,nginx,node,python,haproxy,hitch,stunnel}
columns=${columns:-1x1x64,64x1x64,64x16x64,16x1x1000,full,resumed,idle}
[ "$transcript" = 0 ] || only=$only,ours-log

# Installs what is missing and upgrades nothing: another OpenSSL under the server would be another
# measurement, and the machine may be shared.
install_peers() {
    local name missing=() wanted
    wanted=(nginx libnginx-mod-stream libnginx-mod-stream-js haproxy hitch stunnel4 golang-go nodejs
        python3 openssl)
    [ -z "$svg" ] || wanted+=(gnuplot-nox)
    [ "$store" = 0 ] || wanted=(mosquitto nats-server python3 openssl libsqlite3-dev libpq-dev
        postgresql)
    for name in "${wanted[@]}"; do
        dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed ||
            missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    printf 'bench.sh: installing with apt-get: %s\n' "${missing[*]}" >&2
    # Debian starts what it installs unless this file says no (invoke-rc.d(8)); clean_up removes it.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy_made=1
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee /usr/sbin/policy-rc.d >/dev/null
        "${as_root[@]}" chmod 755 /usr/sbin/policy-rc.d
    fi
    if ! "${as_root[@]}" apt-get update >&2 ||
        ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-upgrade \
            --no-install-recommends "${missing[@]}" >&2; then
        fail 'apt-get could not install the peers'
    fi
    remove_policy
}

remove_policy() {
    [ "$policy_made" = 0 ] || "${as_root[@]}" rm -f /usr/sbin/policy-rc.d
    policy_made=0
}

build_one() { # DIR CMAKE-OPTION...
    local folder=$1
    shift
    {
        cmake -S "$root" -B "$folder" -DCMAKE_BUILD_TYPE=Release -DTLSMSG_TESTS=OFF "$@" &&
            cmake --build "$folder" --parallel "$(nproc)"
    } >"$work_dir/build.log" 2>&1 && return 0
    tail -n 20 "$work_dir/build.log" >&2
    fail "cannot build $folder"
}

build_go() {
    local source=$peers_dir/go program=$bench_dir/bench-go
    command -v go >/dev/null || return 0
    [ ! "$program" -nt "$source/main.go" ] || return 0
    (cd "$source" && CGO_ENABLED=0 go build -trimpath -o "$program" .) ||
        printf 'bench.sh: the Go peer could not be built\n' >&2
}

make_certificate() {
    cert=$work_dir/cert.pem key=$work_dir/key.pem pem=$work_dir/both.pem
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
        -subj /CN=localhost -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' \
        -keyout "$key" -out "$cert" 2>/dev/null || fail 'openssl cannot make a certificate'
    cat "$cert" "$key" >"$pem"
}

# Ends a server's processes by their ids and waits for them, five seconds at most.
stop_pids() {
    local pid tries
    for pid in "$@"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "$@"; do
        for ((tries = 0; tries < 100; tries++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.05
        done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}

clean_up() {
    trap '' INT TERM
    [ ${#started_pids[@]} = 0 ] || stop_pids "${started_pids[@]}"
    remove_policy
    rm -rf "$work_dir"
}

# Starts a contender and asks it for one right reply.
start() { # NAME
    local tries
    if ! "start_$1"; then
        printf 'bench.sh: %s does not start; left out\n' "$1" >&2
        return 1
    fi
    port_of[$1]=$port
    pids_of[$1]=$pids
    for ((tries = 0; tries < 50; tries++)); do
        if bench_client "$1" message -c 1 --messages 1 --timeout 2 >"$work_dir/probe" 2>&1; then
            return 0
        fi
        sleep 0.1
    done
    printf 'bench.sh: %s gives no right reply; left out:\n' "$1" >&2
    tail -n 3 "$work_dir/probe" "$work_dir/$1.log" >&2 || true
    return 1
}

restart() { # NAME
    # shellcheck disable=SC2086 # a list of ids
    stop_pids ${pids_of[$1]}
    start "$1"
}

is_plain() {
    [ "$1" = floor ] || [ "$1" = ours-plain ]
}

bench_client() { # NAME MODE OPTION...
    local name=$1 mode=$2 flags=() pid
    shift 2
    for pid in ${pids_of[$name]}; do
        flags+=(--server-pid "$pid")
    done
    ! is_plain "$name" || flags+=(--plain)
    [ "$name" != ours-plain ] || flags+=(--any-cut)
    [ "$name" != numbered ] || flags+=(--numbered)
    [ "$name" != mosquitto ] || flags+=(--mqtt)
    [ "$name" != nats ] || flags+=(--nats)
    "${client_prefix[@]}" "$bench_dir/tlsmsg-bench" "$mode" --json "${flags[@]}" "$@" \
        "127.0.0.1:${port_of[$name]}"
}

# Arguments of a column, in `work`; the words before the first option are the mode.
column_work() { # COLUMN
    local c d s
    case ${1%+*} in
    full) work=(handshake -c 8) ;;
    resumed) work=(handshake -c 8 --resume) ;;
    idle) work=(idle -c "$idle_connections" --settle "$settle") ;;
    *x*x*)
        IFS=x read -r c d s <<<"${1%+*}"
        work=(message -c "$c" -d "$d" -s "$s")
        ;;
    *) fail "unknown column $1 (--help)" ;;
    esac
    case $1 in
    *+numbered | *+producer) work+=("--${1#*+}") ;;
    *+*) fail "unknown column $1 (--help)" ;;
    esac
}

# Whether a contender has a figure in a column: who speaks tlsmsg/1, and who nothing else.
has_column() { # NAME COLUMN
    case $1,$2 in
    ours,* | ours-log,* | numbered,*+*) return 0 ;;
    sha256,*x*+producer) return 0 ;;
    sha256,* | numbered,* | *+*) return 1 ;;
    floor,full | floor,resumed | ours-plain,full | ours-plain,resumed) return 1 ;;
    esac
}

measure_memory() { # COLUMN
    local flags=("${work[@]}")
    case $1 in
    full | resumed) flags=(handshake "${work[@]:3}") ;;
    idle) flags=(idle) ;;
    esac
    "${server_prefix[@]}" "$bench_dir/bench-memory" "${flags[@]}" --json -t "$seconds" \
        --cert "$cert" --key "$key"
}

measure() { # NAME COLUMN
    if [ "$1" = memory ]; then
        measure_memory "$2"
    elif [ "$1" = sha256 ]; then
        "${server_prefix[@]}" "$bench_dir/bench-memory" digest --json -t "$seconds" -s "${work[6]}"
    elif [ "${2%+*}" = idle ]; then
        bench_client "$1" "${work[@]}"
    else
        bench_client "$1" "${work[@]}" -t "$seconds" -w "$warmup"
    fi
}

# One cell of one round, as one line of the results.
record() { # NAME COLUMN ROUND
    local result
    has_column "$1" "$2" || return 0
    if [ "${2%+*}" = idle ] && [ "$1" != memory ] && ! restart "$1"; then
        return 0
    fi
    if result=$(measure "$1" "$2" 2>"$work_dir/error"); then
        printf '{"contender":"%s","column":"%s","round":%d,"result":%s}\n' "$1" "$2" "$3" \
            "$result" >>"$results"
    else
        printf 'bench.sh: %s, %s: %s\n' "$1" "$2" "$(tail -n 1 "$work_dir/error")" >&2
    fi
    [ "$1" != ours-log ] || : >"$work_dir/transcript"
    # Empty again, so that no window fills the disk; a start that fails has said so.
    [ "$1" != nats ] || restart nats || true
}

work_dir=$(mktemp -d "${TMPDIR:-/tmp}/tlsmsg-bench.XXXXXX")
chmod 755 "$work_dir" # workers that give up root still open their configuration's folder
declare -A port_of=() pids_of=() databases=()
started_pids=() work=() server_prefix=() client_prefix=() as_root=() policy_made=0
nats_note=''
results=$work_dir/results.jsonl
: >"$results"
trap clean_up EXIT
trap 'exit 130' INT TERM

[ "$install" = 0 ] || install_peers
if [ -z "$build_dir" ]; then
    build_dir=$root/build/bench
    sqlite=OFF libpq=OFF
    [[ ",$only," != *,ours-store,* ]] || sqlite=ON
    [ $sqlite = OFF ] || ! pkg-config --exists libpq || libpq=ON
    build_one "$build_dir" -DTLSMSG_BENCH=ON -DTLSMSG_SQLITE=$sqlite -DTLSMSG_POSTGRESQL=$libpq
fi
if [ -z "$plain_dir" ]; then
    plain_dir=$root/build/bench-plain
    [[ ",$only,$instructions" != *,ours-plain,*0 ]] || build_one "$plain_dir" -DTLSMSG_PLAINTEXT=ON
fi
# Go builds into it from its own folder.
bench_dir=$(dirname "$(find "$(realpath "$build_dir")" -name tlsmsg-bench -type f -perm -u+x | head -n 1)")
[ -x "$bench_dir/tlsmsg-bench" ] || fail "$build_dir holds no tlsmsg-bench (TLSMSG_BENCH=ON)"

if [ "$instructions" = 1 ]; then
    counted=(python3 -B "$root/tests/bench/instructions.py" --build "$build_dir")
    [ "$numbered" = 0 ] || counted+=(--numbered)
    [ "$goals" = 0 ] || counted+=(--goals)
    "${counted[@]}"
    exit
fi

# Debian's own interpreter where there is one: another may bring another OpenSSL.
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3) || fail 'python3 is needed'
nginx_modules=/usr/lib/nginx/modules
stunnel_program=$(command -v stunnel4 || command -v stunnel || echo stunnel4)
hitch_user=''
[ "$(id -u)" != 0 ] || hitch_user=nobody
# shellcheck source=/dev/null
. "$peers_dir/peers.sh"

# haproxy needs two files a connection, nginx three.
ulimit -Hn 65536 2>/dev/null || true
ulimit -Sn "$(ulimit -Hn)"
proxy_connections=$((($(ulimit -n) - 100) / 2))
if [ "$pin" = 1 ]; then
    [ "$(nproc)" -ge 2 ] || fail '--pin needs two processors'
    server_prefix=(taskset -c 0)
    client_prefix=(taskset -c 1)
fi
make_certificate
[[ ",$only," != *,go,* ]] || build_go

running=()
for name in ${only//,/ }; do
    contender_present "$name" || continue
    if [ "$name" = memory ] || [ "$name" = sha256 ] || start "$name"; then
        running+=("$name")
    fi
done
[ ${#running[@]} -gt 0 ] || fail 'nothing to measure'

for ((round = 1; round <= rounds; round++)); do
    printf 'bench.sh: round %d of %d\n' "$round" "$rounds" >&2
    for column in ${columns//,/ }; do
        [ "${column%+*}" != idle ] || [ "$round" -le "$idle_rounds" ] || continue
        column_work "$column"
        for name in "${running[@]}"; do
            record "$name" "$column" "$round"
        done
    done
done

[ -z "$raw" ] || cp "$results" "$raw"
table=("$python" "$root/tests/bench/tabulate.py" "$results")
[ "$goals" = 0 ] || table+=(--goals)
[ "$store" = 0 ] || table+=(--store --note "files on: $(stat -f -c %T "$work_dir")")
[ -z "$nats_note" ] || table+=(--note "$nats_note")
[ "$pin" = 0 ] || table+=(--note "pinned: servers on processor 0, client on processor 1")
table+=(--note "workers: $workers; window: $seconds s after $warmup s of warm-up; rounds: $rounds")
[ "$store" = 1 ] || table+=(--note "idle connections: $idle_connections")
status=0
"${table[@]}" || status=$?
if [ -n "$svg" ]; then
    command -v gnuplot >/dev/null || fail '--svg needs gnuplot (Debian: gnuplot-nox)'
    mkdir -p "$work_dir/plot"
    "${table[@]}" --plot-data "$work_dir/plot"
    gnuplot -e "folder='$work_dir/plot'; target='$svg'" "$root/tests/bench/plot.gp" ||
        fail "gnuplot could not draw $svg"
fi
[ "$status" = 0 ]
