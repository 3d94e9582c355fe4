/* list, tail and export, on stdout. */
#ifndef APP_STORE_SHOW_H
#define APP_STORE_SHOW_H

#include "app/store/options.h"
#include "app/store/reader.h"

/* TLSMSG_OK, or a code with its cause. */
enum tlsmsg_code show_messages(struct reader *reader, const struct store_options_taken *taken,
                               struct tlsmsg_error *err);

#endif
