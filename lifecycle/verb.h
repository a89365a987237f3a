// SPDX-License-Identifier: Apache-2.0
// The table of verbs: what a fleet can be asked to change. A row plans; one that takes more than one
// document also says the next step.
//
//   static int plan_scope_map_delete(const struct plan_ctx *x, struct plan *out, struct diag *diag,
//                                    const char **out_code)
//   {
//       out->first.name = "principals";
//       out->first.principals = bytes_of(text, n);        // in x->arena
//       return 0;
//   }
//   const struct verb verb_scope_map_delete = {.noun = "scope-map", .word = "delete", …};
//
// Two kinds of verbs
// 1. One document: `plan` gives the first phase, and `step` is NULL. The engine appends the phase
//    together with the operation's record and waits until it is stored; that is the end.
// 2. Several: the engine asks `step` for one phase after another, each from the document in force
//    and from the goal, which the operation's record keeps. `plan` leaves the first phase empty.
//    Undoing and canceling ask the same `step`, with the goal `before`. A step remembers nothing: a
//    writer that was killed anywhere goes on from what the document says.
// 3. One document, then several: `plan` gives the first phase, and `step` those that follow. Without
//    a goal there are none. Undoing begins at `before`, and does not take the first document back.
//
// plan and step are functions of the context: same context, same answer. They are called on any
// thread, also for a what-if, which appends nothing.
#ifndef MERIDIAN_LIFECYCLE_VERB_H
#define MERIDIAN_LIFECYCLE_VERB_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "config/topology.h"
#include "control/feed.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct lifecycle_deps;

struct plan_ctx {
    // of whatever plan and step make
    struct arena *arena;
    // the topology in force: a full one
    const struct topology *t;
    // "registry update"
    const char *verb;
    // What the verb is about: NAME of a registry, a user, a token; REGISTRY/REGION of a replica;
    // REGION/STAMP of a stamp; "" where there is nothing to name.
    const char *object;
    // an object, maybe empty; never NULL
    const json_t *arguments;
    // "operator:ada", "root@eastus"
    const char *by;
    // its id
    const char *operation;
    // Wall: dates what is made, and is never earlier than the feed's entries. And as far as it is sure:
    // what must not come too early goes by it (lifecycle/lifecycle.h, sure_ms).
    int64_t now_ms, sure_ms;
    // for principals, the ledger and judging (lifecycle/lifecycle.h)
    const struct lifecycle_deps *deps;
};

enum phase_wait {
    // the regions that can be reached hold all certificates that the document asks for
    WAIT_CERTIFICATES = 1,
    // somebody has heard all members of `members` that wait for it (config/member_probe.h)
    WAIT_MEMBERS = 2,
    // with `stamp`: all who answer for fe.D have its name
    WAIT_PUBLISHED = 4,
    // what a replica that comes lacks is there, or what one that goes has written is elsewhere
    WAIT_CONTENT = 8,
};

struct phase_content { // of WAIT_CONTENT
    // key of the registry, and the replica's region
    const char *registry, *region;
    // else it goes
    bool comes;
};

struct phase {
    // "edge", "members", "private-dns", "public-dns", "content", "document", "record", "principals",
    // "frame"; NULL: there is no phase left, the goal is reached
    const char *name;
    // names of two more that the same document carries, or NULL: they are listed before it
    const char *with[2];
    // documents; empty: as in force. The feed numbers them.
    struct bytes frame, change, principals;
    // the version that `principals` was made from; 0: any
    uint64_t principals_from;
    // further records of the ledger in the same entry; the operation's own is the engine's
    const struct control_record *records;
    size_t n_records;
    // with WAIT_MEMBERS: names of private endpoints
    const char *const *members;
    size_t n_members;
    // A stamp that has to serve the registry of the goal before the phase ends, and while it rests:
    // else the operation turns round. NULL: none. (lifecycle/stamp_move.h)
    const char *stamp;
    // enum phase_wait; the engine always waits for the regions that it can reach to store it
    unsigned waits;
    struct phase_content content;
    // after that, how long caches may still hold what the document took away
    uint32_t rest_s;
    // the name of that; NULL: "wait"
    const char *rest;
};

// Rights that this very change needs beyond the verb's own.
struct plan_need {
    // enum control_right
    unsigned rights;
    // "the section identities", "the name contoso, which is reserved for ada,"
    const char *what;
};

#define PLAN_LOCKS_MAX 64
// holds every registry
#define PLAN_LOCK_REGISTRIES "registries"
#define PLAN_NOTES_MAX 16
#define PLAN_NEEDS_MAX 32 // as many as there are sets of rights
struct plan {
    // of a verb whose plan gives the first phase; name NULL: its step does
    struct phase first;
    // of a verb with several: what is to be, and what was. References that the engine takes.
    json_t *goal, *before;
    // What no other operation may touch meanwhile: "registry/contoso", "user/ada", "frame"; "*":
    // everything. None: the object alone.
    const char *locks[PLAN_LOCKS_MAX];
    size_t n_locks;
    // What it still needs once it has begun, where that is less: the same, or PLAN_LOCK_REGISTRIES.
    const char *holds[PLAN_LOCKS_MAX];
    size_t n_holds;
    // For who asked, and kept nowhere: a password that was made. A reference that the engine takes.
    json_t *answer;
    // sentences: what stays, what goes, and when
    const char *notes[PLAN_NOTES_MAX];
    size_t n_notes;
    // plan_need adds them. Who lacks one is refused, also with a what-if.
    struct plan_need needs[PLAN_NEEDS_MAX];
    size_t n_needs;
    // what names are written under in operations: "registry/contoso"; NULL: noun and object
    const char *object;
};

struct verb {
    // "registry", "update"; `word` may be two: "credential generate"
    const char *noun, *word;
    // enum control_right of an operator who may; root may all
    unsigned right;
    // the command line asks first, or wants --yes
    bool takes_away;
    // It takes a right from somebody, though nobody is asked first: as those that take away it may
    // begin with what the ledger keeps free for that.
    bool revokes;
    // its operation's state while it runs: "Creating", "Updating" or "Deleting"
    const char *state;
    // A running operation of this verb on the same object does not stand against it, but is
    // canceled by it: "replication delete". NULL: none.
    const char *supersedes;
    // ERR_EXISTS: there is nothing to do. ERR_NOTFOUND, ERR_INVAL, ERR_DENIED, and ERR_CONFLICT:
    // what is there stands against it. diag says why in sentences for people. *out_code: the
    // error's name where ERR_CONFLICT alone does not say it ("NameReserved"); may be left.
    int (*plan)(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                const char **out_code);
    // NULL: one document
    int (*step)(const struct plan_ctx *x, const json_t *goal, struct phase *out, struct diag *diag);
};

// "registry update"; NULL: there is no such verb.
const struct verb *verb_find(const char *words);
const struct verb *const *verbs_all(size_t *out_n);

// ---- arguments: ERR_INVAL, and diag says which and what it should be ----

// Members that a verb does not know are refused, not passed over: what they mean to forbid would
// happen.
int arguments_known(const json_t *arguments, const char *const *names, size_t n, struct diag *diag);
// NULL when it is not given.
int argument_text(const json_t *arguments, const char *name, const char **out, struct diag *diag);
// true or false; or in any case "Enabled", "Disabled". *out is untouched when it is not given.
int argument_switch(const json_t *arguments, const char *name, bool *out_given, bool *out,
                    struct diag *diag);
int argument_number(const json_t *arguments, const char *name, int64_t min, int64_t max,
                    bool *out_given, int64_t *out, struct diag *diag);

// ---- rights ----

// `rights` are needed for `what`, which lives as long as the plan: the first one of each set of
// rights is kept, to be told.
void plan_need(struct plan *out, unsigned rights, const char *what);
// What an operator owns is under his name: "ada" of "operator:ada", "root" of "root@eastus". In the
// arena; NULL: out of memory.
const char *plan_asker(const struct plan_ctx *x);
// Who is not `owner` needs all rights for `what`; "": nobody is. ERR_NOMEM.
int plan_need_owner(const struct plan_ctx *x, struct plan *out, const char *owner,
                    const char *what);
// Likewise for the name, if it is reserved and its time is not up.
int plan_need_name(const struct plan_ctx *x, struct plan *out, const char *name);

// A sentence of diag, without a place in a document.
#define refuse(diag, ...) diag_add(diag, NULL, 0, __VA_ARGS__)

#endif
