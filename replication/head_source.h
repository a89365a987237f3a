// SPDX-License-Identifier: Apache-2.0
// The heads of this region's own chains as one stream of its feed says them: for the registries
// that the stream carries, at the place where it stands, signed. See replication/feed_heads.h.
//
//   rc = head_source_new(meta, "eastus", registries, n, &heads);
//   head_source_moved(heads, &entry);             // each entry that the stream says
//   rc = head_source_sign(heads, &place);
//   while (head_source_rows(heads, &rows, &n))
//       … a line with these rows …
//   … the last line, with the rows that remain and head_source_signed …
//
// One stream's; it blocks on the store in head_source_sign, which looks all registries up the first
// time, and none later.
#ifndef MERIDIAN_REPLICATION_HEAD_SOURCE_H
#define MERIDIAN_REPLICATION_HEAD_SOURCE_H

#include "replication/feed_heads.h"

#include <stddef.h>

struct head_source;
struct meta;

// The registries' keys outlive it.
int head_source_new(struct meta *m, const char *origin, const char *const *registries, size_t n,
                    struct head_source **out);
void head_source_free(struct head_source *h); // NULL is ignored
// The stream says this entry: its registry's head at all later places.
void head_source_moved(struct head_source *h, const struct feed_entry *e);
// Signs the heads at this place, at or behind the last entry that was said.
int head_source_sign(struct head_source *h, const struct feed_mark *place);
// After head_source_sign: the next rows that changed since they were said, at most
// FEED_HEADS_LINE_MAX (replication/feed_line.h). false: these are the last, and there may be none.
// They lie there until the next call.
bool head_source_rows(struct head_source *h, const struct head_row **out, size_t *out_n);
// What head_source_sign signed.
void head_source_signed(const struct head_source *h, const uint8_t **out_sig, const char **out_key);

#endif
