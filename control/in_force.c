// SPDX-License-Identifier: Apache-2.0
// The topology in force; see in_force.h. The invariant is number 2 of source.h.
#include "control/in_force.h"

#include <assert.h>

void in_force_init(struct in_force *f, struct snapshot *cell)
{
    *f = (struct in_force){.cell = cell};
}

void in_force_done(struct in_force *f)
{
    for (size_t i = 0; i < f->n_retired; i++)
        snapshot_unref(f->retired[i]);
    snapshot_unref(f->now);
    *f = (struct in_force){0};
}

void in_force_sweep(struct in_force *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n_retired; i++) {
        bool is_ours_alone = snapshot_refs(f->retired[i]) == 1;
        if (is_ours_alone)
            snapshot_unref(f->retired[i]);
        else
            f->retired[n++] = f->retired[i];
    }
    f->n_retired = n;
}

void in_force_publish(struct in_force *f, struct topology *t)
{
    struct topology *old = f->now;
    assert(!old || t->version > old->version); // invariant 2
    f->now = snapshot_ref(t);
    snapshot_publish(f->cell, t);
    in_force_sweep(f);
    if (old && f->n_retired < RETIRED_MAX)
        f->retired[f->n_retired++] = old;
    else
        snapshot_unref(old); // somebody holds on to many: let them free it
}
