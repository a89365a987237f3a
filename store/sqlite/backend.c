// SPDX-License-Identifier: Apache-2.0
// Opening and closing the SQLite backend, and the readers' connections; see sqlite_store.h.
#include "store/sqlite/sqlite_store.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/wait.h"
#include "store/sqlite/sqlite_priv.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static struct sqlite_backend *sqlite_of(struct backend *b)
{
    return (struct sqlite_backend *)b;
}

// Two processes would give one sequence away twice (invariant 8): the file beside the database is
// locked for our life.
static int lock_take(struct sqlite_backend *b, struct diag *diag)
{
    AUTO_FREE char *path = mem_printf("%s.lock", b->path);
    if (!path)
        return ERR_NOMEM;
    b->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (b->lock_fd < 0) {
        int rc = err_from_errno(errno);
        diag_add(diag, path, 0, "cannot be opened: %s", err_text(rc));
        return rc;
    }
    if (flock(b->lock_fd, LOCK_EX | LOCK_NB)) {
        diag_add(diag, b->path, 0, "is in use by another process");
        return ERR_BUSY;
    }
    return 0;
}

// SQLite would make the file by the umask; its side files take the mode of this one.
static int file_make(struct sqlite_backend *b, struct diag *diag)
{
    AUTO_CLOSE int fd = open(b->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && fchmod(fd, 0600) == 0)
        return 0;
    int rc = err_from_errno(errno);
    diag_add(diag, b->path, 0, "cannot be opened: %s", err_text(rc));
    return rc;
}

// SQLite does not say why it cannot make its side files: an attempt of our own does.
static int why_no_side_file(const struct sqlite_backend *b)
{
    AUTO_FREE char *path = mem_printf("%s.try", b->path);
    if (!path)
        return ERR_IO;
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = fd < 0 ? err_from_errno(errno) : ERR_IO;
    unlink(path);
    return rc;
}

static void tx_init(struct sqlite_backend *b, struct sqlite_tx *t)
{
    t->tx = (struct tx){.ops = b->base.ops, .region = b->region};
    t->of = b;
    t->db.damaged = &b->damaged;
}

static int writer_connect(struct sqlite_backend *b, struct diag *diag)
{
    int rc = db_open(b->path, false, &b->w.db);
    if (rc == ERR_IO)
        rc = why_no_side_file(b);
    if (rc) {
        const char *why = rc == ERR_CORRUPT ? "damaged, or no database" : err_text(rc);
        diag_add(diag, b->path, 0, "cannot be opened: %s", why);
        return rc;
    }
    tx_init(b, &b->w);
    return 0;
}

// A restore that is under way, or was broken off.
static int restored_check(const struct sqlite_backend *b, struct diag *diag)
{
    const char *slash = strrchr(b->path, '/');
    int n_dir = slash ? (int)(slash - b->path) + 1 : 0;
    AUTO_FREE char *mark = mem_printf("%.*s" SQLITE_RESTORE_MARK, n_dir, b->path);
    struct stat st;
    if (!mark)
        return ERR_NOMEM;
    if (lstat(mark, &st))
        return 0;
    diag_add(diag, b->path, 0,
             "is being restored, or a restore was broken off: run `meridian restore` to its end");
    return ERR_BUSY;
}

static int database_open(struct sqlite_backend *b, struct diag *diag)
{
    int rc = restored_check(b, diag);
    if (!rc)
        rc = file_make(b, diag);
    if (rc)
        return rc;
    rc = lock_take(b, diag);
    if (rc)
        return rc;
    rc = leaving_open(b, diag);
    if (rc)
        return rc;
    beside_look(b);
    rc = writer_connect(b, diag);
    if (rc)
        return rc;
    b->opened_ms = clock_mono_ms();
    rc = schema_open(&b->w.db, b->path, b->region, diag, &b->era);
    if (rc)
        return rc;
    rc = own_load(b);
    if (rc)
        diag_add(diag, b->path, 0, "the feed's head cannot be read: %s", err_text(rc));
    return rc;
}

int sqlite_store_open(const char *path, const char *region, struct diag *diag, struct backend **out)
{
    struct sqlite_backend *b = mem_zalloc(sizeof *b);
    if (!b)
        return ERR_NOMEM;
    b->base.ops = &sqlite_backend_ops;
    b->lock_fd = b->leaving_fd = -1;
    changes_init(&b->changes);
    pthread_mutex_init(&b->lock, NULL);
    pthread_mutex_init(&b->readers_lock, NULL);
    wait_cond_init(&b->queued);
    b->path = mem_strdup(path);
    b->region = mem_strdup(region);
    int rc = b->path && b->region ? 0 : ERR_NOMEM;
    if (!rc)
        rc = database_open(b, diag);
    if (!rc)
        rc = writer_start(b);
    if (rc) {
        backend_close(&b->base);
        return rc;
    }
    *out = &b->base;
    return 0;
}

static void sqlite_close(struct backend *backend)
{
    struct sqlite_backend *b = sqlite_of(backend);
    writer_stop(b);
    for (struct sqlite_tx *t; (t = b->idle_readers);) {
        b->idle_readers = t->next;
        db_close(&t->db);
        free(t);
    }
    if (b->w.db.h && !b->handed_over)
        (void)db_exec(&b->w.db, "PRAGMA wal_checkpoint(TRUNCATE)");
    db_close(&b->w.db);
    fd_auto_close(&b->lock_fd);
    fd_auto_close(&b->leaving_fd);
    pthread_mutex_destroy(&b->lock);
    pthread_mutex_destroy(&b->readers_lock);
    pthread_cond_destroy(&b->queued);
    free(b->path);
    free(b->region);
    free(b);
}

static int sqlite_check(struct backend *b)
{
    return atomic_load(&sqlite_of(b)->damaged) ? ERR_CORRUPT : 0;
}

// --- readers ---

static int reader_connect(struct sqlite_backend *b, struct sqlite_tx **out)
{
    struct sqlite_tx *t = mem_zalloc(sizeof *t);
    if (!t)
        return ERR_NOMEM;
    int rc = db_open(b->path, true, &t->db);
    if (rc) {
        free(t);
        return rc;
    }
    tx_init(b, t);
    *out = t;
    return 0;
}

static struct sqlite_tx *idle_take(struct sqlite_backend *b)
{
    pthread_mutex_lock(&b->readers_lock);
    struct sqlite_tx *t = b->idle_readers;
    if (t)
        b->idle_readers = t->next;
    pthread_mutex_unlock(&b->readers_lock);
    return t;
}

static void idle_give(struct sqlite_backend *b, struct sqlite_tx *t)
{
    pthread_mutex_lock(&b->readers_lock);
    t->next = b->idle_readers;
    b->idle_readers = t;
    pthread_mutex_unlock(&b->readers_lock);
}

static int sqlite_read(struct backend *backend, bool one_moment, struct tx **out)
{
    struct sqlite_backend *b = sqlite_of(backend);
    struct sqlite_tx *t = idle_take(b);
    int rc = 0;
    if (!t)
        rc = reader_connect(b, &t);
    if (rc)
        return rc;
    t->next = NULL;
    t->one_moment = one_moment;
    if (one_moment)
        rc = db_exec(&t->db, "BEGIN");
    if (rc) {
        idle_give(b, t);
        return rc;
    }
    *out = &t->tx;
    return 0;
}

static void sqlite_end(struct tx *tx)
{
    struct sqlite_tx *t = sqlite_tx(tx);
    assert(t != &t->of->w); // the writer's transaction ends with its run
    // a reader that sees no one moment leaves none open, which would keep SQLite's log from ending
    assert(t->one_moment || sqlite3_get_autocommit(t->db.h));
    if (t->one_moment)
        (void)db_exec(&t->db, "ROLLBACK");
    idle_give(t->of, t);
}

static int sqlite_probe(struct tx *tx)
{
    return db_run(sqlite_tx_db(tx),
                  "INSERT INTO state(key,value) VALUES('probe',1) ON CONFLICT(key) DO UPDATE SET "
                  "value=value+1",
                  "");
}

// Commits of another process have no number here.
static uint64_t sqlite_changes(struct backend *backend, unsigned shard)
{
    const struct sqlite_backend *b = sqlite_of(backend);
    if (atomic_load(&b->handed_over) || atomic_load(&b->beside))
        return 0;
    return changes_number(&b->changes, shard);
}

// Each operation of a reader sees all that was committed before it, so no number of now is too new.
static uint64_t sqlite_changes_seen(struct tx *tx, unsigned shard)
{
    struct sqlite_tx *t = sqlite_tx(tx);
    assert(t != &t->of->w);
    if (t->one_moment)
        return 0; // its moment may be older
    return sqlite_changes(&t->of->base, shard);
}

const struct backend_ops sqlite_backend_ops = {
    .close = sqlite_close,
    .hand_over = writer_hand_over,
    .check = sqlite_check,
    .write = writer_write,
    .read = sqlite_read,
    .end = sqlite_end,
    .attempt = writer_attempt,
    .probe = sqlite_probe,
    .changes = sqlite_changes,
    .changes_seen = sqlite_changes_seen,
    .log = &sqlite_log_ops,
    .chains = &sqlite_chain_ops,
    .state = &sqlite_state_ops,
    .manifests = &sqlite_manifest_ops,
    .tags = &sqlite_tag_ops,
    .tasks = &sqlite_task_ops,
    .jobs = &sqlite_job_ops,
    .voids = &sqlite_void_ops,
    .surveys = &sqlite_survey_ops,
    .uploads = &sqlite_upload_ops,
    .links = &sqlite_link_ops,
};

int sqlite_meta_open(const char *path, const struct meta_options *o, struct diag *diag,
                     struct meta **out)
{
    struct backend *b;
    int rc = sqlite_store_open(path, o->region, diag, &b);
    if (rc)
        return rc;
    return meta_open(b, o, diag, out);
}
