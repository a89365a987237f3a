// SPDX-License-Identifier: Apache-2.0
// A fleet in memory for the engine of operations (lifecycle/lifecycle.h): a feed that is one list of
// entries, a ledger, a clock that moves only when it is told to, and regions that store entries when
// they are up. The writer can die at any entry, before it is durable or just after.
//
//   struct toy_fleet f;
//   toy_fleet_init(&f, t);                        // takes the reference
//   struct lifecycle *l = lifecycle_new(&f.deps);
//   f.dies = TOY_DIES_AFTER; f.dies_in = 2;       // at the second entry from now
//   …
//   if (f.dead) { lifecycle_free(l); toy_fleet_revive(&f); l = lifecycle_new(&f.deps); }
#ifndef MERIDIAN_TESTS_SUPPORT_TOY_FLEET_H
#define MERIDIAN_TESTS_SUPPORT_TOY_FLEET_H

#include "control/changer.h"
#include "lifecycle/lifecycle.h"

#include <pthread.h>

enum toy_death { TOY_LIVES, TOY_DIES_BEFORE, TOY_DIES_AFTER };

struct toy_record {
    char *key, *value;
};

struct toy_fleet {
    struct lifecycle_deps deps;
    // of all below, while the engine asks; several threads may
    pthread_mutex_t lock;
    struct topology *t;
    struct changer *changer;
    char *principals;
    uint64_t principals_version;
    struct toy_record *records;
    size_t n_records;
    // of the feed; the hash is not used
    struct control_place place;
    // by region: up, and the last entry that it stored. The writer is region 0.
    bool up[TOPOLOGY_MAX_REGIONS];
    // up, and stores nothing new
    bool slow[TOPOLOGY_MAX_REGIONS];
    uint64_t stored[TOPOLOGY_MAX_REGIONS];
    region_set without_certificates;
    // a private address where nobody is heard; NULL: there is none
    const char *silent;
    // that do not have all that others wrote; that do not say
    region_set without_content, says_nothing;
    // that lack what a lost region wrote
    region_set orphaned;
    // too many others ask already
    bool content_busy;
    // how often content was asked about
    unsigned n_content;
    int64_t now_ms;
    // how far the clock is sure (lifecycle_deps.sure_ms); 0: it is
    int64_t sure_ms;
    // no registries, private endpoints and names are changed by it (control/feed.h)
    bool clock_wrong;
    enum toy_death dies;
    // entries until then; 1: the next
    unsigned dies_in;
    bool dead;
    // but for its reserve
    bool ledger_full;
    // of another region: no entry is taken
    bool not_writer;
    // called after each entry that is durable
    void (*appended)(struct toy_fleet *f, void *ctx);
    void *ctx;
};

void toy_fleet_init(struct toy_fleet *f, struct topology *t);
void toy_fleet_done(struct toy_fleet *f);
void toy_fleet_revive(struct toy_fleet *f);
// Regions that are up and not slow store all there is.
void toy_fleet_carry(struct toy_fleet *f);
// NULL: there is none
const char *toy_fleet_record(const struct toy_fleet *f, const char *key);

#endif
