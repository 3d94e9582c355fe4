# The event loop and the server's own pieces.
foreach(name conversation_states stats shared waiting)
    tlsmsg_unit_test(${name})
endforeach()
tlsmsg_unit_test(messages SOURCES support/test_clock.c
    WRAP transport_recv transport_send transport_idle_records clock_now_ns clock_since_boot_ns)
tlsmsg_unit_test(limits FAILMALLOC SOURCES support/checked_lock.c
    WRAP getrlimit getrlimit64 getrandom ${checked_lock})
tlsmsg_unit_test(loop WRAP epoll_create1 epoll_ctl wake_open)
tlsmsg_unit_test(timers FAILMALLOC)
if(TLSMSG_PLAINTEXT)
    set(server_identity support/ends_identity_plain.c)
else()
    set(server_identity support/ends_identity_tls.c support/test_certs.c support/test_folder.c)
endif()
tlsmsg_unit_test(deferred FAILMALLOC SOURCES support/checked_lock.c WRAP ${checked_lock})
tlsmsg_unit_test(replies FAILMALLOC)
tlsmsg_unit_test(producers FAILMALLOC SOURCES support/checked_lock.c WRAP tsearch ${checked_lock})
tlsmsg_unit_test(accept SOURCES ${socket_support} WRAP ${socket_wraps})
tlsmsg_unit_test(accept_connections FAILMALLOC SOURCES ${socket_support} ${server_identity}
    WRAP ${socket_wraps})
# What support/lone_conversation.c puts in the place of the transport and of the clock.
set(lone_wraps transport_new transport_free transport_handshake transport_recv transport_send
    transport_shutdown transport_idle_records transport_describe transport_heard
    clock_now_ns clock_since_boot_ns)
foreach(name conversation conversation_ending)
    tlsmsg_unit_test(${name} WRAP ${lone_wraps}
        SOURCES support/lone_conversation.c support/test_clock.c ${server_identity})
endforeach()
tlsmsg_unit_test(worker WRAP ${lone_wraps} loop_wait
    SOURCES support/lone_conversation.c support/test_clock.c ${server_identity})
tlsmsg_unit_test(table FAILMALLOC SOURCES ${server_identity})
tlsmsg_unit_test(server_new FAILMALLOC
    SOURCES ${socket_support} ${server_identity} support/checked_lock.c
    WRAP ${socket_wraps} epoll_create1 epoll_ctl eventfd getrlimit getrlimit64 pthread_create sysconf
        ${checked_lock})
tlsmsg_unit_test(server SOURCES ${server_identity})
tlsmsg_unit_test(server_start SOURCES ${server_identity})
if(NOT TLSMSG_PLAINTEXT)
    tlsmsg_unit_test(numbered WRAP ${lone_wraps}
        SOURCES support/lone_conversation.c support/test_clock.c ${server_identity})
    tlsmsg_unit_test(server_reload SOURCES support/test_certs.c support/test_folder.c
        support/checked_lock.c WRAP ${checked_lock})
    target_link_libraries(test_server_reload PRIVATE OpenSSL::SSL OpenSSL::Crypto)
endif()
