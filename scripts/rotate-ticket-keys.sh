#!/bin/sh
# Makes or rotates a file of session ticket keys (--ticket-keys FILE): next becomes current, current
# becomes previous, and a new random key becomes next.
#
# For a fleet behind one address: rotate on one machine, copy the file to all, send each server a
# SIGHUP. A key is then known everywhere one rotation before anybody seals with it, and one
# rotation longer than anybody did. Rotate every few hours, and wait for all servers between two
# rotations. The file is replaced whole and is 0600 from its first byte.
set -eu

usage() {
    echo "Usage: rotate-ticket-keys.sh FILE"
}

fail() {
    echo "rotate-ticket-keys.sh: $1" >&2
    exit "${2:-1}"
}

case ${1-} in
-h | --help)
    usage
    exit 0
    ;;
esac
if [ $# -ne 1 ] || [ -z "$1" ]; then
    usage >&2
    exit 2
fi
file=$1
[ ! -d "$file" ] || fail "'$file' is a folder, not a file" 2
umask 077

# The key of one place, when the file has it; nothing else of the file is taken over.
key_of() {
    [ -f "$file" ] || return 0
    sed -n "s/^$1 \([0-9A-Fa-f]\{160\}\)\$/\1/p" "$file" | head -n 1
}

random_key() {
    key=$(openssl rand -hex 80 | tr -d '\n') || fail "openssl gave no random bytes"
    [ "${#key}" -eq 160 ] || fail "openssl gave no random bytes"
    printf '%s' "$key"
}

current=$(key_of current)
next=$(key_of next)
if [ -s "$file" ] && [ -z "$current" ]; then
    fail "'$file' is not empty and holds no ticket keys; remove it to begin anew"
fi
new=$file.new.$$
trap 'rm -f "$new"' EXIT
trap 'exit 1' HUP INT TERM
set -C
{
    [ -z "$current" ] || echo "previous $current"
    echo "current ${next:-$(random_key)}"
    echo "next $(random_key)"
} >"$new" || fail "cannot write beside '$file'"
mv -f "$new" "$file" || fail "cannot replace '$file'"
