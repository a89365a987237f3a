// SPDX-License-Identifier: Apache-2.0
// The control feed of a node (docs/control-feed.md): a topology source (control/source.h) whose
// changes come from the fleet itself. One region, the writer, appends; all others take what it has
// signed, from whoever hands it over; each keeps it on its disk and serves from that. What carries
// it between the nodes is in fleet/, and what makes changes in lifecycle/.
//
//   const struct control_feed_options o = {.state_dir = "/var/lib/meridian/state",
//                                          .region = "eastus", .topology = "/etc/…/topology.yaml",
//                                          .principals = "/etc/…/principals.yaml", .keys = keys};
//   rc = control_feed_open(&o, &diag, &f);              // reads, writes nothing
//   s = control_feed_source(f);                         // load, follow and close as any source
//   rc = control_feed_own(f, 5000, &diag);              // from now on this process writes
//
// The writer:                                           The others:
//   control_feed_confirm(f, true);                        control_feed_take(f, lines, &diag, &n);
//   rc = control_feed_append(f, &draft, &diag, &place);   control_feed_read(f, &after, max, &out);
//
// Invariants (those of source.h and state.h hold too)
// 1. What a node says it has stored (control_view.place) is on its disk.
// 2. All parts of an entry come into force together, in the order of entries; a reader of the two
//    cells sees the topology first.
// 3. Nothing is appended unless the fleet room has confirmed that no majority knows a later place.
// 4. An entry of the writer that does not chain to what is in force is never applied: it is an alarm.
//
// Time. Dates of entries decide when names are free, when revoked tokens are forgotten and when nonces
// are, the same at every node, so they must not run ahead:
// 5. An entry is dated by the writer's wall clock while that is sure; else as the entry before it.
// 6. By a clock that is known to be wrong no registries, private endpoints and names are changed.
//    Everything else is taken, because a revocation must not wait for a clock.
// 7. A node applies an entry whatever its date, for the same reason, and has an alarm when that is far
//    ahead of its own clock.
// 8. Dates do not go back, but with a takeover: that sets right a time that is far ahead.
//
// A node whose disk takes nothing applies what comes all the same, because a revocation must reach
// it; it says that it has not stored it, and tries again.
//
// Threads: any. One call at a time changes the feed; readers do not wait for its disk. on_change and
// tellers run on the thread that made the change; tellers without a lock of the feed.
#ifndef MERIDIAN_CONTROL_FEED_H
#define MERIDIAN_CONTROL_FEED_H

#include "base/bytes.h"
#include "base/diag.h"
#include "control/entry.h"
#include "control/source.h"
#include "control/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control_feed;
struct region_keys;

#define CONTROL_BY_ENGINE_MAX 128
#define CONTROL_TIME_AHEAD_MS 60000 // so far ahead of a clock is far: clocks may differ

// What is thought of this node's wall clock.
enum control_clock {
    CONTROL_CLOCK_FINE,
    // not compared with the other regions' yet; or they differ, and nobody can tell whose is wrong
    CONTROL_CLOCK_UNSURE,
    CONTROL_CLOCK_WRONG, // by the word of a majority
};

struct control_feed_options {
    // <data_dir>/state; the feed keeps control/ in it
    const char *state_dir;
    const char *region;
    enum topology_form form;
    // files that the node begins with, as long as control/ is empty. Relative paths in the topology
    // are always from there
    const char *topology;
    // NULL: the node begins without any
    const char *principals;
    // NULL: this node signs nothing
    const struct region_keys *keys;
    // Any thread, with locks of the feed: does not wait. `why` for WRONG: by how much, against whom.
    // NULL: nobody compares it, and it is fine.
    enum control_clock (*clock)(void *ctx, char *why, size_t cap);
    void *clock_ctx;
    // see control/log.h; 0: as usual
    size_t segment_entries, segment_bytes, keep_entries, keep_bytes;
    // bytes of the ledger up to which drafts that spare its reserve are taken; 0:
    // CONTROL_LEDGER_MAX_BYTES less CONTROL_LEDGER_RESERVE_BYTES
    size_t ledger_spared_bytes;
};

// Reads what is on disk, or the files. Borrows the keys. ERR_INVAL, ERR_CORRUPT, …: diag says what
// to do.
int control_feed_open(const struct control_feed_options *o, struct diag *diag,
                      struct control_feed **out);
// Its close is the feed's too.
struct topology_source *control_feed_source(struct control_feed *f);
// Waits for a process before this one to let go, reads what that has written since, and writes what
// was adopted. Until then append, take and base_take say ERR_BUSY, and what the other process writes
// is followed. ERR_BUSY: it did not let go.
int control_feed_own(struct control_feed *f, int64_t wait_ms, struct diag *diag);

// ---- the writer ----

struct control_draft {
    // who asked; NULL: the region itself
    const char *by;
    // nonce of the request; NULL: none
    const char *request;
    // what must be in force; 0, and seq 0: anything
    uint64_t expect_topology, expect_principals;
    struct control_place expect;
    // documents, empty: as they are. The feed numbers them: a version in a frame or in principals is
    // replaced, one in a change may be left out
    struct bytes frame, change, principals;
    const struct control_record *records;
    size_t n_records;
    // It may not use what is kept free in the ledger for revocations, and for what has begun already:
    // ERR_FULL. What makes the ledger no larger is taken all the same. The writer alone looks at it:
    // an entry is an entry to all nodes.
    bool spares_reserve;
};

// Judged, signed, on disk and in force when it returns. ERR_DENIED: this node is not the writer, or
// not confirmed; ERR_BUSY: its clock is wrong (6); ERR_CONFLICT: not what was expected (diag names what is in force); ERR_INVAL: it
// cannot be; ERR_EXISTS: it changes nothing; ERR_FULL: the ledger is, but for its reserve; ERR_TOOBIG; ERR_NOSPACE and the like: nothing happened.
int control_feed_append(struct control_feed *f, const struct control_draft *d, struct diag *diag,
                        struct control_place *out);
// What append would come to (snapshot_unref), with its errors but ERR_DENIED, ERR_BUSY and
// ERR_FULL. Any node.
int control_feed_judge(struct control_feed *f, const struct control_draft *d, struct diag *diag,
                       struct control_state **out);
// The fleet room's word on invariant 3.
void control_feed_confirm(struct control_feed *f, bool confirmed);

// ---- what the root key signs ----

struct control_takeover {
    // who writes from now on; may be the writer, with another control key
    const char *region;
    // the frame of then; empty: as in force, with that writer
    struct bytes frame;
    // SPKI, standard base64: the one control key of the region from then on, in the place of those
    // that it has. NULL: those stay.
    const char *control_key;
};
// A line without signature, which goes on from this node's place, for control_entry_sign. It sets the
// feed's time to this node's when that is far ahead of it (8).
int control_feed_takeover_draft(struct control_feed *f, const struct control_takeover *t,
                                struct diag *diag, struct buf *out);
// The root key's word that everything up to a place is done. Only at the writer.
int control_feed_confirm_draft(struct control_feed *f, const struct control_place *upto,
                               struct diag *diag, struct buf *out);
// Takes the signed line: stored and in force when it returns. Any node for a takeover, the writer
// for a confirmation. One of all that is here confirms the feed too; after a takeover the fleet room
// does, as ever. ERR_AUTH; ERR_CONFLICT: the feed has gone on meanwhile, draft it anew.
int control_feed_signed(struct control_feed *f, struct bytes line, struct diag *diag,
                        struct control_place *out);

// ---- all others ----

// Takes lines in the order of the feed; those that are in force already are passed over. What comes
// before an error is taken. *out_taken: how many came into force.
// ERR_CONFLICT: signed by the writer and does not chain: alarm; or of an epoch that is over.
// ERR_GAP: it is signed, and entries before it are missing: ask again, or for the base. ERR_FROZEN:
// upgrade this node.
// ERR_AUTH, ERR_INVAL: not what a writer makes. ERR_NOSPACE and the like: in force, but not stored;
// ask again later.
int control_feed_take(struct control_feed *f, struct bytes lines, struct diag *diag,
                      size_t *out_taken);
// Lines after a place, one at least if there is one. Empty: nothing, or the asker is further.
// A place that a takeover made void: the lines begin with that takeover. ERR_GONE: it is not kept:
// send the base. ERR_CONFLICT: the asker's chain is another one.
int control_feed_read(struct control_feed *f, const struct control_place *after, size_t max_bytes,
                      struct buf *out);
// The newest base that the writer has signed, with that signature. ERR_NOTFOUND: there is none yet.
int control_feed_base_write(struct control_feed *f, struct buf *out);
// Begins with another region's base. ERR_EXISTS: it is not further than what is here; ERR_AUTH;
// ERR_CONFLICT: this node has files of its own that are not older.
int control_feed_base_take(struct control_feed *f, struct bytes base, struct diag *diag);

// ---- looking ----

// Wall: what time it is, as far as is sure: while this node's clock is not, that of the last entry.
// What must not come too early (an end, a wait) goes by the earlier of this and the wall clock.
int64_t control_feed_now(struct control_feed *f);

struct control_view {
    // stored here and in force: what this node may say to others
    struct control_place place;
    // in force; further than `place` only while the disk takes nothing
    struct control_place applied;
    char writer[HOSTNAME_REGION_SIZE];
    // this node has the writer's control key; the fleet has confirmed it; this process writes
    bool we_write, confirmed, owned;
    // the root key's word that all that was here is done was handed to this process
    bool vouched;
    // nothing has come yet but the files that it began with
    bool adopted;
    // versions in force
    uint64_t topology, principals;
    // wall; of the last entry
    int64_t time_ms;
    // see struct control_state
    struct control_place root_word, epoch_from;
    // entries that are kept; and that a takeover made void here
    size_t n_entries, n_void;
    // heap; what is wrong with the feed here, and what to do; NULL: nothing
    char *alarm;
};
void control_feed_view(struct control_feed *f, struct control_view *out);
void control_view_done(struct control_view *v);

struct control_state *control_feed_state(struct control_feed *f); // a reference to what is in force
// Is it in the chain in force here? What is older than all that is kept counts as in it.
bool control_feed_has(struct control_feed *f, const struct control_place *p);
// Until something after the place is in force: 0; ERR_TIMEOUT, ERR_CLOSED.
int control_feed_wait(struct control_feed *f, const struct control_place *after, int64_t ms);
// Called after something came into force and is stored, without locks: only wakes somebody.
#define CONTROL_TELLS_MAX 8
int control_feed_tell(struct control_feed *f, void (*fn)(void *ctx), void *ctx);
void control_feed_untell(struct control_feed *f, void (*fn)(void *ctx), void *ctx);

// The ledger in force. ERR_NOTFOUND. Appends.
int control_feed_record(struct control_feed *f, const char *key, struct buf *out);
void control_feed_records(struct control_feed *f, const char *prefix, control_ledger_visitor *visit,
                          void *ctx);

struct control_history {
    struct control_place place;
    enum control_kind kind;
    uint64_t topology, principals;
    int64_t time_ms;
    // NULL where the line could not be read
    const char *by, *request;
    // what it brought: "registries", "frame", "principals", "records", by commas
    const char *what;
};
typedef bool control_history_visitor(void *ctx, const struct control_history *h);
// Entries after the place (NULL: all that are kept), the oldest first; false ends it. ERR_GONE.
int control_feed_history(struct control_feed *f, const struct control_place *after,
                         control_history_visitor *visit, void *ctx);
// Those that a takeover made void here.
int control_feed_voids(struct control_feed *f, control_history_visitor *visit, void *ctx);
// The topology of that version. ERR_GONE: older than what is kept; ERR_NOTFOUND: none had it.
int control_feed_topology_at(struct control_feed *f, uint64_t version, struct diag *diag,
                             struct topology **out);

#endif
