// SPDX-License-Identifier: Apache-2.0
#include "store/register_set.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/htab.h"
#include "store/entry_kind.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void register_set_init(struct register_set *s, struct arena *a)
{
    *s = (struct register_set){.a = a};
}

void register_set_done(struct register_set *s)
{
    htab_free(s->index);
    s->index = NULL;
}

struct register_name register_of(const struct feed_entry *e)
{
    struct register_name name = {
        .registry = e->registry, .repository = e->repository, .tag = e->tag ? e->tag : ""};
    name.lock = entry_has(e, ENTRY_IS_LOCK);
    if (!*name.tag)
        name.digest = e->digest;
    return name;
}

// The name as bytes: names hold no control bytes.
static int key_format(const struct register_name *name, struct buf *out)
{
    buf_printf(out, "%s\n%s\n%s\n%d\n", name->registry, name->repository, name->tag,
               (int)name->lock);
    buf_add(out, name->digest.b, name->digest.n);
    return out->err;
}

static int room_make(struct register_set *s)
{
    if (!s->index)
        s->index = htab_new();
    if (!s->index)
        return ERR_NOMEM;
    if (s->n < s->cap)
        return 0;
    // The old array stays behind in the arena: at most as much again.
    size_t cap = s->cap ? 2 * s->cap : 16;
    struct register_row *more = arena_array(s->a, cap, sizeof *more);
    if (!more)
        return ERR_NOMEM;
    if (s->n)
        memcpy(more, s->rows, s->n * sizeof *more);
    s->rows = more;
    s->cap = cap;
    return 0;
}

static int row_add(struct register_set *s, const struct register_name *name, struct buf *key)
{
    struct register_row *row = &s->rows[s->n];
    *row = (struct register_row){.name = *name};
    row->name.registry = arena_strdup(s->a, name->registry);
    row->name.repository = arena_strdup(s->a, name->repository);
    row->name.tag = arena_strdup(s->a, name->tag);
    if (!row->name.registry || !row->name.repository || !row->name.tag)
        return ERR_NOMEM;
    // The table keeps the place of the row, from 1 on.
    int rc = htab_put(s->index, key->p, key->n, (void *)(uintptr_t)(s->n + 1));
    if (!rc)
        s->n++;
    return rc;
}

int register_set_add(struct register_set *s, const struct register_name *name,
                     struct register_row **out)
{
    AUTO_BUF struct buf key;
    buf_init(&key, 0);
    int rc = room_make(s);
    if (rc)
        return rc;
    rc = key_format(name, &key);
    if (rc)
        return rc;
    size_t at = (size_t)(uintptr_t)htab_get(s->index, key.p, key.n);
    if (at == 0) {
        rc = row_add(s, name, &key);
        at = s->n;
    }
    if (rc)
        return rc;
    assert(at >= 1 && at <= s->n);
    *out = &s->rows[at - 1];
    return 0;
}

int register_name_order(const struct register_name *a, const struct register_name *b)
{
    int order = strcmp(a->registry, b->registry);
    if (order == 0)
        order = strcmp(a->repository, b->repository);
    if (order == 0)
        order = strcmp(a->tag, b->tag);
    if (order == 0)
        order = memcmp(a->digest.b, b->digest.b, sizeof a->digest.b);
    if (order == 0)
        order = (int)a->lock - (int)b->lock;
    return order;
}

static int row_order(const void *a, const void *b)
{
    const struct register_row *x = a, *y = b;
    return register_name_order(&x->name, &y->name);
}

void register_set_sort(struct register_set *s)
{
    if (s->n)
        qsort(s->rows, s->n, sizeof *s->rows, row_order);
    register_set_done(s); // the table's places hold no more
}
