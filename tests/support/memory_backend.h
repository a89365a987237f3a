// SPDX-License-Identifier: Apache-2.0
// A second backend of metadata, in memory, for tests: it proves that the rules of store/meta.h need
// no SQL, no file and no single process. And a harness of what a database for many machines does:
// several openers of one state, transactions that fail with a conflict and run again, commits that
// readers see late.
//
//   struct memory_db *db = memory_db_new("eastus");
//   memory_db_conflicts(db, 1);                     // each transaction runs twice
//   struct meta *one, *two;
//   memory_meta_open(db, &options, &one);
//   memory_meta_open(db, &options, &two);           // as another process
//   …
//   meta_close(one), meta_close(two);
//   memory_db_free(db);
//
// A transaction that writes begins with the state that was committed last. It commits when that
// state is still the last one; otherwise another opener was first, and it runs again. So the own
// head is locked in effect: of two transactions that read it, one runs again. Readers see whole
// commits, in order; memory_db_hold lets them see an earlier one. All is lost with the db.
//
// Threads: any. Nothing blocks but for a short lock.
#ifndef MERIDIAN_TESTS_MEMORY_BACKEND_H
#define MERIDIAN_TESTS_MEMORY_BACKEND_H

#include "base/diag.h"
#include "store/backend.h"
#include "store/meta.h"

struct memory_db;

struct memory_db *memory_db_new(const char *region);
void memory_db_free(struct memory_db *db); // nobody has it open any more
int memory_backend_open(struct memory_db *db, struct backend **out);
int memory_meta_open(struct memory_db *db, const struct meta_options *o, struct meta **out);

// --- the harness ---
// The first n runs of each transaction that succeeded end in a conflict, and it runs again.
void memory_db_conflicts(struct memory_db *db, unsigned n);
// Once, before the next commit, `act` is called (by the committing thread, without a lock): what it
// commits itself is a conflict for the one that waits.
void memory_db_before_commit(struct memory_db *db, void (*act)(void *ctx), void *ctx);
// After the next `after` commits every transaction fails with `rc`, until it is called with rc 0.
void memory_db_fail(struct memory_db *db, unsigned after, int rc);
// From now on readers see the state as it is now; false: as it was committed last.
void memory_db_hold(struct memory_db *db, bool hold);
// A backup is the state of that moment. Restoring one, or nothing at all, is for a db that nobody
// has open.
void memory_db_backup(struct memory_db *db);
void memory_db_restore(struct memory_db *db);
void memory_db_lose(struct memory_db *db);
// runs of transactions, and commits, so far
uint64_t memory_db_n_runs(struct memory_db *db);
uint64_t memory_db_n_commits(struct memory_db *db);

#endif
