# The client; its tests play the server on a thread of their own.
# What support/test_clock.c puts forward.
set(test_clock clock_now_ns clock_since_boot_ns)
set(client_ends support/client_ends.c support/test_clock.c support/test_peer.c)
if(TLSMSG_PLAINTEXT)
    list(APPEND client_ends support/ends_identity_plain.c)
else()
    list(APPEND client_ends support/ends_identity_tls.c support/test_certs.c support/test_folder.c)
endif()
tlsmsg_unit_test(receive_queue FAILMALLOC)
tlsmsg_unit_test(client SOURCES ${client_ends} support/fake_lookup.c
    WRAP ${test_clock} getaddrinfo freeaddrinfo)
tlsmsg_unit_test(client_exchange WRAP ${test_clock} SOURCES ${client_ends})
if(NOT TLSMSG_PLAINTEXT)
    tlsmsg_unit_test(client_numbered WRAP ${test_clock} SOURCES ${client_ends})
endif()
tlsmsg_unit_test(client_failed_write WRAP ${test_clock} SOURCES ${client_ends})
tlsmsg_unit_test(client_close WRAP ${test_clock} SOURCES ${client_ends})
tlsmsg_unit_test(client_memory FAILMALLOC WRAP ${test_clock} SOURCES ${client_ends})

# Each step of a client, over a transport that answers by script.
set(scripted_transport transport_new transport_free transport_accept_key transport_handshake
    transport_recv transport_send transport_shutdown transport_ask_user transport_describe)
set(connect_steps_wraps resolve_name socket_connect_start socket_connect_result socket_keepalive)
set(client_numbers_wraps getrandom)
set(client_calls_wraps transport_config_new)
set(numbered_replies_options FAILMALLOC)
foreach(module client_calls client_numbers close_steps connect_steps exchange_steps numbered_replies
        numbered_steps)
    tlsmsg_unit_test(${module} ${${module}_options}
        WRAP ${test_clock} ${scripted_transport} ${${module}_wraps}
        SOURCES ${client_ends} support/scripted_transport.c)
endforeach()
