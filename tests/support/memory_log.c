// SPDX-License-Identifier: Apache-2.0
// The log in memory; see store/backend_log.h.
#include "tests/support/memory_tables.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <string.h>

static const struct m_place *place_at(struct tx *tx, const char *origin, uint32_t part,
                                      uint64_t epoch, uint64_t seq)
{
    return row_find(tx, T_PLACES,
                    &(struct m_place){.origin = origin, .part = part, .epoch = epoch, .seq = seq});
}

static struct feed_mark mark_of(const struct feed_entry *e)
{
    struct feed_mark m = {.epoch = e->epoch, .partition = e->partition, .seq = e->seq};
    memcpy(m.hash, e->hash, ENTRY_HASH_BYTES);
    return m;
}

// The entry at the last place before this one, in the same partition; NULL: none.
static const struct feed_entry *before_place(struct tx *tx, const char *origin, uint32_t part,
                                             uint64_t epoch, uint64_t seq)
{
    size_t i =
        row_lower(tx, T_PLACES,
                  &(struct m_place){.origin = origin, .part = part, .epoch = epoch, .seq = seq});
    if (i == 0)
        return NULL;
    const struct m_place *p = row_at(tx, T_PLACES, i - 1);
    if (strcmp(p->origin, origin) != 0 || p->part != part)
        return NULL;
    return &feed_by_id(tx, p->id)->e;
}

static int head(struct tx *tx, const char *origin, struct feed_mark *out_mark, uint64_t *out_stamp)
{
    const struct feed_entry *e = before_place(tx, origin, 0, UINT64_MAX, UINT64_MAX);
    if (!e)
        return ERR_NOTFOUND;
    *out_mark = mark_of(e);
    if (out_stamp)
        *out_stamp = e->stamp;
    return 0;
}

static int own_lock_row(struct tx *tx, struct own_head *out)
{
    struct m_own own = own_row(tx);
    struct own_head h = {.epoch = own.epoch, .stamp = own.stamp, .committed = own.stamp};
    assert(memory_tx(tx)->writes);
    if (own.last_of_version == memory_tx(tx)->s->version + 1) {
        h.last = own.last;
        *out = h;
        return 0;
    }
    int rc = head(tx, tx->region, &h.last, NULL);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = h;
    return 0;
}

static int own_set_row(struct tx *tx, const struct own_head *h)
{
    struct m_own own = own_row(tx);
    assert(h->epoch >= own.epoch && h->epoch >= h->last.epoch); // invariant 8
    own.epoch = h->epoch;
    own.stamp = h->stamp;
    own.last = h->last;
    own.last_of_version = memory_tx(tx)->s->version + 1;
    return row_put(tx, T_OWN, &own);
}

static bool too_big(const struct feed_entry *e)
{
    const uint64_t all[] = {e->epoch, e->seq, e->stamp, e->restates, e->size};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i] > INT64_MAX)
            return true;
    return false;
}

static int append(struct tx *tx, const struct feed_entry *e, struct bytes content, int64_t *out_id)
{
    struct m_own own = own_row(tx);
    struct m_feed f = {.id = ++own.feed_id, .e = *e};
    struct m_place p = {e->origin, e->partition, e->epoch, e->seq, f.id};
    if (too_big(e))
        return ERR_TOOBIG;
    if (place_at(tx, e->origin, e->partition, e->epoch, e->seq))
        return ERR_CONFLICT;
    f.e.content = content;
    f.e.ended = false;
    const char **const texts[] = {&f.e.tag,           &f.e.media_type, &f.e.attribute,
                                  &f.e.judged_origin, &f.e.rule,       &f.e.by};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (!*texts[i])
            *texts[i] = "";
    if (f.e.version != 2)
        f.e.version = 1;
    int rc = row_put(tx, T_OWN, &own);
    if (!rc)
        rc = row_put(tx, T_FEED, &f);
    if (!rc)
        rc = row_put(tx, T_PLACES, &p);
    if (!rc)
        *out_id = f.id;
    return rc;
}

static int held(struct tx *tx, const struct feed_entry *e, int64_t *out_id)
{
    const struct m_place *p = place_at(tx, e->origin, e->partition, e->epoch, e->seq);
    if (!p)
        return ERR_NOTFOUND;
    *out_id = p->id;
    bool same = memcmp(feed_by_id(tx, p->id)->e.hash, e->hash, ENTRY_HASH_BYTES) == 0;
    return same ? 0 : ERR_CONFLICT;
}

static int before(struct tx *tx, const char *origin, const struct feed_mark *place,
                  struct feed_mark *out)
{
    const struct feed_entry *e =
        before_place(tx, origin, place->partition, place->epoch, place->seq);
    if (!e)
        return ERR_NOTFOUND;
    *out = mark_of(e);
    return 0;
}

static int get(struct tx *tx, int64_t id, struct arena *a, struct feed_entry *out)
{
    const struct m_feed *f = feed_by_id(tx, id);
    if (!f)
        return ERR_NOTFOUND;
    return entry_out(a, &f->e, true, out);
}

static int remove_entry(struct tx *tx, int64_t id)
{
    const struct m_feed *f = feed_by_id(tx, id);
    if (!f)
        return 0;
    if (row_find(tx, T_TASKS, &(struct m_task){.id = id}))
        return ERR_CONFLICT;
    const struct m_place key = {f->e.origin, f->e.partition, f->e.epoch, f->e.seq, 0};
    int rc = row_remove(tx, T_PLACES, &key);
    if (rc)
        return rc;
    return row_remove(tx, T_FEED, &(struct m_feed){.id = id});
}

static int content_drop(struct tx *tx, int64_t id)
{
    const struct m_feed *is = feed_by_id(tx, id);
    if (!is || !is->e.content.n)
        return 0;
    struct m_feed f = *is;
    f.e.content = (struct bytes){0};
    return row_put(tx, T_FEED, &f);
}

static int count_no_more(struct tx *tx, int64_t id, bool ended)
{
    const struct m_feed *is = feed_by_id(tx, id);
    if (!is)
        return 0;
    struct m_feed f = *is;
    f.refused = !ended;
    f.e.ended = ended;
    return row_put(tx, T_FEED, &f);
}

static int refuse(struct tx *tx, int64_t id)
{
    return count_no_more(tx, id, false);
}

static int end_entry(struct tx *tx, int64_t id)
{
    return count_no_more(tx, id, true);
}

static int last_stamp(struct tx *tx, const char *origin, uint64_t epoch, uint64_t *out)
{
    const struct feed_entry *e = before_place(tx, origin, 0, epoch + 1, 0);
    if (!e || e->epoch != epoch)
        return ERR_NOTFOUND;
    *out = e->stamp;
    return 0;
}

static int own_asserts(struct tx *tx, const struct log_assertion *by, const struct digest *d)
{
    EACH_ROW(tx, T_FEED, struct m_feed, f)
    {
        const struct feed_entry *e = &f->e;
        if (e->kind != ENTRY_MANIFEST || *e->tag || !digest_equal(&e->digest, d))
            continue;
        if (strcmp(e->registry, by->registry) || strcmp(e->repository, by->repository))
            continue;
        if (strcmp(e->origin, tx->region) != 0 || strcmp(e->key, by->key) != 0)
            continue;
        struct register_value v = {entry_register_stamp(e), e->origin, e->epoch, e->digest};
        struct register_value above = {.origin = ""};
        if (by->above)
            above = *by->above;
        above.digest = v.digest;
        above.gone = true;
        if (register_order(&v, &above) > 0)
            return 0;
    }
    return ERR_NOTFOUND;
}

// --- pages ---

static bool wanted(const struct log_query *q, const char *registry)
{
    for (size_t i = 0; i < q->n_registries; i++)
        if (strcmp(registry, q->registries[i]) == 0)
            return true;
    return q->n_registries == 0;
}

// The entry at the i-th place, if that is in this feed; NULL: the feed ends there.
static const struct feed_entry *entry_in(struct tx *tx, const struct log_query *q, size_t i)
{
    if (i >= row_count(tx, T_PLACES))
        return NULL;
    const struct m_place *p = row_at(tx, T_PLACES, i);
    if (strcmp(p->origin, q->origin) != 0 || p->part != q->from.partition)
        return NULL;
    return &feed_by_id(tx, p->id)->e;
}

// From the i-th place on, by `step` (SIZE_MAX: back).
static int page(struct tx *tx, const struct log_query *q, size_t i, size_t step, struct arena *a,
                struct log_page *out)
{
    struct log_page p = {.last = q->from};
    p.entries = arena_array(a, q->max ? q->max : 1, sizeof *p.entries);
    if (!p.entries)
        return ERR_NOMEM;
    for (size_t looked = 0; p.n < q->max && looked < q->max_looks; looked++, i += step) {
        const struct feed_entry *e = entry_in(tx, q, i);
        if (!e) {
            p.at_end = true;
            break;
        }
        if (wanted(q, e->registry)) {
            int rc = entry_out(a, e, true, &p.entries[p.n]);
            if (rc)
                return rc;
            p.n++;
        }
        p.last = mark_of(e);
    }
    *out = p;
    return 0;
}

static size_t place_index(struct tx *tx, const struct log_query *q, uint64_t epoch, uint64_t seq)
{
    return row_lower(tx, T_PLACES, &(struct m_place){q->origin, q->from.partition, epoch, seq, 0});
}

static int forward(struct tx *tx, const struct log_query *q, struct arena *a, struct log_page *out)
{
    return page(tx, q, place_index(tx, q, q->from.epoch, q->from.seq + 1), 1, a, out);
}

static int backward(struct tx *tx, const struct log_query *q, struct arena *a, struct log_page *out)
{
    uint64_t epoch = q->from.epoch ? q->from.epoch : INT64_MAX;
    return page(tx, q, place_index(tx, q, epoch, q->from.seq) - 1, SIZE_MAX, a, out);
}

// --- read marks ---

static const struct m_mark *mark_at(struct tx *tx, const char *origin, uint32_t part)
{
    return row_find(tx, T_MARKS, &(struct m_mark){.origin = origin, .part = part});
}

static int get_mark(struct tx *tx, const char *origin, uint32_t part, struct feed_mark *out)
{
    const struct m_mark *m = mark_at(tx, origin, part);
    if (!m)
        return ERR_NOTFOUND;
    *out = m->mark;
    return 0;
}

static bool is_marked(const struct feed_mark *a, const struct feed_mark *b)
{
    if (a->epoch != b->epoch || a->seq != b->seq)
        return false;
    return memcmp(a->hash, b->hash, ENTRY_HASH_BYTES) == 0;
}

static int known_mark(struct tx *tx, const char *origin, const struct feed_mark *mark)
{
    const struct m_mark *m = mark_at(tx, origin, mark->partition);
    if (m && is_marked(&m->mark, mark))
        return 0;
    const struct m_place *p = place_at(tx, origin, mark->partition, mark->epoch, mark->seq);
    if (p && memcmp(feed_by_id(tx, p->id)->e.hash, mark->hash, ENTRY_HASH_BYTES) == 0)
        return 0;
    return ERR_NOTFOUND;
}

static int remove_mark(struct tx *tx, const char *origin, uint32_t part)
{
    int rc = row_remove(tx, T_MARKS, &(struct m_mark){.origin = origin, .part = part});
    return rc == ERR_NOTFOUND ? 0 : rc;
}

static int set_mark(struct tx *tx, const char *origin, const struct feed_mark *mark)
{
    return row_put(tx, T_MARKS,
                   &(struct m_mark){.origin = origin, .part = mark->partition, .mark = *mark});
}

static int list_marks(struct tx *tx, struct arena *a, struct read_mark **out, size_t *out_n)
{
    size_t n = 0;
    struct read_mark *list = arena_array(a, row_count(tx, T_MARKS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_MARKS, struct m_mark, m)
    {
        if (m->part)
            continue;
        int rc = text_out(a, m->origin, &list[n].origin);
        if (rc)
            return rc;
        list[n++].mark = m->mark;
    }
    *out = list;
    *out_n = n;
    return 0;
}

static int touched(struct tx *tx, int64_t after, size_t max, struct arena *a,
                   struct feed_touched **out, size_t *out_n, int64_t *out_last)
{
    size_t n = 0;
    int64_t last = after < 0 ? 0 : after;
    struct feed_touched *list = arena_array(a, max + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_FEED, struct m_feed, f)
    {
        if (after >= 0 && (f->id <= after || n == max))
            continue;
        last = f->id;
        if (after < 0)
            continue;
        int rc = text_out(a, f->e.registry, &list[n].registry);
        if (!rc)
            rc = text_out(a, f->e.repository, &list[n].repository);
        if (rc)
            return rc;
        n++;
    }
    *out = list;
    *out_n = n;
    *out_last = last;
    return 0;
}

const struct log_ops memory_log_ops = {
    .own_lock = own_lock_row,
    .own_set = own_set_row,
    .append = append,
    .held = held,
    .head = head,
    .before = before,
    .last_stamp = last_stamp,
    .forward = forward,
    .backward = backward,
    .own_asserts = own_asserts,
    .get = get,
    .remove = remove_entry,
    .content_drop = content_drop,
    .refuse = refuse,
    .end = end_entry,
    .mark_get = get_mark,
    .touched = touched,
    .mark_known = known_mark,
    .mark_set = set_mark,
    .mark_remove = remove_mark,
    .marks_list = list_marks,
};
