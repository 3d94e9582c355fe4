# fish completion of tlsmsg-ticket-keys.
complete -c tlsmsg-ticket-keys -F
complete -c tlsmsg-ticket-keys -s h -l help -d 'this text'
