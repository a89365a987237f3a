// SPDX-License-Identifier: Apache-2.0
// Locks of tags, manifests and repositories; see meta_delete.h. Any thread.
#include "store/meta_delete.h"

#include "base/err.h"
#include "store/backend_tags.h"
#include "store/meta_merge.h"
#include "store/meta_unknown.h"

#include <assert.h>

struct locking {
    struct meta *m;
    const struct lock_request *r;
    struct subject subject;
    uint64_t stamp;
};

static struct subject subject_named(const char *tag, const struct digest *digest)
{
    struct subject s = {.tag = tag ? tag : ""};
    if (digest)
        s.digest = *digest;
    return s;
}

// What a lock of it must be above. ERR_NOTFOUND: it does not live.
static int voids_read(struct tx *tx, int64_t repo, const struct subject *s, uint64_t *out)
{
    struct tag_now t;
    struct manifest_now m;
    int rc = 0;
    *out = 0;
    if (*s->tag) {
        rc = tag_look(tx, repo, s->tag, &t);
        if (!rc && !t.live)
            rc = ERR_NOTFOUND;
        if (!rc)
            rc = manifest_look(tx, repo, &t.value.value.digest, &m);
        if (!rc)
            *out = stamp_max(t.ended, m.killed);
        return rc;
    }
    if (!s->digest.n)
        return 0;
    rc = manifest_look(tx, repo, &s->digest, &m);
    if (rc)
        return rc;
    *out = m.killed;
    return m.live ? 0 : ERR_NOTFOUND;
}

static enum entry_kind kind_of(const struct subject *s)
{
    if (*s->tag)
        return ENTRY_TAG_LOCK;
    if (s->digest.n)
        return ENTRY_MANIFEST_LOCK;
    return ENTRY_REPOSITORY_LOCK;
}

static int lock_mint(struct tx *tx, struct locking *l, int64_t repo, uint64_t above)
{
    struct feed_entry e = {.kind = kind_of(&l->subject),
                           .registry = l->r->registry,
                           .repository = l->r->repository,
                           .tag = l->subject.tag,
                           .digest = l->subject.digest,
                           .media_type = "",
                           .lock_write = l->r->write,
                           .lock_delete = l->r->del,
                           .by = l->r->by};
    struct digest missing;
    int64_t id;
    int rc = feed_mint(l->m, tx, above, (struct bytes){0}, &e, &id);
    if (rc)
        return rc;
    assert(e.stamp > above);
    l->stamp = e.stamp;
    return merge_lock(tx, repo, &e, &missing);
}

static int lock_run(struct tx *tx, void *arg)
{
    struct locking *l = arg;
    struct lock_facts is;
    uint64_t voids;
    int64_t repo;
    int rc = repo_find(tx, l->r->registry, l->r->repository, &repo);
    if (!rc)
        rc = repository_frozen(tx, l->r->registry, l->r->repository);
    if (!rc)
        rc = voids_read(tx, repo, &l->subject, &voids);
    if (!rc)
        rc = lock_read(tx, repo, &l->subject, &is);
    if (rc)
        return rc;
    bool valid = lock_valid(&is, voids);
    l->stamp = valid ? is.stamp : 0;
    if ((is.write && valid) == l->r->write && (is.del && valid) == l->r->del)
        return 0;
    return lock_mint(tx, l, repo, stamp_max(is.stamp, voids));
}

int meta_lock_set(struct meta *m, const struct lock_request *r, uint64_t *out_stamp)
{
    struct locking l = {.m = m, .r = r, .subject = subject_named(r->tag, r->digest)};
    if (!entry_repository_ok(r->repository) || (r->tag && r->digest))
        return ERR_INVAL;
    if (r->tag && !entry_tag_ok(r->tag))
        return ERR_INVAL;
    int rc = meta_write(m, lock_run, &l, true);
    if (!rc)
        *out_stamp = l.stamp;
    return rc;
}

// --- reading ---

static int lock_state_read(struct tx *tx, int64_t repo, const struct subject *s, uint64_t voids,
                           struct arena *a, struct lock_state *out)
{
    struct lock_now l;
    struct lock_state state = {.origin = "", .by = ""};
    int rc = lock_get(tx, repo, s, &l);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (!rc && l.value.value.stamp > voids) {
        state = (struct lock_state){.write = l.write,
                                    .del = l.del,
                                    .stamp = l.value.value.stamp,
                                    .origin = arena_strdup(a, l.value.origin),
                                    .by = arena_strdup(a, l.by)};
        if (!state.origin || !state.by)
            return ERR_NOMEM;
    }
    *out = state;
    return 0;
}

int meta_lock_get(struct meta *m, const char *registry, const char *repository, const char *tag,
                  const struct digest *digest, struct arena *a, struct lock_state *out)
{
    struct tx *tx;
    struct subject s = subject_named(tag, digest);
    uint64_t voids;
    int64_t repo;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    rc = repo_find(tx, registry, repository, &repo);
    if (!rc)
        rc = voids_read(tx, repo, &s, &voids);
    if (!rc)
        rc = lock_state_read(tx, repo, &s, voids, a, out);
    tx_end(tx);
    return rc;
}
