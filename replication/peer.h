// SPDX-License-Identifier: Apache-2.0
// One other region, as this region knows it: how the reading of its feed goes, when it was heard,
// when it asked us something. The reader of its feed (peer_reader.c, feed_session.c) reports; the
// silence watch judges; status and sources of content look.
//
//   peer_failed(p, "answered %d", status);
//   …
//   struct peer_view v;
//   peer_look(p, &v);                       // connected, failing, last_error …
//
// Ownership: made by the set of peers (peers.h), which keeps it until the end; a region that left
// the topology idles.
// Threads: any, a lock of its own; functions of the reader are called by its thread alone.
//
// Invariants
//   1. `away` changes in peer_judge_silence alone, so that each change is told once.
//   2. A peer that is caught up is connected.
//   3. While a peer is stuck (our own store does not take what it sends) its silence is not
//      counted: it is this region that does not listen.
#ifndef MERIDIAN_REPLICATION_PEER_H
#define MERIDIAN_REPLICATION_PEER_H

#include "replication/dial.h"
#include "replication/mark_claim.h"
#include "replication/silence.h"

struct bandwidth_line;
struct peer;
struct replicator;
struct source;

int peer_new(struct replicator *r, const char *region, struct peer **out);
void peer_free(struct peer *p); // NULL is ignored

// --- constant ---
const char *peer_name(const struct peer *p);
struct replicator *peer_replicator(const struct peer *p);
// what its fetches take of the bandwidth (replication/bandwidth.h)
struct bandwidth_line *peer_line(struct peer *p);
// as a source of content (replication/peer_source.h)
struct source *peer_source(const struct peer *p);
// what it says that it has read of us
struct mark_claim *peer_claim(const struct peer *p);

// --- anybody ---

// A request of that region's came in: it is there, and the way from it to us is open.
void peer_inbound_contact(struct peer *p);
// Ends what its reader waits for.
void peer_hang_up(struct peer *p);
// Wakes its reader from a rest: the topology is another one, or the replicator stops.
void peer_wake(struct peer *p);
// It answered a request.
void peer_seen(struct peer *p);
// The last try to use its feed failed, for this reason. `fmt` as in printf.
void peer_failed(struct peer *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// Three of its beats were missed, or it was forgotten: nobody waits for it.
bool peer_is_away(struct peer *p);
// It says that this region was forgotten.
bool peer_disowns(struct peer *p);

struct peer_view {
    // its feed is being read, and it said that nothing more is there
    bool connected, caught_up;
    // It refused our cursor, or says something else than it said before, or leaves out entries each
    // time it is read.
    bool diverged;
    // the last try failed
    bool failing;
    // It was forgotten; all is here that counts of it; more is here than that.
    bool sealed, sealed_whole, sealed_more;
    // reading stopped before an entry of the future, since then (wall)
    bool ahead;
    int64_t ahead_since_ms;
    // two beats in a row were missed, and how long nothing was heard of it that should have been
    bool silent;
    int64_t silence_ms;
    // Our own store does not take what is read of it: its error. Else 0.
    int stuck;
    // entries that were passed over
    uint64_t n_malformed;
    // Lines of its feed that no valid key of the origin signed, each time that they came; and what
    // was wrong with the last one.
    uint64_t n_forged;
    char forged[ERROR_TEXT_SIZE];
    // wall; 0: never
    int64_t last_contact_ms;
    // "" while all is well
    char last_error[ERROR_TEXT_SIZE];
};
void peer_look(struct peer *p, struct peer_view *out);

enum peer_turn {
    PEER_AS_BEFORE,
    PEER_GONE,
    PEER_BACK,
    // heard for the first time since the start
    PEER_MET,
};
// Judges its silence; each change is returned once. For the silence watch alone.
enum peer_turn peer_judge_silence(struct peer *p);

// --- its reader ---

// Whether the two regions share a registry, by the topology in force: else nothing is to be heard.
void peer_shares(struct peer *p, bool shares);
// Whether the topology in force has it sealed; and if so, whether all is here that counts of it, and
// whether there is more, past the seal.
void peer_sealed(struct peer *p, bool sealed, bool whole, bool more);
// Whether it says that this region was forgotten.
void peer_disowned(struct peer *p, bool says);

struct peer_try { // one turn of the reader
    unsigned n_contacts, n_seen;
};
void peer_turn_begin(struct peer *p, struct peer_try *out);
struct peer_outcome {
    // it did not even answer
    bool unreached;
    bool stuck;
    // failures since it was last read
    unsigned n_failures;
    // stamp of the entry of the future that reading stopped before; 0: none
    uint64_t ahead;
};
// `broke`: the connection broke, and was not ended by what the peer said, or by us: then its
// silence goes on counting.
void peer_turn_end(struct peer *p, const struct peer_try *t, bool broke, struct peer_outcome *out);
// Rests for so long; at most `contact_ms` from the first inbound contact on. Ends at the stop.
void peer_rest(struct peer *p, const struct peer_try *t, int64_t ms, int64_t contact_ms);
// Waits for peer_wake, at most so long, unless it came since peer_wakes was read.
unsigned peer_wakes(struct peer *p);
void peer_wait_wake(struct peer *p, unsigned n_wakes, int64_t ms);

// Its feed is asked for now; `hang_up`: and that is given up at once.
void peer_try_begin(struct peer *p, bool hang_up);
void peer_try_end(struct peer *p);
// Turns true when what the reader waits for is given up.
const _Atomic bool *peer_hang_up_flag(const struct peer *p);
// When its last bytes came in, for response_reader_watch.
_Atomic int64_t *peer_heard(struct peer *p);
// Its greeting came. How long its stream may be silent: see silence_patience_ms.
int64_t peer_learn_beat(struct peer *p, unsigned beat_ms);
// It is read again. true: it could not be, until now.
bool peer_is_back(struct peer *p);
// A progress line. `complete`: what lies before it was read too.
void peer_progress(struct peer *p, bool caught_up, bool complete);
// It left out entries: what is missing. How often in a row, since it was caught up last: from
// PEER_GAPS_TOLD on status says Conflict.
#define PEER_GAPS_TOLD 3
void peer_gap(struct peer *p, const char *what);
unsigned peer_gaps(struct peer *p);
// Any entry that is taken says that no entry of the future is in the way.
void peer_entry_taken(struct peer *p, bool malformed);
// It said an entry, or heads, without a valid signature of the origin: what is wrong, behind which
// place; NULL: in a snapshot.
void peer_forged(struct peer *p, const char *why, const struct feed_mark *behind);
void peer_diverged(struct peer *p);
// Its stream was given up for silence.
void peer_missed(struct peer *p);
// Our own store does not take what is read of it (rc), or does again (0).
void peer_stuck(struct peer *p, int rc);
// A snapshot of it is not the way to begin, since this process started: its feed is short, or it
// serves none.
void peer_found_short(struct peer *p);
bool peer_is_short(const struct peer *p);
// When pages of its snapshots were taken last, that its feed may have its turn between; 0: never.
void peer_joined(struct peer *p, int64_t mono);
int64_t peer_joined_mono(const struct peer *p);
// As peer_gaps, but 0 when that was said before.
unsigned peer_gaps_news(struct peer *p);
// Reading stopped before an entry of this stamp, which is of the future by `skew_ms`.
void peer_clock_ahead(struct peer *p, uint64_t stamp, uint32_t skew_ms);

#endif
