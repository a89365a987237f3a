// SPDX-License-Identifier: Apache-2.0
// What the files of the SQLite backend share. See sqlite_store.h and store/backend.h.
//
//   db.c        one connection
//   schema.c    tables, versions, refusals
//   backend.c   open, close, readers
//   writer.c    the thread that commits groups
//   leaving.c   who else may be writing
//   company.c   how many writers it expects
//   entry_row.c rows of entries
//   log.c, chains.c, state.c, manifests.c, tags.c, links.c, tasks.c, jobs.c, voids.c, uploads.c
//               the operations, one file for each header
#ifndef MERIDIAN_STORE_SQLITE_PRIV_H
#define MERIDIAN_STORE_SQLITE_PRIV_H

#include "base/diag.h"
#include "store/backend.h"
#include "store/backend_chain.h"
#include "store/backend_jobs.h"
#include "store/backend_links.h"
#include "store/backend_log.h"
#include "store/backend_manifests.h"
#include "store/backend_state.h"
#include "store/backend_survey.h"
#include "store/backend_tags.h"
#include "store/backend_tasks.h"
#include "store/backend_uploads.h"
#include "store/backend_void.h"
#include "store/sqlite/company.h"
#include "store/sqlite/db.h"

#include <assert.h>
#include <pthread.h>

struct sqlite_backend;

// A transaction is a connection: the writer's, or that of a reader.
struct sqlite_tx {
    struct tx tx;
    struct db db;
    struct sqlite_backend *of;
    // the reader sees one moment: a transaction of SQLite's is open
    bool one_moment;
    // in the list of idle readers
    struct sqlite_tx *next;
};

struct request; // writer.c

struct sqlite_backend {
    struct backend base;
    // owned
    char *path, *region;
    // one process at a time; -1: handed over
    int lock_fd;
    // locked from the hand-over on, for as long as this process has the database open
    int leaving_fd;
    // a page that was read is malformed: not writable any more, whatever a probe says
    _Atomic bool damaged;
    _Atomic bool handed_over;
    // who handed it over to this process may still be writing
    _Atomic bool beside;
    // by the writer thread
    struct changes changes;
    // which opening of the database this is, and when it was, mono (links.c)
    uint64_t era;
    int64_t opened_ms;

    // Writer thread only. The head is taken back when a request or its group fails.
    struct sqlite_tx w;
    struct own_head own;
    // inside tx_attempt
    bool attempts;
    // who writes at the same time
    struct company company;

    pthread_t thread;
    bool thread_runs;
    // guards what follows
    pthread_mutex_t lock;
    pthread_cond_t queued;
    struct request *head, **tail;
    bool stopping;

    pthread_mutex_t readers_lock;
    struct sqlite_tx *idle_readers;
};

static inline struct sqlite_tx *sqlite_tx(struct tx *tx)
{
    return (struct sqlite_tx *)tx;
}

static inline struct db *sqlite_tx_db(struct tx *tx)
{
    return &sqlite_tx(tx)->db;
}

// For an operation that changes rows: only the writer's transaction may.
static inline struct db *sqlite_write_db(struct tx *tx)
{
    struct sqlite_tx *t = sqlite_tx(tx);
    assert(t == &t->of->w);
    return &t->db;
}

extern const struct backend_ops sqlite_backend_ops;
extern const struct log_ops sqlite_log_ops;
extern const struct chain_ops sqlite_chain_ops;
extern const struct state_ops sqlite_state_ops;
extern const struct manifest_ops sqlite_manifest_ops;
extern const struct tag_ops sqlite_tag_ops;
extern const struct task_ops sqlite_task_ops;
extern const struct job_ops sqlite_job_ops;
extern const struct void_ops sqlite_void_ops;
extern const struct survey_ops sqlite_survey_ops;
extern const struct upload_ops sqlite_upload_ops;
extern const struct link_ops sqlite_link_ops;

// --- schema.c ---
// *out_era: how often the database was opened.
int schema_open(struct db *d, const char *path, const char *region, struct diag *diag,
                uint64_t *out_era);
int schema_is_ours(struct db *d); // ERR_VERSION: another program has changed it since
extern const int schema_version;
// numbers by name, in the table `state`
int state_get(struct db *d, const char *key, uint64_t *out); // ERR_NOTFOUND
int state_set(struct db *d, const char *key, uint64_t value);

// --- writer.c ---
int writer_start(struct sqlite_backend *b);
void writer_stop(struct sqlite_backend *b);
int writer_write(struct backend *b, tx_run *run, void *arg);
int writer_attempt(struct tx *tx, tx_run *run, void *arg);
void writer_hand_over(struct backend *b);

// --- leaving.c ---
int leaving_open(struct sqlite_backend *b, struct diag *diag);
// This process goes on beside its successor. The writer thread calls beside_look no more.
void leaving_begin(struct sqlite_backend *b);
void beside_look(struct sqlite_backend *b); // may another process be writing? b->beside

// --- log.c ---
int own_load(struct sqlite_backend *b); // b->own from the tables

// --- entry_row.c ---
#define ENTRY_COLUMNS                                                                             \
    "f.id,f.origin,f.epoch,f.part,f.seq,f.stamp,f.restates,f.kind,f.registry,f.repository,f.tag," \
    "f.digest,f.media_type,f.size,f.hash,f.key,f.sig,f.content,f.version,f.body"
#define ENTRY_N_COLUMNS 20
// of the table `feed`
#define FEED_COLUMNS ENTRY_COLUMNS ",f.refused"
#define FEED_N_COLUMNS (ENTRY_N_COLUMNS + 1)
// entry_register_stamp, _origin and _epoch in SQL
#define FEED_REGISTER_STAMP                                                             \
    "CASE WHEN f.judged_stamp>0 THEN f.judged_stamp WHEN f.restates>0 THEN f.restates " \
    "ELSE f.stamp END"
#define FEED_REGISTER_ORIGIN "CASE WHEN f.judged_stamp>0 THEN f.judged_origin ELSE f.origin END"
#define FEED_REGISTER_EPOCH "CASE WHEN f.judged_stamp>0 THEN f.judged_epoch ELSE f.epoch END"
// Values of the column: what log_refuse and log_end say.
#define FEED_REFUSED 1
#define FEED_ENDED 2
// Of FEED_COLUMNS from column 0. What is stored as unknown stays so.
int feed_row(sqlite3_stmt *st, struct arena *a, struct feed_entry *out);
// The same of ENTRY_COLUMNS.
int void_row(sqlite3_stmt *st, struct arena *a, struct feed_entry *out);
// Of either, but an entry of version 2 is what this program reads in it.
int feed_row_read(sqlite3_stmt *st, struct arena *a, struct feed_entry *out);
int mark_of_row(sqlite3_stmt *st, int col, struct feed_mark *out); // epoch, part, seq, hash

// --- jobs.c ---
// Column 0 of all rows of a statement that has a LIMIT of max.
int ids_read(struct db *d, sqlite3_stmt *st, size_t max, int64_t *out_ids, size_t *out_n);

// --- state.c ---
int64_t limit_of(size_t max);

// --- manifests.c ---
// digest, media_type, content, stamp, origin, epoch from column 0
int manifest_row_read(sqlite3_stmt *st, struct arena *a, struct manifest_row *out);
// Columns col, col + 1, col + 2: stamp, origin, epoch. The rest is the caller's.
int register_row(sqlite3_stmt *st, int col, struct register_now *out);
// A text of the row; ERR_CORRUPT: it does not fit.
int text_copy(sqlite3_stmt *st, int col, char *out, size_t size);
// As db_digest; of an empty one n is 0.
int digest_maybe(sqlite3_stmt *st, int col, struct digest *out);

// --- referrers.c ---
int sqlite_referrers(struct tx *tx, const struct referrers_ask *ask, struct arena *a,
                     struct referrers_page *out);

// The register's order (base/register.h) in SQL, of the table `t` ("" or "t.") with columns stamp,
// origin, epoch, gone, create_only, generation, digest: for row values, and for ORDER BY. A test
// holds it against register_order.
#define REGISTER_RANK(t) "iif(" t "create_only," t "generation," t "stamp)"
#define REGISTER_STAMP(t) "iif(" t "create_only,-" t "stamp," t "stamp)"
#define REGISTER_COLUMNS(t)                                                                       \
    REGISTER_RANK(t)                                                                              \
    "," t "create_only," REGISTER_STAMP(t) "," t "origin," t "epoch," t "gone," t "generation," t \
                                           "digest"
#define REGISTER_VALUE(t) "(" REGISTER_COLUMNS(t) ")"
#define REGISTER_HIGHEST_FIRST(t)                                                                \
    REGISTER_RANK(t)                                                                             \
    " DESC," t "create_only DESC," REGISTER_STAMP(t) " DESC," t "origin DESC," t "epoch DESC," t \
                                                     "gone DESC," t "generation DESC," t         \
                                                     "digest DESC"

#endif
