# bash completion of tlsmsg-certs.

_tlsmsg_certs()
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
        -o | --out | --ca-dir)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -d -- "$word")
            return ;;
        --key-password-file)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return ;;
        --algorithm)
            mapfile -t COMPREPLY < <(compgen -W 'ecdsa rsa ed25519' -- "$word")
            return ;;
        --client | --permit | --name | --uri | --email | --days)
            return ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '
            -o --out --ca-dir --client --self-signed --permit --name --uri --email
            --algorithm --days --key-password-file --force -q --quiet -h --help' -- "$word")
    elif ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W 'make client server renew rekey revoke crl show' \
            -- "$word")
    fi
}
complete -F _tlsmsg_certs tlsmsg-certs
