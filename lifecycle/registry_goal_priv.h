// SPDX-License-Identifier: Apache-2.0
// Shared by the files of registry goals: the row under work (registry_work.c), its members
// (registry_members.c, registry_lacking.c) and connections (registry_connections.c), the steps (registry_goal.c), their documents (registry_documents.c), the way
// back (registry_before.c).
#ifndef MERIDIAN_LIFECYCLE_REGISTRY_GOAL_PRIV_H
#define MERIDIAN_LIFECYCLE_REGISTRY_GOAL_PRIV_H

#include "control/change.h"
#include "lifecycle/registry_goal.h"

enum wanted { NOT_SAID = -1, NOT_WANTED, WANTED };

struct work_private {
    struct spec_private row;
    bool changed;
};

struct work {
    const struct plan_ctx *x;
    const json_t *goal;
    struct diag *diag;
    const char *name;
    // in force; NULL: there is none
    const struct registry *r;
    // as it is to be after this step; replicas: room for one of each region
    struct spec_registry row;
    struct spec_replica *replicas;
    struct work_private *privates;
    size_t n_privates;
    bool changed, nomem;
    // a replica takes no global traffic any more, and caches lead there for a while
    bool drains;
    // the registry itself goes with this step
    bool goes;
};

int work_begin(struct work *w, const struct plan_ctx *x, const json_t *goal, struct diag *diag);
enum wanted goal_wants(const json_t *goal, const char *key);
// What the goal says of each replica: for (i…) of the topology's regions. NULL: nothing.
const json_t *goal_replica(const json_t *goal, const char *region);
struct spec_replica *work_replica(struct work *w, const char *region);
void work_replica_remove(struct work *w, const char *region);
// What is not a name: access, weights, routing. Sets w->changed.
int work_settings(struct work *w);
// The next step to the goal: *out without documents (name NULL: it is reached), and the row as it is
// to be. ERR_NOTFOUND: diag says what is not there any more.
int work_step(struct work *w, struct phase *out);
// The documents of one step of n registries, which all go or all stay. ERR_NOMEM.
int works_documents(struct work *w, size_t n, struct phase *out);
// Adds to the phase what becomes of their connections in the ledger. ERR_NOMEM.
int works_connections(struct work *w, size_t n, struct phase *out);
// Adds to a phase that brings members whom it has to wait for. ERR_NOMEM.
int works_members_wait(struct work *w, size_t n, struct phase *out);
int change_text(const struct plan_ctx *x, const struct change *c, struct bytes *out);

// ---- members ----

// Adds those of the goal whose names are there. True: it did.
bool members_add(struct work *w);
// Takes out those of a kind, in one region (NULL: in all). True: there were any.
bool members_remove(struct work *w, enum name_kind kind, const char *region);
// Is it of a name that the goal takes away?
bool member_goes(const json_t *goal, const char *key);
// Those that the goal takes away, as the `ip` of the goal that leads back.
int members_before(const struct work *w, json_t *before);

#endif
