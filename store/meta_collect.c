// SPDX-License-Identifier: Apache-2.0
// See meta_collect.h. Any thread.
#include "store/meta_collect.h"

#include "base/err.h"
#include "store/meta_delete.h"
#include "store/meta_priv.h"
#include "store/meta_unknown.h"

#include <assert.h>

#define DEAD_PAGE 100

static int64_t condemned_ms(struct meta *m)
{
    return meta_lease_grace(m) / META_CONDEMNED_PART;
}

// --- contents of dead manifests ---

static int died_due(struct meta *m, int64_t before_ms, bool *out)
{
    struct tx *tx;
    struct arena a;
    struct died_row *rows;
    size_t n = 0;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    arena_init(&a, 0);
    rc = manifests_died(tx, before_ms, 1, &a, &rows, &n);
    arena_done(&a);
    tx_end(tx);
    *out = n > 0;
    return rc;
}

int meta_collect_manifests(struct meta *m, size_t max, struct collect_counts *c)
{
    int64_t before_ms = clock_wall_ms() - meta_lease_grace(m);
    size_t n;
    bool due, more;
    int rc = died_due(m, before_ms, &due);
    if (rc || !due)
        return rc;
    rc = meta_dead_content_drop(m, before_ms, max, &n, &more);
    if (rc)
        return rc;
    c->n_manifests += n;
    c->more |= more;
    return 0;
}

// --- leases that are over ---

struct turn {
    struct meta *m;
    size_t max;
    struct collect_counts counts;
    // meta_collect_blobs
    struct arena *a;
    struct blob_name *names;
    size_t n;
};

static int blob_condemn(struct tx *tx, const struct digest *d, struct turn *t)
{
    struct blob_row row;
    int rc = blob_held(tx, d);
    if (rc != ERR_NOTFOUND)
        return rc;
    rc = blob_row_get(tx, d, &row);
    if (rc)
        return missing_ok(rc);
    row.state = BLOB_CONDEMNED;
    row.since_ms = clock_mono_ms();
    t->counts.n_condemned++;
    return blob_row_set(tx, &row);
}

// Content of a manifest that lives no more is kept only while all of its blobs are: what makes it
// live again may rely on them.
static int dead_contents_drop(struct tx *tx, const struct hold_row *row, struct turn *t)
{
    struct arena a;
    struct digest *list;
    size_t n = DEAD_PAGE;
    int rc = 0;
    while (!rc && n == DEAD_PAGE) {
        arena_init(&a, 0);
        rc = dead_parents(tx, row->repo, &row->digest, DEAD_PAGE, &a, &list, &n);
        for (size_t i = 0; !rc && i < n; i++) {
            rc = manifest_content_drop(tx, row->repo, &list[i]);
            t->counts.n_manifests++;
        }
        arena_done(&a);
    }
    return rc;
}

static int lease_end(struct tx *tx, const struct hold_row *row, struct turn *t)
{
    assert(!row->hold.n_links);
    int rc = dead_contents_drop(tx, row, t);
    if (!rc)
        rc = hold_drop(tx, row->repo, &row->digest, row->hold.size);
    if (rc)
        return rc;
    t->counts.n_leases++;
    return blob_condemn(tx, &row->digest, t);
}

// 3. It is looked at again after another grace.
static int lease_keep(struct tx *tx, const struct hold_row *row)
{
    return lease_set(tx, row->repo, &row->digest, row->hold.size, clock_mono_ms(), row->hold.peer);
}

static int lease_judge(struct tx *tx, const struct hold_row *row, struct turn *t)
{
    int rc = repository_frozen(tx, row->registry, row->repository);
    if (rc == ERR_FROZEN)
        return lease_keep(tx, row);
    if (rc)
        return rc;
    return lease_end(tx, row, t);
}

static int leases_in(struct tx *tx, struct turn *t, struct arena *a)
{
    struct hold_row *rows;
    size_t n;
    int64_t before_ms = clock_mono_ms() - meta_lease_grace(t->m);
    int rc = leases_before(tx, before_ms, t->max, a, &rows, &n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = lease_judge(tx, &rows[i], t);
    t->counts.more = n == t->max;
    return rc;
}

static int leases_run(struct tx *tx, void *arg)
{
    struct turn *t = arg;
    struct arena a;
    t->counts = (struct collect_counts){0};
    arena_init(&a, 0);
    int rc = leases_in(tx, t, &a);
    arena_done(&a);
    return rc;
}

static void counts_add(struct collect_counts *to, const struct collect_counts *c)
{
    to->n_manifests += c->n_manifests;
    to->n_leases += c->n_leases;
    to->n_condemned += c->n_condemned;
    to->n_deleted += c->n_deleted;
    to->more |= c->more;
}

// Is there anything to do? A region at rest writes nothing.
static int leases_due(struct meta *m, bool *out)
{
    struct tx *tx;
    struct arena a;
    struct hold_row *rows;
    size_t n = 0;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    arena_init(&a, 0);
    rc = leases_before(tx, clock_mono_ms() - meta_lease_grace(m), 1, &a, &rows, &n);
    arena_done(&a);
    tx_end(tx);
    *out = n > 0;
    return rc;
}

int meta_collect_leases(struct meta *m, size_t max, struct collect_counts *c)
{
    struct turn t = {.m = m, .max = max};
    bool due;
    int rc = leases_due(m, &due);
    if (rc || !due)
        return rc;
    rc = meta_write(m, leases_run, &t, false);
    if (!rc)
        counts_add(c, &t.counts);
    return rc;
}

// --- blobs ---

static int blob_delete(struct tx *tx, struct blob_row *row, struct turn *t)
{
    assert(row->state == BLOB_CONDEMNED); // 1
    assert(blob_held(tx, &row->name.digest) != 0);
    row->state = BLOB_DELETED;
    row->since_ms = clock_mono_ms();
    t->counts.n_deleted++;
    return blob_row_set(tx, row);
}

static int deleted_list(struct tx *tx, struct turn *t)
{
    struct blob_row *rows;
    size_t n;
    int rc = blobs_in(tx, BLOB_DELETED, INT64_MAX, t->max, t->a, &rows, &n);
    if (rc)
        return rc;
    t->names = arena_array(t->a, n + 1, sizeof *t->names);
    if (!t->names)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        t->names[i] = rows[i].name;
    t->n = n;
    t->counts.more |= n == t->max;
    return 0;
}

static int blobs_run(struct tx *tx, void *arg)
{
    struct turn *t = arg;
    struct blob_row *rows;
    size_t n;
    t->counts = (struct collect_counts){0};
    int64_t before_ms = clock_mono_ms() - condemned_ms(t->m);
    int rc = blobs_in(tx, BLOB_CONDEMNED, before_ms, t->max, t->a, &rows, &n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = blob_delete(tx, &rows[i], t);
    t->counts.more = n == t->max;
    if (rc)
        return rc;
    return deleted_list(tx, t);
}

static int blobs_due(struct meta *m, bool *out)
{
    struct tx *tx;
    struct arena a;
    struct blob_row *rows;
    size_t n = 0;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    arena_init(&a, 0);
    rc = blobs_in(tx, BLOB_DELETED, INT64_MAX, 1, &a, &rows, &n);
    if (!rc && !n)
        rc = blobs_in(tx, BLOB_CONDEMNED, clock_mono_ms() - condemned_ms(m), 1, &a, &rows, &n);
    arena_done(&a);
    tx_end(tx);
    *out = n > 0;
    return rc;
}

int meta_collect_blobs(struct meta *m, size_t max, struct arena *a, struct blob_name **out,
                       size_t *out_n, struct collect_counts *c)
{
    struct turn t = {.m = m, .max = max, .a = a};
    bool due;
    int rc = blobs_due(m, &due);
    if (!rc && due)
        rc = meta_write(m, blobs_run, &t, false);
    if (rc)
        return rc;
    counts_add(c, &t.counts);
    *out = t.names;
    *out_n = t.n;
    return 0;
}

struct removal {
    const struct blob_name *names;
    size_t n;
};

static int row_forget(struct tx *tx, const struct blob_name *name)
{
    struct blob_row row;
    int rc = blob_row_get(tx, &name->digest, &row);
    if (rc)
        return missing_ok(rc);
    if (row.state != BLOB_DELETED || !blob_name_equal(&row.name, name)) // 2
        return 0;
    return blob_row_remove(tx, &name->digest);
}

static int removed_run(struct tx *tx, void *arg)
{
    const struct removal *r = arg;
    int rc = 0;
    for (size_t i = 0; !rc && i < r->n; i++)
        rc = row_forget(tx, &r->names[i]);
    return rc;
}

int meta_collect_removed(struct meta *m, const struct blob_name *names, size_t n)
{
    struct removal r = {names, n};
    if (!n)
        return 0;
    return meta_write(m, removed_run, &r, false);
}

// --- looks ---

static int is_named(struct tx *tx, const struct blob_name *name, bool *out)
{
    struct blob_row row;
    int rc = blob_row_get(tx, &name->digest, &row);
    *out = !rc && blob_name_equal(&row.name, name);
    return missing_ok(rc);
}

int meta_blobs_named(struct meta *m, const struct blob_name *names, size_t n, bool *out)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    for (size_t i = 0; !rc && i < n; i++)
        rc = is_named(tx, &names[i], &out[i]);
    tx_end(tx);
    return rc;
}

int meta_blobs_after(struct meta *m, const struct digest *after, size_t max, struct arena *a,
                     struct blob_name **out, size_t *out_n)
{
    struct tx *tx;
    struct blob_row *rows;
    size_t n = 0;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = blobs_after(tx, after, max, a, &rows, &n);
    tx_end(tx);
    if (rc)
        return rc;
    struct blob_name *names = arena_array(a, n + 1, sizeof *names);
    if (!names)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        names[i] = rows[i].name;
    *out = names;
    *out_n = n;
    return 0;
}
