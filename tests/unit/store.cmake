# The store: the same objects that the programs link.
function(store_unit_test module)
    tlsmsg_unit_test(${module} ${ARGN})
    target_sources(test_${module} PRIVATE $<TARGET_OBJECTS:tlsmsg_store>)
    target_link_libraries(test_${module} PRIVATE tlsmsg_engines)
endfunction()

store_unit_test(store_away)
store_unit_test(store_commit FAILMALLOC)
store_unit_test(store_sqlite SOURCES support/test_folder.c)
store_unit_test(store_file SOURCES support/test_folder.c)
tlsmsg_unit_test(store_spool SOURCES support/test_folder.c)
target_sources(test_store_spool PRIVATE $<TARGET_OBJECTS:tlsmsg_spool>)
target_link_libraries(test_store_spool PRIVATE SQLite::SQLite3)
