#!/bin/sh
# Builds the fuzz targets with clang and runs each for a while: on the committed corpus and, beside
# it, a corpus of this machine that grows from run to run (build/fuzz/corpus). Ends with failure
# where one finds something; what it found is kept.
set -eu
unset CDPATH
cd "$(dirname "$0")/.."

help() {
    cat <<'END'
Usage: fuzz.sh SECONDS [TARGET...]
       fuzz.sh --coverage
Runs the fuzz targets (tests/fuzz), each for SECONDS; without TARGET all of them, the server's
conversation in plaintext too (conversation-plaintext). Needs clang and its libFuzzer.

  --coverage  says which lines of src/ each target reaches, by folder, with all inputs at hand
  -h, --help  this text
END
}

case ${1:-} in
-h | --help)
    help
    exit 0
    ;;
--coverage) ;;
'' | *[!0-9]*)
    echo "fuzz.sh: wants the number of seconds for each target, such as 60 (--help)" >&2
    exit 2
    ;;
esac
if ! command -v clang >/dev/null; then
    echo "fuzz.sh: clang is not installed (scripts/setup.sh --check-tools installs it)" >&2
    exit 1
fi

# build FOLDER PRESET [OPTION...]
build() {
    folder=$1 preset=$2
    shift 2
    mkdir -p "$folder"
    if ! cmake --preset "$preset" -B "$folder" "$@" >"$folder/build.log" 2>&1 ||
        ! cmake --build "$folder" --target fuzzers --parallel "$(nproc)" >>"$folder/build.log" 2>&1; then
        tail -n 50 "$folder/build.log"
        echo "fuzz.sh: the build failed ($folder/build.log)" >&2
        exit 1
    fi
}

# fuzz NAME FOLDER: one target of a build.
fuzz() {
    name=$1 folder=$2
    work=$folder/corpus/$name
    found=$folder/found/$name
    log=$folder/$name.log
    mkdir -p "$work" "$found"
    status=0
    "$folder/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=5 \
        -print_final_stats=1 -dict="tests/fuzz/dict/$name.dict" -artifact_prefix="$found/" \
        "$work" "tests/fuzz/corpus/$name" >"$log" 2>&1 || status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
    if [ "$status" -eq 0 ]; then
        echo "ok    $3: ${runs:-?} runs, ${rate:-?} a second"
        return
    fi
    failed=$((failed + 1))
    echo "FOUND $3: exit status $status after ${runs:-?} runs ($log)"
    grep -E 'not so:|ERROR:|SUMMARY:|Test unit written' "$log" | head -n 10 || :
}

if [ "$1" = --coverage ]; then
    build build/fuzz-coverage debug -DCMAKE_C_COMPILER=clang \
        '-DCMAKE_C_FLAGS=-fprofile-instr-generate -fcoverage-mapping'
    set -- tests/fuzz/corpus
    [ ! -d build/fuzz/corpus ] || set -- "$@" build/fuzz/corpus
    exec python3 -B tests/fuzz/coverage.py build/fuzz-coverage "$@"
fi
seconds=$1
shift
failed=0
tls=build/fuzz plain=build/fuzz-plaintext
if [ $# -eq 0 ]; then
    for file in tests/fuzz/corpus/*/; do
        file=${file%/}
        set -- "$@" "${file##*/}"
    done
    set -- "$@" conversation-plaintext
fi
for target; do
    if [ "$target" != conversation-plaintext ] && [ ! -d "tests/fuzz/corpus/$target" ]; then
        echo "fuzz.sh: there is no target '$target'" >&2
        exit 2
    fi
done
case " $* " in
*" conversation-plaintext "*) build "$plain" fuzz -DTLSMSG_PLAINTEXT=ON ;;
esac
build "$tls" fuzz

for target; do
    if [ "$target" = conversation-plaintext ]; then
        fuzz conversation "$plain" "$target"
    else
        fuzz "$target" "$tls" "$target"
    fi
done
if [ "$failed" -gt 0 ]; then
    echo "fuzz.sh: $failed target(s) found something"
    exit 1
fi
