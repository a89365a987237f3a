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
#include "store/meta_uploads.h"

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

// --- reading peers ---
// One transaction: entries go into the log, each becomes a job, the read mark moves to `upto`
// (which may lie behind the last entry: filtered stretches). Entries held already are passed over;
// one that differs from what is held: ERR_CONFLICT. Signatures were verified by the caller.
// ERR_AUTH: one is void. ERR_AHEAD when one is of the future: nothing was stored.
int meta_ingest(struct meta *m, const char *origin, const struct feed_entry *entries, size_t n,
                const struct feed_mark *upto);

struct job { // one foreign entry not yet applied
    int64_t id;
    struct feed_entry entry;
    uint32_t attempts;
    // mono; all jobs are due when a store opens
    int64_t due_ms;
    const char *last_error;
    // it is parked, or was and is tried again: so many bytes were lacking
    uint64_t room;
};
// Due jobs, oldest first within a registry, registries in turn (fair); *out_next_ms: when the next
// becomes due (INT64_MAX: none). All times of jobs are of the monotonic clock.
int meta_jobs_due(struct meta *m, int64_t now_ms, size_t max, struct arena *a, struct job **out,
                  size_t *out_n, int64_t *out_next_ms);
// `error` NULL: nothing failed, it waits for another entry.
int meta_job_retry(struct meta *m, int64_t id, int64_t due_ms, const char *error);
// The same; of several jobs' errors the one with the highest grade is told (meta_origins), of these
// the latest.
int meta_job_failed(struct meta *m, int64_t id, int64_t due_ms, int grade, const char *error);
// Only moves their time, in one transaction: they were not tried. Jobs that ended meanwhile are
// passed over.
int meta_jobs_later(struct meta *m, const int64_t *ids, size_t n, int64_t due_ms);
// What failed or was moved in these registries is due now: a region that may give its content is
// back.
int meta_jobs_retry_now(struct meta *m, const char *const *registries, size_t n);
// --- jobs whose content does not fit on the disk ---
// Parked: not due before meta_jobs_unpark. `room`: bytes that must fit. Parked jobs and what waits
// for their content hold back no applied mark; whatever ends jobs ends them.
int meta_job_park(struct meta *m, int64_t id, uint64_t room, int grade, const char *why);
int meta_job_fits(struct meta *m, int64_t id); // its content is being fetched after all
// Makes those due, the oldest first, that fit together into `room` bytes; and a few that nobody
// looked at since that time. Parking one is a look.
int meta_jobs_unpark(struct meta *m, uint64_t room, int64_t stale_mono_ms, size_t *out_n);
struct parked {
    const char *origin;
    // jobs; what they need in all, and the one that needs least
    uint64_t n, bytes, least;
};
// of all registries, by origin
int meta_parked(struct meta *m, struct arena *a, struct parked **out, size_t *out_n);
// An entry of this digest was read and is not applied, and its repository has parked jobs: the one
// that needs most. ERR_NOTFOUND: not so.
int meta_parked_for(struct meta *m, const char *registry, const char *repository,
                    const struct digest *d, uint64_t *out_room);
// makes jobs that wait for another entry of their repository due now
void meta_jobs_wake(struct meta *m);

// Applies an entry with its content and refs (ENTRY_MANIFEST) and ends its job, in one transaction.
// ERR_NOTFOUND with *out_missing when something it needs is not there: nothing changed. Applied or
// superseded before: 0. ERR_AHEAD when it is of the future, or restates what is.
int meta_apply(struct meta *m, const struct feed_entry *e, struct bytes content,
               const struct manifest_ref *refs, size_t n_refs, struct digest *out_missing);

struct origin_status {
    const char *origin;
    // how far it was read
    struct feed_mark read;
    // All at or below are applied, superseded, or have no room here, in all registries of this
    // origin.
    struct feed_mark applied;
    // jobs
    uint64_t n_pending;
    // of these, with at least one failed attempt
    uint64_t n_retrying;
    // others of these: their content has no room
    uint64_t n_parked;
    // others of these: for another entry, so they need no bytes of their own
    uint64_t n_waiting;
    uint64_t parked_bytes;
    // 0 if none
    uint64_t oldest_pending_stamp;
    // the worst (meta_job_failed) of its jobs; NULL
    const char *last_error;
    // of that error
    int last_grade;
};
// This region itself is listed while it has jobs: recovered entries whose content is not here
// (read: its own head).
int meta_origins(struct meta *m, struct arena *a, struct origin_status **out, size_t *out_n);
// The same for one registry: n_pending, n_retrying, oldest_pending_stamp, last_error are of its
// jobs only. The marks are places in the origin's whole feed: one registry's job holds `applied`
// back for all of them.
int meta_origins_of(struct meta *m, const char *registry, struct arena *a,
                    struct origin_status **out, size_t *out_n);

// --- entries that are void ---
// A feed key that was stolen is revoked from a place of its feed on: entries that it signed past
// (epoch, seq) are void, and at that place all but the one with that hash. seq 0: all of that epoch
// and later ones.
struct meta_revocation {
    const char *origin, *key;
    uint64_t epoch, seq;
    // running hash of the last good entry
    uint8_t hash[ENTRY_HASH_BYTES];
};
struct meta_revoked {
    // told for the first time, or with an earlier place
    size_t n_new;
    // with a later place than before: a revocation is final
    size_t n_ignored;
};
// From its return on nothing void is taken in, applied, relayed, recovered or written. What is held
// of it is swept out by meta_revoke_sweep: a piece of up to `max` entries a call, until out->more
// is false; a sweep that was broken off goes on in the next process.
int meta_revoke(struct meta *m, const struct meta_revocation *list, size_t n,
                struct meta_revoked *out);
struct meta_swept {
    size_t n_void;
    bool more;
};
int meta_revoke_sweep(struct meta *m, size_t max, struct meta_swept *out);
// Sets the read mark of this origin back to where its key was revoked, once per revocation: what
// lies behind is read again. By the one who ingests that origin's entries, between two sessions.
int meta_revoke_rewind(struct meta *m, const char *origin);
// What the origin gives does not go on from what was read of it, before the place where its key was
// revoked: all of its feed is read again by the next meta_revoke_rewind. Where another entry is
// held then, in the place of one that is offered, and a revoked key signed the one that is held,
// that one becomes void (meta_ingest).
int meta_revoke_reread(struct meta *m, const char *origin);
bool meta_key_revoked(struct meta *m); // the key that signs own entries: none can be written

// What was voided, oldest first, with what its register says now. Registers that void entries had
// won went to the highest value left in the log, whatever the bound of a tag's history; a tag
// without one is gone. A manifest that nobody asserts any more is gone, unless a tag or a visible
// index of its repository leads to it, and for as long.
struct voided_row {
    int64_t id;
    // "revoked"; "ahead", "mended", "withdrawn": see meta_repair_clock, meta_void_origin
    const char *reason;
    // "stood": it was the register's value; "replaced"; "pending": not applied yet
    const char *was;
    // wall
    int64_t at_ms;
    struct feed_entry entry;
    // the tag, or the manifest, has a value now
    bool there;
    struct digest now;
};
int meta_voided(struct meta *m, const char *registry, int64_t after, size_t max, struct arena *a,
                struct voided_row **out, size_t *out_n);

// --- invariant 8 ---
// Own entries that a peer still has and this store lost. In one transaction they are put back into
// the log and applied (what misses its content becomes a job of this region itself), and those that
// nobody would look back for are announced again, as new entries that restate them: entries of a
// closed epoch, and entries in whose place another one stands by now (then a new epoch begins with
// it). Entries that are held, and those restated before, are passed over. ERR_AHEAD when one of
// them is of the future, ERR_INVAL when one is malformed (entry_malformed): nothing was done.
struct recovered {
    size_t n_put_back, n_restated;
    // in which own entries are written from now on; also told for n == 0
    uint64_t epoch;
};
int meta_recover(struct meta *m, const struct feed_entry *entries, size_t n, struct recovered *out);
// Would meta_recover do anything for this own entry? Not if it is held, or differs from what is
// held and was restated.
int meta_lost(struct meta *m, const struct feed_entry *e, bool *out);
// Begins a new epoch: greater than every epoch held of ourselves and than at_least.
int meta_epoch_begin(struct meta *m, uint64_t at_least, uint64_t *out_epoch);

// --- stamps of the future that are here already ---
struct void_register { // one that has another value now
    const char *registry, *repository;
    // "": the manifest `was`
    const char *tag;
    // is.n 0: gone
    struct digest was, is;
    // of what it was
    uint64_t stamp;
    const char *origin;
};
struct void_report {
    // that went
    size_t n_entries, n_jobs;
    // that changed their value or went; manifests that went
    size_t n_tags, n_manifests;
    // the first of them, at most 1,000
    struct void_register *list;
    size_t n_list;
};
// What the origin wrote after `after` and before epoch `below` is void, as that origin itself says.
// Its read mark, if it lies in there, goes back to `after`.
int meta_void_origin(struct meta *m, const char *origin, const struct feed_mark *after,
                     uint64_t below, struct arena *a, struct void_report *out);

// An earlier version took them in, or our own clock gave them out. Makes all entries of the future
// void. What this region itself wrote with such stamps and what still holds is first announced
// again, with stamps of now and in a new epoch; its void places stay void (meta_place_void). Read
// marks of others go back before their first entry of the future, and our clock to our last good
// entry. ERR_AHEAD: a register's good value is about to lie in the past, try again in a second.
// Nobody may be ingesting meanwhile.
struct clock_repair {
    // stamps
    uint64_t clock_was, clock_is;
    // own entries that are void
    size_t n_own;
    // of these, announced again
    size_t n_again;
    // own entries go on in it
    uint64_t epoch;
    // own ones, too
    struct void_report voided;
};
// Not `apply`: says what it would do, and does nothing.
int meta_repair_clock(struct meta *m, bool apply, struct arena *a, struct clock_repair *out);
// Is this place in our own log void? 0 with the stretch that it lies in: after *out_after and
// before epoch *out_below. ERR_NOTFOUND: it is not.
int meta_place_void(struct meta *m, const struct feed_mark *mark, struct feed_mark *out_after,
                    uint64_t *out_below);

#endif
