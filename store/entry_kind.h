// SPDX-License-Identifier: Apache-2.0
// The form of each kind of entry: what it is about (subject and attribute), which members it has
// beside those that all entries have, its name in version 1. The files of store/entry check, sign,
// write and read entries by it.
//
//   const struct entry_form *form = entry_form(e->kind);
//   if (form && form->members & ENTRY_HAS_TAG) …
//
// A kind is a row of ENTRY_KINDS (store/entry.h). Three tables hold what the kinds differ in, each
// in the room that does it: the form (here), the rules (store/kind_rules.h: what it does to the
// state), the course (replication/kind_apply.h: how a region that reads it gets what it needs).
// Each table is built from ENTRY_KINDS, so that a row without its form, rules or course does not
// link. Constant; any thread.
//
//   kind             subject     attribute  members of the value
//   manifest         manifest    present    mediaType, size, absent?, by?
//   tag              tag         value      digest, createOnly? (true), generation? (decimal), by?
//   manifest_gone    manifest    present    gone (true), judged?, rule?, by?
//   tag_gone         tag         value      gone (true), judged?, rule?, by?
//   manifest_lock    manifest    locked     write, delete (booleans), by?
//   tag_lock         tag         locked     the same
//   repository_lock  repository  locked     the same
//
// absent: base64url of the bitmap; judged: {"stamp":decimal,"origin":…,"epoch":n}.
#ifndef MERIDIAN_STORE_ENTRY_KIND_H
#define MERIDIAN_STORE_ENTRY_KIND_H

#include "store/entry.h"

enum entry_member {
    // The subject is a tag.
    ENTRY_HAS_TAG = 1 << 0,
    // `media_type`, `size`, `absent` and, when small enough, `content`.
    ENTRY_HAS_CONTENT = 1 << 1,
    // `digest`: of the subject, or of a tag's value.
    ENTRY_HAS_DIGEST = 1 << 2,
    // A tombstone: `judged`, `rule`.
    ENTRY_IS_GONE = 1 << 3,
    // `lock_write`, `lock_delete`.
    ENTRY_IS_LOCK = 1 << 4,
};

struct entry_form {
    // in version 1; NULL: it has no such kind
    const char *name;
    enum entry_subject subject;
    const char *attribute;
    // of enum entry_member
    unsigned members;
};

// NULL: no such kind.
const struct entry_form *entry_form(enum entry_kind kind);
// ENTRY_UNKNOWN: no kind of version 1 has this name.
enum entry_kind entry_kind_named(const char *name);
// ENTRY_UNKNOWN: no kind is about that. `gone`: the value says so.
enum entry_kind entry_kind_about(enum entry_subject subject, const char *attribute, bool gone);
// The subject in words: "manifest", "tag", "repository".
const char *entry_subject_name(enum entry_subject subject);

static inline bool entry_has(const struct feed_entry *e, enum entry_member member)
{
    const struct entry_form *form = entry_form(e->kind);
    return form && form->members & member;
}

// It says that its register has no value.
static inline bool entry_gone(const struct feed_entry *e)
{
    return entry_has(e, ENTRY_IS_GONE);
}

#endif
