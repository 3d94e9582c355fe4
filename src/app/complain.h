/* One line for people on stderr: "tlsmsg-server: what failed". */
#ifndef APP_COMPLAIN_H
#define APP_COMPLAIN_H

/* Writes the line in one write(2), its line end included; what doesn't fit is cut. errno is
 * left alone. What comes from outside must be escaped already. */
void complain(const char *program, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
