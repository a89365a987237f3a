// SPDX-License-Identifier: Apache-2.0
// Uploads that ended: under which digest, and by whom, for as long as the request that ended them
// may be repeated; see meta.h. Their age is counted in the time that this region ran (run_ms), so
// that nothing has to be written for those that only grow older: the monotonic clock since the
// store was opened, on top of what was noted by the sweep before.
#include "store/meta_priv.h"

#include "base/err.h"

#include <string.h>

#define OF_PRINCIPAL_MAX 4096 // in one registry; the earliest go
#define TRIM_EVERY 64
#define FORGET_MAX 1000 // rows in one transaction

static const char run_key[] = "uploads.run_ms";

int ended_load(struct meta *m)
{
    uint64_t before = 0;
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = state_get(sqlite_tx_db(tx), run_key, &before);
    tx_end(tx);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    m->run_from_ms = clock_mono_ms() - (int64_t)before;
    return 0;
}

static int64_t run_ms(const struct meta *m)
{
    return clock_mono_ms() - m->run_from_ms;
}

static int principal_trim(struct tx *tx, const char *registry, const char *principal)
{
    return db_run(sqlite_tx_db(tx),
                  "DELETE FROM ended WHERE registry=?1 AND principal=?2 AND n<=(SELECT n FROM "
                  "ended WHERE registry=?1"
                  " AND principal=?2 ORDER BY n DESC LIMIT 1 OFFSET ?3)",
                  "ssi", registry, principal, (int64_t)OF_PRINCIPAL_MAX);
}

int ended_note(struct meta *m, struct tx *tx, const char *registry, const char *repository,
               const struct upload_end *e, const struct digest *d)
{
    int rc = db_run(sqlite_tx_db(tx),
                    "INSERT OR REPLACE INTO ended(id,registry,repository,principal,digest,run_ms)"
                    " VALUES(?1,?2,?3,?4,?5,?6)",
                    "ssssdi", e->id, registry, repository, e->principal, d, run_ms(m));
    if (!rc && sqlite3_last_insert_rowid(sqlite_tx_db(tx)->h) % TRIM_EVERY == 0)
        rc = principal_trim(tx, registry, e->principal);
    return rc;
}

int meta_upload_ended(struct meta *m, const char *registry, const char *repository,
                      const struct upload_end *e, const struct digest *d)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    sqlite3_stmt *st;
    rc = db_find(sqlite_tx_db(tx), &st,
                 "SELECT 1 FROM ended WHERE id=?1 AND registry=?2 AND repository=?3 AND "
                 "principal=?4 AND digest=?5",
                 "ssssd", e->id, registry, repository, e->principal, d);
    if (!rc)
        db_end(st);
    tx_end(tx);
    return rc;
}

struct forgetting {
    struct meta *m;
    int64_t idle_ms;
    int n;
};

static int forget_run(struct tx *tx, void *arg)
{
    struct forgetting *f = arg;
    int rc = db_run(sqlite_tx_db(tx),
                    "DELETE FROM ended WHERE n IN (SELECT n FROM ended WHERE run_ms<?1 ORDER BY "
                    "run_ms LIMIT ?2)",
                    "in", run_ms(f->m) - f->idle_ms, FORGET_MAX);
    if (rc)
        f->n = 0;
    else
        f->n = sqlite3_changes(sqlite_tx_db(tx)->h);
    if (rc)
        return rc;
    return state_set(sqlite_tx_db(tx), run_key, (uint64_t)run_ms(f->m));
}

int meta_uploads_forget(struct meta *m, int64_t idle_ms)
{
    struct forgetting f = {.m = m, .idle_ms = idle_ms, .n = FORGET_MAX};
    int rc = 0;
    while (!rc && f.n == FORGET_MAX)
        rc = meta_write(m, forget_run, &f, false);
    return rc;
}
