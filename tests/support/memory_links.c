// SPDX-License-Identifier: Apache-2.0
// Holds, blobs and usage, in memory; see store/backend_links.h.
#include "tests/support/memory_tables.h"

#include "base/err.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct m_repo *repo_of(struct tx *tx, int64_t id)
{
    EACH_ROW(tx, T_REPOS, struct m_repo, r)
    if (r->id == id)
        return r;
    return NULL;
}

static const struct m_link *link_at(struct tx *tx, int64_t repo, const struct digest *d)
{
    return row_find(tx, T_LINKS, &(struct m_link){.repo = repo, .digest = *d});
}

static const struct m_blob *blob_at(struct tx *tx, const struct digest *d)
{
    return row_find(tx, T_BLOBS, &(struct m_blob){.digest = *d});
}

// --- what a repository has ---

static int here_out(struct tx *tx, const struct m_link *l, struct blob_here *out,
                    int64_t *out_since_ms)
{
    const struct m_blob *b = blob_at(tx, &l->digest);
    if (!b)
        return ERR_NOTFOUND;
    *out =
        (struct blob_here){.name = b->row.name, .size = b->row.size, .linked = l->hold.n_links > 0};
    *out_since_ms = l->hold.since_ms;
    return 0;
}

static int look(struct tx *tx, const char *registry, const char *repository, const struct digest *d,
                struct blob_here *out, int64_t *out_since_ms)
{
    const struct m_link *l = link_at(tx, repo_id(tx, registry, repository), d);
    if (!l)
        return ERR_NOTFOUND;
    return here_out(tx, l, out, out_since_ms);
}

static int look_any(struct tx *tx, const char *registry, const struct digest *d,
                    bool (*may)(void *ctx, const char *repository), void *ctx,
                    struct blob_here *out, int64_t *out_since_ms)
{
    EACH_ROW(tx, T_LINKS, struct m_link, l)
    {
        if (!digest_equal(&l->digest, d))
            continue;
        const struct m_repo *r = repo_of(tx, l->repo);
        if (strcmp(r->registry, registry) != 0 || !may(ctx, r->name))
            continue;
        return here_out(tx, l, out, out_since_ms);
    }
    return ERR_NOTFOUND;
}

static int links_of_rows(struct tx *tx, const struct digest *d, size_t max, struct arena *a,
                         struct link_row **out, size_t *out_n)
{
    size_t n = 0;
    struct link_row *list = arena_array(a, row_count(tx, T_LINKS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_LINKS, struct m_link, l)
    {
        if (n == max || !digest_equal(&l->digest, d))
            continue;
        const struct m_repo *r = repo_of(tx, l->repo);
        list[n].size = l->hold.size;
        int rc = text_out(a, r->registry, &list[n].registry);
        if (!rc)
            rc = text_out(a, r->name, &list[n].repository);
        if (rc)
            return rc;
        n++;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static int hold_get_row(struct tx *tx, int64_t repo, const struct digest *d, struct hold *out)
{
    const struct m_link *l = link_at(tx, repo, d);
    if (!l)
        return ERR_NOTFOUND;
    *out = l->hold;
    return 0;
}

static int lease_set_row(struct tx *tx, int64_t repo, const struct digest *d, uint64_t size,
                         int64_t since_ms, const char *peer)
{
    const struct m_link *is = link_at(tx, repo, d);
    struct m_link l = {.repo = repo, .digest = *d, .hold.size = size};
    if (size > INT64_MAX)
        return ERR_TOOBIG;
    if (is)
        l = *is;
    l.hold.since_ms = since_ms;
    snprintf(l.hold.peer, sizeof l.hold.peer, "%s", peer);
    return row_put(tx, T_LINKS, &l);
}

static int hold_remove_row(struct tx *tx, int64_t repo, const struct digest *d)
{
    return row_remove(tx, T_LINKS, &(struct m_link){.repo = repo, .digest = *d});
}

static int held_in_registry_row(struct tx *tx, int64_t repo, const struct digest *d)
{
    const struct m_repo *own = repo_of(tx, repo);
    EACH_ROW(tx, T_LINKS, struct m_link, l)
    {
        if (l->repo == repo || !digest_equal(&l->digest, d))
            continue;
        if (strcmp(repo_of(tx, l->repo)->registry, own->registry) == 0)
            return 0;
    }
    return ERR_NOTFOUND;
}

static int held_row(struct tx *tx, const struct digest *d)
{
    EACH_ROW(tx, T_LINKS, struct m_link, l)
    if (digest_equal(&l->digest, d))
        return 0;
    return ERR_NOTFOUND;
}

static bool refers_to_blob(const struct m_ref *r, int64_t repo, const struct digest *manifest)
{
    return r->repo == repo && r->kind == REF_BLOB && digest_equal(&r->parent, manifest);
}

static int links_count_rows(struct tx *tx, int64_t repo, const struct digest *manifest,
                            struct digest *out_missing)
{
    EACH_ROW(tx, T_REFS, struct m_ref, r)
    if (refers_to_blob(r, repo, manifest) && !link_at(tx, repo, &r->child)) {
        *out_missing = r->child;
        return ERR_NOTFOUND;
    }
    EACH_ROW(tx, T_REFS, struct m_ref, r)
    {
        if (!refers_to_blob(r, repo, manifest))
            continue;
        struct m_link l = *link_at(tx, repo, &r->child);
        l.hold.n_links++;
        l.hold.peer[0] = '\0';
        int rc = row_put(tx, T_LINKS, &l);
        if (rc)
            return rc;
    }
    return 0;
}

static int links_uncount_rows(struct tx *tx, int64_t repo, const struct digest *manifest,
                              int64_t now_ms)
{
    EACH_ROW(tx, T_REFS, struct m_ref, r)
    {
        const struct m_link *is = NULL;
        if (refers_to_blob(r, repo, manifest))
            is = link_at(tx, repo, &r->child);
        if (!is || !is->hold.n_links)
            continue;
        struct m_link l = *is;
        l.hold.n_links--;
        l.hold.since_ms = now_ms;
        int rc = row_put(tx, T_LINKS, &l);
        if (rc)
            return rc;
    }
    return 0;
}

static int lease_out(struct tx *tx, const struct m_link *l, struct arena *a, struct hold_row *out)
{
    const struct m_repo *r = repo_of(tx, l->repo);
    *out = (struct hold_row){.repo = l->repo, .digest = l->digest, .hold = l->hold};
    out->place = (struct lease_place){0, l->hold.since_ms, l->repo, l->digest};
    int rc = text_out(a, r->registry, &out->registry);
    if (rc)
        return rc;
    return text_out(a, r->name, &out->repository);
}

static int leases_before_rows(struct tx *tx, int64_t before_ms, size_t max, struct arena *a,
                              struct hold_row **out, size_t *out_n)
{
    size_t n = 0;
    struct hold_row *list = arena_array(a, row_count(tx, T_LINKS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_LINKS, struct m_link, l)
    {
        if (n == max || l->hold.n_links || l->hold.since_ms >= before_ms)
            continue;
        int rc = lease_out(tx, l, a, &list[n]);
        if (rc)
            return rc;
        n++;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static int place_cmp(const struct lease_place *a, const struct lease_place *b)
{
    if (a->since_ms != b->since_ms)
        return a->since_ms < b->since_ms ? -1 : 1;
    if (a->repo != b->repo)
        return a->repo < b->repo ? -1 : 1;
    return digest_cmp(&a->digest, &b->digest);
}

// The lease that follows a place. NULL: none.
static const struct m_link *lease_next(struct tx *tx, const char *registry,
                                       const struct lease_place *after)
{
    const struct m_link *next = NULL;
    struct lease_place at = {0};
    EACH_ROW(tx, T_LINKS, struct m_link, l)
    {
        const struct lease_place p = {0, l->hold.since_ms, l->repo, l->digest};
        if (l->hold.n_links || (after && place_cmp(&p, after) <= 0))
            continue;
        if (registry && strcmp(repo_of(tx, l->repo)->registry, registry) != 0)
            continue;
        if (next && place_cmp(&p, &at) >= 0)
            continue;
        next = l;
        at = p;
    }
    return next;
}

static int leases_after_rows(struct tx *tx, const char *registry, const struct lease_place *after,
                             size_t max, struct arena *a, struct hold_row **out, size_t *out_n)
{
    size_t n = 0;
    const struct m_link *l;
    struct hold_row *list = arena_array(a, row_count(tx, T_LINKS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    while (n < max && (l = lease_next(tx, registry, after))) {
        int rc = lease_out(tx, l, a, &list[n]);
        if (rc)
            return rc;
        after = &list[n++].place;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static bool held_by(struct tx *tx, const struct digest *d, const char *registry, bool by_others)
{
    EACH_ROW(tx, T_LINKS, struct m_link, l)
    {
        bool same = strcmp(repo_of(tx, l->repo)->registry, registry) == 0;
        if (digest_equal(&l->digest, d) && same != by_others)
            return true;
    }
    return false;
}

static int space_of(struct tx *tx, const char *registry, struct arena *a, struct space_row *out)
{
    *out = (struct space_row){0};
    EACH_ROW(tx, T_BLOBS, struct m_blob, b)
    {
        if (!held_by(tx, &b->digest, registry, false))
            continue;
        out->bytes += b->row.size;
        if (!held_by(tx, &b->digest, registry, true))
            out->own_bytes += b->row.size;
    }
    return text_out(a, registry, &out->registry);
}

static int space_rows(struct tx *tx, struct arena *a, struct space_sums *out_sums,
                      struct space_row **out, size_t *out_n)
{
    struct space_sums sums = {0};
    struct space_row *list = arena_array(a, row_count(tx, T_REPOS) + 1, sizeof *list);
    size_t n = 0;
    uint64_t own = 0;
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_BLOBS, struct m_blob, b)
    {
        sums.bytes += b->row.size;
        sums.blobs++;
        if (b->row.state != BLOB_LIVE)
            sums.free_bytes += b->row.size;
    }
    EACH_ROW(tx, T_REPOS, struct m_repo, r)
    {
        if (n && strcmp(list[n - 1].registry, r->registry) == 0)
            continue;
        int rc = space_of(tx, r->registry, a, &list[n]);
        if (rc)
            return rc;
        own += list[n].own_bytes;
        if (list[n].bytes)
            n++;
    }
    sums.shared_bytes = sums.bytes - sums.free_bytes - own;
    *out_sums = sums;
    *out = list;
    *out_n = n;
    return 0;
}

// --- blobs ---

static int blob_get_row(struct tx *tx, const struct digest *d, struct blob_row *out)
{
    const struct m_blob *b = blob_at(tx, d);
    if (!b)
        return ERR_NOTFOUND;
    *out = b->row;
    return 0;
}

static int blob_set_row(struct tx *tx, const struct blob_row *row)
{
    if (row->size > INT64_MAX)
        return ERR_TOOBIG;
    return row_put(tx, T_BLOBS, &(struct m_blob){row->name.digest, *row});
}

static int blob_remove_row(struct tx *tx, const struct digest *d)
{
    return row_remove(tx, T_BLOBS, &(struct m_blob){.digest = *d});
}

static int blobs_in_rows(struct tx *tx, enum blob_state state, int64_t before_ms, size_t max,
                         struct arena *a, struct blob_row **out, size_t *out_n)
{
    size_t n = 0;
    struct blob_row *list = arena_array(a, row_count(tx, T_BLOBS) + 1, sizeof *list);
    assert(state != BLOB_LIVE);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_BLOBS, struct m_blob, b)
    {
        if (n == max || b->row.state != state || b->row.since_ms >= before_ms)
            continue;
        list[n++] = b->row;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static int blobs_after_rows(struct tx *tx, const struct digest *after, size_t max, struct arena *a,
                            struct blob_row **out, size_t *out_n)
{
    size_t n = 0;
    struct blob_row *list = arena_array(a, row_count(tx, T_BLOBS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_BLOBS, struct m_blob, b)
    {
        if (n == max || (after && digest_cmp(&b->digest, after) <= 0))
            continue;
        list[n++] = b->row;
    }
    *out = list;
    *out_n = n;
    return 0;
}

// --- pulls ---

static const struct m_pulled *pulled_at(struct tx *tx, int64_t repo, const struct digest *d)
{
    return row_find(tx, T_PULLED, &(struct m_pulled){.repo = repo, .digest = *d});
}

static int pulled_set_row(struct tx *tx, int64_t repo, const struct digest *d, int64_t wall_ms)
{
    const struct m_pulled *is = pulled_at(tx, repo, d);
    if (!row_find(tx, T_MANIFESTS, &(struct m_manifest){.repo = repo, .digest = *d}))
        return ERR_NOTFOUND;
    if (is && is->at_ms > wall_ms)
        return 0;
    return row_put(tx, T_PULLED, &(struct m_pulled){repo, *d, wall_ms});
}

static int pulled_get_row(struct tx *tx, int64_t repo, const struct digest *d, int64_t *out_wall_ms)
{
    const struct m_pulled *is = pulled_at(tx, repo, d);
    if (!is)
        return ERR_NOTFOUND;
    *out_wall_ms = is->at_ms;
    return 0;
}

static int pulled_remove_row(struct tx *tx, int64_t repo, const struct digest *d)
{
    int rc = row_remove(tx, T_PULLED, &(struct m_pulled){.repo = repo, .digest = *d});
    return rc == ERR_NOTFOUND ? 0 : rc;
}

// --- usage ---

static struct usage usage_at(struct tx *tx, const char *registry, int64_t repo)
{
    const struct m_usage *u =
        row_find(tx, T_USAGE, &(struct m_usage){.registry = registry, .repo = repo});
    return u ? u->usage : (struct usage){0};
}

static int usage_move(struct tx *tx, const char *registry, int64_t repo, struct usage delta)
{
    struct usage u = usage_at(tx, registry, repo);
    u.bytes += delta.bytes;
    u.blobs += delta.blobs;
    u.manifests += delta.manifests;
    u.tags += delta.tags;
    return row_put(tx, T_USAGE, &(struct m_usage){registry, repo, u});
}

static int usage_add_row(struct tx *tx, int64_t repo, const struct usage_delta *d)
{
    const char *registry = repo_of(tx, repo)->registry;
    struct usage own = {(uint64_t)d->bytes, (uint64_t)d->blobs, (uint64_t)d->manifests,
                        (uint64_t)d->tags};
    struct usage all = own;
    all.bytes = (uint64_t)d->registry_bytes;
    all.blobs = (uint64_t)d->registry_blobs;
    int rc = usage_move(tx, registry, repo, own);
    if (rc)
        return rc;
    return usage_move(tx, registry, 0, all);
}

static int usage_get_row(struct tx *tx, const char *registry, const char *repository,
                         struct usage *out)
{
    int64_t repo = 0;
    if (repository)
        repo = repo_id(tx, registry, repository);
    if (repository && !repo) {
        *out = (struct usage){0};
        return 0;
    }
    *out = usage_at(tx, registry, repo);
    return 0;
}

static int usage_list_rows(struct tx *tx, const char *registry, const char *after, size_t max,
                           struct arena *a, struct usage_row **out, size_t *out_n)
{
    size_t n = 0;
    struct usage_row *list = arena_array(a, row_count(tx, T_REPOS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_REPOS, struct m_repo, r)
    {
        if (n == max || strcmp(r->registry, registry) != 0 || strcmp(r->name, after) <= 0)
            continue;
        if (!row_find(tx, T_USAGE, &(struct m_usage){.registry = registry, .repo = r->id}))
            continue;
        list[n].usage = usage_at(tx, registry, r->id);
        list[n].n_repositories = 1;
        int rc = text_out(a, r->name, &list[n].repository);
        if (!rc)
            rc = text_out(a, registry, &list[n].registry);
        if (rc)
            return rc;
        n++;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static int usage_registries_rows(struct tx *tx, struct arena *a, struct usage_row **out,
                                 size_t *out_n)
{
    size_t n = 0;
    struct usage_row *list = arena_array(a, row_count(tx, T_USAGE) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_USAGE, struct m_usage, u)
    {
        if (u->repo)
            continue;
        list[n] = (struct usage_row){.repository = "", .usage = u->usage};
        EACH_ROW(tx, T_REPOS, struct m_repo, r)
        if (strcmp(r->registry, u->registry) == 0)
            list[n].n_repositories++;
        int rc = text_out(a, u->registry, &list[n].registry);
        if (rc)
            return rc;
        n++;
    }
    *out = list;
    *out_n = n;
    return 0;
}

const struct link_ops memory_link_ops = {
    .look = look,
    .look_any = look_any,
    .links_of = links_of_rows,
    .hold_get = hold_get_row,
    .lease_set = lease_set_row,
    .hold_remove = hold_remove_row,
    .held_in_registry = held_in_registry_row,
    .held = held_row,
    .links_count = links_count_rows,
    .links_uncount = links_uncount_rows,
    .leases_before = leases_before_rows,
    .leases_after = leases_after_rows,
    .space = space_rows,
    .blob_get = blob_get_row,
    .blob_set = blob_set_row,
    .blob_remove = blob_remove_row,
    .blobs_in = blobs_in_rows,
    .blobs_after = blobs_after_rows,
    .pulled_set = pulled_set_row,
    .pulled_get = pulled_get_row,
    .pulled_remove = pulled_remove_row,
    .usage_add = usage_add_row,
    .usage_get = usage_get_row,
    .usage_list = usage_list_rows,
    .usage_registries = usage_registries_rows,
};
