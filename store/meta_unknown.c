// SPDX-License-Identifier: Apache-2.0
// Entries that this program does not know; see meta_unknown.h. Those that it knows by now become
// jobs when the store opens.
#include "store/meta_unknown.h"

#include "base/err.h"
#include "store/backend_chain.h"
#include "store/kind_rules.h"
#include "store/meta_priv.h"

#define ROWS_MAX 1000
#define PAGE 500 // entries that are read again in one piece
#define COUNT_MAX 10000

int meta_unknown_list(struct meta *m, const char *registry, struct arena *a,
                      struct unknown_row **out, size_t *out_n)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = unknown_list(tx, registry, ROWS_MAX, a, out, out_n);
    tx_end(tx);
    return rc;
}

int repository_frozen(struct tx *tx, const char *registry, const char *repository)
{
    int rc = frozen_look(tx, registry, repository);
    if (rc == ERR_NOTFOUND)
        return 0;
    return rc ? rc : ERR_FROZEN;
}

int meta_frozen(struct meta *m, const char *registry, const char *repository)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = repository_frozen(tx, registry, repository);
    tx_end(tx);
    return rc;
}

// --- what is known ---

bool entry_is_known(const struct feed_entry *e)
{
    return kind_rules(e->kind) && !entry_malformed(e);
}

void entry_as_known(struct feed_entry *e)
{
    if (e->version != 2 || entry_is_known(e))
        return;
    if (entry_malformed(e))
        e->attribute = "";
    e->kind = ENTRY_UNKNOWN;
    e->content = (struct bytes){0};
}

struct page {
    struct meta *m;
    int64_t after;
    struct unknown_entry *list;
    size_t n;
};

static int page_read(struct page *p, struct arena *a)
{
    struct tx *tx;
    int rc = backend_read(p->m->b, &tx);
    if (rc)
        return rc;
    rc = unknown_next(tx, p->after, PAGE, a, &p->list, &p->n);
    tx_end(tx);
    return rc;
}

// As if it came now (meta_ingest.c): what was deleted everywhere since it came does not come back.
static int entry_adopt(struct tx *tx, const struct unknown_entry *u)
{
    bool refused;
    int rc = unknown_learn(tx, u->id, &u->entry);
    if (!rc)
        rc = floor_judge(tx, &u->entry, &refused);
    if (rc)
        return rc;
    return refused ? floor_refuse(tx, u->id, &u->entry) : job_add(tx, u->id, &u->entry);
}

static int page_run(struct tx *tx, void *arg)
{
    const struct page *p = arg;
    int rc = 0;
    for (size_t i = 0; !rc && i < p->n; i++)
        if (entry_is_known(&p->list[i].entry))
            rc = entry_adopt(tx, &p->list[i]);
    return rc;
}

static bool page_has_known(const struct page *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (entry_is_known(&p->list[i].entry))
            return true;
    return false;
}

static int page_adopt(struct page *p, bool *out_more)
{
    struct arena a;
    arena_init(&a, 0);
    int rc = page_read(p, &a);
    if (!rc && page_has_known(p))
        rc = meta_write(p->m, page_run, p, false);
    *out_more = p->n == PAGE;
    if (p->n)
        p->after = p->list[p->n - 1].id;
    arena_done(&a);
    return rc;
}

int unknown_adopt(struct meta *m)
{
    struct page p = {.m = m};
    bool more = true;
    int rc = 0;
    while (!rc && more)
        rc = page_adopt(&p, &more);
    return rc;
}

// --- counting ---

int meta_unknown_count(struct meta *m, struct unknown_count *out)
{
    struct page p = {.m = m};
    struct unknown_count all = {0};
    int rc = 0;
    do {
        struct arena a;
        arena_init(&a, 0);
        rc = page_read(&p, &a);
        for (size_t i = 0; !rc && i < p.n; i++) {
            all.n++;
            if (p.list[i].entry.must)
                all.n_must++;
        }
        if (!rc && p.n)
            p.after = p.list[p.n - 1].id;
        arena_done(&a);
    } while (!rc && p.n == PAGE && all.n < COUNT_MAX);
    if (!rc)
        *out = all;
    return rc;
}
