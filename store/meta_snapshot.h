// SPDX-License-Identifier: Apache-2.0
// A snapshot of what one origin wrote in one registry, up to a place of its feed: in pages by
// register, for a region that joins. Part of store/meta.h, whose opening lines hold here too.
//
//   struct snapshot_page page;
//   rc = meta_snapshot_read(m, &ask, &arena, &page);       // on the side that serves
//   rc = meta_snapshot_take(m, "eastus", entries, n);      // on the side that joins
//   …page.at_end, then meta_ingest from the place on
//
// A snapshot consists of signed entries, as the feed does: of each register those that may still
// count beside what other origins wrote, and none that the same origin outdid. So the entries of a
// snapshot up to a place, and the feed behind that place, give the state that the whole feed gives,
// in any order and each any number of times. A register has:
//   a manifest's presence   the highest value, the highest tombstone
//   a tag                   the META_HISTORY_MAX highest values, and as many tombstones
//   both                    the highest tombstone that a person wrote
//   a lock                  the highest value
// and what is not known here comes whole. What is spent here (store/meta_spent.h) is left out. The last entry of the origin's chain in the registry is
// the very first of all pages, so that the feed's entries go on from it.
//
// A page is read from the log as it is at that moment, and the same ask gives the same page for as
// long as none of the origin's entries becomes void.
#ifndef MERIDIAN_STORE_META_SNAPSHOT_H
#define MERIDIAN_STORE_META_SNAPSHOT_H

#include "base/arena.h"
#include "store/entry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct meta;

#define SNAPSHOT_KINDS 8 // one more than there are kinds: those that are not known, too

// Where the pages stand: behind a register, or within one.
struct snapshot_at {
    // NULL: at the beginning
    const char *repository;
    // which of the repository's kinds, in the order of pages; below SNAPSHOT_KINDS
    unsigned nth;
    // the register; tag NULL: before the first one of that kind
    const char *tag;
    struct digest digest;
    // its entries up to this place were given; epoch 0: all
    uint64_t epoch, seq;
};

struct snapshot_ask {
    const char *origin, *registry;
    // the place up to which
    struct feed_mark upto;
    struct snapshot_at after;
    // bounds of one page: entries, and bytes of their bodies and contents. The last entry may go
    // beyond the bytes
    size_t max, max_bytes;
};

struct snapshot_page {
    struct feed_entry *entries;
    size_t n;
    // entries of the log that this page stands for
    uint64_t looked;
    // there is no further page; else where it begins
    bool at_end;
    struct snapshot_at next;
};

int meta_snapshot_read(struct meta *m, const struct snapshot_ask *ask, struct arena *a,
                       struct snapshot_page *out);

// How many entries of the log all pages stand for.
int meta_snapshot_count(struct meta *m, const char *origin, const char *registry,
                        const struct feed_mark *upto, uint64_t *out);

// Takes entries of a snapshot into the log and makes jobs of them, in one transaction. The read
// mark does not move, and no chain is followed. Entries that are held are passed over. Errors: as
// of meta_ingest, but for ERR_GAP.
int meta_snapshot_take(struct meta *m, const char *origin, const struct feed_entry *entries,
                       size_t n);

#endif
