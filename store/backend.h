// SPDX-License-Identifier: Apache-2.0
// The seam between a region's metadata and the database that holds it. Above it, in store/meta_*.c,
// stand the rules: what is minted, what wins, what is woken, what is void. Below it stands a
// backend: it keeps typed rows, and runs the rules in transactions. store/sqlite/ is one; the
// tests have one in memory.
//
//   static int rename_run(struct tx *tx, void *arg) { … state_tag_set(tx, …); return rc; }
//   rc = backend_write(b, rename_run, &args);       // 0: committed, durable
//
//   rc = backend_read(b, &tx);                      // then operations on tx
//   tx_end(tx);
//
// The operations come as tables of functions, one by noun, each with its own header:
//   backend_log.h      the log of entries, its heads and marks, the own head with its clock
//   backend_chain.h    chains by registry, entries that are not known, numbers
//   backend_state.h    repositories
//   backend_manifests.h  manifests, what they refer to, locks
//   backend_links.h    what blobs a repository has, the blobs, usage
//   backend_tags.h     tags and their history
//   backend_tasks.h    the durable queue
//   backend_jobs.h     its tasks that are entries, not applied yet
//   backend_void.h     entries that became void, revoked keys
//   backend_survey.h   searches of the log and the registers, for mending
//   backend_uploads.h  uploads, and those that ended
// Rules call the inline functions of these headers (`log_append(tx, …)`), never a table itself.
// A backend is done when it fills all tables and passes the conformance suite in tests/unit/store/;
// the headers say all that it has to know.
//
// A backend is opened for one region, by a function of its own (store/sqlite/sqlite_store.h). Times
// of the monotonic clock in its rows hold for the process that wrote them. So a backend that one
// process opens begins them anew: all tasks are due, and an upload has been idle for as long as it
// was when another upload was touched last. One that many processes open needs a clock of its own.
//
// What every operation keeps to:
// - Results go to out_* and are untouched on failure. Strings and arrays hang off the arena that
//   was given; without an arena nothing is allocated.
// - ERR_NOTFOUND: there is no such row. ERR_CONFLICT: another row has its key. ERR_BUSY, ERR_IO,
//   ERR_NOSPACE, ERR_READONLY, ERR_NOFILES, ERR_CORRUPT, ERR_NOMEM: the database's own trouble.
// - Numbers that are unsigned here are below 2^63 in every row; ERR_TOOBIG refuses others.
// - Texts compare by their bytes, digests by algorithm and then bytes, registers by
//   register_order (base/register.h), places of a feed by (epoch, seq).
// - An operation that changes rows works only in a transaction of backend_write.
//
// Threads: a backend may be called on any thread, and blocks on the disk or on other writers. A
// transaction is used by one thread at a time.
#ifndef MERIDIAN_STORE_BACKEND_H
#define MERIDIAN_STORE_BACKEND_H

#include "store/changes.h"

#include <stdbool.h>
#include <stdint.h>

struct backend;
struct backend_ops;

// A transaction. A backend's own structure begins with this one.
struct tx {
    const struct backend_ops *ops;
    // the region whose metadata this is: the origin of own entries
    const char *region;
    // This process may mint own entries. False after backend_hand_over.
    bool mints;
    // Set by the rules: on_commit is called after the commit. False when `run` begins.
    bool notify;
    // The operations that change what a client reads note it here, by tx_touches and
    // tx_touches_blob, before they change it.
    struct touched touched;
};

// A rule that changes rows. It may run more than once for one call of backend_write: after a
// conflict with another writer the backend rolls back and runs it again. So it sets its results at
// its start, and has no effect outside of the transaction.
typedef int tx_run(struct tx *tx, void *arg);

struct backend {
    const struct backend_ops *ops;
    // Called after a commit with tx->notify, on a thread of the backend's, perhaps once for several
    // commits; it must not block. Set before the first write; may be NULL.
    void (*on_commit)(void *ctx);
    void *on_commit_ctx;
    // The stamp of the own head (backend_log.h) as this process knows it to be committed. The
    // backend keeps it.
    _Atomic uint64_t clock;
    // How many writes were asked for, and how many commits they took together. The backend counts.
    _Atomic uint64_t n_writes, n_commits;
};

struct backend_ops {
    void (*close)(struct backend *b);
    void (*hand_over)(struct backend *b);
    int (*check)(struct backend *b);
    int (*write)(struct backend *b, tx_run *run, void *arg);
    int (*read)(struct backend *b, bool one_moment, struct tx **out);
    void (*end)(struct tx *tx);
    int (*attempt)(struct tx *tx, tx_run *run, void *arg);
    int (*probe)(struct tx *tx);
    uint64_t (*changes)(struct backend *b, unsigned shard);
    uint64_t (*changes_seen)(struct tx *tx, unsigned shard);
    const struct log_ops *log;
    const struct chain_ops *chains;
    const struct state_ops *state;
    const struct manifest_ops *manifests;
    const struct tag_ops *tags;
    const struct task_ops *tasks;
    const struct job_ops *jobs;
    const struct void_ops *voids;
    const struct survey_ops *surveys;
    const struct upload_ops *uploads;
    const struct link_ops *links;
};

// Frees the backend too. Nobody may be calling it. NULL is accepted.
static inline void backend_close(struct backend *b)
{
    if (b)
        b->ops->close(b);
}

// A restart: another process opens the same database as soon as this has returned. What was
// submitted before is committed. From here on tx->mints is false; all else goes on, beside the
// other process, until that one has changed the schema: then writes get ERR_VERSION.
static inline void backend_hand_over(struct backend *b)
{
    b->ops->hand_over(b);
}

// ERR_CORRUPT: the database was found damaged since it was opened; else 0. Cheap, asks no disk.
static inline int backend_check(struct backend *b)
{
    return b->ops->check(b);
}

// Runs `run` in a serializable transaction, and commits when that returned 0. Otherwise nothing
// has changed, and its code is the result. Returns after the commit: 0 means durable. Writers that
// call at the same time may share a commit; one that fails takes no other with it.
static inline int backend_write(struct backend *b, tx_run *run, void *arg)
{
    return b->ops->write(b, run, arg);
}

// Begins to read. Each operation sees what was committed before it began. End it by tx_end.
static inline int backend_read(struct backend *b, struct tx **out)
{
    return b->ops->read(b, false, out);
}

// The same, but all operations see one moment.
static inline int backend_read_moment(struct backend *b, struct tx **out)
{
    return b->ops->read(b, true, out);
}

// Ends a transaction of backend_read or backend_read_moment.
static inline void tx_end(struct tx *tx)
{
    tx->ops->end(tx);
}

// Inside a transaction of backend_write: runs `run`; when that fails, all that it changed is taken
// back, and the transaction goes on as it stood. Attempts do not nest.
static inline int tx_attempt(struct tx *tx, tx_run *run, void *arg)
{
    return tx->ops->attempt(tx, run, arg);
}

// Writes a row that nobody reads: whether this database takes writes.
static inline int tx_probe(struct tx *tx)
{
    return tx->ops->probe(tx);
}

// The change number of a shard (store/changes.h), as it is now. It differs from all before as soon
// as a transaction that touched the shard is committed: before backend_write returns, and before any
// reader has seen what it changed. 0: it cannot be told now; a commit is under way, or another
// process may be writing to this database.
static inline uint64_t backend_changes(struct backend *b, unsigned shard)
{
    return b->ops->changes(b, shard);
}

// The same for a reader: what its operations after this call show is at least as new as the number.
static inline uint64_t tx_changes(struct tx *tx, unsigned shard)
{
    return tx->ops->changes_seen(tx, shard);
}

// What is read of this repository's tags, manifests, links and leases is about to change.
static inline void tx_touches(struct tx *tx, int64_t repo)
{
    touched_add(&tx->touched, shard_of_repo(repo));
}

// What is read of this blob in any repository is about to change.
static inline void tx_touches_blob(struct tx *tx, const struct digest *d)
{
    touched_add(&tx->touched, shard_of_blob(d));
}

#endif
