// SPDX-License-Identifier: Apache-2.0
// What the files of this room share: the replicator, which owns the room's objects and wires them.
// Each object has a header and a lock of its own (the order stands in replication/lock.h); no file
// knows the fields of another's.
//
// Threads: one reader per other region (peer_reader.h), one that watches for silence
// (silence_watch.h), one that opens and closes writes (write_gate.h), one that compares clocks
// (clock_watch.h), one that sweeps out what revoked keys signed (revoker.h), one that tells the
// others how far this region is (words.h), one that drops what was deleted (dropper.h), one that mends blobs (mender.h), one that compares
// what clients see with other regions (comparer.h), one dispatcher and
// n_fetches workers for jobs (job_queue.h), and the workers' helpers (blob_group.h). HTTP threads
// and the
// pool come in through serve.c, the daemon through replicator.c.
#ifndef MERIDIAN_REPLICATION_PRIV_H
#define MERIDIAN_REPLICATION_PRIV_H

#include "base/wait.h"
#include "content/content.h"
#include "content/grade.h"
#include "net/pool.h"
#include "net/refuse.h"
#include "net/response_reader.h"
#include "replication/attempt.h"
#include "replication/cursor.h"
#include "replication/dial.h"
#include "replication/job_queue.h"
#include "replication/life.h"
#include "replication/lock.h"
#include "replication/reading_hold.h"
#include "replication/replication.h"
#include "replication/room.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#define SOURCE_IDLE_MS 15000

struct ahead;
struct bandwidth;
struct clock_report;
struct comparer;
struct clock_watch;
struct gather;
struct helpers;
struct mender;
struct peer;
struct peers;
struct relays;
struct revoker;
struct silence_watch;
struct speech;
struct streams;
struct upload_copies;
struct dropper;
struct words;
struct write_gate;

struct replicator {
    // Whoever may outlive the stop holds one: a stream, a notice on its way.
    _Atomic unsigned refs;
    // of the topology in force
    _Atomic uint32_t skew_ms;

    // What follows is set at the start and does not change.

    // strings are ours
    struct replicator_options o;
    struct dialer dialer;
    // the same by o.probes
    struct dialer probes;
    struct life *life;
    struct streams *streams;
    struct reading_hold *hold;
    struct peers *peers;
    struct silence_watch *silence;
    struct speech *speech;
    struct write_gate *gate;
    struct revoker *revoker;
    // what members tell each other of how far they are
    struct words *words;
    // what was deleted goes for good
    struct dropper *dropper;
    struct clock_report *clocks;
    struct clock_watch *clock;
    struct job_queue *jobs;
    struct helpers *helpers;
    struct room *room;
    // what the workers and the mender fetch goes through it
    struct content *content;
    struct mender *mender;
    struct comparer *comparer;
    // what callers wait for, and what is copied ahead
    struct gather *gather;
    struct ahead *ahead;
    struct bandwidth *bandwidth;
    // uploads that run in other regions
    struct upload_copies *copies;
    // by whom blobs come and go where there are many members
    struct relays *relays;
};

// The keys of the registries that both regions hold, in order; how many. At most `cap` of them go to `out`
// (NULL: none).
// Is another version of the topology in force than t's? *generation is 0 at first.
bool topology_outdated(struct replicator *r, const struct topology *t, uint64_t *generation);
size_t shared_registries(const struct topology *t, uint8_t a, uint8_t b, const char **out,
                         size_t cap);

// Who takes part in a registry: its replicas, without regions that are sealed.
region_set members_of(const struct topology *t, const struct registry *reg);

// The registry of that key, when both this region and `peer` hold it; else NULL. `key` may be NULL.
const struct registry *shared_registry(struct replicator *r, const struct topology *t,
                                       const struct region *peer, const char *key);

// --- repair.c ---
// Did we make this place of our own log void?
bool place_is_void(struct replicator *r, const struct feed_mark *at);
// What to say of a cursor that lies in a void stretch; NULL: it does not.
json_t *voided_json(struct replicator *r, const struct feed_mark *asked);
// After a 409: takes what the peer says of its own entries, if it does and has signed it. 0 when
// the mark `stored` went back by it.
int voided_take(struct peer *p, const struct topology *t, const struct feed_mark *stored,
                struct response_reader *f);
// The same of an answer that was read whole.
int voided_take_text(struct peer *p, const struct topology *t, const struct feed_mark *stored,
                     struct bytes body);

// --- blob_fetch.c ---
struct blob_fetch_how {
    // on a helper's thread (blob_group.h)
    bool helps;
    // so many bytes of the blob are not here yet
    void (*arrived)(void *ctx, uint64_t left);
    // bytes of the job that come after this blob
    uint64_t (*left_after)(void *ctx);
    void *ctx;
    // of a helper: turns true when it must end
    const _Atomic bool *stop;
};
// Makes the blob be here; any of the registry's other regions may give it, the origin first.
// *out_published: it was fetched, and the entry's repository has its lease. ERR_BUSY: see
// APPLY_BUSY; on a helper's thread: not at once.
int blob_fetch(struct attempt *w, const struct topology *t, const struct registry *reg,
               const struct manifest_ref *ref, const struct blob_fetch_how *how,
               bool *out_published, int64_t *out_not_before_mono, char error[ERROR_TEXT_SIZE]);
bool blob_in_flight(struct replicator *r, const struct digest *d);
// One may be asked now.
bool sources_free(struct replicator *r, const struct topology *t, const struct registry *reg);
int manifest_fetch(struct attempt *w, const struct topology *t, const struct registry *reg,
                   const struct digest *d, struct buf *out, int64_t *out_not_before_mono,
                   char error[ERROR_TEXT_SIZE]);

// --- routes, after serve.c has judged who asks ---
void feed_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                const struct region *peer, struct http_plan *plan);
void content_probe_begin(struct replicator *r, struct http_request *req, const struct registry *reg,
                         const char *repository, struct http_plan *plan);
void status_begin(struct replicator *r, struct http_request *req, const struct registry *reg,
                  struct http_plan *plan);
void stored_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                  const struct region *peer, struct http_plan *plan); // stored.c
void reach_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                 const struct region *peer, struct http_plan *plan); // reach.h
// Of these three the answer has what `whose` sees (access_sees); it hangs off the request's arena.
void revoked_begin(struct replicator *r, struct http_request *req, const struct registry *reg,
                   const struct access *whose, struct http_plan *plan);
void differences_begin(struct replicator *r, struct http_request *req, const struct registry *reg,
                       const struct access *whose, struct http_plan *plan);
void entries_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                   const struct registry *reg, const struct access *whose, struct http_plan *plan);
void holds_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                 const struct region *peer, struct http_plan *plan);
void upload_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                  const struct region *peer, struct http_plan *plan); // upload_serve.c
// A blob that another region has, to be copied ahead of its manifest.
struct ahead_copy {
    // borrowed; `from` has it, `origin` told of it first
    const char *registry, *repository, *from, *origin;
    struct digest digest;
    uint64_t size;
    // no client may be about to ask for it
    bool later;
    // the others of the group are told when it is here (relays.h)
    bool hands_on;
};
// 0: it is on its way. ERR_FULL, ERR_BUSY, ERR_CONFLICT, ERR_NOMEM: not now.
int ahead_copy(struct replicator *r, const struct ahead_copy *c);
void ahead_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                 const struct region *peer, struct http_plan *plan);
// --- origin_word.c: regions that were forgotten, and are to be ---
// To a region that was forgotten, in place of an answer; and does this answer say so?
void serve_forgotten(struct http_request *req, struct http_response *resp,
                     const struct region *peer);
bool serve_says_forgotten(struct bytes body);
// What it answers; a new reference. ERR_BUSY: the log changed meanwhile.
int origin_word_say(struct replicator *r, const char *of, json_t **out);
// GET …/origin, for the writer.
void origin_word_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                       const struct region *peer, struct http_plan *plan);
// What an entry says, where it stands, its running hash. NULL: out of memory.
json_t *entry_json(const struct feed_entry *e);
// On the pool: answers with what `make` reads of the store for req->ctx, a new json_t *; `sorry`
// where that is NULL.
void serve_list(struct replicator *r, struct http_request *req, struct http_response *resp,
                void *(*make)(void *ask, struct arena *a), const char *sorry);

#endif
