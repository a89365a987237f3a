// SPDX-License-Identifier: Apache-2.0
// See meta_drop.h. Any thread; the rules run on the writer's.
//
// Invariants (design section 9)
//   4. (of the hard histories) A register that is here keeps the signed entries that made it: only
//      registers that are gone lose theirs, and their rows are made anew from what is left.
//   7. Nothing goes above the stamp that was given, nothing that is not applied, and nothing that
//      lives or holds something that lives.
#include "store/meta_drop.h"

#include "store/backend_chain.h"
#include "store/meta_kept.h"
#include "store/meta_merge.h"
#include "store/meta_unknown.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define ENTRIES_MAX 1000 // of one kind of a register, in one transaction

// What the log has of one kind of a register.
struct rows {
    struct log_row *list;
    size_t n;
};

struct drop {
    struct tx *tx;
    const struct drop_ask *ask;
    struct dropped *out;
    struct arena *a;
    const struct register_name *name;
    int64_t repo;
    struct rows values, gone, locks;
    // locks up to it are void
    uint64_t voids;
    // something of the register is not applied, lies above, or is too much for one transaction
    bool stays;
};

// --- what there is ---

static int rows_of(struct drop *d, const struct register_name *name, enum entry_kind kind,
                   struct rows *out)
{
    int rc = survey_open_of(d->tx, name, kind);
    if (!rc)
        d->stays = d->out->kept = true;
    rc = missing_ok(rc);
    if (rc)
        return rc;
    rc = survey_entries_of(d->tx, name, kind, 0, ENTRIES_MAX, d->a, &out->list, &out->n);
    if (rc)
        return rc;
    if (out->n == ENTRIES_MAX)
        d->out->kept = true; // the rest goes in the next round
    for (size_t i = 0; i < out->n; i++)
        d->stays = d->stays || out->list[i].entry.stamp > d->ask->upto;
    return 0;
}

static int lock_rows(struct drop *d, enum entry_kind kind)
{
    struct register_name lock = *d->name;
    lock.lock = true;
    return rows_of(d, &lock, kind, &d->locks);
}

static bool has_lock(const struct drop *d)
{
    return d->locks.n > 0;
}

// The one that counts; NULL: there is none.
static const struct log_row *lock_winner(const struct drop *d)
{
    static const struct register_value none = {.origin = ""};
    const struct log_row *won = NULL;
    struct lock_now l = {0};
    register_put(&l.value, &none);
    for (size_t i = 0; i < d->locks.n; i++)
        if (lock_register_take(&l, &d->locks.list[i].entry))
            won = &d->locks.list[i];
    return won;
}

// --- entries go ---

static int entry_drop(struct drop *d, const struct log_row *row)
{
    assert(row->entry.stamp <= d->ask->upto); // 7
    d->out->n_entries++;
    return kept_drop(d->tx, &row->entry, row->id);
}

static int rows_drop(struct drop *d, const struct rows *rows)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < rows->n; i++)
        rc = entry_drop(d, &rows->list[i]);
    return rc;
}

// Locks that another one outdid, or that a deletion ended. *out_n: how many.
static int void_locks_drop(struct drop *d, size_t *out_n)
{
    const struct log_row *won = lock_winner(d);
    int rc = 0;
    *out_n = 0;
    for (size_t i = 0; !rc && i < d->locks.n; i++) {
        const struct log_row *row = &d->locks.list[i];
        if (row == won && entry_register_stamp(&row->entry) > d->voids)
            continue;
        rc = entry_drop(d, row);
        ++*out_n;
    }
    return rc;
}

// --- the steps ---

static int register_anew(struct drop *d, bool lock)
{
    struct register_name name = *d->name;
    d->out->n_registers++;
    int rc = register_remake(d->tx, &name);
    name.lock = true;
    if (!rc && lock)
        rc = register_remake(d->tx, &name);
    return rc;
}

static int values_drop(struct drop *d)
{
    size_t n;
    int rc = void_locks_drop(d, &n);
    if (!rc)
        rc = rows_drop(d, &d->values);
    if (rc || n + d->values.n == 0)
        return rc;
    return register_anew(d, n > 0);
}

// A lock that says something, and is newer than what was deleted, keeps the tombstone.
static bool lock_counts(const struct drop *d)
{
    const struct log_row *won = lock_winner(d);
    if (!won)
        return false;
    return won->entry.lock_write || won->entry.lock_delete || d->locks.n > 1;
}

static int tombstones_drop(struct drop *d)
{
    if (d->values.n || !d->gone.n || lock_counts(d))
        return 0;
    int rc = rows_drop(d, &d->gone);
    if (!rc)
        rc = rows_drop(d, &d->locks);
    if (rc)
        return rc;
    return register_anew(d, has_lock(d));
}

static int step_run(struct drop *d)
{
    if (d->stays)
        return 0;
    if (d->ask->step == DROP_VALUES)
        return values_drop(d);
    return tombstones_drop(d);
}

// --- a tag ---

// Tombstones of the manifest may be what ended it.
static int killers_look(struct drop *d, const struct digest *digest)
{
    struct rows killers;
    const struct register_name manifest = {.registry = d->name->registry,
                                           .repository = d->name->repository,
                                           .tag = "",
                                           .digest = *digest};
    return rows_of(d, &manifest, ENTRY_MANIFEST_GONE, &killers);
}

static int tag_look_at(struct drop *d, bool *out_dead)
{
    struct tag_now t;
    struct manifest_now m;
    bool there, lives = false;
    int rc = tag_read(d->tx, d->repo, d->name->tag, &t, &there);
    if (!rc)
        rc = manifest_read(d->tx, d->repo, &t.value.value.digest, &m, &there);
    if (!rc)
        rc = tag_judge(d->tx, d->repo, &t, &m, &lives);
    if (rc)
        return rc;
    d->voids = stamp_max(t.ended, m.killed);
    *out_dead = !lives && !t.live;
    if (*out_dead && register_stands(&t.value.value, &t.gone.value))
        return killers_look(d, &t.value.value.digest);
    return 0;
}

static int tag_drop(struct drop *d)
{
    bool dead;
    int rc = tag_look_at(d, &dead);
    if (rc || !dead)
        return rc;
    rc = rows_of(d, d->name, ENTRY_TAG, &d->values);
    if (!rc)
        rc = rows_of(d, d->name, ENTRY_TAG_GONE, &d->gone);
    if (!rc)
        rc = lock_rows(d, ENTRY_TAG_LOCK);
    return rc ? rc : step_run(d);
}

// --- a manifest ---

// No tag leads to it, dead ones neither: it may be what ended them.
static int leads_nowhere(struct drop *d, bool *out)
{
    const char **tags;
    size_t n;
    int rc = tags_of(d->tx, d->repo, &d->name->digest, "", 1, d->a, &tags, &n);
    if (!rc)
        *out = n == 0;
    return rc;
}

static int manifest_dead(struct drop *d, bool *out)
{
    struct manifest_now m;
    bool held = true;
    *out = false;
    int rc = manifest_look(d->tx, d->repo, &d->name->digest, &m);
    if (rc)
        return missing_ok(rc);
    d->voids = m.killed;
    if (m.live || manifest_asserted(&m))
        return 0;
    rc = manifest_hold_judge(d->tx, d->repo, &m, &held);
    if (!rc && !held && d->ask->step == DROP_TOMBSTONES) {
        bool alone = false;
        rc = leads_nowhere(d, &alone);
        held = !alone;
    }
    if (rc || held)
        return rc;
    *out = true;
    return 0;
}

static int manifest_content_go(struct drop *d)
{
    struct manifest_now m;
    int rc = manifest_look(d->tx, d->repo, &d->name->digest, &m);
    if (rc || !m.here)
        return missing_ok(rc);
    rc = pulled_remove(d->tx, d->repo, &d->name->digest);
    if (rc)
        return rc;
    return manifest_content_drop(d->tx, d->repo, &d->name->digest);
}

static int manifest_drop(struct drop *d)
{
    bool dead;
    int rc = manifest_dead(d, &dead);
    if (rc || !dead)
        return rc;
    rc = rows_of(d, d->name, ENTRY_MANIFEST, &d->values);
    if (!rc)
        rc = rows_of(d, d->name, ENTRY_MANIFEST_GONE, &d->gone);
    if (!rc)
        rc = lock_rows(d, ENTRY_MANIFEST_LOCK);
    if (!rc && !d->stays && d->values.n + d->gone.n > 0)
        rc = manifest_content_go(d);
    return rc ? rc : step_run(d);
}

// --- a batch ---

static int register_drop(struct tx *tx, const struct drop_ask *ask,
                         const struct register_name *name, struct dropped *out)
{
    struct arena a;
    struct drop d = {.tx = tx, .ask = ask, .out = out, .a = &a, .name = name};
    int rc = repository_frozen(tx, name->registry, name->repository);
    if (rc == ERR_FROZEN) {
        out->kept = true;
        return 0;
    }
    if (!rc)
        rc = repo_find(tx, name->registry, name->repository, &d.repo);
    if (rc)
        return rc;
    arena_init(&a, 0);
    rc = register_is_tag(name) ? tag_drop(&d) : manifest_drop(&d);
    arena_done(&a);
    return rc;
}

struct batch {
    const struct drop_ask *ask;
    // as it was, and as it is behind the batch
    const struct drop_at *from;
    struct drop_at *to;
    struct dropped *out;
};

static void at_put(struct drop_at *at, const struct register_name *name)
{
    at->begun = true;
    snprintf(at->repository, sizeof at->repository, "%s", name->repository);
    snprintf(at->tag, sizeof at->tag, "%s", name->tag);
    at->digest = name->digest;
}

// Tags first: what leads to a manifest goes before it.
static int batch_run(struct tx *tx, void *arg)
{
    const struct batch *b = arg;
    struct arena a;
    struct register_name *names;
    size_t n;
    struct drop_at at = *b->from;
    const struct register_name after = {
        .repository = at.repository, .tag = at.tag, .digest = at.digest};
    const struct dead_query q = {.registry = b->ask->registry,
                                 .tags = !at.manifests,
                                 .upto = b->ask->upto,
                                 .after = at.begun ? &after : NULL};
    *b->out = (struct dropped){0};
    arena_init(&a, 0);
    int rc = survey_dead(tx, &q, b->ask->max, &a, &names, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        at_put(b->to, &names[i]);
        rc = register_drop(tx, b->ask, &names[i], b->out);
    }
    arena_done(&a);
    if (rc)
        return rc;
    b->to->manifests = at.manifests;
    if (n < b->ask->max) {
        b->out->at_end = at.manifests;
        *b->to = (struct drop_at){.manifests = true};
    }
    return 0;
}

int meta_drop(struct meta *m, const struct drop_ask *ask, struct drop_at *at, struct dropped *out)
{
    struct drop_at to = *at;
    struct dropped result;
    struct batch b = {ask, at, &to, &result};
    int rc = meta_write(m, batch_run, &b, false);
    if (rc)
        return rc;
    *at = to;
    *out = result;
    return 0;
}
