/* Recording a cause in a caller's struct tlsmsg_error. The first cause wins. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <tlsmsg/error.h>

/* Records code and a formatted text unless err already holds a cause or is NULL.
 * sys_errno: an errno value whose text is appended after ": ", or 0.
 * Returns code, so that a caller can say `return error_set(...)`. errno is left alone. */
enum tlsmsg_code error_set(struct tlsmsg_error *err, enum tlsmsg_code code, int sys_errno,
                           const char *format, ...) __attribute__((cold, format(printf, 4, 5)));

/* Appends text to a recorded cause, such as a hint: "(scripts/gen-certs.sh makes one)".
 * Nothing is done when err is NULL or empty; what does not fit is cut at a character. */
void error_append(struct tlsmsg_error *err, const char *format, ...)
    __attribute__((cold, format(printf, 2, 3)));

#endif
