// SPDX-License-Identifier: Apache-2.0
// Shared by options.c (structure), option_value.c (scalars) and options_print.c only.
#ifndef MERIDIAN_CONFIG_OPTIONS_PRIV_H
#define MERIDIAN_CONFIG_OPTIONS_PRIV_H

#include "config/options.h"

struct option_at { // one value being read
    struct option_ctx *ctx;
    const struct option *row;
    // "regions[0].name"
    const char *path;
    int line;
    // the text, for messages
    const char *found;
};

void option_wrong(struct option_at *at, const char *expect); // "…: expected E, found F"
void option_scalar(struct option_at *at, const char *text, void *field);
bool option_word_value(struct option_at *at, const struct option_word *w, size_t n,
                       const char *text, unsigned *out);
const char *option_quantity_format(enum option_type type, uint64_t v, char buf[32]);

#endif
