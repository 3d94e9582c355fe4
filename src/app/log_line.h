/* One line of the log, in its two forms. */
#ifndef APP_LOG_LINE_H
#define APP_LOG_LINE_H

#include <tlsmsg/server.h>

/* No line is longer, so that a pipe takes each whole (PIPE_BUF). */
#define LOG_LINE_MAX 4096

/* Writes a line with its end into buf; returns its length.
 * time: RFC 3339; level: its name; event: level and cause are taken from it;
 * left_out: 0, or the line is a summary of that many events (its text says so too). */
size_t log_line_text(char buf[LOG_LINE_MAX], const char *time, const char *level,
                     const struct tlsmsg_event *event);
size_t log_line_json(char buf[LOG_LINE_MAX], const char *time, const char *level,
                     const struct tlsmsg_event *event, uint64_t left_out);

#endif
