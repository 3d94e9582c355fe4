# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # variables shared with the script that sources this
# How each contender of the benchmark is started: sourced by scripts/bench.sh. A start_NAME function
# starts one and leaves its port in `port` and its processes in `pids`. Every server gets the same
# certificate, the same number of workers, and no log.
#
# Reads: peers_dir work_dir bench_dir build_dir plain_dir cert key pem workers server_prefix python
# nginx_modules stunnel_program hitch_user proxy_connections; adds to started_pids.

await_line() { # FILE PID PATTERN: the matching line, within ten seconds
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        grep -m 1 "$3" "$1" 2>/dev/null && return 0
        kill -0 "$2" 2>/dev/null || break
        sleep 0.05
    done
    printf 'bench.sh: no line "%s" from this server:\n' "$3" >&2
    tail -n 5 "$1" >&2
    return 1
}

free_port() {
    "$python" -c 'import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])'
}

# Starts a server that tells its own port: NAME COMMAND...
launch_telling() {
    local line log=$work_dir/$1.log
    shift
    : >"$log" # the line of an earlier start must not be taken for this one's
    "${server_prefix[@]}" "$@" >/dev/null 2>"$log" &
    pids=$!
    started_pids+=("$pids")
    line=$(await_line "$log" "$pids" 'listening on ') || return 1
    port=${line##*:}
}

# Starts a server whose port is in its configuration: NAME COMMAND...
launch_configured() {
    local log=$work_dir/$1.log
    shift
    "${server_prefix[@]}" "$@" >"$log" 2>&1 &
    pids=$!
    started_pids+=("$pids")
}

fill_in() { # TEMPLATE TARGET
    sed -e "s|@PORT@|$port|g" -e "s|@FLOOR@|${floor_port:-}|g" -e "s|@CERT@|$cert|g" \
        -e "s|@KEY@|$key|g" -e "s|@PEM@|$pem|g" -e "s|@WORKERS@|$workers|g" \
        -e "s|@PEERS@|$peers_dir|g" -e "s|@WORK@|$work_dir|g" -e "s|@MODULES@|$nginx_modules|g" \
        -e "s|@MAXCONN@|$proxy_connections|g" -e "s|@USER@|$hitch_user|g" "$peers_dir/$1" >"$2"
}

# A proxy's responder; its CPU counts with the proxy's.
start_back_end() {
    launch_telling "$1-floor" "$bench_dir/bench-floor" --listen 127.0.0.1:0 --lines || return 1
    floor_port=$port
    floor_pid=$pids
    port=$(free_port)
}

start_ours() {
    launch_telling ours "$build_dir/tlsmsg-server" --listen 127.0.0.1:0 --cert "$cert" \
        --key "$key" --quiet --workers "$workers"
}

start_ours-log() {
    : >"$work_dir/transcript"
    : >"$work_dir/ours-log.log"
    # Append mode, so that emptying the file between runs really gives its space back.
    "${server_prefix[@]}" "$build_dir/tlsmsg-server" --listen 127.0.0.1:0 --cert "$cert" \
        --key "$key" --workers "$workers" >>"$work_dir/transcript" 2>"$work_dir/ours-log.log" &
    pids=$!
    started_pids+=("$pids")
    port=$(await_line "$work_dir/ours-log.log" "$pids" 'listening on ') || return 1
    port=${port##*:}
}

start_ours-store() {
    rm -f "$work_dir"/store.db*
    launch_telling ours-store "$build_dir/tlsmsg-server" --listen 127.0.0.1:0 --cert "$cert" \
        --key "$key" --quiet --workers "$workers" --store "$work_dir/store.db"
}

# Starts a database and a server that stores there; only the server's own processes are measured.
start_in_database() { # NAME [OPTION]
    local address=$work_dir/$1.address tries database
    rm -f "$address"
    # Each start has a database of its own; the one before goes with its helper.
    [ -z "${databases[$1]:-}" ] || stop_pids "${databases[$1]}"
    "$python" -B "$peers_dir/database.py" "${@:2}" "$address" >"$work_dir/$1.database" 2>&1 &
    database=$!
    databases[$1]=$database
    started_pids+=("$database")
    for ((tries = 0; tries < 600; tries++)); do
        [ ! -s "$address" ] || break
        kill -0 "$database" 2>/dev/null || return 1
        sleep 0.1
    done
    launch_telling "$1" "$build_dir/tlsmsg-server" --listen 127.0.0.1:0 --cert "$cert" --key "$key" \
        --quiet --workers "$workers" --store "$(cat "$address")"
}

start_ours-postgresql() {
    start_in_database ours-postgresql
}

start_ours-replicated() {
    start_in_database ours-replicated --replicated
}

start_log() {
    rm -f "$work_dir/own.log"
    launch_telling log "$bench_dir/bench-reference" --listen 127.0.0.1:0 --cert "$cert" \
        --key "$key" --log "$work_dir/own.log"
}

start_mosquitto() {
    port=$(free_port)
    mkdir -p "$work_dir/mosquitto"
    chmod 777 "$work_dir/mosquitto" # it gives up root
    cp "$cert" "$key" "$work_dir/mosquitto"
    chmod 644 "$work_dir"/mosquitto/*.pem
    fill_in mosquitto.conf.in "$work_dir/mosquitto/mosquitto.conf"
    launch_configured mosquitto mosquitto -c "$work_dir/mosquitto/mosquitto.conf"
}

# A server before 2.10 takes no sync_interval, and acknowledges before the disk has anything.
start_nats() {
    port=$(free_port)
    rm -rf "$work_dir/nats"
    fill_in nats.conf.in "$work_dir/nats.conf"
    nats_note='NATS JetStream syncs each message before it acknowledges it: sync_interval: always'
    if [[ $(nats-server -t -c "$work_dir/nats.conf" 2>&1) == *'unknown field "sync_interval"'* ]]; then
        sed -i '/sync_interval/d' "$work_dir/nats.conf"
        nats_note="NATS JetStream does not wait for the disk: $(nats-server --version | tr -d :) has no sync_interval"
    fi
    GOMAXPROCS=$workers launch_configured nats nats-server -c "$work_dir/nats.conf"
}

start_ours-plain() {
    launch_telling ours-plain "$plain_dir/tlsmsg-server" --listen 127.0.0.1:0 --accept 0 --quiet \
        --workers "$workers"
}

start_floor() {
    launch_telling floor "$bench_dir/bench-floor" --listen 127.0.0.1:0 --lines
}

start_reference() {
    launch_telling reference "$bench_dir/bench-reference" --listen 127.0.0.1:0 --cert "$cert" \
        --key "$key"
}

start_numbered() {
    launch_telling numbered "$bench_dir/bench-numbered" --listen 127.0.0.1:0 --cert "$cert" \
        --key "$key"
}

start_go() {
    GOMAXPROCS=$workers launch_telling go "$bench_dir/bench-go" "$cert" "$key"
}

start_node() {
    launch_telling node node "$peers_dir/server.js" "$cert" "$key"
}

start_python() {
    launch_telling python "$python" "$peers_dir/server.py" "$cert" "$key"
}

start_nginx() {
    port=$(free_port)
    mkdir -p "$work_dir/nginx"
    rm -f "$work_dir/nginx/hold.sock"
    fill_in nginx.conf.in "$work_dir/nginx/nginx.conf"
    launch_configured nginx nginx -p "$work_dir/nginx" -e stderr -c nginx.conf
}

start_haproxy() {
    start_back_end haproxy || return 1
    fill_in haproxy.cfg.in "$work_dir/haproxy.cfg"
    launch_configured haproxy haproxy -db -f "$work_dir/haproxy.cfg"
    pids="$pids $floor_pid"
}

start_hitch() {
    start_back_end hitch || return 1
    fill_in hitch.conf.in "$work_dir/hitch.conf"
    launch_configured hitch hitch --config="$work_dir/hitch.conf"
    pids="$pids $floor_pid"
}

start_stunnel() {
    start_back_end stunnel || return 1
    fill_in stunnel.conf.in "$work_dir/stunnel.conf"
    launch_configured stunnel "$stunnel_program" "$work_dir/stunnel.conf"
    pids="$pids $floor_pid"
}

# Whether the contender can be started here; says on stderr what is missing.
contender_present() {
    local need
    case $1 in
    ours | ours-log) need=$build_dir/tlsmsg-server ;;
    ours-plain) need=$plain_dir/tlsmsg-server ;;
    floor) need=$bench_dir/bench-floor ;;
    memory | sha256) need=$bench_dir/bench-memory ;;
    numbered) need=$bench_dir/bench-numbered ;;
    reference | log) need=$bench_dir/bench-reference ;;
    ours-store) need=$build_dir/tlsmsg-store ;;
    ours-postgresql | ours-replicated)
        need=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | tail -n 1)
        grep -qx 'TLSMSG_POSTGRESQL:BOOL=ON' "$build_dir/CMakeCache.txt" || need=libpq
        need=${need:-initdb}
        ;;
    go) need=$bench_dir/bench-go ;;
    python) need=$python ;;
    stunnel) need=$stunnel_program ;;
    nats) need=nats-server ;;
    nginx)
        need=nginx
        [ -e "$nginx_modules/ngx_stream_js_module.so" ] || need=libnginx-mod-stream-js
        ;;
    *) need=$1 ;;
    esac
    command -v "$need" >/dev/null && return 0
    printf 'bench.sh: %s left out: %s is not there\n' "$1" "$need" >&2
    return 1
}
