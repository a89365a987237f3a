// SPDX-License-Identifier: Apache-2.0
// Searches of the log and the registers in memory; see store/backend_survey.h.
#include "tests/support/memory_tables.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

static bool id_in(const struct id_set *set, int64_t id)
{
    for (size_t i = 0; i < set->n; i++)
        if (set->ids[i] == id)
            return true;
    return false;
}

// Does the entry count for its register?
static bool does_count(struct tx *tx, const struct m_feed *f)
{
    if (entry_malformed(&f->e) || f->refused || f->e.ended)
        return false;
    return !row_find(tx, T_TASKS, &(struct m_task){.id = f->id});
}

static bool is_of(const struct feed_entry *e, enum entry_kind kind,
                  const struct register_name *name)
{
    if (e->kind != kind || strcmp(e->registry, name->registry) != 0)
        return false;
    if (strcmp(e->repository, name->repository) != 0)
        return false;
    if (name->digest.n)
        return digest_equal(&e->digest, &name->digest);
    return strcmp(e->tag, name->tag) == 0;
}

// --- the log ---

static int last_id(struct tx *tx, int64_t *out)
{
    size_t n = row_count(tx, T_FEED);
    *out = n ? ((const struct m_feed *)row_at(tx, T_FEED, n - 1))->id : 0;
    return 0;
}

static int read_from(struct tx *tx, const char *origin, const struct feed_mark *from, size_t max,
                     struct arena *a, struct log_row **out, size_t *out_n)
{
    size_t n = 0;
    size_t i = row_lower(tx, T_PLACES,
                         &(struct m_place){origin, from->partition, from->epoch, from->seq, 0});
    struct log_row *list = arena_array(a, max + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    for (; i < row_count(tx, T_PLACES) && n < max; i++) {
        const struct m_place *p = row_at(tx, T_PLACES, i);
        if (strcmp(p->origin, origin) != 0 || p->part != from->partition)
            break;
        list[n].id = p->id;
        int rc = entry_out(a, &feed_by_id(tx, p->id)->e, false, &list[n].entry);
        if (rc)
            return rc;
        n++;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static int above(struct tx *tx, uint64_t stamp, struct arena *a, struct log_stretch **out,
                 size_t *out_n)
{
    size_t n = 0;
    struct log_stretch *list = arena_array(a, row_count(tx, T_PLACES) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    // by place: the first of an epoch comes first
    EACH_ROW(tx, T_PLACES, struct m_place, p)
    {
        const struct feed_entry *e = &feed_by_id(tx, p->id)->e;
        if (e->stamp <= stamp && e->restates <= stamp)
            continue;
        const struct log_stretch *last = n ? &list[n - 1] : NULL;
        if (last && !strcmp(last->origin, p->origin) && last->partition == p->part &&
            last->after_epoch == p->epoch)
            continue;
        struct log_stretch s = {.partition = p->part,
                                .after_epoch = p->epoch,
                                .after_seq = p->seq - 1,
                                .below_epoch = p->epoch + 1};
        int rc = text_out(a, p->origin, &s.origin);
        if (rc)
            return rc;
        list[n++] = s;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static bool is_within(const struct log_stretch *s, const struct feed_entry *e)
{
    if (strcmp(s->origin, e->origin) != 0 || s->partition != e->partition)
        return false;
    if (e->epoch >= s->below_epoch || e->epoch < s->after_epoch)
        return false;
    return e->epoch > s->after_epoch || e->seq > s->after_seq;
}

static bool is_in_any(const struct log_stretch *list, size_t n, const struct feed_entry *e)
{
    for (size_t i = 0; i < n; i++)
        if (is_within(&list[i], e))
            return true;
    return false;
}

static int ids(struct tx *tx, const struct log_stretch *list, size_t n, struct arena *a,
               struct id_set *out)
{
    size_t n_ids = 0;
    int64_t *found = arena_array(a, row_count(tx, T_FEED) + 1, sizeof *found);
    if (!found)
        return ERR_NOMEM;
    EACH_ROW(tx, T_FEED, struct m_feed, f)
    if (is_in_any(list, n, &f->e))
        found[n_ids++] = f->id;
    *out = (struct id_set){found, n_ids};
    return 0;
}

static int head_without(struct tx *tx, const char *origin, const struct id_set *without,
                        struct feed_mark *out_mark, uint64_t *out_stamp)
{
    const struct feed_entry *last = NULL;
    uint64_t highest = 0;
    EACH_ROW(tx, T_PLACES, struct m_place, p)
    {
        if (p->part || strcmp(p->origin, origin) != 0 || id_in(without, p->id))
            continue;
        last = &feed_by_id(tx, p->id)->e;
        if (last->stamp > highest)
            highest = last->stamp;
    }
    if (!last)
        return ERR_NOTFOUND;
    *out_mark = (struct feed_mark){.epoch = last->epoch, .seq = last->seq};
    memcpy(out_mark->hash, last->hash, ENTRY_HASH_BYTES);
    *out_stamp = highest;
    return 0;
}

static bool same_register(const struct feed_entry *a, const struct feed_entry *b)
{
    if (a->kind != b->kind || strcmp(a->registry, b->registry) != 0)
        return false;
    if (strcmp(a->repository, b->repository) != 0)
        return false;
    return strcmp(a->tag ? a->tag : "", b->tag ? b->tag : "") == 0;
}

static int restated(struct tx *tx, const struct feed_entry *e, int64_t up_to_id,
                    uint64_t from_epoch)
{
    EACH_ROW(tx, T_FEED, struct m_feed, f)
    {
        if (!f->e.restates || f->e.restates != entry_register_stamp(e))
            continue;
        if (strcmp(f->e.origin, e->origin) != 0 || !same_register(&f->e, e))
            continue;
        if (!digest_equal(&f->e.digest, &e->digest))
            continue;
        if (f->id <= up_to_id || f->e.epoch >= from_epoch)
            return 0;
    }
    return ERR_NOTFOUND;
}

// --- what the log holds for one register ---

static int entries_of(struct tx *tx, const struct register_name *name, enum entry_kind kind,
                      int64_t after_id, size_t max, struct arena *a, struct log_row **out,
                      size_t *out_n)
{
    size_t n = 0;
    struct log_row *list = arena_array(a, max + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_FEED, struct m_feed, f)
    {
        if (n == max || f->id <= after_id || !is_of(&f->e, kind, name) || !does_count(tx, f))
            continue;
        list[n].id = f->id;
        int rc = entry_out(a, &f->e, false, &list[n].entry);
        if (rc)
            return rc;
        n++;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static int open_of(struct tx *tx, const struct register_name *name, enum entry_kind kind)
{
    EACH_ROW(tx, T_FEED, struct m_feed, f)
    {
        if (is_of(&f->e, kind, name) && row_find(tx, T_TASKS, &(struct m_task){.id = f->id}))
            return 0;
    }
    return ERR_NOTFOUND;
}

static int tag_prior(struct tx *tx, const struct register_name *tag, int64_t before_id,
                     const struct id_set *without, uint64_t *out_stamp)
{
    uint64_t highest = 0;
    EACH_ROW(tx, T_FEED, struct m_feed, f)
    {
        bool is_tag = is_of(&f->e, ENTRY_TAG, tag) || is_of(&f->e, ENTRY_TAG_GONE, tag);
        if (f->id >= before_id || !is_tag || id_in(without, f->id))
            continue;
        if (entry_register_stamp(&f->e) > highest)
            highest = entry_register_stamp(&f->e);
    }
    *out_stamp = highest;
    return 0;
}

// --- the log, register by register ---

static int repository_next(struct tx *tx, const char *origin, const char *registry,
                           const char *after, struct arena *a, const char **out)
{
    const char *found = NULL;
    EACH_ROW(tx, T_FEED, struct m_feed, f)
    {
        if (strcmp(f->e.origin, origin) != 0 || strcmp(f->e.registry, registry) != 0)
            continue;
        if (after && strcmp(f->e.repository, after) <= 0)
            continue;
        if (!found || strcmp(f->e.repository, found) < 0)
            found = f->e.repository;
    }
    if (!found)
        return ERR_NOTFOUND;
    return text_out(a, found, out);
}

static int count(struct tx *tx, const char *origin, const char *registry,
                 const struct feed_mark *upto, uint64_t *out)
{
    uint64_t n = 0;
    EACH_ROW(tx, T_FEED, struct m_feed, f)
    {
        const struct feed_mark place = entry_mark(&f->e);
        if (strcmp(f->e.origin, origin) != 0 || strcmp(f->e.registry, registry) != 0)
            continue;
        if (f->e.partition == 0 && feed_mark_order(&place, upto) <= 0)
            n++;
    }
    *out = n;
    return 0;
}

static struct kind_at at_of(const struct m_feed *f)
{
    return (struct kind_at){f->e.tag ? f->e.tag : "", f->e.digest, f->id};
}

static int at_order(const struct kind_at *a, const struct kind_at *b)
{
    int order = strcmp(a->tag, b->tag);
    if (!order)
        order = digest_cmp(&a->digest, &b->digest);
    if (order)
        return order;
    return (a->id > b->id) - (a->id < b->id);
}

static bool is_asked(const struct kind_query *q, const struct feed_entry *e)
{
    const struct feed_mark place = entry_mark(e);
    if (e->kind != q->kind || e->partition || strcmp(e->origin, q->origin) != 0)
        return false;
    if (strcmp(e->registry, q->registry) != 0 || strcmp(e->repository, q->repository) != 0)
        return false;
    return feed_mark_order(&place, &q->upto) <= 0;
}

// The row that comes next; NULL: none does.
static const struct m_feed *kind_after(struct tx *tx, const struct kind_query *q,
                                       const struct kind_at *after)
{
    const struct m_feed *found = NULL;
    struct kind_at best = {0};
    EACH_ROW(tx, T_FEED, struct m_feed, f)
    {
        struct kind_at at = at_of(f);
        if (f->refused || f->e.ended || !is_asked(q, &f->e) || at_order(&at, after) <= 0)
            continue;
        if (found && at_order(&at, &best) >= 0)
            continue;
        found = f;
        best = at;
    }
    return found;
}

static int kind_next(struct tx *tx, const struct kind_query *q, const struct kind_at *after,
                     size_t max, struct arena *a, struct log_row **out, size_t *out_n,
                     struct kind_at *out_at)
{
    size_t n = 0;
    struct kind_at at = *after;
    const struct m_feed *f;
    struct log_row *list = arena_array(a, max + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    while (n < max && (f = kind_after(tx, q, &at))) {
        at = at_of(f);
        list[n].id = f->id;
        int rc = entry_out(a, &f->e, false, &list[n].entry);
        if (!rc)
            rc = text_out(a, at.tag, &at.tag);
        if (rc)
            return rc;
        n++;
    }
    *out = list;
    *out_n = n;
    *out_at = at;
    return 0;
}

static int refused(struct tx *tx, const char *registry, size_t max, struct arena *a,
                   struct log_row **out, size_t *out_n)
{
    size_t n = 0;
    struct log_row *list = arena_array(a, max + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    for (size_t i = row_count(tx, T_FEED); i-- > 0 && n < max;) {
        const struct m_feed *f = row_at(tx, T_FEED, i);
        if (!f->refused || strcmp(f->e.registry, registry) != 0)
            continue;
        list[n].id = f->id;
        int rc = entry_out(a, &f->e, false, &list[n].entry);
        if (rc)
            return rc;
        n++;
    }
    *out = list;
    *out_n = n;
    return 0;
}

// --- registers ---

static bool tag_before(const struct dead_query *q, const struct m_repo *r, const struct m_tag *t)
{
    if (!q->after)
        return false;
    int order = strcmp(r->name, q->after->repository);
    if (!order)
        order = strcmp(t->tag, q->after->tag);
    return order <= 0;
}

static bool manifest_before(const struct dead_query *q, const struct m_repo *r,
                            const struct m_manifest *m)
{
    if (!q->after)
        return false;
    int order = strcmp(r->name, q->after->repository);
    if (!order)
        order = digest_cmp(&m->digest, &q->after->digest);
    return order <= 0;
}

static int dead_put(struct register_name *to, const struct m_repo *r, const char *tag,
                    const struct digest *d, struct arena *a)
{
    to->digest = *d;
    int rc = text_out(a, r->registry, &to->registry);
    if (!rc)
        rc = text_out(a, r->name, &to->repository);
    if (!rc)
        rc = text_out(a, tag, &to->tag);
    return rc;
}

// T_REPOS is ordered by registry and name, the others by repository and what follows.
static int dead(struct tx *tx, const struct dead_query *q, size_t max, struct arena *a,
                struct register_name **out, size_t *out_n)
{
    static const struct digest none;
    size_t n = 0;
    int rc = 0;
    struct register_name *list = arena_array(a, max + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    memset(list, 0, (max + 1) * sizeof *list);
    EACH_ROW(tx, T_REPOS, struct m_repo, r)
    {
        if (strcmp(r->registry, q->registry) != 0)
            continue;
        EACH_ROW(tx, T_TAGS, struct m_tag, t)
        {
            if (!q->tags || n == max || rc || t->repo != r->id || t->live || tag_before(q, r, t))
                continue;
            if (t->stamp <= q->upto && t->gone_stamp <= q->upto)
                rc = dead_put(&list[n++], r, t->tag, &none, a);
        }
        EACH_ROW(tx, T_MANIFESTS, struct m_manifest, m)
        {
            if (q->tags || n == max || rc || m->repo != r->id || m->live ||
                manifest_before(q, r, m))
                continue;
            if (m->stamp <= q->upto && m->gone_stamp <= q->upto)
                rc = dead_put(&list[n++], r, "", &m->digest, a);
        }
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

struct names {
    struct tx *tx;
    struct arena *a;
    struct register_name *list;
    size_t n;
};

static const struct m_repo *repo_of(struct tx *tx, int64_t id)
{
    EACH_ROW(tx, T_REPOS, struct m_repo, r)
    if (r->id == id)
        return r;
    return NULL;
}

static int name_add(struct names *l, int64_t repo, const char *tag, const struct digest *d,
                    bool lock)
{
    const struct m_repo *r = repo_of(l->tx, repo);
    for (size_t i = 0; *tag && i < l->n; i++)
        if (!strcmp(l->list[i].registry, r->registry) && !strcmp(l->list[i].repository, r->name) &&
            !strcmp(l->list[i].tag, tag) && l->list[i].lock == lock)
            return 0;
    struct register_name *name = &l->list[l->n];
    name->digest = *d;
    name->lock = lock;
    int rc = text_out(l->a, r->registry, &name->registry);
    if (!rc)
        rc = text_out(l->a, r->name, &name->repository);
    if (!rc)
        rc = text_out(l->a, tag, &name->tag);
    l->n += !rc;
    return rc;
}

static int registers_above(struct tx *tx, uint64_t stamp, struct arena *a,
                           struct register_name **out, size_t *out_n)
{
    static const struct digest none;
    struct names l = {.tx = tx, .a = a};
    size_t max = row_count(tx, T_TAGS) + row_count(tx, T_HISTORY) + row_count(tx, T_MANIFESTS) +
                 row_count(tx, T_LOCKS);
    l.list = arena_array(a, max + 1, sizeof *l.list);
    if (!l.list)
        return ERR_NOMEM;
    int rc = 0;
    EACH_ROW(tx, T_HISTORY, struct m_version, v)
    if (!rc && v->stamp > stamp)
        rc = name_add(&l, v->repo, v->tag, &none, false);
    EACH_ROW(tx, T_TAGS, struct m_tag, t)
    if (!rc && (t->stamp > stamp || t->gone_stamp > stamp))
        rc = name_add(&l, t->repo, t->tag, &none, false);
    EACH_ROW(tx, T_MANIFESTS, struct m_manifest, m)
    if (!rc && (m->stamp > stamp || m->gone_stamp > stamp || m->killed > stamp))
        rc = name_add(&l, m->repo, "", &m->digest, false);
    EACH_ROW(tx, T_LOCKS, struct m_lock, k)
    if (!rc && k->stamp > stamp)
        rc = name_add(&l, k->repo, k->tag, &k->digest, true);
    if (rc)
        return rc;
    *out = l.list;
    *out_n = l.n;
    return 0;
}

static int history_highest(struct tx *tx, const struct register_name *tag, uint64_t at_most,
                           uint64_t *out_stamp)
{
    int64_t repo = repo_id(tx, tag->registry, tag->repository);
    uint64_t highest = 0;
    EACH_ROW(tx, T_HISTORY, struct m_version, v)
    {
        if (v->repo != repo || strcmp(v->tag, tag->tag) != 0)
            continue;
        if (v->stamp <= at_most && v->stamp > highest)
            highest = v->stamp;
    }
    *out_stamp = highest;
    return 0;
}

static int history_has(struct tx *tx, const struct register_name *tag, const char *origin,
                       uint64_t above_stamp)
{
    int64_t repo = repo_id(tx, tag->registry, tag->repository);
    EACH_ROW(tx, T_HISTORY, struct m_version, v)
    {
        if (v->repo != repo || strcmp(v->tag, tag->tag) != 0)
            continue;
        if (strcmp(v->origin, origin) == 0 && v->stamp > above_stamp)
            return 0;
    }
    return ERR_NOTFOUND;
}

const struct survey_ops memory_survey_ops = {
    .last_id = last_id,
    .read_from = read_from,
    .above = above,
    .ids = ids,
    .head_without = head_without,
    .restated = restated,
    .entries_of = entries_of,
    .open_of = open_of,
    .tag_prior = tag_prior,
    .registers_above = registers_above,
    .history_highest = history_highest,
    .history_has = history_has,
    .repository_next = repository_next,
    .count = count,
    .kind_next = kind_next,
    .refused = refused,
    .dead = dead,
};
