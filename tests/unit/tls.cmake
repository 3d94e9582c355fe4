# Unit tests of the TLS transport: they make their certificates with OpenSSL.
set(tls_support support/test_certs.c support/test_folder.c support/tls_ends.c
    support/glob_text.c support/memory_source.c support/transport_pair.c)

set(ticket_file_wraps WRAP clock_now_ns)
set(known_servers_wraps WRAP read __read_chk)
set(resumption_wraps WRAP time)
set(session_life_wraps WRAP time)
set(tickets_wraps WRAP RAND_bytes RAND_priv_bytes EVP_EncryptInit_ex2 EVP_DecryptInit_ex2
    EVP_MAC_CTX_set_params)
set(load_ends_wraps WRAP time)
set(config_blocks_wraps FAILMALLOC)
set(keylog_wraps WRAP fchown)
set(error_queue_wraps WRAP load_file)
set(unknown_server_wraps FAILMALLOC)
set(known_lock_wraps FAILMALLOC WRAP flock nanosleep)

foreach(module alerts server_name identity certificates verify resumption tickets policy pin
        known_servers allow ticket_file load revocation client_trust read_ahead x509_text keylog sni
        bio hello_length errors config_memory pem hints unknown_server conn tls_verbs rehearsal known_lines known_lock error_queue list_dates key_passwords config_blocks session_life load_ends)
    tlsmsg_unit_test(${module} SOURCES ${tls_support} ${${module}_wraps})
    target_link_libraries(test_${module} PRIVATE OpenSSL::SSL OpenSSL::Crypto)
endforeach()
tlsmsg_unit_test(digest)
