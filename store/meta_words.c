// SPDX-License-Identifier: Apache-2.0
// What this region can say of itself; see meta_words.h.
//
// Invariants (design section 9)
//   7. What is promised is durable before anybody hears it: the next own entry has a higher stamp,
//      also after a restart and when the wall clock goes back.
#include "store/meta_words.h"

#include "store/meta_priv.h"

#include <stdatomic.h>
#include <string.h>

struct promise_arg {
    struct meta *m;
    struct promise *out;
};

// Behind the wall clock by the skew. What stood ahead a little, and is set right, closes no writes so.
static uint64_t promise_target(struct meta *m)
{
    int64_t at = clock_wall_ms() - (int64_t)atomic_load(&m->skew_ms);
    return hlc_from_wall(at > 0 ? at : 0);
}

static int promise_run(struct tx *tx, void *arg)
{
    const struct promise_arg *p = arg;
    uint64_t target = promise_target(p->m);
    struct own_head own;
    if (!tx->mints)
        return ERR_CLOSED;
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    bool moves = own.stamp < target;
    if (moves)
        own.stamp = target;
    *p->out = (struct promise){.head = own.last, .stamp = own.stamp};
    return moves ? own_set(tx, &own) : 0;
}

int meta_promise(struct meta *m, struct promise *out)
{
    struct promise made = {0};
    struct promise_arg arg = {m, &made};
    int rc = meta_write(m, promise_run, &arg, true);
    if (!rc)
        *out = made;
    return rc;
}

// --- what was read ---

static int held_read(struct tx *tx, struct arena *a, struct reading *o)
{
    struct held_row *rows;
    size_t n;
    int rc = jobs_held(tx, o->origin, META_HELD_MAX, a, &rows, &n);
    if (rc)
        return rc;
    o->held = arena_array(a, n + 1, sizeof *o->held);
    if (!o->held)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        o->held[i] = (struct reading_held){rows[i].registry, rows[i].stamp};
    o->n_held = n;
    return 0;
}

static int reading_make(struct tx *tx, const char *origin, struct arena *a, struct reading *out)
{
    int rc;
    *out = (struct reading){.origin = origin};
    if (!strcmp(origin, tx->region))
        rc = log_head(tx, origin, &out->read, NULL);
    else
        rc = mark_get(tx, origin, 0, &out->read);
    rc = missing_ok(rc); // nothing of it was read, or written
    if (!rc)
        rc = held_read(tx, a, out);
    return rc;
}

int meta_reading(struct meta *m, const char *const *origins, size_t n, struct arena *a,
                 struct reading **out)
{
    struct tx *tx;
    struct reading *list = arena_array(a, n + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    for (size_t i = 0; !rc && i < n; i++)
        rc = reading_make(tx, origins[i], a, &list[i]);
    tx_end(tx);
    if (!rc)
        *out = list;
    return rc;
}
