// SPDX-License-Identifier: Apache-2.0
// The control feed on a node's disk (docs/control-feed.md): segments, each the state that it begins
// with (control/base_form.h) and the entries after it, one to a line.
//
//   1-0.base  1-0.log  1-4096.log  1-4096.base  2-8192.log …     epoch and sequence of its beginning
//
// Entries are appended only, also a takeover, which makes what stands before it void from the place
// that it names: whoever reads the files anew comes to the same. The next segment begins at every
// CONTROL_SEGMENT_ENTRIES-th sequence, at every node alike; its base is written later, beside what
// goes on. Old segments go when the rest has enough (CONTROL_KEEP_ENTRIES, or CONTROL_KEEP_BYTES).
//
//   rc = control_log_open(&o, &diag, &l);               // reads, writes nothing
//   rc = control_log_state(l, NULL, &how, &diag, &s);   // what it has come to
//   rc = control_log_own(l, &diag);                     // a torn end goes
//   rc = control_log_append(l, &entry, 1, &diag);       // on disk when it returns
//
// What is damaged: the rest of that segment is not used; a later segment is, from its own base. A
// base that cannot be read is passed over for an earlier one. An append that fails leaves nothing
// behind: until it is sure that it was taken back nothing else is written.
//
// Threads: one thread at a time changes it (open, refresh, own, append, begin, rotate, base_put,
// close); any thread reads beside it.
#ifndef MERIDIAN_CONTROL_LOG_H
#define MERIDIAN_CONTROL_LOG_H

#include "base/bytes.h"
#include "base/diag.h"
#include "control/entry.h"
#include "control/state.h"

#include <stdbool.h>

#define CONTROL_SEGMENT_ENTRIES 4096u
#define CONTROL_SEGMENT_BYTES (16u << 20)
#define CONTROL_KEEP_ENTRIES 10000u
#define CONTROL_KEEP_BYTES (64u << 20)

struct control_log;
struct control_log_options {
    const char *dir;
    // that relative paths in the topology are from
    const char *home;
    enum topology_form form;
    // 0: as above
    size_t segment_entries, segment_bytes, keep_entries, keep_bytes;
};

// A folder that is not there, or empty, is a log without a beginning. ERR_CORRUPT: there are files,
// and none can be begun with; diag says what to do. ERR_NOMEM, or what the system says.
int control_log_open(const struct control_log_options *o, struct diag *diag,
                     struct control_log **out);
void control_log_close(struct control_log *l); // NULL is fine
// Reads what another process has appended since. ERR_CORRUPT: the beginning has gone.
int control_log_refresh(struct control_log *l);
// Makes the folder, takes a torn or damaged end away (the latter into a file beside), and leftovers
// of writes that were cut off. *out_damaged (heap; NULL: nothing) says what was set aside.
int control_log_own(struct control_log *l, struct diag *diag, char **out_damaged);

// ---- reading ----

struct control_log_row {
    struct control_place place;
    // versions after it
    uint64_t topology, principals;
    int64_t time_ms;
    enum control_kind kind;
};

bool control_log_begun(struct control_log *l);
struct control_place control_log_first(struct control_log *l); // of the oldest base
struct control_place control_log_last(struct control_log *l);
size_t control_log_count(struct control_log *l); // entries in force
size_t control_log_n_void(struct control_log *l);
bool control_log_has(struct control_log *l, const struct control_place *p);
// Lines after `after`, as many whole ones as fit into max_bytes, at least one. `after` must be
// control_log_has; else ERR_NOTFOUND. ERR_NOTFOUND too when its segment has gone meanwhile.
int control_log_read(struct control_log *l, const struct control_place *after, size_t max_bytes,
                     struct buf *out);
// The place that the first takeover to an epoch after `epoch` goes on from. ERR_NOTFOUND: none that
// is kept.
int control_log_fork(struct control_log *l, uint64_t epoch, struct control_place *out);
// The state at the last place, when the log is opened. An entry that cannot be applied (damaged in a
// way that only its signature tells, or of a later release) ends the log there: what follows it is
// put aside by control_log_own.
int control_log_restore(struct control_log *l, const struct control_how *how, struct diag *diag,
                        struct control_state **out);
// The state at that place (NULL: the last), from the nearest base before it. ERR_NOTFOUND: not in
// the log; ERR_CORRUPT.
int control_log_state(struct control_log *l, const struct control_place *at,
                      const struct control_how *how, struct diag *diag, struct control_state **out);
// The first entry that made that version of the topology. ERR_NOTFOUND: none that is kept; it may
// be what the oldest base has.
int control_log_version(struct control_log *l, uint64_t topology, struct control_place *out);
// Rows in force after the place (NULL: all), then false ends it. Copies; no lock is held.
typedef bool control_log_visitor(void *ctx, const struct control_log_row *row);
int control_log_visit(struct control_log *l, const struct control_place *after,
                      control_log_visitor *visit, void *ctx);
int control_log_visit_void(struct control_log *l, control_log_visitor *visit, void *ctx);
// The line of a row, in force or void.
int control_log_line(struct control_log *l, const struct control_place *p, struct buf *out);

// ---- bases and checkpoints ----

// The newest base in force whose digest an entry has signed: its bytes, then that entry's line.
// ERR_NOTFOUND: there is none.
int control_log_signed_base(struct control_log *l, struct buf *out);
// A base in force that no entry has signed yet, the newest: its place and digest. ERR_NOTFOUND.
int control_log_unsigned_base(struct control_log *l, struct control_place *out_place,
                              uint8_t out_digest[SHA256_BYTES]);
// Is there a base here at the place of a checkpoint, with another digest?
bool control_log_disagrees(struct control_log *l, struct control_place *out_at);
// A place where a segment begins that has no base yet, and that is in force. ERR_NOTFOUND.
int control_log_wants_base(struct control_log *l, struct control_place *out);

// ---- writing ----

// Appends the entries, which go on from the last one (a takeover: from the place that it names).
// ERR_NOSPACE, ERR_IO, …: nothing of them is there.
int control_log_append(struct control_log *l, const struct control_entry *all, size_t n,
                       struct diag *diag);
// Begins with a state, given as its base; what was there before goes.
int control_log_begin(struct control_log *l, struct bytes base, struct diag *diag);
// Is it time for the next segment after the last entry? It begins there.
int control_log_rotate(struct control_log *l, bool *out_rotated);
// Keeps the base of a place where a segment begins, and drops what is not needed any more.
int control_log_base_put(struct control_log *l, const struct control_place *at, struct bytes base);

#endif
