# bash completion of tlsmsg-client.

_tlsmsg_client()
{
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}

    # --option=value comes as three words.
    if [[ $word == '=' ]]; then
        word=
    elif [[ $before == '=' ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    COMPREPLY=()
    case $before in
        --ca | --crl | --known-servers | --config | --cert | --key | --key-password-file | \
            --keylog-file | -M | --message-file | --spool)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return ;;
        --lang)
            mapfile -t COMPREPLY < <(compgen -W 'zh en' -- "$word")
            return ;;
        --format)
            mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$word")
            return ;;
        --tls-min)
            mapfile -t COMPREPLY < <(compgen -W '1.2 1.3' -- "$word")
            return ;;
        -m | --message | --producer | --retry | --window | --timeout | --keepalive | --pin | --server-name | --pad)
            return ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '
            -m --message -M --message-file --producer --spool --retry --window --document-flow
            -q --quiet -v --verbose --lang --timeout --keepalive --ca --crl --pin
            --trust-on-first-use --accept-new --known-servers --server-name --probe --format
            --cert --key --key-password-file --tls-min --keylog-file --pad --config -h --help
            -V --version' -- "$word")
    elif declare -F _known_hosts_real >/dev/null; then
        _known_hosts_real -- "$word"
    fi
}
complete -F _tlsmsg_client tlsmsg-client
