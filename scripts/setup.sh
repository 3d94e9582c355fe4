#!/bin/sh
# Installs what is missing to build and test the project, with Debian's package manager (12 or 13;
# as root or with sudo). On other systems it names what is missing. Does nothing when nothing is.
set -eu
unset CDPATH

help() {
    cat <<'END'
Usage: setup.sh [OPTIONS]
Installs what is missing: compiler, CMake, make, pkg-config, OpenSSL, Python, cmocka.

  --plaintext    for the plaintext build alone, which needs no OpenSSL
  --programs     for the programs alone, without tests: no Python, no cmocka
  --check-tools  also what scripts/check-style.sh and all of scripts/test.sh use:
                 clang, clang-format, clang-tidy, cppcheck, g++, libedit, mandoc, shellcheck,
                 SQLite, libpq, systemd, valgrind, and what makes packages (dpkg-dev, rpm)
  --peers        also the programs that the tests talk to where they are installed:
                 gnutls-cli, ncat, socat, node, curl, promtool, HAProxy, PgBouncer, PostgreSQL (no
                 cluster is made); libuv, which one of the examples uses
  -h, --help     this text

Exit codes: 0 all is there, 1 something is missing and could not be installed, 2 usage.
END
}

plaintext=false programs=false check_tools=false peers=false
for word; do
    case $word in
    --plaintext) plaintext=true ;;
    --programs) programs=true ;;
    --check-tools) check_tools=true ;;
    --peers) peers=true ;;
    -h | --help)
        help
        exit 0
        ;;
    *)
        echo "setup.sh: unknown option '$word' (--help lists them)" >&2
        exit 2
        ;;
    esac
done

missing=
# need PACKAGE COMMAND...: the package is missing where the command fails.
need() {
    package=$1
    shift
    if ! "$@" >/dev/null 2>&1 </dev/null; then
        missing="$missing $package"
    fi
}

has() {
    command -v "$1"
}

# Debian keeps the server's programs out of PATH.
has_postgresql() {
    has initdb || ls /usr/lib/postgresql/*/bin/initdb
}

# They lie where root alone looks.
has_haproxy() {
    has haproxy || [ -x /usr/sbin/haproxy ]
}
has_pgbouncer() {
    has pgbouncer || [ -x /usr/sbin/pgbouncer ]
}

# compiles COMPILER [FLAG...]: what stands in $source can be compiled and linked.
compiles() {
    printf '%s\n' "$source" | "$@" -x c - -o /dev/null
}

# includes LINES: a program with these lines can be compiled.
includes() {
    source="$1
int main(void) { return 0; }"
    printf '%s\n' "$source" | cc -x c - -fsyntax-only
}

# at_least VERSION COMMAND...: the first number with a dot that the command prints is that or more.
at_least() {
    wanted=$1
    shift
    found=$("$@" 2>/dev/null | sed -n 's/[^0-9]*\([0-9][0-9]*\.[0-9][0-9]*\).*/\1/p' | head -n 1)
    [ -n "$found" ] && [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ]
}

list_missing() {
    missing=
    source='#include <stdio.h>
int main(void) { return 0; }'
    need gcc has cc
    need libc6-dev compiles cc
    need make has make
    need cmake at_least 3.25 cmake --version
    need pkg-config has pkg-config
    if ! $programs; then
        need python3 at_least 3.11 python3 --version
        need libcmocka-dev includes '#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>'
    fi
    if ! $plaintext; then
        need openssl at_least 3.0 openssl version
        need libssl-dev includes '#include <openssl/opensslv.h>
#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "OpenSSL 3.0 or later is needed"
#endif'
    fi
    if $check_tools; then
        for tool in clang clang-format clang-tidy cppcheck shellcheck valgrind mandoc; do
            need "$tool" has "$tool"
        done
        need g++ has g++
        need ninja-build has ninja
        need libedit-dev pkg-config --exists libedit
        need libsqlite3-dev pkg-config --exists sqlite3
        need libpq-dev pkg-config --exists libpq
        need systemd has systemd-analyze
        need iproute2 has ip
        need util-linux has unshare
        need tmux has tmux
        need dpkg-dev has dpkg-shlibdeps
        need rpm has rpmbuild
        need cpio has cpio
        need file has file
        need libclang-rt-dev compiles clang -fsanitize=address,undefined
    fi
    if $peers; then
        need gnutls-bin has gnutls-cli
        need nodejs has node
        for tool in ncat socat curl; do
            need "$tool" has "$tool"
        done
        need libuv1-dev pkg-config --exists libuv
        need promtool has promtool
        need postgresql has_postgresql
        need haproxy has_haproxy
        need pgbouncer has_pgbouncer
    fi
}

# Prometheus is a service that would start at once, so its checking tool alone is taken out of the
# package.
unpack_promtool() {
    folder=$(mktemp -d)
    # apt-get downloads as a user of its own, where it can.
    chmod 755 "$folder"
    (cd "$folder" && apt-get -qq download prometheus && dpkg-deb --extract prometheus_*.deb .) \
        >"$log" 2>&1 </dev/null &&
        $as_root install -m 755 "$folder/usr/bin/promtool" /usr/local/bin/
    status=$?
    rm -rf "$folder"
    return $status
}

list_missing
if [ -z "$missing" ]; then
    exit 0
fi
if ! has apt-get >/dev/null; then
    echo "setup.sh: missing (names as in Debian):$missing" >&2
    echo "setup.sh: install them with this system's package manager, then run this again" >&2
    exit 1
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! has sudo >/dev/null; then
        echo "setup.sh: missing:$missing" >&2
        echo "setup.sh: run it as root, or install sudo" >&2
        exit 1
    fi
    as_root=sudo
fi

# install_packages PACKAGE...
install_packages() {
    # shellcheck disable=SC2086 # empty for root
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
        install -y --no-install-recommends "$@" >"$log" 2>&1 </dev/null
}

# Installed as it is, PostgreSQL would make a cluster and start it. The tests make their own.
# shellcheck disable=SC2016 # sed's own $
forbid_cluster() {
    settings=/etc/postgresql-common/createcluster.conf
    install_packages postgresql-common &&
        $as_root sed -i -e '/^#* *create_main_cluster *=/d' \
            -e '$ a create_main_cluster = false' "$settings"
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "setup.sh: installing$missing"
packages=
for name in $missing; do
    [ "$name" = promtool ] || packages="$packages $name"
done
# shellcheck disable=SC2086 # empty for root; a list of packages
if ! $as_root apt-get -qq -o DPkg::Lock::Timeout=300 update >"$log" 2>&1 </dev/null ||
    { [ "${missing#* postgresql}" != "$missing" ] && ! forbid_cluster; } ||
    { [ -n "$packages" ] && ! install_packages $packages; } ||
    { [ "$packages" != "$missing" ] && ! unpack_promtool; }; then
    cat "$log" >&2
    echo "setup.sh: cannot install$missing (apt-get's words are above)" >&2
    exit 1
fi

list_missing
if [ -n "$missing" ]; then
    echo "setup.sh: installed, and still missing or too old:$missing" >&2
    exit 1
fi
