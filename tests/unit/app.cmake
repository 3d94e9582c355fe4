# The programs' own parts: the same objects that the programs link.
#   app_unit_test(<module> <part>... [SOURCES ...] [WRAP ...] [FAILMALLOC]), part: server, client
function(app_unit_test module)
    cmake_parse_arguments(PARSE_ARGV 1 app "FAILMALLOC" "" "SOURCES;WRAP")
    set(passed ${app_UNPARSED_ARGUMENTS})
    set(options)
    if(app_SOURCES)
        list(APPEND options SOURCES ${app_SOURCES})
    endif()
    if(app_WRAP)
        list(APPEND options WRAP ${app_WRAP})
    endif()
    if(app_FAILMALLOC)
        list(APPEND options FAILMALLOC)
    endif()
    tlsmsg_unit_test(${module} ${options})
    target_sources(test_${module} PRIVATE $<TARGET_OBJECTS:tlsmsg_app>)
    foreach(part ${passed})
        target_sources(test_${module} PRIVATE $<TARGET_OBJECTS:tlsmsg_app_${part}>)
        if(part STREQUAL "server" AND TLSMSG_SQLITE)
            target_sources(test_${module} PRIVATE $<TARGET_OBJECTS:tlsmsg_store>)
            target_link_libraries(test_${module} PRIVATE tlsmsg_engines)
        endif()
        if(part STREQUAL "client")
            target_link_libraries(test_${module} PRIVATE tlsmsg_app_editor)
            if(TLSMSG_SQLITE)
                target_sources(test_${module} PRIVATE $<TARGET_OBJECTS:tlsmsg_spool>)
                target_link_libraries(test_${module} PRIVATE SQLite::SQLite3 OpenSSL::Crypto)
            endif()
        endif()
    endforeach()
endfunction()

set(message_wraps tlsmsg_message_data tlsmsg_message_worker tlsmsg_message_peer
    tlsmsg_message_producer tlsmsg_message_number tlsmsg_message_is_duplicate)
set(server_wraps tlsmsg_server_stats tlsmsg_server_workers tlsmsg_server_address)

app_unit_test(args)
app_unit_test(config_file SOURCES support/test_folder.c)
app_unit_test(outputs SOURCES support/test_folder.c)
app_unit_test(phrases)
app_unit_test(signals)
app_unit_test(startup FAILMALLOC)
app_unit_test(startup_descriptors)
app_unit_test(terminal SOURCES support/pty_scene.c)
app_unit_test(terminal_modes SOURCES support/pty_scene.c support/test_clock.c
    WRAP ${test_clock} tcsetattr poll)
app_unit_test(input client FAILMALLOC)
app_unit_test(console client WRAP write)
app_unit_test(tally client)
app_unit_test(report client)
app_unit_test(keeping client WRAP startup_warn console_leave_prompt console_reply console_prompt
    spooling_add spooling_keep spooling_next spooling_waiting spooling_settle spooling_answered
    spooling_put_back delivery_has_room delivery_add delivery_blame_length report_connection)
if(NOT TLSMSG_PLAINTEXT)
    app_unit_test(delivery client SOURCES ${client_ends} WRAP ${test_clock})
endif()
# The programs' main files, whose main a test can call.
foreach(program client server)
    add_library(${program}_program OBJECT ${PROJECT_SOURCE_DIR}/src/app/${program}/main.c)
    target_include_directories(${program}_program PRIVATE
        ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
    target_link_libraries(${program}_program PRIVATE tlsmsg_flags)
    target_compile_options(${program}_program PRIVATE
        -include ${PROJECT_SOURCE_DIR}/tests/support/${program}_main.h)
endforeach()
set(client_run support/client_run.c support/glob_text.c)
if(TLSMSG_PLAINTEXT)
    list(APPEND client_run support/test_folder.c)
endif()
# client_run_test(<module>...): runs of the whole client against a scripted server.
function(client_run_test)
    foreach(module ${ARGN})
        app_unit_test(${module} client SOURCES ${client_ends} ${client_run}
            WRAP ${test_clock} console_init nanosleep ${${module}_wraps})
        target_sources(test_${module} PRIVATE $<TARGET_OBJECTS:client_program>)
    endforeach()
endfunction()
if(TLSMSG_PLAINTEXT)
    client_run_test(client_plain)
else()
    set(client_program_wraps open_memstream)
    set(client_edited_wraps editor_new editor_free editor_next editor_has_rest editor_step_aside)
    client_run_test(client_document client_edited client_program client_stream client_typed)
    app_unit_test(client_nomem client FAILMALLOC SOURCES ${client_ends} ${client_run}
        WRAP ${test_clock} client_main console_init nanosleep)
    target_sources(test_client_nomem PRIVATE $<TARGET_OBJECTS:client_program>)
endif()
if(TLSMSG_PLAINTEXT)
    set(server_run support/ends_identity_plain.c)
else()
    set(server_run support/ends_identity_tls.c support/test_certs.c)
endif()
list(APPEND server_run support/server_run.c support/glob_text.c support/test_folder.c)
# server_run_test(<module> [WRAP ...]): runs of the whole server, used by a client of the library.
function(server_run_test module)
    cmake_parse_arguments(PARSE_ARGV 1 run "" "" "WRAP")
    app_unit_test(${module} server SOURCES ${server_run} WRAP clock_now_ns ${run_WRAP})
    target_sources(test_${module} PRIVATE $<TARGET_OBJECTS:server_program>)
endfunction()
server_run_test(server_program)
if(NOT TLSMSG_PLAINTEXT)
    server_run_test(server_files)
    server_run_test(server_faults
        WRAP keeper_start keeper_open sandbox_enter stdout_writer_init transcript_set_workers
            signals_open_for_server tlsmsg_server_start tlsmsg_server_check terminal_can_ask terminal_hold
            tlsmsg_options_set_ask_password mallopt)
    if(TLSMSG_SQLITE)
        server_run_test(server_store)
    endif()
endif()
app_unit_test(client_options client SOURCES support/args_table.c)
app_unit_test(client_settings client FAILMALLOC SOURCES support/test_folder.c)
app_unit_test(server_options server SOURCES support/args_table.c)
app_unit_test(server_settings server FAILMALLOC WRAP storing_reach storing_reach_fini)
app_unit_test(log server SOURCES support/checked_lock.c
    WRAP clock_now_ns clock_print_wall poll write ${checked_lock})
app_unit_test(stdout_target server WRAP open open64 fstat fstat64 write)
app_unit_test(transcript_file server SOURCES support/test_folder.c WRAP stat stat64)
app_unit_test(backlog server FAILMALLOC WRAP mmap mmap64 munmap)
app_unit_test(stdout_writer server FAILMALLOC SOURCES support/checked_lock.c
    WRAP wake_open ${checked_lock})
app_unit_test(transcript_text server)
app_unit_test(transcript_json server)
set(transcript_wraps ${message_wraps} tlsmsg_server_address clock_now_ns clock_gettime
    __clock_gettime64 ${checked_lock})
foreach(module transcript transcript_lines)
    app_unit_test(${module} server FAILMALLOC WRAP ${transcript_wraps}
        SOURCES support/checked_lock.c support/transcript_scene.c)
endforeach()
if(TLSMSG_SQLITE)
    set(message_of_storing tlsmsg_message_data tlsmsg_message_peer tlsmsg_message_token
        tlsmsg_message_producer tlsmsg_message_number tlsmsg_message_hash)
    set(storing_wraps ${message_of_storing} tlsmsg_server_workers tlsmsg_server_buffered
        tlsmsg_server_hello tlsmsg_server_refuse tlsmsg_server_release)
    app_unit_test(storing server SOURCES support/storing_message.c support/test_folder.c
        WRAP ${storing_wraps})
    app_unit_test(storing_calls server FAILMALLOC
        SOURCES support/storing_ends.c support/storing_message.c
        WRAP ${storing_wraps} store_open store_check store_reach store_reach_fini store_promise
            store_promise_to store_put store_turn_end store_hand_over store_undecided
            store_connection_ended store_stats store_failed store_close log_event getpwnam
            aligned_alloc)
endif()
app_unit_test(systemd server SOURCES support/test_folder.c)
app_unit_test(metrics server SOURCES support/test_folder.c WRAP open_memstream ferror fclose)
app_unit_test(metrics_screen server WRAP ${server_wraps})
app_unit_test(sandbox server)
app_unit_test(landlock server SOURCES support/kernel_rules.c WRAP syscall readlink)
app_unit_test(syscall_filter server)
app_unit_test(filter_program server WRAP prctl)
app_unit_test(keeper server SOURCES support/test_folder.c WRAP clock_now_ns)
set(keeper_ends support/keeper_ends.c support/test_folder.c)
set(keeper_wraps fork _exit socketpair dup2 poll recv recvmsg sendmsg waitpid sandbox_restricts_files
    sandbox_enter)
app_unit_test(keeper_faults server SOURCES ${keeper_ends} WRAP ${keeper_wraps})
app_unit_test(keeper_process server FAILMALLOC SOURCES ${keeper_ends} WRAP ${keeper_wraps})
app_unit_test(sandbox_steps server
    WRAP prctl syscall landlock_abi landlock_enter syscall_filter_install geteuid getpwnam initgroups
        setresgid setresuid setuid seteuid tlsmsg_options_set_owner stat stat64)
app_unit_test(sandbox_enter server SOURCES support/test_folder.c)
# Where time_t was widened, glibc's time(2) has the second name.
app_unit_test(periodic server WRAP time __time64 metrics_print storing_stats log_event tlsmsg_server_expiry
              tlsmsg_server_tell_ends tlsmsg_server_stats)
set(main_loop_wraps poll clock_now_ns log_event log_answer ${server_wraps} tlsmsg_server_stop
    tlsmsg_server_wait tlsmsg_server_reload tlsmsg_server_done_fd tlsmsg_server_expiry
    tlsmsg_server_tell_ends keeper_look storing_lines_out storing_failure storing_stats)
app_unit_test(main_loop server WRAP ${main_loop_wraps}
    SOURCES support/main_loop_ends.c support/test_folder.c support/glob_text.c)
app_unit_test(main_loop_transcript server WRAP ${main_loop_wraps}
    SOURCES support/main_loop_ends.c support/test_folder.c)
