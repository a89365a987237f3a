// SPDX-License-Identifier: Apache-2.0
// Who stored what; see heard.h.
#include "fleet/heard.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static size_t index_of(const struct heard *h, const char *region)
{
    size_t i = 0;
    while (i < h->n && strcmp(h->list[i].region, region) != 0)
        i++;
    return i;
}

static struct heard_region *find(struct heard *h, const char *region)
{
    size_t i = index_of(h, region);
    if (i == h->n)
        return NULL;
    return &h->list[i];
}

void heard_keep(struct heard *h, const struct topology *t, const char *self)
{
    for (size_t i = 0; i < h->n;) {
        const struct region *r = topology_region(t, h->list[i].region);
        if (r && !r->sealed && strcmp(h->list[i].region, self) != 0)
            i++;
        else
            h->list[i] = h->list[--h->n];
    }
    for (size_t i = 0; i < t->n_regions; i++) {
        const struct region *r = &t->regions[i];
        if (strcmp(r->name, self) == 0) {
            h->self = r->index;
            continue;
        }
        if (r->sealed)
            continue;
        struct heard_region *x = find(h, r->name);
        if (!x) {
            x = &h->list[h->n++];
            *x = (struct heard_region){.said = false};
            snprintf(x->region, sizeof x->region, "%s", r->name);
        }
        x->index = r->index;
    }
    assert(h->n <= TOPOLOGY_MAX_REGIONS);
    h->n_regions = topology_n_living(t);
    h->topology = t->version;
}

static bool is_later(const struct control_place *a, const struct control_place *than)
{
    return control_place_compare(a, than) > 0;
}

bool heard_note(struct heard *h, const char *region, const struct control_place *place,
                int64_t now_ms)
{
    struct heard_region *x = find(h, region);
    if (!x)
        return false;
    x->said = true;
    x->place = *place;
    x->heard_ms = now_ms;
    return true;
}

void heard_looked(struct heard *h, const char *region, int64_t now_ms)
{
    struct heard_region *x = find(h, region);
    if (x)
        x->looked_ms = x->tried_ms = now_ms;
}

void heard_tried(struct heard *h, const char *region, int64_t now_ms)
{
    struct heard_region *x = find(h, region);
    if (x)
        x->tried_ms = now_ms;
}

void heard_base_refused(struct heard *h, const char *region, int64_t now_ms)
{
    struct heard_region *x = find(h, region);
    if (x)
        x->refused_ms = now_ms;
}

bool heard_base_rests(const struct heard *h, const char *region, int64_t now_ms)
{
    size_t i = index_of(h, region);
    if (i == h->n || !h->list[i].refused_ms)
        return false;
    return now_ms - h->list[i].refused_ms < HEARD_DOUBT_MS;
}

// ---- later places ----

static bool lately(const struct heard_region *x, int64_t now_ms, int64_t silent_ms)
{
    return x->said && now_ms - x->heard_ms <= silent_ms;
}

static bool is_doubted(const struct heard_region *x, int64_t now_ms)
{
    return x->looked_ms && now_ms - x->looked_ms < HEARD_DOUBT_MS;
}

static bool claims(const struct heard_region *x, const struct control_place *own, int64_t now_ms,
                   int64_t silent_ms)
{
    return lately(x, now_ms, silent_ms) && is_later(&x->place, own) && !is_doubted(x, now_ms);
}

const struct heard_region *heard_claims(const struct heard *h, const struct control_place *own,
                                        int64_t now_ms, int64_t silent_ms)
{
    for (size_t i = 0; i < h->n; i++)
        if (claims(&h->list[i], own, now_ms, silent_ms))
            return &h->list[i];
    return NULL;
}

// Whoever was not asked for longest comes first: one that hangs keeps nobody from being asked.
const struct heard_region *heard_to_ask(const struct heard *h, const struct control_place *own,
                                        int64_t now_ms, int64_t silent_ms)
{
    const struct heard_region *found = NULL;
    for (size_t i = 0; i < h->n; i++) {
        const struct heard_region *x = &h->list[i];
        if (!claims(x, own, now_ms, silent_ms))
            continue;
        if (x->tried_ms && now_ms - x->tried_ms < HEARD_AGAIN_MS)
            continue;
        if (!found || x->tried_ms < found->tried_ms)
            found = x;
    }
    return found;
}

const struct heard_region *heard_doubted(const struct heard *h, const struct control_place *own,
                                         int64_t now_ms, int64_t silent_ms)
{
    for (size_t i = 0; i < h->n; i++) {
        const struct heard_region *x = &h->list[i];
        if (lately(x, now_ms, silent_ms) && is_later(&x->place, own) && is_doubted(x, now_ms))
            return x;
    }
    return NULL;
}

// ---- the writer ----

static bool is_majority(size_t votes, size_t of)
{
    return 2 * votes > of;
}

// The root key has said of all that is here that it is done: its word stands for the majority, until
// something follows it. The entry that says so is itself the one after what it speaks of.
static bool root_said(const struct heard_own *own)
{
    return own->root_word.epoch && own->root_word.epoch == own->place.epoch &&
           own->place.seq <= own->root_word.seq + 1;
}

// Has a region that is at `at` the same log as we, up to there?
static bool agrees(const struct control_place *at, const struct control_place *own)
{
    if (is_later(at, own))
        return false;
    return at->epoch != own->epoch || at->seq != own->seq || control_place_same(at, own);
}

struct others { // than this region
    // whose log goes no further than ours
    size_t agree;
    // one claims a later place; one of those was never asked for it
    bool claims, unasked;
};

static struct others others_count(const struct heard *h, const struct control_place *own,
                                  int64_t now_ms, int64_t silent_ms)
{
    struct others o = {.agree = 0};
    for (size_t i = 0; i < h->n; i++) {
        const struct heard_region *x = &h->list[i];
        if (lately(x, now_ms, silent_ms) && agrees(&x->place, own))
            o.agree++;
        if (!claims(x, own, now_ms, silent_ms))
            continue;
        o.claims = true;
        if (!x->tried_ms)
            o.unasked = true;
    }
    return o;
}

bool heard_confirms(struct heard *h, const struct heard_own *own, int64_t now_ms, int64_t silent_ms)
{
    const struct others o = others_count(h, &own->place, now_ms, silent_ms);
    bool young = now_ms - h->began_ms <= silent_ms;
    if (h->n_regions == 1)
        return true;
    if (own->vouched)
        h->sure = true;
    // a change that was done is with more than half of all, so with one of these at least
    if (2 * o.agree >= h->n_regions && !o.unasked)
        h->sure = true;
    if (!h->sure && (young || o.claims))
        return false;
    return is_majority(1 + o.agree, h->n_regions) || root_said(own);
}

// `at`: a region's word. An epoch goes on from one place, and what stood after it before is void.
// Who is further than we may have another log than ours: that it has `p` is not known.
bool heard_covers(const struct control_place *at, const struct control_place *p,
                  const struct heard_own *own)
{
    if (is_later(at, &own->place))
        return false;
    if (at->epoch == p->epoch) {
        if (at->seq == p->seq)
            return control_place_same(at, p);
        return at->seq > p->seq;
    }
    if (at->epoch < p->epoch || at->epoch != own->place.epoch)
        return false;
    return !is_later(p, &own->epoch_from);
}

void heard_stored_by(const struct heard *h, const struct heard_own *own,
                     const struct control_place *p, int64_t now_ms, int64_t silent_ms,
                     struct heard_stored *out)
{
    size_t votes = 0;
    *out = (struct heard_stored){.majority = false};
    if (!is_later(p, &own->place)) {
        out->stored = (region_set)1 << h->self;
        votes = 1;
    }
    for (size_t i = 0; i < h->n; i++) {
        const struct heard_region *x = &h->list[i];
        const region_set bit = (region_set)1 << x->index;
        if (!lately(x, now_ms, silent_ms))
            out->unheard |= bit;
        if (x->said && heard_covers(&x->place, p, own)) {
            out->stored |= bit;
            votes++;
        } else if (lately(x, now_ms, silent_ms)) {
            out->behind |= bit;
        } else {
            out->away |= bit;
        }
    }
    bool root = own->root_word.epoch && !is_later(p, &own->root_word);
    out->majority = is_majority(votes, h->n_regions) || root;
}
