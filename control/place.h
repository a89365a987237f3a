// SPDX-License-Identifier: Apache-2.0
// A place in the control feed (docs/control-feed.md): an epoch, a sequence in it, and the hash of
// the entry that stands there, which covers all entries before it. Epochs are opened by the fleet's
// root key alone, so that the order of places is (epoch, sequence).
//
//   char text[CONTROL_PLACE_TEXT_SIZE];
//   control_place_format(&p, text);                    // "2:101:9f86d0…"
//   rc = control_place_parse(text, strlen(text), &p);
//
// Values; any thread.
#ifndef MERIDIAN_CONTROL_PLACE_H
#define MERIDIAN_CONTROL_PLACE_H

#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_PLACE_TEXT_SIZE (20 + 1 + 20 + 1 + 2 * SHA256_BYTES + 1)

struct control_place {
    uint64_t epoch;
    // goes on over epochs; 0: what the feed began with, before any entry
    uint64_t seq;
    uint8_t hash[SHA256_BYTES];
};

// By epoch and sequence, as strcmp does.
int control_place_compare(const struct control_place *a, const struct control_place *b);
bool control_place_same(const struct control_place *a, const struct control_place *b); // hash too
const char *control_place_format(const struct control_place *p, char out[CONTROL_PLACE_TEXT_SIZE]);
// Only what control_place_format writes; else ERR_INVAL, and *out is untouched.
int control_place_parse(const char *text, size_t n, struct control_place *out);

#endif
