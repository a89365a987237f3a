// SPDX-License-Identifier: Apache-2.0
// What the files of the metadata's rules share. See meta.h, and backend.h for the database below.
//
//   meta.c               open and close, the frame of a write
//   meta_gates.c         writes open or closed
//   meta_clock.c         which stamps are minted and taken
//   meta_feed.c          minting and reading the log
//   meta_speaks.c        which version is minted
//   meta_unknown.c       entries that are not known here
//   meta_manifest.c      push
//   meta_merge.c         the values of entries
//   meta_merge_manifest.c, meta_merge_tag.c   what an entry does to the state
//   meta_live.c          what lives by it
//   meta_delete.c        deletions
//   meta_lock.c          locks
//   meta_content.c       content of manifests that were recorded without it
//   meta_lists.c         what clients see in detail
//   kind_rules.c         the same by kinds of entries
//   meta_read.c          what clients see
//   meta_link.c          links and leases
//   meta_usage.c         usage and quotas
//   meta_collect.c, meta_collect_plan.c   what nobody needs goes, and what would go
//   meta_pulled.c        when manifests were pulled last
//   meta_upload.c        uploads
//   meta_upload_room.c   bounds of uploads
//   meta_ended.c         uploads that ended
//   meta_ingest.c        entries of peers
//   meta_origins.c       how far they are read and applied
//   meta_group.c         what counts of a register's entries
//   meta_drop.c, meta_trim.c, meta_kept.c   what was deleted goes for good
//   meta_floor.c         the floors below which nothing comes back
//   meta_words.c         what other members are told of that
//   meta_queue.c         the durable queue
//   meta_jobs.c          its tasks that are entries, not applied yet
//   meta_parked.c        those whose content has no room
//   meta_recover.c       invariant 8
//   meta_void.c          entries that are void
//   meta_remake.c        registers from what is left
//   meta_revoke.c        keys that are revoked
//   meta_repair.c        stamps of the future are mended
//   meta_again.c         own writes that are announced again for that
//   meta_withdrawn.c     void stretches, as regions tell each other
//   meta_report.c        what all that does to registers
//   meta_shown.c         what clients see, as digests
//   meta_differ_look.c, meta_differ.c   what differs from another region, and what is wrong of it
//   meta_proven.c        what proves an entry that was lost
//   register_set.c       registers that entries touch
//
// Functions that take a `struct tx` run in a transaction of backend_write, unless they only read.
#ifndef MERIDIAN_STORE_META_PRIV_H
#define MERIDIAN_STORE_META_PRIV_H

#include "base/clock.h"
#include "base/err.h"
#include "store/backend_jobs.h"
#include "store/backend_links.h"
#include "store/backend_log.h"
#include "store/backend_manifests.h"
#include "store/backend_state.h"
#include "store/backend_survey.h"
#include "store/backend_tags.h"
#include "store/backend_tasks.h"
#include "store/backend_void.h"
#include "store/meta.h"

#include <pthread.h>

struct meta {
    // strings are owned
    struct meta_options o;
    // owned
    struct backend *b;
    _Atomic uint32_t skew_ms;
    // the key that signs own entries
    _Atomic bool key_revoked;
    // pulls that are not written yet (meta_pulled.c); owned
    struct pulled *pulled;
    // how long a lease lasts (meta_link.c)
    _Atomic int64_t lease_grace_ms;
    // mono: when this region would have begun, had it run ever since (meta_ended.c)
    int64_t run_from_ms;

    // guards the gates
    pthread_mutex_t lock;
    struct {
        bool closed;
        char why[META_WHY_SIZE];
    } gates[META_N_GATES];

    // which registry is first when tasks are handed out
    _Atomic unsigned turn[TASK_N_KINDS];

    // set before the first write (meta_speaks.h)
    meta_behind_fn *behind;
    void *behind_ctx;
};

bool gates_closed(struct meta *m); // any; under m->lock

// A row that is not there is no failure.
static inline int missing_ok(int rc)
{
    return rc == ERR_NOTFOUND ? 0 : rc;
}

// --- the clock (meta_clock.c) ---
// The stamp of the next own entry: greater than all before and than `above`. Moves nothing.
// ERR_AHEAD: `above` or our own clock is of the future; ERR_RANGE: there are no stamps left.
int clock_mint(struct meta *m, uint64_t last, uint64_t above, uint64_t *out_stamp);
void clock_gate_look(struct meta *m); // under m->lock: opens or closes META_GATE_STAMPS

// Runs `run` in a transaction of the backend's. `announces`: it is refused while writes are closed
// (ERR_BUSY), or when another process has taken over (ERR_CLOSED).
int meta_write(struct meta *m, tx_run *run, void *arg, bool announces);

// --- uploads (meta_upload_room.c, meta_ended.c) ---
// Uploads that a transaction dropped to make room, so that their owner is told after the commit.
// {0} at first; emptied by dropped_tell.
struct upload_drop;
struct upload_dropped {
    struct upload_drop *first;
};
void dropped_reset(struct upload_dropped *l); // when a transaction begins, perhaps again
// After the transaction: calls b->gone for each if `rc` is 0, and empties the list.
void dropped_tell(struct upload_dropped *l, const struct upload_bounds *b, int rc);
struct upload_owner;
// Makes room for one more upload. ERR_FULL with *out_full: nothing else can go.
int upload_room_for_one(struct tx *tx, const struct upload_row *row, const struct upload_bounds *b,
                        struct upload_dropped *dropped, enum upload_full *out_full);
// The bytes of a principal are on the disk already: ERR_FULL when they are too many and nothing can
// go.
int upload_room_for_bytes(struct tx *tx, const struct upload_owner *owner,
                          const struct upload_bounds *b, int64_t now_ms,
                          struct upload_dropped *dropped);
// Ends the upload, which became the blob `d`.
int upload_end_as(struct meta *m, struct tx *tx, const char *registry, const char *repository,
                  const struct upload_end *end, const struct digest *d);
int ended_load(struct meta *m);
// Was this end noted before? 0 or ERR_NOTFOUND.
int ended_has(struct tx *tx, const char *registry, const char *repository,
              const struct upload_end *e, const struct digest *d);
int ended_note(struct meta *m, struct tx *tx, const char *registry, const char *repository,
               const struct upload_end *e, const struct digest *d);

// --- the log (meta_feed.c) ---
// The own head anew, when own entries were put into the log or taken out of it: it is the last own
// entry that the log holds. Epoch and clock never go down.
int own_reload(struct tx *tx);
// An entry of a manifest travels with its content when that is small, in feeds, snapshots and
// comparisons alike. One that is not applied here yet has it beside the entry, or travels without.
int entry_content_fill(struct tx *tx, struct arena *a, struct feed_entry *e);
// Gives `e` (kind, names, digest, restates … filled) the next place in the own feed: stamp greater
// than `above`, version, hash, signature, row. With a body, all from the repository on is said
// again as it stands there. Afterwards `value` and `body` are empty. ERR_CLOSED: another process
// mints. ERR_BEHIND: it cannot be said in version 1, and a region reads no other.
int feed_mint(struct meta *m, struct tx *tx, uint64_t above, struct bytes keep_content,
              struct feed_entry *e, int64_t *out_id);

// --- versions and unknown entries (meta_speaks.c, meta_unknown.c) ---
// In which version entries of this registry are minted. 2 is remembered.
int mint_version(struct meta *m, struct tx *tx, const char *registry, unsigned *out);
int v2_begin(struct tx *tx, const char *registry); // an entry of version 2 is in its log
// It has rules here, and is not malformed: it becomes a job.
bool entry_is_known(const struct feed_entry *e);
// Makes an entry of version 2 that is about to be stored one of kind ENTRY_UNKNOWN, if it is not
// known. One that is malformed counts for nothing then.
void entry_as_known(struct feed_entry *e);
// Entries that are stored as unknown and are known here become jobs.
int unknown_adopt(struct meta *m);

// The content of a dead manifest goes, and its row if it has no register (meta_delete.c).
int manifest_content_drop(struct tx *tx, int64_t repo, const struct digest *digest);

// --- links and leases (meta_link.c) ---
// The manifest has become live: its row is there with its content, and its references are noted.
// ERR_NOTFOUND: the repository does not have a blob that it refers to.
int links_manifest_live(struct tx *tx, int64_t repo, const struct digest *manifest,
                        struct digest *out_missing);
// The manifest, which was live, is not any more; its row and its references are still there. Blobs
// that only it linked are kept by leases from now on.
int links_manifest_dead(struct tx *tx, int64_t repo, const struct digest *manifest);
// The repository does not have the blob any more, whose hold has that size. ERR_NOTFOUND.
int hold_drop(struct tx *tx, int64_t repo, const struct digest *d, uint64_t size);

// --- pulls (meta_pulled.c) ---
int pulled_new(struct pulled **out);
void pulled_free(struct pulled *p); // NULL is accepted

// --- usage (meta_usage.c) ---
// So many tags more show a value.
int usage_tags(struct tx *tx, int64_t repo, int64_t more);
// Is what this transaction has added too much? `limits` NULL: no. ERR_QUOTA.
int quota_judge(struct tx *tx, const char *registry, const char *repository,
                const struct usage_limits *limits, const struct usage_delta *added,
                struct usage_over *out);

// --- void entries (meta_void.c) ---
#define VOID_REVOKED "revoked"
// of another region, and of the future: taken again when its time has come
#define VOID_AHEAD "ahead"
#define VOID_MENDED "mended"       // our own, of the future
#define VOID_WITHDRAWN "withdrawn" // of another region, which says so
// What an entry was when it became void: not applied, the value of its register, neither.
#define WAS_PENDING "pending"
#define WAS_STOOD "stood"
#define WAS_REPLACED "replaced"
// Takes entries out of the log, by their ids, into the list that meta_voided reads: their jobs end,
// and the registers that they may have won are made anew from what the log still holds: the highest
// value left, else gone. This is the one way back for a register, whatever made the entry void (a
// revoked key, a poisoned stamp): find the ids, give the reason as a word. Own entries: the next
// one goes into a new epoch. A place of the log that becomes free so may be read again; the very
// entry is never taken in again (entry_is_void).
// A manifest without an assertion lives on while something holds it (store/liveness.h).
int entries_void(struct tx *tx, const int64_t *ids, size_t n, const char *reason);
// Is this entry void, by a revoked key, or because it was voided here? 0 yes, ERR_NOTFOUND no.
int entry_is_void(struct tx *tx, const struct feed_entry *e);
// An entry that is held stands where a better one does, which was offered: it becomes void if a
// revoked key signed it. ERR_CONFLICT if not.
int entry_disown(struct tx *tx, int64_t id);

// --- revoked keys (meta_revoke.c) ---
// Does an entry that this key signed lie past the last good place?
bool revoked_covers(const struct revoked_key *r, const struct feed_entry *e);
void revoked_key_look(struct meta *m); // is the key that we sign with revoked?

// --- floors (meta_floor.c) ---
int floor_read(struct tx *tx, const char *registry, uint64_t *out); // the own one; 0: there is none
// the own one, or a higher one that was heard
int floor_highest(struct tx *tx, const char *registry, uint64_t *out);
// Must this entry be refused? (store/floor.h)
int floor_judge(struct tx *tx, const struct feed_entry *e, bool *out_refused);
// It counts for no register, and is counted and listed.
int floor_refuse(struct tx *tx, int64_t id, const struct feed_entry *e);

// --- registers anew (meta_remake.c) ---
// The highest value or tombstone of the register, or its lock. ERR_NOTFOUND: it has none.
int register_now_read(struct tx *tx, const struct register_name *name, struct register_now *out);
// What clients see of it: the digest that the tag shows, or the manifest's; n 0: nothing, or it is
// a lock.
int register_shown_read(struct tx *tx, const struct register_name *name, struct digest *out);
// The register from the log alone.
int register_remake(struct tx *tx, const struct register_name *name);

// --- recovery (meta_recover.c) ---
// the next own entry: past this epoch and all that were used here
int epoch_move(struct tx *tx, uint64_t at_least);

// --- the queue (meta_queue.c) ---
struct task_pick {
    enum task_kind kind;
    int64_t now_ms;
    size_t max;
    _Atomic unsigned *turn;
};
// The ids of due tasks, at most max; registries take turns. *out_next_ms as in meta_tasks_due.
int tasks_pick(struct tx *tx, const struct task_pick *p, struct arena *a, int64_t **out_ids,
               size_t *out_n, int64_t *out_next_ms);

// --- jobs (meta_jobs.c, meta_parked.c) ---
// The entry is applied: its job goes, and the content that the log kept for it.
int job_end(struct tx *tx, int64_t id);
// A manifest of this repository came: a few parked jobs may need less now.
int parked_wake(struct tx *tx, const char *registry, const char *repository);

#endif
