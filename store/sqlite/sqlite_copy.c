// SPDX-License-Identifier: Apache-2.0
// Copies of a database that another process has open; see sqlite_copy.h.
#include "store/sqlite/sqlite_copy.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/sqlite/sqlite_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID 0x4d52444e // "MRDN"
#define FIRST_WITH_BLOBS 11       // the schema from which on there is a table of blobs
#define BUSY_MS 30000
#define BUSY_LOOK_MS 50

int sqlite_schema_newest(void)
{
    return schema_version;
}

static int said(struct diag *diag, const char *path, int rc)
{
    const char *why = err_text(rc);
    if (rc == ERR_CORRUPT)
        why = "damaged, or no database of Meridian's";
    if (rc)
        diag_add(diag, path, 0, "cannot be read: %s", why);
    return rc;
}

static int number(struct db *d, const char *sql, uint64_t *out)
{
    sqlite3_stmt *st;
    int rc = db_find(d, &st, sql, "");
    if (rc)
        return rc;
    *out = (uint64_t)sqlite3_column_int64(st, 0);
    db_end(st);
    return 0;
}

// A connection for reading alone makes no side files.
static int copy_connect(const char *path, int flags, struct db *out)
{
    *out = (struct db){0};
    int rc = sqlite3_open_v2(path, &out->h, SQLITE_OPEN_NOMUTEX | flags, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_extended_result_codes(out->h, 1);
        sqlite3_busy_timeout(out->h, BUSY_MS);
        sqlite3_db_config(out->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_db_config(out->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        return 0;
    }
    rc = out->h ? db_error(out, rc) : ERR_NOMEM;
    db_close(out);
    return rc;
}

// --- copying ---

// All pages in one step: one moment.
static int pages_copy(struct db *from, struct db *to)
{
    sqlite3_backup *b = sqlite3_backup_init(to->h, "main", from->h, "main");
    if (!b)
        return db_error(to, sqlite3_errcode(to->h));
    int64_t until = clock_mono_ms() + BUSY_MS;
    int step = sqlite3_backup_step(b, -1);
    while ((step == SQLITE_BUSY || step == SQLITE_LOCKED) && clock_mono_ms() < until) {
        clock_sleep_ms(BUSY_LOOK_MS);
        step = sqlite3_backup_step(b, -1);
    }
    int end = sqlite3_backup_finish(b);
    if (step != SQLITE_DONE)
        return db_error(to, step);
    return db_error(to, end);
}

static int is_ours(struct db *d)
{
    uint64_t app = 0;
    int rc = number(d, "PRAGMA application_id", &app);
    if (!rc && app != APPLICATION_ID)
        rc = ERR_CORRUPT;
    return rc;
}

static int read_through(struct db *d, const char *path, struct diag *diag)
{
    sqlite3_stmt *st;
    int rc = db_find(d, &st, "PRAGMA quick_check(1)", "");
    if (rc)
        return said(diag, path, rc);
    const char *text = (const char *)sqlite3_column_text(st, 0);
    if (!text || strcmp(text, "ok") != 0) {
        diag_add(diag, path, 0, "is damaged (%s)", text ? text : "?");
        rc = ERR_CORRUPT;
    }
    db_end(st);
    return rc;
}

// The pages say that their database has a log beside it: the copy is to stand alone.
static int copy_fill(struct db *from, const char *from_path, struct db *to, struct diag *diag)
{
    int rc = db_exec(to, "PRAGMA synchronous=OFF");
    if (!rc)
        rc = pages_copy(from, to);
    if (!rc)
        rc = db_exec(to, "PRAGMA journal_mode=DELETE");
    if (!rc)
        rc = is_ours(to);
    if (rc)
        return said(diag, from_path, rc);
    return read_through(to, from_path, diag);
}

static int copy_make(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_from_errno(errno);
    return 0;
}

static int copy_sync(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fsync(fd))
        return err_from_errno(errno);
    return 0;
}

static void copy_drop(const char *path)
{
    static const char *const ends[] = {"", "-journal", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        AUTO_FREE char *name = mem_printf("%s%s", path, ends[i]);
        if (name)
            unlink(name);
    }
}

static int copy_to(struct db *source, const char *from, const char *to, struct diag *diag)
{
    struct db copy;
    int rc = copy_make(to);
    if (rc) {
        diag_add(diag, to, 0, "cannot be made: %s", err_text(rc));
        return rc;
    }
    rc = copy_connect(to, SQLITE_OPEN_READWRITE, &copy);
    if (!rc) {
        rc = copy_fill(source, from, &copy, diag);
        db_close(&copy);
    }
    if (!rc)
        rc = copy_sync(to);
    if (rc)
        copy_drop(to);
    return rc;
}

int sqlite_copy(const char *from, const char *to, struct diag *diag)
{
    struct stat st;
    struct db source;
    if (lstat(from, &st))
        return said(diag, from, err_from_errno(errno));
    if (!S_ISREG(st.st_mode))
        return said(diag, from, ERR_CORRUPT);
    // Reading a log that nobody else has open takes writing its index.
    int rc = copy_connect(from, SQLITE_OPEN_READWRITE, &source);
    if (!rc)
        rc = db_exec(&source, "PRAGMA query_only=ON");
    if (rc)
        return said(diag, from, rc);
    rc = copy_to(&source, from, to, diag);
    db_close(&source);
    return rc;
}

// --- what a copy says ---

static int region_read(struct db *d, struct arena *a, const char **out)
{
    sqlite3_stmt *st;
    int rc = db_find(d, &st, "SELECT text FROM state WHERE key='region'", "");
    if (rc)
        return rc == ERR_NOTFOUND ? ERR_CORRUPT : rc;
    rc = db_text(st, 0, a, out);
    db_end(st);
    if (!rc && !*out)
        rc = ERR_CORRUPT;
    return rc;
}

static int head_read(struct db *d, struct sqlite_facts *f)
{
    sqlite3_stmt *st;
    int rc = state_get(d, "epoch", &f->epoch);
    if (rc == ERR_NOTFOUND)
        rc = 0;
    if (!rc)
        rc = db_find(
            d, &st,
            "SELECT epoch,seq FROM feed WHERE origin=?1 AND part=0 ORDER BY epoch DESC,seq DESC "
            "LIMIT 1",
            "s", f->region);
    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc)
        return rc;
    f->head.epoch = (uint64_t)sqlite3_column_int64(st, 0);
    f->head.seq = (uint64_t)sqlite3_column_int64(st, 1);
    db_end(st);
    if (f->epoch < f->head.epoch)
        f->epoch = f->head.epoch;
    return 0;
}

static int read_marks(struct db *d, struct arena *a, struct sqlite_facts *f)
{
    sqlite3_stmt *st;
    size_t cap = 0;
    int rc = db_start(d, &st, "SELECT origin,epoch,seq FROM origins ORDER BY origin,part", "");
    while (!rc && (rc = db_step(d, st)) == 1) {
        if (f->n_read == cap)
            f->read = db_grow(a, f->read, f->n_read, &cap, sizeof *f->read);
        rc = f->read ? db_text(st, 0, a, &f->read[f->n_read].origin) : ERR_NOMEM;
        if (rc) {
            db_end(st);
            return rc;
        }
        f->read[f->n_read].epoch = (uint64_t)sqlite3_column_int64(st, 1);
        f->read[f->n_read++].seq = (uint64_t)sqlite3_column_int64(st, 2);
    }
    return rc;
}

static int counts_read(struct db *d, struct sqlite_facts *f)
{
    int rc = number(d, "SELECT count(*) FROM repositories", &f->n_repositories);
    if (!rc)
        rc = number(d, "SELECT count(*) FROM manifests", &f->n_manifests);
    if (!rc)
        rc = number(d, "SELECT count(*) FROM tags", &f->n_tags);
    if (!rc)
        rc = number(d, "SELECT count(*) FROM feed", &f->n_entries);
    if (!rc)
        rc = number(d, "SELECT count(*) FROM blobs WHERE state<2", &f->n_blobs);
    if (!rc)
        rc = number(d, "SELECT coalesce(sum(size),0) FROM blobs WHERE state<2", &f->blob_bytes);
    return rc;
}

static int facts_fill(struct db *d, struct arena *a, struct sqlite_facts *f)
{
    uint64_t schema = 0;
    int rc = is_ours(d);
    if (!rc)
        rc = number(d, "PRAGMA user_version", &schema);
    if (!rc)
        rc = region_read(d, a, &f->region);
    f->schema = (int64_t)schema;
    f->epoch = 1;
    if (rc)
        return rc;
    if (f->schema > schema_version || f->schema < FIRST_WITH_BLOBS)
        return ERR_VERSION;
    f->head.origin = f->region;
    rc = head_read(d, f);
    if (!rc)
        rc = read_marks(d, a, f);
    if (!rc)
        rc = counts_read(d, f);
    return rc;
}

int sqlite_facts_read(const char *path, struct arena *a, struct diag *diag,
                      struct sqlite_facts *out)
{
    struct db d;
    struct sqlite_facts f = {0};
    int rc = copy_connect(path, SQLITE_OPEN_READONLY, &d);
    if (rc)
        return said(diag, path, rc);
    rc = facts_fill(&d, a, &f);
    db_close(&d);
    if (rc == ERR_VERSION)
        diag_add(diag, path, 0,
                 "has schema version %lld; this program takes those from %d to %d: use the program "
                 "that it was made with",
                 (long long)f.schema, FIRST_WITH_BLOBS, schema_version);
    else if (rc)
        (void)said(diag, path, rc);
    if (!rc || rc == ERR_VERSION)
        *out = f;
    return rc;
}

static int blob_row(sqlite3_stmt *st, struct blob_name *out)
{
    const char *generation = (const char *)sqlite3_column_text(st, 2);
    *out = (struct blob_name){0};
    int rc = db_digest(st, 0, &out->digest);
    if (rc)
        return rc;
    if (!generation || !blob_generation_ok(generation))
        return ERR_CORRUPT;
    snprintf(out->generation, sizeof out->generation, "%s", generation);
    return 0;
}

int sqlite_blobs_each(const char *path,
                      int (*fn)(void *ctx, const struct blob_name *name, uint64_t size), void *ctx)
{
    struct db d;
    sqlite3_stmt *st;
    int rc = copy_connect(path, SQLITE_OPEN_READONLY, &d);
    if (rc)
        return rc;
    rc = db_start(&d, &st, "SELECT digest,size,generation FROM blobs WHERE state<2 ORDER BY digest",
                  "");
    while (!rc && (rc = db_step(&d, st)) == 1) {
        struct blob_name name;
        rc = blob_row(st, &name);
        if (!rc)
            rc = fn(ctx, &name, (uint64_t)sqlite3_column_int64(st, 1));
        if (rc)
            db_end(st);
    }
    db_close(&d);
    return rc;
}
