// SPDX-License-Identifier: Apache-2.0
// One SQLite connection: cached statements, typed binding, error codes. See db.h.
#include "store/sqlite/db.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

// SQLite keeps no errno of a commit that fails: then it is the last one of this thread.
static int system_error(struct db *d)
{
    int last = errno;
    int kept = 0;
    if (d->h)
        kept = sqlite3_system_errno(d->h);
    if (kept)
        return kept;
    return last;
}

static int file_error(int sqlite_rc, int e)
{
    switch (e) {
    case EROFS:
        return ERR_READONLY;
    case EMFILE:
    case ENFILE:
        return ERR_NOFILES;
    case ENOSPC:
    case EDQUOT:
        return ERR_NOSPACE;
    default:
        break;
    }
    if (sqlite_rc == SQLITE_IOERR_NOMEM)
        return ERR_NOMEM;
    return ERR_IO;
}

static void damage_note(struct db *d)
{
    if (!d->damaged || atomic_exchange(d->damaged, true))
        return;
    log_error("store: the metadata is damaged (SQLite: %s): this region says that it is down from "
              "now on; stop it and restore meta.db, or take meta.db away: the other regions fill a "
              "new one",
              sqlite3_errmsg(d->h));
}

int db_error(struct db *d, int sqlite_rc)
{
    int e = system_error(d);
    switch (sqlite_rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return ERR_NOSPACE;
    case SQLITE_READONLY:
        return ERR_READONLY;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return file_error(sqlite_rc, e);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        damage_note(d);
        return ERR_CORRUPT;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_CONSTRAINT:
        return ERR_CONFLICT;
    case SQLITE_TOOBIG:
        return ERR_TOOBIG;
    default:
        return ERR_IO;
    }
}

int db_exec(struct db *d, const char *sql)
{
    return db_error(d, sqlite3_exec(d->h, sql, NULL, NULL, NULL));
}

int db_open(const char *path, bool read_only, struct db *out)
{
    struct db d = {0};
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE;
    int rc = sqlite3_open_v2(path, &d.h, flags, NULL);
    if (rc != SQLITE_OK) {
        if (d.h)
            rc = db_error(&d, rc);
        else
            rc = ERR_NOMEM;
        sqlite3_close(d.h);
        return rc;
    }
    sqlite3_extended_result_codes(d.h, 1);
    sqlite3_busy_timeout(d.h, 5000);
    sqlite3_db_config(d.h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(d.h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    // temp_store stays as it is: with it in memory the journal of statements is a list that SQLite
    // walks whenever one of them ends, and a transaction of many (a stretch of a log that becomes
    // void) takes the square of its time.
    // There may be as many readers as threads: the system's cache of files serves them all, so that
    // each one's own is small.
    rc = db_exec(
        &d, read_only ? "PRAGMA query_only=ON; PRAGMA cache_size=-256"
                      : "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                        "PRAGMA journal_size_limit=67108864");
    if (rc) {
        sqlite3_close(d.h);
        return rc;
    }
    *out = d;
    return 0;
}

void db_close(struct db *d)
{
    for (size_t i = 0; i < d->n_stmts; i++)
        sqlite3_finalize(d->stmts[i].st);
    sqlite3_close(d->h);
    *d = (struct db){0};
}

static int statement(struct db *d, const char *sql, sqlite3_stmt **out)
{
    for (size_t i = 0; i < d->n_stmts; i++)
        if (d->stmts[i].sql == sql) {
            *out = d->stmts[i].st;
            return 0;
        }
    assert(d->n_stmts < DB_STMTS); // every statement is a literal; there are fewer of them
    sqlite3_stmt *st;
    int rc = db_error(d, sqlite3_prepare_v3(d->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL));
    if (rc)
        return rc;
    d->stmts[d->n_stmts].sql = sql;
    d->stmts[d->n_stmts++].st = st;
    *out = st;
    return 0;
}

static int bind_digest(sqlite3_stmt *st, int at, const struct digest *d)
{
    uint8_t b[1 + sizeof d->b];
    b[0] = d->alg;
    memcpy(b + 1, d->b, d->n);
    return sqlite3_bind_blob(st, at, b, 1 + d->n, SQLITE_TRANSIENT);
}

static int bind_values(sqlite3_stmt *st, const char *types, va_list ap)
{
    int rc = SQLITE_OK;
    for (int at = 1; *types && rc == SQLITE_OK; types++, at++) {
        switch (*types) {
        case 's': {
            const char *s = va_arg(ap, const char *);
            if (s)
                rc = sqlite3_bind_text(st, at, s, -1, SQLITE_STATIC);
            else
                rc = sqlite3_bind_null(st, at);
            break;
        }
        case 'i':
            rc = sqlite3_bind_int64(st, at, va_arg(ap, int64_t));
            break;
        case 'u': {
            uint64_t v = va_arg(ap, uint64_t);
            if (v > INT64_MAX)
                rc = SQLITE_TOOBIG;
            else
                rc = sqlite3_bind_int64(st, at, (int64_t)v);
            break;
        }
        case 'n':
            rc = sqlite3_bind_int(st, at, va_arg(ap, int));
            break;
        case 'd':
            rc = bind_digest(st, at, va_arg(ap, const struct digest *));
            break;
        default: {
            assert(*types == 'b');
            const void *p = va_arg(ap, const void *);
            size_t n = va_arg(ap, size_t);
            if (p)
                rc = sqlite3_bind_blob64(st, at, p, n, SQLITE_STATIC);
            else
                rc = sqlite3_bind_null(st, at);
        }
        }
    }
    return rc;
}

static int start(struct db *d, sqlite3_stmt **out, const char *sql, const char *types, va_list ap)
{
    sqlite3_stmt *st;
    int rc = statement(d, sql, &st);
    if (rc)
        return rc;
    assert(!sqlite3_stmt_busy(st)); // nobody walks the same statement twice at once
    rc = db_error(d, bind_values(st, types, ap));
    if (rc) {
        db_end(st);
        return rc;
    }
    *out = st;
    return 0;
}

int db_start(struct db *d, sqlite3_stmt **out, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    int rc = start(d, out, sql, types, ap);
    va_end(ap);
    return rc;
}

int db_step(struct db *d, sqlite3_stmt *st)
{
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        return 1;
    rc = db_error(d, rc);
    db_end(st);
    return rc;
}

void db_end(sqlite3_stmt *st)
{
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
}

int db_run(struct db *d, const char *sql, const char *types, ...)
{
    sqlite3_stmt *st;
    va_list ap;
    va_start(ap, types);
    int rc = start(d, &st, sql, types, ap);
    va_end(ap);
    while (!rc && (rc = db_step(d, st)) == 1)
        rc = 0;
    return rc;
}

int db_find(struct db *d, sqlite3_stmt **out, const char *sql, const char *types, ...)
{
    sqlite3_stmt *st;
    va_list ap;
    va_start(ap, types);
    int rc = start(d, &st, sql, types, ap);
    va_end(ap);
    if (rc)
        return rc;
    rc = db_step(d, st);
    if (rc != 1) {
        if (rc)
            return rc;
        return ERR_NOTFOUND;
    }
    *out = st;
    return 0;
}

int db_digest(sqlite3_stmt *st, int col, struct digest *out)
{
    const uint8_t *p = sqlite3_column_blob(st, col);
    int n = sqlite3_column_bytes(st, col);
    if (!p || n < 2 || n > 1 + DIGEST_BYTES_MAX)
        return ERR_CORRUPT;
    struct digest d = {.alg = p[0], .n = (uint8_t)(n - 1)};
    if (!digest_ok(&d))
        return ERR_CORRUPT;
    memcpy(d.b, p + 1, d.n);
    *out = d;
    return 0;
}

int db_text(sqlite3_stmt *st, int col, struct arena *a, const char **out)
{
    const char *s = (const char *)sqlite3_column_text(st, col);
    if (!s && sqlite3_column_type(st, col) != SQLITE_NULL)
        return ERR_NOMEM;
    char *copy = NULL;
    if (s)
        copy = arena_strdup(a, s);
    if (s && !copy)
        return ERR_NOMEM;
    *out = copy;
    return 0;
}

int db_blob(sqlite3_stmt *st, int col, struct arena *a, struct bytes *out)
{
    const void *p = sqlite3_column_blob(st, col);
    size_t n = (size_t)sqlite3_column_bytes(st, col);
    void *copy = NULL;
    if (n)
        copy = arena_copy(a, p, n);
    if (n && !copy)
        return ERR_NOMEM;
    *out = (struct bytes){copy, n};
    return 0;
}

void *db_grow(struct arena *a, const void *list, size_t n, size_t *cap, size_t size)
{
    size_t more_cap = *cap ? 2 * *cap : 16;
    void *more = arena_array(a, more_cap, size);
    if (!more)
        return NULL;
    if (n)
        memcpy(more, list, n * size);
    *cap = more_cap;
    return more;
}

int db_names(struct db *d, sqlite3_stmt *st, struct arena *a, const char ***out, size_t *out_n)
{
    size_t n = 0, cap = 0;
    const char **list = NULL;
    int rc;
    while ((rc = db_step(d, st)) == 1) {
        if (n == cap)
            list = db_grow(a, list, n, &cap, sizeof *list);
        rc = list ? db_text(st, 0, a, &list[n]) : ERR_NOMEM;
        if (rc) {
            db_end(st);
            return rc;
        }
        n++;
    }
    if (rc)
        return rc;
    *out = list;
    *out_n = n;
    return 0;
}
