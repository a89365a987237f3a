// SPDX-License-Identifier: Apache-2.0
// Which own writes hold, and how each is announced again; see meta_again.h.
//
// Every own manifest that is here is announced again, before the tags that may need it. Of each tag
// the last own value is: as new where no other value stood on top of it; else ("low") with the
// register stamp that it would have had, just above what it replaced. Then it wins over the value
// that it replaced, and loses against the region that replaced it and announces that anew. The ids
// of rows are the order in which entries came.
#include "store/meta_again.h"

#include "base/err.h"
#include "store/entry_kind.h"
#include "store/kind_rules.h"
#include "store/meta_priv.h"
#include "store/register_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct again { // an own entry whose write holds
    int64_t id;
    bool low;
    // low: the highest register stamp that it replaced
    uint64_t prior;
};

struct again_list {
    struct arena *a;
    const struct id_set *all;
    struct again *list;
    size_t n;
};

// --- which ---

// Of a manifest's presence its first own entry counts, of its tombstone the last; of a tag the last
// one of the highest register stamp; of a lock the last. What a rule deleted is judged again by the
// rule.
static int entry_look(struct tx *tx, int64_t id, struct register_set *set, struct arena *scratch)
{
    struct feed_entry e;
    struct register_row *row;
    int rc = log_get(tx, id, scratch, &e);
    if (rc || e.kind == ENTRY_UNKNOWN) // without a register, nothing holds
        return rc;
    struct register_name name = register_of(&e);
    rc = register_set_add(set, &name, &row);
    if (rc)
        return rc;
    bool first = row->id == 0;
    assert(first || id > row->id); // ids ascend
    if (e.judged)
        return 0;
    if (e.kind == ENTRY_MANIFEST_GONE) {
        row->gone_id = id;
        return 0;
    }
    if (e.kind == ENTRY_MANIFEST && !first)
        return 0;
    if (register_is_tag(&name) && entry_register_stamp(&e) < row->stamp)
        return 0;
    row->id = id;
    row->stamp = entry_register_stamp(&e);
    row->value.digest = e.digest;
    row->value.gone = entry_has(&e, ENTRY_IS_GONE);
    return 0;
}

static int all_look(struct tx *tx, const struct id_set *own, struct register_set *set)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < own->n; i++) {
        struct arena scratch;
        arena_init(&scratch, 0);
        rc = entry_look(tx, own->ids[i], set, &scratch);
        arena_done(&scratch);
    }
    return rc;
}

// Did another value stand on top of the tag's last own one?
static int tag_replaced(struct tx *tx, const struct register_row *row,
                        const struct register_value *shown, bool *out)
{
    uint64_t outdone = 0;
    bool stands = shown->stamp == row->stamp && strcmp(shown->origin, tx->region) == 0 &&
                  shown->gone == row->value.gone &&
                  digest_equal(&shown->digest, &row->value.digest);
    int rc = outdone_get(tx, &row->name, &outdone);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = !stands || outdone > row->stamp;
    return 0;
}

static int row_judge(struct tx *tx, const struct register_row *row, struct again_list *l)
{
    struct register_now here;
    struct again g = {.id = row->id};
    int rc = register_now_read(tx, &row->name, &here);
    if (rc)
        return missing_ok(rc); // without a value nothing holds
    if (row->gone_id)
        l->list[l->n++] = (struct again){.id = row->gone_id};
    if (!row->id)
        return 0;
    if (register_is_tag(&row->name))
        rc = tag_replaced(tx, row, &here.value, &g.low);
    if (!rc && g.low)
        rc = survey_tag_prior(tx, &row->name, row->id, l->all, &g.prior);
    if (!rc)
        l->list[l->n++] = g;
    return rc;
}

static int again_order(const void *a, const void *b)
{
    const struct again *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int again_find(struct tx *tx, const struct id_set *own, struct register_set *set,
                      struct again_list *l)
{
    int rc = all_look(tx, own, set);
    if (rc)
        return rc;
    l->list = arena_array(l->a, 2 * set->n + 1, sizeof *l->list);
    if (!l->list)
        return ERR_NOMEM;
    for (size_t i = 0; i < set->n; i++) {
        rc = row_judge(tx, &set->rows[i], l);
        if (rc)
            return rc;
    }
    qsort(l->list, l->n, sizeof *l->list, again_order);
    return outdone_clear(tx);
}

// --- and how ---

// Just above what it replaced, and above what everybody has applied: else the others would refuse it.
static int low_stamp(struct tx *tx, const char *registry, uint64_t prior, uint64_t *out)
{
    uint64_t floor;
    int rc = floor_highest(tx, registry, &floor);
    if (rc)
        return rc;
    *out = 1 + (prior > floor ? prior : floor);
    return 0;
}

static int again_mint(struct tx *tx, struct meta *m, const struct again *g, uint64_t limit,
                      struct feed_entry *e)
{
    const struct kind_rules *rules = kind_rules(e->kind);
    int64_t repo, id;
    uint64_t above = 0, epoch = e->epoch;
    if (!rules)
        return ERR_UNSUPPORTED;
    int rc = repo_find(tx, e->registry, e->repository, &repo);
    if (rc)
        return rc;
    e->restates = 0;
    e->content = (struct bytes){0};
    if (g->low)
        rc = low_stamp(tx, e->registry, g->prior, &above);
    else
        rc = rules->again_above(tx, repo, e, limit, &above);
    if (rc)
        return rc;
    if (g->low)
        e->restates = above;
    rc = feed_mint(m, tx, above, (struct bytes){0}, e, &id);
    if (rc)
        return rc;
    assert(e->epoch > epoch); // 8
    return rules->again(tx, repo, e);
}

static int again_one(struct tx *tx, struct meta *m, const struct again *g, uint64_t limit)
{
    struct arena scratch;
    struct feed_entry e;
    arena_init(&scratch, 0);
    int rc = log_get(tx, g->id, &scratch, &e);
    if (!rc)
        rc = again_mint(tx, m, g, limit, &e);
    arena_done(&scratch);
    return rc;
}

int again_announce(struct tx *tx, struct meta *m, const struct id_set *own,
                   const struct id_set *all, uint64_t limit, size_t *n_again)
{
    struct arena a;
    struct register_set set;
    arena_init(&a, 0);
    register_set_init(&set, &a);
    struct again_list l = {.a = &a, .all = all};
    int rc = again_find(tx, own, &set, &l);
    for (size_t i = 0; !rc && i < l.n; i++) {
        rc = again_one(tx, m, &l.list[i], limit);
        if (!rc)
            (*n_again)++;
    }
    register_set_done(&set);
    arena_done(&a);
    return rc;
}
