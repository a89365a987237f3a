// SPDX-License-Identifier: Apache-2.0
// The checker without its thread, so that scenarios turn it by hand on the virtual clock, and what its files share.
//
//   health_new(&options, &h);
//   while (…) { int64_t next_ms = health_turn(h); …advance the clock to next_ms or to a probe's end… }
//   health_halt(h); …complete what was cancelled…; health_free(h);
//
// health_start does the same on a thread of its own; see health.h.
//
// Invariants
// 1. Probes start an interval (with jitter) after the previous start, whatever became of that one: a region that times
//    out is found down after fall * interval * (1 + jitter) + timeout. At most IN_FLIGHT_MAX run per target.
// 2. Outcomes count in the order of their starts: a late one is not applied over a newer one.
// 3. A target belongs to the list while the topology has it; a probe holds its own reference.
#ifndef MERIDIAN_RESOLVER_HEALTH_PRIV_H
#define MERIDIAN_RESOLVER_HEALTH_PRIV_H

#include "resolver/health.h"

#include <pthread.h>

#define TOPOLOGY_LOOK_MS 500 // how soon a new topology is seen
#define RETRY_MS 1000        // after a probe that could not even start, or a state file that could not be written

struct target {
    struct health_target pub;
    uint32_t refs; // the list's and one per probe
    uint32_t in_flight;
    uint64_t n_started, n_applied; // numbers of probes
    int64_t next_ms;               // monotonic
};

struct probe {
    struct health *h;
    struct target *target;
    uint64_t number;
    struct fetch *fetch;
    struct probe *prev, *next;
};

struct health {
    struct health_options o;
    char *ca_file, *state_path;
    pthread_t thread;
    pthread_mutex_t lock; // all below
    pthread_cond_t wake;
    bool stopping, dirty, unpublished;
    struct topology *topology; // what the targets are of
    uint64_t topology_generation;
    struct target **targets;
    size_t n_targets;
    struct probe *probes; // running
    uint64_t serial;
    int64_t save_at_ms; // monotonic: not before
};

int health_new(const struct health_options *o, struct health **out); // restores the state and publishes it
int64_t health_turn(struct health *h);                               // when to turn again, on the monotonic clock
void health_halt(struct health *h); // saves, and cancels the probes that run; no other starts
void health_free(struct health *h); // after the last probe ended

// health_probe.c, with the lock: starts what is due; returns when to look again, on the monotonic clock.
int64_t health_start_due(struct health *h, int64_t now);
void health_target_unref(struct target *t);

// Messages of libraries, and files, may hold anything; the state file and the admin socket want plain text.
void health_reason_set(struct health_target *target, const char *reason);

#endif
