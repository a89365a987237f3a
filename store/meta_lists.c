// SPDX-License-Identifier: Apache-2.0
// Tags and manifests in detail, and registers as they are; see meta_manifests.h. Any thread.
#include "store/meta_manifests.h"

#include "base/err.h"
#include "store/backend_tags.h"
#include "store/meta_live.h"

// --- tags ---

// A lock of a live tag, if it is valid.
static int tag_lock_fill(struct tx *tx, int64_t repo, struct tag_detail *d)
{
    struct lock_facts lock;
    struct tag_now t;
    struct manifest_now m;
    int rc = lock_read(tx, repo, &(struct subject){.tag = d->tag}, &lock);
    if (rc || !lock.stamp)
        return rc;
    rc = tag_look(tx, repo, d->tag, &t);
    if (!rc)
        rc = manifest_look(tx, repo, &d->digest, &m);
    if (rc)
        return rc;
    bool valid = lock_valid(&lock, stamp_max(t.ended, m.killed));
    d->lock_write = valid && lock.write;
    d->lock_delete = valid && lock.del;
    return 0;
}

int meta_tags_detail(struct meta *m, const char *registry, const char *repository,
                     const char *after, size_t max, struct arena *a, struct tag_detail **out,
                     size_t *out_n)
{
    struct tx *tx;
    struct tag_detail *list;
    int64_t repo;
    size_t n;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    rc = repo_find(tx, registry, repository, &repo);
    if (!rc)
        rc = tag_details(tx, repo, after ? after : "", max, a, &list, &n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = tag_lock_fill(tx, repo, &list[i]);
    tx_end(tx);
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

int meta_tag_detail(struct meta *m, const char *registry, const char *repository, const char *tag,
                    struct arena *a, struct tag_detail *out)
{
    struct tx *tx;
    int64_t repo;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    rc = repo_find(tx, registry, repository, &repo);
    if (!rc)
        rc = tag_detail(tx, repo, tag, a, out);
    if (!rc)
        rc = tag_lock_fill(tx, repo, out);
    tx_end(tx);
    return rc;
}

// --- manifests ---

static int tags_fill(struct tx *tx, int64_t repo, struct arena *a, struct manifest_detail *d)
{
    const char **names;
    size_t n;
    int rc = live_tags_of(tx, repo, &d->digest, META_DETAIL_TAGS_MAX, a, &names, &n);
    if (rc)
        return rc;
    d->tags = names;
    d->n_tags = n;
    if (n) {
        d->held |= HELD_BY_TAG;
        d->untagged_ms = 0;
    }
    return 0;
}

static int held_fill(struct tx *tx, int64_t repo, struct manifest_detail *d)
{
    struct manifest_now m;
    struct lock_facts lock;
    int rc = manifest_look(tx, repo, &d->digest, &m);
    if (!rc)
        rc = lock_read(tx, repo, &(struct subject){"", d->digest}, &lock);
    if (rc)
        return rc;
    bool valid = lock_valid(&lock, m.killed);
    d->lock_write = valid && lock.write;
    d->lock_delete = valid && lock.del;
    if (manifest_asserted(&m))
        d->held |= HELD_ASSERTED;
    if (lock_keeps(&lock, m.killed))
        d->held |= HELD_BY_LOCK;
    rc = manifest_held(tx, repo, &d->digest);
    if (!rc)
        d->held |= HELD_BY_INDEX;
    return missing_ok(rc);
}

static int detail_fill(struct tx *tx, int64_t repo, struct arena *a, struct manifest_detail *d)
{
    int rc = tags_fill(tx, repo, a, d);
    if (rc)
        return rc;
    return held_fill(tx, repo, d);
}

int meta_manifests_list(struct meta *m, const char *registry, const char *repository,
                        const struct digest *after, size_t max, struct arena *a,
                        struct manifest_detail **out, size_t *out_n)
{
    static const struct digest first;
    struct tx *tx;
    struct manifest_detail *list;
    int64_t repo;
    size_t n;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    rc = repo_find(tx, registry, repository, &repo);
    if (!rc)
        rc = manifest_details(tx, repo, after ? after : &first, max, a, &list, &n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = detail_fill(tx, repo, a, &list[i]);
    tx_end(tx);
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

int meta_manifest_detail(struct meta *m, const char *registry, const char *repository,
                         const struct digest *d, struct arena *a, struct manifest_detail *out)
{
    struct tx *tx;
    int64_t repo;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    rc = repo_find(tx, registry, repository, &repo);
    if (!rc)
        rc = manifest_detail(tx, repo, d, a, out);
    if (!rc)
        rc = detail_fill(tx, repo, a, out);
    tx_end(tx);
    return rc;
}

// --- registers ---

static int register_out(const struct register_value *value, const struct register_value *gone,
                        bool live, struct arena *a, struct meta_register *out)
{
    const struct register_value *top = value;
    if (!register_has(value) || register_order(gone, value) > 0)
        top = gone;
    if (!register_has(top))
        return ERR_NOTFOUND;
    struct meta_register r = {*top, live};
    r.top.origin = arena_strdup(a, top->origin);
    if (!r.top.origin)
        return ERR_NOMEM;
    *out = r;
    return 0;
}

int meta_tag_register(struct meta *m, const char *registry, const char *repository, const char *tag,
                      struct arena *a, struct meta_register *out)
{
    struct tx *tx;
    struct tag_now t;
    int64_t repo;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = repo_find(tx, registry, repository, &repo);
    if (!rc)
        rc = tag_look(tx, repo, tag, &t);
    tx_end(tx);
    if (rc)
        return rc;
    return register_out(&t.value.value, &t.gone.value, t.live, a, out);
}

int meta_manifest_register(struct meta *m, const char *registry, const char *repository,
                           const struct digest *d, struct arena *a, struct meta_register *out)
{
    struct tx *tx;
    struct manifest_now now;
    int64_t repo;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = repo_find(tx, registry, repository, &repo);
    if (!rc)
        rc = manifest_look(tx, repo, d, &now);
    tx_end(tx);
    if (rc)
        return rc;
    return register_out(&now.value.value, &now.gone.value, now.live, a, out);
}
