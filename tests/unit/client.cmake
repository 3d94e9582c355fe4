# The client; its tests play the server on a thread of their own.
set(client_ends support/client_ends.c support/test_clock.c support/test_peer.c)
if(TLSMSG_PLAINTEXT)
    list(APPEND client_ends support/ends_identity_plain.c)
else()
    list(APPEND client_ends support/ends_identity_tls.c support/test_certs.c support/test_folder.c)
endif()
tlsmsg_unit_test(receive_queue FAILMALLOC)
tlsmsg_unit_test(client SOURCES ${client_ends} support/fake_lookup.c
    WRAP clock_now_ns getaddrinfo freeaddrinfo)
tlsmsg_unit_test(client_exchange WRAP clock_now_ns SOURCES ${client_ends})
tlsmsg_unit_test(client_failed_write WRAP clock_now_ns SOURCES ${client_ends})
tlsmsg_unit_test(client_close WRAP clock_now_ns SOURCES ${client_ends})
tlsmsg_unit_test(client_memory FAILMALLOC WRAP clock_now_ns SOURCES ${client_ends})
