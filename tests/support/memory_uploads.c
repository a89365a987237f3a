// SPDX-License-Identifier: Apache-2.0
// Uploads in memory; see store/backend_uploads.h.
#include "tests/support/memory_tables.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

static const struct m_upload *upload_at(struct tx *tx, const char *id)
{
    return row_find(tx, T_UPLOADS, &(struct m_upload){.id = id});
}

static int64_t rested_since(const struct m_upload *u)
{
    return u->row.touched_ms - u->idle_ms;
}

static bool is_of(const struct m_upload *u, const char *registry, const char *principal)
{
    if (strcmp(u->row.registry, registry) != 0)
        return false;
    return !principal || strcmp(u->row.principal, principal) == 0;
}

static int add(struct tx *tx, const struct upload_row *row)
{
    struct m_upload u = {.id = row->id, .row = *row};
    if (upload_at(tx, row->id))
        return ERR_CONFLICT;
    if (row->size > INT64_MAX)
        return ERR_TOOBIG;
    u.row.received = row->size;
    return row_put(tx, T_UPLOADS, &u);
}

static int get(struct tx *tx, const char *id, struct arena *a, struct upload_row *out)
{
    const struct m_upload *u = upload_at(tx, id);
    if (!u)
        return ERR_NOTFOUND;
    struct upload_row r = u->row;
    const char **const texts[] = {&r.id, &r.registry, &r.repository, &r.principal};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *is = *texts[i];
        *texts[i] = NULL;
        int rc = a ? text_out(a, is, texts[i]) : 0;
        if (rc)
            return rc;
    }
    *out = r;
    return 0;
}

static int move(struct tx *tx, const char *id, uint64_t size, uint64_t received, int64_t touched_ms)
{
    const struct m_upload *is = upload_at(tx, id);
    if (!is)
        return ERR_NOTFOUND;
    if (size > INT64_MAX || received > INT64_MAX)
        return ERR_TOOBIG;
    struct m_upload u = *is;
    u.row.size = size;
    u.row.received = received;
    u.row.touched_ms = touched_ms;
    u.idle_ms = 0;
    return row_put(tx, T_UPLOADS, &u);
}

static int tell(struct tx *tx, const char *id, uint64_t size)
{
    const struct m_upload *is = upload_at(tx, id);
    if (!is)
        return ERR_NOTFOUND;
    struct m_upload u = *is;
    u.row.size = size;
    return row_put(tx, T_UPLOADS, &u);
}

static int remove_one(struct tx *tx, const char *id)
{
    return row_remove(tx, T_UPLOADS, &(struct m_upload){.id = id});
}

static int amount(struct tx *tx, const char *registry, const char *principal,
                  struct upload_amount *out)
{
    struct upload_amount n = {0};
    EACH_ROW(tx, T_UPLOADS, struct m_upload, u)
    if (is_of(u, registry, principal)) {
        n.n++;
        n.bytes += u->row.received;
    }
    *out = n;
    return 0;
}

static int by_rest(const void *pa, const void *pb)
{
    const struct m_upload *a = *(const struct m_upload *const *)pa,
                          *b = *(const struct m_upload *const *)pb;
    int64_t sa = rested_since(a), sb = rested_since(b);
    return (sa > sb) - (sa < sb);
}

static int by_idle(const void *pa, const void *pb)
{
    const struct m_upload *a = *(const struct m_upload *const *)pa,
                          *b = *(const struct m_upload *const *)pb;
    return (a->idle_ms < b->idle_ms) - (a->idle_ms > b->idle_ms);
}

static int oldest(struct tx *tx, const struct upload_owner *o, int64_t since_ms, size_t skip,
                  size_t max, struct arena *a, struct upload_rest *out, size_t *out_n)
{
    size_t n = 0, n_out = 0;
    const struct m_upload **list = arena_array(a, row_count(tx, T_UPLOADS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_UPLOADS, struct m_upload, u)
    if (is_of(u, o->registry, o->principal) && rested_since(u) <= since_ms)
        list[n++] = u;
    qsort(list, n, sizeof *list, by_rest);
    for (size_t i = skip; i < n && n_out < max; i++, n_out++) {
        out[n_out].received = list[i]->row.received;
        int rc = text_out(a, list[i]->id, &out[n_out].id);
        if (rc)
            return rc;
    }
    *out_n = n_out;
    return 0;
}

static int newest(struct tx *tx, const struct upload_owner *o, int64_t *out_since_ms)
{
    bool any = false;
    int64_t since_ms = INT64_MIN;
    EACH_ROW(tx, T_UPLOADS, struct m_upload, u)
    if (is_of(u, o->registry, o->principal)) {
        any = true;
        if (rested_since(u) > since_ms)
            since_ms = rested_since(u);
    }
    if (!any)
        return ERR_NOTFOUND;
    *out_since_ms = since_ms;
    return 0;
}

static bool owner_in(const struct upload_owner *list, size_t n, const struct upload_row *r)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].registry, r->registry) && !strcmp(list[i].principal, r->principal))
            return true;
    return false;
}

static int owners_over(struct tx *tx, uint64_t bytes, size_t max, struct arena *a,
                       struct upload_owner *out, size_t *out_n)
{
    size_t n = 0;
    EACH_ROW(tx, T_UPLOADS, struct m_upload, u)
    {
        struct upload_amount has;
        amount(tx, u->row.registry, u->row.principal, &has);
        if (n == max || has.bytes <= bytes || owner_in(out, n, &u->row))
            continue;
        int rc = text_out(a, u->row.registry, &out[n].registry);
        if (!rc)
            rc = text_out(a, u->row.principal, &out[n].principal);
        if (rc)
            return rc;
        n++;
    }
    *out_n = n;
    return 0;
}

static int age(struct tx *tx, int64_t now_ms)
{
    for (size_t i = 0; i < row_count(tx, T_UPLOADS); i++) {
        struct m_upload u = *(const struct m_upload *)row_at(tx, T_UPLOADS, i);
        if (u.row.touched_ms >= now_ms)
            continue;
        u.idle_ms += now_ms - u.row.touched_ms;
        u.row.touched_ms = now_ms;
        int rc = row_put(tx, T_UPLOADS, &u);
        if (rc)
            return rc;
    }
    return 0;
}

static int idle(struct tx *tx, const char *id, int64_t *out_idle_ms)
{
    const struct m_upload *u = upload_at(tx, id);
    if (!u)
        return ERR_NOTFOUND;
    *out_idle_ms = u->idle_ms;
    return 0;
}

static int idle_list(struct tx *tx, int64_t idle_ms, size_t skip, size_t max, struct arena *a,
                     const char **out, size_t *out_n)
{
    size_t n = 0, n_out = 0;
    const struct m_upload **list = arena_array(a, row_count(tx, T_UPLOADS) + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    EACH_ROW(tx, T_UPLOADS, struct m_upload, u)
    if (u->idle_ms > idle_ms)
        list[n++] = u;
    qsort(list, n, sizeof *list, by_idle);
    for (size_t i = skip; i < n && n_out < max; i++, n_out++) {
        int rc = text_out(a, list[i]->id, &out[n_out]);
        if (rc)
            return rc;
    }
    *out_n = n_out;
    return 0;
}

// --- uploads that ended ---

static int ended_add_row(struct tx *tx, const struct ended_row *row, uint64_t *out_n)
{
    struct m_own own = own_row(tx);
    struct m_ended e = {.id = row->id, .row = *row, .n = ++own.ended_n};
    int rc = row_put(tx, T_OWN, &own);
    if (!rc)
        rc = row_put(tx, T_ENDED, &e);
    if (!rc)
        *out_n = e.n;
    return rc;
}

static bool ended_is_of(const struct m_ended *e, const struct upload_owner *o)
{
    return !strcmp(e->row.registry, o->registry) && !strcmp(e->row.principal, o->principal);
}

static int ended_trim_rows(struct tx *tx, const struct upload_owner *o, size_t keep)
{
    for (;;) {
        size_t n = 0, first = 0;
        uint64_t lowest = UINT64_MAX;
        for (size_t i = 0; i < row_count(tx, T_ENDED); i++) {
            const struct m_ended *e = row_at(tx, T_ENDED, i);
            if (!ended_is_of(e, o))
                continue;
            n++;
            if (e->n < lowest) {
                lowest = e->n;
                first = i;
            }
        }
        if (n <= keep)
            return 0;
        int rc = row_remove_at(tx, T_ENDED, first);
        if (rc)
            return rc;
    }
}

static int ended_find_row(struct tx *tx, const struct ended_row *row)
{
    const struct m_ended *e = row_find(tx, T_ENDED, &(struct m_ended){.id = row->id});
    if (!e || strcmp(e->row.registry, row->registry) || strcmp(e->row.repository, row->repository))
        return ERR_NOTFOUND;
    if (strcmp(e->row.principal, row->principal) || !digest_equal(&e->row.digest, &row->digest))
        return ERR_NOTFOUND;
    return 0;
}

static int ended_forget_rows(struct tx *tx, int64_t before_run_ms, size_t max, size_t *out_n)
{
    size_t n = 0;
    while (n < max) {
        size_t first = SIZE_MAX;
        int64_t lowest = before_run_ms;
        for (size_t i = 0; i < row_count(tx, T_ENDED); i++) {
            const struct m_ended *e = row_at(tx, T_ENDED, i);
            if (e->row.run_ms < lowest) {
                lowest = e->row.run_ms;
                first = i;
            }
        }
        if (first == SIZE_MAX)
            break;
        int rc = row_remove_at(tx, T_ENDED, first);
        if (rc)
            return rc;
        n++;
    }
    *out_n = n;
    return 0;
}

static int run_get(struct tx *tx, int64_t *out_run_ms)
{
    *out_run_ms = own_row(tx).run_ms;
    return 0;
}

static int run_set(struct tx *tx, int64_t run_ms)
{
    struct m_own own = own_row(tx);
    own.run_ms = run_ms;
    return row_put(tx, T_OWN, &own);
}

const struct upload_ops memory_upload_ops = {
    .add = add,
    .get = get,
    .move = move,
    .tell = tell,
    .remove = remove_one,
    .amount = amount,
    .oldest = oldest,
    .newest = newest,
    .owners_over = owners_over,
    .age = age,
    .idle = idle,
    .idle_list = idle_list,
    .ended_add = ended_add_row,
    .ended_trim = ended_trim_rows,
    .ended_find = ended_find_row,
    .ended_forget = ended_forget_rows,
    .run_get = run_get,
    .run_set = run_set,
};
