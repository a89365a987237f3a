// SPDX-License-Identifier: Apache-2.0
// Applies one entry of another region: a manifest after everything it refers to is here and linked,
// a tag after its manifest. No policy is checked: locks, quotas and permissions were the origin's
// to check. The dispatcher calls apply_local, a worker apply_fetching.
//
// Invariants (design section 9)
//   2. A manifest becomes visible only after what it refers to; meta_apply asserts it in its
//      transaction.
//   4. Bytes and digests are never changed: content goes in as it came, after its digest was
//      compared.
#include "replication/replication_priv.h"

#include "base/err.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SAME_LOOK_MAX 64 // layers that occur twice in a manifest are found so far apart

// The manifest's content: what the entry carried, or what this region holds of it in the same
// repository.
static int content_local(struct replicator *r, const struct feed_entry *e, struct arena *a,
                         struct bytes *out)
{
    if (e->content.n) {
        *out = e->content;
        return 0;
    }
    struct manifest_row row;
    int rc = meta_manifest_get(r->o.meta, e->registry, e->repository, NULL, &e->digest, a, &row);
    if (!rc)
        *out = row.content;
    return rc;
}

static bool content_ok(const struct feed_entry *e, struct bytes content)
{
    struct digest d;
    return content.n == e->size && digest_of(e->digest.alg, content.p, content.n, &d) == 0 &&
           digest_equal(&d, &e->digest);
}

static bool here(struct replicator *r, const struct feed_entry *e, const struct manifest_ref *ref)
{
    uint64_t size;
    struct digest d = ref->digest;
    return ref->kind != REF_BLOB ||
           meta_link_get(r->o.meta, e->registry, e->repository, &d, &size) == 0;
}

static int manifest_refs(const struct feed_entry *e, struct bytes content, struct arena *a,
                         struct manifest *out)
{
    // Bytes that their origin accepted are parsed by the same rules here; only a mixture of
    // versions can refuse them.
    int rc = ERR_DIGEST;
    if (content_ok(e, content))
        rc = 0;
    if (rc)
        return rc;
    return manifest_parse(content, e->media_type, a, NULL, out);
}

static enum apply_result finish(struct replicator *r, const struct feed_entry *e,
                                struct bytes content, const struct manifest *m, int *out_rc)
{
    struct digest missing;
    int rc = meta_apply(r->o.meta, e, content, m ? m->refs : NULL, m ? m->n_refs : 0, &missing);
    room_wrote(r->room, rc);
    *out_rc = rc;
    if (!rc)
        return APPLY_DONE;
    if (rc == ERR_NOTFOUND)
        return APPLY_WAITS;
    return APPLY_FAILED;
}

enum apply_result apply_local(struct replicator *r, const struct job *job,
                              struct digest *out_missing, int *out_rc)
{
    const struct feed_entry *e = &job->entry;
    *out_missing = (struct digest){0};
    // stored by an earlier version: nothing is fetched for it
    if (e->stamp > meta_stamp_limit(r->o.meta)) {
        *out_rc = ERR_AHEAD;
        return APPLY_FAILED;
    }
    if (e->kind == ENTRY_TAG)
        return finish(r, e, (struct bytes){0}, NULL, out_rc);
    struct arena a;
    arena_init(&a, 64 << 20);
    struct bytes content;
    struct manifest m;
    enum apply_result result = APPLY_NEEDS;
    int rc = content_local(r, e, &a, &content);
    if (!rc) {
        rc = manifest_refs(e, content, &a, &m);
        bool all = !rc;
        for (size_t i = 0; all && i < m.n_refs; i++) {
            all = here(r, e, &m.refs[i]);
            if (!all)
                *out_missing = m.refs[i].digest;
        }
        if (all)
            result = finish(r, e, content, &m, &rc);
        else if (rc)
            result = APPLY_FAILED;
    } else if (rc != ERR_NOTFOUND) {
        result = APPLY_FAILED;
    }
    *out_rc = rc;
    arena_done(&a);
    return result;
}

static bool seen_before(const struct manifest *m, size_t i)
{
    size_t from = 0;
    if (i > SAME_LOOK_MAX)
        from = i - SAME_LOOK_MAX;
    for (size_t k = from; k < i; k++)
        if (digest_equal(&m->refs[k].digest, &m->refs[i].digest))
            return true;
    return false;
}

// Bytes that must be fetched for this manifest and are charged by nobody yet: what another job
// fetches now is its.
static uint64_t bytes_needed(struct replicator *r, const struct feed_entry *e,
                             const struct manifest *m)
{
    uint64_t sum = 0, size;
    for (size_t i = 0; i < m->n_refs; i++) {
        const struct manifest_ref *ref = &m->refs[i];
        if (here(r, e, ref) || blob_in_flight(r, &ref->digest) || seen_before(m, i))
            continue;
        // of a cut one the rest comes by windows
        if (blob_stat(r->o.blobs, &ref->digest, &size) == 0)
            continue;
        uint64_t all = room_size(r->room, &ref->digest, ref->size),
                 had = blob_partial_size(r->o.blobs, &ref->digest);
        uint64_t lacks = 0;
        if (all > had)
            lacks = all - had;
        if (sum + lacks < sum)
            sum = UINT64_MAX;
        else
            sum = sum + lacks;
    }
    return sum;
}

// Charges what the job is about to fetch. ERR_NOSPACE, with w->lacks: it does not fit.
static int room_for_job(struct worker *w, uint64_t bytes)
{
    int rc = room_take(w->r->room, bytes, &w->charge);
    if (rc == ERR_NOSPACE)
        w->lacks = bytes;
    if (!rc && bytes && w->job.room)
        (void)meta_job_fits(w->r->o.meta, w->job.id);
    return rc;
}

static int blobs_fetch(struct worker *w, const struct topology *t, const struct registry *reg,
                       const struct manifest *m, int64_t *out_not_before,
                       char error[ERROR_TEXT_SIZE])
{
    struct replicator *r = w->r;
    const struct feed_entry *e = &w->job.entry;
    uint64_t left = 0;
    for (size_t i = 0; i < m->n_refs; i++)
        if (!here(r, e, &m->refs[i]))
            left += m->refs[i].size;
    int rc = room_for_job(w, bytes_needed(r, e, m));
    for (size_t i = 0; !rc && i < m->n_refs; i++) {
        pthread_mutex_lock(&r->lock);
        w->bytes_left = left;
        pthread_mutex_unlock(&r->lock);
        struct digest d = m->refs[i].digest;
        uint64_t size;
        if (here(r, e, &m->refs[i]))
            continue;
        rc = blob_fetch(w, t, reg, &d, m->refs[i].size, out_not_before, error);
        if (!rc)
            rc = blob_stat(r->o.blobs, &d, &size);
        if (!rc) {
            rc = meta_link_add(r->o.meta, e->registry, e->repository, &d, size, NULL);
            room_wrote(r->room, rc);
        }
        if (!rc && left >= m->refs[i].size)
            left -= m->refs[i].size;
        if (rc && rc != ERR_BUSY && !*error)
            snprintf(error, ERROR_TEXT_SIZE, "blob: %s", err_text(rc));
    }
    return rc;
}

static enum apply_result manifest_apply(struct worker *w, const struct topology *t,
                                        const struct registry *reg, struct arena *a,
                                        int64_t *out_not_before, char error[ERROR_TEXT_SIZE])
{
    const struct feed_entry *e = &w->job.entry;
    struct bytes content;
    AUTO_BUF struct buf fetched = {0};
    struct manifest m;
    int rc = content_local(w->r, e, a, &content);
    if (rc == ERR_NOTFOUND) {
        rc = manifest_fetch(w, t, reg, &fetched, out_not_before, error);
        content = bytes_of(fetched.p, fetched.n);
    }
    if (!rc)
        rc = manifest_refs(e, content, a, &m);
    if (!rc)
        rc = blobs_fetch(w, t, reg, &m, out_not_before, error);
    if (rc == ERR_BUSY)
        return APPLY_BUSY;
    if (rc == ERR_NOTFOUND)
        return APPLY_ABSENT;
    if (rc == ERR_NOSPACE && w->lacks) {
        room_say(w->r->room, e->registry, e->repository, w->lacks, error);
        return APPLY_NO_ROOM;
    }
    if (w->own_fault && rc != ERR_NOSPACE)
        w->grade = GRADE_OWN;
    else
        w->grade = grade_of(rc);
    enum apply_result result = APPLY_FAILED;
    if (!rc)
        result = finish(w->r, e, content, &m, &rc);
    if (result == APPLY_FAILED && !*error) {
        snprintf(error, ERROR_TEXT_SIZE, "manifest: %s", err_text(rc));
        w->grade = grade_of(rc);
    }
    return result;
}

enum apply_result apply_fetching(struct worker *w, int64_t *out_not_before_mono,
                                 char error[ERROR_TEXT_SIZE])
{
    struct topology *t = snapshot_get(w->r->o.topology);
    const struct registry *reg = NULL;
    if (t)
        reg = topology_registry(t, w->job.entry.registry);
    enum apply_result result = APPLY_FAILED;
    error[0] = '\0';
    if (!reg) {
        snprintf(error, ERROR_TEXT_SIZE, "registry %s is not in the topology",
                 w->job.entry.registry);
    } else {
        struct arena a;
        arena_init(&a, 64 << 20);
        result = manifest_apply(w, t, reg, &a, out_not_before_mono, error);
        arena_done(&a);
    }
    snapshot_unref(t);
    return result;
}
