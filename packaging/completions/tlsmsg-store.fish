# fish completion of tlsmsg-store.
complete -c tlsmsg-store -n '__fish_is_first_arg' -f -a 'list tail export verify prune backup init'
complete -c tlsmsg-store -s n -l lines -x -d 'tail: show the last N messages (10)'
complete -c tlsmsg-store -s f -l follow -d 'tail: go on with messages as they come'
complete -c tlsmsg-store -l store-keep -x -d 'prune: delete messages older than this (90d)'
complete -c tlsmsg-store -s h -l help -d 'print this help'
complete -c tlsmsg-store -s V -l version -d 'print the version and the TLS library'
