#!/usr/bin/env bash
# What happens to the server when there is much of something: 10,000 idle connections of which 100
# talk, 20,000 connects in sequence, a second worker, ten minutes at full load. Counts and memory
# are judged, times are told. What it says and does not say: docs/performance.md.
set -euo pipefail

usage() {
    cat <<'END'
Usage: scripts/bench-scale.sh [--build DIR] [OPTION]...
  --build DIR      a build with TLSMSG_BENCH=ON, used as it is (else build/bench is built)
  --parts A,B,..   of idle connects workers endurance (all)
  --idle N         connections of the idle part (10000; both programs need as many descriptors)
  --active N       of these, how many talk (100)
  --connects N     connections in sequence (20000)
  --minutes T      of the endurance part (10)
  --rounds N       of what is compared (5)
  --seconds T      measured time of one window (2)
  -h, --help
Exit: 0 all met, 1 something failed, 2 usage.
END
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build='' options=()
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --build | --parts | --idle | --active | --connects | --minutes | --rounds | --seconds)
        if [ $# -lt 2 ]; then
            printf 'bench-scale.sh: %s needs a value (--help)\n' "$1" >&2
            exit 2
        fi
        if [ "$1" = --build ]; then
            build=$2
        else
            options+=("$1" "$2")
        fi
        shift
        ;;
    *)
        printf 'bench-scale.sh: unknown option %s (--help)\n' "$1" >&2
        exit 2
        ;;
    esac
    shift
done

work_dir=$(mktemp -d "${TMPDIR:-/tmp}/tlsmsg-scale.XXXXXX")
trap 'rm -rf "$work_dir"' EXIT
trap 'exit 130' INT TERM
if [ -z "$build" ]; then
    build=$root/build/bench
    if ! { cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DTLSMSG_TESTS=OFF \
        -DTLSMSG_BENCH=ON && cmake --build "$build" --parallel "$(nproc)"; } \
        >"$work_dir/build.log" 2>&1; then
        tail -n 20 "$work_dir/build.log" >&2
        printf 'bench-scale.sh: cannot build %s\n' "$build" >&2
        exit 1
    fi
fi
bench=$(find "$build" -name tlsmsg-bench -type f -perm -u+x | head -n 1)
if [ -z "$bench" ]; then
    printf 'bench-scale.sh: %s holds no tlsmsg-bench (TLSMSG_BENCH=ON)\n' "$build" >&2
    exit 2
fi
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$work_dir/key.pem" \
    -out "$work_dir/cert.pem" 2>/dev/null
ulimit -Sn "$(ulimit -Hn)"
python3 -B "$root/tests/bench/scale.py" --build "$build" --bench "$bench" \
    --cert "$work_dir/cert.pem" --key "$work_dir/key.pem" "${options[@]}"
