// SPDX-License-Identifier: Apache-2.0
// Void entries, revoked keys and outdone tags in memory; see store/backend_void.h.
#include "tests/support/memory_tables.h"

#include "base/err.h"

#include <stdio.h>
#include <string.h>

static bool is_at(const struct m_void *v, const char *origin, uint32_t part, uint64_t epoch,
                  uint64_t seq, const uint8_t *hash)
{
    if (strcmp(v->e.origin, origin) != 0 || v->e.partition != part)
        return false;
    if (v->e.epoch != epoch || v->e.seq != seq)
        return false;
    return memcmp(v->e.hash, hash, ENTRY_HASH_BYTES) == 0;
}

static int add(struct tx *tx, const struct voided_row *row)
{
    const struct feed_entry *e = &row->entry;
    struct m_own own = own_row(tx);
    struct m_void v = {
        .id = ++own.void_id, .reason = row->reason, .was = row->was, .at_ms = row->at_ms, .e = *e};
    v.e.content = (struct bytes){0};
    for (size_t i = row_count(tx, T_VOIDED); i-- > 0;) {
        if (!is_at(row_at(tx, T_VOIDED, i), e->origin, e->partition, e->epoch, e->seq, e->hash))
            continue;
        int rc = row_remove_at(tx, T_VOIDED, i);
        if (rc)
            return rc;
    }
    int rc = row_put(tx, T_OWN, &own);
    if (rc)
        return rc;
    return row_put(tx, T_VOIDED, &v);
}

static int reason(struct tx *tx, const char *origin, const struct feed_mark *place,
                  char out[VOID_REASON_SIZE])
{
    EACH_ROW(tx, T_VOIDED, struct m_void, v)
    if (is_at(v, origin, place->partition, place->epoch, place->seq, place->hash)) {
        snprintf(out, VOID_REASON_SIZE, "%s", v->reason);
        return 0;
    }
    return ERR_NOTFOUND;
}

// What its register says now.
static bool now_of(struct tx *tx, const struct feed_entry *e, struct digest *out)
{
    int64_t repo = repo_id(tx, e->registry, e->repository);
    if (e->kind == ENTRY_TAG || e->kind == ENTRY_TAG_GONE) {
        const struct m_tag *t = row_find(tx, T_TAGS, &(struct m_tag){.repo = repo, .tag = e->tag});
        if (t && t->live)
            *out = t->digest;
        return t && t->live;
    }
    if (e->kind != ENTRY_MANIFEST && e->kind != ENTRY_MANIFEST_GONE)
        return false;
    const struct m_manifest *m =
        row_find(tx, T_MANIFESTS, &(struct m_manifest){.repo = repo, .digest = e->digest});
    *out = e->digest;
    return m && m->live;
}

static int list(struct tx *tx, const char *registry, int64_t after, size_t max, struct arena *a,
                struct voided_row **out, size_t *out_n)
{
    size_t n = 0;
    struct voided_row *rows = arena_array(a, row_count(tx, T_VOIDED) + 1, sizeof *rows);
    if (!rows)
        return ERR_NOMEM;
    EACH_ROW(tx, T_VOIDED, struct m_void, v)
    {
        if (n == max || v->id <= after || strcmp(v->e.registry, registry) != 0)
            continue;
        struct voided_row *row = &rows[n];
        row->id = v->id;
        row->at_ms = v->at_ms;
        row->there = now_of(tx, &v->e, &row->now);
        int rc = entry_out(a, &v->e, false, &row->entry);
        if (!rc)
            rc = text_out(a, v->reason, &row->reason);
        if (!rc)
            rc = text_out(a, v->was, &row->was);
        if (rc)
            return rc;
        n++;
    }
    *out = rows;
    *out_n = n;
    return 0;
}

// --- revoked keys ---

static int revoked_get_row(struct tx *tx, const char *key, struct revoked_key *out)
{
    const struct revoked_key *r = row_find(tx, T_REVOKED, &(struct revoked_key){.key = key});
    if (!r)
        return ERR_NOTFOUND;
    *out = *r;
    out->key = key;
    return 0;
}

static int revoked_set_row(struct tx *tx, const struct revoked_key *r)
{
    return row_put(tx, T_REVOKED, r);
}

static int revoked_list_rows(struct tx *tx, struct arena *a, struct revoked_key **out,
                             size_t *out_n)
{
    size_t n = 0;
    struct revoked_key *rows = arena_array(a, row_count(tx, T_REVOKED) + 1, sizeof *rows);
    if (!rows)
        return ERR_NOMEM;
    EACH_ROW(tx, T_REVOKED, struct revoked_key, r)
    {
        rows[n] = *r;
        int rc = text_out(a, r->key, &rows[n].key);
        if (rc)
            return rc;
        n++;
    }
    *out = rows;
    *out_n = n;
    return 0;
}

// --- outdone tags ---

static int outdone_get_row(struct tx *tx, const struct register_name *tag, uint64_t *out_stamp)
{
    const struct m_outdone *o = row_find(
        tx, T_OUTDONE,
        &(struct m_outdone){.repo = repo_id(tx, tag->registry, tag->repository), .tag = tag->tag});
    if (!o)
        return ERR_NOTFOUND;
    *out_stamp = o->stamp;
    return 0;
}

static int outdone_set_row(struct tx *tx, const struct register_name *tag, uint64_t stamp)
{
    int64_t repo = repo_id(tx, tag->registry, tag->repository);
    if (!repo)
        return ERR_NOTFOUND;
    return row_put(tx, T_OUTDONE, &(struct m_outdone){repo, tag->tag, stamp});
}

static int outdone_clear_rows(struct tx *tx)
{
    int rc = 0;
    while (!rc && row_count(tx, T_OUTDONE))
        rc = row_remove_at(tx, T_OUTDONE, row_count(tx, T_OUTDONE) - 1);
    return rc;
}

const struct void_ops memory_void_ops = {
    .add = add,
    .reason = reason,
    .list = list,
    .revoked_get = revoked_get_row,
    .revoked_set = revoked_set_row,
    .revoked_list = revoked_list_rows,
    .outdone_get = outdone_get_row,
    .outdone_set = outdone_set_row,
    .outdone_clear = outdone_clear_rows,
};
