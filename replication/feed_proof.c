// SPDX-License-Identifier: Apache-2.0
// Pure; see feed_proof.h.
#include "replication/feed_proof.h"

#include "base/err.h"
#include "base/mem.h"
#include "replication/cursor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct place {
    uint64_t epoch, seq;
    uint8_t hash[ENTRY_HASH_BYTES];
};

struct feed_proof {
    // of a topology that the caller holds
    const struct region *origin;
    // the line before; the run is unbroken up to it
    struct feed_mark last;
    // the last place to be proven
    struct feed_mark top;
    // In order: what is proven, then the run since the last gap. When it is full, the rest of a run
    // is followed and not kept.
    struct place *list;
    size_t n_good, n, cap, max;
    bool run_cut;
    // of a run that is proven, not all is kept: nothing is known behind the last place of the list
    bool cut;
};

static bool past(uint64_t epoch, uint64_t seq, const struct feed_mark *m)
{
    return epoch > m->epoch || (epoch == m->epoch && seq > m->seq);
}

int feed_proof_new(const struct region *origin, const struct feed_mark *from,
                   struct feed_proof **out)
{
    struct feed_mark top = *from;
    for (size_t i = 0; i < origin->n_revoked; i++) {
        const struct feed_revocation *v = &origin->revoked[i];
        if (v->seq && past(v->epoch, v->seq, &top))
            top = (struct feed_mark){.epoch = v->epoch, .seq = v->seq};
    }
    *out = NULL;
    if (!past(top.epoch, top.seq, from))
        return 0;
    struct feed_proof *p = mem_zalloc(sizeof *p);
    if (!p)
        return ERR_NOMEM;
    *p = (struct feed_proof){.origin = origin, .last = *from, .top = top, .max = FEED_PROOF_MAX};
    *out = p;
    return 0;
}

void feed_proof_bound(struct feed_proof *p, size_t max)
{
    assert(max && !p->n);
    p->max = max;
}

void feed_proof_free(struct feed_proof *p)
{
    if (!p)
        return;
    free(p->list);
    free(p);
}

static int run_add(struct feed_proof *p, const struct feed_entry *e)
{
    if (p->n == p->max) {
        p->run_cut = true;
        return 0;
    }
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 256;
        struct place *more = mem_zalloc_array(cap, sizeof *more);
        if (!more)
            return ERR_NOMEM;
        if (p->n)
            memcpy(more, p->list, p->n * sizeof *more);
        free(p->list);
        p->list = more;
        p->cap = cap;
    }
    struct place *at = &p->list[p->n++];
    *at = (struct place){.epoch = e->epoch, .seq = e->seq};
    memcpy(at->hash, e->hash, sizeof at->hash);
    return 0;
}

static void run_begin(struct feed_proof *p)
{
    p->n = p->n_good;
    p->run_cut = false;
}

// Does e stand right behind the last line, with the hash that follows from that one's? A new epoch
// goes on from the last hash of the one before.
static bool follows(const struct feed_proof *p, const struct feed_entry *e)
{
    uint8_t want[ENTRY_HASH_BYTES];
    bool next;
    if (e->epoch == p->last.epoch)
        next = e->seq == p->last.seq + 1;
    else
        next = e->seq == 1;
    return next && entry_hash(p->last.hash, e, want) == 0 &&
           memcmp(want, e->hash, sizeof want) == 0;
}

static const struct feed_revocation *revocation_of(const struct feed_proof *p, const char *key)
{
    for (size_t i = 0; i < p->origin->n_revoked; i++)
        if (!strcmp(p->origin->revoked[i].key, key))
            return &p->origin->revoked[i];
    return NULL;
}

static bool is_last_good(const struct feed_proof *p, const struct feed_entry *e)
{
    const struct feed_revocation *v = revocation_of(p, e->key);
    return v && v->epoch == e->epoch && v->seq == e->seq &&
           !memcmp(v->hash, e->hash, sizeof v->hash);
}

int feed_proof_line(struct feed_proof *p, const struct feed_entry *e)
{
    if (!follows(p, e))
        run_begin(p);
    mark_of_entry(e, &p->last);
    int rc = run_add(p, e);
    if (rc || !is_last_good(p, e))
        return rc;
    p->cut = p->cut || p->run_cut;
    p->n_good = p->n;
    run_begin(p); // behind what is proven
    return 0;
}

bool feed_proof_past(const struct feed_proof *p, const struct feed_mark *m)
{
    return !past(p->top.epoch, p->top.seq, m);
}

bool feed_proof_ends(const struct feed_proof *p, const struct feed_mark *m)
{
    if (!p || !p->cut)
        return false;
    const struct place *end = &p->list[p->n_good - 1];
    return !past(end->epoch, end->seq, m);
}

enum proof feed_proof_judge(const struct feed_proof *p, const struct feed_entry *e)
{
    size_t from = 0, to = p ? p->n_good : 0;
    while (from < to) { // they are in order
        size_t mid = from + (to - from) / 2;
        const struct place *at = &p->list[mid];
        if (at->epoch == e->epoch && at->seq == e->seq) {
            if (memcmp(at->hash, e->hash, sizeof at->hash))
                return PROOF_OTHER;
            return PROOF_GOOD;
        }
        if (at->epoch < e->epoch || (at->epoch == e->epoch && at->seq < e->seq))
            from = mid + 1;
        else
            to = mid;
    }
    return PROOF_UNKNOWN;
}
