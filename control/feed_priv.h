// SPDX-License-Identifier: Apache-2.0
// Shared by the files of the feed only: opening, publishing and looking (feed.c), what the writer
// appends (feed_append.c, feed_draft.c, feed_time.c), what comes from others (feed_take.c, feed_base.c), the past
// (feed_history.c), and the thread beside it (feed_keeper.c).
//
// Locks, taken in this order
//   write   one at a time changes the state: held from judging to publishing, over the disk
//   lock    the fields below it; never held over the disk
#ifndef MERIDIAN_CONTROL_FEED_PRIV_H
#define MERIDIAN_CONTROL_FEED_PRIV_H

#include "control/feed.h"
#include "control/in_force.h"
#include "control/log.h"
#include "control/source_report.h"

#include <pthread.h>

enum feed_alarm { // by what is wrong; the first one that is set is told
    FEED_ALARM_CHAIN,
    FEED_ALARM_UPGRADE,
    FEED_ALARM_DISK,
    FEED_ALARM_DAMAGE,
    FEED_ALARM_DIGEST,
    FEED_ALARM_TIME,
    N_FEED_ALARMS
};

struct feed_tell {
    void (*fn)(void *ctx);
    void *ctx;
};

// Entries that are in force and not on disk are kept as lines, up to so many bytes.
#define FEED_PENDING_MAX_BYTES (64u << 20)
struct feed_pending {
    struct control_place place;
    struct control_line *line;
};

struct control_feed {
    struct topology_source source;
    struct control_feed_options o;
    char *dir, *region, *home;
    struct control_log *log;

    pthread_mutex_t write;
    struct changer *changer;
    struct in_force in_force;
    // NULL: load has not been called
    struct snapshot *principals_cell;
    topology_source_change *on_change;
    void *change_ctx;
    struct source_report topology_report, principals_report;
    struct feed_pending *pending;
    size_t n_pending, pending_bytes;
    // where a segment began whose base is still to be written; NULL: nowhere
    struct control_state *base_due;

    pthread_mutex_t lock;
    pthread_cond_t moved;
    struct control_state *state;
    bool owned, confirmed, vouched, stop;
    char *alarms[N_FEED_ALARMS];
    struct feed_tell tells[CONTROL_TELLS_MAX];
    size_t n_tells;

    pthread_t keeper;
    bool running;
};

// ---- feed.c ----

struct control_how feed_how(struct control_feed *f);
// Puts a state into force and tells whoever looks; takes it over. Under `write`.
void feed_publish(struct control_feed *f, struct control_state *next);
// Without locks: calls the tellers.
void feed_told(struct control_feed *f);
// `why` (heap; NULL: it is well again) is taken over.
void feed_alarm(struct control_feed *f, enum feed_alarm kind, char *why);
bool feed_is_writer(const struct control_feed *f, const struct control_state *s);

// ---- feed_store.c ----

// Entries that are being put into force together.
struct feed_batch {
    struct control_entry *entries;
    size_t n, cap, bytes;
    // after the last of them; a reference
    struct control_state *state;
};
// Stores them and publishes the state: in that order when the disk must take them (`must_store`), at
// once else, whatever the disk does.
// Under `write`. The batch is empty afterwards.
int feed_commit(struct control_feed *f, struct feed_batch *b, bool must_store, struct diag *diag);
void feed_batch_done(struct feed_batch *b);
// Writes what waits for the disk; forgets it. Under `write`.
int feed_flush(struct control_feed *f, struct diag *diag);
void feed_drop_pending(struct control_feed *f);

// ---- feed_time.c ----

#define FEED_WHY_SIZE 256
// May it be appended by this node's clock (6)?
int feed_clock_judge(const struct control_feed *f, const struct control_draft *d,
                     struct diag *diag);
// The date of an entry that follows the state.
int64_t feed_date(const struct control_feed *f, const struct control_state *s);
int64_t feed_date_takeover(const struct control_feed *f, const struct control_state *s);
// Sets or takes back the alarm (7). Without locks.
void feed_look_time(struct control_feed *f);

// ---- feed_draft.c ----

// The entry that a draft makes after the state, not signed yet. Its strings live in the arena.
int feed_draft_entry(struct control_feed *f, const struct control_state *s,
                     const struct control_draft *d, struct arena *a, struct diag *diag,
                     struct control_entry *out);

// ---- feed_take.c ----

// One entry of another process's log, or of another region. Under `write`.
int feed_take_lines(struct control_feed *f, struct bytes lines, bool store, struct diag *diag,
                    size_t *out_taken);

// ---- feed_append.c ----

// Of this region, in its own name: signed, stored, in force. `d`: what it was drafted from, or NULL.
// Under `write`.
int feed_append_entry(struct control_feed *f, struct control_entry *e,
                      const struct control_draft *d, struct diag *diag);
int feed_append_checkpoint(struct control_feed *f, const struct control_place *at,
                           const uint8_t digest[SHA256_BYTES], struct diag *diag);

// ---- feed_keeper.c ----

int feed_keeper_start(struct control_feed *f);
void feed_keeper_stop(struct control_feed *f);
// What the thread does once a second while this process owns the feed.
void feed_keeper_turn(struct control_feed *f);
// What another process has written since is put into force. Under `write`.
int feed_catch_up(struct control_feed *f, struct diag *diag);

#endif
