/* Values as users type them: conversion and checks against an option's row. */
#ifndef OPTIONS_VALUE_H
#define OPTIONS_VALUE_H

#include "options/table.h"

/* Most bytes of a reply template beside {message}: with the client's longest message it still
 * fits one record. */
#define VALUE_REPLY_MAX_BYTES 384
#define VALUE_PLACEHOLDER "{message}"

/* Converts the text of a number, time, flag or TLS version to what is kept.
 * TLSMSG_OK or TLSMSG_ERR_CONFIG, which names the range and shows the text. */
enum tlsmsg_code value_parse(const struct option_row *row, const char *text, int64_t *out,
                             struct tlsmsg_error *err);

/* Checks a number that is already in the unit that is kept. As value_parse. */
enum tlsmsg_code value_check_number(const struct option_row *row, int64_t number,
                                    struct tlsmsg_error *err);

/* Checks a text, or one value of a list. TLSMSG_OK or TLSMSG_ERR_CONFIG. */
enum tlsmsg_code value_check_text(const struct option_row *row, const char *text,
                                  struct tlsmsg_error *err);

#endif
