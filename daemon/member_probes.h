// SPDX-License-Identifier: Apache-2.0
// Asks the addresses of private endpoints that wait for somebody to have heard them
// (config/member_probe.h): `https://ADDRESS/healthz` under the name that is to lead there, with its
// certificate verified, must be answered in the name of a region that the name belongs to. What was
// heard travels in this node's report (fleet/reports.h), and the writer's engine of operations reads
// it there (daemon/members_heard.h). Where nobody waits nothing is asked, and nothing reported.
//
//   member_probes_init(&p, app);
//   member_probes_collect(&p);          // another topology: who waits now; what was heard stays
//   if (member_probes_any(&p))
//       member_probes_round(&p);        // asks all, waits; every PROBE_EVERY_MS
//   json_t *list = member_probes_json(&p);
//   member_probes_stop(&p);             // a round that runs returns at once, each later one too
//   member_probes_done(&p);
//
// At most MEMBER_PROBES_MAX: first those of this region, then names of all regions with a replica here,
// then others; each region hears its own.
//
// A round is MEMBER_ROUND_MS at most, if nobody answers. With the report's own age that is well below
// MEMBERS_HEARD_MS (daemon/members_heard.h): what was heard in one round counts until the next.
//
// collect, any and round: one thread. json and stop: any.
#ifndef MERIDIAN_DAEMON_MEMBER_PROBES_H
#define MERIDIAN_DAEMON_MEMBER_PROBES_H

#include "config/member_probe.h"
#include "daemon/app.h"

#include <pthread.h>

#define MEMBER_PROBES_MAX 512
#define PROBE_EVERY_MS 1000
#define PROBE_TIMEOUT_MS 1500
#define PROBE_AT_ONCE 128
#define PROBE_ERROR_SIZE 101
#define MEMBER_ROUND_MS ((MEMBER_PROBES_MAX + PROBE_AT_ONCE - 1) / PROBE_AT_ONCE * PROBE_TIMEOUT_MS)

struct member_answer {
    // mono and wall; at_ms 0: not asked yet
    int64_t at_ms, wall_ms;
    // who answered; "": nobody that is a region
    char region[HOSTNAME_REGION_SIZE];
    // "": the right one
    char error[PROBE_ERROR_SIZE];
};

struct member_wait {
    char endpoint[HOSTNAME_LABEL_SIZE], member[MEMBER_KEY_SIZE], name[HOSTNAME_TEXT_SIZE];
    struct ip ip;
    // of the topology that it was collected from
    region_set regions;
    struct member_answer answer;
};

struct member_flight;

struct member_probes {
    struct app *app;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    // answers, flights and `stopping`: under the lock; the rest is the thread's, which takes it to change
    // the list
    struct member_wait *list;
    size_t n, n_flying;
    struct member_flight *flights;
    bool stopping;
    struct topology *topology;
};

void member_probes_init(struct member_probes *p, struct app *app);
void member_probes_done(struct member_probes *p);
int member_probes_collect(struct member_probes *p);
bool member_probes_any(const struct member_probes *p);
void member_probes_round(struct member_probes *p);
// Cancels what is asked. Of an address that was not asked to the end the answer of before stays.
void member_probes_stop(struct member_probes *p);
// json_t *, a new array of {"name", "member", "address", "region", "at", "ageMs", "error"} of what was
// asked; NULL: nobody waits, or no memory.
void *member_probes_json(struct member_probes *p);

// What an answer says: of the status, and of the region that it names (NULL: none).
void member_answer_judge(const struct topology *t, region_set regions, int status,
                         const char *region, struct member_answer *out);

#endif
