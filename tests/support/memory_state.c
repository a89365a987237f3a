// SPDX-License-Identifier: Apache-2.0
// What clients see, in memory; see store/backend_state.h.
#include "tests/support/memory_tables.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- repositories ---

static int repo_find_row(struct tx *tx, const char *registry, const char *repository,
                         int64_t *out_id)
{
    int64_t id = repo_id(tx, registry, repository);
    if (!id)
        return ERR_NOTFOUND;
    *out_id = id;
    return 0;
}

static int repo_make_row(struct tx *tx, const char *registry, const char *repository,
                         int64_t *out_id)
{
    int rc = repo_find_row(tx, registry, repository, out_id);
    if (rc != ERR_NOTFOUND)
        return rc;
    struct m_own own = own_row(tx);
    struct m_repo r = {registry, repository, ++own.repo_id};
    rc = row_put(tx, T_OWN, &own);
    if (!rc)
        rc = row_put(tx, T_REPOS, &r);
    if (!rc)
        *out_id = r.id;
    return rc;
}

static const struct m_manifest *manifest_at(struct tx *tx, int64_t repo, const struct digest *d)
{
    return row_find(tx, T_MANIFESTS, &(struct m_manifest){.repo = repo, .digest = *d});
}

static bool has_manifest(struct tx *tx, int64_t repo)
{
    size_t i = row_lower(tx, T_MANIFESTS, &(struct m_manifest){.repo = repo});
    if (i == row_count(tx, T_MANIFESTS))
        return false;
    return ((const struct m_manifest *)row_at(tx, T_MANIFESTS, i))->repo == repo;
}

static int repos_list_rows(struct tx *tx, const char *registry, const char *after, size_t max,
                           struct arena *a, const char ***out, size_t *out_n)
{
    size_t n = 0;
    const char **list = arena_array(a, row_count(tx, T_REPOS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_REPOS, struct m_repo, r)
    {
        if (n == max || strcmp(r->registry, registry) != 0 || strcmp(r->name, after) <= 0)
            continue;
        if (!has_manifest(tx, r->id))
            continue;
        int rc = text_out(a, r->name, &list[n]);
        if (rc)
            return rc;
        n++;
    }
    *out = list;
    *out_n = n;
    return 0;
}

// --- manifests ---

static int manifest_visible_row(struct tx *tx, int64_t repo, const struct digest *d)
{
    return manifest_at(tx, repo, d) ? 0 : ERR_NOTFOUND;
}

static int presence_get_row(struct tx *tx, int64_t repo, const struct digest *d,
                            struct register_now *out, char out_media_type[MEDIA_TYPE_SIZE])
{
    const struct m_manifest *m = manifest_at(tx, repo, d);
    if (!m)
        return ERR_NOTFOUND;
    snprintf(out->origin, sizeof out->origin, "%s", m->origin);
    out->value = (struct register_value){m->stamp, out->origin, m->epoch, m->digest};
    if (out_media_type)
        snprintf(out_media_type, MEDIA_TYPE_SIZE, "%s", m->media_type);
    return 0;
}

static int presence_set_row(struct tx *tx, int64_t repo, const struct register_value *v,
                            const char *media_type)
{
    const struct m_manifest *is = manifest_at(tx, repo, &v->digest);
    if (!is)
        return 0;
    struct m_manifest m = *is;
    m.stamp = v->stamp;
    m.epoch = v->epoch;
    m.origin = v->origin;
    if (media_type)
        m.media_type = media_type;
    return row_put(tx, T_MANIFESTS, &m);
}

static int manifest_add_row(struct tx *tx, int64_t repo, const struct register_value *v,
                            const struct manifest_new *m)
{
    if (manifest_at(tx, repo, &v->digest))
        return ERR_CONFLICT;
    return row_put(tx, T_MANIFESTS,
                   &(struct m_manifest){.repo = repo,
                                        .digest = v->digest,
                                        .media_type = m->media_type,
                                        .origin = v->origin,
                                        .content = m->content,
                                        .stamp = v->stamp,
                                        .epoch = v->epoch});
}

static int bytes_out(struct arena *a, struct bytes b, struct bytes *out)
{
    *out = (struct bytes){0};
    if (!b.n)
        return 0;
    void *copy = arena_copy(a, b.p, b.n);
    if (!copy)
        return ERR_NOMEM;
    *out = bytes_of(copy, b.n);
    return 0;
}

static const struct m_tag *tag_at(struct tx *tx, int64_t repo, const char *tag)
{
    return row_find(tx, T_TAGS, &(struct m_tag){.repo = repo, .tag = tag});
}

static int manifest_get_row(struct tx *tx, const char *registry, const char *repository,
                            const char *tag, const struct digest *d, struct arena *a,
                            struct manifest_row *out)
{
    int64_t repo = repo_id(tx, registry, repository);
    const struct m_tag *t = tag ? tag_at(tx, repo, tag) : NULL;
    if (tag && !t)
        return ERR_NOTFOUND;
    const struct m_manifest *m = manifest_at(tx, repo, t ? &t->digest : d);
    if (!m)
        return ERR_NOTFOUND;
    struct manifest_row r = {
        .digest = m->digest, .stamp = t ? t->stamp : m->stamp, .epoch = t ? t->epoch : m->epoch};
    int rc = text_out(a, m->media_type, &r.media_type);
    if (!rc)
        rc = text_out(a, t ? t->origin : m->origin, &r.origin);
    if (!rc)
        rc = bytes_out(a, m->content, &r.content);
    if (!rc)
        *out = r;
    return rc;
}

static int manifest_content_row(struct tx *tx, const char *registry, const char *repository,
                                const struct digest *d, struct arena *a, struct bytes *out)
{
    const struct m_manifest *m = manifest_at(tx, repo_id(tx, registry, repository), d);
    if (!m)
        return ERR_NOTFOUND;
    return bytes_out(a, m->content, out);
}

static int refs_add_rows(struct tx *tx, int64_t repo, const struct digest *parent,
                         const struct manifest_ref *refs, size_t n)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++)
        rc = row_put(tx, T_REFS, &(struct m_ref){repo, *parent, refs[i].digest, (int)refs[i].kind});
    return rc;
}

static bool blob_is_linked(struct tx *tx, int64_t repo, const struct digest *d)
{
    return row_find(tx, T_LINKS, &(struct m_link){.repo = repo, .digest = *d});
}

static bool ref_is_there(struct tx *tx, int64_t repo, const struct manifest_ref *ref)
{
    if (ref->kind == REF_BLOB)
        return blob_is_linked(tx, repo, &ref->digest);
    if (ref->kind == REF_MANIFEST)
        return manifest_at(tx, repo, &ref->digest);
    return true;
}

static int refs_check_rows(struct tx *tx, int64_t repo, const struct manifest_ref *refs, size_t n,
                           struct digest *out_missing)
{
    for (size_t i = 0; i < n; i++)
        if (!ref_is_there(tx, repo, &refs[i])) {
            *out_missing = refs[i].digest;
            return ERR_NOTFOUND;
        }
    return 0;
}

// --- what is below a manifest ---

struct below {
    struct tx *tx;
    int64_t repo;
    const struct log_assertion *by;
    struct arena *a;
    struct unasserted_row *list;
    int *depths;
    size_t n, cap;
};

static int below_add(struct below *b, const struct m_manifest *m, int depth)
{
    for (size_t i = 0; i < b->n; i++)
        if (digest_equal(&b->list[i].digest, &m->digest)) {
            if (b->depths[i] < depth)
                b->depths[i] = depth;
            return 0;
        }
    struct unasserted_row row = {.digest = m->digest, .size = m->content.n, .stamp = m->stamp};
    int rc = text_out(b->a, m->media_type, &row.media_type);
    if (rc)
        return rc;
    b->list[b->n] = row;
    b->depths[b->n++] = depth;
    return 0;
}

static int below_walk(struct below *b, const struct digest *parent, int depth, int max_depth)
{
    if (depth == max_depth)
        return 0;
    EACH_ROW(b->tx, T_REFS, struct m_ref, r)
    {
        if (r->repo != b->repo || r->kind != REF_MANIFEST || !digest_equal(&r->parent, parent))
            continue;
        if (log_own_asserts(b->tx, b->by, &r->child) == 0)
            continue;
        const struct m_manifest *m = manifest_at(b->tx, b->repo, &r->child);
        int rc = m ? below_add(b, m, depth + 1) : 0;
        if (!rc)
            rc = below_walk(b, &r->child, depth + 1, max_depth);
        if (rc)
            return rc;
    }
    return 0;
}

// The deepest first; few rows.
static void below_sort(struct below *b)
{
    for (size_t i = 1; i < b->n; i++)
        for (size_t j = i; j && b->depths[j] > b->depths[j - 1]; j--) {
            struct unasserted_row row = b->list[j];
            int depth = b->depths[j];
            b->list[j] = b->list[j - 1];
            b->depths[j] = b->depths[j - 1];
            b->list[j - 1] = row;
            b->depths[j - 1] = depth;
        }
}

static int unasserted_below_rows(struct tx *tx, int64_t repo, const struct digest *parent,
                                 int max_depth, const struct log_assertion *by, struct arena *a,
                                 struct unasserted_row **out, size_t *out_n)
{
    size_t cap = row_count(tx, T_MANIFESTS) + 1;
    struct below b = {.tx = tx, .repo = repo, .by = by, .a = a};
    b.list = arena_array(a, cap, sizeof *b.list);
    b.depths = arena_array(a, cap, sizeof *b.depths);
    if (!b.list || !b.depths)
        return ERR_NOMEM;
    int rc = below_walk(&b, parent, 0, max_depth);
    if (rc)
        return rc;
    below_sort(&b);
    *out = b.list;
    *out_n = b.n;
    return 0;
}

static int manifest_reached_row(struct tx *tx, int64_t repo, const struct digest *d)
{
    EACH_ROW(tx, T_TAGS, struct m_tag, t)
    if (t->repo == repo && digest_equal(&t->digest, d))
        return 0;
    EACH_ROW(tx, T_REFS, struct m_ref, r)
    if (r->repo == repo && r->kind == REF_MANIFEST && digest_equal(&r->child, d) &&
        manifest_at(tx, repo, &r->parent))
        return 0;
    return ERR_NOTFOUND;
}

static int manifest_children_rows(struct tx *tx, int64_t repo, const struct digest *d,
                                  struct arena *a, struct digest **out, size_t *out_n)
{
    size_t n = 0;
    struct digest *list = arena_array(a, row_count(tx, T_REFS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_REFS, struct m_ref, r)
    if (r->repo == repo && r->kind == REF_MANIFEST && digest_equal(&r->parent, d))
        list[n++] = r->child;
    *out = list;
    *out_n = n;
    return 0;
}

static int manifest_remove_row(struct tx *tx, int64_t repo, const struct digest *d)
{
    int rc = row_remove(tx, T_MANIFESTS, &(struct m_manifest){.repo = repo, .digest = *d});
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    for (size_t i = row_count(tx, T_REFS); i-- > 0;) {
        const struct m_ref *r = row_at(tx, T_REFS, i);
        if (r->repo != repo || !digest_equal(&r->parent, d))
            continue;
        rc = row_remove_at(tx, T_REFS, i);
        if (rc)
            return rc;
    }
    return 0;
}

static int manifest_size_row(struct tx *tx, int64_t repo, const struct digest *d,
                             uint64_t *out_size)
{
    const struct m_manifest *m = manifest_at(tx, repo, d);
    if (!m)
        return ERR_NOTFOUND;
    *out_size = m->content.n;
    return 0;
}

const struct state_ops memory_state_ops = {
    .repo_find = repo_find_row,
    .repo_make = repo_make_row,
    .repos_list = repos_list_rows,
    .manifest_visible = manifest_visible_row,
    .presence_get = presence_get_row,
    .presence_set = presence_set_row,
    .manifest_add = manifest_add_row,
    .manifest_get = manifest_get_row,
    .manifest_content = manifest_content_row,
    .refs_add = refs_add_rows,
    .refs_check = refs_check_rows,
    .unasserted_below = unasserted_below_rows,
    .manifest_reached = manifest_reached_row,
    .manifest_children = manifest_children_rows,
    .manifest_remove = manifest_remove_row,
    .referrers = memory_referrers,
    .manifest_size = manifest_size_row,
};
