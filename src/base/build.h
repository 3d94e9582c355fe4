/* What differs between builds, as constants: code asks `if (BUILD_HAS_TLS)`, and what can't be so
 * is left out by the compiler. CMake defines the macros; here alone are they looked at. */
#ifndef BASE_BUILD_H
#define BASE_BUILD_H

#include <stdbool.h>

#ifndef TLSMSG_BUILD_PLAINTEXT
#error "TLSMSG_BUILD_PLAINTEXT is not defined: the target must link tlsmsg_flags"
#endif

#define TLS_RECORD_BYTES 16384 /* most of one TLS record (RFC 8446 section 5.1) */

#if TLSMSG_BUILD_PLAINTEXT
/* The tutorial's behaviour. */
enum {
    BUILD_HAS_TLS = false,
    BUILD_RECV_SIZE = 1024,                  /* default of TLSMSG_OPT_RECV_SIZE */
    BUILD_ACCEPT = 1,                        /* of TLSMSG_OPT_ACCEPT */
    BUILD_WORKERS = 1,                       /* of TLSMSG_OPT_WORKERS */
    BUILD_LINE_MAX_BYTES = 16 * 1024 * 1024, /* longest line that the client sends */
    BUILD_TEXT_IS_RAW = true,                /* peers' text goes to files and pipes as it came */
    BUILD_LINE_END_IS_SHOWN = true           /* of a message, in the text transcript */
};
#else
enum {
    BUILD_HAS_TLS = true,
    BUILD_RECV_SIZE = TLS_RECORD_BYTES,
    BUILD_ACCEPT = 0,
    BUILD_WORKERS = 0,
    BUILD_LINE_MAX_BYTES = 16000, /* TLSMSG_RECORD_MESSAGE_MAX */
    BUILD_TEXT_IS_RAW = false,
    BUILD_LINE_END_IS_SHOWN = false /* s_client sends lines */
};
#endif

/* Sanitizers and line counting read and write files of their own up to the end. */
enum { BUILD_HAS_SANDBOX = TLSMSG_BUILD_SANDBOX };

/* The allocator's reserve: memory that was freed, but not given back to the system. */
#if TLSMSG_BUILD_MALLOC_TRIM
#include <malloc.h>

/* glibc keeps what a crowd of connections freed. Costs a walk over the free memory; any thread. */
static inline void build_give_back_memory(void)
{
    (void)malloc_trim(0);
}

/* Large memory comes from the system and goes back there: glibc takes that from 128 KiB on, too,
 * but raises it to what was freed last, and then keeps such pieces for each thread. */
static inline void build_keep_no_large_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}
#else
static inline void build_keep_no_large_memory(void)
{
}

static inline void build_give_back_memory(void)
{
}
#endif

/* The machine that is built for, where its system calls are known (64 bits, little-endian). */
#if defined(__x86_64__) && defined(__LP64__)
enum { BUILD_IS_X86_64 = true, BUILD_IS_AARCH64 = false };
#elif defined(__aarch64__) && defined(__LP64__) && !defined(__AARCH64EB__)
enum { BUILD_IS_X86_64 = false, BUILD_IS_AARCH64 = true };
#else
enum { BUILD_IS_X86_64 = false, BUILD_IS_AARCH64 = false };
#endif

#endif
