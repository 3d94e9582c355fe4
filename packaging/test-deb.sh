#!/bin/sh
# The Debian packages, tried as users do: for each release built in a root of it, and in a clean one
# installed, run, upgraded, removed and purged; also in the place of the one package of 0.1. Needs
# root, mmdebstrap and the network; says what it skips.
set -eu
unset CDPATH
LC_ALL=C.UTF-8
export LC_ALL
here=$(cd "$(dirname "$0")" && pwd)
top=${here%/*}

help() {
    cat <<'END_OF_HELP'
Usage: test-deb.sh [--roots DIR] [RELEASE...]
Builds the Debian packages and tries them, for bookworm and trixie or the named ones.

  --roots DIR  keep the roots that are made here (RELEASE, RELEASE-build), and take those that are
               there; else they are made by mmdebstrap each time, and removed

Exit codes: 0 passed, 1 failed, 2 usage, 77 skipped.
END_OF_HELP
}

roots=
releases=
while [ $# -gt 0 ]; do
    case $1 in
    --roots)
        roots=$(realpath -m "${2:?--roots needs a folder}")
        shift
        ;;
    -h | --help)
        help
        exit 0
        ;;
    bookworm | trixie) releases="$releases $1" ;;
    *)
        echo "test-deb.sh: neither an option nor a release: '$1' (--help lists them)" >&2
        exit 2
        ;;
    esac
    shift
done
releases=${releases:-bookworm trixie}

say() { echo "test-deb.sh: $1"; }
skip() {
    say "skipped: $1"
    exit 77
}
fail() {
    echo "test-deb.sh: FAILED: $1" >&2
    exit 1
}
[ "$(id -u)" -eq 0 ] || skip 'needs root, for chroot'
command -v dpkg-deb >/dev/null || skip 'this is not Debian (dpkg-deb is missing)'
command -v mmdebstrap >/dev/null || skip 'mmdebstrap is not installed'
# In namespaces of its own: whatever is mounted or still runs goes with them.
if [ "${TLSMSG_TEST_DEB:-}" != inside ]; then
    export TLSMSG_TEST_DEB=inside
    # shellcheck disable=SC2086 # a list
    exec unshare --mount --pid --fork --kill-child --mount-proc "$0" ${roots:+--roots "$roots"} \
        $releases
fi

work=$(mktemp -d)
root=
clean() {
    if [ -n "$root" ]; then
        umount "$root/proc" 2>/dev/null || :
    fi
    rm -rf --one-file-system "$work"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
roots=${roots:-$work/roots}
mkdir -p "$roots"

# logged WHAT COMMAND...: its words are shown when it fails.
logged() {
    what=$1
    shift
    "$@" >"$work/log" 2>&1 </dev/null || {
        tail -n 40 "$work/log" >&2
        fail "$what"
    }
}
# inside COMMAND...: in the root that is tried.
inside() {
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root \
        DEBIAN_FRONTEND=noninteractive "$@"
}
apt() {
    logged "apt-get $*" inside apt-get -qq -y --no-install-recommends "$@"
}

# use ROOT: makes a root usable, and no service is started by what is installed in it.
use() {
    root=$1
    mount -t proc proc "$root/proc"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
}

make_roots() {
    if [ ! -d "$roots/$release" ]; then
        logged 'mmdebstrap cannot make a root' \
            mmdebstrap --variant=apt "$release" "$roots/$release.part"
        mv "$roots/$release.part" "$roots/$release"
    fi
    if [ ! -d "$roots/$release-build" ]; then
        rm -rf "$roots/$release-build.part"
        cp -a "$roots/$release" "$roots/$release-build.part"
        use "$roots/$release-build.part"
        apt update
        apt install cmake dpkg-dev file gcc libc6-dev libedit-dev libpq-dev libsqlite3-dev \
            libssl-dev lintian make openssl pkg-config
        umount "$root/proc"
        mv "$root" "$roots/$release-build"
    fi
    cp -a "$roots/$release" "$work/$release"
}

# Builds the packages of this version, and again as the next, into packages/ of the root to be tried.
pack() {
    use "$roots/$release-build"
    # Roots that were kept may be from before the stores.
    if ! inside dpkg-query -W libsqlite3-dev libpq-dev >/dev/null 2>&1; then
        apt update
        apt install libsqlite3-dev libpq-dev
    fi
    rm -rf "$root/source"
    mkdir "$root/source"
    (cd "$top" && git ls-files -z --cached --others --exclude-standard | xargs -0 tar cf -) | tar xf - -C "$root/source"
    # shellcheck disable=SC2016 # for the shell inside
    logged 'the build' inside sh -c 'cd /source && cmake --preset package &&
        cmake --build --preset package --parallel "$(nproc)"'
    for as in "$version" "$next"; do
        logged "cpack, as $as" inside sh -c "cd /source/build/package && cpack -G DEB -B /source/$as \
            -D CPACK_PACKAGE_VERSION=$as"
    done
    # The reasons for what is left are in its overrides.
    logged 'lintian' inside sh -c "lintian --allow-root --fail-on error,warning \
        /source/$version/*.deb"
    mv "$root/usr/bin/dpkg-shlibdeps" "$root/usr/bin/dpkg-shlibdeps.away"
    made=yes
    inside sh -c 'cd /source/build/package && cpack -G DEB -B /source/without' >"$work/log" 2>&1 ||
        made=no
    mv "$root/usr/bin/dpkg-shlibdeps.away" "$root/usr/bin/dpkg-shlibdeps"
    [ $made = no ] || fail 'cpack makes packages without dpkg-shlibdeps'
    grep -q 'dpkg-shlibdeps is missing' "$work/log" || fail 'cpack does not say what it lacks'
    mkdir "$work/$release/packages"
    cp -a "$root/source/$version" "$root/source/$next" "$work/$release/packages/"
    cp -a "$top/tests/package/tlsmsg-0.1.0" "$work/$release/packages/old"
    cp "$top/packaging/debian/server/postrm" "$work/$release/packages/"
    rm -rf "$root/source"
    umount "$root/proc"
}

# package NAME VERSION: its file in the root.
package() { echo "/packages/$2/$1_$2_$(dpkg --print-architecture).deb"; }
# mode FILE: octal mode and owner, as in "600 tlsmsg".
mode() { inside stat -c '%a %U' "$1"; }
want() { # WHAT FOUND WANTED
    [ "$2" = "$3" ] || fail "$1: '$2' instead of '$3'"
}
field() { inside dpkg-deb -f "$(package "$1" "$version")" "$2"; }
# status PACKAGE: "installed", "config-files" or, of one that is not known, nothing.
status() {
    # shellcheck disable=SC2016 # dpkg's own form
    inside dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || :
}

# The server as the unit starts it: with its configuration, as its user.
serve() {
    : >"$root/tmp/out"
    : >"$root/tmp/err"
    chroot --userspec=tlsmsg:tlsmsg "$root" tlsmsg-server --config /etc/tlsmsg/server.conf \
        --listen 127.0.0.1:0 >"$root/tmp/out" 2>"$root/tmp/err" </dev/null &
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
# stored TEXT: whether the store has it.
stored() {
    chroot --userspec=tlsmsg:tlsmsg "$root" tlsmsg-store export /var/lib/tlsmsg/store.db |
        grep -q "\"$1\""
}
# converse TEXT: one message there and back, then the server ends in order.
converse() {
    serve
    reply=$(inside timeout 20 tlsmsg-client --ca /etc/tlsmsg/certs/ca.crt -q -m "$1" \
        "127.0.0.1:$port") || fail "the client: exit $?"
    case $reply in
    *"：$1") ;;
    *) fail "the reply was '$reply'" ;;
    esac
    kill -TERM "$server"
    wait "$server" || fail "the server's exit code was $?"
    # Options of 0.1 have no store, and messages on standard output.
    if grep -q '^store ' "$root/etc/tlsmsg/server.conf"; then
        stored "$1" || fail 'the store lacks the message'
        [ ! -s "$root/tmp/out" ] || fail "standard output has '$(cat "$root/tmp/out")'"
    else
        grep -q "：$1\$" "$root/tmp/out" || fail 'the transcript lacks the message'
    fi
}

try_dependencies() {
    depends=$(field libtlsmsg0.2 Depends | sed 's/ ([^)]*)//g')
    case $depends in
    'libc6, libssl3' | 'libc6, libssl3t64') ;;
    *) fail "the library depends on '$depends'" ;;
    esac
    for name in tlsmsg-server tlsmsg-client libtlsmsg-dev; do
        case ", $(field "$name" Depends)," in
        *", libtlsmsg0.2 (= $version),"*) ;;
        *) fail "$name depends on '$(field "$name" Depends)'" ;;
        esac
    done
    case $(field tlsmsg-client Depends) in
    *libedit2*) ;;
    *) fail 'the client has no line editing' ;;
    esac
    case $(field tlsmsg-server Depends) in
    *libpq5*libsqlite3-0*) ;;
    *) fail "the server has not both stores: $(field tlsmsg-server Depends)" ;;
    esac
    for name in tlsmsg-client libtlsmsg0.2; do
        case $(field "$name" Depends) in
        *libpq*) fail "$name depends on libpq" ;;
        esac
    done
}

try_client() {
    say "$release: the client alone"
    apt install "$(package libtlsmsg0.2 "$version")" "$(package tlsmsg-client "$version")"
    inside tlsmsg-client --version | grep -q "^tlsmsg-client $version " || fail 'it does not run'
    [ ! -e "$root/etc/tlsmsg" ] || fail 'a client has a configuration for the server'
    ! inside getent passwd tlsmsg >/dev/null || fail 'a client has the user of the service'
    apt purge tlsmsg-client libtlsmsg0.2
}

install_both() { # VERSION [FILE...]
    as=$1
    shift
    apt install "$(package libtlsmsg0.2 "$as")" "$(package tlsmsg-client "$as")" \
        "$(package tlsmsg-server "$as")" "$@"
}

try_installed() {
    say "$release: install, run"
    install_both "$version"
    inside getent passwd tlsmsg >/dev/null || fail 'there is no user tlsmsg'
    want 'server.key' "$(mode /etc/tlsmsg/certs/server.key)" '600 tlsmsg'
    want 'folder' "$(mode /etc/tlsmsg/certs)" '755 root'
    want "the CA's folder" "$(mode /etc/tlsmsg/ca)" '700 root'
    want "the store's folder" "$(mode /var/lib/tlsmsg)" '700 tlsmsg'
    want "the CA's key" "$(mode /etc/tlsmsg/ca/ca.key)" '600 root'
    [ ! -e "$root/etc/tlsmsg/certs/ca.key" ] || fail "the CA's key is beside the server's"
    while read -r name file; do
        inside dpkg -L "$name" | grep -qx "$file\(.gz\)\{0,1\}" || fail "$name lacks $file"
    done <<END
tlsmsg-server /usr/bin/tlsmsg-server
tlsmsg-server /usr/share/man/man1/tlsmsg-server.1
tlsmsg-server /usr/share/man/man7/tlsmsg.7
tlsmsg-server /usr/lib/systemd/system/tlsmsg.service
tlsmsg-server /usr/lib/systemd/system/tlsmsg-server@.service
tlsmsg-server /usr/lib/systemd/system/tlsmsg.socket
tlsmsg-server /usr/lib/systemd/system/tlsmsg-renew.service
tlsmsg-server /usr/lib/systemd/system/tlsmsg-renew.timer
tlsmsg-server /usr/libexec/tlsmsg/certbot-deploy
tlsmsg-server /usr/share/doc/tlsmsg-server/NEWS.Debian
tlsmsg-server /usr/share/doc/tlsmsg-server/examples/fleet/README.md
tlsmsg-server /usr/bin/tlsmsg-certs
tlsmsg-server /usr/share/man/man1/tlsmsg-certs.1
tlsmsg-server /usr/bin/tlsmsg-store
tlsmsg-server /usr/share/man/man1/tlsmsg-store.1
tlsmsg-server /usr/bin/tlsmsg-ticket-keys
tlsmsg-server /usr/share/man/man1/tlsmsg-ticket-keys.1
tlsmsg-client /usr/bin/tlsmsg-client
tlsmsg-client /usr/lib/systemd/system/tlsmsg-spool@.service
tlsmsg-client /usr/lib/systemd/system/tlsmsg-spool@.timer
tlsmsg-client /usr/share/man/man1/tlsmsg-client.1
tlsmsg-client /usr/share/bash-completion/completions/tlsmsg-client
END
    apt install debsums
    for name in tlsmsg-server tlsmsg-client libtlsmsg0.2; do
        ! inside dpkg -L "$name" | grep -q '/include/' || fail "$name has headers"
        logged "debsums $name" inside debsums --all "$name"
    done
    # shellcheck disable=SC2016 # dpkg's own form
    want 'conffiles' "$(inside dpkg-query -W -f '${Conffiles}' tlsmsg-server |
        sed -n 's/^ \([^ ]*\) .*/\1/p' | sort | xargs)" '/etc/logrotate.d/tlsmsg /etc/tlsmsg/server.conf'
    # What texts name is what is installed.
    inside tlsmsg-server --listen 127.0.0.1:0 >"$work/log" 2>&1 && fail 'it needs no certificate'
    grep -q 'tlsmsg-certs' "$work/log" || fail "it names another tool: $(cat "$work/log")"
    converse first
}

try_upgrade() {
    say "$release: upgrade, a new key"
    certificate=$(inside cat /etc/tlsmsg/certs/server.crt)
    echo '# changed by the administrator' >>"$root/etc/tlsmsg/server.conf"
    install_both "$next"
    # shellcheck disable=SC2016 # dpkg's own form
    want 'version' "$(inside dpkg-query -W -f '${Version}' tlsmsg-server)" "$next"
    want 'certificates' "$(inside cat /etc/tlsmsg/certs/server.crt)" "$certificate"
    grep -q 'changed by the administrator' "$root/etc/tlsmsg/server.conf" ||
        fail 'the upgrade took the configuration away'
    converse second
    stored first || fail 'the upgrade took the store away'
    # Made by root: the service reads it.
    logged 'tlsmsg-certs' inside tlsmsg-certs rekey --out /etc/tlsmsg/certs \
        --ca-dir /etc/tlsmsg/ca
    want 'server.key' "$(mode /etc/tlsmsg/certs/server.key)" '600 tlsmsg'
    [ "$(inside cat /etc/tlsmsg/certs/server.crt)" != "$certificate" ] ||
        fail 'the certificate is the old one'
    converse rekeyed
}

try_removal() {
    say "$release: remove, install again, purge"
    certificate=$(inside cat /etc/tlsmsg/certs/server.crt)
    apt remove tlsmsg-server
    [ ! -e "$root/usr/bin/tlsmsg-server" ] || fail 'the program is still there'
    [ -e "$root/etc/tlsmsg/server.conf" ] || fail 'a removal took the configuration away'
    [ -e "$root/etc/tlsmsg/certs/server.key" ] || fail 'a removal took the certificates away'
    apt --allow-downgrades install "$(package tlsmsg-server "$next")"
    want 'certificates' "$(inside cat /etc/tlsmsg/certs/server.crt)" "$certificate"
    converse third
    for text in first second rekeyed; do
        stored "$text" || fail "a removal took '$text' out of the store"
    done
    purge_all
}

# A purge, with what an administrator adds: further files, and "systemctl enable".
purge_all() {
    : >"$root/etc/tlsmsg/allow"
    : >"$root/etc/tlsmsg/certs/other.key"
    mkdir -p "$root/var/lib/tlsmsg-spool"
    : >"$root/var/lib/tlsmsg-spool/localhost.db"
    inside install -d -o tlsmsg -g tlsmsg -m 700 /var/lib/tlsmsg-server-two
    inside install -o tlsmsg -g tlsmsg /dev/null /var/lib/tlsmsg-server-two/store.db
    for link in multi-user.target.wants/tlsmsg.service sockets.target.wants/tlsmsg.socket \
        multi-user.target.wants/tlsmsg-server@two.service timers.target.wants/tlsmsg-renew.timer \
        timers.target.wants/tlsmsg-spool@localhost.timer; do
        mkdir -p "$root/etc/systemd/system/${link%/*}"
        ln -s "/usr/lib/systemd/system/${link#*/}" "$root/etc/systemd/system/$link"
    done
    apt purge tlsmsg-server tlsmsg-client libtlsmsg0.2
    kept=/var/lib/tlsmsg-server-two
    if [ -e "$root/var/lib/tlsmsg/store.db" ]; then
        want 'the store' "$(mode /var/lib/tlsmsg/store.db)" '600 tlsmsg'
        kept="/var/lib/tlsmsg $kept"
    fi
    grep -q "stored messages stay in $kept, and" "$work/log" ||
        fail 'the purge does not say that the stores stay'
    grep -q 'messages that wait to be delivered stay in /var/lib/tlsmsg-spool' "$work/log" ||
        fail 'the purge does not say that a spool stays'
    # Without them nothing stays.
    rm -rf "$root/var/lib/tlsmsg" "$root/var/lib/tlsmsg-server-two" "$root/var/lib/tlsmsg-spool"
    logged 'the script of a purge' inside sh -e /packages/postrm purge
    want 'left by the purge' \
        "$(inside find /etc /run /usr /var -xdev -name '*tlsmsg*' ! -path '/var/log/apt/*')" ''
    want "left by the purge, the user's" "$(inside find / -xdev -nouser -o -xdev -nogroup)" ''
    if inside getent passwd tlsmsg >/dev/null || inside getent group tlsmsg >/dev/null; then
        fail 'a purge left the user or the group'
    fi
}

# The one package of 0.1: replaced by the others with the transitional package, or without it.
try_replacement() { # with|without changed|unchanged
    say "$release: in the place of tlsmsg 0.1.0 with $2 options, $1 the transitional package"
    logged 'dpkg-deb' inside dpkg-deb --build --root-owner-group /packages/old /packages/old.deb
    apt install /packages/old.deb
    [ "$2" = unchanged ] ||
        sed -i 's/^TLSMSG_OPTIONS="/&--log-level info /' "$root/etc/tlsmsg/server.env"
    # Its script asks a tool for certificates that the stand-in lacks.
    mkdir "$root/etc/tlsmsg/certs"
    logged 'gen-certs.sh' "$top/scripts/gen-certs.sh" --quiet --force --out "$root/etc/tlsmsg/certs"
    inside chown tlsmsg:tlsmsg /etc/tlsmsg/certs/server.key
    user=$(inside id -u tlsmsg)
    certificate=$(inside cat /etc/tlsmsg/certs/server.crt)
    if [ "$1" = with ]; then
        install_both "$version" "/packages/$version/tlsmsg_${version}_all.deb"
        want 'tlsmsg' "$(status tlsmsg)" installed
    else
        install_both "$version"
        case $(status tlsmsg) in
        config-files | '') ;;
        *) fail "tlsmsg 0.1.0 is still '$(status tlsmsg)'" ;;
        esac
    fi
    if [ "$2" = unchanged ]; then
        grep -q 'messages are kept in a store now' "$work/log" ||
            fail 'it is not told that messages are elsewhere now'
    fi
    # A key is not a script's to move; what the administrator has to do is told.
    grep -q '^  cp -p /etc/tlsmsg/certs/ca.\* /etc/tlsmsg/ca$' "$work/log" ||
        fail "it is not told how to move the CA's key"
    for step in replaced purged; do
        want 'user' "$(inside id -u tlsmsg)" "$user"
        want 'certificates' "$(inside cat /etc/tlsmsg/certs/server.crt)" "$certificate"
        [ "$2" = unchanged ] || grep -q -x 'log-level info' "$root/etc/tlsmsg/server.conf" ||
            fail 'the options of 0.1.0 are lost'
        converse "$step"
        # What is left of the old package must take nothing along.
        [ "$step" = purged ] || [ -z "$(status tlsmsg)" ] || apt purge tlsmsg
    done
    purge_all
}

try_development() {
    say "$release: the development package"
    apt install gcc libc6-dev pkg-config "$(package libtlsmsg0.2 "$version")" \
        "$(package libtlsmsg-dev "$version")"
    # shellcheck disable=SC2016 # for the shell inside
    logged 'an example does not compile' inside sh -c \
        'cc /usr/share/doc/libtlsmsg-dev/examples/ask.c -o /tmp/ask $(pkg-config --cflags --libs tlsmsg)'
    inside /tmp/ask 2>&1 | grep -q '^usage: ask' || fail 'an example does not run'
}

version=$(sed -n 's/^#define TLSMSG_VERSION "\(.*\)"/\1/p' "$top/include/tlsmsg/tlsmsg.h")
next=$version.1
for release in $releases; do
    say "$release: roots"
    make_roots
    say "$release: building $version, and the same again as $next"
    pack
    use "$work/$release"
    apt update
    try_dependencies
    try_client
    try_installed
    try_upgrade
    try_removal
    try_replacement with changed
    try_replacement without changed
    try_replacement without unchanged
    try_development
    umount "$root/proc"
    rm -rf --one-file-system "$root"
done
say passed
