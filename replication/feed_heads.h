// SPDX-License-Identifier: Apache-2.0
// Heads of an origin's chains of entries, a row per registry: how many entries of version 2 it has
// in that registry, and the SHA-256 of the last one's signed text. The origin signs them together
// with a place of its feed, so that nobody can leave out an entry of a registry and move a reader's
// mark past it (design section 9). Both ends of a feed keep such a table.
//
//   rc = feed_heads_new(&heads);
//   rc = feed_heads_set(heads, &row);
//   rc = feed_heads_text(heads, "eastus", &place, &text);    // what is signed
//
// Signed text: "meridian-heads-1\n", then origin, the place as a cursor (replication/cursor.h), the
// number of rows, and the SHA-256 in hex over all rows, each of them "key seq hash\n", sorted by
// key; each followed by "\n". So a stream says each row when it changed, and the signature covers
// all that it said.
//
// Not thread-safe. Rows are copied; at most FEED_HEADS_MAX.
#ifndef MERIDIAN_REPLICATION_FEED_HEADS_H
#define MERIDIAN_REPLICATION_FEED_HEADS_H

#include "base/bytes.h"
#include "config/registry_key.h"
#include "store/entry.h"

#define FEED_HEADS_MAX 4096

struct feed_heads;

struct head_row {
    char registry[REGISTRY_KEY_SIZE];
    // 0, with a hash of zeros: there is no such entry
    uint64_t seq;
    uint8_t hash[ENTRY_HASH_BYTES];
    // of that entry, where it is known; not signed, for the place says it
    uint64_t epoch;
};

int feed_heads_new(struct feed_heads **out);
void feed_heads_free(struct feed_heads *h); // NULL is ignored
void feed_heads_clear(struct feed_heads *h);
// Adds the row, or puts it in the place of that registry's. ERR_TOOBIG, ERR_NOMEM.
int feed_heads_set(struct feed_heads *h, const struct head_row *row);
// NULL: no row of that registry. The row lies there until the next call that changes the table.
const struct head_row *feed_heads_get(const struct feed_heads *h, const char *registry);
size_t feed_heads_count(const struct feed_heads *h);
// In the order of keys.
const struct head_row *feed_heads_at(const struct feed_heads *h, size_t i);

// The row that this entry makes. false: it has none, being of version 1.
bool head_row_of(const struct feed_entry *e, struct head_row *out);

// What the origin signs.
int feed_heads_text(const struct feed_heads *h, const char *origin, const struct feed_mark *place,
                    struct buf *out);

// The first row of `said` that `held` has not reached: entries are missing. NULL: none is. A row
// that `said` lacks counts as not reached; then *out_said is NULL.
const struct head_row *feed_heads_lacking(const struct feed_heads *held,
                                          const struct feed_heads *said,
                                          const struct head_row **out_said);

#endif
