// SPDX-License-Identifier: Apache-2.0
// How far this region is with the snapshots that it takes of other regions' feeds, a row for each
// origin and registry: what a region that was killed goes on from, and what status shows. Kept in
// <state_dir>/joining-<origin>.json. A row is written after its page is in the store, so a kill in between
// takes that page twice, which changes nothing; a lost or damaged file means that a snapshot is
// taken anew. The place alone is written before its first page: a region that lost its disk asks
// for it (replication/marks.h).
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
#define JOIN_ERROR_SIZE 512
#define JOIN_RETRY_MIN_MS 1000
#define JOIN_RETRY_MAX_MS 30000

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
    // That lies beyond the mark, because the feed behind the mark is not to be had. Until the mark
    // is there (join_state_arrived).
    bool anew;
    // what to ask the next page with; "": the first one
    char next[SNAPSHOT_NEXT_SIZE];
    // taken so far: entries, bytes of their lines, and for how many entries of the feed they stand
    uint64_t n_entries, n_bytes, looked;
    // for how many all pages will; 0: not known
    uint64_t of;
    // failures in a row that are this registry's own, and not the connection's
    unsigned n_failures;
    // wall; since then, and what was taken before: a rate is one of this run
    int64_t began_ms, run_ms, wrote_ms;
    uint64_t run_looked, run_bytes;
    // of JOIN_FAILED: a sentence, with what is to be done; else ""
    char error[JOIN_ERROR_SIZE];
};

int join_state_get(const char *state_dir, const char *origin, const char *registry,
                   struct join_row *out);
int join_state_set(const char *state_dir, const char *origin, const struct join_row *row);

// Forgets one row. A row that is not there is none.
int join_state_forget(const char *state_dir, const char *origin, const char *registry);
// Forgets all rows of an origin whose place is this one: it lost that.
int join_state_forget_place(const char *state_dir, const char *origin, const struct feed_mark *at);
// Forgets all rows of an origin whose place lies behind `mark`, which went back: what they said is
// not so any more. *out_n: how many.
int join_state_forget_behind(const char *state_dir, const char *origin,
                             const struct feed_mark *mark, size_t *out_n);
// These registries came another way: what was begun of them and is not complete is forgotten.
int join_state_settle(const char *state_dir, const char *origin, const char *const *registries,
                      size_t n);
// The mark is at `mark`: rows up to there are not anew any more.
int join_state_arrived(const char *state_dir, const char *origin, const struct feed_mark *mark);

// The highest place of a row of the origin. ERR_NOTFOUND: none has one.
int join_state_place(const char *state_dir, const char *origin, struct feed_mark *out);

// How long a row that failed is left alone, from `now_ms` (wall) on; 0: it may be tried.
int64_t join_row_rests_ms(const struct join_row *row, int64_t now_ms);

// For status: {"state","entries","bytes","done","of","entriesPerSecond","bytesPerSecond",
// "etaSeconds"?,"startedMs","failures"?,"lastError"?}. NULL: out of memory.
json_t *join_row_json(const struct join_row *row);

#endif
