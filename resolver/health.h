// SPDX-License-Identifier: Apache-2.0
// Health of the regions (design section 5): HTTPS probes of every stamp with the certificate verified, rise and fall,
// hold-down before failback, jitter, state on disk so that a restart gives the same answers and a cold start no wrong
// ones (an unknown target counts as up until its fall is reached).
//
// The checker is one thread over a fetcher; it publishes `struct health_verdicts` to a snapshot cell whenever a verdict
// changes. The arithmetic (health_observe) is a pure function, so that scenarios run it on the virtual clock.
#ifndef MERIDIAN_RESOLVER_HEALTH_H
#define MERIDIAN_RESOLVER_HEALTH_H

#include "base/snapshot.h"
#include "config/topology.h"
#include "net/fetch.h"

#include <stdbool.h>
#include <stdint.h>

enum health_force { HEALTH_AUTO, HEALTH_FORCE_UP, HEALTH_FORCE_DOWN };

struct health_target { // one stamp of one region
    char region[HOSTNAME_REGION_SIZE];
    char stamp[HOSTNAME_LABEL_SIZE];
    bool up;
    enum health_force force;
    uint32_t n_good, n_bad; // in a row
    int64_t changed_ms;     // wall: of the last change of `up`
    int64_t probed_ms;      // wall: of the last probe; 0 none yet
    int64_t held_until_ms;  // wall: not up again before this
    char reason[160];       // "200 in 3 ms", "connect: refused", "certificate: …"
};

struct health_verdicts { // frozen
    struct snapshot_head head;
    uint64_t serial;
    size_t n_targets;
    const struct health_target *targets; // order of the topology
};

// Is the stamp's verdict up? An unknown one is.
bool health_is_up(const struct health_verdicts *v, const struct topology *t, uint8_t region, uint8_t stamp);

// The same for all stamps at once, as bits by the catalogue's numbers: what a worker asks for every query. Filled again
// when verdicts or topology change.
#define HEALTH_MAP_BYTES (TOPOLOGY_MAX_REGIONS * 256 / 8)
struct health_map {
    uint8_t down[HEALTH_MAP_BYTES];
};
void health_map_fill(struct health_map *m, const struct health_verdicts *v, const struct topology *t);

// One probe's outcome applied to a target. Returns true if `up` changed.
bool health_observe(const struct health_settings *s, struct health_target *target, bool good, const char *reason,
                    int64_t wall_ms);

struct health;
struct health_options {
    struct snapshot *topology;
    struct snapshot *verdicts; // published to
    struct fetcher *fetcher;
    const char *ca_file;
    const char *state_path; // health.json in the data directory
};
int health_start(const struct health_options *o, struct health **out);
void health_stop(struct health *h);
int health_set_force(struct health *h, const char *region,
                     enum health_force force); // all stamps; ERR_NOTFOUND; kept on disk
// JSON (json_t *) of all targets, for the admin socket. Caller owns the reference.
void *health_status_json(struct health *h);

#endif
