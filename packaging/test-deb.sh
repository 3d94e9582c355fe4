#!/bin/sh
# The Debian packages, tried as users do: built, and in a clean root of this release installed, run,
# upgraded, removed and purged. Needs root, mmdebstrap and the network; says what it skips.
set -eu
unset CDPATH
LC_ALL=C.UTF-8
export LC_ALL
cd "$(dirname "$0")/.."
top=$PWD

help() {
    cat <<'END_OF_HELP'
Usage: test-deb.sh [--root DIR]
Builds the Debian packages and tries them in a clean root.

  --root DIR  copy this root (of Debian, with apt) instead of making one by mmdebstrap

The variable TLSMSG_BUILD names a folder to build in (a temporary one). Exit codes: 0 passed,
1 failed, 2 usage, 77 skipped.
END_OF_HELP
}

template=
while [ $# -gt 0 ]; do
    case $1 in
    --root)
        template=${2:?--root needs a folder}
        shift
        ;;
    -h | --help)
        help
        exit 0
        ;;
    *)
        echo "test-deb.sh: unknown option '$1' (--help lists them)" >&2
        exit 2
        ;;
    esac
    shift
done

skip() {
    echo "test-deb.sh: skipped: $1"
    exit 77
}
[ "$(id -u)" -eq 0 ] || skip 'needs root, for chroot'
command -v dpkg-deb >/dev/null || skip 'this is no Debian (no dpkg-deb)'
command -v dpkg-shlibdeps >/dev/null || skip 'dpkg-dev is not installed'
command -v mount >/dev/null || skip 'mount is not installed'
if [ -z "$template" ]; then
    command -v mmdebstrap >/dev/null || skip 'mmdebstrap is not installed (or give --root DIR)'
fi

work=$(mktemp -d)
root=$work/root
server= # process id inside of the root, which is the same outside
clean() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || :
    fi
    umount "$root/proc" 2>/dev/null || :
    # Never remove what another mount shows.
    if ! grep -q " $root/" /proc/mounts; then
        rm -rf "$work"
    fi
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { echo "test-deb.sh: $1"; }
fail() {
    echo "test-deb.sh: FAILED: $1" >&2
    exit 1
}
inside() {
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "$@"
}

# pack VERSION: builds packages that say they are of that version, into $work/VERSION.
pack() {
    build=${TLSMSG_BUILD:-$work/build}
    {
        cmake -S "$top" -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr \
            -DTLSMSG_TESTS=OFF &&
            cmake --build "$build" --parallel "$(nproc)" &&
            (cd "$build" && cpack -G DEB -B "$work/$1" -D "CPACK_PACKAGE_VERSION=$1")
    } >"$work/build.log" 2>&1 || {
        tail -n 40 "$work/build.log" >&2
        fail "cannot build the packages of $1"
    }
    mkdir -p "$root/packages/$1"
    cp "$work/$1"/*.deb "$root/packages/$1/"
}

make_root() {
    if [ -n "$template" ]; then
        mkdir "$root"
        (cd "$template" && tar cf - --one-file-system --exclude=./proc/* --exclude=./sys/* \
            --exclude=./dev/* .) | tar xf - -C "$root"
    else
        # This machine's own release and mirrors.
        # shellcheck disable=SC1091
        suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
        mmdebstrap --quiet --variant=apt "$suite" "$root" >"$work/root.log" 2>&1 || {
            tail -n 20 "$work/root.log" >&2
            fail 'mmdebstrap cannot make a root'
        }
    fi
    mkdir -p "$root/proc" "$root/dev"
    [ -e "$root/dev/null" ] || mknod -m 666 "$root/dev/null" c 1 3
    [ -e "$root/dev/urandom" ] || mknod -m 666 "$root/dev/urandom" c 1 9
    mount -t proc proc "$root/proc"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    # No service may be started by a package that comes along.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    [ -n "$(find "$root/var/lib/apt/lists" -name '*_Packages*' 2>/dev/null | head -n 1)" ] ||
        inside apt-get -qq update >"$work/apt.log" 2>&1 ||
        fail "apt-get update: $(cat "$work/apt.log")"
}

apt() {
    inside apt-get -qq -y --no-install-recommends -o Dpkg::Options::=--force-confdef \
        -o Dpkg::Options::=--force-confold "$@" >"$work/apt.log" 2>&1 </dev/null || {
        tail -n 40 "$work/apt.log" >&2
        fail "apt-get $1"
    }
}

# The server as the unit starts it: with the options of server.env, as its user.
serve() {
    : >"$root/tmp/out"
    : >"$root/tmp/err"
    # shellcheck disable=SC2016 # for the shell inside
    chroot --userspec=tlsmsg:tlsmsg "$root" sh -c \
        '. /etc/tlsmsg/server.env && exec tlsmsg-server --listen 127.0.0.1:0 $TLSMSG_OPTIONS' \
        >"$root/tmp/out" 2>"$root/tmp/err" </dev/null &
    server=$!
    tries=0
    until port=$(sed -n 's/.*listening on 127\.0\.0\.1://p' "$root/tmp/err") && [ -n "$port" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
            fail "the server does not start: $(cat "$root/tmp/err")"
        fi
        sleep 0.1
    done
}
# converse TEXT: one message there and back, then the server ends in order.
converse() {
    serve
    reply=$(inside timeout 20 tlsmsg-client --ca /etc/tlsmsg/certs/ca.crt -q -m "$1" \
        "127.0.0.1:$port") || fail "the client: exit $?"
    [ "$reply" = "你好，我已收到你的消息：$1" ] || fail "the reply was '$reply'"
    kill -TERM "$server"
    wait "$server" || fail "the server's exit code was $?"
    server=
    grep -q "收到消息：$1" "$root/tmp/out" || fail 'the transcript lacks the message'
}
# mode FILE: octal mode and owner, as in "600 tlsmsg".
mode() { inside stat -c '%a %U' "$1"; }
want() { # WHAT FOUND WANTED
    [ "$2" = "$3" ] || fail "$1: '$2' instead of '$3'"
}

version=$(sed -n 's/^#define TLSMSG_VERSION "\(.*\)"/\1/p' include/tlsmsg/tlsmsg.h)

say 'making a clean root'
make_root
say "building $version, and the same again as $version.1"
pack "$version"
pack "$version.1"

say 'install'
apt install "/packages/$version/tlsmsg_${version}_$(dpkg --print-architecture).deb"
inside getent passwd tlsmsg >/dev/null || fail 'there is no user tlsmsg'
want 'server.key' "$(mode /etc/tlsmsg/certs/server.key)" '600 tlsmsg'
want 'ca.key' "$(mode /etc/tlsmsg/certs/ca.key)" '600 root'
want 'folder' "$(mode /etc/tlsmsg/certs)" '755 root'
for file in /usr/bin/tlsmsg-server /usr/bin/tlsmsg-client /usr/share/man/man1/tlsmsg-server.1 \
    /usr/share/man/man7/tlsmsg.7 /usr/lib/systemd/system/tlsmsg.service \
    /usr/lib/systemd/system/tlsmsg.socket /usr/share/tlsmsg/gen-certs.sh \
    /usr/share/bash-completion/completions/tlsmsg-client; do
    inside dpkg -L tlsmsg | grep -qx "$file\(.gz\)\{0,1\}" || fail "the package lacks $file"
done
inside dpkg -L tlsmsg | grep -q '/include/' && fail 'the package of the programs has headers'
say 'run'
converse first

say 'upgrade'
pin=$(inside cat /etc/tlsmsg/certs/server.crt)
echo '# changed by the administrator' >>"$root/etc/tlsmsg/server.env"
apt install "/packages/$version.1/tlsmsg_${version}.1_$(dpkg --print-architecture).deb"
# shellcheck disable=SC2016 # dpkg's own form
want 'version' "$(inside dpkg-query -W -f '${Version}' tlsmsg)" "$version.1"
want 'certificates' "$(inside cat /etc/tlsmsg/certs/server.crt)" "$pin"
grep -q 'changed by the administrator' "$root/etc/tlsmsg/server.env" ||
    fail 'the upgrade took the configuration away'
converse second

say 'a new key, made by root: the service reads it'
inside /usr/share/tlsmsg/gen-certs.sh rekey --out /etc/tlsmsg/certs >"$work/rekey.log" 2>&1 ||
    fail "gen-certs.sh: $(cat "$work/rekey.log")"
want 'server.key' "$(mode /etc/tlsmsg/certs/server.key)" '600 tlsmsg'
[ "$(inside cat /etc/tlsmsg/certs/server.crt)" != "$pin" ] || fail 'the certificate is the old one'
pin=$(inside cat /etc/tlsmsg/certs/server.crt)
converse rekeyed

say 'remove'
apt remove tlsmsg
[ ! -e "$root/usr/bin/tlsmsg-server" ] || fail 'the program is still there'
[ -e "$root/etc/tlsmsg/server.env" ] || fail 'a removal took the configuration away'
[ -e "$root/etc/tlsmsg/certs/server.key" ] || fail 'a removal took the certificates away'
say 'install again: it goes on with what was there'
apt install "/packages/$version/tlsmsg_${version}_$(dpkg --print-architecture).deb"
want 'certificates' "$(inside cat /etc/tlsmsg/certs/server.crt)" "$pin"
converse third

say 'purge'
# What an administrator adds: further files of the configuration, and "systemctl enable".
: >"$root/etc/tlsmsg/allow"
: >"$root/etc/tlsmsg/certs/other.key"
for link in multi-user.target.wants/tlsmsg.service sockets.target.wants/tlsmsg.socket; do
    mkdir -p "$root/etc/systemd/system/${link%/*}"
    ln -s "/usr/lib/systemd/system/${link#*/}" "$root/etc/systemd/system/$link"
done
apt purge tlsmsg
want 'left by the purge' \
    "$(inside find /etc /run /usr /var -xdev -name '*tlsmsg*' ! -path '/var/log/*')" ''
want "left by the purge, the user's" "$(inside find / -xdev -nouser -o -xdev -nogroup)" ''
if inside getent passwd tlsmsg >/dev/null || inside getent group tlsmsg >/dev/null; then
    fail 'a purge left the user or the group'
fi

say 'the development package'
apt install gcc pkg-config \
    "/packages/$version/libtlsmsg-dev_${version}_$(dpkg --print-architecture).deb"
# shellcheck disable=SC2016 # for the shell inside
inside sh -c 'cc /usr/share/doc/tlsmsg/examples/ask.c -o /tmp/ask \
    $(pkg-config --cflags --libs tlsmsg)' || fail 'an example does not compile'
inside /tmp/ask 2>&1 | grep -q '^usage: ask' || fail 'an example does not run'
say passed
