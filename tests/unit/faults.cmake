# Conversations under faults: a worker that the test steps (support/stepped_worker.h) and raw peers.
set(scene_support support/scene.c support/stepped_worker.c support/raw_peer.c)
if(TLSMSG_PLAINTEXT)
    list(APPEND scene_support support/raw_peer_plain.c support/ends_identity_plain.c)
else()
    list(APPEND scene_support support/raw_peer_tls.c support/ends_identity_tls.c
         support/test_certs.c support/test_folder.c)
endif()
# Plays that stand in tables (support/acts.h, support/play.h).
set(play_support support/acts.c support/play.c support/test_clock.c)

tlsmsg_unit_test(conversation_faults WRAP loop_wait SOURCES ${scene_support})
tlsmsg_unit_test(conversation_memory FAILMALLOC WRAP loop_wait
    SOURCES ${scene_support} support/memory_scene.c)
set(fault_tests conversation_faults conversation_memory)
foreach(module conversation_limits deferred_replies large_replies turn_bounds)
    tlsmsg_unit_test(${module} WRAP loop_wait SOURCES ${scene_support})
    list(APPEND fault_tests ${module})
endforeach()
if(NOT TLSMSG_PLAINTEXT)
    tlsmsg_unit_test(openssl_memory WRAP loop_wait SOURCES ${scene_support} support/memory_scene.c)
    tlsmsg_unit_test(key_updates WRAP loop_wait SOURCES ${scene_support})
    tlsmsg_unit_test(handshake_causes WRAP loop_wait SOURCES ${scene_support})
    tlsmsg_unit_test(flow_numbered FAILMALLOC WRAP loop_wait ${test_clock}
        SOURCES ${scene_support} ${play_support})
    list(APPEND fault_tests openssl_memory key_updates handshake_causes flow_numbered)
endif()
set(play_tests conversation_counters conversation_ends conversation_times worker_turns)
if(NOT TLSMSG_PLAINTEXT)
    list(APPEND play_tests numbered_rules numbered_times numbered_handler numbered_takeovers
         numbered_pressure)
endif()
foreach(module IN LISTS play_tests)
    tlsmsg_unit_test(${module} WRAP loop_wait ${test_clock}
        SOURCES ${scene_support} ${play_support})
    list(APPEND fault_tests ${module})
endforeach()
if(NOT TLSMSG_PLAINTEXT)
    tlsmsg_unit_test(numbered_memory FAILMALLOC WRAP loop_wait ${test_clock} digest_add digest_end
        SOURCES ${scene_support} ${play_support})
    list(APPEND fault_tests numbered_memory)
endif()
foreach(module IN LISTS fault_tests)
    if(NOT TLSMSG_PLAINTEXT)
        target_link_libraries(test_${module} PRIVATE OpenSSL::SSL OpenSSL::Crypto)
    endif()
endforeach()

# Thousands of handshakes: where each is slow, fewer cuts and fewer of OpenSSL's allocations are
# tried.
if(NOT TLSMSG_PLAINTEXT AND (TLSMSG_SANITIZE MATCHES "address" OR CMAKE_CROSSCOMPILING_EMULATOR))
    set_tests_properties(unit_openssl_memory PROPERTIES ENVIRONMENT TLSMSG_TEST_STRIDE=17)
    set_tests_properties(unit_conversation_faults PROPERTIES ENVIRONMENT TLSMSG_TEST_STRIDE=7)
endif()
