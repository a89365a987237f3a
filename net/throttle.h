// SPDX-License-Identifier: Apache-2.0
// Rates of requests: token buckets by registry, class of request, and who asks (an identity, a
// network), in bounded memory.
//
//   struct throttle *t = throttle_new();
//   struct throttle_ask q = {.registry = reg->key, .class = REQUEST_READ, .rates = rates,
//                            .identity = "ada", .client = &req->client, .whole = true};
//   struct throttle_verdict v;
//   if (!throttle_take(t, &q, clock_mono_ms(), &v)) …429 with Retry-After: v.wait_s…
//
// A bucket of N a minute holds N: so many at once, and one more every 60/N seconds. It is kept as
// one number, the time at which it will be full again (the "theoretical arrival time" of the
// generic cell rate algorithm, ITU-T I.371). A request takes a token of every bucket that is asked,
// or of none. The wait that is told is the time until each of them has a token, rounded up: who
// comes back then finds one, unless another took it from a shared bucket.
//
// Memory: fixed, made at birth, touched as it is used. A bucket that is full again is the same as
// none, and its place is free; no other is ever given up. So nobody gains a full bucket by making
// the table forget his own. A place is found by a hash under a secret key, which a stranger cannot
// aim, and holds its whole key, so that two never share a bucket by chance. A newcomer who finds all
// places of his set in debt shares one more bucket with the others who found none: he who fills the
// table makes newcomers wait sooner, and himself none the less. A newcomer who gets a place later
// takes the debt of that shared bucket along. Buckets of whole registries stand in a table of their
// own, which no client's name or address reaches.
//
// Any thread; one short lock, nothing blocks. A request of a registry without limits costs a
// few instructions, one bucket some 230, all three some 550 (callgrind).
#ifndef MERIDIAN_NET_THROTTLE_H
#define MERIDIAN_NET_THROTTLE_H

#include "base/addr.h"
#include "config/rates.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct throttle;
struct throttle_ask {
    // its key (config/registry_key.h)
    const char *registry;
    enum request_class class;
    // NULL: nothing is limited
    const struct rates *rates;
    // the registry's own bucket is asked
    bool whole;
    // whose bucket is asked; NULL: none
    const char *identity;
    // whose network's bucket is asked; NULL: none
    const struct ip *client;
};

struct throttle_verdict {
    // whole seconds until there is a token, at least 1
    unsigned wait_s;
    // whose bucket is without one for longest
    enum rate_scope scope;
    uint32_t per_minute;
};

struct throttle *throttle_new(void); // NULL: out of memory
void throttle_free(struct throttle *t);
// True: go on. Else *out is filled, and nothing was taken. t NULL: true.
bool throttle_take(struct throttle *t, const struct throttle_ask *q, int64_t now_ms,
                   struct throttle_verdict *out);

struct throttle_status {
    // refusals by the scope of their verdict
    uint64_t refused[N_RATE_SCOPES][N_REQUEST_CLASSES];
    // requests that were judged by a shared bucket for want of a place
    uint64_t crowded;
    // buckets in debt, and places for them
    size_t used, places;
};
void throttle_status(struct throttle *t, int64_t now_ms, struct throttle_status *out);

#endif
