#!/usr/bin/env bash
# The project where other machines differ from this one: another C library, 32 bits, the other byte
# order, Debian's next release. Each stage builds for one of them and runs what can run here.
#
# Nothing foreign is installed: the libraries of another architecture, and the source of cmocka, are
# unpacked into the build folder by this machine's apt, from where it gets its own. Needs Debian and
# the network the first time. Like scripts/test.sh it ends with "N passed, N failed, N skipped".
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."
top=$PWD

help() {
    cat <<'END'
Usage: portability.sh [OPTIONS] [STAGE...]
Builds for other platforms and runs the tests that can run here; all stages, or the named ones.

  musl      plaintext, with musl-gcc: unit tests, and the two programs
  i386      32 bits, TLS and plaintext: unit tests, and the two programs
  s390x     big-endian, TLS and plaintext: the same, run by qemu-user (minutes)
  debian13  scripts/setup.sh and test.sh in a root of Debian 13 (as root; many minutes)

  --install    installs the compilers and tools that are missing, with apt-get
  --build DIR  folder for everything that is made (default: build/portability)
  --root DIR   the root of debian13: packages are installed in it, and it is kept (default: one
               below --build, made by mmdebstrap)
  --list       names the stages
  -h, --help   this text

A stage that lacks something is skipped and says why; with CI=true that is a failure. Exit codes:
0 passed, 1 a test failed or nothing ran, 2 usage.
END
}

all='musl i386 s390x debian13'
stages=
install=false
out=$top/build/portability
root=

# usage WORD...: what is wrong with the arguments.
usage() {
    echo "portability.sh: $* (--help tells more)" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --install) install=true ;;
    --build | --root)
        [ -n "${2:-}" ] || usage "$1 needs a folder"
        if [ "$1" = --build ]; then out=$(realpath -m "$2"); else root=$(realpath -m "$2"); fi
        shift
        ;;
    --list)
        tr ' ' '\n' <<<"$all"
        exit 0
        ;;
    -h | --help)
        help
        exit 0
        ;;
    *)
        [[ " $all " == *" $1 "* ]] || usage "neither an option nor a stage: '$1'"
        stages="$stages $1"
        ;;
    esac
    shift
done
[ -z "$root" ] || [ -e "$root/etc/debian_version" ] || usage "--root '$root' is no root of Debian"
stages=${stages:-$all}

jobs=$(nproc)
passed=0 failed=0 skipped=0
server= # process id of one that runs
address=
copy=   # the checkout inside a root

clean() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || :
    fi
    if [ -n "$copy" ]; then
        rm -rf "$copy"
    fi
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- what came out

# skip WHY: a stage, or a part of one, that can't run here. Returns 1, as fail does.
skip() {
    echo "  skipped: $1"
    if [ "${CI:-}" = true ]; then
        failed=$((failed + 1))
    else
        skipped=$((skipped + 1))
    fi
    return 1
}

# fail WHAT [FILE]: with the end of that file.
fail() {
    if [ $# -eq 2 ]; then
        tail -n 60 "$2"
    fi
    echo "  FAILED: $1"
    failed=$((failed + 1))
    return 1
}

pass() {
    echo "  passed: $1"
    passed=$((passed + 1))
}

# ---- what is needed

listed=false # apt-get update has run

# apt PACKAGE...: installs them, and never at the price of what is there.
apt() {
    local get=(apt-get -qq -o DPkg::Lock::Timeout=300)
    if $listed || "${get[@]}" update; then
        listed=true
        DEBIAN_FRONTEND=noninteractive "${get[@]}" -y --no-install-recommends --no-remove \
            install "$@"
    fi
}

# have COMMAND PACKAGE: the command is there, or its package can be installed; else says so.
have() {
    local command=$1
    shift
    if command -v "$command" >/dev/null; then
        return
    fi
    if ! $install; then
        skip "$command is not installed (Debian: $*; --install installs it)"
    elif ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
        skip "$command is not installed, and --install needs root and Debian"
    else
        echo "  installing $*"
        if ! apt "$@" >"$out/apt.log" 2>&1 </dev/null || ! command -v "$command" >/dev/null; then
            fail "apt-get install $*" "$out/apt.log"
        fi
    fi
}

suite='' mirror=''
# This machine's release, and where its apt gets it from.
find_mirror() {
    # shellcheck disable=SC1091
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    if ! command -v apt-get >/dev/null || [ -z "$suite" ]; then
        skip 'this is no Debian: there are no packages of libraries to unpack'
        return
    fi
    # shellcheck disable=SC2016 # apt's own form
    mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' \
        'Origin: Debian' 2>/dev/null | sed -n "s/^$suite //p" | head -n 1)
    if [ -z "$mirror" ]; then
        skip "apt's lists name no mirror of Debian's $suite (apt-get update reads them)"
    fi
}

# sysroot ARCH: sets $sysroot, a folder with that architecture's C library, OpenSSL and cmocka.
sysroot() {
    sysroot=$out/sysroot-$1
    if [ -e "$sysroot/complete" ]; then
        return
    fi
    have mmdebstrap mmdebstrap && find_mirror || return 1
    echo "  unpacking the libraries of $suite for $1"
    rm -rf "$sysroot"
    if ! mmdebstrap --quiet --mode=chrootless --variant=extract --architectures="$1" \
        --include=libc6-dev,libssl-dev,libcmocka-dev "$suite" "$sysroot" \
        "deb $mirror $suite main" >"$out/sysroot-$1.log" 2>&1; then
        fail "cannot unpack the libraries for $1" "$out/sysroot-$1.log"
        return
    fi
    # qemu-user would take these before this machine's own, such as /dev/ptmx.
    rm -rf "${sysroot:?}"/{dev,etc,tmp,var}
    [ -e "$sysroot/lib" ] || ln -s usr/lib "$sysroot/lib"
    touch "$sysroot/complete"
}

# cmocka_for_musl: sets $cmocka, a folder with Debian's cmocka compiled for musl.
cmocka_for_musl() {
    local work=$out/cmocka
    cmocka=$work/installed
    if [ -e "$cmocka/complete" ]; then
        return
    fi
    have dpkg-source dpkg-dev && find_mirror || return 1
    echo "  compiling $suite's cmocka for musl"
    rm -rf "$work"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    echo "deb-src $mirror $suite main" >"$work/sources.list"
    local apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources.list"
        -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$work/lists"
        -o "Dir::Cache=$work/cache" -o "APT::Sandbox::User=$(id -un)")
    # Shared: --wrap would take its own calls of malloc(3) for the test's.
    if ! (cd "$work" && "${apt[@]}" update && "${apt[@]}" source cmocka &&
        cmake -S cmocka-[0-9]* -B build -DCMAKE_C_COMPILER=musl-gcc -DCMAKE_BUILD_TYPE=Release \
            -DUNIT_TESTING=OFF -DWITH_EXAMPLES=OFF -DCMAKE_INSTALL_PREFIX="$cmocka" \
            -DCMAKE_INSTALL_LIBDIR=lib &&
        cmake --build build --parallel "$jobs" && cmake --install build) >"$work/log" 2>&1; then
        skip "the unit tests: cannot get cmocka's source or compile it ($work/log)"
        return
    fi
    touch "$cmocka/complete"
}

# ---- building and running

# build NAME OPTION...
build() {
    local name=$1
    shift
    if ! cmake -S "$top" -B "$out/$name" -DCMAKE_BUILD_TYPE=Release -DTLSMSG_WERROR=ON "$@" \
        >"$out/$name.log" 2>&1 ||
        ! cmake --build "$out/$name" --parallel "$jobs" >>"$out/$name.log" 2>&1; then
        fail "$name does not build" "$out/$name.log"
    fi
}

# One attribute of the results' first line.
attribute() {
    sed -n "/<testsuite/,/>/s/.*[[:space:]]$1=\"\([0-9]*\)\".*/\1/p" "$results" | head -n 1
}

# run NAME: the tests of a build that are programs of ours, and nothing else.
run() {
    local count bad left status=0
    results=$out/$1.xml
    rm -f "$results"
    # As in scripts/test.sh: what fails is tried once more, and ctest names it.
    ctest --test-dir "$out/$1" --output-junit "$results" --output-on-failure --no-tests=error \
        --repeat until-pass:2 --parallel "$jobs" --label-regex '^(unit|contract|fuzz)$' \
        >"$out/$1.tests" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        cat "$out/$1.tests"
    fi
    if [ ! -s "$results" ]; then
        fail "$1: ctest wrote no results"
        return
    fi
    count=$(attribute tests)
    bad=$(attribute failures)
    left=$(($(attribute skipped) + $(attribute disabled)))
    passed=$((passed + count - bad - left))
    failed=$((failed + bad))
    skipped=$((skipped + left))
    echo "  $1: $count tests, $bad failed, $left skipped"
    sed -n 's/^skipped, \(.*\)/    not tried: \1/p' "$out/$1/Testing/Temporary/LastTest.log" | sort -u
    return $status
}

# serve FOLDER COMMAND...: starts a server and sets $address. What it says goes into the folder.
serve() {
    local folder=$1 tries=0
    shift
    "$@" --listen 127.0.0.1:0 --accept 0 >"$folder/out" 2>"$folder/err" </dev/null &
    server=$!
    address=
    while [ -z "$address" ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
            return 1
        fi
        sleep 0.1
        address=$(sed -n 's/^tlsmsg-server: listening on \(127\.0\.0\.1:[0-9]*\)$/\1/p' "$folder/err")
    done
}

# Ends the server within ten seconds. Returns its exit code.
end_server() {
    local tries=0 code=0
    kill -TERM "$server" 2>/dev/null || :
    while kill -0 "$server" 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ]; then
            kill -KILL "$server" 2>/dev/null || :
            break
        fi
        sleep 0.1
    done
    wait "$server" || code=$?
    server=
    return $code
}

# ask NAME COMMAND...: what a client is told.
ask() {
    local name=$1 text='hello, 世界' reply
    shift
    if ! reply=$(timeout 60 "$@" -q -m "$text" "$address"); then
        fail "$name: the client"
    elif [ "$reply" != "你好，我已收到你的消息：$text" ]; then
        fail "$name: the reply was '$reply'"
    elif ! grep -q "收到消息：$text" "$out/$name.conversation/out"; then
        fail "$name: no message in the transcript" "$out/$name.conversation/out"
    else
        pass "$name: a message and its reply"
    fi
}

# probe NAME COMMAND...: what a client sees of a server's certificate.
probe() {
    local name=$1 report=$out/$1.conversation/probe
    shift
    if timeout 60 "$@" --probe "$address" >"$report" 2>&1 </dev/null; then
        pass "$name: --probe"
    else
        fail "$name: --probe" "$report"
    fi
}

# converse NAME [EMULATOR...]: the two programs of a build, one beside the other.
converse() {
    local name=$1 folder=$out/$1.conversation trust=() identity=() result=0
    shift
    local server_program=("$@" "$out/$name/tlsmsg-server")
    local client_program=("$@" "$out/$name/tlsmsg-client")
    mkdir -p "$folder"
    if ! "${server_program[@]}" --version >"$folder/version" 2>&1; then
        fail "$name: --version" "$folder/version"
        return
    fi
    echo "  $name: $(head -n 1 "$folder/version")"
    if [[ $name == *-tls ]]; then
        if ! scripts/gen-certs.sh --out "$folder/certs" >"$folder/log" 2>&1; then
            fail "$name: no certificates" "$folder/log"
            return
        fi
        identity=(--cert "$folder/certs/server.crt" --key "$folder/certs/server.key")
        trust=(--ca "$folder/certs/ca.crt")
    fi
    if serve "$folder" "${server_program[@]}" "${identity[@]}"; then
        ask "$name" "${client_program[@]}" "${trust[@]}" || result=1
        if [[ $name == *-tls ]]; then
            probe "$name" "${client_program[@]}" "${trust[@]}" || result=1
        fi
    else
        fail "$name: the server does not start" "$folder/err" || result=1
    fi
    if ! end_server; then
        fail "$name: the server's end" "$folder/err" || result=1
    fi
    return $result
}

# ---- the stages

stage_musl() {
    have cmake cmake && have make make && have musl-gcc musl-tools || return
    local options=(-DCMAKE_C_COMPILER=musl-gcc -DTLSMSG_PLAINTEXT=ON) tests=true
    if cmocka_for_musl; then
        options+=(-DCMAKE_PREFIX_PATH="$cmocka")
    else
        tests=false
        options+=(-DTLSMSG_TESTS=OFF)
    fi
    echo '  OpenSSL: plaintext alone, since Debian has no OpenSSL for musl'
    build musl "${options[@]}" || return
    local result=0
    if $tests; then
        run musl || result=1
    fi
    converse musl || result=1
    return $result
}

# cross ARCH EMULATOR...: both builds for an architecture.
cross() {
    local arch=$1 result=0 kind
    shift
    for kind in plaintext tls; do
        local plaintext=ON
        if [ $kind = tls ]; then plaintext=OFF; fi
        if build "$arch-$kind" --toolchain "$top/cmake/toolchains/$arch.cmake" \
            -DTLSMSG_SYSROOT="$sysroot" -DTLSMSG_PLAINTEXT=$plaintext; then
            run "$arch-$kind" || result=1
            converse "$arch-$kind" "$@" || result=1
        else
            result=1
        fi
    done
    return $result
}

stage_i386() {
    have cmake cmake && have make make &&
        have i686-linux-gnu-gcc gcc-i686-linux-gnu && sysroot i386 || return
    local loader=("$sysroot/lib/ld-linux.so.2" --library-path
        "$sysroot/lib/i386-linux-gnu:$sysroot/usr/lib/i386-linux-gnu")
    # An amd64 kernel may have been built without this.
    if ! "${loader[@]}" --list "$sysroot/lib/i386-linux-gnu/libc.so.6" >/dev/null 2>&1; then
        skip 'this kernel runs no programs of i386'
        return
    fi
    cross i386 "${loader[@]}"
}

stage_s390x() {
    have cmake cmake && have make make && have s390x-linux-gnu-gcc gcc-s390x-linux-gnu &&
        have qemu-s390x qemu-user && sysroot s390x || return
    cross s390x qemu-s390x -L "$sysroot"
}

# The checkout as it is, without what is ignored.
copy_checkout() {
    mkdir -p "$1"
    if [ -e "$top/.git" ] && command -v git >/dev/null; then
        git ls-files -z --cached --others --exclude-standard |
            while IFS= read -r -d '' file; do
                [ ! -e "$file" ] || printf '%s\0' "$file"
            done | tar cf - --null --files-from - | tar xf - -C "$1"
    else
        tar cf - --exclude='./build*' . | tar xf - -C "$1"
    fi
}

# Inside of a mount namespace of its own, which takes its mounts with it however it ends. The root
# is changed by pivot_root(8): the kernel makes no user namespaces below a chroot(2), and some tests
# need one.
enter() {
    # shellcheck disable=SC2016 # for the shell inside
    unshare --mount --propagation private -- sh -euc '
        mount --bind "$1" "$1"
        mount -t proc proc "$1/proc"
        mount --rbind /dev "$1/dev"
        [ ! -e /etc/resolv.conf ] || {
            [ -e "$1/etc/resolv.conf" ] || : >"$1/etc/resolv.conf"
            mount --bind /etc/resolv.conf "$1/etc/resolv.conf"
        }
        cd "$1"
        pivot_root . .
        umount -l .
        cd "$2"
        shift 2
        exec "$@"' sh "$@"
}

stage_debian13() {
    local dir=$root
    if [ "$(id -u)" -ne 0 ]; then
        skip 'needs root, for mounts'
        return
    fi
    have unshare util-linux || return
    if [ -z "$dir" ]; then
        dir=$out/trixie
        if [ ! -e "$dir/complete" ]; then
            have mmdebstrap mmdebstrap && find_mirror || return
            echo '  making a root of Debian 13'
            rm -rf "$dir"
            if ! mmdebstrap --quiet --variant=apt trixie "$dir" "deb $mirror trixie main" \
                >"$out/trixie.log" 2>&1; then
                fail 'mmdebstrap cannot make a root' "$out/trixie.log"
                return
            fi
            touch "$dir/complete"
        fi
    fi
    copy=$(mktemp -d "$dir/tmp/tlsmsg.XXXXXX")
    chmod 755 "$copy"
    if ! copy_checkout "$copy/tlsmsg"; then
        fail 'cannot copy the checkout'
        return
    fi
    local inside=(enter "$dir" "${copy#"$dir"}/tlsmsg" env -i HOME=/root LC_ALL=C.UTF-8
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "CI=${CI:-}"
        ${http_proxy:+"http_proxy=$http_proxy"})
    # shellcheck disable=SC2016 # for the shell inside
    if ! "${inside[@]}" sh -c '. /etc/os-release && [ "$VERSION_ID" = 13 ]'; then
        skip "$dir is no Debian 13"
        return
    fi
    if ! "${inside[@]}" scripts/setup.sh --check-tools; then
        fail 'scripts/setup.sh --check-tools'
        return
    fi
    local log=$out/debian13.log status=0 counts
    "${inside[@]}" sh -c 'cc --version | head -n 1; clang --version | head -n 1; openssl version'
    "${inside[@]}" scripts/test.sh release-tls release-plaintext clang 2>&1 | tee "$log" || status=1
    counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$log")
    if [ -z "$counts" ]; then
        fail 'scripts/test.sh did not come to its end'
        return
    fi
    passed=$((passed + ${counts%% *}))
    failed=$((failed + $(cut -d ' ' -f 2 <<<"$counts")))
    skipped=$((skipped + ${counts##* }))
    rm -rf "$copy"
    copy=
    return $status
}

mkdir -p "$out"
broken=
for stage in $stages; do
    echo "== $stage"
    began=$SECONDS
    before=$failed
    verdict=ok
    "stage_$stage" || verdict=skipped
    if [ "$failed" -gt "$before" ]; then
        verdict=FAILED
        broken="$broken $stage"
    fi
    echo "== $stage: $verdict ($((SECONDS - began)) s)"
done

if [ -n "$broken" ]; then
    echo "failed:$broken"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ -z "$broken" ] && [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
