// SPDX-License-Identifier: Apache-2.0
// The form of each kind of entry: its name on the wire and in the signed text, and which members an
// entry of it has beside those that all entries have. store/entry.c checks, signs, writes and reads
// entries by it.
//
//   const struct entry_form *form = entry_form(e->kind);
//   if (form && form->members & ENTRY_HAS_TAG) …
//
// A kind is a row of ENTRY_KINDS (store/entry.h). Three tables hold what the kinds differ in, each
// in the room that does it: the form (here), the rules (store/kind_rules.h: what it does to the
// state), the course (replication/kind_course.h: how a region that reads it gets what it needs).
// Each table is built from ENTRY_KINDS, so that a row without its form, rules or course does not
// link. Constant; any thread.
#ifndef MERIDIAN_STORE_ENTRY_KIND_H
#define MERIDIAN_STORE_ENTRY_KIND_H

#include "store/entry.h"

enum entry_member {
    // `tag`, in the line as "tag". Without it `tag` is "".
    ENTRY_HAS_TAG = 1 << 0,
    // `media_type`, `size` and, when small enough, `content`; in the line as "mediaType", "size",
    // "content". Without it they are "", 0 and empty.
    ENTRY_HAS_CONTENT = 1 << 1,
};

struct entry_form {
    const char *name;
    // of enum entry_member
    unsigned members;
};

// NULL: no such kind.
const struct entry_form *entry_form(enum entry_kind kind);
// 0: no kind has this name.
enum entry_kind entry_kind_named(const char *name);

static inline bool entry_has(const struct feed_entry *e, enum entry_member member)
{
    const struct entry_form *form = entry_form(e->kind);
    return form && form->members & member;
}

#endif
