// SPDX-License-Identifier: Apache-2.0
// What a change may not do to the registries that it touches; see changer_priv.h. What cannot be by
// itself was said while the rows were built (config/registry_spec.h).
#include "control/changer_priv.h"

#include "config/document.h"
#include "control/moves.h"

#include <stdlib.h>
#include <string.h>

// Clocks may be so far apart: a change that comes before its time by no more waits.
#define EARLY_MAX_S 60

static bool has_replica(const struct registry *r, uint8_t region)
{
    return r->replica_set >> region & 1;
}

// A member of a private endpoint that stays must still fit its registry's new row.
static void judge_member(struct touched *x, const struct spec_registry *row,
                         const struct registry *r, const struct private_endpoint *pe,
                         const struct private_member *m)
{
    if (m->kind == NAME_GLOBAL)
        return;
    const char *region = x->t->regions[m->region].name;
    if (!has_replica(r, m->region)) {
        options_error(x->ctx, doc_key_line(row->node, "replicas"),
                      "registry %s: private endpoint %s has an address for region %s, where there "
                      "would be no replica any more",
                      r->name, pe->name, region);
        return;
    }
    if (m->kind == NAME_REGIONAL && !r->regional_endpoints)
        options_error(x->ctx, doc_key_line(row->node, "regional_endpoints"),
                      "registry %s: private endpoint %s has an address for region %s, but regional "
                      "endpoints would be off",
                      r->name, pe->name, region);
}

static void judge_kept(struct touched *x, const struct spec_registry *row, const struct registry *r)
{
    for (size_t i = 0; i < r->n_private_endpoints; i++) {
        const struct private_endpoint *pe = r->private_endpoints[i];
        for (size_t k = 0; k < pe->n_members; k++)
            judge_member(x, row, r, pe, &pe->members[k]);
    }
}

// A row may not move a replica to another stamp before resolvers can know its name.
static void judge_moves(struct touched *x, const struct spec_registry *row,
                        const struct registry *r)
{
    const struct catalogue_registry *rec = catalogue_find_name(x->t->catalogue, r->name);
    struct registry_room room;
    struct registry old;
    struct move_refusal why;
    if (!rec)
        return;
    catalogue_expand(rec, &room, &old);
    if (moves_registry_may_follow(x->t, &old, x->t, r, x->now_s, &why))
        return;
    options_error(x->ctx, moves_line(row->node, &why), "%s", why.why);
    if (why.again_s && why.again_s - x->now_s <= EARLY_MAX_S)
        x->n_early++;
}

static int by_label(const void *a, const void *b)
{
    return strcmp(((const struct registry *)a)->label, ((const struct registry *)b)->label);
}

void touched_judge(struct touched *x)
{
    const struct change *c = x->change;
    for (size_t i = 0; i < c->n_registries; i++) {
        const struct spec_registry *row = &c->registries[i];
        const struct registry *r = NULL;
        if (row->name)
            r = htab_get(x->names, row->name, strlen(row->name));
        if (!r)
            continue;
        judge_kept(x, row, r);
        judge_moves(x, row, r);
    }
    if (x->n)
        qsort(x->all, x->n, sizeof *x->all, by_label);
    if (c->n_private_endpoints)
        private_specs_build(x->ctx, x->t, c->private_endpoints, c->n_private_endpoints, x->all,
                            x->n, x->index);
}
