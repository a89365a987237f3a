// SPDX-License-Identifier: Apache-2.0
// Invariant 8, when a restored backup or a failed-over database has lost own entries that peers
// have read: they are put back with the signatures they had, the next entry goes into a new epoch,
// and what nobody would look back for is announced again. See meta.h. Writer thread.
//
// What a recovered entry refers to may be lost too. Then it becomes a job like a foreign one, and
// shows when its content and blobs have been fetched (invariant 2).
#include "store/kind_rules.h"
#include "store/meta_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

struct batch {
    struct meta *m;
    const struct feed_entry *entries;
    size_t n;
    // per entry: to be announced again
    bool *again;
    struct recovered result;
    // meta_epoch_begin
    uint64_t at_least, epoch;
};

int manifest_merge_alone(struct tx *tx, int64_t repo, const struct feed_entry *e)
{
    struct digest missing;
    if (manifest_visible(tx, repo, &e->digest) == 0)
        return merge_manifest(tx, repo, e, (struct bytes){0}, NULL, 0, &missing);
    if (!e->content.n)
        return ERR_NOTFOUND;
    struct arena a;
    struct manifest man;
    arena_init(&a, 0);
    // Content that this program would not take, or that is not what was signed, is for the job to
    // report.
    int rc = manifest_parse(e->content, e->media_type, &a, NULL, &man);
    struct digest d;
    if (!rc && (digest_of((enum digest_alg)e->digest.alg, e->content.p, e->content.n, &d) ||
                !digest_equal(&d, &e->digest)))
        rc = ERR_DIGEST;
    if (rc && rc != ERR_NOMEM)
        rc = ERR_NOTFOUND;
    if (!rc)
        rc = merge_manifest(tx, repo, e, e->content, man.refs, man.n_refs, &missing);
    arena_done(&a);
    return rc;
}

struct attempt { // an entry of the log that is to be applied
    int64_t id;
    const struct feed_entry *e;
};

static int apply_try(struct tx *tx, void *arg)
{
    const struct attempt *t = arg;
    const struct kind_rules *rules = kind_rules(t->e->kind);
    int64_t repo;
    if (!rules)
        return ERR_UNSUPPORTED;
    int rc = repo_make(tx, t->e->registry, t->e->repository, &repo);
    if (rc)
        return rc;
    rc = rules->merge_alone(tx, repo, t->e);
    if (rc)
        return rc;
    return db_run(sqlite_tx_db(tx),
                  "UPDATE feed SET content=NULL WHERE id=?1 AND content IS NOT NULL", "i", t->id);
}

// Applies an entry of the log, or leaves a job: a try that fails half-way leaves nothing.
static int apply_or_job(struct tx *tx, int64_t id, const struct feed_entry *e)
{
    struct attempt t = {id, e};
    int rc = tx_attempt(tx, apply_try, &t);
    if (rc != ERR_NOTFOUND)
        return rc;
    tx->notify = true;
    return job_add(tx, id, e);
}

// The next own entry goes into an epoch past this one and past all that were used here.
int epoch_move(struct tx *tx, uint64_t at_least)
{
    struct own_head own;
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    uint64_t epoch = own.epoch;
    if (epoch < own.last.epoch)
        epoch = own.last.epoch;
    if (epoch < at_least)
        epoch = at_least;
    if (epoch >= INT64_MAX)
        return ERR_RANGE;
    own.epoch = epoch + 1;
    return own_set(tx, &own);
}

// 9: of a recovered entry, which is not of the future (recover_run).
static int clock_raise(struct tx *tx, uint64_t stamp)
{
    struct own_head own;
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    if (stamp <= own.stamp)
        return 0;
    own.stamp = stamp;
    return own_set(tx, &own);
}

static int epoch_read(struct tx *tx, uint64_t *out)
{
    struct own_head own;
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    *out = own.epoch;
    return 0;
}

// A restating entry that was itself only just put back, in a closed epoch, tells nobody anything.
static int restated_before(struct tx *tx, const struct feed_entry *e, int64_t last_id,
                           uint64_t epoch)
{
    uint64_t stamp = entry_register_stamp(e);
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st,
                     "SELECT 1 FROM feed WHERE restates=?1 AND restates>0 AND origin=?2 AND "
                     "kind=?3 AND registry=?4 AND"
                     " repository=?5 AND tag=?6 AND digest=?7 AND (id<=?8 OR epoch>=?9)",
                     "usnsssdiu", stamp, e->origin, (int)e->kind, e->registry, e->repository,
                     e->tag ? e->tag : "", &e->digest, last_id, epoch);
    if (!rc)
        db_end(st);
    return rc;
}

// Puts the entry back in its place. Where another stands by now, it is announced again, and from an
// epoch in which no peer can have read what is minted next.
static int recover_one(struct tx *tx, const struct feed_entry *e, struct recovered *out,
                       bool *out_again)
{
    int64_t id;
    int rc = entry_is_void(tx, e);
    if (rc != ERR_NOTFOUND)
        return rc;
    rc = log_held(tx, e, &id);
    if (rc == 0)
        return 0;
    if (rc == ERR_CONFLICT) {
        uint64_t epoch = 0;
        *out_again = true;
        rc = epoch_read(tx, &epoch);
        if (rc || e->epoch < epoch)
            return rc;
        return epoch_move(tx, e->epoch);
    }
    if (rc != ERR_NOTFOUND)
        return rc;
    rc = log_append(tx, e, e->content, &id);
    if (!rc)
        rc = apply_or_job(tx, id, e);
    if (!rc)
        rc = clock_raise(tx, e->stamp);
    out->n_put_back += !rc;
    *out_again = true;
    return rc;
}

static int last_id_read(struct tx *tx, int64_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(sqlite_tx_db(tx), &st, "SELECT coalesce(max(id),0) FROM feed", "");
    if (rc)
        return rc;
    *out = sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

static int restate_one(struct meta *m, struct tx *tx, const struct feed_entry *e, int64_t last_id,
                       struct recovered *out)
{
    uint64_t stamp = entry_register_stamp(e), epoch = 0;
    int rc = epoch_read(tx, &epoch);
    if (rc)
        return rc;
    rc = restated_before(tx, e, last_id, epoch);
    if (rc != ERR_NOTFOUND)
        return rc;
    struct feed_entry again = *e;
    int64_t id;
    again.restates = stamp;
    rc = feed_mint(m, tx, stamp, e->content, &again, &id);
    if (!rc)
        rc = apply_or_job(tx, id, &again);
    out->n_restated += !rc;
    return rc;
}

// Both in one transaction: an entry of a closed epoch that is in the log has been announced,
// whenever the power fails.
static int recover_run(struct tx *tx, void *arg)
{
    struct batch *b = arg;
    int64_t last_id = 0;
    uint64_t limit = meta_stamp_limit(b->m), epoch = 0;
    b->result = (struct recovered){0};
    for (size_t i = 0; i < b->n; i++)
        b->again[i] = false;
    for (size_t i = 0; i < b->n; i++) { // 9: judged as if another region had written them
        if (b->entries[i].stamp > limit)
            return ERR_AHEAD;
        if (entry_malformed(&b->entries[i]))
            return ERR_INVAL;
    }
    int rc = 0;
    if (b->n)
        rc = last_id_read(tx, &last_id);
    for (size_t i = 0; !rc && i < b->n; i++)
        rc = recover_one(tx, &b->entries[i], &b->result, &b->again[i]);
    if (!rc)
        rc = own_reload(tx); // what is minted now follows what was put back
    if (!rc)
        rc = epoch_read(tx, &epoch);
    for (size_t i = 0; !rc && i < b->n; i++)
        if (b->again[i] && b->entries[i].epoch < epoch)
            rc = restate_one(b->m, tx, &b->entries[i], last_id, &b->result);
    b->result.epoch = epoch;
    return rc;
}

static bool all_own(struct meta *m, const struct feed_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(entries[i].origin, m->o.region) != 0)
            return false;
    return true;
}

int meta_recover(struct meta *m, const struct feed_entry *entries, size_t n, struct recovered *out)
{
    AUTO_FREE bool *again = mem_zalloc_array(n ? n : 1, sizeof *again);
    struct batch b = {.m = m, .entries = entries, .n = n, .again = again};
    if (!again)
        return ERR_NOMEM;
    if (!all_own(m, entries, n))
        return ERR_INVAL;
    int rc = meta_write(m, recover_run, &b, false);
    if (!rc)
        *out = b.result;
    return rc;
}

static int epoch_run(struct tx *tx, void *arg)
{
    struct batch *b = arg;
    int rc = epoch_move(tx, b->at_least);
    if (rc)
        return rc;
    return epoch_read(tx, &b->epoch);
}

int meta_lost(struct meta *m, const struct feed_entry *e, bool *out)
{
    struct tx *tx;
    int64_t id;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    bool lost = false;
    rc = entry_is_void(tx, e);
    if (rc == ERR_NOTFOUND)
        rc = log_held(tx, e, &id);
    if (rc == ERR_CONFLICT)
        rc = restated_before(tx, e, INT64_MAX, 0);
    if (rc == ERR_NOTFOUND) {
        lost = true;
        rc = 0;
    }
    tx_end(tx);
    if (!rc)
        *out = lost;
    return rc;
}

int meta_epoch_begin(struct meta *m, uint64_t at_least, uint64_t *out_epoch)
{
    struct batch b = {.at_least = at_least};
    int rc = meta_write(m, epoch_run, &b, false);
    if (!rc)
        *out_epoch = b.epoch;
    return rc;
}
