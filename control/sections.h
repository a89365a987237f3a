// SPDX-License-Identifier: Apache-2.0
// A topology document with whole sections at the margin rewritten, in place, everything else and its
// comments as it was. Text to text: who calls it has the outcome judged as a node judges it.
//
//   const struct edit_section s = {"dnssec", text};            // "" takes the section out
//   edit_sections(was, &s, 1, version, &now);
#ifndef MERIDIAN_CONTROL_SECTIONS_H
#define MERIDIAN_CONTROL_SECTIONS_H

#include "base/bytes.h"

#include <stddef.h>
#include <stdint.h>

struct edit_section {
    const char *key;
    // all of its lines, the key's included; "": it goes
    const char *text;
};

// At most 64 sections. One that is not there comes at the end. `version` in the place of the
// document's; 0: that stays.
void edit_sections(const char *text, const struct edit_section *list, size_t n, uint64_t version,
                   struct buf *out);

#endif
