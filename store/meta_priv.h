// SPDX-License-Identifier: Apache-2.0
// What the files of the SQLite metadata share: connections, the writer's queue, minting, merging.
// See meta.h.
//
//   meta_db.c            one connection: statements, binding, error codes
//   meta_schema.c        tables, versions, refusals
//   meta.c               open and close, the readers
//   meta_gates.c         writes open or closed
//   meta_writer.c        the thread that commits groups
//   meta_upload.c        uploads, links
//   meta_manifest.c      push
//   meta_read.c          listings
//   meta_merge.c         what an entry does to the state
//   meta_feed.c          minting and reading the log
//   meta_ingest.c        entries of peers
//   meta_jobs.c          what is not applied yet
//   meta_void.c          entries that are void
//   meta_remake.c        registers from what is left
//   meta_revoke.c        keys that are revoked
//   meta_recover.c       invariant 8
//   meta_clock.c         which stamps are minted and taken
//   meta_repair.c        stamps of the future are mended
//   meta_report.c        what that does to registers
//   meta_upload_room.c   bounds of uploads
//   meta_ended.c         uploads that ended
//
// Functions that take a `struct meta` and use m->w run on the writer thread, inside its
// transaction.
#ifndef MERIDIAN_STORE_META_PRIV_H
#define MERIDIAN_STORE_META_PRIV_H

#include "base/clock.h"
#include "store/meta.h"

#include <pthread.h>
#include <sqlite3.h>

#define DB_STMTS 160

struct db { // one connection; used by one thread at a time
    sqlite3 *h;
    // by the address of the literal
    struct {
        const char *sql;
        sqlite3_stmt *st;
    } stmts[DB_STMTS];
    size_t n_stmts;
    // told when SQLite finds the file malformed
    _Atomic bool *damaged;
    // in the list of idle readers
    struct db *next;
};

int db_open(const char *path, bool read_only, struct db *out);
void db_close(struct db *d);
int db_exec(struct db *d, const char *sql);
int db_error(struct db *d, int sqlite_rc); // the code of base/err.h for it
// Values by letter: s text (NULL is SQL NULL), i int64_t, u uint64_t, n int, d const struct
// digest *, b const void * and size_t. They must stay in place until the statement is stepped
// through or ended.
int db_start(struct db *d, sqlite3_stmt **out, const char *sql, const char *types, ...);
int db_step(struct db *d, sqlite3_stmt *st); // 1 a row, 0 the end, negative; ends itself unless 1
void db_end(sqlite3_stmt *st);               // may be called again
int db_run(struct db *d, const char *sql, const char *types, ...); // to its end
// first row or ERR_NOTFOUND
int db_find(struct db *d, sqlite3_stmt **out, const char *sql, const char *types, ...);
int db_digest(sqlite3_stmt *st, int col, struct digest *out); // ERR_CORRUPT if it is none
int db_text(sqlite3_stmt *st, int col, struct arena *a, const char **out); // NULL stays NULL
int db_blob(sqlite3_stmt *st, int col, struct arena *a, struct bytes *out);

int schema_open(struct db *d, const char *path, const char *region, struct diag *diag);
int schema_is_ours(struct db *d); // ERR_VERSION: another program has changed it since
extern const int schema_version;
int state_get(struct db *d, const char *key, uint64_t *out); // ERR_NOTFOUND
int state_set(struct db *d, const char *key, uint64_t value);

struct request {
    // on the writer thread, inside its own savepoint
    int (*run)(struct meta *m, void *arg);
    void *arg;
    // refused while writes are closed
    bool announces;
    bool done;
    int rc;
    struct request *next;
};

struct meta {
    // strings are owned
    struct meta_options o;
    // one process at a time
    int lock_fd;
    _Atomic uint32_t skew_ms;
    // hlc.last as it was committed last
    _Atomic uint64_t clock_last;
    // the key that signs own entries
    _Atomic bool key_revoked;
    // a page that was read is malformed: not writable any more, whatever a probe says
    _Atomic bool damaged;

    // Writer thread only.
    struct db w;
    // this and the two that follow: taken back when a request or its group fails
    struct hlc hlc;
    // last own entry
    struct feed_mark own;
    // in which own entries are written; may be past own.epoch
    uint64_t epoch;
    // the clock when this group began: what this group minted is above it
    uint64_t group_stamp;
    // this group added own entries or applied any
    bool notify;
    // mono: when this region would have begun, had it run ever since (meta_ended.c)
    int64_t run_from_ms;
    _Atomic bool handed_over;

    pthread_t thread;
    bool thread_runs;
    // guards what follows
    pthread_mutex_t lock;
    pthread_cond_t queued, finished;
    struct request *head, **tail;
    bool stopping;
    struct {
        bool closed;
        char why[META_WHY_SIZE];
    } gates[META_N_GATES];

    pthread_mutex_t readers_lock;
    struct db *idle_readers;
    // which registry is first when jobs are handed out
    _Atomic unsigned turn;
};

bool gates_closed(struct meta *m); // any; under m->lock

// The register's order (base/register.h) in SQL, of the table `t` ("" or "t."): for row values, and
// for ORDER BY. A test holds it against register_order.
#define REGISTER_VALUE(t) "(" t "stamp," t "origin," t "epoch," t "digest)"
#define REGISTER_HIGHEST_FIRST(t) t "stamp DESC," t "origin DESC," t "epoch DESC," t "digest DESC"

// --- the clock (meta_clock.c) ---
// The stamp of the next own entry: greater than all before and than `above`. Moves nothing.
// ERR_AHEAD: `above` or our own clock is of the future; ERR_RANGE: there are no stamps left.
int clock_mint(struct meta *m, uint64_t above, uint64_t *out_stamp);
void clock_gate_look(struct meta *m); // under m->lock: opens or closes META_GATE_STAMPS

int writer_start(struct meta *m);
void writer_stop(struct meta *m);
// waits for the commit
int writer_submit(struct meta *m, int (*run)(struct meta *, void *), void *arg, bool announces);

int reader_take(struct meta *m, struct db **out);
void reader_give(struct meta *m, struct db *d);

// --- uploads (meta_upload_room.c, meta_ended.c) ---
int upload_room_for_one(struct meta *m, const struct upload_row *row, const struct upload_bounds *b,
                        enum upload_full *out_full);
// What a principal has is on the disk already: ERR_FULL when it is too much and nothing can go.
int upload_room_for_bytes(struct meta *m, const char *registry, const char *principal,
                          const struct upload_bounds *b, int64_t now_ms);
int ended_load(struct meta *m);
int ended_note(struct meta *m, const char *registry, const char *repository,
               const struct upload_end *e, const struct digest *d);

// --- the log (meta_feed.c) ---
#define FEED_COLUMNS                                                                              \
    "f.id,f.origin,f.epoch,f.part,f.seq,f.stamp,f.restates,f.kind,f.registry,f.repository,f.tag," \
    "f.digest,"                                                                                   \
    "f.media_type,f.size,f.hash,f.key,f.sig,f.content"
#define FEED_N_COLUMNS 18
// entry_register_stamp in SQL
#define FEED_REGISTER_STAMP "CASE f.restates WHEN 0 THEN f.stamp ELSE f.restates END"
// of FEED_COLUMNS from column 0
int feed_row(sqlite3_stmt *st, struct arena *a, struct feed_entry *out);
// from the manifest, if small enough
int feed_fill_content(struct db *d, struct arena *a, struct feed_entry *e);
int feed_insert(struct meta *m, const struct feed_entry *e, struct bytes keep_content,
                int64_t *out_id);
// Is this entry held? 0 with its id, ERR_NOTFOUND, ERR_CONFLICT when another stands in its place.
int feed_held(struct db *d, const struct feed_entry *e, int64_t *out_id);
int feed_own_load(struct meta *m); // m->own, m->epoch, m->hlc from the tables
// Gives `e` (kind, names, digest, restates … filled) the next place in the own feed: stamp greater
// than `above`, hash, signature, row. On failure m->own and m->hlc are as they were.
int feed_mint(struct meta *m, uint64_t above, struct bytes keep_content, struct feed_entry *e,
              int64_t *out_id);
// ERR_NOTFOUND
int head_find(struct db *d, const char *origin, struct feed_mark *out_mark, uint64_t *out_stamp);
int mark_of_row(sqlite3_stmt *st, int col, struct feed_mark *out); // epoch, part, seq, hash

// --- the state (meta_merge.c) ---
// ERR_NOTFOUND
int repo_find(struct db *d, const char *registry, const char *repository, int64_t *out_id);
int repo_make(struct meta *m, const char *registry, const char *repository, int64_t *out_id);
int manifest_visible(struct db *d, int64_t repo, const struct digest *digest); // 0 or ERR_NOTFOUND
int refs_check(struct db *d, int64_t repo, const struct manifest_ref *refs, size_t n,
               struct digest *out_missing);
// Applies an entry to the registers. repo_make was called. ERR_NOTFOUND with *out_missing: nothing
// changed.
int merge_manifest(struct meta *m, int64_t repo, const struct feed_entry *e, struct bytes content,
                   const struct manifest_ref *refs, size_t n_refs, struct digest *out_missing);
int merge_tag(struct meta *m, int64_t repo, const struct feed_entry *e, struct digest *out_missing);

// --- void entries (meta_void.c) ---
// Takes entries out of the log, by their ids, into the list that meta_voided reads: their jobs end,
// and the registers that they may have won are made anew from what the log still holds: the highest
// value left, else gone. This is the one way back for a register, whatever made the entry void (a
// revoked key, a poisoned stamp): find the ids, give the reason as a word. Own entries: the next
// one goes into a new epoch. A place of the log that becomes free so may be read again; the very
// entry is never taken in again (entry_is_void).
// A manifest without an assertion stays visible while a tag or a visible index of its repository
// leads to it.
int entries_void(struct meta *m, const int64_t *ids, size_t n, const char *reason);
// Is this entry void, by a revoked key, or because it was voided here? 0 yes, ERR_NOTFOUND no.
int entry_is_void(struct db *d, const struct feed_entry *e);
// A tag or an index no longer leads to this manifest: if nobody asserts it either, it goes, and its
// children with it.
int presence_settle(struct meta *m, int64_t repo, const struct digest *digest);
// The register from the log alone (meta_remake.c), and the row that it has in the state.
int presence_remake(struct meta *m, int64_t repo, const char *registry, const char *repository,
                    const struct digest *digest);
int tag_remake(struct meta *m, int64_t repo, const char *registry, const char *repository,
               const char *tag);
// An entry that is held stands where a better one does, which was offered: it becomes void if a
// revoked key signed it. ERR_CONFLICT if not.
int entry_disown(struct meta *m, int64_t id);
void revoked_key_look(struct meta *m); // is the key that we sign with revoked?
// the next own entry: past this epoch and all that were used here
int epoch_move(struct meta *m, uint64_t at_least);

// --- jobs (meta_jobs.c) ---
int job_add(struct meta *m, int64_t id, const struct feed_entry *e);
int job_end(struct meta *m, int64_t id);
int jobs_wake_repository(struct meta *m, const char *registry, const char *repository,
                         const struct digest *manifest);
// Parked ones (meta_parked.c). A manifest of this repository came: a few may need less now. A tag
// was set: older ones of it that wait for a parked manifest are superseded, and end when they are
// tried.
int parked_wake(struct meta *m, const char *registry, const char *repository);
int parked_tags_wake(struct meta *m, const char *registry, const char *repository, const char *tag);

// --- mending (meta_repair.c), and its report (meta_report.c) ---
// of another region, and of the future: taken again when its time has come
#define VOID_AHEAD "ahead"
#define VOID_MENDED "mended"       // our own, of the future
#define VOID_WITHDRAWN "withdrawn" // of another region, which says so
// empties temp.void_ids(id), which the caller fills with rows of the log
int report_clear(struct meta *m);
int report_begin(struct meta *m, struct void_report *out);
int report_end(struct meta *m, struct arena *a, struct void_report *out);

#endif
