// SPDX-License-Identifier: Apache-2.0
// Chains, unknown entries and numbers in memory; see store/backend_chain.h.
#include "tests/support/memory_tables.h"

#include "base/err.h"

#include <string.h>

static bool is_of(const struct feed_entry *e, const char *origin, const char *registry)
{
    return e->version == 2 && !strcmp(e->origin, origin) && !strcmp(e->registry, registry);
}

static bool is_asked(const struct feed_entry *e, const struct chain_query *q)
{
    struct feed_mark at = entry_mark(e);
    if (!is_of(e, q->origin, q->registry))
        return false;
    if (q->upto && feed_mark_order(&at, q->upto) > 0)
        return false;
    return !q->stamp_max || e->stamp <= q->stamp_max;
}

static int last(struct tx *tx, const struct chain_query *q, struct chain_head *out)
{
    const struct feed_entry *best = NULL;
    EACH_ROW(tx, T_FEED, struct m_feed, f)
    {
        struct feed_mark at = entry_mark(&f->e);
        if (!is_asked(&f->e, q))
            continue;
        struct feed_mark of_best = best ? entry_mark(best) : (struct feed_mark){0};
        if (!best || feed_mark_order(&at, &of_best) > 0)
            best = &f->e;
    }
    if (!best)
        return ERR_NOTFOUND;
    out->registry_seq = best->registry_seq;
    entry_body_hash(best, out->hash);
    out->at = entry_mark(best);
    return 0;
}

static int has(struct tx *tx, const char *origin, const char *registry, uint64_t registry_seq,
               const uint8_t hash[ENTRY_HASH_BYTES])
{
    EACH_ROW(tx, T_FEED, struct m_feed, f)
    {
        uint8_t is[ENTRY_HASH_BYTES];
        if (!is_of(&f->e, origin, registry) || f->e.registry_seq != registry_seq)
            continue;
        entry_body_hash(&f->e, is);
        if (memcmp(is, hash, sizeof is) == 0)
            return 0;
    }
    return ERR_NOTFOUND;
}

// --- unknown entries ---

static int row_order(const struct unknown_row *a, const struct unknown_row *b)
{
    int order = strcmp(a->origin, b->origin);
    if (!order)
        order = strcmp(a->repository, b->repository);
    if (!order)
        order = strcmp(a->attribute, b->attribute);
    if (!order)
        order = a->must - b->must;
    return order;
}

static int row_count_in(struct arena *a, const struct feed_entry *e, struct unknown_row *list,
                        size_t *n)
{
    struct unknown_row row = {e->origin, e->repository, e->attribute, e->must, 1};
    size_t at = 0;
    while (at < *n && row_order(&list[at], &row) < 0)
        at++;
    if (at < *n && row_order(&list[at], &row) == 0) {
        list[at].n++;
        return 0;
    }
    memmove(list + at + 1, list + at, (*n - at) * sizeof *list);
    (*n)++;
    int rc = text_out(a, row.origin, &row.origin);
    if (!rc)
        rc = text_out(a, row.repository, &row.repository);
    if (!rc)
        rc = text_out(a, row.attribute, &row.attribute);
    list[at] = row;
    return rc;
}

static bool counts(const struct feed_entry *e)
{
    return e->kind == ENTRY_UNKNOWN && *e->attribute;
}

static int list_unknown(struct tx *tx, const char *registry, size_t max, struct arena *a,
                        struct unknown_row **out, size_t *out_n)
{
    size_t n = 0;
    struct unknown_row *list = arena_array(a, row_count(tx, T_FEED) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_FEED, struct m_feed, f)
    {
        if (!counts(&f->e) || strcmp(f->e.registry, registry) != 0)
            continue;
        int rc = row_count_in(a, &f->e, list, &n);
        if (rc)
            return rc;
    }
    *out = list;
    *out_n = n < max ? n : max;
    return 0;
}

// As this program reads the body.
static int entry_reread(struct arena *a, const struct feed_entry *is, struct feed_entry *out)
{
    struct feed_entry stored, e;
    int rc = entry_out(a, is, true, &stored);
    if (!rc)
        rc = entry_body_parse(stored.body, a, &e);
    if (rc)
        return rc;
    e.key = stored.key;
    e.content = stored.content;
    memcpy(e.hash, stored.hash, sizeof e.hash);
    memcpy(e.sig, stored.sig, sizeof e.sig);
    *out = e;
    return 0;
}

static int next_unknown(struct tx *tx, int64_t after, size_t max, struct arena *a,
                        struct unknown_entry **out, size_t *out_n)
{
    size_t n = 0;
    struct unknown_entry *list = arena_array(a, max + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_FEED, struct m_feed, f)
    {
        if (!counts(&f->e) || f->id <= after || n == max)
            continue;
        int rc = entry_reread(a, &f->e, &list[n].entry);
        if (rc)
            return rc;
        list[n++].id = f->id;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static int learn(struct tx *tx, int64_t id, const struct feed_entry *e)
{
    const struct m_feed *is = feed_by_id(tx, id);
    if (!is)
        return 0;
    struct m_feed f = {.id = id, .e = *e, .refused = is->refused};
    f.e.content = is->e.content;
    return row_put(tx, T_FEED, &f);
}

static int frozen(struct tx *tx, const char *registry, const char *repository)
{
    EACH_ROW(tx, T_FEED, struct m_feed, f)
    {
        const struct feed_entry *e = &f->e;
        if (!counts(e) || !e->must || strcmp(e->registry, registry) != 0)
            continue;
        if (!*e->repository || strcmp(e->repository, repository) == 0)
            return 0;
    }
    return ERR_NOTFOUND;
}

// --- numbers ---

static int get_number(struct tx *tx, const char *name, uint64_t *out)
{
    const struct m_number *n = row_find(tx, T_NUMBERS, &(struct m_number){.name = name});
    if (!n)
        return ERR_NOTFOUND;
    *out = n->value;
    return 0;
}

static int set_number(struct tx *tx, const char *name, uint64_t value)
{
    if (value > INT64_MAX)
        return ERR_TOOBIG;
    return row_put(tx, T_NUMBERS, &(struct m_number){.name = name, .value = value});
}

const struct chain_ops memory_chain_ops = {
    .last = last,
    .has = has,
    .unknown_list = list_unknown,
    .unknown_next = next_unknown,
    .learn = learn,
    .frozen = frozen,
    .number_get = get_number,
    .number_set = set_number,
};
