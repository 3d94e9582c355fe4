# The store: the same objects that the programs link.
function(store_unit_test module)
    tlsmsg_unit_test(${module} ${ARGN})
    target_sources(test_${module} PRIVATE $<TARGET_OBJECTS:tlsmsg_store>)
    target_link_libraries(test_${module} PRIVATE tlsmsg_engines)
endfunction()

store_unit_test(store_away)
store_unit_test(store_batch FAILMALLOC)
store_unit_test(store_commit FAILMALLOC)
set(script_support support/scripted_engine.c support/still_clock.c)
set(still_clock clock_now_ns nanosleep pthread_cond_timedwait)
store_unit_test(store_upkeep SOURCES ${script_support} WRAP ${still_clock})
store_unit_test(store_turns FAILMALLOC SOURCES ${script_support} WRAP ${still_clock})
store_unit_test(store_start FAILMALLOC SOURCES ${script_support} support/test_folder.c
    WRAP ${still_clock} getentropy aligned_alloc pthread_create pthread_mutex_init
        pthread_mutex_destroy pthread_cond_init pthread_cond_destroy pthread_condattr_init
        pthread_condattr_destroy)
# Of a store in a file: the scene, and what fails there.
set(sqlite_scene support/sqlite_scene.c support/test_folder.c)
set(sqlite_faults sqlite3_step sqlite3_prepare_v2 sqlite3_prepare_v3 sqlite3_exec
    sqlite3_wal_checkpoint_v2 sqlite3_txn_state sqlite3_open_v2 sqlite3_close sqlite3_busy_timeout
    sqlite3_backup_init sqlite3_backup_step sqlite3_backup_finish
    sqlite3_errcode sqlite3_extended_errcode sqlite3_errmsg sqlite3_system_errno)
set(system_faults open open64 fstat fstat64 fstatfs fstatfs64 realpath flock ftruncate ftruncate64
    pread pread64 pwrite pwrite64 fsync getentropy)
if(NOT TLSMSG_PLAINTEXT)
    app_unit_test(client_spool client SOURCES ${client_ends} ${client_run} support/sqlite_faults.c
        WRAP ${test_clock} console_init nanosleep ${sqlite_faults})
    target_sources(test_client_spool PRIVATE $<TARGET_OBJECTS:client_program>)
endif()
store_unit_test(store_sqlite SOURCES ${sqlite_scene})
store_unit_test(store_file SOURCES ${sqlite_scene})
foreach(module store_file_faults store_lock)
    store_unit_test(${module}
        SOURCES ${sqlite_scene} support/file_scene.c support/system_faults.c WRAP ${system_faults})
endforeach()
store_unit_test(store_open FAILMALLOC
    SOURCES ${sqlite_scene} support/sqlite_faults.c support/system_faults.c
    WRAP ${sqlite_faults} ${system_faults})
store_unit_test(store_sqlite_faults FAILMALLOC SOURCES ${sqlite_scene} support/sqlite_faults.c
    WRAP ${sqlite_faults} clock_gettime fstatvfs fstatvfs64)
tlsmsg_unit_test(store_spool SOURCES support/test_folder.c)
tlsmsg_unit_test(store_spool_faults FAILMALLOC
    SOURCES ${sqlite_scene} support/sqlite_faults.c support/system_faults.c
    WRAP ${sqlite_faults} ${system_faults} fstatvfs fstatvfs64)
foreach(module store_spool store_spool_faults)
    target_sources(test_${module} PRIVATE $<TARGET_OBJECTS:tlsmsg_spool>)
    target_link_libraries(test_${module} PRIVATE SQLite::SQLite3)
endforeach()
if(TLSMSG_POSTGRESQL)
    include(postgresql.cmake)
endif()
# Compiled here whether or not the build has PostgreSQL.
tlsmsg_unit_test(postgresql_none)
target_sources(test_postgresql_none PRIVATE ${PROJECT_SOURCE_DIR}/src/store/postgresql_none.c
    ${PROJECT_SOURCE_DIR}/src/app/store/database_none.c)

# The store's tool, whose main a test can call.
get_target_property(tool_sources tlsmsg-store SOURCES)
list(FILTER tool_sources INCLUDE REGEX "^(store/|sha256)")
list(TRANSFORM tool_sources PREPEND ${PROJECT_SOURCE_DIR}/src/app/)
add_library(store_tool_program OBJECT ${tool_sources})
target_include_directories(store_tool_program PRIVATE
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(store_tool_program PRIVATE tlsmsg_flags tlsmsg_engines OpenSSL::Crypto)
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/app/store/main.c PROPERTIES COMPILE_OPTIONS
    "-include;${PROJECT_SOURCE_DIR}/tests/support/tool_main.h")
# store_tool_test(<module> [WRAP <function>...]): runs of the whole tool, on a store of the test's own.
function(store_tool_test module)
    cmake_parse_arguments(PARSE_ARGV 1 tool "" "" "WRAP")
    store_unit_test(${module} FAILMALLOC
        SOURCES ${sqlite_scene} support/sqlite_faults.c support/system_faults.c support/tool_run.c
        WRAP ${sqlite_faults} ${system_faults} ${tool_WRAP})
    target_sources(test_${module} PRIVATE
        $<TARGET_OBJECTS:store_tool_program> $<TARGET_OBJECTS:tlsmsg_app>)
    target_link_libraries(test_${module} PRIVATE OpenSSL::Crypto)
endfunction()
store_tool_test(store_tool WRAP isatty poll)
store_tool_test(store_verify)
store_tool_test(store_upkeep_tool WRAP nanosleep)
store_tool_test(store_progress WRAP clock_now_ns terminal_takes_style geteuid getpwuid initgroups
                setgroups setresgid setresuid)
