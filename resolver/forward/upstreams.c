// SPDX-License-Identifier: Apache-2.0
// Upstreams' health; see upstreams.h.
#include "resolver/forward/upstreams.h"

static struct upstream *find(struct upstreams *u, const struct endpoint *at, int64_t now_ms)
{
    struct upstream *oldest = &u->list[0];
    for (size_t i = 0; i < u->n; i++) {
        struct upstream *x = &u->list[i];
        if (x->at.port == at->port && ip_equal(&x->at.ip, &at->ip)) {
            x->used_ms = now_ms;
            return x;
        }
        if (x->used_ms < oldest->used_ms)
            oldest = x;
    }
    if (u->n < UPSTREAMS_MAX)
        oldest = &u->list[u->n++];
    *oldest = (struct upstream){.at = *at, .used_ms = now_ms};
    return oldest;
}

static bool rests(const struct upstream *x, int64_t now_ms)
{
    return x->fails >= UPSTREAM_FALL && now_ms < x->retry_ms;
}

size_t upstreams_choose(struct upstreams *u, const struct endpoint *list, size_t n, int last,
                        unsigned refused, int64_t now_ms)
{
    size_t best = 0;
    int64_t best_retry = INT64_MAX;
    bool again = false;
    for (size_t i = 0; i < n; i++) {
        struct upstream *x = find(u, &list[i], now_ms);
        if (refused >> i & 1)
            continue;
        if (rests(x, now_ms)) {
            if (!again && x->retry_ms < best_retry) {
                best = i;
                best_retry = x->retry_ms;
            }
        } else if ((int)i != last) {
            if (x->fails >= UPSTREAM_FALL)
                // this query tries it; others wait for what it finds
                x->retry_ms = now_ms + UPSTREAM_REST_MS;
            return i;
        } else {
            best = i; // sooner the same again than one that rests
            again = true;
        }
    }
    return best;
}

void upstreams_good(struct upstreams *u, const struct endpoint *at, int64_t now_ms)
{
    find(u, at, now_ms)->fails = 0;
}

bool upstreams_failed(struct upstreams *u, const struct endpoint *at, int64_t now_ms)
{
    struct upstream *x = find(u, at, now_ms);
    uint32_t over = 0;
    if (x->fails >= UPSTREAM_FALL - 1)
        over = x->fails - (UPSTREAM_FALL - 1);
    if (x->fails < UINT32_MAX)
        x->fails++;
    if (x->fails < UPSTREAM_FALL)
        return false;
    int64_t rest = UPSTREAM_REST_MAX_MS;
    if (over < 6)
        rest = (int64_t)UPSTREAM_REST_MS << over;
    x->retry_ms = now_ms + (rest < UPSTREAM_REST_MAX_MS ? rest : UPSTREAM_REST_MAX_MS);
    return x->fails == UPSTREAM_FALL;
}
