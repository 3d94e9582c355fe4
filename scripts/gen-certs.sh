#!/bin/sh
# Makes and looks after the certificates of a private service: a CA, the server and client
# certificates under it, and the list of the revoked ones. Needs OpenSSL 3.0 or later and a POSIX
# userland, nothing else.
#
# A run builds and checks everything in a folder of its own inside the target folder (which is also
# the lock against a second run) and renames the files into place at its end, so a run that fails or
# is interrupted changes nothing. Keys are born in that folder under umask 077: they are never
# readable by others, not even for a moment.
#
# What a folder's owner can exchange, he can exchange between any two steps: no check of a file there
# holds until its use, and openssl runs what its configuration names. So root works only in folders
# that nobody but root can change, and refuses all others (check_way).
#
# The CA's files are ca.key, ca.crt, ca.db (who was given what) and ca.crl. With --ca-dir they are
# in that folder, and the target folder has copies of ca.crt and ca.crl.
#
# The parts: messages, names, reading, making, the commands, folders, the lock, the command line.
set -u
LC_ALL=C
export LC_ALL
unset CDPATH

me=${0##*/} # gen-certs.sh, or tlsmsg-certs where it is installed
openssl=${OPENSSL:-openssl}
leaf_days=397        # thirteen months; some platforms refuse a server certificate above 825 days
ca_days=3650
work=.gen-certs.lock # paths are relative to the target folder, so no configuration has to quote one
new=$work/new        # finished files, under the names that they will have
tmp=$work/tmp
ca=                  # before the names of the CA's files: '' or a folder's absolute path and a slash
safe='[A-Za-z0-9._~:/?@!&()*+;=%-]' # in a configuration, and on a screen
log=/dev/null        # what openssl said last
locked='' locked_ca='' report='' results=''

help() {
    cat <<END
Usage: $me [make] [OPTIONS]          a CA and a server certificate
       $me client NAME... [OPTIONS]  client certificates
       $me server NAME... [OPTIONS]  further server certificates
       $me renew [NAME...] [OPTIONS] new dates; same key, so pins hold
       $me rekey [NAME...] [OPTIONS] a new key and certificate
       $me revoke NAME... [OPTIONS]  all that NAME has goes into ca.crl
       $me crl [OPTIONS]             a fresh ca.crl
       $me show [OPTIONS]            who, until when, and the pins

What is there and valid is kept, what is missing is made, and what ends soon or
lacks a name asked for is renewed with its key. NAME is 'server' when left out;
'renew ca' renews the CA. Standard output has a line for each certificate: when
it expires and, for a server, the pin that 'tlsmsg-client --pin' takes.

  -o, --out DIR         the folder (default: certs)
      --ca-dir DIR      where the CA's key and record are (default: the same)
      --client NAME     make: a client certificate too (repeatable)
      --self-signed     make: one self-signed server certificate and no CA
      --permit NAME     make: a CA for localhost and these domains and addresses
                        only (repeatable)
      --name NAME       a DNS name or IP address (repeatable); a server has
                        localhost, 127.0.0.1, ::1 and this host's name anyway
      --uri URI         a client's identity instead of CN=NAME (repeatable)
      --email ADDRESS   the same as an e-mail address (repeatable)
      --algorithm ecdsa|rsa|ed25519
                        kind of new keys (ecdsa: P-256; rsa: 3072 bits)
      --days N          valid for N days from now (397; a CA 3650), at most as
                        long as its CA
      --key-password-file FILE
                        its first line encrypts new keys and opens old ones
      --force           replace what is there; with make the CA too, which ends
                        all certificates under it
  -q, --quiet           nothing on standard error but warnings and errors
  -h, --help            this text

Root works only in folders that nobody else can change. The variable OPENSSL
names the openssl program.
Exit codes: 0 done, 1 failed, 2 usage.
END
}

# ---- messages

warn() { printf '%s: %s\n' "$me" "$1" >&2; }
die() { warn "$1"; exit 1; }
usage() { warn "$1 (try: --help)"; exit 2; }
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
    [ -e "${ca}ca.db" ] || return
    serial=$(serial_of "$1") || exit 1
    cut -f 1,4 "${ca}ca.db" | grep -qx "R.$serial"
}
is_encrypted() { grep -q ENCRYPTED "$1"; }
# As the programs print it and --allow takes it.
identity_of() {
    list=$(names_of "$1") || return
    for kind in URI email DNS; do union "$list" | grep "^$kind:"; done | head -n 1 | grep . ||
        echo "CN=$(cn_of "$1")"
}

bad_key() { # KEY
    key=$(shown "$1")
    is_encrypted "$1" || die "cannot read key '$key': $(reason)"
    [ -n "$password" ] || die "key '$key' is encrypted (try: --key-password-file FILE)"
    die "the password in '$(shown "$password")' does not open key '$key'"
}
check_pair() { # NAME CURE: dies unless NAME.key belongs to NAME.crt
    key=$(home "$1.key") where=$(folder_of "$1.key")
    [ -e "$key" ] || die "$1.crt is in '$where' without $1.key (try: put the key back, or $2)"
    case $(ls -ldL "$key") in
        -r[w-]-------*) ;;
        *) warn "others may read $1.key (try: chmod 600 '$where/$1.key')" ;;
    esac
    # An encrypted key without its password is taken at its word: only signing needs to open it.
    if [ -z "$password" ] && is_encrypted "$key"; then return; fi
    public=$(key_public "$key") || bad_key "$key"
    certified=$(public_of "$(home "$1.crt")") || exit 1
    [ "$public" = "$certified" ] ||
        die "$1.key does not belong to $1.crt (try: put the right file back, or $2)"
}

# What a peer will ask, asked before a file is put in place.
verify() { # PURPOSE CRT ANCHOR [OPTION]
    ssl verify -x509_strict -purpose "$1" -no-CApath -no-CAstore ${4+"$4"} -CAfile "$3" "$2" \
        >/dev/null
}
purpose() { case $1 in authority) echo any ;; *) echo "ssl$1" ;; esac; }

# ---- making

# Where a file belongs, where this run makes it anew, and where it is as this run sees it.
home() { case $1 in ca.*) printf '%s\n' "$ca$1" ;; *) echo "$1" ;; esac; }
fresh() { case $1 in ca.*) printf '%s\n' "$ca$new/$1" ;; *) echo "$new/$1" ;; esac; }
at() { if [ -e "$(fresh "$1")" ]; then fresh "$1"; else home "$1"; fi; }
folder_of() { case $1 in ca.*) echo "$ca_folder" ;; *) echo "$folder" ;; esac; } # for messages

generate() { # ALGORITHM
    case $1 in
        rsa) ssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 ;;
        ed25519) ssl genpkey -algorithm ED25519 ;;
        ecdsa | '') ssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 ;;
        *) return 1 ;;
    esac
}
new_key() { # NAME ALGORITHM
    made=$(fresh "$1.key")
    if [ -n "$password" ]; then
        # Encrypted by genpkey itself it would have 2048 rounds of PBKDF2, which are few.
        generate "$2" |
            ssl pkcs8 -topk8 -v2 aes-256-cbc -iter 600000 -passout "$pass" >"$made"
    else
        generate "$2" >"$made"
    fi || die "cannot make $1.key: $(reason)"
}
whose_key() { # NAME: for messages
    if [ -e "$(fresh "$1.key")" ]; then echo "a new $1.key"; else echo "the $1.key that was here"; fi
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
    [ -e "$crt" ] || die "there is no ca.crt in '$ca_folder' (try: '$me', which makes a CA)"
    [ -e "$(at ca.key)" ] || die "signing needs ca.key, which is not in '$ca_folder' (try: \
--ca-dir DIR with the folder that has it)"
    lasts "$crt" 0 || die "ca.crt expired on $(ends "$crt") (try: '$me renew ca')"
    if [ -e "$(at ca.db)" ]; then
        cat "$(at ca.db)" >"$tmp/db"
    else
        : >"$tmp/db"
        [ ! -e "${ca}ca.crl" ] ||
            die 'ca.db is gone, and with it who is revoked (try: put it back, or remove ca.crl)'
    fi
}

ca_failed() { # WHAT
    why=$(reason)
    key_public "$(at ca.key)" >/dev/null || bad_key "$(at ca.key)"
    die "cannot sign $1: $why"
}

sign() { # NAME PROFILE CN DAYS self|ca: a certificate for NAME's key, checked, into $new
    name=$1 profile=$2 cn=$3 life=$4 issuer=$5 key=$(at "$1.key") made=$(fresh "$1.crt")
    anchor=$made
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
            note "$name.crt ends with its CA, before $life days (try: '$me renew ca' first)"
        fi
    fi
    ssl ca -batch -notext -config "$tmp/cnf" -passin "$pass" -startdate "$(an_hour_ago)" "$@" \
        -in "$tmp/csr" -out "$made" >/dev/null || ca_failed "$name.crt"
    verify "$(purpose "$profile")" "$made" "$anchor" ||
        die "cannot make $name.crt for $(on_a_line "CN=$cn" "$names"): $(reason)"
    [ "$issuer" = ca ] || return 0
    # The record's fifth field is not used by openssl; here it says whose certificate it is.
    serial=$(serial_of "$made") || exit 1
    awk -F '\t' -v OFS='\t' -v serial="$serial" -v name="$name" '$4 == serial { $5 = name } 1' \
        "$tmp/db" >"$ca$new/ca.db" || die "cannot write the record of $name.crt"
    # What a server sends: its certificate, then the CA's.
    [ "$profile" != server ] || cat "$anchor" >>"$made" || die "cannot write $name.crt"
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
    crt=${ca}ca.crt
    if [ -n "$anew" ] || [ ! -e "$crt" ]; then
        if [ -n "$anew" ] || [ ! -e "${ca}ca.key" ]; then
            new_key ca "$algorithm"
            : >"$ca$new/ca.db"
            [ ! -e "$crt" ] || note 'the old CA is gone, and all certificates under it are void'
        fi
        sign_authority $ca_days "$permitted"
        note "made ca.crt, which peers need, for $(whose_key ca), which only signing needs"
        return
    fi
    profile=$(profile_of "$crt") || exit 1
    [ "$profile" = authority ] || die "ca.crt is not a CA's (try: '$me --force', a new CA)"
    [ ! -e "${ca}ca.key" ] || check_pair ca "'$me --force', a new CA"
    limits=$(limits_of "$crt") || exit 1
    missing=$(lacking "$permitted" "$limits")
    [ -z "$missing" ] ||
        die "ca.crt was made without --permit $(on_a_line "$missing") (try: --force, a new CA)"
    if lasts "$crt" $((30 * 86400)); then
        note "kept ca.crt, valid until $(ends "$crt")"
    else
        renew_authority $ca_days
    fi
}
renew_authority() { # DAYS
    check_pair ca "'$me --force', a new CA"
    limits=$(limits_of "${ca}ca.crt") || exit 1
    sign_authority "$1" "$limits"
    note "renewed ca.crt with its key: peers need it before $(ends "${ca}ca.crt")"
}
# A CA that is there is never passed over for a new one elsewhere.
check_place() {
    [ -n "$ca" ] || return 0
    if [ -e ca.key ] && [ -e "${ca}ca.key" ]; then
        die "'$folder' and '$ca_folder' have a ca.key each (try: --ca-dir with the right one alone)"
    fi
    [ ! -e ca.key ] || die "the CA's key is in '$folder', not in '$ca_folder' (try: \
mv '$folder'/ca.* '$ca_folder')"
    if [ ! -e ca.crt ] || [ -n "$anew" ] || cmp -s ca.crt "${ca}ca.crt"; then return; fi
    [ -e "${ca}ca.crt" ] || die "'$folder' has a ca.crt and '$ca_folder' has none (try: \
the --ca-dir with its key; --force makes a new CA)"
    here=$(public_of ca.crt) && there=$(public_of "${ca}ca.crt") || exit 1
    [ "$here" = "$there" ] || die "ca.crt in '$folder' is not that of '$ca_folder' (try: \
the --ca-dir with its key, or remove ca.crt)"
}

# Takes over what a certificate says, into $profile, $issuer, $cn and $names (with those asked for).
inherit() { # NAME
    [ -e "$1.crt" ] || die "there is no $1.crt in '$folder' (try: '$me show')"
    had=$(names_of "$1.crt") || exit 1
    names=$(union "$had" "$asked")
    cn=$(cn_of "$1.crt") profile=$(profile_of "$1.crt") issuer=$(issuer_of "$1.crt")
    case $profile:$issuer:$cn in
        *[!A-Za-z0-9._@:*-]* | *:) ;;
        server:self:* | server:ca:* | client:ca:*) return ;;
    esac
    die "$1.crt was not made here (try: move it away)"
}
# The same, for a certificate whose key goes on.
inherit_with_key() { # NAME
    inherit "$1"
    check_pair "$1" "'$me rekey $1'"
    ! is_revoked "$1.crt" || die "$1.crt is revoked (try: '$me rekey $1', a new key)"
}

leaf() { # NAME PROFILE self|ca: keeps, renews or makes it, with the names in $asked
    if [ -n "$force" ] || [ ! -e "$1.crt" ]; then
        make_leaf "$@"
        return
    fi
    inherit_with_key "$1"
    [ "$profile" = "$2" ] ||
        die "$1.crt is a $profile certificate (try: --force, which replaces it)"
    [ "$issuer" = "$3" ] || case $3 in
        ca) die "$1.crt is self-signed (try: --self-signed, or --force, which replaces it)" ;;
        *) die "$1.crt is not self-signed (try: without --self-signed, or with --force)" ;;
    esac
    anchor=$1.crt
    [ "$3" = self ] || anchor=$(at ca.crt)
    verify "ssl$2" "$1.crt" "$anchor" -no_check_time ||
        die "$1.crt is not valid: $(reason) (try: '$me renew $1', or --force)"
    was=$(algorithm_of "$1.crt")
    [ "$was" = "${algorithm:-$was}" ] ||
        die "$1.key is $was (try: '$me rekey $1 --algorithm $algorithm', a new key)"
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
        [ -e "${ca}ca.crt" ] ||
            die "there is no ca.crt in '$ca_folder' (try: '$me', which makes a CA)"
        renew_authority "${days:-$ca_days}"
    else
        inherit_with_key "$1"
        sign_leaf "$1" "$profile" "$cn" "$issuer"
        note "renewed $1.crt with its key"
    fi
}
rekey() { # NAME
    [ "$1" != ca ] || die "a CA with a new key is a new CA (try: '$me --force')"
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
        die "ca.db has no certificate of '$1' (try: '$me show')"
    awk -F '\t' -v OFS='\t' -v name="$1" -v now="$(date -u +%y%m%d%H%M%SZ)" \
        '$5 == name && $1 != "R" { $1 = "R"; $3 = now } 1' "$tmp/db" >"$ca$new/ca.db" ||
        die "cannot write the record of $1's revocation"
    note "revoked $1: servers that have this ca.crl (--crl) refuse it after a reload"
}
make_crl() { # DAYS
    open_authority
    anchor=$(at ca.crt) life=$1 number=
    [ ! -e "${ca}ca.crl" ] ||
        number=$(ssl crl -in "${ca}ca.crl" -noout -crlnumber | sed 's/.*=//; s/^0x//')
    printf '%016X\n' $((0x${number:-0} + 1)) >"$tmp/crlnumber"
    configure server '' ''
    set -- -crldays "$life"
    lasts "$anchor" $((life * 86400)) || set -- -crl_nextupdate "$(ends "$anchor" | tr -d 'T:-')"
    ssl ca -gencrl -config "$tmp/cnf" -cert "$anchor" -keyfile "${ca}ca.key" -passin "$pass" \
        -crl_lastupdate "$(an_hour_ago)" "$@" -out "$ca$new/ca.crl" ||
        ca_failed ca.crl
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
        [ -e "$file" ] || die "there is no certificate in '$folder' (try: '$me', which makes some)"
        public=$(public_of "$file") || exit 1
        profile=$(profile_of "$file") name=${file%.crt}.key state=
        key=$(home "$name")
        lasts "$file" 0 || state=', expired'
        if is_revoked "$file"; then state="$state, revoked"; fi
        if [ ! -e "$key" ]; then
            state="$state, its key is not here"
        elif [ -r "$key" ] && ! is_encrypted "$key" && [ "$(key_public "$key")" != "$public" ]; then
            state="$state, $name is not its key"
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

# ---- folders

# Besides root, whoever can change this script: what it does for root is theirs already. So root can
# use it in somebody's tree of the project; installed, it is root's, and this adds nobody.
trust_script() {
    # shellcheck disable=SC2046  # words
    set -- $(access_of "$0")
    trusted_user=${2:-0} trusted_group=0
    case ${1-} in ?????w*) trusted_group=$3 ;; esac
}
is_trusted() { [ "$1" = 0 ] || [ "$1" = "$trusted_user" ]; } # USER
# Whether only the trusted can exchange what the current folder has. In one with the sticky bit, as
# /tmp is, others can add to it but not exchange what is root's: that will do on the way.
is_safe() { # way|end
    # shellcheck disable=SC2046  # words
    set -- "$1" $(access_of .)
    is_trusted "$3" || return
    case $2 in
        d????-??-?*) return 0 ;;
        d????w??-?*) if [ "$4" = 0 ] || [ "$4" = "$trusted_group" ]; then return 0; fi ;;
    esac
    case $1:$2 in way:d????????[tT]*) ;; *) return 1 ;; esac
}
owner_of() { # FILE ''|n: by name or number; a link's own
    # shellcheck disable=SC2012,SC2046,SC2086  # words, the first ones
    set -- $(ls -ld$2 "$1" | head -n 1)
    echo "$3"
}
refuse() { # FOLDER CULPRIT
    at=$(pwd -P) who=$(owner_of "$2" '')
    case $2 in ./*) at=${at%/}/${2#./} ;; esac
    at=$(shown "$at") cure="as that user, or a folder of root's"
    if ! is_trusted "$(owner_of "$2" n)"; then who="user '$who'"; else
        who=others
        case $(access_of "$2") in
            ?????????[tT]*) cure='a folder below it' ;;
            *) cure="chmod go-w '$at'" ;;
        esac
    fi
    die "root does not work in '$(shown "$1")', which $who can change at '$at' (try: $cure)"
}
# Goes the way to a folder step by step, as root: each step is taken in a folder that nobody else
# can change, so it still is what was looked at. Makes folders that are missing when told to. In a
# subshell, so that the rest stays where it is.
check_way() ( # FOLDER ''|make
    case $1 in /*) rest=$1 ;; *) rest=$(pwd -P)/$1 ;; esac
    trust_script
    cd / || exit 1
    links=0
    while :; do
        while [ "${rest#/}" != "$rest" ]; do rest=${rest#/}; done
        if [ -z "$rest" ]; then is_safe end || refuse "$1" .; return; fi
        is_safe way || refuse "$1" .
        name=./${rest%%/*} after=
        case $rest in */*) after=${rest#*/} ;; esac
        if [ ! -e "$name" ] && [ ! -L "$name" ]; then
            [ -n "$2" ] || return 0
            # Another run may have made it meanwhile: it is looked at below as any that was there.
            error=$(mkdir "$name" 2>&1) || [ -d "$name" ] ||
                die "cannot make the folder '$(shown "$1")': ${error##*: }"
        fi
        is_trusted "$(owner_of "$name" n)" || refuse "$1" "$name"
        if [ -L "$name" ]; then
            links=$((links + 1))
            [ $links -lt 40 ] || die "too many links on the way to '$(shown "$1")'"
            rest=$(readlink "$name")/$after || exit 1
            case $rest in /*) cd / || exit 1 ;; esac
        elif [ -d "$name" ]; then
            cd "$name" || exit 1
            rest=$after
        else
            return 0 # Not a folder: whoever opens it says so.
        fi
    done
)
# Makes a folder where the command makes files, and makes sure of it.
need_folder() { # FOLDER
    case $command in make | client | server) make=yes ;; *) make='' ;; esac
    if [ "$(id -u)" = 0 ]; then check_way "$1" "$make" || exit; fi
    if [ -n "$make" ]; then
        error=$(mkdir -p "$1" 2>&1) ||
            die "cannot make the folder '$(shown "$1")': ${error##*: }"
    fi
}
open_folders() {
    if [ -z "$out" ]; then
        # In the project's tree there is a folder for it.
        out=$(dirname -- "$0")/../certs
        if [ "$me" = gen-certs.sh ] && [ -d "$out" ]; then out=$(cd -- "$out" && pwd); else
            out=certs
        fi
    fi
    folder=$(shown "$out") ca_folder=$(shown "${ca_dir:-$out}")
    case $out in /*) ;; *) out=./$out ;; esac
    if [ -n "$ca_dir" ]; then
        case $ca_dir in /*) ;; *) ca_dir=./$ca_dir ;; esac
        # It is for its owner alone; what is above it is not.
        need_folder "$(dirname -- "$ca_dir")"
        (umask 077 && need_folder "$ca_dir") || exit
        ca=$(cd "$ca_dir" 2>/dev/null && pwd -P) || die "cannot open the folder '$ca_folder'"
        ca=${ca%/}/
    fi
    need_folder "$out"
    cd "$out" 2>/dev/null || die "cannot open the folder '$folder'"
    [ "$ca" != "$(pwd -P)/" ] || ca=
}

# ---- the lock, and putting files in place

hold_signals() { trap '' HUP INT TERM; }
catch_signals() { trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM; }
unlock() {
    log=/dev/null
    [ -z "$locked" ] || rm -rf "$work"
    [ -z "$locked_ca" ] || rm -rf "$ca$work"
    locked='' locked_ca=''
}

access_of() { # FILE: mode, owner and group, as in "-rw-r----- 0 103"; a link's are its target's
    # shellcheck disable=SC2046  # words, and names have none of a pattern's characters
    set -- $(ls -ldnL "$1")
    [ $# -gt 4 ] && echo "$1 $3 $4"
}
# The lock holds a file named after its owner: of several runs that find the owner dead only one can
# remove that file, and none can remove the next owner's by mistake.
take_over() { # LOCK
    # Somebody else's lock was not left by a run of this user's.
    access=$(access_of "$1" 2>/dev/null) && access=${access#* } || return 1
    [ "${access% *}" = "$(id -u)" ] || return 1
    for file in "$1/owner.$host".*; do
        pid=${file##*.}
        [ -e "$file" ] && { [ "$pid" = $$ ] || ! kill -0 "$pid" 2>/dev/null; } &&
            rm "$file" 2>/dev/null && rm -rf "$1/new" "$1/tmp" && return
    done
    return 1
}
# Returns with signals held, so that the caller can write down that it has the lock.
lock() { # LOCK FOLDER
    host=$(uname -n) tries=0 gone=0
    hold_signals
    until mkdir "$1" 2>/dev/null || take_over "$1"; do
        catch_signals
        if [ -d "$1" ]; then
            tries=$((tries + 1)) gone=0
            [ $tries -le 30 ] ||
                die "another run is at work in '$2' (try: remove '$2/$work' if there is none)"
            sleep 1
        else
            # The other has just ended, which happens; but hardly five times in a row.
            gone=$((gone + 1))
            [ $gone -le 5 ] || die "cannot write in '$2'"
        fi
        hold_signals
    done
    : >"$1/owner.$host.$$"
}
# The CA's first: whoever signs needs it, so no two runs wait for each other.
lock_folders() {
    trap unlock EXIT
    if [ -n "$ca" ]; then
        lock "$ca$work" "$ca_folder"
        locked_ca=yes
        catch_signals
        mkdir "$ca$new" || die "cannot write in '$ca_folder'"
    fi
    lock "$work" "$folder"
    locked=yes
    catch_signals
    mkdir "$new" "$tmp" || die "cannot write in '$folder'"
    log=$tmp/log
}

# Who reads a file is often not who runs this: a service's user has to find the new file as readable
# as the one that it replaces. Only a key that everybody could read is no longer that.
take_after() { # OLD NEW FOLDER
    name=${1##*/}
    if ! { old=$(access_of "$1") && own=$(access_of "$2"); }; then
        die "cannot tell who owns '$name' in '$3'"
    fi
    owner=${old#* }
    # The owner first, while nobody else may read it.
    [ "$owner" = "${own#* }" ] ||
        chown -h "${owner% *}:${owner#* }" "$2" 2>/dev/null ||
        die "cannot keep the owner and group of '$name' in '$3' (try: as root or its owner)"
    mode=$(echo "${old%% *}" |
        sed 's/^.\(...\)\(...\)\(...\).*/u=\1,g=\2,o=\3/; s/[st]/x/g; s/[-ST]//g')
    case $name in *.key) mode=${mode%o=*}o= ;; esac
    chmod "$mode" "$2" || die "cannot set the mode of '$name' in '$3'"
}
prepare() { # '' or the CA's, FOLDER
    for file in "$1$new"/*; do
        old=$1${file##*/}
        [ ! -d "$old" ] || die "'${file##*/}' in '$2' is a folder (try: remove it)"
        if [ -e "$old" ]; then take_after "$old" "$file" "$2"; else
            case $file in *.crt | *.crl) chmod 644 "$file" ;; esac
        fi
    done
}
# Renames within one file system: a reader has the old file or the new one.
put() { # '' or the CA's, FOLDER
    for file in "$1$new"/*.key "$1$new/ca.db" "$1$new"/*.crt "$1$new"/*.crl; do
        [ ! -e "$file" ] || mv -f "$file" "${1:-.}" 2>/dev/null ||
            die "cannot write '${file##*/}' in '$2'"
    done
}
# The target folder has what the CA tells everybody.
publish() {
    for name in ca.crt ca.crl; do
        from=$(at "$name")
        if [ ! -e "$from" ] || cmp -s "$from" "$name"; then continue; fi
        # A new CA's list is another one.
        if [ "$name" = ca.crl ] && [ -e "$ca$new/ca.key" ]; then continue; fi
        cat "$from" >"$new/$name" || die "cannot write '$name' in '$folder'"
    done
}
# Signals wait, so that a key and its certificate change together. The record comes before the
# certificates: none is ever in use that nobody could revoke.
commit() {
    if [ -n "$ca" ]; then
        publish
        prepare "$ca" "$ca_folder"
    fi
    prepare '' "$folder"
    hold_signals
    [ ! -e "$ca$new/ca.key" ] || rm -f "${ca}ca.crl" ca.crl
    [ -z "$ca" ] || put "$ca" "$ca_folder"
    put '' "$folder"
    catch_signals
    if [ -z "$ca" ] && [ -e ca.key ]; then
        note "ca.key is in '$folder' beside the servers' keys (try: move ca.* to a folder of \
their own, then --ca-dir)"
    fi
}

# ---- the command line

command='' operands='' clients='' hosts='' identities='' permitted='' used=''
algorithm='' days='' password='' pass='pass:' force='' anew='' quiet='' self='' out='' ca_dir=''

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
            -o | --out | --ca-dir | --client | --permit | --name | --uri | --email | --algorithm | \
                --days | --key-password-file)
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
        --ca-dir) ca_dir=$2 ;;
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
        case " $* --out -o --ca-dir --key-password-file --quiet -q " in
            *" $option "*) ;;
            *) usage "option '$option' has no meaning for '$command'" ;;
        esac
    done
}

run() {
    case $command in
        make)
            asked=$hosts
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
            if [ -e "${ca}ca.crl" ] && [ -e "${ca}ca.key" ]; then make_crl $leaf_days; fi ;;
        revoke)
            for each in $operands; do revoke "$each"; done
            make_crl "${days:-$leaf_days}" ;;
        crl) make_crl "${days:-$leaf_days}" ;;
    esac
}

check_command() {
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
        make) anew=$force ;;
    esac
    if [ -n "$self" ] && [ -n "$clients$permitted$ca_dir" ]; then
        usage '--self-signed has no CA, which --client, --permit and --ca-dir are about'
    fi
    if [ -n "$identities" ] && [ "$command" = make ] && [ -z "$clients" ]; then
        usage '--uri and --email are for a client (--client NAME)'
    fi
    # A CA that is limited serves this machine in any case.
    [ -z "$permitted" ] || permitted=$(union "$(limit localhost)" "$(limit 127.0.0.1)" \
        "$(limit ::1)" "$permitted")
}
find_openssl() {
    case $openssl in
        /*) ;;
        */*) openssl=$PWD/$openssl ;;
    esac
    case $("$openssl" version 2>/dev/null) in
        'OpenSSL '[3-9].* | 'OpenSSL '[1-9][0-9].*) ;;
        *) die "OpenSSL 3.0 or later is needed, and '$openssl' is not that (try: OPENSSL=PROGRAM)" ;;
    esac
    # Each 'openssl x509' begins by reading the system's CAs, which takes longer than all else it
    # does. Nothing here asks them.
    export SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/dev/null
}
find_password() {
    [ -n "$password" ] || return 0
    { head -n 1 <"$password"; } 2>/dev/null | grep -q . ||
        die "there is no password in the first line of '$(shown "$password")'"
    case $password in
        /*) pass=file:$password ;;
        *) pass=file:$PWD/$password ;;
    esac
}

main() {
    parse "$@"
    check_command
    find_openssl
    find_password
    exec </dev/null
    # Whoever can write in a folder can exchange the keys in it.
    umask go-w
    open_folders
    if [ "$command" = show ]; then
        show
        exit
    fi
    umask 077
    lock_folders
    check_place
    run
    commit
    unlock
    [ -n "$quiet" ] || printf '%s' "$report" >&2
    for each in $results; do
        result "$each" || die 'cannot write to standard output'
    done
    case $command in revoke | crl) crl_line || die 'cannot write to standard output' ;; esac
}

main "$@"
