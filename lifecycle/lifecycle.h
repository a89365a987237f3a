// SPDX-License-Identifier: Apache-2.0
// The engine of operations: every change of a fleet is one. It is a state machine over a small
// struct of functions, and runs on the writer only.
//
//   struct lifecycle *l = lifecycle_new(&deps);
//   lifecycle_request(l, &request, &answer);          // somebody asks
//   for (;;)
//       wait(lifecycle_run(l));                        // the daemon's thread
//
// Life of an operation
//   1. The verb plans (lifecycle/verb.h). The record `operation/<id>` enters the ledger in the entry
//      that carries the documents of its first phase.
//   2. A phase ends when a majority of regions, and every region that can be reached, has stored its
//      entry, has its certificates, and when caches have forgotten what it took away. A region that
//      cannot be reached holds up nothing: it is listed in `later`. One that can be reached and is
//      behind is waited for, for as long as it takes, unless the request says `quorum`.
//      Where content comes or goes with a replica, it ends once that has been copied (content.c).
//   3. The next phase is made from the document in force and the goal in the record. When there is
//      none left: Succeeded.
//   4. A phase that is refused turns the operation around: the goal is what was before, and it ends
//      as Failed. Canceling does the same, and it ends as Canceled. What cannot be undone is named.
//
// Invariants
// 1. An operation's record changes in the entry that has the documents of the phase: no phase is
//    done twice, and none is lost.
// 2. What comes next follows from the ledger and the documents in force. Nothing in memory is
//    needed: after a kill, or a takeover by another region, the new writer goes on.
// 3. One operation at a time holds a lock (struct plan, `locks`).
// 4. A state that is an end never changes.
//
// Any thread; one lock inside, which is held while an entry is appended.
#ifndef MERIDIAN_LIFECYCLE_LIFECYCLE_H
#define MERIDIAN_LIFECYCLE_LIFECYCLE_H

#include "lifecycle/verb.h"

#define OPERATION_ID_SIZE 17 // 16 hex digits and NUL
// Ended operations are kept so long, and so many.
#define OPERATION_KEPT_MS ((int64_t)30 * 24 * 3600 * 1000)
#define OPERATIONS_KEPT 10000

struct lifecycle_stored {
    // of all regions of the topology
    bool majority;
    // those that can be reached and have not stored it; those that cannot be reached
    region_set behind, away;
    // that cannot be reached, also those that have stored it before
    region_set unheard;
};

#define LIFECYCLE_LACKING_MAX 50
#define LIFECYCLE_LACKING_SIZE 448

struct lifecycle_content { // of one registry, in some regions
    // readers that do not have all that the origins wrote, and origins and readers that said nothing
    region_set behind, silent;
    // entries that they still have to apply
    uint64_t to_go;
    // Readers that lack what regions wrote which are gone or say nothing: an origin that goes may be the
    // last that has it. How many such entries there are.
    region_set orphaned;
    uint64_t n_orphaned;
    // Of these entries and of those that are to go the ones that are known by name, a few of them:
    // "team/app:1.0, which westus wrote, is not in eastus".
    size_t n_lacking;
    char lacking[LIFECYCLE_LACKING_MAX][LIFECYCLE_LACKING_SIZE];
};

struct lifecycle_origin { // what regions hold of one region's feed
    // who said so, and who heard that region itself lately
    region_set said, hear;
    // by the region's index: the last entry that it holds
    struct feed_seal heads[TOPOLOGY_MAX_REGIONS];
};

struct lifecycle_unheard { // members of a private endpoint that nobody has heard yet
    size_t n;
    // the first of them, and what became of asking there
    char what[256];
};

struct lifecycle_move { // of a replica, to that stamp of its region
    const char *registry, *region, *stamp;
};

// What a store engine can do whose content all stamps of a region serve (lifecycle/stamp_move.h).
struct lifecycle_stamps {
    // May it begin? ERR_CONFLICT, and diag says why not: the stamp is down, too small, of another
    // schema, without a certificate, or cannot be reached from a view.
    int (*check)(void *ctx, const struct topology *t, const struct lifecycle_move *m,
                 struct diag *diag);
    // Does the stamp serve the registry now, when it is called? Else `why`.
    bool (*serves)(void *ctx, const struct topology *t, const struct lifecycle_move *m, char *why,
                   size_t why_size);
    // Have all who answer for fe.D, and are not down, its name? Else `why` names one that has not.
    bool (*published)(void *ctx, const struct topology *t, const struct lifecycle_move *m,
                      char *why, size_t why_size);
};

// What the engine stands on. The daemon gives the control feed and the fleet; tests give a feed in
// memory and a clock of their own.
struct lifecycle_deps {
    void *ctx;
    // this region: who notes what the engine itself found
    const char *by;
    // wall
    int64_t (*now_ms)(void *ctx);
    // The same as far as it is sure: it stands still at the last entry's while the clock is not
    // (control_feed_now). Waits, and what is forgotten, go by the earlier of both. NULL: as now_ms.
    int64_t (*sure_ms)(void *ctx);
    // Is this node the writer, and confirmed by a majority? ERR_DENIED, ERR_UNREACHABLE: diag says
    // who is, or what is lacking. *out_epoch: of the feed.
    int (*writer)(void *ctx, uint64_t *out_epoch, struct diag *diag);
    // in force; a reference
    struct topology *(*topology)(void *ctx);
    // As it was at a version (control_feed_topology_at); NULL: nobody can say.
    int (*topology_at)(void *ctx, uint64_t version, struct diag *diag, struct topology **out);
    // the document in force is appended to `out`
    int (*principals)(void *ctx, struct buf *out, uint64_t *out_version);
    // as control_feed_append
    int (*append)(void *ctx, const struct control_draft *d, struct diag *diag,
                  struct control_place *out);
    // what would be in force after it, and nothing is appended
    int (*judge)(void *ctx, const struct control_draft *d, struct diag *diag,
                 struct topology **out);
    // of the ledger: ERR_NOTFOUND
    int (*record)(void *ctx, const char *key, struct buf *out);
    // false ends it
    void (*records)(void *ctx, const char *prefix,
                    bool (*visit)(void *v, const char *key, const char *value), void *v);
    // the last place of the feed
    void (*place)(void *ctx, struct control_place *out);
    int (*stored)(void *ctx, const struct control_place *p, struct lifecycle_stored *out);
    // Which regions in `of` lack a certificate that `t` asks for.
    region_set (*certificates_missing)(void *ctx, const struct topology *t, region_set of);
    // Of a private endpoint's members that have to be heard (config/member_probe.h).
    void (*members_unheard)(void *ctx, const struct topology *t, const char *endpoint,
                            struct lifecycle_unheard *out);
    // NULL: each stamp has a store of its own, and no replica moves
    const struct lifecycle_stamps *stamps;
    // Have `readers` all that `origins` have written of the registry (its key)? By what they said
    // after the first of a row of calls, in which none is 5 s after the one before. Does not block:
    // ERR_BUSY, they are being asked. NULL: nobody can say, and nothing waits for it.
    int (*content)(void *ctx, const char *registry, region_set readers, region_set origins,
                   struct lifecycle_content *out);
    // Asks all regions, this one too, what they hold of that region's feed; blocks for some seconds
    // at most. NULL: nobody can say.
    int (*origin)(void *ctx, const struct topology *t, const char *of,
                  struct lifecycle_origin *out);
};

// A request that was verified (control/request.h), or that root gave at the writer's admin socket.
struct lifecycle_request {
    const char *verb, *object, *by, *nonce;
    // NULL: none
    const json_t *arguments;
    int64_t expires_ms;
    // of the topology, or of the principals for their verbs; 0: any
    uint64_t if_version;
    bool what_if;
    // Regions that can be reached and do not take a phase hold up nothing: a majority is enough.
    // Asked again with it, an operation that runs goes on so.
    bool quorum;
    // root's, at the writer's own socket: nobody else can have it
    bool bare;
    // enum control_right
    unsigned rights;
};

struct lifecycle_answer {
    // 202: `operation`; 200: `whatIf`, or `code` NothingToDo; else `error`
    int status;
    // a new reference; NULL: out of memory
    json_t *body;
};

struct lifecycle *lifecycle_new(const struct lifecycle_deps *deps); // NULL: out of memory
void lifecycle_free(struct lifecycle *l);

// Codes of `error`: NotTheWriter and NoMajority 503, Invalid 400, Denied 403, NotFound 404,
// AlreadyExists, NameReserved, OperationInProgress (with `operation`) and Refused 409,
// VersionMismatch 412, Unavailable 503.
// The same nonce gets the operation of the first time; so does the same verb with the same
// arguments while that operation runs. No request is carried out twice: where its operation is
// forgotten it is Refused, and where its nonce may be (control/sweep.h), Denied.
void lifecycle_request(struct lifecycle *l, const struct lifecycle_request *r,
                       struct lifecycle_answer *out);
// Goes on with all that can go on. Returns the ms after which it is worth calling again, at most
// 1,000; sooner when the feed or what is known of other regions has changed.
int64_t lifecycle_run(struct lifecycle *l);

// ---- reading, on every node ----

// ERR_NOTFOUND. *out: a new reference. On the writer with what it waits for just now.
int lifecycle_operation(struct lifecycle *l, const char *id, json_t **out);
// {"operations": […]}, the latest first, at most `max`. NULL: any object ("registry/contoso"), any
// state. NULL: out of memory.
json_t *lifecycle_operations(struct lifecycle *l, const char *object, const char *state,
                             size_t max);
bool operation_id_ok(const char *id);

#endif
