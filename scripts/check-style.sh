#!/bin/sh
# Holds the source against its own rules: floors, no conditionals in flow code, format, static
# analysis, shell scripts. Says what it skips because a tool is missing; with CI=true that is a
# failure, since then nobody else would notice.
set -eu
unset CDPATH
LC_ALL=C.UTF-8
export LC_ALL
cd "$(dirname "$0")/.."

# The rules, in the order in which they run; each is a function of its name below. 'rings' needs a
# build; the tests name it, with theirs.
quick='floors conditionals lengths headers sizes constants forms glossary texts words format scripts'
named=rings
slow='analysis tidy'

help() {
    cat <<'END'
Usage: check-style.sh [OPTIONS] [RULE...]
Holds the source against all rules, or those that are named.

  --fast         without clang-tidy and cppcheck, which take minutes
  --objects DIR  a finished build's folder, for the rule 'rings'
  --list         names the rules
  -h, --help     this text
END
}

fast=false objects='' rules=''
while [ $# -gt 0 ]; do
    case $1 in
    --fast) fast=true ;;
    --objects)
        if [ ! -d "${2:-}/src" ]; then
            echo "check-style.sh: --objects needs the folder of a finished build" >&2
            exit 2
        fi
        objects=$2
        shift
        ;;
    --list)
        printf '%s\n' "$quick $named $slow" | tr ' ' '\n'
        exit 0
        ;;
    -h | --help)
        help
        exit 0
        ;;
    *)
        case " $quick $named $slow " in
        *" $1 "*) rules="$rules $1" ;;
        *)
            echo "check-style.sh: neither an option nor a rule: '$1' (--help lists options)" >&2
            exit 2
            ;;
        esac
        ;;
    esac
    shift
done
if [ -z "$rules" ]; then
    rules=$quick
    $fast || rules="$rules $slow"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
failed=0

# check WHY: what the rule's function prints are violations.
check() {
    "$rule" >"$work/found" 2>&1
    if [ -s "$work/found" ]; then
        failed=$((failed + 1))
        echo "check-style.sh: $rule: $1:"
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
# public library, so of the rest they see src/base alone; neither sees the other's wing of src/app.
# src/store is a user of the library as they are, and theirs is the only use of it. The umbrella
# header belongs to floor 3; version.c is where its own two functions are. What Linux alone has is
# behind one file each.
floors() {
    # shellcheck disable=SC2016 # awk's own $0
    find src -name '*.[ch]' -exec awk '
        BEGIN {
            floor["base"] = 0; floor["net"] = 1; floor["options"] = 1; floor["protocol"] = 2; floor["transport"] = 2
            floor["server"] = 3; floor["client"] = 3; floor["app"] = 4; floor["store"] = 4
            public["error.h"] = 0; public["options.h"] = 1; public["tls.h"] = 2; public["server.h"] = 3
            public["client.h"] = 3; public["tlsmsg.h"] = 3
            only["sys/epoll.h"] = "src/net/loop.c"
            only["sys/eventfd.h"] = "src/base/wake.c"
            only["sys/signalfd.h"] = "src/app/signals.c"
            only["sys/prctl.h"] = "src/app/server/keeper.c src/app/server/sandbox.c src/app/server/syscall_filter.c"
            only["sys/syscall.h"] = "src/app/server/keeper.c src/app/server/landlock.c src/app/server/sandbox.c"
            only["sys/random.h"] = "src/server/limits.c src/client/numbers.c"
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
                else if (here == "app" && to[1] == "store" && (wing == "server" || wing == "store" ||
                    FILENAME == "src/app/client/spooling.c")) next
                else if (floor[to[1]] >= floor[here]) wrong("a sibling or a higher floor")
                else if (floor[here] == 4 && to[1] != "base") wrong("not a public header")
            } else if (to[1] == "openssl" && !tls && FILENAME != "src/app/sha256.c") {
                wrong("OpenSSL outside src/transport/tls")
            } else if (name in only && !index(" " only[name] " ", " " FILENAME " ")) {
                wrong("outside " only[name])
            } else if (to[1] == "linux" || to[1] == "asm") {
                wrong("a header of the kernel")
            }
        }
        /accept4\([^0-9]/ && FILENAME != "src/net/socket.c" { wrong("outside src/net/socket.c") }
        /"\/proc\// && FILENAME !~ /^src\/(app\/server\/stdout|base\/tools)\.c$/ {
            wrong("outside src/app/server/stdout.c and src/base/tools.c")
        }
        ' {} +
}

conditionals() {
    find src -name '*.c' -exec grep -nE '^[[:space:]]*#[[:space:]]*(if|ifdef|ifndef|elif)' \
        /dev/null {} + || :
}

lengths() {
    found -name '*.[ch]' | xargs -0 awk 'FNR == 601 { print FILENAME ": over 600 lines" }'
}

# A header tells where the code is: what it declares stands in the file of its name. Free of that is
# the one header that a floor's files share, and what CMake picks files for, with TLS or without.
headers() {
    # shellcheck disable=SC2046 # names without spaces
    awk -v chosen=' src/transport/transport.h src/transport/digest.h src/server/flow.h src/app/client/editor.h ' '
        FNR == 1 { of = FILENAME; sub(/\.[ch]$/, "", of) }
        /^[a-z].*[a-z0-9_]\(/ && !/^(static|typedef|extern "C")/ {
            name = $0
            gsub(/__attribute__ *\(\([^)]*\)+\)* */, "", name)
            if (match(name, /[A-Za-z0-9_]+\(/)) {
                name = substr(name, RSTART, RLENGTH - 1)
                if (FILENAME ~ /\.c$/) {
                    at[name] = at[name] " " FILENAME
                } else if (FILENAME !~ /[\/_]internal\.h$/ && !index(chosen, " " FILENAME " ") &&
                           !index(at[name] " ", " " of ".c ")) {
                    print FILENAME ":" FNR ": " name " is defined in" \
                        (at[name] == "" ? " no file" : at[name]) ", not in " of ".c"
                }
            }
        }
        ' $(find src -name '*.c') $(find src -name '*.h')
}

# FOLDER LINES MEDIAN: how many lines a floor may have in all (.c and .h), and how long half of its
# .c files are at least. Fewer and larger rooms are easier to find one's way in; a floor that
# outgrows its budget has taken on something that belongs elsewhere, or earns a new number here.
# Shorter files are at home where each is one small thing for all others (src/base, src/app itself),
# and src/transport has little but the interface.
budgets() {
    cat <<'END'
src/base 2450 100
src/net 1800 150
src/options 1000 150
src/protocol 700 150
src/transport 500 0
src/transport/tls 7500 150
src/server 5450 150
src/client 2000 150
src/store 6000 150
src/app 1750 80
src/app/server 5800 150
src/app/client 5200 150
src/app/store 1900 100
END
}

sizes() {
    budgets >"$work/budgets"
    # shellcheck disable=SC2046 # names without spaces
    wc -l $(find src -name '*.[ch]') | awk -v budgets="$work/budgets" '
        BEGIN {
            while ((getline line <budgets) > 0) {
                split(line, part, " ")
                most[part[1]] = part[2]
                half[part[1]] = part[3]
            }
        }
        $2 == "total" { next }
        {
            folder = $2
            sub(/\/[^\/]*$/, "", folder)
            lines[folder] += $1
            if ($2 ~ /\.c$/) size[folder, ++files[folder]] = $1
        }
        END {
            for (folder in lines) {
                if (!(folder in most)) { print folder ": no budget is known"; continue }
                if (lines[folder] > most[folder])
                    print folder ": " lines[folder] " lines, over the budget of " most[folder]
                n = files[folder]
                for (i = 2; i <= n; i++)
                    for (j = i; j > 1 && size[folder, j - 1] > size[folder, j]; j--) {
                        t = size[folder, j]; size[folder, j] = size[folder, j - 1]
                        size[folder, j - 1] = t
                    }
                if (n > 0 && size[folder, int((n + 1) / 2)] < half[folder])
                    print folder ": half of its .c files have at most " \
                        size[folder, int((n + 1) / 2)] " lines, under " half[folder]
            }
        }' | sort
}

# Calls among the files of a floor go one way: who uses whom, by the names in the objects, has an
# order (tsort).
rings() {
    # shellcheck disable=SC2046 # names without spaces
    (cd "$objects" && nm -A -P -g $(find src -name '*.c.o')) | awk -v into="$work/uses" '
        {
            file = $1
            sub(/CMakeFiles\/[^\/]*\.dir\//, "", file)
            sub(/\.o:$/, "", file)
            if ($3 == "U") { users[$2] = users[$2] " " file }
            else definer[$2] = file
        }
        END {
            for (name in users) {
                n = split(users[name], user, " ")
                if (!(name in definer)) continue
                folder = definer[name]
                sub(/\/[^\/]*$/, "", folder)
                for (i = 1; i <= n; i++) {
                    other = user[i]
                    sub(/\/[^\/]*$/, "", other)
                    if (other == folder && user[i] != definer[name])
                        print user[i], definer[name]
                }
            }
        }' | sort -u | tsort 2>&1 >/dev/null | sed 's/^tsort: //; s/^-: //'
}

# The same name for two things, or one thing in two places, which drift apart.
constants() {
    # shellcheck disable=SC2046 # names without spaces
    awk '/^[ \t]*#[ \t]*define[ \t]+[A-Z]/ && NF > 2 && $2 !~ /\(/ {
            if (at[$2]) print FILENAME ":" FNR ": " $2 ", as in " at[$2]
            else at[$2] = FILENAME ":" FNR
        }' $(find src include -name '*.[ch]' | sort)
}

# Declarations head their block; no cast takes a const away, nor what a function returned. A call
# whose result is not wanted says so by (void), but for those that only return what they were given.
forms() {
    found_here=$(pkg-config --cflags openssl libedit 2>/dev/null || :)
    found_here="$found_here $(pkg-config --cflags libpq 2>/dev/null || :)"
    # shellcheck disable=SC2086 # flags
    find src -name '*.c' -print0 |
        xargs -0 -n 8 -P "$(nproc)" cc -std=c11 -D_GNU_SOURCE -Isrc -Iinclude $found_here \
            -fsyntax-only -Wdeclaration-after-statement -Wcast-qual -Wbad-function-cast 2>&1 |
        grep -E 'warning:|fatal error:' | grep -vE "fatal error: (openssl|editline|histedit|libpq)" || :
    grep -rnE '\(void\) ?(memcpy|memmove|memset|strcpy|strncpy)\(' src --include='*.c' || :
    grep -rnE '\*\) ?(malloc|calloc|realloc|reallocarray)\(' src --include='*.c' || :
}

# WORD FOLDERS: a word of several meanings, and where it has the one that it keeps; '-' for a word
# that the field has a better one for. What else a line may say stands in 'other' below.
vocabulary() {
    cat <<'END'
admission -
bury -
complain -
facts -
journal ^src/store/
notices -
upkeep ^src/store/
welcome -
conversation ^src/(server|client|app|store|transport|base)/
exchange ^src/(client|app/client)/
frame ^src/(protocol|server|client|store)/
producer ^src/(protocol|options|server|client|app|store)/
promise ^src/(protocol|server|client|store|app)/
session ^src/(app|client|transport)/
turn ^src/(server|app/server|client|store)/
END
}

glossary() {
    vocabulary >"$work/vocabulary"
    other='in turn|turn keys|key exchange|compare_exchange|atomic_exchange'
    other="$other|target_session_attrs|idle_in_transaction_session_timeout"
    find src -name '*.[ch]' -exec awk -v vocabulary="$work/vocabulary" -v other="$other" '
        BEGIN {
            while ((getline line <vocabulary) > 0) {
                split(line, part, " ")
                keeps[part[1]] = part[2]
            }
        }
        {
            text = tolower($0)
            gsub(other, "", text)
            n = split(text, words, /[^a-z]+/)
            for (i = 1; i <= n; i++)
                if (words[i] in keeps &&
                    (keeps[words[i]] == "-" || FILENAME !~ keeps[words[i]]))
                    print FILENAME ":" FNR ": " words[i] ": " $0
        }' {} +
}

# English that was thought in another language, in what people read.
texts() {
    grep -rnE '"[^"]*\b(ways on:|(is|are|was) no [a-z])' src --include='*.[ch]' |
        grep -vE 'there (is|are|was) no |(is|are) no (longer|more|way|better|less)' || :
    grep -rnE '\bways on:' docs packaging README.md tests --include='*.md' --include='*.[1357]' \
        --include='*.py' --include='*.c' --include='*.fish' || :
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

# Each file that a TLS build compiles, with the engines that are installed, then those that only a
# plaintext build does.
tidy() {
    tidy_build TLS
    tidy_build plaintext
}
tidy_build() {
    if [ "$1" = plaintext ]; then option=ON; else option=OFF; fi
    if pkg-config --exists libedit; then editing=ON; else editing=OFF; fi
    if [ "$1" = TLS ] && pkg-config --exists sqlite3; then sqlite=ON; else sqlite=OFF; fi
    if [ $sqlite = ON ] && pkg-config --exists libpq; then libpq=ON; else libpq=OFF; fi
    if ! cmake -S . -B "$work/build" -DTLSMSG_TESTS=OFF -DCMAKE_BUILD_TYPE=Debug \
        -DTLSMSG_EDITLINE=$editing -DTLSMSG_PLAINTEXT=$option -DTLSMSG_SQLITE=$sqlite \
        -DTLSMSG_POSTGRESQL=$libpq >"$work/log" 2>&1; then
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
scripts() {
    shellcheck scripts/*.sh packaging/*.sh .ci/run || :
    shellcheck --shell=sh packaging/debian/server/p* packaging/rpm/* || :
    shellcheck --shell=bash packaging/completions/*.bash || :
}

echo "check-style.sh:$(for rule in $rules; do printf ' %s' "$rule"; done)"
for rule in $rules; do
    case $rule in
    floors) check 'an include that breaks the floors' ;;
    conditionals) check 'a conditional in flow code (CMake picks files instead)' ;;
    lengths) check 'too long' ;;
    headers) check 'what x.h declares is defined in x.c' ;;
    sizes) check 'too small a room, or too full a floor' ;;
    rings)
        if [ -z "$objects" ]; then
            echo "check-style.sh: rings needs --objects DIR" >&2
            exit 2
        fi
        check 'files of one floor that call in a ring'
        ;;
    constants) check 'a constant with two definitions' ;;
    forms) check 'a declaration or cast of another style' ;;
    glossary) check 'a word outside its meaning (docs/CONTRIBUTING.md, "Words")' ;;
    texts) check 'wording (docs/CONTRIBUTING.md, "Words")' ;;
    words) check 'left to do' ;;
    format) ! have clang-format 14 || check 'clang-format would change' ;;
    scripts) ! have shellcheck || check 'shellcheck' ;;
    analysis) ! have cppcheck 2.10 || check 'cppcheck' ;;
    tidy) ! have clang-tidy 14 || check 'clang-tidy' ;;
    esac
done

if [ "$failed" -gt 0 ]; then
    echo "check-style.sh: $failed rule(s) broken"
    exit 1
fi
echo "check-style.sh: all rules kept"
