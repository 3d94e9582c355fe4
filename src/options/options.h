/* What the inner floors read of an option object.
 *
 * The values are plain data: defaults filled in, each checked by itself. The
 * object is immutable once a server or client has copied it. Knows nothing of
 * the command line beyond the options' long names, which error texts use.
 */
#ifndef OPTIONS_OPTIONS_H
#define OPTIONS_OPTIONS_H

#include <tlsmsg/options.h>

/* How many values a list option has; 0 or 1 for a text option. Defaults count. For TLSMSG_OPT_KEY it
 * is the index of the last key and 1 more, so more than there are certificates only where a key
 * was set and no certificate at all. */
size_t options_count(const struct tlsmsg_options *o, enum tlsmsg_option option);

/* The i-th value of a list or text option, borrowed from o; NULL past the end or when unset.
 * For TLSMSG_OPT_KEY, i is the index of its certificate: NULL where the certificate's own file
 * holds the key. */
const char *options_text(const struct tlsmsg_options *o, enum tlsmsg_option option, size_t i);

/* A numeric option's value (times in milliseconds), its default where unset.
 * TLSMSG_OPT_TLS_MIN gives 12 or 13; a flag 0 or 1. */
int64_t options_number(const struct tlsmsg_options *o, enum tlsmsg_option option);

/* An independent copy; NULL when out of memory. */
struct tlsmsg_options *options_copy(const struct tlsmsg_options *o);

/* Descriptors handed over by tlsmsg_options_add_listener; *count receives how many. */
const int *options_listeners(const struct tlsmsg_options *o, size_t *count);

/* True where the option was set by its owner rather than left at its default. */
bool options_is_set(const struct tlsmsg_options *o, enum tlsmsg_option option);

enum tlsmsg_role options_role(const struct tlsmsg_options *o);

/* Long name of an option, such as "handshake-timeout". */
const char *options_name(enum tlsmsg_option option);

/* Asks the registered callback; false where none is registered. */
bool options_confirm(const struct tlsmsg_options *o, const char *question);
bool options_can_confirm(const struct tlsmsg_options *o);
bool options_ask_password(const struct tlsmsg_options *o, const char *file, char *buf, size_t cap);

/* Splits a reply template into the texts before and after {message}, borrowed from o. */
void options_reply_parts(const struct tlsmsg_options *o, const char **prefix, size_t *prefix_len,
                         const char **suffix, size_t *suffix_len);

#endif
