// SPDX-License-Identifier: Apache-2.0
// What the files of store/entry share; see entry.h.
//
//   entry_kind.c    the forms of the kinds
//   entry.c         what may stand in an entry; hash and what is signed
//   entry_v1.c      text and line of version 1
//   entry_value.c   values of version 2
//   entry_body.c    bodies of version 2
//   entry_line.c    lines of either version
#ifndef MERIDIAN_STORE_ENTRY_PRIV_H
#define MERIDIAN_STORE_ENTRY_PRIV_H

#include "store/entry.h"
#include "store/entry_kind.h"

#include <jansson.h>

#define ENTRY_LOWER "abcdefghijklmnopqrstuvwxyz"
#define ENTRY_UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define ENTRY_DIGITS "0123456789"

// --- entry.c ---
// ERR_INVAL: a member of those that all versions have must not be in a feed.
int entry_check(const struct feed_entry *e);
bool entry_key_ok(const char *s);
bool entry_text_absent(const char *s); // NULL or ""
// UTF-8 without control bytes; `lines`: "\n" may be there.
bool entry_text_clean(struct bytes text, bool lines);
// NULL, or clean and at most `max` bytes.
bool entry_text_ok(const char *s, size_t max);
// 64 lower-case digits, so that one hash has one text. ERR_PROTO.
int entry_hash_parse(struct bytes text, uint8_t out[ENTRY_HASH_BYTES]);
// ERR_PROTO: inline content does not have the digest and the size that the entry says. ERR_NOMEM.
int entry_content_check(const struct feed_entry *e);

// --- entry_v1.c ---
int entry_v1_text(const struct feed_entry *e, struct buf *out);
int entry_v1_format(const struct feed_entry *e, struct buf *out);
int entry_v1_parse(json_t *line, struct arena *arena, struct feed_entry *out);

// --- entry_line.c ---
void entry_content_add(struct buf *b, struct bytes content); // as a JSON text
// "": none. ERR_PROTO, ERR_NOMEM.
int entry_content_read(const char *text, struct arena *arena, struct bytes *out);
int entry_sig_parse(const char *text, uint8_t out[ENTRY_SIG_BYTES]);

// --- entry_value.c ---
// The value from the members. e->kind has a form.
int entry_value_make(const struct feed_entry *e, struct buf *out);
// Kind and members from subject, attribute and value. `more`: lines that this version does not know
// follow. What cannot be read makes the kind ENTRY_UNKNOWN. ERR_NOMEM.
int entry_value_read(struct feed_entry *e, bool more, struct arena *arena);
// A JSON text with its quotes; `s` is clean, but may hold "\n".
void entry_json_text(struct buf *b, struct bytes s);

#endif
