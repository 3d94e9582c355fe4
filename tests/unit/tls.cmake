# Unit tests of the TLS transport: they make their certificates with OpenSSL.
set(tls_support support/test_certs.c support/test_folder.c support/tls_ends.c
    support/memory_source.c support/transport_pair.c)

foreach(module alerts names identity certificates verify resumption tickets policy)
    tlsmsg_unit_test(${module} SOURCES ${tls_support})
    target_link_libraries(test_${module} PRIVATE OpenSSL::SSL OpenSSL::Crypto)
endforeach()
