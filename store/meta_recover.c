// SPDX-License-Identifier: Apache-2.0
// Invariant 8, when a restored backup or a failed-over database has lost own entries that peers have read: they are put
// back with the signatures they had, the next entry goes into a new epoch, and what nobody would look back for is
// announced again. See meta.h. Writer thread.
//
// What a recovered entry refers to may be lost too. Then it becomes a job like a foreign one, and shows when its
// content and blobs have been fetched (invariant 2).
#include "store/meta_priv.h"

#include "base/err.h"

#include <string.h>

struct batch {
    const struct feed_entry *entries;
    size_t n;
    uint64_t at_least, epoch; // meta_epoch_begin
};

static int manifest_try(struct meta *m, int64_t repo, const struct feed_entry *e)
{
    struct digest missing;
    if (manifest_visible(&m->w, repo, &e->digest) == 0)
        return merge_manifest(m, repo, e, (struct bytes){0}, NULL, 0, &missing);
    if (!e->content.n)
        return ERR_NOTFOUND;
    struct arena a;
    struct manifest man;
    arena_init(&a, 0);
    // Content that this program would not take, or that is not what was signed, is for the job to report.
    int rc = manifest_parse(e->content, e->media_type, &a, NULL, &man);
    struct digest d;
    if (!rc &&
        (digest_of((enum digest_alg)e->digest.alg, e->content.p, e->content.n, &d) || !digest_equal(&d, &e->digest)))
        rc = ERR_DIGEST;
    if (rc && rc != ERR_NOMEM)
        rc = ERR_NOTFOUND;
    if (!rc)
        rc = merge_manifest(m, repo, e, e->content, man.refs, man.n_refs, &missing);
    arena_done(&a);
    return rc;
}

// Applies an entry of the log, or leaves a job. A savepoint of its own: a try that fails half-way leaves nothing.
static int apply_or_job(struct meta *m, int64_t id, const struct feed_entry *e)
{
    int64_t repo;
    struct digest missing;
    int rc = db_exec(&m->w, "SAVEPOINT try");
    if (rc)
        return rc;
    rc = repo_make(m, e->registry, e->repository, &repo);
    if (!rc)
        rc = e->kind == ENTRY_TAG ? merge_tag(m, repo, e, &missing) : manifest_try(m, repo, e);
    if (rc == ERR_NOTFOUND) {
        rc = db_exec(&m->w, "ROLLBACK TO try");
        if (!rc)
            rc = job_add(m, id, e);
        m->notify = true;
    } else if (!rc) {
        rc = db_run(&m->w, "UPDATE feed SET content=NULL WHERE id=?1 AND content IS NOT NULL", "i", id);
    }
    return rc ? rc : db_exec(&m->w, "RELEASE try");
}

static int recover_one(struct meta *m, const struct feed_entry *e)
{
    int64_t id;
    int rc = feed_held(&m->w, e, &id);
    if (rc != ERR_NOTFOUND)
        return rc;
    rc = feed_insert(m, e, e->content, &id);
    if (!rc)
        rc = apply_or_job(m, id, e);
    if (!rc && e->stamp > m->hlc.last) {
        m->hlc.last = e->stamp;
        rc = state_set(&m->w, "hlc", e->stamp);
    }
    return rc;
}

static int recover_run(struct meta *m, void *arg)
{
    const struct batch *b = arg;
    int rc = 0;
    for (size_t i = 0; !rc && i < b->n; i++)
        rc = recover_one(m, &b->entries[i]);
    return rc ? rc : feed_own_load(m);
}

static bool all_own(struct meta *m, const struct feed_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(entries[i].origin, m->o.region) != 0)
            return false;
    return true;
}

int meta_recover(struct meta *m, const struct feed_entry *entries, size_t n)
{
    struct batch b = {.entries = entries, .n = n};
    return all_own(m, entries, n) ? writer_submit(m, recover_run, &b, false) : ERR_INVAL;
}

static int epoch_run(struct meta *m, void *arg)
{
    struct batch *b = arg;
    uint64_t epoch = m->epoch > m->own.epoch ? m->epoch : m->own.epoch;
    epoch = (epoch > b->at_least ? epoch : b->at_least) + 1;
    if (epoch > INT64_MAX || epoch == 0)
        return ERR_RANGE;
    int rc = state_set(&m->w, "epoch", epoch);
    if (!rc)
        m->epoch = b->epoch = epoch;
    return rc;
}

int meta_epoch_begin(struct meta *m, uint64_t at_least, uint64_t *out_epoch)
{
    struct batch b = {.at_least = at_least};
    int rc = writer_submit(m, epoch_run, &b, false);
    if (!rc)
        *out_epoch = b.epoch;
    return rc;
}

static int restated_before(struct meta *m, const struct feed_entry *e, uint64_t stamp)
{
    sqlite3_stmt *st;
    int rc = db_find(&m->w, &st,
                     "SELECT 1 FROM feed WHERE restates=?1 AND restates>0 AND origin=?2 AND kind=?3 AND registry=?4 AND"
                     " repository=?5 AND tag=?6 AND digest=?7",
                     "usnsssd", stamp, e->origin, (int)e->kind, e->registry, e->repository, e->tag ? e->tag : "",
                     &e->digest);
    if (!rc)
        db_end(st);
    return rc;
}

static int restate_one(struct meta *m, const struct feed_entry *e)
{
    uint64_t stamp = entry_register_stamp(e);
    int rc = restated_before(m, e, stamp);
    if (rc != ERR_NOTFOUND)
        return rc;
    struct feed_entry again = *e;
    int64_t id;
    again.restates = stamp;
    rc = feed_mint(m, stamp, e->content, &again, &id);
    return rc ? rc : apply_or_job(m, id, &again);
}

static int restate_run(struct meta *m, void *arg)
{
    const struct batch *b = arg;
    int rc = 0;
    for (size_t i = 0; !rc && i < b->n; i++)
        rc = restate_one(m, &b->entries[i]);
    return rc;
}

int meta_restate(struct meta *m, const struct feed_entry *entries, size_t n)
{
    struct batch b = {.entries = entries, .n = n};
    return all_own(m, entries, n) ? writer_submit(m, restate_run, &b, false) : ERR_INVAL;
}
