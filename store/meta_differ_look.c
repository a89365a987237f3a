// SPDX-License-Identifier: Apache-2.0
// What this region has of a subject: what is shown, the entries that decide it, and whether its rows
// are what these entries make them. See meta_differ.h; any thread, in any transaction.
#include "store/meta_differ_priv.h"

#include "base/err.h"
#include "store/backend_survey.h"
#include "store/meta_merge.h"
#include "store/meta_shown_priv.h"

#include <assert.h>
#include <string.h>

#define ENTRIES_PAGE 500 // of a register, read in one piece
#define TEXT_MAX (16u << 10)

// --- registers from the log, and which entries made them ---

struct maker {
    struct tx *tx;
    const char *registry, *repository;
    const struct shown_subject *subject;
    struct arena *a;
    struct differ_deciding *d;
    // of the list; 0: none
    int64_t value_id, gone_id, person_id, lock_id, killer_id, manifest_lock_id;
};

typedef void take_fn(struct maker *k, const struct log_row *row);

static int entries_take(struct maker *k, const struct register_name *name, enum entry_kind kind,
                        take_fn *fn)
{
    int64_t after = 0;
    size_t n = ENTRIES_PAGE;
    int rc = survey_open_of(k->tx, name, kind);
    if (!rc)
        k->d->look.open = true;
    rc = missing_ok(rc);
    while (!rc && n == ENTRIES_PAGE) {
        struct arena a;
        struct log_row *rows;
        arena_init(&a, 0);
        rc = survey_entries_of(k->tx, name, kind, after, ENTRIES_PAGE, &a, &rows, &n);
        for (size_t i = 0; !rc && i < n; i++)
            fn(k, &rows[i]);
        if (!rc && n)
            after = rows[n - 1].id;
        arena_done(&a);
    }
    return rc;
}

static void presence_value(struct maker *k, const struct log_row *row)
{
    if (presence_take(&k->d->manifest, &row->entry))
        k->value_id = row->id;
}

static bool is_higher(const struct feed_entry *e, const struct register_value *than)
{
    const struct register_value v = entry_value(e);
    return register_order(&v, than) > 0;
}

static bool kills_more(const struct feed_entry *e, uint64_t than)
{
    return !e->judged && entry_register_stamp(e) > than;
}

static void presence_gone(struct maker *k, const struct log_row *row)
{
    struct manifest_now *m = &k->d->manifest;
    if (is_higher(&row->entry, &m->gone.value))
        k->gone_id = row->id;
    if (kills_more(&row->entry, m->killed))
        k->person_id = row->id;
    (void)presence_gone_take(m, &row->entry);
}

// Of the manifest that a tag leads to: only what kills tags counts.
static void killer(struct maker *k, const struct log_row *row)
{
    if (kills_more(&row->entry, k->d->manifest.killed))
        k->killer_id = row->id;
    (void)presence_gone_take(&k->d->manifest, &row->entry);
}

static void tag_value(struct maker *k, const struct log_row *row)
{
    if (tag_register_take(&k->d->tag, &row->entry))
        k->value_id = row->id;
}

static void tag_gone(struct maker *k, const struct log_row *row)
{
    struct tag_now *t = &k->d->tag;
    if (!register_has(&t->gone.value) || is_higher(&row->entry, &t->gone.value))
        k->gone_id = row->id;
    if (kills_more(&row->entry, t->ended))
        k->person_id = row->id;
    (void)tag_register_take(t, &row->entry);
}

static void lock_value(struct maker *k, const struct log_row *row)
{
    if (lock_register_take(&k->d->lock, &row->entry))
        k->lock_id = row->id;
}

static void manifest_lock_value(struct maker *k, const struct log_row *row)
{
    if (lock_register_take(&k->d->manifest_lock, &row->entry))
        k->manifest_lock_id = row->id;
}

static struct register_name name_of(const struct maker *k, bool lock)
{
    return (struct register_name){.registry = k->registry,
                                  .repository = k->repository,
                                  .tag = k->subject->tag,
                                  .digest = k->subject->digest,
                                  .lock = lock};
}

static int manifest_take(struct maker *k)
{
    const struct register_name name = name_of(k, false);
    int rc = entries_take(k, &name, ENTRY_MANIFEST, presence_value);
    if (!rc)
        rc = entries_take(k, &name, ENTRY_MANIFEST_GONE, presence_gone);
    if (!rc)
        rc = entries_take(k, &name, ENTRY_MANIFEST_LOCK, lock_value);
    return rc;
}

static int tag_take(struct maker *k)
{
    const struct register_name name = name_of(k, false);
    int rc = entries_take(k, &name, ENTRY_TAG, tag_value);
    if (!rc)
        rc = entries_take(k, &name, ENTRY_TAG_GONE, tag_gone);
    if (!rc)
        rc = entries_take(k, &name, ENTRY_TAG_LOCK, lock_value);
    if (rc || !register_has(&k->d->tag.value.value))
        return rc;
    struct register_name manifest = name;
    manifest.tag = "";
    manifest.digest = k->d->tag.value.value.digest;
    manifest_none(&k->d->manifest, &manifest.digest);
    rc = entries_take(k, &manifest, ENTRY_MANIFEST_GONE, killer);
    if (!rc)
        rc = entries_take(k, &manifest, ENTRY_MANIFEST_LOCK, manifest_lock_value);
    return rc;
}

static int registers_take(struct maker *k)
{
    const struct register_name lock = name_of(k, true);
    switch (k->subject->kind) {
    case SUBJECT_MANIFEST:
        return manifest_take(k);
    case SUBJECT_TAG:
        return tag_take(k);
    case SUBJECT_REPOSITORY:
        return entries_take(k, &lock, ENTRY_REPOSITORY_LOCK, lock_value);
    case SUBJECT_OTHER:
        break;
    }
    return ERR_INVAL;
}

// --- rows beside them ---

static bool same_write(const struct register_value *a, const struct register_value *b)
{
    if (!register_has(a) || !register_has(b))
        return register_has(a) == register_has(b);
    return a->stamp == b->stamp && a->epoch == b->epoch && strcmp(a->origin, b->origin) == 0;
}

static uint64_t top_of(const struct register_now *value, const struct register_now *gone)
{
    uint64_t a = value->value.stamp, b = gone->value.stamp;
    return a > b ? a : b;
}

static int lock_agrees(struct tx *tx, int64_t repo, const struct subject *s,
                       struct differ_deciding *d)
{
    struct lock_now row;
    const struct lock_now *log = &d->lock;
    bool *out = &d->lock_agrees;
    int rc = lock_get(tx, repo, s, &row);
    if (rc == ERR_NOTFOUND) {
        *out = !register_has(&log->value.value);
        return 0;
    }
    if (rc)
        return rc;
    *out = same_write(&row.value.value, &log->value.value) && row.write == log->write &&
           row.del == log->del;
    d->lock_above = row.value.value.stamp > log->value.value.stamp;
    return 0;
}

static bool presence_agrees(const struct manifest_now *row, const struct manifest_now *log)
{
    if (!same_write(&row->value.value, &log->value.value) ||
        !same_write(&row->gone.value, &log->gone.value) || row->killed != log->killed)
        return false;
    if (!register_has(&log->value.value))
        return true;
    return strcmp(row->media_type, log->media_type) == 0 &&
           bytes_equal(bytes_of(row->absent, row->n_absent), bytes_of(log->absent, log->n_absent));
}

// The content of a manifest that is asserted is here, unless a job asks for it; and it lives when
// something holds it.
static int manifest_row_agrees(struct maker *k, int64_t repo, bool *out)
{
    struct manifest_now row;
    bool there, held = false;
    int rc = manifest_read(k->tx, repo, &k->subject->digest, &row, &there);
    if (!rc && there)
        rc = manifest_hold_judge(k->tx, repo, &row, &held);
    if (rc)
        return rc;
    const struct manifest_now *log = &k->d->manifest;
    k->d->register_above = top_of(&row.value, &row.gone) > top_of(&log->value, &log->gone);
    bool lives = held && (row.here || manifest_asserted(&row));
    *out = presence_agrees(&row, &k->d->manifest) && row.live == lives;
    return 0;
}

static bool tag_agrees(const struct tag_now *row, const struct tag_now *log)
{
    const struct register_value *a = &row->value.value, *b = &log->value.value;
    return same_write(a, b) && digest_equal(&a->digest, &b->digest) &&
           a->create_only == b->create_only && a->generation == b->generation &&
           same_write(&row->gone.value, &log->gone.value) && row->ended == log->ended;
}

static int tag_row_agrees(struct maker *k, int64_t repo, bool *out)
{
    struct manifest_now m;
    struct tag_now row;
    bool there, lives = false;
    int rc = tag_read(k->tx, repo, k->subject->tag, &row, &there);
    if (!rc)
        rc = manifest_read(k->tx, repo, &row.value.value.digest, &m, &there);
    if (!rc)
        rc = tag_judge(k->tx, repo, &row, &m, &lives);
    if (rc)
        return rc;
    const struct tag_now *log = &k->d->tag;
    k->d->register_above = top_of(&row.value, &row.gone) > top_of(&log->value, &log->gone);
    *out = tag_agrees(&row, &k->d->tag) && row.live == lives && (!lives || m.live);
    return 0;
}

static int register_row_agrees(struct maker *k, int64_t repo, bool *out)
{
    switch (k->subject->kind) {
    case SUBJECT_MANIFEST:
        return manifest_row_agrees(k, repo, out);
    case SUBJECT_TAG:
        return tag_row_agrees(k, repo, out);
    case SUBJECT_REPOSITORY:
        *out = true; // it has a lock and nothing else
        return 0;
    case SUBJECT_OTHER:
        break;
    }
    return ERR_INVAL;
}

static int rows_judge(struct maker *k, int64_t repo)
{
    const struct subject lock = {k->subject->tag, k->subject->digest};
    struct differ_deciding *d = k->d;
    int rc = register_row_agrees(k, repo, &d->register_agrees);
    if (!rc)
        rc = lock_agrees(k->tx, repo, &lock, d);
    if (!rc)
        d->look.agrees = d->register_agrees && d->lock_agrees;
    return rc;
}

// --- the list ---

static void id_add(struct differ_deciding *d, int64_t id)
{
    for (size_t i = 0; i < d->n_ids; i++)
        if (d->ids[i] == id)
            return;
    assert(d->n_ids < DIFFER_ENTRIES_MAX);
    if (id)
        d->ids[d->n_ids++] = id;
}

static int list_fill(struct maker *k)
{
    struct differ_deciding *d = k->d;
    int rc = 0;
    id_add(d, k->value_id);
    id_add(d, k->gone_id);
    id_add(d, k->person_id);
    id_add(d, k->lock_id);
    id_add(d, k->killer_id);
    id_add(d, k->manifest_lock_id);
    struct feed_entry *list = arena_array(k->a, DIFFER_ENTRIES_MAX, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; !rc && i < d->n_ids; i++) {
        rc = log_get(k->tx, d->ids[i], k->a, &list[i]);
        if (!rc)
            rc = entry_content_fill(k->tx, k->a, &list[i]);
    }
    d->look.entries = list;
    d->look.n = d->n_ids;
    return rc;
}

static void deciding_none(struct differ_deciding *d, const struct shown_subject *s)
{
    static const struct register_value none = {.origin = ""};
    *d = (struct differ_deciding){
        .look = {.text = "", .agrees = true}, .register_agrees = true, .lock_agrees = true};
    manifest_none(&d->manifest, &s->digest);
    tag_none(&d->tag, s->tag);
    register_put(&d->lock.value, &none);
    register_put(&d->manifest_lock.value, &none);
}

static bool any_register(const struct differ_deciding *d)
{
    return register_has(&d->manifest.value.value) || register_has(&d->manifest.gone.value) ||
           register_has(&d->tag.value.value) || register_has(&d->tag.gone.value) ||
           register_has(&d->lock.value.value);
}

// The repository has no row: nothing is shown, and nothing should be in the log.
static int shown_read(struct maker *k)
{
    struct differ_look *l = &k->d->look;
    int64_t repo;
    int rc = repo_find(k->tx, k->registry, k->repository, &repo);
    if (rc == ERR_NOTFOUND) {
        k->d->register_agrees = k->d->lock_agrees = l->open || !any_register(k->d);
        l->agrees = k->d->lock_agrees;
        return 0;
    }
    if (rc)
        return rc;
    AUTO_BUF struct buf text;
    buf_init(&text, TEXT_MAX);
    rc = missing_ok(shown_text(k->tx, repo, k->subject, &text));
    if (!rc && text.n)
        l->text = arena_strdup(k->a, buf_cstr(&text));
    if (!rc && !l->text)
        rc = ERR_NOMEM;
    if (rc || l->open)
        return rc;
    return rows_judge(k, repo);
}

int deciding_read(struct tx *tx, const char *registry, const char *repository,
                  const struct shown_subject *s, struct arena *a, struct differ_deciding *out)
{
    struct maker k = {
        .tx = tx, .registry = registry, .repository = repository, .subject = s, .a = a, .d = out};
    deciding_none(out, s);
    int rc = registers_take(&k);
    if (!rc)
        rc = list_fill(&k);
    if (!rc)
        rc = shown_read(&k);
    return rc;
}

bool deciding_would_change(const struct differ_deciding *d, const struct feed_entry *e)
{
    struct manifest_now m = d->manifest;
    struct tag_now t = d->tag;
    struct lock_now l = d->lock, ml = d->manifest_lock;
    bool of_tag = *t.tag != '\0';
    // copies of registers borrow from what they were copied from
    register_put(&m.value, &d->manifest.value.value);
    register_put(&m.gone, &d->manifest.gone.value);
    register_put(&t.value, &d->tag.value.value);
    register_put(&t.gone, &d->tag.gone.value);
    register_put(&l.value, &d->lock.value.value);
    register_put(&ml.value, &d->manifest_lock.value.value);
    switch (e->kind) {
    case ENTRY_MANIFEST:
        return presence_take(&m, e);
    case ENTRY_MANIFEST_GONE:
        return presence_gone_take(&m, e);
    case ENTRY_TAG:
    case ENTRY_TAG_GONE:
        return tag_register_take(&t, e);
    case ENTRY_MANIFEST_LOCK:
        return lock_register_take(of_tag ? &ml : &l, e);
    case ENTRY_TAG_LOCK:
    case ENTRY_REPOSITORY_LOCK:
        return lock_register_take(&l, e);
    case ENTRY_UNKNOWN:
        break;
    }
    return false;
}

int meta_differ_look(struct meta *m, const char *registry, const char *repository,
                     const struct shown_subject *s, struct arena *a, struct differ_look *out)
{
    struct tx *tx;
    struct differ_deciding *d = arena_alloc(a, sizeof *d);
    if (!d)
        return ERR_NOMEM;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    rc = deciding_read(tx, registry, repository, s, a, d);
    tx_end(tx);
    if (!rc)
        *out = d->look;
    return rc;
}
