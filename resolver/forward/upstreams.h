// SPDX-License-Identifier: Apache-2.0
// The state of upstreams (resolver/forward/forward.h): which of them answer, and when to try the
// others again. Fixed size; used by the forwarder's thread alone; the caller gives the time.
#ifndef MERIDIAN_RESOLVER_FORWARD_UPSTREAMS_H
#define MERIDIAN_RESOLVER_FORWARD_UPSTREAMS_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UPSTREAMS_MAX 256 // then the one used longest ago is forgotten
#define UPSTREAM_FALL 3   // failures in a row, then it rests
#define UPSTREAM_REST_MS 1000
#define UPSTREAM_REST_MAX_MS 60000

struct upstream {
    struct endpoint at;
    // in a row
    uint32_t fails;
    // when it may be asked again, if it rests
    int64_t retry_ms;
    int64_t used_ms;
};

struct upstreams {
    struct upstream list[UPSTREAMS_MAX];
    size_t n;
};

// Which of these to ask: the first that does not rest and is not the one asked last (`last`, or
// -1); if all rest, the one that rests least long. One whose rest is over is asked by one query at
// a time. Those with a bit in `refused` are left out; at least one is without.
size_t upstreams_choose(struct upstreams *u, const struct endpoint *list, size_t n, int last,
                        unsigned refused, int64_t now_ms);
void upstreams_good(struct upstreams *u, const struct endpoint *at, int64_t now_ms);
// Returns true when it begins to rest just now.
bool upstreams_failed(struct upstreams *u, const struct endpoint *at, int64_t now_ms);

#endif
