# Runs a planted bug: cmake -DPROGRAM=... -DREPORT=... -P planted_test.cmake
# It passes where the program ends with the sanitizer's exit status and says what was found. A crash
# of another kind, or an end as if nothing were wrong, fails.
set(status_of_report 66)
set(ENV{ASAN_OPTIONS} "exitcode=${status_of_report}:detect_leaks=1")
set(ENV{LSAN_OPTIONS} "exitcode=${status_of_report}")
set(ENV{UBSAN_OPTIONS} "exitcode=${status_of_report}")
set(ENV{TSAN_OPTIONS} "exitcode=${status_of_report}")
execute_process(COMMAND ${PROGRAM} RESULT_VARIABLE status OUTPUT_VARIABLE output
                ERROR_VARIABLE report)
if(NOT status STREQUAL status_of_report)
    message(FATAL_ERROR "exit status ${status} instead of ${status_of_report}: the sanitizer did "
                        "not find what was planted\n${output}${report}")
endif()
if(NOT report MATCHES "${REPORT}")
    message(FATAL_ERROR "nothing about '${REPORT}' in what it reported:\n${report}")
endif()
