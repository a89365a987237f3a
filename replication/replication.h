// SPDX-License-Identifier: Apache-2.0
// Replication of one region (design section 9): serves its feed to peers, reads theirs, fetches
// what they announce, applies it, and says how far it is. Manifests and tags become visible only
// after all they refer to is here.
//
//   GET /replication/v1/feed?after=CURSOR[&origin=R]   peer listener, long-lived, JSON lines
//                                                      (replication/feed_line.h); 409 {error, head}
//                                                      when the cursor is no place in the feed.
//                                                      With origin=R: what is held of R, then the
//                                                      end
//   GET /replication/v1/mark?origin=R                  peer listener: {"mark":CURSOR}, how far R
//                                                      was read (invariant 8)
//   GET /replication/v1/digests?registry=KEY…           peer listener: what clients of this region
//                                                      see, as digests (replication/digest_page.h)
//   GET /replication/v1/clock                          peer listener: {"region", "wallMs": Unix
//                                                      time in milliseconds}
//   GET /replication/v1/reach?registry=KEY        peer listener: how far this region is with a
//                                                      registry (replication/reach.h)
//   POST /replication/v1/holds, …/ahead                peer listener: what of a repository is held
//                                                      here, and a copy ahead of its manifest
//                                                      (replication/holds.c)
//   GET /replication/v1/status?registry=…              public listener, with a token of this
//                                                      registry that may pull or list somewhere in
//                                                      it (challenge scope: registry:catalog:*)
//   GET /replication/v1/have?registry=&repository=[&tag=][&digest=][&stamp=][&wait_ms=]
//       [&origin=][&epoch=][&generation=][&gone=1]
//       public listener, with pull on the repository: for `replication wait`. Answers {registry,
//       repository, tag?, region, found, digest?, stamp?, origin?, epoch?, createOnly?,
//       generation?, gone?, dead?, clockAhead?, noSpace?}; stamp, epoch and generation are decimal
//       strings. They are the highest value of the register, whether it shows (found) or not: gone
//       is its tombstone, dead a tag whose manifest was deleted after it. noSpace: {neededBytes?}: what was asked for does not fit on this region's
//       disk (not at once: it may yet). clockAhead: true, at once, when the stamp asked for is of
//       the future here (the reader takes nothing so far ahead of its clock). With wait_ms (at
//       most 25,000) the answer comes when the thing asked for is there, or the time is over: the
//       tag with this digest or a stamp at least so high (either will do; with neither: any
//       value; with all of stamp, origin, epoch and digest or gone, and generation of a create-only
//       value: this value or a higher one), or without a tag the manifest with this digest, or its
//       tombstone above this stamp.
//
// Status (also of the admin socket): {"region", "time", "writes": "open" or why not, "clock",
// "replications": [{"registry", "region" (the reader: here), "origin", "state":
// Ready|Syncing|NeedsUpgrade|Retrying|NoSpace|Unreachable|ClockAhead|Conflict|Diverged, "lagSeconds",
// "lagEntries", "speaks" (the version of the feed that the origin speaks, by its last word; left out
// when it was never heard), "unknown": [{"repository", "attribute", "entries", "freezes"}] (left
// out when none: entries that this program does not know), "bytesToGo" (left out while
// unknown), "lastError" (string or null), "lastContact" (RFC 3339 or
// null), "epoch", "read", "applied" (sequence numbers), "passedOver" (malformed entries since the
// start), "clockOffsetMs", "clockErrorMs" (the origin's wall clock less ours; left out while
// unknown), "noSpace": {"entries", "bytes"} (left out when none: entries whose content does not fit
// on this region's disk, and what they need), "ahead": {"waitingBytes", "copiedBytes",
// "usedBytes", "wastedBytes", "refused"} (left out when nothing: replication/ahead.h, since the
// start), "relays": [REGION] (whom this region asks for the origin's blobs before the origin, best first;
// left out when nobody: replication/relay.h), "wrongBytes": {"times", "last"} (left out when never
// since the start: contents of the origin that were not what their digest says)}]}. NeedsUpgrade:
// this region keeps entries of the registry, and hands them on, that only a newer program applies;
// where one "freezes", its repository takes no writes here until then. Conflict: its feed is
// another one than it was, or leaves out entries each time that it is read. Diverged: a comparison of
// what clients see found a difference that is not made good yet; "compared": {"state": never|whole|
// part|unsupported|failed, "at", "subjects", "differences", "mended" (counts), "lastError"} says more
// (part: some of it lags too widely to be compared; unsupported: an earlier release is there). NoSpace: some
// content does not fit above the disk's reserve, or the disk is full and what is read of the origin
// cannot be noted; all that fits goes on, and the rest when there is room. lastError names the
// worst of several errors first. "clock" is {"state": fine|differs|outvoted|unsynchronised (closed
// by the last two), "kernel": synchronised|unsynchronised|unknown, "why": sentence or null,
// "regions": {REGION: {"reached", "offsetMs", "errorMs" (null while unknown)}}}: see
// replication/clock_rule.h. A feed says something at least every 2 s: once the second of these
// beats is missed the state is Unreachable and lagSeconds the time since the last one; after the
// third the connection is given up and the region counts as away. ClockAhead: the next entry of the
// origin is stamped further ahead of this region's clock than the topology's
// replication.clock_skew, and so are all that follow; reading stopped before it, and goes on when
// the clock has come near. "faults" (of the whole document) says what keeps this region's own
// entries from being taken back from a peer. "origin" is the region itself only while entries of
// its own, recovered from peers, miss their content here. "applied" is a place in the origin's
// whole feed, the same for all its registries: all at or below it is applied, superseded, or has no
// room here; "lagEntries" is what this registry has to go.
#ifndef MERIDIAN_REPLICATION_REPLICATION_H
#define MERIDIAN_REPLICATION_REPLICATION_H

#include "auth/verify.h"
#include "base/snapshot.h"
#include "config/fetch_rates.h"
#include "config/topology.h"
#include "content/elsewhere.h"
#include "net/fetch.h"
#include "net/http.h"
#include "replication/clock_rule.h"
#include "store/blob.h"
#include "store/meta.h"
#include "store/space.h"

struct replicator;
struct replicator_options {
    const char *region;
    struct snapshot *topology;
    struct meta *meta;
    struct blob_store *blobs;
    // which tokens were revoked (struct principals); NULL: none
    struct snapshot *principals;
    // against which fetches are charged; NULL: nothing is ever refused for want of room
    struct space *space;
    // blocking work
    struct pool *pool;
    struct fetcher *fetcher;
    // for what measures the others' clocks; NULL: the same
    struct fetcher *probes;
    // mutual TLS to peers
    const char *ca_file, *peer_pem;
    // Verifies a feed entry's signature with a key of the topology (certs/keys.h ed25519_verify),
    // injected so that this room needs no crypto of its own.
    int (*verify)(const char *spki_b64, const void *p, size_t n, const uint8_t sig[64]);
    // The store was handed over by a process whose writes were open (meta_hand_over), a moment ago:
    // nothing of it was lost since, and the clock was right. Writes are open at once; what closes
    // them later does.
    bool continues;
    // how long the start waits for peers' marks before writes open; 0: 3,000
    unsigned start_ask_ms;
    // A feed with fewer entries is read from its beginning by who joins; snapshots are taken of longer
    // ones. 0: 1,000
    unsigned join_feed_min;
    // entries of a page that it asks for; 0: 1,000, which is the most
    unsigned join_page_max;
    // entries of a feed whose hashes a proof keeps at a time (replication/feed_proof.h); 0: 1,000,000
    unsigned proof_max;
    // how long the start waits for what they cannot give back; 0: 60,000
    unsigned recover_patience_ms;
    // between two comparisons of our clock with the others'; 0: 5,000
    unsigned clock_every_ms;
    // between two rounds in which the others are told how far this region is; 0: 5,000
    unsigned words_every_ms;
    // between two looks at what was deleted and may go for good; 0: a minute
    unsigned drop_every_ms;
    // Tests: instead of replication.feed_keep. 0: that.
    int64_t drop_keep_ms;
    // Tests: nothing is waited for beside the members' words (replication/settle.h).
    bool drop_settles_at_once;
    // Content that no region has got yet is waited for quietly, for so long; then it counts as
    // failed. 0: 30,000
    unsigned absent_ms;
    // between two rounds in which what clients see is compared with other regions; 0: an hour
    int64_t compare_every_ms;
    // manifests and tags that are compared in a second; 0: 500
    unsigned compare_rate;
    // manifests and tags that one answer about digests looks at, at most DIGEST_LOOKS_MAX
    // (replication/digest_page.h); 0: that
    unsigned digest_looks;
    // parallel fetches of manifests and blobs; 0: 4
    unsigned n_fetches;
    // how long a relay has for a blob without bytes (replication/relay.h); 0: 5,000
    unsigned relay_patience_ms;
    // bytes that may be copied here ahead of their manifests and wait for one (replication/ahead.h);
    // 0: 16 GiB
    uint64_t ahead_bytes;
    // bytes that partial fetches may hold, before those that nobody goes on with are given up; 0: no
    // bound
    uint64_t partial_bytes;
    // bytes a second that may be fetched from the others; zero: no limit
    struct fetch_rates fetch_rates;
    // Tests: instead of content/fence.h. NULL: that.
    bool (*fence)(const struct topology *t, const struct registry *reg, const char *repository,
                  const char *region);
    // Directory of replication.json (which registries of each origin were read so far).
    const char *state_dir;
    // A region's beats were missed (true), or it is heard (again). On a thread of its own, without
    // locks; may be NULL.
    void (*on_away)(void *ctx, const char *region, bool away);
    void *on_away_ctx;
    // What operators have ordered for a region, as far as it concerns a registry (by its label),
    // for status. NULL: nobody knows. "" nothing.
    void (*orders)(void *ctx, const char *region, const char *label, char *out, size_t cap);
    void *orders_ctx;
    // Tests: the unix socket that stands for a region's peer listener, instead of TLS to its
    // address. 0, or not 0 for the real one.
    int (*dial_socket)(void *ctx, const char *region, char *out, size_t cap);
    void *dial_ctx;
};
// Opens META_GATE_RECOVERY of the store itself, once invariant 8 is seen to.
int replicator_start(const struct replicator_options *o, struct replicator **out);
// For who uses a replicator that another thread may stop: calls then fail, and the memory stays
// until the last one let go.
struct replicator *replicator_ref(struct replicator *r);
void replicator_unref(struct replicator *r);
// Ahead of a stop, on any thread: ends the streams to peers, which would hold up the edge for its
// whole drain time, and lets go of callers who wait for content. All else goes on. NULL is ignored.
void replicator_drain(struct replicator *r);
void replicator_stop(struct replicator *r);
// meta_options.on_commit: wakes feed streams and jobs; never blocks; r may be NULL
void replicator_committed(void *r);
// A request of that region's came in, of whatever kind: it is there, and the way from it to us is
// open. Any thread.
void replicator_inbound_contact(struct replicator *r, const char *region); // r may be NULL
// A blob that a repository links is lost or cut here, or a manifest is not what its digest says, as
// somebody noticed: it is looked at, and fetched anew from another region. Does not block; r may be NULL.
void replicator_suspect(struct replicator *r, const char *registry, const char *repository,
                        const struct digest *d);
// How many blobs and manifests are damaged or lost here and not mended yet; if any, a sentence about them that
// names none, for other regions see it. r may be NULL.
size_t replicator_damaged(struct replicator *r, char *out, size_t cap);
// How many regions' feeds contradict what was read of them (Conflict), or see something else than
// clients here by the last comparisons (Diverged); if any, a sentence with cause and cure that names
// regions and no registry, for other regions see it. Do not block; r may be NULL.
size_t replicator_conflicts(struct replicator *r, char *out, size_t cap);
size_t replicator_diverged(struct replicator *r, char *out, size_t cap);
// The store is empty, and writes wait for a region that can say what this one wrote before
// (write_gate.h): they wait no more. ERR_NOTFOUND: they do not wait for that.
int replicator_alone(struct replicator *r);
// meta_repair_clock, with reading and streams held meanwhile. Blocks. Not `apply`: only says what
// it would do.
int replicator_repair_clock(struct replicator *r, bool apply, struct arena *a,
                            struct clock_repair *out);
// After the topology changed: peers come and go.
void replicator_reconfigure(struct replicator *r);

// For paths beginning /replication/ . `peer` is the region of the verified peer certificate (peer
// listener), else NULL. On the public listener `reg` and `host` say which registry's endpoint was
// called.
void replication_begin(struct replicator *r, struct http_request *req, const struct topology *t,
                       const struct region *peer, const struct registry *reg,
                       const struct hostname *host, struct http_plan *plan);
// For the admin socket: json_t *, a new reference, NULL when out of memory or stopping. Blocks:
// call on the pool.
void *replication_clock_json(struct replicator *r); // "clock" alone; does not block
// What is thought of our clock, for the daemon.
struct clock_opinion {
    // with all that could be reached, at least once since the start
    bool compared;
    // off from a majority by more than CLOCK_FAR_MS: no certificates by it
    bool far;
    // by how much the others' are ahead of it, as most of those that are reached have it
    int64_t others_ms;
    // ahead of most that are reached by more than CLOCK_FAR_MS, whoever is right
    bool ahead;
    // our clock was set since: what is said here may hold no more, until the next round (a second)
    bool set_since;
    // off by so much that writes are closed
    bool closes;
    // what is wrong with it; "" fine
    char ours[CLOCK_SENTENCE_SIZE];
    // whose clocks are off from it by more than CLOCK_FAR_MS; "" nobody's
    char others[CLOCK_SENTENCE_SIZE];
};
// Another region's wall clock less ours, and how far that may be off; false: not measured. Not
// blocking; r may be NULL.
bool replication_clock_offset(struct replicator *r, const char *region, int64_t *out_offset_ms,
                              int64_t *out_error_ms);
// false: nobody compares it (r is NULL, or stopping). Not blocking.
bool replication_clock_opinion(struct replicator *r, struct clock_opinion *out);
// clock_suspect (clock_rule.h): whose clock is suspect when a date of this region's (NULL: no
// one's) does not fit. r NULL: that nothing is known. Not blocking.
void replication_clock_suspect(struct replicator *r, const char *region,
                               char out[CLOCK_SENTENCE_SIZE]);
// may stamps be judged by our clock (clock_rule.h)? Not blocking
bool replication_clock_vouched(struct replicator *r);
void replication_metrics(struct replicator *r, struct buf *out);
// What other members of a registry hold, for a push that scattered: the operations of
// content/elsewhere.h.
int replicator_ask(struct replicator *r, struct elsewhere_want *w, char silent[CONTENT_TEXT_SIZE]);
int replicator_fetch(struct replicator *r, struct elsewhere_want *w, char error[CONTENT_TEXT_SIZE]);
struct elsewhere_told *replicator_tell(struct replicator *r, const struct elsewhere_want *w);
void replicator_told(struct elsewhere_told *t, int64_t until_mono);
bool replicator_coming(struct replicator *r, const char *registry, const char *repository,
                       const struct digest *d);
void replicator_wait(struct replicator *r, const char *registry, const char *repository,
                     const struct digest *d, int64_t until_mono);
unsigned replicator_reachable(struct replicator *r, const char *registry,
                              char away[CONTENT_TEXT_SIZE]);
int replicator_ack_begin(struct replicator *r, const struct elsewhere_ack_want *w,
                         struct elsewhere_ack **out);
void replicator_ack_look(struct elsewhere_ack *a, struct elsewhere_ack_view *out);
void replicator_ack_wake(struct elsewhere_ack *a, void (*wake)(void *ctx), void *ctx);
void replicator_ack_end(struct elsewhere_ack *a);
// What is wrong with this region as its peers see it, and the cure: sentences, most often none.
// json_t *, an array, a new reference; NULL when out of memory. Any thread; r may be NULL.
void *replicator_faults_json(struct replicator *r);
// The same for those who may not see what other registries hold: with damaged content of that one
// alone, by its key, or of none (NULL).
void *replicator_faults_for(struct replicator *r, const char *registry);
void *replication_status_json(struct replicator *r, const char *registry /* NULL: all */);

#endif
