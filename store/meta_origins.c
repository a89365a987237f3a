// SPDX-License-Identifier: Apache-2.0
// How far the feeds of other regions were read, and how far they are applied. See meta_jobs.h.
//
// Invariants (design section 9)
//   5. The applied mark never lies past the read mark, and no job that holds it back lies at or
//      below it.
#include "store/meta_jobs.h"

#include "base/err.h"
#include "store/meta_priv.h"

#include <assert.h>

static struct feed_mark lower(const struct feed_mark *a, const struct feed_mark *b)
{
    return feed_mark_order(a, b) < 0 ? *a : *b;
}

// All at or below it is applied, or has no room here: the last entry held before the first job that
// holds it back; the read mark when no job does. A read mark that was set back holds it back too:
// what is read again may bring entries in places that became free.
static int applied_read(struct tx *tx, struct origin_status *o)
{
    struct feed_mark first, applied;
    int rc = jobs_first_holding(tx, o->origin, o->read.partition, &first);
    if (rc == ERR_NOTFOUND) {
        o->applied = o->read;
        return 0;
    }
    if (rc)
        return rc;
    rc = log_before(tx, o->origin, &first, &applied);
    if (rc == ERR_NOTFOUND)
        return 0; // nothing of it is
    if (rc)
        return rc;
    o->applied = lower(&applied, &o->read);
    return 0;
}

static int pending_read(struct tx *tx, const char *registry, struct arena *a,
                        struct origin_status *o)
{
    struct job_counts c;
    int rc = jobs_count(tx, o->origin, registry, &c);
    if (rc)
        return rc;
    o->n_pending = c.n_all;
    o->n_retrying = c.n_retrying;
    o->oldest_pending_stamp = c.lowest_stamp;
    o->n_parked = c.n_parked;
    o->n_waiting = c.n_waiting;
    o->parked_bytes = c.parked_bytes;
    if (!o->n_retrying && !o->n_parked)
        return 0;
    rc = jobs_worst_error(tx, o->origin, registry, a, &o->last_error, &o->last_grade);
    return missing_ok(rc);
}

// This region as an origin: only while entries of its own wait for their content.
static int self_read(struct tx *tx, struct arena *a, struct origin_status *out)
{
    int rc = jobs_any_of(tx, tx->region);
    if (rc)
        return rc;
    struct origin_status o = {.origin = arena_strdup(a, tx->region)};
    if (!o.origin)
        return ERR_NOMEM;
    rc = log_head(tx, tx->region, &o.read, NULL);
    if (rc == ERR_NOTFOUND)
        return ERR_CORRUPT; // a job has an entry in the log
    if (!rc)
        *out = o;
    return rc;
}

static int origins_list(struct tx *tx, struct arena *a, struct origin_status **out, size_t *out_n)
{
    struct read_mark *marks;
    size_t n;
    int rc = marks_list(tx, a, &marks, &n);
    if (rc)
        return rc;
    struct origin_status *list = arena_array(a, n + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        list[i] = (struct origin_status){.origin = marks[i].origin, .read = marks[i].mark};
    rc = self_read(tx, a, &list[n]);
    if (!rc)
        n++;
    else if (rc != ERR_NOTFOUND)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

static int statuses_read(struct tx *tx, const char *registry, struct arena *a,
                         struct origin_status **out, size_t *out_n)
{
    struct origin_status *list;
    size_t n;
    int rc = origins_list(tx, a, &list, &n);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        rc = applied_read(tx, &list[i]);
        if (rc)
            return rc;
        assert(feed_mark_order(&list[i].applied, &list[i].read) <= 0); // 5
        rc = pending_read(tx, registry, a, &list[i]);
        if (rc)
            return rc;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static int origins_read(struct meta *m, const char *registry, struct arena *a,
                        struct origin_status **out, size_t *out_n)
{
    struct tx *tx;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    rc = statuses_read(tx, registry, a, out, out_n);
    tx_end(tx);
    return rc;
}

int meta_origins(struct meta *m, struct arena *a, struct origin_status **out, size_t *out_n)
{
    return origins_read(m, NULL, a, out, out_n);
}

int meta_origins_of(struct meta *m, const char *registry, struct arena *a,
                    struct origin_status **out, size_t *out_n)
{
    return origins_read(m, registry, a, out, out_n);
}

bool meta_own_pending(struct meta *m)
{
    struct tx *tx;
    if (meta_gate_is_closed(m, META_GATE_RECOVERY) || backend_read(m->b, &tx))
        return true;
    int rc = jobs_any_of(tx, tx->region);
    tx_end(tx);
    return rc != ERR_NOTFOUND;
}
