// SPDX-License-Identifier: Apache-2.0
// Pure; see feed_proof.h.
#include "replication/feed_proof.h"

#include "base/err.h"
#include "base/mem.h"
#include "replication/cursor.h"

#include <string.h>

struct place {
    uint64_t epoch, seq;
    uint8_t hash[ENTRY_HASH_BYTES];
};

struct places {
    struct place *list;
    size_t n, cap;
};

struct feed_proof {
    // of a topology that the caller holds
    const struct region *origin;
    // the line before; the run is unbroken up to it
    struct feed_mark last;
    // the last place to be proven
    struct feed_mark top;
    // since the last gap; proven, in order
    struct places run, good;
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
    *p = (struct feed_proof){.origin = origin, .last = *from, .top = top};
    *out = p;
    return 0;
}

void feed_proof_free(struct feed_proof *p)
{
    if (!p)
        return;
    free(p->run.list);
    free(p->good.list);
    free(p);
}

static int places_add(struct places *l, const struct place *at)
{
    if (l->n == FEED_PROOF_MAX)
        return ERR_TOOBIG;
    if (l->n == l->cap) {
        size_t cap = 256;
        if (l->cap)
            cap = 2 * l->cap;
        struct place *more = mem_zalloc_array(cap, sizeof *more);
        if (!more)
            return ERR_NOMEM;
        if (l->n)
            memcpy(more, l->list, l->n * sizeof *more);
        free(l->list);
        l->list = more;
        l->cap = cap;
    }
    l->list[l->n++] = *at;
    return 0;
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
    struct place at = {.epoch = e->epoch, .seq = e->seq};
    memcpy(at.hash, e->hash, sizeof at.hash);
    if (!follows(p, e))
        p->run.n = 0;
    mark_of_entry(e, &p->last);
    int rc = places_add(&p->run, &at);
    if (rc || !is_last_good(p, e))
        return rc;
    for (size_t i = 0; !rc && i < p->run.n; i++)
        rc = places_add(&p->good, &p->run.list[i]);
    p->run.n = 0; // what follows begins a run behind what is proven
    return rc;
}

bool feed_proof_past(const struct feed_proof *p, const struct feed_mark *m)
{
    return !past(p->top.epoch, p->top.seq, m);
}

enum proof feed_proof_judge(const struct feed_proof *p, const struct feed_entry *e)
{
    size_t from = 0, to = p ? p->good.n : 0;
    while (from < to) { // they are in order
        size_t mid = from + (to - from) / 2;
        const struct place *at = &p->good.list[mid];
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
