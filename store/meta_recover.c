// SPDX-License-Identifier: Apache-2.0
// Invariant 8, when a restored backup or a failed-over database has lost own entries that peers
// have read: they are put back with the signatures they had, the next entry goes into a new epoch,
// and entries that peers have already read past are announced again. See meta_void.h.
//
// What a recovered entry refers to may be lost too. Then it becomes a job like a foreign one, and
// shows when its content and blobs have been fetched (invariant 2).
#include "store/meta_void.h"

#include "base/err.h"
#include "base/mem.h"
#include "store/kind_rules.h"
#include "store/meta_kept.h"
#include "store/meta_merge.h"

#include <assert.h>
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

// --- applying, or leaving a job ---

static bool content_is(const struct feed_entry *e)
{
    struct digest d;
    if (digest_of((enum digest_alg)e->digest.alg, e->content.p, e->content.n, &d))
        return false;
    return digest_equal(&d, &e->digest);
}

// Content that this program would not take, or that is not what was signed, is for the job to
// report: ERR_NOTFOUND.
static int content_merge(struct tx *tx, int64_t repo, const struct feed_entry *e, struct arena *a)
{
    struct manifest man;
    struct digest missing;
    int rc = manifest_parse(e->content, e->media_type, a, NULL, &man);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc || !content_is(e))
        return ERR_NOTFOUND;
    const struct manifest_with with = {e->content, man.refs, man.n_refs};
    return merge_manifest(tx, repo, e, &with, &missing);
}

int manifest_merge_alone(struct tx *tx, int64_t repo, const struct feed_entry *e)
{
    struct digest missing;
    bool needs;
    int rc = manifest_needs(tx, repo, e, &needs);
    if (rc)
        return rc;
    if (!needs)
        return merge_manifest(tx, repo, e, &(struct manifest_with){0}, &missing);
    if (!e->content.n)
        return ERR_NOTFOUND;
    struct arena a;
    arena_init(&a, 0);
    rc = content_merge(tx, repo, e, &a);
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
    bool refused;
    if (!rules)
        return 0; // kept for a program that knows it
    int rc = floor_judge(tx, t->e, &refused);
    if (rc)
        return rc;
    if (refused)
        return floor_refuse(tx, t->id, t->e);
    rc = repo_make(tx, t->e->registry, t->e->repository, &repo);
    if (rc)
        return rc;
    rc = rules->merge_alone(tx, repo, t->e);
    if (rc)
        return rc;
    return log_content_drop(tx, t->id);
}

// A try that fails leaves nothing but the job.
static int apply_or_job(struct tx *tx, int64_t id, const struct feed_entry *e)
{
    struct attempt t = {id, e};
    int rc = tx_attempt(tx, apply_try, &t);
    if (rc != ERR_NOTFOUND)
        return rc;
    tx->notify = true;
    return job_add(tx, id, e);
}

// --- the own head ---

// The next own entry goes into an epoch past this one and past all that were used here.
int epoch_move(struct tx *tx, uint64_t at_least)
{
    struct own_head own;
    int rc = own_lock(tx, &own);
    if (rc)
        return rc;
    assert(own.epoch >= own.last.epoch); // 8
    uint64_t epoch = own.epoch;
    if (epoch < at_least)
        epoch = at_least;
    if (epoch >= INT64_MAX)
        return ERR_RANGE;
    own.epoch = epoch + 1;
    return own_set(tx, &own);
}

static int epoch_read(struct tx *tx, uint64_t *out)
{
    struct own_head own;
    int rc = own_lock(tx, &own);
    if (!rc)
        *out = own.epoch;
    return rc;
}

// 9: of a recovered entry, which is not of the future (batch_check).
static int clock_raise(struct tx *tx, uint64_t stamp)
{
    struct own_head own;
    int rc = own_lock(tx, &own);
    if (rc || stamp <= own.stamp)
        return rc;
    own.stamp = stamp;
    return own_set(tx, &own);
}

// --- one entry ---

// Another entry stands in its place: it is announced again, and from an epoch in which no peer can
// have read the entries that are minted next.
static int place_taken(struct tx *tx, const struct feed_entry *e)
{
    uint64_t epoch;
    int rc = epoch_read(tx, &epoch);
    if (rc || e->epoch < epoch)
        return rc;
    return epoch_move(tx, e->epoch);
}

static int put_back(struct tx *tx, const struct feed_entry *e)
{
    int64_t id;
    struct feed_entry kept = *e;
    entry_as_known(&kept);
    int rc = log_append(tx, &kept, kept.content, &id);
    if (!rc && e->version == 2)
        rc = v2_begin(tx, e->registry);
    if (!rc && e->ended)
        rc = kept_end(tx, &kept, id);
    else if (!rc)
        rc = apply_or_job(tx, id, &kept);
    if (rc)
        return rc;
    return clock_raise(tx, e->stamp);
}

// That an entry has ended is not signed: who gave it back so may have lied. What was dropped here is
// known by our own mark; any other that comes without the word is taken as if it were not here.
// *out: so it is with the one that is held under this id.
static int ended_by_word(struct tx *tx, const struct feed_entry *e, int64_t id, bool *out)
{
    struct feed_mark kept;
    const struct feed_mark place = entry_mark(e);
    *out = false;
    if (e->ended)
        return 0;
    int rc = kept_from(tx, e->origin, e->registry, &kept);
    if (rc || feed_mark_order(&place, &kept) <= 0)
        return rc;
    struct arena a;
    struct feed_entry held;
    arena_init(&a, 0);
    rc = log_get(tx, id, &a, &held);
    if (!rc)
        *out = held.ended;
    arena_done(&a);
    return rc;
}

// As log_held, but not of those that are here as ended by somebody's word only.
static int held_find(struct tx *tx, const struct feed_entry *e, int64_t *out_id, bool *out_by_word)
{
    *out_by_word = false;
    int rc = log_held(tx, e, out_id);
    if (!rc)
        rc = ended_by_word(tx, e, *out_id, out_by_word);
    if (rc)
        return rc;
    return *out_by_word ? ERR_NOTFOUND : 0;
}

static int recover_one(struct tx *tx, const struct feed_entry *e, struct recovered *out,
                       bool *out_again)
{
    int64_t id;
    bool by_word;
    int rc = entry_is_void(tx, e);
    if (rc != ERR_NOTFOUND)
        return rc;
    rc = held_find(tx, e, &id, &by_word);
    if (rc == ERR_CONFLICT) {
        *out_again = true;
        return place_taken(tx, e);
    }
    if (rc != ERR_NOTFOUND)
        return rc;
    rc = by_word ? log_remove(tx, id) : 0;
    if (!rc)
        rc = put_back(tx, e);
    if (rc)
        return rc;
    out->n_put_back++;
    *out_again = !e->ended;
    return 0;
}

static int restate_one(struct meta *m, struct tx *tx, const struct feed_entry *e, int64_t last_id,
                       struct recovered *out)
{
    uint64_t epoch;
    int64_t id;
    int rc = epoch_read(tx, &epoch);
    if (rc)
        return rc;
    // A restating entry that was itself only just put back, in a closed epoch, tells nobody
    // anything.
    rc = survey_restated(tx, e, last_id, epoch);
    if (rc != ERR_NOTFOUND)
        return rc;
    uint64_t floor;
    rc = floor_highest(tx, e->registry, &floor);
    if (rc || entry_register_stamp(e) <= floor)
        return rc; // everybody has applied it, and would refuse it
    struct feed_entry again = *e;
    entry_as_known(&again);
    again.restates = entry_register_stamp(e);
    rc = feed_mint(m, tx, again.restates, again.content, &again, &id);
    if (rc)
        return rc;
    assert(again.epoch > e->epoch); // 8: where peers still read
    rc = apply_or_job(tx, id, &again);
    if (!rc)
        out->n_restated++;
    return rc;
}

// --- the batch ---

// 9: own entries are judged as if another region had written them.
static int batch_check(const struct batch *b)
{
    uint64_t limit = meta_stamp_limit(b->m);
    for (size_t i = 0; i < b->n; i++) {
        if (b->entries[i].stamp > limit)
            return ERR_AHEAD;
        if (entry_malformed(&b->entries[i]))
            return ERR_INVAL;
    }
    return 0;
}

static int all_put_back(struct tx *tx, struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        b->again[i] = false;
        int rc = recover_one(tx, &b->entries[i], &b->result, &b->again[i]);
        if (rc)
            return rc;
    }
    return own_reload(tx); // what is minted now follows what was put back
}

static int all_restated(struct tx *tx, struct batch *b, int64_t last_id)
{
    uint64_t epoch;
    int rc = epoch_read(tx, &epoch);
    if (rc)
        return rc;
    b->result.epoch = epoch;
    for (size_t i = 0; i < b->n; i++) {
        if (!b->again[i] || b->entries[i].epoch >= epoch)
            continue;
        rc = restate_one(b->m, tx, &b->entries[i], last_id, &b->result);
        if (rc)
            return rc;
    }
    return 0;
}

// Both in one transaction: an entry of a closed epoch that is in the log has been announced,
// whenever the power fails.
static int recover_run(struct tx *tx, void *arg)
{
    struct batch *b = arg;
    int64_t last_id;
    b->result = (struct recovered){0};
    int rc = batch_check(b);
    if (rc)
        return rc;
    rc = survey_last_id(tx, &last_id);
    if (rc)
        return rc;
    rc = all_put_back(tx, b);
    if (rc)
        return rc;
    return all_restated(tx, b, last_id);
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

// --- what callers ask ---

// 0: meta_recover would do something for it. ERR_NOTFOUND: not.
static int lost_find(struct tx *tx, const struct feed_entry *e)
{
    int64_t id;
    bool by_word;
    int rc = entry_is_void(tx, e);
    if (rc != ERR_NOTFOUND)
        return rc ? rc : ERR_NOTFOUND;
    rc = held_find(tx, e, &id, &by_word);
    if (rc == ERR_CONFLICT)
        rc = survey_restated(tx, e, INT64_MAX, 0);
    if (rc != ERR_NOTFOUND)
        return rc ? rc : ERR_NOTFOUND;
    if (by_word)
        return 0;
    struct feed_mark kept;
    const struct feed_mark place = entry_mark(e);
    rc = kept_from(tx, e->origin, NULL, &kept);
    if (rc)
        return rc;
    return feed_mark_order(&place, &kept) <= 0 ? ERR_NOTFOUND : 0; // it was dropped
}

int meta_lost(struct meta *m, const struct feed_entry *e, bool *out)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = lost_find(tx, e);
    tx_end(tx);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = rc == 0;
    return 0;
}

static int epoch_run(struct tx *tx, void *arg)
{
    struct batch *b = arg;
    int rc = epoch_move(tx, b->at_least);
    if (rc)
        return rc;
    return epoch_read(tx, &b->epoch);
}

int meta_epoch_begin(struct meta *m, uint64_t at_least, uint64_t *out_epoch)
{
    struct batch b = {.at_least = at_least};
    int rc = meta_write(m, epoch_run, &b, false);
    if (!rc)
        *out_epoch = b.epoch;
    return rc;
}
