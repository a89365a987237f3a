// SPDX-License-Identifier: Apache-2.0
// How far this region is with the snapshots that it takes of other regions' feeds, a row for each
// origin and registry: what a region that was killed goes on from, and what status shows. Kept in
// <state_dir>/joining.json. A row is written after its page is in the store, so a kill in between
// takes that page twice, which changes nothing; a lost or damaged file means that a snapshot is
// taken anew.
//
//   struct join_row row;
//   rc = join_state_get(dir, "eastus", "contoso@42", &row);    // ERR_NOTFOUND: never begun
//   row.entries += n;
//   rc = join_state_set(dir, "eastus", &row);                  // durable on 0
//
// Any thread; the file has a lock of its own. Blocks on the disk.
#ifndef MERIDIAN_REPLICATION_JOIN_STATE_H
#define MERIDIAN_REPLICATION_JOIN_STATE_H

#include "config/hostname.h"
#include "replication/cursor.h"
#include "replication/snapshot_page.h"

#include <jansson.h>

#define JOIN_REGISTRY_SIZE 128
#define JOIN_ERROR_SIZE 256

enum join_phase {
    // the origin is asked for the first page
    JOIN_PREPARING,
    JOIN_IN_PROGRESS,
    // all pages are in the store: what they lack of content comes by jobs
    JOIN_COMPLETE,
    // the last try failed; it goes on from where it was
    JOIN_FAILED,
};

struct join_row {
    // the key
    char registry[JOIN_REGISTRY_SIZE];
    enum join_phase phase;
    // the place of the origin's feed up to which; zero while it is not known
    struct feed_mark at;
    // what to ask the next page with; "": the first one
    char next[SNAPSHOT_NEXT_SIZE];
    // taken so far: entries, bytes of their lines, and for how many entries of the feed they stand
    uint64_t n_entries, n_bytes, looked;
    // for how many all pages will; 0: not known
    uint64_t of;
    // wall: when it began, and when this row was written
    int64_t began_ms, wrote_ms;
    // of JOIN_FAILED: a sentence; else ""
    char error[JOIN_ERROR_SIZE];
};

int join_state_get(const char *state_dir, const char *origin, const char *registry,
                   struct join_row *out);
int join_state_set(const char *state_dir, const char *origin, const struct join_row *row);
// Forgets all rows of an origin whose place lies behind `mark`: what they said is not so any more.
// *out_n: how many.
int join_state_forget_behind(const char *state_dir, const char *origin,
                             const struct feed_mark *mark, size_t *out_n);
// The place of any row of the origin that has one. ERR_NOTFOUND.
int join_state_place(const char *state_dir, const char *origin, struct feed_mark *out);

// For status: {"state","entries","bytes","done","of","entriesPerSecond","etaSeconds"?,"startedMs",
// "lastError"?}. NULL: out of memory.
json_t *join_row_json(const struct join_row *row);

#endif
