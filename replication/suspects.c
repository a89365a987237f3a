// SPDX-License-Identifier: Apache-2.0
// The list of suspects; see suspects.h.
#include "replication/suspects.h"

#include "base/clock.h"
#include "base/err.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define LOOKED_MS 600000
#define REST_MS 10000 // after a false claim; doubled each time
#define REST_MAX_MS 3600000
#define REST_DOUBLINGS 10

static bool waits_already(const struct suspects *s, const struct digest *d)
{
    for (size_t i = 0; i < s->n; i++)
        if (digest_equal(&s->list[i].digest, d))
            return true;
    return false;
}

static bool looked_lately(const struct suspects *s, const struct digest *d)
{
    int64_t now = clock_mono_ms();
    for (size_t i = 0; i < LOOKED_MAX; i++) {
        const struct looked *l = &s->looked[i];
        bool lately = now - l->at_mono < LOOKED_MS;
        if (lately && digest_equal(&l->digest, d))
            return true;
    }
    return false;
}

static struct claimant *claimant_find(struct suspects *s, const char *region)
{
    for (size_t i = 0; i < s->n_claimants; i++)
        if (strcmp(s->claimants[i].region, region) == 0)
            return &s->claimants[i];
    return NULL;
}

// Is the region listened to, and does it not have enough waiting?
static bool may_claim(struct suspects *s, const char *region)
{
    const struct claimant *c = claimant_find(s, region);
    if (c && clock_mono_ms() < c->from_mono)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->list[i].by, region) == 0)
            n++;
    return n < SUSPECTS_OF_REGION;
}

static bool copy_name(char *to, size_t cap, const char *from)
{
    return (size_t)snprintf(to, cap, "%s", from) < cap;
}

int suspects_add(struct suspects *s, const char *by, const char *registry, const char *repository,
                 const struct digest *d)
{
    struct suspect one = {.digest = *d};
    bool fits = copy_name(one.by, sizeof one.by, by) &&
                copy_name(one.registry, sizeof one.registry, registry) &&
                copy_name(one.repository, sizeof one.repository, repository);
    if (!fits)
        return ERR_TOOBIG;
    if (*by && !may_claim(s, by))
        return ERR_FULL;
    if (waits_already(s, d) || looked_lately(s, d))
        return 0;
    if (s->n == SUSPECTS_MAX)
        return ERR_FULL;
    s->list[s->n++] = one;
    return 0;
}

bool suspects_first(const struct suspects *s, struct suspect *out)
{
    if (!s->n)
        return false;
    *out = s->list[0];
    return true;
}

static void note_looked(struct suspects *s, const struct digest *d)
{
    struct looked *oldest = &s->looked[0];
    for (size_t i = 1; i < LOOKED_MAX; i++)
        if (s->looked[i].at_mono < oldest->at_mono)
            oldest = &s->looked[i];
    *oldest = (struct looked){*d, clock_mono_ms()};
}

static void note_false(struct suspects *s, const char *region)
{
    s->n_false++;
    struct claimant *c = claimant_find(s, region);
    if (!c && s->n_claimants == TOPOLOGY_MAX_REGIONS)
        return;
    if (!c) {
        c = &s->claimants[s->n_claimants++];
        *c = (struct claimant){0};
        copy_name(c->region, sizeof c->region, region);
    }
    unsigned doublings = c->n_false;
    if (doublings > REST_DOUBLINGS)
        doublings = REST_DOUBLINGS;
    int64_t rest_ms = (int64_t)REST_MS << doublings;
    if (rest_ms > REST_MAX_MS)
        rest_ms = REST_MAX_MS;
    c->from_mono = clock_mono_ms() + rest_ms;
    c->n_false++;
}

static void note_true(struct suspects *s, const char *region)
{
    struct claimant *c = claimant_find(s, region);
    if (c)
        c->n_false = 0;
}

void suspects_judge(struct suspects *s, const char *by, const struct digest *d, enum verdict v)
{
    assert(s->n && digest_equal(&s->list[0].digest, d)); // invariant 2
    s->n--;
    memmove(s->list, s->list + 1, s->n * sizeof s->list[0]);
    note_looked(s, d);
    if (v == VERDICT_DAMAGED)
        s->n_confirmed++;
    if (!*by)
        return;
    if (v == VERDICT_DAMAGED)
        note_true(s, by);
    if (v == VERDICT_WHOLE)
        note_false(s, by);
}

void suspects_forget(struct suspects *s, const struct digest *d)
{
    for (size_t i = 0; i < LOOKED_MAX; i++)
        if (digest_equal(&s->looked[i].digest, d))
            s->looked[i] = (struct looked){0};
}
