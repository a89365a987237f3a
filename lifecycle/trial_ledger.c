// SPDX-License-Identifier: Apache-2.0
// See trial_ledger.h.
#include "lifecycle/trial_ledger.h"

#include "base/err.h"
#include "control/connections_follow.h"

#include <string.h>

// ---- what it says ----

static const struct control_record *over(const struct trial_ledger *l, const char *key)
{
    return htab_get(l->over, key, strlen(key));
}

static int record(void *ctx, const char *key, struct buf *out)
{
    const struct trial_ledger *l = ctx;
    const struct control_record *r = over(l, key);
    if (!r)
        return l->under->record(l->under->ctx, key, out);
    if (!r->value)
        return ERR_NOTFOUND;
    buf_str(out, r->value);
    return out->err;
}

struct visiting {
    const struct trial_ledger *l;
    bool (*visit)(void *v, const char *key, const char *value);
    void *v;
    bool ended;
};

static bool visit_under(void *ctx, const char *key, const char *value)
{
    struct visiting *x = ctx;
    if (!over(x->l, key))
        x->ended = !x->visit(x->v, key, value);
    return !x->ended;
}

static void records(void *ctx, const char *prefix,
                    bool (*visit)(void *v, const char *key, const char *value), void *v)
{
    const struct trial_ledger *l = ctx;
    struct visiting x = {.l = l, .visit = visit, .v = v};
    l->under->records(l->under->ctx, prefix, visit_under, &x);
    for (size_t i = 0; i < l->n && !x.ended; i++) {
        const struct control_record *r = l->list[i];
        bool holds = r->value && over(l, r->key) == r;
        if (holds && !strncmp(r->key, prefix, strlen(prefix)))
            x.ended = !visit(v, r->key, r->value);
    }
}

// ---- all else is asked of what is under it ----

static int64_t now_ms(void *ctx)
{
    const struct lifecycle_deps *d = ((struct trial_ledger *)ctx)->under;
    return d->now_ms(d->ctx);
}

static int64_t sure_ms(void *ctx)
{
    const struct lifecycle_deps *d = ((struct trial_ledger *)ctx)->under;
    return d->sure_ms(d->ctx);
}

static struct topology *topology(void *ctx)
{
    const struct lifecycle_deps *d = ((struct trial_ledger *)ctx)->under;
    return d->topology(d->ctx);
}

static int topology_at(void *ctx, uint64_t version, struct diag *diag, struct topology **out)
{
    const struct lifecycle_deps *d = ((struct trial_ledger *)ctx)->under;
    return d->topology_at(d->ctx, version, diag, out);
}

static int principals(void *ctx, struct buf *out, uint64_t *out_version)
{
    const struct lifecycle_deps *d = ((struct trial_ledger *)ctx)->under;
    return d->principals(d->ctx, out, out_version);
}

static int judge(void *ctx, const struct control_draft *draft, struct diag *diag,
                 struct topology **out)
{
    const struct lifecycle_deps *d = ((struct trial_ledger *)ctx)->under;
    return d->judge(d->ctx, draft, diag, out);
}

// ---- what is written ----

static int put(struct trial_ledger *l, const struct control_record *r)
{
    struct control_record *mine = arena_copy(l->arena, r, sizeof *r);
    void *old;
    if (!mine)
        return ERR_NOMEM;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        const struct control_record **list = arena_array(l->arena, cap, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        if (l->n)
            memcpy(list, l->list, l->n * sizeof *list);
        l->list = list;
        l->cap = cap;
    }
    int rc = htab_set(l->over, mine->key, strlen(mine->key), mine, &old);
    if (!rc)
        l->list[l->n++] = mine;
    return rc;
}

int trial_ledger_entry(struct trial_ledger *l, const struct control_draft *d,
                       const struct topology *t, int64_t at_ms, struct diag *diag)
{
    const struct ledger_look look = {l, record, records};
    const struct connections_change c = {.before = t,
                                         .change = d->change,
                                         .records = d->records,
                                         .n_records = d->n_records,
                                         .by = d->by,
                                         .now_ms = at_ms};
    const struct control_record *all;
    size_t n;
    int rc = connections_follow(&c, &look, l->arena, diag, &all, &n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = put(l, &all[i]);
    return rc;
}

int trial_ledger_init(struct trial_ledger *l, const struct lifecycle_deps *under,
                      struct arena *arena)
{
    *l = (struct trial_ledger){.under = under, .arena = arena, .over = htab_new()};
    l->deps = (struct lifecycle_deps){.ctx = l,
                                      .by = under->by,
                                      .now_ms = now_ms,
                                      .topology = topology,
                                      .principals = principals,
                                      .judge = judge,
                                      .record = record,
                                      .records = records};
    if (under->sure_ms)
        l->deps.sure_ms = sure_ms;
    if (under->topology_at)
        l->deps.topology_at = topology_at;
    return l->over ? 0 : ERR_NOMEM;
}

void trial_ledger_done(struct trial_ledger *l)
{
    htab_free(l->over);
}
