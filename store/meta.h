// SPDX-License-Identifier: Apache-2.0
// A region's metadata: repositories, manifests, tags, blob links, uploads, and the feed of what
// changed; every change is written in the same transaction as its feed entry (design sections 8,
// 9). The rules are here, in store/; the rows lie in a backend (store/backend.h).
//
//   const struct meta_options o = {.region = "eastus", .key_id = id, .sign = sign};
//   rc = sqlite_meta_open(path, &o, &diag, &m);          // store/sqlite/sqlite_store.h
//   … meta_close(m);
//
// This header opens and closes the metadata and its writes; the others are parts of it by noun:
//   meta_manifests.h   manifests, tags
//   meta_links.h       which blobs a repository has
//   meta_usage.h       how much is used, quotas
//   meta_collect.h     what nobody needs goes
//   meta_pulled.h      when manifests were pulled last
//   meta_referrers.h   manifests that are attached to a manifest
//   meta_uploads.h     uploads
//   meta_feed.h        the log: own entries and those of other regions
//   meta_queue.h       the durable queue of what is to be done later
//   meta_speaks.h      versions of entries, and who reads which
//   meta_unknown.h     entries that this program does not know
//   meta_jobs.h        reading peers: entries that were read, and are applied
//   meta_void.h        entries that became void, recovery, stamps of the future
//
// All calls block (on the database, or on other writers): call them on the pool. Thread-safe.
// Strings and arrays in results hang off the caller's arena; results are untouched on failure.
//
// Invariants (numbers of design section 9):
//   1. A write that returned 0 is durable, and its entry is in the feed; one that failed left
//      nothing.
//   2. A manifest is visible only when all that it must refer to is there; a tag only when its
//      manifest is.
//   3. Applying an entry twice, or entries in any order, gives the same state. Tags: the highest
//      (register stamp, origin region, epoch, digest) wins (base/register.h); losers stay in the
//      tag's history.
//   8. A sequence is never used twice.
//   9. No own stamp is further ahead of the wall clock than the skew.
#ifndef MERIDIAN_STORE_META_H
#define MERIDIAN_STORE_META_H

#include "base/arena.h"
#include "base/diag.h"
#include "store/backend.h"
#include "store/meta_feed.h"
#include "store/meta_jobs.h"
#include "store/meta_links.h"
#include "store/meta_manifests.h"
#include "store/meta_pulled.h"
#include "store/meta_queue.h"
#include "store/meta_referrers.h"
#include "store/meta_speaks.h"
#include "store/meta_unknown.h"
#include "store/meta_uploads.h"
#include "store/meta_usage.h"
#include "store/meta_void.h"

#include <stdbool.h>
#include <stdint.h>

struct meta;

struct meta_options {
    // the origin of the entries that are written here
    const char *region;
    // of the feed key that `sign` uses
    const char *key_id;
    // Signs `n` bytes with the feed key. On any thread, and inside transactions: it must not block
    // for long.
    int (*sign)(void *ctx, const void *p, size_t n, uint8_t sig[ENTRY_SIG_BYTES]);
    void *sign_ctx;
    // Called after a commit that added own entries or applied any, on a thread of the backend's;
    // it must not block. May be NULL.
    void (*on_commit)(void *ctx);
    void *on_commit_ctx;
};

// Opens the metadata over `b`, which from here on is the metadata's, also when this fails. Writes
// are closed by META_GATE_RECOVERY at first. Strings of `o` are copied.
int meta_open(struct backend *b, const struct meta_options *o, struct diag *diag,
              struct meta **out);

// Closes the backend too. Nobody may be calling. NULL is accepted.
void meta_close(struct meta *m);

// A restart: another process opens the database as soon as this has returned, while uploads that
// are under way here end here. What was submitted before is committed. From here on nothing is
// minted here (ERR_CLOSED), so that no sequence is used twice; rows of uploads, links, and reads go
// on. Once the other process has changed the schema, nothing is written here at all (ERR_VERSION).
// There is no way back.
void meta_hand_over(struct meta *m);

// Commits a probe, and tries whether an entry could be written: 0, or why not.
int meta_probe(struct meta *m);
// How many changes were written since the store was opened, and how many commits they took together.
struct meta_commits {
    uint64_t n_writes, n_commits;
};
void meta_commits_get(struct meta *m, struct meta_commits *out);
// meta_probe is 0.
bool meta_writable(struct meta *m);

// Signs with the feed key a text about the feed that is no entry. *out_key lives as long as m. Any
// thread.
int meta_sign(struct meta *m, const void *p, size_t n, const char **out_key,
              uint8_t sig[ENTRY_SIG_BYTES]);

// --- write gates ---
// Each gate belongs to one caller, who closes and opens it. Writes are open while no gate is
// closed; otherwise writers get ERR_BUSY. Recovering and applying entries goes on.

enum meta_gate {
    // Own entries are being recovered (invariant 8). It is closed when the metadata opens.
    META_GATE_RECOVERY,
    // Our clock is off from the majority's (9).
    META_GATE_CLOCK,
    // The key that signs own entries is revoked.
    META_GATE_KEY,
    // The other regions have forgotten this one: it is sealed in the topology.
    META_GATE_SEALED,
    // The stored clock is ahead of our wall clock by more than the skew (9). The store itself
    // closes and opens it.
    META_GATE_STAMPS,
    META_N_GATES
};

#define META_WHY_SIZE 256

// `why`: a sentence for people, without a full stop, cut off at META_WHY_SIZE. It replaces the
// sentence of a gate that is closed already.
void meta_gate_close(struct meta *m, enum meta_gate gate, const char *why);
void meta_gate_open(struct meta *m, enum meta_gate gate);
bool meta_gate_is_closed(struct meta *m, enum meta_gate gate);
// NULL while writes are open, else the sentences of all closed gates, joined by "; ".
const char *meta_closed_why(struct meta *m, struct arena *a);

// --- stamps (9) ---
// A stamp above the limit is of the future. The store mints none, takes none in, applies none, and
// does not move its clock by one; a write that would have to beat one gets ERR_AHEAD. The limit
// moves with the wall clock.

// How far ahead of the wall clock the limit is; at least 2 s. 60 s until it is set.
void meta_set_skew(struct meta *m, uint32_t skew_ms);
// The highest stamp that is not of the future now.
uint64_t meta_stamp_limit(struct meta *m);

#endif
