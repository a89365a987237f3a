// SPDX-License-Identifier: Apache-2.0
// How long caches may still hold what DNS said before a change: the longest TTL of any name that was
// handed out, be it of now or of before the TTLs were shortened (control/ttls_held.h).
//
//   out->rest_s = caches_rest_s(x);                    // of a phase that takes a name out of DNS
//
// It follows from the ledger and the topology in force alone: every writer comes to the same.
#ifndef MERIDIAN_LIFECYCLE_CACHES_H
#define MERIDIAN_LIFECYCLE_CACHES_H

#include "lifecycle/verb.h"

struct lifecycle;

// Seconds from now, were a name to leave DNS now.
uint32_t caches_hold_s(const struct plan_ctx *x);
// The same with a margin: how long an edge serves a name on that has left DNS.
uint32_t caches_rest_s(const struct plan_ctx *x);

// Seconds from now that a resolver may still believe a denial that it has, were it answered now or
// before the negative TTL was shortened.
uint32_t caches_deny_s(const struct plan_ctx *x);

// Notes since when every region has the shorter TTLs, and forgets what no cache can hold any more.
// The engine's thread, with its lock; it appends to the feed.
void caches_settle(struct lifecycle *l, int64_t now_ms);

#endif
