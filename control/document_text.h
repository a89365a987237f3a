// SPDX-License-Identifier: Apache-2.0
// Trees of documents (config/document.h) compared and written again, for what merges documents
// (control/document_diff.h). Layout and comments are left out: two texts that say the same in the
// same order come out the same, byte for byte.
//
//   if (!document_equal(before, after))
//       document_put(&out, after, 0);                   // block style, two blanks a level
//   document_words(&arena, before, after, tell, ctx);   // "replicas/eastus/drained: false -> true"
//
// What is written parses into an equal tree. Any thread.
#ifndef MERIDIAN_CONTROL_DOCUMENT_TEXT_H
#define MERIDIAN_CONTROL_DOCUMENT_TEXT_H

#include "base/arena.h"
#include "base/bytes.h"
#include "config/document.h"

// Do they say the same? NULL is equal to NULL alone. Quotes do not matter, nor does the order of a
// mapping's keys.
bool document_equal(const struct doc_node *a, const struct doc_node *b);

// Appends a mapping's pairs, or a list's items, one on a line at that indentation; a scalar as the
// value alone, without the end of the line.
void document_put(struct buf *out, const struct doc_node *n, unsigned indent);
// Appends "key: value" at that indentation, with what lies below.
void document_put_pair(struct buf *out, const char *key, const struct doc_node *value,
                       unsigned indent);

// The value in one line of the arena, cut off where it is long, with blanks for control bytes. NULL:
// out of memory.
const char *document_line(struct arena *arena, const struct doc_node *n);

// By which of its members a list's items are told apart: all are mappings that have it, each with
// another value ("name", "region", "id", "key", "match"). NULL: by their place alone.
const char *document_list_key(const struct doc_node *list);
// The list's item whose `key` is that value; NULL: none.
const struct doc_node *document_item(const struct doc_node *list, const char *key,
                                     const char *value);

// Tells each member that differs: `path` from the root ("replicas/eastus/drained"), and what it was
// and is in one line (NULL: absent). The strings belong to the arena. ERR_NOMEM.
int document_words(struct arena *arena, const struct doc_node *before, const struct doc_node *after,
                   int (*tell)(void *ctx, const char *path, const char *was, const char *is),
                   void *ctx);

#endif
