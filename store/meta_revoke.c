// SPDX-License-Identifier: Apache-2.0
// Feed keys that are revoked from a place of their feed on, as this store was told, for good: see
// meta_void.h.
//
// A revocation is told in one transaction, so that from then on nothing that is void is taken in or
// applied. What the log holds of it is swept out in pieces; each piece is a transaction that also
// moves the place up to which the sweep has come, and a sweep that is broken off goes on there.
#include "store/meta_void.h"

#include "base/err.h"
#include "store/meta_priv.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

struct revoke {
    const struct meta_revocation *list;
    size_t n;
    struct meta_revoked result;
};

static bool same_place(const struct feed_mark *a, const struct feed_mark *b)
{
    return feed_mark_order(a, b) == 0 && memcmp(a->hash, b->hash, ENTRY_HASH_BYTES) == 0;
}

// Does the log hold another entry in the last good place? Then what was read before it need not be
// what the origin wrote either.
static int read_from_thief(struct tx *tx, const struct revoked_key *r, bool *out)
{
    struct feed_entry e = {.origin = r->origin, .epoch = r->good.epoch, .seq = r->good.seq};
    int64_t id;
    memcpy(e.hash, r->good.hash, sizeof e.hash);
    int rc = log_held(tx, &e, &id);
    if (rc && rc != ERR_NOTFOUND && rc != ERR_CONFLICT)
        return rc;
    *out = rc == ERR_CONFLICT;
    return 0;
}

static int revocation_add(struct tx *tx, struct revoked_key *r)
{
    bool thief = false;
    int rc = read_from_thief(tx, r, &thief);
    if (rc)
        return rc;
    r->swept_epoch = r->good.epoch;
    r->swept_seq = r->good.seq;
    r->reread = thief ? REREAD_ALL : REREAD_FROM_GOOD;
    rc = revoked_set(tx, r);
    if (rc || strcmp(r->origin, tx->region) != 0)
        return rc;
    // 8: others may hold entries of the thief in the places that would come next.
    return epoch_move(tx, r->good.epoch);
}

static int revoke_one(struct tx *tx, const struct meta_revocation *told, struct meta_revoked *out)
{
    struct revoked_key stored,
        r = {.key = told->key, .good = {.epoch = told->epoch, .seq = told->seq}};
    if (strlen(told->origin) >= sizeof r.origin)
        return ERR_INVAL;
    memcpy(r.origin, told->origin, strlen(told->origin) + 1);
    memcpy(r.good.hash, told->hash, sizeof r.good.hash);
    int rc = revoked_get(tx, told->key, &stored);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    bool known = rc == 0;
    if (known && same_place(&r.good, &stored.good))
        return 0;
    if (known && feed_mark_order(&r.good, &stored.good) >= 0) {
        out->n_ignored++;
        return 0;
    }
    rc = revocation_add(tx, &r);
    if (!rc)
        out->n_new++;
    return rc;
}

static int revoke_run(struct tx *tx, void *arg)
{
    struct revoke *v = arg;
    v->result = (struct meta_revoked){0};
    for (size_t i = 0; i < v->n; i++) {
        int rc = revoke_one(tx, &v->list[i], &v->result);
        if (rc)
            return rc;
    }
    return 0;
}

int meta_revoke(struct meta *m, const struct meta_revocation *list, size_t n,
                struct meta_revoked *out)
{
    struct revoke v = {.list = list, .n = n};
    int rc = meta_write(m, revoke_run, &v, false);
    if (rc)
        return rc;
    if (v.result.n_new)
        revoked_key_look(m);
    *out = v.result;
    return 0;
}

bool meta_key_revoked(struct meta *m)
{
    return atomic_load(&m->key_revoked);
}

void revoked_key_look(struct meta *m)
{
    struct tx *tx;
    struct revoked_key r;
    if (backend_read(m->b, &tx))
        return; // at the next look
    int rc = revoked_get(tx, m->o.key_id, &r);
    tx_end(tx);
    atomic_store(&m->key_revoked, rc == 0);
}

// --- what a revocation makes void ---

bool revoked_covers(const struct revoked_key *r, const struct feed_entry *e)
{
    if (strcmp(r->origin, e->origin) != 0)
        return false;
    struct feed_mark at = entry_mark(e);
    int order = feed_mark_order(&at, &r->good);
    if (order == 0)
        return memcmp(at.hash, r->good.hash, ENTRY_HASH_BYTES) != 0;
    return order > 0;
}

// --- sweeping ---

struct sweep {
    size_t max;
    struct meta_swept result;
};

static int unswept_find(struct tx *tx, struct arena *a, struct revoked_key *out)
{
    struct revoked_key *list;
    size_t n;
    int rc = revoked_list(tx, a, &list, &n);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        if (!list[i].swept) {
            *out = list[i];
            return 0;
        }
    return ERR_NOTFOUND;
}

// Makes void what is, of up to `max` entries from where the sweep of this key stands.
static int piece_sweep(struct tx *tx, struct revoked_key *r, size_t max, struct arena *a,
                       size_t *out_n_void)
{
    struct log_row *rows;
    size_t n_rows, n = 0;
    struct feed_mark from = {.epoch = r->swept_epoch, .seq = r->swept_seq};
    int rc = survey_read_from(tx, r->origin, &from, max, a, &rows, &n_rows);
    if (rc)
        return rc;
    int64_t *ids = arena_array(a, n_rows + 1, sizeof *ids);
    if (!ids)
        return ERR_NOMEM;
    for (size_t i = 0; i < n_rows; i++) {
        const struct feed_entry *e = &rows[i].entry;
        r->swept_epoch = e->epoch;
        r->swept_seq = e->seq;
        if (strcmp(e->key, r->key) == 0 && revoked_covers(r, e))
            ids[n++] = rows[i].id;
    }
    assert(r->swept_epoch > from.epoch || r->swept_seq >= from.seq); // the sweep only goes on
    rc = entries_void(tx, ids, n, VOID_REVOKED);
    if (rc)
        return rc;
    r->swept = n_rows < max;
    *out_n_void = n;
    return revoked_set(tx, r);
}

static int sweep_run(struct tx *tx, void *arg)
{
    struct sweep *s = arg;
    struct arena a;
    struct revoked_key r;
    arena_init(&a, 0);
    s->result = (struct meta_swept){0};
    int rc = unswept_find(tx, &a, &r);
    if (!rc) {
        s->result.more = true;
        rc = piece_sweep(tx, &r, s->max, &a, &s->result.n_void);
    } else if (rc == ERR_NOTFOUND) {
        rc = 0; // nothing is to be swept
    }
    arena_done(&a);
    return rc;
}

int meta_revoke_sweep(struct meta *m, size_t max, struct meta_swept *out)
{
    struct sweep s = {.max = max < 2 ? 2 : max}; // the first one may be where the last piece ended
    int rc = meta_write(m, sweep_run, &s, false);
    if (!rc)
        *out = s.result;
    return rc;
}

// --- reading again ---

static bool is_of(const struct revoked_key *r, const char *origin)
{
    return strcmp(r->origin, origin) == 0;
}

static bool is_to_reread(const struct revoked_key *r, const char *origin)
{
    return r->reread != REREAD_DONE && is_of(r, origin);
}

// Sets the read mark back to `to`, if it is past it.
static int mark_set_back(struct tx *tx, const char *origin, const struct feed_mark *to)
{
    struct feed_mark at;
    int rc = mark_get(tx, origin, to->partition, &at);
    if (rc)
        return missing_ok(rc);
    if (feed_mark_order(&at, to) <= 0)
        return 0;
    return mark_set(tx, origin, to);
}

// Where the keys send the read mark: to the first of their places, or to the start.
struct way_back {
    bool to_start;
    const struct feed_mark *to;
};

static void way_back_add(struct way_back *w, const struct revoked_key *r)
{
    if (r->reread == REREAD_ALL)
        w->to_start = true;
    else if (!w->to || feed_mark_order(&r->good, w->to) < 0)
        w->to = &r->good;
}

static int way_back_go(struct tx *tx, const char *origin, const struct way_back *w)
{
    if (w->to_start)
        return mark_remove(tx, origin, 0);
    if (w->to)
        return mark_set_back(tx, origin, w->to);
    return 0;
}

static int keys_reread(struct tx *tx, const char *origin, struct revoked_key *list, size_t n)
{
    struct way_back back = {0};
    for (size_t i = 0; i < n; i++)
        if (is_to_reread(&list[i], origin))
            way_back_add(&back, &list[i]);
    int rc = way_back_go(tx, origin, &back);
    for (size_t i = 0; !rc && i < n; i++) {
        if (!is_to_reread(&list[i], origin))
            continue;
        list[i].reread = REREAD_DONE;
        rc = revoked_set(tx, &list[i]);
    }
    return rc;
}

static int rewind_run(struct tx *tx, void *arg)
{
    struct arena a;
    struct revoked_key *list;
    size_t n;
    arena_init(&a, 0);
    int rc = revoked_list(tx, &a, &list, &n);
    if (!rc)
        rc = keys_reread(tx, arg, list, n);
    arena_done(&a);
    return rc;
}

// Most calls find nothing to do: that is read beside the writer.
static int reread_due(struct meta *m, const char *origin, bool *out)
{
    struct arena a;
    struct tx *tx;
    struct revoked_key *list;
    size_t n = 0;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    arena_init(&a, 0);
    bool due = false;
    rc = revoked_list(tx, &a, &list, &n);
    for (size_t i = 0; !rc && i < n; i++)
        if (is_to_reread(&list[i], origin))
            due = true;
    arena_done(&a);
    tx_end(tx);
    if (!rc)
        *out = due;
    return rc;
}

int meta_revoke_rewind(struct meta *m, const char *origin)
{
    bool due;
    int rc = reread_due(m, origin, &due);
    if (rc || !due)
        return rc;
    return meta_write(m, rewind_run, (void *)origin, false);
}

static int reread_run(struct tx *tx, void *arg)
{
    struct arena a;
    struct revoked_key *list;
    size_t n = 0;
    arena_init(&a, 0);
    int rc = revoked_list(tx, &a, &list, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        if (!is_of(&list[i], arg))
            continue;
        list[i].reread = REREAD_ALL;
        rc = revoked_set(tx, &list[i]);
    }
    arena_done(&a);
    return rc;
}

int meta_revoke_reread(struct meta *m, const char *origin)
{
    return meta_write(m, reread_run, (void *)origin, false);
}
