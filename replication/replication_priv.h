// SPDX-License-Identifier: Apache-2.0
// What the files of this room share: the replicator, its peers, its running jobs.
//
// Threads: one reader per other region (peer_read.c), one that watches for silence (beats.c), one
// keeper that opens and closes writes (recover.c), one that compares clocks (clock_watch.c), one
// dispatcher and n_fetches workers for jobs (jobs.c); HTTP threads and the pool come in through
// serve.c. One lock, r->lock, guards all that is not said to be otherwise; nothing blocks under it.
#ifndef MERIDIAN_REPLICATION_PRIV_H
#define MERIDIAN_REPLICATION_PRIV_H

#include "base/wait.h"
#include "content/content.h"
#include "content/grade.h"
#include "net/pool.h"
#include "net/refuse.h"
#include "net/response_reader.h"
#include "replication/cursor.h"
#include "replication/replication.h"
#include "replication/room.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#define ERROR_TEXT_SIZE 256

#define PEER_CONNECT_MS 3000
#define PEER_ANSWER_MS 10000
#define FEED_BEAT_MS 2000      // a feed says something at least so often
#define FEED_BEAT_OLD_MS 15000 // one that does not say how often
#define FEED_SLACK_MS 500      // a beat that is late by so much is missed
#define FEED_LOOK_MS 15000     // a feed looks into the store so often, though every commit wakes it
#define FEED_TURN_MS 600000    // a stream ends after so long, so that connections turn over
#define SOURCE_IDLE_MS 15000

struct response_producer;
struct replicator;

enum mark_state {
    MARK_UNKNOWN, // not asked since the start (invariant 8)
    MARK_FINE,    // it had read nothing that we do not hold
    // it says that it read entries of ours that we do not hold: what it has of us is due to be
    // looked at
    MARK_AHEAD,
};

struct peer { // another region
    struct replicator *r;
    char name[HOSTNAME_REGION_SIZE];
    pthread_t reader;
    bool reader_started;

    // holds a registry that we hold, by the topology in force
    bool shares;
    // its feed is being read
    bool connected;
    // and it said that nothing more is there
    bool caught_up;
    // it refused our cursor: it lost entries that we hold
    bool diverged;
    // it was read since the start
    bool met;
    // its feed was asked for, and the answer is awaited
    bool trying;
    // its stream was given up for silence since beats.c looked last
    bool missed;
    // three of its beats were missed; beats.c alone decides
    bool away;
    // it was heard once, and that was told
    bool known;
    // it did not even answer, the last time
    bool unreached;
    unsigned failures, n_seen, n_inbound_contacts;
    // wall; 0: never
    int64_t last_contact_ms;
    // its last bytes (response_reader_watch); 0: none since the start
    _Atomic int64_t heard_mono;
    // how often it says something
    unsigned beat_ms;
    // when its feed was last asked for; when it last asked us something
    int64_t try_mono, inbound_contact_mono;
    // what the reader waits for is given up
    _Atomic bool hang_up;
    // "" while all is well
    char last_error[ERROR_TEXT_SIZE];
    // Its feed stands because this region cannot store what it reads: the error of our store. 0:
    // that is not so. Says nothing about the peer.
    int stuck;
    uint64_t bad_lines;
    // a session runs
    bool reading;
    // entries that were passed over
    uint64_t n_malformed;
    // stamp of the entry of the future that reading stopped before; 0: none
    uint64_t ahead;
    // wall
    int64_t ahead_since_ms;

    enum mark_state mark_state;
    // how far it has read us, as it said
    struct feed_mark mark;
    // a mark of it past our log that recovery has dealt with: served from the next epoch on
    struct feed_mark settled;
    // looks at what it has of us that failed or proved nothing, one after the other
    unsigned n_unproven;
    // the next look: not before
    int64_t recover_after_mono;
    // signed entries of ours that it holds, and the topology lacks it; "": none
    char strange_key[ENTRY_KEY_SIZE];

    // as a source of content (replication/peer_source.h)
    struct source *source;
};

struct worker { // one fetch worker and what it does now
    struct replicator *r;
    pthread_t thread;
    bool started, busy;
    // of the job
    struct arena arena;
    struct job job;
    // known to be missing still; under r->lock
    uint64_t bytes_left;
    // for what it fetches
    struct space_charge charge;
    // bytes for which there was no room; 0: that was not it
    uint64_t lacks;
    // the last error is our own disk's, whoever sent the bytes
    bool own_fault;
    // of the error that it ends with
    enum grade grade;
};

struct absence { // a job whose content no region had, so far
    int64_t job;
    int64_t since_mono, last_mono;
    unsigned n_looks;
};
#define ABSENCES_MAX 512

struct replicator {
    _Atomic unsigned refs;
    _Atomic bool stopping;
    // streams to peers end, and no new one begins
    _Atomic bool draining;
    // strings are ours
    struct replicator_options o;
    pthread_mutex_t lock;
    // anything below; waited on with limits
    pthread_cond_t changed;

    struct peer *peers[TOPOLOGY_MAX_REGIONS];
    size_t n_peers;
    // grows with each replicator_reconfigure
    uint64_t reconfigured;
    // of the topology in force
    _Atomic uint32_t skew_ms;

    // while a repair runs: no session reads, no stream goes on
    _Atomic unsigned paused;
    // streams that began before one end
    _Atomic unsigned n_repairs;

    // pool jobs that use the store now
    unsigned n_inside;

    pthread_t beats;
    bool beats_started;
    // a region may have gone, or come back
    bool beats_due;

    // keeper
    pthread_t keeper;
    bool keeper_started;
    // META_GATE_RECOVERY; the keeper's own, as what follows
    bool gate_open;
    // a new epoch must begin before it opens
    bool epoch_due;
    // and past this one
    uint64_t epoch_past;
    // began, and is to be told of when it opens; 0: none
    uint64_t epoch_said;

    // has a thread of its own; set before any other starts
    struct clock_watch *clock;
    // the same
    struct mender *mender;

    // keys that are revoked
    pthread_t revoker;
    bool revoker_started;
    // of the topology by which the store was told
    _Atomic uint64_t revoked_version;

    // jobs
    pthread_t dispatcher;
    bool dispatcher_started;
    uint64_t jobs_kicked;
    struct worker *workers;
    size_t n_workers;
    // what its workers and the mender fetch goes through it
    struct content *content;
    // job 0: free
    struct absence absences[ABSENCES_MAX];
    // of regions that may give content
    unsigned n_returns;
    // the dispatcher's: passes since nothing was hidden from it
    unsigned n_made_way;
    // for what jobs fetch; knows whether the disk is full
    struct room *room;

    pthread_mutex_t streams_lock;
    struct response_producer *streams;
};

// Why what `p` holds of us cannot be taken back, and what to do. Under r->lock. false: nothing is
// known to be wrong.
bool recover_fault(const struct peer *p, char *out, size_t cap);

struct replicator *replicator_ref(struct replicator *r);
void replicator_unref(struct replicator *r);
bool replicator_enter(struct replicator *r); // false once stop began; else leave must follow
void replicator_leave(struct replicator *r);
// NULL if unknown; peers live as long as r
struct peer *replicator_peer(struct replicator *r, const char *region);
void replicator_sleep(struct replicator *r, int64_t ms); // or until stop
void replicator_peers_update(struct replicator *r);      // makes peers for regions of the topology

// --- peer.c: reaching another region ---
struct dial { // strings behind a fetch_request
    char url[1024], host[HOSTNAME_TEXT_SIZE + 16], range[64], accept[256], socket[256];
    const char *headers[4];
    struct endpoint to;
    struct fetch_request q;
};
// `target`: path and query. `reg`: whose content is asked for (goes into Host), or NULL.
// ERR_NOTFOUND: no such region.
int peer_dial(struct replicator *r, const struct topology *t, const char *region,
              const char *target, const struct registry *reg, struct dial *out);
// A whole small answer. 0 whatever the status; *out_body is the caller's to free with buf_done.
int peer_get(struct replicator *r, const struct topology *t, const char *region, const char *target,
             const struct registry *reg, const char *accept, size_t max, int *out_status,
             struct buf *out_body, char error[ERROR_TEXT_SIZE]);
void peer_seen(struct peer *p); // it answered
void peer_failed(struct peer *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// our own store does not take what is read of it; 0: it does again
void peer_stuck(struct peer *p, int rc);
// reading stopped before an entry of the future
void peer_clock_ahead(struct peer *p, uint64_t stamp);
size_t shared_registries(const struct topology *t, uint8_t a, uint8_t b, const char **out,
                         size_t cap);

// --- beats.c ---
// How long nothing was heard of it that should have been; 0 when nothing is to be heard. Under
// r->lock.
int64_t peer_silence_ms(const struct peer *p);
bool peer_silent(const struct peer *p); // the second beat in a row is missed. Under r->lock
// silence after which it counts as away. Under r->lock
int64_t peer_patience_ms(const struct peer *p);

// --- threads ---
void beats_kick(struct replicator *r); // to look now. Under r->lock
void *beats_main(void *replicator);
void *peer_reader_main(void *peer);
void keeper_begin(struct replicator *r); // ahead of its thread
void *keeper_main(void *replicator);
void *dispatcher_main(void *replicator);
void *worker_main(void *worker);
void jobs_kick(struct replicator *r); // something may have become due

// --- recover.c ---
// asks p how far it has read us
int recover_ask(struct replicator *r, struct peer *p, const struct topology *t);
// A peer came with a mark that is no place in our log: it is asked to prove that it has read it.
// Thread-safe.
void recover_want(struct replicator *r, struct peer *p, const struct feed_mark *mark);
bool recover_settled(struct replicator *r, struct peer *p, const struct feed_mark *mark);
// How far this region has read `origin` (or for itself: its head).
int read_mark(struct replicator *r, const char *origin, struct feed_mark *out);

// --- repair.c ---
// what to say of a cursor; NULL: it is not void
json_t *voided_json(struct replicator *r, const struct feed_mark *asked);
// After a 409: takes what the peer says of its own entries, if it does and has signed it. 0 when
// the mark `stored` went back by it.
int voided_take(struct peer *p, const struct topology *t, const struct feed_mark *stored,
                struct response_reader *f);
void void_register_log(const struct void_register *v);

// --- revoked.c ---
// Tells the store which keys this topology revokes, if it was not told: before anything is read by
// it. Thread-safe.
int revoked_tell(struct replicator *r, const struct topology *t);
void *revoker_main(void *replicator);
void revoked_begin(struct replicator *r, struct http_request *req, const struct registry *reg,
                   struct http_plan *plan);

// --- entries.c ---
// what it says, where it stands, its running hash. NULL: out of memory
json_t *entry_json(const struct feed_entry *e);
void entries_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                   const struct registry *reg, struct http_plan *plan);

// --- apply.c ---
enum apply_result {
    APPLY_DONE,
    APPLY_WAITS,   // for another entry of its repository
    APPLY_NEEDS,   // content from elsewhere
    APPLY_ABSENT,  // no region that could be asked has got it yet
    APPLY_BUSY,    // another job fetches what it needs, and every worker has something to do
    APPLY_NO_ROOM, // what it needs does not fit on the disk: worker.lacks
    APPLY_FAILED,
};
// What can be done without the network. On APPLY_FAILED *out_rc says why. On APPLY_NEEDS
// *out_missing is the first blob that is missing (n 0: it is the manifest).
enum apply_result apply_local(struct replicator *r, const struct job *job,
                              struct digest *out_missing, int *out_rc);
// Fetches what is missing and applies. error is for status and log.
enum apply_result apply_fetching(struct worker *w, int64_t *out_not_before_mono,
                                 char error[ERROR_TEXT_SIZE]);

// --- blob_fetch.c ---
// Makes the blob be here; any of the registry's other regions may give it, the origin first.
// ERR_BUSY: see APPLY_BUSY.
int blob_fetch(struct worker *w, const struct topology *t, const struct registry *reg,
               const struct digest *d, uint64_t size, int64_t *out_not_before_mono,
               char error[ERROR_TEXT_SIZE]);
// a fetch worker has nothing to do
bool worker_is_idle(struct replicator *r);
bool blob_in_flight(struct replicator *r, const struct digest *d);
// one may be asked now
bool sources_free(struct replicator *r, const struct topology *t, const struct registry *reg);
int manifest_fetch(struct worker *w, const struct topology *t, const struct registry *reg,
                   struct buf *out, int64_t *out_not_before_mono, char error[ERROR_TEXT_SIZE]);

// --- routes, after serve.c has judged who asks ---
void feed_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                const struct region *peer, struct http_plan *plan);
void mark_begin(struct replicator *r, struct http_request *req, const struct region *peer,
                struct http_plan *plan);
void content_probe_begin(struct replicator *r, struct http_request *req, const struct registry *reg,
                         const char *repository, struct http_plan *plan);
void status_begin(struct replicator *r, struct http_request *req, const struct registry *reg,
                  struct http_plan *plan);
// On the pool: answers with what `make` reads of the store for req->ctx, a new json_t *; `sorry`
// where that is NULL.
void serve_list(struct replicator *r, struct http_request *req, struct http_response *resp,
                void *(*make)(void *ask, struct arena *a), const char *sorry);

#endif
