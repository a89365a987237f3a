// SPDX-License-Identifier: Apache-2.0
// Reading peers: their entries go into the log, each becomes a job, and a job ends when its entry is
// applied. See meta.h for threads, arenas and errors.
//
//   rc = meta_ingest(m, "westus", entries, n, &upto);
//   rc = meta_jobs_due(m, clock_mono_ms(), 64, &a, &jobs, &n_jobs, &next_ms);
//   rc = meta_apply(m, &jobs[0].entry, content, refs, n_refs, &missing);
//   if (rc == ERR_NOTFOUND) rc = meta_job_retry(m, jobs[0].id, due_ms, NULL);
//
// A job is a task of kind TASK_APPLY (meta_queue.h). All times of jobs are milliseconds of the
// monotonic clock. When a store opens, all jobs are due.
#ifndef MERIDIAN_STORE_META_JOBS_H
#define MERIDIAN_STORE_META_JOBS_H

#include "base/arena.h"
#include "store/entry.h"
#include "store/manifest.h"

#include <stdbool.h>
#include <stdint.h>

struct meta;

// In one transaction the entries go into the log, each becomes a job, and the read mark moves to
// `upto` (which may lie behind the last entry, where a stretch was filtered out). An entry that is
// held already is passed over. One of version 2 that is not known here, or malformed, is kept and
// has no job (meta_unknown.h). The caller has verified the signatures. ERR_CONFLICT: another entry
// is held in the place of one; ERR_AUTH: one is void; ERR_AHEAD: one is of the future; ERR_GAP: one
// of version 2 does not follow the last one of its origin and registry, so entries were left out
// (meta_read_again); ERR_INVAL: one of version 1 is malformed. Then nothing was stored.
//
// A chain goes by (registry_seq, registry_prev). In a new epoch it may go on from an earlier entry
// that is held: the origin lost the others. Once a key of the origin is revoked, gaps are taken:
// void entries are left out.
int meta_ingest(struct meta *m, const char *origin, const struct feed_entry *entries, size_t n,
                const struct feed_mark *upto);

// The feed of this origin is read from its start again; what is held is passed over. Only the thread
// that ingests this origin calls it, between two sessions.
int meta_read_again(struct meta *m, const char *origin);

// --- jobs ---

// The oldest jobs of a registry, at most `max`, due or not: what is read and not applied.
struct job;
int meta_pending(struct meta *m, const char *registry, size_t max, struct arena *a,
                 struct job **out, size_t *out_n);

struct job { // an entry that was read and is not applied yet
    int64_t id;
    struct feed_entry entry;
    // tries that failed
    uint32_t attempts;
    int64_t due_ms;
    const char *last_error;
    // Bytes that its content lacked when it was parked; the job is parked, or was and is tried
    // again. 0: neither.
    uint64_t room;
};

// Due jobs, the oldest first within a registry; registries take turns. *out_next_ms: when the next
// job becomes due (INT64_MAX: none does).
int meta_jobs_due(struct meta *m, int64_t now_ms, size_t max, struct arena *a, struct job **out,
                  size_t *out_n, int64_t *out_next_ms);
// The try failed with this sentence, or (NULL) the job waits for another entry. ERR_NOTFOUND: it
// has ended.
int meta_job_retry(struct meta *m, int64_t id, int64_t due_ms, const char *error);
// The same, with a grade: meta_origins tells the error with the highest grade, of these the latest.
int meta_job_failed(struct meta *m, int64_t id, int64_t due_ms, int grade, const char *error);
// Jobs that were not tried: their time moves, in one transaction. A job that has ended is passed
// over.
int meta_jobs_later(struct meta *m, const int64_t *ids, size_t n, int64_t due_ms);
// Jobs of these registries that failed or were moved become due: a region that may give their
// content is back.
int meta_jobs_retry_now(struct meta *m, const char *const *registries, size_t n);
// Ends a job whose entry is never to be applied: its registry was deleted, and its name is another
// one's by now. The entry stays in the log. ERR_NOTFOUND: it has ended.
int meta_job_drop(struct meta *m, int64_t id);
// Jobs that wait for another entry of their repository become due.
void meta_jobs_wake(struct meta *m);

// Applies an entry, with its content and what that refers to (ENTRY_HAS_CONTENT), and ends its job,
// in one transaction. 0 also when it was applied or superseded before. ERR_NOTFOUND: *out_missing
// is not here, and nothing changed. ERR_AHEAD: the entry is of the future, or restates an entry
// that is. ERR_DIGEST: the content is not the entry's. ERR_UNSUPPORTED: its kind is unknown.
int meta_apply(struct meta *m, const struct feed_entry *e, struct bytes content,
               const struct manifest_ref *refs, size_t n_refs, struct digest *out_missing);

// Of one transaction: it holds up other writers for some milliseconds.
#define APPLY_ITEMS_MAX 16
struct apply_item { // what meta_apply takes
    const struct feed_entry *e;
    struct bytes content;
    const struct manifest_ref *refs;
    size_t n_refs;
    // of meta_apply_all: it is applied. False: nothing of it changed, and meta_apply says why
    bool done;
};
// The same of several, in their order and in one transaction: a tag may follow its manifest. They
// cost the disk as much as one. Not 0: none is done; one of them failed, or the
// store does.
int meta_apply_all(struct meta *m, struct apply_item *items, size_t n);

// --- manifests that are recorded without content ---
// A manifest whose tombstone is higher is recorded when its entry is applied: no content is asked
// for. When another entry makes it live after all, no further entry brings its content. A
// tombstone ends no jobs of its register by itself: it makes due those that wait or are parked, and
// what they ask of meta_apply_needs is "nothing" then.

enum meta_needs {
    // Apply it with empty content: it is superseded, or what it brings is here.
    META_NEEDS_NOTHING,
    META_NEEDS_CONTENT,
};
// Before content is fetched for an entry.
int meta_apply_needs(struct meta *m, const struct feed_entry *e, enum meta_needs *out);
// meta_apply said ERR_NOTFOUND with this manifest. True, with its media type (may be NULL): it is
// recorded without content; fetch it, give it to meta_manifest_content_add, and apply again. False:
// wait, its entry will come.
bool meta_content_lacks(struct meta *m, const char *registry, const char *repository,
                        const struct digest *digest, char out_media_type[MEDIA_TYPE_SIZE]);
// The content of a manifest that is here, whether it lives or not: for other regions that lack it.
// ERR_NOTFOUND.
int meta_manifest_content(struct meta *m, const char *registry, const char *repository,
                          const struct digest *digest, struct arena *a, struct bytes *out,
                          const char **out_media_type);
// The content of a manifest that no entry brings. No register changes, and it does not live by
// this. Its blobs must exist in the repository, and the content of its children be here
// (ERR_NOTFOUND with *out_missing). `media_type`: where the store does not know it, may be NULL.
// ERR_DIGEST: the content has another digest. 0 also when it is here already.
int meta_manifest_content_add(struct meta *m, const char *registry, const char *repository,
                              const struct digest *digest, const char *media_type,
                              struct bytes content, const struct manifest_ref *refs, size_t n_refs,
                              struct digest *out_missing);

// Other bytes than its digest says stand where the content of a manifest should be: the disk, or
// somebody, changed them. These take their place; nothing else changes. ERR_DIGEST: they are not its
// content either. ERR_NOTFOUND: the manifest is not here any more. 0 also when it is whole.
int meta_manifest_content_mend(struct meta *m, const char *registry, const char *repository,
                               const struct digest *digest, struct bytes content);

// --- parked jobs: their content does not fit on the disk ---
// A parked job and the entries that wait for its content hold back no applied mark. A parked job
// ends as any job does.

// Not due before meta_jobs_unpark. `room`: bytes that must fit. ERR_NOTFOUND: it has ended.
int meta_job_park(struct meta *m, int64_t id, uint64_t room, int grade, const char *why);
// Its content is being fetched after all.
int meta_job_fits(struct meta *m, int64_t id);
// Jobs become due that fit together into `room` bytes, the oldest first; and a few that were parked
// at stale_mono_ms or before, because what they lacked may have come another way.
int meta_jobs_unpark(struct meta *m, uint64_t room, int64_t stale_mono_ms, size_t *out_n);

struct parked { // the parked jobs of one origin
    const char *origin;
    // how many, the bytes of all, and of the one that needs least
    uint64_t n, bytes, least;
};
// In all registries, by origin.
int meta_parked(struct meta *m, struct arena *a, struct parked **out, size_t *out_n);
// If an entry of this digest was read and is not applied, and its repository has parked jobs: the
// bytes of the one that needs most. ERR_NOTFOUND: not so.
int meta_parked_for(struct meta *m, const char *registry, const char *repository,
                    const struct digest *d, uint64_t *out_room);

// --- how far an origin is read and applied ---

struct origin_status {
    const char *origin;
    struct feed_mark read;
    // All entries at or below it are applied, superseded, or have no room here, in all registries.
    // Never past `read`.
    struct feed_mark applied;
    // jobs
    uint64_t n_pending;
    // of these, not parked and with at least one failed try
    uint64_t n_retrying;
    // of these, parked
    uint64_t n_parked;
    // of these, waiting for another entry: they need no bytes of their own
    uint64_t n_waiting;
    uint64_t parked_bytes;
    // 0 if none
    uint64_t oldest_pending_stamp;
    // the worst of its jobs (meta_job_failed), or NULL; and its grade
    const char *last_error;
    int last_grade;
};
// This region itself is listed while it has jobs: recovered entries whose content is not here. Its
// `read` is its own head.
int meta_origins(struct meta *m, struct arena *a, struct origin_status **out, size_t *out_n);
// The same, with counts, stamp and error of one registry's jobs alone. The marks are places in the
// origin's whole feed: a job of any registry holds `applied` back.
int meta_origins_of(struct meta *m, const char *registry, struct arena *a,
                    struct origin_status **out, size_t *out_n);
// Own entries were recovered and some miss their content here, or that is not known.
bool meta_own_pending(struct meta *m);

#endif
