#!/bin/sh
# Makes or rotates a file of session ticket keys (--ticket-keys FILE): next becomes current, current
# becomes previous, and a new random key becomes next.
#
# For a fleet behind one address: rotate on one machine, copy the file to all, send each server a
# SIGHUP. A key is then known everywhere one rotation before anybody seals with it, and one
# rotation longer than anybody did. Rotate every few hours, and wait for all servers between two
# rotations.
#
# The file is replaced whole, 0600 from its first byte, and then as readable as the one before was,
# to the same users: a service reads what root rotates. A link stays; what it names is replaced.
# Root works only in folders that nobody but root can change: in any other the owner can exchange
# files between any two steps.
set -u
LC_ALL=C
export LC_ALL
unset CDPATH

me=${0##*/} # rotate-ticket-keys.sh, or tlsmsg-ticket-keys where it is installed

help() {
    cat <<END
Usage: $me FILE

Makes FILE, the session ticket keys of tlsmsg-server --ticket-keys, or rotates
it: next becomes current, current becomes previous, and next is a new key. The
file keeps its owner, group and mode; a new one is readable by its owner alone.
Then copy it to all servers that share it, and send each one a SIGHUP.

  -h, --help            this text

Root works only in folders that nobody else can change. The variable OPENSSL
names the openssl program.
Exit codes: 0 done, 1 failed, 2 usage.
END
}

# The user's words reach the terminal without their control characters.
shown() { printf '%s' "$1" | tr -c '\040-\176' '?'; }
die() {
    printf '%s: %s\n' "$me" "$1" >&2
    exit "${2:-1}"
}

# ---- the way to the file

# The words of "ls -ld": mode, owner and group. A name after them does no harm.
access_of() { # FILE OPTIONS
    # shellcheck disable=SC2012,SC2046  # words, the first ones
    set -- $(ls "$2" "$1" | head -n 1)
    [ $# -gt 4 ] && echo "$1 $3 $4"
}
owner_of() { # FILE OPTIONS
    access_of "$@" | cut -d ' ' -f 2
}
refuse() { # CULPRIT
    at=$(pwd -P) who="user '$(owner_of "$1" -ld)'"
    case $1 in ./*) at=${at%/}/${1#./} ;; esac
    at=$(shown "$at") cure="as that user, or a folder of root's"
    if is_trusted "$(owner_of "$1" -ldn)"; then
        who=others cure="chmod go-w '$at', or another folder"
    fi
    die "root does not work on '$(shown "$file")', which $who can change at '$at' (try: $cure)"
}
# Besides root, whoever can change this script: what it does for root is theirs already.
trust_script() {
    # shellcheck disable=SC2046  # words
    set -- $(access_of "$0" -ldnL)
    trusted_user=${2:-0} trusted_group=0
    case ${1-} in ?????w*) trusted_group=$3 ;; esac
}
is_trusted() { [ "$1" = 0 ] || [ "$1" = "$trusted_user" ]; } # USER
# Whether only the trusted can exchange what the current folder has. In one with the sticky bit, as
# /tmp is, others can add to it but not exchange what is root's: that will do on the way.
is_safe() { # way|end
    # shellcheck disable=SC2046  # words
    set -- "$1" $(access_of . -ldn)
    is_trusted "$3" || return
    case $2 in
        d????-??-?*) return 0 ;;
        d????w??-?*) if [ "$4" = 0 ] || [ "$4" = "$trusted_group" ]; then return 0; fi ;;
    esac
    case $1:$2 in way:d????????[tT]*) ;; *) return 1 ;; esac
}
# Root takes each step in a folder that nobody else can change, so that what was looked at stays.
check() { # way|end, or the name of what is in the current folder
    [ "$(id -u)" = 0 ] || return 0
    case $1 in
        ./*) is_trusted "$(owner_of "$1" -ldn)" || refuse "$1" ;;
        *) is_safe "$1" || refuse . ;;
    esac
}
# Goes to the folder of the file, through links, and sets $name to its name there.
go_to() { # FILE
    trust_script
    rest=$1 links=0
    # From the root on, as the way to the current folder may be others'.
    case $(id -u):$rest in 0:[!/]*) rest=$(pwd -P)/$rest ;; esac
    case $rest in /*) cd / || exit 1 ;; esac
    while :; do
        while [ "${rest#/}" != "$rest" ]; do rest=${rest#/}; done
        [ -n "$rest" ] || die "'$(shown "$file")' is a folder, not a file" 2
        name=./${rest%%/*} after=
        case $rest in */*) after=${rest#*/} ;; esac
        check way
        if [ -L "$name" ]; then
            check "$name"
            links=$((links + 1))
            [ $links -lt 40 ] || die "too many links on the way to '$(shown "$file")'"
            rest=$(readlink "$name")${after:+/$after} || exit 1
            case $rest in /*) cd / || exit 1 ;; esac
        elif [ -d "$name" ]; then
            check "$name"
            cd "$name" 2>/dev/null || die "cannot open the folder of '$(shown "$file")'"
            rest=$after
        else
            [ -z "$after" ] || die "cannot open the folder of '$(shown "$file")'"
            break
        fi
    done
    check end
}

# ---- the keys

# The lines of the file that say something, read as the server reads them: a byte order mark, CR and
# blanks at the ends mean nothing.
bom=$(printf '\357\273\277')
lines() {
    [ ! -f "$name" ] || LC_ALL=C sed "s/^$bom//; s/[[:space:]]*\$//; /^\$/d; /^#/d" "$name"
}
# A line that is not understood, or says again what one before it has said: the key would be lost.
stray_line() {
    lines | LC_ALL=C awk '
        !/^(previous|current|next) [0-9A-Fa-f]+$/ || length($2) != 160 || seen[$1]++ { print NR; exit }'
}
# The key of one place, when the file has it; nothing else of the file is taken over.
key_of() { # current|next
    lines | sed -n "s/^$1 //p"
}
random_key() {
    key=$("${OPENSSL:-openssl}" rand -hex 80 | tr -d '\n')
    [ "${#key}" -eq 160 ] || die 'openssl gave no random bytes'
    printf '%s' "$key"
}
# Owner first, while nobody else may read it. Everybody may read no keys.
take_after() { # OLD NEW
    if ! { old=$(access_of "$1" -ldn) && own=$(access_of "$2" -ldn); }; then
        die "cannot tell who owns '$shown'"
    fi
    owner=${old#* }
    [ "$owner" = "${own#* }" ] || chown -h "${owner% *}:${owner#* }" "$2" 2>/dev/null ||
        die "cannot keep the owner and group of '$shown' (try: as root or its owner)"
    mode=$(echo "${old%% *}" | sed 's/^.\(...\)\(...\).*/u=\1,g=\2,o=/; s/[st]/x/g; s/[-ST]//g')
    chmod "$mode" "$2" || die "cannot set the mode of '$shown'"
}
rotate() {
    if [ -e "$name" ] && [ ! -f "$name" ]; then die "'$shown' is not a regular file"; fi
    if [ -f "$name" ] && [ ! -r "$name" ]; then die "cannot read '$shown'"; fi
    current=$(key_of current) next=$(key_of next)
    if [ -s "$name" ] && [ -z "$current" ]; then
        die "'$shown' is not empty and holds no ticket keys (try: remove it)"
    fi
    [ -z "$(stray_line)" ] ||
        die "'$shown' has a line that is not one of the ticket keys, each once (try: mend it)"
    [ -n "$next" ] || next=$(random_key) || exit 1
    last=$(random_key) || exit 1
    new=$name.new.$$
    trap 'rm -f "$new"' EXIT
    trap 'exit 1' HUP INT TERM
    set -C
    {
        [ -z "$current" ] || echo "previous $current"
        echo "current $next"
        echo "next $last"
    } 2>/dev/null >"$new" || die "cannot write beside '$shown'"
    set +C
    [ ! -e "$name" ] || take_after "$name" "$new"
    mv -f "$new" "$name" || die "cannot replace '$shown'"
}

case ${1-} in
    -h | --help)
        help
        exit 0 ;;
    -?*) die "unknown option '$(shown "$1")' (try: --help)" 2 ;;
esac
if [ $# -ne 1 ] || [ -z "$1" ]; then die 'one FILE is needed (try: --help)' 2; fi
file=$1 shown=$(shown "$1")
umask 077
go_to "$file"
rotate
