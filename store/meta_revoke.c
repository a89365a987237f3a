// SPDX-License-Identifier: Apache-2.0
// Feed keys that are revoked from a place of their feed on, as this store was told, for good: see
// meta.h.
//
// Told in one transaction, so that from then on nothing that is void is taken in or applied; what
// is held of it is swept out in pieces, each a transaction that also moves the place up to which
// the sweep has come. A sweep that is broken off goes on there.
#include "store/meta_priv.h"

#include "base/err.h"

#include <stdatomic.h>
#include <string.h>

struct revoke {
    const struct meta_revocation *list;
    size_t n;
    struct meta_revoked result;
};

// How the place of `r` compares with what is stored for its key: below 0 it lies before, 0 the
// same. ERR_NOTFOUND.
static int stored_compare(struct tx *tx, const struct meta_revocation *r, int *out)
{
    sqlite3_stmt *st;
    int rc =
        db_find(sqlite_tx_db(tx), &st,
                "SELECT (?2,?3)<(epoch,seq),(?2,?3,?4)=(epoch,seq,hash) FROM revoked WHERE key=?1",
                "suub", r->key, r->epoch, r->seq, (const void *)r->hash, (size_t)ENTRY_HASH_BYTES);
    if (rc)
        return rc;
    *out = 1;
    if (sqlite3_column_int(st, 1))
        *out = 0;
    if (sqlite3_column_int(st, 0))
        *out = -1;
    db_end(st);
    return 0;
}

static int revoke_one(struct tx *tx, const struct meta_revocation *r, struct meta_revoked *out)
{
    int order = -1;
    int rc = stored_compare(tx, r, &order);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (order >= 0) {
        out->n_ignored += order > 0;
        return 0;
    }
    // Another entry in that place: what was read before it need not be what the origin wrote
    // either.
    rc = db_run(
        sqlite_tx_db(tx),
        "INSERT OR REPLACE INTO revoked(key,origin,epoch,seq,hash,at_epoch,at_seq,swept,rewound)"
        " VALUES(?1,?2,?3,?4,?5,?3,?4,0,CASE WHEN EXISTS(SELECT 1 FROM feed WHERE origin=?2 AND "
        "part=0 AND"
        " epoch=?3 AND seq=?4 AND hash<>?5) THEN -1 ELSE 0 END)",
        "ssuub", r->key, r->origin, r->epoch, r->seq, (const void *)r->hash,
        (size_t)ENTRY_HASH_BYTES);
    // 8: others may hold entries of the thief in the places that would come next.
    if (!rc && strcmp(r->origin, tx->region) == 0)
        rc = epoch_move(tx, r->epoch);
    out->n_new += !rc;
    return rc;
}

static int revoke_run(struct tx *tx, void *arg)
{
    struct revoke *v = arg;
    int rc = 0;
    for (size_t i = 0; !rc && i < v->n; i++)
        rc = revoke_one(tx, &v->list[i], &v->result);
    return rc;
}

int meta_revoke(struct meta *m, const struct meta_revocation *list, size_t n,
                struct meta_revoked *out)
{
    struct revoke v = {.list = list, .n = n};
    int rc = meta_write(m, revoke_run, &v, false);
    if (!rc && v.result.n_new)
        revoked_key_look(m);
    if (!rc)
        *out = v.result;
    return rc;
}

// --- sweeping ---

struct sweep {
    size_t max;
    struct meta_swept result;
};

struct under_way { // one row that is being swept
    const char *key, *origin;
    uint64_t epoch, seq, at_epoch, at_seq;
    uint8_t hash[ENTRY_HASH_BYTES];
};

static int unswept_find(struct tx *tx, struct arena *a, struct under_way *out)
{
    sqlite3_stmt *st;
    struct feed_mark at;
    int rc = db_find(
        sqlite_tx_db(tx), &st,
        "SELECT epoch,0,seq,hash,key,origin,at_epoch,at_seq FROM revoked WHERE swept=0 LIMIT 1",
        "");
    if (rc)
        return rc;
    struct under_way w = {.at_epoch = (uint64_t)sqlite3_column_int64(st, 6),
                          .at_seq = (uint64_t)sqlite3_column_int64(st, 7)};
    rc = mark_of_row(st, 0, &at);
    if (!rc)
        rc = db_text(st, 4, a, &w.key);
    if (!rc)
        rc = db_text(st, 5, a, &w.origin);
    db_end(st);
    if (rc)
        return rc;
    w.epoch = at.epoch;
    w.seq = at.seq;
    memcpy(w.hash, at.hash, sizeof w.hash);
    *out = w;
    return 0;
}

// Looks at up to `max` entries from where the sweep stands. *out_seen: how many those were.
static int void_find(struct tx *tx, struct under_way *w, size_t max, int64_t *out_ids,
                     size_t *out_n, size_t *out_seen)
{
    sqlite3_stmt *st;
    int rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT id,epoch,seq,key=?4 AND ((epoch,seq)>(?5,?6) OR hash<>?7) FROM feed "
                      "WHERE origin=?1 AND"
                      " part=0 AND (epoch,seq)>=(?2,?3) ORDER BY epoch,seq LIMIT ?8",
                      "suusuubi", w->origin, w->at_epoch, w->at_seq, w->key, w->epoch, w->seq,
                      (const void *)w->hash, (size_t)ENTRY_HASH_BYTES, (int64_t)max);
    while (!rc && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        rc = 0;
        w->at_epoch = (uint64_t)sqlite3_column_int64(st, 1);
        w->at_seq = (uint64_t)sqlite3_column_int64(st, 2);
        if (sqlite3_column_int(st, 3))
            out_ids[(*out_n)++] = sqlite3_column_int64(st, 0);
        (*out_seen)++;
    }
    return rc;
}

static int sweep_run(struct tx *tx, void *arg)
{
    struct sweep *s = arg;
    struct arena a;
    struct under_way w;
    size_t n = 0, n_seen = 0;
    arena_init(&a, 0);
    int64_t *ids = arena_array(&a, s->max, sizeof *ids);
    int rc = ERR_NOMEM;
    if (ids)
        rc = unswept_find(tx, &a, &w);
    if (!rc)
        rc = void_find(tx, &w, s->max, ids, &n, &n_seen);
    if (!rc)
        rc = entries_void(tx, ids, n, "revoked");
    if (!rc)
        rc = db_run(sqlite_tx_db(tx),
                    "UPDATE revoked SET at_epoch=?2,at_seq=?3,swept=?4 WHERE key=?1", "suun", w.key,
                    w.at_epoch, w.at_seq, (int)(n_seen < s->max));
    arena_done(&a);
    if (!rc) {
        s->result.more = true;
        s->result.n_void = n;
    }
    if (rc == ERR_NOTFOUND) // nothing is to be swept
        return 0;
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

// rewound: 1 done, 0 to the place of the revocation, -1 to the start of the feed.
static int rewind_run(struct tx *tx, void *arg)
{
    const char *origin = arg;
    int rc = db_run(sqlite_tx_db(tx),
                    "DELETE FROM origins WHERE origin=?1 AND EXISTS(SELECT 1 FROM revoked WHERE "
                    "origin=?1 AND rewound<0)",
                    "s", origin);
    if (rc)
        return rc;
    rc = db_run(
        sqlite_tx_db(tx),
        "UPDATE origins SET (epoch,seq,hash)=(first.epoch,first.seq,first.hash) FROM (SELECT "
        "epoch,seq,hash FROM revoked"
        " WHERE origin=?1 AND rewound=0 ORDER BY epoch,seq LIMIT 1) first WHERE origins.origin=?1 "
        "AND"
        " origins.part=0 AND (origins.epoch,origins.seq)>(first.epoch,first.seq)",
        "s", origin);
    if (rc)
        return rc;
    return db_run(sqlite_tx_db(tx), "UPDATE revoked SET rewound=1 WHERE origin=?1 AND rewound<1",
                  "s", origin);
}

int meta_revoke_rewind(struct meta *m, const char *origin)
{
    struct tx *tx;
    sqlite3_stmt *st;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = db_find(sqlite_tx_db(tx), &st, "SELECT 1 FROM revoked WHERE origin=?1 AND rewound<1", "s",
                 origin);
    if (!rc)
        db_end(st);
    tx_end(tx);
    if (rc) {
        if (rc == ERR_NOTFOUND)
            return 0;
        return rc;
    }
    return meta_write(m, rewind_run, (void *)origin, false);
}

bool meta_key_revoked(struct meta *m)
{
    return atomic_load(&m->key_revoked);
}

static int reread_run(struct tx *tx, void *arg)
{
    return db_run(sqlite_tx_db(tx), "UPDATE revoked SET rewound=-1 WHERE origin=?1", "s",
                  (const char *)arg);
}

int meta_revoke_reread(struct meta *m, const char *origin)
{
    return meta_write(m, reread_run, (void *)origin, false);
}

int entry_disown(struct tx *tx, int64_t id)
{
    sqlite3_stmt *st;
    int rc = db_find(
        sqlite_tx_db(tx), &st,
        "SELECT 1 FROM feed f JOIN revoked r ON r.key=f.key AND r.origin=f.origin WHERE f.id=?1 AND"
        " (f.epoch,f.seq)<=(r.epoch,r.seq)",
        "i", id);
    if (rc) {
        if (rc == ERR_NOTFOUND)
            return ERR_CONFLICT;
        return rc;
    }
    db_end(st);
    return entries_void(tx, &id, 1, "revoked");
}

void revoked_key_look(struct meta *m)
{
    struct tx *tx;
    sqlite3_stmt *st;
    if (backend_read(m->b, &tx))
        return; // at the next look
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT 1 FROM revoked WHERE key=?1", "s", m->o.key_id);
    if (!rc)
        db_end(st);
    tx_end(tx);
    atomic_store(&m->key_revoked, rc == 0);
}
