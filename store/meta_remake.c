// SPDX-License-Identifier: Apache-2.0
// Registers made anew from the log, when entries that they may rest on are void (meta_void.c). See
// meta_priv.h.
//
// Invariants (design section 9)
//   2. A tag falls back only to a manifest that is visible; a manifest goes only when no tag and no
//      index leads to it.
//   3. What a register becomes depends on the log alone, not on the order in which entries came or
//      were voided: of all that is left of it the highest wins. The log is never trimmed, so the
//      bound of a tag's history does not matter.
#include "store/meta_priv.h"

#include "base/err.h"
#include "store/register_set.h"

#include <assert.h>
#include <string.h>

#define ENTRIES_MAX 1000 // of a tag, read in one piece

// --- a manifest's presence ---

struct digests {
    struct arena *a;
    struct digest *list;
    size_t n, cap;
};

static int digests_add(struct digests *l, const struct digest *d, size_t n)
{
    if (l->n + n > l->cap) { // the old array stays behind in the arena: at most as much again
        size_t cap = 2 * (l->n + n);
        struct digest *more = arena_array(l->a, cap, sizeof *more);
        if (!more)
            return ERR_NOMEM;
        if (l->n)
            memcpy(more, l->list, l->n * sizeof *more);
        l->list = more;
        l->cap = cap;
    }
    if (n)
        memcpy(l->list + l->n, d, n * sizeof *d);
    l->n += n;
    return 0;
}

// 0: nobody asserts this manifest, and nothing leads to it. ERR_NOTFOUND: it stays, or is gone.
static int may_go(struct tx *tx, int64_t repo, const struct digest *digest)
{
    struct register_now here;
    int rc = presence_get(tx, repo, digest, &here, NULL);
    if (rc)
        return rc;
    if (here.value.stamp != 0)
        return ERR_NOTFOUND;
    rc = manifest_reached(tx, repo, digest);
    if (rc == ERR_NOTFOUND)
        return 0;
    return rc ? rc : ERR_NOTFOUND;
}

// Removes the manifest, and adds its children to the list: they may have hung on it alone.
static int manifest_go(struct tx *tx, int64_t repo, const struct digest *digest, struct digests *l)
{
    struct digest *children;
    size_t n;
    int rc = manifest_children(tx, repo, digest, l->a, &children, &n);
    if (rc)
        return rc;
    rc = digests_add(l, children, n);
    if (rc)
        return rc;
    rc = links_manifest_dead(tx, repo, digest);
    if (rc)
        return rc;
    tx->notify = true;
    return manifest_remove(tx, repo, digest);
}

static int settle(struct tx *tx, int64_t repo, const struct digest *digest, struct digests *l)
{
    int rc = digests_add(l, digest, 1);
    if (rc)
        return rc;
    for (size_t i = 0; i < l->n; i++) {
        struct digest d = l->list[i];
        rc = may_go(tx, repo, &d);
        if (!rc)
            rc = manifest_go(tx, repo, &d, l);
        if (rc && rc != ERR_NOTFOUND)
            return rc;
    }
    return 0;
}

int presence_settle(struct tx *tx, int64_t repo, const struct digest *digest)
{
    int rc = may_go(tx, repo, digest);
    if (rc)
        return missing_ok(rc); // it stays, as a rule
    struct arena a;
    arena_init(&a, 0);
    struct digests l = {.a = &a};
    rc = settle(tx, repo, digest, &l);
    arena_done(&a);
    return rc;
}

// The highest value left, with its media type. Without one: no value, below all; the manifest stays
// for as long as a tag or an index leads to it.
static int presence_value_set(struct tx *tx, int64_t repo, const struct register_name *name,
                              struct arena *a)
{
    struct register_value best = {.origin = "", .digest = name->digest};
    const char *media_type = NULL;
    int rc = survey_presence_value(tx, name, a, &best, &media_type);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    return presence_set(tx, repo, &best, media_type);
}

static int presence_remake(struct tx *tx, int64_t repo, const struct register_name *name)
{
    int rc = manifest_visible(tx, repo, &name->digest);
    tx->notify = true;
    if (rc)
        return missing_ok(rc);
    struct arena a;
    arena_init(&a, 0);
    rc = presence_value_set(tx, repo, name, &a);
    arena_done(&a);
    if (rc)
        return rc;
    return presence_settle(tx, repo, &name->digest);
}

// --- a tag ---

// The first of these values, the highest first, whose manifest is visible (2).
static int visible_find(struct tx *tx, int64_t repo, const struct register_value *values, size_t n,
                        const struct register_value **out)
{
    for (size_t i = 0; i < n; i++) {
        if (i && register_order(&values[i - 1], &values[i]) <= 0)
            return ERR_CORRUPT; // 3: the backend gives the highest first
        int rc = manifest_visible(tx, repo, &values[i].digest);
        if (rc == ERR_NOTFOUND)
            continue;
        if (!rc)
            *out = &values[i];
        return rc;
    }
    return ERR_NOTFOUND;
}

static int history_remake(struct tx *tx, int64_t repo, const char *tag,
                          const struct register_value *values, size_t n)
{
    int rc = tag_history_clear(tx, repo, tag);
    for (size_t i = 0; !rc && i < n; i++)
        rc = tag_history_add(tx, repo, tag, &values[i]);
    return rc;
}

// The tag's history, and its value: *out_value is below all when it has none any more.
static int value_remake(struct tx *tx, int64_t repo, const struct register_name *name,
                        struct arena *a, struct register_value *out_value)
{
    struct register_value *values;
    const struct register_value *best = NULL;
    size_t n;
    int rc = survey_tag_values(tx, name, META_HISTORY_MAX, a, &values, &n);
    if (rc)
        return rc;
    assert(n <= META_HISTORY_MAX);
    rc = history_remake(tx, repo, name->tag, values, n);
    if (rc)
        return rc;
    rc = visible_find(tx, repo, values, n, &best);
    if (rc == ERR_NOTFOUND) {
        *out_value = (struct register_value){.origin = ""};
        return tag_remove(tx, repo, name->tag);
    }
    if (rc)
        return rc;
    *out_value = *best;
    return tag_set(tx, repo, name->tag, best);
}

static int jobs_add_missing(struct tx *tx, int64_t repo, const struct log_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int rc = manifest_visible(tx, repo, &rows[i].entry.digest);
        if (rc == ERR_NOTFOUND)
            rc = job_add(tx, rows[i].id, &rows[i].entry);
        if (rc)
            return rc;
    }
    return 0;
}

// An entry above the value that is shown waits for its manifest, as when it was read.
static int jobs_remake(struct tx *tx, int64_t repo, const struct register_name *name,
                       const struct register_value *shown)
{
    int64_t after = 0;
    size_t n = ENTRIES_MAX;
    int rc = 0;
    while (!rc && n == ENTRIES_MAX) {
        struct arena a;
        struct log_row *rows;
        arena_init(&a, 0);
        rc = survey_tag_entries(tx, name, shown, after, ENTRIES_MAX, &a, &rows, &n);
        if (!rc)
            rc = jobs_add_missing(tx, repo, rows, n);
        if (!rc && n)
            after = rows[n - 1].id;
        arena_done(&a);
    }
    return rc;
}

static int tag_remake(struct tx *tx, int64_t repo, const struct register_name *name)
{
    struct arena a;
    struct register_now was;
    struct register_value shown;
    int rc = tag_get(tx, repo, name->tag, &was);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    bool had_value = rc == 0;
    tx->notify = true;
    arena_init(&a, 0);
    rc = value_remake(tx, repo, name, &a, &shown);
    if (!rc)
        rc = jobs_remake(tx, repo, name, &shown);
    bool has_value = !rc && *shown.origin;
    arena_done(&a);
    if (rc)
        return rc;
    rc = usage_tags(tx, repo, (int64_t)has_value - (int64_t)had_value);
    if (rc || !had_value)
        return rc;
    return presence_settle(tx, repo, &was.value.digest);
}

// --- either ---

int register_remake(struct tx *tx, const struct register_name *name)
{
    int64_t repo;
    int rc = repo_find(tx, name->registry, name->repository, &repo);
    if (rc)
        return missing_ok(rc); // nothing of it was ever applied
    if (register_is_tag(name))
        return tag_remake(tx, repo, name);
    return presence_remake(tx, repo, name);
}

int register_now_read(struct tx *tx, const struct register_name *name, struct register_now *out)
{
    int64_t repo;
    int rc = repo_find(tx, name->registry, name->repository, &repo);
    if (rc)
        return rc;
    if (register_is_tag(name))
        return tag_get(tx, repo, name->tag, out);
    return presence_get(tx, repo, &name->digest, out, NULL);
}
