#!/bin/sh
# Makes and looks after the certificates of a private service: a CA, the server and client
# certificates under it, and the list of the revoked ones. Needs OpenSSL 3.0 or later and a POSIX
# userland, nothing else.
#
# A run builds and checks everything in a folder of its own inside the target folder (which is also
# the lock against a second run) and renames the files into place at its end, so a run that fails or
# is interrupted changes nothing. Keys are born in that folder under umask 077: they are never
# readable by others, not even for a moment.
set -u
LC_ALL=C
export LC_ALL
unset CDPATH

me=gen-certs.sh
openssl=${OPENSSL:-openssl}
leaf_days=397        # thirteen months; some platforms refuse a server certificate above 825 days
ca_days=3650
work=.gen-certs.lock # all paths are relative to the target folder, so none needs quoting anywhere
new=$work/new        # finished files, under the names that they will have
tmp=$work/tmp
safe='[A-Za-z0-9._~:/?@!&()*+;=%-]' # in a configuration, and on a screen
log=/dev/null        # what openssl said last
locked='' report='' results=''

help() {
    cat <<'END'
Usage: gen-certs.sh [make] [OPTIONS]          a CA and a server certificate
       gen-certs.sh client NAME... [OPTIONS]  client certificates
       gen-certs.sh server NAME... [OPTIONS]  further server certificates
       gen-certs.sh renew [NAME...] [OPTIONS] new dates; same key, so pins hold
       gen-certs.sh rekey [NAME...] [OPTIONS] a new key and certificate
       gen-certs.sh revoke NAME... [OPTIONS]  all that NAME has goes into ca.crl
       gen-certs.sh crl [OPTIONS]             a fresh ca.crl
       gen-certs.sh show [OPTIONS]            who, until when, and the pins

What is there and valid is kept, what is missing is made, and what ends soon or
lacks a name asked for is renewed with its key. NAME is 'server' when left out;
'renew ca' renews the CA. Standard output has a line for each certificate: when
it expires and, for a server, the pin that 'tlsmsg-client --pin' takes.

  -o, --out DIR         the folder (default: certs)
      --client NAME     make: a client certificate too (repeatable)
      --self-signed     make: one self-signed server certificate and no CA
      --permit NAME     make: a CA for localhost and these domains and addresses
                        only (repeatable)
      --name NAME       a DNS name or IP address (repeatable); a server has
                        localhost, 127.0.0.1, ::1 and this host's name anyway
      --uri URI         a client's identity instead of CN=NAME (repeatable)
      --email ADDRESS   the same as an e-mail address (repeatable)
      --algorithm NAME  ecdsa (P-256, the default), rsa (3072 bits) or ed25519
      --days N          valid for N days from now (397; a CA 3650), at most as
                        long as its CA
      --key-password-file FILE
                        its first line encrypts new keys and opens old ones
      --force           replace what is there; with make the CA too, which ends
                        all certificates under it
  -q, --quiet           nothing on standard error but warnings and errors
  -h, --help            this text

The variable OPENSSL names the openssl program.
Exit codes: 0 done, 1 failed, 2 usage.
END
}

warn() { printf '%s: %s\n' "$me" "$1" >&2; }
die() { warn "$1"; exit 1; }
usage() { warn "$1 (--help tells more)"; exit 2; }
# Told at the end, when it has become true.
note() { report="$report$me: $1
"; }
# The user's words reach the terminal without their control characters.
shown() { printf '%s' "$1" | tr -c '\040-\176' '?'; }

ssl() { "$openssl" "$@" 2>"$log"; }
# Why openssl failed: what the verification found, else the first error.
reason() {
    sed -n -e 's/^error [0-9]* at [0-9]* depth lookup: *//p' \
        -e 's/^[0-9A-F]*:error:[^:]*:[^:]*:[^:]*:\([^:]*\):.*/\1/p' "$log" | head -n 1
}

# ---- names: lists have one a line, each once

union() { printf '%s\n' "$@" | awk 'NF && !seen[$0]++'; }
lacking() { union "$1" | grep -vxF -e "$2"; } # what of the first is not in the second
on_a_line() { union "$@" | tr '\n' ' ' | sed 's/ $//'; }
matching() { printf '%s\n' "$1" | grep -Ex -e "$2"; }

# Prints a host name or address as openssl prints it in a certificate (DNS:a.example, IP:10.0.0.1,
# IP:0:0:0:0:0:0:0:1), so that names compare as strings; fails for anything else.
canonical() { # NAME
    host=$(printf '%s' "$1" | tr '[:upper:]' '[:lower:]')
    label='[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?'
    byte='(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
    case $host in
        *:*) ipv6 "$host"; return ;;
    esac
    case ${host##*.} in # resolvers take a name that ends in a number for an address
        *[!0-9]*) [ ${#host} -le 253 ] &&
            matching "DNS:$host" "DNS:(\*\.$label\.)?($label\.)*$label" ;;
        *) matching "IP:$host" "IP:($byte\.){3}$byte" ;;
    esac
}
ipv6() {
    printf '%s\n' "$1" | awk '{
        halves = split($0, half, "::")
        left = split(half[1], head, ":")
        right = halves > 1 ? split(half[2], tail, ":") : 0
        if (halves > 2 || (halves == 2 ? left + right > 7 : left != 8)) exit 1
        for (i = 1; i <= 8; i++) {
            group = i <= left ? head[i] : i > 8 - right ? tail[i - 8 + right] : "0"
            if (length(group) > 4 || group !~ /^[0-9a-f]+$/) exit 1
            sub(/^0+/, "", group)
            text = text ":" (group == "" ? "0" : toupper(group))
        }
        print "IP" text
    }'
}
limit() { # as a CA's name constraints have it: an address with a mask, all names under a domain
    case $(canonical "$1") in
        DNS:[!*]*) canonical "$1" ;;
        IP:*:*) echo "$(canonical "$1")/FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF" ;;
        IP:*) echo "$(canonical "$1")/255.255.255.255" ;;
        *) return 1 ;;
    esac
}
check_name() { # it becomes a file's name and the CN
    matching "$1" '[A-Za-z0-9][A-Za-z0-9._@-]{0,63}' >/dev/null ||
        usage "bad name '$(shown "$1")': up to 64 letters, digits and ._-@, a letter or digit first"
}
check_new() { # NAME PROFILE: also where the file system takes CA.crt and ca.crt for one
    check_name "$1"
    case $1:$2 in
        [Cc][Aa]:* | [Ss][Ee][Rr][Vv][Ee][Rr]:client) usage "bad $2 name '$1': it is taken" ;;
    esac
}

# ---- reading certificates and keys; in $(...) a failure only ends the $(...), hence '|| exit 1'

read_crt() { # CRT OPTIONS...
    file=$1
    shift
    ssl x509 -in "$file" -noout "$@" || die "cannot read certificate '$(shown "$file")'"
}
public_of() { read_crt "$1" -pubkey; }
key_public() { ssl pkey -in "$1" -passin "$pass" -pubout; }
pin_of() { # PUBLIC-KEY
    pin=$(printf '%s\n' "$1" | sed '/^-/d' | "$openssl" base64 -d |
        "$openssl" dgst -sha256 -binary | "$openssl" base64 -A)
    # Not when a part of the pipe failed, which makes it empty or the hash of nothing.
    case $pin in
        '' | 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=) die 'cannot compute a pin' ;;
    esac
    echo "sha256//$pin"
}
ends() { iso=$(read_crt "$1" -enddate -dateopt iso_8601) && echo "${iso#*=}" | tr ' ' T; }
lasts() { ssl x509 -in "$1" -noout -checkend "$2" >/dev/null; } # CRT SECONDS
serial_of() { hex=$(read_crt "$1" -serial) && echo "${hex#*=}"; }
cn_of() { ssl x509 -in "$1" -noout -subject -nameopt multiline | sed -n 's/^ *commonName *= //p'; }
# Only what this script itself writes: nothing else in a file may reach a configuration.
names_of() {
    list=$(read_crt "$1" -ext subjectAltName) || return
    printf '%s\n' "$list" | tr ',' '\n' | sed 's/^ *//; s/^IP Address:/IP:/' |
        grep -Ex "(DNS|IP|URI|email):$safe+" || :
}
limits_of() {
    list=$(read_crt "$1" -ext nameConstraints) || return
    printf '%s\n' "$list" | sed 's/^ *//' | grep -Ex "(DNS|IP):$safe+" || :
}
profile_of() {
    uses=$(read_crt "$1" -ext basicConstraints,extendedKeyUsage) || return
    case $uses in
        *CA:TRUE*) echo authority ;;
        *'Client Authentication'*) echo client ;;
        *'Server Authentication'*) echo server ;;
    esac
}
algorithm_of() {
    case $(read_crt "$1" -text) in
        *'Public Key Algorithm: id-ecPublicKey'*) echo ecdsa ;;
        *'Public Key Algorithm: rsaEncryption'*) echo rsa ;;
        *'Public Key Algorithm: ED25519'*) echo ed25519 ;;
    esac
}
issuer_of() {
    case $(read_crt "$1" -subject_hash -issuer_hash | uniq | wc -l) in
        *1) echo self ;;
        *2) echo ca ;;
    esac
}
is_revoked() {
    [ -e ca.db ] || return
    serial=$(serial_of "$1") || exit 1
    cut -f 1,4 ca.db | grep -qx "R.$serial"
}
is_encrypted() { grep -q ENCRYPTED "$1"; }
# As the programs print it and --allow takes it.
identity_of() {
    list=$(names_of "$1") || return
    for kind in URI email DNS; do union "$list" | grep "^$kind:"; done | head -n 1 | grep . ||
        echo "CN=$(cn_of "$1")"
}

bad_key() { # KEY
    is_encrypted "$1" || die "cannot read key '$1': $(reason)"
    [ -n "$password" ] || die "key '$1' is encrypted (--key-password-file FILE opens it)"
    die "the password in '$(shown "$password")' does not open key '$1'"
}
check_pair() { # NAME CURE: dies unless NAME.key belongs to NAME.crt
    [ -e "$1.key" ] || die "$1.crt is in '$folder' without $1.key (put the key back, or $2)"
    case $(ls -ldL "$1.key") in
        -r[w-]-------*) ;;
        *) warn "others may read $1.key (end that: chmod 600 '$folder/$1.key')" ;;
    esac
    # An encrypted key without its password is taken at its word: only signing needs to open it.
    if [ -z "$password" ] && is_encrypted "$1.key"; then return; fi
    public=$(key_public "$1.key") || bad_key "$1.key"
    certified=$(public_of "$1.crt") || exit 1
    [ "$public" = "$certified" ] ||
        die "$1.key does not belong to $1.crt (put the right file back, or $2)"
}

# What a peer will ask, asked before a file is put in place.
verify() { # PURPOSE CRT ANCHOR [OPTION]
    ssl verify -x509_strict -purpose "$1" -no-CApath -no-CAstore ${4+"$4"} -CAfile "$3" "$2" \
        >/dev/null
}
purpose() { case $1 in authority) echo any ;; *) echo "ssl$1" ;; esac; }

# ---- making

# Where a file is as this run sees it.
at() { if [ -e "$new/$1" ]; then echo "$new/$1"; else echo "$1"; fi; }

generate() { # ALGORITHM
    case $1 in
        rsa) ssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 ;;
        ed25519) ssl genpkey -algorithm ED25519 ;;
        ecdsa | '') ssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 ;;
        *) return 1 ;;
    esac
}
new_key() { # NAME ALGORITHM
    if [ -n "$password" ]; then
        # Encrypted by genpkey itself it would have 2048 rounds of PBKDF2, which are few.
        generate "$2" |
            ssl pkcs8 -topk8 -v2 aes-256-cbc -iter 600000 -passout "$pass" >"$new/$1.key"
    else
        generate "$2" >"$new/$1.key"
    fi || die "cannot make $1.key: $(reason)"
}
whose_key() { # NAME: for messages
    if [ -e "$new/$1.key" ]; then echo "a new $1.key"; else echo "the $1.key that was here"; fi
}

section() { # PREFIX ITEMS: the items as lines of a configuration's section
    union "$2" | awk -v prefix="$1" '{ colon = index($0, ":")
        print prefix substr($0, 1, colon - 1) "." NR " = " substr($0, colon + 1) }'
}
# RSA keys too have digitalSignature alone: the programs offer only key exchanges that sign.
configure() { # PROFILE NAMES LIMITS
    cat >"$tmp/cnf" <<END
[req]
distinguished_name = subject
[subject]
commonName = supplied
[ca]
default_ca = this
[this]
database = $tmp/db
new_certs_dir = $tmp
crlnumber = $tmp/crlnumber
rand_serial = yes
unique_subject = no
default_md = default
policy = subject
x509_extensions = $1
crl_extensions = crl
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
${3:+nameConstraints = critical, @limits}
[$(if [ "$1" = authority ]; then echo leaf; else echo "$1"; fi)]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = $1Auth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
${2:+subjectAltName = @names}
[crl]
authorityKeyIdentifier = keyid:always
[names]
$(section '' "$2")
[limits]
$(section 'permitted;' "$3")
END
}

# For peers whose clocks are behind. POSIX date cannot calculate, but a time zone can.
an_hour_ago() { TZ=AGO1 date +%Y%m%d%H%M%SZ; }

# Checks that the CA can sign, and lays a copy of its record where 'openssl ca' works on it.
open_authority() {
    crt=$(at ca.crt)
    [ -e "$crt" ] || die "there is no ca.crt in '$folder' ('$me' alone makes a CA)"
    [ -e "$(at ca.key)" ] || die "signing needs ca.key, which is not in '$folder' (put it back)"
    lasts "$crt" 0 || die "ca.crt expired on $(ends "$crt") ('$me renew ca' gives it new dates)"
    if [ -e "$(at ca.db)" ]; then
        cat "$(at ca.db)" >"$tmp/db"
    else
        : >"$tmp/db"
        [ ! -e ca.crl ] ||
            die 'ca.db is gone, and with it who is revoked (put it back, or remove ca.crl)'
    fi
}

ca_failed() { # WHAT
    why=$(reason)
    key_public "$(at ca.key)" >/dev/null || bad_key "$(at ca.key)"
    die "cannot sign $1: $why"
}

sign() { # NAME PROFILE CN DAYS self|ca: a certificate for NAME's key, checked, into $new
    name=$1 profile=$2 cn=$3 life=$4 issuer=$5 key=$(at "$1.key") anchor=$new/$1.crt
    configure "$profile" "$names" "$limits"
    ssl req -new -config "$tmp/cnf" -key "$key" -passin "$pass" -subj "/CN=$cn" \
        -out "$tmp/csr" || bad_key "$key"
    set -- -days "$life" -selfsign -keyfile "$key"
    : >"$tmp/db"
    if [ "$issuer" = ca ]; then
        open_authority
        anchor=$(at ca.crt)
        set -- -days "$life" -cert "$anchor" -keyfile "$(at ca.key)"
        if ! lasts "$anchor" $((life * 86400)); then
            set -- "$@" -enddate "$(ends "$anchor" | tr -d 'T:-')"
            note "$name.crt ends with its CA, before $life days ('$me renew ca' comes first)"
        fi
    fi
    ssl ca -batch -notext -config "$tmp/cnf" -passin "$pass" -startdate "$(an_hour_ago)" "$@" \
        -in "$tmp/csr" -out "$new/$name.crt" >/dev/null || ca_failed "$name.crt"
    verify "$(purpose "$profile")" "$new/$name.crt" "$anchor" ||
        die "cannot make $name.crt for $(on_a_line "CN=$cn" "$names"): $(reason)"
    [ "$issuer" = ca ] || return 0
    # The record's fifth field is not used by openssl; here it says whose certificate it is.
    serial=$(serial_of "$new/$name.crt") || exit 1
    awk -F '\t' -v OFS='\t' -v serial="$serial" -v name="$name" '$4 == serial { $5 = name } 1' \
        "$tmp/db" >"$new/ca.db" || die "cannot write the record of $name.crt"
    # What a server sends: its certificate, then the CA's.
    [ "$profile" != server ] || cat "$anchor" >>"$new/$name.crt" || die "cannot write $name.crt"
}

sign_authority() { # DAYS LIMITS
    names='' limits=$2
    public=$(key_public "$(at ca.key)") || bad_key "$(at ca.key)"
    # Named after its key: a lost ca.crt that is made again still fits what it has signed.
    pin=$(pin_of "$public") || exit 1
    sign ca authority "tlsmsg CA $(echo "${pin#*//}" | tr -d '+/=' | cut -c 1-8)" "$1" self
}
sign_leaf() { # NAME PROFILE CN self|ca, with $names
    limits=
    sign "$1" "$2" "$3" "${days:-$leaf_days}" "$4"
    results="$results $1"
}

# ---- the commands' parts

authority() {
    [ "${days:-0}" -lt $ca_days ] || ca_days=$((days + 1))
    if [ -n "$anew" ] || [ ! -e ca.crt ]; then
        if [ -n "$anew" ] || [ ! -e ca.key ]; then
            new_key ca "$algorithm"
            : >"$new/ca.db"
            [ ! -e ca.crt ] || note 'the old CA is gone, and all certificates under it are void'
        fi
        sign_authority $ca_days "$permitted"
        note "made ca.crt, which peers need, for $(whose_key ca), which only signing needs"
        return
    fi
    profile=$(profile_of ca.crt) || exit 1
    [ "$profile" = authority ] || die "ca.crt is not a CA's ('$me --force' replaces it)"
    [ ! -e ca.key ] || check_pair ca "'$me --force' makes a new CA"
    limits=$(limits_of ca.crt) || exit 1
    missing=$(lacking "$permitted" "$limits")
    [ -z "$missing" ] ||
        die "ca.crt was made without --permit $(on_a_line "$missing") (--force makes a new CA)"
    if lasts ca.crt $((30 * 86400)); then
        note "kept ca.crt, valid until $(ends ca.crt)"
    else
        renew_authority $ca_days
    fi
}
renew_authority() { # DAYS
    check_pair ca "'$me --force' makes a new CA"
    limits=$(limits_of ca.crt) || exit 1
    sign_authority "$1" "$limits"
    note "renewed ca.crt with its key: peers need it before $(ends ca.crt)"
}

# Takes over what a certificate says, into $profile, $issuer, $cn and $names (with those asked for).
inherit() { # NAME
    [ -e "$1.crt" ] || die "there is no $1.crt in '$folder' ('$me show' tells what there is)"
    had=$(names_of "$1.crt") || exit 1
    names=$(union "$had" "$asked")
    cn=$(cn_of "$1.crt") profile=$(profile_of "$1.crt") issuer=$(issuer_of "$1.crt")
    case $profile:$issuer:$cn in
        *[!A-Za-z0-9._@:*-]* | *:) ;;
        server:self:* | server:ca:* | client:ca:*) return ;;
    esac
    die "$1.crt was not made here (move it away)"
}
# The same, for a certificate whose key goes on.
inherit_with_key() { # NAME
    inherit "$1"
    check_pair "$1" "'$me rekey $1' makes both anew"
    ! is_revoked "$1.crt" || die "$1.crt is revoked ('$me rekey $1' makes both anew)"
}

leaf() { # NAME PROFILE self|ca: keeps, renews or makes it, with the names in $asked
    if [ -n "$force" ] || [ ! -e "$1.crt" ]; then
        make_leaf "$@"
        return
    fi
    inherit_with_key "$1"
    [ "$profile" = "$2" ] || die "$1.crt is a $profile certificate (--force replaces it)"
    [ "$issuer" = "$3" ] || case $3 in
        ca) die "$1.crt is self-signed (--self-signed keeps it, --force replaces it)" ;;
        *) die "$1.crt is not self-signed (leave --self-signed out, or --force replaces it)" ;;
    esac
    anchor=$1.crt
    [ "$3" = self ] || anchor=$(at ca.crt)
    verify "ssl$2" "$1.crt" "$anchor" -no_check_time ||
        die "$1.crt is not valid: $(reason) ('$me renew $1' signs it anew, --force replaces it)"
    was=$(algorithm_of "$1.crt")
    [ "$was" = "${algorithm:-$was}" ] ||
        die "$1.key is $was ('$me rekey $1 --algorithm $algorithm' makes a new one)"
    # Soon is 30 days, or a third of the days asked for.
    soon=$((${days:-$leaf_days} * 86400 / 3))
    [ $soon -lt 2592000 ] || soon=2592000
    missing=$(lacking "$names" "$had")
    if [ -n "$missing" ]; then
        why="it had no $(on_a_line "$missing")"
    elif ! lasts "$1.crt" $soon; then
        why="it ends on $(ends "$1.crt")"
    else
        note "kept $1.crt, valid until $(ends "$1.crt")"
        results="$results $1"
        return
    fi
    sign_leaf "$1" "$2" "$cn" "$3"
    note "renewed $1.crt with its key: $why"
}
make_leaf() { # NAME PROFILE self|ca
    names=$asked cn=$1
    if [ "$2" = server ]; then
        names=$(default_names "$3") || exit 1
        names=$(union "$asked" "$names")
        cn=$(echo "$names" | sed -n '1s/^[^:]*://p')
        [ ${#cn} -le 64 ] || cn=$1
    fi
    if [ -n "$force" ] || [ ! -e "$1.key" ]; then new_key "$1" "$algorithm"; fi
    sign_leaf "$1" "$2" "$cn" "$3"
    note "made $1.crt for $(whose_key "$1")"
}
default_names() { # self|ca
    printf '%s\n' DNS:localhost IP:127.0.0.1 IP:0:0:0:0:0:0:0:1
    # A limited CA may not be allowed this host's name, and nobody has asked for it.
    limits=
    [ "$1" = self ] || limits=$(limits_of "$(at ca.crt)") || return
    [ -n "$limits" ] || canonical "$(uname -n)" || :
}

renew() { # NAME
    if [ "$1" = ca ]; then
        [ -e ca.crt ] || die "there is no ca.crt in '$folder' ('$me' alone makes a CA)"
        renew_authority "${days:-$ca_days}"
    else
        inherit_with_key "$1"
        sign_leaf "$1" "$profile" "$cn" "$issuer"
        note "renewed $1.crt with its key"
    fi
}
rekey() { # NAME
    [ "$1" != ca ] || die "a CA with a new key is a new CA ('$me --force' makes one)"
    inherit "$1"
    was=$(algorithm_of "$1.crt")
    new_key "$1" "${algorithm:-${was:-unknown}}"
    sign_leaf "$1" "$profile" "$cn" "$issuer"
    note "made $1.crt for a new $1.key; the old one is valid until it ends or is revoked"
}

# All that NAME was ever given: the certificates before a renewal have the same key.
revoke() { # NAME
    open_authority
    cut -f 5 "$tmp/db" | grep -qxF -e "$1" ||
        die "ca.db has no certificate of '$1' ('$me show' tells which names there are)"
    awk -F '\t' -v OFS='\t' -v name="$1" -v now="$(date -u +%y%m%d%H%M%SZ)" \
        '$5 == name && $1 != "R" { $1 = "R"; $3 = now } 1' "$tmp/db" >"$new/ca.db" ||
        die "cannot write the record of $1's revocation"
    note "revoked $1: servers that have this ca.crl (--crl) refuse it after a reload"
}
make_crl() { # DAYS
    open_authority
    anchor=$(at ca.crt) life=$1 number=
    [ ! -e ca.crl ] || number=$(ssl crl -in ca.crl -noout -crlnumber | sed 's/.*=//; s/^0x//')
    printf '%016X\n' $((0x${number:-0} + 1)) >"$tmp/crlnumber"
    configure server '' ''
    set -- -crldays "$life"
    lasts "$anchor" $((life * 86400)) || set -- -crl_nextupdate "$(ends "$anchor" | tr -d 'T:-')"
    ssl ca -gencrl -config "$tmp/cnf" -cert "$anchor" -keyfile ca.key -passin "$pass" \
        -crl_lastupdate "$(an_hour_ago)" "$@" -out "$new/ca.crl" || ca_failed ca.crl
}
crl_line() {
    until=$(ssl crl -in ca.crl -noout -nextupdate -dateopt iso_8601) || die 'cannot read ca.crl'
    revoked=$(ssl crl -in ca.crl -noout -text | grep -c 'Serial Number:')
    echo "ca.crl  expires $(echo "${until#*=}" | tr ' ' T)  revoked $revoked"
}

result() { # NAME
    public=$(public_of "$1.crt") && until=$(ends "$1.crt") || exit 1
    case $(profile_of "$1.crt") in
        client) last="identity $(identity_of "$1.crt")" ;;
        *) last="pin $(pin_of "$public")" ;;
    esac || exit 1
    echo "$1.crt  expires $until  $last"
}

show() {
    for file in *.crt; do
        [ -e "$file" ] || die "there is no certificate in '$folder' ('$me' alone makes some)"
        public=$(public_of "$file") || exit 1
        profile=$(profile_of "$file") key=${file%.crt}.key state=
        lasts "$file" 0 || state=', expired'
        if is_revoked "$file"; then state="$state, revoked"; fi
        if [ ! -e "$key" ]; then
            state="$state, its key is not here"
        elif [ -r "$key" ] && ! is_encrypted "$key" && [ "$(key_public "$key")" != "$public" ]; then
            state="$state, $key is not its key"
        fi
        shown "$file: $profile$state"
        printf '\n    who    '
        shown "$(on_a_line "CN=$(cn_of "$file")" "$(names_of "$file")")"
        limits=$(limits_of "$file")
        [ -z "$limits" ] || printf '\n    for    %s' "$(on_a_line "$limits")"
        printf '\n    until  %s\n' "$(ends "$file")"
        # Peers pin leaves; a CA's pin would never match.
        [ "$profile" = authority ] || printf '    pin    %s\n' "$(pin_of "$public")"
    done
    if [ -e ca.crl ]; then crl_line; fi
}

# ---- the lock, and putting files in place

hold_signals() { trap '' HUP INT TERM; }
catch_signals() { trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM; }
unlock() { [ -z "$locked" ] || { rm -rf "$work"; locked='' log=/dev/null; }; }

access_of() { # FILE: mode, owner and group, as in "-rw-r----- 0 103"; a link's are its target's
    # shellcheck disable=SC2046  # words, and names have none of a pattern's characters
    set -- $(ls -ldnL "$1")
    [ $# -gt 4 ] && echo "$1 $3 $4"
}
# The lock holds a file named after its owner: of several runs that find the owner dead only one can
# remove that file, and none can remove the next owner's by mistake.
take_over() {
    # Somebody else's lock was not left by a run of this user's.
    access=$(access_of "$work" 2>/dev/null) && access=${access#* } || return 1
    [ "${access% *}" = "$(id -u)" ] || return 1
    for file in "$work/owner.$host".*; do
        pid=${file##*.}
        [ -e "$file" ] && { [ "$pid" = $$ ] || ! kill -0 "$pid" 2>/dev/null; } &&
            rm "$file" 2>/dev/null && rm -rf "$new" "$tmp" && return
    done
    return 1
}
lock() {
    host=$(uname -n) tries=0
    trap unlock EXIT
    hold_signals
    until mkdir "$work" 2>/dev/null || take_over; do
        catch_signals
        tries=$((tries + 1))
        [ -d "$work" ] || [ $tries -lt 2 ] || die "cannot write in '$folder'"
        [ $tries -le 30 ] ||
            die "another run is at work in '$folder' (if there is none, remove '$folder/$work')"
        sleep 1
        hold_signals
    done
    locked=yes
    : >"$work/owner.$host.$$"
    catch_signals
    mkdir "$new" "$tmp" || die "cannot write in '$folder'"
    log=$tmp/log
}

# Root in a folder of somebody else's, who may exchange its files and the lock meanwhile: root's
# chown and chmod must not fall on what he has put there.
is_foreign() {
    [ "$(id -u)" = 0 ] && access=$(access_of .) && access=${access#* } && [ "${access% *}" != 0 ]
}
# Who reads a file is often not who runs this: a service's user has to find the new file as readable
# as the one that it replaces. Only a key that everybody could read is no longer that.
take_after() { # FILE
    if ! { old=$(access_of "$1") && own=$(access_of "$new/$1"); }; then
        die "cannot tell who owns '$1' in '$folder'"
    fi
    owner=${old#* }
    # The owner first, while nobody else may read it.
    [ "$owner" = "${own#* }" ] ||
        chown -h "${owner% *}:${owner#* }" "$new/$1" 2>/dev/null ||
        die "cannot keep the owner and group of '$1' in '$folder' (run this as root or its owner)"
    mode=$(echo "${old%% *}" |
        sed 's/^.\(...\)\(...\)\(...\).*/u=\1,g=\2,o=\3/; s/[st]/x/g; s/[-ST]//g')
    case $1 in *.key) mode=${mode%o=*}o= ;; esac
    chmod "$mode" "$new/$1" || die "cannot set the mode of '$1' in '$folder'"
}
# Renames within one file system: a reader has the old file or the new one. Signals wait, so that a
# key and its certificate change together.
commit() {
    for file in "$new"/*; do
        name=${file##*/}
        [ ! -d "$name" ] || die "'$name' in '$folder' is a folder (remove it)"
        if [ -e "$name" ] && ! is_foreign; then take_after "$name"; else
            case $name in *.crt | *.crl) chmod 644 "$file" ;; esac
        fi
    done
    hold_signals
    [ ! -e "$new/ca.key" ] || rm -f ca.crl
    for file in "$new"/*.key "$new/ca.db" "$new"/*.crt "$new"/*.crl; do
        [ ! -e "$file" ] || mv -f "$file" . 2>/dev/null ||
            die "cannot write '${file##*/}' in '$folder'"
    done
    catch_signals
}

# ---- the command line

command='' operands='' clients='' hosts='' identities='' permitted='' used=''
algorithm='' days='' password='' pass='pass:' force='' anew='' quiet='' self='' out=''

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
            *[[:cntrl:]]*) usage "control characters in '$(shown "$1")'" ;;
            --?*=*) option=${1%%=*} value=${1#*=}; shift; set -- "$option" "$value" "$@" ;;
        esac
        case $1 in -*) used="$used $1" ;; esac
        case $1 in
            --self-signed) self=self ;;
            --force) force=yes ;;
            -q | --quiet) quiet=yes ;;
            -h | --help) help; exit 0 ;;
            -o | --out | --client | --permit | --name | --uri | --email | --algorithm | --days | \
                --key-password-file)
                [ -n "${2-}" ] || usage "option '$1' needs a value"
                case $2 in *[[:cntrl:]]*) usage "control characters in $1 '$(shown "$2")'" ;; esac
                take "$1" "$2"
                shift ;;
            -*) usage "unknown option '$(shown "$1")'" ;;
            *)
                if [ -z "$command" ]; then command=$1; else
                    check_name "$1"
                    operands=$(union "$operands" "$1")
                fi ;;
        esac
        shift
    done
}
take() { # OPTION VALUE
    word=$(shown "$2")
    case $1 in
        -o | --out) out=$2 ;;
        --key-password-file) password=$2 ;;
        --client) check_new "$2" client; clients=$(union "$clients" "$2") ;;
        --permit)
            item=$(limit "$2") || usage "bad --permit '$word': neither a domain nor an IP address"
            permitted=$(union "$permitted" "$item") ;;
        --name)
            item=$(canonical "$2") ||
                usage "bad --name '$word': neither a DNS name (of ASCII, as xn--) nor an IP address"
            hosts=$(union "$hosts" "$item") ;;
        --uri)
            item=$(matching "URI:$2" "URI:[A-Za-z][A-Za-z0-9+.-]*:$safe+") ||
                usage "bad --uri '$word': a scheme, a colon, letters, digits and ._~:/?@!&()*+;=%-"
            identities=$(union "$identities" "$item") ;;
        --email)
            item=$(matching "email:$2" 'email:[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+') ||
                usage "bad --email '$word': letters, digits and ._+- around one @"
            identities=$(union "$identities" "$item") ;;
        --algorithm)
            algorithm=$(matching "$2" 'ecdsa|rsa|ed25519') ||
                usage "bad --algorithm '$word': ecdsa, rsa or ed25519" ;;
        --days)
            days=$(matching "$2" '[1-9][0-9]{0,4}') || days=99999
            [ "$days" -le 36500 ] || usage "bad --days '$word': a number from 1 to 36500" ;;
    esac
}

check_use() { # no|some|any OPTION...: the names and options that the command takes
    case $1$operands in
        some) usage "'$command' needs a NAME" ;;
        no?*) usage "'$command' takes no name, but got $(on_a_line "$operands")" ;;
    esac
    for option in $used; do
        case " $* --out -o --key-password-file --quiet -q " in
            *" $option "*) ;;
            *) usage "option '$option' has no meaning for '$command'" ;;
        esac
    done
}

run() {
    case $command in
        make)
            asked=$hosts anew=$force
            [ -n "$self" ] || authority
            leaf server server "${self:-ca}"
            asked=$identities
            for each in $clients; do leaf "$each" client ca; done ;;
        client | server)
            asked=$(union "$hosts" "$identities")
            authority
            for each in $operands; do leaf "$each" "$command" ca; done ;;
        renew | rekey)
            asked=$(union "$hosts" "$identities")
            for each in ${operands:-server}; do "$command" "$each"; done
            if [ -e ca.crl ] && [ -e ca.key ]; then make_crl $leaf_days; fi ;;
        revoke)
            for each in $operands; do revoke "$each"; done
            make_crl "${days:-$leaf_days}" ;;
        crl) make_crl "${days:-$leaf_days}" ;;
    esac
}

parse "$@"
each='--name --algorithm --days' # options for each certificate
# shellcheck disable=SC2086  # a list of words
case ${command:=make} in
    make) check_use no --client --self-signed --permit --uri --email --force $each ;;
    client) check_use some --uri --email --force $each ;;
    server) check_use some --force $each ;;
    renew) check_use any --uri --email --name --days ;;
    rekey) check_use any --uri --email $each ;;
    revoke) check_use some --days ;;
    crl) check_use no --days ;;
    show) check_use no ;;
    *) usage "unknown command '$(shown "$command")'" ;;
esac
case $command in
    client | server) for each in $operands; do check_new "$each" "$command"; done ;;
esac
if [ -n "$self" ] && [ -n "$clients$permitted" ]; then
    usage '--self-signed has no CA, which --client and --permit need'
fi
if [ -n "$identities" ] && [ "$command" = make ] && [ -z "$clients" ]; then
    usage '--uri and --email are for a client (--client NAME)'
fi
# A CA that is limited serves this machine in any case.
[ -z "$permitted" ] || permitted=$(union "$(limit localhost)" "$(limit 127.0.0.1)" "$(limit ::1)" \
    "$permitted")

case $openssl in
    /*) ;;
    */*) openssl=$PWD/$openssl ;;
esac
case $("$openssl" version 2>/dev/null) in
    'OpenSSL '[3-9].* | 'OpenSSL '[1-9][0-9].*) ;;
    *) die "OpenSSL 3.0 or later is needed, and '$openssl' is not that (set OPENSSL to one)" ;;
esac
if [ -n "$password" ]; then
    { head -n 1 <"$password"; } 2>/dev/null | grep -q . ||
        die "there is no password in the first line of '$(shown "$password")'"
    case $password in
        /*) pass=file:$password ;;
        *) pass=file:$PWD/$password ;;
    esac
fi
exec </dev/null

if [ -z "$out" ]; then
    out=$(dirname -- "$0")/../certs
    if [ -d "$out" ]; then out=$(cd -- "$out" && pwd); else out=certs; fi
fi
folder=$(shown "$out")
case $out in /*) ;; *) out=./$out ;; esac
case $command in
    make | client | server)
        error=$(mkdir -p "$out" 2>&1) || die "cannot make the folder '$folder': ${error##*: }" ;;
esac
cd "$out" 2>/dev/null || die "cannot open the folder '$folder'"
if [ "$command" = show ]; then
    show
    exit
fi
umask 077
lock
run
commit
unlock
[ -n "$quiet" ] || printf '%s' "$report" >&2
for each in $results; do
    result "$each" || die 'cannot write to standard output'
done
case $command in revoke | crl) crl_line || die 'cannot write to standard output' ;; esac
