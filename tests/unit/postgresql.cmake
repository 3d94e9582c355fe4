# The store in PostgreSQL, with a scripted engine in place of a real one: the integration tests make
# one.

# What support/fake_libpq.h puts in place of libpq's connections, of time and of threads.
set(libpq_wraps
    PQbackendPID PQclear PQcmdStatus PQcmdTuples PQconnectdbParams PQconninfo PQconninfoParse
    PQconsumeInput PQenterPipelineMode PQerrorMessage PQexec PQfinish PQflush PQgetResult
    PQgetisnull PQgetvalue PQhost PQhostaddr PQisBusy PQntuples PQpipelineSync PQport
    PQresultErrorField PQresultErrorMessage PQresultStatus PQsendPrepare PQsendQueryParams
    PQsendQueryPrepared PQsetNoticeReceiver PQsetnonblocking PQsocket PQstatus PQtransactionStatus
    PQunescapeBytea
    clock_gettime clock_now_ns poll time
    pthread_attr_destroy pthread_attr_init pthread_cond_destroy pthread_cond_init
    pthread_cond_signal pthread_cond_timedwait pthread_condattr_destroy pthread_condattr_init
    pthread_create pthread_mutex_destroy pthread_mutex_init pthread_mutex_lock pthread_mutex_unlock)
set(libpq_support fake_libpq fake_libpq_pipeline fake_libpq_threads fake_libpq_values)

# libpq_unit_test(<module> [BATCH] [DB] [FAILMALLOC] [WRAP <function>...])
function(libpq_unit_test module)
    cmake_parse_arguments(PARSE_ARGV 1 libpq "BATCH;DB" "" "WRAP")
    set(support ${libpq_support})
    if(libpq_BATCH)
        list(APPEND support fake_batch)
    endif()
    if(libpq_DB)
        list(APPEND support fake_db)
    endif()
    set(sources ${support})
    list(TRANSFORM sources PREPEND support/)
    list(TRANSFORM sources APPEND .c)
    store_unit_test(${module} WRAP ${libpq_wraps} ${libpq_WRAP} SOURCES ${sources}
        ${libpq_UNPARSED_ARGUMENTS})
    foreach(name IN LISTS support)
        target_link_libraries(support_${name} PRIVATE PostgreSQL::PostgreSQL)
    endforeach()
endfunction()

libpq_unit_test(postgresql FAILMALLOC)
store_unit_test(postgresql_array FAILMALLOC)
libpq_unit_test(postgresql_batch BATCH)
libpq_unit_test(postgresql_batch_faults BATCH FAILMALLOC)
libpq_unit_test(postgresql_connect FAILMALLOC)
libpq_unit_test(postgresql_db DB)
libpq_unit_test(postgresql_late DB)
store_unit_test(postgresql_reach FAILMALLOC SOURCES support/test_folder.c)
libpq_unit_test(postgresql_schema DB)

# And the store tool's commands on it.
set(tool_sources sha256.c store/database.c store/show.c)
libpq_unit_test(database FAILMALLOC WRAP progress_begin progress_tell progress_end sha256)
list(TRANSFORM tool_sources PREPEND ${PROJECT_SOURCE_DIR}/src/app/)
target_sources(test_database PRIVATE ${tool_sources} $<TARGET_OBJECTS:tlsmsg_app>)
target_link_libraries(test_database PRIVATE OpenSSL::Crypto)
