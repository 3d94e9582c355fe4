# Big-endian, 64 bits: Debian's gcc-s390x-linux-gnu; qemu-user runs the result.
set(CMAKE_SYSTEM_PROCESSOR s390x)
set(TLSMSG_TRIPLET s390x-linux-gnu)
include(${CMAKE_CURRENT_LIST_DIR}/sysroot.cmake)
set(CMAKE_LIBRARY_ARCHITECTURE s390x-linux-gnu)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-s390x -L ${CMAKE_SYSROOT})
