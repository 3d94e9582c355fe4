/* Name lookups with known answers, in place of getaddrinfo(3).
 *
 * Needs WRAP getaddrinfo freeaddrinfo in tests/unit/CMakeLists.txt. Literals still go to the
 * real function. Names that were not set are unknown (EAI_NONAME). */
#ifndef SUPPORT_FAKE_LOOKUP_H
#define SUPPORT_FAKE_LOOKUP_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/* Lets one name stand for literals, in this order; or fail with an EAI_ value where that is not
 * 0. The texts are borrowed. */
void fake_lookup_set(const char *name, const char *const *literals, size_t count, int gai);

/* Lets lookups of names block until fake_lookup_release. */
void fake_lookup_block(void);
void fake_lookup_release(void);

/* How many lists were given and not freed. */
unsigned fake_lookup_lists(void);

/* How many lookups of names began, and the signal mask of the thread that did the last. */
unsigned fake_lookup_count(void);
sigset_t fake_lookup_mask(void);

#endif
