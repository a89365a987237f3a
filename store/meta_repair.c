// SPDX-License-Identifier: Apache-2.0
// Mends a store that holds stamps of the future: entries that an earlier version took from a region
// that lied, what was written on top of them here, or what our own clock gave out while it was
// wrong. See meta.h. Writer thread.
//
// All entries of the future are void (meta_void.c), in every region by the same rule; so once each
// has been repaired they agree. Of others nothing more is to be said: their feeds still have those
// entries, and reading stops before them. Our own acknowledged writes must not go with them: those
// that hold are announced again, in a new epoch, and the void stretch of our log is remembered, so
// that peers who have read it are told, and nothing of it is recovered.
//
// Invariants (design section 9)
//   1. An own write that was acknowledged, and not replaced since, is in the log afterwards, with a
//      stamp of now.
//   8. Void places are not used again: the new epoch is past all that were used.
#include "store/kind_rules.h"
#include "store/meta_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

struct repair {
    struct meta *m;
    uint64_t limit;
    bool apply;
    struct arena *a;
    struct clock_repair *out;
};

static int log_is_void(struct tx *tx, const char *self, const struct feed_mark *mark)
{
    sqlite3_stmt *st;
    int rc = db_find(
        sqlite_tx_db(tx), &st,
        "SELECT 1 FROM voided WHERE origin=?1 AND part=0 AND epoch=?2 AND seq=?3 AND hash=?4 AND"
        " reason='" VOID_MENDED "'",
        "suub", self, mark->epoch, mark->seq, (const void *)mark->hash, (size_t)ENTRY_HASH_BYTES);
    if (!rc)
        db_end(st);
    return rc;
}

int meta_place_void(struct meta *m, const struct feed_mark *mark, struct feed_mark *out_after,
                    uint64_t *out_below)
{
    struct tx *tx;
    sqlite3_stmt *st;
    struct feed_mark after = {0};
    if (mark->epoch >= INT64_MAX || mark->seq > INT64_MAX)
        return ERR_NOTFOUND;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = log_is_void(tx, m->o.region, mark);
    if (!rc) {
        rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT epoch,part,seq,hash FROM feed WHERE origin=?1 AND part=0 AND "
                     "(epoch,seq)<(?2,?3)"
                     " ORDER BY epoch DESC,seq DESC LIMIT 1",
                     "suu", m->o.region, mark->epoch, mark->seq);
        if (!rc) {
            rc = mark_of_row(st, 0, &after);
            db_end(st);
        } else if (rc == ERR_NOTFOUND) {
            rc = 0; // nothing before it is left
        }
    }
    tx_end(tx);
    if (rc)
        return rc;
    *out_after = after;
    *out_below = mark->epoch + 1;
    return 0;
}

// --- which entries ---

// Stamps go up within an epoch: from its first entry of the future on, all are.
static int void_find(struct tx *tx, const struct repair *r)
{
    return db_run(sqlite_tx_db(tx),
                  "INSERT INTO void_ids SELECT f.id FROM feed f JOIN (SELECT "
                  "origin,part,epoch,min(seq) AS seq FROM feed"
                  " WHERE stamp>?1 OR restates>?1 GROUP BY origin,part,epoch) x"
                  " ON f.origin=x.origin AND f.part=x.part AND f.epoch=x.epoch AND f.seq>=x.seq",
                  "u", r->limit);
}

// Registers that have such a stamp are looked at also where the log does not say why.
static int touched_find(struct tx *tx, const struct repair *r)
{
    int rc = db_run(sqlite_tx_db(tx),
                    "INSERT OR IGNORE INTO void_tags SELECT h.repo,h.tag,t.digest,t.stamp,t.origin "
                    "FROM tag_history h"
                    " LEFT JOIN tags t ON t.repo=h.repo AND t.tag=h.tag WHERE h.stamp>?1",
                    "u", r->limit);
    if (rc)
        return rc;
    return db_run(sqlite_tx_db(tx),
                  "INSERT OR IGNORE INTO void_presence SELECT repo,digest,stamp,origin FROM "
                  "manifests WHERE stamp>?1",
                  "u", r->limit);
}

// --- our own log ---

static int own_count(struct tx *tx, size_t *out)
{
    sqlite3_stmt *st;
    int rc =
        db_find(sqlite_tx_db(tx), &st,
                "SELECT count(*) FROM feed WHERE origin=?1 AND id IN (SELECT id FROM void_ids)",
                "s", tx->region);
    if (rc)
        return rc;
    *out = (size_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

// The clock goes back to our last good entry, and the log goes on from it.
static int own_go_back(struct tx *tx)
{
    sqlite3_stmt *st;
    struct own_head own;
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    own.last = (struct feed_mark){0};
    own.stamp = 0;
    rc = db_find(
        sqlite_tx_db(tx), &st,
        "SELECT epoch,part,seq,hash,(SELECT max(stamp) FROM feed WHERE origin=?1 AND id NOT IN "
        "(SELECT id FROM"
        " void_ids)) FROM feed WHERE origin=?1 AND part=0 AND id NOT IN (SELECT id FROM void_ids)"
        " ORDER BY epoch DESC,seq DESC LIMIT 1",
        "s", tx->region);
    if (!rc) {
        rc = mark_of_row(st, 0, &own.last);
        own.stamp = (uint64_t)sqlite3_column_int64(st, 4);
        db_end(st);
    }
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    return own_set(tx, &own);
}

// --- what holds is announced again ---

// Of manifests those that are here, each before the tags that may need it. Of each tag the last own
// value: as new where nothing stood on top of it (low 0); else with the register stamp that it
// would have had, just above what it replaced (low 1): so it wins over what was there before, and
// not over who replaced it and says so anew. The ids of rows are the order in which entries came.
#define SELF "(SELECT text FROM state WHERE key='region')"
static const char *const again_steps[] = {
    "CREATE TEMP TABLE IF NOT EXISTS void_own(id INTEGER PRIMARY KEY, repo INTEGER, kind INTEGER, "
    "tag TEXT, digest "
    "BLOB,"
    " stamp INTEGER)",
    "CREATE INDEX IF NOT EXISTS temp.void_own_of ON void_own(kind,repo,tag,stamp)",
    "CREATE TEMP TABLE IF NOT EXISTS void_again(id INTEGER PRIMARY KEY, low INTEGER, prior "
    "INTEGER)",
    "DELETE FROM void_own",
    "DELETE FROM void_again",
    "INSERT INTO void_own SELECT "
    "f.id,r.id,f.kind,f.tag,f.digest,iif(f.restates>0,f.restates,f.stamp) FROM void_ids v"
    " JOIN feed f ON f.id=v.id JOIN repositories r ON r.registry=f.registry AND r.name=f.repository"
    " WHERE f.origin=" SELF,
    "INSERT INTO void_again SELECT min(o.id),0,0 FROM void_own o JOIN manifests n ON n.repo=o.repo "
    "AND "
    "n.digest=o.digest"
    " WHERE o.kind=1 GROUP BY o.repo,o.digest",
    "INSERT INTO void_again SELECT max(o.id),NOT(t.stamp=o.stamp AND t.digest=o.digest AND "
    "t.origin=" SELF ") OR"
    " EXISTS(SELECT 1 FROM outdone d WHERE d.repo=o.repo AND d.tag=o.tag AND d.stamp>o.stamp),0"
    " FROM void_own o JOIN tags t ON t.repo=o.repo AND t.tag=o.tag"
    " WHERE o.kind=2 AND o.stamp=(SELECT max(x.stamp) FROM void_own x WHERE x.kind=2 AND "
    "x.repo=o.repo AND x.tag=o.tag)"
    " GROUP BY o.repo,o.tag",
    "UPDATE void_again SET prior=p.prior FROM (SELECT g.id AS "
    "id,max(iif(f.restates>0,f.restates,f.stamp)) AS prior"
    " FROM void_again g JOIN void_own o ON o.id=g.id JOIN repositories r ON r.id=o.repo JOIN feed "
    "f ON"
    " f.registry=r.registry AND f.repository=r.name AND f.tag=o.tag WHERE g.low=1 AND f.kind=2 AND "
    "f.id<g.id AND"
    " f.id NOT IN (SELECT id FROM void_ids) GROUP BY g.id) p WHERE p.id=void_again.id",
    "DELETE FROM outdone",
};

struct again {
    int64_t id;
    bool low;
    // low: the highest register stamp that it replaced
    uint64_t prior;
    struct feed_entry e;
};

static int again_next(struct tx *tx, struct arena *a, struct again *g)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT " FEED_COLUMNS
                     ",g.low,g.prior FROM void_again g JOIN feed f ON f.id=g.id WHERE g.id>?1"
                     " ORDER BY g.id LIMIT 1",
                     "i", g->id);
    if (rc)
        return rc;
    g->id = sqlite3_column_int64(st, 0);
    g->low = sqlite3_column_int(st, FEED_N_COLUMNS);
    g->prior = (uint64_t)sqlite3_column_int64(st, FEED_N_COLUMNS + 1);
    rc = feed_row(st, a, &g->e);
    db_end(st);
    return rc;
}

int tag_best_stamp(struct tx *tx, int64_t repo, const char *tag, uint64_t limit, uint64_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(
        sqlite_tx_db(tx), &st,
        "SELECT coalesce(max(stamp),0) FROM tag_history WHERE repo=?1 AND tag=?2 AND stamp<=?3",
        "isu", repo, tag, limit);
    if (rc)
        return rc;
    *out = (uint64_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int again_one(struct tx *tx, struct repair *r, struct again *g)
{
    int64_t repo, id;
    struct feed_entry *e = &g->e;
    const struct kind_rules *rules = kind_rules(e->kind);
    uint64_t above = 0;
    if (!rules)
        return ERR_UNSUPPORTED;
    int rc = repo_find(tx, e->registry, e->repository, &repo);
    if (rc)
        return rc;
    e->restates = 0;
    e->content = (struct bytes){0};
    if (g->low)
        e->restates = above = g->prior + 1;
    else
        rc = rules->again_above(tx, repo, e, r->limit, &above);
    if (!rc)
        rc = feed_mint(r->m, tx, above, (struct bytes){0}, e, &id);
    if (!rc)
        rc = rules->again(tx, repo, e);
    r->out->n_again += !rc;
    return rc;
}

static int again_run(struct tx *tx, struct repair *r)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < ARRAY_LEN(again_steps); i++)
        rc = db_exec(sqlite_tx_db(tx), again_steps[i]);
    struct again g = {0};
    while (!rc) {
        struct arena a;
        arena_init(&a, 0);
        rc = again_next(tx, &a, &g);
        if (!rc)
            rc = again_one(tx, r, &g);
        else if (rc == ERR_NOTFOUND)
            rc = 1;
        arena_done(&a);
    }
    if (rc == 1)
        return 0;
    return rc;
}

// --- the marks of others ---

#define FIRST_VOID                                                          \
    "(SELECT v.epoch,v.seq FROM void_ids i JOIN feed v ON v.id=i.id WHERE " \
    "v.origin=origins.origin AND"                                           \
    " v.part=origins.part ORDER BY v.epoch,v.seq LIMIT 1)"
#define LAST_GOOD                                                                                 \
    " FROM feed a WHERE a.origin=origins.origin AND a.part=origins.part AND a.id NOT IN (SELECT " \
    "id FROM void_ids)"                                                                           \
    " AND (a.epoch,a.seq)<" FIRST_VOID
#define HAS_VOID \
    "EXISTS(SELECT 1 FROM void_ids i JOIN feed v ON v.id=i.id WHERE v.origin=origins.origin)"

static int marks_go_back(struct tx *tx)
{
    int rc = db_exec(sqlite_tx_db(tx), "DELETE FROM origins WHERE " HAS_VOID
                                       " AND NOT EXISTS(SELECT 1" LAST_GOOD ")");
    if (rc)
        return rc;
    return db_exec(sqlite_tx_db(tx),
                   "UPDATE origins SET (epoch,seq,hash)=(SELECT a.epoch,a.seq,a.hash" LAST_GOOD
                   " ORDER BY a.epoch DESC,a.seq DESC LIMIT 1) WHERE " HAS_VOID);
}

// --- all of it ---

// The entries of the set that are ours, or those that are not.
static int set_void(struct tx *tx, bool own, const char *reason)
{
    struct arena a;
    sqlite3_stmt *st;
    size_t n = 0, cap = 0;
    arena_init(&a, 0);
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT count(*) FROM void_ids", "");
    if (!rc) {
        cap = (size_t)sqlite3_column_int64(st, 0);
        db_end(st);
    }
    int64_t *ids = arena_array(&a, cap + 1, sizeof *ids);
    if (!rc && !ids)
        rc = ERR_NOMEM;
    if (!rc)
        rc = db_start(sqlite_tx_db(tx), &st,
                      "SELECT v.id FROM void_ids v JOIN feed f ON f.id=v.id WHERE (f.origin=?1)=?2 "
                      "ORDER BY v.id",
                      "sn", tx->region, (int)own);
    while (!rc && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        rc = 0;
        ids[n++] = sqlite3_column_int64(st, 0);
    }
    if (!rc)
        rc = entries_void(tx, ids, n, reason);
    arena_done(&a);
    return rc;
}

// One register that still has a stamp of the future, though the log has none: it is made anew from
// the log.
static int odd_one(struct tx *tx, const struct repair *r)
{
    struct arena a;
    sqlite3_stmt *st;
    const char *registry, *repository, *tag;
    struct digest digest = {0};
    arena_init(&a, 0);
    int rc =
        db_find(sqlite_tx_db(tx), &st,
                "SELECT r.id,r.registry,r.name,x.tag,x.digest FROM (SELECT repo,tag,NULL AS digest "
                "FROM tag_history"
                " WHERE stamp>?1 UNION ALL SELECT repo,tag,NULL FROM tags WHERE stamp>?1 UNION ALL"
                " SELECT repo,NULL,digest FROM manifests WHERE stamp>?1 LIMIT 1) x JOIN "
                "repositories r ON r.id=x.repo",
                "u", r->limit);
    if (rc)
        return rc;
    int64_t repo = sqlite3_column_int64(st, 0);
    rc = db_text(st, 1, &a, &registry);
    if (!rc)
        rc = db_text(st, 2, &a, &repository);
    if (!rc)
        rc = db_text(st, 3, &a, &tag);
    if (!rc && !tag)
        rc = db_digest(st, 4, &digest);
    db_end(st);
    if (!rc) {
        if (tag)
            rc = tag_remake(tx, repo, registry, repository, tag);
        else
            rc = presence_remake(tx, repo, registry, repository, &digest);
    }
    arena_done(&a);
    return rc;
}

static int odd_run(struct tx *tx, const struct repair *r)
{
    int rc = 0;
    while (!rc)
        rc = odd_one(tx, r);
    if (rc == ERR_NOTFOUND)
        return 0;
    return rc;
}

static int own_repair(struct tx *tx, struct repair *r)
{
    int rc = 0;
    if (r->out->n_own) // 8, numbered as all new epochs
        rc = epoch_move(tx, (uint64_t)(clock_wall_ms() / 1000));
    if (!rc)
        rc = own_go_back(tx);
    if (!rc && r->out->n_own)
        return again_run(tx, r);
    return rc;
}

static int repair_run(struct tx *tx, void *arg)
{
    struct repair *r = arg;
    struct own_head own;
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    *r->out = (struct clock_repair){.clock_was = own.stamp};
    rc = report_clear(tx);
    if (!rc)
        rc = void_find(tx, r);
    if (!rc)
        rc = touched_find(tx, r);
    if (!rc)
        rc = report_begin(tx, &r->out->voided);
    if (!rc)
        rc = own_count(tx, &r->out->n_own);
    if (!rc && (r->out->n_own || own.stamp > r->limit))
        rc = own_repair(tx, r);
    if (!rc)
        rc = marks_go_back(tx);
    if (!rc)
        rc = set_void(tx, false, VOID_AHEAD);
    if (!rc)
        rc = set_void(tx, true, VOID_MENDED);
    if (!rc)
        rc = odd_run(tx, r);
    if (!rc)
        rc = report_end(tx, r->a, &r->out->voided);
    if (!rc)
        rc = own_lock(tx, &own);
    if (rc)
        return rc;
    r->out->clock_is = own.stamp;
    r->out->epoch = own.epoch;
    if (r->apply)
        return 0;
    return ERR_CANCELED; // which takes all of it back
}

int meta_repair_clock(struct meta *m, bool apply, struct arena *a, struct clock_repair *out)
{
    struct clock_repair done;
    struct repair r = {.m = m, .limit = meta_stamp_limit(m), .apply = apply, .a = a, .out = &done};
    int rc = meta_write(m, repair_run, &r, false);
    if (rc == ERR_CANCELED && !apply)
        rc = 0;
    if (!rc)
        *out = done;
    return rc;
}

// --- what another region says of its own entries ---

struct void_origin {
    struct meta *m;
    const char *origin;
    const struct feed_mark *after;
    uint64_t below;
    struct arena *a;
    struct void_report *out;
};

static int read_mark_set(struct tx *tx, const struct void_origin *v)
{
    const struct feed_mark *to = v->after;
    if (to->seq == 0)
        return db_run(sqlite_tx_db(tx),
                      "DELETE FROM origins WHERE origin=?1 AND part=0 AND epoch<?2", "su",
                      v->origin, v->below);
    return db_run(sqlite_tx_db(tx),
                  "UPDATE origins SET epoch=?2,seq=?3,hash=?4 WHERE origin=?1 AND part=0 AND "
                  "(epoch,seq)>(?2,?3)"
                  " AND epoch<?5",
                  "suubu", v->origin, to->epoch, to->seq, (const void *)to->hash,
                  (size_t)ENTRY_HASH_BYTES, v->below);
}

// Our own values of the future under one that is void now had been replaced; whoever did says so
// anew.
static int outdone_keep(struct tx *tx, const struct void_origin *v)
{
    return db_run(sqlite_tx_db(tx),
                  "INSERT INTO outdone SELECT r.id,f.tag,max(iif(f.restates>0,f.restates,f.stamp)) "
                  "AS top FROM void_ids v"
                  " JOIN feed f ON f.id=v.id JOIN repositories r ON r.registry=f.registry AND "
                  "r.name=f.repository"
                  " WHERE f.kind=2 AND EXISTS(SELECT 1 FROM tag_history h WHERE h.repo=r.id AND "
                  "h.tag=f.tag AND"
                  " h.origin=?1 AND h.stamp>?2) GROUP BY r.id,f.tag"
                  " ON CONFLICT(repo,tag) DO UPDATE SET stamp=max(stamp,excluded.stamp)",
                  "su", tx->region, meta_stamp_limit(v->m));
}

static int void_origin_run(struct tx *tx, void *arg)
{
    const struct void_origin *v = arg;
    const struct feed_mark *to = v->after;
    int rc = report_clear(tx);
    if (!rc)
        rc = db_run(sqlite_tx_db(tx),
                    "INSERT INTO void_ids SELECT id FROM feed WHERE origin=?1 AND part=0 AND "
                    "(epoch,seq)>(?2,?3)"
                    " AND epoch<?4",
                    "suuu", v->origin, to->epoch, to->seq, v->below);
    if (!rc)
        rc = report_begin(tx, v->out);
    if (!rc)
        rc = outdone_keep(tx, v);
    if (!rc)
        rc = set_void(tx, false, VOID_WITHDRAWN);
    if (!rc)
        rc = read_mark_set(tx, v);
    if (rc)
        return rc;
    return report_end(tx, v->a, v->out);
}

int meta_void_origin(struct meta *m, const char *origin, const struct feed_mark *after,
                     uint64_t below, struct arena *a, struct void_report *out)
{
    if (strcmp(origin, m->o.region) == 0 || after->epoch >= below || below > INT64_MAX ||
        after->seq > INT64_MAX)
        return ERR_INVAL;
    struct void_report done;
    struct void_origin v = {m, origin, after, below, a, &done};
    int rc = meta_write(m, void_origin_run, &v, false);
    if (!rc)
        *out = done;
    return rc;
}
