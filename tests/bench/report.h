/* The figures of a run, for people or as one line of JSON. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "modes.h"

/* Prints to stdout. Returns false when the run must not be believed: failures, nothing measured, or
 * too few sessions resumed (any at all in a full run); it says so on stderr. */
bool report_print(const struct load *load, const struct report *report);

#endif
