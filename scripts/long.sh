#!/bin/sh
# All tests that are too long for scripts/test.sh, by hand: one function each, named in the table
# below. One that fails doesn't stop the next; ends with the names of those that failed.
set -eu
unset CDPATH
cd "$(dirname "$0")/.."

# A new one gets a line here and a function of its name below, which returns 0 where all is well.
list() {
    cat <<'END'
fuzz         each fuzz target for TLSMSG_FUZZ_SECONDS (600), on a corpus that grows (needs clang)
soak         good and hostile clients with reloads for TLSMSG_SOAK_MINUTES (30)
scale        10,000 idle connections, 20,000 connects, two workers, ten minutes at full load
portability  musl, 32 bits, big-endian, Debian 13 (installs compilers; as root)
packages     Debian packages, the commands of docs/install.md, the container's file (as root)
foreign      root's certificate scripts TLSMSG_FOREIGN_TIMES (50) times in a folder whose owner
             exchanges what is in it (as root)
valgrind     every unit test under valgrind, also those that scripts/test.sh leaves out
cuts         a conversation of tlsmsg/1 cut behind each byte of it, in both directions
powercut     power cuts: every sync, other seeds and stopped ext4 and xfs (as root) for
             TLSMSG_POWERCUT_SECONDS (120) each; 30 kills under load
fleet        20 primaries of PostgreSQL lost under load, their standbys promoted; 20 kills; the
             page of packaging/fleet typed, each of its machines lost and replaced (as root)
mutants      TLSMSG_MUTANTS small changes (100) to the source, each of which a test has to notice
repeat       the tests of both programs, TLSMSG_REPEAT times (5), while both cores are busy
END
}

help() {
    cat <<'END'
Usage: long.sh [OPTIONS] [NAME...]
Runs the long tests, all or the named ones. Together they take hours.

  --list      says what there is
  -h, --help  this text

Exit codes: 0 all passed, 1 one failed, 2 usage.
END
}

# build NAME PRESET [OPTION...]: in build/long/NAME.
build() {
    folder=build/long/$1 preset=$2
    shift 2
    mkdir -p build/long
    if ! cmake --preset "$preset" -B "$folder" -DTLSMSG_WERROR=ON "$@" >"$folder.log" 2>&1 ||
        ! cmake --build "$folder" --parallel "$(nproc)" >>"$folder.log" 2>&1; then
        tail -n 50 "$folder.log"
        return 1
    fi
}

long_fuzz() {
    scripts/fuzz.sh "${TLSMSG_FUZZ_SECONDS:-600}"
}

long_soak() {
    build release release && scripts/soak.sh "${TLSMSG_SOAK_MINUTES:-30}" build/long/release
}

long_scale() {
    scripts/bench-scale.sh
}

long_portability() {
    scripts/portability.sh --install
}

# The roots are kept for the next time.
long_packages() {
    roots=${TLSMSG_ROOTS:-build/long/roots}
    packaging/test-deb.sh --roots "$roots" &&
        python3 -B tests/package/try_install.py "$roots" bookworm trixie &&
        python3 -B tests/package/try_container.py "$roots/trixie"
}

long_foreign() {
    TLSMSG_FOREIGN_TIMES=${TLSMSG_FOREIGN_TIMES:-50} \
        python3 -B tests/package/test_certificates.py Foreign
}

# Not the server itself, whose filter refuses what valgrind asks of the system, nor what raises the
# limit of descriptors, of which valgrind has one of its own.
long_valgrind() {
    build valgrind release -DCMAKE_C_FLAGS=-g "-DCMAKE_CROSSCOMPILING_EMULATOR=valgrind;--quiet;\
--error-exitcode=99;--leak-check=full;--errors-for-leak-kinds=definite" &&
        ctest --test-dir build/long/valgrind --label-regex unit \
            --exclude-regex '^unit_(server_program|startup_descriptors)$' --output-on-failure \
            --no-tests=error --parallel "$(nproc)"
}

long_cuts() {
    build release release || return
    TLSMSG_CUT_STRIDE=1 TLSMSG_BUILD_DIR=build/long/release \
        python3 -B tests/integration/test_client_numbered.py Lost.test_cut_everywhere
}

long_powercut() {
    build store release -DTLSMSG_SQLITE=ON || return
    TLSMSG_POWERCUT_LONG=${TLSMSG_POWERCUT_SECONDS:-120} TLSMSG_STORE_KILLS=30 \
        TLSMSG_SPOOL_SYNCS=1 \
        ctest --test-dir build/long/store --tests-regex '^(powercut.*|integration_(store|spool).*)$' \
            --output-on-failure --no-tests=error --timeout 3600
}

long_fleet() {
    build fleet release -DTLSMSG_SQLITE=ON -DTLSMSG_POSTGRESQL=ON || return
    TLSMSG_STORE_ROUNDS=20 TLSMSG_STORE_KILLS=20 ctest --test-dir build/long/fleet \
        --tests-regex '^integration_store_(fleet|away|postgresql)' --output-on-failure \
        --no-tests=error || return
    if [ "$(id -u)" -eq 0 ]; then
        python3 -B tests/package/try_fleet.py build/long/fleet
    else
        echo "try_fleet.py: skipped, since only root makes network namespaces"
    fi
}

long_mutants() {
    scripts/mutate.sh "${TLSMSG_MUTANTS:-100}" --seed "$(date +%s)" --minutes 600 --integration
}

# Deadlines that pass only on an idle machine show here.
long_repeat() {
    build release release || return
    burners=
    for _ in $(seq "$(nproc)"); do
        (while :; do :; done) &
        burners="$burners $!"
    done
    status=0
    ctest --test-dir build/long/release --label-regex integration --output-on-failure \
        --no-tests=error --repeat "until-fail:${TLSMSG_REPEAT:-5}" --parallel "$(nproc)" || status=$?
    # shellcheck disable=SC2086 # a list of processes
    kill $burners
    burners=
    return $status
}

all=$(list | sed -n 's/^\([a-z][a-z]*\) .*/\1/p')
names=
for word; do
    case $word in
    --list)
        list
        exit 0
        ;;
    -h | --help)
        help
        exit 0
        ;;
    *)
        if ! printf '%s\n' "$all" | grep -qxF -e "$word"; then
            echo "long.sh: neither an option nor a test: '$word' (--list names them)" >&2
            exit 2
        fi
        names="$names $word"
        ;;
    esac
done

burners=
# shellcheck disable=SC2086 # a list of processes
trap '[ -z "$burners" ] || kill $burners' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
broken=
for name in ${names:-$all}; do
    echo "== $name"
    began=$(date +%s)
    verdict=ok
    if ! "long_$name"; then
        verdict=FAILED
        broken="$broken $name"
    fi
    echo "== $name: $verdict ($(($(date +%s) - began)) s)"
done
if [ -n "$broken" ]; then
    echo "failed:$broken"
    exit 1
fi
