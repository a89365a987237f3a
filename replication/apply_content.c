// SPDX-License-Identifier: Apache-2.0
// A manifest's content and its blobs; see apply_content.h.
#include "replication/apply_content.h"

#include "base/err.h"
#include "replication/blob_group.h"

#include <stdio.h>

#define SAME_LOOK_MAX 64 // layers that occur twice in a manifest are found so far apart

void manifest_want_of(const struct feed_entry *e, struct manifest_want *out)
{
    *out = (struct manifest_want){.registry = e->registry,
                                  .repository = e->repository,
                                  .digest = e->digest,
                                  .media_type = e->media_type,
                                  .content = e->content,
                                  .sized = true,
                                  .size = e->size};
}

int want_content_local(struct replicator *r, const struct manifest_want *m, struct arena *a,
                       struct bytes *out)
{
    if (m->content.n) {
        *out = m->content;
        return 0;
    }
    struct manifest_row row;
    int rc = meta_manifest_get(r->o.meta, m->registry, m->repository, NULL, &m->digest, a, &row);
    if (!rc)
        *out = row.content;
    return rc;
}

static bool content_ok(const struct manifest_want *m, struct bytes content)
{
    struct digest d;
    if (m->sized && content.n != m->size)
        return false;
    if (digest_of(m->digest.alg, content.p, content.n, &d))
        return false;
    return digest_equal(&d, &m->digest);
}

int want_parse(const struct manifest_want *m, struct bytes content, struct arena *a,
               struct manifest *out)
{
    if (!content_ok(m, content))
        return ERR_DIGEST;
    // Bytes that their origin accepted are parsed by the same rules here; only a mixture of
    // versions can refuse them.
    return manifest_parse(content, m->media_type, a, NULL, out);
}

bool want_ref_here(struct replicator *r, const struct manifest_want *m,
                   const struct manifest_ref *ref)
{
    struct blob_here here;
    if (ref->kind != REF_BLOB)
        return true;
    return meta_blob_look(r->o.meta, m->registry, m->repository, &ref->digest, &here) == 0;
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
    struct blob_name name;
    uint64_t size;
    if (blob_in_flight(r, &ref->digest))
        return 0;
    int rc = meta_blob_find(r->o.meta, &ref->digest, &name, &size);
    if (!rc)
        rc = blob_stat(r->o.blobs, &name, &size);
    if (!rc) // of a cut one the rest comes by windows
        return 0;
    uint64_t all = room_size(r->room, &ref->digest, ref->size);
    uint64_t had = blob_partial_size(r->o.blobs, &ref->digest);
    if (all <= had)
        return 0;
    return all - had;
}

static uint64_t bytes_needed(struct replicator *r, const struct manifest_ref *const *refs, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t lacks = ref_lacks(r, refs[i]);
        if (sum + lacks < sum)
            return UINT64_MAX;
        sum += lacks;
    }
    return sum;
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

// The blobs that are to be fetched, each once; `out` has room for all of the manifest's.
static size_t refs_missing(struct replicator *r, const struct manifest_want *want,
                           const struct manifest *m, const struct manifest_ref **out)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_refs; i++)
        if (!want_ref_here(r, want, &m->refs[i]) && !seen_before(m, i))
            out[n++] = &m->refs[i];
    return n;
}

static int blobs_get(struct attempt *w, const struct topology *t, const struct registry *reg,
                     const struct manifest_want *want, const struct manifest *m, struct arena *a,
                     int64_t *out_not_before, char error[ERROR_TEXT_SIZE])
{
    struct replicator *r = w->r;
    const struct manifest_ref **refs = arena_array(a, m->n_refs + 1, sizeof *refs);
    if (!refs)
        return ERR_NOMEM;
    const struct blob_group_want group = {.w = w,
                                          .topology = t,
                                          .registry = reg,
                                          .manifest = want,
                                          .refs = refs,
                                          .n = refs_missing(r, want, m, refs)};
    int rc = room_for_job(w, bytes_needed(r, refs, group.n));
    if (!rc && group.n)
        rc = blob_group_get(r->helpers, &group, out_not_before, error);
    return rc;
}

static int content_get(struct attempt *w, const struct topology *t, const struct registry *reg,
                       const struct manifest_want *want, struct arena *a, struct buf *fetched,
                       struct bytes *out, int64_t *out_not_before, char error[ERROR_TEXT_SIZE])
{
    int rc = want_content_local(w->r, want, a, out);
    if (rc != ERR_NOTFOUND)
        return rc;
    rc = manifest_fetch(w, t, reg, &want->digest, fetched, out_not_before, error);
    *out = bytes_of(fetched->p, fetched->n);
    return rc;
}

int want_get(struct attempt *w, const struct topology *t, const struct registry *reg,
             const struct manifest_want *want, struct arena *a, struct buf *fetched,
             struct bytes *out_content, struct manifest *out_manifest, int64_t *out_not_before_mono,
             char error[ERROR_TEXT_SIZE])
{
    int rc = content_get(w, t, reg, want, a, fetched, out_content, out_not_before_mono, error);
    if (!rc)
        rc = want_parse(want, *out_content, a, out_manifest);
    if (!rc)
        rc = blobs_get(w, t, reg, want, out_manifest, a, out_not_before_mono, error);
    return rc;
}

enum apply_result want_lacks(struct attempt *w, int rc, char error[ERROR_TEXT_SIZE])
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
