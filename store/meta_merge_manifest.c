// SPDX-License-Identifier: Apache-2.0
// What entries do to the presence of a manifest; see meta_merge.h for the invariants.
//
// A manifest whose tombstone is higher and that nothing else holds is recorded: its registers are
// kept, its content is not asked for. What is no longer held keeps its content for a while
// (meta_delete.h: meta_dead_content_drop), so that a tag entry from elsewhere that lives on can
// show it at once; later its content is fetched again.
#include "store/meta_merge.h"

#include "base/clock.h"
#include "base/err.h"
#include "store/kind_rules.h"

#include <assert.h>

// Does it live by what its row says, or by what holds it?
static int is_wanted(struct tx *tx, int64_t repo, const struct manifest_now *m, bool *out)
{
    *out = manifest_asserted(m) || m->live;
    if (*out)
        return 0;
    int rc = manifest_led(tx, repo, &m->digest);
    if (rc == ERR_NOTFOUND)
        rc = manifest_held(tx, repo, &m->digest);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = rc == 0;
    if (*out)
        return 0;
    struct lock_facts lock;
    rc = lock_read(tx, repo, &(struct subject){"", m->digest}, &lock);
    if (!rc)
        *out = lock_keeps(&lock, m->killed);
    return rc;
}

static struct refs_how how_of(const struct manifest_now *m)
{
    return (struct refs_how){.recorded = true, .absent = m->absent, .n_absent = m->n_absent};
}

// What refers to what, as the content that is here says.
static int refs_read(struct tx *tx, const struct feed_entry *e, struct arena *a,
                     struct manifest *out)
{
    struct bytes content;
    int rc = manifest_content(tx, e->registry, e->repository, &e->digest, a, &content);
    if (rc)
        return rc;
    return manifest_parse(content, e->media_type, a, NULL, out);
}

// The content is here, and other children are absent now: those that are not must be here.
static int marks_set(struct tx *tx, int64_t repo, const struct manifest_now *m,
                     const struct manifest_ref *refs, size_t n, struct digest *out_missing)
{
    struct refs_how how = how_of(m);
    int rc = refs_check(tx, repo, refs, n, &how, out_missing);
    if (rc)
        return rc;
    return refs_add(tx, repo, &m->digest, refs, n, m->absent, m->n_absent);
}

static int marks_reset(struct tx *tx, int64_t repo, const struct feed_entry *e,
                       const struct manifest_now *m, const struct manifest_with *with,
                       struct digest *out_missing)
{
    struct arena a;
    struct manifest man;
    if (with->n_refs)
        return marks_set(tx, repo, m, with->refs, with->n_refs, out_missing);
    arena_init(&a, 0);
    int rc = refs_read(tx, e, &a, &man);
    if (!rc)
        rc = marks_set(tx, repo, m, man.refs, man.n_refs, out_missing);
    arena_done(&a);
    return rc;
}

// Children that it held until now and marks as absent from here on.
static int children_lower(struct tx *tx, int64_t repo, const struct child_row *rows, size_t n)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++)
        if (rows[i].live && !rows[i].asserted)
            rc = manifest_lower(tx, repo, &rows[i].digest);
    return rc;
}

static int marks_change(struct tx *tx, int64_t repo, const struct feed_entry *e,
                        const struct manifest_now *m, const struct manifest_with *with,
                        struct digest *out_missing)
{
    struct arena a;
    struct child_row *rows;
    size_t n;
    arena_init(&a, 0);
    int rc = manifest_children(tx, repo, &m->digest, &a, &rows, &n);
    if (!rc)
        rc = marks_reset(tx, repo, e, m, with, out_missing);
    if (!rc && m->live)
        rc = children_raise(tx, repo, &m->digest, out_missing);
    if (!rc && m->live)
        rc = children_lower(tx, repo, rows, n);
    arena_done(&a);
    return rc;
}

// The content comes in, and with it what it refers to; it lives from now on.
static int content_take(struct tx *tx, int64_t repo, struct manifest_now *m,
                        const struct manifest_with *with, struct digest *out_missing)
{
    struct refs_how how = how_of(m);
    if (!with->content.n)
        return ERR_INVAL;
    int rc = refs_check(tx, repo, with->refs, with->n_refs, &how, out_missing);
    if (rc)
        return rc;
    m->live = true;
    m->died_ms = 0;
    rc = manifest_save(tx, repo, m, with->content);
    if (!rc)
        rc = refs_add(tx, repo, &m->digest, with->refs, with->n_refs, m->absent, m->n_absent);
    if (!rc)
        rc = links_manifest_live(tx, repo, &m->digest, out_missing);
    if (!rc)
        rc = children_raise(tx, repo, &m->digest, out_missing);
    return rc;
}

// The registers have changed, or the row is new.
static int presence_save(struct tx *tx, int64_t repo, const struct feed_entry *e,
                         struct manifest_now *m, bool marks_differ,
                         const struct manifest_with *with, struct digest *out_missing)
{
    bool wanted;
    int rc = is_wanted(tx, repo, m, &wanted);
    if (rc)
        return rc;
    if (wanted && !m->here)
        return content_take(tx, repo, m, with, out_missing);
    rc = manifest_save(tx, repo, m, (struct bytes){0});
    if (!rc && m->here && marks_differ)
        rc = marks_change(tx, repo, e, m, with, out_missing);
    if (rc || !wanted || m->live)
        return rc;
    return manifest_raise(tx, repo, &m->digest, out_missing);
}

static bool marks_same(const struct manifest_now *m, struct bytes absent)
{
    return bytes_equal(bytes_of(m->absent, m->n_absent), absent);
}

static int jobs_wake_of(struct tx *tx, const struct feed_entry *e)
{
    int rc = jobs_wake_for(tx, e->registry, e->repository, &e->digest,
                           kinds_that_wait(KIND_WAITS_FOR_DIGEST));
    if (rc)
        return rc;
    return parked_wake(tx, e->registry, e->repository);
}

int merge_manifest(struct tx *tx, int64_t repo, const struct feed_entry *e,
                   const struct manifest_with *with, struct digest *out_missing)
{
    struct manifest_now m;
    bool there;
    int rc = manifest_read(tx, repo, &e->digest, &m, &there);
    if (rc)
        return rc;
    bool differ = !marks_same(&m, e->absent);
    bool took = presence_take(&m, e);
    if (took || !there)
        rc = presence_save(tx, repo, e, &m, took && differ, with, out_missing);
    if (!rc)
        rc = jobs_wake_of(tx, e);
    if (!rc)
        tx->notify = true;
    return rc;
}

int manifest_needs(struct tx *tx, int64_t repo, const struct feed_entry *e, bool *out)
{
    struct manifest_now m;
    bool there;
    int rc = manifest_read(tx, repo, &e->digest, &m, &there);
    if (rc)
        return rc;
    bool took = presence_take(&m, e);
    *out = false;
    if (m.here || (there && !took))
        return 0;
    return is_wanted(tx, repo, &m, out);
}

// --- it is gone ---

int merge_manifest_gone(struct tx *tx, int64_t repo, const struct feed_entry *e,
                        struct digest *out_missing)
{
    struct manifest_now m;
    bool there;
    int rc = manifest_read(tx, repo, &e->digest, &m, &there);
    if (rc || !presence_gone_take(&m, e))
        return rc;
    rc = manifest_save(tx, repo, &m, (struct bytes){0});
    // jobs of entries that it ends may have nothing to wait for any more, and need no room
    if (!rc)
        rc = jobs_wake_of(tx, e);
    if (!rc)
        rc = jobs_try_manifest(tx, e->registry, e->repository, &e->digest);
    if (!rc)
        rc = tags_settle(tx, repo, &e->digest, out_missing);
    if (!rc)
        rc = manifest_lower(tx, repo, &e->digest);
    if (!rc)
        tx->notify = true;
    return rc;
}
