// SPDX-License-Identifier: Apache-2.0
// One SQLite connection: statements that are prepared once, values bound by letters, error codes.
//
//   sqlite3_stmt *st;
//   rc = db_find(d, &st, "SELECT size FROM links WHERE repo=?1 AND digest=?2", "id", repo, &digest);
//   if (!rc) { size = (uint64_t)sqlite3_column_int64(st, 0); db_end(st); }
//
// A connection is used by one thread at a time.
#ifndef MERIDIAN_STORE_SQLITE_DB_H
#define MERIDIAN_STORE_SQLITE_DB_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/digest.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#define DB_STMTS 320

struct db {
    sqlite3 *h;
    // by the address of the literal
    struct {
        const char *sql;
        sqlite3_stmt *st;
    } stmts[DB_STMTS];
    size_t n_stmts;
    // set when SQLite finds the file malformed; may be NULL
    _Atomic bool *damaged;
};

int db_open(const char *path, bool read_only, struct db *out);
void db_close(struct db *d);
int db_exec(struct db *d, const char *sql);
// the code of base/err.h for a code of SQLite
int db_error(struct db *d, int sqlite_rc);

// Starts a statement. `sql` is a literal: it is prepared once per connection. Values by letter:
// s text (NULL is SQL NULL), i int64_t, u uint64_t, n int, d const struct digest *, b const void *
// and size_t. They must stay in place until the statement has ended.
int db_start(struct db *d, sqlite3_stmt **out, const char *sql, const char *types, ...);
// 1: a row; 0: the end; negative: an error. The statement has ended unless the result is 1.
int db_step(struct db *d, sqlite3_stmt *st);
// Ends a statement before its last row. May be called again.
void db_end(sqlite3_stmt *st);
// Runs a statement to its end.
int db_run(struct db *d, const char *sql, const char *types, ...);
// Starts a statement and steps to its first row, which the caller ends; or ERR_NOTFOUND.
int db_find(struct db *d, sqlite3_stmt **out, const char *sql, const char *types, ...);
// 0: db_find finds a row; ERR_NOTFOUND. It has ended.
#define db_exists(d, ...)                                    \
    ({                                                       \
        sqlite3_stmt *exists_st;                             \
        int exists_rc = db_find(d, &exists_st, __VA_ARGS__); \
        if (!exists_rc)                                      \
            db_end(exists_st);                               \
        exists_rc;                                           \
    })

// Doubles an array in an arena that holds n of *cap members (0: makes one); the old array stays
// behind in the arena, at most as much again. NULL: no memory.
void *db_grow(struct arena *a, const void *list, size_t n, size_t *cap, size_t size);

// Columns of the row that a statement stands at.
int db_digest(sqlite3_stmt *st, int col, struct digest *out); // ERR_CORRUPT if it is none
int db_text(sqlite3_stmt *st, int col, struct arena *a, const char **out); // NULL stays NULL
int db_blob(sqlite3_stmt *st, int col, struct arena *a, struct bytes *out);
// The texts in column 0 of all rows, to the statement's end.
int db_names(struct db *d, sqlite3_stmt *st, struct arena *a, const char ***out, size_t *out_n);

#endif
