# 32 bits: Debian's gcc-i686-linux-gnu. An amd64 kernel runs the result itself, by the sysroot's own
# dynamic loader.
set(CMAKE_SYSTEM_PROCESSOR i686)
set(TLSMSG_TRIPLET i686-linux-gnu)
include(${CMAKE_CURRENT_LIST_DIR}/sysroot.cmake)
set(CMAKE_LIBRARY_ARCHITECTURE i386-linux-gnu)
set(CMAKE_CROSSCOMPILING_EMULATOR ${CMAKE_SYSROOT}/lib/ld-linux.so.2 --library-path
    ${CMAKE_SYSROOT}/lib/i386-linux-gnu:${CMAKE_SYSROOT}/usr/lib/i386-linux-gnu)
# gcc notes that GCC 11 aligned 64-bit atomics anew: nothing here is linked to what older ones made.
set(CMAKE_C_FLAGS_INIT -Wno-psabi)
