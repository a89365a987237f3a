// SPDX-License-Identifier: Apache-2.0
// What the files share that read one other region's feed: feed_session.c (where a reading begins and
// how it goes on), feed_stream.c (one connection and its lines) and feed_batch.c (what goes into the
// store, and what was read without a gap). All on the thread of that region's reader.
#ifndef MERIDIAN_REPLICATION_FEED_SESSION_PRIV_H
#define MERIDIAN_REPLICATION_FEED_SESSION_PRIV_H

#include "replication/feed_line.h"
#include "replication/feed_session.h"
#include "replication/peer.h"
#include "replication/replication_priv.h"

#define BATCH_ENTRIES 64
#define BATCH_BYTES (32u << 20)
#define BUSY_LOOK_MS 100 // at a store that is busy

// How the past of registries is to come that was not read yet.
enum past_want {
    PAST_NONE,
    // pages of snapshots are due
    PAST_SNAPSHOTS,
    // a snapshot is complete at an earlier place: the feed is read again from there
    PAST_FEED,
    // the feed before the mark is gone: snapshots of those that were not read, up to the mark
    PAST_TRIMMED,
    // the feed behind the mark is gone: snapshots of all, beyond the mark
    PAST_ANEW,
};

struct session {
    struct replicator *r;
    struct peer *p;
    const struct topology *t;
    struct feed_rules rules;
    // The region that hands on what a sealed origin wrote; NULL: the origin itself is read.
    const char *via;
    // what it said (struct feed_relayed)
    bool told_all, told_seal;
    // the read mark in the store
    struct feed_mark stored;
    // of the last entry of its epoch that is held; 0: none is
    uint64_t stored_stamp;
    // reading again what lies before `stored`, from `from` on; zero: from its beginning
    bool from_start;
    struct feed_mark from;
    // the first line came
    bool greeted;
    // of the origin: as its lines say, and what is held here
    struct feed_heads *said, *held;
    // the stream is dead after so long without a word
    int64_t patience_ms;
    // of the session
    struct arena names;
    // read without a gap up to `stored`
    const char **covered;
    size_t n_covered;
    // what will be covered when the re-reading has passed `stored`
    const char **target;
    size_t n_target;
    // their snapshots are under way, or failed: what comes of them now is passed over
    const char **left;
    size_t n_left;
    // when the session ends for one of them; 0: not
    int64_t join_mono;
    // what FEED_READ_AGAIN of a greeting, or of a refusal, is for
    enum past_want want;

    // the last line was: what came before it is good
    bool refused;
    // of entries by a revoked key; NULL: nothing is to be proven
    struct feed_proof *proof;
    // this pass only follows the hashes
    bool proving;
    // A stretch of the proof ended (feed_proof.h): connections go on from there, in this session
    bool goes_on;
    struct feed_mark on, on_proven;
    uint64_t on_stamp;

    struct arena batch;
    struct feed_entry entries[BATCH_ENTRIES];
    size_t n_entries;
    // a progress line since the last flush
    bool progressed;
    // that line said that nothing more is there
    bool caught_up;
    // what was begun of snapshots was looked at, because the feed has all (snapshots_settle)
    bool settled;
    // of the topology that was looked at last; 0: none yet
    uint64_t generation;
};

// Is another version of the topology in force than the session's?
bool session_outdated(struct session *s);

// --- feed_stream.c ---

// Of session_connect, beside FEED_READ_AGAIN: the first of two passes is over, see feed_proof.h.
#define PROVED 2
#define STRETCH_ENDED 3
// Where the next connection begins.
void session_place_set(struct session *s);
// One connection, until it ends. Below 0: an error, which the peer's state has.
int session_connect(struct session *s);

// --- feed_past.c ---
// Of the registries of the greeting, which is the target: which are read on, and what is to be done
// for the others. 0: the feed is read, without those that are left. FEED_READ_AGAIN: see s->want.
int past_judge(struct session *s);
// Each takes pages of snapshots. FEED_READ_AGAIN: connect again. 0: nothing came of it now.
// ERR_UNSUPPORTED: their registries are read from the feed.
int past_join(struct session *s);
// Of those whose past is gone from the feed, up to the mark.
int past_join_trimmed(struct session *s);
// Of all registries, beyond the mark. `trimmed`: the feed behind the mark is gone; else it leaves out
// entries.
int past_join_anew(struct session *s, bool trimmed);
// The pages of a snapshot were taken in the middle of this one, or are due by now: the session ends.
bool past_is_due(const struct session *s);
// The feed has nothing more now: what waits for its turn has it.
void past_idle(struct session *s);

// --- feed_batch.c ---
// Stores what was read since the last flush, and moves the read mark.
int batch_flush(struct session *s);
void batch_reset(struct session *s);
// The greeting says what the sender filters by. FEED_READ_AGAIN: a registry is in it whose past was
// not read, so the feed is to be read from its start.
int session_greet(struct session *s, const struct feed_line *l);
// The target is read without a gap up to the mark. A relay's is added to what is: others hold others.
int session_covers(struct session *s);
// Is a registry among those of the greeting whose past was not read?
bool session_has_new(const struct session *s);

#endif
