# What i386.cmake and s390x.cmake share: gcc for another architecture, and a folder with that
# architecture's headers and libraries, -DTLSMSG_SYSROOT=DIR (scripts/portability.sh makes it).
#   TLSMSG_TRIPLET  the compiler's prefix
if(NOT IS_DIRECTORY "${TLSMSG_SYSROOT}/usr/include")
    message(FATAL_ERROR "TLSMSG_SYSROOT='${TLSMSG_SYSROOT}' has no usr/include (scripts/portability.sh "
                        "makes such a folder)")
endif()
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TLSMSG_SYSROOT)

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_C_COMPILER ${TLSMSG_TRIPLET}-gcc)
set(CMAKE_SYSROOT ${TLSMSG_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
