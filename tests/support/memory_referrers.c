// SPDX-License-Identifier: Apache-2.0
// Referrers of a manifest, in memory; see store/backend_state.h.
#include "tests/support/memory_tables.h"

#include "base/err.h"

static int row_out(struct arena *a, const struct m_manifest *m, struct manifest_row *out)
{
    struct manifest_row r = {.digest = m->digest, .stamp = m->stamp, .epoch = m->epoch};
    void *copy = arena_copy(a, m->content.p, m->content.n);
    if (!copy)
        return ERR_NOMEM;
    r.content = bytes_of(copy, m->content.n);
    int rc = text_out(a, m->media_type, &r.media_type);
    if (!rc)
        rc = text_out(a, m->origin, &r.origin);
    if (!rc)
        *out = r;
    return rc;
}

// The manifest of this edge, if it belongs to the answer.
static const struct m_manifest *referrer_of(struct tx *tx, const struct referrers_ask *ask,
                                            const struct m_ref *r, int64_t repo)
{
    if (r->repo != repo || r->kind != REF_SUBJECT || !digest_equal(&r->child, ask->subject))
        return NULL;
    if (ask->after && digest_cmp(&r->parent, ask->after) <= 0)
        return NULL;
    const struct m_manifest *m =
        row_find(tx, T_MANIFESTS, &(struct m_manifest){.repo = repo, .digest = r->parent});
    return m && m->live ? m : NULL;
}

// The table is sorted by parent.
int memory_referrers(struct tx *tx, const struct referrers_ask *ask, struct arena *a,
                     struct referrers_page *out)
{
    int64_t repo = repo_id(tx, ask->registry, ask->repository);
    struct referrers_page page = {0};
    size_t n_bytes = 0;
    page.rows = arena_array(a, row_count(tx, T_REFS) + 1, sizeof *page.rows);
    if (!page.rows)
        return ERR_NOMEM;
    EACH_ROW(tx, T_REFS, struct m_ref, r)
    {
        const struct m_manifest *m = referrer_of(tx, ask, r, repo);
        if (!m || page.more)
            continue;
        if (page.n == ask->max || n_bytes > ask->max_bytes) {
            page.more = true;
            continue;
        }
        int rc = row_out(a, m, &page.rows[page.n]);
        if (rc)
            return rc;
        n_bytes += page.rows[page.n++].content.n;
    }
    *out = page;
    return 0;
}
