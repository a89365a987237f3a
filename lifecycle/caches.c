// SPDX-License-Identifier: Apache-2.0
// What caches may hold; see caches.h.
//
// A region gives out the old TTLs until it has the frame that shortens them. Until all regions have
// it, also those that cannot be reached, the old ones count in full; from then on their time runs
// out.
#include "lifecycle/caches.h"

#include "base/err.h"
#include "base/mem.h"
#include "control/ttls_held.h"
#include "lifecycle/lifecycle_priv.h"
#include "lifecycle/record.h"

#include <stdlib.h>
#include <string.h>

// Clocks that differ, answers on their way.
#define REST_MORE_S 60
// No TTL is longer (config/topology_rows.c).
#define TTL_MAX_S 86400
// Records that one entry settles; the next one takes the rest.
#define SETTLE_MAX 64

struct held {
    // of names, and of denials (0: those were not shortened)
    uint32_t seconds, negative;
    // wall; 0: not all regions have the shorter ones
    int64_t until_ms;
};

// What cannot be read counts as the longest there can be.
static struct held held_of(const char *value)
{
    struct held h = {.seconds = TTL_MAX_S};
    json_t *j = json_loads(value, 0, NULL);
    int64_t seconds = record_number(j, "seconds"), negative = record_number(j, "negative");
    if (seconds > 0 && seconds < TTL_MAX_S)
        h.seconds = (uint32_t)seconds;
    if (!j)
        h.negative = TTL_MAX_S;
    if (negative > 0 && negative < TTL_MAX_S)
        h.negative = (uint32_t)negative;
    h.until_ms = record_number(j, "until");
    json_decref(j);
    return h;
}

static uint32_t longer(uint32_t a, uint32_t b)
{
    if (a > b)
        return a;
    return b;
}

// ---- how long ----

struct holding {
    // as far as it is sure
    int64_t now_ms;
    uint32_t seconds, negative;
};

// What is left of `seconds`.
static uint32_t left_of(const struct holding *x, const struct held *h, uint32_t seconds)
{
    if (!h->until_ms)
        return seconds;
    int64_t left_s = (h->until_ms - x->now_ms + 999) / 1000;
    if (left_s > seconds) // the other of both is longer, or a clock was ahead when it was noted
        return seconds;
    if (left_s < 0)
        return 0;
    return (uint32_t)left_s;
}

static bool hold_one(void *v, const char *key, const char *value)
{
    struct holding *x = v;
    const struct held h = held_of(value);
    (void)key;
    x->seconds = longer(x->seconds, left_of(x, &h, h.seconds));
    x->negative = longer(x->negative, left_of(x, &h, h.negative));
    return true;
}

uint32_t caches_hold_s(const struct plan_ctx *x)
{
    struct holding h = {.now_ms = x->sure_ms, .seconds = ttls_cached_s(&x->t->ttl)};
    x->deps->records(x->deps->ctx, TTLS_HELD_PREFIX, hold_one, &h);
    return h.seconds;
}

uint32_t caches_deny_s(const struct plan_ctx *x)
{
    struct holding h = {.now_ms = x->sure_ms, .negative = x->t->ttl.negative};
    x->deps->records(x->deps->ctx, TTLS_HELD_PREFIX, hold_one, &h);
    return h.negative;
}

uint32_t caches_rest_s(const struct plan_ctx *x)
{
    return caches_hold_s(x) + REST_MORE_S;
}

// ---- settling ----

struct settling {
    struct arena arena;
    int64_t now_ms;
    // those that no region gives out any more, or that nobody holds any more
    struct control_record records[SETTLE_MAX];
    size_t n;
    // every region has all that is in the ledger by now
    bool everywhere;
    // the latest version whose record has no time yet; 0: none
    uint64_t pending;
};

static uint64_t version_of(const char *key)
{
    return strtoull(key + strlen(TTLS_HELD_PREFIX), NULL, 10);
}

static bool pending_one(void *v, const char *key, const char *value)
{
    struct settling *x = v;
    if (!held_of(value).until_ms && version_of(key) > x->pending)
        x->pending = version_of(key);
    return true;
}

static bool settle_one(void *v, const char *key, const char *value)
{
    struct settling *x = v;
    struct control_record *r = &x->records[x->n];
    const struct held h = held_of(value);
    bool over = h.until_ms && h.until_ms <= x->now_ms;
    bool begins = !h.until_ms && x->everywhere && version_of(key) <= x->pending;
    if (!over && !begins)
        return true;
    *r = (struct control_record){.key = arena_strdup(&x->arena, key)};
    int64_t until_ms = x->now_ms + (int64_t)longer(h.seconds, h.negative) * 1000;
    if (begins)
        r->value = arena_printf(&x->arena, "{\"negative\":%u,\"seconds\":%u,\"until\":%lld}",
                                (unsigned)h.negative, (unsigned)h.seconds, (long long)until_ms);
    if (!r->key || (begins && !r->value))
        return false;
    return ++x->n < SETTLE_MAX;
}

// Has every region of the topology stored what brought the records that have no time yet? A place
// that is later than that entry stands for it: which one it was is not known after a start.
static bool is_everywhere(struct lifecycle *l, uint64_t pending)
{
    const struct lifecycle_deps *deps = &l->deps;
    struct lifecycle_stored s = {0};
    if (!pending)
        return false;
    if (l->ttls_upto < pending) {
        deps->place(deps->ctx, &l->ttls_place);
        l->ttls_upto = pending;
    }
    if (deps->stored(deps->ctx, &l->ttls_place, &s)) {
        l->ttls_upto = 0; // a takeover has made that place void: from where the feed is now
        return false;
    }
    return s.majority && !s.behind && !s.away;
}

void caches_settle(struct lifecycle *l, int64_t now_ms)
{
    const struct lifecycle_deps *deps = &l->deps;
    struct settling x = {.now_ms = now_ms};
    struct control_place place;
    arena_init(&x.arena, 0);
    deps->records(deps->ctx, TTLS_HELD_PREFIX, pending_one, &x);
    x.everywhere = is_everywhere(l, x.pending);
    deps->records(deps->ctx, TTLS_HELD_PREFIX, settle_one, &x);
    const struct control_draft d = {.by = deps->by, .records = x.records, .n_records = x.n};
    if (x.n) // if it fails they count for a little longer, and the next turn tries again
        (void)deps->append(deps->ctx, &d, NULL, &place);
    arena_done(&x.arena);
}
