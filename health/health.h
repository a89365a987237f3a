// SPDX-License-Identifier: Apache-2.0
// Health of the regions (design section 5): HTTPS probes of every stamp with the certificate
// verified, rise and fall, hold-down before failback, jitter, state on disk so that a restart gives
// the same answers and a cold start no wrong ones (an unknown target counts as up until its fall is
// reached).
//
// The checker is one thread over a fetcher; it publishes `struct health_verdicts` to a snapshot
// cell whenever a verdict changes. The arithmetic (health_observe) is a pure function, so that
// scenarios run it on the virtual clock.
#ifndef MERIDIAN_HEALTH_HEALTH_H
#define MERIDIAN_HEALTH_HEALTH_H

#include "base/snapshot.h"
#include "config/catalogue.h"
#include "config/topology.h"
#include "net/fetch.h"

#include <stdbool.h>
#include <stdint.h>

enum health_force { HEALTH_AUTO, HEALTH_FORCE_UP, HEALTH_FORCE_DOWN };

struct health_target { // one stamp of one region
    char region[HOSTNAME_REGION_SIZE];
    char stamp[HOSTNAME_LABEL_SIZE];
    // the verdict
    bool up;
    // what our own probes say, by rise and fall
    bool seen_up;
    // they have said so since the start
    bool seen;
    // its node says that it takes no new content, for want of space, and serves what it has
    bool is_short;
    enum health_force force;
    // in a row
    uint32_t n_good, n_bad;
    // wall: of the last change of `up`
    int64_t changed_ms;
    // wall: of the last probe; 0 none yet
    int64_t probed_ms;
    // wall: not up again before this
    int64_t held_until_ms;
    // how often it fell of late: its hold-down doubles with each
    uint8_t damping;
    // tenths of its capacity that are free, 0 to HEALTH_HEADROOM_FULL, as its node says
    uint8_t headroom;
    // "200 in 3 ms", "connect: refused", "certificate: …"
    char reason[160];
    // who said what when resolvers last decided together; "" while our own probes decide
    char votes[256];
};

#define HEALTH_HEADROOM_FULL 10 // also of a stamp that says nothing

// What holds for one registry in one region, whatever the health of its stamps.
// the last one only as an order
enum health_exception_kind { HEALTH_DRAINED, HEALTH_IMPAIRED, HEALTH_DRILLED, HEALTH_FORCED };
struct health_exception {
    enum health_exception_kind kind;
    char region[HOSTNAME_REGION_SIZE];
    // the registry's login label; "": all registries there
    char label[HOSTNAME_LABEL_SIZE];
};
#define HEALTH_EXCEPTIONS_MAX 512 // at most so many in all

struct health_verdicts { // frozen
    struct snapshot_head head;
    uint64_t serial;
    size_t n_targets;
    // order of the topology
    const struct health_target *targets;
    size_t n_exceptions;
    const struct health_exception *exceptions;
};

// What is known of a stamp; NULL: nothing yet.
const struct health_target *health_target_of(const struct health_verdicts *v,
                                             const struct topology *t, uint8_t region,
                                             uint8_t stamp);
bool health_target_up(const struct health_target *target); // what is forced included
// not of one that is forced up: an operator knows better
bool health_target_short(const struct health_target *target);
// Is the stamp's verdict up? An unknown one is.
bool health_is_up(const struct health_verdicts *v, const struct topology *t, uint8_t region,
                  uint8_t stamp);
bool health_is_short(const struct health_verdicts *v, const struct topology *t, uint8_t region,
                     uint8_t stamp);

// The same for all stamps at once, by the catalogue's numbers: what a worker asks for every query.
// Filled again when verdicts or topology change.
#define HEALTH_MAP_STAMPS (TOPOLOGY_MAX_REGIONS * 256)
#define HEALTH_MAP_SLOTS (2 * HEALTH_EXCEPTIONS_MAX)
struct health_map_registry {
    uint8_t label[HOSTNAME_LABEL_SIZE];
    size_t label_n;
    region_set drained, impaired, drilled;
};
struct health_map {
    uint8_t down[HEALTH_MAP_STAMPS / 8], shorts[HEALTH_MAP_STAMPS / 8];
    uint8_t headroom[HEALTH_MAP_STAMPS];
    // for all registries
    region_set drained, impaired, drilled;
    // that have exceptions of their own
    uint32_t n_registries;
    struct health_map_registry registries[HEALTH_EXCEPTIONS_MAX];
    // by hash of the label: 1 + index, 0 empty
    uint16_t slots[HEALTH_MAP_SLOTS];
};
void health_map_fill(struct health_map *m, const struct health_verdicts *v,
                     const struct topology *t);

// Free capacity of a stamp in tenths, by its number in the catalogue. `m` may be NULL.
static inline uint8_t health_headroom(const struct health_map *m, uint32_t stamp_number)
{
    return m ? m->headroom[stamp_number] : HEALTH_HEADROOM_FULL;
}

// The regions that a registry's global name leaves out for now, beside those whose stamps are down:
// drained by the operator, impaired for this registry (which counts as down there, for it
// alone), or taken out by a fault drill.
struct health_gate {
    region_set drained, impaired, drilled;
};
// has exceptions
struct health_gate health_map_gate(const struct health_map *m, const uint8_t *label, size_t n);
struct health_gate health_verdicts_gate(const struct health_verdicts *v, const struct topology *t,
                                        const uint8_t *label, size_t n);
// By the map if there is one, else by the verdicts (which may be NULL too).
static inline struct health_gate health_gate_of(const struct health_map *m,
                                                const struct health_verdicts *v,
                                                const struct topology *t,
                                                const struct catalogue_registry *r)
{
    if (m && !m->n_registries)
        return (struct health_gate){m->drained, m->impaired, m->drilled};
    return m ? health_map_gate(m, catalogue_label(r), r->label_n)
             : health_verdicts_gate(v, t, catalogue_label(r), r->label_n);
}

// One probe's outcome applied to a target. Returns true if what our probes say changed.
bool health_observe(const struct health_settings *s, struct health_target *target, bool good,
                    const char *reason, int64_t wall_ms);
// The verdict, from what the probes or the voters say. Returns true if `up` changed.
enum health_ballot { HEALTH_SAY_NOTHING, HEALTH_SAY_UP, HEALTH_SAY_DOWN };
bool health_decide(const struct health_settings *s, struct health_target *target,
                   enum health_ballot ballot, int64_t wall_ms);
int64_t health_hold_down_ms(const struct health_settings *s, const struct health_target *target);

struct health;
struct diag;
struct health_options {
    struct snapshot *topology;
    // published to
    struct snapshot *verdicts;
    struct fetcher *fetcher;
    const char *ca_file;
    // health.json in the data directory
    const char *state_path;
    // Peers: deep documents are read and observations exchanged when all of these are given.

    // where we are
    const char *region, *stamp;
    // certificate and key for mutual TLS
    const char *peer_pem;
    // certs/keys.h region_keys_sign_feed
    int (*sign)(void *ctx, const void *p, size_t n, uint8_t out[64]);
    void *sign_ctx;
    const char *key_id;
    // ed25519_verify
    int (*verify)(const char *spki_b64, const void *p, size_t n, const uint8_t sig[64]);
};
int health_start(const struct health_options *o, struct health **out);
void health_stop(struct health *h);
// An operator's order: the region takes no new clients of the global name (all registries, or the
// one with that login label), or it cannot serve that one. `on` false takes it back. Kept on disk,
// told to the other resolvers, with the name of who gave it. ERR_NOTFOUND: no such region; ERR_NOSPACE: too many orders are in
// force.
int health_order(struct health *h, enum health_exception_kind kind, const char *region,
                 const char *label, bool on, const char *by);
// An order too: all stamps of the region count as up, or down, whatever is voted; HEALTH_AUTO takes
// it back.
int health_force(struct health *h, const char *region, enum health_force force, const char *by);

// ---- fault drills (health/drill.h) ----

#define HEALTH_DRILL_ID_SIZE 17 // 16 hex digits and NUL
#define HEALTH_BY_SIZE 96       // of a name: who asked
// how long one may be
#define HEALTH_DRILL_MIN_MS 10000ll
#define HEALTH_DRILL_MAX_MS (4ll * 3600 * 1000)
enum health_drill_state {
    HEALTH_DRILL_RUNS,
    HEALTH_DRILL_ENDED, // its time was up
    HEALTH_DRILL_STOPPED,
    HEALTH_DRILL_YIELDED, // to one that was started elsewhere before it
    HEALTH_DRILL_LATE     // its time was up before this node heard of it
};
struct health_drill_wanted {
    const char *region;
    // the registry's login label; "": all registries
    const char *label;
    int64_t for_ms;
    const char *by;
};
// Takes the region out of the global names until the time is up, on every node. ERR_NOTFOUND: no such
// region; ERR_RANGE: shorter or longer than a drill may be; ERR_CONFLICT: it would take more away than
// a drill may (another region is down, drained or drilling; nothing else could take the traffic). `diag`
// says why.

int health_drill_start(struct health *h, const struct health_drill_wanted *w, struct diag *diag,
                       char out_id[HEALTH_DRILL_ID_SIZE]);
// Before its time. `id` "": the one that runs. `only_region`: one of this region alone; NULL: any.
// ERR_NOTFOUND: it is not known, or none runs; ERR_DENIED: it is another region's; ERR_EXISTS: it does
// not run any more. `diag` says why.
int health_drill_stop(struct health *h, const char *id, const char *only_region, const char *by,
                      struct diag *diag);
// All that are known, the latest first: JSON (json_t *, a new reference, NULL: out of memory). Any
// thread.
void *health_drills_json(struct health *h);
// A sentence on the one that runs; "" none does.
void health_drill_text(struct health *h, char *out, size_t cap);

struct buf;
// What operators have ordered for a region, for people; "" nothing. `label`: as far as it concerns
// this registry; NULL: all of it. Any thread.
void health_orders_text(struct health *h, const char *region, const char *label, char *out,
                        size_t cap);
// The same of drains alone: is the region of this node drained?
void health_drains_text(struct health *h, const char *region, char *out, size_t cap);
// votes, voters, exchanges (base/exposition.h); any thread
void health_metrics(struct health *h, struct buf *out);

// For the admin socket: JSON (json_t *, a new reference, NULL when out of memory).
void *health_status_json(struct health *h); // all targets
// Who says what of a stamp, how long ago, what is counted and by which rule: the member "count" of
// its target.
// NULL: also if there is none such
void *health_count_json(struct health *h, const char *region, const char *stamp);
void *health_orders_status_json(struct health *h);
void *health_peers_json(struct health *h);

// Peer listener: POST /health/v1/observation, an observation against ours. `peer`: the region whose
// certificate it is.
struct http_request;
struct http_plan;
void health_begin(struct health *h, struct http_request *req, const struct region *peer,
                  struct http_plan *plan);

#endif
