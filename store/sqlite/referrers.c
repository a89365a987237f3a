// SPDX-License-Identifier: Apache-2.0
// Referrers of a manifest, in SQLite: the edges of kind REF_SUBJECT, by their index of children. See
// store/backend_state.h.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"

struct reading {
    struct db *d;
    sqlite3_stmt *st;
    const struct referrers_ask *ask;
    struct arena *a;
    struct referrers_page page;
    size_t cap, n_bytes;
};

static bool is_full(const struct reading *r)
{
    return r->page.n == r->ask->max || r->n_bytes > r->ask->max_bytes;
}

static int row_add(struct reading *r)
{
    if (r->page.n == r->cap)
        r->page.rows = db_grow(r->a, r->page.rows, r->page.n, &r->cap, sizeof *r->page.rows);
    if (!r->page.rows)
        return ERR_NOMEM;
    struct manifest_row *row = &r->page.rows[r->page.n];
    int rc = manifest_row_read(r->st, r->a, row);
    if (rc)
        return rc;
    r->n_bytes += row->content.n;
    r->page.n++;
    return 0;
}

static int rows_read(struct reading *r)
{
    int rc;
    while ((rc = db_step(r->d, r->st)) == 1) {
        if (is_full(r)) {
            r->page.more = true;
            db_end(r->st);
            return 0;
        }
        rc = row_add(r);
        if (rc) {
            db_end(r->st);
            return rc;
        }
    }
    return rc;
}

int sqlite_referrers(struct tx *tx, const struct referrers_ask *ask, struct arena *a,
                     struct referrers_page *out)
{
    static const struct digest first = {0}; // below every digest
    const struct digest *after = ask->after ? ask->after : &first;
    struct reading r = {.d = sqlite_tx_db(tx), .ask = ask, .a = a};
    int rc = db_start(
        r.d, &r.st,
        "SELECT m.digest,m.media_type,m.content,m.stamp,m.origin,m.epoch FROM "
        "repositories r JOIN manifest_refs x ON x.repo=r.id AND x.child=?3 AND x.kind=?4 "
        "AND x.parent>?5 JOIN manifests m ON m.repo=r.id AND m.digest=x.parent AND m.live=1"
        " WHERE r.registry=?1 AND r.name=?2 ORDER BY x.parent",
        "ssdnd", ask->registry, ask->repository, ask->subject, (int)REF_SUBJECT, after);
    if (rc)
        return rc;
    rc = rows_read(&r);
    if (!rc)
        *out = r.page;
    return rc;
}
