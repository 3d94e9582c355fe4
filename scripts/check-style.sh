#!/bin/sh
# Holds the source against its own rules: floors, no conditionals in flow code, format, static
# analysis, shell scripts. Says what it skips because a tool is missing; with CI=true that is a
# failure, since then nobody else would notice.
set -eu
unset CDPATH
LC_ALL=C.UTF-8
export LC_ALL
cd "$(dirname "$0")/.."

help() {
    cat <<'END'
Usage: check-style.sh [--fast]
Checks floors, conditionals, lengths, format, clang-tidy, cppcheck and shellcheck.

  --fast  without clang-tidy and cppcheck, which take minutes
END
}

fast=false
for word; do
    case $word in
    --fast) fast=true ;;
    -h | --help)
        help
        exit 0
        ;;
    *)
        echo "check-style.sh: unknown option '$word' (--help lists them)" >&2
        exit 2
        ;;
    esac
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
failed=0

# check RULE COMMAND...: what the command prints are violations of the rule.
check() {
    rule=$1
    shift
    "$@" >"$work/found" 2>&1
    if [ -s "$work/found" ]; then
        failed=$((failed + 1))
        echo "check-style.sh: $rule:"
        sed 's/^/  /' "$work/found"
    fi
}

# have TOOL [VERSION]: true when it is there in that version; else says so. What the format is and
# what an analysis finds change with a tool's version, so these are pinned to Debian 12's.
have() {
    if ! command -v "$1" >/dev/null; then
        if [ "${CI:-}" = true ]; then
            failed=$((failed + 1))
            echo "check-style.sh: $1 is missing (scripts/setup.sh --check-tools installs it)"
        else
            echo "check-style.sh: skipped: $1 is not installed (scripts/setup.sh --check-tools)"
        fi
        return 1
    fi
    if [ $# -eq 2 ] && ! "$1" --version | grep -qE "(version|Cppcheck) $2"; then
        echo "check-style.sh: skipped: $1 is not version $2"
        return 1
    fi
    echo "check-style.sh: $1"
}

# found PATTERN...: the files that are ours, NUL-terminated; see find(1).
found() {
    find include src tests "$@" -print0
}

# Each folder includes its own headers and those of lower floors; the programs are users of the
# public library, so of the rest they see src/base alone; neither sees the other's wing of src/app. The umbrella header belongs to floor 3;
# version.c is where its own two functions are. What Linux alone has is behind one file each.
floors() {
    # shellcheck disable=SC2016 # awk's own $0
    find src -name '*.[ch]' -exec awk '
        BEGIN {
            floor["base"] = 0; floor["net"] = 1; floor["options"] = 1; floor["protocol"] = 2; floor["transport"] = 2
            floor["server"] = 3; floor["client"] = 3; floor["app"] = 4
            public["error.h"] = 0; public["options.h"] = 1; public["tls.h"] = 2; public["server.h"] = 3
            public["client.h"] = 3; public["tlsmsg.h"] = 3
            only["sys/epoll.h"] = "src/net/loop.c"
            only["sys/eventfd.h"] = "src/base/wake.c"
            only["sys/signalfd.h"] = "src/app/signals.c"
            only["sys/prctl.h"] = only["sys/syscall.h"] = "src/app/server/sandbox.c"
            only["sys/random.h"] = "src/server/limits.c"
            only["malloc.h"] = "src/base/build.h"
        }
        FNR == 1 {
            split(FILENAME, part, "/")
            here = part[2]
            wing = part[3]
            tls = FILENAME ~ /^src\/transport\/tls\//
            if (!(here in floor)) print FILENAME ": no floor is known for src/" here
        }
        function wrong(why) { print FILENAME ":" FNR ": " why ": " $0 }
        /^[ \t]*#[ \t]*include/ {
            name = $0
            sub(/^[^<"]*[<"]/, "", name)
            sub(/[>"].*$/, "", name)
            n = split(name, to, "/")
            if (to[1] == "tlsmsg") {
                if (!(to[2] in public)) wrong("no such public header")
                else if (public[to[2]] > floor[here] && FILENAME != "src/transport/version.c")
                    wrong("a public header of a higher floor")
            } else if (index($0, "\"")) {
                if (n == 1 || !(to[1] in floor)) wrong("not named from src/")
                else if (here == "app" && to[1] == "app") {
                    if (n == 3 && to[2] != wing) wrong("the other wing, or a wing from the common part")
                } else if (to[1] == here) next
                else if (floor[to[1]] >= floor[here]) wrong("a sibling or a higher floor")
                else if (here == "app" && to[1] != "base") wrong("not a public header")
            } else if (to[1] == "openssl" && !tls) {
                wrong("OpenSSL outside src/transport/tls")
            } else if (name in only && FILENAME != only[name]) {
                wrong("outside " only[name])
            } else if (to[1] == "linux" || to[1] == "asm") {
                wrong("a header of the kernel")
            }
        }
        /accept4\([^0-9]/ && FILENAME != "src/net/socket.c" { wrong("outside src/net/socket.c") }
        /"\/proc\// && FILENAME != "src/app/server/stdout.c" { wrong("outside src/app/server/stdout.c") }
        ' {} +
}

conditionals() {
    find src -name '*.c' -exec grep -nE '^[[:space:]]*#[[:space:]]*(if|ifdef|ifndef|elif)' \
        /dev/null {} + || :
}

lengths() {
    found -name '*.[ch]' | xargs -0 awk 'FNR == 601 { print FILENAME ": over 600 lines" }'
}

# Work that is left to do belongs in an issue.
words() {
    grep -rnIwE 'TO''DO|FIX''ME' include src tests scripts docs packaging ./*.md 2>/dev/null || :
}

# The names alone: clang-format -i mends them.
format() {
    found -name '*.[ch]' | xargs -0 clang-format --dry-run -Werror 2>&1 |
        sed -n 's/^\([^:]*\):[0-9].* error: .*/\1/p' | sort -u
}

# tidy TLS|plaintext: each file that the build compiles; the second time only what is new.
tidy() {
    if [ "$1" = plaintext ]; then option=ON; else option=OFF; fi
    if pkg-config --exists libedit; then editing=ON; else editing=OFF; fi
    if ! cmake -S . -B "$work/build" -DTLSMSG_TESTS=OFF -DCMAKE_BUILD_TYPE=Debug \
        -DTLSMSG_EDITLINE=$editing -DTLSMSG_PLAINTEXT=$option >"$work/log" 2>&1; then
        cat "$work/log"
        return
    fi
    touch "$work/done"
    sed -n 's/^ *"file": "\(.*\)",*$/\1/p' "$work/build/compile_commands.json" | sort -u |
        grep -vxFf "$work/done" >"$work/files" || :
    cat "$work/files" >>"$work/done"
    xargs -P "$(nproc)" -n 1 clang-tidy --quiet -p "$work/build" <"$work/files" 2>"$work/log" || :
    grep -E 'error:' "$work/log" || :
    rm -rf "$work/build"
}

analysis() {
    cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
        --suppress=missingIncludeSystem --template='{file}:{line}: {id}: {message}' \
        -D_GNU_SOURCE -DTLSMSG_BUILD_PLAINTEXT=0 -DTLSMSG_BUILD_SANDBOX=1 \
        -DTLSMSG_BUILD_MALLOC_TRIM=1 -I src -I include -j "$(nproc)" src || :
}

# Package managers run theirs without a first line (RPM), or by one (Debian): sh in either case.
# The Containerfile's rules are a test's, tests/package/test_container.py.
scripts() {
    shellcheck scripts/*.sh packaging/*.sh .ci/run || :
    shellcheck --shell=sh packaging/debian/server/p* packaging/rpm/* || :
    shellcheck --shell=bash packaging/completions/*.bash || :
}

echo "check-style.sh: floors, conditionals, lengths, words"
check 'includes that break the floors' floors
check 'conditionals in flow code (CMake picks files instead)' conditionals
check 'too long' lengths
check 'left to do' words
if have clang-format 14; then
    check 'clang-format would change' format
fi
if have shellcheck; then
    check 'shellcheck' scripts
fi
if ! $fast && have cppcheck 2.10; then
    check 'cppcheck' analysis
fi
if ! $fast && have clang-tidy 14; then
    check 'clang-tidy, TLS build' tidy TLS
    check 'clang-tidy, plaintext build' tidy plaintext
fi

if [ "$failed" -gt 0 ]; then
    echo "check-style.sh: $failed rule(s) broken"
    exit 1
fi
echo "check-style.sh: all rules kept"
