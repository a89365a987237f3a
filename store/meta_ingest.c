// SPDX-License-Identifier: Apache-2.0
// Reading peers: their entries go into the log and become jobs, and a job ends when its entry is
// applied. See meta_jobs.h, and meta_origins.c for how far both are.
//
// Invariants (design section 9)
//   2, 3. Applying is the part of meta_merge.c.
//   5. The read mark moves, and the jobs are made, in one transaction; a job ends in the one that
//      applies its entry.
//   7. What a floor refuses (store/floor.h) when it comes never becomes a job. While an entry is a job
//      it keeps the floor below its stamp, unless it is parked, and then the floor did not end it. But
//      the floor may pass the older stamp that it restates: that is judged again when it is applied.
// And of the feed's version 2:
//   10. Entries of one origin and registry are taken in without a gap, whoever relays them.
#include "store/meta_jobs.h"

#include "base/err.h"
#include "store/backend_chain.h"
#include "store/kind_rules.h"
#include "store/meta_priv.h"
#include "store/meta_proven.h"
#include "store/meta_snapshot.h"

#include <assert.h>
#include <string.h>

struct ingest {
    const char *origin;
    const struct feed_entry *entries;
    size_t n;
    // NULL: the mark does not move
    const struct feed_mark *upto;
    // of a snapshot: entries that were outdone are left out, so no chain is followed
    bool by_register;
    // only entries that what is held here proves (store/meta_proven.h)
    bool proven;
};

// --- chains ---

static bool follows(const struct chain_head *head, const struct feed_entry *e)
{
    return e->registry_seq == head->registry_seq + 1 &&
           memcmp(e->registry_prev, head->hash, ENTRY_HASH_BYTES) == 0;
}

// Void entries of a revoked key are left out of feeds, so what follows them has a gap before it.
static int has_revoked(struct tx *tx, const char *origin)
{
    struct revoked_key *list;
    size_t n;
    struct arena a;
    arena_init(&a, 0);
    int rc = revoked_list(tx, &a, &list, &n);
    bool has = false;
    for (size_t i = 0; !rc && i < n; i++)
        has = has || strcmp(list[i].origin, origin) == 0;
    arena_done(&a);
    if (rc)
        return rc;
    return has ? 0 : ERR_NOTFOUND;
}

// A new epoch may go on from an earlier entry: the origin lost those that follow it here. Its very
// first follows nothing.
static int goes_on_earlier(struct tx *tx, const struct chain_head *head, const struct feed_entry *e)
{
    if (e->epoch <= head->at.epoch)
        return ERR_NOTFOUND;
    if (e->registry_seq == 1)
        return 0;
    return chain_has(tx, e->origin, e->registry, e->registry_seq - 1, e->registry_prev);
}

// Nothing of the origin's entries of version 2 in this registry was left out before this one
// (invariant 10). What is held behind it does not matter: an origin puts entries that it had lost
// back into their places, after it went on in a new epoch.
static int chain_check(struct tx *tx, const struct feed_entry *e)
{
    struct chain_head head = {0};
    const struct feed_mark place = entry_mark(e);
    const struct chain_query q = {.origin = e->origin, .registry = e->registry, .upto = &place};
    int rc = chain_last(tx, &q, &head);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (rc == ERR_NOTFOUND) {
        rc = v2_begin(tx, e->registry);
        if (rc)
            return rc;
    }
    if (follows(&head, e))
        return 0;
    rc = goes_on_earlier(tx, &head, e);
    if (rc == ERR_NOTFOUND)
        rc = has_revoked(tx, e->origin);
    return rc == ERR_NOTFOUND ? ERR_GAP : rc;
}

static int chain_take(struct tx *tx, const struct ingest *in, const struct feed_entry *e)
{
    int rc = in->proven ? entry_proven(tx, e) : 0;
    if (rc)
        return rc == ERR_NOTFOUND ? ERR_GAP : rc;
    if (e->version != 2)
        return 0;
    if (in->by_register)
        return v2_begin(tx, e->registry);
    return chain_check(tx, e);
}

static int ingest_one(struct tx *tx, const struct ingest *in, const struct feed_entry *e)
{
    int64_t id;
    int rc = entry_is_void(tx, e);
    if (!rc)
        return ERR_AUTH;
    if (rc != ERR_NOTFOUND)
        return rc;
    rc = log_held(tx, e, &id);
    if (rc == ERR_CONFLICT && !entry_disown(tx, id))
        rc = ERR_NOTFOUND;
    if (rc != ERR_NOTFOUND)
        return rc; // held already, or another entry in its place
    struct feed_entry kept = *e;
    rc = chain_take(tx, in, e);
    if (rc)
        return rc;
    if (e->version == 2)
        entry_as_known(&kept);
    rc = log_append(tx, &kept, kept.content, &id);
    if (rc || kept.kind == ENTRY_UNKNOWN)
        return rc;
    if (e->ended)
        return log_end(tx, id);
    bool refused;
    rc = floor_judge(tx, &kept, &refused);
    if (!rc && refused)
        return floor_refuse(tx, id, &kept); // 7
    return rc ? rc : job_add(tx, id, &kept);
}

// The mark never goes back here: an older page that comes late moves nothing.
static int mark_advance(struct tx *tx, const char *origin, const struct feed_mark *to)
{
    struct feed_mark at;
    int rc = mark_get(tx, origin, to->partition, &at);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (!rc && feed_mark_order(to, &at) <= 0)
        return 0;
    return mark_set(tx, origin, to);
}

static int ingest_run(struct tx *tx, void *arg)
{
    const struct ingest *in = arg;
    for (size_t i = 0; i < in->n; i++) {
        int rc = ingest_one(tx, in, &in->entries[i]);
        if (rc)
            return rc;
    }
    return in->upto ? mark_advance(tx, in->origin, in->upto) : 0;
}

static int entries_judge(struct meta *m, const char *origin, const struct feed_entry *entries,
                         size_t n)
{
    uint64_t limit = meta_stamp_limit(m);
    if (strcmp(origin, m->o.region) == 0)
        return ERR_INVAL;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(entries[i].origin, origin) != 0)
            return ERR_INVAL;
        if (entries[i].version != 2 && entry_malformed(&entries[i]))
            return ERR_INVAL;
        if (entries[i].stamp > limit)
            return ERR_AHEAD;
    }
    return 0;
}

int meta_ingest(struct meta *m, const char *origin, const struct feed_entry *entries, size_t n,
                const struct feed_mark *upto)
{
    int rc = entries_judge(m, origin, entries, n);
    if (rc)
        return rc;
    struct ingest in = {.origin = origin, .entries = entries, .n = n, .upto = upto};
    return meta_write(m, ingest_run, &in, false);
}

int meta_snapshot_take(struct meta *m, const char *origin, const struct feed_entry *entries,
                       size_t n)
{
    int rc = entries_judge(m, origin, entries, n);
    if (rc)
        return rc;
    struct ingest in = {.origin = origin, .entries = entries, .n = n, .by_register = true};
    return meta_write(m, ingest_run, &in, false);
}

int meta_proven_take(struct meta *m, const struct feed_entry *e)
{
    int rc = entries_judge(m, e->origin, e, 1);
    if (rc)
        return rc;
    struct ingest in = {
        .origin = e->origin, .entries = e, .n = 1, .by_register = true, .proven = true};
    return meta_write(m, ingest_run, &in, false);
}

static int read_again_run(struct tx *tx, void *arg)
{
    return mark_remove(tx, arg, 0);
}

int meta_read_again(struct meta *m, const char *origin)
{
    return meta_write(m, read_again_run, (void *)origin, false);
}

// --- applying ---

struct apply {
    const struct feed_entry *e;
    struct bytes content;
    const struct manifest_ref *refs;
    size_t n_refs;
    struct digest missing;
};

static int merge(struct tx *tx, struct apply *a)
{
    const struct kind_rules *rules = kind_rules(a->e->kind);
    int64_t repo;
    assert(rules); // kind_rules.h, invariant 1
    int rc = repo_make(tx, a->e->registry, a->e->repository, &repo);
    if (rc)
        return rc;
    return rules->merge(tx, repo, a->e, a->content, a->refs, a->n_refs, &a->missing);
}

static int apply_run(struct tx *tx, void *arg)
{
    struct apply *a = arg;
    int64_t id;
    int rc = entry_is_void(tx, a->e);
    if (rc != ERR_NOTFOUND)
        return rc; // 0: it became void while its content was fetched
    rc = log_held(tx, a->e, &id);
    if (rc == ERR_NOTFOUND)
        return merge(tx, a); // never read here, so there is no job
    if (rc)
        return rc;
    rc = job_exists(tx, id);
    if (rc == ERR_NOTFOUND)
        return 0; // applied before
    if (rc)
        return rc;
    bool refused = false;
    if (a->e->restates)
        rc = floor_judge(tx, a->e, &refused);
    if (!rc && refused)
        rc = floor_refuse(tx, id, a->e); // 7
    else if (!rc)
        rc = merge(tx, a);
    if (rc)
        return rc;
    return job_end(tx, id); // 5
}

// 4: what is applied is what the entry's digest says.
static int content_check(const struct feed_entry *e, struct bytes content)
{
    struct digest d;
    int rc = digest_of((enum digest_alg)e->digest.alg, content.p, content.n, &d);
    if (rc)
        return rc;
    if (!digest_equal(&d, &e->digest) || content.n != e->size)
        return ERR_DIGEST;
    return 0;
}

// What is seen without the store's rows.
static int apply_judge(struct meta *m, const struct feed_entry *e, struct bytes content)
{
    if (!kind_rules(e->kind))
        return ERR_UNSUPPORTED;
    uint64_t limit = meta_stamp_limit(m);
    if (e->stamp > limit || e->restates > limit)
        return ERR_AHEAD; // a version took it in that did not judge stamps yet
    if (content.n && entry_has(e, ENTRY_HAS_CONTENT))
        return content_check(e, content);
    return 0;
}

int meta_apply(struct meta *m, const struct feed_entry *e, struct bytes content,
               const struct manifest_ref *refs, size_t n_refs, struct digest *out_missing)
{
    struct apply a = {.e = e, .content = content, .refs = refs, .n_refs = n_refs};
    int rc = apply_judge(m, e, content);
    if (rc)
        return rc;
    rc = meta_write(m, apply_run, &a, false);
    if (rc == ERR_NOTFOUND && out_missing)
        *out_missing = a.missing;
    return rc;
}

struct apply_all {
    struct apply_item *items;
    // of these, which may be tried
    const bool *judged;
    size_t n;
};

static int apply_all_run(struct tx *tx, void *arg)
{
    const struct apply_all *all = arg;
    for (size_t i = 0; i < all->n; i++) {
        struct apply_item *item = &all->items[i];
        struct apply a = {
            .e = item->e, .content = item->content, .refs = item->refs, .n_refs = item->n_refs};
        int rc = ERR_NOTFOUND;
        if (all->judged[i])
            rc = tx_attempt(tx, apply_run, &a);
        if (rc && rc != ERR_NOTFOUND) // the others' turn comes one by one
            return rc;
        item->done = rc == 0;
    }
    return 0;
}

int meta_apply_all(struct meta *m, struct apply_item *items, size_t n)
{
    bool judged[APPLY_ITEMS_MAX];
    struct apply_all all = {.items = items, .judged = judged, .n = n};
    if (n > APPLY_ITEMS_MAX)
        return ERR_TOOBIG;
    for (size_t i = 0; i < n; i++)
        judged[i] = !apply_judge(m, items[i].e, items[i].content);
    int rc = meta_write(m, apply_all_run, &all, false);
    for (size_t i = 0; rc && i < n; i++)
        items[i].done = false;
    return rc;
}
