// SPDX-License-Identifier: Apache-2.0
// See orphans.h.
#include "store/orphans.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/meta_collect.h"

#include <string.h>

struct suspect {
    struct blob_name name;
    int64_t seen_ms;
    // the walk that found it last
    unsigned walk;
};

struct orphans {
    struct blob_store *bs;
    struct meta *m;
    int64_t wait_ms;
    struct blob_walk at;
    unsigned walk;
    struct suspect list[ORPHANS_MAX];
    size_t n;
};

int orphans_new(struct blob_store *bs, struct meta *m, int64_t wait_ms, struct orphans **out)
{
    struct orphans *o = mem_zalloc(sizeof *o);
    if (!o)
        return ERR_NOMEM;
    o->bs = bs;
    o->m = m;
    o->wait_ms = wait_ms;
    *out = o;
    return 0;
}

void orphans_free(struct orphans *o)
{
    free(o);
}

static struct suspect *suspect_find(struct orphans *o, const struct blob_name *name)
{
    for (size_t i = 0; i < o->n; i++)
        if (blob_name_equal(&o->list[i].name, name))
            return &o->list[i];
    return NULL;
}

static void suspect_add(struct orphans *o, const struct blob_name *name)
{
    if (o->n == ORPHANS_MAX)
        return;
    o->list[o->n++] = (struct suspect){.name = *name, .seen_ms = clock_mono_ms(), .walk = o->walk};
}

// Nobody has asked for it in all that time.
static int orphan_remove(struct orphans *o, const struct blob_name *name, uint64_t *n_removed,
                         uint64_t *bytes)
{
    uint64_t size = 0;
    bool named; // the look before may be a while ago
    int rc = meta_blobs_named(o->m, name, 1, &named);
    if (rc || named)
        return rc;
    (void)blob_stat(o->bs, name, &size);
    rc = blob_remove(o->bs, name);
    if (rc == ERR_NOTFOUND || rc == ERR_BUSY)
        return 0; // a later walk finds what a backup holds now
    if (rc)
        return rc;
    ++*n_removed;
    *bytes += size;
    return 0;
}

static int orphan_judge(struct orphans *o, const struct blob_name *name, uint64_t *n_removed,
                        uint64_t *bytes)
{
    struct suspect *s = suspect_find(o, name);
    if (!s) {
        suspect_add(o, name);
        return 0;
    }
    s->walk = o->walk;
    if (clock_mono_ms() - s->seen_ms < o->wait_ms)
        return 0;
    return orphan_remove(o, name, n_removed, bytes);
}

// Those that this walk did not find are gone, or have a row.
static void walk_end(struct orphans *o)
{
    size_t n = 0;
    for (size_t i = 0; i < o->n; i++)
        if (o->list[i].walk == o->walk)
            o->list[n++] = o->list[i];
    o->n = n;
    o->walk++;
    o->at = (struct blob_walk){0};
}

static int names_judge(struct orphans *o, const struct blob_name *names, const bool *named,
                       size_t n, uint64_t *n_removed, uint64_t *bytes)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++)
        if (!named[i])
            rc = orphan_judge(o, &names[i], n_removed, bytes);
    return rc;
}

int orphans_step(struct orphans *o, size_t max, uint64_t *n_removed, uint64_t *bytes,
                 bool *out_ended)
{
    // after a loss of the metadata nobody else may have these bytes
    if (meta_own_pending(o->m)) {
        *out_ended = true;
        return 0;
    }
    size_t n = 0;
    AUTO_FREE struct blob_name *names = mem_alloc((max + 1) * sizeof *names);
    AUTO_FREE bool *named = mem_alloc((max + 1) * sizeof *named);
    if (!names || !named)
        return ERR_NOMEM;
    int rc = blob_walk(o->bs, &o->at, names, max, &n);
    if (!rc)
        rc = meta_blobs_named(o->m, names, n, named);
    if (!rc)
        rc = names_judge(o, names, named, n, n_removed, bytes);
    if (rc)
        return rc;
    *out_ended = o->at.ended;
    if (o->at.ended)
        walk_end(o);
    return 0;
}
