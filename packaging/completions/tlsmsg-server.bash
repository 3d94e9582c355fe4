# bash completion of tlsmsg-server.

_tlsmsg_server()
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
        --cert | --key | --key-password-file | --client-ca | --crl | --allow-file | \
            --ticket-keys | --keylog-file | --metrics-file | --store | \
            --transcript | --config)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return ;;
        --lang)
            mapfile -t COMPREPLY < <(compgen -W 'zh en' -- "$word")
            return ;;
        --format | --log-format)
            mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$word")
            return ;;
        --log-level)
            mapfile -t COMPREPLY < <(compgen -W 'error warning info debug' -- "$word")
            return ;;
        --tls-min)
            mapfile -t COMPREPLY < <(compgen -W '1.2 1.3' -- "$word")
            return ;;
        --user)
            mapfile -t COMPREPLY < <(compgen -u -- "$word")
            return ;;
        -l | --listen | -n | --accept | -w | --workers | --reply | --recv-size | --allow | \
            --pad | --handshake-timeout | --max-connections | --max-per-address | \
            --max-buffered | --keepalive | \
            --max-message | --window | --max-handshakes | --handshake-rate | --idle-timeout | \
            --write-timeout | --drain-timeout | --store-keep | --store-min-free | --store-timeout)
            return ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '
            -l --listen -n --accept -w --workers --reply --recv-size --lang --format -q --transcript --config
            --quiet --log-level --log-format --store --store-keep --store-min-free
            --store-timeout --cert --key --key-password-file --client-ca
            --crl --allow --allow-file --tls-min --ticket-keys --keylog-file --pad
            --handshake-timeout --max-connections --max-per-address --max-handshakes
            --max-message --window --max-buffered --keepalive
            --handshake-rate --idle-timeout --write-timeout --drain-timeout --metrics-file
            --user --check -h --help -V --version' -- "$word")
    fi
}
complete -F _tlsmsg_server tlsmsg-server
