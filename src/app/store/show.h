/* list, tail and export, on stdout. */
#ifndef APP_STORE_SHOW_H
#define APP_STORE_SHOW_H

#include "app/store/options.h"
#include "app/store/reader.h"

/* Where messages come from, in their order. Each function: TLSMSG_OK, or a code with its cause. */
struct show_source {
    /* Goes to before the last of them, so many. */
    enum tlsmsg_code (*skip_to_last)(void *user, uint64_t lines, struct tlsmsg_error *err);

    /* Gives the next ones to take, as many as make a short read; *more: whether there were any. */
    enum tlsmsg_code (*next)(void *user, bool *more, reader_take *take, void *taker,
                             struct tlsmsg_error *err);
    void *user;
};

/* TLSMSG_OK, or a code with its cause. */
enum tlsmsg_code show_messages(const struct show_source *source,
                               const struct store_options_taken *taken, struct tlsmsg_error *err);

#endif
