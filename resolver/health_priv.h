// SPDX-License-Identifier: Apache-2.0
// The checker without its thread, so that scenarios turn it by hand on the virtual clock, and what its files share.
//
//   health_new(&options, &h);
//   while (…) { int64_t next_ms = health_turn(h); …advance the clock to next_ms or to a probe's end… }
//   health_halt(h); …complete what was cancelled…; health_free(h);
//
// health_start does the same on a thread of its own; see health.h.
#ifndef MERIDIAN_RESOLVER_HEALTH_PRIV_H
#define MERIDIAN_RESOLVER_HEALTH_PRIV_H

#include "resolver/health.h"

int health_new(const struct health_options *o, struct health **out); // restores the state and publishes it
int64_t health_turn(struct health *h);                               // when to turn again, on the monotonic clock
void health_halt(struct health *h); // saves, and cancels the probes that run; no other starts
void health_free(struct health *h); // after the last probe ended

// Messages of libraries, and files, may hold anything; the state file and the admin socket want plain text.
void health_reason_set(struct health_target *target, const char *reason);

#endif
