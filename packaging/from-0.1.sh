# shellcheck shell=sh
# What 0.1 had and how it goes on: a part of the scripts that both kinds of packages run after
# unpacking. CMake puts it there.

# The options of an environment's file as lines of a configuration: "--name value" is "name value".
configuration() {
    options=$(sed -e ':more' -e '/\\$/{N;s/\\\n//;b more' -e '}' "$1" |
        sed -n 's/^TLSMSG_OPTIONS=//p' | tail -n 1)
    case $options in
    \"*\") options=$(printf '%s\n' "$options" | sed 's/^"//; s/"$//; s/\\\(["\\]\)/\1/g') ;;
    \'*\') options=$(printf '%s\n' "$options" | sed "s/^'//; s/'$//") ;;
    esac
    # xargs splits as systemd does: at blanks that are not in quotes.
    printf '%s\n' "$options" | xargs -n 1 printf '%s\n' |
        sed -e 's/^-l/--listen\n/; s/^-n/--accept\n/; s/^-w/--workers\n/; s/^-q$/--quiet/' \
            -e 's/^\(--[a-z-]*\)=/\1\n/' |
        awk '/^--[a-z]/ { if (line != "") print line; line = substr($0, 3); next }
            $0 != "" { line = line " " $0 }
            END { if (line != "") print line }'
}

# The package tlsmsg had its options in an environment. Where they are more than this package brings,
# but for where messages go, they are taken over; else that messages are elsewhere now is told.
take_over_options() {
    old=/etc/tlsmsg/server.env
    conf=/etc/tlsmsg/server.conf
    [ -e "$old" ] || return 0
    brought=$(grep -E -v '^(#|$|quiet$|(store|transcript|format) )' "$conf")
    if [ "$(configuration "$old")" != "$brought" ]; then
        {
            echo "# Taken over from server.env; see tlsmsg-server(1). Messages go to the journal, as they did."
            echo "# To keep them in a store instead, as a new installation does:"
            echo "#store /var/lib/tlsmsg/store.db"
            echo "#quiet"
            configuration "$old"
        } >"$conf.new"
        mv "$conf.new" "$conf"
        echo "tlsmsg-server: the options of $old are in $conf now"
    elif grep -q '^store ' "$conf"; then
        echo "tlsmsg-server: messages are kept in a store now, no longer in the journal; to see them:" \
            "tlsmsg-store tail $(sed -n 's/^store //p' "$conf")"
    fi
    mv "$old" "$old.old"
}

# It had the CA's key beside the server's. That goes on working, and to move a key that others may look
# for is not a script's business.
tell_of_the_key() {
    certs=/etc/tlsmsg/certs
    ca=/etc/tlsmsg/ca
    if [ ! -e "$certs/ca.key" ] || [ -e "$ca" ]; then
        return
    fi
    cat <<END
tlsmsg-server: the CA's key is in $certs, as 0.1 had it, beside what the service reads; it goes on
working there, but tlsmsg-renew.timer renews only with the key in $ca. To move it there:
  install -d -m 700 $ca
  cp -p $certs/ca.* $ca
  rm -f $certs/ca.key $certs/ca.db
END
}
