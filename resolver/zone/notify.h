// SPDX-License-Identifier: Apache-2.0
// Notifies secondaries that fe.D has changed (RFC 1996): one UDP message to each, repeated at
// growing intervals until the secondary answers, then given up until the next change (a secondary
// also asks by itself, every SOA refresh). Any answer ends it; what the secondary does then is its
// own affair.
//
//   struct notifier *n = notifier_new(listen, n_listen);
//   notifier_change(n, zone, &topology->transfer, keys, now_ms, now_s);
//   poll(fds, notifier_fds(n, fds, cap), notifier_wait_ms(n, now_ms));
//   notifier_turn(n, now_ms, now_s);
//
// On the zone maintainer's thread. Messages that come in are untrusted: only the answer to the last
// message that was sent counts.
#ifndef MERIDIAN_RESOLVER_ZONE_NOTIFY_H
#define MERIDIAN_RESOLVER_ZONE_NOTIFY_H

#include "config/topology.h"
#include "resolver/packet/tsig.h"
#include "resolver/zone/zone.h"

#include <poll.h>

#define NOTIFY_TARGETS_MAX 64
#define NOTIFY_FIRST_MS 1000 // then twice as long each time
#define NOTIFY_TRIES 7       // two minutes in all

struct notifier;

struct notifier *notifier_new(const struct endpoint *listen, size_t n); // NULL: out of memory
void notifier_free(struct notifier *n);
// Begins anew with every target of the settings. Borrows nothing.
void notifier_change(struct notifier *n, const struct zone *zone, const struct transfer_settings *s,
                     const struct tsig_keys *keys, int64_t now_ms, int64_t now_s);
size_t notifier_fds(const struct notifier *n, struct pollfd *out); // at most NOTIFY_TARGETS_MAX
int64_t notifier_due_ms(const struct notifier *n); // monotonic; INT64_MAX: nothing waits
void notifier_turn(struct notifier *n, int64_t now_ms, int64_t now_s);

#endif
