// SPDX-License-Identifier: Apache-2.0
// Applying a manifest; see apply_manifest.h.
#include "replication/apply_manifest.h"

#include "base/err.h"
#include "replication/apply_priv.h"
#include "replication/replication_priv.h"

#include <assert.h>
#include <stdio.h>

#define SAME_LOOK_MAX 64 // layers that occur twice in a manifest are found so far apart
#define MANIFEST_ARENA_MAX (64u << 20)

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
    if (content.n != e->size)
        return false;
    if (digest_of(e->digest.alg, content.p, content.n, &d))
        return false;
    return digest_equal(&d, &e->digest);
}

// Nothing of it is to be fetched: its blob is linked here, or it is no blob.
static bool here(struct replicator *r, const struct feed_entry *e, const struct manifest_ref *ref)
{
    uint64_t size;
    struct digest d = ref->digest;
    if (ref->kind != REF_BLOB)
        return true;
    return meta_link_get(r->o.meta, e->registry, e->repository, &d, &size) == 0;
}

static int manifest_refs(const struct feed_entry *e, struct bytes content, struct arena *a,
                         struct manifest *out)
{
    if (!content_ok(e, content))
        return ERR_DIGEST;
    // Bytes that their origin accepted are parsed by the same rules here; only a mixture of
    // versions can refuse them.
    return manifest_parse(content, e->media_type, a, NULL, out);
}

static enum apply_result local_with(struct replicator *r, const struct feed_entry *e,
                                    struct arena *a, struct digest *out_missing, int *out_rc)
{
    struct bytes content;
    struct manifest m;
    *out_rc = content_local(r, e, a, &content);
    if (*out_rc == ERR_NOTFOUND)
        return APPLY_NEEDS;
    if (!*out_rc)
        *out_rc = manifest_refs(e, content, a, &m);
    if (*out_rc)
        return APPLY_FAILED;
    for (size_t i = 0; i < m.n_refs; i++) {
        if (here(r, e, &m.refs[i]))
            continue;
        *out_missing = m.refs[i].digest;
        return APPLY_NEEDS;
    }
    return apply_finish(r, e, content, &m, out_rc);
}

enum apply_result manifest_apply_local(struct replicator *r, const struct feed_entry *e,
                                       struct digest *out_missing, int *out_rc)
{
    struct arena a;
    assert(entry_has(e, ENTRY_HAS_CONTENT));
    arena_init(&a, MANIFEST_ARENA_MAX);
    enum apply_result result = local_with(r, e, &a, out_missing, out_rc);
    arena_done(&a);
    return result;
}

// --- with the network ---

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

// Bytes that must be fetched for this reference and are charged by nobody yet: what another job
// fetches now is its.
static uint64_t ref_lacks(struct replicator *r, const struct manifest_ref *ref)
{
    uint64_t size;
    if (blob_in_flight(r, &ref->digest))
        return 0;
    if (blob_stat(r->o.blobs, &ref->digest, &size) == 0) // of a cut one the rest comes by windows
        return 0;
    uint64_t all = room_size(r->room, &ref->digest, ref->size);
    uint64_t had = blob_partial_size(r->o.blobs, &ref->digest);
    if (all <= had)
        return 0;
    return all - had;
}

static uint64_t bytes_needed(struct replicator *r, const struct feed_entry *e,
                             const struct manifest *m)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < m->n_refs; i++) {
        if (here(r, e, &m->refs[i]) || seen_before(m, i))
            continue;
        uint64_t lacks = ref_lacks(r, &m->refs[i]);
        if (sum + lacks < sum)
            return UINT64_MAX;
        sum += lacks;
    }
    return sum;
}

// Makes the blob be here, and linked.
static int blob_get(struct attempt *w, const struct topology *t, const struct registry *reg,
                    const struct manifest_ref *ref, int64_t *out_not_before,
                    char error[ERROR_TEXT_SIZE])
{
    struct replicator *r = w->r;
    const struct feed_entry *e = &w->job.entry;
    struct digest d = ref->digest;
    uint64_t size;
    int rc = blob_fetch(w, t, reg, &d, ref->size, out_not_before, error);
    if (!rc)
        rc = blob_stat(r->o.blobs, &d, &size);
    if (!rc) {
        rc = meta_link_add(r->o.meta, e->registry, e->repository, &d, size, NULL);
        room_wrote(r->room, rc);
    }
    if (rc && rc != ERR_BUSY && !*error)
        snprintf(error, ERROR_TEXT_SIZE, "blob: %s", err_text(rc));
    return rc;
}

// Charges what the job is about to fetch. ERR_NOSPACE, with w->lacks: it does not fit.
static int room_for_job(struct attempt *w, uint64_t bytes)
{
    int rc = room_take(w->r->room, bytes, &w->charge);
    if (rc == ERR_NOSPACE)
        w->lacks = bytes;
    if (!rc && bytes && w->job.room)
        (void)meta_job_fits(w->r->o.meta, w->job.id);
    return rc;
}

static int blobs_get(struct attempt *w, const struct topology *t, const struct registry *reg,
                     const struct manifest *m, int64_t *out_not_before, char error[ERROR_TEXT_SIZE])
{
    struct replicator *r = w->r;
    const struct feed_entry *e = &w->job.entry;
    uint64_t left = 0;
    for (size_t i = 0; i < m->n_refs; i++)
        if (!here(r, e, &m->refs[i]))
            left += m->refs[i].size;
    int rc = room_for_job(w, bytes_needed(r, e, m));
    for (size_t i = 0; !rc && i < m->n_refs; i++) {
        const struct manifest_ref *ref = &m->refs[i];
        w->bytes_left = left;
        if (here(r, e, ref))
            continue;
        rc = blob_get(w, t, reg, ref, out_not_before, error);
        if (!rc && left >= ref->size)
            left -= ref->size;
    }
    return rc;
}

static int content_get(struct attempt *w, const struct topology *t, const struct registry *reg,
                       struct arena *a, struct buf *fetched, struct bytes *out,
                       int64_t *out_not_before, char error[ERROR_TEXT_SIZE])
{
    int rc = content_local(w->r, &w->job.entry, a, out);
    if (rc != ERR_NOTFOUND)
        return rc;
    rc = manifest_fetch(w, t, reg, fetched, out_not_before, error);
    *out = bytes_of(fetched->p, fetched->n);
    return rc;
}

// The result of a try that could not get all that it needs.
static enum apply_result lacks(struct attempt *w, int rc, char error[ERROR_TEXT_SIZE])
{
    if (rc == ERR_BUSY)
        return APPLY_BUSY;
    if (rc == ERR_NOTFOUND)
        return APPLY_ABSENT;
    if (rc == ERR_NOSPACE && w->lacks) {
        room_say(w->r->room, w->job.entry.registry, w->job.entry.repository, w->lacks, error);
        return APPLY_NO_ROOM;
    }
    w->grade = grade_of(rc);
    if (w->own_fault && rc != ERR_NOSPACE)
        w->grade = GRADE_OWN;
    if (!*error) {
        snprintf(error, ERROR_TEXT_SIZE, "manifest: %s", err_text(rc));
        w->grade = grade_of(rc);
    }
    return APPLY_FAILED;
}

static enum apply_result fetching_with(struct attempt *w, const struct topology *t,
                                       const struct registry *reg, struct arena *a,
                                       int64_t *out_not_before, char error[ERROR_TEXT_SIZE])
{
    const struct feed_entry *e = &w->job.entry;
    struct bytes content;
    AUTO_BUF struct buf fetched = {0};
    struct manifest m;
    int rc = content_get(w, t, reg, a, &fetched, &content, out_not_before, error);
    if (!rc)
        rc = manifest_refs(e, content, a, &m);
    if (!rc)
        rc = blobs_get(w, t, reg, &m, out_not_before, error);
    if (rc)
        return lacks(w, rc, error);
    enum apply_result result = apply_finish(w->r, e, content, &m, &rc);
    if (result == APPLY_FAILED) {
        w->grade = GRADE_NONE;
        if (w->own_fault)
            w->grade = GRADE_OWN;
        if (!*error) {
            snprintf(error, ERROR_TEXT_SIZE, "manifest: %s", err_text(rc));
            w->grade = grade_of(rc);
        }
    }
    return result;
}

enum apply_result manifest_apply_fetching(struct attempt *w, const struct topology *t,
                                          const struct registry *reg, int64_t *out_not_before_mono,
                                          char error[ERROR_TEXT_SIZE])
{
    struct arena a;
    arena_init(&a, MANIFEST_ARENA_MAX);
    enum apply_result result = fetching_with(w, t, reg, &a, out_not_before_mono, error);
    arena_done(&a);
    return result;
}
