#!/bin/sh
# Every test, in both builds: set-up, style, then release builds, sanitizers, another compiler and
# valgrind. Each stage is announced with its duration; one that fails doesn't stop the next. Ends
# with "N passed, N failed, N skipped", counted over all stages.
#
# Builds run ahead of the tests, in the order of the stages and with less priority: many tests wait
# for something most of their time, and a compiler can use that.
set -eu
unset CDPATH
cd "$(dirname "$0")/.."
top=$PWD

help() {
    cat <<'END'
Usage: test.sh [OPTIONS] [STAGE...]
Runs every test, or the stages that are named.

  --quick     release-tls and release-plaintext alone
  --list      names the stages
  -h, --help  this text

TLSMSG_FUZZ=1 adds the stage fuzz: each fuzzer for a minute. TLSMSG_DOCUMENT=DIR names a folder with
the document's programs (server.py, client.py), for the test that pairs them with these.
END
}

all='style release-tls release-plaintext asan-tls asan-plaintext tsan clang editline store valgrind'
stages=
for word; do
    case $word in
    --quick) stages="$stages release-tls release-plaintext" ;;
    --list)
        printf '%s\n' "$all fuzz" | tr ' ' '\n'
        exit 0
        ;;
    -h | --help)
        help
        exit 0
        ;;
    *)
        case " $all fuzz " in
        *" $word "*) stages="$stages $word" ;;
        *)
            echo "test.sh: neither an option nor a stage: '$word' (--list names the stages)" >&2
            exit 2
            ;;
        esac
        ;;
    esac
done
if [ -z "$stages" ]; then
    stages=$all
    if [ "${TLSMSG_FUZZ:-0}" = 1 ]; then
        stages="$stages fuzz"
    fi
fi

# Unit tests that valgrind is not asked about, see there.
repeating='(openssl|config|client)_memory|conversation_(faults|memory|limits)|deferred_replies'
repeating="$repeating|key_updates|escape|utf8|notes|client_trust|certificates|client_close"
repeating="$repeating|client_(document|stream|typed|spool)"
repeating="$repeating|config_blocks|client_(nomem|program)|key_passwords|list_dates|error_queue"
repeating="$repeating|numbered_(rules|handler|times|memory|takeovers|pressure|replies|steps)"
repeating="$repeating|conversation_(ends|times|counters)|worker_turns|accept_connections|server_new"
repeating="$repeating|rehearsal|unknown_server"
# valgrind makes the programs' system calls by itself, and gives up where the filter refuses one; and
# it has a limit of descriptors of its own.
repeating="$repeating|syscall_filter|server_program|startup_descriptors"

out=$top/build/test
jobs=$(nproc)
passed=0 failed=0 skipped=0
broken= # stages that failed

# Ninja takes seconds less than make for each of these builds. A folder that was made otherwise stays
# as it is: CMake refuses another generator there.
if command -v ninja >/dev/null && ! grep -qs '^CMAKE_MAKE_PROGRAM:.*/make$' "$out"/*/CMakeCache.txt; then
    export CMAKE_GENERATOR="${CMAKE_GENERATOR:-Ninja}"
fi

# build NAME PRESET [OPTION...]: in build/test/NAME; what it says goes to build/test/NAME.log.
# Nobody debugs these programs: lines and functions are all that the tools name, and a compiler
# writes those in less time than types and variables.
build() {
    name=$1 preset=$2
    shift 2
    cmake --preset "$preset" -B "$out/$name" -DTLSMSG_WERROR=ON -DCMAKE_C_FLAGS_DEBUG=-g1 "$@" \
        >"$out/$name.log" 2>&1 &&
        cmake --build "$out/$name" --parallel "$jobs" >>"$out/$name.log" 2>&1
}

# build_release_tls [OPTION...]: four stages share this build, and little is compiled again.
build_release_tls() {
    build release-tls release -DCMAKE_C_FLAGS=-g1 -DTLSMSG_BENCH=ON -DTLSMSG_EDITLINE=OFF \
        -DTLSMSG_SQLITE=OFF -DTLSMSG_POSTGRESQL=OFF -DCMAKE_CROSSCOMPILING_EMULATOR= "$@"
}

# What can be built ahead of a stage. What changes release-tls can't: its tests come first.
build_for() {
    case $1 in
    release-tls) build_release_tls ;;
    release-plaintext) build release-plaintext plaintext ;;
    asan-tls) build asan-tls asan "-DTLSMSG_SQLITE=$sqlite" "-DTLSMSG_POSTGRESQL=$libpq" ;;
    asan-plaintext) build asan-plaintext asan -DTLSMSG_PLAINTEXT=ON ;;
    tsan) build tsan tsan ;;
    clang)
        missing clang || {
            build clang-tls release -DCMAKE_C_COMPILER=clang &&
                build clang-plaintext plaintext -DCMAKE_C_COMPILER=clang
        }
        ;;
    esac
}

# Says of each stage whether its build is there, in the order of the stages.
build_ahead() {
    for stage in $stages; do
        if build_for "$stage"; then echo ok; else echo "$name"; fi
    done
}

# show_build NAME: why that build failed, which counts as one failure.
show_build() {
    tail -n 100 "$out/$1.log"
    failed=$((failed + 1))
    return 1
}

# await_build: waits for this stage's build. Every stage calls for one line, needed or not.
await_build() {
    if ! read -r verdict <&3; then
        echo "test.sh: the builds ended before their time" >&2
        failed=$((failed + 1))
        return 1
    fi
    [ "$verdict" = ok ] || show_build "$verdict"
}

# One attribute of the results' first line.
attribute() {
    sed -n "/<testsuite/,/>/s/.*[[:space:]]$1=\"\([0-9]*\)\".*/\1/p" "$results" | head -n 1
}

# run NAME [CTEST OPTION...]: runs the tests of a build, adds up what came out and says what was
# skipped and why. A Python file or unit test whose cases were all skipped counts as skipped.
run() {
    name=$1
    shift
    results=$out/$name.xml
    rm -f "$results"
    status=0
    # Three times as many as there are processors, since most wait most of the time. None gets a second
    # try: a test whose deadline a busy machine can miss is a bug.
    ctest --test-dir "$out/$name" --output-junit "$results" --output-on-failure --no-tests=error \
        --parallel $((jobs * 3)) "$@" || status=$?
    if [ ! -s "$results" ]; then
        failed=$((failed + 1))
        return 1
    fi
    log=$out/$name/Testing/Temporary/LastTest.log
    empty=$(grep -cE '^OK \(skipped=([0-9]+)\)$' "$log" || :)
    if [ "$empty" -gt 0 ]; then
        empty=$(awk '/^Ran [0-9]+ tests? in /{ ran = $2 }
            /^OK \(skipped=[0-9]+\)$/{ gsub(/[^0-9]/, ""); if ($0 >= ran) n++ } END { print n + 0 }' \
            "$log")
    fi
    sed -n "s/^\(.*\) \.\.\. skipped ['\"]\(.*\)['\"]\$/  skipped: \1: \2/p" "$log" | sort -u
    count=$(attribute tests)
    bad=$(attribute failures)
    left=$(($(attribute skipped) + $(attribute disabled) + empty))
    passed=$((passed + count - bad - left))
    failed=$((failed + bad))
    skipped=$((skipped + left))
    return $status
}

# skip WHY: a stage that can't run here. With CI=true that is a failure.
skip() {
    echo "  skipped: $1"
    if [ "${CI:-}" = true ]; then
        failed=$((failed + 1))
        return 1
    fi
    skipped=$((skipped + 1))
}

# missing TOOL: true when it is not installed.
missing() {
    if command -v "$1" >/dev/null; then
        return 1
    fi
}

stage_style() {
    if scripts/check-style.sh; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        return 1
    fi
}

stage_release_tls() {
    run release-tls
}

stage_release_plaintext() {
    run release-plaintext
}

# With the store where SQLite is installed: all that the release builds have in two.
stage_asan_tls() {
    run asan-tls
}

stage_asan_plaintext() {
    run asan-plaintext
}

# Threads matter to the server, so of the programs' tests those run that load it. Of the units this
# build has those that start threads.
stage_tsan() {
    run tsan --label-regex 'unit|planted|threads'
}

stage_clang() {
    if missing clang; then
        skip 'clang is not installed (scripts/setup.sh --check-tools)'
        return
    fi
    run clang-tls --label-regex 'unit|contract' && run clang-plaintext --label-regex 'unit|contract'
}

# What differs where the client edits lines.
stage_editline() {
    if ! pkg-config --exists libedit; then
        skip 'libedit is not installed (scripts/setup.sh --check-tools)'
        return
    fi
    build_release_tls -DTLSMSG_EDITLINE=ON || show_build release-tls || return
    run release-tls --tests-regex '^(integration_(comfort|client)|unit_report|package_options)$'
}

# What a build with SQLite and libpq has beside the others: the store, its program and the power cuts.
stage_store() {
    if [ $sqlite = OFF ]; then
        skip 'SQLite is not installed (scripts/setup.sh --check-tools)'
        return
    fi
    if [ $libpq = OFF ]; then
        skip 'libpq is not installed (scripts/setup.sh --check-tools)' || return
    fi
    build_release_tls -DTLSMSG_SQLITE=ON -DTLSMSG_POSTGRESQL=$libpq ||
        show_build release-tls || return
    own='^(powercut.*|unit_store_.*|integration_(store.*|examples)'
    own="$own|package_(options|picture|units|service))\$"
    run release-tls --tests-regex "$own"
}

# Of memory errors the sanitizers see all but one kind: what is read before it was written, such as
# a hole in a struct that goes to the kernel or to OpenSSL. Each module's own tests show that. What
# is left out leads whole conversations through them again, thousands of times, or walks all of
# Unicode, or spends its time on OpenSSL's making of keys: half of the time for no module of its own.
stage_valgrind() {
    if missing valgrind; then
        skip 'valgrind is not installed (scripts/setup.sh --check-tools)'
        return
    fi
    # valgrind runs one thread at a time. Without turns, a thread that never sleeps keeps the other
    # end of its own connection from running for seconds.
    emulator='valgrind;--quiet;--fair-sched=yes;--error-exitcode=99;--leak-check=full'
    emulator="$emulator;--errors-for-leak-kinds=definite"
    build_release_tls "-DCMAKE_CROSSCOMPILING_EMULATOR=$emulator" || show_build release-tls || return
    run release-tls --label-regex unit --exclude-regex "^unit_($repeating)\$"
}

stage_fuzz() {
    if missing clang; then
        skip 'clang is not installed (scripts/setup.sh --check-tools)'
        return
    fi
    build fuzz fuzz || show_build fuzz || return
    run fuzz --label-regex fuzz || return
    build fuzz-plaintext fuzz -DTLSMSG_PLAINTEXT=ON || show_build fuzz-plaintext || return
    run fuzz-plaintext --tests-regex '^fuzz_conversation$'
}

scripts/setup.sh
sqlite=OFF
if pkg-config --exists sqlite3; then
    sqlite=ON
fi
libpq=OFF
if [ $sqlite = ON ] && pkg-config --exists libpq; then
    libpq=ON
fi
mkdir -p "$out"
rm -f "$out/builds"
mkfifo "$out/builds"
build_ahead >"$out/builds" &
builder=$!
renice -n 10 -p $builder >/dev/null
exec 3<"$out/builds"
trap 'kill "$builder" 2>/dev/null || :' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for stage in $stages; do
    echo "== $stage"
    began=$(date +%s)
    verdict=ok
    if ! await_build || ! "stage_$(printf '%s' "$stage" | tr - _)"; then
        verdict=FAILED
        broken="$broken $stage"
    fi
    echo "== $stage: $verdict ($(($(date +%s) - began)) s)"
done

if [ -n "$broken" ]; then
    echo "failed:$broken"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ -z "$broken" ] && [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
