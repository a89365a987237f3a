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
#include "base/mem.h"

#include <assert.h>
#include <string.h>

// entries looked at in one call, so that a long filtered stretch does not hold a thread
#define LOOK_MAX 10000

int mark_of_row(sqlite3_stmt *st, int col, struct feed_mark *out)
{
    const void *hash = sqlite3_column_blob(st, col + 3);
    if (!hash || sqlite3_column_bytes(st, col + 3) != ENTRY_HASH_BYTES)
        return ERR_CORRUPT;
    struct feed_mark m = {.epoch = (uint64_t)sqlite3_column_int64(st, col),
                          .partition = (uint32_t)sqlite3_column_int(st, col + 1),
                          .seq = (uint64_t)sqlite3_column_int64(st, col + 2)};
    memcpy(m.hash, hash, ENTRY_HASH_BYTES);
    *out = m;
    return 0;
}

int head_find(struct db *d, const char *origin, struct feed_mark *out_mark, uint64_t *out_stamp)
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

int feed_own_load(struct meta *m)
{
    struct feed_mark own = {0};
    uint64_t stamp = 0, stored = 0, epoch = 1;
    int rc = head_find(&m->w, m->o.region, &own, &stamp);
    if (!rc || rc == ERR_NOTFOUND)
        rc = state_get(&m->w, "hlc", &stored);
    if (!rc || rc == ERR_NOTFOUND)
        rc = state_get(&m->w, "epoch", &epoch);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    m->own = own;
    if (epoch > own.epoch)
        m->epoch = epoch;
    else
        m->epoch = own.epoch;
    uint64_t last = stamp;
    if (stored > stamp)
        last = stored;
    if (m->hlc.last < last)
        m->hlc.last = last;
    return 0;
}

int feed_insert(struct meta *m, const struct feed_entry *e, struct bytes keep_content,
                int64_t *out_id)
{
    int rc = db_run(
        &m->w,
        "INSERT INTO feed(origin,epoch,part,seq,stamp,restates,kind,registry,repository,tag,digest,"
        "media_type,size,hash,key,sig,content)"
        " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)",
        "suiuuunsssdsubsbb", e->origin, e->epoch, (int64_t)e->partition, e->seq, e->stamp,
        e->restates, (int)e->kind, e->registry, e->repository, e->tag ? e->tag : "", &e->digest,
        e->media_type ? e->media_type : "", e->size, (const void *)e->hash,
        (size_t)ENTRY_HASH_BYTES, e->key, (const void *)e->sig, (size_t)ENTRY_SIG_BYTES,
        (const void *)keep_content.p, keep_content.n);
    if (!rc)
        *out_id = sqlite3_last_insert_rowid(m->w.h);
    return rc;
}

int feed_held(struct db *d, const struct feed_entry *e, int64_t *out_id)
{
    sqlite3_stmt *st;
    int rc = db_find(d, &st,
                     "SELECT id,hash FROM feed WHERE origin=?1 AND part=?2 AND epoch=?3 AND seq=?4",
                     "siuu", e->origin, (int64_t)e->partition, e->epoch, e->seq);
    if (rc)
        return rc;
    const void *hash = sqlite3_column_blob(st, 1);
    bool same = hash && sqlite3_column_bytes(st, 1) == ENTRY_HASH_BYTES &&
                memcmp(hash, e->hash, ENTRY_HASH_BYTES) == 0;
    *out_id = sqlite3_column_int64(st, 0);
    db_end(st);
    if (same)
        return 0;
    return ERR_CONFLICT;
}

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

int feed_mint(struct meta *m, uint64_t above, struct bytes keep_content, struct feed_entry *e,
              int64_t *out_id)
{
    if (m->handed_over)
        return ERR_CLOSED; // 8: the log is another process's
    if (m->key_revoked)
        return ERR_AUTH; // whoever read it would have to refuse it
    int rc = clock_mint(m, above, &e->stamp);
    if (rc)
        return rc;
    e->origin = m->o.region;
    e->epoch = m->epoch;
    e->partition = 0;
    if (m->own.epoch == m->epoch)
        e->seq = m->own.seq + 1;
    else
        e->seq = 1;
    e->key = m->o.key_id;
    rc = entry_hash(m->own.hash, e, e->hash);
    if (!rc)
        rc = entry_sign(m, e);
    if (!rc)
        rc = feed_insert(m, e, keep_content, out_id);
    if (!rc)
        rc = state_set(&m->w, "hlc", e->stamp);
    if (rc) {
        // a place that is taken: the head in memory is not the table's
        if (rc == ERR_CONFLICT)
            return ERR_CORRUPT;
        return rc;
    }
    m->hlc.last = e->stamp;
    m->own = (struct feed_mark){.epoch = e->epoch, .seq = e->seq};
    memcpy(m->own.hash, e->hash, ENTRY_HASH_BYTES);
    m->notify = true;
    return 0;
}

// --- reading ---

int feed_row(sqlite3_stmt *st, struct arena *a, struct feed_entry *out)
{
    struct feed_entry e = {.epoch = (uint64_t)sqlite3_column_int64(st, 2),
                           .partition = (uint32_t)sqlite3_column_int(st, 3),
                           .seq = (uint64_t)sqlite3_column_int64(st, 4),
                           .stamp = (uint64_t)sqlite3_column_int64(st, 5),
                           .restates = (uint64_t)sqlite3_column_int64(st, 6),
                           .kind = (enum entry_kind)sqlite3_column_int(st, 7),
                           .size = (uint64_t)sqlite3_column_int64(st, 13)};
    int rc = db_digest(st, 11, &e.digest);
    const struct {
        int col;
        const char **to;
    } texts[] = {{1, &e.origin}, {8, &e.registry},    {9, &e.repository},
                 {10, &e.tag},   {12, &e.media_type}, {15, &e.key}};
    for (size_t i = 0; !rc && i < ARRAY_LEN(texts); i++)
        rc = db_text(st, texts[i].col, a, texts[i].to);
    if (rc)
        return rc;
    const void *hash = sqlite3_column_blob(st, 14), *sig = sqlite3_column_blob(st, 16);
    if (!hash || sqlite3_column_bytes(st, 14) != ENTRY_HASH_BYTES || !sig ||
        sqlite3_column_bytes(st, 16) != ENTRY_SIG_BYTES || !e.origin || !e.registry ||
        !e.repository || !e.key)
        return ERR_CORRUPT;
    memcpy(e.hash, hash, ENTRY_HASH_BYTES);
    memcpy(e.sig, sig, ENTRY_SIG_BYTES);
    rc = db_blob(st, 17, a, &e.content);
    if (!rc)
        *out = e;
    return rc;
}

int feed_fill_content(struct db *d, struct arena *a, struct feed_entry *e)
{
    if (!entry_has(e, ENTRY_HAS_CONTENT) || e->content.n || e->size > ENTRY_INLINE_MAX)
        return 0;
    sqlite3_stmt *st;
    int rc = db_find(d, &st,
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

static int feed_walk(struct db *d, sqlite3_stmt *st, struct feed_look *l)
{
    int rc = 0;
    for (size_t looked = 0; l->n < l->max && looked < LOOK_MAX; looked++) {
        rc = db_step(d, st);
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
                rc = feed_fill_content(d, l->a, &l->entries[l->n]);
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
    struct db *d;
    int rc = reader_take(m, &d);
    if (rc)
        return rc;
    sqlite3_stmt *st;
    rc = db_start(d, &st,
                  "SELECT " FEED_COLUMNS
                  " FROM feed f WHERE f.origin=?1 AND f.part=?2 AND (f.epoch,f.seq)>(?3,?4)"
                  " ORDER BY f.epoch,f.seq",
                  "siuu", origin, (int64_t)after->partition, after->epoch, after->seq);
    if (!rc)
        rc = feed_walk(d, st, &l);
    reader_give(m, d);
    if (rc)
        return rc;
    *out = l.entries;
    *out_n = l.n;
    *out_last = l.last;
    return 0;
}

static int tail_walk(struct db *d, sqlite3_stmt *st, const char *registry, struct feed_look *l)
{
    int rc = 0;
    for (size_t looked = 0; l->n < l->max && looked < LOOK_MAX; looked++) {
        rc = db_step(d, st);
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
    struct db *d;
    sqlite3_stmt *st;
    l.entries = arena_array(a, max ? max : 1, sizeof *l.entries);
    int rc = ERR_NOMEM;
    if (l.entries)
        rc = reader_take(m, &d);
    if (rc)
        return rc;
    rc = db_start(d, &st,
                  "SELECT " FEED_COLUMNS
                  " FROM feed f WHERE f.origin=?1 AND f.part=0 AND (f.epoch,f.seq)<(?2,?3)"
                  " ORDER BY f.epoch DESC,f.seq DESC",
                  "suu", origin, before->epoch ? before->epoch : INT64_MAX, before->seq);
    if (!rc)
        rc = tail_walk(d, st, registry, &l);
    reader_give(m, d);
    if (rc)
        return rc;
    *out = l.entries;
    *out_n = l.n;
    *out_next = l.last;
    return 0;
}

int meta_head(struct meta *m, const char *origin, struct feed_mark *out)
{
    struct db *d;
    int rc = reader_take(m, &d);
    if (rc)
        return rc;
    struct feed_mark mark = {0};
    rc = head_find(d, origin, &mark, NULL);
    reader_give(m, d);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = mark;
    return 0;
}

int meta_last_stamp(struct meta *m, const char *origin, uint64_t epoch, uint64_t *out)
{
    struct db *d;
    int rc = reader_take(m, &d);
    if (rc)
        return rc;
    sqlite3_stmt *st;
    rc = db_find(
        d, &st,
        "SELECT stamp FROM feed WHERE origin=?1 AND part=0 AND epoch=?2 ORDER BY seq DESC LIMIT 1",
        "su", origin, epoch);
    uint64_t stamp = 0;
    if (!rc) {
        stamp = (uint64_t)sqlite3_column_int64(st, 0);
        db_end(st);
    }
    reader_give(m, d);
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
    struct db *d;
    int rc = reader_take(m, &d);
    if (rc)
        return rc;
    sqlite3_stmt *st;
    rc = db_find(
        d, &st,
        "SELECT 1 FROM feed WHERE origin=?1 AND part=?2 AND epoch=?3 AND seq=?4 AND hash=?5 UNION "
        "ALL "
        "SELECT 1 FROM origins WHERE origin=?1 AND part=?2 AND epoch=?3 AND seq=?4 AND hash=?5",
        "siuub", origin, (int64_t)mark->partition, mark->epoch, mark->seq, (const void *)mark->hash,
        (size_t)ENTRY_HASH_BYTES);
    if (!rc)
        db_end(st);
    reader_give(m, d);
    if (rc == ERR_NOTFOUND)
        return ERR_CONFLICT;
    return rc;
}
