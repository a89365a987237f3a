// SPDX-License-Identifier: Apache-2.0
// Entries that were outdone leave the log; see meta_drop.h. Any thread; the rules run on the writer's.
//
// Invariants (design section 9)
//   4. (of the hard histories) The signed entry that made a register stays, and of a tag those of its
//      whole history.
//   7. Nothing goes above the stamp that was given, nothing that is not applied, and nothing because of
//      an entry that is not.
//   8. (of the hard histories, 14) Of each feed key the highest entry of a register stays: when the key
//      that made it is revoked, the register falls back to that.
#include "store/meta_drop.h"

#include "base/mem.h"
#include "store/meta_group.h"
#include "store/meta_kept.h"
#include "store/meta_unknown.h"

#include <stdio.h>
#include <string.h>

// Those that have registers.
static const enum entry_kind kinds[] = {ENTRY_MANIFEST,       ENTRY_MANIFEST_GONE, ENTRY_TAG,
                                        ENTRY_TAG_GONE,       ENTRY_MANIFEST_LOCK, ENTRY_TAG_LOCK,
                                        ENTRY_REPOSITORY_LOCK};

struct trim {
    struct tx *tx;
    const struct trim_ask *ask;
    struct dropped *out;
    struct arena *a;
    struct register_group *g;
};

// Rows of one register.
struct trim_rows {
    const struct log_row *rows;
    size_t n;
    // by row: it has no job
    bool *counts;
};

static int row_counts(struct tx *tx, const struct log_row *row, bool *out)
{
    int rc = job_exists(tx, row->id);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = rc == ERR_NOTFOUND;
    return 0;
}

// --- what a revocation falls back to ---

static bool outdoes(const struct feed_entry *a, const struct feed_entry *b)
{
    const struct register_value va = entry_value(a), vb = entry_value(b);
    return register_order(&va, &vb) > 0;
}

// Of a person's tombstones the one with the highest stamp counts, beside the highest of all.
static bool is_person(enum entry_kind kind, const struct feed_entry *e)
{
    bool gone = kind == ENTRY_MANIFEST_GONE || kind == ENTRY_TAG_GONE;
    return gone && !e->judged;
}

// 8: nothing by the same key outdoes rows[i].
static bool is_highest_of_key(enum entry_kind kind, const struct trim_rows *r, size_t i)
{
    const struct feed_entry *e = &r->rows[i].entry;
    bool of_all = true, of_persons = is_person(kind, e);
    if (entry_malformed(e))
        return false;
    for (size_t k = 0; k < r->n && (of_all || of_persons); k++) {
        const struct feed_entry *other = &r->rows[k].entry;
        if (k == i || !r->counts[k] || entry_malformed(other) || strcmp(other->key, e->key) != 0)
            continue;
        if (outdoes(other, e))
            of_all = false;
        if (is_person(kind, other) && entry_register_stamp(other) > entry_register_stamp(e))
            of_persons = false;
    }
    return of_all || of_persons;
}

// --- one register ---

static int rows_count(struct trim *t, struct trim_rows *r)
{
    int rc = 0;
    r->counts = arena_array(t->a, r->n, sizeof *r->counts);
    if (!r->counts)
        return ERR_NOMEM;
    for (size_t i = 0; !rc && i < r->n; i++)
        rc = row_counts(t->tx, &r->rows[i], &r->counts[i]);
    return rc;
}

static bool row_goes(const struct trim *t, enum entry_kind kind, const struct trim_rows *r,
                     size_t i)
{
    if (!r->counts[i] || r->rows[i].entry.stamp > t->ask->upto || group_has(t->g, r->rows[i].id))
        return false;
    return !is_highest_of_key(kind, r, i);
}

// 7: the rows are of one register.
static int group_trim(struct trim *t, enum entry_kind kind, const struct log_row *rows, size_t n)
{
    struct trim_rows r = {.rows = rows, .n = n};
    int rc = rows_count(t, &r);
    group_begin(t->g, kind, &rows[0].entry, NULL);
    for (size_t i = 0; !rc && i < n; i++)
        if (r.counts[i])
            group_take(t->g, &rows[i]);
    group_close(t->g);
    for (size_t i = 0; !rc && i < n; i++) {
        if (!row_goes(t, kind, &r, i))
            continue;
        t->out->n_entries++;
        rc = kept_drop(t->tx, &rows[i].entry, rows[i].id);
    }
    return rc;
}

static size_t group_end(const struct trim *t, enum entry_kind kind, const struct log_row *rows,
                        size_t from, size_t n)
{
    size_t to = from + 1;
    group_begin(t->g, kind, &rows[from].entry, NULL);
    while (to < n && group_is_of(t->g, &rows[to].entry))
        to++;
    return to;
}

static int rows_trim(struct trim *t, enum entry_kind kind, const struct log_row *rows, size_t n)
{
    int rc = 0;
    for (size_t from = 0; !rc && from < n;) {
        size_t to = group_end(t, kind, rows, from, n);
        rc = group_trim(t, kind, &rows[from], to - from);
        from = to;
    }
    return rc;
}

// --- a batch ---

struct batch {
    const struct trim_ask *ask;
    // as it was, and as it is behind the batch
    const struct trim_at *from;
    struct trim_at *to;
    struct dropped *out;
};

// To the next repository. *out_end: there is none.
static int repository_next(struct tx *tx, const struct batch *b, struct arena *a, bool *out_end)
{
    const char *name, *after = b->to->begun ? b->to->repository : NULL;
    int rc = survey_repository_next(tx, b->ask->origin, b->ask->registry, after, a, &name);
    *out_end = rc == ERR_NOTFOUND;
    if (rc)
        return missing_ok(rc);
    *b->to = (struct trim_at){.begun = true};
    snprintf(b->to->repository, sizeof b->to->repository, "%s", name);
    return 0;
}

// One kind of a repository, from `to` on; which then stands behind it.
static int kind_trim(struct trim *t, struct trim_at *to)
{
    struct log_row *rows;
    size_t n;
    const struct kind_query q = {.origin = t->ask->origin,
                                 .registry = t->ask->registry,
                                 .repository = to->repository,
                                 .kind = kinds[to->nth],
                                 .upto = {.epoch = INT64_MAX, .seq = INT64_MAX}};
    struct kind_at at = {.tag = to->tag, .digest = to->digest, .id = to->id};
    int rc = survey_kind_next(t->tx, &q, &at, t->ask->max, t->a, &rows, &n, &at);
    if (!rc)
        rc = rows_trim(t, q.kind, rows, n);
    if (rc)
        return rc;
    if (n < t->ask->max) {
        to->nth++;
        to->tag[0] = '\0';
        to->digest = (struct digest){0};
        to->id = 0;
        return 0;
    }
    if (at.tag != to->tag)
        snprintf(to->tag, sizeof to->tag, "%s", at.tag);
    to->digest = at.digest;
    to->id = at.id;
    return 0;
}

static int batch_with(struct trim *t, const struct batch *b)
{
    bool end = false;
    int rc = 0;
    *b->to = *b->from;
    *b->out = (struct dropped){0};
    if (!b->to->begun || b->to->nth == ARRAY_LEN(kinds))
        rc = repository_next(t->tx, b, t->a, &end);
    b->out->at_end = end;
    if (rc || end)
        return rc;
    rc = repository_frozen(t->tx, b->ask->registry, b->to->repository);
    if (rc == ERR_FROZEN) {
        b->to->nth = ARRAY_LEN(kinds);
        return 0;
    }
    return rc ? rc : kind_trim(t, b->to);
}

static int batch_run(struct tx *tx, void *arg)
{
    const struct batch *b = arg;
    struct arena a;
    arena_init(&a, 0);
    struct trim t = {
        .tx = tx, .ask = b->ask, .out = b->out, .a = &a, .g = arena_alloc(&a, sizeof *t.g)};
    int rc = ERR_NOMEM;
    if (t.g)
        rc = batch_with(&t, b);
    arena_done(&a);
    return rc;
}

int meta_trim(struct meta *m, const struct trim_ask *ask, struct trim_at *at, struct dropped *out)
{
    struct trim_at to;
    struct dropped result;
    struct batch b = {ask, at, &to, &result};
    int rc = meta_write(m, batch_run, &b, false);
    if (rc)
        return rc;
    *at = to;
    *out = result;
    return 0;
}
