// SPDX-License-Identifier: Apache-2.0
// What a change does to reserved names (config/reserved.h); see changer_priv.h. A name is a
// registry's or reserved, never both: one that is created by its owner, or after its time, is not
// reserved any more.
#include "control/changer_priv.h"

#include "base/clock.h"
#include "config/document.h"
#include "config/reserved.h"

#include <stdlib.h>
#include <string.h>

// Clocks may be so far apart: a change that comes before its time by no more waits.
#define EARLY_MAX_S 60

static bool holds(const struct htab *h, const char *name)
{
    return htab_get(h, name, strlen(name)) != NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct reserved_name *)a)->name, ((const struct reserved_name *)b)->name);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// ---- names that become reserved ----

// What the row leaves out, from the registry that the change removes.
static void complete(struct touched *x, const struct spec_reserved *row, struct reserved_name *out)
{
    const struct catalogue_registry *rec = catalogue_find_name(x->t->catalogue, out->name);
    if (!rec)
        return;
    uint64_t incarnation = catalogue_incarnation(rec);
    if (out->incarnation && out->incarnation != incarnation)
        options_error(x->ctx, doc_key_line(row->node, "incarnation"),
                      "reserve: registry %s has incarnation %llu, not %llu", out->name,
                      (unsigned long long)incarnation, (unsigned long long)out->incarnation);
    out->incarnation = incarnation;
    if (row->label)
        return;
    const char *label =
        arena_printf(x->ctx->arena, "%.*s", (int)rec->label_n, (const char *)catalogue_label(rec));
    if (label)
        out->label = label;
    else
        x->ctx->nomem = true;
}

static void judge_row(struct touched *x, const struct spec_reserved *row,
                      const struct reserved_name *r)
{
    int line = doc_key_line(row->node, "name");
    const struct reserved_name *old = topology_reserved(x->t, r->name);
    bool goes = holds(x->removed, r->name);
    bool is_row = holds(x->names, r->name);
    if (is_row || (!goes && catalogue_find_name(x->t->catalogue, r->name)))
        options_error(x->ctx, line,
                      "reserve: there is a registry %s; a name is reserved when its registry goes",
                      r->name);
    if (r->incarnation > x->t->version)
        options_error(x->ctx, doc_key_line(row->node, "incarnation"),
                      "reserve: %s: incarnation %llu is above version %llu, which is in force",
                      r->name, (unsigned long long)r->incarnation,
                      (unsigned long long)x->t->version);
    if (old && r->incarnation < old->incarnation)
        options_error(x->ctx, line,
                      "reserve: %s is reserved with incarnation %llu, not a lower one", r->name,
                      (unsigned long long)old->incarnation);
}

static void gather_reserve(struct touched *x)
{
    const struct change *c = x->change;
    for (size_t i = 0; i < c->n_reserve && !x->ctx->nomem; i++) {
        struct reserved_name *r = &x->reserve[x->n_reserve];
        if (!reserved_spec_build(x->ctx, &c->reserve[i], r))
            continue;
        complete(x, &c->reserve[i], r);
        judge_row(x, &c->reserve[i], r);
        x->n_reserve++;
    }
    if (x->n_reserve)
        qsort(x->reserve, x->n_reserve, sizeof *x->reserve, by_name);
    for (size_t i = 1; i < x->n_reserve; i++)
        if (!strcmp(x->reserve[i].name, x->reserve[i - 1].name))
            options_error(x->ctx, doc_key_line(c->node, "reserve"), "reserve: %s is given twice",
                          x->reserve[i].name);
}

// ---- names that are reserved no more ----

static void drop(struct touched *x, const char *name)
{
    x->release[x->n_release++] = name;
}

static void gather_release(struct touched *x)
{
    const struct change *c = x->change;
    for (size_t i = 0; i < c->n_release; i++) {
        const char *name = c->release[i];
        if (!name)
            continue;
        if (topology_reserved(x->t, name))
            drop(x, name);
        else
            options_error(x->ctx, doc_item_line(c->node, "release", i),
                          "release: there is no reserved name %.80s", name);
    }
}

static bool is_released(const struct change *c, const char *name)
{
    for (size_t i = 0; i < c->n_release; i++)
        if (c->release[i] && !strcmp(c->release[i], name))
            return true;
    return false;
}

static void refuse(struct touched *x, const struct spec_registry *row,
                   const struct reserved_name *r)
{
    char since[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE];
    options_error(
        x->ctx, doc_key_line(row->node, "name"),
        "registry %s: the name is reserved until %s for %s, whose registry was deleted at "
        "%s; before that only its owner can create it again, or `meridian name release` "
        "gives it up",
        r->name, clock_format_s(r->until_s, until), *r->owner ? r->owner : "nobody named",
        clock_format_s(r->since_s, since));
    if (r->until_s - x->now_s <= EARLY_MAX_S)
        x->n_early++;
}

static void gather_taken(struct touched *x)
{
    const struct change *c = x->change;
    for (size_t i = 0; i < c->n_registries; i++) {
        const struct spec_registry *row = &c->registries[i];
        const struct reserved_name *r = NULL;
        const char *owner = "";
        if (row->name)
            r = topology_reserved(x->t, row->name);
        if (!r || is_released(c, row->name))
            continue;
        if (row->owner)
            owner = row->owner;
        if (reserved_name_refuses(r, owner, x->now_s))
            refuse(x, row, r);
        drop(x, r->name);
    }
}

// Those whose time is up go with the next that comes, where all nodes agree on the time.
static void gather_past(struct touched *x)
{
    size_t n = topology_reserved_count(x->t);
    for (size_t i = 0; i < n; i++) {
        const struct reserved_name *r = topology_reserved_at(x->t, i);
        if (r->until_s <= x->now_s)
            drop(x, r->name);
    }
}

void touched_reserved(struct touched *x)
{
    const struct change *c = x->change;
    bool any = c->n_reserve || c->n_release || topology_reserved_count(x->t);
    if (!any)
        return;
    bool sweeps = c->n_reserve && x->time_is_common;
    size_t n_names = c->n_release + c->n_registries;
    if (sweeps)
        n_names += topology_reserved_count(x->t);
    x->reserve = arena_array(x->ctx->arena, c->n_reserve + 1, sizeof *x->reserve);
    x->release = arena_array(x->ctx->arena, n_names + 1, sizeof *x->release);
    if (!x->reserve || !x->release) {
        x->ctx->nomem = true;
        return;
    }
    gather_reserve(x);
    gather_release(x);
    gather_taken(x);
    if (sweeps)
        gather_past(x);
    if (x->n_release)
        qsort(x->release, x->n_release, sizeof *x->release, by_text);
}
