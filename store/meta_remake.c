// SPDX-License-Identifier: Apache-2.0
// Registers made anew from the log, when entries that they may rest on are void (meta_void.c). See
// meta_priv.h.
//
// Invariants (design section 9)
//   2. A tag falls back only to a value whose manifest is here, or to one that is dead; a manifest
//      goes only when nothing holds it. Entries of values that would live and whose content is not
//      here become jobs again, as when they were read, and count no more until they are applied.
//   3. What a register becomes depends on the log alone, not on the order in which entries came or
//      were voided: of all that is left of it the highest wins. Of a register that is here the log
//      has all (store/meta_drop.h), so the bound of a tag's history does not matter.
#include "store/meta_merge.h"

#include "base/err.h"
#include "store/backend_tags.h"
#include "store/register_set.h"

#include <assert.h>
#include <string.h>

#define ENTRIES_MAX 1000 // of a register, read in one piece
#define TAGS_PAGE 100

// Calls `fn` for each entry of one kind that counts for a register, by id.
static int entries_each(struct tx *tx, const struct register_name *name, enum entry_kind kind,
                        int (*fn)(void *ctx, const struct log_row *row), void *ctx)
{
    int64_t after = 0;
    size_t n = ENTRIES_MAX;
    int rc = 0;
    while (!rc && n == ENTRIES_MAX) {
        struct arena a;
        struct log_row *rows;
        arena_init(&a, 0);
        rc = survey_entries_of(tx, name, kind, after, ENTRIES_MAX, &a, &rows, &n);
        for (size_t i = 0; !rc && i < n; i++)
            rc = fn(ctx, &rows[i]);
        if (!rc && n)
            after = rows[n - 1].id;
        arena_done(&a);
    }
    return rc;
}

// --- a manifest's presence ---

struct presence_remake {
    struct tx *tx;
    struct manifest_now m;
    // only values at or below the tombstone
    bool only_ended;
};

static int presence_entry(void *ctx, const struct log_row *row)
{
    struct presence_remake *p = ctx;
    struct register_value v = entry_value(&row->entry);
    if (!p->only_ended || register_order(&v, &p->m.gone.value) <= 0)
        (void)presence_take(&p->m, &row->entry);
    return 0;
}

static int gone_entry(void *ctx, const struct log_row *row)
{
    struct presence_remake *p = ctx;
    (void)presence_gone_take(&p->m, &row->entry);
    return 0;
}

// Its content is not here, so it is to be fetched: the entry waits for that.
static int presence_job(void *ctx, const struct log_row *row)
{
    struct presence_remake *p = ctx;
    struct register_value v = entry_value(&row->entry);
    if (register_order(&v, &p->m.gone.value) <= 0)
        return 0;
    return job_add(p->tx, row->id, &row->entry);
}

static void value_clear(struct manifest_now *m)
{
    static const struct register_value none = {.origin = ""};
    register_put(&m->value, &none);
    m->value.value.digest = m->digest;
    m->n_absent = 0;
    m->by[0] = '\0';
}

static int presence_read(struct tx *tx, const struct register_name *name, struct presence_remake *p)
{
    struct manifest_now fresh;
    manifest_none(&fresh, &name->digest);
    register_put(&p->m.gone, &fresh.gone.value);
    p->m.killed = 0;
    value_clear(&p->m);
    int rc = entries_each(tx, name, ENTRY_MANIFEST_GONE, gone_entry, p);
    if (rc)
        return rc;
    return entries_each(tx, name, ENTRY_MANIFEST, presence_entry, p);
}

// It would live by its own assertion, but its content is not here.
static int presence_ask(struct tx *tx, const struct register_name *name, struct presence_remake *p)
{
    if (p->m.here || !manifest_asserted(&p->m))
        return 0;
    int rc = entries_each(tx, name, ENTRY_MANIFEST, presence_job, p);
    if (rc)
        return rc;
    value_clear(&p->m);
    p->only_ended = true;
    return entries_each(tx, name, ENTRY_MANIFEST, presence_entry, p);
}

static int tag_remake(struct tx *tx, int64_t repo, const struct register_name *name);

// What killed them may be void.
static int tags_remake(struct tx *tx, int64_t repo, const struct register_name *name)
{
    char after[ENTRY_TAG_SIZE] = "";
    size_t n = TAGS_PAGE;
    int rc = 0;
    while (!rc && n == TAGS_PAGE) {
        struct arena a;
        const char **tags;
        arena_init(&a, 0);
        rc = tags_of(tx, repo, &name->digest, after, TAGS_PAGE, &a, &tags, &n);
        for (size_t i = 0; !rc && i < n; i++) {
            const struct register_name tag = {
                .registry = name->registry, .repository = name->repository, .tag = tags[i]};
            rc = tag_remake(tx, repo, &tag);
        }
        if (!rc && n)
            snprintf(after, sizeof after, "%s", tags[n - 1]);
        arena_done(&a);
    }
    return rc;
}

struct settle {
    int64_t repo;
    const struct digest *digest;
};

static int settle_run(struct tx *tx, void *arg)
{
    const struct settle *s = arg;
    struct digest missing;
    return manifest_settle(tx, s->repo, s->digest, &missing);
}

// Nothing is left of it.
static int row_drop(struct tx *tx, int64_t repo, const struct digest *digest)
{
    struct manifest_now m;
    int rc = manifest_look(tx, repo, digest, &m);
    if (rc)
        return missing_ok(rc);
    if (m.live || m.here || register_has(&m.value.value) || register_has(&m.gone.value))
        return 0;
    return manifest_remove(tx, repo, digest);
}

static int presence_remake(struct tx *tx, int64_t repo, const struct register_name *name)
{
    struct presence_remake p = {.tx = tx};
    struct settle s = {repo, &name->digest};
    bool there;
    tx->notify = true;
    int rc = manifest_read(tx, repo, &name->digest, &p.m, &there); // a lost row is made anew, too
    if (rc)
        return rc;
    uint64_t killed = p.m.killed;
    rc = presence_read(tx, name, &p);
    if (!rc)
        rc = presence_ask(tx, name, &p);
    if (!rc)
        rc = manifest_save(tx, repo, &p.m, (struct bytes){0});
    if (!rc && killed != p.m.killed)
        rc = tags_remake(tx, repo, name);
    if (rc)
        return rc;
    // What it lacks is asked for by the entries that lead to it.
    rc = tx_attempt(tx, settle_run, &s);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    return row_drop(tx, repo, &name->digest);
}

// --- a tag ---

struct version {
    struct register_value value;
    char by[BY_SIZE];
    // its content, or that of a child, is not here
    bool lacks;
};

struct tag_remake {
    struct tx *tx;
    struct arena *a;
    const struct register_name *name;
    // the highest ones, the highest first
    struct version list[META_HISTORY_MAX];
    size_t n;
    struct tag_now t;
};

static bool same_version(const struct register_value *a, const struct register_value *b)
{
    return a->stamp == b->stamp && strcmp(a->origin, b->origin) == 0 &&
           digest_equal(&a->digest, &b->digest);
}

static void version_remove(struct tag_remake *r, size_t at)
{
    memmove(&r->list[at], &r->list[at + 1], (r->n - at - 1) * sizeof r->list[0]);
    r->n--;
}

// A version comes once: the higher one of two that are the same stays.
static bool version_replaces(struct tag_remake *r, const struct register_value *v)
{
    for (size_t i = 0; i < r->n; i++) {
        if (!same_version(&r->list[i].value, v))
            continue;
        if (register_order(v, &r->list[i].value) <= 0)
            return false;
        version_remove(r, i);
        return true;
    }
    return true;
}

static int version_insert(struct tag_remake *r, const struct register_value *v, const char *by)
{
    size_t at = 0;
    if (!version_replaces(r, v))
        return 0;
    while (at < r->n && register_order(&r->list[at].value, v) > 0)
        at++;
    if (at == META_HISTORY_MAX)
        return 0;
    if (r->n == META_HISTORY_MAX)
        r->n--;
    memmove(&r->list[at + 1], &r->list[at], (r->n - at) * sizeof r->list[0]);
    r->n++;
    r->list[at] = (struct version){.value = *v};
    by_put(r->list[at].by, by);
    r->list[at].value.origin = arena_strdup(r->a, v->origin);
    return r->list[at].value.origin ? 0 : ERR_NOMEM;
}

static int version_entry(void *ctx, const struct log_row *row)
{
    struct tag_remake *r = ctx;
    struct register_value v = entry_value(&row->entry);
    if (v.gone)
        (void)tag_register_take(&r->t, &row->entry);
    return version_insert(r, &v, row->entry.by);
}

static int versions_save(struct tx *tx, int64_t repo, const struct tag_remake *r)
{
    int rc = tag_history_clear(tx, repo, r->name->tag);
    for (size_t i = 0; !rc && i < r->n; i++)
        rc = tag_history_add(tx, repo, r->name->tag, &r->list[i].value, r->list[i].by);
    return rc;
}

struct show {
    int64_t repo;
    struct tag_now *t;
    const struct tag_now *was;
};

static int show_run(struct tx *tx, void *arg)
{
    const struct show *s = arg;
    struct digest missing;
    return tag_settle(tx, s->repo, s->t, s->was, &missing);
}

// The highest value that is dead, or whose content is here (2).
static int value_choose(struct tx *tx, struct show *s, struct tag_remake *r)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->list[i].value.gone)
            continue;
        register_put(&r->t.value, &r->list[i].value);
        by_put(r->t.by, r->list[i].by);
        int rc = tx_attempt(tx, show_run, s);
        if (rc != ERR_NOTFOUND)
            return rc;
        r->list[i].lacks = true;
    }
    static const struct register_value none = {.origin = ""};
    register_put(&r->t.value, &none);
    r->t.by[0] = '\0';
    int rc = tx_attempt(tx, show_run, s);
    if (rc || register_has(&r->t.gone.value))
        return rc;
    return tag_remove(tx, s->repo, r->name->tag);
}

static int version_job(void *ctx, const struct log_row *row)
{
    struct tag_remake *r = ctx;
    struct register_value v = entry_value(&row->entry);
    for (size_t i = 0; i < r->n; i++)
        if (r->list[i].lacks && same_version(&r->list[i].value, &v))
            return job_add(r->tx, row->id, &row->entry);
    return 0;
}

static bool any_lacks(const struct tag_remake *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->list[i].lacks)
            return true;
    return false;
}

static int tag_remake_with(struct tx *tx, int64_t repo, struct tag_remake *r)
{
    struct tag_now was;
    struct show s = {repo, &r->t, NULL};
    int rc = tag_look(tx, repo, r->name->tag, &was);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (!rc)
        s.was = &was;
    tag_none(&r->t, r->name->tag);
    rc = entries_each(tx, r->name, ENTRY_TAG_GONE, version_entry, r);
    if (!rc)
        rc = entries_each(tx, r->name, ENTRY_TAG, version_entry, r);
    if (!rc)
        rc = versions_save(tx, repo, r);
    if (!rc)
        rc = value_choose(tx, &s, r);
    if (rc || !any_lacks(r))
        return rc;
    return entries_each(tx, r->name, ENTRY_TAG, version_job, r);
}

static int tag_remake(struct tx *tx, int64_t repo, const struct register_name *name)
{
    struct arena a;
    arena_init(&a, 0);
    struct tag_remake *r = arena_alloc(&a, sizeof *r);
    int rc = ERR_NOMEM;
    tx->notify = true;
    if (r) {
        *r = (struct tag_remake){.tx = tx, .a = &a, .name = name};
        rc = tag_remake_with(tx, repo, r);
    }
    arena_done(&a);
    return rc;
}

// --- a lock ---

struct lock_remake {
    struct lock_now l;
    int64_t repo, id;
    struct subject subject;
    struct feed_entry e;
    struct arena *a;
};

static enum entry_kind lock_kind(const struct register_name *name)
{
    if (*name->tag)
        return ENTRY_TAG_LOCK;
    if (name->digest.n)
        return ENTRY_MANIFEST_LOCK;
    return ENTRY_REPOSITORY_LOCK;
}

static int lock_entry(void *ctx, const struct log_row *row)
{
    struct lock_remake *r = ctx;
    if (lock_register_take(&r->l, &row->entry))
        r->id = row->id;
    return 0;
}

static int lock_merge_run(struct tx *tx, void *arg)
{
    struct lock_remake *r = arg;
    struct digest missing;
    return merge_lock(tx, r->repo, &r->e, &missing);
}

static int lock_unmake_run(struct tx *tx, void *arg)
{
    struct lock_remake *r = arg;
    struct digest missing;
    int rc = lock_remove(tx, r->repo, &r->subject);
    if (!rc && *r->subject.tag)
        rc = tag_settle_again(tx, r->repo, r->subject.tag, &missing);
    if (!rc && r->subject.digest.n)
        rc = tags_settle(tx, r->repo, &r->subject.digest, &missing);
    if (!rc && r->subject.digest.n)
        rc = manifest_lower(tx, r->repo, &r->subject.digest);
    return rc;
}

// The lock as if there were none, and then the highest one that can be applied.
static int lock_remake_with(struct tx *tx, const struct register_name *name, struct lock_remake *r)
{
    static const struct register_value none = {.origin = ""};
    int rc = lock_unmake_run(tx, r);
    while (!rc) {
        r->id = 0;
        register_put(&r->l.value, &none);
        r->l.write = r->l.del = false;
        rc = entries_each(tx, name, lock_kind(name), lock_entry, r);
        if (rc || !r->id)
            return rc;
        rc = log_get(tx, r->id, r->a, &r->e);
        if (!rc)
            rc = tx_attempt(tx, lock_merge_run, r);
        if (rc != ERR_NOTFOUND)
            return rc;
        rc = job_add(tx, r->id, &r->e); // it counts no more until it is applied
    }
    return rc;
}

static int lock_remake(struct tx *tx, int64_t repo, const struct register_name *name)
{
    struct arena a;
    arena_init(&a, 0);
    struct lock_remake r = {.repo = repo, .subject = {name->tag, name->digest}, .a = &a};
    tx->notify = true;
    int rc = lock_remake_with(tx, name, &r);
    arena_done(&a);
    return rc;
}

// --- any ---

int register_remake(struct tx *tx, const struct register_name *name)
{
    int64_t repo;
    int rc = repo_find(tx, name->registry, name->repository, &repo);
    if (rc)
        return missing_ok(rc); // nothing of it was ever applied
    if (name->lock)
        return lock_remake(tx, repo, name);
    if (register_is_tag(name))
        return tag_remake(tx, repo, name);
    return presence_remake(tx, repo, name);
}

static int top_put(const struct register_value *value, const struct register_value *gone,
                   struct register_now *out)
{
    const struct register_value *top = value;
    if (!register_has(value) || register_order(gone, value) > 0)
        top = gone;
    if (!register_has(top))
        return ERR_NOTFOUND;
    register_put(out, top);
    return 0;
}

int register_now_read(struct tx *tx, const struct register_name *name, struct register_now *out)
{
    struct tag_now t;
    struct manifest_now m;
    struct lock_now l;
    int64_t repo;
    int rc = repo_find(tx, name->registry, name->repository, &repo);
    if (rc)
        return rc;
    if (name->lock) {
        rc = lock_get(tx, repo, &(struct subject){name->tag, name->digest}, &l);
        if (!rc)
            register_put(out, &l.value.value);
        return rc;
    }
    if (register_is_tag(name)) {
        rc = tag_look(tx, repo, name->tag, &t);
        return rc ? rc : top_put(&t.value.value, &t.gone.value, out);
    }
    rc = manifest_look(tx, repo, &name->digest, &m);
    return rc ? rc : top_put(&m.value.value, &m.gone.value, out);
}

int register_shown_read(struct tx *tx, const struct register_name *name, struct digest *out)
{
    struct tag_now t;
    struct manifest_now m;
    int64_t repo;
    *out = (struct digest){0};
    int rc = repo_find(tx, name->registry, name->repository, &repo);
    if (rc || name->lock)
        return missing_ok(rc);
    if (register_is_tag(name)) {
        rc = tag_look(tx, repo, name->tag, &t);
        if (!rc && t.live)
            *out = t.value.value.digest;
        return missing_ok(rc);
    }
    rc = manifest_look(tx, repo, &name->digest, &m);
    if (!rc && m.live)
        *out = name->digest;
    return missing_ok(rc);
}
