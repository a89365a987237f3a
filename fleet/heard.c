// SPDX-License-Identifier: Apache-2.0
// Who stored what; see heard.h.
#include "fleet/heard.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static struct heard_region *find(struct heard *h, const char *region)
{
    for (size_t i = 0; i < h->n; i++)
        if (strcmp(h->list[i].region, region) == 0)
            return &h->list[i];
    return NULL;
}

void heard_keep(struct heard *h, const struct topology *t, const char *self)
{
    for (size_t i = 0; i < h->n;) {
        if (topology_region(t, h->list[i].region) && strcmp(h->list[i].region, self) != 0)
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
        struct heard_region *x = find(h, r->name);
        if (!x) {
            x = &h->list[h->n++];
            *x = (struct heard_region){.said = false};
            snprintf(x->region, sizeof x->region, "%s", r->name);
        }
        x->index = r->index;
    }
    assert(h->n <= TOPOLOGY_MAX_REGIONS);
    h->n_regions = t->n_regions;
    h->topology = t->version;
}

static bool is_later(const struct control_place *a, const struct control_place *than)
{
    return control_place_compare(a, than) > 0;
}

bool heard_note(struct heard *h, const char *region, const struct control_place *place,
                const struct control_place *own, int64_t now_ms)
{
    struct heard_region *x = find(h, region);
    if (!x)
        return false;
    // the same claim again was looked for already; a further one was not
    if (!x->said || is_later(place, &x->place) || !is_later(place, own))
        x->looked_for = false;
    x->said = true;
    x->place = *place;
    x->heard_ms = now_ms;
    return true;
}

void heard_looked(struct heard *h, const char *region)
{
    struct heard_region *x = find(h, region);
    if (x)
        x->looked_for = true;
}

static bool lately(const struct heard_region *x, int64_t now_ms, int64_t silent_ms)
{
    return x->said && now_ms - x->heard_ms <= silent_ms;
}

const struct heard_region *heard_ahead(const struct heard *h, const struct control_place *own,
                                       int64_t now_ms, int64_t silent_ms, size_t *out_claims)
{
    const struct heard_region *found = NULL;
    *out_claims = 0;
    for (size_t i = 0; i < h->n; i++) {
        const struct heard_region *x = &h->list[i];
        if (!lately(x, now_ms, silent_ms) || !is_later(&x->place, own))
            continue;
        if (x->looked_for)
            ++*out_claims;
        else if (!found || is_later(&x->place, &found->place))
            found = x;
    }
    return found;
}

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

bool heard_confirms(const struct heard *h, const struct heard_own *own, int64_t now_ms,
                    int64_t silent_ms)
{
    size_t votes = 1, claims;
    for (size_t i = 0; i < h->n; i++)
        if (lately(&h->list[i], now_ms, silent_ms) && agrees(&h->list[i].place, &own->place))
            votes++;
    if (heard_ahead(h, &own->place, now_ms, silent_ms, &claims))
        return false;
    return is_majority(votes, h->n_regions) || root_said(own);
}

// `at`: a region's word. An epoch goes on from one place, and what stood after it before is void.
// Who is further than we may have another log than ours: that it has `p` is not known.
static bool covers(const struct control_place *at, const struct control_place *p,
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
        if (x->said && covers(&x->place, p, own)) {
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
