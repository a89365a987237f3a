// SPDX-License-Identifier: Apache-2.0
// Judging what another region has of a subject beside what is here, and mending it; see
// meta_differ.h. Any thread. The look itself is meta_differ_look.c.
#include "store/meta_differ.h"

#include "base/err.h"
#include "store/meta_differ_priv.h"
#include "store/meta_merge.h"
#include "store/meta_proven.h"

#include <assert.h>
#include <string.h>

// --- the rule ---

enum differ_verdict differ_rule(const struct differ_facts *f)
{
    if (f->lacks_here)
        return DIFFER_LACKS;
    if (f->open_here)
        return f->same ? DIFFER_SAME : DIFFER_LAGS;
    if (!f->agrees_here)
        return DIFFER_WRONG_HERE;
    if (f->same)
        return DIFFER_SAME;
    if (f->revived_there)
        return DIFFER_WRONG_THERE;
    if (f->behind_here || f->open_there || f->behind_there)
        return DIFFER_LAGS;
    if (f->lacks_there || !f->agrees_there)
        return DIFFER_WRONG_THERE;
    return DIFFER_LAGS;
}

const char *differ_verdict_name(enum differ_verdict v)
{
    static const char *const names[] = {
        [DIFFER_SAME] = "same",
        [DIFFER_LAGS] = "lags",
        [DIFFER_LACKS] = "lacks",
        [DIFFER_WRONG_HERE] = "wrong here",
        [DIFFER_WRONG_THERE] = "wrong there",
    };
    return names[v];
}

// --- what is told beside what is here ---

struct judge {
    struct tx *tx;
    const struct differ_told *told;
    const struct differ_deciding *here;
    // the own one of the registry
    uint64_t floor;
    struct differ_judgement *out;
};

// --- what a floor explains ---

static bool shows(const struct differ_look *l)
{
    return l->text[0] != '\0';
}

// Would the tombstone end the value that is here?
static bool ends_value(const struct differ_deciding *d, const struct feed_entry *e)
{
    const struct register_value gone = entry_value(e), *v = &d->manifest.value.value;
    if (*d->tag.tag)
        v = &d->tag.value.value;
    if (!register_has(v))
        return false;
    if (*d->tag.tag && e->kind == ENTRY_MANIFEST_GONE)
        return tag_killed(v, gone.stamp);
    return !register_stands(v, &gone);
}

// It may have been dropped here, or would be refused (store/floor.h).
static bool dropped_here(const struct judge *j, const struct feed_entry *e)
{
    if (entry_register_stamp(e) > j->floor)
        return false;
    if (entry_gone(e))
        return !ends_value(j->here, e);
    if (entry_has(e, ENTRY_IS_LOCK))
        return !register_has(&j->here->lock.value.value);
    return !shows(&j->here->look);
}

// It may have been dropped there. A lock may be void, and then it went with what it locked.
static bool dropped_there(const struct judge *j, const struct feed_entry *e)
{
    if (entry_register_stamp(e) > j->told->floor)
        return false;
    return entry_gone(e) || entry_has(e, ENTRY_IS_LOCK) || !shows(&j->here->look);
}

// An entry in the other region's list that the log here does not have.
static int absent_judge(struct judge *j, const struct feed_entry *e)
{
    struct differ_facts *f = &j->out->facts;
    struct feed_mark read;
    const struct feed_mark place = entry_mark(e);
    bool own = strcmp(e->origin, j->tx->region) == 0;
    int rc = mark_get(j->tx, e->origin, e->partition, &read);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    bool passed = !rc && !own && feed_mark_order(&place, &read) <= 0;
    if (!passed) {
        f->behind_here = true;
        return 0;
    }
    if (!deciding_would_change(j->here, e))
        return 0; // outdone here: it may have been left out, or trimmed
    if (dropped_here(j, e))
        return 0;
    assert(j->out->n_lacks < DIFFER_ENTRIES_MAX);
    j->out->lacks[j->out->n_lacks++] = e;
    f->lacks_here = true;
    return 0;
}

static int told_entry_judge(struct judge *j, const struct feed_entry *e)
{
    struct differ_facts *f = &j->out->facts;
    int64_t id;
    int rc = entry_is_void(j->tx, e);
    if (!rc) {
        f->behind_here = true;
        return 0;
    }
    if (rc != ERR_NOTFOUND)
        return rc;
    rc = log_held(j->tx, e, &id);
    if (rc == ERR_NOTFOUND)
        return absent_judge(j, e);
    if (rc == ERR_CONFLICT) {
        f->behind_here = true;
        return 0;
    }
    return rc;
}

static bool told_has(const struct differ_told *told, const struct feed_entry *e)
{
    for (size_t i = 0; i < told->look.n; i++) {
        const struct feed_entry *t = &told->look.entries[i];
        const struct feed_mark a = entry_mark(t), b = entry_mark(e);
        if (strcmp(t->origin, e->origin) == 0 && feed_mark_order(&a, &b) == 0 &&
            memcmp(a.hash, b.hash, sizeof a.hash) == 0)
            return true;
    }
    return false;
}

static bool told_applied(const struct differ_told *told, const struct feed_entry *e)
{
    const struct feed_mark place = entry_mark(e);
    for (size_t i = 0; i < told->n_places; i++)
        if (strcmp(told->places[i].origin, e->origin) == 0)
            return feed_mark_order(&place, &told->places[i].applied) <= 0;
    return false;
}

// An entry that decides here: has the other region passed it, and does not have it?
static void own_entry_judge(struct judge *j, const struct feed_entry *e)
{
    struct differ_facts *f = &j->out->facts;
    if (told_has(j->told, e))
        return;
    if (dropped_there(j, e))
        return;
    if (told_applied(j->told, e))
        f->lacks_there = true;
    else
        f->behind_there = true;
}

// It shows only what lies at or below our floor, nothing is here, and its own floor is lower.
static bool is_revived(const struct judge *j)
{
    const struct differ_look *there = &j->told->look;
    if (!shows(there) || shows(&j->here->look) || j->told->floor >= j->floor)
        return false;
    for (size_t i = 0; i < there->n; i++)
        if (entry_register_stamp(&there->entries[i]) > j->floor)
            return false;
    return there->n > 0;
}

static int subject_judge(struct judge *j)
{
    const struct differ_look *here = &j->here->look, *there = &j->told->look;
    struct differ_facts *f = &j->out->facts;
    int rc = 0;
    f->same = strcmp(here->text, there->text) == 0;
    f->open_here = here->open;
    f->agrees_here = here->agrees;
    f->open_there = there->open;
    f->agrees_there = there->agrees;
    for (size_t i = 0; !rc && i < there->n; i++)
        rc = told_entry_judge(j, &there->entries[i]);
    for (size_t i = 0; i < here->n; i++)
        own_entry_judge(j, &here->entries[i]);
    f->revived_there = is_revived(j);
    j->out->verdict = differ_rule(f);
    j->out->text = here->text;
    return rc;
}

int meta_differ_judge(struct meta *m, const char *registry, const char *repository,
                      const struct shown_subject *s, const struct differ_told *told,
                      struct arena *a, struct differ_judgement *out)
{
    struct differ_judgement result = {.verdict = DIFFER_SAME};
    struct judge j = {.told = told, .out = &result};
    if (told->look.n > DIFFER_ENTRIES_MAX)
        return ERR_INVAL;
    struct differ_deciding *here = arena_alloc(a, sizeof *here);
    if (!here)
        return ERR_NOMEM;
    int rc = backend_read_moment(m->b, &j.tx);
    if (rc)
        return rc;
    j.here = here;
    rc = deciding_read(j.tx, registry, repository, s, a, here);
    if (!rc)
        rc = floor_read(j.tx, registry, &j.floor);
    if (!rc)
        rc = subject_judge(&j);
    tx_end(j.tx);
    if (!rc)
        *out = result;
    return rc;
}

// --- how far origins are applied ---

int meta_differ_places(struct meta *m, struct arena *a, struct differ_place **out, size_t *out_n)
{
    struct origin_status *origins;
    struct feed_mark own;
    size_t n = 0, n_origins;
    int rc = meta_origins(m, a, &origins, &n_origins);
    if (!rc)
        rc = meta_head(m, m->o.region, &own);
    if (rc)
        return rc;
    struct differ_place *list = arena_array(a, n_origins + 1, sizeof *list);
    const char *self = arena_strdup(a, m->o.region);
    if (!list || !self)
        return ERR_NOMEM;
    bool has_self = false;
    for (size_t i = 0; i < n_origins; i++) {
        list[n++] = (struct differ_place){origins[i].origin, origins[i].applied};
        has_self = has_self || strcmp(origins[i].origin, self) == 0;
    }
    if (!has_self)
        list[n++] = (struct differ_place){self, own};
    *out = list;
    *out_n = n;
    return 0;
}

// --- what lacks comes in ---

int meta_differ_take(struct meta *m, const struct feed_entry *e)
{
    return meta_proven_take(m, e);
}

// --- what is wrong here is made anew ---

struct mend {
    const char *registry, *repository;
    const struct shown_subject *subject;
    struct arena *a;
    struct differ_deciding *d;
    bool changed;
};

// A row above all that the log has rests on what the log lost: the log would undo a write.
static bool value_is_wrong(const struct differ_deciding *d)
{
    return !d->register_agrees && !d->register_above;
}

static bool lock_is_wrong(const struct differ_deciding *d)
{
    return !d->lock_agrees && !d->lock_above;
}

static int registers_remake(struct tx *tx, const struct mend *w)
{
    bool value = value_is_wrong(w->d), lock = lock_is_wrong(w->d);
    struct register_name name = {.registry = w->registry,
                                 .repository = w->repository,
                                 .tag = w->subject->tag,
                                 .digest = w->subject->digest};
    int64_t repo;
    int rc = repo_make(tx, w->registry, w->repository, &repo);
    if (!rc && value && w->subject->kind != SUBJECT_REPOSITORY)
        rc = register_remake(tx, &name);
    name.lock = true;
    if (!rc && lock)
        rc = register_remake(tx, &name);
    return rc;
}

static int mend_run(struct tx *tx, void *arg)
{
    struct mend *w = arg;
    w->changed = false;
    int rc = deciding_read(tx, w->registry, w->repository, w->subject, w->a, w->d);
    if (rc || w->d->look.agrees)
        return rc;
    if (!value_is_wrong(w->d) && !lock_is_wrong(w->d))
        return ERR_CONFLICT;
    rc = registers_remake(tx, w);
    if (rc)
        return rc;
    w->changed = true;
    return deciding_read(tx, w->registry, w->repository, w->subject, w->a, w->d);
}

int meta_differ_mend(struct meta *m, const char *registry, const char *repository,
                     const struct shown_subject *s, struct arena *a, struct differ_look *out,
                     bool *out_changed)
{
    struct mend w = {registry, repository, s, a, arena_alloc(a, sizeof *w.d), false};
    if (!w.d)
        return ERR_NOMEM;
    int rc = meta_write(m, mend_run, &w, false);
    if (rc)
        return rc;
    *out = w.d->look;
    *out_changed = w.changed;
    return 0;
}
