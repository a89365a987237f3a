// SPDX-License-Identifier: Apache-2.0
// The log: own entries (the outbox) and those of other regions that were read; see meta.h. Minting
// runs on the writer thread, reading anywhere.
//
// Invariants (design section 9)
//   1. An own entry is minted in the transaction that changes the state.
//   8. A place (origin, epoch, partition, seq) has one entry for ever: the table's key; an epoch
//      only grows.
#include "store/entry_kind.h"
#include "store/meta_priv.h"

#include "base/err.h"

#include <assert.h>
#include <string.h>

// entries looked at in one call, so that a long filtered stretch does not hold a thread
#define LOOK_MAX 10000

static int entry_sign(struct meta *m, struct feed_entry *e)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    int rc = entry_sign_input(e, &b);
    if (rc)
        return rc;
    if (m->o.sign)
        return m->o.sign(m->o.sign_ctx, b.p, b.n, e->sig);
    return ERR_CRYPTO;
}

int own_reload(struct tx *tx)
{
    struct own_head own;
    uint64_t stamp = 0;
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    own.last = (struct feed_mark){0};
    rc = log_head(tx, tx->region, &own.last, &stamp);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (own.epoch < own.last.epoch)
        own.epoch = own.last.epoch;
    if (own.stamp < stamp)
        own.stamp = stamp;
    return own_set(tx, &own);
}

static int mint_at(struct meta *m, struct tx *tx, struct own_head *own, struct bytes keep_content,
                   struct feed_entry *e, int64_t *out_id)
{
    e->origin = tx->region;
    e->epoch = own->epoch;
    e->partition = 0;
    e->seq = 1;
    if (own->last.epoch == own->epoch)
        e->seq = own->last.seq + 1;
    e->key = m->o.key_id;
    assert(e->stamp > own->stamp);       // invariant 9
    assert(e->epoch >= own->last.epoch); // invariant 8
    int rc = entry_hash(own->last.hash, e, e->hash);
    if (rc)
        return rc;
    rc = entry_sign(m, e);
    if (rc)
        return rc;
    rc = log_append(tx, e, keep_content, out_id);
    if (rc == ERR_CONFLICT)
        return ERR_CORRUPT; // a place that is taken: the own head is not the log's
    if (rc)
        return rc;
    own->last = (struct feed_mark){.epoch = e->epoch, .seq = e->seq};
    memcpy(own->last.hash, e->hash, ENTRY_HASH_BYTES);
    own->stamp = e->stamp;
    return own_set(tx, own);
}

int feed_mint(struct meta *m, struct tx *tx, uint64_t above, struct bytes keep_content,
              struct feed_entry *e, int64_t *out_id)
{
    struct own_head own;
    if (!tx->mints)
        return ERR_CLOSED; // 8: the log is another process's
    if (m->key_revoked)
        return ERR_AUTH; // whoever read it would have to refuse it
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    rc = clock_mint(m, own.stamp, above, &e->stamp);
    if (rc)
        return rc;
    rc = mint_at(m, tx, &own, keep_content, e, out_id);
    if (rc)
        return rc;
    tx->notify = true;
    return 0;
}

// --- reading ---

int feed_fill_content(struct tx *tx, struct arena *a, struct feed_entry *e)
{
    if (!entry_has(e, ENTRY_HAS_CONTENT) || e->content.n || e->size > ENTRY_INLINE_MAX)
        return 0;
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT m.content FROM manifests m JOIN repositories r ON r.id=m.repo"
                     " WHERE r.registry=?1 AND r.name=?2 AND m.digest=?3",
                     "ssd", e->registry, e->repository, &e->digest);
    if (rc) {
        if (rc == ERR_NOTFOUND) // not applied here yet: the entry travels without it
            return 0;
        return rc;
    }
    rc = db_blob(st, 0, a, &e->content);
    db_end(st);
    return rc;
}

static bool wanted(const char *registry, const char *const *registries, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(registry, registries[i]) == 0)
            return true;
    return n == 0;
}

struct feed_look { // one meta_feed_read
    struct arena *a;
    const char *const *registries;
    size_t n_registries, max, n;
    struct feed_entry *entries;
    struct feed_mark last;
};

static int feed_walk(struct tx *tx, sqlite3_stmt *st, struct feed_look *l)
{
    int rc = 0;
    for (size_t looked = 0; l->n < l->max && looked < LOOK_MAX; looked++) {
        rc = db_step(sqlite_tx_db(tx), st);
        if (rc <= 0)
            return rc; // at the end the statement ended itself
        const char *registry = (const char *)sqlite3_column_text(st, 8);
        if (registry)
            rc = 0;
        else
            rc = ERR_CORRUPT;
        if (!rc && wanted(registry, l->registries, l->n_registries)) {
            rc = feed_row(st, l->a, &l->entries[l->n]);
            if (!rc)
                rc = feed_fill_content(tx, l->a, &l->entries[l->n]);
            l->n += !rc;
        }
        const void *hash = sqlite3_column_blob(st, 14);
        if (!rc && (!hash || sqlite3_column_bytes(st, 14) != ENTRY_HASH_BYTES))
            rc = ERR_CORRUPT;
        if (rc)
            break;
        l->last = (struct feed_mark){.epoch = (uint64_t)sqlite3_column_int64(st, 2),
                                     .partition = (uint32_t)sqlite3_column_int(st, 3),
                                     .seq = (uint64_t)sqlite3_column_int64(st, 4)};
        memcpy(l->last.hash, hash, ENTRY_HASH_BYTES);
    }
    db_end(st);
    return rc;
}

int meta_feed_read(struct meta *m, const char *origin, const struct feed_mark *after,
                   const char *const *registries, size_t n_registries, size_t max, struct arena *a,
                   struct feed_entry **out, size_t *out_n, struct feed_mark *out_last)
{
    struct feed_look l = {
        .a = a, .registries = registries, .n_registries = n_registries, .max = max, .last = *after};
    l.entries = arena_array(a, max ? max : 1, sizeof *l.entries);
    if (!l.entries)
        return ERR_NOMEM;
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    sqlite3_stmt *st;
    rc = db_start(sqlite_tx_db(tx), &st,
                  "SELECT " FEED_COLUMNS
                  " FROM feed f WHERE f.origin=?1 AND f.part=?2 AND (f.epoch,f.seq)>(?3,?4)"
                  " ORDER BY f.epoch,f.seq",
                  "siuu", origin, (int64_t)after->partition, after->epoch, after->seq);
    if (!rc)
        rc = feed_walk(tx, st, &l);
    tx_end(tx);
    if (rc)
        return rc;
    *out = l.entries;
    *out_n = l.n;
    *out_last = l.last;
    return 0;
}

static int tail_walk(struct tx *tx, sqlite3_stmt *st, const char *registry, struct feed_look *l)
{
    int rc = 0;
    for (size_t looked = 0; l->n < l->max && looked < LOOK_MAX; looked++) {
        rc = db_step(sqlite_tx_db(tx), st);
        if (rc <= 0) {
            l->last = (struct feed_mark){0};
            return rc; // at the end the statement ended itself
        }
        l->last = (struct feed_mark){.epoch = (uint64_t)sqlite3_column_int64(st, 2),
                                     .seq = (uint64_t)sqlite3_column_int64(st, 4)};
        const char *of = (const char *)sqlite3_column_text(st, 8);
        if (of)
            rc = 0;
        else
            rc = ERR_CORRUPT;
        if (!rc && strcmp(of, registry) == 0) {
            rc = feed_row(st, l->a, &l->entries[l->n]);
            l->n += !rc;
        }
        if (rc)
            break;
    }
    db_end(st);
    return rc;
}

int meta_feed_tail(struct meta *m, const char *origin, const char *registry,
                   const struct feed_mark *before, size_t max, struct arena *a,
                   struct feed_entry **out, size_t *out_n, struct feed_mark *out_next)
{
    struct feed_look l = {.a = a, .max = max};
    struct tx *tx;
    sqlite3_stmt *st;
    l.entries = arena_array(a, max ? max : 1, sizeof *l.entries);
    int rc = ERR_NOMEM;
    if (l.entries)
        rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = db_start(sqlite_tx_db(tx), &st,
                  "SELECT " FEED_COLUMNS
                  " FROM feed f WHERE f.origin=?1 AND f.part=0 AND (f.epoch,f.seq)<(?2,?3)"
                  " ORDER BY f.epoch DESC,f.seq DESC",
                  "suu", origin, before->epoch ? before->epoch : INT64_MAX, before->seq);
    if (!rc)
        rc = tail_walk(tx, st, registry, &l);
    tx_end(tx);
    if (rc)
        return rc;
    *out = l.entries;
    *out_n = l.n;
    *out_next = l.last;
    return 0;
}

int meta_head(struct meta *m, const char *origin, struct feed_mark *out)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    struct feed_mark mark = {0};
    rc = log_head(tx, origin, &mark, NULL);
    tx_end(tx);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = mark;
    return 0;
}

int meta_last_stamp(struct meta *m, const char *origin, uint64_t epoch, uint64_t *out)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    sqlite3_stmt *st;
    rc = db_find(
        sqlite_tx_db(tx), &st,
        "SELECT stamp FROM feed WHERE origin=?1 AND part=0 AND epoch=?2 ORDER BY seq DESC LIMIT 1",
        "su", origin, epoch);
    uint64_t stamp = 0;
    if (!rc) {
        stamp = (uint64_t)sqlite3_column_int64(st, 0);
        db_end(st);
    }
    tx_end(tx);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = stamp;
    return 0;
}

// A place is held when its entry is, or when it is where the reading of that origin stands (it may
// lie in a stretch that was filtered out).
int meta_feed_check(struct meta *m, const char *origin, const struct feed_mark *mark)
{
    if (mark->seq == 0)
        return 0;
    if (mark->epoch > INT64_MAX || mark->seq > INT64_MAX)
        return ERR_CONFLICT;
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    sqlite3_stmt *st;
    rc = db_find(
        sqlite_tx_db(tx), &st,
        "SELECT 1 FROM feed WHERE origin=?1 AND part=?2 AND epoch=?3 AND seq=?4 AND hash=?5 UNION "
        "ALL "
        "SELECT 1 FROM origins WHERE origin=?1 AND part=?2 AND epoch=?3 AND seq=?4 AND hash=?5",
        "siuub", origin, (int64_t)mark->partition, mark->epoch, mark->seq, (const void *)mark->hash,
        (size_t)ENTRY_HASH_BYTES);
    if (!rc)
        db_end(st);
    tx_end(tx);
    if (rc == ERR_NOTFOUND)
        return ERR_CONFLICT;
    return rc;
}
