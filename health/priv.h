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
// 3. A target belongs to the list while the topology has it; a probe holds its own reference. So it is with links and
//    calls.
// 4. Of one region's resolver, only an observation later than the last one taken counts: a greater boot, or the same
//    boot and a greater sequence.
// 5. Votes on a target are counted again when anything changed that they are counted of: a probe's outcome, what a
//    resolver says of it (target.settled is cleared), who is heard and who abstains (health.unsettled is set); and at
//    every turn unless it is up and nobody moves it. With 600 stamps a turn may follow each of 600 probes a second.
#ifndef MERIDIAN_HEALTH_PRIV_H
#define MERIDIAN_HEALTH_PRIV_H

#include "health/deep.h"
#include "health/observation.h"
#include "health/vote.h"

#include <pthread.h>

#define TOPOLOGY_LOOK_MS 500 // how soon a new topology is seen
#define RETRY_MS 1000        // after a probe that could not even start, or a state file that could not be written

struct target {
    struct health_target pub;
    uint32_t refs; // the list's and one per probe
    uint32_t in_flight;
    uint64_t n_started, n_applied; // numbers of probes
    int64_t next_ms;               // monotonic
    bool tcp;       // its probes are bare connections, which say nothing of space: the deep document does
    bool settled;   // invariant 5
    uint32_t heard; // while an observation is taken: what it says of this one
};

struct probe {
    struct health *h;
    struct target *target;
    uint64_t number;
    bool tcp;
    struct fetch *fetch;
    struct probe *prev, *next;
};

#define SAID_NOTHING UINT32_MAX

// A region as its peer listener shows it: its deep document, and what its resolver says. Our own has a link too.
struct link {
    char region[HOSTNAME_REGION_SIZE];
    uint32_t refs; // the list's and one per call
    bool votes;    // the topology gives it a name server

    bool deep_running, exchange_running, exchange_again;
    int64_t next_deep_ms, next_exchange_ms; // monotonic

    int64_t deep_heard_ms; // monotonic; 0 never
    struct health_deep deep;
    char deep_error[128]; // "" while all is well

    char stamp[HOSTNAME_LABEL_SIZE]; // of the resolver that spoke
    uint64_t boot, sequence;         // of the last observation taken; 0 none
    int64_t heard_ms;                // monotonic
    bool abstains, fresh;            // fresh: at the last count
    uint32_t *bad;                   // what it said of each target: bad probes in a row, 0: up, SAID_NOTHING
    char voter_error[128];
};

#define HEALTH_OBSERVATION_PATH "/health/v1/observation"
enum call_kind { CALL_DEEP, CALL_EXCHANGE };
struct call { // one running request to a peer listener
    struct health *h;
    struct link *link;
    enum call_kind kind;
    struct fetch *fetch;
    struct call *prev, *next;
};

enum health_outcome { // of an observation that came
    OBSERVATION_TAKEN,
    OBSERVATION_OLD,
    OBSERVATION_UNSIGNED,
    OBSERVATION_NOT_ITS_OWN, // speaks for another region, or is of another domain
    OBSERVATION_EXPIRED,
    OBSERVATION_DAMAGED,
    OBSERVATION_NOMEM,
    OBSERVATION_OUTCOMES
};
struct health_tally { // since the start
    uint64_t observations[OBSERVATION_OUTCOMES];
    uint64_t exchanges, exchange_failures;
};
void health_tally_taken(struct health_tally *t, int rc); // of observation_parse, or health_observation_take

struct health {
    struct health_options o;
    char *ca_file, *state_path, *peer_pem;
    pthread_t thread;
    pthread_mutex_t lock; // all below
    pthread_cond_t wake;
    bool stopping, dirty, unpublished;
    struct topology *topology; // what the targets are of
    uint64_t topology_generation;
    struct target **targets;
    size_t n_targets;
    struct probe *probes; // running
    struct link **links;  // one per region, in the topology's order
    size_t n_links;
    struct call *calls; // running
    struct health_orders orders;
    uint64_t boot, sequence; // of our observations
    uint64_t serial;
    struct health_tally tally;
    bool abstains, unsettled;     // we do; all is to be counted again
    int64_t save_at_ms;           // monotonic: not before
    int64_t ttl_ms, old_until_ms; // of answers now; monotonic: when the last of a longer TTL ends
};

int health_new(const struct health_options *o, struct health **out); // restores the state and publishes it
int64_t health_turn(struct health *h);                               // when to turn again, on the monotonic clock
void health_halt(struct health *h); // saves, and cancels the probes and calls that run; no other starts
void health_free(struct health *h); // after the last of them ended

// All below with the lock.

void health_short_set(struct health *h, struct target *t, bool is_short); // logs and publishes a change

// health_probe.c: starts what is due; returns when to look again, on the monotonic clock.
int64_t health_start_due(struct health *h, int64_t now);
int64_t health_jittered(const struct health_settings *s); // an interval
void health_target_unref(struct target *t);

// health_link.c: the peers' listeners
// `targets` are the new ones, h->targets still the old. ERR_NOMEM: nothing changed.
int health_links_adopt(struct health *h, const struct topology *t, struct target *const *targets, size_t n);
void health_links_drop(struct link **list, size_t n);
int64_t health_links_due(struct health *h, int64_t now);
void health_links_push(struct health *h); // what we say changed: tell the others now
bool health_deep_fresh(const struct health *h, const struct link *l, int64_t now);

// health_exchange.c: observations, ours and theirs
int health_observation_text(struct health *h, struct buf *out);
// Takes it over if it is new. 0; ERR_INVAL with a sentence: it is not (invariant 4).
int health_observation_take(struct health *h, struct link *l, struct observation *o, const char **out_why);

// health_verdict.c: verdicts from probes and votes
bool health_verdicts_decide(struct health *h, int64_t now); // true if one changed
// How voters decide on a stamp now; `votes`: what each says, in the order of the links.
struct health_count health_count_of(const struct health *h, size_t target, int64_t now,
                                    struct health_vote votes[TOPOLOGY_MAX_REGIONS]);
static inline int64_t health_vote_life_ms(const struct health *h)
{
    return HEALTH_VOTE_INTERVALS * (int64_t)h->topology->health.interval_ms;
}
bool health_is_here(const struct health *h, const char *region);
bool health_is_heard(const struct health *h, const struct link *l, int64_t now); // its votes live
bool health_has_resolver(const struct health *h, const struct link *l);          // by the topology; and we have one
enum health_standing health_standing_of(const struct health *h, const struct health_vote *v, int64_t now);
bool health_we_abstain(const struct health *h); // by what our probes say now
bool health_alone(const struct health *h);      // no other resolver is there by the topology
size_t health_exceptions(const struct health *h, int64_t now, struct health_exception *out); // HEALTH_EXCEPTIONS_MAX

// health_drain.c: orders of the operator, and when it is safe to act on them
void health_orders_settle(struct health *h, int64_t now);
void health_forces_apply(struct health *h);          // to the targets, when these or the orders changed
void health_ttl_note(struct health *h, int64_t now); // after a topology was adopted

// Messages of libraries, and files, may hold anything; the state file and the admin socket want plain text.
void health_reason_set(struct health_target *target, const char *reason);
void health_plain(char *text);

#endif
