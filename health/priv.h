// SPDX-License-Identifier: Apache-2.0
// The checker without its thread, so that scenarios turn it by hand on the virtual clock, and what
// its files share.
//
//   health_new(&options, &h);
//   while (…) {
//       int64_t next_ms = health_turn(h);
//       …advance the clock to next_ms or to a probe's end…
//   }
//   health_halt(h); …complete what was cancelled…; health_free(h);
//
// health_start does the same on a thread of its own; see health.h.
//
// Invariants
// 1. Probes start an interval (with jitter) after the previous start, whatever became of that one:
//    a region that times out is found down after fall * interval * (1 + jitter) + timeout. At most
//    IN_FLIGHT_MAX run per target.
// 2. Outcomes count in the order of their starts: a late one is not applied over a newer one.
// 3. A target belongs to the list while the topology has it; a probe holds its own reference. So it
//    is with links and calls.
// 4. Of one region's resolver, only an observation later than the last one taken counts: a greater
//    boot, or the same boot and a greater sequence.
// 5. Votes on a target are counted again when anything changed that they are counted of: a probe's
//    outcome, what a resolver says of it (target.settled is cleared), who is heard and who abstains
//    (health.unsettled is set); and at every turn unless it is up and nobody moves it. With 600
//    stamps a turn may follow each of 600 probes a second.
#ifndef MERIDIAN_HEALTH_PRIV_H
#define MERIDIAN_HEALTH_PRIV_H

#include "health/deep.h"
#include "health/drill.h"
#include "health/observation.h"
#include "health/vote.h"

#include <pthread.h>

#define TOPOLOGY_LOOK_MS 500 // how soon a new topology is seen
// after a probe that could not even start, or a state file that could not be written
#define RETRY_MS 1000

struct target {
    struct health_target pub;
    // the list's and one per probe
    uint32_t refs;
    uint32_t in_flight;
    // numbers of probes
    uint64_t n_started, n_applied;
    // monotonic
    int64_t next_ms;
    // its probes are bare connections, which say nothing of space: the deep document does
    bool tcp;
    // invariant 5
    bool settled;
    // while an observation is taken: what it says of this one
    uint32_t heard;
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

// A region as its peer listener shows it: its deep document, and what its resolver says. Our own
// has a link too.
struct link {
    char region[HOSTNAME_REGION_SIZE];
    // the list's and one per call
    uint32_t refs;
    // the topology gives it a name server
    bool votes;

    bool deep_running, exchange_running, exchange_again;
    // monotonic
    int64_t next_deep_ms, next_exchange_ms;

    // monotonic; 0 never
    int64_t deep_heard_ms;
    struct health_deep deep;
    // "" while all is well
    char deep_error[128];

    // of the resolver that spoke
    char stamp[HOSTNAME_LABEL_SIZE];
    // of the last observation taken; 0 none
    uint64_t boot, sequence;
    // monotonic
    int64_t heard_ms;
    // fresh: at the last count
    bool abstains, fresh;
    // what it said of each target: bad probes in a row, 0: up, SAID_NOTHING
    uint32_t *bad;
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
// of observation_parse, or health_observation_take
void health_tally_taken(struct health_tally *t, int rc);

struct health {
    struct health_options o;
    char *ca_file, *state_path, *peer_pem;
    pthread_t thread;
    // all below
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping, dirty, unpublished;
    // what the targets are of
    struct topology *topology;
    uint64_t topology_generation;
    struct target **targets;
    size_t n_targets;
    // running
    struct probe *probes;
    // one per region, in the topology's order
    struct link **links;
    size_t n_links;
    // running
    struct call *calls;
    struct health_orders orders;
    struct health_drills drills;
    // monotonic: when the file was written last
    int64_t drill_saved_ms;
    // the one that was in force at the last turn; "": none
    char drill_told[HEALTH_DRILL_ID_SIZE];
    // of our observations
    uint64_t boot, sequence;
    uint64_t serial;
    struct health_tally tally;
    // we do; all is to be counted again
    bool abstains, unsettled;
    // monotonic: not before
    int64_t save_at_ms;
    // of answers now; monotonic: when the last of a longer TTL ends
    int64_t ttl_ms, old_until_ms;
};

// restores the state and publishes it
int health_new(const struct health_options *o, struct health **out);
int64_t health_turn(struct health *h); // when to turn again, on the monotonic clock
// saves, and cancels the probes and calls that run; no other starts
void health_halt(struct health *h);
void health_free(struct health *h); // after the last of them ended

// All below with the lock.

// logs and publishes a change
void health_short_set(struct health *h, struct target *t, bool is_short);

// health_probe.c: starts what is due; returns when to look again, on the monotonic clock.
int64_t health_start_due(struct health *h, int64_t now);
int64_t health_jittered(const struct health_settings *s); // an interval
void health_target_unref(struct target *t);

// health_link.c: the peers' listeners
// `targets` are the new ones, h->targets still the old. ERR_NOMEM: nothing changed.
int health_links_adopt(struct health *h, const struct topology *t, struct target *const *targets,
                       size_t n);
void health_links_drop(struct link **list, size_t n);
int64_t health_links_due(struct health *h, int64_t now);
void health_links_push(struct health *h); // what we say changed: tell the others now
bool health_deep_fresh(const struct health *h, const struct link *l, int64_t now);

// health_exchange.c: observations, ours and theirs
int health_observation_text(struct health *h, struct buf *out);
// Takes it over if it is new. 0; ERR_INVAL with a sentence: it is not (invariant 4).
int health_observation_take(struct health *h, struct link *l, struct observation *o,
                            const char **out_why);

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
// by the topology; and we have one
bool health_has_resolver(const struct health *h, const struct link *l);
enum health_standing health_standing_of(const struct health *h, const struct health_vote *v,
                                        int64_t now);
bool health_we_abstain(const struct health *h); // by what our probes say now
bool health_alone(const struct health *h);      // no other resolver is there by the topology
// HEALTH_EXCEPTIONS_MAX
size_t health_exceptions(const struct health *h, int64_t now, struct health_exception *out);

// drill_ask.c: fault drills, asked for here and heard of
void health_drills_settle(struct health *h, int64_t now); // at every turn
void health_drills_take(struct health *h, struct link *l, const struct health_drills *theirs);
// what one says of a region, after what operators ordered for it; as health_orders_say
void health_drills_say(const struct health *h, const char *region, const char *label, int64_t now,
                       struct buf *out);
// the one that runs, as a row among the orders: json_t *, a new reference; NULL: none
void *health_drill_order_json(const struct health *h, int64_t now);
size_t health_link_index(const struct health *h, const struct link *l); // n_links: it is gone

// drill_judge.c: may a region be taken out? What the registries allow is looked at without the lock,
// for there may be a million.
struct health_drill_scan {
    // registries that lead there now; that another region could take meanwhile
    size_t n_there, n_taken;
    // where all that takes global traffic is drained in the topology
    region_set drained;
};
void health_drill_scan(const struct topology *t, const struct health_verdicts *v,
                       const struct region *region, const char *label,
                       struct health_drill_scan *out);
// ERR_CONFLICT, ERR_NOTFOUND, ERR_RANGE with a sentence.
int health_drill_judge(const struct health *h, const struct health_drill_wanted *w,
                       const struct health_drill_scan *scan, struct diag *diag);

// health_drain.c: orders of the operator, and when it is safe to act on them
void health_orders_settle(struct health *h, int64_t now);
void health_forces_apply(struct health *h); // to the targets, when these or the orders changed
void health_ttl_note(struct health *h, int64_t now); // after a topology was adopted

// Messages of libraries, and files, may hold anything; the state file and the admin socket want
// plain text.
void health_reason_set(struct health_target *target, const char *reason);
void health_plain(char *text);

#endif
