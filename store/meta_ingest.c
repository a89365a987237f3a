// SPDX-License-Identifier: Apache-2.0
// Reading peers: their entries go into the log and become jobs, jobs end when their entry is
// applied; and how far both are, by origin. See meta.h.
//
// Invariants (design section 9)
//   2, 3. Applying is meta_merge.c's.
//   5. The read mark moves, and the jobs are made, in one transaction; a job ends in the one that
//      applies its entry.
#include "store/kind_rules.h"
#include "store/meta_priv.h"

#include "base/err.h"

#include <assert.h>
#include <string.h>

struct ingest {
    const char *origin;
    const struct feed_entry *entries;
    size_t n;
    const struct feed_mark *upto;
};

static int ingest_one(struct tx *tx, const struct feed_entry *e)
{
    int64_t id;
    int rc = entry_is_void(tx, e);
    if (rc != ERR_NOTFOUND) {
        if (rc)
            return rc;
        return ERR_AUTH;
    }
    rc = log_held(tx, e, &id);
    if (rc == ERR_CONFLICT && !entry_disown(tx, id))
        rc = ERR_NOTFOUND;
    if (rc != ERR_NOTFOUND)
        return rc; // held already, or another entry in its place
    rc = log_append(tx, e, e->content, &id);
    if (rc)
        return rc;
    return job_add(tx, id, e);
}

static int ingest_run(struct tx *tx, void *arg)
{
    const struct ingest *in = arg;
    int rc = 0;
    for (size_t i = 0; !rc && i < in->n; i++)
        rc = ingest_one(tx, &in->entries[i]);
    if (rc)
        return rc;
    const struct feed_mark *u = in->upto;
    return db_run(sqlite_tx_db(tx),
                  "INSERT INTO origins(origin,part,epoch,seq,hash) VALUES(?1,?2,?3,?4,?5)"
                  " ON CONFLICT(origin,part) DO UPDATE SET "
                  "epoch=excluded.epoch,seq=excluded.seq,hash=excluded.hash"
                  " WHERE (excluded.epoch,excluded.seq)>(epoch,seq)",
                  "siuub", in->origin, (int64_t)u->partition, u->epoch, u->seq,
                  (const void *)u->hash, (size_t)ENTRY_HASH_BYTES);
}

int meta_ingest(struct meta *m, const char *origin, const struct feed_entry *entries, size_t n,
                const struct feed_mark *upto)
{
    if (strcmp(origin, m->o.region) == 0)
        return ERR_INVAL;
    uint64_t limit = meta_stamp_limit(m);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(entries[i].origin, origin) != 0 || entry_malformed(&entries[i]))
            return ERR_INVAL;
        if (entries[i].stamp > limit)
            return ERR_AHEAD;
    }
    struct ingest in = {origin, entries, n, upto};
    return meta_write(m, ingest_run, &in, false);
}

// --- applying ---

struct apply {
    const struct feed_entry *e;
    struct bytes content;
    const struct manifest_ref *refs;
    size_t n_refs;
    struct digest missing;
};

// 0 with the job's id, ERR_NOTFOUND when the entry has none (it was applied, or never read here).
static int job_of(struct tx *tx, const struct feed_entry *e, int64_t *out_id)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT id FROM jobs WHERE origin=?1 AND part=?2 AND epoch=?3 AND seq=?4",
                     "siuu", e->origin, (int64_t)e->partition, e->epoch, e->seq);
    if (rc)
        return rc;
    *out_id = sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int apply_run(struct tx *tx, void *arg)
{
    struct apply *a = arg;
    const struct feed_entry *e = a->e;
    int64_t held = 0, job = 0, repo;
    int rc = entry_is_void(tx, e);
    if (rc != ERR_NOTFOUND)
        return rc; // 0: it became void while its content was fetched
    rc = log_held(tx, e, &held);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    bool logged = rc == 0;
    rc = job_of(tx, e, &job);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (logged && rc == ERR_NOTFOUND)
        return 0; // applied before
    bool has_job = rc == 0;
    const struct kind_rules *rules = kind_rules(e->kind);
    assert(rules); // kind_rules.h, invariant 1
    rc = repo_make(tx, e->registry, e->repository, &repo);
    if (!rc)
        rc = rules->merge(tx, repo, e, a->content, a->refs, a->n_refs, &a->missing);
    if (!rc && has_job)
        return job_end(tx, job);
    return rc;
}

int meta_apply(struct meta *m, const struct feed_entry *e, struct bytes content,
               const struct manifest_ref *refs, size_t n_refs, struct digest *out_missing)
{
    if (!kind_rules(e->kind))
        return ERR_UNSUPPORTED;
    uint64_t limit = meta_stamp_limit(m);
    if (e->stamp > limit || e->restates > limit) // stored before this was judged at the door
        return ERR_AHEAD;
    struct digest d;
    if (content.n && entry_has(e, ENTRY_HAS_CONTENT)) { // invariant 4
        int rc = digest_of((enum digest_alg)e->digest.alg, content.p, content.n, &d);
        if (!rc && (!digest_equal(&d, &e->digest) || content.n != e->size))
            rc = ERR_DIGEST;
        if (rc)
            return rc;
    }
    struct apply a = {.e = e, .content = content, .refs = refs, .n_refs = n_refs};
    int rc = meta_write(m, apply_run, &a, false);
    if (rc == ERR_NOTFOUND && out_missing)
        *out_missing = a.missing;
    return rc;
}

// --- how far ---

// All at or below it is applied, or has no room here: the last entry held before the oldest job
// that is not parked and does not wait where some are parked; the read mark when there is none.
static int applied_read(struct tx *tx, struct origin_status *o)
{
    sqlite3_stmt *st;
    int rc = db_find(
        sqlite_tx_db(tx), &st,
        "SELECT epoch,seq FROM jobs j WHERE origin=?1 AND part=?2 AND room=0 AND NOT (waiting=1 AND"
        " EXISTS(SELECT 1 FROM jobs p WHERE p.registry=j.registry AND p.repository=j.repository AND"
        " p.room>0)) ORDER BY epoch,seq LIMIT 1",
        "si", o->origin, (int64_t)o->read.partition);
    if (rc == ERR_NOTFOUND) {
        o->applied = o->read;
        return 0;
    }
    if (rc)
        return rc;
    uint64_t epoch = (uint64_t)sqlite3_column_int64(st, 0),
             seq = (uint64_t)sqlite3_column_int64(st, 1);
    db_end(st);
    rc = db_find(
        sqlite_tx_db(tx), &st,
        "SELECT epoch,part,seq,hash FROM feed WHERE origin=?1 AND part=?2 AND (epoch,seq)<(?3,?4)"
        " ORDER BY epoch DESC,seq DESC LIMIT 1",
        "siuu", o->origin, (int64_t)o->read.partition, epoch, seq);
    if (rc) {
        if (rc == ERR_NOTFOUND)
            return 0;
        return rc;
    }
    rc = mark_of_row(st, 0, &o->applied);
    db_end(st);
    return rc;
}

static int pending_read(struct tx *tx, const char *registry, struct arena *a,
                        struct origin_status *o)
{
    sqlite3_stmt *st;
    int rc =
        db_find(sqlite_tx_db(tx), &st,
                "SELECT count(*),total(attempts>0 AND room=0),coalesce(min(stamp),0),total(room>0),"
                "total(waiting=1 AND attempts=0),total(room) FROM jobs WHERE origin=?1 AND"
                " (?2 IS NULL OR registry=?2)",
                "ss", o->origin, registry);
    if (rc)
        return rc;
    o->n_pending = (uint64_t)sqlite3_column_int64(st, 0);
    o->n_retrying = (uint64_t)sqlite3_column_int64(st, 1);
    o->oldest_pending_stamp = (uint64_t)sqlite3_column_int64(st, 2);
    o->n_parked = (uint64_t)sqlite3_column_int64(st, 3);
    o->n_waiting = (uint64_t)sqlite3_column_int64(st, 4);
    o->parked_bytes = (uint64_t)sqlite3_column_double(st, 5);
    db_end(st);
    if (!o->n_retrying && !o->n_parked)
        return 0;
    rc = db_find(sqlite_tx_db(tx), &st,
                 "SELECT error,grade FROM jobs WHERE origin=?1 AND (?2 IS NULL OR registry=?2) AND "
                 "error IS NOT NULL"
                 " ORDER BY grade DESC,failed_ms DESC,id DESC LIMIT 1",
                 "ss", o->origin, registry);
    if (rc) {
        if (rc == ERR_NOTFOUND)
            return 0;
        return rc;
    }
    o->last_grade = sqlite3_column_int(st, 1);
    rc = db_text(st, 0, a, &o->last_error);
    db_end(st);
    return rc;
}

// This region as an origin: only while entries of its own wait for their content.
static int self_add(struct tx *tx, const char *self, struct origin_status *list, size_t *n)
{
    sqlite3_stmt *st;
    int rc =
        db_find(sqlite_tx_db(tx), &st, "SELECT 1 FROM jobs WHERE origin=?1 LIMIT 1", "s", self);
    if (rc) {
        if (rc == ERR_NOTFOUND)
            return 0;
        return rc;
    }
    db_end(st);
    struct origin_status o = {.origin = self};
    rc = log_head(tx, self, &o.read, NULL);
    if (!rc)
        list[(*n)++] = o;
    return rc;
}

static int origins_list(struct tx *tx, const char *self, struct arena *a,
                        struct origin_status **out, size_t *out_n)
{
    sqlite3_stmt *st;
    size_t n = 0, cap = 0;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT count(*) FROM origins WHERE part=0", "");
    if (rc)
        return rc;
    cap = (size_t)sqlite3_column_int64(st, 0);
    db_end(st);
    struct origin_status *list = arena_array(a, cap + 2, sizeof *list);
    self = arena_strdup(a, self);
    if (!list || !self)
        return ERR_NOMEM;
    rc =
        db_start(sqlite_tx_db(tx), &st,
                 "SELECT origin,epoch,part,seq,hash FROM origins WHERE part=0 ORDER BY origin", "");
    while (!rc && n < cap && (rc = db_step(sqlite_tx_db(tx), st)) == 1) {
        rc = db_text(st, 0, a, &list[n].origin);
        if (!rc)
            rc = mark_of_row(st, 1, &list[n].read);
        n += !rc;
    }
    db_end(st);
    if (!rc)
        rc = self_add(tx, self, list, &n);
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

static int origins_read(struct meta *m, const char *registry, struct arena *a,
                        struct origin_status **out, size_t *out_n)
{
    struct tx *tx;
    int rc = backend_read_moment(m->b, &tx);
    if (rc)
        return rc;
    struct origin_status *list = NULL;
    size_t n = 0;
    rc = origins_list(tx, m->o.region, a, &list, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        rc = applied_read(tx, &list[i]);
        if (!rc)
            rc = pending_read(tx, registry, a, &list[i]);
    }
    tx_end(tx);
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}

int meta_origins(struct meta *m, struct arena *a, struct origin_status **out, size_t *out_n)
{
    return origins_read(m, NULL, a, out, out_n);
}

int meta_origins_of(struct meta *m, const char *registry, struct arena *a,
                    struct origin_status **out, size_t *out_n)
{
    return origins_read(m, registry, a, out, out_n);
}
