// SPDX-License-Identifier: Apache-2.0
// The log in SQLite: the table `feed`, and the own head. See store/backend_log.h.
#include "store/sqlite/sqlite_priv.h"

#include "base/err.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

// --- the own head: in memory, because this process alone mints ---

static int log_head_find(struct db *d, const char *origin, struct feed_mark *out_mark,
                         uint64_t *out_stamp)
{
    sqlite3_stmt *st;
    int rc = db_find(d, &st,
                     "SELECT epoch,part,seq,hash,stamp FROM feed WHERE origin=?1 AND part=0"
                     " ORDER BY epoch DESC, seq DESC LIMIT 1",
                     "s", origin);
    if (rc)
        return rc;
    rc = mark_of_row(st, 0, out_mark);
    if (!rc && out_stamp)
        *out_stamp = (uint64_t)sqlite3_column_int64(st, 4);
    db_end(st);
    return rc;
}

int own_load(struct sqlite_backend *b)
{
    struct own_head own = {.epoch = 1};
    uint64_t stamp = 0, epoch = 1;
    int rc = log_head_find(&b->w.db, b->region, &own.last, &stamp);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    rc = state_get(&b->w.db, "hlc", &own.stamp);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    rc = state_get(&b->w.db, "epoch", &epoch);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    own.epoch = epoch > own.last.epoch ? epoch : own.last.epoch;
    if (own.stamp < stamp)
        own.stamp = stamp;
    b->own = own;
    atomic_store(&b->base.clock, own.stamp);
    return 0;
}

static int sqlite_own_lock(struct tx *tx, struct own_head *out)
{
    struct sqlite_backend *b = sqlite_tx(tx)->of;
    assert(tx == &b->w.tx); // a reader locks nothing
    *out = b->own;
    return 0;
}

static int sqlite_own_set(struct tx *tx, const struct own_head *own)
{
    struct sqlite_backend *b = sqlite_tx(tx)->of;
    assert(tx == &b->w.tx);
    assert(own->epoch >= b->own.epoch);    // invariant 8: it never goes down
    assert(own->epoch >= own->last.epoch); // invariant 8: what is minted next lies past the last
    int rc = 0;
    if (own->stamp != b->own.stamp)
        rc = state_set(&b->w.db, "hlc", own->stamp);
    if (rc)
        return rc;
    if (own->epoch != b->own.epoch)
        rc = state_set(&b->w.db, "epoch", own->epoch);
    if (rc)
        return rc;
    uint64_t committed = b->own.committed;
    b->own = *own;
    b->own.committed = committed;
    return 0;
}

// --- entries ---

static const char *said(const char *s)
{
    return s ? s : "";
}

static int sqlite_append(struct tx *tx, const struct feed_entry *e, struct bytes content,
                         int64_t *out_id)
{
    struct db *d = sqlite_write_db(tx);
    const char *attribute = "";
    int version = 1;
    bool freezes = e->kind == ENTRY_UNKNOWN && e->must && *said(e->attribute);
    if (e->version == 2) {
        version = 2;
        attribute = said(e->attribute);
    }
    int rc = db_run(
        d,
        "INSERT INTO feed(origin,epoch,part,seq,stamp,restates,kind,registry,repository,tag,digest,"
        "media_type,size,hash,key,sig,content,version,body,registry_seq,attribute,freezes,"
        "create_only,generation,judged_stamp,judged_origin,judged_epoch)"
        " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?"
        "23,"
        "?24,?25,?26,?27)",
        "suiuuunsssdsubsbbnbusnnuusu", e->origin, e->epoch, (int64_t)e->partition, e->seq, e->stamp,
        e->restates, (int)e->kind, e->registry, e->repository, said(e->tag), &e->digest,
        said(e->media_type), e->size, (const void *)e->hash, (size_t)ENTRY_HASH_BYTES, e->key,
        (const void *)e->sig, (size_t)ENTRY_SIG_BYTES, (const void *)content.p, content.n, version,
        (const void *)e->body.p, e->body.n, e->registry_seq, attribute, (int)freezes,
        (int)e->create_only, e->generation, e->judged_stamp, said(e->judged_origin),
        e->judged_epoch);
    if (rc)
        return rc;
    *out_id = sqlite3_last_insert_rowid(d->h);
    return 0;
}

static int sqlite_held(struct tx *tx, const struct feed_entry *e, int64_t *out_id)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT id,hash FROM feed WHERE origin=?1 AND part=?2 AND epoch=?3 AND seq=?4",
                     "siuu", e->origin, (int64_t)e->partition, e->epoch, e->seq);
    if (rc)
        return rc;
    const void *hash = sqlite3_column_blob(st, 1);
    bool same = hash && sqlite3_column_bytes(st, 1) == ENTRY_HASH_BYTES &&
                memcmp(hash, e->hash, ENTRY_HASH_BYTES) == 0;
    *out_id = sqlite3_column_int64(st, 0);
    db_end(st);
    return same ? 0 : ERR_CONFLICT;
}

static int sqlite_head(struct tx *tx, const char *origin, struct feed_mark *out_mark,
                       uint64_t *out_stamp)
{
    return log_head_find(sqlite_tx_db(tx), origin, out_mark, out_stamp);
}

static int sqlite_before(struct tx *tx, const char *origin, const struct feed_mark *place,
                         struct feed_mark *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT epoch,part,seq,hash FROM feed WHERE origin=?1 AND part=?2 AND"
                     " (epoch,seq)<(?3,?4) ORDER BY epoch DESC,seq DESC LIMIT 1",
                     "siuu", origin, (int64_t)place->partition, place->epoch, place->seq);
    if (rc)
        return rc;
    rc = mark_of_row(st, 0, out);
    db_end(st);
    return rc;
}

static int sqlite_last_stamp(struct tx *tx, const char *origin, uint64_t epoch, uint64_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(
        sqlite_tx_db(tx), &st,
        "SELECT stamp FROM feed WHERE origin=?1 AND part=0 AND epoch=?2 ORDER BY seq DESC LIMIT 1",
        "su", origin, epoch);
    if (rc)
        return rc;
    *out = (uint64_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int sqlite_own_asserts(struct tx *tx, const struct log_assertion *by, const struct digest *d)
{
    static const struct register_value none = {.origin = ""};
    const struct register_value *above = by->above ? by->above : &none;
    return db_exists(sqlite_tx_db(tx),
                     "SELECT 1 FROM feed f WHERE f.registry=?1 AND f.repository=?2 AND f.kind=?3"
                     " AND f.tag='' AND f.digest=?4 AND f.origin=?5 AND f.key=?6 AND"
                     " (" FEED_REGISTER_STAMP ",f.origin,f.epoch)>(?7,?8,?9) LIMIT 1",
                     "ssndssusu", by->registry, by->repository, (int)ENTRY_MANIFEST, d, tx->region,
                     by->key, above->stamp, above->origin, above->epoch);
}

static int sqlite_get(struct tx *tx, int64_t id, struct arena *a, struct feed_entry *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT " FEED_COLUMNS " FROM feed f WHERE f.id=?1",
                     "i", id);
    if (rc)
        return rc;
    rc = feed_row(st, a, out);
    db_end(st);
    return rc;
}

static int sqlite_remove(struct tx *tx, int64_t id)
{
    struct db *d = sqlite_write_db(tx);
    int rc = db_exists(d, "SELECT 1 FROM tasks WHERE id=?1", "i", id);
    if (!rc)
        return ERR_CONFLICT;
    if (rc != ERR_NOTFOUND)
        return rc;
    return db_run(d, "DELETE FROM feed WHERE id=?1", "i", id);
}

static int sqlite_content_drop(struct tx *tx, int64_t id)
{
    return db_run(sqlite_write_db(tx),
                  "UPDATE feed SET content=NULL WHERE id=?1 AND content IS NOT NULL", "i", id);
}

static int sqlite_refuse(struct tx *tx, int64_t id)
{
    return db_run(sqlite_write_db(tx), "UPDATE feed SET refused=?2 WHERE id=?1", "in", id,
                  FEED_REFUSED);
}

static int sqlite_log_end(struct tx *tx, int64_t id)
{
    return db_run(sqlite_write_db(tx), "UPDATE feed SET refused=?2 WHERE id=?1", "in", id,
                  FEED_ENDED);
}

// --- pages ---

static bool wanted(const struct log_query *q, const char *registry)
{
    for (size_t i = 0; i < q->n_registries; i++)
        if (strcmp(registry, q->registries[i]) == 0)
            return true;
    return q->n_registries == 0;
}

// One row of FEED_COLUMNS: its place, and the entry when it is wanted.
static int page_row(sqlite3_stmt *st, const struct log_query *q, struct arena *a,
                    struct log_page *p)
{
    const char *registry = (const char *)sqlite3_column_text(st, 8);
    if (!registry)
        return ERR_CORRUPT;
    if (wanted(q, registry)) {
        int rc = feed_row(st, a, &p->entries[p->n]);
        if (rc)
            return rc;
        p->n++;
    }
    const void *hash = sqlite3_column_blob(st, 14);
    if (!hash || sqlite3_column_bytes(st, 14) != ENTRY_HASH_BYTES)
        return ERR_CORRUPT;
    p->last = (struct feed_mark){.epoch = (uint64_t)sqlite3_column_int64(st, 2),
                                 .partition = (uint32_t)sqlite3_column_int(st, 3),
                                 .seq = (uint64_t)sqlite3_column_int64(st, 4)};
    memcpy(p->last.hash, hash, ENTRY_HASH_BYTES);
    return 0;
}

static int page_walk(struct db *d, sqlite3_stmt *st, const struct log_query *q, struct arena *a,
                     struct log_page *p)
{
    for (size_t looked = 0; p->n < q->max && looked < q->max_looks; looked++) {
        int rc = db_step(d, st);
        if (rc == 0)
            p->at_end = true;
        if (rc <= 0)
            return rc; // the statement has ended
        rc = page_row(st, q, a, p);
        if (rc) {
            db_end(st);
            return rc;
        }
    }
    db_end(st);
    return 0;
}

static int page_begin(const struct log_query *q, struct arena *a, struct log_page *p)
{
    *p = (struct log_page){.last = q->from};
    p->entries = arena_array(a, q->max ? q->max : 1, sizeof *p->entries);
    if (!p->entries)
        return ERR_NOMEM;
    return 0;
}

static int sqlite_forward(struct tx *tx, const struct log_query *q, struct arena *a,
                          struct log_page *out)
{
    struct db *d = sqlite_tx_db(tx);
    struct log_page p;
    sqlite3_stmt *st;
    int rc = page_begin(q, a, &p);
    if (rc)
        return rc;
    rc = db_start(d, &st,
                  "SELECT " FEED_COLUMNS
                  " FROM feed f WHERE f.origin=?1 AND f.part=?2 AND (f.epoch,f.seq)>(?3,?4)"
                  " ORDER BY f.epoch,f.seq",
                  "siuu", q->origin, (int64_t)q->from.partition, q->from.epoch, q->from.seq);
    if (rc)
        return rc;
    rc = page_walk(d, st, q, a, &p);
    if (rc)
        return rc;
    *out = p;
    return 0;
}

static int sqlite_backward(struct tx *tx, const struct log_query *q, struct arena *a,
                           struct log_page *out)
{
    struct db *d = sqlite_tx_db(tx);
    struct log_page p;
    sqlite3_stmt *st;
    int rc = page_begin(q, a, &p);
    if (rc)
        return rc;
    uint64_t epoch = INT64_MAX;
    if (q->from.epoch)
        epoch = q->from.epoch;
    rc = db_start(d, &st,
                  "SELECT " FEED_COLUMNS
                  " FROM feed f WHERE f.origin=?1 AND f.part=?2 AND (f.epoch,f.seq)<(?3,?4)"
                  " ORDER BY f.epoch DESC,f.seq DESC",
                  "siuu", q->origin, (int64_t)q->from.partition, epoch, q->from.seq);
    if (rc)
        return rc;
    rc = page_walk(d, st, q, a, &p);
    if (rc)
        return rc;
    *out = p;
    return 0;
}

// --- read marks: the table `origins` ---

static int sqlite_mark_known(struct tx *tx, const char *origin, const struct feed_mark *mark)
{
    return db_exists(
        sqlite_tx_db(tx),
        "SELECT 1 FROM feed WHERE origin=?1 AND part=?2 AND epoch=?3 AND seq=?4 AND hash=?5 UNION "
        "ALL "
        "SELECT 1 FROM origins WHERE origin=?1 AND part=?2 AND epoch=?3 AND seq=?4 AND hash=?5",
        "siuub", origin, (int64_t)mark->partition, mark->epoch, mark->seq, (const void *)mark->hash,
        (size_t)ENTRY_HASH_BYTES);
}

static int sqlite_mark_get(struct tx *tx, const char *origin, uint32_t partition,
                           struct feed_mark *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT epoch,part,seq,hash FROM origins WHERE origin=?1 AND part=?2", "si",
                     origin, (int64_t)partition);
    if (rc)
        return rc;
    rc = mark_of_row(st, 0, out);
    db_end(st);
    return rc;
}

static int sqlite_mark_set(struct tx *tx, const char *origin, const struct feed_mark *mark)
{
    return db_run(sqlite_write_db(tx),
                  "INSERT OR REPLACE INTO origins(origin,part,epoch,seq,hash)"
                  " VALUES(?1,?2,?3,?4,?5)",
                  "siuub", origin, (int64_t)mark->partition, mark->epoch, mark->seq,
                  (const void *)mark->hash, (size_t)ENTRY_HASH_BYTES);
}

static int sqlite_mark_remove(struct tx *tx, const char *origin, uint32_t partition)
{
    return db_run(sqlite_write_db(tx), "DELETE FROM origins WHERE origin=?1 AND part=?2", "si",
                  origin, (int64_t)partition);
}

static int sqlite_marks_list(struct tx *tx, struct arena *a, struct read_mark **out, size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0, cap = 0;
    struct read_mark *list = NULL;
    int rc =
        db_start(sqlite_tx_db(tx), &st,
                 "SELECT epoch,part,seq,hash,origin FROM origins WHERE part=0 ORDER BY origin", "");
    if (rc)
        return rc;
    while ((rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        if (n == cap)
            list = db_grow(a, list, n, &cap, sizeof *list);
        rc = list ? mark_of_row(st, 0, &list[n].mark) : ERR_NOMEM;
        if (!rc)
            rc = db_text(st, 4, a, &list[n].origin);
        if (rc) {
            db_end(st);
            return rc;
        }
        n++;
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

static int last_id(struct db *d, int64_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(d, &st, "SELECT coalesce(max(id),0) FROM feed", "");
    if (rc)
        return rc;
    *out = sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int touched_row(sqlite3_stmt *st, struct arena *a, struct feed_touched *out)
{
    int rc = db_text(st, 1, a, &out->registry);
    if (!rc)
        rc = db_text(st, 2, a, &out->repository);
    return rc;
}

static int sqlite_touched(struct tx *tx, int64_t after, size_t max, struct arena *a,
                          struct feed_touched **out, size_t *out_n, int64_t *out_last)
{
    struct db *d = sqlite_tx_db(tx);
    sqlite3_stmt *st;
    size_t n = 0;
    int64_t last = after;
    struct feed_touched *list = arena_array(a, max, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    if (after < 0) {
        *out = list;
        *out_n = 0;
        return last_id(d, out_last);
    }
    int rc =
        db_start(d, &st, "SELECT id,registry,repository FROM feed WHERE id>?1 ORDER BY id LIMIT ?2",
                 "ii", after, (int64_t)max);
    if (rc)
        return rc;
    while ((rc = db_step(d, st)) == 1) {
        last = sqlite3_column_int64(st, 0);
        rc = touched_row(st, a, &list[n++]);
        if (rc) {
            db_end(st);
            return rc;
        }
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    *out_last = last;
    return 0;
}

const struct log_ops sqlite_log_ops = {
    .own_lock = sqlite_own_lock,
    .own_set = sqlite_own_set,
    .append = sqlite_append,
    .held = sqlite_held,
    .head = sqlite_head,
    .before = sqlite_before,
    .get = sqlite_get,
    .remove = sqlite_remove,
    .content_drop = sqlite_content_drop,
    .refuse = sqlite_refuse,
    .end = sqlite_log_end,
    .last_stamp = sqlite_last_stamp,
    .own_asserts = sqlite_own_asserts,
    .forward = sqlite_forward,
    .backward = sqlite_backward,
    .touched = sqlite_touched,
    .mark_known = sqlite_mark_known,
    .mark_get = sqlite_mark_get,
    .mark_set = sqlite_mark_set,
    .mark_remove = sqlite_mark_remove,
    .marks_list = sqlite_marks_list,
};
