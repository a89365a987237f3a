// SPDX-License-Identifier: Apache-2.0
// A region's metadata: repositories, manifests, tags, blob links, uploads, and the outbox: every
// change is written in the same transaction as its feed entry (design sections 8, 9). SQLite: WAL,
// full sync, one writer thread that groups commits; readers have a connection per thread. The
// schema carries a version; a newer one is refused.
//
// All calls block (on the disk or on the writer): call them on the pool. Thread-safe. Strings and
// arrays that come back hang off the caller's arena. Invariants (numbers of design section 9):
//   1. A write that returned 0 is durable, and its entry is in the feed; one that failed left
//      nothing.
//   2. A manifest is visible only when all it must refer to is there; a tag only when its manifest
//      is.
//   3. Applying an entry twice, or entries in any order, gives the same state. Tags: the highest
//      (register stamp, origin region, epoch, digest) wins (base/register.h); losers stay in the
//      tag's history.
//   8. A sequence is never used twice.
#ifndef MERIDIAN_STORE_META_H
#define MERIDIAN_STORE_META_H

#include "base/arena.h"
#include "base/diag.h"
#include "store/backend.h"
#include "store/entry.h"
#include "store/manifest.h"
#include "store/meta_jobs.h"
#include "store/meta_uploads.h"
#include "store/meta_void.h"

#include <stdbool.h>
#include <stdint.h>

struct meta;

struct meta_options {
    // origin of what is written here
    const char *region;
    // of the feed key that `sign` uses
    const char *key_id;
    // on the writer and in meta_sign
    int (*sign)(void *ctx, const void *p, size_t n, uint8_t sig[ENTRY_SIG_BYTES]);
    void *sign_ctx;
    // After a commit that added own entries or applied any: on the writer thread, must not block.
    // May be NULL.
    void (*on_commit)(void *ctx);
    void *on_commit_ctx;
};

// Opens the metadata over `b` (store/sqlite/sqlite_store.h opens one), which from here on is the
// metadata's, also when this fails.
int meta_open(struct backend *b, const struct meta_options *o, struct diag *diag,
              struct meta **out);
void meta_close(struct meta *m);
// A restart: another process opens the store as soon as this has returned, while uploads that are
// under way here end here. What was submitted before is committed. From here on nothing is minted
// here (ERR_CLOSED), so that no sequence is used twice; rows of uploads, links, and reads go on:
// SQLite keeps two processes apart. Once the other process has changed the schema, nothing is
// written here at all (ERR_VERSION). There is no way back.
void meta_hand_over(struct meta *m);
// commits a probe, and tries whether an entry could be written: 0, or why not
int meta_probe(struct meta *m);
bool meta_writable(struct meta *m); // the probe is good

// Signs with the feed key what is said of the feed and is no entry. *out_key lives as long as m.
// Any thread.
int meta_sign(struct meta *m, const void *p, size_t n, const char **out_key,
              uint8_t sig[ENTRY_SIG_BYTES]);

// --- writes are open or closed as a whole ---
// Each gate belongs to one caller, who closes and opens it on his own. Writes are open while none
// is closed; else writers get ERR_BUSY. What recovers or applies entries goes on.
enum meta_gate {
    // own entries are being recovered (invariant 8). The one that is closed when a store opens
    META_GATE_RECOVERY,
    META_GATE_CLOCK, // our clock is off from the majority's (9)
    META_GATE_KEY,   // the key that signs own entries is revoked
    // the stored clock is ahead of our wall clock by more than the skew (9): the store's own gate
    META_GATE_STAMPS,
    META_N_GATES
};
#define META_WHY_SIZE 256
// `why`: a sentence for people, without a full stop; what is beyond META_WHY_SIZE is cut off.
// Closed already: the sentence is replaced.
void meta_gate_close(struct meta *m, enum meta_gate gate, const char *why);
void meta_gate_open(struct meta *m, enum meta_gate gate);
bool meta_gate_is_closed(struct meta *m, enum meta_gate gate);
// NULL while writes are open, else the sentences of all closed gates, joined by "; ".
const char *meta_closed_why(struct meta *m, struct arena *a);

// --- stamps (9) ---
// A stamp above the limit is of the future: none is minted, taken in or applied, nor moves our
// clock; a write that would have to beat one is refused with ERR_AHEAD. The limit moves with the
// wall clock; 60 s ahead of it if not set.
void meta_set_skew(struct meta *m, uint32_t skew_ms);
uint64_t meta_stamp_limit(struct meta *m); // the highest stamp that is not of the future now

// --- blob links: what exists in a repository ---
// Also ends the upload `end` when not NULL, in the same transaction: its row goes, and what it
// became is remembered.
int meta_link_add(struct meta *m, const char *registry, const char *repository,
                  const struct digest *d, uint64_t size, const struct upload_end *end);
int meta_link_get(struct meta *m, const char *registry, const char *repository,
                  const struct digest *d, uint64_t *out_size);
// Any repository of this registry for which `may` says yes and that links d (for anonymous mounts).
// ERR_NOTFOUND.
int meta_link_find(struct meta *m, const char *registry, const struct digest *d,
                   bool (*may)(void *ctx, const char *repository), void *ctx, uint64_t *out_size);
struct link_row {
    const char *registry, *repository;
    uint64_t size;
};
// Up to `max` repositories that link d, of all registries.
int meta_links_of(struct meta *m, const struct digest *d, size_t max, struct arena *a,
                  struct link_row **out, size_t *out_n);

// --- manifests and tags ---
struct manifest_put {
    const char *registry, *repository;
    struct digest digest;
    const char *media_type;
    struct bytes content;
    const struct manifest_ref *refs;
    size_t n_refs;
    // NULL: by digest only
    const char *tag;
    // tag's present value must be this (412 → ERR_CONFLICT); NULL: no condition
    const struct digest *if_match;
    // of the registry: then a push of what is here as it says needs no new entry
    bool sole_replica;
};
struct put_result {
    // of the last entry written, or of the one that stands for this push, too
    uint64_t stamp;
    // on ERR_NOTFOUND: a blob or manifest that is not there
    struct digest missing;
    // the manifest was not visible before
    bool created;
};
// Mints, also when all is here as it says (a tag's entry alone where this region asserted the
// manifest before); pushes of the same that wait for the same commit share one entry.
int meta_manifest_put(struct meta *m, const struct manifest_put *p, struct put_result *out);

struct manifest_row {
    struct digest digest;
    const char *media_type;
    struct bytes content;
    // The register's value: of the tag when read by tag, else of its presence
    uint64_t stamp, epoch;
    const char *origin;
};
// `tag` or `digest`, the other NULL. ERR_NOTFOUND (also for an unknown repository).
int meta_manifest_get(struct meta *m, const char *registry, const char *repository, const char *tag,
                      const struct digest *digest, struct arena *a, struct manifest_row *out);
// any manifest or link
bool meta_repository_exists(struct meta *m, const char *registry, const char *repository);
// Names after `after` (NULL: from the start) in byte order, at most max. ERR_NOTFOUND: no such
// repository.
int meta_tags_list(struct meta *m, const char *registry, const char *repository, const char *after,
                   size_t max, struct arena *a, const char ***out, size_t *out_n);
int meta_repositories_list(struct meta *m, const char *registry, const char *after, size_t max,
                           struct arena *a, const char ***out, size_t *out_n);
struct tag_version { // present value first, then what it replaced
    struct digest digest;
    uint64_t stamp, epoch;
    const char *origin;
};
// At most META_HISTORY_MAX versions of a tag are kept: the highest in the register's order, so the
// same ones everywhere.
#define META_HISTORY_MAX 100
int meta_tag_history(struct meta *m, const char *registry, const char *repository, const char *tag,
                     size_t max, struct arena *a, struct tag_version **out, size_t *out_n);

// --- the feed: this region's own entries, and those of others that were read (kept for relay and
// recovery) ---
// last entry held of that origin; zero mark if none
int meta_head(struct meta *m, const char *origin, struct feed_mark *out);
// The stamp of the last entry held of that epoch of it; 0 if none.
int meta_last_stamp(struct meta *m, const char *origin, uint64_t epoch, uint64_t *out);
// Entries of `origin` after the mark, in order. Only `registries` are returned (n_registries 0:
// all); *out_last is the mark of the last entry looked at, returned or filtered.
int meta_feed_read(struct meta *m, const char *origin, const struct feed_mark *after,
                   const char *const *registries, size_t n_registries, size_t max, struct arena *a,
                   struct feed_entry **out, size_t *out_n, struct feed_mark *out_last);
// The latest entries of `origin` in one registry, newest first, from before a place (epoch 0: from
// the end). *out_next: before where to go on; its epoch is 0 at the beginning of the feed.
int meta_feed_tail(struct meta *m, const char *origin, const char *registry,
                   const struct feed_mark *before, size_t max, struct arena *a,
                   struct feed_entry **out, size_t *out_n, struct feed_mark *out_next);
// Is this mark a place in the feed that is held here? ERR_CONFLICT: past the head, or its hash
// differs.
int meta_feed_check(struct meta *m, const char *origin, const struct feed_mark *mark);

#endif
