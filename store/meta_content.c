// SPDX-License-Identifier: Apache-2.0
// Content of manifests that are recorded without it; see meta_jobs.h. Any thread.
#include "store/meta_jobs.h"

#include "base/err.h"
#include "store/kind_rules.h"
#include "store/meta_merge.h"

#include <stdio.h>
#include <string.h>

// --- what lacks ---

bool meta_content_lacks(struct meta *m, const char *registry, const char *repository,
                        const struct digest *digest, char out_media_type[MEDIA_TYPE_SIZE])
{
    struct tx *tx;
    struct manifest_now now;
    int64_t repo;
    if (backend_read(m->b, &tx))
        return false;
    int rc = repo_find(tx, registry, repository, &repo);
    if (!rc)
        rc = manifest_look(tx, repo, digest, &now);
    tx_end(tx);
    if (rc || now.here || !*now.media_type)
        return false;
    if (out_media_type)
        memcpy(out_media_type, now.media_type, MEDIA_TYPE_SIZE);
    return true;
}

int meta_manifest_content(struct meta *m, const char *registry, const char *repository,
                          const struct digest *digest, struct arena *a, struct bytes *out,
                          const char **out_media_type)
{
    struct tx *tx;
    struct manifest_now now;
    struct bytes content;
    int64_t repo;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    rc = repo_find(tx, registry, repository, &repo);
    if (!rc)
        rc = manifest_look(tx, repo, digest, &now);
    if (!rc)
        rc = manifest_content(tx, registry, repository, digest, a, &content);
    tx_end(tx);
    if (rc)
        return rc;
    *out_media_type = arena_strdup(a, now.media_type);
    if (!*out_media_type)
        return ERR_NOMEM;
    *out = content;
    return 0;
}

int meta_apply_needs(struct meta *m, const struct feed_entry *e, enum meta_needs *out)
{
    struct tx *tx;
    int64_t repo;
    bool needs = false;
    *out = META_NEEDS_NOTHING;
    if (!entry_has(e, ENTRY_HAS_CONTENT))
        return 0;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    rc = repo_find(tx, e->registry, e->repository, &repo);
    if (rc == ERR_NOTFOUND) {
        rc = 0;
        needs = true;
    } else if (!rc)
        rc = manifest_needs(tx, repo, e, &needs);
    tx_end(tx);
    if (!rc && needs)
        *out = META_NEEDS_CONTENT;
    return rc;
}

// --- and comes ---

static bool is_content_of(struct bytes content, const struct digest *digest)
{
    struct digest d;
    return !digest_of((enum digest_alg)digest->alg, content.p, content.n, &d) &&
           digest_equal(&d, digest);
}

struct content_add {
    const char *registry, *repository;
    const struct digest *digest;
    const char *media_type;
    struct manifest_with with;
    struct digest missing;
};

// It is dead: nobody asks for its blobs to be linked. But they are here, as of all content.
static int content_add_run(struct tx *tx, void *arg)
{
    struct content_add *c = arg;
    struct manifest_now m;
    int64_t repo;
    bool there;
    int rc = repo_make(tx, c->registry, c->repository, &repo);
    if (!rc)
        rc = manifest_read(tx, repo, c->digest, &m, &there);
    if (rc || m.here)
        return rc;
    if (!*m.media_type && !c->media_type)
        return ERR_INVAL;
    if (!*m.media_type)
        snprintf(m.media_type, sizeof m.media_type, "%s", c->media_type);
    const struct refs_how how = {.recorded = true, .absent = m.absent, .n_absent = m.n_absent};
    rc = refs_check(tx, repo, c->with.refs, c->with.n_refs, &how, &c->missing);
    if (rc)
        return rc;
    m.died_ms = clock_wall_ms();
    rc = manifest_save(tx, repo, &m, c->with.content);
    if (rc)
        return rc;
    rc = refs_add(tx, repo, c->digest, c->with.refs, c->with.n_refs, m.absent, m.n_absent);
    if (rc)
        return rc;
    return jobs_wake_for(tx, c->registry, c->repository, c->digest,
                         kinds_that_wait(KIND_WAITS_FOR_DIGEST));
}

int meta_manifest_content_add(struct meta *m, const char *registry, const char *repository,
                              const struct digest *digest, const char *media_type,
                              struct bytes content, const struct manifest_ref *refs, size_t n_refs,
                              struct digest *out_missing)
{
    struct content_add c = {.registry = registry,
                            .repository = repository,
                            .digest = digest,
                            .media_type = media_type,
                            .with = {content, refs, n_refs}};
    if (!content.n || (media_type && !media_type_ok(media_type)))
        return ERR_INVAL;
    if (!is_content_of(content, digest))
        return ERR_DIGEST;
    int rc = meta_write(m, content_add_run, &c, false);
    if (rc == ERR_NOTFOUND && out_missing)
        *out_missing = c.missing;
    return rc;
}

// --- and is mended ---

struct content_mend {
    const char *registry, *repository;
    const struct digest *digest;
    struct bytes content;
    struct arena a;
};

static int content_mend_run(struct tx *tx, void *arg)
{
    struct content_mend *c = arg;
    struct manifest_now m;
    struct bytes is;
    int64_t repo;
    bool there;
    int rc = repo_find(tx, c->registry, c->repository, &repo);
    if (!rc)
        rc = manifest_read(tx, repo, c->digest, &m, &there);
    if (!rc && (!there || !m.here))
        rc = ERR_NOTFOUND;
    if (!rc)
        rc = manifest_content(tx, c->registry, c->repository, c->digest, &c->a, &is);
    if (rc || is_content_of(is, c->digest))
        return rc;
    return manifest_save(tx, repo, &m, c->content);
}

int meta_manifest_content_mend(struct meta *m, const char *registry, const char *repository,
                               const struct digest *digest, struct bytes content)
{
    struct content_mend c = {
        .registry = registry, .repository = repository, .digest = digest, .content = content};
    if (!content.n || !is_content_of(content, digest))
        return ERR_DIGEST;
    arena_init(&c.a, 64 << 20);
    int rc = meta_write(m, content_mend_run, &c, false);
    arena_done(&c.a);
    return rc;
}
