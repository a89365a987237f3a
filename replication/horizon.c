// SPDX-License-Identifier: Apache-2.0
// When dead values and tombstones may go; see horizon.h.
#include "replication/horizon.h"

static bool has(uint64_t members, unsigned region)
{
    return members >> region & 1;
}

static void lower(struct horizon *h, uint64_t stamp, enum horizon_why why, unsigned member,
                  unsigned origin)
{
    if (h->why != HORIZON_NOBODY && h->stamp <= stamp)
        return;
    *h = (struct horizon){
        .stamp = stamp, .why = why, .member = (uint8_t)member, .origin = (uint8_t)origin};
}

// What this member has applied of every origin.
static void lower_by_member(struct horizon *h, const struct horizon_view *v, unsigned member)
{
    const struct horizon_word *word = &v->words[member];
    if (!word->counts) {
        lower(h, 0, HORIZON_SILENT, member, member);
        return;
    }
    for (unsigned o = 0; o < TOPOLOGY_MAX_REGIONS; o++)
        if (has(v->members, o))
            lower(h, word->applied[o], HORIZON_BEHIND, member, o);
}

struct horizon horizon_floor(const struct horizon_view *v)
{
    struct horizon h = {.why = HORIZON_NOBODY};
    for (unsigned m = 0; m < TOPOLOGY_MAX_REGIONS; m++)
        if (has(v->members, m))
            lower_by_member(&h, v, m);
    return h;
}

struct horizon horizon_tombstones(const struct horizon_view *v)
{
    struct horizon h = {.why = HORIZON_NOBODY};
    for (unsigned m = 0; m < TOPOLOGY_MAX_REGIONS; m++) {
        if (!has(v->members, m))
            continue;
        if (v->words[m].counts)
            lower(&h, v->words[m].floor, HORIZON_CLEARING, m, m);
        else
            lower(&h, 0, HORIZON_SILENT, m, m);
    }
    return h;
}

uint64_t horizon_applied(const struct horizon_reading *r)
{
    if (!r->whole)
        return 0;
    if (r->held && r->held <= r->word)
        return r->held - 1;
    return r->word;
}
