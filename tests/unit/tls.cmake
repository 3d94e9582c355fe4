# Unit tests of the TLS transport: they make their certificates with OpenSSL.
set(tls_support support/test_certs.c support/test_folder.c support/tls_ends.c
    support/glob_text.c support/memory_source.c support/transport_pair.c)

set(ticket_file_wraps WRAP clock_now_ns)
set(known_servers_wraps WRAP read __read_chk)
set(resumption_wraps WRAP time)
set(session_life_wraps WRAP time)
set(library_faults_wraps WRAP SSL_CTX_set_tlsext_ticket_key_evp_cb SSL_CTX_new
    SSL_CTX_set_ciphersuites SSL_CTX_set_cipher_list SSL_CTX_use_cert_and_key
    SSL_use_cert_and_key SSL_CTX_add_client_CA SSL_CTX_set_session_id_context
    SSL_CTX_set_default_verify_paths SSL_CTX_set_session_ticket_cb SSL_CTX_set_ex_data
    SSL_CTX_set_block_padding SSL_new BIO_new BIO_new_mem_buf BIO_up_ref BIO_new_bio_pair
    X509_verify_cert BIO_meth_new BIO_meth_set_read_ex BIO_meth_set_write_ex BIO_meth_set_ctrl
    BIO_meth_set_create X509_STORE_add_cert X509_STORE_add_crl X509_chain_up_ref X509_CRL_digest
    X509_VERIFY_PARAM_set1_host X509_VERIFY_PARAM_set1_ip_asc EVP_MD_CTX_new EVP_DigestInit_ex
    EVP_DigestUpdate EVP_DigestFinal_ex EVP_DigestInit_ex2 EVP_MD_CTX_copy_ex EVP_MD_fetch
    EVP_CIPHER_fetch OPENSSL_sk_new_null OPENSSL_sk_push SSL_CTX_ctrl SSL_ctrl
    SSL_CTX_set_alpn_protos)
set(tickets_wraps WRAP RAND_bytes RAND_priv_bytes EVP_EncryptInit_ex2 EVP_DecryptInit_ex2
    EVP_MAC_CTX_set_params OPENSSL_cleanse)
set(key_passwords_wraps WRAP OPENSSL_cleanse)
set(load_ends_wraps WRAP time)
set(config_blocks_wraps FAILMALLOC)
set(keylog_wraps WRAP fchown)
set(error_queue_wraps WRAP load_file)
set(unknown_server_wraps FAILMALLOC)
set(known_lock_wraps FAILMALLOC WRAP flock nanosleep)

foreach(module alerts server_name identity certificates verify resumption tickets policy pin
        known_servers allow ticket_file load revocation client_trust read_ahead x509_text keylog sni
        bio hello_length errors config_memory pem hints unknown_server conn tls_verbs rehearsal known_lines known_lock error_queue list_dates key_passwords config_blocks session_life load_ends
        library_faults)
    tlsmsg_unit_test(${module} SOURCES ${tls_support} ${${module}_wraps})
    target_link_libraries(test_${module} PRIVATE OpenSSL::SSL OpenSSL::Crypto)
endforeach()
tlsmsg_unit_test(digest)
