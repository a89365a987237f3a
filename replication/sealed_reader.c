// SPDX-License-Identifier: Apache-2.0
// Reading what a sealed region wrote; see sealed_reader.h.
#include "replication/sealed_reader.h"

#include "base/err.h"
#include "base/log.h"
#include "replication/backfill_state.h"
#include "replication/feed_session.h"
#include "replication/marks.h"
#include "replication/peer.h"
#include "replication/peers.h"
#include "replication/replication_priv.h"

#include <assert.h>
#include <string.h>

#define WHOLE_REST_MS 1000 // a new topology ends it
#define NEXT_REST_MS 50
#define ROUND_REST_MS 1000 // all were asked, and something lacks

struct looking {
    struct peer *p;
    struct replicator *r;
    const struct topology *t;
    const struct region *origin, *self;
    struct feed_mark seal;
    // Who is to be asked: the others that hold a registry of both, and those that hold one of the
    // origin.
    region_set of, all;
};

static region_set bit_of(const struct region *r)
{
    return (region_set)1 << r->index;
}

// The others that hold a registry which all of `with` hold.
static region_set holders(const struct looking *k, region_set with)
{
    region_set set = 0;
    struct catalogue_iter it = {0};
    for (const struct registry *reg; (reg = topology_next(k->t, &it));)
        if ((reg->replica_set & with) == with)
            set |= members_of(k->t, reg);
    return set & ~bit_of(k->self);
}

static void look_at(struct looking *k, struct peer *p, const struct topology *t)
{
    *k = (struct looking){.p = p, .r = peer_replicator(p), .t = t};
    k->origin = topology_region(t, peer_name(p));
    k->self = topology_region(t, k->r->o.region);
    assert(k->origin && k->origin->sealed && k->self);
    k->seal = (struct feed_mark){.epoch = k->origin->sealed->epoch, .seq = k->origin->sealed->seq};
    memcpy(k->seal.hash, k->origin->sealed->hash, sizeof k->seal.hash);
}

// Was every registry of it read, as far as another region holds it?
static bool all_covered(const struct looking *k)
{
    struct arena a;
    const char **covered = NULL;
    size_t n = 0;
    region_set both = (region_set)1 << k->origin->index | (region_set)1 << k->self->index;
    struct catalogue_iter it = {0};
    arena_init(&a, 0);
    bool all = !backfill_state_get(k->r, k->origin->name, &a, &covered, &n);
    for (const struct registry *reg; all && (reg = topology_next(k->t, &it));) {
        if ((reg->replica_set & both) != both)
            continue;
        if (members_of(k->t, reg) & ~((region_set)1 << k->self->index))
            all = name_in(reg->key, covered, n);
    }
    arena_done(&a);
    return all;
}

static bool is_whole(const struct looking *k)
{
    struct feed_mark read;
    if (read_mark(k->r, k->origin->name, &read))
        return false;
    return mark_order(&read, &k->seal) >= 0 && all_covered(k);
}

// The one whose turn it is, of those that are not away; NULL: there is none.
static const struct region *next_relay(struct sealed_reader *s, const struct looking *k,
                                       region_set of)
{
    for (size_t tries = 0; tries < k->t->n_regions; tries++) {
        const struct region *r = &k->t->regions[s->turn++ % k->t->n_regions];
        if (!(of >> r->index & 1))
            continue;
        struct peer *p = peers_find(k->r->peers, r->name);
        if (p && !peer_is_away(p))
            return r;
    }
    return NULL;
}

// Past the seal: this region was away when that was set.
static bool holds_more(const struct looking *k)
{
    struct feed_mark head;
    return !meta_head(k->r->o.meta, k->origin->name, &head) && mark_order(&head, &k->seal) > 0;
}

static bool holds_seal(const struct looking *k)
{
    return mark_is_zero(&k->seal) || !meta_feed_check(k->r->o.meta, k->origin->name, &k->seal);
}

// Everybody who can hold what lacks has told all, and the seal is among what somebody has read. If
// none of all that hold anything of it has, its holder is gone: then nothing more comes either.
static void seal_reached(const struct sealed_reader *s, const struct looking *k)
{
    struct feed_mark read;
    bool seen = s->reached || holds_seal(k);
    if (k->of & ~s->told)
        return;
    if (!seen && k->all & ~s->told)
        return;
    if (read_mark(k->r, k->origin->name, &read) || mark_order(&read, &k->seal) >= 0)
        return;
    if (meta_ingest(k->r->o.meta, k->origin->name, NULL, 0, &k->seal))
        return; // at the next turn
    if (seen)
        log_info("replication: all that counts of %s, which was forgotten, is here",
                 k->origin->name);
    else
        log_warn("replication: no region has the last entries that count of %s, which was "
                 "forgotten: what they say is lost, unless it is of registries that this one does "
                 "not hold; all else is here",
                 k->origin->name);
}

// First those that hold what this region may lack, then those that know whether the seal is anywhere.
static region_set to_ask(const struct sealed_reader *s, const struct looking *k)
{
    region_set set = k->of & ~s->told;
    if (set)
        return set;
    return k->all & ~s->told;
}

// Not while a repair moves the marks.
static int session(const struct looking *k, const struct region *via, struct feed_relayed *out)
{
    if (!reading_hold_begin(k->r->hold))
        return ERR_CANCELED;
    int rc = feed_session_relayed(k->p, k->t, via->name, out);
    reading_hold_end(k->r->hold);
    return rc;
}

static int64_t ask(struct sealed_reader *s, const struct looking *k)
{
    const struct region *via = next_relay(s, k, to_ask(s, k));
    struct feed_relayed told = {0};
    struct peer_try try;
    struct peer_outcome o;
    if (!via) {
        s->told = 0; // there may be more, or somebody comes back
        return ROUND_REST_MS;
    }
    peer_turn_begin(k->p, &try);
    int rc = session(k, via, &told);
    if (rc < 0)
        told = (struct feed_relayed){0}; // what it said is not all here
    peer_turn_end(k->p, &try, false, &o);
    if (told.all)
        s->told |= bit_of(via);
    s->reached |= told.seal;
    seal_reached(s, k);
    return told.all ? NEXT_REST_MS : ROUND_REST_MS;
}

int64_t sealed_reader_turn(struct sealed_reader *s, struct peer *p, const struct topology *t)
{
    struct looking k;
    look_at(&k, p, t);
    if (s->version != t->version)
        *s = (struct sealed_reader){.version = t->version, .turn = s->turn};
    bool whole = is_whole(&k);
    peer_sealed(p, true, whole, holds_more(&k));
    if (whole)
        return WHOLE_REST_MS;
    k.of = holders(&k, bit_of(k.origin) | bit_of(k.self));
    k.all = holders(&k, bit_of(k.origin));
    int64_t rest_ms = ask(s, &k);
    if (!k.of) // nobody else can have more
        seal_reached(s, &k);
    return rest_ms;
}
