# bash completion of tlsmsg-ticket-keys.

_tlsmsg_ticket_keys()
{
    local word=${COMP_WORDS[COMP_CWORD]}

    COMPREPLY=()
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$word")
    else
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}
complete -F _tlsmsg_ticket_keys tlsmsg-ticket-keys
