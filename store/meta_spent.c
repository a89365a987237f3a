// SPDX-License-Identifier: Apache-2.0
// See meta_spent.h. Any thread.
#include "store/meta_spent.h"

#include "base/err.h"
#include "store/backend_survey.h"
#include "store/meta_merge.h"

#include <assert.h>
#include <string.h>

#define NAMES_MAX 100   // registers that are read in one piece
#define ENTRIES_MAX 500 // of one kind of a register

static const char *repository_of(const struct feed_entry *e)
{
    return e->repository ? e->repository : "";
}

// --- one entry ---

static int tag_spent(struct tx *tx, int64_t repo, const struct feed_entry *e, bool *out)
{
    const struct register_value v = entry_value(e);
    struct tag_now t;
    int rc = tag_look(tx, repo, e->tag, &t);
    if (rc)
        return missing_ok(rc);
    *out = !t.live && register_order(&v, &t.value.value) < 0;
    return 0;
}

static int manifest_spent(struct tx *tx, int64_t repo, const struct feed_entry *e, bool *out)
{
    const struct register_value v = entry_value(e);
    struct manifest_now m;
    uint64_t floor;
    int rc = manifest_look(tx, repo, &e->digest, &m);
    if (rc)
        return missing_ok(rc);
    rc = floor_read(tx, e->registry, &floor);
    if (rc || m.live)
        return rc;
    *out = register_order(&v, &m.gone.value) < 0 && m.gone.value.stamp <= floor;
    return 0;
}

// The stamp at or below which locks of the subject are void.
static int voids_read(struct tx *tx, int64_t repo, const struct subject *s, uint64_t *out)
{
    struct tag_now t;
    struct manifest_now m;
    struct digest digest = s->digest;
    uint64_t ended = 0;
    bool there;
    int rc = 0;
    if (*s->tag) {
        rc = tag_read(tx, repo, s->tag, &t, &there);
        if (!rc) {
            digest = t.value.value.digest;
            ended = t.ended;
        }
    }
    if (!rc)
        rc = manifest_read(tx, repo, &digest, &m, &there);
    if (!rc)
        *out = stamp_max(ended, m.killed);
    return rc;
}

static int lock_spent(struct tx *tx, int64_t repo, const struct feed_entry *e, bool *out)
{
    const struct register_value v = entry_value(e);
    const struct subject s = subject_of(e);
    struct lock_now l;
    uint64_t floor, voids;
    int rc = lock_get(tx, repo, &s, &l);
    if (rc)
        return missing_ok(rc);
    rc = floor_read(tx, e->registry, &floor);
    if (!rc)
        rc = voids_read(tx, repo, &s, &voids);
    if (rc)
        return rc;
    bool is_void = v.stamp <= voids && voids <= floor;
    *out = is_void || register_order(&v, &l.value.value) < 0;
    return 0;
}

int entry_spent(struct tx *tx, const struct feed_entry *e, bool *out)
{
    int64_t repo;
    bool spent = false;
    int rc = repo_find(tx, e->registry, repository_of(e), &repo);
    if (rc) {
        *out = false;
        return missing_ok(rc);
    }
    switch (e->kind) {
    case ENTRY_TAG:
        rc = tag_spent(tx, repo, e, &spent);
        break;
    case ENTRY_MANIFEST:
        rc = manifest_spent(tx, repo, e, &spent);
        break;
    case ENTRY_TAG_LOCK:
    case ENTRY_MANIFEST_LOCK:
        rc = lock_spent(tx, repo, e, &spent);
        break;
    case ENTRY_TAG_GONE:
    case ENTRY_MANIFEST_GONE:
    case ENTRY_REPOSITORY_LOCK:
    case ENTRY_UNKNOWN:
        break;
    }
    if (!rc)
        *out = spent;
    return rc;
}

// --- entries that are given ---

static int all_mark(struct tx *tx, struct feed_entry *entries, size_t n)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++) {
        bool spent = false;
        if (entries[i].version == 2 && !entries[i].ended)
            rc = entry_spent(tx, &entries[i], &spent);
        if (rc || !spent)
            continue;
        entries[i].ended = true;
        entries[i].content = (struct bytes){0};
    }
    return rc;
}

int meta_spent_mark(struct meta *m, struct feed_entry *entries, size_t n)
{
    struct tx *tx;
    if (!n)
        return 0;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    rc = all_mark(tx, entries, n);
    tx_end(tx);
    return rc;
}

// --- is there one? ---

struct looking {
    struct tx *tx;
    const char *origin;
    struct arena *a;
    bool found;
};

static int kind_look(struct looking *l, const struct register_name *name, enum entry_kind kind)
{
    struct log_row *rows;
    size_t n;
    int rc = survey_entries_of(l->tx, name, kind, 0, ENTRIES_MAX, l->a, &rows, &n);
    for (size_t i = 0; !rc && !l->found && i < n; i++)
        if (strcmp(rows[i].entry.origin, l->origin) == 0)
            rc = entry_spent(l->tx, &rows[i].entry, &l->found);
    if (!rc && n == ENTRIES_MAX)
        l->found = true; // a snapshot looks at all of them
    return rc;
}

static int register_look(struct looking *l, const struct register_name *name)
{
    struct register_name lock = *name;
    bool tag = register_is_tag(name);
    lock.lock = true;
    int rc = kind_look(l, name, tag ? ENTRY_TAG : ENTRY_MANIFEST);
    if (!rc && !l->found)
        rc = kind_look(l, &lock, tag ? ENTRY_TAG_LOCK : ENTRY_MANIFEST_LOCK);
    return rc;
}

static int names_look(struct looking *l, const struct register_name *names, size_t n)
{
    int rc = 0;
    for (size_t i = 0; !rc && !l->found && i < n; i++)
        rc = register_look(l, &names[i]);
    return rc;
}

static int dead_look(struct looking *l, const char *registry, bool tags)
{
    struct arena chunks[2];
    struct register_name *names, after;
    struct dead_query q = {.registry = registry, .tags = tags, .upto = INT64_MAX};
    size_t n = NAMES_MAX, turn = 0;
    int rc = 0;
    arena_init(&chunks[0], 0);
    arena_init(&chunks[1], 0);
    while (!rc && !l->found && n == NAMES_MAX) {
        turn = !turn; // `after` lies in the other one
        arena_done(&chunks[turn]);
        arena_init(&chunks[turn], 0);
        l->a = &chunks[turn];
        rc = survey_dead(l->tx, &q, NAMES_MAX, l->a, &names, &n);
        if (!rc)
            rc = names_look(l, names, n);
        if (rc || !n)
            break;
        after = names[n - 1];
        q.after = &after;
    }
    l->a = NULL;
    arena_done(&chunks[0]);
    arena_done(&chunks[1]);
    return rc;
}

int meta_spent_any(struct meta *m, const char *origin, const char *const *registries, size_t n,
                   bool *out)
{
    struct looking l = {.origin = origin};
    int rc = backend_read_moment(m->b, &l.tx);
    if (rc)
        return rc;
    for (size_t i = 0; !rc && !l.found && i < n; i++) {
        rc = dead_look(&l, registries[i], true);
        if (!rc && !l.found)
            rc = dead_look(&l, registries[i], false);
    }
    tx_end(l.tx);
    if (!rc)
        *out = l.found;
    return rc;
}
